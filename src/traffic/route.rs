//! One route of a routing object: destinations with weights.
//!
//! Owns: the canary's share of a route, and the weights that give it another one. Must not: know
//! kinds of objects. The weights of other destinations are never changed, and so they keep their
//! share.

use super::place::Place;
use crate::domain::{weight::Percent, workload::Track};

/// Sum of weights that everybody understands as percent.
const HUNDRED: u64 = 100;

/// Largest difference between the asked and the representable weight that is accepted, in whole
/// percentage points.
const NEAR: Percent = Percent::whole(2);

/// A route as an object has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// How people find it in the object, such as `http route 2`.
    pub name: String,
    /// All its destinations.
    pub parts: Vec<Part>,
    /// Which sums of weights it may have.
    pub scale: Scale,
    /// Why it is left alone though it may hold both sides.
    pub left_alone: Option<String>,
}

/// A destination of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Whose it is; `None` for somebody else's.
    pub side: Option<Track>,
    /// How people name it, such as `web/canary`.
    pub name: String,
    /// Its weight, as it works.
    pub weight: u64,
    /// Where the weight is written; `None` where it follows from the others.
    pub place: Option<Place>,
    /// What is wrong with it, such as a Service that does not exist.
    pub trouble: Option<String>,
}

/// Which sums of weights a route may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// The sum in use is kept, and is at least 100.
    Kept,
    /// The sum is this one.
    Sum(u64),
    /// Weights count against each other; the sum may grow up to this where a weight needs it.
    Relative {
        /// Largest weight that is allowed.
        most: u64,
    },
}

/// The weights of the two sides of a route: stable's and the canary's.
type Pair = (u64, u64);

impl Route {
    /// Returns whether both sides are in it.
    pub fn holds_both(&self) -> bool {
        self.pair().is_some()
    }

    /// Returns whether both sides are in it and it may change: it divides traffic between them.
    pub fn divides(&self) -> bool {
        self.left_alone.is_none() && self.holds_both()
    }

    /// Returns the destination of a side.
    pub fn part(&self, side: Track) -> Option<&Part> {
        self.parts.iter().find(|part| part.side == Some(side))
    }

    /// Returns the canary's share of what both sides get; `None` where they get nothing, or one of
    /// them is not in it.
    pub fn share(&self) -> Option<Percent> {
        let (stable, canary) = self.pair()?;
        share(stable, canary)
    }

    /// Returns whether it gives the canary this weight, or the nearest it can.
    pub fn is_at(&self, weight: Percent) -> bool {
        let exact = self.share() == Some(weight);
        exact || (self.pair().is_some() && self.weights(weight).ok() == self.pair())
    }

    /// Returns why it is left alone, if it does not divide traffic between the sides.
    pub fn why_left_alone(&self) -> Option<String> {
        if let Some(why) = &self.left_alone {
            return Some(why.clone());
        }
        match (self.part(Track::Stable), self.part(Track::Canary)) {
            (Some(_), Some(_)) => None,
            (Some(_), None) => Some("leads to stable alone".to_owned()),
            (None, Some(_)) => Some("leads to the canary alone".to_owned()),
            (None, None) => Some("leads elsewhere".to_owned()),
        }
    }

    /// Returns whether it has to do with a side, or with a Service that cannot be one's.
    pub fn concerns(&self) -> bool {
        self.parts
            .iter()
            .any(|part| part.side.is_some() || part.trouble.is_some())
    }

    /// Returns how it holds traffic at one side, so that numbers of pods do not divide it. A route to the
    /// canary alone, such as one behind a header, is beside the traffic that is divided.
    pub fn pins(&self) -> Option<String> {
        let canary = self.part(Track::Canary);
        match (self.part(Track::Stable), canary) {
            (Some(_), None) => Some(format!("{} leads to stable alone", self.name)),
            (None, Some(canary)) => {
                let other = self.parts.iter().find(|part| part.side.is_none())?;
                Some(format!(
                    "{} divides traffic between {} and {}, which does not lead to stable's pods alone",
                    self.name, canary.name, other.name
                ))
            }
            (Some(_), Some(_)) | (None, None) => None,
        }
    }

    /// Returns the weights to be written so that the canary gets `weight`, each with its place.
    ///
    /// # Errors
    ///
    /// Refused where the other destinations leave no sum in which the weight can be said.
    pub fn written(&self, weight: Percent) -> Result<Vec<(Place, u64)>, String> {
        if self.is_at(weight) {
            return Ok(Vec::new());
        }
        let (stable, canary) = self.weights(weight)?;
        let sides = [(Track::Stable, stable), (Track::Canary, canary)];
        let placed = sides.into_iter().filter_map(|(side, weight)| {
            let place = self.part(side)?.place.clone()?;
            Some((place, weight))
        });
        Ok(placed.collect())
    }

    /// Returns what makes it impossible to divide traffic by it though it holds both sides.
    pub fn trouble(&self) -> Option<String> {
        let twice = [Track::Stable, Track::Canary].into_iter().find(|side| {
            let same = self.parts.iter().filter(|part| part.side == Some(*side));
            same.count() > 1
        })?;
        let text = format!(
            "{} leads to {} by several destinations",
            self.name,
            twice.word()
        );
        self.divides().then_some(text)
    }

