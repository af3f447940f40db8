//! Asking every pod over HTTP.
//!
//! Owns: the request, what counts as an answer, and turning it into a reading. Must not: ask one pod
//! and speak for all; judge.

use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use http::Method;
use k8s_openapi::api::core::v1 as core;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;

use super::{Binding, HealthError, Look, Probe, ProbeKind, cel::Expression};
use crate::{
    cluster::{
        Cluster,
        forward::{AppAnswer, AppRequest, ForwardError},
        pods::LivePod,
    },
    domain::{
        check::{CheckSpec, Number, Reading, Rule, Sample, Severity},
        options,
        plan::OnTrouble,
        verdict::Unknown,
    },
};

/// Pods asked at the same time.
const AT_ONCE: usize = 16;

/// Failing evaluations in a row before a condition is unhealthy, unless configured.
const CONSECUTIVE: u32 = 3;

/// Requests at a step before a share of good ones means anything, unless configured.
const MIN_REQUESTS: u64 = 20;

/// Longest time a pod may take to answer, unless configured.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The HTTP probe.
pub struct Http;

/// Options of the check.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    /// Name of the check; the path unless given.
    #[serde(default)]
    name: Option<String>,
    /// Path with query, beginning with `/`.
    path: String,
    /// Port of the pod, by number or name; otherwise the port behind the Service, or the first.
    #[serde(default)]
    port: Option<Port>,
    /// Method.
    #[serde(default = "get")]
    method: String,
    /// Further headers.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Body: text is sent as it is, anything else as JSON.
    #[serde(default)]
    body: Option<Value>,
    /// Status codes that are fine; 200 to 299 unless given.
    #[serde(default, deserialize_with = "one_or_many")]
    status: Vec<u16>,
    /// Longest time a pod may take, such as `2s`.
    #[serde(default)]
    timeout: Option<String>,
    /// CEL condition over `status`, `body` and `text` that must hold.
    #[serde(default)]
    expect: Option<String>,
    /// CEL number that must be within `min` and `max`.
    #[serde(default)]
    value: Option<String>,
    /// Lowest good value, or lowest share of good requests: `0.95` or `95%`.
    #[serde(default)]
    min: Option<Limit>,
    /// Highest good value.
    #[serde(default)]
    max: Option<Limit>,
    /// CEL number: counter of good requests since the pod started.
    #[serde(default)]
    good: Option<String>,
    /// CEL number: counter of all requests since the pod started.
    #[serde(default)]
    total: Option<String>,
    /// Requests at a step before the share means anything.
    #[serde(default)]
    min_requests: Option<u64>,
    /// Failing evaluations in a row before the verdict is unhealthy.
    #[serde(default)]
    consecutive: Option<u32>,
    /// What an unhealthy verdict does.
    #[serde(default)]
    severity: Severity,
    /// What happens when a step ends and the check does not know; default: as the plan says.
    #[serde(default)]
    on_unknown: Option<OnTrouble>,
}

/// A port by number or name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Port {
    /// By number.
    Number(u16),
    /// By name.
    Name(String),
}

/// A number, or a percentage as text.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct Limit(pub(super) f64);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Limit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a percentage such as 95%")
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Limit, E> {
                if number.is_finite() {
                    Ok(Limit(number))
                } else {
                    Err(E::custom("a limit must be finite"))
                }
            }

            #[expect(clippy::cast_precision_loss, reason = "limits are small")]
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Limit, E> {
                self.visit_f64(number as f64)
            }

            #[expect(clippy::cast_precision_loss, reason = "limits are small")]
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Limit, E> {
                self.visit_f64(number as f64)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Limit, E> {
                let (number, scale) = match text.trim().strip_suffix('%') {
                    Some(number) => (number, 100.0),
                    None => (text, 1.0),
                };
                let number: f64 = number.trim().parse().map_err(|_| {
                    E::custom(format!("'{text}' is neither a number nor a percentage"))
                })?;
                self.visit_f64(number / scale)
            }
        }
        from.deserialize_any(Visitor)
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A number, or a percentage such as \"95%\"",
            "anyOf": [{"type": "number"}, {"type": "string", "pattern": "^-?[0-9.]+ *%?$"}]
        })
    }
}

fn get() -> String {
    "GET".to_owned()
}

fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u16>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(u16),
        Many(Vec<u16>),
    }
    let given = OneOrMany::deserialize(from).map_err(|_| {
        D::Error::custom("status must be a status code such as 200, or a list of them")
    })?;
    Ok(match given {
        OneOrMany::One(status) => vec![status],
        OneOrMany::Many(statuses) => statuses,
    })
}

