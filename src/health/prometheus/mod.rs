//! Asking a Prometheus, or what speaks its query API: Thanos, Mimir, VictoriaMetrics.
//!
//! Owns: the queries of the presets, how a side is selected, and what an answer means for a look. Must
//! not: judge a value, or make one where the server has none. Counters are read as they are: `rate` and
//! `increase` extrapolate, and are exact for nobody.

pub mod answer;
mod moment;
mod selection;
mod suggest;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use http::Method;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Look,
    facts::{Filling, Place},
    presets::{Gathered, RECORDING_RULES, recorded_errors, recorded_latency},
    scrape,
    source::{Sides, Source, SourceKind},
    suggestion::Search,
    value,
    web::{self, Auth, HeaderText, Tls, Via, Web, target},
};
use crate::{
    clock::Clock,
    cluster::Cluster,
    domain::{
        check::{CheckSpec, Reading, Rule, Sample},
        options,
        verdict::Unknown,
        workload::{Pod, Track},
    },
};
use answer::{AnswerError, Reply, Series};
use moment::{Evaluated, ServerTime};
use selection::Selection;

/// Time between two scrapes of Prometheus, unless configured: so old may be what it shows.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(15);

/// Most characters of a query that a message shows.
const SHOWN: usize = 300;

/// Requests of each pod that has series from which a pod without any is missed.
const TELLING: f64 = 50.0;

/// Path of the query API.
const QUERY: &str = "/api/v1/query";

/// The source.
pub struct Prometheus;

/// Asks a Prometheus, or what speaks its query API: Thanos, Mimir, VictoriaMetrics
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    /// Address. That of a Service of the cluster (`http://prometheus.monitoring:9090`) is reached
    /// through the API server when its name does not resolve from here.
    url: String,
    /// Names of the metrics; default: http.
    #[serde(default = "http")]
    preset: String,
    /// How one side is selected: a word (job, service, version, track, app+version, deployment, pod) or
    /// matchers with {{track}}, {{deployment}}, {{pods}}, {{namespace}}, {{app}}, {{service}}, {{stable}},
    /// {{canary}}; default: as the preset says.
    #[serde(default)]
    selector: Option<String>,
    /// Time between two scrapes of Prometheus, such as `15s` (the default): what is counted so long after
    /// a change of weight may have come before it.
    #[serde(default)]
    scrape_interval: Option<String>,
    /// How to prove who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth: Option<Auth>,
    /// Certificates, where the system's do not do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls: Option<Tls>,
    /// Further headers, such as `X-Scope-OrgID` of a tenant; a value is text or a reference to a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, HeaderText>,
    /// Longest time an answer may take; default: 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<String>,
    /// Which way requests go.
    #[serde(default)]
    via: Via,
    /// Whether pods that say they have a page of metrics (prometheus.io/scrape) are asked themselves, every two
    /// seconds, in the first seconds after a change of weight: what fails at once is seen before the next scrape.
    /// Only with a preset of the app's own metrics and its usual selector, and a router that divides by weight.
    #[serde(default = "yes")]
    ask_pods: bool,
}

fn yes() -> bool {
    true
}

fn http() -> String {
    "http".to_owned()
}

