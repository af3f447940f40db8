//! The tool next to the script that it replaces, on a real cluster: `just bench-live`.
//!
//! Prints, for the same operation by canaryctl and by kubectl commands in turns: wall and CPU time,
//! requests counted from the API server's audit log, and what the bare requests take when a small
//! program sends them. Medians, in milliseconds. It needs a cluster of `tests/live/up`.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "it shares the ground of the live tests, and prints what it measures"
)]

#[path = "../tests/live/suite/floor.rs"]
mod floor;
#[path = "../tests/live/suite/ground.rs"]
mod ground;
#[path = "../tests/live/suite/shop.rs"]
mod shop;
#[path = "../tests/live/suite/tool.rs"]
mod tool;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use http::Request;
use jiff::Timestamp;
use serde_json::{Value, json};

use ground::{client_of, kubectl, pause};
use shop::{CANARY, HEALTHY, STABLE, Shop, in_a_shop};

/// Runs of what only reads.
const LOOKS: usize = 21;

/// Runs of what moves pods.
const MOVES: usize = 5;

/// The user that runs the tool, the one that runs the script, and the bare client: their requests
/// are told apart by it.
const TOOL: &str = "user-1";
const SCRIPT: &str = "user-2";
const BARE: &str = "user-3";

/// The word that makes this program the bare client.
const BE_BARE: &str = "--bare";

/// What one run cost.
#[derive(Debug, Clone, Copy)]
struct Cost {
    wall: Duration,
    cpu: Duration,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let words: Vec<String> = std::env::args().collect();
    if let Some(at) = words.iter().position(|word| word == BE_BARE) {
        runtime.block_on(send_all(
            Path::new(&words[at + 1]),
            Path::new(&words[at + 2]),
        ));
        return;
    }
    runtime.block_on(in_a_shop(HEALTHY, async |shop| {
        entitle(shop).await;
        looks(shop).await;
        moves(shop).await;
    }));
}

// === what is compared ===

async fn looks(shop: &Shop<'_>) {
    let tool = canaryctl(shop, "status payment-api");
    let get = |name: &str| {
        format!(
            "{} -n {} get deployment {name} -o jsonpath={{.status.readyReplicas}}",
            kubectl(),
            shop.namespace
        )
    };
    let script = format!("{} && {}", get(STABLE), get(CANARY));
    let requests = shop.folder.join("requests");
    run(shop, TOOL, &tool);
    let sent = audited(shop, TOOL).await;
    let uris: Vec<&str> = sent
        .iter()
        .map(|r| r["requestURI"].as_str().unwrap())
        .collect();
    fs::write(&requests, uris.join("\n")).unwrap();
    let bare = format!(
        "{} {BE_BARE} {} {}",
        std::env::current_exe().unwrap().display(),
        shop.ground.credentials(BARE).display(),
        requests.display()
    );
    let mut costs = Costs::default();
    // The first of each only warms the caches.
    for round in 0..=LOOKS {
        for (user, line) in [(TOOL, &tool), (SCRIPT, &script), (BARE, &bare)] {
            let cost = run(shop, user, line);
            if round > 0 {
                costs.note(user, cost);
            }
        }
    }
    let each = count(shop, LOOKS + 1, &[(TOOL, 1)]).await;
    println!("status, median of {LOOKS}");
    costs.print(&each);
    println!(
        "  canaryctl takes {:.2} of the bare requests",
        costs.ratio(TOOL, BARE)
    );
}

