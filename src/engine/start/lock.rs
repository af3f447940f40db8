//! Whether somebody drives the run already.
//!
//! Owns: telling a driver who lives from one who is gone, and waiting until it is told. Must not:
//! compare two machines' clocks: a driver lives when its record changes, and is gone when it did not for
//! [`STALE`] of our own time. Two things tell it sooner: its process is gone from this very machine, or
//! the API server's clock alone says how old the record is.

use std::time::Duration;

use super::{EngineError, Intent, Order};
use crate::{
    cluster::Cluster,
    domain::{
        event::{Event, EventKind},
        release::{Holder, Process, Release},
    },
    engine::API_PATIENCE,
    journal::{Journal, JournalError, STALE, Saved},
};

/// Pause between two reads of a record that is watched.
const WATCH: Duration = Duration::from_secs(2);

/// How often it is said that the record is watched.
const SAY: Duration = Duration::from_secs(15);

/// By how much more than [`STALE`] a record is old at once: API servers have clocks of their own.
const MARGIN: Duration = Duration::from_secs(60);

/// The process that gives an order, as others find it again.
pub struct Own {
    process: Option<Process>,
    is_gone: fn(&Process) -> bool,
    /// Whom we watched until the lock was free.
    silent: Option<Holder>,
}

impl Own {
    /// Returns this process, and how to find out that another one of this machine is gone.
    pub fn new(process: Option<Process>, is_gone: fn(&Process) -> bool) -> Self {
        Self {
            process,
            is_gone,
            silent: None,
        }
    }

    /// Returns the process itself.
    pub(in crate::engine) fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }
}

impl Default for Own {
    fn default() -> Self {
        Self::new(None, |_| false)
    }
}

/// Waits where somebody may drive the run: returns whether the record has to be read anew. An error says
/// that the driver lives.
pub(super) async fn wait(
    cluster: &Cluster,
    journal: &Journal,
    saved: &Saved,
    order: &mut Order,
) -> Result<bool, EngineError> {
    // A rollback waits for nobody, and a look takes nothing over.
    if matches!(order.intent, Intent::Rollback | Intent::Look) {
        return Ok(false);
    }
    saved.refuse_newer()?;
    let Some(holder) = saved.release.holder.as_ref() else {
        return Ok(false);
    };
    if holder.id == order.holder || is_gone(holder, order) || is_old(cluster, saved) {
        return Ok(false);
    }
    if order.own.silent.as_ref() == Some(holder) {
        return Ok(false);
    }
    watch(cluster, journal, &saved.release, order).await?;
    order.own.silent = Some(holder.clone());
    Ok(true)
}

/// Returns whether the holder is a process of this very machine that does not run any more.
fn is_gone(holder: &Holder, order: &Order) -> bool {
    let (Some(theirs), Some(ours)) = (&holder.process, order.own.process()) else {
        return false;
    };
    // Two copies of one virtual machine look alike: there the job, or user and host, has to be the same.
    theirs.machine == ours.machine && holder.who == order.who && (order.own.is_gone)(theirs)
}

/// Returns whether the record is old by the API server's clock alone.
fn is_old(cluster: &Cluster, saved: &Saved) -> bool {
    let silent = saved.silent_for(cluster);
    silent.is_some_and(|silent| silent >= STALE + MARGIN)
}

/// Watches a record until it did not change for [`STALE`], or was let go of. A change by a driver is an
/// error: it lives.
async fn watch(
    cluster: &Cluster,
    journal: &Journal,
    release: &Release,
    order: &mut Order,
) -> Result<(), EngineError> {
    let clock = cluster.clock();
    let begun = clock.now();
    // What was read before we began is no older than this.
    let (mut since, mut answered) = (clock.uptime(), clock.uptime());
    let mut said: Option<Duration> = None;
    while answered.saturating_sub(since) < STALE {
        if said.is_none_or(|at| clock.uptime().saturating_sub(at) >= SAY) {
            said = Some(clock.uptime());
            let what = waits_for(release, answered.saturating_sub(since));
            let kind = EventKind::Waiting { what, since: begun };
            let at = clock.now();
            (order.sink)(&Event { at, kind });
        }
        clock.sleep(WATCH).await;
        match journal.load().await {
            // Deleted: nobody shows a sign of life.
            Ok(None) => answered = clock.uptime(),
            Ok(Some(there)) if there.release == *release => answered = clock.uptime(),
            // What no driver wrote is no sign of life; what follows from it is seen at the next start.
            Ok(Some(there)) if there.doubt().is_some() => return Ok(()),
            Ok(Some(there)) => {
                let other = there.release.holder.filter(|h| h.id != order.holder);
                let Some(Holder { who, since, .. }) = other else {
                    return Ok(());
                };
                return Err(JournalError::Held { who, since }.into());
            }
            // While the server answers nobody, silence says nothing.
            Err(JournalError::Cluster(error)) if error.is_passing() => {
                let now = clock.uptime();
                if now.saturating_sub(answered) >= API_PATIENCE {
                    return Err(error.into());
                }
                since = now;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn waits_for(release: &Release, silent: Duration) -> String {
    let who = release.holder.as_ref().map_or("nobody", |h| h.who.as_str());
    let silent = humantime::format_duration(Duration::from_secs(silent.as_secs()));
    format!(
        "the lock of {who}: no sign of life seen for {silent}, takes over after {}s",
        STALE.as_secs()
    )
}
