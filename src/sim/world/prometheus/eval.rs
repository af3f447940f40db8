//! Carrying a query out.
//!
//! Owns: which series take part, how they are matched, grouped and combined. Must not: parse.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    functions,
    query::{Aggregation, Binary, Expr, Function, Grouping, Kind, Matcher, Operator, QueryError},
    storage::{Labels, NAME, Storage},
};

/// What a query is worth.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A number.
    Scalar(f64),
    /// Series with a value each, by labels.
    Vector(Vec<Sample>),
}

/// A series with its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// Its labels.
    pub(super) labels: Labels,
    /// Its value.
    pub(super) value: f64,
}

/// Carries a query out as of a moment in milliseconds.
pub(super) fn evaluate(storage: &Storage, expr: &Expr, at: i64) -> Result<Value, QueryError> {
    if expr.kind() == Kind::Scalar {
        return scalar(expr).map(Value::Scalar);
    }
    let mut vector = Evaluation { storage, at }.vector(expr)?;
    vector.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(Value::Vector(vector))
}

struct Evaluation<'a> {
    storage: &'a Storage,
    at: i64,
}

type Outcome = Result<Vec<Sample>, QueryError>;

impl Evaluation<'_> {
    fn vector(&self, expr: &Expr) -> Outcome {
        match expr {
            Expr::Selector(matchers) => {
                let series = self.storage.select(|labels| Matcher::all(matchers, labels));
                Ok(series
                    .filter_map(|s| Some(sample(s.labels.clone(), s.at(self.at)?)))
                    .collect())
            }
            Expr::Negative(inner) => {
                let changed = self.vector(inner)?.into_iter();
                distinct(
                    changed
                        .map(|s| sample(nameless(s.labels), -s.value))
                        .collect(),
                )
            }
            Expr::Call(function, arguments) => self.call(*function, arguments),
            Expr::Aggregate(aggregation, grouping, inner) => {
                Ok(aggregate(*aggregation, grouping, &self.vector(inner)?))
            }
            Expr::Binary(binary) => self.binary(binary),
            Expr::Number(_) | Expr::Range(..) => Err(QueryError::Execution(
                "only series with a value each can be combined".to_owned(),
            )),
        }
    }

    fn call(&self, function: Function, arguments: &[Expr]) -> Outcome {
        match (function, arguments) {
            (Function::Rate | Function::Increase, [Expr::Range(matchers, range)]) => {
                let start = self.at - range;
                let grow = |points: &[(i64, f64)]| {
                    let increase = functions::increase(points, start, self.at)?;
                    Some(match function {
                        Function::Rate => increase / functions::seconds(*range),
                        Function::Increase | Function::HistogramQuantile | Function::Vector => {
                            increase
                        }
                    })
                };
                let series = self.storage.select(|labels| Matcher::all(matchers, labels));
                let grown = series.filter_map(|s| {
                    let value = grow(&s.between(start, self.at))?;
                    Some(sample(nameless(s.labels.clone()), value))
                });
                distinct(grown.collect())
            }
            (Function::HistogramQuantile, [quantile, buckets]) => {
                let quantile = scalar(quantile)?;
                Ok(histograms(quantile, self.vector(buckets)?))
            }
            (Function::Vector, [number]) => Ok(vec![sample(Labels::new(), scalar(number)?)]),
            (
                Function::Rate
                | Function::Increase
                | Function::HistogramQuantile
                | Function::Vector,
                _,
            ) => Err(QueryError::Execution(
                "a function has other arguments than it takes".to_owned(),
            )),
        }
    }

    fn binary(&self, binary: &Binary) -> Outcome {
        let number = |expr: &Expr| match expr.kind() {
            Kind::Scalar => scalar(expr).map(Some),
            Kind::Vector | Kind::Range => Ok(None),
        };
        let combined = match (number(&binary.left)?, number(&binary.right)?) {
            (None, Some(right)) => {
                let each = self.vector(&binary.left)?.into_iter();
                each.filter_map(|s| combine(binary, s.labels, (s.value, right), s.value))
                    .collect()
            }
            (Some(left), None) => {
                let each = self.vector(&binary.right)?.into_iter();
                each.filter_map(|s| combine(binary, s.labels, (left, s.value), s.value))
                    .collect()
            }
            _ => {
                let (left, right) = (self.vector(&binary.left)?, self.vector(&binary.right)?);
                if binary.operator.is_set() {
                    return Ok(choose(binary, left, right));
                }
                matched(binary, left, &right)?
            }
        };
        distinct(combined)
    }
}

/// Returns the number of an expression that is one; the parser sees to that.
fn scalar(expr: &Expr) -> Result<f64, QueryError> {
    match expr {
        Expr::Number(number) => Ok(*number),
        Expr::Negative(inner) => Ok(-scalar(inner)?),
        Expr::Binary(b) => {
            let (left, right) = (scalar(&b.left)?, scalar(&b.right)?);
            let compared = b.operator.holds(left, right).map(truth);
            Ok(compared.unwrap_or_else(|| b.operator.apply(left, right)))
        }
        Expr::Selector(_) | Expr::Range(..) | Expr::Call(..) | Expr::Aggregate(..) => {
            Err(QueryError::Execution("a vector is not a number".to_owned()))
        }
    }
}

