//! The check of the canary's share of the requests.
//!
//! Owns: what was asked against what came. Must not: blame the version: a split that is not kept is the
//! router's.

use super::{Circumstances, Finding, case::STILL, requests::NO_SOURCE, words};
use crate::{
    analysis::{
        counts::Counts,
        interval,
        silence::Quiet,
        split::{Agreement, agreement},
    },
    domain::{
        check::Memory,
        meters::Counted,
        verdict::{Unknown, Verdict},
    },
};

/// Judges the canary's share of the requests.
pub(super) fn traffic(
    memory: &mut Memory,
    counted: Option<&Counted>,
    (tolerance, min_requests): (f64, u64),
    circumstances: Circumstances,
) -> Finding {
    let Some(counted) = counted else {
        return Finding::unknown(Unknown::Query, 0, NO_SOURCE);
    };
    let requests = memory.requests.get_or_insert_default();
    let (canary, stable) = (counted.canary.counts, counted.stable.counts);
    if !requests.begun || !circumstances.steady {
        // While the split moves there is nothing to compare with.
        requests.begun = circumstances.elapsed >= circumstances.lag && circumstances.steady;
        (requests.canary_run, requests.stable_run) = (Counts::NONE, Counts::NONE);
    } else {
        requests.canary_run = requests.canary_run.plus(canary);
        requests.stable_run = requests.stable_run.plus(stable);
    }
    let (ours, theirs) = (requests.canary_run.all(), requests.stable_run.all());
    let both = Counts::new(ours + theirs, ours).unwrap_or(Counts::NONE);
    let asked = circumstances.weight;
    let samples = words::rounded(both.all());
    let said = words::traffic(both, asked);
    let finding = |verdict, unknown, text: String| Finding {
        verdict,
        unknown,
        value: both.share(),
        interval: interval_of(both),
        samples,
        ..Finding::new(verdict, 0, text)
    };
    if let Some((why, text)) = &counted.missing {
        return finding(Verdict::Unknown, Some(*why), format!("{said}; {text}"));
    }
    if let Some(text) = &counted.stable_missing {
        let text = format!("{said}; {text}");
        return finding(Verdict::Unknown, Some(Unknown::NoData), text);
    }
    if counted.quiet == Quiet::Still {
        let text = format!("{said}; {STILL}");
        return finding(Verdict::Unknown, Some(Unknown::NoTraffic), text);
    }
    if !requests.begun {
        let text = "the split is moving".to_owned();
        return finding(Verdict::Unknown, Some(Unknown::Pending), text);
    }
    if both.all() <= 0.0 {
        return finding(Verdict::Unknown, Some(Unknown::NoTraffic), said);
    }
    match agreement(ours, theirs, asked, tolerance) {
        Agreement::Differs => {
            let text = format!("{said}: more than {} off", words::points(tolerance));
            finding(Verdict::Unhealthy, None, text)
        }
        Agreement::Agrees if samples >= min_requests => finding(Verdict::Healthy, None, said),
        Agreement::Agrees | Agreement::TooFew => {
            // Nothing speaks against it once there are enough requests to see a gross error.
            let close = both
                .share()
                .is_some_and(|seen| (seen - asked).abs() <= tolerance);
            if close && samples >= min_requests {
                finding(Verdict::Healthy, None, said)
            } else {
                let text = format!("{said}; {min_requests} requests needed");
                finding(Verdict::Unknown, Some(Unknown::TooFew), text)
            }
        }
    }
}

/// Returns what is left of a finding while pods are not ready, or were started again a moment ago: requests that they
/// do not get are not the router's doing, and what the pods say comes first.
pub(super) fn excused(finding: Finding) -> Finding {
    if finding.verdict != Verdict::Unhealthy {
        return finding;
    }
    Finding {
        verdict: Verdict::Unknown,
        unknown: Some(Unknown::Pending),
        text: format!("{}; not judged while pods are not ready", finding.text),
        ..finding
    }
}

fn interval_of(counts: Counts) -> Option<(f64, f64)> {
    let interval = interval::rate(counts, interval::DOUBT);
    (counts.all() > 0.0).then_some((interval.low, interval.high))
}
