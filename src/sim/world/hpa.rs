//! The horizontal pod autoscaler.
//!
//! Owns: its round every 15 s, the scale it writes, its status. Must not: know who else scales.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    kubelet::{Kubelet, name_of},
    object::{self, Condition, int, set_condition},
    pass::{CONTROLLERS, Pass, Report, age, later},
};
use crate::sim::store::Key;

const FROM: &str = "horizontal-pod-autoscaler";
/// Time between two rounds, and how long a high recommendation keeps the size up.
const PERIOD: Duration = Duration::from_secs(15);
const MEMORY: Duration = Duration::from_secs(300);

/// Millicores an idle process uses.
pub(super) const IDLE: f64 = 5.0;

/// Memory of all autoscalers.
#[derive(Debug, Clone, Default)]
pub(super) struct Autoscalers {
    /// Sizes they want whatever the load, by name.
    pub(super) forced: BTreeMap<String, i64>,
    known: BTreeMap<Key, Memory>,
}

#[derive(Debug, Clone, Default)]
struct Memory {
    last: Option<Timestamp>,
    wanted: Vec<(Timestamp, i64)>,
    utilization: i64,
}

/// What one round found out.
struct Finding {
    current: i64,
    wanted: i64,
    utilization: Option<i64>,
    limited: bool,
}

/// Lets every autoscaler whose turn it is have its round.
pub(super) fn sync(pass: &mut Pass<'_>, scalers: &mut Autoscalers, kubelet: &mut Kubelet) {
    for object in pass.list("autoscaling", "horizontalpodautoscalers") {
        let key = object::key("autoscaling", "horizontalpodautoscalers", &object);
        let memory = scalers.known.entry(key.clone()).or_default();
        let now = pass.now;
        let next = later(memory.last.unwrap_or(now), PERIOD);
        match memory.last {
            // The first round comes after a full period, as after a start of the controller.
            None => {
                memory.last = Some(now);
                pass.wake(next);
                continue;
            }
            Some(_) if now < next => {
                pass.wake(next);
                continue;
            }
            Some(last) => memory.utilization = utilization(pass, kubelet, &object, age(now, last)),
        }
        memory.last = Some(now);
        pass.wake(later(now, PERIOD));
        round(
            pass,
            memory,
            scalers.forced.get(object::name(&object)).copied(),
            &object,
            &key,
        );
    }
}

fn target(object: &Value) -> Key {
    let name = object["spec"]["scaleTargetRef"]["name"]
        .as_str()
        .unwrap_or_default();
    Key::new("apps", "deployments", object::namespace(object), name)
}

