//! A query as the parser leaves it to the evaluator, and what can be wrong with it.
//!
//! Owns: the syntax tree, the type of each of its parts, matchers. Must not: read series.

use regex::Regex;

use super::storage::Labels;

/// Indicates that a query is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueryError {
    /// The query is wrong, or asks for what is not supported.
    #[error("{0}")]
    BadData(String),
    /// The query cannot be carried out on the series there are.
    #[error("{0}")]
    Execution(String),
}

/// A part of a query.
#[derive(Debug, Clone)]
pub(super) enum Expr {
    /// A number.
    Number(f64),
    /// Series, each with its latest value.
    Selector(Vec<Matcher>),
    /// Series, each with its values of some milliseconds.
    Range(Vec<Matcher>, i64),
    /// A sign.
    Negative(Box<Self>),
    /// A function.
    Call(Function, Vec<Self>),
    /// An aggregation over groups of series.
    Aggregate(Aggregation, Grouping, Box<Self>),
    /// Two operands.
    Binary(Box<Binary>),
}

/// An operation on two operands.
#[derive(Debug, Clone)]
pub(super) struct Binary {
    /// What is done.
    pub(super) operator: Operator,
    /// Whether a comparison answers 0 or 1 instead of filtering.
    pub(super) as_bool: bool,
    /// Which series belong together.
    pub(super) matching: Grouping,
    /// The left operand.
    pub(super) left: Expr,
    /// The right operand.
    pub(super) right: Expr,
}

/// What an expression is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number.
    Scalar,
    /// Series with a value each.
    Vector,
    /// Series with several values each.
    Range,
}

impl Kind {
    /// Returns its name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "instant vector",
            Self::Range => "range vector",
        }
    }
}

impl Expr {
    /// Returns what it is worth.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Number(_) => Kind::Scalar,
            Self::Range(..) => Kind::Range,
            Self::Negative(inner) => inner.kind(),
            Self::Binary(b) if b.left.kind() == Kind::Scalar && b.right.kind() == Kind::Scalar => {
                Kind::Scalar
            }
            Self::Selector(_) | Self::Call(..) | Self::Aggregate(..) | Self::Binary(_) => {
                Kind::Vector
            }
        }
    }
}

/// A function on series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    /// Growth per second.
    Rate,
    /// Growth over the range.
    Increase,
    /// A quantile from buckets.
    HistogramQuantile,
    /// A number as a series without labels.
    Vector,
}

impl Function {
    /// All of them, with name and what they take.
    pub(super) const ALL: [(&str, Self, &[Kind]); 4] = [
        ("rate", Self::Rate, &[Kind::Range]),
        ("increase", Self::Increase, &[Kind::Range]),
        (
            "histogram_quantile",
            Self::HistogramQuantile,
            &[Kind::Scalar, Kind::Vector],
        ),
        ("vector", Self::Vector, &[Kind::Scalar]),
    ];
}

/// An aggregation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregation {
    /// The sum.
    Sum,
    /// The arithmetic mean.
    Avg,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The number of series.
    Count,
}

impl Aggregation {
    /// Those supported, by name.
    pub(super) const ALL: [(&str, Self); 5] = [
        ("sum", Self::Sum),
        ("avg", Self::Avg),
        ("min", Self::Min),
        ("max", Self::Max),
        ("count", Self::Count),
    ];
    /// Names of those that are not supported.
    pub(super) const OTHERS: [&str; 9] = [
        "group",
        "stddev",
        "stdvar",
        "topk",
        "bottomk",
        "count_values",
        "quantile",
        "limitk",
        "limit_ratio",
    ];
}

/// Which labels tell groups apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Grouping {
    /// These: `by`, `on`.
    Only(Vec<String>),
    /// All but these and the name: `without`, `ignoring`.
    Without(Vec<String>),
}

impl Grouping {
    /// Returns the labels that count.
    pub(super) fn of(&self, labels: &Labels) -> Labels {
        let kept = |name: &String| match self {
            Self::Only(names) => names.contains(name),
            Self::Without(names) => name != super::storage::NAME && !names.contains(name),
        };
        let counts = labels.iter().filter(|(name, _)| kept(name));
        counts.map(|(n, v)| (n.clone(), v.clone())).collect()
    }
}

/// An operator between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `>`
    Greater,
    /// `<`
    Less,
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
    /// `and`
    And,
    /// `or`
    Or,
    /// `unless`
    Unless,
}

impl Operator {
    /// All of them, with how tightly they bind.
    pub(super) const ALL: [(&str, Self, u8); 13] = [
        ("or", Self::Or, 1),
        ("and", Self::And, 2),
        ("unless", Self::Unless, 2),
        ("==", Self::Equal, 3),
        ("!=", Self::Unequal, 3),
        (">", Self::Greater, 3),
        ("<", Self::Less, 3),
        (">=", Self::AtLeast, 3),
        ("<=", Self::AtMost, 3),
        ("+", Self::Add, 4),
        ("-", Self::Subtract, 4),
        ("*", Self::Multiply, 5),
        ("/", Self::Divide, 5),
    ];

    /// Returns whether it chooses series by whether the other side has them.
    pub(super) fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// Returns whether a comparison holds; none for all other operators.
    pub(super) fn holds(self, left: f64, right: f64) -> Option<bool> {
        #[expect(clippy::float_cmp, reason = "what the query asks for")]
        match self {
            Self::Equal => Some(left == right),
            Self::Unequal => Some(left != right),
            Self::Greater => Some(left > right),
            Self::Less => Some(left < right),
            Self::AtLeast => Some(left >= right),
            Self::AtMost => Some(left <= right),
            Self::Add
            | Self::Subtract
            | Self::Multiply
            | Self::Divide
            | Self::And
            | Self::Or
            | Self::Unless => None,
        }
    }

    /// Returns the result of an arithmetic operator, and the left operand of all others.
    pub(super) fn apply(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => left / right,
            Self::Equal
            | Self::Unequal
            | Self::Greater
            | Self::Less
            | Self::AtLeast
            | Self::AtMost
            | Self::And
            | Self::Or
            | Self::Unless => left,
        }
    }
}

/// What a label must be; a label that is missing is empty.
#[derive(Debug, Clone)]
pub(super) struct Matcher {
    /// The label.
    pub(super) label: String,
    /// What it is compared with.
    pub(super) test: Test,
    /// Whether the test must fail.
    pub(super) negated: bool,
}

/// What a label is compared with.
#[derive(Debug, Clone)]
pub(super) enum Test {
    /// This text.
    Text(String),
    /// This pattern, all of it.
    Pattern(Regex),
}

impl Matcher {
    /// Returns whether a value passes.
    pub(super) fn passes(&self, value: &str) -> bool {
        let hit = match &self.test {
            Test::Text(text) => text == value,
            Test::Pattern(pattern) => pattern.is_match(value),
        };
        hit != self.negated
    }

    /// Returns whether all matchers pass.
    pub(super) fn all(matchers: &[Self], labels: &Labels) -> bool {
        let value = |label: &str| labels.get(label).map_or("", String::as_str);
        matchers.iter().all(|m| m.passes(value(&m.label)))
    }
}
