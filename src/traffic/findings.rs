//! What `check` says of the routes of an object.
//!
//! Owns: the findings that are the same for every kind. Must not: know kinds of objects.

use super::{Target, route::Route};
use crate::domain::{
    view::{Finding, Severity},
    workload::Track,
};

/// Returns what is good and bad about the routes of an object.
pub(super) fn about(named: &str, routes: &[Route]) -> Vec<Finding> {
    let find = |severity, what: String, why: &str, fix: &str| Finding {
        severity,
        place: named.to_owned(),
        what,
        why: why.to_owned(),
        fix: fix.to_owned(),
    };
    let mut found = Vec::new();
    for route in routes {
        let name = &route.name;
        for part in &route.parts {
            let Some(trouble) = &part.trouble else {
                continue;
            };
            // One without weight is to get some: a release must not find out then.
            found.push(find(
                Severity::Error,
                format!("{name}: {trouble}"),
                "requests that go there fail, or reach the wrong side",
                "make its selector match only one side",
            ));
        }
        if let Some(trouble) = route.trouble() {
            found.push(find(
                Severity::Error,
                trouble,
                "it is not clear which of their weights is the side's",
                "leave one destination for each side",
            ));
        }
        let text = match (route.share(), route.why_left_alone()) {
            (Some(share), None) => {
                format!("{name} divides traffic between both sides: canary {share}")
            }
            (None, None) => {
                format!("{name} divides traffic between both sides; both weights are 0")
            }
            (_, Some(why)) => format!("{name} is left alone: it {why}"),
        };
        found.push(find(Severity::Ok, text, "", ""));
    }
    if !routes.iter().any(Route::divides) {
        found.push(find(
            Severity::Error,
            "no route of it holds both sides".to_owned(),
            "no weight can be set",
            "give a route both destinations, the canary's with weight 0",
        ));
    }
    found
}

/// Returns what is to be said of an object because of which pods do not divide the traffic.
pub(super) fn misfit(named: &str, why: &str, target: &Target) -> Finding {
    let Target { stable, canary, .. } = target;
    Finding {
        severity: Severity::Error,
        place: named.to_owned(),
        what: why.to_owned(),
        why: format!(
            "its traffic does not follow the replica counts of {stable} and {canary}: at 100% it may reach none, at 0% still the canary"
        ),
        fix: "give its route both sides as destinations, the canary's with weight 0, or say --router replicas where its traffic does not matter".to_owned(),
    }
}

/// Returns what is to be said of an object of another namespace that divides the app's traffic.
pub(super) fn divides(named: &str, router: &str, target: &Target) -> Finding {
    let Target { stable, canary, .. } = target;
    Finding {
        severity: Severity::Error,
        place: named.to_owned(),
        what: format!(
            "it divides the traffic between {stable} and {canary} from another namespace"
        ),
        why: "replica counts do not move what a route splits".to_owned(),
        fix: format!(
            "name it in the configuration file, as the object of `router: {{{router}: …}}`, or say --router replicas where its traffic does not matter"
        ),
    }
}

/// Returns what is to be said of an object whose weight holds for a route of somebody else as well.
pub(super) fn stray(named: &str, route: &Route) -> Finding {
    let services: Vec<&str> = route.parts.iter().map(|part| part.name.as_str()).collect();
    Finding {
        severity: Severity::Error,
        place: named.to_owned(),
        what: format!(
            "its weight holds for {} as well, which leads to {}",
            route.name,
            services.join(" and ")
        ),
        why: "its users would be moved with this release, and two releases would revert each other's weight".to_owned(),
        fix: "give the release an object of its own, with its routes alone".to_owned(),
    }
}

/// Returns what is to be said of a side that has no ready pod and gets traffic all the same.
pub(super) fn without_pods(named: &str, routes: &[Route], track: Track) -> Option<Finding> {
    let gets = |route: &&Route| route.part(track).is_some_and(|part| part.weight > 0);
    let dividing = routes.iter().filter(|route| route.divides()).find(gets);
    let route = dividing.or_else(|| routes.iter().find(gets))?;
    let part = route.part(track)?;
    Some(Finding {
        // A route of the canary alone, such as one behind a header, waits for it between releases.
        severity: if route.divides() {
            Severity::Error
        } else {
            Severity::Note
        },
        place: named.to_owned(),
        what: format!(
            "{} sends traffic to {}, which leads to no ready pod of {}",
            route.name,
            part.name,
            track.word()
        ),
        why: "requests that take this route fail now".to_owned(),
        fix: format!(
            "look why the pods of {} are not ready, or take the weight away",
            track.word()
        ),
    })
}