async fn moves(shop: &Shop<'_>) {
    let step = |deployment: &str, replicas: u32| {
        let (kubectl, namespace) = (kubectl(), &shop.namespace);
        format!(
            "{kubectl} -n {namespace} scale deployment/{deployment} --replicas={replicas} && \
             {kubectl} -n {namespace} rollout status deployment/{deployment}"
        )
    };
    let set = [
        canaryctl(shop, "set payment-api 25 --no-journal"),
        format!("{} && {}", step(CANARY, 3), step(STABLE, 7)),
    ];
    let back = [
        canaryctl(shop, "rollback payment-api"),
        format!("{} && {}", step(STABLE, 10), step(CANARY, 0)),
    ];
    run(shop, TOOL, &back[0]);
    let (mut sets, mut backs) = (Costs::default(), Costs::default());
    let mut urgent = Vec::new();
    let mut each = [BTreeMap::<&str, usize>::new(), BTreeMap::new()];
    for _ in 0..MOVES {
        for (which, user) in [TOOL, SCRIPT].into_iter().enumerate() {
            for (kind, (costs, line)) in [(&mut sets, &set), (&mut backs, &back)]
                .into_iter()
                .enumerate()
            {
                rest(shop).await;
                let before = audited(shop, user).await.len();
                costs.note(user, run(shop, user, &line[which]));
                let requests = audited(shop, user).await.split_off(before);
                *each[kind].entry(user).or_default() += requests.len();
                if kind == 1 && user == TOOL {
                    urgent.push(until_the_change(&requests));
                }
            }
        }
    }
    for (name, costs, sum) in [("set 25", &sets, &each[0]), ("rollback", &backs, &each[1])] {
        println!("{name}, median of {MOVES}");
        #[expect(clippy::cast_precision_loss, reason = "counts are small")]
        let each = sum
            .iter()
            .map(|(user, n)| (*user, *n as f64 / MOVES as f64))
            .collect();
        costs.print(&each);
    }
    urgent.sort_unstable();
    let (time, requests) = urgent[urgent.len() / 2];
    println!(
        "  rollback: {requests} requests and {:.1} ms between the arrival of the first and that of the change to traffic",
        milliseconds(time)
    );
}

/// Returns how long after its first request a rollback's first change of replicas arrived, and how
/// many requests came before that.
fn until_the_change(sent: &[Value]) -> (Duration, usize) {
    let at = |request: &Value| -> Timestamp {
        request["requestReceivedTimestamp"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    let mut sent: Vec<&Value> = sent.iter().collect();
    sent.sort_by_key(|request| at(request));
    let change = sent
        .iter()
        .position(|r| r["verb"] == "patch" && r["objectRef"]["subresource"] == "scale");
    let change = change.expect("the rollback changed nothing");
    let took = at(sent[change]).duration_since(at(sent[0]));
    (took.unsigned_abs(), change)
}

// === running ===

fn canaryctl(shop: &Shop<'_>, line: &str) -> String {
    format!(
        "{} {line} -n {}",
        env!("CARGO_BIN_EXE_canaryctl"),
        shop.namespace
    )
}

/// Runs a line of shell as a user; it must succeed. The shell's own start is not counted.
fn run(shop: &Shop<'_>, user: &str, line: &str) -> Cost {
    let measured = format!(
        "TIMEFORMAT='%U %S'; begin=$EPOCHREALTIME; time {{ {line}; }} >{out} 2>&1; code=$?; \
         end=$EPOCHREALTIME; echo $begin $end $code",
        out = shop.folder.join("said").display(),
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &measured])
        .env_clear()
        .env("PATH", ground::variable("PATH").unwrap_or_default())
        .env("HOME", &shop.folder)
        .env("KUBECONFIG", shop.ground.credentials(user))
        .output()
        .unwrap();
    let said = || fs::read_to_string(shop.folder.join("said")).unwrap_or_default();
    let numbers = |bytes: &[u8]| -> Vec<f64> {
        let text = String::from_utf8_lossy(bytes).replace(',', ".");
        text.split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect()
    };
    let (times, cpu) = (numbers(&output.stdout), numbers(&output.stderr));
    assert!(
        times.len() == 3 && times[2] == 0.0,
        "{line}: {times:?}\n{}",
        said()
    );
    Cost {
        wall: Duration::from_secs_f64(times[1] - times[0]),
        cpu: Duration::from_secs_f64(cpu.iter().sum()),
    }
}

/// Sends GET requests at once over a new connection, as the tool does, and takes in the answers.
async fn send_all(kubeconfig: &Path, requests: &Path) {
    let client = client_of(kubeconfig).await;
    let uris = fs::read_to_string(requests).unwrap();
    let sent = uris.lines().map(|uri| {
        let request = Request::get(uri).header("accept", "application/json");
        client.request_text(request.body(Vec::new()).unwrap())
    });
    for answer in futures::future::join_all(sent).await {
        // What is not there is an answer, too.
        let answered = matches!(answer, Ok(_) | Err(kube::Error::Api(_)));
        assert!(answered, "{answer:?}");
    }
}

/// Waits until the pods that go have gone, so that every run begins alike.
async fn rest(shop: &Shop<'_>) {
    for name in [STABLE, CANARY] {
        let replicas = shop.replicas(name).await;
        shop.ready(name, replicas).await;
    }
    pause(1500).await;
}

// === counting ===

/// Gives the users all rights in the namespace.
async fn entitle(shop: &Shop<'_>) {
    let rbac = "rbac.authorization.k8s.io";
    shop.create(&json!({
        "apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": {"name": "all"},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
    }))
    .await;
    let user = |name: &str| json!({"apiGroup": rbac, "kind": "User", "name": name});
    shop.create(&json!({
        "apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": {"name": "all"},
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "all"},
        "subjects": [user(TOOL), user(SCRIPT), user(BARE)],
    }))
    .await;
}