impl ProbeKind for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn about(&self) -> &'static str {
        "ask every pod over HTTP: status, a condition, a number, or counters"
    }

    fn check(
        &self,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<CheckSpec, erased_serde::Error> {
        let options: Options = erased_serde::deserialize(from)?;
        let rule = rule(&options).map_err(erased_serde::Error::custom)?;
        drop(compile(&options).map_err(erased_serde::Error::custom)?);
        let name = options.name.clone().unwrap_or_else(|| options.path.clone());
        Ok(CheckSpec {
            name,
            probe: "http".to_owned(),
            rule,
            severity: options.severity,
            on_unknown: options.on_unknown,
            pre: false,
            options: serde_json::to_value(options).map_err(erased_serde::Error::custom)?,
        })
    }

    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<Options>()
    }

    fn asks_only_the_release(&self, options: &Value) -> bool {
        // Headers and bodies may carry secrets, and what is sent may do more than look.
        let options: Result<Options, String> = options::read(options);
        options.is_ok_and(|options| {
            let looks = matches!(options.method.as_str(), "GET" | "HEAD");
            looks && options.headers.is_empty() && options.body.is_none()
        })
    }

    fn bind(&self, spec: &CheckSpec, binding: &Binding<'_>) -> Result<Box<dyn Probe>, HealthError> {
        let fail = |reason: String| HealthError::Options {
            check: spec.name.clone(),
            reason,
        };
        let options: Options = options::read(&spec.options).map_err(fail)?;
        let asker = compile(&options).map_err(fail)?;
        Ok(Box::new(asker(binding.cluster)))
    }
}

/// Returns how the answers are judged; an error when the options contradict each other.
fn rule(options: &Options) -> Result<Rule, String> {
    let consecutive = options.consecutive.unwrap_or(CONSECUTIVE).max(1);
    let (min, max) = (options.min.map(|l| l.0), options.max.map(|l| l.0));
    match (&options.value, &options.good, &options.total) {
        (None, None, None) if min.is_some() || max.is_some() => {
            Err("min and max need a value, or good and total".to_owned())
        }
        (None, None, None) => Ok(Rule::Condition { consecutive }),
        (Some(_), None, None) if min.is_none() && max.is_none() => {
            Err("value needs min or max".to_owned())
        }
        (Some(_), None, None) if options.expect.is_some() => {
            Err("expect and value are two checks".to_owned())
        }
        (Some(_), None, None) => Ok(Rule::Number(Number {
            min,
            max,
            consecutive,
            ..Number::default()
        })),
        (None, Some(_), Some(_)) => match min {
            Some(min) if min > 0.0 && min < 1.0 && max.is_none() => Ok(Rule::Share {
                min,
                min_requests: options.min_requests.unwrap_or(MIN_REQUESTS),
            }),
            _ => Err("good and total need min between 0% and 100%, and no max".to_owned()),
        },
        (None, _, _) => Err("good and total belong together".to_owned()),
        (Some(_), _, _) => Err("give either value, or good and total".to_owned()),
    }
}

type MakeAsker = Box<dyn FnOnce(&Cluster) -> Asker>;

/// Returns the probe but for the cluster; an error when an option cannot be used.
fn compile(options: &Options) -> Result<MakeAsker, String> {
    let expression = |source: &Option<String>| {
        let compiled = source.as_deref().map(Expression::compile).transpose();
        compiled.map_err(|e| e.to_string())
    };
    if !options.path.starts_with('/') {
        return Err(format!("path '{}' must begin with /", options.path));
    }
    let method = Method::from_bytes(options.method.to_ascii_uppercase().as_bytes())
        .map_err(|_| format!("'{}' is not a method", options.method))?;
    let timeout = match &options.timeout {
        None => TIMEOUT,
        Some(text) => humantime::parse_duration(text)
            .ok()
            .filter(|d| !d.is_zero() && *d <= Duration::from_secs(60))
            .ok_or_else(|| format!("timeout '{text}' must be between 1ms and 1m"))?,
    };
    let mut headers = options.headers.clone();
    let body = match &options.body {
        None => Bytes::new(),
        Some(Value::String(text)) => Bytes::from(text.clone()),
        Some(json) => {
            let kind = "content-type".to_owned();
            headers.entry(kind).or_insert("application/json".to_owned());
            Bytes::from(json.to_string())
        }
    };
    let question = match (&options.value, &options.good, &options.total) {
        (Some(_), _, _) => expression(&options.value)?.map(Question::Number),
        (None, Some(_), Some(_)) => expression(&options.good)?
            .zip(expression(&options.total)?)
            .map(|(good, total)| Question::Counters(good, total)),
        (None, _, _) => expression(&options.expect)?.map(Question::Condition),
    };
    let request = AppRequest {
        method,
        path: options.path.clone(),
        headers,
        body,
    };
    let (port, statuses) = (options.port.clone(), options.status.clone());
    Ok(Box::new(move |cluster| Asker {
        cluster: cluster.clone(),
        request,
        port,
        statuses,
        timeout,
        question: question.unwrap_or(Question::Status),
    }))
}