    /// Returns the smallest change of weight it can make.
    pub fn grain(&self) -> Percent {
        let (stable, canary) = self.pair().unwrap_or_default();
        let sum = stable.saturating_add(canary).max(HUNDRED);
        let sum = u32::try_from(sum).unwrap_or(u32::MAX);
        Percent::share(1, sum)
    }

    fn pair(&self) -> Option<Pair> {
        let stable = self.part(Track::Stable)?.weight;
        Some((stable, self.part(Track::Canary)?.weight))
    }

    /// Returns whether somebody has a weight beside the two sides.
    fn is_shared(&self) -> bool {
        self.parts
            .iter()
            .any(|part| part.side.is_none() && part.weight > 0)
    }

    fn weights(&self, weight: Percent) -> Result<Pair, String> {
        let Some((stable, canary)) = self.pair() else {
            return Err(format!("{} does not hold both sides", self.name));
        };
        let Some(present) = stable.checked_add(canary) else {
            return Err(format!(
                "{}: the weights of stable and canary are too large",
                self.name
            ));
        };
        let sum = self.sum(present, weight);
        let wanted = of(weight, sum);
        let inner = weight > Percent::ZERO && weight < Percent::FULL;
        // Who is to get a part must get something, and so must the other side.
        let sayable = !inner || sum > 1;
        let wanted = if inner && sayable {
            wanted.clamp(1, sum - 1)
        } else {
            wanted
        };
        let pair = (sum - wanted, wanted);
        let got = share(pair.0, pair.1).unwrap_or(Percent::ZERO);
        if !sayable || got.distance(weight) > NEAR {
            return Err(format!(
                "{weight} cannot be represented in {}: with the other destinations the weights of stable and canary sum to {sum}; make their sum 100, and the others' larger by as much",
                self.name
            ));
        }
        Ok(pair)
    }

    /// Returns the sum that both sides are to have.
    fn sum(&self, present: u64, weight: Percent) -> u64 {
        if let Scale::Sum(sum) = self.scale {
            return sum;
        }
        if self.is_shared() {
            return present;
        }
        let usual = if present < HUNDRED { HUNDRED } else { present };
        let Scale::Relative { most } = self.scale else {
            return usual;
        };
        let finer = [1, 10, 100, 1000].map(|factor| usual.saturating_mul(factor));
        let exact = |sum: &u64| {
            let canary = of(weight, *sum);
            share(*sum - canary, canary) == Some(weight)
        };
        let allowed = finer.into_iter().filter(|sum| *sum <= most.max(usual));
        allowed.clone().find(exact).unwrap_or(usual)
    }
}

/// Returns the weights to be written so that the canary gets `weight` in every route that divides
/// traffic, each place once.
///
/// # Errors
///
/// Refused where one of the routes cannot say the weight, or leads to one side twice.
pub fn weights(routes: &[Route], weight: Percent) -> Result<Vec<(Place, u64)>, String> {
    let mut all = Vec::new();
    for route in routes.iter().filter(|route| route.divides()) {
        if let Some(trouble) = route.trouble() {
            return Err(trouble);
        }
        for written in route.written(weight)? {
            if !all.contains(&written) {
                all.push(written);
            }
        }
    }
    Ok(all)
}

/// Returns the routes that one of the weights of the two sides moves as well, though they do not lead to both:
/// in some objects one weight holds for several routes.
pub fn moved_along(routes: &[Route]) -> impl Iterator<Item = &Route> {
    let places = |route: &Route| -> Vec<Place> {
        let parts = route.parts.iter();
        parts.filter_map(|part| part.place.clone()).collect()
    };
    let dividing = routes.iter().filter(|route| route.divides());
    let ours: Vec<Place> = dividing.flat_map(places).collect();
    let others = routes.iter().filter(|route| !route.holds_both());
    others.filter(move |route| places(route).iter().any(|place| ours.contains(place)))
}

fn share(stable: u64, canary: u64) -> Option<Percent> {
    let sum = stable.checked_add(canary).filter(|sum| *sum > 0)?;
    // Kept within 32 bits by giving up digits that no weight can tell apart.
    let excess = sum / u64::from(u32::MAX) + 1;
    let part = u32::try_from(canary / excess).ok()?;
    Some(Percent::share(part, u32::try_from(sum / excess).ok()?))
}