fn sample(labels: Labels, value: f64) -> Sample {
    Sample { labels, value }
}

fn nameless(mut labels: Labels) -> Labels {
    labels.remove(NAME);
    labels
}

fn truth(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

/// Refuses two series with the same labels, as arise when names are dropped.
fn distinct(vector: Vec<Sample>) -> Outcome {
    let mut seen = BTreeSet::new();
    if vector.iter().all(|s| seen.insert(&s.labels)) {
        return Ok(vector);
    }
    Err(QueryError::Execution(
        "vector cannot contain metrics with the same labelset".to_owned(),
    ))
}

/// Returns the result of one pair; none when a comparison filters it out, and else `kept` is what
/// it lets through.
fn combine(
    binary: &Binary,
    labels: Labels,
    (left, right): (f64, f64),
    kept: f64,
) -> Option<Sample> {
    match binary.operator.holds(left, right) {
        None => Some(sample(nameless(labels), binary.operator.apply(left, right))),
        Some(holds) if binary.as_bool => Some(sample(nameless(labels), truth(holds))),
        Some(true) => Some(sample(labels, kept)),
        Some(false) => None,
    }
}

/// Combines the series that belong together, one on each side.
fn matched(binary: &Binary, left: Vec<Sample>, right: &[Sample]) -> Outcome {
    let mut partners: BTreeMap<Labels, &Sample> = BTreeMap::new();
    for sample in right {
        let group = binary.matching.of(&sample.labels);
        if let Some(other) = partners.insert(group.clone(), sample) {
            return Err(QueryError::Execution(format!(
                "found duplicate series for the match group {} on the right hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                shown(&group),
                shown(&sample.labels),
                shown(&other.labels)
            )));
        }
    }
    let mut used = BTreeSet::new();
    let mut results = Vec::new();
    for Sample { labels, value } in left {
        let group = binary.matching.of(&labels);
        let Some(partner) = partners.get(&group) else {
            continue;
        };
        let kept = match &binary.matching {
            Grouping::Only(_) => group.clone(),
            Grouping::Without(names) => {
                let mut labels = labels;
                labels.retain(|name, _| !names.contains(name));
                labels
            }
        };
        let result = combine(binary, kept, (value, partner.value), value);
        if result.is_some() && !used.insert(group) {
            return Err(QueryError::Execution(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)".to_owned(),
            ));
        }
        results.extend(result);
    }
    Ok(results)
}

/// Returns the series a set operator chooses.
fn choose(binary: &Binary, left: Vec<Sample>, right: Vec<Sample>) -> Vec<Sample> {
    let groups = |side: &[Sample]| -> BTreeSet<Labels> {
        side.iter().map(|s| binary.matching.of(&s.labels)).collect()
    };
    let (lefts, rights) = (groups(&left), groups(&right));
    let among =
        |groups: &BTreeSet<Labels>, s: &Sample| groups.contains(&binary.matching.of(&s.labels));
    let mut chosen = left;
    if binary.operator == Operator::Or {
        chosen.extend(right.into_iter().filter(|s| !among(&lefts, s)));
    } else {
        let wanted = binary.operator == Operator::And;
        chosen.retain(|s| among(&rights, s) == wanted);
    }
    chosen
}

fn aggregate(aggregation: Aggregation, grouping: &Grouping, vector: &[Sample]) -> Vec<Sample> {
    let mut groups: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
    for sample in vector {
        let group = grouping.of(&sample.labels);
        groups.entry(group).or_default().push(sample.value);
    }
    let results = groups.into_iter();
    results
        .map(|(labels, values)| sample(labels, functions::aggregate(aggregation, &values)))
        .collect()
}

/// Returns the quantile of each histogram.
fn histograms(quantile: f64, buckets: Vec<Sample>) -> Vec<Sample> {
    let mut groups: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    for Sample { mut labels, value } in buckets {
        let bound = labels.remove("le");
        let bound = bound.and_then(|text| match text.as_str() {
            "+Inf" => Some(f64::INFINITY),
            _ => text.parse().ok(),
        });
        if let Some(bound) = bound {
            groups
                .entry(nameless(labels))
                .or_default()
                .push((bound, value));
        }
    }
    let results = groups.into_iter();
    results
        .map(|(labels, buckets)| sample(labels, functions::quantile(quantile, buckets)))
        .collect()
}

/// Returns labels as messages show them.
fn shown(labels: &Labels) -> String {
    let pairs = labels.iter().filter(|(name, _)| *name != NAME);
    let pairs: Vec<String> = pairs.map(|(n, v)| format!("{n}={v:?}")).collect();
    let name = labels.get(NAME).map_or("", String::as_str);
    format!("{name}{{{}}}", pairs.join(", "))
}
