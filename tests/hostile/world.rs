//! A release under all that a story has, told by the product's own command line.
//!
//! Owns: the cluster, the processes that come and go, and doing what was drawn. Must not: judge.

use std::{
    collections::VecDeque,
    ffi::OsString,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use canaryctl::{
    cli::{Environment, Signal, Signals, Terminal, run_on},
    clock::Clock,
    sim::{
        Machine, SimCluster, Snapshot,
        fault::{self, Attempt, Fault},
        scenario::{Scenario, parse_objects},
        store::{Key, Store},
    },
};
use futures::{StreamExt as _, future::LocalBoxFuture, stream::FuturesUnordered};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::draw::{Disturbance, Edit, Route, Span, Story, Version, What, Window};
use crate::support::{
    CANARY, FOUR_PODS, NAMESPACE, Pipe, STABLE, edit, is_ready, virtually,
    weights::{ByWeights, ISTIO, NGINX},
};

/// Pods of stable before a release.
pub(super) const PODS: usize = 4;

/// Seconds that a step is held.
pub(super) const HOLD: i64 = 60;

/// Time after which a command counts as endless.
const ENDLESS: Duration = Duration::from_secs(2 * 3600);

const JOURNAL: &str = "canaryctl-payment-api";
const START: &str = "2026-01-05T09:00:00Z";

const CONFIG: &str = "
app: payment-api
namespace: canary-release
steps: [25%, 50%, 100%]
hold: 60s
interval: 10s
checks:
  - pods: {maxRestarts: 1}
  - http:
      name: success rate
      path: /metrics
      good: body.successfulTransactions
      total: body.totalTransactions
      min: 95%
      minRequests: 20
";

/// What a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The release itself; the number says how many drove it before.
    Auto(usize),
    /// Started while another one drives.
    Rival,
    /// Asked for by somebody in the middle of it.
    Rollback,
    /// The same when all disturbances are over.
    Last,
}

/// What a command did.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) role: Role,
    pub(super) code: u8,
    pub(super) out: String,
    pub(super) err: String,
    pub(super) began: Timestamp,
    pub(super) ended: Timestamp,
    pub(super) before: Truth,
    pub(super) after: Truth,
    /// The store's version when it ended.
    pub(super) version: u64,
}

/// What the cluster is like, whatever anybody says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Truth {
    /// The canary's share that is set: percent by a route, pods by pods.
    pub(super) set: u64,
    /// Ready pods of the canary that get requests.
    pub(super) canary: usize,
    pub(super) stable: usize,
    pub(super) image: String,
}

/// All that happened.
pub(super) struct Tale {
    pub(super) sim: Arc<SimCluster>,
    /// The store's version when everything was ready.
    pub(super) from: u64,
    pub(super) ran: Vec<Ran>,
    /// From when to when its process was stopped, by its own machine's clock.
    pub(super) stops: Vec<(Timestamp, Timestamp)>,
}

impl Truth {
    /// Returns whether users meet the canary.
    pub(super) fn is_live(&self) -> bool {
        self.set > 0
    }
}

impl Ran {
    pub(super) fn text(&self) -> String {
        format!("{}\n{}", self.out, self.err)
    }
}

impl Route {
    pub(super) fn weights(self) -> Option<&'static ByWeights> {
        match self {
            Self::Pods => None,
            Self::Istio => Some(&ISTIO),
            Self::Nginx => Some(&NGINX),
        }
    }

    pub(super) fn truth(self, store: &Store) -> Truth {
        let key = |name| Key::new("apps", "deployments", NAMESPACE, name);
        let canary = store.get(&key(CANARY));
        let asked = canary.and_then(|canary| canary["spec"]["replicas"].as_u64());
        let ready = |name: &str| {
            let (pods, _) = store.list("", "pods", NAMESPACE);
            let ours = pods.iter().filter(|pod| {
                let own = pod["metadata"]["name"].as_str().unwrap_or_default();
                own.starts_with(name) && is_ready(pod)
            });
            ours.count()
        };
        let stable = store.get(&key(STABLE)).unwrap();
        let image = &stable["spec"]["template"]["spec"]["containers"][0]["image"];
        Truth {
            set: match self.weights() {
                Some(by) => by.weight_in(store),
                None => asked.unwrap_or(0),
            },
            canary: ready(CANARY),
            stable: ready(STABLE),
            image: image.as_str().unwrap().to_owned(),
        }
    }
}

// === the cluster ===

