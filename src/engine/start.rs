//! From an operator's order to a run that can be driven.
//!
//! Owns: beginning, resuming and taking over a run; what each verb means for the record. Must not:
//! change anything in the cluster but the journal.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Service;

use super::{Engine, EngineError, Results, Sink};
use crate::{
    cluster::{
        Cluster,
        discover::Names,
        template,
        workloads::{Live, Sides, common_labels},
    },
    domain::{
        decide::elapsed,
        event::EventKind,
        plan::{OnTrouble, Plan, Step},
        release::{Cause, FORMAT, Holder, Left, Origin, Outcome, Phase, Release, RouterSpec},
        split::Split,
        weight::{Percent, WeightChange},
        workload::{Track, Tracks, Workload},
    },
    health,
    journal::{Journal, JournalError, Saved},
    traffic::{self, Scene, TrafficError},
};

/// Longest time between two ticks that counts against a wait which needs somebody to act.
const TICK: Duration = Duration::from_secs(60);

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
    /// The plan of a new run.
    pub plan: Plan,
    /// What is asked for.
    pub intent: Intent,
    /// User and host, or the URL of the CI job.
    pub who: String,
    /// Unique for the process.
    pub holder: String,
    /// Receives events.
    pub sink: Sink,
    /// Whether to keep a journal; without one nothing can be resumed.
    pub journal: bool,
}

/// Result of beginning.
pub enum Begun {
    /// A run to be driven.
    Run(Box<Engine>),
    /// Nothing to do, with the reason.
    Nothing(String),
}

/// Begins or resumes what `order` asks for.
pub async fn begin(cluster: &Cluster, order: Order) -> Result<Begun, EngineError> {
    let journal = order
        .journal
        .then(|| Journal::new(cluster.clone(), &order.app));
    let rolls_back = order.intent == Intent::Rollback;
    let mut unusable = None;
    let known = match &journal {
        None => None,
        Some(journal) => match journal.load().await {
            Ok(Some(saved)) if rolls_back && saved.release.version > FORMAT => {
                unusable = Some(JournalError::Newer(saved.release.version));
                None
            }
            Ok(known) => known,
            // A rollback needs nothing but the objects.
            Err(error) if rolls_back => {
                unusable = Some(error);
                None
            }
            Err(error) => return Err(error.into()),
        },
    };
    if let Some(error) = unusable {
        // What cannot be read is not overwritten either.
        let begun = fresh(cluster, order, None, None).await?;
        return Ok(match begun {
            Begun::Run(mut engine) => {
                let text = format!("rolling back without the journal: {error}");
                engine.tell(EventKind::Warning { text });
                Begun::Run(engine)
            }
            Begun::Nothing(text) => Begun::Nothing(text),
        });
    }
    let active = known.as_ref().filter(|saved| !saved.release.is_over());
    match (&order.intent, active.cloned()) {
        (Intent::Auto { restart: true, .. }, Some(active)) => {
            refuse_alive(&active.release, cluster.clock().now(), &order.holder)?;
            fresh(cluster, order, journal, known).await
        }
        (
            Intent::Auto { .. } | Intent::Set(_) | Intent::Promote | Intent::Rollback,
            Some(active),
        ) => resume(cluster, order, journal, active).await,
        (Intent::Look, _) => match known {
            Some(known) => {
                let engine = Engine::bind(cluster, order, None, known).await?;
                Ok(Begun::Run(Box::new(engine)))
            }
            None => fresh(cluster, order, None, None).await,
        },
        (_, None) => fresh(cluster, order, journal, known).await,
    }
}

fn refuse_alive(release: &Release, now: Timestamp, own: &str) -> Result<(), EngineError> {
    let Some(holder) = release.holder.as_ref().filter(|h| h.id != own) else {
        return Ok(());
    };
    if elapsed(holder.heartbeat, now) < crate::journal::STALE {
        return Err(JournalError::Held {
            who: holder.who.clone(),
            since: holder.since,
        }
        .into());
    }
    Ok(())
}

