//! What usual programs call their metrics.
//!
//! Owns: names of counters and histograms, which label says how a request ended, what means a server's
//! error. Must not: fetch. A new preset is one entry of [`PRESETS`].

use std::borrow::Cow;

use crate::analysis::meter::Totals;

/// Names of metrics that belong together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preset {
    /// Name in configuration.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// Counter of requests.
    pub requests: &'static str,
    /// Labels that say how a request ended; the first that a series has counts.
    pub outcome: &'static [&'static str],
    /// A further label that may say that an answer was an error all the same.
    pub grpc: Option<&'static str>,
    /// Buckets of a histogram of latencies, by `le`.
    pub buckets: &'static str,
    /// Seconds in the unit of `le`.
    pub unit: f64,
    /// Matchers that always belong to its queries.
    pub matchers: &'static str,
    /// Matchers, in place of `matchers`, of requests that no pod of a side could be given, as their callers
    /// report them; empty where nobody does.
    pub unserved: &'static str,
    /// Matchers that always belong to those of stable and of the canary; only where no selector can tell
    /// the sides, because the series bear the same names.
    pub sides: Option<[&'static str; 2]>,
    /// Matchers that select one side, with placeholders; unless configured.
    pub selector: &'static str,
    /// Whether its counters stand in the pods of the app themselves, so that pods can be scraped.
    pub in_pods: bool,
}

/// Values that recording rules have made of one side, `canary:error_rate:5m`, instead of counters.
pub const RECORDING_RULES: Preset = Preset {
    name: "recording-rules",
    about: "canary:error_rate:5m, canary:latency_p95:5m and the like, as recorded",
    requests: "",
    outcome: &[],
    grpc: None,
    buckets: "",
    unit: 1.0,
    matchers: "",
    unserved: "",
    sides: None,
    selector: "",
    in_pods: false,
};

/// Seconds that a recorded value is about.
pub const RECORDED: u32 = 300;

/// Returns the query of the recorded share of failed requests. A share is at most 1: what is recorded as
/// a percentage gives no value, rather than a wrong one.
pub fn recorded_errors(selector: &str) -> String {
    format!("{{{{track}}}}:error_rate:5m{} <= 1", braced(selector))
}

/// Returns the query of a recorded quantile, in (0, 1), in seconds.
pub fn recorded_latency(quantile: f64, selector: &str) -> String {
    let percent = (quantile * 100.0).round();
    format!("{{{{track}}}}:latency_p{percent}:5m{}", braced(selector))
}

fn braced(selector: &str) -> String {
    match selector {
        "" => String::new(),
        matchers => format!("{{{matchers}}}"),
    }
}

/// Pods of one Deployment: the names that the controllers give them, and no other's.
const PODS: &str = "namespace=\"{{namespace}}\",pod=~\"{{pods}}\"";