fn of(weight: Percent, sum: u64) -> u64 {
    u32::try_from(sum).map_or(sum, |sum| u64::from(weight.of(sum)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(side: Option<Track>, at: usize, weight: u64) -> Part {
        Part {
            side,
            name: format!("d{at}"),
            weight,
            place: Some(Place::number(format!("/{at}"))),
            trouble: None,
        }
    }

    fn route(stable: u64, canary: u64, others: &[u64], scale: Scale) -> Route {
        let mut parts = vec![
            part(Some(Track::Stable), 0, stable),
            part(Some(Track::Canary), 1, canary),
        ];
        parts.extend(
            others
                .iter()
                .enumerate()
                .map(|(i, w)| part(None, i + 2, *w)),
        );
        Route {
            name: "route".to_owned(),
            parts,
            scale,
            left_alone: None,
        }
    }

    const FREE: Scale = Scale::Relative { most: 1_000_000 };

    #[test]
    fn weights_keep_the_sum_in_use() {
        let tenth = "0.5".parse().unwrap();
        for (stable, canary, others, scale, to, expected) in [
            (100, 0, &[][..], Scale::Kept, Percent::whole(25), (75, 25)),
            (95, 5, &[], Scale::Kept, Percent::ZERO, (100, 0)),
            (950, 50, &[], FREE, Percent::whole(25), (750, 250)),
            // Weights left to their default of 1.
            (1, 1, &[], FREE, Percent::whole(25), (75, 25)),
            (100, 0, &[], FREE, tenth, (995, 5)),
            (100, 0, &[], Scale::Kept, tenth, (99, 1)),
            (0, 0, &[], Scale::Kept, Percent::whole(10), (90, 10)),
            // A destination beside them keeps its share.
            (100, 0, &[1], FREE, Percent::whole(30), (70, 30)),
            (80, 0, &[20], Scale::Kept, Percent::whole(25), (60, 20)),
        ] {
            let route = route(stable, canary, others, scale);
            assert_eq!(route.weights(to), Ok(expected), "{route:?} {to}");
        }
    }

    #[test]
    fn what_cannot_be_said_beside_others_is_refused() {
        let coarse = route(1, 1, &[1], FREE);
        assert!(coarse.weights(Percent::whole(25)).is_err());
        assert_eq!(coarse.weights(Percent::FULL), Ok((0, 2)));
        assert!(
            route(0, 0, &[100], Scale::Kept)
                .weights(Percent::whole(5))
                .is_err()
        );
    }

    /// One weight between both sides cannot be divided, however near to an end the part is.
    #[test]
    fn no_part_is_rounded_to_nothing_or_to_all() {
        for (stable, canary) in [(1, 0), (0, 1), (0, 0)] {
            let route = route(stable, canary, &[1], FREE);
            for weight in ["0.1", "1", "99", "99.9"] {
                assert!(route.weights(weight.parse().unwrap()).is_err(), "{weight}");
            }
        }
    }

    #[test]
    fn weights_without_end_are_refused() {
        let route = route(u64::MAX, 1, &[], Scale::Kept);
        for weight in [Percent::ZERO, Percent::whole(25), Percent::FULL] {
            assert!(route.weights(weight).is_err());
            assert!(!route.is_at(weight));
        }
        assert_eq!(route.share(), None);
        assert_eq!(route.grain(), Percent::share(1, u32::MAX));
    }

    #[test]
    fn a_route_of_one_side_is_left_alone() {
        let mut header = route(100, 0, &[], Scale::Kept);
        header.parts.remove(0);
        assert!(!header.divides());
        assert_eq!(header.share(), None);
        assert_eq!(
            header.why_left_alone().as_deref(),
            Some("leads to the canary alone")
        );
    }

    #[test]
    fn a_route_that_keeps_traffic_at_one_side_pins_it() {
        let both = route(100, 0, &[], Scale::Kept);
        assert_eq!(both.pins(), None);
        let mut to_stable = both.clone();
        to_stable.parts.remove(1);
        assert_eq!(
            to_stable.pins().as_deref(),
            Some("route leads to stable alone")
        );
        let mut by_header = both.clone();
        by_header.parts.remove(0);
        assert_eq!(by_header.pins(), None);
        let mut beside = route(100, 5, &[95], Scale::Kept);
        beside.parts.remove(0);
        let why =
            "route divides traffic between d1 and d2, which does not lead to stable's pods alone";
        assert_eq!(beside.pins().as_deref(), Some(why));
    }

    proptest! {
        /// Whatever the weights, a division that is accepted is read back as the weight that was
        /// asked for within the grain, leaves the others' places alone, and is stable.
        #[test]
        fn what_is_written_is_read_back(
            stable in 0u64..2000,
            canary in 0u64..2000,
            others in proptest::collection::vec(0u64..2000, 0..3),
            percent in 0u32..=100,
            kept: bool,
        ) {
            let scale = if kept { Scale::Kept } else { FREE };
            let before = route(stable, canary, &others, scale);
            let weight = Percent::whole(percent);
            let Ok((s, c)) = before.weights(weight) else {
                prop_assert!(others.iter().any(|w| *w > 0));
                return Ok(());
            };
            if (s, c) == (0, 0) {
                // Others have all of it: nobody reaches the canary.
                prop_assert_eq!((stable, canary, percent), (0, 0, 0));
                return Ok(());
            }
            if others.iter().any(|w| *w > 0) {
                prop_assert_eq!(s + c, stable + canary);
            }
            prop_assert_eq!(c == 0, percent == 0);
            prop_assert_eq!(s == 0, percent == 100);
            let after = route(s, c, &others, scale);
            prop_assert!(after.is_at(weight));
            prop_assert!(after.share().unwrap().distance(weight) <= NEAR);
            prop_assert_eq!(after.weights(weight), Ok((s, c)));
        }
    }
}
