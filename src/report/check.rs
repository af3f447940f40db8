//! One check in words.
//!
//! Owns: how value, limit, samples and reason are said. Must not: judge.

use super::text::count;
use crate::domain::{
    check::Severity,
    unit::Unit,
    verdict::{CheckResult, Unknown, Verdict},
};

/// Returns the sentence of a check without its name in front.
pub fn sentence(result: &CheckResult) -> &str {
    result
        .text
        .strip_prefix(result.name.as_str())
        .and_then(|text| text.strip_prefix(": "))
        .unwrap_or(&result.text)
}

/// Returns the value in its unit, if there is one.
pub fn value(result: &CheckResult) -> Option<String> {
    Some(in_unit(result, result.value?))
}

/// Returns a number in the unit of a check.
fn in_unit(result: &CheckResult, value: f64) -> String {
    match result.unit {
        Unit::Plain => number(value),
        unit @ (Unit::Share | Unit::Seconds | Unit::Bytes | Unit::Cores) => unit.say(value),
    }
}

/// Returns the value where there is one, else the sentence up to its first comma or bracket.
pub fn brief(result: &CheckResult) -> String {
    value(result).unwrap_or_else(|| {
        let sentence = sentence(result);
        let end = sentence.find([',', '(', ';']).unwrap_or(sentence.len());
        sentence[..end].trim_end().to_owned()
    })
}

/// Returns what the sentence may leave out: why unknown, value, limit, samples, what it may do.
pub fn facts(result: &CheckResult) -> String {
    let mut facts = Vec::new();
    if let (Verdict::Unknown, Some(why)) = (result.verdict, result.unknown) {
        facts.push(reason(why).to_owned());
    }
    if let Some(value) = value(result).filter(|v| !result.text.contains(v.as_str())) {
        facts.push(format!("value {value}"));
    }
    if !result.limit.is_empty() {
        facts.push(format!("limit {}", result.limit));
    }
    facts.push(count(result.samples, "sample"));
    match result.severity {
        Severity::Rollback => {}
        Severity::Hold => facts.push("holds the release".to_owned()),
        Severity::Warn => facts.push("only warns".to_owned()),
    }
    facts.join("; ")
}

/// Returns how sure it is that the canary is worse than its limits, as odds, and between which values its own lies;
/// `None` where neither is known.
pub fn sure(result: &CheckResult) -> Option<String> {
    let odds = result.evidence.map(|odds| {
        if odds >= 1.0 {
            format!("odds {}:1", number(odds.round()))
        } else {
            format!("odds 1:{}", number((1.0 / odds.max(1e-9)).round()))
        }
    });
    let interval = result.interval.map(|(low, high)| {
        let say = |value| in_unit(result, value);
        format!("between {} and {}", say(low), say(high))
    });
    let both: Vec<String> = odds.into_iter().chain(interval).collect();
    (!both.is_empty()).then(|| both.join(", "))
}

/// Returns why a verdict is unknown, in words.
pub fn reason(why: Unknown) -> &'static str {
    match why {
        Unknown::Pending => "needs another look",
        Unknown::Query => "invalid query",
        Unknown::NoData => "no data",
        Unknown::NoTraffic => "no traffic",
        Unknown::TooFew => "too few requests",
        Unknown::SourceDown => "source unreachable",
        Unknown::NotEvaluated => "not evaluated here",
    }
}

/// Returns a number with as many digits as people can use.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "not a number".to_owned();
    }
    let decimals = match value.abs() {
        v if v >= 1000.0 => 0,
        v if v >= 1.0 => 2,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}
