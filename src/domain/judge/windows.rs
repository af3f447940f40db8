//! Measurements taken once in each window of time.
//!
//! Owns: when a window is over, what it measured, counting failed ones as the controllers do, evidence
//! from values. Must not: be used where counts exist, unless somebody asks for it.

use super::{
    Circumstances, Finding, Half, Open, Pool, leaning,
    requests::{Brought, add},
    state::{beside, breach},
    words::{self, percent, span},
};
use crate::{
    analysis::{
        counts::Counts,
        histogram::Histogram,
        rollout::{LATENCY_SHARE, Weighed},
        threshold::{Measured, Outcome, Threshold},
        value::{Limit, TOLERATED},
    },
    domain::{
        check::{Limits, Memory, Mode, Number, Reading, Sample, Windows},
        meters::seconds,
        verdict::{Unknown, Verdict},
    },
};

/// Returns the windows, begun anew at the first look of a step, and whether the present one is over.
fn present(memory: &mut Memory, length: u32, circumstances: Circumstances) -> (&mut Windows, bool) {
    let first = memory.looks <= 1;
    let windows = memory.windows.get_or_insert_default();
    let now = circumstances.now;
    if first {
        windows.tally.begin_step();
        if circumstances.later {
            windows.values.begin_step();
            windows.compared.begin_step();
        }
        windows.begin(now);
        return (windows, false);
    }
    let since = *windows.since.get_or_insert(now);
    let over = seconds(since, now) >= f64::from(length.max(1));
    (windows, over)
}

impl Windows {
    /// Begins a window at `now`.
    fn begin(&mut self, now: jiff::Timestamp) {
        self.since = Some(now);
        (self.canary, self.stable) = (Counts::NONE, Counts::NONE);
        self.canary_buckets.clear();
        self.stable_buckets.clear();
    }
}

/// Judges a number, one value for each window.
pub(super) fn number(
    memory: &mut Memory,
    readings: &[Reading],
    (number, mode): (Number, Mode),
    circumstances: Circumstances,
) -> Half {
    let length = match mode {
        Mode::Sequential => number.window,
        Mode::Threshold(rule) => rule.interval,
    };
    let (windows, over) = present(memory, length, circumstances);
    let seen = value(readings);
    if over {
        windows.begin(circumstances.now);
        let measured = match &seen {
            Ok((canary, stable)) => {
                windows.last = beside(number.unit, *canary, *stable);
                match breach(&number, *canary, *stable) {
                    Ok(Some(_)) => Measured::Failed,
                    Ok(None) => Measured::Passed,
                    Err(_) => Measured::Unknown,
                }
            }
            Err(_) => Measured::Unknown,
        };
        let rule = match mode {
            Mode::Threshold(rule) => rule,
            Mode::Sequential => Threshold::argo(length, 0, u32::MAX),
        };
        windows.tally.observe(rule, measured);
        if let (Mode::Sequential, Ok((canary, stable))) = (mode, &seen) {
            observe(windows, &number, (*canary, *stable), circumstances.steps);
        }
    }
    let now = seen.as_ref().ok().copied();
    let missing = match &seen {
        Ok((canary, stable)) => breach(&number, *canary, *stable).err(),
        Err((why, text)) => Some((*why, text.clone())),
    };
    let windows = &*windows;
    match mode {
        Mode::Threshold(rule) => {
            let mut finding = tallied(windows, rule, missing);
            (finding.value, finding.stable) = (now.map(|(c, _)| c), now.and_then(|(_, s)| s));
            Half::Done(finding)
        }
        Mode::Sequential => Half::Open(Box::new(Values {
            parts: parts(windows, &number),
            now,
            missing,
            window: length,
        })),
    }
}

/// Returns the one value of all readings; an error where there is none, or more than one.
fn value(readings: &[Reading]) -> Result<(f64, Option<f64>), (Unknown, String)> {
    let mut found = None;
    for Reading { subject, sample } in readings {
        let seen = match sample {
            Sample::Number(number) => (*number, None),
            Sample::Numbers { canary, stable } => (*canary, *stable),
            Sample::Missing(why, text) => return Err((*why, format!("{subject}: {text}"))),
            Sample::Holds(..)
            | Sample::Counters { .. }
            | Sample::Totals { .. }
            | Sample::Pod { .. }
            | Sample::Fatal(_)
            | Sample::Troubled(_)
            | Sample::Pending(_) => {
                return Err((Unknown::Query, format!("{subject}: not a number")));
            }
        };
        if !seen.0.is_finite() {
            return Err((
                Unknown::NoData,
                format!("{subject}: the value is {}", seen.0),
            ));
        }
        if found.replace(seen).is_some() {
            return Err((Unknown::Query, "more than one value".to_owned()));
        }
    }
    found.ok_or_else(|| (Unknown::NoData, "no value".to_owned()))
}

