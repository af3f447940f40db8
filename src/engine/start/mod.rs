//! From an operator's order to a run that can be driven.
//!
//! Owns: beginning, resuming and taking over a run; what each verb means for the record. Must not:
//! change anything in the cluster: the first round of the run does, journal first.

mod draft;
mod fresh;
mod lock;
mod resume;

use std::time::Duration;

use jiff::Timestamp;

use super::{Engine, EngineError, Sink};
use crate::{
    cluster::{Cluster, discover::Names, objects::Survey},
    domain::{
        decide::elapsed,
        event::{Event, EventKind},
        group::Group,
        plan::{Plan, Strategy},
        release::{FORMAT, Release, RouterSpec},
        weight::WeightChange,
    },
    journal::{self, Journal, JournalError, Saved},
    traffic,
};
pub use draft::containers;
pub use lock::Own;

/// How long what was read of the cluster may be used to begin with.
const FRESH: Duration = Duration::from_secs(2);

/// An image for a container, as given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageOrder {
    /// The container; `None` when there is only one.
    pub container: Option<String>,
    /// The image.
    pub image: String,
}

/// What a verb asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Intent {
    /// The whole release, or the rest of it.
    Auto {
        /// Images the canary gets first.
        images: Vec<ImageOrder>,
        /// Begin again, even if a run is unfinished or this version was rolled back before.
        restart: bool,
    },
    /// Move to a weight and stop.
    Set(WeightChange),
    /// Out of the traffic.
    Rollback,
    /// The canary's version becomes the stable one.
    Promote,
    /// Only look.
    Look,
}

/// Everything needed to begin or resume.
pub struct Order {
    /// The app.
    pub app: String,
    /// Its objects.
    pub names: Names,
    /// The router.
    pub router: RouterSpec,
    /// The route that a new run makes for itself, if it does.
    pub route: Option<traffic::blueprint::Blueprint>,
    /// The plan of a new run.
    pub plan: Plan,
    /// What is asked for.
    pub intent: Intent,
    /// The group that the app is released with, if any.
    pub group: Option<Group>,
    /// User and host, or the URL of the CI job.
    pub who: String,
    /// Unique for the process.
    pub holder: String,
    /// The process.
    pub own: Own,
    /// Receives events.
    pub sink: Sink,
    /// Whether to keep a journal; without one nothing can be resumed.
    pub journal: bool,
    /// What was read of the namespace already; read anew unless it is younger than two
    /// seconds.
    pub survey: Option<Survey>,
}

/// Result of beginning.
pub enum Begun {
    /// A run to be driven.
    Run(Box<Engine>),
    /// Nothing to do, with the reason.
    Nothing(String),
}

/// Begins or resumes what `order` asks for.
pub async fn begin(cluster: &Cluster, mut order: Order) -> Result<Begun, EngineError> {
    let now = cluster.clock().now();
    let mut survey = match order.survey.take() {
        Some(survey) if elapsed(survey.at, now) < FRESH => survey,
        Some(_) | None => {
            let (wanted, knowledge) = traffic::wanted(Some(&order.router));
            let record = journal::config_map(&order.app);
            cluster.survey(&record, &wanted, knowledge).await?
        }
    };
    let journal = order
        .journal
        .then(|| Journal::new(cluster.clone(), &order.app));
    let rolls_back = order.intent == Intent::Rollback;
    let known = match &journal {
        None => Ok(None),
        Some(_) => known(&survey, cluster.namespace(), &order),
    };
    cluster.go_by_server();
    // A run goes on with the router it began with.
    let recorded = known.as_ref().ok().and_then(Option::as_ref);
    let recorded = recorded.filter(|saved| saved.doubt().is_none());
    let router = recorded.map_or(&order.router, |saved| &saved.release.router);
    for router in [router, &order.router] {
        let (wanted, _) = traffic::wanted(Some(router));
        cluster.complete(&mut survey, &wanted).await?;
    }
    let known = match known {
        Ok(known) => doubted(known, &mut order, now)?,
        // A rollback needs nothing but the objects. What cannot be read is not overwritten either.
        Err(error) if rolls_back => {
            let begun = Box::pin(fresh::fresh(cluster, order, &survey, None, None)).await?;
            return Ok(without_journal(begun, &error));
        }
        Err(error) => return Err(error.into()),
    };
    let believed = |saved: &&Saved| saved.doubt().is_none();
    let active = known.as_ref().filter(believed);
    let active = active.filter(|saved| !saved.release.is_over());
    if let (Some(journal), Some(active)) = (&journal, active) {
        if lock::wait(cluster, journal, active, &mut order).await? {
            // What was read before the wait is old.
            order.survey = None;
            return Box::pin(begin(cluster, order)).await;
        }
        // Progress that is written down was made, whatever this machine's clock says.
        cluster.clock().advance_to(active.release.last_sign());
    }
    match (&order.intent, active.cloned()) {
        (Intent::Auto { restart: true, .. }, Some(active)) => {
            resume::refuse_outside(&active.release, &order)?;
            Box::pin(fresh::fresh(cluster, order, &survey, journal, known)).await
        }
        (
            Intent::Auto { .. } | Intent::Set(_) | Intent::Promote | Intent::Rollback,
            Some(active),
        ) => Box::pin(resume::resume(cluster, order, &survey, journal, active)).await,
        (Intent::Look, _) => match known.and_then(Saved::authentic) {
            Some(known) => {
                let engine = Engine::bind(cluster, order, &survey, None, known).await?;
                Ok(Begun::Run(Box::new(engine)))
            }
            None => Box::pin(fresh::fresh(cluster, order, &survey, None, None)).await,
        },
        (_, None) => Box::pin(fresh::fresh(cluster, order, &survey, journal, known)).await,
    }
}

