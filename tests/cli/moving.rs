//! Verbs that move traffic by hand.

use insta::assert_snapshot;
use k8s_openapi::api::{apps::v1::Deployment, events::v1::Event};
use kube::{Api, api::ListParams};

use super::{Console, RELEASE};

#[tokio::test(start_paused = true)]
async fn set_moves_and_proves() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25").await, @r"
    $ canaryctl set payment-api -n canary-release 25
    exit 0
    --- stdout
    09:01:13Z  WEIGHT REACHED after 13s: canary at 30% (wanted 25%, 3 of 10 pods)
               weights  10% → 30%
               live     stable 70% on 7 ready pods, canary 30% on 3 ready pods
               next     canaryctl monitor payment-api -n canary-release
               undo     canaryctl rollback payment-api -n canary-release
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    09:01:00Z  started      run 20260105-090100: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 25%
    09:01:00Z  apply        scale payment-api-canary from 1 to 3
    09:01:03Z  waiting      payment-api-canary: 1/3 pods ready
    09:01:13Z  apply        scale payment-api-stable from 9 to 7
    09:01:13Z  reached      canary at 30% (wanted 25%, 3 of 10 pods = 30%)
    ");
    assert_snapshot!(console.shows("set payment-api -n canary-release +10").await, @r#"
    $ canaryctl set payment-api -n canary-release +10
    exit 0
    --- stdout
    09:01:24Z  WEIGHT REACHED after 11s: canary at 40% (wanted 40%, 4 of 10 pods)
               weights  40%
               live     stable 60% on 6 ready pods, canary 40% on 4 ready pods
               next     canaryctl monitor payment-api -n canary-release
               undo     canaryctl rollback payment-api -n canary-release
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas from the run in progress
    09:01:13Z  resumed      run 20260105-090100: moving traffic
    09:01:13Z  apply        scale payment-api-canary from 3 to 4
    09:01:14Z  waiting      payment-api-canary: 3/4 pods ready
    09:01:24Z  apply        scale payment-api-stable from 7 to 6
    09:01:24Z  reached      canary at 40% (4 of 10 pods)
    "#);
    assert_snapshot!(console.shows("set payment-api -n canary-release 35").await, @r#"
    $ canaryctl set payment-api -n canary-release 35
    exit 0
    --- stdout
    09:01:24Z  WEIGHT REACHED after 0s: canary at 40% (wanted 35%, 4 of 10 pods)
               weights  40%
               live     stable 60% on 6 ready pods, canary 40% on 4 ready pods
               next     canaryctl monitor payment-api -n canary-release
               undo     canaryctl rollback payment-api -n canary-release
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas from the run in progress
    09:01:24Z  resumed      run 20260105-090100: moving traffic
    09:01:24Z  reached      canary at 40% (wanted 35%, 4 of 10 pods = 40%)
    "#);
}

#[tokio::test(start_paused = true)]
async fn set_says_the_real_share() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 0.5%").await, @r"
    $ canaryctl set payment-api -n canary-release 0.5%
    exit 0
    --- stdout
    09:01:00Z  WEIGHT REACHED after 0s: canary at 10% (wanted 0.5%, 1 of 10 pods)
               weights  10%
               live     stable 90% on 9 ready pods, canary 10% on 1 ready pod
               next     canaryctl monitor payment-api -n canary-release
               undo     canaryctl rollback payment-api -n canary-release
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    09:01:00Z  started      run 20260105-090100: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 0.5%
    09:01:00Z  reached      canary at 10% (wanted 0.5%, 1 of 10 pods = 10%)
    ");
}