// === resuming ===

async fn resume(
    cluster: &Cluster,
    order: Order,
    journal: Option<Journal>,
    mut saved: Saved,
) -> Result<Begun, EngineError> {
    let now = cluster.clock().now();
    let before = saved.release.holder.clone();
    let force = order.intent == Intent::Rollback;
    if !force {
        refuse_alive(&saved.release, now, &order.holder)?;
    }
    refuse_other_images(&saved.release, &order)?;
    skip_dead_time(&mut saved.release, before.as_ref(), now);
    if saved.release.ending.is_none() {
        // Why the last sitting stopped is no reason any more: this one goes on.
        (saved.release.cause, saved.release.reason) = (None, None);
    }
    let intent = order.intent.clone();
    let adopts = matches!(intent, Intent::Auto { .. } | Intent::Promote);
    if adopts && is_by_hand(&saved.release) {
        adopt(&mut saved.release, &order.plan, now);
    }
    let mut engine = Engine::bind(cluster, order, journal, saved).await?;
    if let Intent::Set(change) = intent {
        let split = engine.read_split().await?;
        let weight = change
            .from(split.set)
            .map_err(|e| refused(e.to_string(), "give a weight from 0 to 100"))?;
        engine.retarget(weight, now);
    }
    engine.take(force).await?;
    let release = &engine.saved.release;
    let resumed = EventKind::Resumed {
        id: release.id.clone(),
        phase: release.phase,
        from: before.map(|h| h.who),
    };
    engine.tell(resumed);
    Ok(Begun::Run(Box::new(engine)))
}

/// Time in which nobody drove the run counts against no wait and for no hold.
///
/// Between two ticks the run is looked after: holds go on, but a wait that needs us to act counts
/// [`TICK`] at most. Who takes up a run that stopped for a person gives its waits their time anew.
fn skip_dead_time(release: &mut Release, before: Option<&Holder>, now: Timestamp) {
    let later = |at: Timestamp, dead: Duration| {
        let dead = SignedDuration::try_from(dead).ok();
        dead.and_then(|d| at.checked_add(d).ok())
            .unwrap_or(at)
            .min(now)
    };
    let passive = matches!(
        release.phase,
        Phase::Holding | Phase::Approving | Phase::Draining
    );
    match (before, release.left.take()) {
        (Some(before), _) => {
            let dead = elapsed(before.heartbeat, now);
            release.since = later(release.since, dead);
            release.step_since = later(release.step_since, dead);
        }
        (None, Some(Left { at, tick: true })) => {
            if !passive {
                let dead = elapsed(at, now).saturating_sub(TICK);
                release.since = later(release.since, dead);
            }
        }
        (None, Some(Left { at, tick: false })) => {
            release.step_since = now;
            release.gate_spent = Duration::ZERO;
            release.since = if passive {
                later(release.since, elapsed(at, now))
            } else {
                now
            };
        }
        (None, None) => {}
    }
}

/// An order for another version than the one under way is no order to go on with that one.
fn refuse_other_images(release: &Release, order: &Order) -> Result<(), EngineError> {
    let Intent::Auto { images, .. } = &order.intent else {
        return Ok(());
    };
    let known = |asked: &ImageOrder| match &asked.container {
        Some(container) => release.canary_images.get(container) == Some(&asked.image),
        None => release.canary_images.values().any(|i| *i == asked.image),
    };
    if images.iter().all(known) {
        return Ok(());
    }
    let text = format!("release {} is under way: {}", release.id, release.change());
    Err(refused(
        text,
        "go on without --image, roll it back, or begin again with --restart",
    ))
}

/// Returns whether the run was made by a weight set by hand: nothing is checked in it.
fn is_by_hand(release: &Release) -> bool {
    release.plan.checks.is_empty() && !release.plan.promote.auto && release.ending.is_none()
}

