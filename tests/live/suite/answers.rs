//! What is not an answer: of a real Prometheus, and of servers that are none.
//!
//! Owns: that nobody takes any of it for a number, and that people are told what was asked where.

use std::{fs, time::Duration};

use bytes::Bytes;
use canaryctl::{
    clock::Clock,
    domain::{check::Sample, verdict::Unknown, workload::Track},
    health::source::Source,
};
use futures::FutureExt;
use serde_json::json;

use super::{
    ground::within,
    loopback::{Answer, answered, folder, look, serve, side, source},
    prometheus::Prometheus,
};

/// A password that nobody may see.
const PASSWORD: &str = "hunter2";

/// Asks for a value of the canary, and panics unless there is none for this reason, told with all of
/// these words, with what was asked where, and without the password. Counting must fare no better.
async fn unknown(source: &dyn Source, query: &str, why: Unknown, words: &[&str]) {
    let canary = side(Track::Canary, &[]);
    let Sample::Missing(reason, text) = source.value(query, &look(Track::Canary, &canary)).await
    else {
        panic!("{query} has a value");
    };
    assert_eq!(reason, why, "{text}");
    let asked = format!("POST {}/api/v1/query: ", source.place());
    let asked_for = format!("; query {query}");
    for word in words.iter().chain(&[&*asked, &*asked_for]) {
        assert!(text.contains(word), "no '{word}' in: {text}");
    }
    assert!(!text.contains(PASSWORD), "{text}");
}

/// Panics unless counting both kinds of series has this reason, too.
async fn uncounted(source: &dyn Source, why: Unknown) {
    let canary = side(Track::Canary, &[]);
    for latency in [false, true] {
        let counted = source.count(&look(Track::Canary, &canary), latency).await;
        let [reading] = counted.as_slice() else {
            panic!("{counted:?}");
        };
        let Sample::Missing(reason, text) = &reading.sample else {
            panic!("{reading:?}");
        };
        assert_eq!(*reason, why, "{text}");
        let asked = format!("POST {}/api/v1/query: ", source.place());
        assert!(text.starts_with(&asked), "{text}");
        assert!(text.contains("; query sum by (pod,instance,"), "{text}");
        assert!(!text.contains(PASSWORD), "{text}");
    }
}

fn asking(address: &str) -> std::sync::Arc<dyn Source> {
    let auth = json!({"basic": {"username": "u", "password": {"env": "SECRET"}}});
    source(
        json!({"url": address, "auth": auth, "timeout": "2s"}),
        PASSWORD,
    )
}

#[tokio::test]
async fn a_prometheus_without_one_number_has_no_value() {
    let page = "up_and_down{side=\"a\"} 1\nup_and_down{side=\"b\"} 2\n\
                http_requests_total{route=\"/\"} 7\nodd NaN\n";
    let address = serve(move |uri, _| {
        let host = uri.strip_prefix("/targets?").map(str::to_owned);
        let answer = match host {
            Some(host) => {
                let labels =
                    json!({"namespace": "shop", "pod": "payment-api-canary-5f4d8c9b7-b6n2t"});
                let all = json!([{"targets": [host], "labels": labels}]);
                answered(200, "application/json", all.to_string())
            }
            None => answered(200, "text/plain; version=0.0.4", page),
        };
        async { answer }.boxed()
    })
    .await;
    let folder = folder();
    fs::create_dir_all(&folder).unwrap();
    let host = address.trim_start_matches("http://");
    let prometheus = Prometheus::scraping(&folder, &format!("{address}/targets?{host}"));
    within(30, "a scrape", async || {
        let samples = prometheus.query("up_and_down").await;
        (samples.len() == 2).then_some(())
    })
    .await;
    let source = asking(&prometheus.address);
    let canary = side(Track::Canary, &[]);
    let look = look(Track::Canary, &canary);
    let sum = source.value("sum(up_and_down)", &look).await;
    assert_eq!(sum, Sample::Number(3.0));
    for (query, why, words) in [
        ("sum(rate(", Unknown::Query, &["parse error"][..]),
        ("nosuch()", Unknown::Query, &["unknown function"]),
        (
            "up_and_down",
            Unknown::Query,
            &["2 series where one is wanted"],
        ),
        ("up_and_down[1m]", Unknown::Query, &["a range"]),
        ("\"text\"", Unknown::Query, &["a string"]),
        (
            "up_and_down * on() up_and_down",
            Unknown::Query,
            &["duplicate series"],
        ),
        (
            "vector(0) / vector(0)",
            Unknown::NoData,
            &["the value is NaN"],
        ),
        ("0 / 0", Unknown::NoData, &["the value is NaN"]),
        ("odd", Unknown::NoData, &["the value is NaN"]),
        (
            "vector(1) / vector(0)",
            Unknown::NoData,
            &["the value is inf"],
        ),
        ("sum(nothing_there)", Unknown::NoData, &["no time series"]),
    ] {
        unknown(&*source, query, why, words).await;
    }
    // A counter whose errors cannot be told is no counter of requests.
    uncounted_reason(&*source).await;
    drop(prometheus);
    unknown(
        &*source,
        "sum(up_and_down)",
        Unknown::SourceDown,
        &["refused"],
    )
    .await;
    uncounted(&*source, Unknown::SourceDown).await;
    drop(fs::remove_dir_all(&folder));
}

