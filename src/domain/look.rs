//! One look of a run: when it is due, whom it is about, and what the record makes of what was seen.
//!
//! Owns: the circumstances under which checks are judged, and the order of counting and judging. Must not: ask
//! anybody.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    braking::Stage,
    check::{CheckSpec, Reading, Rule},
    decide::{Looks, elapsed},
    judge::{Circumstances, LEFT_OUT, judge_all},
    meters::{Counting, Moment, Witness},
    release::{Phase, Release},
    verdict::CheckResult,
    weight::Percent,
    workload::Track,
};

/// Checks on stable are remembered under this prefix.
const STABLE: &str = "stable/";

/// Multiple of a step's hold for which what was seen but is not proven keeps it from advancing.
const HOLD: f64 = 5.0;

/// The same, as a part of the step's deadline.
const SHORT_OF_DEADLINE: f64 = 0.9;

/// Pause between two looks at the requests while what a weight does to users is new.
const QUICK: Duration = Duration::from_secs(2);

/// For how long after a change it is new.
const NEW: Duration = Duration::from_secs(20);

/// What was seen of one side.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seen {
    /// By check.
    pub readings: Vec<(CheckSpec, Vec<Reading>)>,
    /// What the metrics provider counted, where a check counts requests.
    pub counting: Option<Counting>,
}

/// When and how a look was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Glance {
    /// The moment.
    pub now: Timestamp,
    /// The canary's share of the traffic, as read.
    pub weight: Percent,
    /// How old may be what the metrics provider shows.
    pub lag: Duration,
    /// When that of the side's pods became ready that did so last.
    pub youngest: Option<Timestamp>,
    /// Whether the router divides traffic without pods, so that it can be taken off for a moment.
    pub by_weight: bool,
}

/// A side and which checks are looked at on it.
pub type Subject = (Track, fn(&CheckSpec) -> bool);

/// Returns whom to look at, the one that carries the traffic first.
pub fn subjects(looks: Looks) -> &'static [Subject] {
    const PODS: Subject = (Track::Canary, |c| {
        matches!(c.rule, Rule::Pods { .. }) && !c.pre
    });
    const TESTS: Subject = (Track::Canary, |c| {
        c.pre || matches!(c.rule, Rule::Pods { .. })
    });
    const CANARY: Subject = (Track::Canary, |c| !c.pre);
    const STABLE: Subject = (Track::Stable, |c| c.rule.judges_state() && !c.pre);
    match looks {
        Looks::Nothing => &[],
        Looks::CanaryPods => &[PODS],
        Looks::Tests => &[TESTS],
        Looks::Canary => &[CANARY],
        Looks::Stable => &[STABLE],
        Looks::Both => &[CANARY, STABLE],
    }
}

/// When was looked last in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Looked {
    /// At everything.
    pub all: Option<Timestamp>,
    /// At the requests, with everything or without.
    pub requests: Option<Timestamp>,
}

/// What is due to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// Checks that count requests: what a new weight does to users is seen within seconds.
    Requests,
    /// Everything.
    All,
}

impl Due {
    /// Returns whether a check is looked at.
    pub fn includes(self, check: &CheckSpec) -> bool {
        match self {
            Self::Nothing => false,
            Self::Requests => check.rule.is_sequential(),
            Self::All => true,
        }
    }
}

/// Returns what is due; `at_once` says whether requests can be seen as they come.
pub fn due(
    release: &Release,
    looks: Looks,
    looked: Looked,
    (now, at_once): (Timestamp, bool),
) -> Due {
    if looks == Looks::Nothing {
        return Due::Nothing;
    }
    let over = |at: Option<Timestamp>, pause| at.is_none_or(|at| elapsed(at, now) >= pause);
    let quick = at_once && is_new(release, now) && over(looked.requests, QUICK);
    let ends = may_end(release, now) && over(looked.all, QUICK);
    if over(looked.all, release.plan.interval) || ends {
        Due::All
    } else if quick {
        Due::Requests
    } else {
        Due::Nothing
    }
}

/// Returns when something is due next, once there was a first look.
pub fn next(
    release: &Release,
    looked: Looked,
    (now, at_once): (Timestamp, bool),
) -> Option<Timestamp> {
    let after = |at: Option<Timestamp>, pause: Duration| {
        let pause = SignedDuration::try_from(pause).ok()?;
        at?.checked_add(pause).ok()
    };
    let all = after(looked.all, release.plan.interval)?;
    let requests = after(looked.requests, QUICK);
    let requests = requests.filter(|_| at_once && is_new(release, now));
    Some(requests.map_or(all, |requests| requests.min(all)))
}

/// Returns whether the time of the step is over: it is left on a look at all checks, and not on an older one.
fn may_end(release: &Release, now: Timestamp) -> bool {
    if release.phase != Phase::Holding {
        return false;
    }
    let step = release.present_step();
    let least = step.map(|step| step.early.map_or(step.hold, |early| early.min(step.hold)));
    least.is_none_or(|least| elapsed(release.since, now) >= least)
}

/// Returns whether what the weight does to users is new: it was changed a moment ago, or lowered to look again.
fn is_new(release: &Release, now: Timestamp) -> bool {
    let again = release.braking.stage() == Stage::Probing;
    release.phase == Phase::Holding
        && release.target > Percent::ZERO
        && (again || elapsed(release.since, now) < NEW)
}

/// Puts results of some checks in the place of their former ones.
pub fn renew(results: &mut [CheckResult], new: Vec<CheckResult>) {
    for new in new {
        if let Some(old) = results.iter_mut().find(|old| old.name == new.name) {
            *old = new;
        }
    }
}

