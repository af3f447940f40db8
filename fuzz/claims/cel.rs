//! Any expression, the first line, over any body, the rest, has a value or a reason for none.

use canaryctl::health::cel::Expression;

/// Panics unless it is so of this input.
pub(crate) fn holds(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n');
    let (source, body) = input.split_at(end.unwrap_or(input.len()));
    let body = body.get(1..).unwrap_or_default();
    let Ok(source) = std::str::from_utf8(source) else {
        return;
    };
    let Ok(expression) = Expression::compile(source) else {
        return;
    };
    drop(expression.condition(200, body));
    if let Ok(number) = expression.number(200, body) {
        assert!(number.is_finite());
    }
}
