use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

fn reply<'a>(
    status: u16,
    content_type: &'a str,
    body: &'a (impl AsRef<[u8]> + ?Sized),
) -> Reply<'a> {
    Reply {
        status,
        content_type,
        location: "",
        body: body.as_ref(),
    }
}

fn answered(body: &str) -> Answer {
    read(&reply(200, JSON, body)).unwrap_or_else(|error| panic!("{body}: {error}"))
}

/// The kind of an error and its text.
fn failed(reply: &Reply<'_>) -> (&'static str, String) {
    let error = read(reply).unwrap_err();
    let kind = match &error {
        AnswerError::Query(_) => "query",
        AnswerError::Down(_) => "down",
        AnswerError::Refused(_) => "refused",
        AnswerError::NotPrometheus(_) => "not",
    };
    (kind, error.to_string())
}

fn vector(result: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#)
}

#[test]
fn a_vector_is_read_with_labels_value_and_time() {
    let body = vector(
        r#"{"metric":{"__name__":"up","job":"a\"\u00fc"},"value":[1435781451.781,"1"]},
           {"metric":{},"value":[1435781451,"1e-05"]}"#,
    );
    let labels = [("__name__", "up"), ("job", "a\"ü")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let wanted = [
        Series {
            labels: BTreeMap::from(labels),
            value: 1.0,
            at: 1_435_781_451.781,
        },
        Series {
            labels: BTreeMap::new(),
            value: 1e-5,
            at: 1_435_781_451.0,
        },
    ];
    let answer = answered(&body);
    assert_eq!(answer.series, wanted);
    assert!(answer.warnings.is_empty());
}

#[test]
fn values_without_a_number_stay_what_they_are() {
    for (text, wanted) in [("+Inf", f64::INFINITY), ("-Inf", f64::NEG_INFINITY)] {
        let body = vector(&format!(r#"{{"metric":{{}},"value":[1,"{text}"]}}"#));
        assert_eq!(answered(&body).series[0].value.to_bits(), wanted.to_bits());
    }
    let body = vector(r#"{"metric":{},"value":[1,"NaN"]}"#);
    assert!(answered(&body).series[0].value.is_nan());
}

#[test]
fn no_series_is_an_answer() {
    assert_eq!(answered(&vector("")), Answer::default());
}

#[test]
fn a_scalar_is_a_series_without_labels() {
    let body = r#"{"status":"success","data":{"result":[1.5,"0.97"],"resultType":"scalar"}}"#;
    let wanted = Series {
        labels: BTreeMap::new(),
        value: 0.97,
        at: 1.5,
    };
    assert_eq!(answered(body).series, [wanted]);
}

#[test]
fn what_is_missing_of_an_answer_is_a_warning() {
    let thanos = r#"{"status":"success","data":{"resultType":"vector","result":[]},"warnings":
        ["store http://thanos:10902/x?token=a: \u001b[31mno\nresponse", "second"]}"#;
    assert_eq!(
        answered(thanos).warnings,
        ["store http://thanos:10902/x [31mno response", "second"]
    );
    let victoria = r#"{"status":"success","isPartial":true,"data":{"resultType":"vector","result":[
        {"metric":{},"value":[1,"1"]}]},"stats":{"seriesFetched":"1"}}"#;
    let answer = answered(victoria);
    assert!(answer.warnings[0].contains("partial"), "{answer:?}");
    assert_eq!(answer.series.len(), 1);
    let whole = victoria.replace("true", "false");
    assert!(answered(&whole).warnings.is_empty());
    let many = format!(
        r#"{{"status":"success","data":{{"resultType":"vector","result":[]}},"warnings":[{}"x"]}}"#,
        r#""x","#.repeat(500)
    );
    assert_eq!(answered(&many).warnings.len(), WARNINGS);
}

