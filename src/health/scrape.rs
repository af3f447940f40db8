//! Counting requests without Prometheus: the pages of all pods, read through the API server.
//!
//! Owns: which pages are read, and finding the counters in them. Must not: ask one pod and speak for
//! all, or keep counters; increments are made of totals elsewhere.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Look, exposition,
    http::Port,
    presets::{Gathered, PRESETS, Preset, preset},
    source::{Sides, Source, SourceKind},
    suggestion::{Search, Seen, Suggestion, rank},
};
use crate::{
    cluster::{
        Cluster,
        forward::{AppAnswer, AppRequest, ForwardError},
        pods::LivePod,
    },
    domain::{
        check::{Reading, Sample},
        options,
        plan::MetricsSpec,
        verdict::Unknown,
    },
};

/// Pods asked at the same time.
const AT_ONCE: usize = 64;

/// Longest time a page may take, unless configured.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The same where a source shows later what is on it: longer, and nothing is won.
const SOON: Duration = Duration::from_secs(2);

/// Longest time for reading the pages once more in search of other presets.
const SEARCH: Duration = Duration::from_secs(10);

/// Annotations that many pods carry for Prometheus.
const SCRAPED: &str = "prometheus.io/scrape";
const PORT: &str = "prometheus.io/port";
const PATH: &str = "prometheus.io/path";

/// The source.
pub struct Scrape;

/// Reads the pages for Prometheus of all pods, through the API server: no Prometheus is needed
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Options {
    /// Port of the pods, by number or name; default: the annotation prometheus.io/port, else the app's.
    port: Option<Port>,
    /// Path; default: the annotation prometheus.io/path, else /metrics.
    path: Option<String>,
    /// Names of the metrics; default: whichever preset is found in the page.
    preset: Option<String>,
    /// Longest time a page may take; default: 5s.
    timeout: Option<String>,
}

impl SourceKind for Scrape {
    fn name(&self) -> &'static str {
        "scrape"
    }

    fn about(&self) -> &'static str {
        "read the metrics of all pods through the API server; no Prometheus is needed"
    }

    fn options(
        &self,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<Value, erased_serde::Error> {
        let options: Options = erased_serde::deserialize(from)?;
        usable(&options).map_err(serde::de::Error::custom)?;
        serde_json::to_value(options).map_err(serde::de::Error::custom)
    }

    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<Options>()
    }

    fn asks_only_the_release(&self, _: &Value) -> bool {
        true
    }

    fn bind(&self, options: &Value, cluster: &Cluster) -> Result<Arc<dyn Source>, String> {
        let options: Options = options::read(options)?;
        let (timeout, presets) = usable(&options)?;
        Ok(Arc::new(Pages {
            cluster: cluster.clone(),
            options,
            timeout,
            presets,
            announced: false,
        }))
    }
}

/// Returns the pages of the pods that say they have one, read with a preset and within a moment; for a source that
/// shows the same later.
pub(super) fn announced(preset: &'static Preset, cluster: &Cluster) -> Pages {
    Pages {
        cluster: cluster.clone(),
        options: Options::default(),
        timeout: SOON,
        presets: vec![preset],
        announced: true,
    }
}

/// Returns whether a pod says that it has a page of metrics.
pub fn is_announced(pod: &LivePod) -> bool {
    let said = pod.metadata.annotations.get(SCRAPED);
    said.is_some_and(|value| value == "true")
}

/// Returns the source by default, with its options.
pub fn default_source() -> MetricsSpec {
    MetricsSpec {
        name: Scrape.name().to_owned(),
        options: serde_json::to_value(Options::default()).unwrap_or_default(),
    }
}

fn usable(options: &Options) -> Result<(Duration, Vec<&'static Preset>), String> {
    let timeout = match &options.timeout {
        None => TIMEOUT,
        Some(text) => humantime::parse_duration(text)
            .ok()
            .filter(|d| !d.is_zero() && *d <= Duration::from_secs(60))
            .ok_or_else(|| format!("timeout: '{text}' must be between 1ms and 1m"))?,
    };
    if let Some(path) = options.path.as_ref().filter(|path| !path.starts_with('/')) {
        return Err(format!("path: '{path}' must begin with /"));
    }
    let in_pods = || PRESETS.iter().filter(|preset| preset.in_pods);
    let presets = match &options.preset {
        None => in_pods().collect(),
        Some(name) => {
            let found = preset(name).filter(|preset| preset.in_pods);
            let known: Vec<&str> = in_pods().map(|preset| preset.name).collect();
            let known = known.join(", ");
            vec![found.ok_or_else(|| format!("preset: no '{name}' in pods; there are: {known}"))?]
        }
    };
    Ok((timeout, presets))
}

