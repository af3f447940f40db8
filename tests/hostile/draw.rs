//! What is done to a release: drawn from a seed, so that the same number is the same release.
//!
//! Owns: which faults, jumps of the clock, edits and people there are, and when they come. Must not: do
//! any of it.

use std::time::Duration;

use canaryctl::sim::fault::{Attempt, Fault};
use fastrand::Rng;
use http::Method;
use jiff::SignedDuration;

/// Seconds in which a release without disturbances is over.
const CALM: u64 = 330;

/// A release and all that is done to it.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) seed: u64,
    pub(super) route: Route,
    pub(super) version: Version,
    /// Whether it is told in JSON.
    pub(super) json: bool,
    pub(super) disturbances: Vec<Disturbance>,
}

/// What divides the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Pods,
    Istio,
    Nginx,
}

/// What the new version is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Healthy,
    /// It fails from half of the traffic on.
    Failing,
    /// Its pods never turn ready.
    NeverReady,
}

/// Something that happens at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Disturbance {
    /// Time since the release was asked for.
    pub(super) at: Duration,
    pub(super) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum What {
    /// Calls meet a fault.
    Fault(Window),
    /// The machine's clock is set.
    Clock(SignedDuration),
    /// The process is stopped.
    Stop(Duration),
    /// Somebody edits the record.
    Record(Edit),
    /// The process dies at its next call, and after some time another machine goes on, whose clock is off.
    Kill(Fault, Duration, SignedDuration),
    /// The process is told to end.
    Signal,
    /// Somebody asks for a rollback, from another machine.
    Rollback,
    /// Somebody starts the same release a second time.
    Rival,
    /// Somebody gives the canary another image.
    Image,
    /// Somebody moves the traffic.
    Weight(u32),
}

/// Calls that meet a fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Window {
    pub(super) fault: Fault,
    pub(super) calls: Calls,
    pub(super) span: Span,
}

/// Which calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Calls {
    All,
    Reads,
    Writes,
    Watches,
    Forwards,
    Records,
    Deployments,
}

/// For how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    /// So many calls.
    Calls(u32),
    /// So much time.
    Time(Duration),
    /// For ever.
    Lasting,
}

/// What is done to the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edit {
    Label,
    Annotation,
    Garbage,
    Forged(usize),
    Old,
    Foreign,
    Deleted,
    Immutable,
}

/// What a record may be made to say.
pub(super) const FORGERIES: usize = 7;

impl Calls {
    pub(super) fn has(self, call: &Attempt<'_>) -> bool {
        let forward = call.path.ends_with("/portforward");
        match self {
            Self::All => true,
            Self::Reads => *call.method == Method::GET && !call.watch && !forward,
            Self::Writes => *call.method != Method::GET && !forward,
            Self::Watches => call.watch,
            Self::Forwards => forward,
            Self::Records => call.path.contains("/configmaps"),
            Self::Deployments => call.path.contains("/deployments"),
        }
    }
}

// === drawing ===

fn one<T: Copy>(random: &mut Rng, of: &[T]) -> T {
    of[random.usize(..of.len())]
}

fn seconds(random: &mut Rng, range: std::ops::RangeInclusive<u64>) -> Duration {
    Duration::from_secs(random.u64(range))
}

/// Returns how far a clock is off: a second to an hour, in either direction.
fn off(random: &mut Rng) -> SignedDuration {
    let by = one(random, &[1, 5, 30, 61, 120, 600, 3600]);
    SignedDuration::from_secs(if random.bool() { by } else { -by })
}

fn fault(random: &mut Rng) -> Fault {
    let code = one(
        random,
        &[400, 401, 403, 404, 409, 410, 413, 422, 429, 500, 503, 504],
    );
    let again = (code == 429).then_some(1);
    let slow = seconds(random, 1..=20);
    let odd = [
        Fault::LoginPage,
        Fault::Truncated,
        Fault::Endless,
        Fault::Hang,
        Fault::Reset,
        Fault::RequestLost,
        Fault::ReplyLost,
        Fault::Stale,
        Fault::Delay(slow),
        Fault::LostWatch(Duration::from_secs(3)),
    ];
    if random.bool() {
        Fault::Status(code, again)
    } else {
        one(random, &odd)
    }
}