#[test]
fn a_query_of_another_type_is_a_wrong_query() {
    for (kind, result, says) in [
        ("matrix", r#"{"metric":{},"values":[[1,"1"]]}"#, "[5m]"),
        (
            "matrix",
            "",
            "range (matrix), a vector or scalar was expected",
        ),
        (
            "string",
            r#"1,"text""#,
            "a string, a vector or scalar was expected",
        ),
        (
            "streams",
            r#"{"stream":{"a":"b"},"values":[["1","line"]]}"#,
            "a streams",
        ),
        (
            "vector",
            r#"{"metric":{},"histogram":[1,{"count":"5","sum":"2","buckets":[[0,"1","2","3"]]}]}"#,
            "native histograms",
        ),
    ] {
        let body = format!(
            r#"{{"status":"success","data":{{"resultType":"{kind}","result":[{result}]}}}}"#
        );
        let (is, text) = failed(&reply(200, JSON, &body));
        assert_eq!(is, "query", "{text}");
        assert!(text.contains(says), "{text}");
    }
}

/// The body of an error, and how it is told as one of the query or of the server.
fn error(kind: &str, text: &str) -> String {
    format!(r#"{{"status":"error","errorType":"{kind}","error":"{text}"}}"#)
}

fn wrong(text: &str) -> String {
    format!("the server rejects the query: {text}")
}

fn failing(text: &str) -> String {
    format!("the server could not run the query: {text}")
}

#[test]
fn errors_of_servers_are_told_apart() {
    for (status, body, kind, says) in [
        // Prometheus
        (
            400,
            error("bad_data", "1:5: parse error: no"),
            "query",
            wrong("1:5: parse error: no"),
        ),
        (
            422,
            error("execution", "many-to-many"),
            "query",
            wrong("many-to-many"),
        ),
        (
            400,
            error("bad_data", ""),
            "query",
            wrong("no reason given (HTTP 400)"),
        ),
        (
            503,
            error("timeout", "timed out"),
            "down",
            "the server answers HTTP 503: timed out".to_owned(),
        ),
        (
            500,
            error("internal", "disk"),
            "down",
            "the server answers HTTP 500: disk".to_owned(),
        ),
        (
            200,
            error("timeout", "timed out"),
            "down",
            failing("timed out"),
        ),
        (200, error("bad_data", "no"), "query", wrong("no")),
        (422, error("canceled", "gone"), "down", failing("gone")),
        // Mimir
        (
            422,
            error("execution", "err-mimir-max-series-per-query"),
            "query",
            wrong("err-mimir-max-series-per-query"),
        ),
        (
            429,
            error("too_many_requests", "limit"),
            "down",
            "the server answers HTTP 429: limit".to_owned(),
        ),
    ] {
        assert_eq!(
            failed(&reply(status, JSON, &body)),
            (kind, says),
            "{status} {body}"
        );
    }
}

#[test]
fn errors_without_a_known_kind_are_told_apart_by_their_code() {
    for (status, body, kind, says) in [
        // VictoriaMetrics
        (
            422,
            error("422", "missing args"),
            "query",
            wrong("missing args"),
        ),
        (
            400,
            error("400", "unparsed data"),
            "query",
            wrong("unparsed data"),
        ),
        (
            503,
            error("503", "no nodes"),
            "down",
            "the server answers HTTP 503: no nodes".to_owned(),
        ),
        // A kind that is not known, by the code.
        (422, error("odd", "why"), "query", wrong("why")),
        (200, error("odd", "why"), "down", failing("why")),
    ] {
        assert_eq!(
            failed(&reply(status, JSON, &body)),
            (kind, says),
            "{status} {body}"
        );
    }
}

#[test]
fn what_is_in_front_of_a_server_is_told_apart() {
    for (status, kind, body, is, says) in [
        (
            401,
            "text/plain",
            "no org id\n",
            "refused",
            "credentials are missing or wrong: no org id",
        ),
        (
            401,
            HTML,
            "<html>401</html>",
            "refused",
            "credentials are missing or wrong",
        ),
        (
            403,
            JSON,
            r#"{"message":"denied"}"#,
            "refused",
            "or none, do not suffice",
        ),
        (407, "", "", "refused", "wants authentication (HTTP 407)"),
        (
            502,
            HTML,
            "<html>Bad Gateway</html>",
            "down",
            "the server answers HTTP 502",
        ),
        (
            503,
            "text/plain",
            "no healthy upstream",
            "down",
            "HTTP 503: no healthy upstream",
        ),
        (504, "", "", "down", "the server answers HTTP 504"),
        (408, "", "", "down", "the server answers HTTP 408"),
        (
            404,
            "text/plain",
            "404 page not found\n",
            "not",
            "/prometheus missing?: 404 page not found",
        ),
        (405, "", "", "not", "the server answers HTTP 405"),
        (
            400,
            "text/plain",
            "Client sent an HTTP request to an HTTPS server.\n",
            "not",
            "HTTP 400: Client sent an HTTP request to an HTTPS server.",
        ),
        (101, "", "", "not", "the server answers HTTP 101"),
    ] {
        let (kind, text) = failed(&reply(status, kind, body));
        assert_eq!(kind, is, "{status} {text}");
        assert!(text.ends_with(says), "{status} {text}");
    }
}

#[test]
fn what_is_no_answer_says_so() {
    let point = |point: &str| vector(&format!(r#"{{"metric":{{}},"value":{point}}}"#));
    let data = |data: &str| format!(r#"{{"status":"success","data":{data}}}"#);
    for (body, says) in [
        ("", "the body is empty"),
        (" \n", "the body is empty"),
        (
            "null",
            "invalid type: null, expected an object with status and data",
        ),
        ("[]", "an object with status and data"),
        ("<!doctype html><form action=login>", "it is a web page"),
        ("up 1\n", "it is not JSON"),
        ("{}", "has no status"),
        (r#"{"message":"Not Found"}"#, "has no status"),
        (r#"{"status":"UP"}"#, "has no status `success` or `error`"),
        (r#"{"status":200}"#, "expected a string"),
        (r#"{"status":"success"}"#, "it has no data"),
        (&data("null"), "it has no data"),
        (&data("[]"), "an object with resultType and result"),
        (
            &data(r#"{"resultType":"vector"}"#),
            "missing field `result`",
        ),
        (
            &data(r#"{"resultType":"vector","result":null}"#),
            "invalid type: null",
        ),
        (
            &data(r#"{"resultType":"scalar","result":[]}"#),
            "the scalar is not a time and a value",
        ),
        (
            &data(r#"{"resultType":"scalar","result":[1,"x"]}"#),
            "scalar is not a number",
        ),
        (
            &data(r#"{"resultType":"scalar","result":[1,2]}"#),
            "the scalar is not a time",
        ),
        (&vector("null"), "expected a series"),
        (&vector(r#"1,"2""#), "no labels or no value"),
        (&vector("[]"), "no labels or no value"),
        (&vector("{}"), "no labels or no value"),
        (&vector(r#"{"value":[1,"1"]}"#), "no labels or no value"),
        (&point("null"), "no labels or no value"),
        (&point("[1,2]"), "expected a number as text"),
        (&point("[1,null]"), "expected a number as text"),
        (&point(r#"[1,""]"#), "expected a number as text"),
        (&point(r#"[1,"0x10"]"#), "expected a number as text"),
        (&point(r#"[1,"1e999"]"#), "expected a number as text"),
        (&point("[1]"), "a time and a value"),
        (&point(r#"["1","1"]"#), "expected f64"),
        (
            &format!("{} {{}}", vector("")),
            "it is not JSON: trailing characters",
        ),
        (&"[".repeat(100_000), "no answer of a Prometheus"),
        (&vector(&"[".repeat(100_000)), "it is not JSON"),
    ] {
        let (kind, text) = failed(&reply(200, JSON, body));
        assert_eq!(kind, "not", "{text}");
        assert!(text.contains(says), "{text}\n{says}");
    }
    let (kind, text) = failed(&reply(200, HTML, "Please sign in"));
    assert_eq!(kind, "not");
    assert!(text.contains("web page"), "{text}");
    let (kind, text) = failed(&reply(200, JSON, b"\x1f\x8b\x08\x00"));
    assert_eq!(kind, "not");
    assert!(text.contains("gzip"), "{text}");
}

#[test]
fn every_cut_of_an_answer_is_an_error() {
    let body = vector(r#"{"metric":{"a":"b"},"value":[1,"12345"]}"#);
    for end in 1..body.len() {
        let (kind, text) = failed(&reply(200, JSON, &body[..end]));
        assert_eq!(kind, "not");
        assert!(
            text.ends_with(&format!("truncated after {end} bytes")),
            "{text}"
        );
    }
}

#[test]
fn a_redirect_tells_the_host_alone() {
    for (location, says) in [
        (
            "https://login.example.com/auth?client=s3cret#s3cret",
            "redirects to login.example.com (",
        ),
        (
            "//login.example.com:8443",
            "redirects to login.example.com:8443 (",
        ),
        (
            "https://admin:s3cret@login.example.com/",
            "redirects to another address (",
        ),
        (
            "https://admin:s3cret/@login.example.com/",
            "redirects to another address (",
        ),
        (
            "https://admin:s3cret?@login.example.com/",
            "redirects to another address (",
        ),
        ("https://ex\u{1b}[31m/", "redirects to another address ("),
        ("/login?next=https://s3cret/", "redirects to another path ("),
        ("login/s3cret//", "redirects to another path ("),
        ("", "redirects (HTTP 302)"),
    ] {
        let redirect = Reply {
            location,
            ..reply(302, HTML, "<a href=/login>Found</a>")
        };
        let (kind, text) = failed(&redirect);
        assert_eq!(kind, "not");
        assert!(text.contains(says) && !text.contains("s3cret"), "{text}");
    }
}

#[test]
fn texts_of_servers_are_short_and_hold_no_secrets() {
    for (text, wanted) in [
        ("a\t\u{1b}[31m\r\n  b\u{0}", "a [31m b"),
        (
            r#"Post "http://prom:9090/api/v1/query?query=s3cret": EOF"#,
            r#"Post "http://prom:9090/api/v1/query": EOF"#,
        ),
        ("dial https://me:s3cret@prom:9090/x?y", "dial https://…"),
        ("dial https://me:s3?cret/@prom", "dial https://…"),
        (
            "'http://a?s3cret','http://b#s3cret' http://c",
            "'http://a','http://b' http://c",
        ),
        ("what is this?", "what is this?"),
    ] {
        assert_eq!(clean(text), wanted);
    }
    assert_eq!(clean(&"é ".repeat(1_000_000)).chars().count(), LONGEST + 1);
    assert_eq!(clean(&"é".repeat(LONGEST)).chars().count(), LONGEST);
}

#[test]
fn ten_megabytes_of_series_are_read() {
    let mut result = String::new();
    let mut count = 0;
    while result.len() < 10_000_000 {
        let comma = if count == 0 { "" } else { "," };
        write!(
            result,
            r#"{comma}{{"metric":{{"__name__":"http_requests_total","pod":"pay-{count}","status":"500"}},"value":[1435781451.781,"{count}"]}}"#
        )
        .unwrap();
        count += 1;
    }
    let series = answered(&vector(&result)).series;
    assert_eq!(series.len(), count);
    assert_eq!(
        series[count - 1].labels["pod"],
        format!("pay-{}", count - 1)
    );
}

// === Any body, and any damage ===

const WHOLE: &str = r#"{"status":"success","isPartial":false,"data":{"resultType":"vector","result":
    [{"metric":{"a":"b\u00e9"},"value":[1.5,"NaN"]},{"metric":{},"value":[2,"-1e-05"]}]},
    "errorType":"bad_data","error":"http://a:b@c?d","warnings":["w"],"infos":["i"]}"#;

/// Every text is one printable line of moderate length.
fn assert_sound(reply: &Reply<'_>) -> Result<(), TestCaseError> {
    let texts = match read(reply) {
        Ok(answer) => answer.warnings,
        Err(error) => vec![error.to_string()],
    };
    for text in texts {
        prop_assert!(!text.chars().any(char::is_control), "{text:?}");
        prop_assert!(text.chars().count() < LONGEST + 200, "{text}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_body_is_an_answer_or_a_sentence(
        status in prop_oneof![Just(200u16), 0u16..700],
        content_type in prop_oneof![Just(JSON), Just(HTML), Just("")],
        location in "\\PC{0,20}|https?://[a@:/?#.]{0,20}",
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..80),
            "[\\[\\]{}:,\"a1.e\\\\ \n\u{1b}]{0,60}".prop_map(String::into_bytes),
        ],
    ) {
        assert_sound(&Reply { status, content_type, location: &location, body: &body })?;
    }

    #[test]
    fn damage_is_an_answer_or_a_sentence(
        status in prop_oneof![Just(200u16), Just(400), Just(503)],
        at in 0..WHOLE.len(),
        length in 0usize..12,
        put in "[\\[\\]{}:,\"a1.e\\\\ \n\u{1b}é]{0,6}",
    ) {
        let end = (at + length).min(WHOLE.len());
        let body = [&WHOLE.as_bytes()[..at], put.as_bytes(), &WHOLE.as_bytes()[end..]].concat();
        assert_sound(&reply(status, JSON, &body))?;
    }
}
