//! From a weight to numbers of pods, and the safe order of scaling.
//!
//! Owns: how many pods each side gets, and which scalings keep the capacity. Must not: do I/O.

use jiff::Timestamp;

use crate::{
    domain::{
        split::Split,
        weight::Percent,
        workload::{Track, Workload},
    },
    traffic::words::unsteady,
};

/// Returns how many pods stable and the canary have at a weight, of `total` together.
///
/// A weight above 0 % gives the canary at least one pod, one below 100 % leaves stable at least one;
/// with a single pod in all there are then two.
pub fn pods_at(weight: Percent, total: u32) -> (u32, u32) {
    let total = total.max(1);
    if weight == Percent::ZERO {
        return (total, 0);
    }
    if weight == Percent::FULL {
        return (0, total);
    }
    let canary = weight.of(total).clamp(1, total.saturating_sub(1).max(1));
    ((total - canary).max(1), canary)
}

/// Returns how many pods stable and the canary have at a weight where the canary's come on top of stable's
/// `own`: stable keeps its pods up to half of the traffic, and from there on the canary has as many.
fn pods_beside(weight: Percent, own: u32) -> (u32, u32) {
    let own = own.max(1);
    if weight == Percent::ZERO {
        return (own, 0);
    }
    if weight == Percent::FULL {
        return (0, own);
    }
    let (one, other) = (weight.fraction(), weight.rest().fraction());
    let of = |share: f64, rest: f64| {
        let nearest = (f64::from(own) * share / rest).round();
        // Between 1 and `own`: the greater side has all of them.
        (1..=own)
            .rev()
            .find(|n| f64::from(*n) <= nearest)
            .unwrap_or(1)
    };
    if one <= other {
        (own, of(one, other))
    } else {
        (of(other, one), own)
    }
}

/// How a number of pods is divided.
#[derive(Debug, Clone, Copy)]
pub struct Goals {
    /// Ready pods that are never undercut.
    pub total: u32,
    /// Whether the canary's pods come on top.
    pub surge: bool,
}

impl Goals {
    /// Returns how many pods stable and the canary have at a weight.
    pub fn at(self, weight: Percent) -> (u32, u32) {
        if self.surge {
            pods_beside(weight, self.total)
        } else {
            pods_at(weight, self.total)
        }
    }

    /// Returns the share the canary really gets when `weight` is asked.
    pub fn reachable(self, weight: Percent) -> Percent {
        let (stable, canary) = self.at(weight);
        Percent::share(canary, stable + canary)
    }
}

/// Returns the scalings that are safe now on the way to `to`.
///
/// The side that grows goes to its number at once. The side that shrinks keeps as many pods as are
/// needed for `total` ready ones together with what the other side has ready.
///
/// One exception: where the cluster has no room for another stable pod (a quota, full nodes), a
/// rollback would wait for ever. It then gives up one pod at a time to make room.
pub(super) fn next(
    (to, goals): (Percent, Goals),
    (stable, canary): (&Workload, Option<&Workload>),
    at: Timestamp,
) -> Vec<(Track, u32)> {
    let total = goals.total;
    let (stable_goal, canary_goal) = goals.at(to);
    let canary_now = canary.map_or(0, |c| c.replicas);
    // A pod that was just started again stands in for none of stable's.
    let canary_ready = canary.map_or(0, |canary| canary.steady_pods(at));
    let safe = |goal: u32, now: u32, others_ready: u32| {
        if goal >= now {
            return goal;
        }
        goal.max(total.saturating_sub(others_ready)).min(now)
    };
    let room = u32::from(to == Percent::ZERO && has_no_room(stable));
    let stable_next = safe(stable_goal, stable.replicas, canary_ready);
    let canary_next = safe(canary_goal, canary_now, stable.ready_pods() + room);
    let mut changes = Vec::new();
    if stable_next != stable.replicas {
        changes.push((Track::Stable, stable_next));
    }
    if canary.is_some() && canary_next != canary_now {
        changes.push((Track::Canary, canary_next));
    }
    // The growing side first: should the second write fail, there is more capacity, not less.
    changes.sort_by_key(|(track, replicas)| match track {
        Track::Stable => *replicas <= stable.replicas,
        Track::Canary => *replicas <= canary_now,
    });
    changes
}

