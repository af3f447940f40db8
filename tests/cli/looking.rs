//! Verbs that only look.

use insta::assert_snapshot;

use serde_json::Value;

use super::{Console, refusals::Folder};

#[tokio::test(start_paused = true)]
async fn status_shows_a_release_that_has_not_begun() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("status payment-api -n canary-release").await, @r#"
    $ canaryctl status payment-api -n canary-release
    exit 0
    --- stdout
    payment-api  namespace canary-release  router replicas
    state   no run is recorded for this app
    split   stable ████████████████████████████████████░░░░ canary 10% (1 of 10 pods)

            READY  RESTARTS  REVISION  IMAGE
    stable  9/9    0         b9e7c8c2  registry.example/payment-api:1.5.0
    canary  1/1    0         cfc10cb8  registry.example/payment-api:2.0.0

    checks  ✓ healthy (1 healthy)
    ✓ healthy  pods  1 of 1 ready, 0 restarts [limit ready, ≤ 3 restarts; 1 sample]

    next    canaryctl auto payment-api -n canary-release
    undo    canaryctl rollback payment-api -n canary-release
    found   Deployments payment-api-stable and payment-api-canary by name; Service payment-api-service
            by name and selector; router replicas: Service payment-api-service selects the pods of both
            Deployments
    "#);
    assert_snapshot!(console.shows("status payment-api -n canary-release -o json").await, @r#"
    $ canaryctl status payment-api -n canary-release -o json
    exit 0
    --- stdout
    {
      "version": 1,
      "app": "payment-api",
      "namespace": "canary-release",
      "router": "replicas",
      "foundBy": [
        "Deployments payment-api-stable and payment-api-canary by name",
        "Service payment-api-service by name and selector",
        "router replicas: Service payment-api-service selects the pods of both Deployments"
      ],
      "run": null,
      "split": {
        "wanted": 10.0,
        "set": 10.0,
        "actual": 10.0,
        "matches": true,
        "settled": true,
        "stableReady": 9,
        "canaryReady": 1,
        "detail": "1 of 10 pods"
      },
      "stable": {
        "name": "payment-api-stable",
        "replicas": 9,
        "existing": 9,
        "updated": 9,
        "ready": 9,
        "available": 9,
        "observed": true,
        "images": {
          "payment-api": "registry.example/payment-api:1.5.0"
        },
        "revision": "b9e7c8c279578f96",
        "replicaSet": "payment-api-stable-ghcfn54hrd",
        "pods": [
          {
            "name": "payment-api-stable-ghcfn54hrd-2hj5w",
            "ready": true,
            "terminating": false,
            "current": true,
            "created": "2026-01-05T09:00:00Z",
            "restarts": 0,
            "waiting": []
          },
          {
            "name": "payment-api-stable-ghcfn54hrd-85kld",
            "ready": true,
            "terminating": false,
            "current": true,
            "created": "2026-01-05T09:00:00Z",
            "restarts": 0,
            "waiting": []
          },
          {
            "name": "payment-api-stable-ghcfn54hrd-87q6c",
            "ready": true,
            "terminating": false,
            "current": true,
            "created": "2026-01-05T09:00:00Z",
            "restarts": 0,
            "waiting": []
          },
          {
            "name": "payment-api-stable-ghcfn54hrd-g4dfp",
            "ready": true,
            "terminating": false,
            "current": true,
            "created": "2026-01-05T09:00:00Z",
            "restarts": 0,
            "waiting": []
          },
          {
            "name": "payment-api-stable-ghcfn54hrd-gvsmq",
            "ready": true,
            "terminating": false,
            "current": true,
            "created": "2026-01-05T09:00:00Z",
            "restarts": 0,
            "waiting": []
          },
          {
            "name": "payment-api-stable-ghcfn54hrd-jdv6g",
            "ready": true,
            "terminating": false,
            "current": true,
            "created": "2026-01-05T09:00:00Z",
            "restarts": 0,
            "waiting": []
          },
          {
            "name": "payment-api-stable-ghcfn54hrd-lxc69",
            "ready": true,
            "terminating": false,
            "current": true,
            "created": "2026-01-05T09:00:00Z",
            "restarts": 0,
            "waiting": []
          },
          {
            "name": "payment-api-stable-ghcfn54hrd-r4psp",
            "ready": true,
            "terminating": false,
            "current": true,
            "created": "2026-01-05T09:00:00Z",
            "restarts": 0,
            "waiting": []
          },
          {
            "name": "payment-api-stable-ghcfn54hrd-vb95r",
            "ready": true,
            "terminating": false,
            "current": true,
            "created": "2026-01-05T09:00:00Z",
            "restarts": 0,
            "waiting": []
          }
        ]
      },
      "canary": {
        "name": "payment-api-canary",
        "replicas": 1,
        "existing": 1,
        "updated": 1,
        "ready": 1,
        "available": 1,
        "observed": true,
        "images": {
          "payment-api": "registry.example/payment-api:2.0.0"
        },
        "revision": "cfc10cb8c6e3eef7",
        "replicaSet": "payment-api-canary-sql47cn4ws",
        "pods": [
          {
            "name": "payment-api-canary-sql47cn4ws-2jzqf",
            "ready": true,
            "terminating": false,
            "current": true,
            "created": "2026-01-05T09:00:00Z",
            "restarts": 0,
            "waiting": []
          }
        ]
      },
      "checks": [
        {
          "name": "pods",
          "probe": "pods",
          "verdict": "healthy",
          "limit": "ready, ≤ 3 restarts",
          "samples": 1,
          "severity": "rollback",
          "text": "pods: 1 of 1 ready, 0 restarts"
        }
      ],
      "waitsFor": null,
      "next": "canaryctl auto payment-api -n canary-release",
      "undo": "canaryctl rollback payment-api -n canary-release"
    }
    "#);
}

