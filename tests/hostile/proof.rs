//! What must be true whatever was done: the safety rules, an end that is said, and a rollback that is
//! done when it was asked for.
//!
//! Owns: the rules, each on what the cluster's own history says. Must not: believe what was told, but
//! where the rule is about what was told.

use std::collections::BTreeMap;

use canaryctl::sim::store::{ChangeKind, Key};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    draw::{Calls, Disturbance, Route, Span, Story, Version, What, Window},
    support::{CANARY, NAMESPACE, STABLE, is_ready, weights::ByWeights},
    world::{HOLD, PODS, Ran, Role, Tale},
};

const OLD: &str = "registry.example/payment-api:1.5.0";
const NEW: &str = "registry.example/payment-api:2.0.0";

/// Seconds of a stop that may count for a hold: the wait in which it came, and a look.
const CREDIT: i64 = 21;

/// Age of a look in seconds at which the next one is due, and a moment more.
const LOOK: i64 = 12;

/// Seconds in which a release has not begun to move anything.
const BEGINNING: u64 = 5;

/// Rules that were broken.
pub(super) struct Proof<'a> {
    story: &'a Story,
    tale: &'a Tale,
    broken: Vec<String>,
}

/// Returns every rule that a story broke.
pub(super) fn broken(story: &Story, tale: &Tale) -> Vec<String> {
    let mut proof = Proof {
        story,
        tale,
        broken: Vec::new(),
    };
    for ran in &tale.ran {
        proof.the_end_is_said(ran);
        proof.the_end_is_true(ran);
    }
    proof.stable_is_what_was_checked();
    proof.users_find_somebody();
    proof.only_weights_are_written();
    proof.a_rollback_is_done();
    proof.there_is_one_driver();
    proof.what_is_benign_changes_nothing();
    proof.no_step_is_skipped();
    proof.broken
}

