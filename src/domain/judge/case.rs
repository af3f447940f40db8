//! The verdict of a check that counts requests.
//!
//! Owns: what follows from its evidence, its proof and the pool. Must not: take in a look.

use super::{
    Circumstances, Finding, Open, Pool,
    early::Signs,
    episode, leaning, without,
    words::{self, Span, Subject},
};
use crate::{
    analysis::{
        brake::Order,
        evidence::ALPHA,
        forecast,
        latency::Slowdown,
        proof::{BETA, is_small, least_requests},
        rollout::{ERRORS_RATIO_SHARE, ERRORS_SHARE, LATENCY_SHARE, SLOWDOWN_SHARE, Weighed},
        share::{Rules, Share},
        silence::Quiet,
    },
    domain::{
        check::{Memory, Requests},
        meters::Witness,
        verdict::{Unknown, Verdict},
    },
};

/// What a check says while requests are due and nothing is counted.
pub(super) const STILL: &str = "no request counted on either side although traffic is expected: it stopped, or the metrics are stale";

/// Share of the probability of error of what the pods themselves show sooner; the rest is that of the metrics provider,
/// where both are asked. It is for what fails at once, and wins that much more in one look.
const DIRECT: f64 = 0.1;

/// Looks beyond which nobody can tell when the evidence will be enough.
const FORESEEABLE: f64 = 100.0;

/// How many times the requests that a canary without failures needs are too many to name: it is so near its limit that
/// each failure changes the number.
const NEAR: f64 = 1000.0;

/// A check of requests whose look was taken in.
pub(super) struct Case {
    pub(super) subject: Subject,
    pub(super) rules: Rules,
    pub(super) min_requests: u64,
    pub(super) parts: Vec<Weighed>,
    /// The same as far as it does not rest on a single pod of several.
    pub(super) sure: Vec<Weighed>,
    pub(super) missing: Option<(Unknown, String)>,
    pub(super) stable_missing: Option<String>,
    pub(super) quiet: Quiet,
    /// Seconds since the look before.
    pub(super) pause: f64,
    /// What the brake goes by, where it is on.
    pub(super) signs: Option<Signs>,
    pub(super) circumstances: Circumstances,
}

/// Returns what a check has against the canary, from the evidence about its share of bad requests and about
/// its latency.
pub(super) fn parts(
    (share, slowdown): (&Share, Option<&Slowdown>),
    subject: &Subject,
    rules: &Rules,
) -> Vec<Weighed> {
    let (of_limit, of_ratio) = match subject {
        Subject::Errors(_) | Subject::Good(_) => (ERRORS_SHARE, ERRORS_RATIO_SHARE),
        Subject::Latency { .. } => (LATENCY_SHARE, SLOWDOWN_SHARE),
    };
    let weighed = |share, log_value| Weighed { share, log_value };
    let limit = rules
        .limit
        .map(|_| weighed(of_limit, share.absolute_value()));
    let ratio = match subject {
        Subject::Errors(_) | Subject::Good(_) => rules
            .ratio
            .map(|_| weighed(of_ratio, share.relative_value())),
        Subject::Latency { limits, .. } => limits
            .max_ratio
            .map(|_| weighed(of_ratio, slowdown.map_or(0.0, Slowdown::log_value))),
    };
    limit.into_iter().chain(ratio).collect()
}

/// Returns the logarithm of the share of the probability of error that either way of counting has.
pub(super) fn stake(memory: &Memory, circumstances: Circumstances) -> f64 {
    match circumstances.witness {
        Witness::Pods => DIRECT.ln(),
        Witness::Source if memory.direct.is_some() => (1.0 - DIRECT).ln(),
        Witness::Source => 0.0,
    }
}

/// Returns the parts with evidence of which only such a share counts.
pub(super) fn staked(parts: Vec<Weighed>, stake: f64) -> Vec<Weighed> {
    let less = |part: Weighed| Weighed {
        log_value: part.log_value + stake,
        ..part
    };
    parts.into_iter().map(less).collect()
}

