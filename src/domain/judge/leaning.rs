//! What speaks against a canary without being sure.
//!
//! Owns: when that is enough to count once the time of a step is over. Must not: condemn before.
//!
//! Only what was measured at the present step counts, and only on enough of it: as many requests as the
//! check asks for, three bad ones among them, or [`IN_A_ROW`] windows or looks.

use super::{
    Pool,
    case::Case,
    without,
    words::{NEARLY, Span, Subject, rounded, sides as said},
};
use crate::{
    analysis::{
        histogram::Histogram,
        latency::Slowdown,
        share::{LEAST_BAD, Rules},
    },
    domain::{
        check::{CheckSpec, Mode, Requests, Rule, Windows},
        verdict::Verdict,
    },
};

/// Windows or looks in a row that have to be beyond a limit.
const IN_A_ROW: u32 = 2;

/// Returns what speaks against the canary with the check's name and limit; nothing where the verdict is known.
pub(super) fn named(spec: &CheckSpec, verdict: Verdict, against: Option<String>) -> Option<String> {
    let against = against.filter(|_| verdict == Verdict::Unknown)?;
    let name = &spec.name;
    let says_its_limit = match spec.rule {
        Rule::Condition { .. } | Rule::Pods { .. } | Rule::Share { .. } => true,
        Rule::Number(number) => number.mode.is_none(),
        Rule::Errors(limits) | Rule::Latency { limits, .. } => {
            !matches!(limits.mode, Mode::Threshold(_))
        }
        Rule::Traffic { .. } => false,
    };
    Some(if says_its_limit {
        format!("{name}: {against}")
    } else {
        format!("{name}: {against} (limit {})", super::limit(spec.rule))
    })
}

/// Returns what the requests of the step say against the canary.
pub(super) fn of_requests(case: &Case, requests: &Requests, pool: Pool) -> Option<String> {
    let share = &requests.share;
    let canary = share.canary();
    let least = case.min_requests.max(1);
    if !requests.begun || share.stable_fails() || rounded(canary.all()) < least {
        return None;
    }
    let absolute = Rules {
        ratio: None,
        ..case.rules
    };
    let compared = compared(case, requests, least);
    // Evidence of a comparison needs both sides, that of the limit the canary's alone.
    let founded =
        compared.is_some() || (case.rules.limit.is_some() && share.absolute_value() > 0.0);
    let bad = (founded && canary.bad() >= LEAST_BAD) || compared.is_some_and(Sides::is_above);
    let suspected = pool.suspects() && bad;
    let worse = compared.is_some_and(|sides| sides.worse);
    if !share.breaks(&absolute) && !worse && !suspected {
        return None;
    }
    // The comparison of latencies is not taken apart.
    let slower = worse && matches!(case.subject, Subject::Latency { .. });
    if !slower && without::is_of_one_pod(requests, &case.rules) {
        return None;
    }
    let text = said(&case.subject, &case.rules, requests, Span::Step).text;
    Some(if suspected && pool.log_value >= NEARLY.ln() {
        format!("{text}: nearly sure")
    } else {
        text
    })
}

/// Both sides of a comparison with enough requests each.
#[derive(Debug, Clone, Copy)]
struct Sides {
    ours: f64,
    theirs: f64,
    /// Whether the canary is worse than tolerated, and the evidence says rather so than not.
    worse: bool,
}

impl Sides {
    fn is_above(self) -> bool {
        self.ours > self.theirs
    }
}

/// Returns the comparison with stable; `None` where it is not asked for, or a side has too few requests.
fn compared(case: &Case, requests: &Requests, least: u64) -> Option<Sides> {
    let share = &requests.share;
    match &case.subject {
        Subject::Errors(_) => {
            case.rules.ratio?;
            let stable = share.stable();
            if rounded(stable.all()) < least {
                return None;
            }
            let relative = Rules {
                limit: None,
                ..case.rules
            };
            Some(Sides {
                ours: share.canary().share()?,
                theirs: stable.share()?,
                worse: share.breaks(&relative) && share.relative_value() > 0.0,
            })
        }
        Subject::Good(_) => None,
        Subject::Latency { quantile, limits } => {
            let ratio = limits.max_ratio?;
            let side = |cumulative| {
                let side = Histogram::new(&requests.bounds, cumulative)?;
                let value = side.quantile(*quantile).filter(|value| value.is_finite())?;
                (rounded(side.all()) >= least).then_some(value)
            };
            let (ours, theirs) = (side(&requests.canary)?, side(&requests.stable)?);
            let evidence = requests.slowdown.as_ref().map_or(0.0, Slowdown::log_value);
            Some(Sides {
                ours,
                theirs,
                worse: ours > ratio * theirs && evidence > 0.0,
            })
        }
    }
}

/// Returns what the windows of the step say against the canary.
pub(super) fn of_windows(windows: &Windows, suspected: bool) -> Option<String> {
    let tally = &windows.tally;
    let (measured, failed) = (tally.measured(), tally.failed_in_a_row());
    let last = &windows.last;
    if measured < IN_A_ROW {
        None
    } else if failed >= IN_A_ROW {
        Some(format!(
            "{last}, beyond the limit in {failed} windows in a row"
        ))
    } else if suspected {
        Some(format!(
            "{last}, beyond the limit too often in {measured} windows"
        ))
    } else {
        None
    }
}

/// Returns what failing looks in a row say against the canary, where they are no more than that.
pub(super) fn of_looks(streak: u32) -> Option<String> {
    (streak >= IN_A_ROW)
        .then(|| format!("bad in {streak} evaluations in a row, and no answer since"))
}
