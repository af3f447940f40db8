//! Properties of `decide`: whatever is seen, in whatever order, the rules hold. No I/O, no clock.

mod group;
mod route;
mod unsure;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use canaryctl::{
    domain::{
        braking::{Braking, Signals, Stage},
        check::Severity,
        decide::{Action, Decision, Goal, Observation, REASSERTIONS, Request, decide, elapsed},
        meters::Meters,
        plan::{Cleanup, OnTrouble, Plan, Promotion, Step, Strategy as Way},
        release::{Cause, FORMAT, Origin, Outcome, Phase, Release, RouterSpec},
        split::{Grain, Split},
        stored::Stored,
        unit::Unit,
        verdict::{CheckResult, Verdict, overall},
        weight::Percent,
        workload::{Track, Tracks, Workload},
    },
    health,
    traffic::replicas::pods_at,
};
use jiff::Timestamp;
use proptest::{prelude::*, sample::select};
use serde_json::Value;

const TOTAL: u32 = 10;
const OLD: &str = "old";
const NEW: &str = "new";

fn start() -> Timestamp {
    "2026-01-05T09:00:00Z".parse().unwrap()
}

fn release(plan: Plan) -> Release {
    let image = |tag: &str| BTreeMap::from([("app".to_owned(), format!("app:{tag}"))]);
    Release {
        version: FORMAT,
        id: "run".into(),
        app: "app".into(),
        namespace: "shop".into(),
        stable: "app-stable".into(),
        canary: "app-canary".into(),
        service: None,
        group: None,
        router: RouterSpec {
            name: "replicas".into(),
            options: Value::Null,
        },
        plan,
        revision: NEW.into(),
        canary_images: image(NEW),
        tracks: Tracks::default(),
        images: BTreeMap::new(),
        create: false,
        origin: Origin {
            stable_replicas: TOTAL,
            canary_replicas: Some(0),
            total: TOTAL,
            own_replicas: None,
            stable_revision: OLD.into(),
            stable_replica_set: Some("app-stable-1".into()),
            stable_images: image(OLD),
        },
        phase: Phase::Preparing,
        step: 0,
        target: Percent::ZERO,
        since: start(),
        step_since: start(),
        gate_spent: Duration::ZERO,
        approved: false,
        passed: None,
        tested: None,
        gate: None,
        checks: BTreeMap::new(),
        meters: Meters::default(),
        braking: Braking::default(),
        cause: None,
        reason: None,
        ending: None,
        gradual: false,
        reasserted: 0,
        stored: Stored::default(),
        pinned: BTreeSet::new(),
        route: None,
        started: start(),
        ended: None,
        holder: None,
        left: None,
        trail: Vec::new(),
    }
}

fn workload(name: &str, revision: &str, replicas: u32) -> Workload {
    Workload {
        name: name.into(),
        replicas,
        existing: replicas,
        updated: replicas,
        ready: replicas,
        available: replicas,
        observed: true,
        images: BTreeMap::from([("app".to_owned(), format!("app:{revision}"))]),
        revision: revision.into(),
        ..Workload::default()
    }
}

fn result(verdict: Verdict) -> CheckResult {
    CheckResult {
        name: "pods".into(),
        probe: "pods".into(),
        verdict,
        unknown: None,
        unit: Unit::Plain,
        value: None,
        stable: None,
        interval: None,
        evidence: None,
        confidence: None,
        hopeless: false,
        against: None,
        blamed: false,
        proven: None,
        limit: String::new(),
        samples: 1,
        severity: Severity::Rollback,
        text: "1 of 1 ready".into(),
    }
}

// === what may be seen ===

