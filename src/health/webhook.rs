//! A question to a webhook, in the form that Flagger sends.
//!
//! Owns: the payload, Flagger's rule for the status, trying again. Must not: take a redirect or a
//! gateway's error for the hook's word; judge.
//!
//! Flagger posts `{name, namespace, phase, checksum, metadata}` and lets every status up to 202 pass.
//! Unlike it, what only says that the hook was not reached is unknown here, not a failure.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Binding, HealthError, Look, Probe, ProbeKind,
    facts::{self, Filling, Place},
    web::{Answer, Auth, HeaderText, Request, Target, Tls, Via, Web, WebError, target},
};
use crate::{
    cluster::Cluster,
    domain::{
        check::{CheckSpec, Reading, Rule, Sample, Severity},
        options,
        plan::OnTrouble,
        verdict::Unknown,
        workload::Track,
    },
};

/// Failing evaluations in a row before the verdict is unhealthy, unless configured.
const CONSECUTIVE: u32 = 3;

/// Most further tries of one look.
const MOST_RETRIES: u32 = 10;

/// Pause before the second try; it doubles with every further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The webhook probe.
pub struct Webhook;

/// Options of the check.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "WebhookOptions")]
struct Options {
    /// Name of the check; the URL's host unless given.
    #[serde(default)]
    name: Option<String>,
    /// Address; placeholders such as `{{canary}}` are filled in.
    url: String,
    /// Sent along as text; placeholders are filled in.
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    /// Further tries when the hook is not reached or answers with status 429 or 5xx; at most 10.
    #[serde(default)]
    retries: u32,
    /// How to prove who asks.
    #[serde(default)]
    auth: Option<Auth>,
    /// Certificates, where the system's do not do.
    #[serde(default)]
    tls: Option<Tls>,
    /// Further headers; a value is text or a reference to a secret.
    #[serde(default)]
    headers: BTreeMap<String, HeaderText>,
    /// Longest time an answer may take, such as `10s`, at most a minute.
    #[serde(default)]
    timeout: Option<String>,
    /// Which way requests go.
    #[serde(default)]
    via: Via,
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

struct Caller {
    web: Web,
    cluster: Cluster,
    options: Options,
    notes: Vec<String>,
}

impl ProbeKind for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn about(&self) -> &'static str {
        "POST to a webhook, as Flagger does: a status up to 202 passes"
    }

    fn check(
        &self,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<CheckSpec, erased_serde::Error> {
        use serde::de::Error as _;
        let options: Options = erased_serde::deserialize(from)?;
        options.verify().map_err(erased_serde::Error::custom)?;
        let name = options.name.clone();
        Ok(CheckSpec {
            name: name.unwrap_or_else(|| facts::host(&options.url).to_owned()),
            probe: self.name().to_owned(),
            rule: Rule::Condition {
                consecutive: options.consecutive.unwrap_or(CONSECUTIVE).max(1),
            },
            severity: options.severity,
            on_unknown: options.on_unknown,
            pre: false,
            options: serde_json::to_value(options).map_err(erased_serde::Error::custom)?,
        })
    }

    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<Options>()
    }

    fn targets(&self, options: &serde_json::Value) -> Vec<Target> {
        let options = options::read::<Options>(options);
        options.iter().map(|options| target!(options)).collect()
    }

    fn bind(&self, spec: &CheckSpec, binding: &Binding<'_>) -> Result<Box<dyn Probe>, HealthError> {
        let cluster = binding.cluster;
        let bound = || -> Result<Caller, String> {
            let options: Options = options::read(&spec.options)?;
            let target = options.target();
            Ok(Caller {
                web: target.connect(cluster)?,
                cluster: cluster.clone(),
                options,
                notes: target.notes(),
            })
        };
        let bound = bound().map_err(|reason| HealthError::Options {
            check: spec.name.clone(),
            reason,
        })?;
        Ok(Box::new(bound))
    }
}

impl Options {
    /// Returns an error that names the key when the options cannot be used.
    fn verify(&self) -> Result<(), String> {
        facts::check(&self.url).map_err(|e| format!("url: {e}"))?;
        for (key, value) in &self.metadata {
            facts::check(value).map_err(|e| format!("metadata: {key}: {e}"))?;
        }
        if self.retries > MOST_RETRIES {
            return Err(format!("retries is at most {MOST_RETRIES}"));
        }
        self.target().check()
    }

    fn target(&self) -> Target {
        let mut target = target!(self);
        target.url = facts::blank(&self.url);
        target
    }
}

#[async_trait]
impl Probe for Caller {
    async fn look(&self, look: &Look<'_>) -> Vec<Reading> {
        vec![Reading {
            subject: look.workload.name.clone(),
            sample: self.call(look).await,
        }]
    }