impl SourceKind for Prometheus {
    fn name(&self) -> &'static str {
        "prometheus"
    }

    fn about(&self) -> &'static str {
        "ask a Prometheus, Thanos, Mimir or VictoriaMetrics, from here or inside the cluster"
    }

    fn options(
        &self,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<Value, erased_serde::Error> {
        let options: Options = erased_serde::deserialize(from)?;
        usable(&options).map_err(serde::de::Error::custom)?;
        target!(options).check().map_err(serde::de::Error::custom)?;
        serde_json::to_value(options).map_err(serde::de::Error::custom)
    }

    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<Options>()
    }

    fn fit(&self, options: &Value, check: CheckSpec) -> Result<CheckSpec, String> {
        let options: Options = options::read(options)?;
        if options.preset != RECORDING_RULES.name {
            return Ok(check);
        }
        let selector = usable(&options)?.0.matchers;
        let (query, limits) = match check.rule {
            Rule::Errors(limits) => (recorded_errors(&selector), limits),
            Rule::Latency { quantile, limits } => (recorded_latency(quantile, &selector), limits),
            Rule::Traffic { .. } => {
                return Err("recording rules count no requests".to_owned());
            }
            Rule::Condition { .. } | Rule::Number(_) | Rule::Share { .. } | Rule::Pods { .. } => {
                return Ok(check);
            }
        };
        value::recorded(&check, &query, limits)
    }

    fn targets(&self, options: &Value) -> Vec<web::Target> {
        let options = options::read::<Options>(options);
        options.iter().map(|options| target!(options)).collect()
    }

    fn asks_pods(&self, options: &Value) -> bool {
        let options = options::read::<Options>(options);
        options.is_ok_and(|options| {
            let selection = usable(&options);
            options.ask_pods && selection.is_ok_and(|(selection, _)| selection.of_pods().is_some())
        })
    }

    fn bind(&self, options: &Value, cluster: &Cluster) -> Result<Arc<dyn Source>, String> {
        let options: Options = options::read(options)?;
        let (selection, lag) = usable(&options)?;
        let preset = selection.of_pods().filter(|_| options.ask_pods);
        let target = target!(options);
        Ok(Arc::new(Server {
            web: target.connect(cluster)?,
            notes: target.notes(),
            namespace: cluster.namespace().to_owned(),
            place: web::place(&options.url),
            kept: kept(&options),
            clock: cluster.clock().clone(),
            time: ServerTime::default(),
            pods: preset.map(|preset| scrape::announced(preset, cluster)),
            selection,
            lag,
        }))
    }
}

/// Returns which options are given that say nothing of preset and selector.
fn kept(options: &Options) -> Vec<&'static str> {
    let all = [
        ("scrapeInterval", options.scrape_interval.is_some()),
        ("auth", options.auth.is_some()),
        ("tls", options.tls.is_some()),
        ("headers", !options.headers.is_empty()),
        ("timeout", options.timeout.is_some()),
        ("via", options.via != Via::default()),
        ("askPods", !options.ask_pods),
        // What follows the path may be a credential.
        ("the query of url", options.url.contains('?')),
    ];
    let given = all.into_iter().filter(|(_, given)| *given);
    given.map(|(name, _)| name).collect()
}

/// Returns how a side is selected, and how old may be what is counted; the error names the option.
fn usable(options: &Options) -> Result<(Selection, Duration), String> {
    let selection = Selection::read(&options.preset, options.selector.as_deref())?;
    let lag = match &options.scrape_interval {
        None => SCRAPE_INTERVAL,
        Some(text) => humantime::parse_duration(text)
            .ok()
            .filter(|d| *d <= Duration::from_secs(300))
            .ok_or_else(|| format!("scrapeInterval: '{text}' is not a time up to 5m"))?,
    };
    Ok((selection, lag))
}

struct Server {
    web: Web,
    clock: Clock,
    time: ServerTime,
    selection: Selection,
    /// Where pods can be asked for what is scraped later.
    pods: Option<scrape::Pages>,
    lag: Duration,
    namespace: String,
    place: String,
    notes: Vec<String>,
    /// Names of the options that a suggestion does not repeat.
    kept: Vec<&'static str>,
}

/// Why there is no answer, in a sentence.
type Trouble = (Unknown, String);

#[async_trait]
impl Source for Server {
    async fn count(&self, look: &Look<'_>, latency: bool) -> Vec<Reading> {
        let (requests, buckets) = self.selection.queries(look, &self.namespace);
        let histograms = async {
            if latency {
                self.query(&buckets, look.at).await
            } else {
                Ok(Vec::new())
            }
        };
        let (counted, histograms) = futures::join!(self.query(&requests, look.at), histograms);
        let gathered = match counted.and_then(|counted| Ok((counted, histograms?))) {
            Ok((counted, histograms)) => self.selection.gather(&counted, &histograms),
            Err((why, text)) => return missing(why, text),
        };
        if gathered.is_empty() {
            let text = "no time series: no requests yet, or preset and selector do not match";
            return missing(Unknown::NoData, self.about(text, &requests));
        }
        let born: HashSet<&str> = look
            .workload
            .pods
            .iter()
            .filter(|pod| pod.created >= look.started)
            .map(|pod| pod.name.as_str())
            .collect();
        let reading = |(subject, gathered): (String, Gathered)| {
            let born = born.contains(subject.as_str());
            let sample = match gathered.totals(self.selection.preset) {
                Ok(totals) => Sample::Totals { totals, born },
                Err(text) => Sample::Missing(Unknown::Query, self.about(&text, &requests)),
            };
            Reading { subject, sample }
        };
        let silent = silent(&gathered, look);
        let mut readings: Vec<Reading> = gathered.into_iter().map(reading).collect();
        readings.extend(silent);
        readings
    }