/// Tells the split from the pods of both sides, and compares it with `wanted` of `total` pods.
pub(super) fn split(
    (wanted, goals): (Percent, Goals),
    (stable, canary): (&Workload, Option<&Workload>),
    at: Timestamp,
    pinned: Vec<String>,
) -> Split {
    let (stable_goal, canary_goal) = goals.at(wanted);
    let canary_now = canary.map_or(0, |c| c.replicas);
    let (stable_ready, canary_ready) =
        (stable.ready_pods(), canary.map_or(0, Workload::ready_pods));
    let all = stable_ready + canary_ready;
    let matches = stable.replicas == stable_goal && canary_now == canary_goal;
    let unsettled = |side: &Workload, goal: u32| {
        let present = side.pods.iter().filter(|p| !p.terminating).count();
        let present = u32::try_from(present).unwrap_or(u32::MAX);
        if side.replicas != goal {
            Some(format!(
                "{}: to be scaled from {} to {goal}",
                side.name, side.replicas
            ))
        } else if !side.observed {
            Some(format!("{}: observedGeneration to catch up", side.name))
        } else if side.ready_pods() < goal {
            Some(format!(
                "{}: {}/{goal} pods ready{}",
                side.name,
                side.ready_pods(),
                troubles(side)
            ))
        } else if present > goal {
            let more = present - goal;
            let s = if more == 1 { "" } else { "s" };
            Some(format!("{}: {more} pod{s} terminating", side.name))
        } else {
            None
        }
    };
    // The canary keeps its pods until stable's can carry the traffic.
    let kept = |c: &Workload| {
        let ready = stable.ready_pods();
        (c.replicas > canary_goal && ready < stable_goal).then(|| {
            format!(
                "{}: {ready}/{stable_goal} pods ready{}, before {} is scaled to {canary_goal}",
                stable.name,
                troubles(stable),
                c.name
            )
        })
    };
    let sheds = stable.replicas > stable_goal;
    let waits_for = canary
        .and_then(|c| kept(c).or_else(|| unsettled(c, canary_goal)))
        .or_else(|| {
            canary
                .filter(|_| sheds)
                .and_then(|c| unsteady(c, canary_goal, at))
        })
        .or_else(|| unsettled(stable, stable_goal))
        .or_else(|| {
            (canary.is_none() && canary_goal > 0).then(|| "a canary Deployment".to_owned())
        });
    Split {
        wanted,
        set: Percent::share(canary_now, stable.replicas + canary_now),
        actual: Percent::share(canary_ready, all),
        matches,
        settled: waits_for.is_none(),
        stable_ready,
        canary_ready,
        detail: format!("{canary_ready} of {all} pods"),
        pinned,
        waits_for,
        routes: Vec::new(),
    }
}

/// Returns whether pods of a side are refused, or find no node.
fn has_no_room(side: &Workload) -> bool {
    side.refused.is_some() || side.pods.iter().any(|p| p.unschedulable.is_some())
}