fn observe(
    windows: &mut Windows,
    number: &Number,
    (canary, stable): (f64, Option<f64>),
    steps: usize,
) {
    let tolerated = TOLERATED;
    if let Some(most) = number.max {
        let limit = Limit::Most { most, tolerated };
        windows.values.observe(limit, Some(canary), steps);
    } else if let Some(least) = number.min {
        let limit = Limit::Least { least, tolerated };
        windows.values.observe(limit, Some(canary), steps);
    }
    if let Some(ratio) = number.max_ratio {
        let stable = stable.filter(|stable| *stable > 0.0);
        windows.compared.compare(ratio, Some(canary), stable, steps);
    }
}

fn parts(windows: &Windows, number: &Number) -> Vec<Weighed> {
    let weighed = |log_value| Weighed {
        share: LATENCY_SHARE,
        log_value,
    };
    let limit = number.max.or(number.min);
    let limit = limit.map(|_| weighed(windows.values.log_value()));
    let ratio = number
        .max_ratio
        .map(|_| weighed(windows.compared.log_value()));
    limit.into_iter().chain(ratio).collect()
}

/// A number judged by evidence.
struct Values {
    parts: Vec<Weighed>,
    now: Option<(f64, Option<f64>)>,
    missing: Option<(Unknown, String)>,
    window: u32,
}

impl Open for Values {
    fn parts(&self) -> &[Weighed] {
        &self.parts
    }

    fn close(&self, memory: &Memory, pool: Pool) -> Finding {
        let nothing = Windows::default();
        let windows = memory.windows.as_deref().unwrap_or(&nothing);
        let (measured, last) = (windows.tally.measured(), &windows.last);
        let (verdict, unknown, text) = if pool.condemns() {
            let text = format!("{last}: beyond the limit in too many of {measured} windows");
            (Verdict::Unhealthy, None, text)
        } else if let Some((why, text)) = &self.missing {
            (Verdict::Unknown, Some(*why), text.clone())
        } else if measured == 0 {
            let text = format!("the first window of {} s is not over", self.window);
            (Verdict::Unknown, Some(Unknown::Pending), text)
        } else if pool.suspects() || windows.tally.failed_in_a_row() > 0 {
            let suspected = words::suspected(pool.log_value, None);
            let text = format!("{last}{suspected}");
            (Verdict::Unknown, Some(Unknown::Pending), text)
        } else {
            let text = format!("{last}, {measured} windows of {} s", self.window);
            (Verdict::Healthy, None, text)
        };
        Finding {
            unknown,
            value: self.now.map(|(canary, _)| canary),
            stable: self.now.and_then(|(_, stable)| stable),
            against: leaning::of_windows(windows, pool.suspects()),
            evidence: Some(pool.log_value.exp().min(1e9)),
            confidence: Some(words::confidence(pool.log_value)),
            samples: u64::from(measured),
            ..Finding::new(verdict, 0, text)
        }
    }
}

/// Judges errors by counting failed windows.
pub(super) fn errors(
    memory: &mut Memory,
    brought: &Brought,
    (limits, rule): (Limits, Threshold),
    circumstances: Circumstances,
) -> Half {
    let share = |counts: Counts| counts.share();
    let measure = |windows: &Windows| {
        let canary = enough(windows.canary, limits.min_requests).and_then(share)?;
        let stable = share(windows.stable);
        comparable(limits, stable, circumstances)?;
        let worse = limits
            .max_ratio
            .zip(stable)
            .is_some_and(|(ratio, stable)| canary > limits.floor.max(ratio * stable));
        let failed = worse || limits.max.is_some_and(|max| canary > max);
        let against = stable.map(|s| format!(", stable {}", percent(s)));
        let text = format!("{}{}", percent(canary), against.unwrap_or_default());
        Some((failed, canary, stable, text))
    };
    counted(memory, brought, (rule, &measure), circumstances)
}

