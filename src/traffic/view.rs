//! What routers by weights tell of a split: all objects and their routes, gathered.
//!
//! Owns: the weight that counts where objects differ, and what is still waited for. Must not: read or
//! change the cluster.

use serde_json::Value;

use super::{Scene, route::Route};
use crate::{
    cluster::{routing::Place, workloads::manager_of},
    domain::{
        split::{RouteView, Split},
        weight::Percent,
        workload::{Track, Workload},
    },
};

/// What is gathered of all objects.
#[derive(Default)]
pub(super) struct View {
    shares: Vec<Percent>,
    matches: bool,
    strayed: bool,
    details: Vec<String>,
    waits_for: Vec<String>,
    routes: Vec<RouteView>,
    pub(super) pinned: Vec<String>,
}

impl View {
    /// Takes in that an object is not there; without one that is made when it is needed nobody
    /// reaches the canary.
    pub(super) fn miss(&mut self, place: &Place, wanted: Percent, made: bool) {
        self.details.push(place.named());
        if wanted > Percent::ZERO || !made {
            self.strayed = true;
            self.waits_for.push(format!("{} to exist", place.named()));
        }
    }

    /// Takes in the routes of an object, and what its status waits for.
    pub(super) fn take(
        &mut self,
        (place, object): (&Place, &Value),
        wanted: Percent,
        routes: &[Route],
        waits: Option<String>,
    ) {
        let named = place.named();
        let divides = routes.iter().any(Route::divides);
        let mut by = None;
        for route in routes {
            let left_alone = route.why_left_alone();
            let share = route.share().filter(|_| left_alone.is_none());
            if route.divides() {
                self.shares.extend(share);
                if !route.is_at(wanted) {
                    self.strayed = true;
                    by = by.or_else(|| writer(object, route));
                    self.waits_for
                        .push(format!("{named}, {}: weight {wanted}", route.name));
                }
            }
            self.routes.push(RouteView {
                object: named.clone(),
                route: route.name.clone(),
                canary: share,
                left_alone,
            });
        }
        if !divides {
            // Without a route to the canary nobody reaches it; more than that cannot be had.
            let leads = routes
                .iter()
                .any(|r| r.left_alone.is_none() && r.part(Track::Canary).is_some());
            if wanted > Percent::ZERO || leads {
                self.strayed = true;
                self.waits_for
                    .push(format!("{named}: a route with destinations of both sides"));
            }
        }
        self.waits_for
            .extend(waits.map(|what| format!("{named}: {what}")));
        let by = by.map_or_else(String::new, |by| format!(", written by {by}"));
        self.details.push(format!("{named}{by}"));
    }

    /// Takes in which routes were chosen by name: one that is not there cannot get a weight.
    pub(super) fn all_of(&mut self, chosen: &[String], wanted: Percent) {
        let is_there = |name: &String| {
            let mut routes = self.routes.iter();
            routes.any(|route| route.route == *name && route.left_alone.is_none())
        };
        let missing = chosen.iter().find(|name| !is_there(name));
        if let Some(name) = missing.filter(|_| wanted > Percent::ZERO) {
            self.strayed = true;
            self.waits_for
                .push(format!("a route {name} with destinations of both sides"));
        }
    }

    /// Returns the split: the largest weight of all routes, settled when each is as wanted.
    pub(super) fn split(mut self, wanted: Percent, scene: &Scene<'_>) -> Split {
        let set = self.shares.iter().max().copied().unwrap_or_default();
        let (stable_ready, canary_ready) = (
            scene.stable.ready_pods(),
            scene.canary.map_or(0, Workload::ready_pods),
        );
        if set < Percent::FULL && stable_ready == 0 {
            self.waits_for
                .push(format!("{}: no pod ready", scene.stable.name));
        }
        if set > Percent::ZERO && canary_ready == 0 {
            self.waits_for.push("the canary: no pod ready".to_owned());
        }
        self.matches = !self.strayed && !self.details.is_empty();
        Split {
            wanted,
            set,
            actual: set,
            matches: self.matches,
            settled: self.matches && self.waits_for.is_empty(),
            stable_ready,
            canary_ready,
            detail: format!("weights of {}", self.details.join(", ")),
            pinned: self.pinned,
            waits_for: self.waits_for.into_iter().next(),
            routes: self.routes,
        }
    }
}

/// Returns who wrote the canary's weight last, unless it was this tool. Lists have one owner, so that
/// the path ends where one begins.
fn writer(object: &Value, route: &Route) -> Option<String> {
    let place = route.part(Track::Canary)?.place.as_ref()?;
    let steps = place.pointer.split('/').skip(1);
    let steps = steps.take_while(|step| step.parse::<usize>().is_err());
    let unescaped = |step: &str| format!("f:{}", step.replace("~1", "/").replace("~0", "~"));
    let steps: Vec<String> = steps.map(unescaped).collect();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    manager_of(object, &steps)
}