/// What is asked of an answer.
enum Question {
    /// The status alone.
    Status,
    /// A condition.
    Condition(Expression),
    /// A number.
    Number(Expression),
    /// Counters: good and all.
    Counters(Expression, Expression),
}

struct Asker {
    cluster: Cluster,
    request: AppRequest,
    port: Option<Port>,
    statuses: Vec<u16>,
    timeout: Duration,
    question: Question,
}

#[async_trait]
impl Probe for Asker {
    async fn look(&self, look: &Look<'_>) -> Vec<Reading> {
        let ready = |pod: &&LivePod| {
            let name = pod.name();
            look.workload.pods.iter().any(|p| p.name == name && p.ready)
        };
        let asked: Vec<_> = look
            .pods
            .iter()
            .filter(ready)
            .map(|pod| self.reading(pod, look.service).boxed())
            .collect();
        let mut readings: Vec<Reading> = stream::iter(asked)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        readings.sort_by(|a, b| a.subject.cmp(&b.subject));
        for reading in &mut readings {
            if let Sample::Counters { born, .. } = &mut reading.sample {
                let pod = look
                    .workload
                    .pods
                    .iter()
                    .find(|p| p.name == reading.subject);
                *born = pod.is_some_and(|pod| pod.created >= look.started);
            }
        }
        readings
    }

    fn effect(&self) -> Option<String> {
        let method = &self.request.method;
        let looks = [Method::GET, Method::HEAD].contains(method);
        (!looks).then(|| format!("it sends {method}"))
    }
}

// === impl Asker ===

impl Asker {
    async fn reading(&self, pod: &LivePod, service: Option<&core::Service>) -> Reading {
        Reading {
            subject: pod.name().to_owned(),
            sample: self.ask(pod, service).await,
        }
    }

    async fn ask(&self, pod: &LivePod, service: Option<&core::Service>) -> Sample {
        let port = match &self.port {
            Some(Port::Number(number)) => Some(*number),
            Some(Port::Name(name)) => pod.named_port(name),
            None => pod.app_port(service),
        };
        let Some(port) = port else {
            let text = "the pod has no such port; name one with `port`".to_owned();
            return Sample::Missing(Unknown::Query, text);
        };
        let answer = self
            .cluster
            .ask_pod(pod.name(), port, &self.request, self.timeout)
            .await;
        match answer {
            Ok(answer) => self.sample(&answer),
            Err(error @ ForwardError::Refused { .. }) => {
                Sample::Missing(Unknown::SourceDown, error.to_string())
            }
            Err(error @ (ForwardError::Broken { .. } | ForwardError::Timeout { .. })) => {
                self.no_answer(error.to_string())
            }
        }
    }

    /// An app that does not answer fails a condition; it tells nothing about a number.
    fn no_answer(&self, text: String) -> Sample {
        match self.question {
            Question::Status | Question::Condition(_) => Sample::Holds(false, text),
            Question::Number(_) | Question::Counters(..) => {
                Sample::Missing(Unknown::SourceDown, text)
            }
        }
    }

    fn sample(&self, answer: &AppAnswer) -> Sample {
        let status = answer.status;
        let fine = if self.statuses.is_empty() {
            (200..300).contains(&status)
        } else {
            self.statuses.contains(&status)
        };
        if !fine {
            return self.no_answer(format!("status {status}"));
        }
        let body = &answer.body;
        let missing = |(why, text): (Unknown, String)| Sample::Missing(why, text);
        match &self.question {
            Question::Status => Sample::Holds(true, format!("status {status}")),
            Question::Condition(expression) => match expression.condition(status, body) {
                Ok(holds) => Sample::Holds(holds, said(holds, status)),
                Err(error) => missing(error),
            },
            Question::Number(expression) => expression
                .number(status, body)
                .map_or_else(missing, Sample::Number),
            Question::Counters(good, total) => {
                let both = good
                    .number(status, body)
                    .and_then(|good| Ok((good, total.number(status, body)?)));
                both.map_or_else(missing, |(good, total)| Sample::Counters {
                    good,
                    total,
                    born: false,
                })
            }
        }
    }
}

fn said(holds: bool, status: u16) -> String {
    if holds {
        format!("holds, status {status}")
    } else {
        format!("does not hold, status {status}")
    }
}