fn plans() -> impl Strategy<Value = Plan> {
    let weights = prop::collection::btree_set(1u32..=100, 1..5);
    let trouble = || select(vec![OnTrouble::Rollback, OnTrouble::Hold]);
    let ways = select(vec![Way::Template, Way::Image, Way::Swap, Way::None]);
    let cleanup = select(vec![Cleanup::ScaleDown, Cleanup::Delete]);
    let times = (0u64..200, 0u64..200, 1u64..60, 1u64..400, 1u64..400);
    let switches = (any::<bool>(), prop::collection::vec(any::<bool>(), 5));
    (
        weights,
        times,
        (trouble(), trouble(), trouble()),
        ways,
        cleanup,
        switches,
    )
        .prop_map(
            |(
                weights,
                times,
                (unknown, failure, interrupt),
                strategy,
                canary,
                (auto, approvals),
            )| {
                let (hold, slack, interval, ready, promote) = times;
                let step = |(weight, approve): (u32, bool)| Step {
                    weight: Percent::whole(weight),
                    hold: Duration::from_secs(hold),
                    early: (hold % 2 == 0).then(|| Duration::from_secs(hold / 2)),
                    approve,
                    deadline: Duration::from_secs(hold + slack),
                };
                Plan {
                    steps: weights.into_iter().zip(approvals).map(step).collect(),
                    checks: vec![health::pods::default_check()],
                    metrics: None,
                    load: None,
                    interval: Duration::from_secs(interval),
                    brake: true,
                    warmup: Duration::ZERO,
                    patient: false,
                    on_unknown: unknown,
                    on_unknown_unset: slack % 2 == 0,
                    on_failure: failure,
                    on_interrupt: interrupt,
                    promote: Promotion {
                        strategy,
                        canary,
                        auto,
                    },
                    drain: Duration::from_secs(10),
                    ready_timeout: Duration::from_secs(ready),
                    promote_timeout: Duration::from_secs(promote),
                }
            },
        )
}

/// One look at a world that may do anything.
#[expect(clippy::struct_excessive_bools, reason = "each is drawn on its own")]
#[derive(Debug, Clone)]
struct Glance {
    seconds: u64,
    verdicts: Vec<(Verdict, Option<bool>)>,
    /// Whether what is not known leans against the canary, and whether more will ever be known.
    against: bool,
    hopeless: bool,
    stable: Option<(bool, u32, u32)>,
    canary: Option<(bool, u32, u32)>,
    matches: bool,
    settled: bool,
    set: u32,
    pinned: bool,
    fine: bool,
    request: Option<Request>,
    /// Evidence by request, as odds, and whether a probe is settled.
    evidence: Option<(f64, bool)>,
}

fn glances() -> impl Strategy<Value = Glance> {
    let verdicts = select(vec![Verdict::Healthy, Verdict::Unhealthy, Verdict::Unknown]);
    let proofs = select(vec![None, Some(true), Some(false)]);
    let request = prop_oneof![
        20 => Just(None),
        1 => Just(Some(Request::Rollback)),
        1 => Just(Some(Request::StepBack)),
        1 => Just(Some(Request::Promote { force: false })),
        1 => Just(Some(Request::Promote { force: true })),
        2 => Just(Some(Request::Approve)),
        1 => Just(Some(Request::Interrupt)),
        1 => Just(Some(Request::Hold)),
    ];
    let side = || {
        prop_oneof![
            12 => (Just(true), 0u32..=12, 0u32..=12).prop_map(Some),
            1 => (Just(false), 0u32..=12, 0u32..=12).prop_map(Some),
            1 => Just(None),
        ]
    };
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let unknown = (prop::bool::weighted(0.3), prop::bool::weighted(0.2));
    (
        0u64..120,
        prop::collection::vec((verdicts, proofs), 0..3),
        side(),
        side(),
        flags,
        0u32..=100,
        request,
        select(vec![
            None,
            None,
            None,
            Some((1e3, false)),
            Some((1.0, true)),
        ]),
        unknown,
    )
        .prop_map(
            |(seconds, verdicts, stable, canary, flags, set, request, evidence, unknown)| Glance {
                against: unknown.0,
                hopeless: unknown.1,
                seconds,
                verdicts,
                stable,
                canary,
                matches: flags.0,
                settled: flags.0 && flags.1,
                set,
                pinned: flags.2,
                fine: flags.3,
                request,
                evidence,
            },
        )
}

impl Glance {
    /// Takes in the evidence as a judgement at a step does.
    fn brake(&self, release: &mut Release, now: Timestamp) {
        let watched = matches!(release.phase, Phase::Holding | Phase::Approving);
        if !watched || release.braking.stage() == Stage::Resting {
            return;
        }
        if let Some((quick, settled)) = self.evidence {
            let signals = Signals {
                quick: quick.ln(),
                settled,
                ..Signals::default()
            };
            release.braking.observe(now, &signals);
        }
    }