/// Returns the mean CPU use of the target's ready pods in percent of their requests.
fn utilization(pass: &Pass<'_>, kubelet: &mut Kubelet, object: &Value, over: Duration) -> i64 {
    let Some(deployment) = pass.store.get(&target(object)) else {
        return 0;
    };
    let selector = &deployment["spec"]["selector"]["matchLabels"];
    let (pods, _) = pass.store.list("", "pods", object::namespace(object));
    let (mut used, mut asked) = (0.0, 0.0);
    for pod in pods
        .iter()
        .filter(|p| object::selects(selector, &p["metadata"]["labels"]))
    {
        let request = &pod["spec"]["containers"][0]["resources"]["requests"]["cpu"];
        if let Some(known) = kubelet.pods.get_mut(&name_of(pod)).filter(|k| k.is_ready()) {
            asked += millicores(request).unwrap_or(100.0);
            // CPU milliseconds per second are millicores.
            used += IDLE + std::mem::take(&mut known.work) / over.as_secs_f64().max(1.0);
        }
    }
    if asked <= 0.0 {
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a percentage, clamped")]
    let percent = (100.0 * used / asked).round().clamp(0.0, 10_000.0) as i64;
    percent
}

fn millicores(cpu: &Value) -> Option<f64> {
    if let Some(cores) = cpu.as_f64() {
        return Some(cores * 1000.0);
    }
    let text = cpu.as_str()?;
    match text.strip_suffix('m') {
        Some(milli) => milli.parse().ok(),
        None => text.parse::<f64>().ok().map(|cores| cores * 1000.0),
    }
}

fn round(pass: &mut Pass<'_>, memory: &mut Memory, forced: Option<i64>, object: &Value, key: &Key) {
    let scaled = target(object);
    let now = pass.now;
    let mut conditions = object["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let mut put = |kind, status, reason, message: &str| {
        let message = message.to_owned();
        let condition = Condition {
            kind,
            status,
            reason,
            message,
        };
        set_condition(&mut conditions, &condition, now);
    };
    let Some(deployment) = pass.store.get(&scaled) else {
        let name = &scaled.name;
        let message = format!("deployments/scale.apps \"{name}\" not found");
        put("AbleToScale", "False", "FailedGetScale", &message);
        write_status(pass, key, object, (conditions, None));
        return;
    };
    let current = int(&deployment, "/spec/replicas", 1);
    if current == 0 {
        let message = "scaling is disabled since the replica count of the target is zero";
        put("ScalingActive", "False", "ScalingDisabled", message);
        let finding = Finding {
            current,
            wanted: 0,
            utilization: None,
            limited: false,
        };
        write_status(pass, key, object, (conditions, Some(finding)));
        return;
    }
    let finding = recommend(memory, forced, object, current, now);
    let message = "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)";
    put("ScalingActive", "True", "ValidMetricFound", message);
    if finding.limited {
        let message = "the desired replica count is outside the range of the HPA";
        put("ScalingLimited", "True", "TooManyReplicas", message);
    } else {
        let message = "the desired count is within the acceptable range";
        put("ScalingLimited", "False", "DesiredWithinRange", message);
    }
    if finding.wanted == current {
        let message = "recommended size matches current size";
        put("AbleToScale", "True", "ReadyForNewScale", message);
    } else {
        let message = "the HPA controller was able to update the target scale";
        put("AbleToScale", "True", "SucceededRescale", message);
        rescale(pass, object, &scaled, &finding);
    }
    write_status(pass, key, object, (conditions, Some(finding)));
}

fn rescale(pass: &mut Pass<'_>, object: &Value, scaled: &Key, finding: &Finding) {
    pass.edit_as((CONTROLLERS, "scale"), scaled, |deployment| {
        deployment["spec"]["replicas"] = json!(finding.wanted);
    });
    let way = if finding.wanted > finding.current {
        "above"
    } else {
        "below"
    };
    let message = format!(
        "New size: {}; reason: cpu resource utilization (percentage of request) {way} target",
        finding.wanted
    );
    let report = Report::normal(FROM, "SuccessfulRescale", message);
    pass.report("HorizontalPodAutoscaler", object, &report);
}

/// Returns the size to have: from the load, or forced, within the bounds, slowly down.
fn recommend(
    memory: &mut Memory,
    forced: Option<i64>,
    object: &Value,
    current: i64,
    now: Timestamp,
) -> Finding {
    let goal = object["spec"]["metrics"]
        .as_array()
        .into_iter()
        .flatten()
        .find_map(|m| m["resource"]["target"]["averageUtilization"].as_i64())
        .or_else(|| object["spec"]["targetCPUUtilizationPercentage"].as_i64())
        .unwrap_or(80)
        .max(1);
    let least = int(object, "/spec/minReplicas", 1);
    let most = int(object, "/spec/maxReplicas", current);
    let used = memory.utilization;
    // Within a tenth of the goal nothing is done.
    let close = (used - goal).abs() * 10 <= goal;
    let raw = forced.unwrap_or(if close {
        current
    } else {
        (current * used + goal - 1) / goal
    });
    memory.wanted.retain(|(at, _)| age(now, *at) < MEMORY);
    memory.wanted.push((now, raw));
    let highest = memory.wanted.iter().map(|(_, n)| *n).max().unwrap_or(raw);
    let stable = match forced {
        Some(forced) => forced,
        None => highest
            .min(current)
            .max(raw)
            .min((2 * current).max(current + 4)),
    };
    let wanted = stable.clamp(least, most.max(least));
    Finding {
        current,
        wanted,
        utilization: Some(used),
        limited: wanted != stable,
    }
}

fn write_status(
    pass: &Pass<'_>,
    key: &Key,
    object: &Value,
    (conditions, finding): (Vec<Value>, Option<Finding>),
) {
    let mut status = object["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    status["conditions"] = json!(conditions);
    if let Some(finding) = finding {
        status["currentReplicas"] = json!(finding.current);
        status["desiredReplicas"] = json!(finding.wanted);
        status["observedGeneration"] = object["metadata"]["generation"].clone();
        if let Some(used) = finding.utilization {
            let current = json!({"averageUtilization": used});
            status["currentMetrics"] =
                json!([{"type": "Resource", "resource": {"name": "cpu", "current": current}}]);
        }
        if finding.wanted != finding.current {
            status["lastScaleTime"] = json!(object::stamp(pass.now));
        }
    }
    pass.set_status(key, object, status);
}
