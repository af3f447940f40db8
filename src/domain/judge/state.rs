//! Conditions and numbers: every subject in order at every look.
//!
//! Owns: streaks of failing looks. Must not: count requests.

use super::{Finding, leaning};
use crate::domain::{
    check::{Memory, Number, Reading, Sample},
    unit::Unit,
    verdict::{Unknown, Verdict},
};

/// Looks at a step before the share of those that failed is unhealthy.
const LEAST_LOOKS: u32 = 8;

/// Returns how a number breaks its limits.
fn outside(limits: &Number, number: f64) -> Option<String> {
    let say = |number| limits.unit.say(number);
    let below = limits.min.filter(|min| number < *min);
    let above = limits.max.filter(|max| number > *max);
    match (below, above) {
        (Some(min), _) => Some(format!("{} is below {}", say(number), say(min))),
        (None, Some(max)) => Some(format!("{} is above {}", say(number), say(max))),
        (None, None) => None,
    }
}

/// Returns the canary's number beside stable's, in words.
pub(super) fn beside(unit: Unit, canary: f64, stable: Option<f64>) -> String {
    match stable {
        Some(stable) => format!(
            "{} against {} on stable",
            unit.say(canary),
            unit.say(stable)
        ),
        None => unit.say(canary),
    }
}

/// Returns how a number breaks its limits, if it does; an error where it cannot be compared.
pub(super) fn breach(
    limits: &Number,
    canary: f64,
    stable: Option<f64>,
) -> Result<Option<String>, (Unknown, String)> {
    if !canary.is_finite() {
        return Err((Unknown::NoData, format!("the value is {canary}")));
    }
    let say = |number| limits.unit.say(number);
    if let Some(text) = outside(limits, canary) {
        return Ok(Some(text));
    }
    let Some(ratio) = limits.max_ratio else {
        return Ok(None);
    };
    match stable {
        None => Err((Unknown::NoData, "stable has no value".to_owned())),
        Some(stable) if !stable.is_finite() => {
            Err((Unknown::NoData, format!("stable's value is {stable}")))
        }
        Some(_) if canary <= 0.0 => Ok(None),
        // Everything is infinitely many times nothing: that says nothing of the version.
        Some(stable) if stable <= 0.0 => Err((
            Unknown::NoData,
            format!(
                "stable's value is {}, nothing to compare {} with",
                say(stable),
                say(canary)
            ),
        )),
        Some(stable) if canary > ratio * stable => Ok(Some(format!(
            "{} is more than {ratio}× stable's {}",
            say(canary),
            say(stable)
        ))),
        Some(_) => Ok(None),
    }
}