    fn observe(&self, release: &Release, now: Timestamp) -> Observation {
        let side = |name: &str, pinned: &str, (known, replicas, ready): (bool, u32, u32)| {
            let revision = match (known, name) {
                (true, _) => pinned,
                (false, _) => "foreign",
            };
            let mut side = workload(name, revision, replicas);
            side.available = ready.min(replicas);
            side
        };
        // Stable runs what the run gave it, or what it ran before.
        let given = release.phase > Phase::PromoteTemplate && self.fine;
        let stable = self
            .stable
            .map(|s| side(&release.stable, if given { NEW } else { OLD }, s));
        let canary = self.canary.map(|c| side(&release.canary, NEW, c));
        let results: Vec<CheckResult> = self
            .verdicts
            .iter()
            .map(|(verdict, proven)| {
                // Who rests, or is looked at again, is not known to be healthy.
                let verdict = match verdict {
                    Verdict::Healthy if release.braking.stage() != Stage::Ordinary => {
                        Verdict::Unknown
                    }
                    verdict => *verdict,
                };
                let unknown = verdict == Verdict::Unknown;
                let against = "pods: 6 % of 100 requests failed (limit ≤ 5 %)".to_owned();
                CheckResult {
                    proven: *proven,
                    hopeless: unknown && self.hopeless,
                    against: Some(against).filter(|_| unknown && self.against),
                    ..result(verdict)
                }
            })
            .collect();
        Observation {
            now,
            split: Split {
                routes: Vec::new(),
                wanted: release.target,
                set: Percent::whole(self.set),
                actual: Percent::whole(self.set),
                matches: self.matches,
                settled: self.settled,
                stable_ready: 0,
                canary_ready: 0,
                detail: String::new(),
                pinned: self.pinned.then(|| "hpa".to_owned()).into_iter().collect(),
                waits_for: None,
            },
            grain: Grain::Pods { total: TOTAL },
            stable,
            canary,
            canary_checks: results.clone(),
            stable_checks: results,
            request: self.request,
            refused: None,
            route: Vec::new(),
            group: None,
            goal: Goal::End,
        }
    }
}

fn later(at: Timestamp, seconds: u64) -> Timestamp {
    at.checked_add(Duration::from_secs(seconds)).unwrap()
}

/// Traffic moves to the weight that the phase is about, and to no other.
fn shifts_as_meant(before: &Release, decision: &Decision) -> Result<(), TestCaseError> {
    let after = &decision.release;
    if let Action::Shift(weight) = decision.action {
        prop_assert_eq!(weight, after.target);
        let present = after.present_step().map(|s| s.weight);
        let up = match after.phase {
            Phase::Shifting => match (after.braking.stage(), after.braking.from()) {
                (Stage::Resting, Some(_)) => weight == Percent::ZERO,
                (Stage::Probing, Some(from)) => weight <= from && weight > Percent::ZERO,
                (Stage::Ordinary, Some(_)) => false,
                (_, None) => present == Some(weight),
            },
            Phase::PromoteShift | Phase::UndoShift => weight == Percent::FULL,
            Phase::RollingBack if after.gradual => weight <= before.target,
            Phase::PromoteReturn | Phase::RollingBack => weight == Percent::ZERO,
            _ => false,
        };
        prop_assert!(up, "shift to {} in {:?}", weight, after.phase);
    }
    Ok(())
}

