//! The objects of the router.
//!
//! Owns: asking the router what is wrong with them. Must not: know any kind of them.

use super::{fine, ground::Ground};
use crate::{
    domain::view::Finding,
    traffic::{self, Target},
};

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
    let found =
        provider.map(|p| p.findings(ground.cluster, &target, &router.options, ground.survey));
    found.unwrap_or_default()
}
