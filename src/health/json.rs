//! Asking any URL that answers with JSON: Datadog, New Relic, Graphite, a service of one's own.
//!
//! Owns: the request with the names of the release filled in, and reading a condition or a number out
//! of the answer. Must not: take an error, a redirect or a page for an answer; judge.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Binding, HealthError, Look, Probe, ProbeKind,
    cel::Expression,
    facts::{self, Filling, Place},
    http::Limit,
    web::{Answer, Auth, HeaderText, Request, Tls, Via, Web, target},
};
use crate::{
    cluster::Cluster,
    domain::{
        check::{CheckSpec, Number, Reading, Rule, Sample, Severity},
        options,
        plan::OnTrouble,
        verdict::Unknown,
    },
};

/// Failing evaluations in a row before the verdict is unhealthy, unless configured.
const CONSECUTIVE: u32 = 3;

/// The probe of any URL.
pub struct Json;

/// Options of the check.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "JsonOptions")]
struct Options {
    /// Name of the check; the URL's host unless given.
    #[serde(default)]
    name: Option<String>,
    /// Address; `{{app}}`, `{{namespace}}`, `{{track}}`, `{{stable}}`, `{{canary}}` and `{{image}}`
    /// are filled in.
    url: String,
    /// Method: GET or POST; POST where there is a body.
    #[serde(default)]
    method: Option<String>,
    /// Body: text is sent as it is, anything else as JSON; placeholders are filled in.
    #[serde(default)]
    body: Option<Value>,
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
    /// CEL condition over `status`, `body` and `text` that must hold.
    #[serde(default)]
    expect: Option<String>,
    /// CEL number that must be within `min` and `max`.
    #[serde(default)]
    value: Option<String>,
    /// Lowest good value.
    #[serde(default)]
    min: Option<Limit>,
    /// Highest good value.
    #[serde(default)]
    max: Option<Limit>,
    /// Highest good multiple of stable's value; the same is asked of stable.
    #[serde(default)]
    max_ratio: Option<f64>,
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

/// What is asked of an answer.
enum Question {
    /// A condition.
    Condition(Expression),
    /// A number.
    Number(Expression),
}

struct Asker {
    web: Web,
    cluster: Cluster,
    url: String,
    method: Method,
    body: Option<Value>,
    question: Question,
    notes: Vec<String>,
}

impl ProbeKind for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn about(&self) -> &'static str {
        "ask any URL that answers with JSON: a condition or a number"
    }

    fn check(
        &self,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<CheckSpec, erased_serde::Error> {
        use serde::de::Error as _;
        let options: Options = erased_serde::deserialize(from)?;
        let rule = options.verify().map_err(erased_serde::Error::custom)?;
        Ok(CheckSpec {
            name: options.name(),
            probe: self.name().to_owned(),
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

    fn targets(&self, options: &Value) -> Vec<super::web::Target> {
        let options = options::read::<Options>(options);
        options.iter().map(|options| target!(options)).collect()
    }

    fn bind(&self, spec: &CheckSpec, binding: &Binding<'_>) -> Result<Box<dyn Probe>, HealthError> {
        let cluster = binding.cluster;
        let bound = || -> Result<Asker, String> {
            let options: Options = options::read(&spec.options)?;
            let target = options.target();
            Ok(Asker {
                web: target.connect(cluster)?,
                cluster: cluster.clone(),
                method: options.method()?,
                question: options.question()?,
                url: options.url,
                body: options.body,
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

// === impl Options ===

impl Options {
    /// Returns the rule; an error that names the key when the options cannot be used.
    fn verify(&self) -> Result<Rule, String> {
        facts::check(&self.url).map_err(|e| format!("url: {e}"))?;
        if let Some(body) = &self.body {
            facts::check_json(body).map_err(|e| format!("body: {e}"))?;
        }
        self.target().check()?;
        self.method()?;
        self.question()?;
        let consecutive = self.consecutive.unwrap_or(CONSECUTIVE).max(1);
        let (min, max) = (self.min.map(|l| l.0), self.max.map(|l| l.0));
        match &self.value {
            None if min.is_some() || max.is_some() || self.max_ratio.is_some() => {
                Err("min, max and maxRatio need a value".to_owned())
            }
            None => Ok(Rule::Condition { consecutive }),
            Some(_) if min.is_none() && max.is_none() && self.max_ratio.is_none() => {
                Err("value needs min, max or maxRatio".to_owned())
            }
            Some(_) if self.max_ratio.is_some_and(|r| !(r.is_finite() && r > 0.0)) => {
                Err("maxRatio must be above 0, such as 1.5".to_owned())
            }
            Some(_) => Ok(Rule::Number(Number {
                min,
                max,
                max_ratio: self.max_ratio,
                consecutive,
                ..Number::default()
            })),
        }
    }

    /// Returns the target, with placeholders where they may stand replaced by a letter: a URL with
    /// braces is none.
    fn target(&self) -> super::web::Target {
        let mut target = target!(self);
        target.url = facts::blank(&self.url);
        target
    }

    fn name(&self) -> String {
        let given = self.name.clone();
        given.unwrap_or_else(|| facts::host(&self.url).to_owned())
    }

    fn method(&self) -> Result<Method, String> {
        let asked = self.method.as_ref().map(|m| m.to_ascii_uppercase());
        match (asked.as_deref(), &self.body) {
            (Some("GET"), Some(_)) => Err("body needs method: POST".to_owned()),
            (Some("GET") | None, None) => Ok(Method::GET),
            (Some("POST"), _) | (None, Some(_)) => Ok(Method::POST),
            (Some(other), _) => Err(format!("method is GET or POST, not '{other}'")),
        }
    }

    fn question(&self) -> Result<Question, String> {
        let compile = |key: &str, source: &str| {
            let compiled = Expression::compile(source);
            compiled.map_err(|e| format!("{key}: {e}"))
        };
        match (&self.expect, &self.value) {
            (Some(source), None) => Ok(Question::Condition(compile("expect", source)?)),
            (None, Some(source)) => Ok(Question::Number(compile("value", source)?)),
            (Some(_), Some(_)) => Err("expect and value are two checks".to_owned()),
            (None, None) => {
                Err("give expect (a condition) or value (a number) with min or max".to_owned())
            }
        }
    }
}

// === impl Asker ===

#[async_trait]
impl Probe for Asker {
    async fn look(&self, look: &Look<'_>) -> Vec<Reading> {
        vec![Reading {
            subject: look.workload.name.clone(),
            sample: self.ask(look).await,
        }]
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

impl Asker {
    async fn ask(&self, look: &Look<'_>) -> Sample {
        let filling = Filling::new(&look.facts, self.cluster.namespace(), look.workload);
        let web = match self.web.at(&filling.fill(&self.url, Place::Url)) {
            Ok(web) => web,
            Err(error) => return Sample::Missing(Unknown::Query, error),
        };
        let mut request = Request {
            method: self.method.clone(),
            headers: vec![(header::ACCEPT, HeaderValue::from_static("application/json"))],
            ..Request::default()
        };
        match &self.body {
            None => {}
            Some(Value::String(text)) => {
                request.body = Bytes::from(filling.fill(text, Place::Text));
            }
            Some(json) => {
                request.body = Bytes::from(filling.fill_json(json).to_string());
                let kind = HeaderValue::from_static("application/json");
                request.headers.push((header::CONTENT_TYPE, kind));
            }
        }
        match web.send(&request).await {
            Ok(answer) => self.sample(&answer),
            Err(error) => error.missing(),
        }
    }

    fn sample(&self, answer: &Answer) -> Sample {
        if let Some(refusal) = answer.refusal() {
            return refusal;
        }
        let Answer { status, body, .. } = answer;
        let missing = |(why, text): (Unknown, String)| Sample::Missing(why, answer.says(&text));
        match &self.question {
            Question::Condition(expression) => match expression.condition(*status, body) {
                Ok(holds) => {
                    let not = if holds { "" } else { "not " };
                    let text = format!("{} is {not}so", expression.source());
                    Sample::Holds(holds, text)
                }
                Err(error) => missing(error),
            },
            Question::Number(expression) => expression
                .number(*status, body)
                .map_or_else(missing, Sample::Number),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::health::web::tests::{Server, bound, look, option_error};

    async fn sample(server: &Server, mut options: Value) -> Sample {
        options["url"] = json!(server.url("/api/v1/query?from=-5min"));
        look(bound("json", options).as_ref()).await
    }

    #[tokio::test]
    async fn a_number_and_a_condition_are_read() {
        let server =
            Server::answering(200, r#"{"series":[{"pointlist":[[1,2.5]]}],"ok":true}"#).await;
        let number = json!({"value": "body.series[0].pointlist[0][1]", "max": 3});
        assert_eq!(sample(&server, number).await, Sample::Number(2.5));
        let holds = sample(&server, json!({"expect": "body.ok"})).await;
        assert_eq!(holds, Sample::Holds(true, "body.ok is so".into()));
        let not = sample(&server, json!({"expect": "size(body.series) > 1"})).await;
        assert!(matches!(not, Sample::Holds(false, _)), "{not:?}");
    }

    #[tokio::test]
    async fn the_names_of_the_release_are_filled_in() {
        let server = Server::answering(200, r#"{"n":1}"#).await;
        let options = json!({
            "url": server.url("/{{namespace}}/{{canary}}?v={{image}}"),
            "body": {"query": "avg:errors{track:{{track}}}"},
            "headers": {"X-Team": "pay"},
            "value": "body.n",
            "max": 1
        });
        look(bound("json", options).as_ref()).await;
        let seen = server.seen();
        assert_eq!(seen[0].method, Method::POST);
        assert_eq!(
            seen[0].uri,
            "/canary-release/payment-api-canary?v=r%2Fpay%3A2%26x"
        );
        assert_eq!(seen[0].body, r#"{"query":"avg:errors{track:canary}"}"#);
        assert_eq!(seen[0].headers["x-team"], "pay");
        assert_eq!(seen[0].headers["content-type"], "application/json");
    }

    #[tokio::test]
    async fn what_is_no_answer_is_unknown_and_says_why() {
        let question = || json!({"expect": "body.n < 3"});
        for (status, body, why, said) in [
            (
                500,
                "boom\nat x",
                Unknown::SourceDown,
                "status 500: \"boom\"",
            ),
            (503, "", Unknown::SourceDown, "status 503"),
            (429, "", Unknown::SourceDown, "status 429"),
            (401, "", Unknown::Query, "credentials missing"),
            (404, "", Unknown::Query, "status 404"),
            (200, "<html>log in", Unknown::NoData, "not JSON"),
            (200, "", Unknown::NoData, "the body is empty"),
            (200, "null", Unknown::NoData, "the body is null"),
            (200, "{}", Unknown::NoData, "the body has no n"),
            (200, r#"{"n":"2"}"#, Unknown::Query, "body.n < 3"),
            (200, r#"{"n":[1,2]}"#, Unknown::Query, "body.n < 3"),
        ] {
            let server = Server::answering(status, body).await;
            let seen = sample(&server, question()).await;
            let Sample::Missing(reason, text) = &seen else {
                panic!("{status} {body}: {seen:?}");
            };
            assert_eq!(*reason, why, "{status} {body}: {text}");
            assert!(text.contains(said), "{text}");
            let start = format!("GET {}", server.url("/api/v1/query"));
            assert!(
                text.starts_with(&start) && !text.contains("from="),
                "{text}"
            );
        }
        let server = Server::answering(200, r#"{"n":null,"m":[1,2]}"#).await;
        for source in ["body.n", "body.m", "double(body.n)", "1.0 / 0.0"] {
            let seen = sample(&server, json!({"value": source, "min": 0})).await;
            assert!(matches!(seen, Sample::Missing(..)), "{source}: {seen:?}");
        }
    }

    #[tokio::test]
    async fn a_redirect_is_no_answer() {
        let server = Server::start(|_| {
            (
                302,
                vec![("location", "https://sso.example/login?rd=secret")],
                String::new(),
            )
        })
        .await;
        let seen = sample(&server, json!({"expect": "status == 302"})).await;
        let Sample::Missing(Unknown::Query, text) = seen else {
            panic!("{seen:?}");
        };
        assert!(
            text.contains("redirects to sso.example, a login page"),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn each_mistake_in_the_options_is_named() {
        for (options, said) in [
            (
                json!({"url": "http://x"}),
                "give expect (a condition) or value",
            ),
            (
                json!({"url": "http://x", "expect": "body.", }),
                "expect: 'body.'",
            ),
            (
                json!({"url": "http://x", "expect": "true", "value": "1"}),
                "two checks",
            ),
            (
                json!({"url": "http://x", "value": "1"}),
                "value needs min, max or maxRatio",
            ),
            (
                json!({"url": "http://x", "expect": "true", "max": 1}),
                "min, max and maxRatio need",
            ),
            (
                json!({"url": "http://x", "expect": "true", "method": "PUT"}),
                "GET or POST",
            ),
            (
                json!({"url": "http://x", "expect": "true", "method": "get", "body": {}}),
                "body needs",
            ),
            (
                json!({"url": "http://x/{{pod}}", "expect": "true"}),
                "url: nothing is known for {{pod}}",
            ),
            (
                json!({"url": "http://x", "expect": "true", "body": "{{pod}}"}),
                "body: nothing",
            ),
            (
                json!({"url": "ftp://x", "expect": "true"}),
                "must begin with http",
            ),
            (
                json!({"url": "http://x", "expect": "true", "maxx": 1}),
                "unknown field `maxx`",
            ),
            (
                json!({"url": "http://x", "expect": "true", "auth": "t0psecret"}),
                "auth is {bearer",
            ),
        ] {
            let error = option_error("json", options);
            assert!(error.contains(said), "{error}");
            assert!(!error.contains("t0psecret"), "{error}");
        }
    }
}