fn scenario(story: &Story) -> Scenario {
    let name = match story.version {
        Version::Healthy => "healthy",
        Version::Failing => "errors-at-25",
        Version::NeverReady => "never-ready",
    };
    let path = format!(
        "{}/src/sim/scenarios/{name}.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    let small = format!("seed: {}\n{FOUR_PODS}", story.seed % 1000);
    let text = text
        .replace("seed: 7\n", &small)
        .replace("above: 20%", "above: 40%")
        .replace("rate: 25%", "rate: 80%")
        .replace("rate: 50", "rate: 20")
        .replace("fraud: 1.5%", "fraud: 0%")
        .replace("fraud: 2%", "fraud: 0%");
    let mut scenario = Scenario::parse(&text).unwrap();
    if let Some(by) = story.route.weights() {
        let objects = parse_objects(by.objects).unwrap();
        scenario.objects.extend(objects);
    }
    scenario
}

/// Returns the configuration, which is written once.
fn config() -> &'static PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let name = format!("canaryctl-hostile-{}.yaml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, CONFIG).unwrap();
        path
    })
}

// === commands ===

/// A command that runs.
struct Process {
    run: LocalBoxFuture<'static, u8>,
    out: Pipe,
    err: Pipe,
    began: Timestamp,
    before: Truth,
}

struct Place<'a> {
    story: &'a Story,
    sim: Arc<SimCluster>,
    clock: Clock,
}