/// Pages of metrics, read as they are at the moment.
pub(super) struct Pages {
    cluster: Cluster,
    options: Options,
    timeout: Duration,
    presets: Vec<&'static Preset>,
    /// Whether only pods are asked that say they have one.
    announced: bool,
}

#[async_trait]
impl Source for Pages {
    async fn count(&self, look: &Look<'_>, latency: bool) -> Vec<Reading> {
        let born: HashSet<&str> = look
            .workload
            .pods
            .iter()
            .filter(|pod| pod.created >= look.started)
            .map(|pod| pod.name.as_str())
            .collect();
        let wanted = |pod: &&LivePod| !self.announced || is_announced(pod);
        let asked: Vec<_> = ready(look)
            .into_iter()
            .filter(wanted)
            .map(|pod| {
                let born = born.contains(pod.name());
                async move {
                    let sample = match self.page(pod, look).await {
                        Ok(page) => page.read(&self.presets, (latency, born)),
                        Err(sample) => sample,
                    };
                    let subject = pod.name().to_owned();
                    Reading { subject, sample }
                }
                .boxed()
            })
            .collect();
        if asked.is_empty() {
            let sample = Sample::Missing(Unknown::NoData, "no ready pods to ask".to_owned());
            return vec![Reading {
                subject: String::new(),
                sample,
            }];
        }
        let mut readings: Vec<Reading> = stream::iter(asked)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        readings.sort_by(|a, b| a.subject.cmp(&b.subject));
        readings
    }

    fn place(&self) -> String {
        match &self.options.path {
            Some(path) => format!("{path} of every pod"),
            None => "the metrics of every pod".to_owned(),
        }
    }

    fn manner(&self) -> String {
        match self.options.preset {
            Some(ref name) => format!("preset {name}"),
            None => "whichever preset is on the page".to_owned(),
        }
    }

    async fn search(&self, sides: &Sides<'_>) -> Option<Search> {
        let others = PRESETS.iter().filter(|preset| preset.in_pods);
        let others = others.filter(|preset| !self.presets.contains(preset));
        let others: Vec<&'static Preset> = others.collect();
        if others.is_empty() {
            return None;
        }
        let look = &sides.stable;
        let asked: Vec<_> = ready(look)
            .into_iter()
            .map(|pod| async move { (pod.name().to_owned(), self.page(pod, look).await) }.boxed())
            .collect();
        let asked = stream::iter(asked).buffer_unordered(AT_ONCE).collect();
        let pages = self.cluster.clock().timeout(SEARCH, asked);
        let pages: Vec<(String, Result<Page, Sample>)> = pages.await.ok()?;
        let mut search = Search {
            tried: self.presets.iter().chain(&others).map(|p| p.name).collect(),
            ..Search::default()
        };
        let is_page = |page: &Page| {
            let read = page.read(&self.presets, (false, false));
            !matches!(
                read,
                Sample::Missing(Unknown::Query | Unknown::SourceDown, _)
            )
        };
        if !pages
            .iter()
            .any(|(_, page)| page.as_ref().is_ok_and(is_page))
        {
            return None;
        }
        for preset in others {
            let readings: Vec<Reading> = pages
                .iter()
                .map(|(pod, page)| Reading {
                    subject: pod.clone(),
                    sample: match page {
                        Ok(page) => page.read(&[preset], (true, false)),
                        Err(sample) => sample.clone(),
                    },
                })
                .collect();
            let Some(seen) = Seen::of(&readings, look) else {
                continue;
            };
            search.suggestions.push(Suggestion {
                preset: preset.name,
                selector: None,
                line: self.line(preset.name),
                seen,
            });
        }
        rank(&mut search.suggestions, "");
        Some(search)
    }
}

/// Returns the ready pods of the side.
fn ready<'a>(look: &Look<'a>) -> Vec<&'a LivePod> {
    let ready = look.workload.pods.iter().filter(|pod| pod.ready);
    let ready: HashSet<&str> = ready.map(|pod| pod.name.as_str()).collect();
    let pods = look.pods.iter();
    pods.filter(|pod| ready.contains(pod.name())).collect()
}

/// The page of one pod.
struct Page {
    answer: AppAnswer,
    /// Port and path.
    place: String,
}