/// The rules that hold for every single decision.
fn keeps_the_rules(
    before: &Release,
    seen: &Observation,
    decision: &Decision,
) -> Result<(), TestCaseError> {
    let after = &decision.release;
    let healthy =
        !seen.canary_checks.is_empty() && overall(&seen.canary_checks) == Verdict::Healthy;
    let asked = matches!(seen.request, Some(Request::Promote { .. }));
    let forced = seen.request == Some(Request::Promote { force: true });
    let watched = matches!(before.phase, Phase::Holding | Phase::Approving);
    if after.step > before.step {
        prop_assert!(
            healthy && watched,
            "a step without a healthy look: {seen:?}"
        );
        prop_assert_eq!(after.step, before.step + 1, "a step was skipped");
        let step = &before.plan.steps[before.step];
        let spent = elapsed(before.since, seen.now);
        let proofs: Vec<bool> = seen.canary_checks.iter().filter_map(|r| r.proven).collect();
        let proven = !proofs.is_empty() && !proofs.contains(&false);
        let early = step.early.is_some_and(|early| spent >= early) && proven;
        let approved = before.phase == Phase::Approving;
        prop_assert!(
            asked || approved || spent >= step.hold || early,
            "a step was left after {spent:?}: {step:?}"
        );
    }
    prop_assert!(after.step >= before.step, "a step was taken back");
    if before.braking.from().is_some() {
        prop_assert!(
            after.step == before.step,
            "a braked canary got more traffic"
        );
    }
    let retreats = after.phase.is_retreat() || after.phase >= Phase::Draining;
    if retreats {
        prop_assert!(after.braking.from().is_none() && after.braking.stage() == Stage::Ordinary);
    }
    let promotes = before.phase < Phase::PromoteShift
        && (after.phase == Phase::PromoteShift || after.ending == Some(Outcome::Promoted));
    if promotes {
        prop_assert!(forced || (healthy && watched), "promoted unproven");
        let last = before.step + 1 == before.plan.steps.len();
        prop_assert!(asked || last, "promoted before the last step");
    }
    shifts_as_meant(before, decision)?;
    let foreign = |side: &Option<Workload>| side.as_ref().is_some_and(|s| s.revision == "foreign");
    if decision.action == Action::UpdateStable {
        prop_assert!(!foreign(&seen.canary), "an unchecked version is promoted");
    }
    let touching = (Phase::PromoteTemplate..=Phase::UndoTemplate).contains(&before.phase);
    if touching && after.phase == Phase::RollingBack {
        let stable = seen.stable.as_ref().map(|s| s.revision.as_str());
        prop_assert_eq!(
            stable,
            Some(OLD),
            "traffic goes back to a half-updated stable"
        );
    }
    if touching && matches!(decision.action, Action::Shift(w) if w == Percent::ZERO) {
        prop_assert!(
            !foreign(&seen.stable),
            "traffic goes back to an unknown stable"
        );
    }
    if after.phase == Phase::RollingBack && before.phase != Phase::RollingBack {
        prop_assert!(after.cause.is_some() && after.reason.is_some());
    }
    prop_assert!(after.reasserted <= REASSERTIONS);
    keeps_a_failing_canary_from_going_on(before, seen, decision)
}

/// While stable is renewed the canary has all traffic: when it fails then, nothing goes on.
fn keeps_a_failing_canary_from_going_on(
    before: &Release,
    seen: &Observation,
    decision: &Decision,
) -> Result<(), TestCaseError> {
    let renewing = (Phase::PromoteTemplate..=Phase::PromoteCheck).contains(&before.phase);
    let forced = seen.request == Some(Request::Promote { force: true });
    let pinned = seen.canary.as_ref().is_some_and(|c| c.revision == NEW);
    let fails = overall(&seen.canary_checks) == Verdict::Unhealthy;
    if renewing && fails && pinned && !forced {
        let gives_up = decision.release.phase.is_retreat();
        let stops = matches!(decision.action, Action::Stop(..));
        prop_assert!(
            gives_up || stops,
            "{:?} goes on: {:?}",
            before.phase,
            decision.action
        );
        prop_assert!(decision.action != Action::UpdateStable);
    }
    Ok(())
}

