//! What a Prometheus in a pod scrapes, and how it answers.

use bytes::Bytes;
use http::{Request, Response};

use super::*;

async fn get(bench: &Bench, path: &str) -> Result<Response<Bytes>, String> {
    let (pods, _) = bench.store.list("", "pods", "monitoring");
    let request = Request::get(path).body(Bytes::new()).unwrap();
    let name = object::name(&pods[0]).to_owned();
    let apps = bench.world.apps();
    apps.answer("monitoring", &name, 9090, request).await
}

/// Asks a query; returns the rows of its result.
async fn query(bench: &Bench, text: &str) -> Vec<Value> {
    let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let response = get(bench, &format!("/api/v1/query?query={encoded}"))
        .await
        .unwrap();
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(body["status"], "success", "{text}: {body}");
    body["data"]["result"].as_array().cloned().unwrap()
}

/// The number of a result with one row.
async fn number(bench: &Bench, text: &str) -> f64 {
    let rows = query(bench, text).await;
    assert_eq!(rows.len(), 1, "{text}: {rows:?}");
    rows[0]["value"][1].as_str().unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn pods_are_scraped_under_their_labels() {
    let bench = Bench::builtin("metrics");
    bench.wait(60).await;
    let rows = query(&bench, "up{track=\"canary\"}").await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["value"][1], "1");
    let pod = &bench.pods("payment-api-canary")[0];
    let address = pod["status"]["podIP"].as_str().unwrap();
    assert_eq!(
        rows[0]["metric"],
        json!({
            "__name__": "up",
            "job": "payment-api-canary-service",
            "service": "payment-api-canary-service",
            "instance": format!("{address}:3000"),
            "namespace": NAMESPACE,
            "pod": object::name(pod),
            "app": "payment-api",
            "version": "canary",
            "track": "canary",
        })
    );
    // What the app says of itself stands beside what the cluster says of it.
    let rows = query(
        &bench,
        "http_requests_total{track=\"canary\",status=\"200\"}",
    )
    .await;
    assert_eq!(rows[0]["metric"]["exported_version"], "canary-v2.0.0");
    assert_eq!(rows[0]["metric"]["version"], "canary");
    assert_eq!(query(&bench, "up").await.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn rates_are_those_of_the_users() {
    let bench = Bench::builtin("metrics-bad");
    bench.wait(600).await;
    let before = bench.world.users();
    bench.wait(300).await;
    let after = bench.world.users();
    let of = |users: &Users| users.tracks["canary"];
    let (all, failed) = (
        of(&after).requests - of(&before).requests,
        of(&after).failed - of(&before).failed,
    );
    let canary = "http_requests_total{track=\"canary\"}[5m]";
    let counted = number(&bench, &format!("sum(increase({canary}))")).await;
    let all = f64::from(u32::try_from(all).unwrap());
    assert!((counted / all - 1.0).abs() < 0.03, "{counted} of {all}");
    let share = number(
        &bench,
        &format!("sum(increase(http_requests_total{{track=\"canary\",status=\"500\"}}[5m])) / sum(increase({canary}))"),
    )
    .await;
    let wanted = f64::from(u32::try_from(failed).unwrap()) / all;
    assert!((share - wanted).abs() < 0.005, "{share}, not {wanted}");
    let slow = |track: &str| {
        format!(
            "histogram_quantile(0.5, sum by (le) (rate(http_request_duration_seconds_bucket{{track=\"{track}\"}}[5m])))"
        )
    };
    let (canary, stable) = (
        number(&bench, &slow("canary")).await,
        number(&bench, &slow("stable")).await,
    );
    // Medians of 180 ms and 90 ms, as well as buckets tell.
    assert!((0.15..0.21).contains(&canary), "{canary}");
    assert!((0.07..0.11).contains(&stable), "{stable}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_gone_has_no_series_and_a_restart_resets_its_counters() {
    let bench = Bench::builtin("metrics");
    bench.wait(60).await;
    bench.scale("payment-api-canary", 0);
    bench.wait(20).await;
    assert!(
        query(&bench, "http_requests_total{track=\"canary\"}")
            .await
            .is_empty()
    );
    // What it counted stays within reach of a range.
    assert!(
        !query(&bench, "rate(http_requests_total{track=\"canary\"}[5m])")
            .await
            .is_empty()
    );
    bench.wait(400).await;
    assert!(
        query(&bench, "rate(http_requests_total{track=\"canary\"}[5m])")
            .await
            .is_empty()
    );

    let text = "base: monitored-payment-api\nversions: [{match: {image: 'payment-api:2'}, crash: {after: 100s}}]";
    let bench = Bench::with(text);
    bench.wait(600).await;
    // About five requests a second reach the canary while it lives, which is most of the time at
    // first; a counter that falls to zero is no loss.
    let grown = number(
        &bench,
        "sum(increase(http_requests_total{track=\"canary\"}[9m]))",
    )
    .await;
    let users = bench.world.users().tracks["canary"];
    let answered = f64::from(u32::try_from(users.requests - users.failed).unwrap());
    assert!(
        grown > 0.5 * answered && grown < 1.2 * answered,
        "{grown} of {answered}"
    );
}

#[tokio::test(start_paused = true)]
async fn alerts_show_as_series_and_in_the_list_while_they_fire() {
    let text = "base: monitored-payment-api\nprometheus: {alerts: [{name: Slow, labels: {severity: page, track: canary}, from: 1m, until: 2m}]}";
    let bench = Bench::with(text);
    let firing = "ALERTS{alertname=\"Slow\",alertstate=\"firing\",track=\"canary\"}";
    for (wait, count) in [(50, 0), (30, 1), (60, 0)] {
        bench.wait(wait).await;
        assert_eq!(query(&bench, firing).await.len(), count);
        let response = get(&bench, "/api/v1/alerts").await.unwrap();
        let body: Value = serde_json::from_slice(response.body()).unwrap();
        let alerts = body["data"]["alerts"].as_array().unwrap();
        assert_eq!(alerts.len(), count);
        if let [alert] = alerts.as_slice() {
            assert_eq!(
                alert["labels"],
                json!({"alertname": "Slow", "severity": "page", "track": "canary"})
            );
            assert_eq!(
                (&alert["state"], &alert["activeAt"]),
                (&json!("firing"), &json!("2026-01-05T09:01:00Z"))
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_scenario_makes_it_answer_wrong_over_time() {
    let text = "
base: monitored-payment-api
faults:
  - {at: 1m, do: {prometheus: {error: 503}}}
  - {at: 2m, do: {prometheus: html}}
  - {at: 3m, do: {prometheus: redirect}}
  - {at: 4m, do: {prometheus: \"null\"}}
  - {at: 5m, do: {prometheus: empty}}
  - {at: 6m, do: {prometheus: nan}}
  - {at: 7m, do: {prometheus: {slow: 20s}}}
  - {at: 8m, do: {prometheus: huge}}
  - {at: 9m, do: {prometheus: down}}
  - {at: 10m, do: {prometheus: well}}
";
    let bench = Bench::with(text);
    let mut seen = Vec::new();
    bench.wait(30).await;
    for _ in 0..11 {
        let begin = bench.store.clock().now();
        let answer = get(&bench, "/api/v1/query?query=sum(up)").await;
        let took = bench.store.clock().now().duration_since(begin).as_secs();
        bench.wait(60 - u64::try_from(took).unwrap()).await;
        let answer = answer.map_or_else(
            |error| error,
            |response| {
                let body = response.body();
                let location = response
                    .headers()
                    .get("location")
                    .map_or("", |l| l.to_str().unwrap());
                let shown = if body.len() > 30_000_000 {
                    "far too much".to_owned()
                } else {
                    String::from_utf8(body.to_vec()).unwrap()
                };
                format!(
                    "{} {location} {} s {shown}",
                    response.status().as_u16(),
                    took
                )
            },
        );
        seen.push(answer.lines().next().unwrap_or_default().to_owned());
    }
    let vector = |at: u32, value: &str| {
        let moment = 1_767_603_600 + at;
        format!(
            "200  0 s {{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":[{{\"metric\":{{}},\"value\":[{moment},\"{value}\"]}}]}}}}"
        )
    };
    assert_eq!(
        seen,
        [
            vector(30, "10"),
            "503  0 s Service Unavailable".to_owned(),
            "200  0 s <!DOCTYPE html>".to_owned(),
            "302 /login 0 s <a href=\"/login\">Found</a>.".to_owned(),
            "200  0 s null".to_owned(),
            "200  0 s {\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[]}}"
                .to_owned(),
            vector(390, "NaN"),
            vector(450, "10").replace(" 0 s", " 20 s"),
            "200  0 s far too much".to_owned(),
            "connection refused".to_owned(),
            vector(630, "10"),
        ]
    );
    // Nothing was scraped while it was down.
    let gap = query(&bench, "sum(up)").await;
    assert_eq!(gap.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_its_own_paths_and_port_answer() {
    let bench = Bench::builtin("metrics");
    for (path, code) in [
        ("/-/ready", 200),
        ("/-/healthy", 200),
        ("/", 404),
        ("/health", 404),
        ("/api/v1/targets", 404),
    ] {
        assert_eq!(
            get(&bench, path).await.unwrap().status().as_u16(),
            code,
            "{path}"
        );
    }
    let (pods, _) = bench.store.list("", "pods", "monitoring");
    let request = Request::get("/-/ready").body(Bytes::new()).unwrap();
    let apps = bench.world.apps();
    let answer = apps
        .answer("monitoring", object::name(&pods[0]), 3000, request)
        .await;
    assert_eq!(answer.unwrap_err(), "connection refused");
}

/// 17 series of the app and two of the target for each of ten pods, and an alert.
#[tokio::test(start_paused = true)]
async fn each_pod_is_scraped_at_its_own_moment_and_each_scrape_remembered() {
    let bench = Bench::builtin("metrics");
    let kept = |bench: &Bench| -> (u32, u32) {
        let memory = bench.world.memory();
        let number = |name: &str| {
            let at = memory.find("Storage {").unwrap();
            let text = memory[at..].split(name).nth(1).unwrap();
            text.split([',', ' ']).next().unwrap().parse().unwrap()
        };
        (number("series: "), number("points: "))
    };
    bench.wait(100).await;
    let (series, mut points) = kept(&bench);
    assert_eq!(series, 191);
    let first = points;
    let mut moments = 0;
    for _ in 0..15 {
        bench.wait(1).await;
        let (_, now) = kept(&bench);
        assert!(now - points < 191 / 2, "{} at once", now - points);
        moments += u32::from(now > points);
        points = now;
    }
    assert!(moments >= 5, "{moments} moments");
    assert_eq!(points - first, 191);
}
