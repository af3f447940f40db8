//! Gathering everything one round needs.
//!
//! Owns: reading both sides, the split and the checks, in parallel, and the load's aim. Must not:
//! change the cluster.

use k8s_openapi::api::core::v1 as core;
use kube::ResourceExt;

use super::{Engine, EngineError, Results, due, shares};
use crate::{
    cluster::{
        objects::{first_port, pod_port},
        workloads::Sides,
    },
    domain::{
        check::{CheckSpec, Memory, Reading, Rule},
        decide::{Goal, Looks, Observation, Request, looks},
        event::{Event, EventKind},
        judge::{Circumstances, judge},
        release::Phase,
        verdict::CheckResult,
        workload::{Track, Workload},
    },
    health::{
        Look, Probe,
        load::{Destination, Runner},
    },
    traffic::Scene,
};

/// Checks on stable are remembered under this prefix.
const STABLE: &str = "stable/";

/// Returns what a probe sees, with the check it belongs to.
async fn readings<'c>(
    check: &'c CheckSpec,
    probe: &dyn Probe,
    look: &Look<'_>,
) -> (&'c CheckSpec, Vec<Reading>) {
    (check, probe.look(look).await)
}

impl Engine {
    pub(super) async fn observe(
        &mut self,
        goal: Goal,
        request: Option<Request>,
    ) -> Result<(Sides, Observation), EngineError> {
        let release = &self.saved.release;
        let sides = self
            .cluster
            .sides(&release.stable, &release.canary, &self.labels)
            .await?;
        let stable = sides.workload(Track::Stable, &release.tracks);
        let canary = sides.workload(Track::Canary, &release.tracks);
        let absent = Workload {
            name: release.stable.clone(),
            ..Workload::default()
        };
        let scene = Scene {
            stable: stable.as_ref().unwrap_or(&absent),
            canary: canary.as_ref(),
            sides: &sides,
        };
        let split = self.router.read(release.target, &scene).await?;
        self.canary_uid = sides.canary.as_ref().and_then(|live| live.typed.uid());
        self.look(&sides, stable.as_ref(), canary.as_ref()).await;
        let seen = Observation {
            now: self.cluster.clock().now(),
            split,
            grain: self.router.grain(),
            stable,
            canary,
            canary_checks: self.results.canary.clone(),
            stable_checks: self.results.stable.clone(),
            request,
            goal,
        };
        Ok((sides, seen))
    }

    /// Looks at the checks that matter in the phase, when they are due.
    async fn look(&mut self, sides: &Sides, stable: Option<&Workload>, canary: Option<&Workload>) {
        let release = &self.saved.release;
        let phase = (release.phase, release.since);
        if self.results.phase != Some(phase) {
            self.results = Results {
                phase: Some(phase),
                ..Results::default()
            };
        }
        let looks = looks(release.phase);
        let now = self.cluster.clock().now();
        if !due(looks, self.results.looked, now, release.plan.interval) {
            return;
        }
        let (track, workload, wanted): (_, _, fn(&CheckSpec) -> bool) = match looks {
            Looks::Nothing => return,
            Looks::CanaryPods => (Track::Canary, canary, |c| {
                matches!(c.rule, Rule::Pods { .. })
            }),
            Looks::Canary => (Track::Canary, canary, |_| true),
            Looks::Stable => (Track::Stable, stable, |c| c.rule.judges_state()),
        };
        let Some(workload) = workload else {
            return;
        };
        let checks: Vec<CheckSpec> = release
            .plan
            .checks
            .iter()
            .filter(|c| wanted(c))
            .cloned()
            .collect();
        let results = self.look_at(track, workload, sides, &checks).await;
        match track {
            Track::Stable => self.results.stable.clone_from(&results),
            Track::Canary => self.results.canary.clone_from(&results),
        }
        self.results.looked = Some(now);
        let at = self.cluster.clock().now();
        let kind = EventKind::Checked { track, results };
        (self.sink)(&Event { at, kind });
    }

    /// Looks at some checks on one side and judges them.
    pub(super) async fn look_at(
        &mut self,
        track: Track,
        workload: &Workload,
        sides: &Sides,
        checks: &[CheckSpec],
    ) -> Vec<CheckResult> {
        let look = Look {
            workload,
            pods: &sides.pods,
            service: self.service.as_ref(),
            started: self.saved.release.started,
        };
        let asked = checks.iter().filter_map(|check| {
            let probe = self.probes.get(&check.name)?;
            Some(readings(check, probe.as_ref(), &look))
        });
        let readings = futures::future::join_all(asked).await;
        let phase = self.saved.release.phase;
        let circumstances = Circumstances {
            steps: self.saved.release.plan.steps.len(),
            moving: matches!(
                phase,
                Phase::Preparing | Phase::Shifting | Phase::PromoteShift | Phase::PromoteScale
            ),
        };
        let memories = &mut self.saved.release.checks;
        let judged = readings.into_iter().map(|(check, readings)| {
            let name = match track {
                Track::Canary => check.name.clone(),
                Track::Stable => format!("{STABLE}{}", check.name),
            };
            let memory: &mut Memory = memories.entry(name).or_default();
            judge(check, memory, &readings, circumstances)
        });
        judged.collect()
    }

    /// Starts, aims or ends the load of the plan.
    pub(super) fn steer_load(&mut self, sides: &Sides, seen: &Observation) {
        let phase = self.saved.release.phase;
        let watched = matches!(
            phase,
            Phase::Shifting | Phase::Holding | Phase::Approving | Phase::PromoteShift
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
        pods: &[core::Pod],
        share: f64,
    ) -> Vec<Destination> {
        let ready = |pod: &&core::Pod| {
            let name = pod.name_any();
            side.is_some_and(|s| s.pods.iter().any(|p| p.name == name && p.ready))
        };
        let ready: Vec<&core::Pod> = pods.iter().filter(ready).collect();
        let count = u32::try_from(ready.len()).unwrap_or(u32::MAX);
        let destination = |pod: &&core::Pod| {
            let port = match &self.service {
                Some(service) => pod_port(service, None, pod),
                None => first_port(pod),
            }?;
            Some(Destination {
                pod: pod.name_any(),
                port,
                share: share / f64::from(count),
            })
        };
        ready.iter().filter_map(destination).collect()
    }
}
