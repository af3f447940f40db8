//! The two Deployments: there, at rest, and different versions.
//!
//! Owns: what a Deployment itself tells before a release. Must not: ask its pods.

use std::time::Duration;

use kube::ResourceExt;
use serde_json::Value;

use super::{Subject, count, fine, found, ground::Ground};
use crate::{
    cluster::{Cluster, template, workloads::Live},
    domain::{
        plan::Strategy,
        view::{Finding, Severity},
        workload::{Track, Workload},
    },
};

/// Reasons of waiting containers that belong to an ordinary start.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// What Kubernetes sets when nothing is said.
const DEFAULT_PROGRESS_DEADLINE: i32 = 600;

/// Returns the finding that there is nothing to release from.
pub(super) fn no_stable(cluster: &Cluster, subject: &Subject<'_>) -> Finding {
    found(
        Severity::Error,
        cluster.named("Deployment", &subject.names.stable),
        "there is no stable Deployment",
        "a release needs a stable version to compare with and to return to",
        format!(
            "check --stable and --namespace; `kubectl -n {} get deployments` lists what is there",
            cluster.namespace()
        ),
    )
}

/// `running`: a run is unfinished, so that the sides are where it left them.
pub(super) fn findings(ground: &Ground<'_>, running: bool) -> Vec<Finding> {
    let mut all = vec![stable_readiness(ground, running), canary_presence(ground)];
    let sides = [Some(&ground.stable), ground.canary.as_ref()];
    for live in sides.into_iter().flatten() {
        all.extend(paused(ground, live));
    }
    all.extend(version(ground));
    all.extend(canary_troubles(ground));
    all.extend(restorable(ground));
    all.extend(recreate(ground));
    for (track, live) in [
        (Track::Stable, Some(&ground.stable)),
        (Track::Canary, ground.canary.as_ref()),
    ] {
        if let Some(live) = live {
            all.extend(times(ground, live, track));
        }
    }
    all.extend(probes_missing(ground));
    all.extend(loose_images(ground));
    all
}

fn stable_readiness(ground: &Ground<'_>, running: bool) -> Finding {
    let (place, stable) = (ground.stable_place(), &ground.stable_facts);
    let look = format!(
        "{} rollout status deployment/{}",
        ground.kubectl(),
        stable.name
    );
    if stable.replicas == 0 && running {
        return found(
            Severity::Note,
            place,
            "stable is scaled to 0 by the run that is not finished",
            "the canary carries all the traffic; the end of the run, or a rollback, brings stable back",
            "",
        );
    }
    if stable.replicas == 0 {
        return found(
            Severity::Error,
            place,
            "stable is scaled to 0",
            "there is nothing to divide traffic with and nothing to return to",
            format!(
                "{} scale deployment {} --replicas=N",
                ground.kubectl(),
                stable.name
            ),
        );
    }
    let ready = stable.pods.iter().filter(|p| p.ready).count();
    if ready == 0 {
        return found(
            Severity::Error,
            place,
            format!("no pod of stable is ready{}", reasons(stable)),
            "a rollback would lead to a side that does not answer",
            look,
        );
    }
    match stable.roll_out_waits_for() {
        Some(what) => found(
            Severity::Warning,
            place,
            format!("stable is still progressing: {what}{}", reasons(stable)),
            "the release would begin with less capacity than stable should have, and compare with a moving version",
            look,
        ),
        None => fine(
            place,
            format!("stable is rolled out: {} ready", count(stable.ready, "pod")),
        ),
    }
}

fn canary_presence(ground: &Ground<'_>) -> Finding {
    let (names, app) = (ground.subject.names, ground.subject.app);
    let place = ground.canary_place();
    if let Some(canary) = &ground.canary {
        let replicas = count(canary.replicas(), "replica");
        return fine(place, format!("the canary is there with {replicas}"));
    }
    if !ground.subject.create {
        return found(
            Severity::Error,
            place,
            "there is no canary Deployment",
            "there is nothing to release",
            format!("create it, or let `canaryctl auto {app} --image IMAGE` do it"),
        );
    }
    let image = if ground.subject.images.is_empty() {
        format!("give the new version: `canaryctl auto {app} --image IMAGE`")
    } else {
        String::new()
    };
    found(
        Severity::Note,
        place,
        "there is no canary Deployment yet",
        format!(
            "the release creates it from {}: same template, the new image, its own track label",
            names.stable
        ),
        image,
    )
}