/// Sum of all deadlines of a run, with the pauses between looks.
fn longest(plan: &Plan) -> Duration {
    let mut sum = plan.ready_timeout * 6 + plan.promote_timeout * 6 + plan.drain;
    for step in &plan.steps {
        sum += (step.deadline + step.hold).max(plan.interval * 4) + plan.ready_timeout;
    }
    let most = plan.steps.iter().map(|s| s.hold).max().unwrap_or_default();
    sum += (plan.ready_timeout + most) * REASSERTIONS;
    let looks = u32::try_from(plan.steps.len()).unwrap() + REASSERTIONS + 12;
    sum + (plan.interval + Duration::from_secs(120)) * 3 * looks
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is seen: no panic, no step without proof, no promotion of what was not checked, no
    /// return to a half-updated stable; and asked twice, the answer is the same.
    #[test]
    fn whatever_is_seen_the_rules_hold(
        plan in plans(),
        create in any::<bool>(),
        glances in prop::collection::vec(glances(), 1..60),
    ) {
        let mut release = release(plan);
        release.create = create;
        let mut now = start();
        for glance in glances {
            now = later(now, glance.seconds);
            glance.brake(&mut release, now);
            let seen = glance.observe(&release, now);
            let decision = decide(&release, &seen);
            prop_assert_eq!(&decision, &decide(&release, &seen));
            keeps_the_rules(&release, &seen, &decision)?;
            release = decision.release;
        }
    }

    /// Unknown and missing evidence never advances, however long it lasts.
    #[test]
    fn unknown_never_advances(
        plan in plans(),
        glances in prop::collection::vec(glances(), 1..60),
        none in any::<bool>(),
    ) {
        let mut release = release(plan);
        let mut now = start();
        for mut glance in glances {
            glance.verdicts = if none { Vec::new() } else { vec![(Verdict::Healthy, None), (Verdict::Unknown, None)] };
            let forced = Some(Request::Promote { force: true });
            if glance.request == forced {
                glance.request = None;
            }
            now = later(now, glance.seconds);
            glance.brake(&mut release, now);
            let seen = glance.observe(&release, now);
            release = decide(&release, &seen).release;
            prop_assert_eq!(release.step, 0);
            prop_assert!(release.ending != Some(Outcome::Promoted));
        }
    }

    /// A world that never does what is asked, but stays ours: the run ends within the sum of its
    /// deadlines, whatever the checks say.
    #[test]
    fn every_run_ends(
        mut plan in plans(),
        create in any::<bool>(),
        glances in prop::collection::vec(glances(), 1..40),
        request in select(vec![None, Some(Request::Rollback), Some(Request::Promote { force: true }), Some(Request::Promote { force: false })]),
    ) {
        for step in &mut plan.steps {
            step.approve = false;
        }
        let limit = longest(&plan);
        let mut release = release(plan);
        release.create = create;
        if create {
            release.images.insert("app".into(), "app:other".into());
        }
        let mut now = start();
        let end = later(start(), limit.as_secs());
        for glance in glances.iter().cycle() {
            let mut glance = glance.clone();
            glance.stable = Some((true, glance.stable.map_or(0, |s| s.1), 0));
            glance.canary = (!create || glance.fine).then_some((true, 0, 0));
            if create {
                glance.canary = None;
            }
            glance.request = request;
            let seen = glance.observe(&release, now);
            let decision = decide(&release, &seen);
            release = decision.release;
            match decision.action {
                Action::Stop(..) => break,
                Action::Wait { until, .. } => now = until.max(later(now, 1)),
                _ => now = later(now, 1),
            }
            prop_assert!(now < end, "still in {:?} after {limit:?}", release.phase);
        }
    }

    /// Nothing moves, not even the checks: the run ends, too.
    #[test]
    fn a_frozen_world_ends_the_run(mut plan in plans(), glance in glances()) {
        for step in &mut plan.steps {
            step.approve = false;
        }
        let end = later(start(), longest(&plan).as_secs());
        let mut release = release(plan);
        let mut now = start();
        loop {
            let seen = glance.observe(&release, now);
            let decision = decide(&release, &seen);
            release = decision.release;
            match decision.action {
                Action::Stop(..) => break,
                Action::Wait { until, .. } => now = until.max(later(now, 1)),
                _ => now = later(now, 1),
            }
            prop_assert!(now < end, "still in {:?}", release.phase);
        }
    }

    /// Somebody who keeps changing the split makes the run move it at most so often, then it stops:
    /// the deadline of a wait is never pushed on without bound.
    #[test]
    fn drift_ends_in_a_conflict(mut plan in plans(), seconds in 1u64..5) {
        plan.steps.truncate(1);
        plan.steps[0].hold = Duration::from_secs(10_000);
        plan.steps[0].deadline = Duration::from_secs(10_000);
        let mut release = release(plan);
        let mut now = start();
        let mut glance = Glance {
            evidence: None, seconds: 0, against: false, hopeless: false, verdicts: vec![(Verdict::Healthy, None)], stable: Some((true, 9, 9)), canary: Some((true, 1, 1)),
            matches: true, settled: true, set: 10, pinned: false, fine: true, request: None,
        };
        let mut shifts = 0;
        for _ in 0..200 {
            now = later(now, seconds);
            // Put right as long as it is being moved, and changed as soon as it is watched.
            let watching = release.phase == Phase::Holding;
            (glance.matches, glance.settled) = (!watching, !watching);
            let decision = decide(&release, &glance.observe(&release, now));
            shifts += usize::from(release.phase == Phase::Holding && decision.release.phase == Phase::Shifting);
            release = decision.release;
            if let Action::Stop(outcome, text) = decision.action {
                prop_assert_eq!(outcome, Outcome::Conflict);
                prop_assert!(text.contains("re-applied 3 times"), "{}", text);
                prop_assert_eq!(shifts, 3);
                return Ok(());
            }
        }
        prop_assert!(false, "never gives up");
    }
}

