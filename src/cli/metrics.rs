//! Requests that the pods count themselves, though nobody said so.
//!
//! Owns: when that is looked for, and saying what follows. Must not: know a metrics provider.

use crate::{
    cluster::{discover::Names, workloads::common_labels},
    domain::{
        judge::limit,
        workload::{Track, Tracks},
    },
    health::{self, Facts, Look},
};

use super::session::Work;

/// Where nothing says what to check but the pods, looks whether the pods count their requests, and
/// adds the usual checks of them.
pub(super) async fn discover(work: &mut Work) {
    let default = health::pods::default_check();
    let nothing_said = work.plan.metrics.is_none() && work.plan.checks == [default];
    let cluster = &work.session.cluster;
    let Some(stable) = work.survey.deployment(&work.names.stable) else {
        return;
    };
    let canary = work.survey.deployment(&work.names.canary);
    let labels = common_labels(stable, canary);
    let Names { stable, canary, .. } = &work.names;
    let sides = cluster
        .sides_in(&work.survey, stable, canary, &labels)
        .await;
    // What cannot be read now is told by whoever needs it.
    let workload = sides
        .as_ref()
        .ok()
        .filter(|_| nothing_said)
        .and_then(|sides| Some((sides, sides.workload(Track::Stable, &Tracks::default())?)));
    let Some((sides, workload)) = workload else {
        return;
    };
    let service = work.names.service.as_deref();
    let look = Look {
        workload: &workload,
        pods: &sides.pods,
        service: service.and_then(|name| work.survey.service(name)),
        started: cluster.clock().now(),
        at: cluster.clock().now(),
        facts: Facts {
            app: &work.settings.app,
            stable,
            canary,
            service,
            track: Track::Stable,
            weight: None,
        },
    };
    let found = health::source::discover(cluster, &look).await;
    if let Some(found) = found {
        let limits: Vec<String> = found
            .checks
            .iter()
            .map(|check| format!("{} {}", check.name, limit(check.rule)))
            .collect();
        let how = format!(
            "metrics: the pods count their requests (annotation prometheus.io/scrape); checked by default: {}",
            limits.join("; ")
        );
        work.names.found_by.push(how);
        work.plan.metrics = Some(found.metrics);
        work.plan.checks.extend(found.checks);
    }
}