fn paused(ground: &Ground<'_>, live: &Live) -> Option<Finding> {
    let spec = live.typed.spec.as_ref()?;
    spec.paused.filter(|paused| *paused)?;
    let name = live.name();
    Some(found(
        Severity::Error,
        ground.place("Deployment", &name),
        format!("{name} is paused"),
        "a paused Deployment does not roll out a new template: the release would wait until its deadline",
        format!("{} rollout resume deployment/{name}", ground.kubectl()),
    ))
}

/// Says whether the canary would be another version than stable.
fn version(ground: &Ground<'_>) -> Option<Finding> {
    if ground.canary.is_none() && ground.subject.images.is_empty() {
        return None;
    }
    let place = ground.canary_place();
    let (stable, canary) = (ground.stable.template(), ground.canary_template());
    let digest = |template, track| ground.tracks.digest(template, track);
    if digest(stable, Track::Stable) == digest(canary, Track::Canary) {
        return Some(found(
            Severity::Error,
            place,
            "stable and canary are the same version",
            "there is nothing to release: the pod templates differ in nothing but the track",
            format!(
                "give the new version: `canaryctl auto {} --image IMAGE`",
                ground.subject.app
            ),
        ));
    }
    let (old, new) = (template::images(stable), template::images(canary));
    let list = |images: &std::collections::BTreeMap<String, String>| {
        let images: Vec<&str> = images.values().map(String::as_str).collect();
        images.join(", ")
    };
    if old == new {
        return Some(found(
            Severity::Note,
            place,
            format!(
                "the images are equal ({}), the template differs",
                list(&new)
            ),
            format!("the release is about {}", differences(ground)),
            "",
        ));
    }
    Some(fine(
        place,
        format!("another version: {} → {}", list(&old), list(&new)),
    ))
}

/// Returns which parts of the templates differ, apart from the track.
fn differences(ground: &Ground<'_>) -> String {
    let stable = ground.tracks.carry(ground.stable.template(), Track::Stable);
    let mut paths = Vec::new();
    differing("", &stable, ground.canary_template(), &mut paths);
    let more = paths.len().saturating_sub(3);
    paths.truncate(3);
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{rest}", paths.join(", "))
}

fn differing(at: &str, a: &Value, b: &Value, paths: &mut Vec<String>) {
    let below = |key: &str| {
        if at.is_empty() {
            key.to_owned()
        } else {
            format!("{at}.{key}")
        }
    };
    match (a, b) {
        (Value::Object(old), Value::Object(new)) => {
            let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                differing(&below(key), &a[key.as_str()], &b[key.as_str()], paths);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (i, (old, new)) in old.iter().zip(new).enumerate() {
                differing(&format!("{at}[{i}]"), old, new, paths);
            }
        }
        (a, b) if a != b => paths.push(at.to_owned()),
        _ => {}
    }
}

fn canary_troubles(ground: &Ground<'_>) -> Option<Finding> {
    let canary = ground.canary_facts.as_ref()?;
    if canary.replicas == 0 {
        return None;
    }
    let text = reasons(canary);
    let restarts: u32 = canary.pods.iter().map(|p| p.restarts).sum();
    if text.is_empty() && restarts == 0 {
        return None;
    }
    let restarted = if restarts > 0 {
        format!(", {} so far", count(restarts, "restart"))
    } else {
        String::new()
    };
    // A warning: the release finds the same, ends it, and takes the pods away.
    Some(found(
        Severity::Warning,
        ground.canary_place(),
        format!("pods of the canary are in trouble already{text}{restarted}"),
        "the release would be rolled back at its first step",
        format!(
            "{} describe pods -l {}",
            ground.kubectl(),
            crate::cluster::workloads::selector_text(&ground.selector(Track::Canary))
        ),
    ))
}

/// Returns why pods of a side do not come up, as ` (…)`; empty when nothing is wrong.
fn reasons(side: &Workload) -> String {
    let waiting = side.pods.iter().flat_map(|p| &p.waiting);
    let mut reasons: Vec<String> = waiting
        .filter(|(_, reason, _)| !STARTING.contains(&reason.as_str()))
        .map(|(container, reason, _)| format!("{container} {reason}"))
        .collect();
    let stuck = side.pods.iter().filter_map(|p| p.unschedulable.as_ref());
    reasons.extend(stuck.map(|why| format!("unschedulable: {why}")));
    reasons.extend(side.refused.clone());
    reasons.extend(side.stalled.clone());
    reasons.sort_unstable();
    reasons.dedup();
    if reasons.is_empty() {
        String::new()
    } else {
        format!(" ({})", reasons.join(", "))
    }
}

