//! Every preset against a count by hand: pages as the exporters write them, a real Prometheus that
//! scrapes them, and the numbers that a release would be judged by.
//!
//! Owns: the pages and the count. What the exporters write is in [`EXPORTERS`]; a preset without an entry
//! there fails.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use canaryctl::{
    analysis::meter::Totals,
    domain::{
        check::{Reading, Sample},
        meters::{Counted, Counting, Meters, Moment, Witness},
        workload::Track,
    },
    health::presets::{PRESETS, Preset},
};
use futures::FutureExt;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    ground::within,
    loopback::{NAMESPACE, answered, folder, look, serve, side, source},
    prometheus::Prometheus,
};

/// How an exporter writes its series; `%` stands for the Service or Deployment of a side.
struct Exporter {
    preset: &'static str,
    requests: &'static str,
    buckets: &'static str,
    /// Labels of stable's series, and of the canary's.
    sides: [&'static str; 2],
    /// Labels of good requests, and of bad ones.
    outcomes: [&'static str; 2],
    /// Whether the histogram has the labels of the outcome.
    split: bool,
    /// The bounds of the histogram: 100 ms, 500 ms, all.
    bounds: [&'static str; 3],
    /// Labels of the canary's requests that none of its pods was given, where callers report them.
    unserved: Option<&'static str>,
    /// Labels of series on the same pages that are nobody's of this release.
    strangers: &'static [&'static str],
}

const SECONDS: [&str; 3] = ["0.1", "0.5", "+Inf"];
const MILLISECONDS: [&str; 3] = ["100", "500", "+Inf"];

#[rustfmt::skip]
const EXPORTERS: &[Exporter] = &[
    Exporter {
        preset: "http",
        requests: "http_requests_total",
        buckets: "http_request_duration_seconds_bucket",
        sides: [r#"method="POST",route="/api/payments""#; 2],
        outcomes: [r#"status="200""#, r#"status="503""#],
        split: true,
        bounds: SECONDS,
        unserved: None,
        strangers: &[],
    },
    Exporter {
        preset: "spring",
        requests: "http_server_requests_seconds_count",
        buckets: "http_server_requests_seconds_bucket",
        sides: [r#"application="payments",error="none",method="POST",uri="/api/payments""#; 2],
        outcomes: [r#"outcome="SUCCESS",status="200",exception="none""#, r#"outcome="SERVER_ERROR",status="500",exception="IllegalStateException""#],
        split: true,
        bounds: SECONDS,
        unserved: None,
        strangers: &[],
    },
    Exporter {
        preset: "istio",
        requests: "istio_requests_total",
        buckets: "istio_request_duration_milliseconds_bucket",
        sides: [
            r#"reporter="destination",source_workload="web",destination_workload="payment-api",destination_workload_namespace="shop",destination_service_name="payment-api-service",request_protocol="http",connection_security_policy="mutual_tls""#,
            r#"reporter="destination",source_workload="web",destination_workload="payment-api-canary",destination_workload_namespace="shop",destination_service_name="payment-api-service",request_protocol="http",connection_security_policy="mutual_tls""#,
        ],
        outcomes: [r#"response_code="200",grpc_response_status="",response_flags="-""#, r#"response_code="200",grpc_response_status="14",response_flags="UH""#],
        split: true,
        bounds: MILLISECONDS,
        unserved: Some(r#"reporter="source",source_workload="web",destination_workload="payment-api-canary",destination_workload_namespace="shop",response_code="503",response_flags="UF,URX""#),
        strangers: &[
            r#"reporter="source",source_workload="payment-api",destination_workload="payment-api",destination_workload_namespace="shop",response_code="500""#,
            r#"reporter="destination",destination_workload="payment-api",destination_workload_namespace="workshop",response_code="500""#,
            r#"reporter="destination",destination_workload="payment-api-docs",destination_workload_namespace="shop",response_code="500""#,
        ],
    },
    Exporter {
        preset: "linkerd",
        requests: "response_total",
        buckets: "response_latency_ms_bucket",
        sides: [r#"direction="inbound",target_addr="10.0.0.1:8080",target_port="8080",tls="true",route_name="default",srv_name="all-unauthenticated""#; 2],
        outcomes: [r#"classification="success",status_code="200",error="""#, r#"classification="failure",status_code="500",error="""#],
        split: false,
        bounds: MILLISECONDS,
        unserved: None,
        strangers: &[r#"direction="outbound",dst_deployment="ledger",classification="failure",status_code="500""#],
    },
    Exporter {
        preset: "nginx",
        requests: "nginx_ingress_controller_requests",
        buckets: "nginx_ingress_controller_request_duration_seconds_bucket",
        // What the canary serves is told by `canary`; Ingress and Service are those of the main one.
        sides: [
            r#"controller_class="k8s.io/ingress-nginx",namespace="shop",ingress="payments",service="payment-api",canary="",method="POST",path="/""#,
            r#"controller_class="k8s.io/ingress-nginx",namespace="shop",ingress="payments",service="payment-api",canary="shop-payment-api-canary-80",method="POST",path="/""#,
        ],
        outcomes: [r#"status="200""#, r#"status="502""#],
        split: true,
        bounds: SECONDS,
        unserved: None,
        strangers: &[
            r#"namespace="shop",ingress="docs",service="payment-api-docs",canary="",status="500""#,
            r#"namespace="workshop",ingress="payments",service="payment-api",canary="workshop-payment-api-canary-80",status="500""#,
        ],
    },
    Exporter {
        preset: "traefik",
        requests: "traefik_service_requests_total",
        buckets: "traefik_service_request_duration_seconds_bucket",
        sides: [
            r#"method="POST",protocol="http",service="shop-payment-api-80@kubernetescrd""#,
            r#"method="POST",protocol="http",service="shop-payment-api-canary-80@kubernetescrd""#,
        ],
        outcomes: [r#"code="200""#, r#"code="503""#],
        split: true,
        bounds: SECONDS,
        unserved: None,
        strangers: &[
            r#"code="500",method="GET",protocol="http",service="shop-payment-api-docs-80@kubernetescrd""#,
            r#"code="500",method="GET",protocol="http",service="workshop-payment-api-80@kubernetescrd""#,
        ],
    },
    Exporter {
        preset: "envoy",
        requests: "envoy_cluster_upstream_rq",
        buckets: "envoy_cluster_upstream_rq_time_bucket",
        sides: [r#"envoy_cluster_name="shop_payment-api_80""#, r#"envoy_cluster_name="shop_payment-api-canary_80""#],
        outcomes: [r#"envoy_response_code="200""#, r#"envoy_response_code="503""#],
        split: false,
        bounds: MILLISECONDS,
        unserved: None,
        strangers: &[
            r#"envoy_response_code="500",envoy_cluster_name="shop_payment-api-docs_80""#,
            r#"envoy_response_code="500",envoy_cluster_name="workshop_payment-api_80""#,
        ],
    },
];

/// What stands on a page for a side: requests that went well, and that did not. None of a kind: no
/// series.
type Page = (u32, u32);

/// Both pods of a side (or both proxies, of its requests), at both times. The second of each counts from
/// zero again; errors come late, as a series of their own.
const PAGES: [[[Page; 2]; 2]; 2] = [
    // Stable.
    [[(900, 3), (1000, 3)], [(500, 0), (7, 1)]],
    // The canary.
    [[(10, 0), (25, 2)], [(40, 1), (3, 0)]],
];

/// By hand: what came in between on both pods together, and the errors of it. 100 and 8 on stable; 17
/// and 3 on the canary.
const CAME_IN: [(f64, f64); 2] = [(108.0, 1.0), (20.0, 2.0)];

/// And how many of those took at most 100 ms, at most 500 ms, and any time. On stable 50 and 3 of the good
/// ones took 100 ms at most; on the canary 7 and 1.
const BY_LATENCY: [[f64; 3]; 2] = [[53.0, 107.0, 108.0], [8.0, 18.0, 20.0]];

const PODS: [[&str; 2]; 2] = [
    ["payment-api-7d9c5b6f8-x2k4m", "payment-api-7d9c5b6f8-p9wqz"],
    [
        "payment-api-canary-5f4d8c9b7-b6n2t",
        "payment-api-canary-5f4d8c9b7-hv8xl",
    ],
];

const PROXIES: [&str; 2] = ["proxy-6b7f9d8c4-2zxkq", "proxy-6b7f9d8c4-ln5vd"];

const DOCS: &str = "payment-api-docs-6c8f7b9d5-q4rtw";

/// Of these good requests, so many take at most 100 ms; all take at most 500 ms, and bad ones take longer.
fn quick(good: u32) -> u32 {
    good / 2
}

/// Adds the series of a side to a page.
fn write(page: &mut BTreeMap<String, u32>, exporter: &Exporter, of: usize, (good, bad): Page) {
    let labels = exporter.sides[of];
    for (at, count) in [good, bad].into_iter().enumerate() {
        if count == 0 {
            continue;
        }
        let outcome = exporter.outcomes[at];
        let name = format!("{}{{{labels},{outcome}}}", exporter.requests);
        *page.entry(name).or_default() += count;
        let within = [[quick(good), good, good], [0, 0, bad]][at];
        for (le, within) in exporter.bounds.into_iter().zip(within) {
            let outcome = if exporter.split {
                format!(",{outcome}")
            } else {
                String::new()
            };
            let name = format!("{}{{{labels}{outcome},le=\"{le}\"}}", exporter.buckets);
            *page.entry(name).or_default() += within;
        }
    }
}

/// Adds what is nobody's.
fn write_strangers(page: &mut BTreeMap<String, u32>, exporter: &Exporter) {
    for labels in exporter.strangers {
        page.insert(format!("{}{{{labels}}}", exporter.requests), 7777);
        page.insert(
            format!("{}{{{labels},le=\"+Inf\"}}", exporter.buckets),
            7777,
        );
    }
}

/// By hand: requests that no pod of the canary was given, at both times, as one of the proxies reports them.
const UNSERVED: [u32; 2] = [5, 12];

fn exporter(preset: &Preset) -> &'static Exporter {
    let found = EXPORTERS.iter().find(|e| e.preset == preset.name);
    found.unwrap_or_else(|| panic!("nothing is known of what {} writes", preset.name))
}

/// Returns the page of a target at a time.
fn page(target: &str, time: usize) -> String {
    let mut page = BTreeMap::from([("test_time".to_owned(), u32::try_from(time).unwrap())]);
    for preset in PRESETS {
        let exporter = exporter(preset);
        for of in 0..2 {
            for number in 0..2 {
                let here = if preset.in_pods {
                    PODS[of][number]
                } else {
                    PROXIES[number]
                };
                if here == target {
                    write(&mut page, exporter, of, PAGES[of][number][time]);
                }
            }
        }
        if let Some(labels) = exporter.unserved.filter(|_| target == PROXIES[0]) {
            let name = format!("{}{{{labels}}}", exporter.requests);
            page.insert(name, UNSERVED[time]);
        }
        let here = PROXIES.contains(&target);
        if preset.in_pods != here {
            write_strangers(&mut page, exporter);
        }
        if preset.in_pods && target == DOCS {
            write(&mut page, exporter, 0, (5555, 5555));
        }
    }
    let line = |(name, value): (String, u32)| format!("{name} {value}\n");
    page.into_iter().map(line).collect()
}

/// Returns what stands at a path at a time: the page of a target, or the same of another namespace.
fn at(path: &str, time: usize) -> String {
    match path.strip_prefix("workshop/") {
        Some(pod) => page(pod, time).replace("=\"shop\"", "=\"workshop\""),
        None if path == DOCS => {
            page(path, time).replace("=\"payment-api\"", "=\"payment-api-docs\"")
        }
        None => page(path, time),
    }
}

/// Returns the targets as service discovery tells them: pods with the labels that mostly are added.
fn targets(address: &str) -> Value {
    let address = address.trim_start_matches("http://");
    let one = |pod: &str, more: Value, at: usize| {
        let folder = if more["namespace"] == "workshop" {
            "workshop/"
        } else {
            ""
        };
        let path = format!("/pages/{folder}{pod}");
        let mut labels = json!({"__metrics_path__": path, "pod": pod});
        labels["instance"] = json!(format!("10.0.0.{at}:8080"));
        for (name, value) in more.as_object().unwrap() {
            labels[name] = value.clone();
        }
        json!({"targets": [address], "labels": labels})
    };
    let of = |deployment: &str, namespace: &str| json!({"namespace": namespace, "deployment": deployment});
    json!([
        one(PODS[0][0], of("payment-api", NAMESPACE), 1),
        one(PODS[0][1], of("payment-api", NAMESPACE), 2),
        one(PODS[1][0], of("payment-api-canary", NAMESPACE), 3),
        one(PODS[1][1], of("payment-api-canary", NAMESPACE), 4),
        one(PROXIES[0], json!({}), 5),
        one(PROXIES[1], json!({}), 6),
        one(DOCS, of("payment-api-docs", NAMESPACE), 7),
        one(PODS[0][0], of("payment-api", "workshop"), 8),
    ])
}

const TARGETS: usize = 8;

/// By hand: the totals of a pod, or of a proxy's requests to a side.
fn totals((good, bad): Page) -> Totals {
    let all = f64::from(good + bad);
    Totals {
        all: Some(all),
        bad: Some(f64::from(bad)),
        buckets: vec![
            (0.1, f64::from(quick(good))),
            (0.5, f64::from(good)),
            (f64::INFINITY, all),
        ],
    }
}

/// By hand: what a look at a side must show.
fn expected(preset: &Preset, of: usize, time: usize) -> Vec<Reading> {
    let reading = |number: usize| Reading {
        subject: if preset.in_pods {
            PODS[of][number]
        } else {
            PROXIES[number]
        }
        .to_owned(),
        sample: Sample::Totals {
            totals: totals(PAGES[of][number][time]),
            born: false,
        },
    };
    let mut all = vec![reading(0), reading(1)];
    if exporter(preset).unserved.is_some() && of == 1 {
        let failed = Some(f64::from(UNSERVED[time]));
        let totals = Totals {
            all: failed,
            bad: failed,
            buckets: Vec::new(),
        };
        all.push(Reading {
            subject: PROXIES[0].to_owned(),
            sample: Sample::Totals {
                totals,
                born: false,
            },
        });
    }
    all.sort_by(|a, b| a.subject.cmp(&b.subject));
    all
}

/// Looks at both sides with a preset.
async fn seen(preset: &Preset, address: &str) -> [Vec<Reading>; 2] {
    let source = source(json!({"url": address, "preset": preset.name}), "");
    let mut all = [Vec::new(), Vec::new()];
    for (of, track) in [Track::Stable, Track::Canary].into_iter().enumerate() {
        let workload = side(track, &PODS[of]);
        all[of] = source.count(&look(track, &workload), true).await;
        all[of].sort_by(|a, b| a.subject.cmp(&b.subject));
    }
    all
}

/// Takes a look into the account of a release.
fn counted(meters: &mut Meters, time: usize, [stable, canary]: [Vec<Reading>; 2]) -> Counted {
    let seen = Counting {
        canary,
        stable,
        asked: String::new(),
        witness: Witness::Source,
    };
    let moment = Moment {
        now: Timestamp::from_second(10 + 10 * i64::try_from(time).unwrap()).unwrap(),
        started: Timestamp::from_second(1).unwrap(),
        weight: 0.2,
        lag: 0.0,
    };
    meters.count(&seen, moment)
}

#[tokio::test]
async fn every_preset_counts_what_a_count_by_hand_does() {
    let time = Arc::new(AtomicUsize::new(0));
    let now = time.clone();
    let address = serve(move |uri, _| {
        let answer = if let Some(path) = uri.strip_prefix("/pages/") {
            let page = at(path, now.load(Ordering::SeqCst));
            answered(200, "text/plain; version=0.0.4", page)
        } else {
            let host = uri.trim_start_matches("/targets?");
            answered(200, "application/json", targets(host).to_string())
        };
        async { answer }.boxed()
    })
    .await;
    let folder = folder();
    fs::create_dir_all(&folder).unwrap();
    let host = address.trim_start_matches("http://");
    let prometheus = Prometheus::scraping(&folder, &format!("{address}/targets?{host}"));
    let mut meters: BTreeMap<&str, Meters> = BTreeMap::new();
    let mut wrong = Vec::new();
    for at in 0..2 {
        time.store(at, Ordering::SeqCst);
        let query = format!("count(test_time == {at})");
        within(30, "a scrape of every target", async || {
            let samples = prometheus.query(&query).await;
            let count = samples.first()?["value"][1].as_str()?;
            (count == TARGETS.to_string()).then_some(())
        })
        .await;
        for preset in PRESETS {
            let seen = seen(preset, &prometheus.address).await;
            for of in 0..2 {
                let name = ["stable", "the canary"][of];
                let by_hand = expected(preset, of, at);
                if seen[of] != by_hand {
                    let (preset, seen) = (preset.name, &seen[of]);
                    wrong.push(format!(
                        "{preset} of {name}, time {at}:\n{seen:?}\nby hand: {by_hand:?}"
                    ));
                }
            }
            let counted = counted(meters.entry(preset.name).or_default(), at, seen);
            if at == 1 {
                let sides = [&counted.stable, &counted.canary];
                for (of, side) in sides.into_iter().enumerate() {
                    let came = (side.counts.all(), side.counts.bad());
                    let unserved = exporter(preset).unserved.filter(|_| of == 1);
                    let failed = unserved.map_or(0.0, |_| f64::from(UNSERVED[1] - UNSERVED[0]));
                    let (all, bad) = CAME_IN[of];
                    if came != (all + failed, bad + failed) || side.buckets != BY_LATENCY[of] {
                        wrong.push(format!("{} in between: {counted:?}", preset.name));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    drop(prometheus);
    drop(fs::remove_dir_all(&folder));
}
