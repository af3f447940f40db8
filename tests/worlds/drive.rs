//! A release in a world: the loop of the engine, without a cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use canaryctl::{
    domain::{
        braking::Braking,
        check::CheckSpec,
        decide::{Action, Goal, Observation, decide, looks},
        look::{Due, Glance, Looked, Seen, due, is_immune, next, renew, subjects, take_in},
        meters::Meters,
        plan::{Cleanup, OnTrouble, Plan, Promotion, Step, Strategy},
        release::{FORMAT, Origin, Outcome, Phase, Release as Record, RouterSpec},
        split::{Grain, Split},
        stored::Stored,
        verdict::CheckResult,
        weight::Percent,
        workload::{Track, Tracks, Workload},
    },
    health,
};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::traffic::{Traffic, World};

/// Pods of the service.
const TOTAL: u32 = 10;

const OLD: &str = "old";
const NEW: &str = "new";

/// How a release ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Promotion began.
    Promoted,
    RolledBack,
    /// It waits for a person.
    Paused,
}

/// What a release came to.
#[derive(Debug, Clone)]
pub struct Ended {
    pub how: How,
    /// Seconds from the first weight on.
    pub seconds: f64,
    /// Requests that the canary got, and failed ones among them.
    pub got: f64,
    pub hurt: f64,
    /// Why, where the record says it.
    pub why: String,
    /// What the checks said at the last look.
    pub said: Vec<String>,
}

/// A release to be driven.
#[derive(Debug, Clone)]
pub struct Release {
    pub plan: Plan,
    /// Whether the router divides by weights; else by pods.
    pub by_weight: bool,
}

/// Returns a check as a file would give it.
fn check(probe: &str, options: &Value) -> CheckSpec {
    let kind = health::probe(probe).unwrap();
    let mut erased = <dyn erased_serde::Deserializer<'_>>::erase(options);
    kind.check(&mut erased).unwrap()
}

/// Returns checks as a file would give them: `("errorRate", {"max": "1%"})`.
pub fn checks(list: &[(&str, Value)]) -> Vec<CheckSpec> {
    list.iter().map(|(name, at)| check(name, at)).collect()
}

/// Returns a plan with the defaults of the product: look every 10 s, deadline three holds.
pub fn plan(weights: &[u32], hold: u64, checks: Vec<CheckSpec>) -> Plan {
    let hold = Duration::from_secs(hold);
    let step = |weight: &u32| Step {
        weight: Percent::whole(*weight),
        hold,
        early: None,
        approve: false,
        deadline: hold * 3,
    };
    Plan {
        steps: weights.iter().map(step).collect(),
        checks,
        metrics: None,
        load: None,
        interval: Duration::from_secs(10),
        brake: true,
        warmup: Duration::from_secs(10),
        patient: true,
        on_unknown: OnTrouble::Hold,
        on_unknown_unset: false,
        on_failure: OnTrouble::Rollback,
        on_interrupt: OnTrouble::Rollback,
        promote: Promotion {
            strategy: Strategy::Template,
            canary: Cleanup::ScaleDown,
            auto: true,
        },
        drain: Duration::from_secs(30),
        ready_timeout: Duration::from_secs(300),
        promote_timeout: Duration::from_secs(600),
    }
}

/// Returns the moment so many seconds after the beginning of all worlds.
fn at(seconds: f64) -> Timestamp {
    let start: Timestamp = "2026-01-05T09:00:00Z".parse().unwrap();
    start + SignedDuration::from_millis((seconds * 1000.0) as i64)
}