impl Proof<'_> {
    fn hold(&mut self, holds: bool, why: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(why());
        }
    }

    /// A split that is left live is said, with the command that ends it, and is never called done.
    fn the_end_is_said(&mut self, ran: &Ran) {
        let (text, after) = (ran.text(), &ran.after);
        let known = [0, 1, 2, 3, 4, 5, 6, 130, 143].contains(&ran.code);
        self.hold(known, || format!("{:?}: code {}", ran.role, ran.code));
        if !after.is_live() {
            return;
        }
        // Whoever could not even begin left what was there before, or another one drives it.
        let own = matches!(ran.role, Role::Auto(_)) && !(ran.before.is_live() && ran.code == 2);
        let own = own && !(matches!(ran.role, Role::Auto(1..)) && ran.code == 1);
        let open = [4, 5, 6].contains(&ran.code);
        self.hold(!own || open, || {
            format!("{:?}: code {} with the split live", ran.role, ran.code)
        });
        // Where another one drives it, the end is that one's.
        let another = ran.code == 4 && text.contains("another run took over");
        if own && !another {
            self.hold(text.contains("rollback"), || {
                format!(
                    "{:?}: code {}, and no command that ends it",
                    ran.role, ran.code
                )
            });
        }
        if own && ran.code == 5 {
            self.hold(text.contains('%'), || {
                format!("{:?}: code 5, and the split is not said", ran.role)
            });
        }
    }

    /// What the exit code says is so.
    fn the_end_is_true(&mut self, ran: &Ran) {
        let after = &ran.after;
        let back = !after.is_live() && after.stable >= PODS;
        match (ran.role, ran.code) {
            (Role::Auto(_), 0) => {
                self.hold(back && after.image == NEW, || {
                    format!("{:?}: promoted, and there is {after:?}", ran.role)
                });
            }
            (Role::Auto(_), 3) => {
                self.hold(back && after.image == OLD, || {
                    format!("{:?}: rolled back, and there is {after:?}", ran.role)
                });
            }
            (Role::Rollback | Role::Last, code) => {
                self.hold(code == 0, || format!("{:?}: code {code}", ran.role));
                self.hold(back, || format!("{:?}: there is {after:?}", ran.role));
            }
            _ => {}
        }
    }

    /// A version that was never found healthy is never stable's.
    fn stable_is_what_was_checked(&mut self) {
        let good = self.story.version == Version::Healthy;
        let store = self.tale.sim.world().store();
        let key = Key::new("apps", "deployments", NAMESPACE, STABLE);
        for change in store.changes_after(100).unwrap() {
            if change.key != key {
                continue;
            }
            let image = &change.object["spec"]["template"]["spec"]["containers"][0]["image"];
            let allowed = image == OLD || (good && image == NEW);
            self.hold(allowed, || format!("stable has {image}"));
        }
    }

    /// Whoever gets requests can answer them, and stable's pods are never too few.
    fn users_find_somebody(&mut self) {
        // Somebody else gives traffic to pods that are not there, or exchanges pods.
        if self
            .story
            .has(|w| matches!(w, What::Weight(_) | What::Image))
        {
            return;
        }
        let refused = self.tale.sim.world().users().refused;
        self.hold(refused == 0, || format!("{refused} requests found nobody"));
        let mut pods: BTreeMap<String, bool> = BTreeMap::new();
        let store = self.tale.sim.world().store();
        let mut least = usize::MAX;
        for change in store.changes_after(100).unwrap() {
            if change.key.resource != "pods" {
                continue;
            }
            let ready = change.kind != ChangeKind::Deleted && is_ready(&change.object);
            pods.insert(change.key.name, ready);
            if change.version > self.tale.from {
                least = least.min(pods.values().filter(|ready| **ready).count());
            }
        }
        self.hold(least >= PODS, || format!("{least} ready pods"));
    }

    /// Of an object that holds weights nothing else changes.
    fn only_weights_are_written(&mut self) {
        let Some(by) = self.story.route.weights() else {
            return;
        };
        let store = self.tale.sim.world().store();
        let changes = store.changes_after(100).unwrap().into_iter();
        for change in changes.filter(|c| c.key == by.key() && c.version > self.tale.from) {
            let same = change.before.as_ref().is_some_and(|before| {
                without_weights(by, before) == without_weights(by, &change.object)
            });
            self.hold(same, || format!("more than weights: {}", change.object));
        }
    }

    /// Returns every share of the canary that was set, with the version of the store.
    fn shares(&self) -> Vec<(u64, u64)> {
        let store = self.tale.sim.world().store();
        let by = self.story.route.weights();
        let key = by.map_or_else(
            || Key::new("apps", "deployments", NAMESPACE, CANARY),
            ByWeights::key,
        );
        let of = |object: &Value| match by {
            Some(by) => by.of(object),
            None => object["spec"]["replicas"].as_u64().unwrap_or(0),
        };
        let changes = store.changes_after(100).unwrap().into_iter();
        let ours = changes.filter(|c| c.key == key && c.version > self.tale.from);
        let mut shares: Vec<(u64, u64)> = ours.map(|c| (c.version, of(&c.object))).collect();
        shares.dedup_by_key(|(_, share)| *share);
        shares
    }

    /// Once somebody's rollback has ended the canary gets nothing any more.
    fn a_rollback_is_done(&mut self) {
        let asked = self.tale.ran.iter().find(|ran| ran.role == Role::Rollback);
        let Some(asked) = asked else {
            return;
        };
        // A release that had not begun, or is asked for again by hand, is another one.
        let again = |ran: &Ran| ran.role != Role::Last && ran.began >= asked.ended;
        let begun = asked.before.is_live() && !self.tale.ran.iter().any(again);
        let meddled = self.story.has(|w| matches!(w, What::Weight(_)));
        if !begun || meddled {
            return;
        }
        let back = self.shares().into_iter();
        let back = back.filter(|(version, share)| *version > asked.version && *share > 0);
        let again: Vec<u64> = back.map(|(_, share)| share).collect();
        self.hold(again.is_empty(), || {
            format!("rolled back, and then the canary had {again:?}")
        });
    }

    /// A second release of the same app is refused while the first one lives.
    fn there_is_one_driver(&mut self) {
        let lives = |what: &What| match what {
            What::Fault(window) => matches!(window.span, Span::Calls(_)),
            What::Clock(_) | What::Rival | What::Image | What::Weight(_) => true,
            What::Record(_) | What::Stop(_) | What::Kill(..) | What::Signal | What::Rollback => {
                false
            }
        };
        if self.story.has(|what| !lives(what)) {
            return;
        }
        let first = self.tale.ran.iter().find(|ran| ran.role == Role::Auto(0));
        let Some(first) = first else {
            return;
        };
        let rivals = self.tale.ran.iter().filter(|ran| ran.role == Role::Rival);
        let early = |ran: &Ran| ran.began.duration_since(first.began).as_secs() < 20;
        let met = rivals.filter(|ran| !early(ran) && ran.ended < first.ended);
        let odd: Vec<u8> = met.map(|ran| ran.code).filter(|code| *code != 4).collect();
        self.hold(odd.is_empty(), || format!("a second driver: code {odd:?}"));
    }

    /// What a release gets over by itself does not change how it ends.
    fn what_is_benign_changes_nothing(&mut self) {
        let begins =
            |d: &Disturbance| d.at.as_secs() < BEGINNING && matches!(d.what, What::Fault(_));
        if !self.story.is_benign() || self.story.disturbances.iter().any(begins) {
            return;
        }
        let wanted = match self.story.version {
            Version::Healthy => 0,
            Version::Failing | Version::NeverReady => 3,
        };
        let code = self.tale.ran.iter().find(|r| r.role == Role::Auto(0));
        let code = code.map(|ran| ran.code);
        self.hold(code == Some(wanted), || {
            format!("{code:?} where nothing stood in the way of {wanted}")
        });
    }

    /// Each step has its time, and is left on a look that found all well.
    fn no_step_is_skipped(&mut self) {
        for ran in &self.tale.ran {
            let lines = ran.out.lines().filter(|line| line.starts_with('{'));
            let parsed = lines.filter_map(|line| serde_json::from_str(line).ok());
            if matches!(ran.role, Role::Auto(_)) {
                self.no_step_is_skipped_in(parsed.collect());
            }
        }
    }

    /// The same of what one process told, whose times are those of its own machine.
    fn no_step_is_skipped_in(&mut self, events: Vec<Value>) {
        let mut held: Option<(u64, Timestamp)> = None;
        let mut healthy: Option<Timestamp> = None;
        for event in events {
            let Some(at) = event["at"]
                .as_str()
                .and_then(|at| at.parse::<Timestamp>().ok())
            else {
                continue;
            };
            match event["event"].as_str() {
                Some("checked") if event["track"] == "canary" => {
                    let results = event["results"].as_array();
                    let well = results.is_some_and(|results| {
                        results.len() > 1 && results.iter().all(|r| r["verdict"] == "healthy")
                    });
                    healthy = well.then_some(at);
                }
                Some("phase-changed") => {
                    let step = event["step"].as_u64().unwrap_or(0);
                    let onward = match event["phase"].as_str() {
                        Some("holding") => {
                            // A step that is gone back to is held anew.
                            held = Some((step, at));
                            continue;
                        }
                        Some("shifting") => held.filter(|(before, _)| *before < step),
                        Some("promote-shift") => held,
                        _ => None,
                    };
                    let Some((before, since)) = onward else {
                        continue;
                    };
                    let attended = self.attended(since, at);
                    self.hold(attended >= HOLD, || {
                        format!("step {before} was left after {attended} s of {HOLD}")
                    });
                    let fresh =
                        healthy.is_some_and(|look| at.duration_since(look).as_secs() <= LOOK);
                    self.hold(fresh, || format!("step {before} was left without a look"));
                }
                _ => {}
            }
        }
    }

    /// Returns the seconds between two moments in which somebody drove the release, with what may count
    /// of each absence.
    fn attended(&self, from: Timestamp, to: Timestamp) -> i64 {
        let mut attended = to.duration_since(from).as_secs() + 1;
        for (gone, back) in &self.tale.stops {
            let absent = (*back).min(to).duration_since((*gone).max(from)).as_secs();
            attended -= (absent - CREDIT).max(0);
        }
        attended
    }
}

