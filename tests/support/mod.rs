//! What the tests share: a simulated cluster in virtual time, orders to the engine, and what can be
//! read off the cluster's history afterwards.

pub(crate) mod weights;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use canaryctl::{
    clock::Clock,
    cluster::{Cluster, discover, routing::Knowledge},
    domain::{
        check::CheckSpec,
        decide::{Goal, Request},
        event::{Event, EventKind},
        plan::{Cleanup, OnTrouble, Plan, Promotion, Step, Strategy},
        release::{Outcome, Phase, Process, Release, RouterSpec},
        verdict::CheckResult,
        weight::Percent,
        workload::Track,
    },
    engine::{
        Drive, End, Engine, EngineError,
        start::{Begun, ImageOrder, Intent, Order, Own, begin},
    },
    health,
    journal::Journal,
    sim::{
        SimCluster, Snapshot,
        fault::{self, Fault},
        fields::Writer,
        scenario::Scenario,
        store::{Door, Key, Refusal, Store},
        world::Users,
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

pub(crate) const NAMESPACE: &str = "canary-release";
pub(crate) const APP: &str = "payment-api";
pub(crate) const STABLE: &str = "payment-api-stable";
pub(crate) const CANARY: &str = "payment-api-canary";

/// Pods of both sides together in the built-in scenarios.
pub(crate) const TOTAL: u32 = 10;

/// Those that are stable's own.
pub(crate) const OWN: u32 = 9;

/// Virtual time after which a run counts as endless.
const ENDLESS: Duration = Duration::from_secs(4 * 3600);

/// A simulated cluster and a connection to it.
pub(crate) struct Bench {
    pub(crate) sim: Arc<SimCluster>,
    pub(crate) clock: Clock,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    pub(crate) requests: watch::Sender<Option<Request>>,
    /// Called after each event is told.
    pub(crate) tap: Arc<dyn Fn(&Event) + Send + Sync>,
    news: Arc<Notify>,
    /// The store's version when everything was ready.
    pub(crate) from: u64,
    /// Name of the router.
    pub(crate) by: &'static str,
}

/// One sitting of the engine.
pub(crate) struct Sitting {
    pub(crate) cluster: Cluster,
    pub(crate) intent: Intent,
    pub(crate) plan: Plan,
    pub(crate) holder: String,
    pub(crate) goal: Goal,
    pub(crate) once: bool,
    pub(crate) router: Value,
    pub(crate) journal: bool,
    /// The process on its machine, and whether those of others there are gone.
    pub(crate) process: Option<Process>,
    pub(crate) is_gone: fn(&Process) -> bool,
    /// Who gives the order, where the holder does not say it.
    pub(crate) who: Option<String>,
}

/// Name of the router of the built-in scenarios.
const BY_PODS: &str = "replicas";

impl Bench {
    pub(crate) fn new(scenario: &str) -> Self {
        Self::with(Scenario::builtin(scenario).unwrap())
    }

    /// A built-in scenario with other texts in place of some of its own, where it has them.
    pub(crate) fn edited(scenario: &str, edits: &[(&str, &str)]) -> Self {
        let path = format!(
            "{}/src/sim/scenarios/{scenario}.yaml",
            env!("CARGO_MANIFEST_DIR")
        );
        let mut text = std::fs::read_to_string(path).unwrap();
        for (from, to) in edits {
            text = text.replace(from, to);
        }
        Self::with(Scenario::parse(&text).unwrap())
    }

    pub(crate) fn with(scenario: Scenario) -> Self {
        let epoch = "2026-01-05T09:00:00Z".parse().unwrap();
        let clock = Clock::simulated(epoch, 1.0);
        let sim = SimCluster::start(scenario, None, clock.clone()).unwrap();
        let from = sim.world().store().version();
        Self {
            sim: Arc::new(sim),
            clock,
            events: Arc::default(),
            requests: watch::Sender::new(None),
            tap: Arc::new(|_| {}),
            news: Arc::default(),
            from,
            by: BY_PODS,
        }
    }

    /// Goes on from a snapshot of a bench on which everything was ready at version `from` and where
    /// `told` was told since.
    pub(crate) fn resumed(snapshot: &Snapshot, from: u64, told: Vec<Event>) -> Self {
        let clock = Clock::simulated(snapshot.at(), 1.0);
        Self {
            sim: Arc::new(SimCluster::resume(snapshot, clock.clone())),
            clock,
            events: Arc::new(Mutex::new(told)),
            requests: watch::Sender::new(None),
            tap: Arc::new(|_| {}),
            news: Arc::default(),
            from,
            by: BY_PODS,
        }
    }

    /// Somebody else at the same cluster: what is asked of the one is not asked of the other.
    pub(crate) fn somebody(&self) -> Self {
        Self {
            sim: self.sim.clone(),
            clock: self.clock.clone(),
            events: Arc::default(),
            requests: watch::Sender::new(None),
            tap: Arc::new(|_| {}),
            news: Arc::default(),
            from: self.from,
            by: self.by,
        }
    }

    // --- driving --------------------------------------------------------------------------------

    pub(crate) fn cluster(&self) -> Cluster {
        Cluster::new(self.sim.client(NAMESPACE), NAMESPACE, self.clock.clone())
    }

    /// A connection with the faults of a plan in front.
    pub(crate) fn faulty(&self, faults: &fault::Plan) -> Cluster {
        let client = self.sim.server().faulty_client(NAMESPACE, faults);
        Cluster::new(client, NAMESPACE, self.clock.clone())
    }

    /// A connection on which every n-th call from the `after`-th on suffers a fault.
    pub(crate) fn every(&self, n: u64, fault: Fault) -> (Cluster, fault::Plan) {
        let plan = fault::Plan::new(self.clock.clone(), move |call| {
            // A port-forward that is refused is not asked for again: every n-th call could be the one to
            // the same pod for ever, which is a lack of evidence and no fault of a moment.
            let lasting = matches!(fault, Fault::LoginPage | Fault::Status(403 | 404, _))
                && call.path.ends_with("/portforward");
            let hit = call.number > 12 && call.number % n == 0 && !lasting;
            if hit { fault } else { Fault::None }
        });
        (self.faulty(&plan), plan)
    }

    pub(crate) fn sitting(&self, intent: Intent, plan: Plan) -> Sitting {
        let goal = match intent {
            Intent::Set(_) => Goal::Weight,
            Intent::Auto { .. } | Intent::Promote | Intent::Rollback | Intent::Look => Goal::End,
        };
        Sitting {
            cluster: self.cluster(),
            intent,
            plan,
            holder: "holder-1".into(),
            goal,
            once: false,
            router: Value::Null,
            journal: true,
            process: None,
            is_gone: |_| false,
            who: None,
        }
    }

    pub(crate) async fn begin(&self, sitting: &Sitting) -> Result<Begun, EngineError> {
        // The names are found on a connection of its own: they are no part of what is tested here.
        let survey = self
            .cluster()
            .survey("canaryctl-payment-api", &[], Knowledge::Named)
            .await
            .unwrap();
        let names = discover::names(
            &survey,
            NAMESPACE,
            APP,
            Some(STABLE),
            Some(CANARY),
            Some("payment-api-service"),
        )
        .unwrap();
        let (events, news, tap) = (self.events.clone(), self.news.clone(), self.tap.clone());
        let order = Order {
            app: APP.into(),
            names,
            router: RouterSpec {
                name: self.by.into(),
                options: sitting.router.clone(),
            },
            route: None,
            plan: sitting.plan.clone(),
            intent: sitting.intent.clone(),
            group: None,
            who: sitting
                .who
                .clone()
                .unwrap_or_else(|| format!("{}@host", sitting.holder)),
            holder: sitting.holder.clone(),
            own: Own::new(sitting.process.clone(), sitting.is_gone),
            sink: Box::new(move |event| {
                events.lock().unwrap().push(event.clone());
                news.notify_one();
                tap(event);
            }),
            journal: sitting.journal,
            survey: None,
        };
        begin(&sitting.cluster, order).await
    }

    pub(crate) async fn run(&self, sitting: Sitting) -> Result<End, EngineError> {
        let request = match sitting.intent {
            Intent::Promote => Some(Request::Promote { force: false }),
            Intent::Rollback => Some(Request::Rollback),
            Intent::Auto { .. } | Intent::Set(_) | Intent::Look => None,
        };
        let mut engine = match self.begin(&sitting).await? {
            Begun::Run(engine) => engine,
            Begun::Nothing(text) => panic!("nothing to do: {text}"),
        };
        if request.is_some() {
            self.requests.send_replace(request);
        }
        self.steer(&mut engine, sitting.goal, sitting.once).await
    }

    pub(crate) async fn steer(
        &self,
        engine: &mut Engine,
        goal: Goal,
        once: bool,
    ) -> Result<End, EngineError> {
        let requests = self.requests.subscribe();
        let drive = Drive {
            goal,
            once,
            requests,
        };
        let run = self.clock.timeout(ENDLESS, engine.run(drive)).await;
        run.unwrap_or_else(|_| panic!("no end in sight:\n{}", self.told()))
    }

    pub(crate) async fn drive(&self, intent: Intent, plan: Plan) -> Result<End, EngineError> {
        self.run(self.sitting(intent, plan)).await
    }

    /// Runs a sitting and expects how it ends.
    pub(crate) async fn ends(&self, intent: Intent, plan: Plan, outcome: Outcome) -> End {
        let end = self.drive(intent, plan).await;
        let end = end.unwrap_or_else(|e| panic!("{e}\n{}", self.told()));
        assert_eq!(end.outcome, outcome, "{}\n{}", end.text, self.told());
        end
    }

    pub(crate) async fn wait(&self, seconds: u64) {
        self.clock.sleep(Duration::from_secs(seconds)).await;
    }

    /// Waits, beside a run, until it has told something.
    pub(crate) async fn until(&self, happened: impl Fn(&EventKind) -> bool) {
        loop {
            let news = self.news.notified();
            let found = self
                .events
                .lock()
                .unwrap()
                .iter()
                .any(|e| happened(&e.kind));
            if found {
                return;
            }
            let came = self.clock.timeout(ENDLESS, news).await;
            assert!(came.is_ok(), "it never came:\n{}", self.told());
        }
    }

    pub(crate) async fn until_phase(&self, wanted: Phase) {
        self.until(|e| matches!(e, EventKind::PhaseChanged { phase, .. } if *phase == wanted))
            .await;
    }

    pub(crate) async fn until_step(&self, wanted: usize) {
        let held = |e: &EventKind| matches!(e, EventKind::PhaseChanged { phase: Phase::Holding, step, .. } if *step == wanted);
        self.until(held).await;
    }

    // --- acting as somebody else ----------------------------------------------------------------

    fn key(resource: &str, name: &str) -> Key {
        let group = match resource {
            "deployments" | "replicasets" => "apps",
            "horizontalpodautoscalers" => "autoscaling",
            _ => "",
        };
        Key::new(group, resource, NAMESPACE, name)
    }

    pub(crate) fn object(&self, resource: &str, name: &str) -> Option<Arc<Value>> {
        self.sim.world().store().get(&Self::key(resource, name))
    }

    pub(crate) fn deployment(&self, name: &str) -> Arc<Value> {
        self.object("deployments", name).unwrap()
    }

    pub(crate) fn edit(&self, resource: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let store = self.sim.world().store();
        edit(store, &Self::key(resource, name), change).unwrap();
    }

    pub(crate) fn scale(&self, name: &str, replicas: u32) {
        self.edit("deployments", name, |d| {
            d["spec"]["replicas"] = json!(replicas);
        });
    }

    pub(crate) fn set_image(&self, name: &str, image: &str) {
        self.edit("deployments", name, |d| {
            d["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        });
    }

    pub(crate) fn delete(&self, resource: &str, name: &str) {
        let store = self.sim.world().store();
        store.delete(&Self::key(resource, name), false).unwrap();
    }

    // --- what is and what was -------------------------------------------------------------------

    pub(crate) fn replicas(&self, name: &str) -> u32 {
        let object = self.object("deployments", name);
        object.map_or(0, |d| count(&d["spec"]["replicas"]))
    }

    pub(crate) fn image(&self, name: &str) -> String {
        let image = &self.deployment(name)["spec"]["template"]["spec"]["containers"][0]["image"];
        image.as_str().unwrap().to_owned()
    }

    pub(crate) fn template(&self, name: &str) -> Value {
        self.deployment(name)["spec"]["template"].clone()
    }

    pub(crate) async fn record(&self) -> Release {
        let journal = Journal::new(self.cluster(), APP);
        journal.load().await.unwrap().unwrap().release
    }

    pub(crate) fn users(&self) -> Users {
        self.sim.world().users()
    }

    /// Asserts that users met no refusal, and no more failures than a share of their requests.
    pub(crate) fn users_are_fine(&self, share: f64) {
        let users = self.users();
        assert_eq!(users.refused, 0, "requests found nobody");
        #[expect(clippy::cast_precision_loss, reason = "counts are small")]
        let observed = users.total.failed as f64 / users.total.requests.max(1) as f64;
        assert!(observed <= share, "{observed} failed of {:?}", users.total);
    }

    /// Replicas asked for of a Deployment, every number it ever had, in order.
    pub(crate) fn sizes(&self, name: &str) -> Vec<u32> {
        let mut sizes = Vec::new();
        for change in self.sim.world().store().changes_after(100).unwrap() {
            if change.key == Self::key("deployments", name) {
                let size = count(&change.object["spec"]["replicas"]);
                if sizes.last() != Some(&size) {
                    sizes.push(size);
                }
            }
        }
        sizes
    }

    /// The fewest ready pods of both sides together there ever were, while the canary had any, or stable more
    /// than its own.
    pub(crate) fn least_ready(&self) -> usize {
        let mut ready: BTreeMap<String, bool> = BTreeMap::new();
        let mut sizes: BTreeMap<String, u32> = BTreeMap::new();
        let mut least = usize::MAX;
        for change in self.sim.world().store().changes_after(100).unwrap() {
            if change.key.resource == "deployments" {
                let size = count(&change.object["spec"]["replicas"]);
                sizes.insert(change.key.name.clone(), size);
            }
            if change.key.resource != "pods" {
                continue;
            }
            let gone = change.kind == canaryctl::sim::store::ChangeKind::Deleted;
            let is = !gone && is_ready(&change.object);
            ready.insert(change.key.name, is);
            let of = |name: &str| sizes.get(name).copied().unwrap_or(0);
            let alone = of(CANARY) == 0 && of(STABLE) == OWN;
            if change.version > self.from
                && !(alone && ready.values().filter(|r| **r).count() >= OWN as usize)
            {
                least = least.min(ready.values().filter(|r| **r).count());
            }
        }
        least
    }

    pub(crate) fn kinds(&self) -> Vec<(Timestamp, EventKind)> {
        let events = self.events.lock().unwrap();
        events.iter().map(|e| (e.at, e.kind.clone())).collect()
    }

    /// All results of a check on the canary so far, in order.
    pub(crate) fn results(&self, name: &str) -> Vec<CheckResult> {
        let of_canary = |kind: EventKind| match kind {
            EventKind::Checked {
                track: Track::Canary,
                results,
            } => results,
            _ => Vec::new(),
        };
        let all = self.kinds().into_iter();
        let all = all.flat_map(|(_, kind)| of_canary(kind));
        all.filter(|result| result.name == name).collect()
    }

    /// Sentences of all events so far.
    pub(crate) fn told(&self) -> String {
        let events = self.events.lock().unwrap();
        let line = |e: &Event| format!("{} {}", e.at.strftime("%H:%M:%S"), e.kind.sentence());
        events.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Whether anything told contains the text.
    pub(crate) fn was_told(&self, text: &str) -> bool {
        self.told().contains(text)
    }

    /// Asserts that stable is what it was at the start, alone and complete.
    pub(crate) fn is_back(&self, image: &str, total: u32) {
        assert_eq!(self.replicas(STABLE), total, "{}", self.told());
        assert_eq!(self.replicas(CANARY), 0, "{}", self.told());
        assert_eq!(self.image(STABLE), image);
        assert_eq!(
            count(&self.deployment(STABLE)["status"]["readyReplicas"]),
            total
        );
    }
}

fn count(value: &Value) -> u32 {
    value.as_u64().and_then(|n| n.try_into().ok()).unwrap_or(0)
}

/// Somebody edits an object with kubectl.
pub(crate) fn edit(
    store: &Store,
    key: &Key,
    change: impl FnOnce(&mut Value),
) -> Result<Value, Refusal> {
    let writer = Writer {
        manager: "kubectl-edit".into(),
        api_version: "v1".into(),
        subresource: String::new(),
    };
    let edit = |object: &mut Value| {
        change(object);
        Ok(())
    };
    store.update_as(Some(&writer), key, Door::Main, false, edit)
}

/// Returns whether a pod takes requests.
pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let ready = |c: &Value| c["type"] == "Ready" && c["status"] == "True";
    pod["metadata"]["deletionTimestamp"].is_null()
        && conditions.is_some_and(|c| c.iter().any(ready))
}

// === orders ===

pub(crate) fn auto() -> Intent {
    Intent::Auto {
        images: Vec::new(),
        restart: false,
    }
}

pub(crate) fn auto_image(image: &str) -> Intent {
    Intent::Auto {
        images: vec![ImageOrder {
            container: None,
            image: image.into(),
        }],
        restart: false,
    }
}

pub(crate) fn restart() -> Intent {
    Intent::Auto {
        images: Vec::new(),
        restart: true,
    }
}

pub(crate) fn set(weight: &str) -> Intent {
    Intent::Set(weight.parse().unwrap())
}

pub(crate) fn steps(weights: &[u32], hold: u64) -> Vec<Step> {
    let step = |weight: &u32| Step {
        weight: Percent::whole(*weight),
        hold: Duration::from_secs(hold),
        early: None,
        approve: false,
        deadline: Duration::from_secs(hold * 3 + 600),
    };
    weights.iter().map(step).collect()
}

pub(crate) fn plan(weights: &[u32], hold: u64) -> Plan {
    Plan {
        steps: steps(weights, hold),
        checks: vec![health::pods::default_check()],
        metrics: None,
        load: None,
        interval: Duration::from_secs(10),
        brake: true,
        warmup: Duration::ZERO,
        patient: false,
        on_unknown: OnTrouble::Hold,
        on_unknown_unset: false,
        on_failure: OnTrouble::Rollback,
        on_interrupt: OnTrouble::Rollback,
        promote: Promotion {
            strategy: Strategy::Template,
            canary: Cleanup::ScaleDown,
            auto: true,
        },
        drain: Duration::from_secs(30),
        ready_timeout: Duration::from_secs(300),
        promote_timeout: Duration::from_secs(600),
    }
}

/// The same plan with the payment API's checks.
pub(crate) fn checked(weights: &[u32], hold: u64) -> Plan {
    Plan {
        checks: payment_checks(),
        ..plan(weights, hold)
    }
}

pub(crate) fn with_strategy(plan: Plan, strategy: Strategy, canary: Cleanup) -> Plan {
    let promote = Promotion {
        strategy,
        canary,
        ..plan.promote
    };
    Plan { promote, ..plan }
}

/// Parses a check as a file would give it.
pub(crate) fn check(probe: &str, options: &Value) -> CheckSpec {
    let kind = health::probe(probe).unwrap();
    let mut erased = <dyn erased_serde::Deserializer<'_>>::erase(options);
    kind.check(&mut erased).unwrap()
}

/// The payment API's checks: it says it is healthy, and more than 95 % of payments succeed.
pub(crate) fn payment_checks() -> Vec<CheckSpec> {
    let health =
        json!({"name": "health", "path": "/health", "expect": "body.status == \"healthy\""});
    let success = json!({
        "name": "success rate", "path": "/metrics", "good": "body.successfulTransactions",
        "total": "body.totalTransactions", "min": "95%",
    });
    vec![
        health::pods::default_check(),
        check("http", &health),
        check("http", &success),
    ]
}

/// What makes a built-in scenario small: four pods of stable, none of the canary, ready soon.
pub(crate) const FOUR_PODS: &str = "edits:
  - kind: Deployment
    name: payment-api-stable
    patch:
      - {op: replace, path: /spec/replicas, value: 4}
      - {op: replace, path: /spec/template/spec/containers/0/readinessProbe/initialDelaySeconds, value: 1}
  - kind: Deployment
    name: payment-api-canary
    patch:
      - {op: replace, path: /spec/replicas, value: 0}
      - {op: replace, path: /spec/template/spec/containers/0/readinessProbe/initialDelaySeconds, value: 1}
";

// === processes ===

/// Runs a future in a runtime of its own, in virtual time.
pub(crate) fn virtually<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(future)
}

/// A stream that keeps what was written.
#[derive(Clone, Default)]
pub(crate) struct Pipe(Arc<Mutex<Vec<u8>>>);

impl Pipe {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
