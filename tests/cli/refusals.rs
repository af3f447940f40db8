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
    assert_snapshot!(console.refuses("set payment-api -n canary-release 25 --wieght 3").await, @r#"
    $ canaryctl set payment-api -n canary-release 25 --wieght 3
    exit 2
    --- stderr
    error: unexpected argument '--wieght'
    hint: `canaryctl set -h` shows how it is used
    "#);
    assert_snapshot!(console.refuses("stauts").await, @r#"
    $ canaryctl stauts
    exit 2
    --- stderr
    error: unrecognized subcommand 'stauts'
    hint: a similar subcommand exists: 'status'
    hint: `canaryctl -h` shows how it is used
    "#);
    assert_snapshot!(console.refuses("status --output yaml").await, @r#"
    $ canaryctl status --output yaml
    exit 2
    --- stderr
    error: invalid value 'yaml' for '--output <FORM>'
    hint: possible values: human, json
    hint: `canaryctl status -h` shows how it is used
    "#);
    assert_snapshot!(console.refuses("set payment-api").await, @r#"
    $ canaryctl set payment-api
    exit 2
    --- stderr
    error: no weight is given for payment-api
    hint: give one, such as `canaryctl set payment-api 25`
    "#);
    assert_snapshot!(console.refuses("rollback").await, @r#"
    $ canaryctl rollback
    exit 2
    --- stderr
    error: no app is named
    hint: name it on the command line, or in a file passed with -f
    "#);
    assert_snapshot!(console.refuses("auto --until never payment-api").await, @r#"
    $ canaryctl auto --until never payment-api
    exit 2
    --- stderr
    error: --until: 'never' is none of paused, promoted, step=N
    hint: `canaryctl auto -h` shows how it is used
    "#);
    assert_snapshot!(console.refuses("generate completions tcsh").await, @r#"
    $ canaryctl generate completions tcsh
    exit 2
    --- stderr
    error: invalid value 'tcsh' for '<SHELL>'
    hint: possible values: bash, elvish, fish, powershell, zsh
    hint: `canaryctl generate -h` shows how it is used
    "#);
}

#[tokio::test(start_paused = true)]
async fn weights_that_are_none() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.refuses("set payment-api -n canary-release 101").await, @r#"
    $ canaryctl set payment-api -n canary-release 101
    exit 2
    --- stderr
    error: [WEIGHT]: '101' is not a weight: must be from 0 to 100
    hint: `canaryctl set -h` shows how it is used
    "#);
    assert_snapshot!(console.refuses("set payment-api -n canary-release abc").await, @r#"
    $ canaryctl set payment-api -n canary-release abc
    exit 2
    --- stderr
    error: [WEIGHT]: 'abc' is not a weight: write a number such as 25, 25% or 0.5%
    hint: `canaryctl set -h` shows how it is used
    "#);
    assert_snapshot!(console.refuses("set payment-api -n canary-release +200").await, @r#"
    $ canaryctl set payment-api -n canary-release +200
    exit 2
    --- stderr
    error: [WEIGHT]: '+200' is not a weight: must be from 0 to 100
    hint: `canaryctl set -h` shows how it is used
    "#);
    assert_snapshot!(console.refuses("set payment-api -n canary-release -20").await, @r#"
    $ canaryctl set payment-api -n canary-release -20
    exit 2
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    error: '-20%' is not a weight: the weight would leave 0–100 %
    hint: give a weight from 0 to 100
    "#);
}

#[tokio::test(start_paused = true)]
async fn steps_that_are_none() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --steps=").await, @r#"
    $ canaryctl auto payment-api -n canary-release --steps=
    exit 2
    --- stderr
    error: --steps '': the list of steps is empty
    hint: `canaryctl auto -h` shows how it is used
    "#);
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --steps 50,25").await, @r#"
    $ canaryctl auto payment-api -n canary-release --steps 50,25
    exit 2
    --- stderr
    error: --steps '50,25': steps must rise: 25% comes after 50%
    hint: `canaryctl auto -h` shows how it is used
    "#);
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --steps 10,10").await, @r#"
    $ canaryctl auto payment-api -n canary-release --steps 10,10
    exit 2
    --- stderr
    error: --steps '10,10': steps must rise: 10% comes after 10%
    hint: `canaryctl auto -h` shows how it is used
    "#);
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --steps 10,200").await, @r#"
    $ canaryctl auto payment-api -n canary-release --steps 10,200
    exit 2
    --- stderr
    error: --steps '10,200': '200' is not a weight: must be from 0 to 100
    hint: `canaryctl auto -h` shows how it is used
    "#);
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --steps=-1,50").await, @r#"
    $ canaryctl auto payment-api -n canary-release --steps=-1,50
    exit 2
    --- stderr
    error: --steps '-1,50': '-1' is not a weight: write a number such as 25, 25% or 0.5%
    hint: `canaryctl auto -h` shows how it is used
    "#);
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --until step=9").await, @r#"
    $ canaryctl auto payment-api -n canary-release --until step=9
    exit 2
    --- stderr
    error: --until step=9: the plan has 5 steps
    hint: count the steps from 1
    "#);
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --hold soon").await, @r#"
    $ canaryctl auto payment-api -n canary-release --hold soon
    exit 2
    --- stderr
    error: --hold: 'soon' is not a duration: write a number with a unit, such as 30s, 5m or 1h30m
    hint: `canaryctl auto -h` shows how it is used
    "#);
}

#[tokio::test(start_paused = true)]
async fn objects_that_are_not_there() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.refuses("status checkout -n canary-release").await, @r#"
    $ canaryctl status checkout -n canary-release
    exit 2
    --- stderr
    error: no Deployment of app 'checkout' in namespace canary-release
    hint: Deployments there are: payment-api-canary, payment-api-stable; or name them with --stable and --canary
    "#);
    assert_snapshot!(console.refuses("set payment-api 25 -n nowhere").await, @r#"
    $ canaryctl set payment-api 25 -n nowhere
    exit 2
    --- stderr
    error: no Deployment of app 'payment-api' in namespace nowhere
    hint: the namespace has no Deployments; check --namespace and --context
    "#);
    assert_snapshot!(console.refuses("rollback payment-api -n canary-release --canary nothing --stable nothing").await, @r#"
    $ canaryctl rollback payment-api -n canary-release --canary nothing --stable nothing
    exit 2
    --- stderr
    error: stable and canary are both 'nothing'
    hint: they must be two Deployments
    "#);
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --router istoi").await, @r#"
    $ canaryctl auto payment-api -n canary-release --router istoi
    exit 2
    --- stderr
    error: no router 'istoi'; there are: replicas, istio, gateway, nginx, smi, alb, traefik, pointer
    hint: did you mean 'istio'? Leave --router out to have it detected
    "#);
    assert_snapshot!(console.refuses("approve payment-api -n canary-release").await, @r#"
    $ canaryctl approve payment-api -n canary-release
    exit 2
    --- stderr
    error: cannot approve release canary-release/payment-api: no step waits for approval
    hint: `canaryctl status payment-api -n canary-release` shows what it waits for
    "#);
    assert_snapshot!(console.refuses("status payment-api -A").await, @r#"
    $ canaryctl status payment-api -A
    exit 2
    --- stderr
    error: -A shows all releases, not one app
    hint: leave out the app, or -A
    "#);
}

#[tokio::test(start_paused = true)]
async fn images_that_are_none() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --image=").await, @r#"
    $ canaryctl auto payment-api -n canary-release --image=
    exit 2
    --- stderr
    error: --image: '' is not [CONTAINER=]IMAGE
    hint: `canaryctl auto -h` shows how it is used
    "#);
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --image nginx=image=:x").await, @r#"
    $ canaryctl auto payment-api -n canary-release --image nginx=image=:x
    exit 2
    --- stderr
    error: --image: 'nginx=image=:x' is not [CONTAINER=]IMAGE
    hint: `canaryctl auto -h` shows how it is used
    "#);
    assert_snapshot!(console.refuses("auto payment-api -n canary-release --image other=registry/x:1").await, @r#"
    $ canaryctl auto payment-api -n canary-release --image other=registry/x:1
    exit 2
    --- stderr
    error: payment-api-canary has no container other; it has: payment-api
    hint: give --image CONTAINER=IMAGE
    "#);
}

#[tokio::test(start_paused = true)]
async fn sandboxes_that_are_none() {
    let console = Console::new();
    assert_snapshot!(console.refuses("status payment-api --sandbox=helthy").await, @r#"
    $ canaryctl status payment-api --sandbox=helthy
    exit 2
    --- stderr
    error: sandbox: no scenario is called "helthy"; there are healthy, errors-at-25, slow, crash-loop, never-ready, image-missing, config-missing, no-data, flapping, hpa-fights, oom, late-errors, quota, low-traffic, metrics, metrics-bad, prometheus-down
    hint: did you mean 'healthy'?
    hint: `canaryctl sandbox --list` shows the scenarios; a folder must exist
    "#);
    assert_snapshot!(console.refuses("status payment-api --sandbox=/nowhere/at/all").await, @r#"
    $ canaryctl status payment-api --sandbox=/nowhere/at/all
    exit 2
    --- stderr
    error: sandbox: there is no folder /nowhere/at/all
    hint: `canaryctl sandbox --list` shows the scenarios; a folder must exist
    "#);
    assert_snapshot!(console.refuses("sandbox helthy").await, @r#"
    $ canaryctl sandbox helthy
    exit 2
    --- stderr
    error: sandbox: no scenario is called "helthy"; there are healthy, errors-at-25, slow, crash-loop, never-ready, image-missing, config-missing, no-data, flapping, hpa-fights, oom, late-errors, quota, low-traffic, metrics, metrics-bad, prometheus-down
    hint: did you mean 'healthy'?
    hint: `canaryctl sandbox --list` shows the scenarios; a folder must exist
    "#);
}

#[tokio::test(start_paused = true)]
async fn variables_that_are_wrong() {
    let console = Console::on("healthy").await.var("CANARYCTL_HOLD", "soon");
    assert_snapshot!(console.refuses("set payment-api -n canary-release 25").await, @r#"
    $ canaryctl set payment-api -n canary-release 25
    exit 2
    --- stderr
    error: CANARYCTL_HOLD: 'soon' is not a duration: write a number with a unit, such as 30s, 5m or 1h30m
    hint: CANARYCTL_HOLD: time at each step, such as 5m
    "#);
}

#[tokio::test(start_paused = true)]
async fn no_app_at_all() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.refuses("promote -n canary-release").await, @r#"
    $ canaryctl promote -n canary-release
    exit 2
    --- stderr
    error: no app is named
    hint: name it on the command line, or in a file passed with -f
    "#);
    assert_snapshot!(console.refuses("history -n canary-release").await, @r#"
    $ canaryctl history -n canary-release
    exit 2
    --- stderr
    error: no app is named
    hint: name it on the command line, or in a file passed with -f
    "#);
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
    assert_snapshot!(said, @r"
    $ canaryctl auto -f DIR/typo.yaml -n canary-release
    exit 2
    --- stderr
    error: DIR/typo.yaml:2:1: unknown key 'holdd'; did you mean 'hold'?
      2 | holdd: 5m
          ^
    hint: known: app, apps, group, namespace, stable, canary, service, router, routers, createRoute, steps, hold, early, deadline, interval, readyTimeout, promoteTimeout, drain, warmup, checks, pre, metrics, brake, onUnknown, onFailure, onInterrupt, promote, load
    $ canaryctl auto -f DIR/routers.yaml -n canary-release
    exit 2
    --- stderr
    error: DIR/routers.yaml:3:3: router: exactly one key is allowed, found 2: replicas, istio
      3 |   replicas: {}
            ^
    $ canaryctl auto -f DIR/steps.yaml -n canary-release
    exit 2
    --- stderr
    error: DIR/steps.yaml:2:8: steps: the list of steps is empty
      2 | steps: []
                 ^
    $ canaryctl auto -f DIR/broken.yaml -n canary-release
    exit 2
    --- stderr
    error: DIR/broken.yaml:3:5: not valid YAML: illegal placement of ':' indicator
      3 | hold: 5m
              ^
    hint: check the indentation, the quotes and the brackets of this line and the one before
    $ canaryctl auto -f DIR/check.yaml -n canary-release
    exit 2
    --- stderr
    error: DIR/check.yaml:3:5: unknown key 'htpp' in checks[0]; did you mean 'http'?
      3 |   - htpp: { path: /health }
              ^
    hint: known: pods, http, errorRate, latency, traffic, value, saturation, json, webhook, command, alerts
    $ canaryctl auto -f DIR/missing.yaml -n canary-release
    exit 2
    --- stderr
    error: DIR/missing.yaml: No such file or directory (os error 2)
    hint: check the path given with -f
    ");
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_named() {
    let console = Console::on("healthy").await;
    deny(&console, "list", "apps", "deployments");
    assert_snapshot!(console.refuses("status payment-api -n canary-release").await, @r#"
    $ canaryctl status payment-api -n canary-release
    exit 1
    --- stderr
    error: cannot read Deployments of namespace canary-release: deployments.apps is forbidden: User "ana" cannot list resource "deployments" in API group "apps" in the namespace "canary-release"
    hint: ask for the missing permission; `canaryctl check payment-api -n canary-release` lists what each verb needs
    "#);
    deny(&console, "patch", "apps", "deployments/scale");
    assert_snapshot!(console.shows("set payment-api -n canary-release 25").await, @r#"
    $ canaryctl set payment-api -n canary-release 25
    exit 5
    --- stdout
    09:02:00Z  PAUSED with the split live after 1m00s: cannot scale Deployment
               canary-release/payment-api-canary: deployments.apps "payment-api-canary" is forbidden:
               User "ana" cannot patch resource "deployments/scale" in API group "apps" in the namespace
               "canary-release"; tried again for 1m of the same refusal; payment-api-canary had 10% of
               the traffic at 09:02:00Z, and may have 25% since
               weights  10%
               next     canaryctl status payment-api -n canary-release
               undo     canaryctl rollback payment-api -n canary-release
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    09:01:00Z  started      run 20260105-090100: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 25%
    09:01:00Z  waiting      cannot scale Deployment canary-release/payment-api-canary: deployments.apps
                            "payment-api-canary" is forbidden: User "ana" cannot patch resource
                            "deployments/scale" in API group "apps" in the namespace "canary-release";
                            tries again until 1m of the same refusal are over
    "#);
    deny(&console, "*", "", "configmaps");
    assert_snapshot!(console.refuses("set payment-api -n canary-release 25").await, @r#"
    $ canaryctl set payment-api -n canary-release 25
    exit 1
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    error: cannot read ConfigMap canary-release/canaryctl-payment-api: configmaps "canaryctl-payment-api" is forbidden: User "ana" cannot get resource "configmaps" in API group "" in the namespace "canary-release"
    hint: ask for the missing permission; `canaryctl check payment-api -n canary-release` lists what each verb needs
    "#);
    let console = Console::on("healthy").await;
    deny(&console, "create", "", "configmaps");
    assert_snapshot!(console.refuses("set payment-api -n canary-release 25").await, @r#"
    $ canaryctl set payment-api -n canary-release 25
    exit 1
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    error: cannot create ConfigMap canary-release/canaryctl-payment-api: configmaps is forbidden: User "ana" cannot create resource "configmaps" in API group "" in the namespace "canary-release"
    hint: ask for the missing permission; `canaryctl check payment-api -n canary-release` lists what each verb needs
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_folder_without_objects_is_no_sandbox() {
    let folder = Folder::new("empty");
    let console = Console::new();
    let line = format!("status payment-api --sandbox={}", folder.root());
    let text = console.refuses(&line).await.replace(folder.root(), "DIR");
    assert_snapshot!(text, @r#"
    $ canaryctl status payment-api --sandbox=DIR
    exit 2
    --- stderr
    error: DIR: there are no objects in it
    hint: a sandbox folder holds YAML objects and an optional scenario.yaml
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_scenario_with_a_mistake_is_told_with_its_line() {
    let folder = Folder::new("scenario");
    folder.file("scenario.yaml", "traffic:\n  service: shop/web\n  rat: 5\n");
    let console = Console::new();
    let line = format!("status payment-api --sandbox={}", folder.root());
    let text = console.refuses(&line).await.replace(folder.root(), "DIR");
    assert_snapshot!(text, @r#"
    $ canaryctl status payment-api --sandbox=DIR
    exit 2
    --- stderr
    error: DIR/scenario.yaml: cannot read the scenario: line 3: unknown key 'rat' in traffic; did you mean 'rate'?
    hint: known: service, rate, wave, bursts, cpu_per_request
    hint: a sandbox folder holds YAML objects and an optional scenario.yaml
    "#);
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

#[tokio::test(start_paused = true)]
async fn a_header_from_the_file_is_never_shown() {
    let console = Console::on("healthy").await;
    let folder = Folder::new("secret");
    let check = "{ path: /metrics, good: body.good, total: body.total, min: 95%, headers: { Authorization: Bearer s3cr3t } }";
    let text = format!("app: payment-api\nchecks:\n  - http: {check}\n");
    let path = folder.file("canary.yaml", &text);
    for line in [
        "status",
        "status -o json",
        "monitor --duration 0s -v",
        "check",
        "auto --dry-run -v",
        "set payment-api 25 -v -o json",
        "history -o json",
    ] {
        let ran = console
            .run(&format!("{line} -f {path} -n canary-release"))
            .await;
        assert!(!ran.text().contains("s3cr3t"), "{}", ran.text());
    }
}