impl Place<'_> {
    fn truth(&self) -> Truth {
        self.story.route.truth(self.sim.world().store())
    }

    fn start(
        &self,
        role: Role,
        machine: Machine,
        signals: mpsc::UnboundedReceiver<Signal>,
    ) -> Process {
        let file = config().display().to_string();
        let auto = ["auto", "payment-api", "-n", NAMESPACE, "-f", &file];
        // No file, no flags: it works from what is there.
        let back = ["rollback", "payment-api", "-n", NAMESPACE];
        let words: &[&str] = match role {
            Role::Auto(_) | Role::Rival => &auto,
            Role::Rollback | Role::Last => &back,
        };
        let mut args = vec![OsString::from("canaryctl")];
        args.extend(words.iter().map(OsString::from));
        if self.story.json && matches!(role, Role::Auto(_)) {
            args.extend(["-o".into(), "json".into()]);
        } else {
            args.push("-v".into());
        }
        let who = format!("{role:?}").to_lowercase();
        let variables = [
            ("USER", who.as_str()),
            ("HOSTNAME", "host"),
            ("LANG", "C.UTF-8"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (out, err) = (Pipe::default(), Pipe::default());
        let terminal = Terminal::of(
            Box::new(out.clone()),
            Box::new(err.clone()),
            (false, false),
            100,
            None,
        );
        let environment = Environment::of(variables);
        let signals = Signals::from_channel(signals);
        let run = async move {
            let code = run_on(Some(machine), args, environment, terminal, signals).await;
            code.number()
        };
        Process {
            run: Box::pin(run),
            out,
            err,
            began: self.clock.now(),
            before: self.truth(),
        }
    }

    /// Runs a command from a machine with nothing in between.
    async fn run(&self, role: Role) -> Ran {
        let (_keep, signals) = mpsc::unbounded_channel();
        let machine = Machine::beside(self.sim.clone());
        let process = self.start(role, machine, signals);
        let Process {
            run,
            out,
            err,
            began,
            before,
            ..
        } = process;
        let code = self.clock.timeout(ENDLESS, run).await;
        let code = code.unwrap_or_else(|_| panic!("{role:?} has no end:\n{}", err.text()));
        self.ran(role, code, (&out, &err), began, before)
    }

    fn ran(
        &self,
        role: Role,
        code: u8,
        (out, err): (&Pipe, &Pipe),
        began: Timestamp,
        before: Truth,
    ) -> Ran {
        Ran {
            role,
            code,
            out: out.text(),
            err: err.text(),
            began,
            ended: self.clock.now(),
            before,
            after: self.truth(),
            version: self.sim.world().store().version(),
        }
    }
}

// === what is in between ===

/// Faults that are on, shared with the plan that decides about calls.
#[derive(Clone, Default)]
struct Between(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    windows: Vec<On>,
    /// How the process dies at its next call.
    dying: Option<Fault>,
}

struct On {
    window: Window,
    began: Timestamp,
    left: u32,
}

impl Between {
    fn begin(&self, window: Window, now: Timestamp) {
        let left = match window.span {
            Span::Calls(calls) => calls,
            Span::Time(_) | Span::Lasting => u32::MAX,
        };
        let on = On {
            window,
            began: now,
            left,
        };
        self.0.lock().unwrap().windows.push(on);
    }

    fn decide(&self, call: &Attempt<'_>, now: Timestamp) -> Fault {
        let state = &mut *self.0.lock().unwrap();
        if let Some(fault) = state.dying.take() {
            return fault;
        }
        let hit = state.windows.iter_mut().find(|on| {
            let over = match on.window.span {
                Span::Time(time) => now.duration_since(on.began).unsigned_abs() > time,
                Span::Calls(_) | Span::Lasting => on.left == 0,
            };
            !over && on.window.calls.has(call)
        });
        hit.map_or(Fault::None, |on| {
            on.left = on.left.saturating_sub(1);
            on.window.fault
        })
    }

    fn plan(&self, clock: &Clock) -> fault::Plan {
        let (own, now) = (self.clone(), clock.clone());
        fault::Plan::new(clock.clone(), move |call| own.decide(call, now.now()))
    }
}

// === edits ===

fn write(store: &Store, key: &Key, change: impl FnOnce(&mut Value)) {
    // What is not there is not edited.
    drop(edit(store, key, change));
}

fn forge(number: usize, release: &mut Value) {
    match number {
        0 => release["step"] = json!(2),
        1 => release["phase"] = json!("promote-template"),
        2 => release["revision"] = json!("0123456789abcdef"),
        3 => release["plan"]["steps"] = json!([]),
        4 => release["approved"] = json!(true),
        5 => release["stable"] = json!(CANARY),
        _ => release["holder"]["id"] = json!("somebody"),
    }
}

fn edit_record(store: &Store, how: Edit) {
    let key = Key::new("", "configmaps", NAMESPACE, JOURNAL);
    match how {
        Edit::Label => write(store, &key, |map| {
            map["metadata"]["labels"]["team"] = json!("payments");
        }),
        Edit::Annotation => write(store, &key, |map| {
            map["metadata"]["annotations"]["example.com/note"] = json!("seen");
        }),
        Edit::Garbage => write(store, &key, |map| {
            map["data"]["release.json"] = json!("{{{");
        }),
        Edit::Foreign => write(store, &key, |map| map["data"] = json!({"theirs": "value"})),
        Edit::Immutable => write(store, &key, |map| map["immutable"] = json!(true)),
        Edit::Deleted => drop(store.delete(&key, false)),
        Edit::Forged(number) => write(store, &key, |map| {
            let text = map["data"]["release.json"].as_str();
            let release = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
            if let Some(mut release) = release {
                forge(number, &mut release);
                map["data"]["release.json"] = json!(release.to_string());
            }
        }),
        Edit::Old => {
            let changes = store.changes_after(100).unwrap();
            let old = changes.iter().find(|change| change.key == key);
            if let Some(data) = old.map(|change| change.object["data"].clone()) {
                write(store, &key, |map| map["data"] = data);
            }
        }
    }
}

// === lives ===

/// How a life of the release's process ended.
enum Gone {
    Ended,
    /// It died; another one comes after some time.
    Killed(Snapshot, Duration, SignedDuration),
}

/// What is carried from one life to the next.
struct Course {
    todo: VecDeque<Disturbance>,
    ran: Vec<Ran>,
    stops: Vec<(Timestamp, Timestamp)>,
    lives: usize,
}

impl Place<'_> {
    /// Does one thing of the story.
    fn disturb(&self, what: What, machine: &Clock, between: &Between) {
        let store = self.sim.world().store();
        match what {
            What::Fault(window) => between.begin(window, self.clock.now()),
            What::Clock(off) => machine.set_wall(off),
            What::Record(edit) => edit_record(store, edit),
            What::Kill(fault, ..) => between.0.lock().unwrap().dying = Some(fault),
            What::Image => {
                let key = Key::new("apps", "deployments", NAMESPACE, CANARY);
                write(store, &key, |d| {
                    let image = json!("registry.example/payment-api:3.0.0");
                    d["spec"]["template"]["spec"]["containers"][0]["image"] = image;
                });
            }
            What::Weight(weight) => {
                if let Some(by) = self.story.route.weights() {
                    by.meddle_in(store, weight);
                }
            }
            What::Stop(_) | What::Signal | What::Rollback | What::Rival => {}
        }
    }

    /// Runs the release's process until it ends or dies.
    async fn life(&self, course: &mut Course, off: SignedDuration) -> Gone {
        let start: Timestamp = START.parse().unwrap();
        let own = self.clock.elsewhere(off);
        let between = Between::default();
        let faults = between.plan(&self.clock);
        let machine = Machine::beside(self.sim.clone());
        let machine = machine.with_clock(own.clone()).behind(faults.clone());
        let (sender, signals) = mpsc::unbounded_channel();
        let role = Role::Auto(course.lives);
        let mut process = self.start(role, machine, signals);
        let mut others = FuturesUnordered::new();
        let mut heir = (Duration::ZERO, SignedDuration::ZERO);
        let limit = process.began.checked_add(ENDLESS).unwrap();
        let code = loop {
            let next = course
                .todo
                .front()
                .map(|d| start.checked_add(d.at).unwrap());
            tokio::select! {
                biased;
                code = &mut process.run => break Some(code),
                () = faults.crash() => break None,
                Some(ran) = others.next(), if !others.is_empty() => course.ran.push(ran),
                () = self.clock.sleep_until(next.unwrap_or(limit)) => {
                    let Some(Disturbance { what, .. }) = course.todo.pop_front() else {
                        panic!("it has no end:\n{}", process.err.text());
                    };
                    match what {
                        What::Stop(time) => {
                            let from = own.now();
                            self.clock.sleep(time).await;
                            course.stops.push((from, own.now()));
                        }
                        What::Signal => drop(sender.send(Signal::Terminate)),
                        What::Rollback => others.push(self.run(Role::Rollback)),
                        What::Rival => others.push(self.run(Role::Rival)),
                        What::Kill(_, time, off) => heir = (time, off),
                        What::Fault(_) | What::Clock(_) | What::Record(_) | What::Image | What::Weight(_) => {}
                    }
                    self.disturb(what, &own, &between);
                }
            }
        };
        let Some(code) = code else {
            return Gone::Killed(self.sim.snapshot(), heir.0, heir.1);
        };
        let Process {
            out,
            err,
            began,
            before,
            ..
        } = process;
        course
            .ran
            .push(self.ran(role, code, (&out, &err), began, before));
        while let Some(ran) = others.next().await {
            course.ran.push(ran);
        }
        Gone::Ended
    }
}

