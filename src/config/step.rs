//! Steps as people write them: in the file, in a flag, in a variable.
//!
//! Owns: the two notations and the default weights. Must not: fill in holds and deadlines.

use std::{borrow::Cow, fmt, time::Duration};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{self, IntoDeserializer, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::duration::{Span, parse_duration};
use crate::{
    document::excerpt,
    domain::{plan::PlanError, weight::Percent},
};

/// Weights of the steps when none are given, in percent: the commonest list in a survey of scripts.
pub const DEFAULT_WEIGHTS: [u32; 5] = [10, 25, 50, 75, 100];

/// One step as written; what is absent is filled in by [`super::Settings::resolve`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepSpec {
    /// The canary's share of traffic, above 0 %.
    pub weight: Percent,
    /// Time at the weight, up to 30 days.
    pub hold: Option<Duration>,
    /// Whether a person must approve before the next step.
    pub approve: bool,
    /// Time after which the step may end before its hold is over, up to 30 days.
    pub early: Option<Duration>,
    /// Time until missing evidence ends the step, up to 30 days.
    pub deadline: Option<Duration>,
}

impl StepSpec {
    /// Returns a step of `weight` with everything else left open.
    pub fn at(weight: Percent) -> Self {
        Self {
            weight,
            hold: None,
            approve: false,
            early: None,
            deadline: None,
        }
    }
}

/// Returns the steps in text such as `5,25,50,100` or `10:5m,50:30m:approve`: weight, then
/// optionally a hold, then optionally `approve`. The error says in one line what is wrong; it is
/// also an error when the weights do not rise from above 0 %.
pub fn parse_steps(text: &str) -> Result<Vec<StepSpec>, String> {
    if text.trim().is_empty() {
        return Err(PlanError::Empty.to_string());
    }
    let steps: Vec<_> = text.split(',').map(parse_step).collect::<Result<_, _>>()?;
    match check_rising(&steps) {
        Ok(()) => Ok(steps),
        Err((_, error)) => Err(error.to_string()),
    }
}

/// Returns the steps that are taken when none are given.
pub(super) fn default_steps() -> Vec<StepSpec> {
    DEFAULT_WEIGHTS
        .iter()
        .map(|weight| StepSpec::at(Percent::whole(*weight)))
        .collect()
}

/// Returns the index of the first step that does not rise, and why.
pub(super) fn check_rising(steps: &[StepSpec]) -> Result<(), (usize, PlanError)> {
    if steps.is_empty() {
        return Err((0, PlanError::Empty));
    }
    let mut last = Percent::ZERO;
    for (index, step) in steps.iter().enumerate() {
        if step.weight == Percent::ZERO {
            return Err((index, PlanError::Zero));
        }
        if step.weight <= last {
            return Err((index, PlanError::NotRising(step.weight, last)));
        }
        last = step.weight;
    }
    Ok(())
}

fn parse_step(text: &str) -> Result<StepSpec, String> {
    let mut parts = text.split(':').map(str::trim);
    let weight: Percent = parts
        .next()
        .unwrap_or_default()
        .parse()
        .map_err(|error: crate::domain::weight::WeightError| error.to_string())?;
    let mut step = StepSpec::at(weight);
    for part in parts {
        match part {
            "approve" if !step.approve => step.approve = true,
            hold if step.hold.is_none() && !step.approve => {
                step.hold = Some(parse_duration(hold)?);
            }
            other => {
                let other = excerpt(other);
                return Err(format!(
                    "step at {weight}: '{other}' is one part too many: write WEIGHT:HOLD:approve"
                ));
            }
        }
    }
    Ok(step)
}

// === impl Display, Deserialize, JsonSchema for StepSpec ===

/// The text form, such as `10%:5m:approve`; it has no place for early and deadline.
impl fmt::Display for StepSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.weight)?;
        if let Some(hold) = self.hold {
            write!(f, ":{}", humantime::format_duration(hold))?;
        }
        if self.approve {
            f.write_str(":approve")?;
        }
        Ok(())
    }
}

/// One step with its weight and what differs from the defaults
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct StepMap {
    /// Share of traffic for the canary, above 0 %
    weight: Percent,
    /// Time at this weight; default: `hold` of the file
    hold: Option<Span>,
    /// Time after which this step may end before its hold is over, once what its requests must show is
    /// proven; default: `early` of the file
    early: Option<Span>,
    /// Whether a person must approve before the next step; default: false
    #[serde(default)]
    approve: bool,
    /// Time after which this step ends without enough data; default: `deadline` of the file
    deadline: Option<Span>,
}

