//! The verdict of a check that counts requests.
//!
//! Owns: what follows from its evidence, its proof and the pool. Must not: take in a look.

use super::{
    Circumstances, Finding, Open, Pool,
    early::Signs,
    leaning,
    words::{self, Subject},
};
use crate::{
    analysis::{
        brake::Order,
        forecast,
        latency::Slowdown,
        proof::BETA,
        rollout::{ERRORS_RATIO_SHARE, ERRORS_SHARE, LATENCY_SHARE, SLOWDOWN_SHARE, Weighed},
        share::{Rules, Share},
        silence::Quiet,
    },
    domain::{
        check::{Memory, Requests},
        verdict::{Unknown, Verdict},
    },
};

/// What a check says while requests are due and nothing is counted.
pub(super) const STILL: &str = "neither side has counted a request for a while, though many were due: the traffic \
                     has stopped, or the metrics stand still";

/// A check of requests whose look was taken in.
pub(super) struct Case {
    pub(super) subject: Subject,
    pub(super) rules: Rules,
    pub(super) min_requests: u64,
    pub(super) parts: Vec<Weighed>,
    pub(super) missing: Option<(Unknown, String)>,
    pub(super) stable_missing: Option<String>,
    pub(super) quiet: Quiet,
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

impl Open for Case {
    fn parts(&self) -> &[Weighed] {
        &self.parts
    }

    fn signs(&self) -> Option<&Signs> {
        self.signs.as_ref()
    }