/// Every preset.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "http",
        about: "http_requests_total by status or code, http_request_duration_seconds",
        requests: "http_requests_total",
        outcome: &["status", "code", "status_code"],
        grpc: None,
        buckets: "http_request_duration_seconds_bucket",
        unit: 1.0,
        matchers: "",
        unserved: "",
        sides: None,
        selector: PODS,
        in_pods: true,
    },
    Preset {
        name: "istio",
        about: "istio_requests_total as the side that serves reports it, and what never got there as its callers do",
        requests: "istio_requests_total",
        outcome: &["response_code"],
        grpc: Some("grpc_response_status"),
        buckets: "istio_request_duration_milliseconds_bucket",
        unit: 0.001,
        matchers: "reporter=\"destination\"",
        // Upstream failure (UF) and no healthy upstream (UH): a proxy at the destination never sees them.
        unserved: "reporter=\"source\",response_flags=~\"(.*,)?(UF|UH)(,.*)?\"",
        sides: None,
        selector: "destination_workload_namespace=\"{{namespace}}\",destination_workload=\"{{deployment}}\"",
        in_pods: true,
    },
    Preset {
        name: "linkerd",
        about: "response_total of the inbound proxies",
        requests: "response_total",
        outcome: &["classification"],
        grpc: None,
        buckets: "response_latency_ms_bucket",
        unit: 0.001,
        matchers: "direction=\"inbound\"",
        unserved: "",
        sides: None,
        selector: "namespace=\"{{namespace}}\",deployment=\"{{deployment}}\"",
        in_pods: true,
    },
    Preset {
        name: "nginx",
        about: "nginx_ingress_controller_requests by the Service of the main Ingress, and by canary",
        requests: "nginx_ingress_controller_requests",
        outcome: &["status"],
        grpc: None,
        buckets: "nginx_ingress_controller_request_duration_seconds_bucket",
        unit: 1.0,
        matchers: "",
        unserved: "",
        // A request belongs to the main Ingress also where its canary serves it: `service` is always
        // stable's, and `canary` names the backend that was taken instead.
        sides: Some(["canary=\"\"", "canary!=\"\""]),
        selector: "namespace=\"{{namespace}}\",service=\"{{stable}}\"",
        in_pods: false,
    },
    Preset {
        name: "traefik",
        about: "traefik_service_requests_total by Service",
        requests: "traefik_service_requests_total",
        outcome: &["code"],
        grpc: None,
        buckets: "traefik_service_request_duration_seconds_bucket",
        unit: 1.0,
        matchers: "",
        unserved: "",
        sides: None,
        // The port ends the name, or `pay` would count `pay-canary`, too.
        selector: "service=~\"{{namespace}}-{{deployment}}-[0-9a-z]+@.+\"",
        in_pods: false,
    },
    Preset {
        name: "envoy",
        about: "envoy_cluster_upstream_rq by cluster",
        requests: "envoy_cluster_upstream_rq",
        outcome: &["envoy_response_code"],
        grpc: None,
        buckets: "envoy_cluster_upstream_rq_time_bucket",
        unit: 0.001,
        matchers: "",
        unserved: "",
        sides: None,
        // Whole words, or `pay` would count `pay-canary`, too, and `shop` a `workshop`.
        selector: "envoy_cluster_name=~\"(.*[_/])?{{namespace}}[_/]{{deployment}}([_/].*)?\"",
        in_pods: false,
    },
    Preset {
        name: "spring",
        about: "http_server_requests_seconds of Spring Boot",
        requests: "http_server_requests_seconds_count",
        outcome: &["status"],
        grpc: None,
        buckets: "http_server_requests_seconds_bucket",
        unit: 1.0,
        matchers: "",
        unserved: "",
        sides: None,
        selector: PODS,
        in_pods: true,
    },
];

/// Statuses of gRPC that are the server's fault: unknown, deadline exceeded, unimplemented, internal,
/// unavailable, data loss.
const GRPC_ERRORS: [&str; 6] = ["2", "4", "12", "13", "14", "15"];

/// Returns a preset by name.
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Not by the server's fault.
    Good,
    /// By the server's fault.
    Bad,
    /// No label says.
    Untold,
}

impl Preset {
    /// Returns how the requests of a series ended, from its labels.
    pub fn outcome<'a>(&self, label: &dyn Fn(&str) -> Option<Cow<'a, str>>) -> Outcome {
        let told = self.outcome.iter().find_map(|name| label(name));
        let Some(told) = told.filter(|told| !told.is_empty()) else {
            return Outcome::Untold;
        };
        let grpc = self.grpc.and_then(label);
        let failed = grpc.is_some_and(|status| GRPC_ERRORS.contains(&status.as_ref()));
        if failed || told.starts_with('5') || told == "failure" {
            Outcome::Bad
        } else {
            Outcome::Good
        }
    }
}

