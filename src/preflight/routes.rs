//! The objects of the router.
//!
//! Owns: asking the router what is wrong with them. Must not: know any kind of them.

use std::time::Duration;

use super::{fine, ground::Ground};
use crate::{
    domain::view::{Finding, Severity},
    traffic::{self, Target},
};

/// How long a change of a route may take until every proxy has it; seen with Traefik: about a second.
const SPREADING: Duration = Duration::from_secs(5);

/// Returns what the router finds wrong, and what the plan leaves it too little time for.
pub(super) fn findings(ground: &Ground<'_>) -> Vec<Finding> {
    if let Some(route) = ground.subject.route {
        let pieces = route.route.pieces.iter();
        let made = pieces.map(|piece| {
            let what = format!("the release would {}, and undo it at the end", piece.words);
            fine(piece.at.named(), what)
        });
        return made.chain(route.notes.iter().cloned()).collect();
    }
    let (names, router) = (ground.subject.names, ground.subject.router);
    let target = Target {
        stable: names.stable.clone(),
        canary: names.canary.clone(),
        service: names.service.clone(),
        total: ground.total(),
    };
    let provider = traffic::provider(&router.name);
    let Some(provider) = provider else {
        return Vec::new();
    };
    let mut found = provider.findings(ground.cluster, &target, &router.options, ground.survey);
    let drain = ground.subject.plan.drain;
    if !provider.yields() && drain < SPREADING {
        found.push(Finding {
            severity: Severity::Warning,
            place: format!("drain: {}", humantime::format_duration(drain)),
            what: "the canary's pods may end before every proxy has weight 0".to_owned(),
            why: "a gateway accepts a route a moment before its proxies have it: requests in that moment fail".to_owned(),
            fix: "leave `drain` at 5s or more".to_owned(),
        });
    }
    found
}