    async fn value(&self, query: &str, look: &Look<'_>) -> Sample {
        let query = self.fill(query, look);
        let missing = |why, text: &str| Sample::Missing(why, self.about(text, &query));
        let series = match self.query(&query, look.at).await {
            Ok(series) => series,
            Err((why, text)) => return Sample::Missing(why, text),
        };
        match series.as_slice() {
            [] => missing(Unknown::NoData, "no time series"),
            [one] if one.value.is_finite() => Sample::Number(one.value),
            [one] => missing(Unknown::NoData, &format!("the value is {}", one.value)),
            several => {
                let text = format!(
                    "{} series where one is wanted; aggregate them, as with sum()",
                    several.len()
                );
                missing(Unknown::Query, &text)
            }
        }
    }

    fn lag(&self) -> Duration {
        self.lag
    }

    fn at_pods(&self) -> Option<&dyn Source> {
        self.pods.as_ref().map(|pods| pods as &dyn Source)
    }

    fn place(&self) -> String {
        self.place.clone()
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn manner(&self) -> String {
        self.selection.words()
    }

    fn shapes(&self, check: &CheckSpec) -> bool {
        check.rule.counts() || self.selection.records(check)
    }

    async fn shared(&self, sides: &Sides<'_>) -> Result<u64, String> {
        let Some(query) = self.selection.shared(sides, &self.namespace) else {
            return Ok(0);
        };
        let now = self.clock.now();
        let series = self.query(&query, now).await.map_err(|(_, text)| text)?;
        suggest::number_of(&series)
    }

    async fn search(&self, sides: &Sides<'_>) -> Option<Search> {
        Some(suggest::search(self, sides).await)
    }
}

/// Returns the canary's ready pods that have no series while the others have so many requests that chance
/// does not explain it: nobody knows how those pods fare.
fn silent(gathered: &BTreeMap<String, Gathered>, look: &Look<'_>) -> Vec<Reading> {
    let ready = look.workload.pods.iter().filter(|pod| pod.ready);
    let (told, silent): (Vec<_>, Vec<_>) = ready.partition(|pod| gathered.contains_key(&pod.name));
    let requests: f64 = told
        .iter()
        .map(|pod| gathered[&pod.name].requests_so_far())
        .sum();
    let pods = u32::try_from(told.len()).unwrap_or(u32::MAX);
    if look.facts.track != Track::Canary || requests < TELLING * f64::from(pods.max(1)) {
        return Vec::new();
    }
    let reading = |pod: &Pod| Reading {
        subject: pod.name.clone(),
        sample: Sample::Missing(
            Unknown::NoData,
            "pod is ready but has no time series (other pods have)".to_owned(),
        ),
    };
    silent.into_iter().map(reading).collect()
}

fn missing(why: Unknown, text: String) -> Vec<Reading> {
    vec![Reading {
        subject: String::new(),
        sample: Sample::Missing(why, text),
    }]
}

/// Returns a query as a message shows it.
fn shown(query: &str) -> String {
    if query.chars().count() <= SHOWN {
        return query.to_owned();
    }
    let cut: String = query.chars().take(SHOWN).collect();
    format!("{cut}…")
}

/// Returns what is wrong with the answer to a query, with what was asked.
fn told(asked: &str, text: &str, query: &str) -> String {
    format!("{asked}: {text}; query {}", shown(query))
}

impl Server {
    /// Returns what is wrong with what a query gave.
    fn about(&self, text: &str, query: &str) -> String {
        let place = self.place.trim_end_matches('/');
        told(&format!("POST {place}{QUERY}"), text, query)
    }

    fn fill(&self, text: &str, look: &Look<'_>) -> String {
        let filling = Filling::new(&look.facts, &self.namespace, look.workload);
        filling.fill(text, Place::Text)
    }