/// Returns what a check has against the canary where each pod of several is left out once; `least` is the least
/// evidence against the limit and the quotient then.
pub(super) fn without_one(
    parts: &[Weighed],
    least: Option<(f64, f64)>,
    rules: &Rules,
) -> Vec<Weighed> {
    let Some((absolute, relative)) = least else {
        return parts.to_vec();
    };
    // In the order of `parts`; a comparison of latencies is not taken apart.
    let limit = rules.limit.map(|_| absolute);
    let ratio = rules.ratio.map(|_| relative);
    let least = limit.into_iter().chain(ratio);
    let bounds = least.chain(std::iter::repeat(f64::INFINITY));
    let bounded = parts.iter().zip(bounds).map(|(part, least)| Weighed {
        share: part.share,
        log_value: part.log_value.min(least),
    });
    bounded.collect()
}

impl Open for Case {
    fn parts(&self) -> &[Weighed] {
        &self.parts
    }

    fn sure(&self) -> &[Weighed] {
        &self.sure
    }

    fn signs(&self) -> Option<&Signs> {
        self.signs.as_ref()
    }

    fn close(&self, memory: &Memory, pool: Pool) -> Finding {
        let nothing = Requests::default();
        let requests = memory.told(self.circumstances.witness).unwrap_or(&nothing);
        let share = &requests.share;
        let said = words::sides(
            &self.subject,
            &self.rules,
            requests,
            self.span(requests, pool),
        );
        let Saying {
            verdict,
            unknown,
            tail,
        } = self.verdict(requests, pool);
        // What the plan itself sends is no user's.
        let decided = verdict != Verdict::Unknown && self.circumstances.load.is_some();
        let load = if decided { words::WITH_LOAD } else { "" };
        let text = match tail {
            Tail::After(more) => format!("{}{more}{load}", said.text),
            Tail::Instead(text) => text,
        };
        Finding {
            unknown,
            value: said.value,
            stable: said.stable,
            interval: said.interval,
            evidence: Some(pool.log_value.exp().min(1e9)),
            confidence: Some(words::confidence(pool.log_value)),
            samples: words::rounded(share.canary().all()),
            hopeless: verdict == Verdict::Unknown
                && (self.quiet == Quiet::TooLong || pool.order == Order::Inconclusive),
            against: leaning::of_requests(self, requests, pool),
            blamed: pool.condemns() || (pool.order == Order::Rest && pool.blamed),
            // Where nothing has to be excluded, nothing is proven either.
            proven: self.rules.limit.map(|_| {
                verdict == Verdict::Healthy && share.to_exclude() < 1.0 && is_proven(requests)
            }),
            ..Finding::new(verdict, 0, text)
        }
    }
}

/// Returns whether the step's share is excluded, for all pods together or for all but one that had trouble.
fn is_proven(requests: &Requests) -> bool {
    let beta = episode::beta(requests);
    requests.share.is_proven(beta) || without::is_proven(requests, beta)
}

/// A verdict, why it is unknown, and how it is said.
struct Saying {
    verdict: Verdict,
    unknown: Option<Unknown>,
    tail: Tail,
}

/// What is said of a verdict.
enum Tail {
    /// After the numbers.
    After(String),
    /// Where there are no numbers to show.
    Instead(String),
}

impl Saying {
    fn unknown(why: Unknown, tail: Tail) -> Self {
        Self {
            verdict: Verdict::Unknown,
            unknown: Some(why),
            tail,
        }
    }

    fn pending(text: impl Into<String>) -> Self {
        Self::unknown(Unknown::Pending, Tail::After(text.into()))
    }

    fn known(verdict: Verdict, text: impl Into<String>) -> Self {
        Self {
            verdict,
            unknown: None,
            tail: Tail::After(text.into()),
        }
    }
}