/// Makes a whole release of a weight set by hand: it goes on from the weight it is at.
fn adopt(release: &mut Release, plan: &Plan, now: Timestamp) {
    release.plan = plan.clone();
    let reached = |step: &Step| step.weight <= release.target;
    let at = plan.steps.iter().rposition(reached);
    release.step = at.unwrap_or(0);
    if at.is_none() {
        let first = plan.steps.first().map(|step| step.weight);
        release.target = first.unwrap_or(release.target);
    }
    release.phase = Phase::Shifting;
    (release.since, release.step_since) = (now, now);
}

// === beginning ===

async fn fresh(
    cluster: &Cluster,
    order: Order,
    journal: Option<Journal>,
    known: Option<Saved>,
) -> Result<Begun, EngineError> {
    let names = swapped(order.names.clone(), known.as_ref());
    let order = Order { names, ..order };
    let sides = cluster
        .sides(&order.names.stable, &order.names.canary, &BTreeMap::new())
        .await?;
    let Some(stable) = sides.stable.clone() else {
        let text = format!(
            "no Deployment {}/{}",
            cluster.namespace(),
            order.names.stable
        );
        return Err(refused(text, "check the name, --stable and --namespace"));
    };
    let now = cluster.clock().now();
    let mut release = draft(cluster, &order, &stable, &sides, now)?;
    if let Intent::Auto { restart, .. } = &order.intent {
        if let Some(nothing) = worth_it(&release, known.as_ref(), *restart, &sides)? {
            return Ok(Begun::Nothing(nothing));
        }
    } else if sides.canary.is_none() && order.intent != Intent::Look {
        return no_canary(&order);
    }
    let intent = order.intent.clone();
    let past = known
        .as_ref()
        .map(|saved| saved.past.clone())
        .unwrap_or_default();
    release.started = now;
    let saved = Saved::unsaved(release, past);
    let mut engine = Engine::bind(cluster, order, journal, saved).await?;
    match intent {
        Intent::Auto { .. } => {}
        Intent::Look => return Ok(Begun::Run(Box::new(engine))),
        Intent::Set(change) => {
            let split = engine.read_split().await?;
            let weight = change
                .from(split.set)
                .map_err(|e| refused(e.to_string(), "give a weight from 0 to 100"))?;
            engine.retarget(weight, now);
        }
        Intent::Rollback => {
            let split = engine.read_split().await?;
            if split.set == Percent::ZERO && split.settled && split.pinned.is_empty() {
                return Ok(Begun::Nothing(nothing_to_roll_back(known.as_ref())));
            }
            engine.go(Phase::RollingBack, Percent::ZERO, now);
            let release = &mut engine.saved.release;
            release.ending = Some(Outcome::RolledBack);
            release.cause = Some(Cause::Operator);
            release.reason = Some("an operator asked for it".to_owned());
        }
        Intent::Promote => {
            let split = engine.read_split().await?;
            if engine.saved.release.revision == engine.saved.release.origin.stable_revision {
                let text = "nothing to promote: stable runs the canary's version already";
                return Ok(Begun::Nothing(text.to_owned()));
            }
            engine.go(Phase::Holding, split.set, now);
        }
    }
    engine.begin(known).await?;
    let release = &engine.saved.release;
    let started = EventKind::Started {
        id: release.id.clone(),
        steps: release.plan.steps.iter().map(|s| s.weight).collect(),
        change: release.change(),
    };
    engine.announce(started).await?;
    Ok(Begun::Run(Box::new(engine)))
}

fn no_canary(order: &Order) -> Result<Begun, EngineError> {
    if order.intent == Intent::Rollback {
        let text = format!(
            "nothing to roll back: there is no Deployment {}",
            order.names.canary
        );
        return Ok(Begun::Nothing(text));
    }
    let text = format!("there is no canary Deployment {}", order.names.canary);
    let hint = format!(
        "create it with `canaryctl auto {} --image IMAGE`",
        order.app
    );
    Err(refused(text, &hint))
}

