//! The HTTP API of a simulated Prometheus.
//!
//! Owns: paths, parameters, the JSON of results and errors, and what a scenario makes go wrong.
//! Must not: evaluate.

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    PodName, Prometheus, Server,
    eval::{self, Sample},
    parser,
    query::QueryError,
    storage::Labels,
};
use crate::sim::{
    scenario::Answering,
    world::{answer::Answer, object},
};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const LOGIN: &str = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><form method=\"post\" action=\"/login\"><input name=\"user\"><input name=\"password\" type=\"password\"><button>Sign in</button></form></body></html>\n";
/// Series in an answer that is far too large; about 40 MB.
const MANY: usize = 200_000;

impl Prometheus {
    /// Answers a request to a pod; the error is that of the connection.
    pub(in crate::sim::world) fn answer(
        &self,
        pod: &PodName,
        request: &Request<Bytes>,
        now: Timestamp,
    ) -> Result<Answer, String> {
        let api = request.uri().path().starts_with("/api/");
        let mut wait = Duration::ZERO;
        match self.answering {
            Answering::Down => return Err("connection refused".to_owned()),
            Answering::Error(code) => return Ok(failure(code)),
            Answering::Html => return Ok(Answer::text(HTML, LOGIN)),
            Answering::Redirect => return Ok(redirect()),
            Answering::Null if api => return Ok(Answer::text(JSON, "null")),
            Answering::Slow(span) => wait = span.0,
            Answering::Well
            | Answering::Null
            | Answering::Empty
            | Answering::Nan
            | Answering::Huge => {}
        }
        let nothing = Server::default();
        let server = self.servers.get(pod).unwrap_or(&nothing);
        let answer = match (request.method(), request.uri().path()) {
            (&Method::GET, "/-/ready") => Answer::text(TEXT, "Prometheus Server is Ready.\n"),
            (&Method::GET, "/-/healthy") => Answer::text(TEXT, "Prometheus Server is Healthy.\n"),
            (&Method::GET | &Method::POST, "/api/v1/query") => self.query(server, request, now),
            (&Method::GET, "/api/v1/alerts") => self.alerts(server),
            _ => Answer {
                status: StatusCode::NOT_FOUND,
                ..Answer::text(TEXT, "404 page not found\n")
            },
        };
        Ok(Answer { wait, ..answer })
    }

    fn query(&self, server: &Server, request: &Request<Bytes>, now: Timestamp) -> Answer {
        let given = parameters(request);
        let value = |name: &str| {
            let hit = given.iter().find(|(key, _)| key == name);
            hit.map(|(_, value)| value.as_str())
        };
        let time = value("time").filter(|text| !text.is_empty());
        let Some(at) = time.map_or(Some(now.as_millisecond()), moment) else {
            let text = time.unwrap_or_default();
            return refused(&QueryError::BadData(format!(
                "invalid parameter \"time\": cannot parse \"{text}\" to a valid timestamp"
            )));
        };
        let parsed = parser::parse(value("query").unwrap_or_default());
        let parsed = parsed.map_err(|e| match e {
            QueryError::BadData(why) => {
                QueryError::BadData(format!("invalid parameter \"query\": {why}"))
            }
            QueryError::Execution(_) => e,
        });
        match parsed.and_then(|expr| eval::evaluate(&server.storage, &expr, at)) {
            Ok(value) => self.result(value, at),
            Err(error) => refused(&error),
        }
    }

    /// Returns a result, or what the scenario makes of it.
    fn result(&self, value: eval::Value, at: i64) -> Answer {
        let nan = self.answering == Answering::Nan;
        let number = |value: f64| if nan { f64::NAN } else { value };
        let when = time(at);
        let (kind, result) = match value {
            eval::Value::Scalar(value) => ("scalar", json!([when, float(number(value))])),
            eval::Value::Vector(_) if self.answering == Answering::Empty => ("vector", json!([])),
            eval::Value::Vector(_) if self.answering == Answering::Huge => return huge(at),
            eval::Value::Vector(samples) => {
                let rows = samples.into_iter().map(|Sample { labels, value }| {
                    json!({"metric": metric(labels), "value": [when, float(number(value))]})
                });
                ("vector", rows.collect())
            }
        };
        success(&json!({"resultType": kind, "result": result}))
    }

    fn alerts(&self, server: &Server) -> Answer {
        let rows = server.alerts.iter().map(|alert| {
            json!({
                "labels": metric(alert.labels.clone()),
                "annotations": {},
                "state": "firing",
                "activeAt": object::stamp(alert.since),
                "value": "1e+00",
            })
        });
        let hidden = self.answering == Answering::Empty;
        let rows: Vec<Value> = rows.filter(|_| !hidden).collect();
        success(&json!({"alerts": rows}))
    }
}

/// Returns the parameters of a request, those of a form first.
fn parameters(request: &Request<Bytes>) -> Vec<(String, String)> {
    let kind = request.headers().get(http::header::CONTENT_TYPE);
    let form = kind
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.starts_with("application/x-www-form-urlencoded"));
    let body: &[u8] = if form && request.method() == Method::POST {
        request.body()
    } else {
        &[]
    };
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let all = form_urlencoded::parse(body).chain(form_urlencoded::parse(query));
    all.map(|(n, v)| (n.into_owned(), v.into_owned())).collect()
}

/// Reads a moment in milliseconds: seconds since 1970, or RFC 3339.
fn moment(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
        let millis = (seconds * 1000.0).round() as i64;
        return (seconds.abs() < 1e12).then_some(millis);
    }
    text.parse::<Timestamp>()
        .ok()
        .map(Timestamp::as_millisecond)
}

fn time(at: i64) -> Value {
    if at % 1000 == 0 {
        json!(at / 1000)
    } else {
        json!(super::functions::seconds(at))
    }
}

fn float(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}

fn metric(labels: Labels) -> Value {
    labels.into_iter().map(|(n, v)| (n, json!(v))).collect()
}

fn success(data: &Value) -> Answer {
    let body = json!({"status": "success", "data": data});
    Answer::text(JSON, body.to_string())
}

fn refused(error: &QueryError) -> Answer {
    let (status, kind) = match error {
        QueryError::BadData(_) => (StatusCode::BAD_REQUEST, "bad_data"),
        QueryError::Execution(_) => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
    };
    let body = json!({"status": "error", "errorType": kind, "error": error.to_string()});
    Answer {
        status,
        ..Answer::text(JSON, body.to_string())
    }
}

fn failure(code: u16) -> Answer {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let reason = status.canonical_reason().unwrap_or("error");
    Answer {
        status,
        ..Answer::text(TEXT, format!("{reason}\n"))
    }
}

fn redirect() -> Answer {
    Answer {
        status: StatusCode::FOUND,
        location: Some("/login"),
        ..Answer::text(HTML, "<a href=\"/login\">Found</a>.\n")
    }
}

fn huge(at: i64) -> Answer {
    let when = time(at);
    let mut body =
        String::from("{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[");
    for i in 0..MANY {
        let comma = if i == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(
            body,
            "{comma}{{\"metric\":{{\"__name__\":\"http_requests_total\",\"instance\":\"198.18.0.1:3000\",\"job\":\"payment-api\",\"pod\":\"payment-api-{i:08}\",\"path\":\"/api/payments/{i:08}\",\"status\":\"200\"}},\"value\":[{when},\"{i}\"]}}"
        );
    }
    body.push_str("]}}");
    Answer::text(JSON, body)
}