fn window(random: &mut Rng) -> Window {
    let fault = fault(random);
    let span = match random.u32(..10) {
        0..5 => Span::Calls(random.u32(1..=3)),
        5..8 => Span::Time(seconds(random, 1..=60)),
        8 => Span::Time(seconds(random, 60..=600)),
        _ => Span::Lasting,
    };
    let span = match (fault, span) {
        // Each costs 64 MiB of reading.
        (Fault::Endless, _) => Span::Calls(1),
        _ => span,
    };
    let calls = one(
        random,
        &[
            Calls::All,
            Calls::All,
            Calls::Reads,
            Calls::Writes,
            Calls::Watches,
            Calls::Forwards,
            Calls::Records,
            Calls::Deployments,
        ],
    );
    Window { fault, calls, span }
}

fn edit(random: &mut Rng) -> Edit {
    let forged = Edit::Forged(random.usize(..FORGERIES));
    one(
        random,
        &[
            Edit::Label,
            Edit::Annotation,
            Edit::Garbage,
            forged,
            forged,
            Edit::Old,
            Edit::Foreign,
            Edit::Deleted,
            Edit::Immutable,
        ],
    )
}

fn what(random: &mut Rng, route: Route) -> What {
    match random.u32(..20) {
        0..9 => What::Fault(window(random)),
        9..11 => What::Clock(off(random)),
        11 => What::Stop(seconds(random, 1..=300)),
        12..14 => What::Record(edit(random)),
        14..16 => {
            let fault = one(random, &[Fault::CrashBefore, Fault::CrashAfter]);
            What::Kill(fault, seconds(random, 0..=200), off(random))
        }
        16 => What::Rollback,
        17 => one(random, &[What::Rival, What::Signal]),
        18 => What::Image,
        _ if route == Route::Pods => What::Rollback,
        _ => What::Weight(random.u32(0..=100)),
    }
}

impl Story {
    /// Returns the release of a seed.
    pub(super) fn of(seed: u64) -> Self {
        let random = &mut Rng::with_seed(seed);
        let route = one(
            random,
            &[Route::Pods, Route::Pods, Route::Istio, Route::Nginx],
        );
        let version = match random.u32(..6) {
            0..3 => Version::Healthy,
            3..5 => Version::Failing,
            _ => Version::NeverReady,
        };
        let mut disturbances: Vec<Disturbance> = (0..random.usize(1..=4))
            .map(|_| Disturbance {
                at: Duration::from_millis(random.u64(..CALM * 1000)),
                what: what(random, route),
            })
            .collect();
        disturbances.sort_by_key(|d| d.at);
        Self {
            seed,
            route,
            version,
            json: random.bool(),
            disturbances,
        }
    }

    /// Returns whether anything of this kind is done.
    pub(super) fn has(&self, is: impl Fn(&What) -> bool) -> bool {
        self.disturbances.iter().any(|d| is(&d.what))
    }

    /// Returns whether nothing is done that a release may not get over by itself.
    pub(super) fn is_benign(&self) -> bool {
        // Who is silent for that long is taken for dead by whoever starts a second time.
        if self.has(|w| matches!(w, What::Stop(_))) && self.has(|w| *w == What::Rival) {
            return false;
        }
        self.disturbances.iter().all(|d| match d.what {
            What::Fault(Window { fault, calls, span }) => match span {
                // What is asked of pods once is evidence that is missing.
                Span::Calls(_) => true,
                Span::Time(time) => {
                    let short = match fault {
                        Fault::Status(403 | 422, _) => 30,
                        _ => 60,
                    };
                    time.as_secs() <= short && calls != Calls::Forwards
                }
                Span::Lasting => false,
            },
            What::Clock(_) | What::Stop(_) | What::Rival => true,
            What::Record(edit) => matches!(edit, Edit::Label | Edit::Annotation),
            What::Kill(..) | What::Signal | What::Rollback | What::Image | What::Weight(_) => false,
        })
    }
}