impl Case {
    fn compares(&self) -> bool {
        self.rules.ratio.is_some()
            || matches!(self.subject, Subject::Latency { limits, .. } if limits.max_ratio.is_some())
    }

    /// Returns why nothing is asked of the canary at all: the comparison with stable is the only limit, and
    /// stable, which has a share of the traffic, is not counted.
    pub(super) fn nothing_compared(&self) -> Option<&str> {
        let asked = self.rules.limit.is_some() || self.circumstances.weight >= 1.0;
        self.stable_missing.as_deref().filter(|_| !asked)
    }

    /// Returns which requests the numbers are about: those of the run where those of the step do not show what the
    /// canary is condemned, or was paused, for.
    fn span(&self, requests: &Requests, pool: Pool) -> Span {
        let share = &requests.share;
        let shown = share.breaks(&self.rules_at());
        let earlier = if pool.condemns() {
            !shown && !matches!(self.subject, Subject::Latency { .. })
        } else {
            // What came while stable failed does not count at the step.
            let paused = pool.order == Order::Rest || share.stable_fails();
            paused && share.canary().all() <= 0.0
        };
        if earlier && requests.canary_run.all() > 0.0 {
            Span::Run
        } else {
            Span::Step
        }
    }

    /// Returns the verdict and what follows the numbers in the sentence.
    fn verdict(&self, requests: &Requests, pool: Pool) -> Saying {
        match pool.order {
            Order::Rest => return Saying::pending(words::rests(pool.blamed, pool.stage)),
            Order::Resume => {
                let text = ": recovered after the traffic pause, it was a burst";
                return Saying::known(Verdict::Healthy, text);
            }
            Order::Ordinary | Order::Probe | Order::Rollback | Order::Inconclusive => {}
        }
        if pool.condemns() {
            return Saying::known(Verdict::Unhealthy, "");
        }
        if let Some(saying) = self
            .uncounted(requests)
            .or_else(|| Self::stable_fails(requests, pool))
        {
            return saying;
        }
        if let Some(text) = self.probed(requests, pool) {
            return Saying::pending(text);
        }
        let share = &requests.share;
        let canary = share.canary();
        let rate = self
            .rate(requests)
            .map(|rate| rate * self.circumstances.weight);
        let least = self.least(requests);
        let wanted = || words::wanted(least, canary, rate);
        if canary.all() <= 0.0 {
            return Saying::unknown(Unknown::NoTraffic, Tail::After(wanted()));
        }
        let suspected = || words::suspected(pool.log_value, self.until_rollback(share, pool));
        let rules = self.rules_at();
        if pool.is_of_one_pod()
            && let Some((pod, own, others)) = without::suspect(requests, &rules)
        {
            return Saying::pending(words::one_pod(pod, own, others));
        }
        if pool.suspects() {
            return Saying::pending(suspected());
        }
        let patient = self.circumstances.elapsed < self.circumstances.patience;
        let promotes = self.circumstances.next.is_none();
        // Before all users get the version, what is bad counts wherever it is.
        let excused = !promotes && without::is_of_one_pod(requests, &rules);
        let holds = self.holds(share, &rules) && !excused;
        if holds && (promotes || patient) {
            return Saying::pending(suspected());
        }
        if words::rounded(canary.all()) < least {
            return Saying::unknown(Unknown::TooFew, Tail::After(wanted()));
        }
        if !is_proven(requests) {
            if self.ends_by_time(requests) {
                let text = words::not_excluded(&self.subject, canary);
                return Saying::known(Verdict::Healthy, text);
            }
            let text = self.unproven(requests);
            return Saying::unknown(Unknown::TooFew, Tail::After(text));
        }
        let good = words::good_for(self.circumstances.next, share.to_exclude());
        let anew = words::anew(requests.episode.anew);
        let alone = self.not_compared().unwrap_or_default();
        Saying::known(Verdict::Healthy, format!("{good}{anew}{alone}"))
    }

