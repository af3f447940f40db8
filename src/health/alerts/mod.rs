//! Alerts that fire: of an Alertmanager, or of a Prometheus.
//!
//! Owns: the two questions, and what counts as an answer without alerts. Must not: ask for
//! the alerts of everybody; take a partial answer for an empty one; judge.

mod matcher;

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::{HeaderValue, Method, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Binding, HealthError, Look, Probe, ProbeKind,
    facts::{self, Filling},
    plain,
    web::{Answer, Request, Target, Web},
};
use crate::{
    cluster::Cluster,
    domain::{
        check::{CheckSpec, Reading, Rule, Sample, Severity},
        options,
        plan::OnTrouble,
        verdict::Unknown,
    },
};
use matcher::Matcher;

/// Evaluations in a row with an alert before the verdict is unhealthy, unless configured: an alert has
/// waited its own time before it fires.
const CONSECUTIVE: u32 = 1;

/// Alerts that are named one by one.
const NAMED: usize = 3;

/// The probe of alerts.
pub struct Alerts;

/// Options of the check.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "AlertsOptions")]
struct Options {
    /// Name of the check.
    #[serde(default)]
    name: Option<String>,
    /// An Alertmanager: alerts that are neither silenced nor inhibited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alertmanager: Option<Target>,
    /// A Prometheus or what speaks like it: alerts that its rules let fire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prometheus: Option<Target>,
    /// Which alerts count, such as `namespace="shop"` or `severity=~"critical|page"`; all must match.
    /// Placeholders such as `{{canary}}` are filled in.
    matchers: Vec<String>,
    /// Evaluations in a row with an alert before the verdict is unhealthy.
    #[serde(default)]
    consecutive: Option<u32>,
    /// What an unhealthy verdict does.
    #[serde(default)]
    severity: Severity,
    /// What happens when a step ends and the check does not know; default: as the plan says.
    #[serde(default)]
    on_unknown: Option<OnTrouble>,
}

/// Whom to ask.
enum Source {
    Alertmanager(Web),
    Prometheus(Web),
}

struct Watcher {
    cluster: Cluster,
    source: Source,
    matchers: Vec<Matcher>,
    notes: Vec<String>,
}