fn restorable(ground: &Ground<'_>) -> Option<Finding> {
    let spec = ground.stable.typed.spec.as_ref()?;
    if spec.revision_history_limit != Some(0) {
        return None;
    }
    let promotion = ground.subject.plan.promote;
    let severity = match (promotion.strategy, promotion.auto) {
        (Strategy::Template | Strategy::Image, true) => Severity::Error,
        (Strategy::Template | Strategy::Image, false) => Severity::Warning,
        (Strategy::Swap | Strategy::None, _) => Severity::Note,
    };
    let name = &ground.subject.names.stable;
    Some(found(
        severity,
        ground.stable_place(),
        "revisionHistoryLimit is 0",
        "Kubernetes keeps no old template: a promotion that fails could not give stable its version back",
        format!(
            "{} patch deployment {name} --type merge -p '{{\"spec\":{{\"revisionHistoryLimit\":10}}}}'",
            ground.kubectl()
        ),
    ))
}

fn recreate(ground: &Ground<'_>) -> Option<Finding> {
    let spec = ground.stable.typed.spec.as_ref()?;
    let kind = spec.strategy.as_ref()?.type_.as_deref()?;
    if kind != "Recreate" {
        return None;
    }
    let touches = matches!(
        ground.subject.plan.promote.strategy,
        Strategy::Template | Strategy::Image
    );
    // By numbers of pods stable has none when it gets its template; then the strategy is moot.
    let severity = if touches && !ground.by_pods() {
        Severity::Warning
    } else {
        Severity::Note
    };
    let name = &ground.subject.names.stable;
    Some(found(
        severity,
        ground.stable_place(),
        "stable has the strategy Recreate",
        "when it gets a new template all its pods end at once: it has no capacity until the new ones are ready, so it must carry no traffic then; the promotion sees to that, a hand-made change would not",
        format!(
            "{} patch deployment {name} --type merge -p '{{\"spec\":{{\"strategy\":{{\"type\":\"RollingUpdate\"}}}}}}'",
            ground.kubectl()
        ),
    ))
}

/// Compares the times of a Deployment with those of the plan.
fn times(ground: &Ground<'_>, live: &Live, track: Track) -> Vec<Finding> {
    let plan = ground.subject.plan;
    let Some(spec) = live.typed.spec.as_ref() else {
        return Vec::new();
    };
    let place = ground.place("Deployment", &live.name());
    let seconds = |n: Option<i32>| Duration::from_secs(u64::try_from(n.unwrap_or(0)).unwrap_or(0));
    let shown = |d: Duration| humantime::format_duration(d).to_string();
    let limit = match track {
        Track::Stable => ("promoteTimeout", plan.promote_timeout),
        Track::Canary => ("readyTimeout", plan.ready_timeout),
    };
    let mut all = Vec::new();
    let min_ready = seconds(spec.min_ready_seconds);
    if min_ready >= limit.1 {
        all.push(found(
            Severity::Error,
            &place,
            format!(
                "minReadySeconds is {}, {} is {}",
                shown(min_ready),
                limit.0,
                shown(limit.1)
            ),
            "a new pod is not available before the release gives up waiting for it",
            format!("raise {} in the plan above {}", limit.0, shown(min_ready)),
        ));
    }
    let delay = slowest_start(live);
    if delay >= plan.ready_timeout {
        all.push(found(
            Severity::Error,
            &place,
            format!(
                "the first readiness probe comes after {}, readyTimeout is {}",
                shown(delay),
                shown(plan.ready_timeout)
            ),
            "a new pod cannot be ready before the release gives up waiting for it",
            format!("raise readyTimeout in the plan above {}", shown(delay)),
        ));
    }
    let progress = spec.progress_deadline_seconds;
    if progress.is_some_and(|s| s != DEFAULT_PROGRESS_DEADLINE)
        && seconds(progress) > plan.ready_timeout
    {
        all.push(found(
            Severity::Note,
            &place,
            format!(
                "progressDeadlineSeconds ({}) is more than readyTimeout ({})",
                shown(seconds(progress)),
                shown(plan.ready_timeout)
            ),
            "the release gives up before Kubernetes does",
            "raise readyTimeout in the plan if pods need so long",
        ));
    }
    all
}