/// Judges a latency by counting failed windows.
pub(super) fn latency(
    memory: &mut Memory,
    brought: &Brought,
    (quantile, limits, rule): (f64, Limits, Threshold),
    circumstances: Circumstances,
) -> Half {
    let bounds = brought
        .histograms
        .as_ref()
        .map(|(bounds, ..)| bounds.clone());
    let bounds = bounds.unwrap_or_default();
    let at = |cumulative: &[f64]| {
        Histogram::new(&bounds, cumulative).and_then(|side| side.quantile(quantile))
    };
    let measure = |windows: &Windows| {
        enough(windows.canary, limits.min_requests)?;
        let canary = at(&windows.canary_buckets)?;
        let stable = at(&windows.stable_buckets);
        comparable(limits, stable, circumstances)?;
        let worse = limits
            .max_ratio
            .zip(stable)
            .is_some_and(|(ratio, stable)| canary > ratio * stable);
        let failed = worse || limits.max.is_some_and(|max| canary > max);
        let against = stable.map(|s| format!(", stable {}", span(s)));
        let text = format!("{}{}", span(canary), against.unwrap_or_default());
        Some((failed, canary, stable, text))
    };
    counted(memory, brought, (rule, &measure), circumstances)
}

/// Returns nothing where the comparison with stable is all that is asked, and stable has no value although
/// it has a share of the traffic.
fn comparable(limits: Limits, stable: Option<f64>, circumstances: Circumstances) -> Option<()> {
    let alone = circumstances.weight >= 1.0;
    (limits.max.is_some() || stable.is_some() || alone).then_some(())
}

fn enough(counts: Counts, least: u64) -> Option<Counts> {
    (words::rounded(counts.all()) >= least.max(1)).then_some(counts)
}

/// Whether a window failed, the values of both sides, and in words.
type Measure<'a> = &'a dyn Fn(&Windows) -> Option<(bool, f64, Option<f64>, String)>;

fn counted(
    memory: &mut Memory,
    brought: &Brought,
    (rule, measure): (Threshold, Measure<'_>),
    circumstances: Circumstances,
) -> Half {
    let first = memory.looks <= 1;
    let (windows, over) = present(memory, rule.interval, circumstances);
    if !first {
        windows.canary = windows.canary.plus(brought.look.canary);
        windows.stable = windows.stable.plus(brought.look.stable);
        if let Some((_, canary, stable)) = &brought.histograms {
            add(&mut windows.canary_buckets, canary);
            add(&mut windows.stable_buckets, stable);
        }
    }
    let mut values = (None, None);
    if over {
        let measured = measure(windows);
        let verdict = match &measured {
            Some((true, ..)) => Measured::Failed,
            Some((false, ..)) => Measured::Passed,
            None => Measured::Unknown,
        };
        windows.tally.observe(rule, verdict);
        if let Some((_, canary, stable, text)) = measured {
            values = (Some(canary), stable);
            windows.last = text;
        }
        windows.begin(circumstances.now);
    }
    let mut finding = tallied(windows, rule, brought.missing.clone());
    (finding.value, finding.stable) = values;
    finding.value = finding.value.filter(|value| value.is_finite());
    Half::Done(finding)
}

/// Returns what the measurements so far say.
fn tallied(windows: &Windows, rule: Threshold, missing: Option<(Unknown, String)>) -> Finding {
    let tally = &windows.tally;
    let (measured, failed) = (tally.measured(), tally.failed());
    let counts = format!("{measured} measured at this step, {failed} failed in the run");
    let text = match windows.last.as_str() {
        "" => counts,
        last => format!("{last} ({counts})"),
    };
    let samples = measured as usize;
    let unknown = |why, text| Finding {
        against: leaning::of_windows(windows, false),
        ..Finding::unknown(why, samples, text)
    };
    match tally.outcome(rule) {
        Outcome::Failed => Finding::new(Verdict::Unhealthy, samples, text),
        Outcome::Passed => match missing {
            Some((why, what)) => unknown(why, format!("{text}; {what}")),
            None => Finding::new(Verdict::Healthy, samples, text),
        },
        Outcome::Inconclusive => {
            let why =
                missing.unwrap_or((Unknown::NoData, "no data in consecutive windows".to_owned()));
            unknown(why.0, format!("{text}; {}", why.1))
        }
        Outcome::Measuring => match missing {
            Some((why, what)) => unknown(why, format!("{text}; {what}")),
            // What was measured before says nothing of a window without data.
            None if tally.unknown_in_a_row() > 0 => {
                unknown(Unknown::TooFew, format!("{text}; too few requests since"))
            }
            None if rule.count.is_none() && measured > 0 && tally.failed_in_a_row() == 0 => {
                Finding::new(Verdict::Healthy, samples, text)
            }
            None => unknown(Unknown::Pending, text),
        },
    }
}
