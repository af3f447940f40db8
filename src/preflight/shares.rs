//! Which shares of traffic the replica counts allow.
//!
//! Owns: comparing the plan's weights with what N pods can do. Must not: speak of other routers,
//! which divide finely.

use kube::ResourceExt;

use super::{count, fine, found, ground::Ground};
use crate::{
    cluster::workloads::Live,
    domain::{
        plan::Step,
        view::{Finding, Severity},
        weight::Percent,
    },
    traffic::replicas::Goals,
};

/// A share this far from the one asked for is worth a warning.
const TOLERANCE: Percent = Percent::whole(5);

/// Most pods that are suggested in order to reach a share.
const MOST_PODS: u32 = 200;

pub(super) fn findings(ground: &Ground<'_>) -> Vec<Finding> {
    if !ground.by_pods() {
        return Vec::new();
    }
    let canary = ground.canary.as_ref().map_or(0, Live::replicas);
    let place = ground.stable_place();
    let advice = |weight: Percent| {
        let total = pods_for(weight, ground.goals())?;
        let name = &ground.subject.names.stable;
        let (stable, kubectl) = (total.saturating_sub(canary), ground.kubectl());
        let command = match ground.survey.autoscaler(name) {
            None => format!("scale deployment {name} --replicas={stable}"),
            // An autoscaler would undo the scaling.
            Some(hpa) => format!(
                "patch hpa {} -p '{{\"spec\":{{\"minReplicas\":{stable}}}}}'",
                hpa.name_any()
            ),
        };
        Some(format!("{kubectl} {command} ({total} pods in all)"))
    };
    judge(&ground.subject.plan.steps, ground.goals(), &place, &advice)
}

/// Judges the steps with the pods there are; `advice` says how to reach a weight.
fn judge(
    steps: &[Step],
    goals: Goals,
    place: &str,
    advice: &dyn Fn(Percent) -> Option<String>,
) -> Vec<Finding> {
    let weights: Vec<Percent> = steps.iter().map(|step| step.weight).collect();
    let mut all = Vec::new();
    let total = goals.total;
    if total == 1 {
        all.push(found(
            Severity::Warning,
            place,
            "there is one pod in all",
            "any weight between 0% and 100% is one pod of two: half the users meet the canary at the first step",
            advice_or(advice, weights.first().copied()),
        ));
    }
    let coarse = weights.iter().filter(|w| is_coarse(**w, goals));
    all.extend(coarse.map(|weight| coarse_step(*weight, goals, place, advice)));
    for pair in weights.windows(2) {
        if let [before, after] = pair
            && goals.at(*before) == goals.at(*after)
        {
            all.push(found(
                Severity::Warning,
                place,
                format!("the steps {before} and {after} are the same pods"),
                format!(
                    "both are {} for the canary: the second step tests nothing new",
                    count(goals.at(*after).1, "pod")
                ),
                advice_or(advice, Some(*before)),
            ));
        }
    }
    let table: Vec<String> = weights.iter().map(|w| row(*w, goals)).collect();
    let table = format!("with {}: {}", count(total, "pod"), table.join(", "));
    let exact = weights.iter().all(|w| goals.reachable(*w) == *w);
    if exact {
        all.push(fine(
            place,
            format!("every step is reached exactly {table}"),
        ));
    } else {
        all.push(found(
            Severity::Note,
            place,
            format!("real shares {table}"),
            "whole pods divide traffic: the real share is shown next to the one asked for",
            "",
        ));
    }
    all
}

fn coarse_step(
    weight: Percent,
    goals: Goals,
    place: &str,
    advice: &dyn Fn(Percent) -> Option<String>,
) -> Finding {
    let real = goals.reachable(weight);
    let (stable, canary) = goals.at(weight);
    found(
        Severity::Warning,
        place,
        format!(
            "the step {weight} really is {real}: {canary} of {}",
            count(stable + canary, "pod")
        ),
        "more or fewer users meet the canary than the plan says",
        advice_or(advice, Some(weight)),
    )
}