// === a world that does what it is told ===

/// Two Deployments that follow, some of the time; a lost action is simply not carried out.
struct World {
    now: Timestamp,
    stable: (String, u32),
    canary: Option<u32>,
    /// Whether the checks were looked at in the present phase; both sides at once.
    looked: bool,
}

impl World {
    fn new() -> Self {
        Self {
            now: start(),
            stable: (OLD.into(), TOTAL),
            canary: Some(0),
            looked: false,
        }
    }

    fn observe(
        &self,
        release: &Release,
        (verdict, stable_verdict): (Verdict, Verdict),
        request: Option<Request>,
    ) -> Observation {
        let canary = self.canary.unwrap_or(0);
        let wanted = pods_at(release.target, TOTAL);
        let exact = (self.stable.1, canary) == wanted;
        Observation {
            now: self.now,
            split: Split {
                routes: Vec::new(),
                wanted: release.target,
                set: Percent::share(canary, canary + self.stable.1),
                actual: Percent::share(canary, canary + self.stable.1),
                matches: exact,
                settled: exact,
                stable_ready: self.stable.1,
                canary_ready: canary,
                detail: String::new(),
                pinned: Vec::new(),
                waits_for: None,
            },
            grain: Grain::Pods { total: TOTAL },
            stable: Some(workload(&release.stable, &self.stable.0, self.stable.1)),
            canary: self.canary.map(|n| workload(&release.canary, NEW, n)),
            canary_checks: self.looked.then(|| result(verdict)).into_iter().collect(),
            stable_checks: self
                .looked
                .then(|| result(stable_verdict))
                .into_iter()
                .collect(),
            request,
            refused: None,
            route: Vec::new(),
            group: None,
            goal: Goal::End,
        }
    }

    fn carry_out(&mut self, action: &Action) {
        match action {
            Action::CreateCanary => self.canary = Some(0),
            Action::Shift(weight) => {
                let (stable, canary) = pods_at(*weight, TOTAL);
                (self.stable.1, self.canary) = (stable, self.canary.map(|_| canary));
            }
            Action::Scale(Track::Stable, n) => self.stable.1 = *n,
            Action::Scale(Track::Canary, n) => self.canary = self.canary.map(|_| *n),
            Action::UpdateStable => self.stable.0 = NEW.into(),
            Action::RestoreStable => self.stable.0 = OLD.into(),
            Action::DeleteCanary => self.canary = None,
            Action::SetImages
            | Action::MakeRoute(_)
            | Action::TakeRoute(_)
            | Action::Unpin
            | Action::Look
            | Action::Wait { .. }
            | Action::Stop(..) => {}
        }
    }
}