#[tokio::test(start_paused = true)]
async fn status_of_the_sandbox_needs_no_flags() {
    let console = Console::new();
    assert_snapshot!(console.shows("status payment-api --sandbox --quick").await, @r#"
    $ canaryctl status payment-api --sandbox --quick
    exit 0
    --- stdout
    payment-api  namespace canary-release  router replicas
    state   no run is recorded for this app
    split   stable ████████████████████████████████████░░░░ canary 10% (1 of 10 pods)

            READY  RESTARTS  REVISION  IMAGE
    stable  9/9    0         b9e7c8c2  registry.example/payment-api:1.5.0
    canary  1/1    0         cfc10cb8  registry.example/payment-api:2.0.0

    checks  none evaluated

    next    canaryctl auto payment-api -n canary-release --sandbox=healthy
    undo    canaryctl rollback payment-api -n canary-release --sandbox=healthy
    found   Deployments payment-api-stable and payment-api-canary by name; Service payment-api-service
            by name and selector
    "#);
}

#[tokio::test(start_paused = true)]
async fn status_fits_eighty_and_a_hundred_and_twenty_columns() {
    let console = Console::on("errors-at-25").await.columns(80);
    assert_snapshot!(console.shows("status payment-api -n canary-release").await, @r#"
    $ canaryctl status payment-api -n canary-release
    exit 0
    --- stdout
    payment-api  namespace canary-release  router replicas
    state   no run is recorded for this app
    split   stable ███████████████████████████████████░░░░ canary 10% (1 of 10 pods)

            READY  RESTARTS  REVISION  IMAGE
    stable  9/9    0         b9e7c8c2  registry.example/payment-api:1.5.0
    canary  1/1    0         cfc10cb8  registry.example/payment-api:2.0.0

    checks  ✓ healthy (1 healthy)
    ✓ healthy  pods  1 of 1 ready, 0 restarts [limit ready, ≤ 3 restarts; 1 sample]

    next    canaryctl auto payment-api -n canary-release
    undo    canaryctl rollback payment-api -n canary-release
    found   Deployments payment-api-stable and payment-api-canary by name; Service
            payment-api-service by name and selector; router replicas: Service
            payment-api-service selects the pods of both Deployments
    "#);
}

#[tokio::test(start_paused = true)]
async fn wide_status() {
    let console = Console::on("errors-at-25").await.columns(120);
    assert_snapshot!(console.shows("status payment-api -n canary-release").await, @r#"
    $ canaryctl status payment-api -n canary-release
    exit 0
    --- stdout
    payment-api  namespace canary-release  router replicas
    state   no run is recorded for this app
    split   stable ████████████████████████████████████░░░░ canary 10% (1 of 10 pods)

            READY  RESTARTS  REVISION  IMAGE
    stable  9/9    0         b9e7c8c2  registry.example/payment-api:1.5.0
    canary  1/1    0         cfc10cb8  registry.example/payment-api:2.0.0

    checks  ✓ healthy (1 healthy)
    ✓ healthy  pods  1 of 1 ready, 0 restarts [limit ready, ≤ 3 restarts; 1 sample]

    next    canaryctl auto payment-api -n canary-release
    undo    canaryctl rollback payment-api -n canary-release
    found   Deployments payment-api-stable and payment-api-canary by name; Service payment-api-service by name and selector;
            router replicas: Service payment-api-service selects the pods of both Deployments
    "#);
}

#[tokio::test(start_paused = true)]
async fn colours_are_for_terminals() {
    let console = Console::on("healthy").await.tty();
    assert_snapshot!(console.shows("status payment-api -n canary-release --quick").await, @r#"
    $ canaryctl status payment-api -n canary-release --quick
    exit 0
    --- stdout
    ␛[1mpayment-api␛[0m␛[2m  namespace ␛[0mcanary-release␛[2m  router ␛[0mreplicas
    ␛[2mstate␛[0m   no run is recorded for this app
    ␛[2msplit␛[0m   stable ████████████████████████████████████␛[36m░░░░␛[0m canary ␛[1m10%␛[0m ␛[2m(1 of 10 pods)␛[0m

            ␛[2mREADY␛[0m  ␛[2mRESTARTS␛[0m  ␛[2mREVISION␛[0m  ␛[2mIMAGE␛[0m
    ␛[1mstable␛[0m  9/9    0         b9e7c8c2  registry.example/payment-api:1.5.0
    ␛[1mcanary␛[0m  1/1    0         cfc10cb8  registry.example/payment-api:2.0.0

    ␛[2mchecks␛[0m  ␛[33mnone evaluated␛[0m

    ␛[2mnext␛[0m    ␛[1mcanaryctl auto payment-api -n canary-release␛[0m
    ␛[2mundo␛[0m    ␛[1mcanaryctl rollback payment-api -n canary-release␛[0m
    ␛[2mfound␛[0m   ␛[2mDeployments payment-api-stable and payment-api-canary by name; Service payment-api-service␛[0m
            ␛[2mby name and selector; router replicas: Service payment-api-service selects the pods of both␛[0m
            ␛[2mDeployments␛[0m
    "#);
    assert_snapshot!(console.shows("status payment-api -n canary-release --quick --color never").await, @r#"
    $ canaryctl status payment-api -n canary-release --quick --color never
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
async fn no_color_wins_over_the_terminal() {
    let console = Console::on("healthy").await.tty().var("NO_COLOR", "1");
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
async fn color_always_colours_pipes() {
    let console = Console::on("healthy").await.var("NO_COLOR", "1");
    assert_snapshot!(console.shows("status payment-api -n canary-release --quick --color always").await, @r#"
    $ canaryctl status payment-api -n canary-release --quick --color always
    exit 0
    --- stdout
    ␛[1mpayment-api␛[0m␛[2m  namespace ␛[0mcanary-release␛[2m  router ␛[0mreplicas
    ␛[2mstate␛[0m   no run is recorded for this app
    ␛[2msplit␛[0m   stable ████████████████████████████████████␛[36m░░░░␛[0m canary ␛[1m10%␛[0m ␛[2m(1 of 10 pods)␛[0m

            ␛[2mREADY␛[0m  ␛[2mRESTARTS␛[0m  ␛[2mREVISION␛[0m  ␛[2mIMAGE␛[0m
    ␛[1mstable␛[0m  9/9    0         b9e7c8c2  registry.example/payment-api:1.5.0
    ␛[1mcanary␛[0m  1/1    0         cfc10cb8  registry.example/payment-api:2.0.0

    ␛[2mchecks␛[0m  ␛[33mnone evaluated␛[0m

    ␛[2mnext␛[0m    ␛[1mcanaryctl auto payment-api -n canary-release␛[0m
    ␛[2mundo␛[0m    ␛[1mcanaryctl rollback payment-api -n canary-release␛[0m
    ␛[2mfound␛[0m   ␛[2mDeployments payment-api-stable and payment-api-canary by name; Service payment-api-service␛[0m
            ␛[2mby name and selector; router replicas: Service payment-api-service selects the pods of both␛[0m
            ␛[2mDeployments␛[0m
    "#);
}

#[tokio::test(start_paused = true)]
async fn no_releases_are_said_to_be_none() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("status -n canary-release").await, @r#"
    $ canaryctl status -n canary-release
    exit 0
    --- stdout
    no releases in namespace canary-release
    --- stderr
    start one with `canaryctl auto APP --image IMAGE`
    "#);
    assert_snapshot!(console.shows("status -A").await, @r#"
    $ canaryctl status -A
    exit 0
    --- stdout
    no releases in any namespace
    --- stderr
    start one with `canaryctl auto APP --image IMAGE`
    "#);
    assert_snapshot!(console.shows("status -A -o json").await, @r#"
    $ canaryctl status -A -o json
    exit 0
    --- stdout
    {
      "version": 1,
      "releases": []
    }
    "#);
}

#[tokio::test(start_paused = true)]
async fn status_lists_releases() {
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
    assert_snapshot!(console.shows("status -n canary-release").await, @r#"
    $ canaryctl status -n canary-release
    exit 0
    --- stdout
    APP          STATE           STEP  WEIGHT  SINCE  DRIVER
    payment-api  moving traffic  1/1   25%     13s    -
    "#);
    assert_snapshot!(console.shows("status -A").await, @r#"
    $ canaryctl status -A
    exit 0
    --- stdout
    NAMESPACE       APP          STATE           STEP  WEIGHT  SINCE  DRIVER
    canary-release  payment-api  moving traffic  1/1   25%     13s    -
    "#);
    assert_snapshot!(console.shows("status -A -o json").await, @r#"
    $ canaryctl status -A -o json
    exit 0
    --- stdout
    {
      "version": 1,
      "releases": [
        {
          "namespace": "canary-release",
          "app": "payment-api",
          "phase": "shifting",
          "outcome": null,
          "step": 1,
          "steps": 1,
          "target": 25.0,
          "since": "2026-01-05T09:01:00Z",
          "holder": null
        }
      ]
    }
    "#);
    assert_snapshot!(console.shows("status payment-api -n canary-release").await, @r#"
    $ canaryctl status payment-api -n canary-release
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
async fn monitor_prints_one_line_per_look() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("monitor payment-api -n canary-release --duration 20s").await, @r#"
    $ canaryctl monitor payment-api -n canary-release --duration 20s
    exit 0
    --- stdout
    09:01:00Z  canary 10%  stable 9/9  canary 1/1  ✓ 1 healthy
    09:01:10Z  canary 10%  stable 9/9  canary 1/1  ✓ 1 healthy
    09:01:20Z  canary 10%  stable 9/9  canary 1/1  ✓ 1 healthy
    "#);
    assert_snapshot!(console.shows("monitor payment-api -n canary-release --duration 10s -o json").await, @r#"
    $ canaryctl monitor payment-api -n canary-release --duration 10s -o json
    exit 0
    --- stdout
    {"version":1,"app":"payment-api","namespace":"canary-release","router":"replicas","foundBy":["Deployments payment-api-stable and payment-api-canary by name","Service payment-api-service by name and selector","router replicas: Service payment-api-service selects the pods of both Deployments"],"run":null,"split":{"wanted":10.0,"set":10.0,"actual":10.0,"matches":true,"settled":true,"stableReady":9,"canaryReady":1,"detail":"1 of 10 pods"},"stable":{"name":"payment-api-stable","replicas":9,"existing":9,"updated":9,"ready":9,"available":9,"observed":true,"images":{"payment-api":"registry.example/payment-api:1.5.0"},"revision":"b9e7c8c279578f96","replicaSet":"payment-api-stable-ghcfn54hrd","pods":[{"name":"payment-api-stable-ghcfn54hrd-2hj5w","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]},{"name":"payment-api-stable-ghcfn54hrd-85kld","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]},{"name":"payment-api-stable-ghcfn54hrd-87q6c","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]},{"name":"payment-api-stable-ghcfn54hrd-g4dfp","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]},{"name":"payment-api-stable-ghcfn54hrd-gvsmq","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]},{"name":"payment-api-stable-ghcfn54hrd-jdv6g","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]},{"name":"payment-api-stable-ghcfn54hrd-lxc69","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]},{"name":"payment-api-stable-ghcfn54hrd-r4psp","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]},{"name":"payment-api-stable-ghcfn54hrd-vb95r","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]}]},"canary":{"name":"payment-api-canary","replicas":1,"existing":1,"updated":1,"ready":1,"available":1,"observed":true,"images":{"payment-api":"registry.example/payment-api:2.0.0"},"revision":"cfc10cb8c6e3eef7","replicaSet":"payment-api-canary-sql47cn4ws","pods":[{"name":"payment-api-canary-sql47cn4ws-2jzqf","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]}]},"checks":[{"name":"pods","probe":"pods","verdict":"healthy","limit":"ready, ≤ 3 restarts","samples":1,"severity":"rollback","text":"pods: 1 of 1 ready, 0 restarts"}],"waitsFor":null,"next":"canaryctl auto payment-api -n canary-release","undo":"canaryctl rollback payment-api -n canary-release","at":"2026-01-05T09:01:20Z"}
    {"version":1,"app":"payment-api","namespace":"canary-release","router":"replicas","foundBy":["Deployments payment-api-stable and payment-api-canary by name","Service payment-api-service by name and selector","router replicas: Service payment-api-service selects the pods of both Deployments"],"run":null,"split":{"wanted":10.0,"set":10.0,"actual":10.0,"matches":true,"settled":true,"stableReady":9,"canaryReady":1,"detail":"1 of 10 pods"},"stable":{"name":"payment-api-stable","replicas":9,"existing":9,"updated":9,"ready":9,"available":9,"observed":true,"images":{"payment-api":"registry.example/payment-api:1.5.0"},"revision":"b9e7c8c279578f96","replicaSet":"payment-api-stable-ghcfn54hrd","pods":[{"name":"payment-api-stable-ghcfn54hrd-2hj5w","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]},{"name":"payment-api-stable-ghcfn54hrd-85kld","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]},{"name":"payment-api-stable-ghcfn54hrd-87q6c","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]},{"name":"payment-api-stable-ghcfn54hrd-g4dfp","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]},{"name":"payment-api-stable-ghcfn54hrd-gvsmq","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]},{"name":"payment-api-stable-ghcfn54hrd-jdv6g","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]},{"name":"payment-api-stable-ghcfn54hrd-lxc69","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]},{"name":"payment-api-stable-ghcfn54hrd-r4psp","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]},{"name":"payment-api-stable-ghcfn54hrd-vb95r","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]}]},"canary":{"name":"payment-api-canary","replicas":1,"existing":1,"updated":1,"ready":1,"available":1,"observed":true,"images":{"payment-api":"registry.example/payment-api:2.0.0"},"revision":"cfc10cb8c6e3eef7","replicaSet":"payment-api-canary-sql47cn4ws","pods":[{"name":"payment-api-canary-sql47cn4ws-2jzqf","ready":true,"terminating":false,"current":true,"created":"2026-01-05T09:00:00Z","restarts":0,"waiting":[]}]},"checks":[{"name":"pods","probe":"pods","verdict":"healthy","limit":"ready, ≤ 3 restarts","samples":1,"severity":"rollback","text":"pods: 1 of 1 ready, 0 restarts"}],"waitsFor":null,"next":"canaryctl auto payment-api -n canary-release","undo":"canaryctl rollback payment-api -n canary-release","at":"2026-01-05T09:01:30Z"}
    "#);
}

#[tokio::test(start_paused = true)]
async fn monitor_redraws_on_a_terminal() {
    let console = Console::on("healthy").await.tty().columns(80);
    assert_snapshot!(console.shows("monitor payment-api -n canary-release --duration 0s").await, @r#"
    $ canaryctl monitor payment-api -n canary-release --duration 0s
    exit 0
    --- stdout
    ␛[2m09:01:00Z␛[0m  canary ␛[36m10%␛[0m  stable 9/9  canary 1/1  ␛[32m✓␛[0m 1 healthy
    "#);
}

#[tokio::test(start_paused = true)]
async fn monitor_until_promoted_gives_up_unfinished() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("monitor payment-api -n canary-release --until promoted --duration 20s").await, @r#"
    $ canaryctl monitor payment-api -n canary-release --until promoted --duration 20s
    exit 5
    --- stdout
    09:01:00Z  canary 10%  stable 9/9  canary 1/1  ✓ 1 healthy
    09:01:10Z  canary 10%  stable 9/9  canary 1/1  ✓ 1 healthy
    09:01:20Z  canary 10%  stable 9/9  canary 1/1  ✓ 1 healthy
    "#);
}

#[tokio::test(start_paused = true)]
async fn history_of_nothing() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("history payment-api -n canary-release").await, @r#"
    $ canaryctl history payment-api -n canary-release
    exit 0
    --- stdout
    payment-api  canary-release  0 recorded runs
    "#);
}

#[tokio::test(start_paused = true)]
async fn history_tells_who_did_what() {
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
    assert_snapshot!(console.shows("rollback payment-api -n canary-release -q").await, @r"
    $ canaryctl rollback payment-api -n canary-release -q
    exit 0
    --- stdout
    09:01:25Z  ROLLED BACK after 11s: verified at 0%: an operator asked for it
               weights  0%
               live     stable 100% on 9 ready pods, canary 0% on 0 ready pods
               next     canaryctl status payment-api -n canary-release
    ");
    assert_snapshot!(console.shows("history payment-api -n canary-release").await, @r"
    $ canaryctl history payment-api -n canary-release
    exit 0
    --- stdout
    payment-api  canary-release  1 recorded run

    run 20260105-090100  rolled back  2026-01-05 09:01:00Z, took 25s
      registry.example/payment-api:1.5.0 → registry.example/payment-api:2.0.0
      by ana@laptop
      09:01:00Z  Started        release 20260105-090100 started: registry.example/payment-api:1.5.0 →
                                registry.example/payment-api:2.0.0, steps 25%
      09:01:13Z  WeightReached  canary at 30% (wanted 25%, 3 of 10 pods)
      09:01:13Z  WeightHeld     canary at 30% (wanted 25%, 3 of 10 pods)
      09:01:13Z  RollingBack    rolling back: an operator asked for it
      09:01:13Z  PhaseChanged   rolling back
      09:01:24Z  WeightReached  canary at 0% (wanted 0%, 0 of 10 pods)
      09:01:24Z  PhaseChanged   draining
      09:01:24Z  PhaseChanged   cleaning up
      09:01:25Z  PhaseChanged   ended
      09:01:25Z  RolledBack     rolled back, verified at 0%: an operator asked for it
    ");
    assert_snapshot!(console.shows("history payment-api -n canary-release -o json").await, @r#"
    $ canaryctl history payment-api -n canary-release -o json
    exit 0
    --- stdout
    {
      "version": 1,
      "app": "payment-api",
      "namespace": "canary-release",
      "runs": [
        {
          "id": "20260105-090100",
          "change": "registry.example/payment-api:1.5.0 → registry.example/payment-api:2.0.0",
          "started": "2026-01-05T09:01:00Z",
          "ended": "2026-01-05T09:01:25.1Z",
          "outcome": "rolled-back",
          "trail": [
            {
              "at": "2026-01-05T09:01:00Z",
              "who": "ana@laptop",
              "what": "Started",
              "text": "release 20260105-090100 started: registry.example/payment-api:1.5.0 → registry.example/payment-api:2.0.0, steps 25%"
            },
            {
              "at": "2026-01-05T09:01:13.7Z",
              "who": "ana@laptop",
              "what": "WeightReached",
              "text": "canary at 30% (wanted 25%, 3 of 10 pods)"
            },
            {
              "at": "2026-01-05T09:01:13.7Z",
              "who": "ana@laptop",
              "what": "WeightHeld",
              "text": "canary at 30% (wanted 25%, 3 of 10 pods)"
            },
            {
              "at": "2026-01-05T09:01:13.7Z",
              "who": "ana@laptop",
              "what": "RollingBack",
              "text": "rolling back: an operator asked for it"
            },
            {
              "at": "2026-01-05T09:01:13.7Z",
              "who": "ana@laptop",
              "what": "PhaseChanged",
              "text": "rolling back"
            },
            {
              "at": "2026-01-05T09:01:24.9Z",
              "who": "ana@laptop",
              "what": "WeightReached",
              "text": "canary at 0% (wanted 0%, 0 of 10 pods)"
            },
            {
              "at": "2026-01-05T09:01:24.9Z",
              "who": "ana@laptop",
              "what": "PhaseChanged",
              "text": "draining"
            },
            {
              "at": "2026-01-05T09:01:24.9Z",
              "who": "ana@laptop",
              "what": "PhaseChanged",
              "text": "cleaning up"
            },
            {
              "at": "2026-01-05T09:01:25.1Z",
              "who": "ana@laptop",
              "what": "PhaseChanged",
              "text": "ended"
            },
            {
              "at": "2026-01-05T09:01:25.1Z",
              "who": "ana@laptop",
              "what": "RolledBack",
              "text": "rolled back, verified at 0%: an operator asked for it"
            }
          ]
        }
      ]
    }
    "#);
}

#[tokio::test(start_paused = true)]
async fn status_says_which_share_users_get() {
    let file = "app: payment-api\nmetrics: {scrape: {path: /prometheus-metrics}}\n";
    let folder = Folder::new("users");
    let file = folder.file("canary.yaml", file);
    let console = Console::on("healthy").await;
    let release = format!("payment-api -n canary-release -f {file}");
    let steps = "--steps 30:90s:approve,100 --until paused --skip-preflight";
    let ran = console.run(&format!("auto {release} {steps}")).await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    let ran = console.run(&format!("status {release} -o json")).await;
    let view: Value = serde_json::from_str(&ran.out).unwrap();
    let number = |pointer: &str| view.pointer(pointer).and_then(Value::as_f64).unwrap();
    let (actual, served) = (number("/split/actual"), number("/served/canaryPercent"));
    assert!((actual - 30.0).abs() < 1e-9, "{actual}");
    assert!(
        (served - actual).abs() < 3.0,
        "{served} instead of {actual}"
    );
    assert!(
        (2000.0..4500.0).contains(&number("/served/requests")),
        "{view:#}"
    );
    assert_eq!(view.pointer("/served/asWeighted"), Some(&Value::Bool(true)));
    for verb in ["status", "monitor --duration 1s"] {
        let screen = console.shows(&format!("{verb} {release}")).await;
        let flat = screen.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = match verb {
            "status" => format!("users {served:.1}% of the requests reach the canary ("),
            _ => format!("canary 30% (users {served:.1}%)"),
        };
        assert!(flat.contains(&said), "{screen}");
    }
}
