//! Queries on series made by hand.

use http::StatusCode;
use proptest::prelude::*;

use super::{
    query::{Aggregation, QueryError},
    *,
};

/// Milliseconds between two samples.
const STEP: i64 = 15_000;

fn labels(name: &str, pairs: &[(&str, &str)]) -> Labels {
    let named = pairs.iter().copied().chain([(NAME, name)]);
    named.map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

/// A storage to which series are added, with a sample each 15 s from zero on.
#[derive(Default)]
struct Hand(Storage);

impl Hand {
    fn with(mut self, name: &str, pairs: &[(&str, &str)], values: &[f64]) -> Self {
        for (at, value) in (0..).map(|i| i * STEP).zip(values) {
            self.0.append(labels(name, pairs), at, *value);
        }
        self
    }

    /// Requests of two pods: 20 and 10 per step succeed, 0 and 10 fail.
    fn requests() -> Self {
        let steps = |by: f64| {
            (0..9)
                .map(|i| 1000.0 + by * f64::from(i))
                .collect::<Vec<_>>()
        };
        let series = |hand: Self, pod, code, by| {
            let track = if pod == "a" { "stable" } else { "canary" };
            let pairs = [("pod", pod), ("code", code), ("track", track)];
            hand.with("http_total", &pairs, &steps(by))
        };
        let hand = series(Self::default(), "a", "200", 20.0);
        let hand = series(hand, "a", "500", 0.0);
        let hand = series(hand, "b", "200", 10.0);
        series(hand, "b", "503", 10.0)
    }

    fn at(&self, query: &str, seconds: i64) -> Result<String, String> {
        let result =
            parser::parse(query).and_then(|expr| eval::evaluate(&self.0, &expr, seconds * 1000));
        match result {
            Ok(eval::Value::Scalar(value)) => Ok(value.to_string()),
            Ok(eval::Value::Vector(samples)) => {
                let shown = samples.iter().map(|sample| {
                    let pairs = sample.labels.iter().map(|(n, v)| format!("{n}={v}"));
                    // To a millionth: the last bits are rounding.
                    let value = (sample.value * 1e6).round() / 1e6;
                    format!("{{{}}} {value}", pairs.collect::<Vec<_>>().join(","))
                });
                Ok(shown.collect::<Vec<_>>().join("; "))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// The answer two minutes after the first sample: the moment of the ninth.
    fn ask(&self, query: &str) -> String {
        self.at(query, 120)
            .unwrap_or_else(|e| panic!("{query}: {e}"))
    }

    fn refusal(&self, query: &str) -> String {
        match self.at(query, 120) {
            Ok(answer) => panic!("{query} answers {answer}"),
            Err(error) => error,
        }
    }
}

#[test]
fn selectors_choose_by_labels() {
    let hand = Hand::requests();
    for (query, wanted) in [
        ("count(http_total)", "{} 4"),
        ("count(http_total{code=\"200\"})", "{} 2"),
        ("count(http_total{code!=\"200\"})", "{} 2"),
        ("count(http_total{code=~\"5..\"})", "{} 2"),
        ("count(http_total{code!~\"5.*\", pod='a'})", "{} 1"),
        ("count({__name__=~\"http.+\", code=`503`})", "{} 1"),
        // Patterns fit as a whole, and a missing label is empty.
        ("count(http_total{code=~\"50\"})", ""),
        ("count(http_total{zone=\"\"})", "{} 4"),
        ("count(http_total{zone!=\"\"})", ""),
        ("nothing", ""),
        (
            "http_total{pod=\"a\",code=\"500\"}",
            "{__name__=http_total,code=500,pod=a,track=stable} 1000",
        ),
    ] {
        assert_eq!(hand.ask(query), wanted, "{query}");
    }
}

#[test]
fn growth_is_counted_per_series_and_summed() {
    let hand = Hand::requests();
    for (query, wanted) in [
        // Eight gaps of 15 s, of which four lie within the last minute; samples at its beginning
        // do not count, so three are seen and extended to four.
        (
            "increase(http_total{pod=\"a\",code=\"200\"}[1m])",
            "{code=200,pod=a,track=stable} 80",
        ),
        ("sum(rate(http_total[1m]))", "{} 2.666667"),
        (
            "sum by (track) (rate(http_total[1m]))",
            "{track=canary} 1.333333; {track=stable} 1.333333",
        ),
        (
            "sum(rate(http_total[1m])) without (pod, code)",
            "{track=canary} 1.333333; {track=stable} 1.333333",
        ),
        (
            "avg by (pod) (increase(http_total[1m]))",
            "{pod=a} 40; {pod=b} 40",
        ),
        ("max(increase(http_total[1m]))", "{} 80"),
        ("min(increase(http_total[1m]))", "{} 0"),
        (
            "count by (code) (http_total)",
            "{code=200} 2; {code=500} 1; {code=503} 1",
        ),
        // Two samples are needed.
        ("rate(http_total[15s])", ""),
    ] {
        assert_eq!(hand.ask(query), wanted, "{query}");
    }
}

#[test]
fn the_share_of_errors_is_that_of_each_track() {
    let hand = Hand::requests();
    let share = "sum by (track) (rate(http_total{code=~\"5..\"}[1m])) / sum by (track) (rate(http_total[1m]))";
    assert_eq!(hand.ask(share), "{track=canary} 0.5; {track=stable} 0");
    assert_eq!(hand.ask(&format!("{share} > 0.1")), "{track=canary} 0.5");
    assert_eq!(
        hand.ask(&format!("100 * ({share})")),
        "{track=canary} 50; {track=stable} 0"
    );
    let one = "sum(rate(http_total{code=\"418\"}[1m]))";
    assert_eq!(hand.ask(one), "");
    assert_eq!(hand.ask(&format!("{one} or vector(0)")), "{} 0");
    assert_eq!(
        hand.ask(&format!("({one} or vector(0)) / vector(0)")),
        "{} NaN"
    );
}

#[test]
fn operators_bind_as_usual_and_match_one_to_one() {
    let hand = Hand::default()
        .with("a", &[("x", "1"), ("y", "1")], &[6.0; 9])
        .with("a", &[("x", "2"), ("y", "1")], &[8.0; 9])
        .with("b", &[("x", "1"), ("y", "1")], &[2.0; 9])
        .with("b", &[("x", "3"), ("y", "1")], &[1.0; 9]);
    for (query, wanted) in [
        ("1 + 2 * 3 - 4 / 2", "5"),
        ("-(1 + 2) * 3", "-9"),
        ("2 - -1", "3"),
        ("1e3 / .5", "2000"),
        ("1 < bool 2", "1"),
        ("a / b", "{x=1,y=1} 3"),
        ("a - 1", "{x=1,y=1} 5; {x=2,y=1} 7"),
        ("-a", "{x=1,y=1} -6; {x=2,y=1} -8"),
        ("a > 7", "{__name__=a,x=2,y=1} 8"),
        ("7 < a", "{__name__=a,x=2,y=1} 8"),
        ("a > bool 7", "{x=1,y=1} 0; {x=2,y=1} 1"),
        ("a == a", "{__name__=a,x=1,y=1} 6; {__name__=a,x=2,y=1} 8"),
        ("a{x=\"1\"} * on (y) b{x=\"1\"}", "{y=1} 12"),
        ("a{x=\"2\"} + ignoring (x) b{x=\"3\"}", "{y=1} 9"),
        ("a and b", "{__name__=a,x=1,y=1} 6"),
        ("a unless b", "{__name__=a,x=2,y=1} 8"),
        ("count(a or b)", "{} 3"),
        ("a # a comment\n / b", "{x=1,y=1} 3"),
    ] {
        assert_eq!(hand.ask(query), wanted, "{query}");
    }
}

#[test]
fn what_cannot_be_matched_is_an_error_of_execution() {
    let hand = Hand::requests();
    for (query, wanted) in [
        (
            "sum by (pod) (http_total) / on () http_total",
            "found duplicate series for the match group {} on the right hand-side",
        ),
        (
            "http_total / on (pod) sum by (pod) (http_total)",
            "many-to-one matching must be explicit",
        ),
        ("rate({__name__=~\".*_total|up\"}[1m])", ""),
    ] {
        if wanted.is_empty() {
            // Names differ, labels do not: dropping the names leaves two of the same.
            let hand = Hand::default()
                .with("x_total", &[], &[1.0; 9])
                .with("up", &[], &[1.0; 9]);
            assert!(hand.refusal(query).contains("same labelset"));
        } else {
            let said = hand.refusal(query);
            assert!(said.contains(wanted), "{said}");
        }
    }
}

#[test]
fn quantiles_are_taken_of_each_histogram() {
    let bucket = |hand: Hand, track, le, by: f64| {
        let values: Vec<f64> = (0..9).map(|i| 100.0 + by * f64::from(i)).collect();
        hand.with("t_bucket", &[("track", track), ("le", le)], &values)
    };
    let mut hand = Hand::default();
    for (le, by) in [("0.1", 60.0), ("0.5", 90.0), ("+Inf", 100.0)] {
        hand = bucket(hand, "stable", le, by);
        hand = bucket(hand, "canary", le, if le == "0.1" { 0.0 } else { by });
    }
    assert_eq!(
        hand.ask("histogram_quantile(0.75, sum by (le, track) (rate(t_bucket[1m])))"),
        "{track=canary} 0.433333; {track=stable} 0.3"
    );
    // More than all bounds know is the highest of them.
    assert_eq!(
        hand.ask("histogram_quantile(0.99, sum by (le) (rate(t_bucket[1m])))"),
        "{} 0.5"
    );
}

#[test]
fn a_series_holds_for_five_minutes_or_until_it_ends() {
    let mut hand = Hand::default().with("up", &[], &[1.0, 0.0]);
    assert_eq!(hand.at("up", 14).unwrap(), "{__name__=up} 1");
    assert_eq!(hand.at("up", 15).unwrap(), "{__name__=up} 0");
    assert_eq!(hand.at("up", 314).unwrap(), "{__name__=up} 0");
    assert_eq!(hand.at("up", 315).unwrap(), "");
    assert_eq!(hand.at("up", -1).unwrap(), "");
    hand.0.end(&labels("up", &[]), 30_000);
    assert_eq!(hand.at("up", 29).unwrap(), "{__name__=up} 0");
    assert_eq!(hand.at("up", 30).unwrap(), "");
    hand.0.append(labels("up", &[]), 45_000, 1.0);
    assert_eq!(hand.at("up", 45).unwrap(), "{__name__=up} 1");
    // An hour later nothing is left.
    hand.0.trim(45_000 + 3_600_000);
    assert_eq!(hand.0.select(|_| true).count(), 0);
}

#[test]
fn a_wrong_query_is_refused_where_it_is_wrong() {
    let hand = Hand::default();
    for (query, wanted) in [
        (
            "",
            "unknown position: parse error: no expression found in input",
        ),
        ("sum(", "1:5: parse error: unexpected end of input"),
        (
            "up{",
            "1:4: parse error: unexpected end of input in label matching, expected identifier or \"}\"",
        ),
        (
            "up{a=1}",
            "1:6: parse error: unexpected number \"1\" in label matching, expected string",
        ),
        ("up\n  up", "2:3: parse error: unexpected identifier \"up\""),
        ("up{a=~\"(\"}", "1:7: parse error: error parsing regexp"),
        (
            "{}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "{a=~\".*\"}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "rate(up)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        (
            "sum(1)",
            "1:5: parse error: expected type instant vector in aggregation expression, got scalar",
        ),
        (
            "vector(up)",
            "1:8: parse error: expected type scalar in call to function \"vector\", got instant vector",
        ),
        (
            "rate(up[5m], 1)",
            "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 2",
        ),
        (
            "1 > 2",
            "1:3: parse error: comparisons between scalars must use BOOL modifier",
        ),
        (
            "1 or up",
            "1:3: parse error: set operator identifier \"or\" not allowed in binary scalar expression",
        ),
        (
            "up + bool 1",
            "1:6: parse error: bool modifier can only be used on comparison operators",
        ),
        (
            "up[5]",
            "1:4: parse error: unexpected number \"5\" in range selector, expected duration",
        ),
        ("'up", "1:1: parse error: unterminated quoted string"),
        ("up ! 1", "1:4: parse error: unexpected character: '!'"),
        ("up)", "1:3: parse error: unexpected \")\""),
        ("5m", "1:1: parse error: unexpected duration"),
        (
            "up 5x",
            "1:4: parse error: bad number or duration syntax: \"5x\"",
        ),
    ] {
        let said = hand.refusal(query);
        assert!(said.starts_with(wanted), "{query}: {said}");
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let hand = Hand::default();
    for (query, wanted) in [
        ("up[5m]", "a range vector as the result"),
        ("irate(up[5m])", "the function \"irate\""),
        ("topk(5, up)", "the aggregation \"topk\""),
        ("stddev by (a) (up)", "the aggregation \"stddev\""),
        ("up offset 5m", "the modifier identifier \"offset\""),
        ("up @ 5", "the modifier \"@\""),
        (
            "rate(up[5m] offset 1m)",
            "the modifier identifier \"offset\"",
        ),
        ("up / on (a) group_left up", "\"group_left\""),
        ("up % 2", "the operator \"%\""),
        ("up ^ 2", "the operator \"^\""),
        ("rate(up[5m:1m])", "a subquery"),
        ("\"up\"", "a string as an expression"),
        ("sum(up)[5m]", "a range of anything but a selector"),
    ] {
        let said = hand.refusal(query);
        let whole = format!("{wanted} is not supported by the simulated Prometheus");
        assert!(said.ends_with(&whole), "{query}: {said}");
    }
    let deep = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(hand.refusal(&deep).contains("is not supported"));
    let many = format!("{}1", "-".repeat(5000));
    assert!(hand.refusal(&many).contains("is not supported"));
}

#[test]
fn an_image_of_prometheus_is_known_in_every_registry() {
    for image in [
        "prom/prometheus",
        "prom/prometheus:v3.5.0",
        "docker.io/prom/prometheus@sha256:00",
        "registry.example:5000/mirror/prom/prometheus:v2",
        "quay.io/prometheus/prometheus:v3.5.0",
    ] {
        assert!(is_image(image), "{image}");
    }
    for image in [
        "prom/prometheus-operator:v1",
        "registry.example:5000/prometheus",
        "notprom/prometheus",
        "prom/alertmanager",
    ] {
        assert!(!is_image(image), "{image}");
    }
}

// === The HTTP API ===

fn asked(
    prometheus: &Prometheus,
    request: http::request::Builder,
    body: &'static str,
) -> (StatusCode, Value) {
    let request = request.body(body.into()).unwrap();
    let now = "2026-01-05T09:00:00Z".parse().unwrap();
    let pod = ("monitoring".to_owned(), "prometheus".to_owned());
    let answer = prometheus.answer(&pod, &request, now).unwrap();
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

#[test]
fn results_and_errors_have_the_form_of_prometheus() {
    use http::Request;
    let prometheus = Prometheus::default();
    let get = |path: &str| asked(&prometheus, Request::get(path), "");
    let moment = 1_767_603_600;
    assert_eq!(
        get("/api/v1/query?query=vector(0.5)%2F0"),
        (
            StatusCode::OK,
            serde_json::json!({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [moment, "+Inf"]}]}})
        )
    );
    assert_eq!(
        get("/api/v1/query?query=1%2B1&time=1.5").1["data"],
        serde_json::json!({"resultType": "scalar", "result": [1.5, "2"]})
    );
    assert_eq!(
        get("/api/v1/query?query=1&time=2026-01-05T10:00:00%2B01:00").1["data"]["result"][0],
        moment
    );
    let form = "application/x-www-form-urlencoded";
    let post = Request::post("/api/v1/query").header("content-type", form);
    assert_eq!(
        asked(&prometheus, post, "query=1+%2B+2&time=7").1["data"]["result"],
        serde_json::json!([7, "3"])
    );
    let (code, body) = get("/api/v1/query?query=up%7B");
    assert_eq!(code, StatusCode::BAD_REQUEST);
    assert_eq!(body["errorType"], "bad_data");
    assert_eq!(
        body["error"],
        "invalid parameter \"query\": 1:4: parse error: unexpected end of input in label matching, expected identifier or \"}\""
    );
    let (code, body) = get("/api/v1/query?query=1&time=soon");
    assert_eq!(code, StatusCode::BAD_REQUEST);
    assert_eq!(
        body["error"],
        "invalid parameter \"time\": cannot parse \"soon\" to a valid timestamp"
    );
}

// === Properties ===

proptest! {
    #[test]
    fn growth_between_the_first_and_the_last_point_is_what_was_counted(
        steps in prop::collection::vec((0_u32..1000, prop::bool::weighted(0.1)), 2..60)
    ) {
        let (mut value, mut counted) = (0.0, 0.0);
        let mut points = Vec::new();
        for (i, (by, restart)) in steps.iter().enumerate() {
            let by = f64::from(*by);
            let before = value;
            value = if *restart { by } else { value + by };
            // A restart that ends above where it began cannot be seen.
            let seen = if value < before { value } else { value - before };
            counted += if i == 0 { 0.0 } else { seen };
            points.push((i64::try_from(i).unwrap() * STEP, value));
        }
        let end = points[points.len() - 1].0;
        let grown = functions::increase(&points, 0, end).unwrap();
        prop_assert!((grown - counted).abs() < 1e-6, "{} {}", grown, counted);
    }

    #[test]
    fn growth_is_extended_by_at_most_the_gaps_to_the_edges(
        steps in prop::collection::vec(0_u32..1000, 2..60), before in 0_i64..200_000, after in 0_i64..200_000
    ) {
        let mut value = 0.0;
        let points: Vec<(i64, f64)> = (0..).map(|i| i * STEP).zip(&steps).map(|(at, by)| {
            value += f64::from(*by);
            (at, value)
        }).collect();
        let end = points[points.len() - 1].0;
        let exact = functions::increase(&points, 0, end).unwrap();
        let grown = functions::increase(&points, -before, end + after).unwrap();
        let gaps = f64::from(u32::try_from(points.len()).unwrap() - 1);
        prop_assert!(grown >= exact - 1e-6 && grown <= exact * (gaps + 2.2) / gaps + 1e-6);
    }

    #[test]
    fn groups_add_up_to_the_whole(values in prop::collection::vec((0_u8..4, -1e6..1e6_f64), 1..40)) {
        let mut hand = Hand::default();
        for (i, (group, value)) in values.iter().enumerate() {
            let (i, group) = (i.to_string(), group.to_string());
            hand = hand.with("m", &[("i", &i), ("g", &group)], &[*value]);
        }
        let value = |query: &str| -> f64 {
            let answer = hand.at(query, 0).unwrap();
            answer.trim_start_matches("{} ").parse().unwrap()
        };
        let whole: f64 = values.iter().map(|(_, v)| v).sum();
        prop_assert!((value("sum(m)") - whole).abs() < 1e-3);
        prop_assert!((value("sum(sum by (g) (m))") - whole).abs() < 1e-3);
        prop_assert!((value("sum(count without (i) (m))") - value("count(m)")).abs() < 1e-9);
        let mean = functions::aggregate(Aggregation::Avg, &values.iter().map(|v| v.1).collect::<Vec<_>>());
        prop_assert!(value("min(m)") <= mean + 1e-3 && mean <= value("max(m)") + 1e-3);
    }

    #[test]
    fn a_quantile_grows_with_its_rank_and_stays_within_the_bounds(
        counts in prop::collection::vec(0_u32..100, 2..12), low in 0.0..1.0_f64, high in 0.0..1.0_f64
    ) {
        let mut sum = 0.0;
        let last = counts.len() - 1;
        let buckets: Vec<(f64, f64)> = counts.iter().enumerate().map(|(i, count)| {
            sum += f64::from(*count);
            let bound = f64::from(u32::try_from(i + 1).unwrap());
            (if i == last { f64::INFINITY } else { bound }, sum)
        }).collect();
        let (low, high) = (low.min(high), low.max(high));
        let (a, b) = (functions::quantile(low, buckets.clone()), functions::quantile(high, buckets));
        if sum == 0.0 {
            prop_assert!(a.is_nan() && b.is_nan());
        } else if low > 0.0 {
            prop_assert!(a <= b + 1e-9 && a >= 0.0 && b <= f64::from(u32::try_from(last).unwrap()));
        }
    }

    #[test]
    fn no_text_makes_the_parser_do_anything_but_refuse(text in "[a-c0-9{}()\\[\\]=~!\"'`,.+*/<>@%^: \\n#-]{0,40}|\\PC{0,40}") {
        if let Err(error) = parser::parse(&text) {
            prop_assert!(matches!(error, QueryError::BadData(_)));
        }
    }
}