/// Drives the model until it stops; `lost` says which actions have no effect, `verdicts` how the
/// canary and stable are.
fn drive(
    plan: &Plan,
    lost: &[bool],
    mut verdicts: impl FnMut(usize, &Release) -> (Verdict, Verdict),
    mut request: impl FnMut(usize, &Release) -> Option<Request>,
) -> (World, Release, Option<Outcome>) {
    let mut world = World::new();
    let mut release = release(plan.clone());
    for round in 0..3000 {
        let said = verdicts(round, &release);
        let seen = world.observe(&release, said, request(round, &release));
        let before = (release.phase, release.since);
        let decision = decide(&release, &seen);
        release = decision.release;
        // Results belong to the phase they were asked in.
        world.looked = before == (release.phase, release.since);
        match &decision.action {
            Action::Stop(outcome, _) => return (world, release, Some(*outcome)),
            Action::Wait { until, .. } => world.now = (*until).max(later(world.now, 1)),
            action => {
                if !lost.get(round).copied().unwrap_or(false) {
                    world.carry_out(action);
                }
                world.now = later(world.now, u64::from(*action != Action::Look));
            }
        }
    }
    (world, release, None)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// From wherever it comes, a rollback ends at 0 % with stable as it was. The only exception is a
    /// release that was over before.
    #[test]
    fn a_rollback_request_always_ends_at_the_safe_side(
        plan in plans(),
        at in 0usize..80,
        lost in prop::collection::vec(prop::bool::weighted(0.2), 100),
        verdicts in prop::collection::vec(select(vec![Verdict::Healthy, Verdict::Healthy, Verdict::Unknown]), 100),
    ) {
        let mut plan = plan;
        plan.ready_timeout = Duration::from_secs(600);
        plan.promote_timeout = Duration::from_secs(600);
        plan.on_unknown = OnTrouble::Rollback;
        plan.promote.auto = true;
        let mut asked = false;
        let (world, release, outcome) = drive(
            &plan,
            &lost,
            |round, _| {
                let verdict = verdicts.get(round).copied().unwrap_or(Verdict::Healthy);
                (verdict, verdict)
            },
            |round, release| {
                asked |= round >= at;
                let gate = release.phase == Phase::Approving;
                if asked { Some(Request::Rollback) } else { gate.then_some(Request::Approve) }
            },
        );
        if outcome == Some(Outcome::Promoted) {
            prop_assert!(!asked, "promoted in spite of the request");
            return Ok(());
        }
        prop_assert_eq!(outcome, Some(Outcome::RolledBack), "in {:?}", release.phase);
        prop_assert_eq!(world.canary.unwrap_or(0), 0);
        prop_assert_eq!(world.stable, (OLD.to_owned(), TOTAL));
    }

    /// A healthy canary on a world that follows is promoted by every strategy, steps in order.
    #[test]
    fn a_healthy_run_is_promoted(plan in plans(), lost in prop::collection::vec(prop::bool::weighted(0.1), 100)) {
        let mut plan = plan;
        plan.promote.auto = true;
        plan.ready_timeout = Duration::from_secs(600);
        plan.promote_timeout = Duration::from_secs(600);
        let approve = |_: usize, release: &Release| (release.phase == Phase::Approving).then_some(Request::Approve);
        let (world, release, outcome) = drive(&plan, &lost, |_, _| (Verdict::Healthy, Verdict::Healthy), approve);
        prop_assert_eq!(outcome, Some(Outcome::Promoted), "{:?} {:?}", release.phase, release.reason);
        match plan.promote.strategy {
            Way::Template | Way::Image => {
                prop_assert_eq!(world.stable, (NEW.to_owned(), TOTAL));
                prop_assert_eq!(world.canary.unwrap_or(0), 0);
            }
            Way::Swap => prop_assert_eq!(world.canary, Some(TOTAL)),
            Way::None => prop_assert_eq!(world.stable.0.as_str(), OLD),
        }
    }
}

const FINE: (Verdict, Verdict) = (Verdict::Healthy, Verdict::Healthy);

fn approves(_: usize, release: &Release) -> Option<Request> {
    (release.phase == Phase::Approving).then_some(Request::Approve)
}