/// Tells a story to its end.
pub(super) fn told<T>(story: &Story, then: impl FnOnce(Tale) -> T) -> T {
    let mut course = Course {
        todo: story.disturbances.iter().copied().collect(),
        ran: Vec::new(),
        stops: Vec::new(),
        lives: 0,
    };
    let start: Timestamp = START.parse().unwrap();
    let mut left: Option<(Snapshot, Duration, SignedDuration)> = None;
    let mut from = 0;
    let mut then = Some(then);
    loop {
        // Whoever is killed leaves nothing running: each life has a runtime of its own.
        let gone = virtually(async {
            let (clock, sim, off) = match &left {
                None => {
                    let clock = Clock::simulated(start, 1.0);
                    let sim = SimCluster::start(scenario(story), None, clock.clone()).unwrap();
                    from = sim.world().store().version();
                    (clock, sim, SignedDuration::ZERO)
                }
                Some((snapshot, absent, off)) => {
                    let clock = Clock::simulated(snapshot.at(), 1.0);
                    let sim = SimCluster::resume(snapshot, clock.clone());
                    clock.sleep(*absent).await;
                    (clock, sim, *off)
                }
            };
            let place = Place {
                story,
                sim: Arc::new(sim),
                clock,
            };
            match place.life(&mut course, off).await {
                killed @ Gone::Killed(..) => Err(killed),
                Gone::Ended => {
                    // The last pods of what was done come and go.
                    place.clock.sleep(Duration::from_secs(40)).await;
                    let ran = place.run(Role::Last).await;
                    course.ran.push(ran);
                    place.clock.sleep(Duration::from_secs(40)).await;
                    let tale = Tale {
                        sim: place.sim.clone(),
                        from,
                        ran: std::mem::take(&mut course.ran),
                        stops: std::mem::take(&mut course.stops),
                    };
                    Ok(then.take().unwrap()(tale))
                }
            }
        });
        match gone {
            Ok(end) => return end,
            Err(Gone::Killed(snapshot, time, off)) => left = Some((snapshot, time, off)),
            Err(Gone::Ended) => unreachable!("it ended"),
        }
        course.lives += 1;
    }
}
