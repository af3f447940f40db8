//! What the record of earlier runs says about the next one.
//!
//! Owns: unfinished runs, versions that failed before, clocks that disagree. Must not: take a run.

use jiff::SignedDuration;

use super::{Subject, fine, found, ground::Ground};
use crate::{
    cluster::{Cluster, Reason, server_time},
    domain::{
        release::{Cause, FORMAT, Outcome, Phase, Release},
        view::{Finding, Severity},
        workload::Track,
    },
    journal::{Journal, JournalError, STALE, anchor::Doubt},
};

/// What the journal says.
pub(super) struct Record {
    /// The latest run, if there was one.
    pub(super) record: Option<Release>,
    /// What is to be said about it whatever the cluster looks like.
    pub(super) findings: Vec<Finding>,
}

pub(super) async fn findings(cluster: &Cluster, subject: &Subject<'_>) -> Record {
    let journal = Journal::new(cluster.clone(), subject.app);
    let place = journal.what();
    match journal.load().await {
        Ok(Some(saved)) if saved.doubt().is_some() && saved.release.version <= FORMAT => {
            let findings = saved
                .doubt()
                .map(|doubt| doubtful(doubt, &saved.release, place));
            Record {
                record: None,
                findings: findings.into_iter().collect(),
            }
        }
        Ok(Some(saved)) => {
            let silent = saved.silent_for(cluster).is_some_and(|age| age >= STALE);
            let findings = vec![run(&saved.release, silent, &place)];
            let record = Some(saved.release);
            Record { record, findings }
        }
        Ok(None) => Record {
            record: None,
            findings: vec![fine(place, "no run before this one")],
        },
        Err(error) => Record {
            record: None,
            findings: vec![unreadable(&error, place)],
        },
    }
}

/// Says that nothing proves what the record says.
fn doubtful(doubt: &Doubt, release: &Release, place: String) -> Finding {
    let app = &release.app;
    let severity = if release.is_over() {
        Severity::Warning
    } else {
        Severity::Error
    };
    found(
        severity,
        place,
        format!("the journal is not authentic: {doubt}"),
        "anybody who may write ConfigMaps can have written it: nothing in it is used",
        format!(
            "roll the canary back with `canaryctl rollback {app}`, or start again with `canaryctl auto {app} --restart`"
        ),
    )
}

fn unreadable(error: &JournalError, place: String) -> Finding {
    let fix = match error {
        JournalError::Newer(_) => "update canaryctl".to_owned(),
        JournalError::Damaged { name, .. } => {
            format!(
                "inspect ConfigMap {name}; deleting it forgets the history, and an unfinished run with it"
            )
        }
        JournalError::Cluster(e) if e.reason == Reason::Forbidden => e.hint(),
        JournalError::Cluster(_)
        | JournalError::Held { .. }
        | JournalError::Lost(_)
        | JournalError::Unsigned(_) => "try again".to_owned(),
    };
    let why = "without the journal a release cannot know whether another one runs";
    found(Severity::Error, place, error.to_string(), why, fix)
}

/// Says what the latest run means for the next one.
fn run(release: &Release, silent: bool, place: &str) -> Finding {
    let app = &release.app;
    if release.version > FORMAT {
        return found(
            Severity::Error,
            place,
            format!(
                "the journal has format {}, this canaryctl writes {FORMAT}",
                release.version
            ),
            "a newer canaryctl keeps the record: this one must not write to it",
            "update canaryctl",
        );
    }
    if release.is_over() {
        let ended = release
            .ended
            .map(|at| format!(" at {at}"))
            .unwrap_or_default();
        let how = release.ending.map_or("ended", outcome);
        return fine(
            place,
            format!("the last run ({}) is over: {how}{ended}", release.id),
        );
    }
    let phase = release.phase.words();
    let held = release.holder.as_ref();
    let alive = held.filter(|_| !silent);
    if let Some(holder) = alive {
        return found(
            Severity::Error,
            place,
            format!(
                "{} drives a release since {}: {phase}",
                holder.who, holder.since
            ),
            "a second run is refused",
            format!(
                "watch it with `canaryctl status {app}`, or end it with `canaryctl rollback {app}`"
            ),
        );
    }
    let who = held.map(|h| format!(", left by {} at {}", h.who, h.heartbeat));
    found(
        Severity::Warning,
        place,
        format!(
            "run {} is not finished: {phase}{}",
            release.id,
            who.unwrap_or_default()
        ),
        "`auto` resumes that run with its plan, not with a new one",
        format!("`canaryctl auto {app}` resumes it, `canaryctl rollback {app}` ends it"),
    )
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Promoted => "promoted",
        Outcome::RolledBack => "rolled back",
        Outcome::AtWeight => "at the weight that was asked for",
        Outcome::Paused => "paused",
        Outcome::Conflict => "stopped by a conflict",
        Outcome::Incomplete => "not completed",
    }
}

/// Compares the version that would be released with that of the latest run.
pub(super) fn version(record: Option<&Release>, ground: &Ground<'_>) -> Option<Finding> {
    let release = record?;
    let digest = ground
        .tracks
        .digest(ground.canary_template(), Track::Canary);
    compare(release, &digest, ground.canary_place())
}

fn compare(release: &Release, digest: &str, place: String) -> Option<Finding> {
    let app = &release.app;
    let same = release.revision == digest;
    if release.is_over() {
        let failed = release.ending == Some(Outcome::RolledBack)
            && matches!(release.cause, Some(Cause::Unhealthy | Cause::Unknown));
        if !same || !failed {
            return None;
        }
        let why = release.reason.clone().unwrap_or_default();
        return Some(found(
            Severity::Warning,
            place,
            format!(
                "this very version was rolled back by run {}: {why}",
                release.id
            ),
            "`auto` refuses to release it again by itself",
            format!("release another version, or insist with `canaryctl auto {app} --restart`"),
        ));
    }
    // While the canary is prepared it does not have the version yet.
    if same || release.phase == Phase::Preparing {
        return None;
    }
    Some(found(
        Severity::Warning,
        place,
        format!(
            "the canary is not the version that run {} checks",
            release.id
        ),
        "the run is pinned to one version: it stops with exit code 4 when it is resumed",
        format!("put the version back, or begin again with `canaryctl auto {app} --restart`"),
    ))
}

/// Compares this machine's clock with the API server's; says nothing when that does not tell its time.
pub(super) fn skew(cluster: &Cluster) -> Option<Finding> {
    cluster.clock_ahead().map(apart)
}

fn apart(ahead: SignedDuration) -> Finding {
    let place = "API server";
    let Some(what) = server_time::off(ahead) else {
        return fine(place, "its clock agrees with ours");
    };
    found(
        Severity::Warning,
        place,
        what,
        "a release goes by the API server's clock then; what else runs on this machine does not",
        "set the clock of this machine (NTP)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_half_a_minute_apart_are_told() {
        let seconds = SignedDuration::from_secs;
        assert_eq!(apart(seconds(30)).severity, Severity::Ok);
        let late = apart(seconds(-91));
        assert_eq!(late.severity, Severity::Warning);
        assert_eq!(
            late.what,
            "this machine's clock is 1m 31s behind the API server's"
        );
    }
}