impl ProbeKind for Alerts {
    fn name(&self) -> &'static str {
        "alerts"
    }

    fn about(&self) -> &'static str {
        "no alert fires that matches, in Alertmanager or Prometheus"
    }

    fn check(
        &self,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<CheckSpec, erased_serde::Error> {
        use serde::de::Error as _;
        let options: Options = erased_serde::deserialize(from)?;
        options.target().map_err(erased_serde::Error::custom)?;
        options.matchers().map_err(erased_serde::Error::custom)?;
        let name = options.name.clone();
        Ok(CheckSpec {
            name: name.unwrap_or_else(|| self.name().to_owned()),
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
        let both = options.map(|options| [options.alertmanager, options.prometheus]);
        both.into_iter().flatten().flatten().collect()
    }

    fn bind(&self, spec: &CheckSpec, binding: &Binding<'_>) -> Result<Box<dyn Probe>, HealthError> {
        let cluster = binding.cluster;
        let bound = || -> Result<Watcher, String> {
            let options: Options = options::read(&spec.options)?;
            let target = options.target()?;
            let web = target.connect(cluster)?;
            Ok(Watcher {
                cluster: cluster.clone(),
                source: if options.alertmanager.is_some() {
                    Source::Alertmanager(web)
                } else {
                    Source::Prometheus(web)
                },
                matchers: options.matchers()?,
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
    fn target(&self) -> Result<&Target, String> {
        let (key, target) = match (&self.alertmanager, &self.prometheus) {
            (Some(target), None) => ("alertmanager", target),
            (None, Some(target)) => ("prometheus", target),
            (None, None) => return Err("give alertmanager or prometheus, with a url".to_owned()),
            (Some(_), Some(_)) => {
                return Err("alertmanager and prometheus are two checks".to_owned());
            }
        };
        target.check().map_err(|e| format!("{key}: {e}"))?;
        Ok(target)
    }

    fn matchers(&self) -> Result<Vec<Matcher>, String> {
        let parsed = self.matchers.iter().map(|text| {
            let parsed = Matcher::parse(text).and_then(|matcher| {
                facts::check(&matcher.value)?;
                Ok(matcher)
            });
            parsed.map_err(|e| format!("matchers: {text}: {e}"))
        });
        let matchers: Vec<Matcher> = parsed.collect::<Result<_, String>>()?;
        if !matchers.iter().any(Matcher::narrows) {
            let text = "matchers: give one that names what is released, such as namespace=\"shop\"; otherwise every alert of everybody would count";
            return Err(text.to_owned());
        }
        Ok(matchers)
    }
}

// === impl Watcher ===

#[async_trait]
impl Probe for Watcher {
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

/// Names and severities of the alerts that fire.
type Firing = Vec<BTreeMap<String, String>>;

impl Watcher {
    async fn ask(&self, look: &Look<'_>) -> Sample {
        let filling = Filling::new(&look.facts, self.cluster.namespace(), look.workload);
        let matchers: Vec<String> = self.matchers.iter().map(|m| m.filled(&filling)).collect();
        let (web, request) = self.request(&matchers);
        let answer = match web.send(&request).await {
            Ok(answer) => answer,
            Err(error) => return error.missing(),
        };
        let firing = match &self.source {
            Source::Alertmanager(_) => of_alertmanager(&answer),
            Source::Prometheus(_) => of_prometheus(&answer),
        };
        firing.map_or_else(|missing| missing, |firing| said(&firing, &matchers))
    }

    fn request(&self, matchers: &[String]) -> (&Web, Request<'static>) {
        let json = HeaderValue::from_static("application/json");
        let headers = vec![(header::ACCEPT, json)];
        match &self.source {
            Source::Alertmanager(web) => {
                let yes = |key: &'static str, value: &str| (key, value.to_owned());
                let mut query = vec![
                    yes("active", "true"),
                    yes("silenced", "false"),
                    yes("inhibited", "false"),
                ];
                query.extend(matchers.iter().map(|m| ("filter", m.clone())));
                let request = Request {
                    path: Some("/api/v2/alerts"),
                    query,
                    headers,
                    ..Request::default()
                };
                (web, request)
            }
            Source::Prometheus(web) => {
                let all = matchers.join(",");
                let query = format!("ALERTS{{alertstate=\"firing\",{all}}}");
                let request = Request {
                    method: Method::POST,
                    path: Some("/api/v1/query"),
                    form: vec![("query", query)],
                    headers,
                    ..Request::default()
                };
                (web, request)
            }
        }
    }
}

fn said(firing: &Firing, matchers: &[String]) -> Sample {
    if firing.is_empty() {
        let text = format!("no firing alert matches {}", matchers.join(", "));
        return Sample::Holds(true, text);
    }
    let name = |labels: &BTreeMap<String, String>| {
        let get = |key| labels.get(key).map(|text| plain(text, 60));
        let name = get("alertname").unwrap_or_else(|| "an alert without a name".to_owned());
        match get("severity") {
            Some(severity) => format!("{name} ({severity})"),
            None => name,
        }
    };
    let mut names: Vec<String> = firing.iter().map(name).collect();
    names.sort();
    let count = names.len();
    names.dedup();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let names = names.join(", ");
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let alerts = if count == 1 {
        "alert fires"
    } else {
        "alerts fire"
    };
    Sample::Holds(false, format!("{count} {alerts}: {names}{more}"))
}

// === answers ===

#[derive(Deserialize)]
struct Alert {
    labels: BTreeMap<String, String>,
    status: AlertStatus,
}

#[derive(Deserialize)]
struct AlertStatus {
    state: String,
}

fn of_alertmanager(answer: &Answer) -> Result<Firing, Sample> {
    if let Some(refusal) = answer.refusal() {
        return Err(refusal);
    }
    let alerts: Vec<Alert> = serde_json::from_slice(&answer.body).map_err(|_| {
        let text = answer.says(&format!("not a list of alerts{}", answer.start()));
        Sample::Missing(Unknown::Query, text)
    })?;
    // Older servers know fewer filters; what is suppressed does not count.
    let active = alerts
        .into_iter()
        .filter(|a| a.status.state != "suppressed");
    Ok(active.map(|alert| alert.labels).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Queried {
    status: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    data: Option<Vector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    result_type: String,
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
}

fn of_prometheus(answer: &Answer) -> Result<Firing, Sample> {
    let missing = |why: Unknown, text: String| Sample::Missing(why, answer.says(&text));
    let queried: Option<Queried> = serde_json::from_slice(&answer.body).ok();
    // An error of the question comes with a status of its own and says more than that.
    let error = queried.as_ref().and_then(|q| q.error.as_deref());
    if let (Some(error), 400 | 422) = (error, answer.status) {
        return Err(missing(Unknown::Query, plain(error, 160)));
    }
    if let Some(refusal) = answer.refusal() {
        return Err(refusal);
    }
    let not = || format!("not an answer of Prometheus{}", answer.start());
    let queried = queried.ok_or_else(|| missing(Unknown::Query, not()))?;
    if queried.status != "success" {
        let text = plain(queried.error.as_deref().unwrap_or(&queried.status), 160);
        return Err(missing(Unknown::SourceDown, text));
    }
    if let Some(warning) = queried.warnings.first() {
        let text = format!("the response is partial: {}", plain(warning, 160));
        return Err(missing(Unknown::SourceDown, text));
    }
    let data = queried.data.filter(|data| data.result_type == "vector");
    let data = data.ok_or_else(|| missing(Unknown::Query, not()))?;
    Ok(data
        .result
        .into_iter()
        .map(|series| series.metric)
        .collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::health::web::tests::{Server, bound, look, option_error};

    const ALERT: &str = r#"{"labels":{"alertname":"HighErrors","severity":"critical"},
        "status":{"state":"active","silencedBy":[],"inhibitedBy":[]},"annotations":{}}"#;

    fn asking(kind: &str, server: &Server) -> Box<dyn Probe> {
        let options = json!({
            kind: {"url": server.url("/prefix/")},
            "matchers": ["namespace=\"{{namespace}}\"", "pod=~'{{canary}}-.*'", "alertname!=\"Watchdog\""]
        });
        bound("alerts", options)
    }

    #[tokio::test]
    async fn an_alertmanager_is_asked_for_what_matches() {
        let server = Server::answering(200, "[]").await;
        let seen = look(asking("alertmanager", &server).as_ref()).await;
        let Sample::Holds(true, text) = seen else {
            panic!("{seen:?}");
        };
        assert!(
            text.starts_with("no firing alert matches namespace=\"canary-release\""),
            "{text}"
        );
        let uri = &server.seen()[0].uri;
        let (path, query) = uri.split_once('?').unwrap();
        assert_eq!(path, "/prefix/api/v2/alerts");
        let query: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let wanted = [
            ("active", "true"),
            ("silenced", "false"),
            ("inhibited", "false"),
            ("filter", "namespace=\"canary-release\""),
            ("filter", r#"pod=~"payment-api-canary-.*""#),
            ("filter", "alertname!=\"Watchdog\""),
        ];
        let wanted: Vec<(String, String)> = wanted.map(|(k, v)| (k.into(), v.into())).into();
        assert_eq!(query, wanted);
    }

    #[tokio::test]
    async fn alerts_are_named() {
        let other = ALERT
            .replace("HighErrors", "Slow")
            .replace(",\"severity\":\"critical\"", "");
        let silenced = ALERT.replace("active", "suppressed");
        for (body, wanted) in [
            (format!("[{ALERT}]"), "1 alert fires: HighErrors (critical)"),
            (
                format!("[{other},{ALERT},{ALERT}]"),
                "3 alerts fire: HighErrors (critical), Slow",
            ),
        ] {
            let server = Server::answering(200, &body).await;
            let seen = look(asking("alertmanager", &server).as_ref()).await;
            assert_eq!(seen, Sample::Holds(false, wanted.into()));
        }
        let server = Server::answering(200, &format!("[{silenced}]")).await;
        let seen = look(asking("alertmanager", &server).as_ref()).await;
        assert!(matches!(seen, Sample::Holds(true, _)), "{seen:?}");
    }

    #[tokio::test]
    async fn a_prometheus_is_asked_the_same() {
        let body = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"__name__":"ALERTS","alertname":"Burn","severity":"page"},"value":[1,"1"]}]}}"#;
        let server = Server::answering(200, body).await;
        let seen = look(asking("prometheus", &server).as_ref()).await;
        assert_eq!(
            seen,
            Sample::Holds(false, "1 alert fires: Burn (page)".into())
        );
        let request = &server.seen()[0];
        assert_eq!(
            (&request.method, request.uri.as_str()),
            (&Method::POST, "/prefix/api/v1/query")
        );
        let form: Vec<_> = form_urlencoded::parse(request.body.as_bytes()).collect();
        assert_eq!(
            form[0].1,
            r#"ALERTS{alertstate="firing",namespace="canary-release",pod=~"payment-api-canary-.*",alertname!="Watchdog"}"#
        );
    }

    #[tokio::test]
    async fn what_is_no_answer_is_never_no_alert() {
        let ok = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        let server = Server::answering(200, ok).await;
        let seen = look(asking("prometheus", &server).as_ref()).await;
        assert!(matches!(seen, Sample::Holds(true, _)), "{seen:?}");
        let warned = ok.replace("}}", r#"},"warnings":["store 10.0.0.1 is gone"]}"#);
        for (kind, status, body, why) in [
            ("alertmanager", 500, "[]", Unknown::SourceDown),
            ("alertmanager", 302, "[]", Unknown::Query),
            ("alertmanager", 200, "", Unknown::Query),
            ("alertmanager", 200, "{}", Unknown::Query),
            ("alertmanager", 200, "null", Unknown::Query),
            ("alertmanager", 200, "<html>", Unknown::Query),
            ("alertmanager", 200, r#"[{"labels":{}}]"#, Unknown::Query),
            ("prometheus", 200, "[]", Unknown::Query),
            ("prometheus", 200, "{}", Unknown::Query),
            ("prometheus", 200, r#"{"status":"success"}"#, Unknown::Query),
            (
                "prometheus",
                200,
                r#"{"status":"error","error":"x"}"#,
                Unknown::SourceDown,
            ),
            (
                "prometheus",
                200,
                &ok.replace("vector", "matrix"),
                Unknown::Query,
            ),
            ("prometheus", 200, &warned, Unknown::SourceDown),
            (
                "prometheus",
                400,
                r#"{"status":"error","error":"parse error"}"#,
                Unknown::Query,
            ),
            ("prometheus", 503, ok, Unknown::SourceDown),
        ] {
            let server = Server::answering(status, body).await;
            let seen = look(asking(kind, &server).as_ref()).await;
            let Sample::Missing(reason, text) = &seen else {
                panic!("{kind} {status} {body}: {seen:?}");
            };
            assert_eq!(*reason, why, "{kind} {status} {body}: {text}");
        }
    }

    #[test]
    fn each_mistake_in_the_options_is_named() {
        let target = json!({"url": "http://x"});
        for (options, said) in [
            (
                json!({"matchers": ["a=\"b\""]}),
                "give alertmanager or prometheus",
            ),
            (
                json!({"alertmanager": target, "prometheus": target, "matchers": ["a=\"b\""]}),
                "two checks",
            ),
            (json!({"alertmanager": target}), "missing field `matchers`"),
            (
                json!({"alertmanager": target, "matchers": []}),
                "every alert of everybody",
            ),
            (
                json!({"alertmanager": target, "matchers": ["a!=\"b\"", "c=~\".*\"", "d=\"\""]}),
                "every alert of everybody",
            ),
            (
                json!({"alertmanager": target, "matchers": ["a=b"]}),
                "matchers: a=b: a matcher is",
            ),
            (
                json!({"alertmanager": target, "matchers": ["a=\"{{b}}\""]}),
                "nothing is known for {{b}}",
            ),
            (
                json!({"alertmanager": {"url": "x"}, "matchers": ["a=\"b\""]}),
                "alertmanager: url 'x'",
            ),
            (
                json!({"alertmanager": {"url": "http://x", "urll": 1}, "matchers": ["a=\"b\""]}),
                "unknown field `urll`",
            ),
        ] {
            let error = option_error("alerts", options);
            assert!(error.contains(said), "{error}");
        }
    }
}