/// Returns the record there is. Only a look may be had at one in a newer format.
fn known(survey: &Survey, namespace: &str, order: &Order) -> Result<Option<Saved>, JournalError> {
    let known = Saved::of(survey, namespace, &order.app)?;
    let looks = order.intent == Intent::Look;
    match &known {
        Some(saved) if !looks && saved.release.version > FORMAT => {
            Err(JournalError::Newer(saved.release.version))
        }
        Some(_) | None => Ok(known),
    }
}

/// Returns a record that may be gone on from. One that no driver of its run signed is never gone on with:
/// it is shown as such, a release is refused, and a rollback works by what is found in the cluster.
fn doubted(
    known: Option<Saved>,
    order: &mut Order,
    at: Timestamp,
) -> Result<Option<Saved>, EngineError> {
    let Some(doubt) = known.as_ref().and_then(Saved::doubt) else {
        return Ok(known);
    };
    let release = known.as_ref().map(|saved| &saved.release);
    let over = release.is_some_and(Release::is_over);
    let map = journal::config_map(&order.app);
    let text = format!("the journal, ConfigMap {map}, is not authentic: {doubt}");
    let begins_anew = matches!(order.intent, Intent::Auto { restart: true, .. });
    let goes_on = matches!(order.intent, Intent::Auto { .. } | Intent::Promote);
    if goes_on && !begins_anew && !over {
        let hint = format!(
            "roll the canary back with `canaryctl rollback {app}`, which needs no journal, or start again with `canaryctl auto {app} --restart`",
            app = order.app
        );
        return Err(refused(text, &hint));
    }
    if order.intent != Intent::Look {
        let kind = EventKind::Warning {
            text: format!("{text}; it is not used"),
        };
        (order.sink)(&Event { at, kind });
    }
    Ok(known)
}

fn without_journal(begun: Begun, error: &JournalError) -> Begun {
    match begun {
        Begun::Run(mut engine) => {
            let text = format!("rolling back without the journal: {error}");
            engine.tell(EventKind::Warning { text });
            Begun::Run(engine)
        }
        Begun::Nothing(text) => Begun::Nothing(text),
    }
}

/// Refuses a release that would end with traffic on a route that it is to take away.
fn refuse_to_stay(release: &Release) -> Result<(), EngineError> {
    let own = release.route.as_ref().is_some_and(|route| !route.gone);
    let stays = match release.plan.promote.strategy {
        Strategy::Swap => {
            "the canary Deployment would become stable, and the app's Service does not lead to it"
        }
        Strategy::None => "the canary would keep the traffic",
        Strategy::Template | Strategy::Image => return Ok(()),
    };
    if !own || release.ending.is_some() {
        return Ok(());
    }
    let text = format!("the route that this release creates is deleted at the end, and {stays}");
    Err(refused(
        text,
        "use --strategy template or image with --create-route",
    ))
}

fn refused(text: String, hint: &str) -> EngineError {
    EngineError::Refused {
        text,
        hint: hint.to_owned(),
    }
}
