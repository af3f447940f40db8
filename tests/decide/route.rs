//! The route that a run makes for itself: what comes before what.

use canaryctl::domain::{
    event::EventKind,
    route::{Make, OwnRoute, Piece, Spot, Standing},
};
use serde_json::json;

use super::*;

/// A run with a Service and an Ingress of its own; the app's Service selects the canary's pods without them.
fn run(phase: Phase) -> (Release, World) {
    let step = Step {
        weight: Percent::whole(10),
        hold: Duration::from_secs(10),
        early: None,
        approve: false,
        deadline: Duration::from_secs(600),
    };
    let plan = Plan {
        steps: vec![step],
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
    let piece = |name: &str| Piece {
        at: Spot {
            group: String::new(),
            version: "v1".into(),
            kind: name.into(),
            plural: name.into(),
            namespace: "shop".into(),
            name: "web".into(),
        },
        make: Make::Create(json!({})),
        words: format!("create {name}"),
    };
    let mut release = release(plan);
    release.route = Some(OwnRoute {
        mark: "r1".into(),
        pieces: vec![piece("Service"), piece("Ingress")],
        rejoins: true,
        with_canary: false,
        gone: false,
    });
    release.origin.canary_replicas = Some(0);
    release.phase = phase;
    let mut world = World::new();
    (world.stable.1, world.canary) = (6, Some(0));
    (release, world)
}

fn seen(world: &World, release: &Release, route: [Standing; 2]) -> Observation {
    let mut seen = by_weight(world.observe(release, FINE, None));
    (seen.split.matches, seen.split.settled) = (true, true);
    seen.split.set = Percent::ZERO;
    seen.route = route.to_vec();
    seen
}

use Standing::{Foreign, Made, Missing};

#[test]
fn every_piece_is_there_before_the_canary_has_pods() {
    let (release, world) = run(Phase::Preparing);
    for (route, action) in [
        ([Missing, Missing], Action::MakeRoute(0)),
        ([Made, Missing], Action::MakeRoute(1)),
        ([Missing, Made], Action::MakeRoute(0)),
        ([Made, Made], Action::Scale(Track::Canary, 1)),
    ] {
        let seen = seen(&world, &release, route.clone());
        assert_eq!(decide(&release, &seen).action, action, "{route:?}");
    }
    // What somebody else has there ends the run.
    let seen = seen(&world, &release, [Made, Foreign("theirs".into())]);
    let release = decide(&release, &seen).release;
    assert_eq!(release.cause, Some(Cause::Refused));
    assert_eq!(release.reason.as_deref(), Some("theirs"));
}

#[test]
fn pods_go_before_the_pieces_and_these_in_the_reverse_order() {
    let (mut release, mut world) = run(Phase::Cleaning);
    release.ending = Some(Outcome::RolledBack);
    release.target = Percent::ZERO;
    world.canary = Some(2);
    let with_pods = seen(&world, &release, [Made, Made]);
    let action = decide(&release, &with_pods).action;
    assert_eq!(action, Action::Scale(Track::Canary, 0));
    world.canary = Some(0);
    let mut ending = seen(&world, &release, [Made, Made]);
    ending.canary.as_mut().unwrap().existing = 1;
    let action = decide(&release, &ending).action;
    assert!(matches!(action, Action::Wait { .. }), "{action:?}");
    let mut unread = seen(&world, &release, [Made, Made]);
    unread.route.clear();
    let action = decide(&release, &unread).action;
    assert!(matches!(action, Action::Wait { .. }), "{action:?}");
    for (route, action) in [
        ([Made, Made], Action::TakeRoute(1)),
        ([Made, Missing], Action::TakeRoute(0)),
    ] {
        let seen = seen(&world, &release, route);
        assert_eq!(decide(&release, &seen).action, action);
    }
    let over = decide(&release, &seen(&world, &release, [Missing, Missing])).release;
    assert_eq!(over.phase, Phase::Ended);
    assert!(over.route.unwrap().gone);
}

#[test]
fn what_another_client_changed_is_left_with_what_it_leads_to() {
    let (mut release, world) = run(Phase::Cleaning);
    release.ending = Some(Outcome::RolledBack);
    release.target = Percent::ZERO;
    let seen = seen(&world, &release, [Made, Foreign("theirs".into())]);
    let decision = decide(&release, &seen);
    assert_eq!(decision.release.phase, Phase::Ended);
    let told = decision.events.iter().find_map(|event| match &event.kind {
        EventKind::Warning { text } => Some(text.as_str()),
        _ => None,
    });
    let text = "left in place: theirs; not undone because of it: create Service";
    assert_eq!(told, Some(text));
}