fn advice_or(advice: &dyn Fn(Percent) -> Option<String>, weight: Option<Percent>) -> String {
    let other = "ask for a weight that the pods can do, or use a router that divides by weight";
    match weight.and_then(|w| Some((w, advice(w)?))) {
        Some((weight, command)) => format!("for exactly {weight}: {command}; or {other}"),
        None => other.to_owned(),
    }
}

/// Returns whether the real share is more than 5 points, or more than twice, off.
fn is_coarse(weight: Percent, goals: Goals) -> bool {
    let real = goals.reachable(weight);
    let (low, high) = (weight.min(real).fraction(), weight.max(real).fraction());
    weight.distance(real) > TOLERANCE || high > 2.0 * low
}

fn row(weight: Percent, goals: Goals) -> String {
    let (stable, canary) = goals.at(weight);
    let real = goals.reachable(weight);
    let said = if real == weight {
        String::new()
    } else {
        format!(" = {real}")
    };
    format!("{weight} → {canary} of {}{said}", stable + canary)
}

/// Returns the smallest number of pods, not less than there are, with which a weight is reached exactly:
/// nobody is told to take capacity away.
fn pods_for(weight: Percent, goals: Goals) -> Option<u32> {
    let mut totals = goals.total.max(2)..=MOST_PODS;
    totals.find(|total| {
        let more = Goals {
            total: *total,
            ..goals
        };
        more.reachable(weight) == weight
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn steps(weights: &[u32]) -> Vec<Step> {
        let step = |weight: &u32| Step {
            weight: Percent::whole(*weight),
            hold: Duration::ZERO,
            early: None,
            approve: false,
            deadline: Duration::ZERO,
        };
        weights.iter().map(step).collect()
    }

    fn of(total: u32) -> Goals {
        Goals {
            total,
            surge: false,
        }
    }

    fn said(weights: &[u32], total: u32) -> Vec<(Severity, String)> {
        let all = judge(&steps(weights), of(total), "Deployment a/b", &|_| None);
        all.into_iter().map(|f| (f.severity, f.what)).collect()
    }

    #[test]
    fn exact_steps_are_fine() {
        let all = said(&[10, 50, 100], 10);
        let table = "every step is reached exactly with 10 pods: 10% → 1 of 10, 50% → 5 of 10, 100% → 10 of 10";
        assert_eq!(all, [(Severity::Ok, table.to_owned())]);
    }

    #[test]
    fn five_percent_of_four_pods_is_said_to_be_a_quarter() {
        let all = said(&[5, 100], 4);
        let what = "the step 5% really is 25%: 1 of 4 pods";
        assert_eq!(all[0], (Severity::Warning, what.to_owned()));
        assert_eq!(all[1].0, Severity::Note);
    }

    #[test]
    fn a_share_more_than_twice_as_large_is_a_warning_even_when_the_difference_is_small() {
        assert!(is_coarse(Percent::whole(1), of(30)));
        assert!(!is_coarse(Percent::whole(25), of(10)));
        assert!(!is_coarse(Percent::whole(6), of(10)));
    }

    #[test]
    fn two_steps_of_the_same_pods_are_told() {
        let all = said(&[10, 20, 100], 4);
        assert!(all.contains(&(
            Severity::Warning,
            "the steps 10% and 20% are the same pods".to_owned()
        )));
    }

    #[test]
    fn a_single_pod_is_told() {
        assert_eq!(said(&[10, 100], 1)[0].1, "there is one pod in all");
    }

    #[test]
    fn the_pods_a_weight_needs_are_found() {
        for (percent, at_least, expected) in [
            (10, 1, Some(10)),
            (25, 1, Some(4)),
            (25, 10, Some(12)),
            (5, 4, Some(20)),
            (50, 9, Some(10)),
            (100, 1, Some(2)),
        ] {
            assert_eq!(pods_for(Percent::whole(percent), of(at_least)), expected);
        }
        assert_eq!(pods_for("0.1".parse().unwrap(), of(1)), None);
    }
}
