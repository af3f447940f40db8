//! What the tests share: a simulated cluster in virtual time, and orders to the engine.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use canaryctl::{
    clock::Clock,
    cluster::{Cluster, discover},
    domain::{
        check::CheckSpec,
        decide::{Goal, Request},
        event::Event,
        plan::{Cleanup, OnTrouble, Plan, Promotion, Step, Strategy},
        release::RouterSpec,
        weight::Percent,
    },
    engine::{
        Drive, End, EngineError,
        start::{Begun, Intent, Order, begin},
    },
    health,
    sim::{SimCluster, scenario::Scenario},
};
use serde_json::{Value, json};
use tokio::sync::watch;

pub const NAMESPACE: &str = "canary-release";
pub const APP: &str = "payment-api";

/// A simulated cluster and a connection to it.
pub struct Bench {
    pub sim: SimCluster,
    pub clock: Clock,
    pub events: Arc<Mutex<Vec<Event>>>,
    pub requests: watch::Sender<Option<Request>>,
}

impl Bench {
    pub fn new(scenario: &str) -> Self {
        let epoch = "2026-01-05T09:00:00Z".parse().unwrap();
        let clock = Clock::simulated(epoch, 1.0);
        let scenario = Scenario::builtin(scenario).unwrap();
        let sim = SimCluster::start(scenario, None, clock.clone()).unwrap();
        Self {
            sim,
            clock,
            events: Arc::default(),
            requests: watch::Sender::new(None),
        }
    }

    pub fn cluster(&self) -> Cluster {
        Cluster::new(self.sim.client(NAMESPACE), NAMESPACE, self.clock.clone())
    }

    pub async fn order(&self, intent: Intent, plan: Plan) -> Order {
        let survey = self.cluster().survey().await.unwrap();
        let names = discover::names(&survey, NAMESPACE, APP, None, None, None).unwrap();
        let events = self.events.clone();
        Order {
            app: APP.into(),
            names,
            router: RouterSpec {
                name: "replicas".into(),
                options: Value::Null,
            },
            plan,
            intent,
            who: "tester@host".into(),
            holder: "holder-1".into(),
            sink: Box::new(move |event| events.lock().unwrap().push(event.clone())),
            journal: true,
        }
    }

    pub async fn drive(&self, intent: Intent, plan: Plan) -> Result<End, EngineError> {
        self.drive_with(self.cluster(), intent, plan).await
    }

    pub async fn drive_with(
        &self,
        cluster: Cluster,
        intent: Intent,
        plan: Plan,
    ) -> Result<End, EngineError> {
        let request = match intent {
            Intent::Promote => Some(Request::Promote { force: false }),
            Intent::Rollback => Some(Request::Rollback),
            Intent::Auto { .. } | Intent::Set(_) | Intent::Look => None,
        };
        let goal = match intent {
            Intent::Set(_) => Goal::Weight,
            Intent::Auto { .. } | Intent::Promote | Intent::Rollback | Intent::Look => Goal::End,
        };
        let order = self.order(intent, plan).await;
        let mut engine = match begin(&cluster, order).await? {
            Begun::Run(engine) => engine,
            Begun::Nothing(text) => panic!("nothing to do: {text}"),
        };
        if request.is_some() {
            self.requests.send_replace(request);
        }
        let requests = self.requests.subscribe();
        let drive = Drive {
            goal,
            once: false,
            requests,
        };
        engine.run(drive).await
    }

    /// Returns the sentences of all events so far.
    pub fn story(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        events
            .iter()
            .map(|e| format!("{} {}", e.at.strftime("%H:%M:%S"), e.kind.sentence()))
            .collect()
    }
}

pub fn auto() -> Intent {
    Intent::Auto {
        images: Vec::new(),
        restart: false,
    }
}

pub fn steps(weights: &[u32], hold: u64) -> Vec<Step> {
    let step = |weight: &u32| Step {
        weight: Percent::whole(*weight),
        hold: Duration::from_secs(hold),
        approve: false,
        deadline: Duration::from_secs(hold * 3 + 600),
    };
    weights.iter().map(step).collect()
}

pub fn plan(weights: &[u32], hold: u64) -> Plan {
    Plan {
        steps: steps(weights, hold),
        checks: vec![health::pods::default_check()],
        load: None,
        interval: Duration::from_secs(10),
        on_unknown: OnTrouble::Hold,
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

/// Parses a check as a file would give it.
pub fn check(probe: &str, options: &Value) -> CheckSpec {
    let kind = health::probe(probe).unwrap();
    let mut erased = <dyn erased_serde::Deserializer>::erase(options);
    kind.check(&mut erased).unwrap()
}

/// The payment API's checks: it says it is healthy, and more than 95 % of payments succeed.
pub fn payment_checks() -> Vec<CheckSpec> {
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
