//! Gathering everything one round needs.
//!
//! Owns: reading both sides, the split and the checks, in parallel, and the load's aim. Must not:
//! change the cluster.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Engine, EngineError, Results, attended::attend, patience::Noticed, shares};
use crate::{
    cluster::{pods::LivePod, streams::Place, workloads::Sides},
    domain::{
        check::{CheckSpec, Reading, Rule, Sample},
        decide::{Goal, Observation, Request, elapsed, looks},
        event::{Event, EventKind},
        look::{Due, Glance, Seen, due, is_immune, renew, subjects, take_in},
        meters::{Counting, Witness},
        release::Phase,
        route::Standing,
        split::{Grain, Split},
        verdict::CheckResult,
        weight::Percent,
        workload::{Track, Tracks, Workload},
    },
    health::{
        Facts, Look, Probe, beside,
        load::{Destination, Runner},
    },
    traffic::{Objects, Scene},
};

/// How long what a verb began with serves as the first look.
const FIRST: Duration = Duration::from_secs(2);

/// How long pods are left alone that did not say what was asked of them in place of the metrics provider.
const SILENT_PODS: SignedDuration = SignedDuration::from_secs(60);

/// Both sides and the router's objects, read before the first round.
pub(super) struct First {
    pub(super) at: Timestamp,
    pub(super) sides: Sides,
    pub(super) objects: Objects,
    pub(super) route: Vec<Standing>,
}

/// Both sides as they were seen last, and what was made of it.
#[derive(Default)]
pub(super) struct Before {
    sides: Sides,
    tracks: Tracks,
    stable: Option<Workload>,
    canary: Option<Workload>,
}

/// Both sides at one moment.
pub(super) struct Sight {
    at: Timestamp,
    pub(super) stable: Option<Workload>,
    pub(super) canary: Option<Workload>,
    /// Stands for a stable side that is gone.
    absent: Workload,
    pub(super) sides: Sides,
    objects: Objects,
    /// How the pieces of the run's own route stand.
    route: Vec<Standing>,
}

impl Sight {
    /// Returns it as routers look at it.
    pub(super) fn scene(&self) -> Scene<'_> {
        Scene {
            at: self.at,
            stable: self.stable.as_ref().unwrap_or(&self.absent),
            canary: self.canary.as_ref(),
            sides: &self.sides,
            objects: &self.objects,
        }
    }

    fn workload(&self, track: Track) -> Option<&Workload> {
        match track {
            Track::Stable => self.stable.as_ref(),
            Track::Canary => self.canary.as_ref(),
        }
    }

    pub(super) fn into_first(self) -> First {
        First {
            at: self.at,
            sides: self.sides,
            objects: self.objects,
            route: self.route,
        }
    }
}

/// Returns what a probe sees, with the check it belongs to. A number that is compared with stable's is
/// asked of both sides.
async fn readings(
    check: CheckSpec,
    probe: &dyn Probe,
    look: &Look<'_>,
    stable: Option<&Look<'_>>,
) -> (CheckSpec, Vec<Reading>) {
    let compares = matches!(check.rule, Rule::Number(n) if n.max_ratio.is_some());
    let Some(stable) = stable.filter(|_| compares) else {
        return (check, probe.look(look).await);
    };
    let (ours, theirs) = futures::join!(probe.look(look), probe.look(stable));
    (check, beside(ours, &theirs))
}

impl Engine {
    pub(super) async fn observe(
        &mut self,
        goal: Goal,
        request: Option<Request>,
    ) -> Result<(Sight, Observation), EngineError> {
        let sight = self.sight().await?;
        let split = self
            .router
            .read(self.saved.release.target, &sight.scene())?;
        self.noticed = Some(Noticed {
            at: sight.at,
            split: split.clone(),
        });
        self.aimed = Percent::ZERO;
        let canary = sight.sides.canary.as_ref();
        self.canary_uid = canary.and_then(|live| live.typed.metadata.uid.clone());
        // Who wants out is not kept waiting for checks; what the pods say of themselves is known.
        if request != Some(Request::Rollback) || self.saved.release.phase == Phase::UndoShift {
            self.look(&sight, &split).await;
        }
        let seen = Observation {
            now: self.cluster.clock().now(),
            split,
            grain: self.router.grain(),
            stable: sight.stable.clone(),
            canary: sight.canary.clone(),
            canary_checks: self.results.canary.clone(),
            stable_checks: self.results.stable.clone(),
            request,
            refused: self.refused.clone(),
            route: sight.route.clone(),
            goal,
            group: None,
        };
        Ok((sight, seen))
    }

