//! Whatever stands in a ConfigMap, its record is read or is an error, and both can be shown.
//!
//! The parts of an input stand between lines of `---`: the texts of the run, of the history and of the
//! signature, and the stable Deployment as JSON. Where the first is a ConfigMap itself, it is taken whole.

use canaryctl::{
    cluster::{objects::Survey, workloads::Live},
    domain::view::{DOCUMENT, HistoryRun, HistoryView, ReleaseLine},
    engine::status::run_view,
    journal::{PastRun, Saved, anchor::Stage, config_map, past_run},
    report::{
        history::history,
        line::Painted,
        style::Style,
        table::{self},
    },
};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

const APP: &str = "payment-api";
const NAMESPACE: &str = "canary-release";

/// How it is shown.
const STYLE: Style = Style {
    color: false,
    unicode: true,
    width: 80,
};

/// Panics unless it is so of this input.
pub(crate) fn holds(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut parts = text.trim_end().split("\n---\n");
    let [release, past, signature, deployment] = [(); 4].map(|()| parts.next());
    let Some(map) = map(release.unwrap_or_default(), past, signature) else {
        return;
    };
    let deployment = deployment.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let survey = Survey {
        deployments: deployment
            .and_then(|d| Live::new(d).ok())
            .into_iter()
            .collect(),
        record: Ok(Some(map)),
        ..Survey::default()
    };
    match Saved::of(&survey, NAMESPACE, APP) {
        Ok(saved) => shown(saved.expect("there is a ConfigMap")),
        Err(error) => is_safe(&Painted::from(error.to_string())),
    }
}

fn map(release: &str, past: Option<&str>, signature: Option<&str>) -> Option<ConfigMap> {
    let whole = serde_json::from_str::<Value>(release).ok();
    if let Some(whole) = whole.filter(|value| value["metadata"].is_object()) {
        return serde_json::from_value(whole).ok();
    }
    let object = json!({
        "metadata": {"name": config_map(APP), "namespace": NAMESPACE},
        "data": {"release.json": release, "history.json": past, "signature": signature},
    });
    let mut object = object;
    let data = object["data"].as_object_mut()?;
    data.retain(|_, text| !text.is_null());
    serde_json::from_value(object).ok()
}

/// Shows a record as `status` and `history` do, and makes history of it.
fn shown(saved: Saved) {
    let release = &saved.release;
    if saved.doubt().is_none() {
        assert_eq!(
            (release.namespace.as_str(), release.app.as_str()),
            (NAMESPACE, APP)
        );
    }
    let view = run_view(release);
    let line = ReleaseLine {
        namespace: release.namespace.clone(),
        app: release.app.clone(),
        phase: view.phase,
        outcome: view.outcome,
        step: view.step,
        steps: view.steps.len(),
        target: view.target,
        since: view.since,
        holder: release.holder.as_ref().map(|holder| holder.who.clone()),
        doubt: saved.doubt().map(ToString::to_string),
    };
    is_safe(&table::releases(&[line], true, release.last_sign(), STYLE));
    let runs = saved.past.iter().cloned().chain([past_run(release)]);
    let all = HistoryView {
        version: DOCUMENT,
        app: APP.to_owned(),
        namespace: NAMESPACE.to_owned(),
        runs: runs.map(told).collect(),
    };
    is_safe(&history(&all, STYLE));
    for document in [serde_json::to_string(&all), serde_json::to_string(&view)] {
        assert!(document.is_ok(), "{document:?}");
    }
    let again = serde_json::to_string(release).expect("a record can be written");
    assert!(serde_json::from_str::<Value>(&again).is_ok(), "{again}");
    let _ = (Stage::of(release), release.present_step());
    // Its place is taken by a new run.
    let next = release.clone();
    let believed = saved.doubt().is_none();
    if let Ok(after) = Saved::after(Some(saved), next) {
        assert!(believed || after.past.iter().all(|run| run.unproven));
    }
}

fn told(run: PastRun) -> HistoryRun {
    HistoryRun {
        id: run.id,
        change: run.change,
        started: run.started,
        ended: run.ended,
        outcome: run.outcome,
        trail: run.trail,
        unproven: run.unproven,
    }
}

fn is_safe(text: &Painted) {
    let control = |c: char| c.is_control() && c != '\n';
    assert!(!text.chars().any(control), "{text:?}");
}