fn record(plan: Plan, router: &str, started: f64) -> Record {
    let image = |tag: &str| BTreeMap::from([("app".to_owned(), format!("app:{tag}"))]);
    Record {
        version: FORMAT,
        id: "run".into(),
        app: "app".into(),
        namespace: "shop".into(),
        stable: "app-stable".into(),
        canary: "app-canary".into(),
        service: None,
        router: RouterSpec {
            name: router.into(),
            options: json!(null),
        },
        plan,
        revision: NEW.into(),
        canary_images: image(NEW),
        tracks: Tracks::default(),
        images: BTreeMap::new(),
        create: false,
        origin: Origin {
            stable_replicas: TOTAL,
            canary_replicas: Some(1),
            total: TOTAL,
            own_replicas: None,
            stable_revision: OLD.into(),
            stable_replica_set: Some("app-stable-1".into()),
            stable_images: image(OLD),
        },
        phase: Phase::Preparing,
        step: 0,
        target: Percent::ZERO,
        since: at(started),
        step_since: at(started),
        gate_spent: Duration::ZERO,
        approved: false,
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
        started: at(started),
        ended: None,
        holder: None,
        left: None,
        trail: Vec::new(),
        group: None,
        passed: None,
        route: None,
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

/// Results of the looks since a phase began.
#[derive(Default)]
struct Results {
    phase: Option<(Phase, Timestamp)>,
    looked: Looked,
    canary: Vec<CheckResult>,
}

/// A release under way.
struct Run<'w> {
    release: Release,
    record: Record,
    traffic: Traffic<'w>,
    started: f64,
    weight: Percent,
    pods: [u32; 2],
    /// When the canary got a pod last.
    youngest: f64,
    results: Results,
}

impl Release {
    /// A release of the plan through a router with weights.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            by_weight: true,
        }
    }

    /// The same by numbers of pods.
    pub fn by_pods(self) -> Self {
        Self {
            by_weight: false,
            ..self
        }
    }

    /// Drives the release in a world until it is promoted, rolled back or waits for a person.
    pub fn run(&self, world: &World, rng: Rng) -> Ended {
        let mut traffic = Traffic::new(world, rng);
        traffic.scale(Track::Stable, TOTAL);
        // Stable has run for a while.
        traffic.pass(300.0, 0.0);
        let started = traffic.now;
        traffic.scale(Track::Canary, 1);
        let router = if self.by_weight { "istio" } else { "replicas" };
        let mut run = Run {
            release: self.clone(),
            record: record(self.plan.clone(), router, started),
            traffic,
            started,
            weight: Percent::ZERO,
            pods: [TOTAL, 1],
            youngest: started,
            results: Results::default(),
        };
        let mut rounds = 0;
        loop {
            rounds += 1;
            assert!(rounds < 200_000, "the release comes to no end");
            if let Some(how) = run.round() {
                return run.ended(how);
            }
        }
    }
}