fn nothing_to_roll_back(known: Option<&Saved>) -> String {
    let last = known.map(|saved| &saved.release);
    match last.and_then(|r| r.ending) {
        Some(Outcome::Promoted) => {
            let from = last.map(|r| r.origin.stable_images.values().cloned().collect::<Vec<_>>());
            format!(
                "nothing to roll back: the last release was promoted; to return to what was before, release {} as a canary",
                from.unwrap_or_default().join(", ")
            )
        }
        Some(_) | None => "nothing to roll back: the canary receives no traffic".to_owned(),
    }
}

/// After a promotion by swapping, the roles recorded in the journal hold.
fn swapped(names: Names, known: Option<&Saved>) -> Names {
    let last = known.map(|saved| &saved.release);
    let swapped = last.is_some_and(|r| r.stable == names.canary && r.canary == names.stable);
    if !swapped {
        return names;
    }
    let mut found_by = names.found_by;
    found_by.push("roles as recorded by the last release".to_owned());
    Names {
        stable: names.canary,
        canary: names.stable,
        found_by,
        ..names
    }
}

/// Returns why there is nothing to release, or an error when it must not be released.
fn worth_it(
    release: &Release,
    known: Option<&Saved>,
    restart: bool,
    sides: &Sides,
) -> Result<Option<String>, EngineError> {
    let last = known.map(|saved| &saved.release).filter(|r| r.is_over());
    if release.revision == release.origin.stable_revision {
        if last
            .is_some_and(|r| r.ending == Some(Outcome::Promoted) && r.revision == release.revision)
        {
            return Ok(Some(
                "nothing to do: this version was promoted already".to_owned(),
            ));
        }
        let text = if sides.canary.is_some() {
            format!(
                "{} and {} run the same version",
                release.stable, release.canary
            )
        } else {
            format!(
                "there is no canary Deployment {}, and no new image was given",
                release.canary
            )
        };
        return Err(refused(
            text,
            "give the new version with --image [CONTAINER=]IMAGE",
        ));
    }
    if let Some(last) = last
        && last.ending == Some(Outcome::RolledBack)
        && last.revision == release.revision
        && matches!(last.cause, Some(Cause::Unhealthy | Cause::Unknown))
        && !restart
    {
        let why = last.reason.clone().unwrap_or_default();
        let text = format!("this version was rolled back by release {}: {why}", last.id);
        return Err(refused(
            text,
            "release another version, or try this one again with --restart",
        ));
    }
    Ok(None)
}

fn draft(
    cluster: &Cluster,
    order: &Order,
    stable: &Live,
    sides: &Sides,
    now: Timestamp,
) -> Result<Release, EngineError> {
    let images = match &order.intent {
        Intent::Auto { images, .. } => {
            let pattern = sides.canary.as_ref().unwrap_or(stable);
            containers(pattern, images)?
        }
        Intent::Set(_) | Intent::Rollback | Intent::Promote | Intent::Look => BTreeMap::new(),
    };
    let canary = sides.canary.as_ref();
    let tracks = match canary {
        Some(canary) => Tracks::between(&stable.object, &canary.object),
        None => Tracks::invented(&stable.object),
    };
    let mut wanted = match canary {
        Some(canary) => canary.template().clone(),
        None => tracks.carry(stable.template(), Track::Stable),
    };
    template::set_images(&mut wanted, &images);
    let stable_facts = sides.workload(Track::Stable, &tracks).unwrap_or_default();
    let canary_replicas = canary.map(Live::replicas);
    let plan = match order.intent {
        Intent::Auto { .. } | Intent::Promote | Intent::Look => order.plan.clone(),
        Intent::Set(_) | Intent::Rollback => by_hand(&order.plan),
    };
    Ok(Release {
        version: FORMAT,
        id: now.strftime("%Y%m%d-%H%M%S").to_string(),
        app: order.app.clone(),
        namespace: cluster.namespace().to_owned(),
        stable: order.names.stable.clone(),
        canary: order.names.canary.clone(),
        service: order.names.service.clone(),
        router: order.router.clone(),
        plan,
        revision: tracks.digest(&wanted, Track::Canary),
        canary_images: template::images(&wanted),
        images,
        create: canary.is_none(),
        origin: origin(stable, &stable_facts, canary_replicas),
        tracks,
        phase: Phase::Preparing,
        step: 0,
        target: Percent::ZERO,
        since: now,
        step_since: now,
        gate_spent: Duration::ZERO,
        approved: false,
        checks: BTreeMap::new(),
        cause: None,
        reason: None,
        ending: None,
        gradual: false,
        reasserted: 0,
        started: now,
        ended: None,
        holder: None,
        left: None,
        trail: Vec::new(),
    })
}