    /// Returns what is said where the requests of the step cannot be counted, or compared.
    fn uncounted(&self, requests: &Requests) -> Option<Saying> {
        let all = requests.share.canary().all();
        if let Some((why, text)) = &self.missing {
            let silent = requests.at.filter(|_| self.quiet == Quiet::TooLong);
            let silent = silent.map(|at| words::nothing_since(at, self.circumstances.now));
            let text = format!("; {}{text}", silent.unwrap_or_default());
            return Some(Saying::unknown(*why, Tail::After(text)));
        }
        if !requests.begun {
            let Circumstances { weight, lag, .. } = self.circumstances;
            let text = words::first_samples(weight, lag);
            return Some(Saying::unknown(Unknown::Pending, Tail::Instead(text)));
        }
        if self.circumstances.warming > 0.0 {
            let text = words::warms(self.circumstances.warming);
            return Some(Saying::unknown(Unknown::Pending, Tail::Instead(text)));
        }
        if self.quiet == Quiet::NoTraffic || (self.quiet == Quiet::TooLong && all <= 0.0) {
            let text =
                "stable gets requests, the canary none: its traffic or its metrics are missing";
            return Some(Saying::unknown(
                Unknown::NoTraffic,
                Tail::Instead(text.to_owned()),
            ));
        }
        if self.quiet == Quiet::Still {
            let text = STILL.to_owned();
            return Some(Saying::unknown(Unknown::NoTraffic, Tail::Instead(text)));
        }
        let why = self.nothing_compared()?;
        let text = format!("; not compared with stable: {why}");
        Some(Saying::unknown(Unknown::NoData, Tail::After(text)))
    }

    /// Returns what is said where stable itself is beyond the limit.
    fn stable_fails(requests: &Requests, pool: Pool) -> Option<Saying> {
        let share = &requests.share;
        if !share.stable_fails() {
            return None;
        }
        Some(if share.is_acquitted(BETA) && !pool.suspects() {
            let text = ": surely within the limit, which stable itself is not";
            Saying::known(Verdict::Healthy, text)
        } else {
            let text = ": stable itself is beyond the limit, canary not blamed";
            Saying::pending(text)
        })
    }

    /// Returns why a canary that is good is not compared with stable.
    fn not_compared(&self) -> Option<String> {
        if !self.compares() {
            return None;
        }
        if let Some(why) = &self.stable_missing {
            return Some(format!("; not compared with stable: {why}"));
        }
        let alone = self.circumstances.weight >= 1.0;
        alone.then(|| "; not compared, stable has no traffic".to_owned())
    }

    /// Returns what a canary says that is evaluated again at a low weight.
    fn probed(&self, requests: &Requests, pool: Pool) -> Option<String> {
        let fresh = requests.early.as_ref()?.fresh.as_ref()?;
        let Circumstances {
            weight, elapsed, ..
        } = self.circumstances;
        let weight = words::percent(weight);
        let nothing = requests.share.canary().all() <= 0.0;
        let open = if nothing || fresh.share.is_proven(BETA) {
            String::new()
        } else {
            self.unproven(requests)
        };
        match pool.order {
            Order::Probe => Some(format!(": evaluated again at {weight}{open}")),
            Order::Inconclusive => {
                let after = words::duration(elapsed);
                Some(format!(": still unclear after {after} at {weight}"))
            }
            Order::Ordinary | Order::Rest | Order::Resume | Order::Rollback => None,
        }
    }

    /// Returns whether the service is so small that an hour at the limit fails few users.
    fn is_small(&self, requests: &Requests) -> bool {
        let rate = self.rate(requests);
        let limit = self.rules.limit;
        rate.is_some_and(|rate| limit.is_none_or(|limit| is_small(limit, rate)))
    }