impl Run<'_> {
    fn actual(&self) -> Percent {
        if self.release.by_weight {
            self.weight
        } else {
            Percent::share(self.pods[1], self.pods[0] + self.pods[1])
        }
    }

    fn round(&mut self) -> Option<How> {
        let now = at(self.traffic.now);
        self.look(now);
        let seen = self.observe(now);
        let decision = decide(&self.record, &seen);
        self.record = decision.release;
        match self.record.phase {
            Phase::PromoteShift | Phase::PromoteTemplate => return Some(How::Promoted),
            Phase::RollingBack => return Some(How::RolledBack),
            Phase::Preparing
            | Phase::Testing
            | Phase::Shifting
            | Phase::Holding
            | Phase::Resting
            | Phase::Approving
            | Phase::PromoteScale
            | Phase::PromoteCheck
            | Phase::PromoteReturn
            | Phase::UndoShift
            | Phase::UndoTemplate
            | Phase::Draining
            | Phase::Cleaning
            | Phase::Ended => {}
        }
        match decision.action {
            Action::Look => {}
            Action::Wait { until, .. } => {
                let next = next(
                    &self.record,
                    self.results.looked,
                    (now, self.sees_at_once()),
                );
                let next = next.map_or(until, |next| until.min(next));
                let wait = next.duration_since(now).as_secs_f64().max(0.2);
                let weight = self.actual().fraction();
                self.traffic.pass(wait, weight);
            }
            Action::Shift(to) => {
                if self.release.by_weight {
                    self.weight = to;
                } else {
                    let canary = to.of(TOTAL).max(1);
                    self.scale(Track::Canary, canary);
                    self.scale(Track::Stable, TOTAL - canary);
                    self.weight = to;
                }
                self.traffic.pass(1.0, self.actual().fraction());
            }
            Action::Scale(track, pods) => {
                self.scale(track, pods);
                self.traffic.pass(5.0, self.actual().fraction());
            }
            Action::Stop(Outcome::Paused, _) => return Some(How::Paused),
            action @ (Action::CreateCanary
            | Action::SetImages
            | Action::UpdateStable
            | Action::RestoreStable
            | Action::DeleteCanary
            | Action::MakeRoute(_)
            | Action::TakeRoute(_)
            | Action::Unpin
            | Action::Stop(..)) => panic!("{action:?}"),
        }
        None
    }

    fn scale(&mut self, track: Track, pods: u32) {
        let of = usize::from(track == Track::Canary);
        if track == Track::Canary && pods > self.pods[of] {
            self.youngest = self.traffic.now;
        }
        self.pods[of] = pods;
        self.traffic.scale(track, pods);
    }

    fn look(&mut self, now: Timestamp) {
        let phase = (self.record.phase, self.record.since);
        if self.results.phase != Some(phase) {
            self.results = Results {
                phase: Some(phase),
                ..Results::default()
            };
        }
        let actual = self.actual();
        let looks = looks(&self.record, now, actual);
        let lag = Duration::from_secs_f64(self.traffic.lag());
        let due = due(
            &self.record,
            looks,
            self.results.looked,
            (now, self.sees_at_once()),
        );
        if due == Due::Nothing {
            return;
        }
        let direct = due == Due::Requests && !lag.is_zero();
        for (track, wanted) in subjects(looks) {
            if *track == Track::Stable {
                continue;
            }
            let checks = self.record.plan.checks.iter();
            let checks: Vec<CheckSpec> = checks
                .filter(|c| wanted(c) && due.includes(c))
                .cloned()
                .collect();
            let counts = checks.iter().any(|check| check.rule.counts());
            let seen = Seen {
                counting: counts.then(|| self.traffic.count(self.started, direct)),
                readings: checks
                    .into_iter()
                    .map(|check| (check, Vec::new()))
                    .collect(),
            };
            let glance = Glance {
                now,
                weight: actual,
                lag,
                youngest: Some(at(self.youngest)),
                by_weight: self.release.by_weight,
            };
            let results = take_in(&mut self.record, *track, &seen, glance);
            if due == Due::All {
                self.results.canary = results;
                self.results.looked.all = Some(now);
            } else {
                renew(&mut self.results.canary, results);
            }
        }
        self.results.looked.requests = Some(now);
    }

    /// As the engine does.
    fn sees_at_once(&self) -> bool {
        let at_once = self.traffic.lag() <= 0.0 || self.traffic.announced();
        at_once && is_immune(&self.record, self.release.by_weight, self.pods[1])
    }

    fn observe(&self, now: Timestamp) -> Observation {
        let actual = self.actual();
        let target = self.record.target;
        let matches = self.weight == target;
        let [stable, canary] = self.pods;
        Observation {
            now,
            split: Split {
                routes: Vec::new(),
                wanted: target,
                set: self.weight,
                actual,
                matches,
                settled: matches,
                stable_ready: stable,
                canary_ready: canary,
                detail: String::new(),
                pinned: Vec::new(),
                waits_for: None,
            },
            grain: if self.release.by_weight {
                Grain::Weight(Percent::whole(1))
            } else {
                Grain::Pods { total: TOTAL }
            },
            stable: Some(workload("app-stable", OLD, stable)),
            canary: Some(workload("app-canary", NEW, canary)),
            canary_checks: self.results.canary.clone(),
            stable_checks: Vec::new(),
            request: None,
            refused: None,
            route: Vec::new(),
            goal: Goal::End,
            group: None,
        }
    }

    fn ended(self, how: How) -> Ended {
        let said = self.results.canary.iter().map(|result| result.text.clone());
        Ended {
            how,
            seconds: self.traffic.now - self.started,
            got: self.traffic.got,
            hurt: self.traffic.hurt,
            why: self.record.reason.clone().unwrap_or_default(),
            said: said.collect(),
        }
    }
}
