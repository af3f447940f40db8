//! Real kubectl against `canaryctl sandbox`: the simulated cluster, served on loopback.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    ground::{kubectl, within},
    shop::{CANARY, NEW, STABLE},
    tool::{self, Running},
};

/// A sandbox and a folder to work in; both end with the value.
struct Sandbox {
    folder: PathBuf,
    kubeconfig: PathBuf,
    _server: Running,
}

impl Sandbox {
    async fn serve() -> Self {
        let name = format!("sandbox-{:08x}", fastrand::u32(..));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        let kubeconfig = folder.join("kubeconfig.json");
        let words = [
            "sandbox",
            "healthy",
            "--write-kubeconfig",
            "kubeconfig.json",
        ];
        let program = env!("CARGO_BIN_EXE_canaryctl");
        let server = tool::start(program, &words, &folder, Path::new("/nowhere"), &[]);
        let sandbox = Self {
            folder,
            kubeconfig,
            _server: server,
        };
        within(20, "the sandbox to write its kubeconfig", async || {
            sandbox.kubeconfig.exists().then_some(())
        })
        .await;
        sandbox
            .says("rollout status deployment/payment-api-stable --timeout=60s")
            .await;
        sandbox
    }

    fn start(&self, line: &str) -> Running {
        let words: Vec<&str> = line.split_whitespace().collect();
        tool::start(&kubectl(), &words, &self.folder, &self.kubeconfig, &[])
    }

    /// Runs kubectl, which must succeed; returns what it says.
    async fn says(&self, line: &str) -> String {
        self.start(line).ended().await.ends(0).out
    }

    async fn rolled_out(&self, deployment: &str) {
        let line = format!("rollout status deployment/{deployment} --timeout=60s");
        let said = self.says(&line).await;
        assert!(said.contains("successfully rolled out"), "{said}");
    }

    async fn image(&self) -> String {
        let path = "{.spec.template.spec.containers[0].image}";
        self.says(&format!("get deployment {CANARY} -o jsonpath={path}"))
            .await
            .trim()
            .to_owned()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

#[tokio::test]
async fn kubectl_gets_and_describes() {
    let sandbox = Sandbox::serve().await;
    let table = sandbox.says("get deployments,replicasets,services").await;
    assert!(
        table.contains("deployment.apps/payment-api-stable   9/9"),
        "{table}"
    );
    let pods = sandbox.says("get pods -l track=canary -o json").await;
    let pods: Value = serde_json::from_str(&pods).unwrap();
    assert_eq!(pods["items"].as_array().unwrap().len(), 1);
    let text = sandbox.says(&format!("describe deployment {STABLE}")).await;
    for part in [
        "Replicas:               9 desired | 9 updated | 9 total | 9 available",
        "RollingUpdateStrategy:",
        "NewReplicaSet:",
        "registry.example/payment-api:1.5.0",
    ] {
        assert!(text.contains(part), "no '{part}' in:\n{text}");
    }
    let pod = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    let text = sandbox.says(&format!("describe pod {pod}")).await;
    assert!(text.contains("Readiness:"), "{text}");
}

#[tokio::test]
async fn kubectl_scales_and_rolls_out_and_undoes() {
    let sandbox = Sandbox::serve().await;
    let scale = format!("scale deployment/{CANARY} --replicas=3");
    let said = sandbox.says(&scale).await;
    assert!(said.contains("scaled"), "{said}");
    sandbox.rolled_out(CANARY).await;
    let newer = "registry.example/payment-api:2.0.1";
    sandbox
        .says(&format!(
            "set image deployment/{CANARY} payment-api={newer}"
        ))
        .await;
    sandbox.rolled_out(CANARY).await;
    assert_eq!(sandbox.image().await, newer);
    let history = sandbox
        .says(&format!("rollout history deployment/{CANARY}"))
        .await;
    assert!(history.contains("\n2 "), "{history}");
    sandbox
        .says(&format!("rollout undo deployment/{CANARY}"))
        .await;
    sandbox.rolled_out(CANARY).await;
    assert_eq!(sandbox.image().await, NEW);
    // From none and to none.
    for replicas in [0, 2] {
        sandbox
            .says(&format!("scale deployment/{CANARY} --replicas={replicas}"))
            .await;
        sandbox.rolled_out(CANARY).await;
    }
}

#[tokio::test]
async fn kubectl_patches_and_annotates() {
    let sandbox = Sandbox::serve().await;
    for (kind, patch) in [
        ("merge", r#"{"spec":{"minReadySeconds":1}}"#),
        (
            "json",
            r#"[{"op":"replace","path":"/spec/minReadySeconds","value":2}]"#,
        ),
        (
            "strategic",
            r#"{"spec":{"template":{"spec":{"containers":[{"name":"payment-api","env":[{"name":"MORE","value":"1"}]}]}}}}"#,
        ),
    ] {
        sandbox
            .says(&format!(
                "patch deployment {CANARY} --type={kind} -p {patch}"
            ))
            .await;
    }
    let object = sandbox
        .says(&format!("get deployment {CANARY} -o json"))
        .await;
    let object: Value = serde_json::from_str(&object).unwrap();
    assert_eq!(object["spec"]["minReadySeconds"], 2);
    let environment = &object["spec"]["template"]["spec"]["containers"][0]["env"];
    let names: Vec<&str> = environment
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"MORE") && names.contains(&"PORT"),
        "{names:?}"
    );
    sandbox.rolled_out(CANARY).await;
    let note = "{.metadata.annotations.note}";
    for (change, wanted) in [("note=first", "first"), ("note-", "")] {
        sandbox
            .says(&format!("annotate deployment {CANARY} {change}"))
            .await;
        let said = sandbox
            .says(&format!("get deployment {CANARY} -o jsonpath={note}"))
            .await;
        assert_eq!(said.trim(), wanted);
    }
}

#[tokio::test]
async fn kubectl_forwards_a_port() {
    let sandbox = Sandbox::serve().await;
    let mut forward = sandbox.start(&format!("port-forward deployment/{STABLE} :3000"));
    forward.until("Forwarding from 127.0.0.1:").await;
    let said = forward.said();
    let (_, rest) = said.split_once("127.0.0.1:").unwrap();
    let port: u16 = rest.split(' ').next().unwrap().parse().unwrap();
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let request = "GET /health HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"status\":\"healthy\""), "{answer}");
}

#[tokio::test]
async fn kubectl_watches_events() {
    let sandbox = Sandbox::serve().await;
    sandbox
        .says(&format!("scale deployment/{CANARY} --replicas=3"))
        .await;
    sandbox.rolled_out(CANARY).await;
    let mut events = sandbox.start("get events -w");
    events.until("from 1 to 3").await;
    sandbox
        .says(&format!("scale deployment/{CANARY} --replicas=4"))
        .await;
    events.until("from 3 to 4").await;
}