impl Pages {
    /// Returns the line of `canary.yaml` with another preset.
    fn line(&self, preset: &str) -> String {
        let options = Options {
            preset: Some(preset.to_owned()),
            ..self.options.clone()
        };
        let options = serde_json::to_value(options).unwrap_or_default();
        let given = options.as_object().into_iter().flatten();
        let given = given.filter(|(_, value)| !value.is_null());
        // A value as JSON is YAML, too.
        let field = |(name, value): (&String, &Value)| match value.as_str() {
            Some(text)
                if text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
                    && text
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || "/-_.".contains(c)) =>
            {
                format!("{name}: {text}")
            }
            _ => format!("{name}: {value}"),
        };
        let fields: Vec<String> = given.map(field).collect();
        format!("metrics: {{scrape: {{{}}}}}", fields.join(", "))
    }

    /// Asks a pod for its page; the error is what there is in its place.
    async fn page(&self, pod: &LivePod, look: &Look<'_>) -> Result<Page, Sample> {
        let annotation = |key: &str| pod.metadata.annotations.get(key);
        let port = match &self.options.port {
            Some(Port::Number(number)) => Some(*number),
            Some(Port::Name(name)) => pod.named_port(name),
            None => match annotation(PORT) {
                Some(text) => text.trim().parse().ok().or_else(|| pod.named_port(text)),
                None => pod.app_port(look.service),
            },
        };
        let Some(port) = port else {
            let text = "the pod has no port for its metrics; name one with `port`".to_owned();
            return Err(Sample::Missing(Unknown::Query, text));
        };
        let annotated = annotation(PATH).filter(|path| path.starts_with('/'));
        let path = self.options.path.as_ref().or(annotated);
        let path = path.map_or("/metrics", String::as_str);
        let request = AppRequest {
            method: Method::GET,
            path: path.to_owned(),
            headers: BTreeMap::from([("accept".to_owned(), "text/plain;version=0.0.4".to_owned())]),
            body: Bytes::new(),
        };
        let place = format!(":{port}{path}");
        let answer = self
            .cluster
            .ask_pod(pod.name(), port, &request, self.timeout);
        match answer.await {
            Ok(answer) => Ok(Page { answer, place }),
            Err(
                error @ (ForwardError::Refused { .. }
                | ForwardError::Broken { .. }
                | ForwardError::Timeout { .. }),
            ) => Err(Sample::Missing(Unknown::SourceDown, error.to_string())),
        }
    }
}

impl Page {
    /// Counts by the first of these presets that is on the page.
    fn read(&self, presets: &[&'static Preset], (latency, born): (bool, bool)) -> Sample {
        let Self { answer, place } = self;
        let missing = |why, text: String| Sample::Missing(why, format!("{place}: {text}"));
        match answer.status {
            200 => {}
            404 => return missing(Unknown::Query, "status 404".to_owned()),
            status => return missing(Unknown::SourceDown, format!("status {status}")),
        }
        let mut all: Vec<Gathered> = vec![Gathered::default(); presets.len()];
        let mut each = |sample: &exposition::Sample<'_>| {
            for (preset, gathered) in presets.iter().zip(&mut all) {
                gather(preset, gathered, sample, latency);
            }
        };
        if let Err(error) = exposition::read(&answer.content_type, &answer.body, &mut each) {
            return missing(Unknown::Query, error.to_string());
        }
        let found = presets.iter().zip(all);
        let Some((preset, gathered)) = found.into_iter().find(|(_, g)| !g.is_empty()) else {
            let names: Vec<&str> = presets.iter().map(|preset| preset.requests).collect();
            let text = format!("the page has no {}", names.join(", "));
            return missing(Unknown::NoData, text);
        };
        match gathered.totals(preset) {
            Ok(totals) => Sample::Totals { totals, born },
            Err(text) => missing(Unknown::NoData, text),
        }
    }
}

fn gather(
    preset: &Preset,
    gathered: &mut Gathered,
    sample: &exposition::Sample<'_>,
    latency: bool,
) {
    let label = |name: &str| sample.label(name);
    let belongs = preset
        .matchers
        .split_once('=')
        .is_none_or(|(name, value)| label(name).is_some_and(|v| v == value.trim_matches('"')));
    if !belongs {
        return;
    }
    if sample.name == preset.requests {
        gathered.requests(preset.outcome(&label), sample.value);
    } else if latency && sample.name == preset.buckets {
        let bound = label("le").and_then(|le| exposition::number(&le));
        gathered.bucket(bound.unwrap_or(f64::NAN) * preset.unit, sample.value);
    }
}