/// Returns why pods do not come up, for the sentence about waiting.
fn troubles(side: &Workload) -> String {
    let waiting = side.pods.iter().flat_map(|p| p.waiting.iter());
    let mut reasons: Vec<&str> = waiting.map(|(_, reason, _)| reason.as_str()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let mut reasons: Vec<String> = reasons.into_iter().map(str::to_owned).collect();
    reasons.extend(side.refused.clone());
    if reasons.is_empty() {
        return String::new();
    }
    format!(" ({})", reasons.join(", "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::workload::Pod;

    fn side(name: &str, replicas: u32, ready: u32) -> Workload {
        let pod = |i: u32| Pod {
            name: format!("{name}-{i}"),
            ready: i < ready,
            ready_since: None,
            terminating: false,
            current: true,
            created: Timestamp::UNIX_EPOCH,
            restarts: 0,
            waiting: Vec::new(),
            last_end: None,
            probed: None,
            unschedulable: None,
        };
        Workload {
            name: name.to_owned(),
            replicas,
            observed: true,
            pods: (0..replicas.max(ready)).map(pod).collect(),
            ..Workload::default()
        }
    }

    fn goals(total: u32) -> Goals {
        Goals {
            total,
            surge: false,
        }
    }

    fn step(
        to: Percent,
        total: u32,
        stable: &Workload,
        canary: Option<&Workload>,
    ) -> Vec<(Track, u32)> {
        next((to, goals(total)), (stable, canary), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn weights_become_pods() {
        for (percent, total, expected) in [
            (0, 10, (10, 0)),
            (10, 10, (9, 1)),
            (25, 10, (7, 3)),
            (50, 10, (5, 5)),
            (100, 10, (0, 10)),
            (5, 4, (3, 1)),
            (99, 4, (1, 3)),
            (50, 1, (1, 1)),
            (50, 0, (1, 1)),
        ] {
            assert_eq!(
                pods_at(Percent::whole(percent), total),
                expected,
                "{percent} of {total}"
            );
        }
    }

    #[test]
    fn the_real_share_is_said_next_to_the_asked_one() {
        let split = split(
            (Percent::whole(5), goals(4)),
            (&side("s", 3, 3), Some(&side("c", 1, 1))),
            Timestamp::UNIX_EPOCH,
            vec![],
        );
        assert!(split.settled);
        assert_eq!(split.actual, Percent::whole(25));
        assert_eq!(split.detail, "1 of 4 pods");
    }

    #[test]
    fn the_canary_may_come_on_top() {
        for (percent, own, expected) in [
            (0, 4, (4, 0)),
            (5, 4, (4, 1)),
            (20, 4, (4, 1)),
            (25, 4, (4, 1)),
            (50, 4, (4, 4)),
            (75, 4, (1, 4)),
            (99, 4, (1, 4)),
            (100, 4, (0, 4)),
            (10, 100, (100, 11)),
            (50, 1, (1, 1)),
        ] {
            assert_eq!(
                pods_beside(Percent::whole(percent), own),
                expected,
                "{percent} beside {own}"
            );
        }
    }

    #[test]
    fn a_pod_that_was_started_again_stands_in_for_none() {
        let at = "2026-01-05T09:00:00Z".parse().unwrap();
        let mut canary = side("c", 1, 1);
        canary.pods[0].restarts = 1;
        let ready = |seconds: i64| Some(at - jiff::SignedDuration::from_secs(seconds));
        canary.pods[0].ready_since = ready(59);
        let to = (Percent::whole(25), goals(4));
        let stable = side("s", 4, 4);
        assert_eq!(next(to, (&stable, Some(&canary)), at), []);
        let waiting = split(to, (&stable, Some(&canary)), at, vec![]);
        assert_eq!(
            waiting.waits_for.as_deref(),
            Some("c: restarted pods to stay ready for 1m")
        );
        canary.pods[0].ready_since = ready(60);
        assert_eq!(next(to, (&stable, Some(&canary)), at), [(Track::Stable, 3)]);
    }

    #[test]
    fn up_comes_before_down() {
        let (stable, canary) = (side("s", 10, 10), side("c", 0, 0));
        let first = step(Percent::whole(10), 10, &stable, Some(&canary));
        assert_eq!(first, [(Track::Canary, 1)]);
        let waiting = step(Percent::whole(10), 10, &stable, Some(&side("c", 1, 0)));
        assert_eq!(waiting, []);
        let second = step(Percent::whole(10), 10, &stable, Some(&side("c", 1, 1)));
        assert_eq!(second, [(Track::Stable, 9)]);
    }

    #[test]
    fn a_rollback_takes_pods_from_the_canary_as_stable_gets_them() {
        let canary = side("c", 5, 5);
        let first = step(Percent::ZERO, 10, &side("s", 5, 5), Some(&canary));
        assert_eq!(first, [(Track::Stable, 10)]);
        let then = step(Percent::ZERO, 10, &side("s", 10, 8), Some(&canary));
        assert_eq!(then, [(Track::Canary, 2)]);
    }

    #[test]
    fn a_rollback_of_a_dead_canary_does_not_wait_for_it() {
        let first = step(Percent::ZERO, 10, &side("s", 9, 9), Some(&side("c", 1, 0)));
        assert_eq!(first[0], (Track::Stable, 10));
    }

    #[test]
    fn a_rollback_without_room_gives_up_one_pod_at_a_time() {
        let full = |replicas, ready| Workload {
            refused: Some("exceeded quota: pods".to_owned()),
            ..side("s", replicas, ready)
        };
        let canary = side("c", 5, 5);
        let first = step(Percent::ZERO, 10, &full(10, 5), Some(&canary));
        assert_eq!(first, [(Track::Canary, 4)]);
        // Not the next one before stable has its pod.
        let then = step(Percent::ZERO, 10, &full(10, 5), Some(&side("c", 4, 4)));
        assert_eq!(then, []);
        // On the way up there is no such haste.
        let up = step(Percent::whole(80), 10, &side("s", 5, 5), Some(&full(8, 5)));
        assert_eq!(up, []);
    }

    #[test]
    fn a_rollback_with_nothing_running_leaves_stable_as_it_is() {
        assert_eq!(step(Percent::ZERO, 10, &side("s", 10, 10), None), []);
        assert_eq!(
            step(
                Percent::ZERO,
                10,
                &side("s", 10, 10),
                Some(&side("c", 0, 0))
            ),
            []
        );
        assert_eq!(
            step(Percent::ZERO, 10, &side("s", 10, 0), Some(&side("c", 0, 0))),
            []
        );
    }

    proptest! {
        /// Whatever the state, the scalings never take away ready pods below the total, never
        /// overshoot the goal of a growing side, and end at the goal.
        #[test]
        fn capacity_is_kept(
            total in 1u32..30,
            milli in 0u32..=100,
            stable in 0u32..30,
            canary in 0u32..30,
            unready_stable in 0u32..4,
            unready_canary in 0u32..4,
        ) {
            let to = Percent::whole(milli);
            let (goal_s, goal_c) = pods_at(to, total);
            let s = side("s", stable, stable.saturating_sub(unready_stable));
            let c = side("c", canary, canary.saturating_sub(unready_canary));
            let before = s.ready_pods() + c.ready_pods();
            let (mut after_s, mut after_c) = (s.replicas, c.replicas);
            for (track, replicas) in step(to, total, &s, Some(&c)) {
                match track {
                    Track::Stable => after_s = replicas,
                    Track::Canary => after_c = replicas,
                }
            }
            prop_assert!(after_s <= goal_s.max(stable));
            prop_assert!(after_c <= goal_c.max(canary));
            // Kubernetes removes pods that are not ready first.
            let left = s.ready_pods().min(after_s) + c.ready_pods().min(after_c);
            prop_assert!(left >= before.min(total), "{before} ready, {left} left");
        }
    }
}