    /// Returns the series of a query at the moment `at` of a look.
    async fn query(&self, query: &str, at: Timestamp) -> Result<Vec<Series>, Trouble> {
        match self.time.of(at, &self.clock).await {
            Evaluated::At(time) => self.query_at(query, Some(time)).await,
            Evaluated::Now(learning) => {
                let asked = self.clock.now();
                let answer = self.query_at(query, None).await;
                let first = answer.as_ref().ok().and_then(|series| series.first());
                if let Some(learning) = learning {
                    learning.told(asked, first.map(|series| series.at));
                }
                answer
            }
        }
    }

    /// Returns the series of a query at a moment, in seconds since 1970 by the server's clock; `None` is now.
    async fn query_at(&self, query: &str, time: Option<f64>) -> Result<Vec<Series>, Trouble> {
        let time = time.map(|time| ("time", format!("{time:.3}")));
        let request = web::Request {
            method: Method::POST,
            path: Some(QUERY),
            form: [("query", query.to_owned())]
                .into_iter()
                .chain(time)
                .collect(),
            ..web::Request::default()
        };
        let answer = match self.web.send(&request).await {
            Ok(answer) => answer,
            Err(error) => {
                let text = told(&error.request, &error.reason, query);
                return Err((Unknown::SourceDown, text));
            }
        };
        let reply = Reply {
            status: answer.status,
            content_type: answer.content_type.as_deref().unwrap_or_default(),
            location: answer.location.as_deref().unwrap_or_default(),
            body: &answer.body,
        };
        let told = |text: &str| told(&answer.request, text, query);
        match answer::read(&reply) {
            // Half of the series is no answer: what is missing may be the errors.
            Ok(answer) if !answer.warnings.is_empty() => {
                Err((Unknown::SourceDown, told(&answer.warnings.join("; "))))
            }
            Ok(answer) => Ok(answer.series),
            Err(AnswerError::Query(text)) => Err((Unknown::Query, told(&text))),
            Err(
                error @ (AnswerError::Down(_)
                | AnswerError::Refused(_)
                | AnswerError::NotPrometheus(_)),
            ) => Err((Unknown::SourceDown, told(&error.to_string()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(options: Value) -> Result<Selection, String> {
        let mut from = <dyn erased_serde::Deserializer<'_>>::erase(options);
        let options = Prometheus.options(&mut from).map_err(|e| e.to_string())?;
        let options: Options = serde_json::from_value(options).map_err(|e| e.to_string())?;
        usable(&options).map(|(selection, _)| selection)
    }

    #[test]
    fn recorded_values_are_asked_for_by_their_names() {
        let options = json!({
            "url": "http://p.monitoring:9090", "preset": "recording-rules",
            "selector": "service=\"auth\"",
        });
        let fitted: Vec<CheckSpec> = crate::health::requests::default_checks()
            .into_iter()
            .map(|check| Prometheus.fit(&options, check).unwrap())
            .collect();
        let queries: Vec<&str> = fitted
            .iter()
            .filter_map(|check| check.options["query"].as_str())
            .collect();
        assert_eq!(
            queries,
            [
                "{{track}}:error_rate:5m{service=\"auth\"} <= 1",
                "{{track}}:latency_p95:5m{service=\"auth\"}",
                "{{track}}:latency_p99:5m{service=\"auth\"}",
            ]
        );
        let limits: Vec<String> = fitted
            .iter()
            .map(|check| crate::domain::judge::limit(check.rule))
            .collect();
        assert_eq!(
            limits,
            ["≤ 0.05, ≤ 2× stable", "≤ 0.5", "≤ 1, ≤ 1.5× stable"]
        );
        assert!(fitted.iter().all(|check| !check.rule.counts()));
    }

    #[test]
    fn options_that_cannot_be_used_are_refused() {
        for options in [
            json!({}),
            json!({"url": "prometheus:9090"}),
            json!({"url": "http://user:secret@prometheus:9090"}),
            json!({"url": "http://prometheus:9090", "preset": "htpp"}),
            json!({"url": "http://prometheus:9090", "scrapeInterval": "1h"}),
            json!({"url": "http://prometheus:9090", "adress": "x"}),
        ] {
            let error = parsed(options.clone()).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