/// Returns the requests of a user, from the audit log: each once.
async fn audited(shop: &Shop<'_>, user: &str) -> Vec<Value> {
    // The log is written behind the answers.
    pause(300).await;
    let log: PathBuf = shop.ground.setting("CANARYCTL_LIVE_AUDIT").into();
    let text = fs::read_to_string(log).unwrap();
    let by = format!("\"username\":\"{user}\"");
    let mut seen = std::collections::BTreeSet::new();
    text.lines()
        .filter(|line| line.contains(&by))
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|entry| seen.insert(entry["auditID"].as_str().unwrap().to_owned()))
        .collect()
}

/// Returns how many requests each user sent per run; `more` are runs beside those.
async fn count(
    shop: &Shop<'_>,
    runs: usize,
    more: &[(&str, usize)],
) -> BTreeMap<&'static str, f64> {
    let mut each = BTreeMap::new();
    for user in [TOOL, SCRIPT, BARE] {
        let more = more.iter().filter(|(name, _)| *name == user);
        let runs = runs + more.map(|(_, n)| n).sum::<usize>();
        #[expect(clippy::cast_precision_loss, reason = "counts are small")]
        each.insert(user, audited(shop, user).await.len() as f64 / runs as f64);
    }
    each
}

/// Costs by user.
#[derive(Default)]
struct Costs(BTreeMap<&'static str, Vec<Cost>>);

impl Costs {
    fn note(&mut self, user: &'static str, cost: Cost) {
        self.0.entry(user).or_default().push(cost);
    }

    fn median(&self, user: &str, of: impl Fn(&Cost) -> Duration) -> f64 {
        let mut all: Vec<Duration> = self.0[user].iter().map(of).collect();
        all.sort_unstable();
        milliseconds(all[all.len() / 2])
    }

    fn ratio(&self, one: &str, other: &str) -> f64 {
        self.median(one, |c| c.wall) / self.median(other, |c| c.wall)
    }

    fn print(&self, requests: &BTreeMap<&'static str, f64>) {
        println!(
            "  {:10} {:>10} {:>10} {:>10}",
            "", "wall ms", "CPU ms", "requests"
        );
        for (user, name) in [(TOOL, "canaryctl"), (SCRIPT, "kubectl"), (BARE, "bare")] {
            if self.0.contains_key(user) {
                println!(
                    "  {name:10} {:>10.1} {:>10.1} {:>10.1}",
                    self.median(user, |c| c.wall),
                    self.median(user, |c| c.cpu),
                    requests[user],
                );
            }
        }
        println!(
            "  kubectl takes {:.1} times the wall time and {:.1} times the CPU time of canaryctl",
            self.ratio(SCRIPT, TOOL),
            self.median(SCRIPT, |c| c.cpu) / self.median(TOOL, |c| c.cpu),
        );
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
