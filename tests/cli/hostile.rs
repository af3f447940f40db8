//! Hostile text: whatever an object, a record, a file, an argument or a plugin holds, nothing that a
//! terminal obeys is printed but our own colours, and no line is forged.

use std::{fmt::Write as _, sync::Arc};

use canaryctl::{
    clock::Clock,
    sim::{
        SimCluster, Snapshot,
        fields::Writer,
        store::{Door, Key, Store},
    },
};
use serde_json::{Value, json};

use super::{Console, RELEASE, Ran, refusals::Folder};

/// A piece of text that would do harm.
const HARM: &[&str] = &[
    "\u{1b}[2J",
    "\u{1b}[31m",
    "\u{1b}]52;c;ZXZpbA==\u{7}",
    "\u{1b}]8;;http://evil.example\u{1b}\\",
    "\u{9b}31m",
    "\u{9d}0;owned\u{9c}",
    "\u{202e}desrever",
    "\u{2066}isolated\u{2069}",
    "\r",
    "\r\nFORGED",
    "\nFORGED line",
    "\n\ntip: FORGED",
    "\u{7}\u{8}\u{7f}",
    "\u{85}FORGED",
    "\u{2028}FORGED\u{2029}",
    "\u{200b}\u{200d}\u{feff}\u{ad}\u{e0041}",
    "\t",
    "\u{0}",
    "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{2764}\u{fe0f}",
    "\\ud800\\u001b[2J\\x1b",
    "{{msg}} {wide_bar} %s $(id) `id` '\"",
    "試験",
];

/// The colours of `report::style`; a list of its own, so that another one shows.
const COLORS: &[&str] = &["0", "1", "2", "31", "32", "33", "36"];

/// Returns whether a terminal acts on a character instead of showing it; a list of its own, so that
/// a hole in the one under test shows.
fn is_obeyed(c: char) -> bool {
    let hides = "\u{ad}\u{61c}\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}\u{e0041}\u{fe0f}";
    let moves = "\u{200e}\u{200f}\u{2028}\u{2029}";
    c.is_control()
        || hides.contains(c)
        || moves.contains(c)
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns a stream without the colours that it may have.
fn unpainted(text: &str, color: bool) -> Result<String, String> {
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let codes = part.strip_prefix('[').and_then(|rest| rest.split_once('m'));
        match codes.filter(|(codes, _)| color && COLORS.contains(codes)) {
            Some((_, rest)) => plain += rest,
            None => return Err(format!("an escape that is not ours: {part:?}")),
        }
    }
    Ok(plain)
}

/// Fails unless what a command printed does nothing to a terminal but colour it, and forges no line.
fn assert_harmless(ran: &Ran, color: bool) {
    for stream in [&ran.out, &ran.err] {
        let plain = unpainted(stream, color).unwrap_or_else(|why| panic!("{}: {why}", ran.line));
        let bad = plain.chars().find(|c| *c != '\n' && is_obeyed(*c));
        assert_eq!(bad, None, "{}: {plain:?}", ran.line);
        let forged = plain
            .lines()
            .find(|line| line.starts_with("FORGED") || line.starts_with("hint: FORGED"));
        assert_eq!(forged, None, "{}: {plain}", ran.line);
    }
}

/// Fails unless stdout is JSON documents.
fn documents(ran: &Ran) -> Vec<Value> {
    let documents = serde_json::Deserializer::from_str(&ran.out).into_iter();
    let read: Result<Vec<Value>, _> = documents.collect();
    read.unwrap_or_else(|error| panic!("{}: {error}: {}", ran.line, ran.out))
}

// === making things hostile ===

/// Spoils strings of JSON values, the same ones for the same seed.
struct Spoiler {
    random: fastrand::Rng,
    /// One string of this many is spoilt.
    one_of: usize,
    /// Names, labels and kinds as well: then hardly anything is found any more.
    all: bool,
}

/// Members by which objects are found.
const IDENTITY: &[&str] = &[
    "apiVersion",
    "kind",
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "labels",
    "selector",
    "ownerReferences",
    "targetRef",
    "type",
    "ip",
    "podIP",
    "version",
];

