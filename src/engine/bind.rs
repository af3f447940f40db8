//! A run put together: its record, router, probes and what was read of the cluster so far.
//!
//! Owns: making an [`Engine`], and what a verb sets on it before its first round. Must not: change
//! anything in the cluster.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    Engine, EngineError, Results,
    attended::Attended,
    keep::Keeping,
    observe::{Before, First},
    route::{bind_router, standings_in},
    start::Order,
};
use crate::{
    cluster::{Cluster, objects::Survey, workloads::common_labels},
    domain::{
        event::{Event, EventKind},
        plan::Step,
        release::{Cause, Holder, Outcome, Phase},
        split::Split,
        weight::Percent,
    },
    health,
    journal::{Journal, Saved},
};

impl Engine {
    pub(super) async fn bind(
        cluster: &Cluster,
        order: Order,
        survey: &Survey,
        journal: Option<Journal>,
        mut saved: Saved,
    ) -> Result<Self, EngineError> {
        // What is asked outside the release is never taken from the record, and never gets into it.
        let probes = health::bind_all(&mut saved.release.plan, &order.plan, cluster)?;
        let release = &saved.release;
        let bound_at = standings_in(survey, release);
        let router = bind_router(cluster, release, survey, &bound_at)?;
        let service = release.service.as_deref();
        let service = service.and_then(|name| survey.service(name)).cloned();
        let canary = survey.deployment(&release.canary);
        let mut labels = survey
            .deployment(&release.stable)
            .map(|stable| common_labels(stable, canary))
            .unwrap_or_default();
        // A canary that is made later differs in these; its pods must be found, too.
        labels.retain(|key, _| !release.tracks.labels.contains_key(key));
        let sides = cluster
            .sides_in(survey, &release.stable, &release.canary, &labels)
            .await?;
        let first = First {
            at: survey.at,
            sides,
            objects: router.pick(survey),
            route: bound_at.clone(),
        };
        Ok(Self {
            cluster: cluster.clone(),
            journal,
            router,
            bound_at,
            probes,
            service,
            labels,
            before: Before::default(),
            first: Some(first),
            claim: None,
            keeping: Keeping::of(&order.intent),
            persisted: None,
            persisted_at: cluster.clock().now(),
            results: Results::default(),
            load: None,
            waiting_for: String::new(),
            written: BTreeSet::new(),
            wrote: None,
            audit_warned: false,
            audit_off: None,
            pods_silent_until: None,
            canary_pods: 0,
            unaudited: Vec::new(),
            untold: Vec::new(),
            canary_uid: None,
            attended: Attended::new(cluster.clock()),
            seat: None,
            process: order.own.process().cloned(),
            begun: false,
            noticed: None,
            aimed: Percent::ZERO,
            refused: None,
            holder: order.holder,
            who: order.who,
            sink: order.sink,
            saved,
        })
    }

    /// Returns the split as it is before the first round.
    pub(super) async fn split(&mut self) -> Result<Split, EngineError> {
        let sight = self.sight().await?;
        let split = self
            .router
            .read(self.saved.release.target, &sight.scene())?;
        // Nothing was changed since: the first round begins with the same.
        self.first = Some(sight.into_first());
        Ok(split)
    }

    /// Aims the run at a weight set by hand.
    pub(super) fn retarget(&mut self, weight: Percent, now: Timestamp) {
        let release = &mut self.saved.release;
        let below = |step: &Step| step.weight <= weight;
        release.step = release.plan.steps.iter().rposition(below).unwrap_or(0);
        if let [only] = release.plan.steps.as_mut_slice() {
            only.weight = weight;
        }
        release.step_since = now;
        release.passed = None;
        self.go(Phase::Shifting, weight, now);
    }

    pub(super) fn go(&mut self, phase: Phase, target: Percent, now: Timestamp) {
        let release = &mut self.saved.release;
        release.braking.let_go();
        release.phase = phase;
        release.target = target;
        release.since = now;
    }

    /// Notes that the run is rolled back because an operator wants it.
    pub(super) fn ends_by_operator(&mut self) {
        let release = &mut self.saved.release;
        release.ending = Some(Outcome::RolledBack);
        release.cause = Some(Cause::Operator);
        release.reason = Some("an operator asked for it".to_owned());
    }

    /// Notes that the run is not given up at the first trouble: it was begun before, or moves traffic
    /// back.
    pub(super) fn persist(&mut self) {
        self.begun = true;
    }

    /// Makes this process the driver with the first save: one write says who drives and what comes
    /// first. With `force` a driver who lives is overtaken.
    pub(super) fn claim(&mut self, force: bool) {
        self.saved.release.holder = Some(self.as_holder());
        self.claim = Some(force);
    }

    pub(super) fn as_holder(&self) -> Holder {
        let now = self.cluster.clock().now();
        Holder {
            id: self.holder.clone(),
            who: self.who.clone(),
            since: now,
            heartbeat: now,
            process: self.process.clone(),
        }
    }

    /// Says which checks have no answer here, so that nobody waits for one.
    pub(super) fn tell_of_withheld(&mut self) {
        if self.probes.withheld.is_empty() {
            return;
        }
        let text = format!(
            "not evaluated here: {}; what they ask is never taken from the journal: give -f canary.yaml",
            self.probes.withheld.join(", ")
        );
        self.tell(EventKind::Warning { text });
    }

    /// Has an event told as soon as the run is recorded.
    pub(super) fn announce(&mut self, kind: EventKind) {
        let at = self.cluster.clock().now();
        let event = Event { at, kind };
        self.record(&event);
        self.untold.push(event);
    }
}
