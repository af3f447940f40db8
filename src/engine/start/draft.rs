//! The record of a run that is about to begin.
//!
//! Owns: what is written down of how things were and of what is wanted. Must not: read or write the
//! cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use super::{ImageOrder, Intent, Order, refused};
use crate::{
    cluster::{
        Cluster, template,
        workloads::{Live, Sides},
    },
    domain::{
        braking::Braking,
        meters::Meters,
        plan::{OnTrouble, Plan, Step},
        release::{FORMAT, Origin, Phase, Release},
        stored::Stored,
        weight::Percent,
        workload::{Track, Tracks, Workload},
    },
    engine::EngineError,
    traffic,
};

pub(super) fn draft(
    cluster: &Cluster,
    order: &Order,
    stable: &Live,
    sides: &Sides,
    now: Timestamp,
) -> Result<Release, EngineError> {
    let images = match &order.intent {
        Intent::Auto { images, .. } => {
            let pattern = sides.canary.as_ref().unwrap_or(stable);
            containers(pattern, images)?
        }
        Intent::Set(_) | Intent::Rollback | Intent::Promote | Intent::Look => BTreeMap::new(),
    };
    let canary = sides.canary.as_ref();
    let tracks = if let Some(canary) = canary {
        Tracks::between(&stable.object, &canary.object)
    } else {
        let mut tracks = Tracks::invented(&stable.object);
        let more = order.route.iter().flat_map(|route| route.labels.clone());
        tracks.labels.extend(more);
        tracks
    };
    let id = now.strftime("%Y%m%d-%H%M%S").to_string();
    let mut wanted = match canary {
        Some(canary) => canary.template().clone(),
        None => tracks.carry(stable.template(), Track::Stable),
    };
    template::set_images(&mut wanted, &images);
    let stable_facts = sides.workload(Track::Stable, &tracks).unwrap_or_default();
    let canary_replicas = canary.map(Live::replicas);
    let plan = match order.intent {
        Intent::Auto { .. } | Intent::Promote | Intent::Look => order.plan.clone(),
        Intent::Set(_) | Intent::Rollback => by_hand(&order.plan),
    };
    Ok(Release {
        version: FORMAT,
        route: order.route.as_ref().map(|route| route.of_run(&id)),
        id,
        app: order.app.clone(),
        namespace: cluster.namespace().to_owned(),
        stable: order.names.stable.clone(),
        canary: order.names.canary.clone(),
        service: order.names.service.clone(),
        group: order.group.clone(),
        router: order.router.clone(),
        plan,
        revision: tracks.digest(&wanted, Track::Canary),
        canary_images: template::images(&wanted),
        images,
        create: canary.is_none(),
        origin: origin(stable, &stable_facts, canary_replicas, order),
        tracks,
        phase: Phase::Preparing,
        step: 0,
        target: Percent::ZERO,
        since: now,
        step_since: now,
        gate_spent: Duration::ZERO,
        approved: false,
        passed: None,
        // Who promotes by hand has tested it.
        tested: (order.intent == Intent::Promote).then_some(now),
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
        started: now,
        ended: None,
        holder: None,
        left: None,
        trail: Vec::new(),
    })
}

fn origin(stable: &Live, facts: &Workload, canary_replicas: Option<u32>, order: &Order) -> Origin {
    let on_top = traffic::adds_pods(&order.router);
    let (own, canary) = (stable.replicas(), canary_replicas.unwrap_or(0));
    let begins = matches!(order.intent, Intent::Auto { .. } | Intent::Set(_));
    // Where the canary has half as many pods or more, somebody has divided stable's own ones.
    let divided = canary * 2 >= own;
    Origin {
        stable_replicas: own,
        canary_replicas,
        total: (own + if on_top { 0 } else { canary }).max(1),
        own_replicas: (begins && !divided).then_some(own),
        stable_revision: facts.revision.clone(),
        stable_replica_set: facts.replica_set.clone(),
        stable_images: stable.images(),
    }
}

/// A plan for weights set by hand: no checks, one step, nothing by itself.
fn by_hand(plan: &Plan) -> Plan {
    let step = Step {
        weight: Percent::FULL,
        hold: Duration::ZERO,
        early: None,
        approve: false,
        deadline: plan.ready_timeout,
    };
    let mut promote = plan.promote;
    promote.auto = false;
    Plan {
        steps: vec![step],
        checks: Vec::new(),
        metrics: None,
        load: None,
        on_failure: OnTrouble::Hold,
        on_interrupt: OnTrouble::Hold,
        promote,
        ..plan.clone()
    }
}

/// Returns container → image for the given images.
pub fn containers(
    pattern: &Live,
    orders: &[ImageOrder],
) -> Result<BTreeMap<String, String>, EngineError> {
    let there = pattern.images();
    let names: Vec<&str> = there.keys().map(String::as_str).collect();
    let names = names.join(", ");
    let mut images = BTreeMap::new();
    for order in orders {
        let container = match &order.container {
            Some(container) if there.contains_key(container) => container.clone(),
            Some(container) => {
                let text = format!(
                    "{} has no container {container}; it has: {names}",
                    pattern.name()
                );
                return Err(refused(text, "give --image CONTAINER=IMAGE"));
            }
            None => {
                let mut all = there.keys();
                let (Some(only), None) = (all.next(), all.next()) else {
                    let text = format!("{} has several containers: {names}", pattern.name());
                    return Err(refused(text, "say which: --image CONTAINER=IMAGE"));
                };
                only.clone()
            }
        };
        images.insert(container, order.image.clone());
    }
    Ok(images)
}