/// Judges conditions and numbers: every subject must be in order at every look.
pub(super) fn state(
    memory: &mut Memory,
    readings: &[Reading],
    consecutive: u32,
    limits: &Number,
) -> Finding {
    let mut fatal = Vec::new();
    let mut broken = Vec::new();
    let mut missing = None;
    let mut seen = String::new();
    let mut worst: Option<(f64, Option<f64>)> = None;
    let mut numbers = Vec::new();
    let mut asked = 0;
    for Reading { subject, sample } in readings {
        asked += 1;
        match sample {
            Sample::Fatal(text) => fatal.push(format!("{subject}: {text}")),
            Sample::Troubled(text) | Sample::Holds(false, text) => {
                broken.push(format!("{subject}: {text}"));
            }
            Sample::Holds(true, text) => seen.clone_from(text),
            Sample::Number(number) => numbers.push((subject, *number, None)),
            Sample::Numbers { canary, stable } => numbers.push((subject, *canary, *stable)),
            Sample::Missing(why, text) => missing = Some((*why, format!("{subject}: {text}"))),
            Sample::Pending(text) => {
                missing = Some((Unknown::Pending, format!("{subject}: {text}")));
            }
            Sample::Counters { .. } | Sample::Totals { .. } | Sample::Pod { .. } => {
                let text = format!("{subject}: not a condition or number");
                missing = Some((Unknown::Query, text));
            }
        }
    }
    let mut broke = false;
    for (subject, canary, stable) in numbers {
        match breach(limits, canary, stable) {
            Ok(Some(text)) => {
                worst = worse(limits, worst.filter(|_| broke), (canary, stable));
                broke = true;
                broken.push(format!("{subject}: {text}"));
            }
            Ok(None) if !broke => worst = worse(limits, worst, (canary, stable)),
            Ok(None) => {}
            Err((why, text)) => missing = Some((why, format!("{subject}: {text}"))),
        }
    }
    if readings.is_empty() {
        return Finding::unknown(Unknown::NoData, 0, "no pods to ask");
    }
    let mut finding = if !fatal.is_empty() {
        Finding::new(Verdict::Unhealthy, asked, fatal.join(", "))
    } else if !broken.is_empty() {
        memory.streak = memory.streak.saturating_add(1);
        memory.bad_looks = memory.bad_looks.saturating_add(1);
        let text = format!(
            "{} ({} evaluations in a row)",
            broken.join(", "),
            memory.streak
        );
        if memory.streak >= consecutive.max(1) {
            Finding::new(Verdict::Unhealthy, asked, text)
        } else {
            let against = leaning::of_looks(memory.streak).map(|_| text.clone());
            let text = format!("{text}; {consecutive} would be unhealthy");
            Finding {
                against,
                ..Finding::unknown(Unknown::Pending, asked, text)
            }
        }
    } else if let Some((why, text)) = missing {
        Finding {
            against: leaning::of_looks(memory.streak),
            ..Finding::unknown(why, asked, text)
        }
    } else {
        memory.streak = 0;
        memory.good_looks = memory.good_looks.saturating_add(1);
        let said = |(canary, stable)| beside(limits.unit, canary, stable);
        let seen = worst.map_or(seen, said);
        let text = format!("{seen} on {asked} of {asked} pods");
        Finding::new(Verdict::Healthy, asked, text)
    };
    doubt(&mut finding, too_often(memory, consecutive));
    finding.value = worst.map(|(canary, _)| canary);
    finding.stable = worst.and_then(|(_, stable)| stable);
    finding
}

/// Looks of which one that failed is a quarter or more are no good ones, however they are spread.
const SICK: u32 = 4;

/// The same for what is not called healthy yet.
const DOUBTFUL: u32 = 5;

/// Returns what follows from how often the looks at this step failed, whether in a row or not: as many as are
/// unhealthy in a row and a quarter of all are unhealthy, two and a fifth of all are not healthy yet.
fn too_often(memory: &Memory, consecutive: u32) -> Option<(Verdict, String)> {
    let (bad, looks) = (memory.bad_looks, memory.looks);
    let text = format!("{bad} of {looks} evaluations failed");
    let enough = bad >= consecutive.max(2) && looks >= LEAST_LOOKS;
    if enough && bad.saturating_mul(SICK) >= looks {
        Some((Verdict::Unhealthy, text))
    } else if bad >= 2 && bad.saturating_mul(DOUBTFUL) > looks {
        Some((Verdict::Unknown, text))
    } else {
        None
    }
}

/// Takes into the finding of a look what follows from all looks of the step, where that is worse.
fn doubt(finding: &mut Finding, often: Option<(Verdict, String)>) {
    let Some((verdict, text)) = often else {
        return;
    };
    let sooner = match finding.verdict {
        Verdict::Healthy => true,
        Verdict::Unknown => verdict == Verdict::Unhealthy,
        Verdict::Unhealthy => false,
    };
    if !sooner {
        return;
    }
    let text = format!("{text}; now {}", finding.text);
    finding.against = Some(text.clone());
    finding.unknown = (verdict == Verdict::Unknown).then_some(Unknown::Pending);
    (finding.verdict, finding.text) = (verdict, text);
}

/// Returns the worse of two numbers: the greater one, unless only low ones are bad.
fn worse(
    limits: &Number,
    before: Option<(f64, Option<f64>)>,
    now: (f64, Option<f64>),
) -> Option<(f64, Option<f64>)> {
    let low = limits.max.is_none() && limits.max_ratio.is_none();
    before
        .filter(|before| {
            if low {
                before.0 < now.0
            } else {
                before.0 > now.0
            }
        })
        .or(Some(now))
}
