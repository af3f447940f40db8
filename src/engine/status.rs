//! A look at a release without touching it.
//!
//! Owns: gathering a [`StatusView`]. Must not: write anything, not even the journal.

use super::{Engine, EngineError};
use crate::domain::{
    release::{Outcome, Release},
    view::{DOCUMENT, RunView, StatusView},
    weight::Percent,
};

impl Engine {
    /// Reads everything about the release as it stands; asks the pods only with `checks`.
    /// `command` writes the command line of a verb for this app.
    pub async fn view(
        &mut self,
        (found_by, doubt): (Vec<String>, Option<String>),
        checks: bool,
        command: &(dyn Fn(&str) -> String + Sync),
    ) -> Result<StatusView, EngineError> {
        let release = self.saved.release.clone();
        let recorded = self.saved.is_recorded();
        let sight = self.sight().await?;
        let active = recorded && !release.is_over();
        let mut split = self.router.read(release.target, &sight.scene())?;
        if !active {
            // Without a run nothing is wanted but what is.
            split = self.router.read(split.set, &sight.scene())?;
        }
        let results = if checks {
            let checks = release.plan.at_steps().cloned().collect();
            self.look_at(&sight, checks, split.actual).await
        } else {
            Vec::new()
        };
        let waits_for = split.waits_for.clone().filter(|_| active);
        let live = split.set > Percent::ZERO;
        // A record that nobody believes is not gone on with.
        let next = match &doubt {
            Some(_) if live => command("rollback"),
            Some(_) | None => next(&release, recorded, live, command),
        };
        Ok(StatusView {
            version: DOCUMENT,
            app: release.app.clone(),
            namespace: release.namespace.clone(),
            router: release.router.name.clone(),
            found_by,
            doubt,
            next,
            undo: (active || live).then(|| command("rollback")),
            run: recorded.then(|| run_view(&release)),
            split: Some(split),
            served: release
                .meters
                .served(self.cluster.clock().now())
                .filter(|_| active),
            stable: sight.stable,
            canary: sight.canary,
            checks: results,
            waits_for,
        })
    }
}

/// Returns the view of a run.
pub fn run_view(release: &Release) -> RunView {
    RunView {
        id: release.id.clone(),
        group: release.group.clone(),
        passed: release.passed,
        phase: release.phase,
        step: release.step_number(),
        steps: release.plan.steps.iter().map(|s| s.weight).collect(),
        target: release.target,
        braked: release.braking.from(),
        since: release.since,
        started: release.started,
        ended: release.ended,
        outcome: release.ending.filter(|_| release.is_over()),
        reason: release.reason.clone(),
        holder: release.holder.clone(),
    }
}

fn next(
    release: &Release,
    recorded: bool,
    live: bool,
    command: &(dyn Fn(&str) -> String + Sync),
) -> String {
    if recorded && !release.is_over() {
        return match &release.holder {
            Some(_) => command("monitor"),
            None => command("auto"),
        };
    }
    match release.ending.filter(|_| recorded) {
        Some(Outcome::Incomplete) => command("rollback"),
        Some(_) | None if live => command("auto"),
        Some(_) | None => format!("{} --image IMAGE", command("auto")),
    }
}