impl Spoiler {
    fn new(seed: usize) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed as u64),
            one_of: [1, 3, 12, 40][seed % 4],
            all: seed % 5 == 4,
        }
    }

    fn text(&mut self, from: &str) -> String {
        let mut text = match self.random.usize(..4) {
            0 => String::new(),
            1 => "x".repeat(self.random.usize(..4_000)),
            _ => from.to_owned(),
        };
        for _ in 0..=self.random.usize(..4) {
            text += HARM[self.random.usize(..HARM.len())];
        }
        text
    }

    fn spoil(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if self.random.usize(..self.one_of) == 0 {
                    *text = self.text(text);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.spoil(item)),
            Value::Object(members) => {
                for (name, member) in members.iter_mut() {
                    if self.all || !IDENTITY.contains(&name.as_str()) {
                        self.spoil(member);
                    }
                }
                if self.random.usize(..self.one_of * 4) == 0 && members.contains_key("replicas") {
                    members.insert(self.text("added"), Value::String(self.text("")));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Spoils a record, which is JSON in a string.
    fn record(&mut self, data: &mut Value) {
        for text in data.as_object_mut().into_iter().flatten() {
            let parsed = text.1.as_str().map(serde_json::from_str::<Value>);
            if let Some(Ok(mut record)) = parsed {
                self.spoil(&mut record);
                *text.1 = record.to_string().into();
            }
        }
    }

    fn cluster(&mut self, store: &Store) {
        let changes = store.changes_after(100).unwrap();
        let mut keys: Vec<Key> = changes.into_iter().map(|change| change.key).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            let Some(object) = store.get(&key) else {
                continue;
            };
            let mut spoilt = Value::clone(&object);
            if spoilt["data"]["release.json"].is_string() {
                self.record(&mut spoilt["data"]);
            } else {
                let note = self.text("note");
                spoilt["metadata"]["annotations"]["example.com/note"] = note.into();
                self.spoil(&mut spoilt);
            }
            let writer = Writer {
                manager: self.text("kubectl"),
                api_version: "apps/v1".into(),
                subresource: String::new(),
            };
            let change = |object: &mut Value| {
                *object = spoilt;
                object["metadata"]["resourceVersion"] = "".into();
                Ok(())
            };
            // What the store does not take stays as it is.
            drop(store.update_as(Some(&writer), &key, Door::Server, false, change));
        }
    }
}

/// Returns a console next to the cluster as it was.
fn beside(snapshot: &Snapshot) -> Console {
    let sim = SimCluster::resume(snapshot, Clock::simulated(snapshot.at(), 1.0));
    Console {
        sim: Some(Arc::new(sim)),
        ..Console::new()
    }
}

// === objects and records ===

/// Every verb that prints, and the app.
const VERBS: &[&str] = &[
    "status APP",
    "status -A",
    "monitor APP --duration 0s",
    "history APP",
    "check APP",
    "set APP 40 --dry-run",
    "rollback APP --dry-run",
    "auto APP --dry-run",
    "auto APP --dry-run --skip-preflight --image example.com/web:3",
    "promote APP --dry-run --yes",
    "approve APP",
];

/// Ways to print.
const WAYS: &[&str] = &["", "--color always", "-o json", "-v", "-q --color always"];

/// Runs every verb on spoilt copies of a cluster, and returns how often something was escaped.
async fn spoil(snapshot: &Snapshot, app: &str, seeds: std::ops::Range<usize>) -> usize {
    let mut escaped = 0;
    for seed in seeds {
        for (number, verb) in VERBS.iter().enumerate() {
            let way = WAYS[(seed + number) % WAYS.len()];
            let console = beside(snapshot);
            Spoiler::new(seed).cluster(console.sim().world().store());
            let line = format!("{} {way}", verb.replace("APP", app));
            let ran = console.run(&line).await;
            assert_harmless(&ran, way.contains("always"));
            if way.contains("json") {
                documents(&ran);
            }
            let shown = ["\\x1b", "\\u{", "\\u00", "\\n"];
            escaped += usize::from(
                shown
                    .iter()
                    .any(|s| ran.out.contains(s) || ran.err.contains(s)),
            );
        }
    }
    escaped
}

#[tokio::test(start_paused = true)]
async fn nothing_of_the_cluster_reaches_the_terminal_raw() {
    let console = Console::on("healthy").await;
    let halfway = {
        console.run(&format!("set {RELEASE} 25 -q")).await;
        console.sim().snapshot()
    };
    let back = {
        console.run(&format!("rollback {RELEASE} -q")).await;
        console.sim().snapshot()
    };
    let escaped = spoil(&halfway, RELEASE, 0..5).await + spoil(&back, RELEASE, 12..15).await;
    assert!(escaped > 25, "only {escaped} answers held hostile text");
}

#[tokio::test(start_paused = true)]
async fn nothing_of_routes_reaches_the_terminal_raw() {
    let console = Console::beside("auth-service", "orion").await;
    let snapshot = console.sim().snapshot();
    let escaped = spoil(&snapshot, "auth-service -n orion", 20..25).await;
    assert!(escaped > 12, "only {escaped} answers held hostile text");
}

/// Changes the record of the last run.
fn rewrite(console: &Console, change: impl Fn(&mut Value)) {
    let key = Key::new("", "configmaps", "canary-release", "canaryctl-payment-api");
    let edit = |object: &mut Value| {
        let text = object["data"]["release.json"].as_str().unwrap();
        let mut record: Value = serde_json::from_str(text).unwrap();
        change(&mut record);
        object["data"]["release.json"] = record.to_string().into();
        Ok(())
    };
    let store = console.sim().world().store();
    store.update(&key, Door::Main, false, edit).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_forged_record_is_neither_used_nor_shown_raw() {
    let console = Console::on("healthy").await;
    console.run(&format!("set {RELEASE} 25 -q")).await;
    rewrite(&console, |record| {
        record["router"]["name"] = "replicas\u{1b}[2J\u{1b}[Hall is well\n".into();
    });
    for verb in ["status", "rollback"] {
        let ran = console.run(&format!("{verb} {RELEASE}")).await;
        assert_harmless(&ran, false);
        assert_eq!(ran.code, 0, "{}", ran.text());
        assert!(ran.text().contains("not authentic"), "{}", ran.text());
        assert!(!ran.text().contains("all is well"), "{}", ran.text());
    }
}

#[tokio::test(start_paused = true)]
async fn the_image_of_a_record_is_shown_escaped() {
    let evil = "evil:1\u{1b}]52;c;ZXZpbA==\u{7}\r";
    let console = Console::on("healthy").await;
    let key = Key::new(
        "apps",
        "deployments",
        "canary-release",
        "payment-api-stable",
    );
    let edit = |object: &mut Value| {
        object["spec"]["template"]["spec"]["containers"][0]["image"] = evil.into();
        Ok(())
    };
    let store = console.sim().world().store();
    store.update(&key, Door::Main, false, edit).unwrap();
    console
        .run(&format!(
            "auto {RELEASE} --steps 50:10s -q --skip-preflight"
        ))
        .await;
    let ran = console.run(&format!("rollback {RELEASE}")).await;
    assert_harmless(&ran, false);
    let found = "release evil:1\\x1b]52;c;ZXZpbA==\\x07\\r as a canary";
    assert!(ran.out.contains(found), "{}", ran.text());
    let ran = console.run(&format!("rollback {RELEASE} -o json")).await;
    assert_harmless(&ran, false);
    let told = documents(&ran)[0]["text"].to_string();
    let raw = serde_json::to_string(evil).unwrap();
    assert!(told.contains(raw.trim_matches('"')), "{told}");
}

/// What is escaped in JSON is the same text to whoever reads it.
#[tokio::test(start_paused = true)]
async fn json_returns_the_very_text_of_the_objects() {
    let image = HARM.concat();
    let console = Console::on("healthy").await;
    let key = |name| Key::new("apps", "deployments", "canary-release", name);
    let edit = |object: &mut Value| {
        object["spec"]["template"]["spec"]["containers"][0]["image"] = image.clone().into();
        Ok(())
    };
    let store = console.sim().world().store();
    let stable = key("payment-api-stable");
    store.update(&stable, Door::Main, false, edit).unwrap();
    for line in ["status", "monitor --duration 0s"] {
        let (verb, flags) = line.split_once(' ').unwrap_or((line, ""));
        let ran = console
            .run(&format!("{verb} {RELEASE} {flags} -o json"))
            .await;
        assert_harmless(&ran, false);
        let images = &documents(&ran)[0]["stable"]["images"];
        assert_eq!(images["payment-api"], image.as_str());
    }
}

// === arguments, variables, files, plugins ===

#[tokio::test(start_paused = true)]
async fn nothing_that_was_typed_is_printed_raw() {
    let console = Console::on("healthy").await;
    let mut words: Vec<String> = HARM.iter().map(|harm| format!("x{harm}y")).collect();
    words.push(HARM.concat());
    for word in words.iter().map(|word| word.replace('\0', "")) {
        let lines: &[&[&str]] = &[
            &[&word],
            &["status", &word],
            &["status", "payment-api", "-n", &word],
            &["status", "payment-api", "--router", &word],
            &["status", "payment-api", "--stable", &word],
            &["status", "payment-api", "--color", &word],
            &["status", "payment-api", "-f", &word],
            &["status", "payment-api", &word],
            &["set", "payment-api", &word],
            &["set", "payment-api", "25", "--hold", &word],
            &["auto", "payment-api", "--steps", &word],
            &["auto", "payment-api", "--image", &word, "--dry-run"],
            &["auto", "payment-api", "--until", &word],
            &["auto", "payment-api", "--context", &word, "--dry-run"],
            &["sandbox", &word],
            &["generate", "completions", &word],
            &["generate", "rbac", &word],
            &["generate", "rbac", "--router", &word],
            &["generate", "rbac", "--verb", &word],
            &["generate", "rbac", "-n", &word],
        ];
        for line in lines {
            let ran = console.run_words(line).await;
            assert_harmless(&ran, false);
        }
        let flag = format!("--{word}");
        assert_harmless(&console.run_words(&["status", &flag]).await, false);
        let ran = console.clone().var(&format!("CANARYCTL_{word}"), &word);
        let ran = ran.var("USER", &word).var("CANARYCTL_HOLD", &word);
        let ran = ran.run(&format!("set {RELEASE} 25 --dry-run")).await;
        assert_harmless(&ran, false);
    }
}

#[tokio::test(start_paused = true)]
async fn help_has_colours_and_nothing_else() {
    for line in ["-h", "--help", "auto --help", "", "help"] {
        let ran = Console::new().tty().run(line).await;
        for stream in [&ran.out, &ran.err] {
            let plain = strip_help(stream);
            let bad = plain.chars().find(|c| *c != '\n' && is_obeyed(*c));
            assert_eq!(bad, None, "{line}: {plain:?}");
        }
    }
    let ran = Console::new().tty().run("-h").await;
    assert!(ran.out.contains("\u{1b}["), "{}", ran.text());
}

/// Returns help without the styles of clap.
fn strip_help(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (codes, rest) = part.split_once('m').unwrap();
        assert!(codes.bytes().all(|b| b.is_ascii_digit() || b == b';'));
        plain += rest;
    }
    plain
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_configuration_file_is_printed_raw() {
    let folder = Folder::new("hostile-config");
    let console = Console::on("healthy").await;
    for seed in 0..40 {
        let mut spoiler = Spoiler::new(seed);
        spoiler.all = true;
        let mut config = json!({
            "app": "payment-api", "namespace": "canary-release", "stable": "payment-api-stable",
            "router": {"replicas": {}}, "steps": [{"weight": "5%", "hold": "1m"}],
            "checks": [{"pods": {"name": "pods"}}, {"http": {"path": "/healthz", "port": 8080}}],
            "promote": {"strategy": "template"}, "hold": "5m", "interval": "10s",
        });
        spoiler.spoil(&mut config);
        if seed % 3 == 0 {
            let key = spoiler.text("key");
            config[key] = 1.into();
        }
        // As JSON, and as YAML that is broken by its own text.
        let mut text = config.to_string();
        if seed % 4 == 3 {
            text = String::new();
            for (key, value) in config.as_object().unwrap() {
                writeln!(text, "{key}: {}", value.as_str().unwrap_or("x")).unwrap();
            }
        }
        let path = folder.file("canary\u{1b}[2J\u{9b}\u{202e}.yaml", &text);
        for verb in ["check", "status", "set"] {
            let mut words = vec![verb, "payment-api", "-n", "canary-release", "-f", &path];
            if verb == "set" {
                words.extend(["25", "--dry-run"]);
            }
            assert_harmless(&console.run_words(&words).await, false);
        }
        let sandbox = format!("--sandbox={}", folder.root());
        let words = ["status", "payment-api", &sandbox];
        assert_harmless(&Console::new().run_words(&words).await, false);
    }
}

#[tokio::test]
async fn nothing_of_a_kubeconfig_or_its_plugin_is_printed_raw() {
    let folder = Folder::new("hostile-kubeconfig");
    for (number, harm) in HARM.iter().enumerate() {
        let name = format!("n{harm}");
        // printf: what a plugin says is bytes, not all of them text.
        let script = folder.file(
            &format!("plugin-{number}"),
            "printf 'log in:\\033]52;c;eA==\\007 \\233\\377\\r\\033[2J FORGED\\n\\302\\233x' >&2; exit 3",
        );
        let users = [
            json!({}),
            json!({"exec": {
                "apiVersion": "client.authentication.k8s.io/v1", "command": "sh",
                "args": [script], "interactiveMode": "Never",
            }}),
            json!({"exec": {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": name.replace('\0', ""), "interactiveMode": "Never",
            }}),
        ];
        for user in users {
            let config = json!({
                "apiVersion": "v1", "kind": "Config", "current-context": name,
                "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
                "clusters": [{"name": name, "cluster": {"server": "http://127.0.0.1:1"}}],
                "users": [{"name": name, "user": user}],
            });
            let path = folder.file("config\u{1b}[2J", &config.to_string());
            let line = ["status", "payment-api", "--kubeconfig", &path];
            let console = Console::new();
            // Only one waits for a server that is not there.
            if user != json!({}) || number == 0 {
                let ran = console
                    .run_words(&[&line[..], &["--timeout", "1s"]].concat())
                    .await;
                assert_harmless(&ran, false);
                assert_ne!(ran.code, 0);
            }
            let other = [&line[..], &["--context", "nowhere"]].concat();
            assert_harmless(&console.run_words(&other).await, false);
        }
    }
}

/// A release told from beginning to end, with hostile text in what the pods and images say.
#[tokio::test(start_paused = true)]
async fn a_whole_release_is_told_without_raw_text() {
    for way in ["--color always", "-o json"] {
        let console = Console::on("healthy").await;
        for name in ["payment-api-stable", "payment-api-canary"] {
            let key = Key::new("apps", "deployments", "canary-release", name);
            let edit = |object: &mut Value| {
                let image = format!("{name}:1{}", HARM.concat());
                object["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
                object["metadata"]["annotations"]["example.com/note"] = HARM.concat().into();
                Ok(())
            };
            let store = console.sim().world().store();
            store.update(&key, Door::Main, false, edit).unwrap();
        }
        console.wait(60).await;
        let line = format!("auto {RELEASE} --steps 50,100 --hold 10s --interval 5s {way}");
        let line = format!("{line} --skip-preflight --image example.com/web:2");
        let console = console.var("USER", &HARM.concat());
        let ran = console.run(&line).await;
        assert_harmless(&ran, way.contains("always"));
        let shown = format!("{}{}", ran.out, ran.err);
        assert!(shown.contains("payment-api-stable:1"), "{}", ran.text());
        if way.contains("json") {
            documents(&ran);
        }
        let ran = console.run(&format!("history {RELEASE} {way}")).await;
        assert_harmless(&ran, way.contains("always"));
    }
}