/// Takes what was seen of a side into the record, and returns what each check says of it.
pub fn take_in(
    release: &mut Release,
    track: Track,
    seen: &Seen,
    glance: Glance,
) -> Vec<CheckResult> {
    let witness = seen.counting.as_ref().map(|seen| seen.witness);
    let witness = witness.unwrap_or_default();
    let lag = match witness {
        Witness::Source => glance.lag,
        Witness::Pods => Duration::ZERO,
    };
    let glance = Glance { lag, ..glance };
    let circumstances = Circumstances {
        brake: brake_for(release, track, glance.by_weight),
        witness,
        ..circumstances(release, track, glance)
    };
    let moment = Moment {
        now: glance.now,
        started: release.started,
        weight: circumstances.weight,
        lag: circumstances.lag,
    };
    let counted = seen.counting.as_ref();
    let counted = counted.map(|counting| release.meters.count(counting, moment));
    let name = |check: &CheckSpec| match track {
        Track::Canary => check.name.clone(),
        Track::Stable => format!("{STABLE}{}", check.name),
    };
    let memories = (&mut release.checks, &mut release.braking);
    let results = judge_all(
        &seen.readings,
        counted.as_ref(),
        memories,
        &name,
        circumstances,
    );
    // What the metrics provider shows goes on being said, unless the pods show that something is wrong.
    let said = |((spec, _), result): &(&(CheckSpec, Vec<Reading>), CheckResult)| {
        witness == Witness::Source || result.blamed || !spec.rule.counts()
    };
    let results = seen.readings.iter().zip(results).filter(said);
    results.map(|(_, result)| result).collect()
}

/// Returns whether looks may be so short that they are not immune to what a pod of the canary does for a moment: the
/// brake outlasts it, or there are several `pods`, each of which can be left out.
pub fn is_immune(release: &Release, by_weight: bool, pods: u32) -> bool {
    let braked = brake_for(release, Track::Canary, by_weight).is_some();
    braked || LEFT_OUT.contains(&pods)
}

/// Returns whether pods of a side are meant to come and go in a phase.
fn is_moving(track: Track, phase: Phase) -> bool {
    let all = matches!(phase, Phase::Preparing | Phase::Shifting);
    let shifting = matches!(phase, Phase::PromoteShift | Phase::UndoShift);
    match track {
        Track::Canary => all || shifting || phase == Phase::PromoteReturn,
        Track::Stable => all || shifting || phase == Phase::PromoteScale,
    }
}

/// Returns under which circumstances a look is judged.
fn circumstances(release: &Release, track: Track, glance: Glance) -> Circumstances {
    let Glance {
        now, weight, lag, ..
    } = glance;
    let steps = &release.plan.steps;
    let steady = matches!(release.phase, Phase::Holding | Phase::Approving);
    // A canary that is looked at again has to prove as much as before it got what was taken from it.
    let next = match release.braking.from() {
        Some(left) => Some(left),
        None => steps.get(release.step + 1).map(|step| step.weight),
    };
    let next = next.filter(|_| steady);
    let patience = release.present_step().map_or(0.0, |step| {
        // Short of the deadline, so that the step can still be left upwards.
        let held = step.hold.as_secs_f64() * HOLD;
        held.min(step.deadline.as_secs_f64() * SHORT_OF_DEADLINE)
    });
    Circumstances {
        steps: steps.len(),
        moving: is_moving(track, release.phase),
        steady,
        now,
        started: release.started,
        step: release.step,
        later: release.step > 0 || release.braking.was_used(),
        brake: None,
        weight: weight.fraction(),
        next: next.map(Percent::fraction),
        elapsed: elapsed(release.since, now).as_secs_f64(),
        lag: lag.as_secs_f64(),
        patience,
        warming: warming(release, track, glance),
        witness: Witness::Source,
        load: release.plan.load.as_ref().map(|load| load.rate),
    }
}

/// Returns for how many seconds what is counted still comes from pods that are new at this step: the first ones, which
/// have had no user before, and those that became ready before it began. Later ones are not waited for: a pod that
/// is ready now and then would keep the step from being judged.
fn warming(release: &Release, track: Track, glance: Glance) -> f64 {
    let Glance {
        now, lag, youngest, ..
    } = glance;
    if track == Track::Stable || release.phase != Phase::Holding || release.braking.was_used() {
        return 0.0;
    }
    let first = (release.step == 0).then_some(release.since);
    let from = first.max(youngest.filter(|ready| *ready <= release.since));
    let until = from.and_then(|from| {
        let warm = SignedDuration::try_from(release.plan.warmup + lag).ok()?;
        let warm = (release.plan.warmup > Duration::ZERO).then_some(warm)?;
        from.checked_add(warm).ok()
    });
    until.map_or(0.0, |until| {
        until.duration_since(now).as_secs_f64().max(0.0)
    })
}

/// Returns where the run is with the brake; `None` where it is off: it needs a router that divides
/// traffic without pods, and a step that may be left for a moment.
fn brake_for(release: &Release, track: Track, by_weight: bool) -> Option<Stage> {
    let at_a_step = matches!(
        release.phase,
        Phase::Holding | Phase::Resting | Phase::Approving
    );
    // While a route is waited for, its weight may be live.
    let waits = release.phase == Phase::Shifting && release.braking.from().is_none();
    let on_the_way = at_a_step || waits;
    let can = on_the_way && by_weight && track == Track::Canary && release.plan.can_brake();
    can.then(|| release.braking.stage())
}