    /// Reads both sides and the router's objects in one parallel round; at the very first, what a
    /// verb began with serves.
    pub(super) async fn sight(&mut self) -> Result<Sight, EngineError> {
        let now = self.cluster.clock().now();
        let first = self.first.take();
        let first = first.filter(|first| elapsed(first.at, now) < FIRST);
        let first = match first {
            Some(first) => first,
            None => self.read(now).await?,
        };
        // Where a piece of the run's own route came or went, the router sees other objects.
        let First {
            at,
            sides,
            objects,
            route,
        } = if self.follow_route(&first.route).await? {
            self.read(self.cluster.clock().now()).await?
        } else {
            first
        };
        let (stable, canary) = self.facts(&sides);
        Ok(Sight {
            at,
            stable,
            canary,
            absent: Workload {
                name: self.saved.release.stable.clone(),
                ..Workload::default()
            },
            sides,
            objects,
            route,
        })
    }

    /// Returns the facts about both sides; those of before, when nothing has changed.
    fn facts(&mut self, sides: &Sides) -> (Option<Workload>, Option<Workload>) {
        let before = &self.before;
        let tracks = &self.saved.release.tracks;
        if before.tracks != *tracks {
            self.before = Before {
                sides: sides.clone(),
                tracks: tracks.clone(),
                stable: sides.workload(Track::Stable, tracks),
                canary: sides.workload(Track::Canary, tracks),
            };
        } else if !before.sides.are(sides) {
            let make = |track, known: &Option<Workload>| {
                sides.workload_after((&before.sides, known.as_ref()), track, tracks)
            };
            let stable = make(Track::Stable, &before.stable);
            let canary = make(Track::Canary, &before.canary);
            self.before = Before {
                sides: sides.clone(),
                tracks: tracks.clone(),
                stable,
                canary,
            };
        }
        (self.before.stable.clone(), self.before.canary.clone())
    }

    async fn read(&self, at: Timestamp) -> Result<First, EngineError> {
        let release = &self.saved.release;
        let before = &self.before.sides;
        let sides = async {
            let (stable, canary) = (&release.stable, &release.canary);
            let sides = self.cluster.sides(stable, canary, &self.labels, before);
            sides.await.map_err(EngineError::from)
        };
        let objects = async { self.router.fetch().await.map_err(EngineError::from) };
        let (sides, objects, route) = futures::try_join!(sides, objects, self.read_route())?;
        Ok(First {
            at,
            sides,
            objects,
            route,
        })
    }

    /// Looks at the checks that matter in the phase with this split, when they are due.
    async fn look(&mut self, sight: &Sight, split: &Split) {
        let release = &self.saved.release;
        let phase = (release.phase, release.since);
        if self.results.phase != Some(phase) {
            self.results = Results {
                phase: Some(phase),
                ..Results::default()
            };
        }
        let weight = split.actual;
        let now = self.cluster.clock().now();
        let looks = looks(release, now, split.set.max(weight));
        self.canary_pods = split.canary_ready;
        let due = due(
            release,
            looks,
            self.results.looked,
            (now, self.sees_at_once()),
        );
        if due == Due::Nothing {
            return;
        }
        let direct = due == Due::Requests && !self.lag().is_zero();
        let asked = subjects(looks).iter().filter_map(|(track, wanted)| {
            let workload = sight.workload(*track)?;
            let checks = release.plan.checks.iter();
            let checks = checks.filter(|c| wanted(c) && due.includes(c));
            let checks: Vec<CheckSpec> = checks.cloned().collect();
            if checks.is_empty() && due == Due::Requests {
                return None;
            }
            let other = sight.stable.as_ref().filter(|_| *track == Track::Canary);
            let asking = self.ask(*track, (workload, other), &sight.sides, (checks, direct));
            Some(async { (*track, asking.await) })
        });
        let asked = futures::future::join_all(asked);
        let (asked, took) = attend(self.cluster.clock(), asked).await;
        self.note_attended(took);
        for (track, mut seen) in asked {
            if direct {
                self.note_pods(&mut seen, now);
            }
            let youngest = sight.workload(track).and_then(Workload::youngest);
            let results = self.judge_all(track, &seen, (weight, youngest));
            self.note_look((track, due), results, now);
        }
        // Nothing counts requests: nothing is due sooner either.
        self.results.looked.requests = Some(now);
    }

