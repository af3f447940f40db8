//! Going on with a run that is under way.
//!
//! Owns: whether it may be gone on with, what the time meanwhile counts for, and making a whole
//! release of a weight set by hand. Must not: change anything in the cluster but the journal.

use std::time::Duration;

use jiff::Timestamp;

use super::{Begun, ImageOrder, Intent, Order, refuse_to_stay, refused};
use crate::{
    cluster::{Cluster, objects::Survey},
    domain::{
        decide::elapsed,
        event::EventKind,
        plan::{Cleanup, Plan, Step},
        release::{Holder, Left, Phase, Release},
    },
    engine::{Engine, EngineError, attended::later},
    journal::{Journal, Saved},
};

/// Longest time between two ticks that counts against a wait which needs somebody to act.
const TICK: Duration = Duration::from_secs(60);

/// Longest time between two ticks that counts for a hold and against a deadline: each tick is a look, and
/// a job that did not come for longer looked at nothing.
const HOLD: Duration = Duration::from_secs(360);

pub(super) async fn resume(
    cluster: &Cluster,
    order: Order,
    survey: &Survey,
    journal: Option<Journal>,
    mut saved: Saved,
) -> Result<Begun, EngineError> {
    let now = cluster.clock().now();
    let before = saved.release.holder.clone();
    let force = order.intent == Intent::Rollback;
    saved.refuse_newer()?;
    refuse_other_images(&saved.release, &order)?;
    join(&mut saved.release, &order)?;
    skip_dead_time(&mut saved.release, before.as_ref(), now);
    if !force {
        saved.release.plan.hand_over(&order.plan);
    }
    if force && order.plan.promote.canary == Cleanup::Delete {
        // The record's plan holds, but a rollback can ask for more than the plan does.
        saved.release.plan.promote.canary = Cleanup::Delete;
    }
    if saved.release.ending.is_none() {
        // Why the last sitting stopped is no reason any more: this one goes on.
        (saved.release.cause, saved.release.reason) = (None, None);
    }
    let intent = order.intent.clone();
    let adopts = matches!(intent, Intent::Auto { .. } | Intent::Promote);
    if adopts && is_by_hand(&saved.release) {
        adopt(&mut saved.release, &order.plan, now);
    }
    if adopts {
        refuse_to_stay(&saved.release)?;
    }
    let mut engine = Engine::bind(cluster, order, survey, journal, saved).await?;
    if let Intent::Set(change) = intent {
        let split = engine.split().await?;
        let weight = change
            .from(split.set)
            .map_err(|e| refused(e.to_string(), "give a weight from 0 to 100"))?;
        engine.retarget(weight, now);
    }
    engine.claim(force);
    engine.tell_of_withheld();
    engine.persist();
    let release = engine.release();
    let resumed = EventKind::Resumed {
        id: release.id.clone(),
        phase: release.phase,
        from: before.map(|h| h.who),
    };
    engine.announce(resumed);
    Ok(Begun::Run(Box::new(engine)))
}

/// Time in which nobody drove the run counts against no wait and for no hold.
///
/// Between two ticks the run is looked after: holds go on for [`HOLD`] at most, but a wait that needs us
/// to act counts [`TICK`] at most. Who takes up a run that stopped for a person gives its waits their time
/// anew. `now` is not before anything the record speaks of.
fn skip_dead_time(release: &mut Release, before: Option<&Holder>, now: Timestamp) {
    let later = |at, dead| later(at, dead, now);
    let passive = matches!(
        release.phase,
        Phase::Holding | Phase::Resting | Phase::Approving | Phase::Draining
    );
    match (before, release.left.take()) {
        (Some(before), _) => {
            let dead = elapsed(before.heartbeat, now);
            release.since = later(release.since, dead);
            release.step_since = later(release.step_since, dead);
        }
        (None, Some(Left { at, tick: true })) => {
            let gap = elapsed(at, now);
            let counts = if passive { HOLD } else { TICK };
            release.since = later(release.since, gap.saturating_sub(counts));
            release.step_since = later(release.step_since, gap.saturating_sub(HOLD));
        }
        (None, Some(Left { at, tick: false })) => {
            release.step_since = now;
            release.gate_spent = Duration::ZERO;
            release.since = if passive {
                later(release.since, elapsed(at, now))
            } else {
                now
            };
        }
        (None, None) => {}
    }
}

/// An order for another version than the one under way is no order to go on with that one.
fn refuse_other_images(release: &Release, order: &Order) -> Result<(), EngineError> {
    let Intent::Auto { images, .. } = &order.intent else {
        return Ok(());
    };
    // Admission may have stored another image than was asked for: both names mean this version.
    let all = [&release.canary_images, &release.stored.asked];
    let known = |asked: &ImageOrder| match &asked.container {
        Some(container) => all.iter().any(|i| i.get(container) == Some(&asked.image)),
        None => all.iter().any(|i| i.values().any(|i| *i == asked.image)),
    };
    if images.iter().all(known) {
        return Ok(());
    }
    let text = format!("release {} is under way: {}", release.id, release.change());
    Err(refused(
        text,
        "resume without --image, roll it back, or start again with --restart",
    ))
}

/// A member of a group goes on with the others, or is taken back alone; the others follow it. What was begun
/// alone does not become a member, unless it was a weight set by hand.
fn join(release: &mut Release, order: &Order) -> Result<(), EngineError> {
    if order.intent == Intent::Rollback {
        return Ok(());
    }
    refuse_outside(release, order)?;
    let Some(group) = &order.group else {
        return Ok(());
    };
    if release.group.is_none() && !is_by_hand(release) {
        let text = format!(
            "{} is under way by itself in run {}, not as a member of group {}",
            release.app, release.id, group.name
        );
        let hint = format!(
            "let that run end, or take it back with `canaryctl rollback {}`",
            release.app
        );
        return Err(refused(text, &hint));
    }
    release.group = Some(group.clone());
    Ok(())
}

/// Refuses to drive a member of a group that is under way without the others.
pub(super) fn refuse_outside(release: &Release, order: &Order) -> Result<(), EngineError> {
    let Some(group) = release.group.as_ref().filter(|_| order.group.is_none()) else {
        return Ok(());
    };
    let text = format!(
        "{} is under way as a member of group {} ({})",
        release.app,
        group.name,
        group.members.join(", ")
    );
    let file = group.file.as_deref().unwrap_or("FILE");
    let hint = format!(
        "resume all of them: `canaryctl auto -n {ns} -f {file}`; or roll {app} back with `canaryctl rollback {app} -n {ns}`, and the others follow",
        app = release.app,
        ns = release.namespace,
    );
    Err(refused(text, &hint))
}

/// Returns whether the run was made by a weight set by hand: nothing is checked in it.
fn is_by_hand(release: &Release) -> bool {
    release.plan.checks.is_empty() && !release.plan.promote.auto && release.ending.is_none()
}

/// Makes a whole release of a weight set by hand: it goes on from the weight it is at.
fn adopt(release: &mut Release, plan: &Plan, now: Timestamp) {
    release.plan = plan.clone();
    release.braking.let_go();
    release.passed = None;
    let reached = |step: &Step| step.weight <= release.target;
    let at = plan.steps.iter().rposition(reached);
    release.step = at.unwrap_or(0);
    if at.is_none() {
        let first = plan.steps.first().map(|step| step.weight);
        release.target = first.unwrap_or(release.target);
    }
    release.phase = Phase::Shifting;
    (release.since, release.step_since) = (now, now);
}