#[tokio::test(start_paused = true)]
async fn set_in_json() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 -o json").await, @r#"
    $ canaryctl set payment-api -n canary-release 25 -o json
    exit 0
    --- stdout
    {"version":1,"at":"2026-01-05T09:01:00Z","event":"started","id":"20260105-090100","steps":[25.0],"change":"registry.example/payment-api:1.5.0 → registry.example/payment-api:2.0.0","live":10.0}
    {"version":1,"at":"2026-01-05T09:01:00Z","event":"checked","track":"canary","results":[]}
    {"version":1,"at":"2026-01-05T09:01:00Z","event":"acting","what":"scale payment-api-canary from 1 to 3","changes":[{"object":"Deployment canary-release/payment-api-canary","path":"/spec/replicas","from":1,"to":3}]}
    {"version":1,"at":"2026-01-05T09:01:03.45Z","event":"waiting","what":"payment-api-canary: 1/3 pods ready","since":"2026-01-05T09:01:00Z"}
    {"version":1,"at":"2026-01-05T09:01:13.264Z","event":"checked","track":"canary","results":[]}
    {"version":1,"at":"2026-01-05T09:01:13.264Z","event":"acting","what":"scale payment-api-stable from 9 to 7","changes":[{"object":"Deployment canary-release/payment-api-stable","path":"/spec/replicas","from":9,"to":7}]}
    {"version":1,"at":"2026-01-05T09:01:13.7Z","event":"reached","split":{"wanted":25.0,"set":30.0,"actual":30.0,"matches":true,"settled":true,"stableReady":7,"canaryReady":3,"detail":"3 of 10 pods"}}
    {"version":1,"at":"2026-01-05T09:01:13.7Z","event":"ended","outcome":"at-weight","text":"canary at 30% (wanted 25%, 3 of 10 pods)","split":{"wanted":25.0,"set":30.0,"actual":30.0,"matches":true,"settled":true,"stableReady":7,"canaryReady":3,"detail":"3 of 10 pods"}}
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_of_a_run_deletes_the_canary_where_asked() {
    let console = Console::on("healthy").await;
    for line in ["set payment-api 30", "rollback payment-api --delete"] {
        let ran = console.run(&format!("{line} -n canary-release")).await;
        assert_eq!(ran.code, 0, "{}", ran.text());
    }
    let deployments: Api<Deployment> =
        Api::namespaced(console.sim().client("canary-release"), "canary-release");
    let canary = deployments.get_opt("payment-api-canary").await.unwrap();
    assert!(canary.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_leaves_no_kubernetes_event() {
    let console = Console::on("healthy").await;
    for line in [
        "set payment-api 50",
        "auto payment-api --yes",
        "rollback payment-api",
    ] {
        let ran = console
            .run(&format!("{line} -n canary-release --dry-run"))
            .await;
        assert_eq!(ran.code, 0, "{}", ran.text());
    }
    let events: Api<Event> = Api::all(console.sim().client("canary-release"));
    let events = events.list(&ListParams::default()).await.unwrap().items;
    let ours = |event: &&Event| {
        let by = event.reporting_controller.as_deref();
        by.is_some_and(|by| by.starts_with("canaryctl"))
    };
    assert_eq!(events.iter().find(ours), None);
}

#[tokio::test(start_paused = true)]
async fn set_dry_run_changes_nothing() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 --dry-run").await, @r#"
    $ canaryctl set payment-api -n canary-release 25 --dry-run
    exit 0
    --- stdout
    would scale payment-api-canary from 1 to 3 (accepted by the API server)
      Deployment canary-release/payment-api-canary
        /spec/replicas  1 → 3
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    "#);
    assert_snapshot!(console.shows("status payment-api -n canary-release --quick").await, @r#"
    $ canaryctl status payment-api -n canary-release --quick
    exit 0
    --- stdout
    payment-api  namespace canary-release  router replicas
    state   no run is recorded for this app
    split   stable ████████████████████████████████████░░░░ canary 10% (1 of 10 pods)

            READY  RESTARTS  REVISION  IMAGE
    stable  9/9    0         b9e7c8c2  registry.example/payment-api:1.5.0
    canary  1/1    0         cfc10cb8  registry.example/payment-api:2.0.0

    checks  none evaluated

    next    canaryctl auto payment-api -n canary-release
    undo    canaryctl rollback payment-api -n canary-release
    found   Deployments payment-api-stable and payment-api-canary by name; Service payment-api-service
            by name and selector; router replicas: Service payment-api-service selects the pods of both
            Deployments
    "#);
}

#[tokio::test(start_paused = true)]
async fn set_quiet_says_only_the_answer() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 -q").await, @r"
    $ canaryctl set payment-api -n canary-release 25 -q
    exit 0
    --- stdout
    09:01:13Z  WEIGHT REACHED after 13s: canary at 30% (wanted 25%, 3 of 10 pods)
               weights  10% → 30%
               live     stable 70% on 7 ready pods, canary 30% on 3 ready pods
               next     canaryctl monitor payment-api -n canary-release
               undo     canaryctl rollback payment-api -n canary-release
    ");
}

#[tokio::test(start_paused = true)]
async fn set_verbose_on_a_terminal() {
    let console = Console::on("healthy").await.tty().var("NO_COLOR", "1");
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 -v").await, @r"
    $ canaryctl set payment-api -n canary-release 25 -v
    exit 0
    --- stdout
    09:01:13Z  WEIGHT REACHED after 13s: canary at 30% (wanted 25%, 3 of 10 pods)
               weights  10% → 30%
               live     stable 70% on 7 ready pods, canary 30% on 3 ready pods
               next     canaryctl monitor payment-api -n canary-release
               undo     canaryctl rollback payment-api -n canary-release
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    09:01:00Z  started      run 20260105-090100: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 25%
    09:01:00Z  apply        scale payment-api-canary from 1 to 3
    09:01:03Z  waiting      payment-api-canary: 1/3 pods ready
    09:01:13Z  apply        scale payment-api-stable from 9 to 7
    09:01:13Z  reached      canary at 30% (wanted 25%, 3 of 10 pods = 30%)
    ");
}

#[tokio::test(start_paused = true)]
async fn set_without_a_journal() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 --no-journal -q").await, @r"
    $ canaryctl set payment-api -n canary-release 25 --no-journal -q
    exit 0
    --- stdout
    09:01:13Z  WEIGHT REACHED after 13s: canary at 30% (wanted 25%, 3 of 10 pods)
               weights  10% → 30%
               live     stable 70% on 7 ready pods, canary 30% on 3 ready pods
               next     canaryctl monitor payment-api -n canary-release
               undo     canaryctl rollback payment-api -n canary-release
    ");
    assert_snapshot!(console.shows("status -n canary-release").await, @r#"
    $ canaryctl status -n canary-release
    exit 0
    --- stdout
    no releases in namespace canary-release
    --- stderr
    start one with `canaryctl auto APP --image IMAGE`
    "#);
}

#[tokio::test(start_paused = true)]
async fn rollback_after_set() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 -q").await, @r"
    $ canaryctl set payment-api -n canary-release 25 -q
    exit 0
    --- stdout
    09:01:13Z  WEIGHT REACHED after 13s: canary at 30% (wanted 25%, 3 of 10 pods)
               weights  10% → 30%
               live     stable 70% on 7 ready pods, canary 30% on 3 ready pods
               next     canaryctl monitor payment-api -n canary-release
               undo     canaryctl rollback payment-api -n canary-release
    ");
    assert_snapshot!(console.shows("rollback payment-api -n canary-release").await, @r"
    $ canaryctl rollback payment-api -n canary-release
    exit 0
    --- stdout
    09:01:25Z  ROLLED BACK after 11s: verified at 0%: an operator asked for it
               weights  0%
               live     stable 100% on 9 ready pods, canary 0% on 0 ready pods
               next     canaryctl status payment-api -n canary-release
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas from the run in progress
    09:01:13Z  resumed      run 20260105-090100: moving traffic
    09:01:13Z  ROLLING BACK an operator asked for it
    09:01:13Z  rollback     moving traffic to stable
    09:01:13Z  apply        scale payment-api-stable from 7 to 10
    09:01:14Z  waiting      payment-api-stable: 7/10 pods ready, before payment-api-canary is scaled to
                            0
    09:01:24Z  apply        scale payment-api-canary from 3 to 0
    09:01:24Z  reached      canary at 0% (0 of 10 pods)
    09:01:24Z  phase        draining
    09:01:24Z  phase        cleaning up
    09:01:24Z  apply        scale payment-api-stable from 10 to 9
    ");
    assert_snapshot!(console.shows("rollback payment-api -n canary-release").await, @r"
    $ canaryctl rollback payment-api -n canary-release
    exit 0
    --- stdout
    nothing to roll back: the canary receives no traffic
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    ");
}

#[tokio::test(start_paused = true)]
async fn rollback_now_moves_the_traffic_alone() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 -q").await, @r"
    $ canaryctl set payment-api -n canary-release 25 -q
    exit 0
    --- stdout
    09:01:13Z  WEIGHT REACHED after 13s: canary at 30% (wanted 25%, 3 of 10 pods)
               weights  10% → 30%
               live     stable 70% on 7 ready pods, canary 30% on 3 ready pods
               next     canaryctl monitor payment-api -n canary-release
               undo     canaryctl rollback payment-api -n canary-release
    ");
    assert_snapshot!(console.shows("rollback payment-api -n canary-release --now").await, @r"
    $ canaryctl rollback payment-api -n canary-release --now
    exit 0
    --- stdout
    09:01:13Z  WEIGHT REACHED after 0s: no traffic reaches the canary; 7 of 10 pods of
               payment-api-stable are ready, the others are coming; another `rollback` cleans up
               weights  0%
               live     stable 100% on 7 ready pods, canary 0% on 0 ready pods
               next     canaryctl monitor payment-api -n canary-release
               undo     canaryctl rollback payment-api -n canary-release
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas from the run in progress
    09:01:13Z  resumed      run 20260105-090100: moving traffic
    09:01:13Z  ROLLING BACK an operator asked for it
    09:01:13Z  rollback     moving traffic to stable
    09:01:13Z  apply        scale payment-api-stable from 7 to 10
    09:01:13Z  warning      7 of 10 pods of payment-api-stable carry all traffic until the others are
                            ready
    09:01:13Z  apply        scale payment-api-canary from 3 to 0
    09:01:13Z  reached      canary at 0% (0 of 7 pods)
    ");
    assert_snapshot!(console.shows("rollback payment-api -n canary-release").await, @r"
    $ canaryctl rollback payment-api -n canary-release
    exit 0
    --- stdout
    09:01:24Z  ROLLED BACK after 11s: verified at 0%: an operator asked for it
               weights  0%
               live     stable 100% on 9 ready pods, canary 0% on 0 ready pods
               next     canaryctl status payment-api -n canary-release
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas from the run in progress
    09:01:13Z  resumed      run 20260105-090100: rolling back
    09:01:13Z  waiting      payment-api-stable: 7/10 pods ready (ContainerCreating)
    09:01:14Z  waiting      payment-api-stable: 7/10 pods ready
    09:01:24Z  reached      canary at 0% (0 of 10 pods)
    09:01:24Z  phase        draining
    09:01:24Z  phase        cleaning up
    09:01:24Z  apply        scale payment-api-stable from 10 to 9
    ");
}

#[tokio::test(start_paused = true)]
async fn rollback_dry_run() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 -q").await, @r"
    $ canaryctl set payment-api -n canary-release 25 -q
    exit 0
    --- stdout
    09:01:13Z  WEIGHT REACHED after 13s: canary at 30% (wanted 25%, 3 of 10 pods)
               weights  10% → 30%
               live     stable 70% on 7 ready pods, canary 30% on 3 ready pods
               next     canaryctl monitor payment-api -n canary-release
               undo     canaryctl rollback payment-api -n canary-release
    ");
    assert_snapshot!(console.shows("rollback payment-api -n canary-release --dry-run").await, @r#"
    $ canaryctl rollback payment-api -n canary-release --dry-run
    exit 0
    --- stdout
    would scale payment-api-stable from 7 to 10 (accepted by the API server)
      Deployment canary-release/payment-api-stable
        /spec/replicas  7 → 10
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas from the run in progress
    "#);
    assert_snapshot!(console.shows("status payment-api -n canary-release --quick -q").await, @r#"
    $ canaryctl status payment-api -n canary-release --quick -q
    exit 0
    --- stdout
    payment-api  namespace canary-release  router replicas  run 20260105-090100
    state   moving traffic at 25%, step 1 of 1, for 13s, run began 13s ago
    split   stable ████████████████████████████░░░░░░░░░░░░ canary 30% (wanted 25%, 3 of 10 pods = 30%)

            READY  RESTARTS  REVISION  IMAGE
    stable  9/7    0         b9e7c8c2  registry.example/payment-api:1.5.0
    canary  2/3    0         cfc10cb8  registry.example/payment-api:2.0.0

    checks  none evaluated

    next    canaryctl auto payment-api -n canary-release
    undo    canaryctl rollback payment-api -n canary-release
    found   Deployments payment-api-stable and payment-api-canary by name; Service payment-api-service
            by name and selector; router replicas from the run in progress
    "#);
}

#[tokio::test(start_paused = true)]
async fn rollback_with_nothing_to_do() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("rollback payment-api -n canary-release").await, @r"
    $ canaryctl rollback payment-api -n canary-release
    exit 0
    --- stdout
    09:01:11Z  ROLLED BACK after 11s: verified at 0%: an operator asked for it
               weights  10% → 0%
               live     stable 100% on 10 ready pods, canary 0% on 0 ready pods
               next     canaryctl status payment-api -n canary-release
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    09:01:00Z  started      run 20260105-090100: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 100%
    09:01:00Z  apply        scale payment-api-stable from 9 to 10
    09:01:01Z  waiting      payment-api-stable: 9/10 pods ready, before payment-api-canary is scaled to
                            0
    09:01:10Z  apply        scale payment-api-canary from 1 to 0
    09:01:11Z  reached      canary at 0% (0 of 10 pods)
    09:01:11Z  phase        draining
    09:01:11Z  phase        cleaning up
    ");
    assert_snapshot!(console.shows("rollback payment-api -n canary-release -o json").await, @r#"
    $ canaryctl rollback payment-api -n canary-release -o json
    exit 0
    --- stdout
    {
      "version": 1,
      "outcome": "nothing",
      "text": "nothing to roll back: the canary receives no traffic"
    }
    "#);
}

#[tokio::test(start_paused = true)]
async fn promote_from_twenty_five() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 -q").await, @r"
    $ canaryctl set payment-api -n canary-release 25 -q
    exit 0
    --- stdout
    09:01:13Z  WEIGHT REACHED after 13s: canary at 30% (wanted 25%, 3 of 10 pods)
               weights  10% → 30%
               live     stable 70% on 7 ready pods, canary 30% on 3 ready pods
               next     canaryctl monitor payment-api -n canary-release
               undo     canaryctl rollback payment-api -n canary-release
    ");
    assert_snapshot!(console.shows("promote payment-api -n canary-release --dry-run").await, @r#"
    $ canaryctl promote payment-api -n canary-release --dry-run
    exit 0
    --- stdout
    would scale payment-api-canary from 3 to 10 (accepted by the API server)
      Deployment canary-release/payment-api-canary
        /spec/replicas  3 → 10
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas from the run in progress
    "#);
    assert_snapshot!(console.shows("promote payment-api -n canary-release --yes").await, @r"
    $ canaryctl promote payment-api -n canary-release --yes
    exit 0
    --- stdout
    09:01:48Z  PROMOTED after 34s: payment-api-stable runs the new version
               weights  30% → 100% → 0%
               live     stable 100% on 9 ready pods, canary 0% on 0 ready pods
               next     canaryctl status payment-api -n canary-release
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas from the run in progress
    09:01:13Z  resumed      run 20260105-090100: moving traffic
    09:01:13Z  ✓ healthy    pods: 3 of 3 ready, 0 restarts
    09:01:13Z  reached      canary at 30% (wanted 25%, 3 of 10 pods = 30%)
    09:01:13Z  step 2 of 5  watching at 25%
    09:01:13Z  ✓ healthy    pods: 3 of 3 ready, 0 restarts
    09:01:13Z  promoting    moving all traffic to the canary
    09:01:13Z  apply        scale payment-api-canary from 3 to 10
    09:01:14Z  waiting      payment-api-canary: 3/10 pods ready
    09:01:24Z  ? unknown    pods: 7 of 10 ready, 0 restarts
    09:01:24Z  apply        scale payment-api-stable from 7 to 3
    09:01:24Z  apply        scale payment-api-stable from 3 to 0
    09:01:25Z  reached      canary at 100% (10 of 10 pods)
    09:01:25Z  promoting    updating stable
    09:01:25Z  apply        give payment-api-stable the version of payment-api-canary
    09:01:25Z  ✓ healthy    pods: 10 of 10 ready, 0 restarts
    09:01:25Z  waiting      payment-api-stable: observedGeneration to catch up
    09:01:26Z  promoting    starting stable's pods
    09:01:26Z  apply        scale payment-api-stable from 0 to 10
    09:01:26Z  ? unknown    stable, pods: no pods
    09:01:26Z  waiting      payment-api-stable: 0/10 new pods created
    09:01:26Z  waiting      payment-api-stable: 0/10 pods available
    09:01:36Z  ? unknown    stable, pods: 0 of 10 ready, 0 restarts
    09:01:37Z  promoting    checking stable
    09:01:37Z  waiting      stable: checks to pass
    09:01:37Z  ✓ healthy    stable, pods: 10 of 10 ready, 0 restarts
    09:01:47Z  promoting    returning traffic to stable
    09:01:47Z  apply        scale payment-api-canary from 10 to 0
    09:01:48Z  reached      canary at 0% (0 of 10 pods)
    09:01:48Z  phase        draining
    09:01:48Z  phase        cleaning up
    09:01:48Z  apply        scale payment-api-stable from 10 to 9
    ");
}

#[tokio::test(start_paused = true)]
async fn promote_asks_on_a_terminal() {
    let console = Console::on("healthy").await.answers(&["n"]);
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 -q").await, @r"
    $ canaryctl set payment-api -n canary-release 25 -q
    exit 0
    --- stdout
    09:01:13Z  WEIGHT REACHED after 13s: canary at 30% (wanted 25%, 3 of 10 pods)
               weights  10% → 30%
               live     stable 70% on 7 ready pods, canary 30% on 3 ready pods
               next     canaryctl monitor payment-api -n canary-release
               undo     canaryctl rollback payment-api -n canary-release
    ");
    assert_snapshot!(console.shows("promote payment-api -n canary-release").await, @r#"
    $ canaryctl promote payment-api -n canary-release
    exit 5
    --- stderr
    promote payment-api in canary-release: payment-api-stable gets the version of payment-api-canary? [y/N] nothing was changed
    "#);
}

#[tokio::test(start_paused = true)]
async fn hints_call_the_tool_as_it_was_called() {
    let console = Console::new().called("/usr/bin/kubectl-canary");
    assert_snapshot!(console.shows("set payment-api 25 --sandbox").await, @r"
    $ /usr/bin/kubectl-canary set payment-api 25 --sandbox
    exit 0
    --- stdout
    09:00:13Z  WEIGHT REACHED after 13s: canary at 30% (wanted 25%, 3 of 10 pods)
               weights  10% → 30%
               live     stable 70% on 7 ready pods, canary 30% on 3 ready pods
               next     kubectl canary sandbox healthy
               note     the sandbox of this run has been deleted; that one keeps running
    --- stderr
    cluster sandbox healthy, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    09:00:00Z  started      run 20260105-090000: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 25%
    09:00:00Z  apply        scale payment-api-canary from 1 to 3
    09:00:03Z  waiting      payment-api-canary: 1/3 pods ready
    09:00:13Z  apply        scale payment-api-stable from 9 to 7
    09:00:13Z  reached      canary at 30% (wanted 25%, 3 of 10 pods = 30%)
    ");
}

#[tokio::test(start_paused = true)]
async fn hints_lead_to_the_same_cluster() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 --stable payment-api-stable --canary payment-api-canary").await, @r"
    $ canaryctl set payment-api -n canary-release 25 --stable payment-api-stable --canary payment-api-canary
    exit 0
    --- stdout
    09:01:13Z  WEIGHT REACHED after 13s: canary at 30% (wanted 25%, 3 of 10 pods)
               weights  10% → 30%
               live     stable 70% on 7 ready pods, canary 30% on 3 ready pods
               next     canaryctl monitor payment-api -n canary-release --stable payment-api-stable
                        --canary payment-api-canary
               undo     canaryctl rollback payment-api -n canary-release --stable payment-api-stable
                        --canary payment-api-canary
    --- stderr
    cluster simulated, namespace canary-release
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    09:01:00Z  started      run 20260105-090100: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 25%
    09:01:00Z  apply        scale payment-api-canary from 1 to 3
    09:01:03Z  waiting      payment-api-canary: 1/3 pods ready
    09:01:13Z  apply        scale payment-api-stable from 9 to 7
    09:01:13Z  reached      canary at 30% (wanted 25%, 3 of 10 pods = 30%)
    ");
}

#[tokio::test(start_paused = true)]
async fn promote_without_a_person_wants_a_yes() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.refuses("promote payment-api -n canary-release").await, @r#"
    $ canaryctl promote payment-api -n canary-release
    exit 2
    --- stderr
    error: promoting payment-api needs confirmation and stdin is not a terminal
    hint: pass --yes to confirm
    "#);
}

/// The verdict was the canary's, what is asked for is that it is out: that is done.
#[tokio::test(start_paused = true)]
async fn a_rollback_that_ends_what_a_sick_canary_began_is_done() {
    let console = Console::on("image-missing").await;
    let began = "rolling-back";
    for _ in 0..60 {
        console.run(&format!("auto {RELEASE} --once")).await;
        let status = console.run(&format!("status {RELEASE} -o json")).await;
        if status.out.contains(began) {
            let ran = console.run(&format!("rollback {RELEASE}")).await;
            assert_eq!(ran.code, 0, "{}", ran.text());
            assert!(ran.out.contains("ROLLED BACK"), "{}", ran.text());
            return;
        }
        console.wait(20).await;
    }
    panic!("it was never rolled back");
}