    /// Returns how many requests the step needs before anything is said for the canary.
    pub(super) fn least(&self, requests: &Requests) -> u64 {
        let rate = self.rate(requests);
        let small = self.is_small(requests);
        let next = match (self.circumstances.next, rate) {
            (None, _) => None,
            (Some(next), Some(rate)) => Some(next * rate),
            // Of whose traffic nothing is known, everything is asked.
            (Some(_), None) => return self.min_requests,
        };
        least_requests(self.min_requests, next, small)
    }

    /// Returns whether the last step ends by time alone: the service is small, and not one request has failed at this
    /// step or before.
    fn ends_by_time(&self, requests: &Requests) -> bool {
        let nothing_failed =
            requests.share.canary().bad() <= 0.0 && requests.canary_run.bad() <= 0.0;
        self.circumstances.next.is_none() && nothing_failed && self.is_small(requests)
    }

    /// Returns in how many seconds the canary is rolled back if all looks are as those of the step were; `None` where
    /// that cannot be told.
    fn until_rollback(&self, share: &Share, pool: Pool) -> Option<f64> {
        let (limit, ratio) = share.growth(&self.rules);
        let growth = limit.max(ratio);
        let left = (1.0 / ALPHA).ln() - pool.sure.max(0.0);
        let looks = (left / growth).ceil();
        let known = self.pause > 0.0 && growth > 0.0;
        (known && looks < FORESEEABLE).then_some(looks * self.pause)
    }

    /// Returns the rules as far as there is something to judge by: where all the traffic is the canary's,
    /// stable has no requests to compare with, and the limit alone counts.
    fn rules_at(&self) -> Rules {
        // What stable still shows at 100 % came before.
        let compared = self.circumstances.weight < 1.0 || self.rules.limit.is_none();
        let ratio = self.rules.ratio.filter(|_| compared);
        Rules {
            ratio,
            ..self.rules
        }
    }

    /// Returns whether what was seen at this step keeps the canary from advancing: it is beyond the limit, or
    /// worse than stable by more than is tolerated and by evidence that says so rather than not. Where stable has
    /// hardly a request, what is seen stands alone.
    fn holds(&self, share: &Share, rules: &Rules) -> bool {
        let limit = Rules {
            ratio: None,
            ..*rules
        };
        let ratio = Rules {
            limit: None,
            ..*rules
        };
        let alone = words::rounded(share.stable().all()) < self.min_requests.max(1);
        let worse = share.breaks(&ratio) && (alone || share.relative_value() > 0.0);
        share.breaks(&limit) || worse
    }

    /// Returns all requests/s of the service, as far as they are known.
    fn rate(&self, requests: &Requests) -> Option<f64> {
        requests.rate.latest(self.circumstances.weight)
    }

    /// Returns what is not proven yet, and how long it will take.
    fn unproven(&self, requests: &Requests) -> String {
        let share = &requests.share;
        let (canary, wanted) = (share.canary(), share.to_exclude());
        let likely = if canary.bad() > 0.0 {
            (canary.bad() + 0.5) / (canary.all() + 1.0)
        } else {
            0.0
        };
        let done = share.proof().log_value() / (1.0 / episode::beta(requests)).ln();
        let more = forecast::requests_to_prove(likely, wanted)
            .map(|needed| (needed * (1.0 - done)).max(1.0));
        let Circumstances { weight, next, .. } = self.circumstances;
        let time = more
            .zip(self.rate(requests))
            .and_then(|(more, rate)| forecast::seconds(more, rate, weight));
        let best = forecast::requests_to_prove(0.0, wanted);
        let near = more.zip(best).filter(|(more, best)| *more > NEAR * best);
        let text = if near.is_some() {
            words::TOO_NEAR.to_owned()
        } else {
            words::unproven(next, canary, more.zip(time))
        };
        format!("{text}{}", words::anew(requests.episode.anew))
    }
}