/// Totals of one subject while its series come in.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    all: Option<f64>,
    bad: f64,
    buckets: Vec<(f64, f64)>,
    /// Series without a label that says how requests ended.
    pub untold: bool,
    /// Series whose value is no number of requests.
    pub odd: bool,
}

impl Gathered {
    /// Takes in a series of requests.
    pub fn requests(&mut self, outcome: Outcome, value: f64) {
        if !(value.is_finite() && value >= 0.0) {
            self.odd = true;
            return;
        }
        *self.all.get_or_insert(0.0) += value;
        match outcome {
            Outcome::Good => {}
            Outcome::Bad => self.bad += value,
            Outcome::Untold => self.untold = true,
        }
    }

    /// Takes in one bucket: requests that took at most `bound` seconds.
    pub fn bucket(&mut self, bound: f64, value: f64) {
        if bound.is_nan() || !(value.is_finite() && value >= 0.0) {
            self.odd = true;
            return;
        }
        match self
            .buckets
            .iter_mut()
            .find(|(b, _)| b.total_cmp(&bound).is_eq())
        {
            Some((_, sum)) => *sum += value,
            None => self.buckets.push((bound, value)),
        }
    }

    /// Returns the totals; an error, in words, where what was seen is no count of requests.
    pub fn totals(mut self, preset: &Preset) -> Result<Totals, String> {
        if self.odd {
            return Err(format!(
                "{} or {} is not a number",
                preset.requests, preset.buckets
            ));
        }
        if self.untold {
            let labels = preset.outcome.join(" or ");
            return Err(format!(
                "{} has no label {labels}, so that errors cannot be told",
                preset.requests
            ));
        }
        self.buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        Ok(Totals {
            all: self.all,
            bad: self.all.map(|_| self.bad),
            buckets: self.buckets,
        })
    }

    /// Returns the requests that were taken in.
    pub fn requests_so_far(&self) -> f64 {
        self.all.unwrap_or(0.0)
    }

    /// Returns whether any request was counted, or could have been.
    pub fn is_empty(&self) -> bool {
        self.all.is_none() && self.buckets.is_empty() && !self.odd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(name: &str, labels: &[(&str, &'static str)]) -> Outcome {
        let label = |key: &str| {
            let found = labels.iter().find(|(name, _)| *name == key);
            found.map(|(_, value)| Cow::Borrowed(*value))
        };
        preset(name).unwrap().outcome(&label)
    }

    #[test]
    fn only_the_servers_errors_are_errors() {
        for (name, labels, expected) in [
            ("http", &[("status", "200")][..], Outcome::Good),
            ("http", &[("status", "503")], Outcome::Bad),
            ("http", &[("code", "5xx")], Outcome::Bad),
            ("http", &[("status", "404")], Outcome::Good),
            ("http", &[("method", "GET")], Outcome::Untold),
            ("http", &[("status", "")], Outcome::Untold),
            ("linkerd", &[("classification", "failure")], Outcome::Bad),
            ("linkerd", &[("classification", "success")], Outcome::Good),
            (
                "istio",
                &[("response_code", "200"), ("grpc_response_status", "14")],
                Outcome::Bad,
            ),
            (
                "istio",
                &[("response_code", "200"), ("grpc_response_status", "5")],
                Outcome::Good,
            ),
        ] {
            assert_eq!(outcome(name, labels), expected, "{name} {labels:?}");
        }
    }

    #[test]
    fn requests_without_an_outcome_are_no_good_requests() {
        let mut gathered = Gathered::default();
        gathered.requests(Outcome::Untold, 5.0);
        let http = preset("http").unwrap();
        assert!(
            gathered
                .totals(http)
                .unwrap_err()
                .contains("no label status")
        );
        let mut odd = Gathered::default();
        odd.requests(Outcome::Good, f64::NAN);
        assert!(odd.totals(http).is_err());
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = PRESETS.iter().map(|p| p.name).collect();
        names.dedup();
        assert_eq!(names.len(), PRESETS.len());
    }
}