/// A plan that promotes by a way that renews stable, with time enough for lost actions.
fn renewing(plan: Plan, strategy: Way) -> Plan {
    let ample = Duration::from_secs(600);
    Plan {
        promote: Promotion {
            strategy,
            auto: true,
            ..plan.promote
        },
        on_failure: OnTrouble::Rollback,
        ready_timeout: ample,
        promote_timeout: ample,
        ..plan
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// A canary that fails while stable is renewed takes the version with it: stable has its old
    /// template and all traffic in the end, whatever was lost on the way.
    #[test]
    fn a_canary_that_fails_while_stable_is_renewed_brings_the_old_version_back(
        plan in plans(),
        strategy in select(vec![Way::Template, Way::Image]),
        phase in select(vec![Phase::PromoteTemplate, Phase::PromoteScale, Phase::PromoteCheck]),
        stable in select(vec![Verdict::Healthy, Verdict::Unhealthy, Verdict::Unknown]),
        lost in prop::collection::vec(prop::bool::weighted(0.2), 100),
    ) {
        let plan = renewing(plan, strategy);
        let mut failed = false;
        let sick = |_: usize, release: &Release| {
            failed |= release.phase == phase;
            if failed { (Verdict::Unhealthy, stable) } else { FINE }
        };
        let (world, release, outcome) = drive(&plan, &lost, sick, approves);
        prop_assert!(failed, "{:?} was not seen", phase);
        prop_assert_eq!(outcome, Some(Outcome::RolledBack), "{:?} {:?}", release.phase, release.reason);
        prop_assert_eq!(release.cause, Some(Cause::Unhealthy));
        prop_assert_eq!(world.stable, (OLD.to_owned(), TOTAL));
        prop_assert_eq!(world.canary.unwrap_or(0), 0);
    }

    /// A stable that fails with the new version loses it again, and the canary keeps the traffic:
    /// as long as the canary is well, else stable gets the traffic with its old version.
    #[test]
    fn a_stable_that_fails_with_the_new_version_leaves_traffic_where_it_is_well(
        plan in plans(),
        strategy in select(vec![Way::Template, Way::Image]),
        phase in select(vec![Phase::PromoteScale, Phase::PromoteCheck, Phase::PromoteReturn]),
        canary in select(vec![Verdict::Healthy, Verdict::Unknown, Verdict::Unhealthy]),
        lost in prop::collection::vec(prop::bool::weighted(0.2), 100),
    ) {
        let plan = renewing(plan, strategy);
        let mut failed = false;
        let sick = |_: usize, release: &Release| {
            failed |= release.phase == phase;
            let undoing = matches!(release.phase, Phase::UndoShift | Phase::UndoTemplate);
            let canary = if undoing { canary } else { Verdict::Healthy };
            if failed { (canary, Verdict::Unhealthy) } else { FINE }
        };
        let (world, release, outcome) = drive(&plan, &lost, sick, approves);
        prop_assert!(failed, "{:?} was not seen", phase);
        prop_assert_eq!(world.stable.0.as_str(), OLD, "{:?} {:?}", outcome, release.reason);
        if outcome == Some(Outcome::Incomplete) {
            prop_assert_eq!(world.canary, Some(TOTAL));
        } else {
            prop_assert_eq!(outcome, Some(Outcome::RolledBack), "{:?} {:?}", release.phase, release.reason);
            prop_assert_eq!(canary, Verdict::Unhealthy);
            prop_assert_eq!(world.stable.1, TOTAL);
        }
    }
}

/// A router by weight: pods are not the traffic.
fn by_weight(mut seen: Observation) -> Observation {
    seen.grain = Grain::Weight(Percent::whole(1));
    seen
}

#[test]
fn behind_a_router_by_weight_stable_returns_to_its_recorded_size() {
    let plan = Plan {
        steps: Vec::new(),
        checks: Vec::new(),
        metrics: None,
        load: None,
        interval: Duration::from_secs(10),
        brake: true,
        warmup: Duration::ZERO,
        patient: false,
        on_unknown: OnTrouble::Hold,
        on_unknown_unset: false,
        on_failure: OnTrouble::Rollback,
        on_interrupt: OnTrouble::Rollback,
        promote: Promotion {
            strategy: Way::Template,
            canary: Cleanup::ScaleDown,
            auto: true,
        },
        drain: Duration::from_secs(30),
        ready_timeout: Duration::from_secs(60),
        promote_timeout: Duration::from_secs(60),
    };
    let mut release = release(plan);
    release.origin.stable_replicas = 6;
    release.origin.canary_replicas = Some(4);
    release.phase = Phase::RollingBack;
    release.ending = Some(Outcome::RolledBack);
    release.target = Percent::ZERO;
    let mut world = World::new();
    (world.stable.1, world.canary) = (2, Some(4));
    let seen = by_weight(world.observe(&release, FINE, None));
    let decision = decide(&release, &seen);
    assert_eq!(decision.action, Action::Scale(Track::Stable, 6));
    // Traffic first, then the drain, and only then the pods.
    world.stable.1 = 6;
    let mut seen = by_weight(world.observe(&release, FINE, None));
    assert_eq!(decide(&release, &seen).action, Action::Shift(Percent::ZERO));
    (seen.split.matches, seen.split.settled) = (true, true);
    let decision = decide(&release, &seen);
    assert_eq!(decision.release.phase, Phase::Draining);
    assert!(
        matches!(decision.action, Action::Wait { .. }),
        "{:?}",
        decision.action
    );
    release = decision.release;
    seen.now = later(seen.now, 31);
    let decision = decide(&release, &seen);
    // The canary had four pods before; none goes on serving what was taken back.
    assert_eq!(decision.action, Action::Scale(Track::Canary, 0));
    world.canary = Some(0);
    let mut after = by_weight(world.observe(&decision.release, FINE, None));
    (after.split.matches, after.split.settled, after.now) = (true, true, seen.now);
    let ended = decide(&decision.release, &after).release;
    assert_eq!(ended.phase, Phase::Ended);
}