    fn effect(&self) -> Option<String> {
        Some("it sends POST to a webhook".to_owned())
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

// === impl Caller ===

impl Caller {
    async fn call(&self, look: &Look<'_>) -> Sample {
        let filling = Filling::new(&look.facts, self.cluster.namespace(), look.workload);
        let web = match self.web.at(&filling.fill(&self.options.url, Place::Url)) {
            Ok(web) => web,
            Err(error) => return Sample::Missing(Unknown::Query, error),
        };
        let request = Request {
            method: Method::POST,
            headers: vec![(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )],
            body: Bytes::from(self.payload(look, &filling).to_string()),
            ..Request::default()
        };
        let mut pause = FIRST_PAUSE;
        let mut left = self.options.retries;
        loop {
            let answer = web.send(&request).await;
            if left == 0 || !is_passing(&answer) {
                return sample(answer);
            }
            left -= 1;
            self.cluster.clock().sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn payload(&self, look: &Look<'_>, filling: &Filling<'_>) -> serde_json::Value {
        let metadata = self.options.metadata.iter();
        let metadata: BTreeMap<&String, String> = metadata
            .map(|(key, value)| (key, filling.fill(value, Place::Text)))
            .collect();
        // Stable is looked at while it gets the canary's version.
        let phase = match look.facts.track {
            Track::Canary => "Progressing",
            Track::Stable => "Promoting",
        };
        let mut payload = json!({
            "name": look.facts.app,
            "namespace": self.cluster.namespace(),
            "phase": phase,
            "checksum": look.workload.revision,
        });
        if !metadata.is_empty() {
            payload["metadata"] = json!(metadata);
        }
        payload
    }
}

/// Returns whether another try may give an answer.
fn is_passing(answer: &Result<Answer, WebError>) -> bool {
    match answer {
        Ok(answer) => answer.status == 429 || answer.status >= 500 && answer.status != 501,
        Err(error) => error.is_passing(),
    }
}

/// Returns what the hook said. A status that others than the hook send is unknown.
fn sample(answer: Result<Answer, WebError>) -> Sample {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return error.missing(),
    };
    match answer.status {
        200..=202 => Sample::Holds(true, format!("status {}{}", answer.status, answer.start())),
        300..=399 | 401 | 404 | 405 | 407 | 429 | 501..=504 => {
            answer.refusal().unwrap_or_else(|| {
                let text = answer.says(&format!("status {}", answer.status));
                Sample::Missing(Unknown::SourceDown, text)
            })
        }
        status => {
            let text = answer.says(&format!("status {status}{}", answer.start()));
            Sample::Holds(false, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::Value;

    use super::*;
    use crate::health::web::tests::{Server, bound, look, option_error};

    #[tokio::test]
    async fn the_payload_is_that_of_flagger() {
        let server = Server::answering(202, "").await;
        let options = json!({
            "url": server.url("/gate"),
            "metadata": {"cmd": "hey http://{{canary}}.{{namespace}}:80/"}
        });
        let seen = look(bound("webhook", options).as_ref()).await;
        assert_eq!(seen, Sample::Holds(true, "status 202".into()));
        let request = &server.seen()[0];
        assert_eq!(
            (&request.method, request.uri.as_str()),
            (&Method::POST, "/gate")
        );
        assert_eq!(request.headers["content-type"], "application/json");
        let payload: Value = serde_json::from_str(&request.body).unwrap();
        let wanted = json!({
            "name": "payment-api",
            "namespace": "canary-release",
            "phase": "Progressing",
            "checksum": "abc",
            "metadata": {"cmd": "hey http://payment-api-canary.canary-release:80/"}
        });
        assert_eq!(payload, wanted);
    }

    #[tokio::test]
    async fn the_status_decides() {
        for (status, wanted) in [
            (200, Some(true)),
            (201, Some(true)),
            (202, Some(true)),
            (203, Some(false)),
            (204, Some(false)),
            (400, Some(false)),
            (403, Some(false)),
            (409, Some(false)),
            (500, Some(false)),
            (301, None),
            (401, None),
            (404, None),
            (405, None),
            (429, None),
            (502, None),
            (503, None),
            (504, None),
        ] {
            let server = Server::answering(status, "too slow\nmore").await;
            let options = json!({"url": server.url("/")});
            let seen = look(bound("webhook", options).as_ref()).await;
            let holds = if let Sample::Holds(holds, _) = &seen {
                Some(*holds)
            } else {
                None
            };
            assert_eq!(holds, wanted, "{status}: {seen:?}");
            if wanted == Some(false) && status != 204 {
                assert!(format!("{seen:?}").contains("too slow"), "{seen:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_hook_that_was_not_reached_is_asked_again() {
        let calls = AtomicU32::new(0);
        let server = Server::start(move |_| {
            let first = calls.fetch_add(1, Ordering::Relaxed) == 0;
            (if first { 503 } else { 200 }, Vec::new(), String::new())
        })
        .await;
        let options = json!({"url": server.url("/"), "retries": 1});
        let seen = look(bound("webhook", options).as_ref()).await;
        assert_eq!(seen, Sample::Holds(true, "status 200".into()));
        assert_eq!(server.seen().len(), 2);
        assert_eq!(server.seen()[0].body, server.seen()[1].body);
    }

    #[tokio::test]
    async fn a_look_is_told_to_have_an_effect() {
        let effect = bound("webhook", json!({"url": "http://x"})).effect();
        assert_eq!(effect.as_deref(), Some("it sends POST to a webhook"));
    }

    #[test]
    fn each_mistake_in_the_options_is_named() {
        for (options, said) in [
            (json!({}), "missing field `url`"),
            (
                json!({"url": "http://x", "metadata": {"a": "{{b}}"}}),
                "metadata: a: nothing",
            ),
            (
                json!({"url": "http://x", "retries": 99}),
                "retries is at most 10",
            ),
            (
                json!({"url": "http://x", "retry": 1}),
                "unknown field `retry`",
            ),
        ] {
            let error = option_error("webhook", options);
            assert!(error.contains(said), "{error}");
        }
    }
}