fn origin(stable: &Live, facts: &Workload, canary_replicas: Option<u32>) -> Origin {
    Origin {
        stable_replicas: stable.replicas(),
        canary_replicas,
        total: (stable.replicas() + canary_replicas.unwrap_or(0)).max(1),
        stable_revision: facts.revision.clone(),
        stable_replica_set: facts.replica_set.clone(),
        stable_images: stable.images(),
    }
}

/// A plan for weights set by hand: no checks, one step, nothing by itself.
fn by_hand(plan: &Plan) -> Plan {
    let step = Step {
        weight: Percent::FULL,
        hold: Duration::ZERO,
        approve: false,
        deadline: plan.ready_timeout,
    };
    let mut promote = plan.promote;
    promote.auto = false;
    Plan {
        steps: vec![step],
        checks: Vec::new(),
        load: None,
        on_failure: OnTrouble::Hold,
        on_interrupt: OnTrouble::Hold,
        promote,
        ..plan.clone()
    }
}

/// Returns container → image for the given images.
pub fn containers(
    pattern: &Live,
    orders: &[ImageOrder],
) -> Result<BTreeMap<String, String>, EngineError> {
    let there = pattern.images();
    let names: Vec<&str> = there.keys().map(String::as_str).collect();
    let names = names.join(", ");
    let mut images = BTreeMap::new();
    for order in orders {
        let container = match &order.container {
            Some(container) if there.contains_key(container) => container.clone(),
            Some(container) => {
                let text = format!(
                    "{} has no container {container}; it has: {names}",
                    pattern.name()
                );
                return Err(refused(text, "give --image CONTAINER=IMAGE"));
            }
            None => {
                let mut all = there.keys();
                let (Some(only), None) = (all.next(), all.next()) else {
                    let text = format!("{} has several containers: {names}", pattern.name());
                    return Err(refused(text, "say which: --image CONTAINER=IMAGE"));
                };
                only.clone()
            }
        };
        images.insert(container, order.image.clone());
    }
    Ok(images)
}

fn refused(text: String, hint: &str) -> EngineError {
    EngineError::Refused {
        text,
        hint: hint.to_owned(),
    }
}

// === impl Engine ===