/// Panics unless requests without a status are taken for unknown.
async fn uncounted_reason(source: &dyn Source) {
    let canary = side(Track::Canary, &[]);
    let counted = source.count(&look(Track::Canary, &canary), false).await;
    let Sample::Missing(Unknown::Query, text) = &counted[0].sample else {
        panic!("{counted:?}");
    };
    assert!(text.contains("no label status"), "{text}");
}

/// Starts a server that always answers so.
async fn always(answer: impl Fn() -> Answer + Send + Sync + 'static) -> String {
    serve(move |_, _| {
        let answer = answer();
        async { answer }.boxed()
    })
    .await
}

fn redirect() -> Answer {
    let mut answer = answered(302, "text/html", "Found");
    let to = format!("https://login.example/?token={PASSWORD}");
    answer.headers_mut().insert("location", to.parse().unwrap());
    answer
}

/// Returns an answer of 10 MB that would be good.
fn endless() -> String {
    let series = r#"{"metric":{},"value":[0,"1"]},"#.repeat(400_000);
    let result = format!("{series}{}", r#"{"metric":{},"value":[0,"1"]}"#);
    let body =
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#);
    assert!(body.len() > 10_000_000, "{}", body.len());
    body
}

#[tokio::test]
async fn a_server_that_gives_no_whole_answer_is_down() {
    let json = |status: u16, body: &'static str| move || answered(status, "application/json", body);
    let unavailable = r#"{"status":"error","errorType":"unavailable","error":"starting up"}"#;
    let partial = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[0,"1"]}]},"warnings":["store 1 did not answer"]}"#;
    let cut = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":"#;
    let login = || answered(200, "text/html", "<html><form>password?</form></html>");
    let endless = Bytes::from(endless());
    let endless = move || answered(200, "application/json", endless.clone());
    let slow = serve(|_, _| {
        async {
            Clock::System.sleep(Duration::from_secs(5)).await;
            answered(200, "application/json", "{}")
        }
        .boxed()
    });
    for (address, words) in [
        (always(json(500, "oh no")).await, &["HTTP 500"][..]),
        (always(json(503, unavailable)).await, &["starting up"]),
        (
            always(json(200, partial)).await,
            &["store 1 did not answer"],
        ),
        (always(json(200, cut)).await, &["truncated"]),
        (always(json(401, "")).await, &["HTTP 401", "credentials"]),
        (always(json(404, "")).await, &["HTTP 404"]),
        (
            always(redirect).await,
            &["redirects to login.example", "HTTP 302"],
        ),
        (always(login).await, &["a web page"]),
        (always(endless).await, &["8 MiB"]),
        (
            always(json(200, "null")).await,
            &["no answer of a Prometheus"],
        ),
        (always(json(200, "{}")).await, &["no status"]),
        (always(json(200, "")).await, &["empty"]),
        (slow.await, &["no answer within 2s"]),
    ] {
        let source = asking(&address);
        unknown(&*source, "sum(up)", Unknown::SourceDown, words).await;
        uncounted(&*source, Unknown::SourceDown).await;
    }
}