    fn close(&self, memory: &Memory, pool: Pool) -> Finding {
        let nothing = Requests::default();
        let requests = memory.requests.as_deref().unwrap_or(&nothing);
        let said = words::sides(&self.subject, requests, pool.condemns());
        let (verdict, unknown, more) = self.verdict(requests, pool);
        let text = match &self.stable_missing {
            Some(why) if verdict == Verdict::Healthy && self.compares() => {
                format!("{}; not compared with stable: {why}", said.text)
            }
            Some(_) | None => said.text,
        };
        Finding {
            unknown,
            value: said.value,
            stable: said.stable,
            interval: said.interval,
            evidence: Some(pool.log_value.exp().min(1e9)),
            confidence: Some(words::confidence(pool.log_value)),
            samples: words::rounded(requests.share.canary().all()),
            hopeless: verdict == Verdict::Unknown
                && (self.quiet == Quiet::TooLong || pool.order == Order::Inconclusive),
            against: leaning::of_requests(self, requests, pool),
            blamed: pool.condemns() || (pool.order == Order::Rest && pool.blamed),
            // Where nothing has to be excluded, nothing is proven either.
            proven: self.rules.limit.map(|_| {
                let share = &requests.share;
                verdict == Verdict::Healthy && share.to_exclude() < 1.0 && share.is_proven(BETA)
            }),
            ..Finding::new(verdict, 0, format!("{text}{more}"))
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

    /// Returns the verdict, why it is unknown, and what follows the numbers in the sentence.
    fn verdict(&self, requests: &Requests, pool: Pool) -> (Verdict, Option<Unknown>, String) {
        let share = &requests.share;
        let all = share.canary().all();
        let unknown = |why, text| (Verdict::Unknown, Some(why), text);
        match pool.order {
            Order::Rest => {
                let text = words::rests(pool.blamed, pool.early.unwrap_or_default());
                return unknown(Unknown::Pending, text);
            }
            Order::Resume => {
                let text = ", and calm after a moment without traffic: it was a burst";
                return (Verdict::Healthy, None, text.to_owned());
            }
            Order::Ordinary | Order::Probe | Order::Rollback | Order::Inconclusive => {}
        }
        if pool.condemns() {
            let text = words::worse(&self.subject, &self.parts, pool.log_value);
            return (Verdict::Unhealthy, None, text);
        }
        if let Some((why, text)) = &self.missing {
            let silent = requests.at.filter(|_| self.quiet == Quiet::TooLong);
            let silent = silent.map(|at| words::nothing_since(at, self.circumstances.now));
            return unknown(*why, format!("; {}{text}", silent.unwrap_or_default()));
        }
        if !requests.begun {
            let text = "; what the metrics show now was counted before this step";
            return unknown(Unknown::Pending, text.to_owned());
        }
        if self.quiet == Quiet::NoTraffic || (self.quiet == Quiet::TooLong && all <= 0.0) {
            let text = "; stable has requests and the canary none: no traffic reaches it, or its \
                        metrics are missing";
            return unknown(Unknown::NoTraffic, text.to_owned());
        }
        if self.quiet == Quiet::Still {
            return unknown(Unknown::NoTraffic, format!("; {STILL}"));
        }
        if let Some(why) = self.nothing_compared() {
            return unknown(
                Unknown::NoData,
                format!("; not compared with stable: {why}"),
            );
        }
        if share.stable_fails() {
            let text = "; stable itself is beyond the limit: the version is not to blame";
            return unknown(Unknown::Pending, text.to_owned());
        }
        if let Some(why) = self.probed(requests, pool) {
            return unknown(Unknown::Pending, why);
        }
        if all <= 0.0 {
            let text = format!("; {} wanted", words::requests(self.min_requests));
            return unknown(Unknown::NoTraffic, text);
        }
        if pool.suspects() {
            return unknown(Unknown::Pending, words::evidence(pool.log_value));
        }
        let patient = self.circumstances.elapsed < self.circumstances.patience;
        let last = self.circumstances.next.is_none();
        let rules = self.rules_at(share);
        if share.breaks(&rules) && (last || patient) {
            let text = words::breaks(&self.subject, &rules, share, pool.log_value);
            return unknown(Unknown::Pending, text);
        }
        if words::rounded(all) < self.min_requests {
            let text = format!("; {} wanted", words::requests(self.min_requests));
            return unknown(Unknown::TooFew, text);
        }
        if !share.is_proven(BETA) {
            return unknown(Unknown::TooFew, self.unproven(requests));
        }
        (
            Verdict::Healthy,
            None,
            words::proven(&self.subject, share.to_exclude()),
        )
    }

    /// Returns what a canary says that is looked at again after a rest.
    fn probed(&self, requests: &Requests, pool: Pool) -> Option<String> {
        let fresh = requests.early.as_ref()?.fresh.as_ref()?;
        let early = pool.early.unwrap_or_default();
        let nothing = requests.share.canary().all() <= 0.0;
        let open = if nothing || fresh.share.is_proven(BETA) {
            String::new()
        } else {
            self.unproven(requests)
        };
        match pool.order {
            Order::Probe => Some(format!("{}{open}", words::probes(early))),
            Order::Inconclusive => Some("; looking at it again has settled nothing".to_owned()),
            Order::Ordinary | Order::Rest | Order::Resume | Order::Rollback => None,
        }
    }

    /// Returns the rules as far as there is something to judge by: where all the traffic is the canary's,
    /// stable has no requests to compare with, and the limit alone counts.
    fn rules_at(&self, share: &Share) -> Rules {
        let alone = self.circumstances.weight >= 1.0 && share.stable().all() <= 0.0;
        let ratio = self.rules.ratio;
        Rules {
            ratio: ratio.filter(|_| !alone || self.rules.limit.is_none()),
            ..self.rules
        }
    }

    /// Returns what is not proven yet, and how long it will take.
    fn unproven(&self, requests: &Requests) -> String {
        let share = &requests.share;
        let (canary, wanted) = (share.canary(), share.to_exclude());
        let likely = (canary.bad() + 0.5) / (canary.all() + 1.0);
        let done = share.proof().log_value() / (1.0 / BETA).ln();
        let more = forecast::requests_to_prove(likely, wanted)
            .map(|needed| (needed * (1.0 - done)).max(1.0));
        let weight = self.circumstances.weight;
        let rate = requests.rate.average(weight).or(requests.rate.known);
        let time = more
            .zip(rate)
            .and_then(|(more, rate)| forecast::seconds(more, rate, weight));
        words::unproven(&self.subject, canary, wanted, more.zip(time))
    }
}
