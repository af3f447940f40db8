//! Bad input: one clear line, a hint, the right exit code, nothing changed.

use std::path::PathBuf;

use canaryctl::sim::api::Rules;
use insta::assert_snapshot;

use super::Console;

/// A folder that goes away with the test.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("canaryctl-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn root(&self) -> &str {
        self.0.to_str().unwrap()
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    pub(super) fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.join(name), text).unwrap();
        self.path(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn deny(console: &Console, verb: &str, group: &str, resource: &str) {
    let rules = Rules::new("ana").deny(verb, group, resource);
    console.sim().server().set_rules(rules);
}

#[tokio::test(start_paused = true)]
async fn flags_that_are_not_there() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.refuses("set payment-api -n canary-release 25 --wieght 3").await, @"");
    assert_snapshot!(console.refuses("stauts").await, @"");
    assert_snapshot!(console.refuses("status --output yaml").await, @"");
    assert_snapshot!(console.refuses("set payment-api").await, @"");
    assert_snapshot!(console.refuses("rollback").await, @"");
    assert_snapshot!(console.refuses("auto --until never payment-api").await, @"");
    assert_snapshot!(console.refuses("generate completions tcsh").await, @"");
}

#[tokio::test(start_paused = true)]
async fn weights_that_are_none() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.refuses("set payment-api -n canary-release 101").await, @"");
    assert_snapshot!(console.refuses("set payment-api -n canary-release -1").await, @"");
    assert_snapshot!(console.refuses("set payment-api -n canary-release abc").await, @"");
    assert_snapshot!(console.refuses("set payment-api -n canary-release +200").await, @"");
    assert_snapshot!(console.refuses("set payment-api -n canary-release -5").await, @"");
}

#[tokio::test(start_paused = true)]
async fn steps_that_are_none() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --steps=").await, @"");
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --steps 50,25").await, @"");
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --steps 10,10").await, @"");
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --steps 10,200").await, @"");
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --until step=9").await, @"");
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --hold soon").await, @"");
}

#[tokio::test(start_paused = true)]
async fn objects_that_are_not_there() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.refuses("status checkout -n canary-release").await, @"");
    assert_snapshot!(console.refuses("set payment-api 25 -n nowhere").await, @"");
    assert_snapshot!(console.refuses("rollback payment-api -n canary-release --canary nothing --stable nothing").await, @"");
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --router istoi").await, @"");
    assert_snapshot!(console.refuses("approve payment-api -n canary-release").await, @"");
    assert_snapshot!(console.refuses("status payment-api -A").await, @"");
}

#[tokio::test(start_paused = true)]
async fn images_that_are_none() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --image=").await, @"");
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --image nginx=image=:x").await, @"");
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --image other=registry/x:1").await, @"");
}

#[tokio::test(start_paused = true)]
async fn sandboxes_that_are_none() {
    let console = Console::new();
    assert_snapshot!(console.refuses("status payment-api --sandbox=helthy").await, @"");
    assert_snapshot!(console.refuses("status payment-api --sandbox=/nowhere/at/all").await, @"");
    assert_snapshot!(console.refuses("sandbox helthy").await, @"");
}

#[tokio::test(start_paused = true)]
async fn variables_that_are_wrong() {
    let console = Console::on("healthy").await.var("CANARYCTL_HOLD", "soon");
    assert_snapshot!(console.refuses("set payment-api -n canary-release 25").await, @"");
}

#[tokio::test(start_paused = true)]
async fn no_app_at_all() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.refuses("promote -n canary-release").await, @"");
    assert_snapshot!(console.refuses("history -n canary-release").await, @"");
}

#[tokio::test(start_paused = true)]
async fn configurations_that_are_wrong() {
    let console = Console::on("healthy").await;
    let folder = Folder::new("configs");
    let file = |name: &str, text: &str| folder.file(name, text);
    let typo = file("typo.yaml", "app: payment-api\nholdd: 5m\n");
    let routers = file(
        "routers.yaml",
        "app: payment-api\nrouter:\n  replicas: {}\n  istio: {}\n",
    );
    let empty = file("steps.yaml", "app: payment-api\nsteps: []\n");
    let broken = file(
        "broken.yaml",
        "app: payment-api\nsteps: [10%, 25%\nhold: 5m\n",
    );
    let check = file(
        "check.yaml",
        "app: payment-api\nchecks:\n  - htpp: { path: /health }\n",
    );
    let mut said = String::new();
    let missing = folder.path("missing.yaml");
    for path in [typo, routers, empty, broken, check, missing] {
        let text = console
            .refuses(&format!("auto -f {path} -n canary-release"))
            .await;
        assert!(text.contains("exit 2"), "{text}");
        said.push_str(&text.replace(folder.root(), "DIR"));
    }
    assert_snapshot!(said, @"");
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_named() {
    let console = Console::on("healthy").await;
    deny(&console, "list", "apps", "deployments");
    assert_snapshot!(console.refuses("status payment-api -n canary-release").await, @"");
    deny(&console, "patch", "apps", "deployments/scale");
    assert_snapshot!(console.refuses("set payment-api -n canary-release 25").await, @"");
    deny(&console, "*", "", "configmaps");
    assert_snapshot!(console.refuses("set payment-api -n canary-release 25").await, @"");
    deny(&console, "create", "", "configmaps");
    assert_snapshot!(console.refuses("set payment-api -n canary-release 25").await, @"");
}

#[tokio::test(start_paused = true)]
async fn a_folder_without_objects_is_no_sandbox() {
    let folder = Folder::new("empty");
    let console = Console::new();
    let line = format!("status payment-api --sandbox={}", folder.root());
    let text = console.refuses(&line).await.replace(folder.root(), "DIR");
    assert_snapshot!(text, @"");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_has_gone_is_no_error() {
    let console = Console::on("healthy").await.closed();
    for line in [
        "status payment-api -n canary-release",
        "monitor payment-api -n canary-release",
    ] {
        let ran = console.run(line).await;
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{line}");
    }
}
