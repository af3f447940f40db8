//! Beginning a run.
//!
//! Owns: whether there is anything to release, and where each verb begins. Must not: change anything
//! in the cluster but the journal.

use jiff::Timestamp;

use super::{Begun, Intent, Order, draft::draft, refuse_to_stay, refused};
use crate::{
    cluster::{
        Cluster,
        discover::Names,
        objects::Survey,
        workloads::{Sides, common_labels},
    },
    domain::{
        event::EventKind,
        release::{Cause, Outcome, Phase, Release},
        weight::Percent,
        workload::Track,
    },
    engine::{Engine, EngineError},
    journal::{Journal, Saved},
};

pub(super) async fn fresh(
    cluster: &Cluster,
    order: Order,
    survey: &Survey,
    journal: Option<Journal>,
    known: Option<Saved>,
) -> Result<Begun, EngineError> {
    // What the record says counts only where a driver of its run signed it.
    let believed = known.as_ref().filter(|saved| saved.doubt().is_none());
    let names = swapped(order.names.clone(), believed);
    let order = Order { names, ..order };
    let Some(stable) = survey.deployment(&order.names.stable) else {
        let text = format!(
            "no Deployment {}/{}",
            cluster.namespace(),
            order.names.stable
        );
        return Err(refused(text, "check the name, --stable and --namespace"));
    };
    let canary = survey.deployment(&order.names.canary);
    let labels = common_labels(stable, canary);
    let sides = cluster
        .sides_in(survey, &order.names.stable, &order.names.canary, &labels)
        .await?;
    let now = cluster.clock().now();
    let mut release = draft(cluster, &order, stable, &sides, now)?;
    if let Some(unfinished) = believed.filter(|saved| !saved.release.is_over()) {
        release.origin.go_on_from(&unfinished.release.origin);
    }
    if let Some(last) = believed {
        inherit(&mut release, &last.release, &order.intent);
    }
    if matches!(order.intent, Intent::Auto { .. } | Intent::Promote) {
        refuse_to_stay(&release)?;
    }
    if let Intent::Auto { restart, .. } = &order.intent {
        if let Some(nothing) = worth_it(&release, believed, *restart, &sides)? {
            return Ok(Begun::Nothing(nothing));
        }
    } else if canary.is_none() && order.intent != Intent::Look {
        return no_canary(&order);
    }
    let intent = order.intent.clone();
    release.started = now;
    let last = believed.map(|saved| saved.release.clone());
    let saved = Saved::after(known, release)?;
    let mut engine = Engine::bind(cluster, order, survey, journal, saved).await?;
    if intent == Intent::Look {
        return Ok(Begun::Run(Box::new(engine)));
    }
    if let Some(nothing) = aim(&mut engine, &intent, last.as_ref(), now).await? {
        return Ok(Begun::Nothing(nothing));
    }
    engine.claim(false);
    let release = engine.release();
    let started = EventKind::Started {
        id: release.id.clone(),
        steps: release.plan.steps.iter().map(|s| s.weight).collect(),
        change: release.change(),
        live: None,
    };
    engine.announce(started);
    Ok(Begun::Run(Box::new(engine)))
}

/// Takes over the route that the run before made for itself and has not taken away: this one does. Where it is
/// gone, whoever looks at the app or takes the canary back knows that its router has nothing to move.
fn inherit(release: &mut Release, last: &Release, intent: &Intent) {
    let Some(route) = last.route.as_ref().filter(|_| release.route.is_none()) else {
        return;
    };
    let looks = matches!(intent, Intent::Look | Intent::Rollback);
    if !route.gone || looks && release.router == last.router {
        release.router = last.router.clone();
        release.route = Some(route.clone());
    }
}

/// Sets the phase in which a verb begins; returns why there is nothing to do, if that is so.
async fn aim(
    engine: &mut Engine,
    intent: &Intent,
    last: Option<&Release>,
    now: Timestamp,
) -> Result<Option<String>, EngineError> {
    match intent {
        Intent::Auto { .. } | Intent::Look => {}
        Intent::Set(change) => {
            let split = engine.split().await?;
            let weight = change
                .from(split.set)
                .map_err(|e| refused(e.to_string(), "give a weight from 0 to 100"))?;
            engine.retarget(weight, now);
        }
        Intent::Rollback => {
            let split = engine.split().await?;
            if split.set == Percent::ZERO && split.settled && split.pinned.is_empty() {
                return Ok(Some(nothing_to_roll_back(last)));
            }
            engine.go(Phase::RollingBack, Percent::ZERO, now);
            engine.ends_by_operator();
            engine.persist();
        }
        Intent::Promote => {
            let split = engine.split().await?;
            let release = engine.release();
            if release.revision == release.origin.stable_revision {
                let text = "nothing to promote: stable runs the canary's version already";
                return Ok(Some(text.to_owned()));
            }
            engine.go(Phase::Holding, split.set, now);
        }
    }
    Ok(None)
}