/// Returns the longest initial delay of a readiness probe.
fn slowest_start(live: &Live) -> Duration {
    let spec = live.typed.spec.as_ref();
    let containers = spec.and_then(|s| s.template.spec.as_ref());
    let containers = containers.map(|s| s.containers.iter());
    let probes = containers
        .into_iter()
        .flatten()
        .filter_map(|c| c.readiness_probe.as_ref());
    let delays = probes.filter_map(|p| u64::try_from(p.initial_delay_seconds?).ok());
    Duration::from_secs(delays.max().unwrap_or(0))
}

fn probes_missing(ground: &Ground<'_>) -> Vec<Finding> {
    let sides = [
        (ground.stable_place(), Some(ground.stable.template())),
        (
            ground.canary_place(),
            ground.canary.as_ref().map(|_| ground.canary_template()),
        ),
    ];
    let mut all = Vec::new();
    for (place, template) in sides {
        let containers = template.and_then(|t| t["spec"]["containers"].as_array());
        let without: Vec<&str> = containers
            .into_iter()
            .flatten()
            .filter(|c| c["readinessProbe"].is_null())
            .filter_map(|c| c["name"].as_str())
            .collect();
        if without.is_empty() {
            continue;
        }
        let gates = template.is_some_and(|t| t["spec"]["readinessGates"].is_array());
        all.push(found(
            if gates { Severity::Note } else { Severity::Warning },
            place,
            format!("no readiness probe: {}", without.join(", ")),
            "a pod counts as ready as soon as its container runs: traffic reaches it before the app answers, and a broken version looks healthy",
            "add a readinessProbe that asks the app whether it can serve",
        ));
    }
    all
}

fn loose_images(ground: &Ground<'_>) -> Vec<Finding> {
    let sides = [
        (
            ground.stable_place(),
            template::images(ground.stable.template()),
        ),
        (
            ground.canary_place(),
            template::images(ground.canary_template()),
        ),
    ];
    let mut all = Vec::new();
    for (place, images) in sides {
        let loose: Vec<String> = images.into_values().filter(|i| is_loose(i)).collect();
        if loose.is_empty() {
            continue;
        }
        all.push(found(
            Severity::Warning,
            place,
            format!("the version is not pinned: {}", loose.join(", ")),
            "the tag may mean another image when the next pod starts: what was checked is not what is promoted",
            "name the image by version or by digest (image@sha256:…)",
        ));
    }
    all
}

/// Returns whether an image reference may mean different images at different times for sure: no tag
/// and no digest, or the tag `latest`.
fn is_loose(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    match name.rsplit_once(':') {
        Some((_, tag)) => tag == "latest",
        None => true,
    }
}

/// Returns the names of Deployments other than the two whose pods one of the two selectors fits.
pub(super) fn strangers(ground: &Ground<'_>) -> Vec<(Track, String)> {
    let names = ground.subject.names;
    let others = ground.survey.deployments.iter().filter(|d| {
        let name = d.typed.name_any();
        name != names.stable && name != names.canary
    });
    let mut all = Vec::new();
    for other in others {
        let labels = other.pod_labels();
        for track in [Track::Stable, Track::Canary] {
            let selector = ground.selector(track);
            let fits = selector.iter().all(|(k, v)| labels.get(k) == Some(v));
            if fits && !selector.is_empty() {
                all.push((track, other.name()));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_image_is_loose_without_tag_or_with_latest() {
        for (image, loose) in [
            ("web", true),
            ("registry:5000/web", true),
            ("web:latest", true),
            ("registry:5000/web:1.2", false),
            ("web@sha256:abc", false),
            ("web:latest@sha256:abc", false),
        ] {
            assert_eq!(is_loose(image), loose, "{image}");
        }
    }

    #[test]
    fn differences_are_named_by_path() {
        let a = json!({"spec": {"containers": [{"image": "a", "env": [{"name": "X"}]}]}});
        let b = json!({"spec": {"containers": [{"image": "a", "env": []}], "nodeName": "n"}});
        let mut paths = Vec::new();
        differing("", &a, &b, &mut paths);
        assert_eq!(paths, ["spec.containers[0].env", "spec.nodeName"]);
    }
}