/// Returns an object that holds weights without them, and without what the server counts.
fn without_weights(by: &ByWeights, object: &Value) -> Value {
    let mut object = object.clone();
    for place in [Some(by.weight), by.rest].into_iter().flatten() {
        *object.pointer_mut(place).unwrap() = Value::Null;
    }
    for counted in ["resourceVersion", "generation", "managedFields"] {
        object["metadata"][counted] = Value::Null;
    }
    object
}

/// Returns a story in words.
pub(super) fn words(story: &Story) -> Vec<String> {
    let of = |window: &Window| {
        let calls = match window.calls {
            Calls::All => "calls",
            Calls::Reads => "reads",
            Calls::Writes => "writes",
            Calls::Watches => "watches",
            Calls::Forwards => "port-forwards",
            Calls::Records => "calls to the record",
            Calls::Deployments => "calls to Deployments",
        };
        let span = match window.span {
            Span::Calls(count) => format!("{count} of the"),
            Span::Time(time) => format!("for {} s all", time.as_secs()),
            Span::Lasting => "from then on all".to_owned(),
        };
        format!("{span} {calls} meet {}", window.fault)
    };
    let line = |d: &Disturbance| {
        let what = match &d.what {
            What::Fault(window) => of(window),
            other => format!("{other:?}"),
        };
        format!("{:7.3} s: {what}", d.at.as_secs_f64())
    };
    let lines = story.disturbances.iter().map(line);
    let route = match story.route {
        Route::Pods => "pods",
        Route::Istio => "istio",
        Route::Nginx => "nginx",
    };
    let first = format!("release {}: {:?}, by {route}", story.seed, story.version);
    std::iter::once(first).chain(lines).collect()
}