fn no_canary(order: &Order) -> Result<Begun, EngineError> {
    if order.intent == Intent::Rollback {
        let text = format!(
            "nothing to roll back: there is no Deployment {}",
            order.names.canary
        );
        return Ok(Begun::Nothing(text));
    }
    let text = format!("there is no canary Deployment {}", order.names.canary);
    let hint = format!(
        "create it with `canaryctl auto {} --image IMAGE`",
        order.app
    );
    Err(refused(text, &hint))
}

fn nothing_to_roll_back(last: Option<&Release>) -> String {
    match last.and_then(|r| r.ending) {
        Some(Outcome::Promoted) => {
            let from = last.map(|r| r.origin.stable_images.values().cloned().collect::<Vec<_>>());
            format!(
                "nothing to roll back: the last release was promoted; to return to what was before, release {} as a canary",
                from.unwrap_or_default().join(", ")
            )
        }
        Some(_) | None => "nothing to roll back: the canary receives no traffic".to_owned(),
    }
}

/// After a promotion by swapping, the roles recorded in the journal hold.
fn swapped(names: Names, known: Option<&Saved>) -> Names {
    let last = known.map(|saved| &saved.release);
    let swapped = last.is_some_and(|r| r.stable == names.canary && r.canary == names.stable);
    if !swapped {
        return names;
    }
    let mut found_by = names.found_by;
    found_by.push("roles as recorded by the last release".to_owned());
    Names {
        stable: names.canary,
        canary: names.stable,
        found_by,
        ..names
    }
}

/// Returns whether what admission rewrote in the last run is ordered again, over what that run left.
fn is_asked_again(last: &Release, release: &Release, sides: &Sides) -> bool {
    let asked = &last.stored.asked;
    let ordered = release.images.iter();
    let same = |(container, image): (&String, &String)| {
        asked.get(container).or(last.images.get(container)) == Some(image)
    };
    let left = sides.workload(Track::Canary, &release.tracks);
    let left = left.is_some_and(|canary| canary.revision == last.revision);
    !asked.is_empty() && !release.images.is_empty() && ordered.into_iter().all(same) && left
}

/// Returns whether stable runs what the last run promoted.
fn is_promoted(last: &Release, release: &Release) -> bool {
    let runs = &release.origin.stable_revision;
    let promoted = last.stored.promoted.as_ref();
    last.ending == Some(Outcome::Promoted)
        && (*runs == last.revision || promoted.is_some_and(|p| p.revision == *runs))
}

/// Returns why there is nothing to release, or an error when it must not be released.
fn worth_it(
    release: &Release,
    known: Option<&Saved>,
    restart: bool,
    sides: &Sides,
) -> Result<Option<String>, EngineError> {
    let last = known.map(|saved| &saved.release).filter(|r| r.is_over());
    let again = last.is_some_and(|last| is_asked_again(last, release, sides));
    if again && last.is_some_and(|last| is_promoted(last, release)) {
        return Ok(Some(
            "nothing to do: this version was promoted already".to_owned(),
        ));
    }
    if release.revision == release.origin.stable_revision {
        if last
            .is_some_and(|r| r.ending == Some(Outcome::Promoted) && r.revision == release.revision)
        {
            return Ok(Some(
                "nothing to do: this version was promoted already".to_owned(),
            ));
        }
        let text = if sides.canary.is_some() {
            format!(
                "{} and {} run the same version",
                release.stable, release.canary
            )
        } else {
            format!(
                "there is no canary Deployment {}, and no new image was given",
                release.canary
            )
        };
        return Err(refused(
            text,
            "give the new version with --image [CONTAINER=]IMAGE",
        ));
    }
    if let Some(last) = last
        && last.ending == Some(Outcome::RolledBack)
        && (last.revision == release.revision || again)
        && matches!(last.cause, Some(Cause::Unhealthy | Cause::Unknown))
        && !restart
    {
        let why = last.reason.clone().unwrap_or_default();
        let text = format!("this version was rolled back by release {}: {why}", last.id);
        return Err(refused(
            text,
            "release another version, or try this one again with --restart",
        ));
    }
    Ok(None)
}