impl Engine {
    async fn bind(
        cluster: &Cluster,
        order: Order,
        journal: Option<Journal>,
        saved: Saved,
    ) -> Result<Self, EngineError> {
        let release = &saved.release;
        let target = traffic::Target {
            stable: release.stable.clone(),
            canary: release.canary.clone(),
            service: release.service.clone(),
            total: release.origin.total,
        };
        let provider = traffic::provider(&release.router.name).ok_or_else(|| {
            let known: Vec<&str> = traffic::PROVIDERS.iter().map(|p| p.name()).collect();
            TrafficError::Unknown {
                name: release.router.name.clone(),
                known: known.join(", "),
            }
        })?;
        let router = provider.bind(cluster, &target, &release.router.options);
        let (router, service, stable, canary) = futures::try_join!(
            async { router.await.map_err(EngineError::from) },
            async { service(cluster, release.service.as_deref()).await },
            async {
                cluster
                    .deployment(&release.stable)
                    .await
                    .map_err(EngineError::from)
            },
            async {
                cluster
                    .deployment(&release.canary)
                    .await
                    .map_err(EngineError::from)
            },
        )?;
        let mut labels = stable
            .map(|s| common_labels(&s, canary.as_ref()))
            .unwrap_or_default();
        // A canary that is made later differs in these; its pods must be found, too.
        labels.retain(|key, _| !release.tracks.labels.contains_key(key));
        let mut probes = BTreeMap::new();
        for check in &release.plan.checks {
            probes.insert(check.name.clone(), health::bind(check, cluster)?);
        }
        Ok(Self {
            cluster: cluster.clone(),
            journal,
            router,
            probes,
            service,
            labels,
            persisted: None,
            persisted_at: cluster.clock().now(),
            results: Results::default(),
            load: None,
            waiting_for: String::new(),
            acted: None,
            audit_warned: false,
            audit_off: None,
            unaudited: Vec::new(),
            canary_uid: None,
            holder: order.holder,
            who: order.who,
            sink: order.sink,
            saved,
        })
    }

    pub(super) async fn read_split(&self) -> Result<Split, EngineError> {
        let release = &self.saved.release;
        let sides = self
            .cluster
            .sides(&release.stable, &release.canary, &self.labels)
            .await?;
        let stable = sides
            .workload(Track::Stable, &release.tracks)
            .unwrap_or_default();
        let canary = sides.workload(Track::Canary, &release.tracks);
        let scene = Scene {
            stable: &stable,
            canary: canary.as_ref(),
            sides: &sides,
        };
        Ok(self.router.read(release.target, &scene).await?)
    }

    /// Aims the run at a weight set by hand.
    fn retarget(&mut self, weight: Percent, now: Timestamp) {
        let release = &mut self.saved.release;
        let below = |step: &Step| step.weight <= weight;
        release.step = release.plan.steps.iter().rposition(below).unwrap_or(0);
        if let [only] = release.plan.steps.as_mut_slice() {
            only.weight = weight;
        }
        release.step_since = now;
        self.go(Phase::Shifting, weight, now);
    }

    fn go(&mut self, phase: Phase, target: Percent, now: Timestamp) {
        let release = &mut self.saved.release;
        release.phase = phase;
        release.target = target;
        release.since = now;
    }

    fn holder(&self) -> Holder {
        let now = self.cluster.clock().now();
        Holder {
            id: self.holder.clone(),
            who: self.who.clone(),
            since: now,
            heartbeat: now,
        }
    }

    async fn take(&mut self, force: bool) -> Result<(), EngineError> {
        if let Some(journal) = &self.journal {
            let saved = journal
                .take(self.saved.clone(), self.holder(), force)
                .await?;
            self.kept(saved);
        }
        Ok(())
    }

    async fn begin(&mut self, known: Option<Saved>) -> Result<(), EngineError> {
        if let Some(journal) = &self.journal {
            let release = self.saved.release.clone();
            let saved = journal.begin(release, known, self.holder()).await?;
            self.kept(saved);
        }
        Ok(())
    }

    fn kept(&mut self, saved: Saved) {
        self.persisted = Some(saved.release.clone());
        self.persisted_at = self.cluster.clock().now();
        self.saved = saved;
    }

    async fn announce(&mut self, kind: EventKind) -> Result<(), EngineError> {
        let at = self.cluster.clock().now();
        let event = crate::domain::event::Event { at, kind };
        self.record(&event);
        self.save(true).await?;
        (self.sink)(&event);
        self.unaudited.push(event);
        Ok(())
    }
}

async fn service(cluster: &Cluster, name: Option<&str>) -> Result<Option<Service>, EngineError> {
    let Some(name) = name else {
        return Ok(None);
    };
    let api = cluster.api::<Service>();
    let what = cluster.named("Service", name);
    Ok(cluster.read_opt(&what, || api.get(name)).await?)
}
