//! The route that a run makes for itself: when its pieces are made, and when they are taken away.
//!
//! Owns: the order. Must not: do I/O, or know kinds of objects.
//!
//! | moment | why users are safe |
//! | --- | --- |
//! | pieces are made | the canary has no pods yet, or its weight is 0; the object with the weights comes last |
//! | a weight rises | every piece is there |
//! | the canary is out of the traffic | the weight was read as 0, and the last requests have ended |
//! | the object with the weights goes | the app's own route is what it was before the run |
//! | the app's Service selects by its old labels | the canary has no pod left, not even one that terminates |

use super::{Action, Round, Turn};
use crate::domain::{
    event::EventKind,
    release::Cause,
    route::{OwnRoute, Standing},
    workload::Track,
};

impl Round<'_> {
    /// Returns the run's own route, as long as it is not taken away.
    fn own_route(&self) -> Option<&OwnRoute> {
        self.release.route.as_ref().filter(|route| !route.gone)
    }

    /// Returns the first piece of the run's own route that is missing.
    fn missing_piece(&self) -> Option<usize> {
        self.own_route()?;
        let mut standings = self.seen.route.iter();
        standings.position(|standing| *standing == Standing::Missing)
    }

    /// Returns whether all of the run's own route is there that somebody could have taken away.
    pub(super) fn has_its_route(&self) -> bool {
        self.missing_piece().is_none()
    }

    /// Returns what is missing of the run's own route, in words.
    pub(super) fn undone(&self) -> Option<&str> {
        let piece = self.own_route()?.pieces.get(self.missing_piece()?)?;
        Some(&piece.words)
    }

    /// Makes what is missing of the run's own route, before the canary gets pods. What somebody else has in
    /// its place ends the run.
    pub(super) fn make_route(&mut self) -> Option<Turn> {
        let pieces = self.own_route()?.pieces.iter();
        let pieces: Vec<String> = pieces.map(|piece| piece.at.named()).collect();
        for (at, (named, standing)) in pieces.iter().zip(&self.seen.route).enumerate() {
            match standing {
                Standing::Made => {}
                Standing::Missing => {
                    let what = format!("{named} to be made");
                    return Some(self.act_or_fail(Action::MakeRoute(at), &what));
                }
                Standing::Gone => return Some(self.without_route(format!("{named} is gone"))),
                Standing::Foreign(text) => return Some(self.without_route(text.clone())),
            }
        }
        None
    }

    fn without_route(&mut self, text: String) -> Turn {
        self.retreat(Cause::Refused, text);
        None
    }

    /// Returns what makes a missing piece again, where a weight is to rise or traffic is on the canary.
    pub(super) fn repair_route(&self) -> Option<Action> {
        self.missing_piece().map(Action::MakeRoute)
    }

    /// Returns the same on the way back: without the object that holds the weights nobody reaches the
    /// canary, but while that is there the others have to be as well.
    pub(super) fn repair_route_in_retreat(&self) -> Option<Action> {
        let weighted = self.seen.route.last()?;
        self.repair_route()
            .filter(|_| *weighted == Standing::Made && !self.seen.split.settled)
    }

    /// Returns what takes the run's own route away, one piece after the other. What somebody else has
    /// changed is left, with all that it may lead to, and told.
    pub(super) fn take_route(&mut self) -> Option<Action> {
        let route = self.own_route()?.clone();
        if let Some(canary) = self.seen.canary.as_ref().filter(|_| route.rejoins) {
            if canary.replicas > 0 {
                return Some(Action::Scale(Track::Canary, 0));
            }
            // One that terminates is no endpoint any more, but proxies may not know yet; one that never ends, on
            // a node that is lost, is not waited for for ever.
            let pods = canary.pods.len();
            let lost = self.overdue(self.release.plan.ready_timeout / 2);
            if canary.existing > 0 || pods > 0 && !lost {
                let text = format!("{}: {pods} pods to terminate", canary.name);
                return Some(self.wait(&text));
            }
        }
        // Whoever serves the route has to know of one change before what it led to goes.
        if !self.seen.split.settled {
            let what = self.waits_for();
            return Some(self.wait(&what));
        }
        if self.seen.route.len() != route.pieces.len() {
            return Some(self.wait("the route of this run to be read"));
        }
        let standings = self.seen.route.iter().enumerate().rev();
        let mut left = None;
        for (at, standing) in standings {
            match standing {
                Standing::Made => return Some(Action::TakeRoute(at)),
                Standing::Missing | Standing::Gone => {}
                Standing::Foreign(text) => {
                    left = Some((at, text.clone()));
                    break;
                }
            }
        }
        if let Some((at, text)) = left {
            let pieces = route.pieces[..at].iter().zip(&self.seen.route);
            let kept = pieces.filter(|(_, standing)| **standing == Standing::Made);
            let kept: Vec<String> = kept.map(|(piece, _)| piece.words.clone()).collect();
            let kept = if kept.is_empty() {
                String::new()
            } else {
                format!("; not undone because of it: {}", kept.join(", "))
            };
            let text = format!("left in place: {text}{kept}");
            self.emit(EventKind::Warning { text });
        }
        if let Some(route) = &mut self.release.route {
            route.gone = true;
        }
        None
    }
}