    /// Returns how old may be what the metrics provider shows.
    pub(super) fn lag(&self) -> Duration {
        let source = self.probes.source.as_ref();
        source.map_or(Duration::ZERO, |source| source.lag())
    }

    /// Returns whether requests can be looked at as they come: by a source that is not behind, or at the pods themselves;
    /// and whether what a pod does for a moment is covered.
    pub(super) fn sees_at_once(&self) -> bool {
        let now = self.cluster.clock().now();
        let silent = self.pods_silent_until.is_some_and(|until| now < until);
        let source = self.probes.source.as_ref();
        let at_pods = source.is_some_and(|source| source.at_pods().is_some()) && !silent;
        let at_once = self.lag().is_zero() || at_pods;
        at_once
            && is_immune(
                &self.saved.release,
                self.divides_by_weight(),
                self.canary_pods,
            )
    }

    fn divides_by_weight(&self) -> bool {
        matches!(self.router.grain(), Grain::Weight(_))
    }

    /// Leaves pods alone for a while that did not say what a look at them was for.
    fn note_pods(&mut self, seen: &mut Seen, now: Timestamp) {
        let counts = |readings: &[Reading]| {
            let counted = |reading: &Reading| matches!(reading.sample, Sample::Totals { .. });
            readings.iter().any(counted)
        };
        let counted = |seen: &Counting| counts(&seen.canary) && counts(&seen.stable);
        if !seen.counting.as_ref().is_some_and(counted) {
            seen.counting = None;
            seen.readings.retain(|(check, _)| !check.rule.counts());
            self.pods_silent_until = now.checked_add(SILENT_PODS).ok();
        }
    }

    /// Keeps the results of a look that began at `now`, and tells them.
    fn note_look(&mut self, (track, due): (Track, Due), new: Vec<CheckResult>, now: Timestamp) {
        let results = match track {
            Track::Stable => &mut self.results.stable,
            Track::Canary => &mut self.results.canary,
        };
        if due == Due::All {
            *results = new;
            self.results.looked.all = Some(now);
        } else {
            renew(results, new);
        }
        let results = match track {
            Track::Stable => self.results.stable.clone(),
            Track::Canary => self.results.canary.clone(),
        };
        let at = self.cluster.clock().now();
        let kind = EventKind::Checked { track, results };
        let event = Event { at, kind };
        if self.claim.is_some() {
            // The run's first look comes after its beginning, which is told once it is recorded.
            self.untold.push(event);
        } else {
            (self.sink)(&event);
        }
    }

    /// Looks at some checks on the canary and judges them.
    pub(super) async fn look_at(
        &mut self,
        sight: &Sight,
        checks: Vec<CheckSpec>,
        weight: Percent,
    ) -> Vec<CheckResult> {
        let Some(canary) = &sight.canary else {
            return Vec::new();
        };
        let sides = (canary, sight.stable.as_ref());
        let asked = (checks, false);
        let seen = self.ask(Track::Canary, sides, &sight.sides, asked).await;
        self.judge_all(Track::Canary, &seen, (weight, canary.youngest()))
    }