impl<'de> Deserialize<'de> for StepSpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(StepVisitor)
    }
}

struct StepVisitor;

impl<'de> Visitor<'de> for StepVisitor {
    type Value = StepSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a weight such as 25%, or a map with 'weight'")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<StepSpec, E> {
        Percent::deserialize(text.into_deserializer()).map(StepSpec::at)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<StepSpec, E> {
        Percent::deserialize(number.into_deserializer()).map(StepSpec::at)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<StepSpec, E> {
        Percent::deserialize(number.into_deserializer()).map(StepSpec::at)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<StepSpec, E> {
        Percent::deserialize(number.into_deserializer()).map(StepSpec::at)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<StepSpec, A::Error> {
        let map = StepMap::deserialize(MapAccessDeserializer::new(entries))?;
        Ok(StepSpec {
            weight: map.weight,
            hold: map.hold.map(|span| span.0),
            approve: map.approve,
            early: map.early.map(|span| span.0),
            deadline: map.deadline.map(|span| span.0),
        })
    }
}

impl JsonSchema for StepSpec {
    fn schema_name() -> Cow<'static, str> {
        "Step".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let weight = generator.subschema_for::<Percent>();
        let map = generator.subschema_for::<StepMap>();
        schemars::json_schema!({
            "description": "A weight, or a map with a weight and what differs from the defaults",
            "anyOf": [weight, map]
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn step(weight: u32, hold: Option<u64>, approve: bool) -> StepSpec {
        StepSpec {
            hold: hold.map(Duration::from_secs),
            approve,
            ..StepSpec::at(Percent::whole(weight))
        }
    }

    #[test]
    fn steps_are_read_from_text() {
        assert_eq!(
            parse_steps("5,25%, 50 ,100"),
            Ok(vec![
                step(5, None, false),
                step(25, None, false),
                step(50, None, false),
                step(100, None, false),
            ])
        );
        assert_eq!(
            parse_steps("10:5m,50:30m:approve,75:approve"),
            Ok(vec![
                step(10, Some(300), false),
                step(50, Some(1800), true),
                step(75, None, true),
            ])
        );
    }

    #[test]
    fn text_that_is_no_list_of_steps_is_refused_with_the_reason() {
        for (text, error) in [
            ("", "the list of steps is empty"),
            ("  ", "the list of steps is empty"),
            (
                "5,,10",
                "'' is not a weight: write a number such as 25, 25% or 0.5%",
            ),
            (
                "5,10,",
                "'' is not a weight: write a number such as 25, 25% or 0.5%",
            ),
            ("101", "'101' is not a weight: must be from 0 to 100"),
            (
                "-1",
                "'-1' is not a weight: write a number such as 25, 25% or 0.5%",
            ),
            ("0,10", "a step of 0% does nothing"),
            ("50,50", "steps must rise: 50% comes after 50%"),
            ("50,10", "steps must rise: 10% comes after 50%"),
            ("10:5", "'5' is not a duration: add a unit, such as 5s"),
            (
                "10:5m:6m",
                "step at 10%: '6m' is one part too many: write WEIGHT:HOLD:approve",
            ),
            (
                "10:approve:5m",
                "step at 10%: '5m' is one part too many: write WEIGHT:HOLD:approve",
            ),
            (
                "10:aprove",
                "'aprove' is not a duration: write a number with a unit, such as 30s, 5m or 1h30m",
            ),
        ] {
            assert_eq!(parse_steps(text), Err(error.to_owned()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn steps_survive_the_way_through_text(
            steps in proptest::collection::btree_map(
                1u32..=100,
                (proptest::option::of(0u64..2_592_000), any::<bool>()),
                1..8,
            )
        ) {
            let steps: Vec<_> = steps
                .into_iter()
                .map(|(weight, (hold, approve))| step(weight, hold, approve))
                .collect();
            let text: Vec<_> = steps.iter().map(ToString::to_string).collect();
            prop_assert_eq!(parse_steps(&text.join(",")), Ok(steps));
        }

        #[test]
        fn any_text_is_steps_or_a_one_line_error(text in "[ -~\n,:%.0-9a-z]{0,40}") {
            if let Err(error) = parse_steps(&text) {
                prop_assert!(!error.is_empty());
            }
        }
    }
}