    /// Returns what the probes of some checks, and the metrics provider, see of one side; of the canary
    /// beside the `other` one. Everything is asked at the same time; where it is to be `direct`, the pods are asked in
    /// place of a source that shows later what they show.
    async fn ask(
        &self,
        track: Track,
        (workload, other): (&Workload, Option<&Workload>),
        sides: &Sides,
        (checks, direct): (Vec<CheckSpec>, bool),
    ) -> Seen {
        let release = &self.saved.release;
        let now = self.cluster.clock().now();
        let look_at = |track, workload| Look {
            workload,
            pods: &sides.pods,
            service: self.service.as_ref(),
            started: release.started,
            at: now,
            facts: Facts {
                app: &release.app,
                stable: &release.stable,
                canary: &release.canary,
                service: release.service.as_deref(),
                track,
                weight: Some(release.target),
            },
        };
        let look = look_at(track, workload);
        let stable = other.map(|stable| look_at(Track::Stable, stable));
        let (counted, asked): (Vec<CheckSpec>, Vec<CheckSpec>) =
            checks.into_iter().partition(|check| check.rule.counts());
        let latency = counted
            .iter()
            .any(|c| matches!(c.rule, Rule::Latency { .. }));
        let source = self
            .probes
            .source
            .as_deref()
            .filter(|_| !counted.is_empty());
        let counting = async {
            let source = if direct { source?.at_pods()? } else { source? };
            let theirs = async {
                match &stable {
                    Some(stable) => source.count(stable, latency).await,
                    None => Vec::new(),
                }
            };
            let (canary, stable) = futures::join!(source.count(&look, latency), theirs);
            let asked = source.place();
            Some(Counting {
                canary,
                stable,
                asked,
                witness: if direct {
                    Witness::Pods
                } else {
                    Witness::Source
                },
            })
        };
        let probing = asked.into_iter().map(|check| {
            let probe = self.probes.of(&check);
            readings(check, probe, &look, stable.as_ref())
        });
        let probing = futures::future::join_all(probing);
        let (counting, mut readings) = futures::join!(counting, probing);
        readings.extend(counted.into_iter().map(|check| (check, Vec::new())));
        let order = |check: &CheckSpec| {
            release
                .plan
                .checks
                .iter()
                .position(|c| c.name == check.name)
        };
        readings.sort_by_key(|(check, _)| order(check));
        Seen { readings, counting }
    }

    /// Takes what was seen of a side into the record.
    fn judge_all(
        &mut self,
        track: Track,
        seen: &Seen,
        (weight, youngest): (Percent, Option<Timestamp>),
    ) -> Vec<CheckResult> {
        let glance = Glance {
            now: self.cluster.clock().now(),
            weight,
            lag: self.lag(),
            youngest,
            by_weight: self.divides_by_weight(),
        };
        take_in(&mut self.saved.release, track, seen, glance)
    }

    /// Starts, aims or ends the load of the plan.
    pub(super) fn steer_load(&mut self, sides: &Sides, seen: &Observation) {
        let phase = self.saved.release.phase;
        let watched = matches!(
            phase,
            Phase::Shifting
                | Phase::Holding
                | Phase::Resting
                | Phase::Approving
                | Phase::PromoteShift
                | Phase::PromoteTemplate
                | Phase::PromoteScale
                | Phase::PromoteCheck
        );
        let Some(load) = self.saved.release.plan.load.as_ref().filter(|_| watched) else {
            self.load = None;
            return;
        };
        if self.load.is_none() {
            self.load = Some(Runner::start(&self.cluster, load));
        }
        let (stable_share, canary_share) = shares(seen.split.actual);
        let mut destinations = self.destinations(seen.stable.as_ref(), &sides.pods, stable_share);
        destinations.extend(self.destinations(seen.canary.as_ref(), &sides.pods, canary_share));
        if let Some(runner) = &self.load {
            runner.aim(destinations);
        }
    }

    fn destinations(
        &self,
        side: Option<&Workload>,
        pods: &[LivePod],
        share: f64,
    ) -> Vec<Destination> {
        let ready = |pod: &&LivePod| {
            let name = pod.name();
            side.is_some_and(|s| s.pods.iter().any(|p| p.name == name && p.ready))
        };
        let ready: Vec<&LivePod> = pods.iter().filter(ready).collect();
        let count = u32::try_from(ready.len()).unwrap_or(u32::MAX);
        let destination = |pod: &&LivePod| {
            let place = Place {
                pod: pod.name().to_owned(),
                uid: pod.metadata.uid.clone(),
                port: pod.app_port(self.service.as_ref())?,
            };
            Some(Destination {
                place,
                share: share / f64::from(count),
            })
        };
        ready.iter().filter_map(destination).collect()
    }
}
