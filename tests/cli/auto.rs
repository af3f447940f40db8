//! Whole releases.

use insta::assert_snapshot;

use super::{Console, RELEASE};

#[tokio::test(start_paused = true)]
async fn auto_promotes_a_healthy_release() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox --speed 1 --steps 10,50,100 --hold 60s").await, @r#"
    $ canaryctl auto payment-api --sandbox --speed 1 --steps 10,50,100 --hold 60s
    exit 0
    --- stdout
    09:03:51Z  PROMOTED after 3m51s: payment-api-stable runs the new version
               weights  0% → 10% → 50% → 100% → 0%
               live     stable 100% on 10 ready pods, canary 0% on 0 ready pods
               next     canaryctl status payment-api -n canary-release --sandbox=healthy
    --- stderr
    cluster sandbox healthy, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    09:00:00Z  started      run 20260105-090000: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 50% → 100%
    09:00:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:00:00Z  step 1 of 3  moving traffic to 10%
    09:00:00Z  reached      canary at 10% (1 of 10 pods)
    09:00:00Z  step 1 of 3  watching at 10%
    09:00:00Z  ✓ healthy    pods, health
    09:00:00Z  ? unknown    success rate: no requests, 50 wanted
    09:00:10Z  ? unknown    success rate: 95 % (38 of 40 requests), 50 wanted
    09:00:20Z  ✓ healthy    success rate: 96.15 % (100 of 104 requests)
    09:00:20Z  waits        40s more at 10%
    09:01:00Z  step 2 of 3  moving traffic to 50%
    09:01:00Z  doing        scale payment-api-canary from 1 to 5
    09:01:00Z  waits        payment-api-canary: the controller to see the change
    09:01:00Z  waits        payment-api-canary: 1 of 5 pods to be ready (ContainerCreating)
    09:01:02Z  waits        payment-api-canary: 1 of 5 pods to be ready
    09:01:10Z  ? unknown    pods: 3 of 5 ready, 0 restarts
    09:01:10Z  doing        scale payment-api-stable from 9 to 7
    09:01:12Z  doing        scale payment-api-stable from 7 to 5
    09:01:12Z  waits        payment-api-stable: the controller to see the change
    09:01:12Z  reached      canary at 50% (5 of 10 pods)
    09:01:12Z  step 2 of 3  watching at 50%
    09:01:12Z  ✓ healthy    pods, health, success rate
    09:01:12Z  waits        1m more at 50%
    09:02:15Z  step 3 of 3  moving traffic to 100%
    09:02:15Z  doing        scale payment-api-canary from 5 to 10
    09:02:15Z  waits        payment-api-canary: the controller to see the change
    09:02:15Z  waits        payment-api-canary: 5 of 10 pods to be ready (ContainerCreating)
    09:02:16Z  waits        payment-api-canary: 5 of 10 pods to be ready
    09:02:26Z  doing        scale payment-api-stable from 5 to 0
    09:02:26Z  waits        payment-api-stable: the controller to see the change
    09:02:26Z  reached      canary at 100% (10 of 10 pods)
    09:02:26Z  step 3 of 3  watching at 100%
    09:02:26Z  ✓ healthy    pods, health, success rate
    09:02:26Z  waits        1m more at 100%
    09:03:28Z  promoting    moving all traffic to the canary
    09:03:28Z  reached      canary at 100% (10 of 10 pods)
    09:03:28Z  promoting    updating stable
    09:03:28Z  doing        give payment-api-stable the version of payment-api-canary
    09:03:28Z  waits        payment-api-stable: the controller to see the change
    09:03:29Z  promoting    starting stable's pods
    09:03:29Z  doing        scale payment-api-stable from 0 to 10
    09:03:29Z  ? unknown    stable, pods: no pods
    09:03:29Z  ? unknown    stable, health: no pods to ask
    09:03:29Z  waits        payment-api-stable: 0 of 10 new pods to be created
    09:03:29Z  waits        payment-api-stable: 0 of 10 pods to be available
    09:03:39Z  ✓ healthy    stable, health: holds, status 200 on 4 of 4 pods
    09:03:39Z  ? unknown    stable, pods: 4 of 10 ready, 0 restarts
    09:03:40Z  promoting    checking stable
    09:03:40Z  waits        stable to prove itself healthy
    09:03:40Z  ✓ healthy    stable, pods: 10 of 10 ready, 0 restarts
    09:03:50Z  promoting    returning traffic to stable
    09:03:50Z  doing        scale payment-api-canary from 10 to 0
    09:03:50Z  waits        payment-api-canary: the controller to see the change
    09:03:51Z  reached      canary at 0% (0 of 10 pods)
    09:03:51Z  phase        draining
    09:03:51Z  phase        cleaning up
    "#);
}

#[tokio::test(start_paused = true)]
async fn auto_in_json() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox --speed 1 --steps 50,100 --hold 20s -o json").await, @r#"
    $ canaryctl auto payment-api --sandbox --speed 1 --steps 50,100 --hold 20s -o json
    exit 0
    --- stdout
    {"version":1,"at":"2026-01-05T09:00:00Z","event":"started","id":"20260105-090000","steps":[50.0,100.0],"change":"registry.example/payment-api:1.5.0 → registry.example/payment-api:2.0.0"}
    {"version":1,"at":"2026-01-05T09:00:00Z","event":"checked","track":"canary","results":[{"name":"pods","probe":"pods","verdict":"healthy","limit":"ready, ≤ 1 restarts","samples":1,"severity":"rollback","text":"pods: 1 of 1 ready, 0 restarts"}]}
    {"version":1,"at":"2026-01-05T09:00:00Z","event":"entered","phase":"shifting","step":1,"steps":2,"weight":50.0}
    {"version":1,"at":"2026-01-05T09:00:00Z","event":"checked","track":"canary","results":[{"name":"pods","probe":"pods","verdict":"healthy","limit":"ready, ≤ 1 restarts","samples":1,"severity":"rollback","text":"pods: 1 of 1 ready, 0 restarts"}]}
    {"version":1,"at":"2026-01-05T09:00:00Z","event":"acting","what":"scale payment-api-canary from 1 to 5"}
    {"version":1,"at":"2026-01-05T09:00:00Z","event":"waiting","what":"payment-api-canary: the controller to see the change","since":"2026-01-05T09:00:00Z"}
    {"version":1,"at":"2026-01-05T09:00:00.45Z","event":"waiting","what":"payment-api-canary: 1 of 5 pods to be ready (ContainerCreating)","since":"2026-01-05T09:00:00Z"}
    {"version":1,"at":"2026-01-05T09:00:02.7Z","event":"waiting","what":"payment-api-canary: 1 of 5 pods to be ready","since":"2026-01-05T09:00:00Z"}
    {"version":1,"at":"2026-01-05T09:00:10.843Z","event":"checked","track":"canary","results":[{"name":"pods","probe":"pods","verdict":"unknown","unknown":"pending","limit":"ready, ≤ 1 restarts","samples":5,"severity":"rollback","text":"pods: 2 of 5 ready, 0 restarts"}]}
    {"version":1,"at":"2026-01-05T09:00:10.843Z","event":"acting","what":"scale payment-api-stable from 9 to 8"}
    {"version":1,"at":"2026-01-05T09:00:11.043Z","event":"acting","what":"scale payment-api-stable from 8 to 7"}
    {"version":1,"at":"2026-01-05T09:00:11.243Z","event":"waiting","what":"payment-api-canary: 3 of 5 pods to be ready","since":"2026-01-05T09:00:00Z"}
    {"version":1,"at":"2026-01-05T09:00:12.45Z","event":"acting","what":"scale payment-api-stable from 7 to 6"}
    {"version":1,"at":"2026-01-05T09:00:12.65Z","event":"acting","what":"scale payment-api-stable from 6 to 5"}
    {"version":1,"at":"2026-01-05T09:00:12.85Z","event":"reached","split":{"wanted":50.0,"set":50.0,"actual":50.0,"matches":true,"settled":true,"stableReady":5,"canaryReady":5,"detail":"5 of 10 pods"}}
    {"version":1,"at":"2026-01-05T09:00:12.85Z","event":"entered","phase":"holding","step":1,"steps":2,"weight":50.0}
    {"version":1,"at":"2026-01-05T09:00:12.85Z","event":"checked","track":"canary","results":[{"name":"pods","probe":"pods","verdict":"healthy","limit":"ready, ≤ 1 restarts","samples":5,"severity":"rollback","text":"pods: 5 of 5 ready, 0 restarts"},{"name":"health","probe":"http","verdict":"healthy","limit":"holds","samples":5,"severity":"rollback","text":"health: holds, status 200 on 5 of 5 pods"},{"name":"success rate","probe":"http","verdict":"unknown","unknown":"no-traffic","limit":"≥ 95 %","samples":0,"severity":"rollback","text":"success rate: no requests, 50 wanted"}]}
    {"version":1,"at":"2026-01-05T09:00:12.85Z","event":"waiting","what":"not enough evidence: success rate: no requests, 50 wanted","since":"2026-01-05T09:00:12.85Z"}
    {"version":1,"at":"2026-01-05T09:00:24.95Z","event":"checked","track":"canary","results":[{"name":"pods","probe":"pods","verdict":"healthy","limit":"ready, ≤ 1 restarts","samples":5,"severity":"rollback","text":"pods: 5 of 5 ready, 0 restarts"},{"name":"health","probe":"http","verdict":"healthy","limit":"holds","samples":5,"severity":"rollback","text":"health: holds, status 200 on 5 of 5 pods"},{"name":"success rate","probe":"http","verdict":"healthy","value":0.9904153354632588,"limit":"≥ 95 %","samples":313,"severity":"rollback","text":"success rate: 99.04 % (310 of 313 requests)"}]}
    {"version":1,"at":"2026-01-05T09:00:24.95Z","event":"waiting","what":"7s more at 50%","since":"2026-01-05T09:00:12.85Z"}
    {"version":1,"at":"2026-01-05T09:00:34.95Z","event":"checked","track":"canary","results":[{"name":"pods","probe":"pods","verdict":"healthy","limit":"ready, ≤ 1 restarts","samples":5,"severity":"rollback","text":"pods: 5 of 5 ready, 0 restarts"},{"name":"health","probe":"http","verdict":"healthy","limit":"holds","samples":5,"severity":"rollback","text":"health: holds, status 200 on 5 of 5 pods"},{"name":"success rate","probe":"http","verdict":"healthy","value":0.9819672131147541,"limit":"≥ 95 %","samples":610,"severity":"rollback","text":"success rate: 98.2 % (599 of 610 requests)"}]}
    {"version":1,"at":"2026-01-05T09:00:34.95Z","event":"entered","phase":"shifting","step":2,"steps":2,"weight":100.0}
    {"version":1,"at":"2026-01-05T09:00:34.95Z","event":"checked","track":"canary","results":[{"name":"pods","probe":"pods","verdict":"healthy","limit":"ready, ≤ 1 restarts","samples":5,"severity":"rollback","text":"pods: 5 of 5 ready, 0 restarts"}]}
    {"version":1,"at":"2026-01-05T09:00:34.95Z","event":"acting","what":"scale payment-api-canary from 5 to 10"}
    {"version":1,"at":"2026-01-05T09:00:34.95Z","event":"waiting","what":"payment-api-canary: the controller to see the change","since":"2026-01-05T09:00:34.95Z"}
    {"version":1,"at":"2026-01-05T09:00:35.15Z","event":"waiting","what":"payment-api-canary: 5 of 10 pods to be ready (ContainerCreating)","since":"2026-01-05T09:00:34.95Z"}
    {"version":1,"at":"2026-01-05T09:00:35.75Z","event":"waiting","what":"payment-api-canary: 5 of 10 pods to be ready","since":"2026-01-05T09:00:34.95Z"}
    {"version":1,"at":"2026-01-05T09:00:45.501Z","event":"checked","track":"canary","results":[{"name":"pods","probe":"pods","verdict":"unknown","unknown":"pending","limit":"ready, ≤ 1 restarts","samples":10,"severity":"rollback","text":"pods: 7 of 10 ready, 0 restarts"}]}
    {"version":1,"at":"2026-01-05T09:00:45.501Z","event":"acting","what":"scale payment-api-stable from 5 to 3"}
    {"version":1,"at":"2026-01-05T09:00:45.701Z","event":"waiting","what":"payment-api-canary: 7 of 10 pods to be ready","since":"2026-01-05T09:00:34.95Z"}
    {"version":1,"at":"2026-01-05T09:00:45.95Z","event":"acting","what":"scale payment-api-stable from 3 to 0"}
    {"version":1,"at":"2026-01-05T09:00:46.15Z","event":"reached","split":{"wanted":100.0,"set":100.0,"actual":100.0,"matches":true,"settled":true,"stableReady":0,"canaryReady":10,"detail":"10 of 10 pods"}}
    {"version":1,"at":"2026-01-05T09:00:46.15Z","event":"entered","phase":"holding","step":2,"steps":2,"weight":100.0}
    {"version":1,"at":"2026-01-05T09:00:46.15Z","event":"checked","track":"canary","results":[{"name":"pods","probe":"pods","verdict":"healthy","limit":"ready, ≤ 1 restarts","samples":10,"severity":"rollback","text":"pods: 10 of 10 ready, 0 restarts"},{"name":"health","probe":"http","verdict":"healthy","limit":"holds","samples":10,"severity":"rollback","text":"health: holds, status 200 on 10 of 10 pods"},{"name":"success rate","probe":"http","verdict":"healthy","value":0.9909638554216867,"limit":"≥ 95 %","samples":332,"severity":"rollback","text":"success rate: 99.1 % (329 of 332 requests)"}]}
    {"version":1,"at":"2026-01-05T09:00:46.15Z","event":"waiting","what":"20s more at 100%","since":"2026-01-05T09:00:46.15Z"}
    {"version":1,"at":"2026-01-05T09:00:46.35Z","event":"waiting","what":"19s more at 100%","since":"2026-01-05T09:00:46.15Z"}
    {"version":1,"at":"2026-01-05T09:00:47.95Z","event":"waiting","what":"18s more at 100%","since":"2026-01-05T09:00:46.15Z"}
    {"version":1,"at":"2026-01-05T09:00:48.35Z","event":"waiting","what":"17s more at 100%","since":"2026-01-05T09:00:46.15Z"}
    {"version":1,"at":"2026-01-05T09:00:58.35Z","event":"checked","track":"canary","results":[{"name":"pods","probe":"pods","verdict":"healthy","limit":"ready, ≤ 1 restarts","samples":10,"severity":"rollback","text":"pods: 10 of 10 ready, 0 restarts"},{"name":"health","probe":"http","verdict":"healthy","limit":"holds","samples":10,"severity":"rollback","text":"health: holds, status 200 on 10 of 10 pods"},{"name":"success rate","probe":"http","verdict":"healthy","value":0.987985212569316,"limit":"≥ 95 %","samples":1082,"severity":"rollback","text":"success rate: 98.8 % (1069 of 1082 requests)"}]}
    {"version":1,"at":"2026-01-05T09:00:58.35Z","event":"waiting","what":"7s more at 100%","since":"2026-01-05T09:00:46.15Z"}
    {"version":1,"at":"2026-01-05T09:01:08.35Z","event":"checked","track":"canary","results":[{"name":"pods","probe":"pods","verdict":"healthy","limit":"ready, ≤ 1 restarts","samples":10,"severity":"rollback","text":"pods: 10 of 10 ready, 0 restarts"},{"name":"health","probe":"http","verdict":"healthy","limit":"holds","samples":10,"severity":"rollback","text":"health: holds, status 200 on 10 of 10 pods"},{"name":"success rate","probe":"http","verdict":"healthy","value":0.9858112276372609,"limit":"≥ 95 %","samples":1621,"severity":"rollback","text":"success rate: 98.58 % (1598 of 1621 requests)"}]}
    {"version":1,"at":"2026-01-05T09:01:08.35Z","event":"entered","phase":"promote-shift","step":2,"steps":2,"weight":100.0}
    {"version":1,"at":"2026-01-05T09:01:08.35Z","event":"reached","split":{"wanted":100.0,"set":100.0,"actual":100.0,"matches":true,"settled":true,"stableReady":0,"canaryReady":10,"detail":"10 of 10 pods"}}
    {"version":1,"at":"2026-01-05T09:01:08.35Z","event":"entered","phase":"promote-template","step":2,"steps":2,"weight":100.0}
    {"version":1,"at":"2026-01-05T09:01:08.35Z","event":"acting","what":"give payment-api-stable the version of payment-api-canary"}
    {"version":1,"at":"2026-01-05T09:01:08.35Z","event":"waiting","what":"payment-api-stable: the controller to see the change","since":"2026-01-05T09:01:08.35Z"}
    {"version":1,"at":"2026-01-05T09:01:08.75Z","event":"entered","phase":"promote-scale","step":2,"steps":2,"weight":100.0}
    {"version":1,"at":"2026-01-05T09:01:08.75Z","event":"acting","what":"scale payment-api-stable from 0 to 10"}
    {"version":1,"at":"2026-01-05T09:01:08.75Z","event":"checked","track":"stable","results":[{"name":"pods","probe":"pods","verdict":"unknown","unknown":"no-data","limit":"ready, ≤ 1 restarts","samples":0,"severity":"rollback","text":"pods: no pods"},{"name":"health","probe":"http","verdict":"unknown","unknown":"no-data","limit":"holds","samples":0,"severity":"rollback","text":"health: no pods to ask"}]}
    {"version":1,"at":"2026-01-05T09:01:09.2Z","event":"waiting","what":"payment-api-stable: 0 of 10 new pods to be created","since":"2026-01-05T09:01:08.75Z"}
    {"version":1,"at":"2026-01-05T09:01:09.4Z","event":"waiting","what":"payment-api-stable: 0 of 10 pods to be available","since":"2026-01-05T09:01:08.75Z"}
    {"version":1,"at":"2026-01-05T09:01:19.633Z","event":"checked","track":"stable","results":[{"name":"pods","probe":"pods","verdict":"unknown","unknown":"pending","limit":"ready, ≤ 1 restarts","samples":10,"severity":"rollback","text":"pods: 3 of 10 ready, 0 restarts"},{"name":"health","probe":"http","verdict":"healthy","limit":"holds","samples":3,"severity":"rollback","text":"health: holds, status 200 on 3 of 3 pods"}]}
    {"version":1,"at":"2026-01-05T09:01:19.833Z","event":"waiting","what":"payment-api-stable: 1 of 10 pods to be available","since":"2026-01-05T09:01:08.75Z"}
    {"version":1,"at":"2026-01-05T09:01:20.033Z","event":"waiting","what":"payment-api-stable: 3 of 10 pods to be available","since":"2026-01-05T09:01:08.75Z"}
    {"version":1,"at":"2026-01-05T09:01:20.45Z","event":"entered","phase":"promote-check","step":2,"steps":2,"weight":100.0}
    {"version":1,"at":"2026-01-05T09:01:20.45Z","event":"waiting","what":"stable to prove itself healthy","since":"2026-01-05T09:01:20.45Z"}
    {"version":1,"at":"2026-01-05T09:01:30.45Z","event":"checked","track":"stable","results":[{"name":"pods","probe":"pods","verdict":"healthy","limit":"ready, ≤ 1 restarts","samples":10,"severity":"rollback","text":"pods: 10 of 10 ready, 0 restarts"},{"name":"health","probe":"http","verdict":"healthy","limit":"holds","samples":10,"severity":"rollback","text":"health: holds, status 200 on 10 of 10 pods"}]}
    {"version":1,"at":"2026-01-05T09:01:30.45Z","event":"entered","phase":"promote-return","step":2,"steps":2,"weight":0.0}
    {"version":1,"at":"2026-01-05T09:01:30.45Z","event":"acting","what":"scale payment-api-canary from 10 to 0"}
    {"version":1,"at":"2026-01-05T09:01:30.45Z","event":"waiting","what":"payment-api-canary: the controller to see the change","since":"2026-01-05T09:01:30.45Z"}
    {"version":1,"at":"2026-01-05T09:01:30.65Z","event":"reached","split":{"wanted":0.0,"set":0.0,"actual":0.0,"matches":true,"settled":true,"stableReady":10,"canaryReady":0,"detail":"0 of 10 pods"}}
    {"version":1,"at":"2026-01-05T09:01:30.65Z","event":"entered","phase":"draining","step":2,"steps":2,"weight":0.0}
    {"version":1,"at":"2026-01-05T09:01:30.65Z","event":"entered","phase":"cleaning","step":2,"steps":2,"weight":0.0}
    {"version":1,"at":"2026-01-05T09:01:30.65Z","event":"entered","phase":"ended","step":2,"steps":2,"weight":0.0}
    {"version":1,"at":"2026-01-05T09:01:30.65Z","event":"ended","outcome":"promoted","text":"promoted: payment-api-stable runs the new version"}
    "#);
}

#[tokio::test(start_paused = true)]
async fn auto_rolls_back_what_is_unhealthy() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox=errors-at-25 --speed 1").await, @r#"
    $ canaryctl auto payment-api --sandbox=errors-at-25 --speed 1
    exit 3
    --- stdout
    09:02:36Z  ROLLED BACK after 2m36s: verified at 0%: success rate: 73.74 % (952 of 1291 requests),
               below 95 % with evidence 498:1
               weights  0% → 10% → 30% → 0%
               live     stable 100% on 10 ready pods, canary 0% on 0 ready pods
               next     canaryctl history payment-api -n canary-release --sandbox=errors-at-25
    --- stderr
    cluster sandbox errors-at-25, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    09:00:00Z  started      run 20260105-090000: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 25% → 50% → 100%
    09:00:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:00:00Z  step 1 of 4  moving traffic to 10%
    09:00:00Z  reached      canary at 10% (1 of 10 pods)
    09:00:00Z  step 1 of 4  watching at 10%
    09:00:00Z  ✓ healthy    pods, health
    09:00:00Z  ? unknown    success rate: no requests, 50 wanted
    09:00:10Z  ? unknown    success rate: 100 % (45 of 45 requests), 50 wanted
    09:00:20Z  ✓ healthy    success rate: 100 % (102 of 102 requests)
    09:00:20Z  waits        40s more at 10%
    09:01:00Z  step 2 of 4  moving traffic to 25%
    09:01:00Z  doing        scale payment-api-canary from 1 to 3
    09:01:00Z  waits        payment-api-canary: the controller to see the change
    09:01:00Z  waits        payment-api-canary: 1 of 3 pods to be ready (ContainerCreating)
    09:01:03Z  waits        payment-api-canary: 1 of 3 pods to be ready
    09:01:12Z  ? unknown    pods: 2 of 3 ready, 0 restarts
    09:01:12Z  doing        scale payment-api-stable from 9 to 8
    09:01:13Z  doing        scale payment-api-stable from 8 to 7
    09:01:13Z  reached      canary at 30% (wanted 25%, 3 of 10 pods = 30%)
    09:01:13Z  step 2 of 4  watching at 25%
    09:01:13Z  ✓ healthy    pods, health, success rate
    09:01:13Z  waits        1m more at 25%
    09:01:25Z  ? unknown    success rate: 78.03 % (206 of 264 requests), limit 95 %, evidence 0.9:1,
                            need 100:1
    09:02:25Z  ✗ unhealthy  success rate: 73.74 % (952 of 1291 requests), below 95 % with evidence 498:1
    09:02:25Z  ROLLING BACK from 30%: success rate: 73.74 % (952 of 1291 requests), below 95 % with
                            evidence 498:1
    09:02:25Z  back         moving traffic to stable
    09:02:25Z  doing        scale payment-api-stable from 7 to 10
    09:02:25Z  waits        payment-api-canary: 3 of 0 replicas asked for
    09:02:36Z  doing        scale payment-api-canary from 3 to 1
    09:02:36Z  doing        scale payment-api-canary from 1 to 0
    09:02:36Z  reached      canary at 0% (0 of 10 pods)
    09:02:36Z  phase        draining
    09:02:36Z  phase        cleaning up
    "#);
}

#[tokio::test(start_paused = true)]
async fn auto_stops_at_a_step() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox --speed 1 --until step=2").await, @r#"
    $ canaryctl auto payment-api --sandbox --speed 1 --until step=2
    exit 0
    --- stdout
    09:02:15Z  AT THE WEIGHT after 2m15s: canary at 30% (wanted 25%, 3 of 10 pods)
               weights  0% → 10% → 30%
               live     stable 70% on 7 ready pods, canary 30% on 3 ready pods
               next     canaryctl monitor payment-api -n canary-release --sandbox=healthy
               undo     canaryctl rollback payment-api -n canary-release --sandbox=healthy
    --- stderr
    cluster sandbox healthy, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    09:00:00Z  started      run 20260105-090000: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 25% → 50% → 100%
    09:00:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:00:00Z  step 1 of 4  moving traffic to 10%
    09:00:00Z  reached      canary at 10% (1 of 10 pods)
    09:00:00Z  step 1 of 4  watching at 10%
    09:00:00Z  ✓ healthy    pods, health
    09:00:00Z  ? unknown    success rate: no requests, 50 wanted
    09:00:10Z  ? unknown    success rate: 95 % (38 of 40 requests), 50 wanted
    09:00:20Z  ✓ healthy    success rate: 96.15 % (100 of 104 requests)
    09:00:20Z  waits        40s more at 10%
    09:01:00Z  step 2 of 4  moving traffic to 25%
    09:01:00Z  doing        scale payment-api-canary from 1 to 3
    09:01:00Z  waits        payment-api-canary: the controller to see the change
    09:01:00Z  waits        payment-api-canary: 1 of 3 pods to be ready (ContainerCreating)
    09:01:03Z  waits        payment-api-canary: 1 of 3 pods to be ready
    09:01:12Z  ? unknown    pods: 2 of 3 ready, 0 restarts
    09:01:12Z  doing        scale payment-api-stable from 9 to 8
    09:01:13Z  doing        scale payment-api-stable from 8 to 7
    09:01:13Z  reached      canary at 30% (wanted 25%, 3 of 10 pods = 30%)
    09:01:13Z  step 2 of 4  watching at 25%
    09:01:13Z  ✓ healthy    pods, health, success rate
    09:01:13Z  waits        1m more at 25%
    "#);
}

#[tokio::test(start_paused = true)]
async fn auto_stops_at_an_approval() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox --speed 1 --steps 10:60s:approve,100 --until paused").await, @r#"
    $ canaryctl auto payment-api --sandbox --speed 1 --steps 10:60s:approve,100 --until paused
    exit 0
    --- stdout
    09:01:00Z  PAUSED with the split live after 1m00s: waits for approval of step 1
               weights  0% → 10%
               was      at 09:00:00Z: stable 90% on 9 ready pods, canary 10% on 1 ready pod
               next     canaryctl approve payment-api -n canary-release --sandbox=healthy
               undo     canaryctl rollback payment-api -n canary-release --sandbox=healthy
    --- stderr
    cluster sandbox healthy, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    09:00:00Z  started      run 20260105-090000: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 100%
    09:00:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:00:00Z  step 1 of 2  moving traffic to 10%
    09:00:00Z  reached      canary at 10% (1 of 10 pods)
    09:00:00Z  step 1 of 2  watching at 10%
    09:00:00Z  ✓ healthy    pods, health
    09:00:00Z  ? unknown    success rate: no requests, 50 wanted
    09:00:10Z  ? unknown    success rate: 95 % (38 of 40 requests), 50 wanted
    09:00:20Z  ✓ healthy    success rate: 96.15 % (100 of 104 requests)
    09:00:20Z  waits        40s more at 10%
    09:01:00Z  step 1 of 2  waiting for approval at 10%
    "#);
    assert_snapshot!(console.shows("auto payment-api --sandbox --speed 1 --steps 10:60s:approve,100").await, @r#"
    $ canaryctl auto payment-api --sandbox --speed 1 --steps 10:60s:approve,100
    exit 5
    --- stdout
    09:01:00Z  PAUSED with the split live after 1m00s: waits for approval of step 1
               weights  0% → 10%
               was      at 09:00:00Z: stable 90% on 9 ready pods, canary 10% on 1 ready pod
               next     canaryctl approve payment-api -n canary-release --sandbox=healthy
               undo     canaryctl rollback payment-api -n canary-release --sandbox=healthy
    --- stderr
    cluster sandbox healthy, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    09:00:00Z  started      run 20260105-090000: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 100%
    09:00:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:00:00Z  step 1 of 2  moving traffic to 10%
    09:00:00Z  reached      canary at 10% (1 of 10 pods)
    09:00:00Z  step 1 of 2  watching at 10%
    09:00:00Z  ✓ healthy    pods, health
    09:00:00Z  ? unknown    success rate: no requests, 50 wanted
    09:00:10Z  ? unknown    success rate: 95 % (38 of 40 requests), 50 wanted
    09:00:20Z  ✓ healthy    success rate: 96.15 % (100 of 104 requests)
    09:00:20Z  waits        40s more at 10%
    09:01:00Z  step 1 of 2  waiting for approval at 10%
    "#);
}

#[tokio::test(start_paused = true)]
async fn auto_dry_run() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox --speed 1 --dry-run").await, @r#"
    $ canaryctl auto payment-api --sandbox --speed 1 --dry-run
    exit 0
    --- stdout
    would change nothing at this moment
    --- stderr
    cluster sandbox healthy, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    "#);
}

#[tokio::test(start_paused = true)]
async fn auto_gives_up_on_a_missing_image() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox=image-missing --speed 1").await, @r#"
    $ canaryctl auto payment-api --sandbox=image-missing --speed 1
    exit 3
    --- stdout
    09:00:11Z  ROLLED BACK after 11s: verified at 0%: pods: payment-api-canary-sql47cn4ws-2jzqf:
               payment-api ImagePullBackOff: Back-off pulling image "registry.example/payment-api:2.0.0"
               (0 of 1 ready, 0 restarts)
               weights  0%
               live     stable 100% on 10 ready pods, canary 0% on 0 ready pods
               next     canaryctl history payment-api -n canary-release --sandbox=image-missing
    --- stderr
    cluster sandbox image-missing, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    09:00:00Z  started      run 20260105-090000: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 25% → 50% → 100%
    09:00:00Z  ✗ unhealthy  pods: payment-api-canary-sql47cn4ws-2jzqf: payment-api ImagePullBackOff:
                            Back-off pulling image "registry.example/payment-api:2.0.0" (0 of 1 ready, 0
                            restarts)
    09:00:00Z  ROLLING BACK pods: payment-api-canary-sql47cn4ws-2jzqf: payment-api ImagePullBackOff:
                            Back-off pulling image "registry.example/payment-api:2.0.0" (0 of 1 ready, 0
                            restarts)
    09:00:00Z  back         moving traffic to stable
    09:00:00Z  doing        scale payment-api-stable from 9 to 10
    09:00:00Z  waits        payment-api-canary: 1 of 0 replicas asked for
    09:00:10Z  doing        scale payment-api-canary from 1 to 0
    09:00:11Z  reached      canary at 0% (0 of 10 pods)
    09:00:11Z  phase        draining
    09:00:11Z  phase        cleaning up
    "#);
}

#[tokio::test(start_paused = true)]
async fn auto_refuses_or_pins_an_autoscaler() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox=hpa-fights --speed 1").await, @r#"
    $ canaryctl auto payment-api --sandbox=hpa-fights --speed 1
    exit 0
    --- stdout
    09:05:20Z  PROMOTED after 5m20s: payment-api-stable runs the new version
               weights  0% → 10% → 30% → 50% → 100% → 0%
               live     stable 100% on 10 ready pods, canary 0% on 0 ready pods
               next     canaryctl status payment-api -n canary-release --sandbox=hpa-fights
    --- stderr
    cluster sandbox hpa-fights, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    09:00:00Z  started      run 20260105-090000: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 25% → 50% → 100%
    09:00:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:00:00Z  step 1 of 4  moving traffic to 10%
    09:00:00Z  reached      canary at 10% (1 of 10 pods)
    09:00:00Z  step 1 of 4  watching at 10%
    09:00:00Z  ✓ healthy    pods, health
    09:00:00Z  ? unknown    success rate: no requests, 50 wanted
    09:00:10Z  ? unknown    success rate: 100 % (45 of 45 requests), 50 wanted
    09:00:15Z  drift        somebody else changed the split, payment-api-stable scaled by
                            kube-controller-manager: it is 14.286% (1 of 10 pods), wanted 10%: put right
    09:00:15Z  step 1 of 4  moving traffic to 10%
    09:00:15Z  doing        scale payment-api-stable from 6 to 9
    09:00:15Z  waits        payment-api-stable: the controller to see the change
    09:00:15Z  reached      canary at 10% (1 of 10 pods)
    09:00:15Z  step 1 of 4  watching at 10%
    09:00:15Z  ✓ healthy    pods, health
    09:00:15Z  ? unknown    success rate: 100 % (44 of 44 requests), 50 wanted
    09:00:25Z  ✓ healthy    success rate: 100 % (90 of 90 requests)
    09:00:25Z  waits        49s more at 10%
    09:01:15Z  step 2 of 4  moving traffic to 25%
    09:01:15Z  doing        scale payment-api-canary from 1 to 3
    09:01:15Z  waits        payment-api-canary: the controller to see the change
    09:01:15Z  waits        payment-api-canary: 1 of 3 pods to be ready (ContainerCreating)
    09:01:18Z  waits        payment-api-canary: 1 of 3 pods to be ready
    09:01:28Z  doing        scale payment-api-stable from 9 to 7
    09:01:29Z  reached      canary at 30% (wanted 25%, 3 of 10 pods = 30%)
    09:01:29Z  step 2 of 4  watching at 25%
    09:01:29Z  ✓ healthy    pods, health, success rate
    09:01:29Z  waits        1m more at 25%
    09:02:31Z  step 3 of 4  moving traffic to 50%
    09:02:31Z  doing        scale payment-api-canary from 3 to 5
    09:02:31Z  waits        payment-api-canary: the controller to see the change
    09:02:31Z  waits        payment-api-canary: 3 of 5 pods to be ready (ContainerCreating)
    09:02:32Z  waits        payment-api-canary: 3 of 5 pods to be ready
    09:02:42Z  doing        scale payment-api-stable from 7 to 5
    09:02:42Z  waits        payment-api-stable: the controller to see the change
    09:02:42Z  reached      canary at 50% (5 of 10 pods)
    09:02:42Z  step 3 of 4  watching at 50%
    09:02:42Z  ✓ healthy    pods, health, success rate
    09:02:42Z  waits        1m more at 50%
    09:03:44Z  step 4 of 4  moving traffic to 100%
    09:03:44Z  doing        scale payment-api-canary from 5 to 10
    09:03:44Z  waits        payment-api-canary: the controller to see the change
    09:03:45Z  waits        payment-api-canary: 5 of 10 pods to be ready (ContainerCreating)
    09:03:45Z  waits        payment-api-canary: 5 of 10 pods to be ready
    09:03:55Z  ? unknown    pods: 7 of 10 ready, 0 restarts
    09:03:55Z  doing        scale payment-api-stable from 5 to 3
    09:03:55Z  doing        scale payment-api-stable from 3 to 0
    09:03:56Z  reached      canary at 100% (10 of 10 pods)
    09:03:56Z  step 4 of 4  watching at 100%
    09:03:56Z  ✓ healthy    pods, health, success rate
    09:03:56Z  waits        1m more at 100%
    09:04:58Z  promoting    moving all traffic to the canary
    09:04:58Z  reached      canary at 100% (10 of 10 pods)
    09:04:58Z  promoting    updating stable
    09:04:58Z  doing        give payment-api-stable the version of payment-api-canary
    09:04:58Z  waits        payment-api-stable: the controller to see the change
    09:04:58Z  promoting    starting stable's pods
    09:04:58Z  doing        scale payment-api-stable from 0 to 10
    09:04:58Z  ? unknown    stable, pods: no pods
    09:04:58Z  ? unknown    stable, health: no pods to ask
    09:04:59Z  waits        payment-api-stable: 0 of 10 new pods to be created
    09:04:59Z  waits        payment-api-stable: 0 of 10 pods to be available
    09:05:09Z  ✓ healthy    stable, health: holds, status 200 on 4 of 4 pods
    09:05:09Z  ? unknown    stable, pods: 4 of 10 ready, 0 restarts
    09:05:10Z  promoting    checking stable
    09:05:10Z  waits        stable to prove itself healthy
    09:05:10Z  ✓ healthy    stable, pods: 10 of 10 ready, 0 restarts
    09:05:20Z  promoting    returning traffic to stable
    09:05:20Z  doing        scale payment-api-canary from 10 to 0
    09:05:20Z  waits        payment-api-canary: the controller to see the change
    09:05:20Z  reached      canary at 0% (0 of 10 pods)
    09:05:20Z  phase        draining
    09:05:20Z  phase        cleaning up
    09:05:20Z  doing        restore what was pinned
    "#);
}

#[tokio::test(start_paused = true)]
async fn auto_holds_without_data() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox=no-data --speed 1").await, @r#"
    $ canaryctl auto payment-api --sandbox=no-data --speed 1
    exit 5
    --- stdout
    09:11:00Z  PAUSED with the split live after 11m00s: not enough evidence: success rate: no requests;
               payment-api-canary-sql47cn4ws-2jzqf: body.successfulTransactions: found no matching
               overload for '_._' applied to '(null_type, string)'
               weights  0% → 10%
               was      at 09:00:00Z: stable 90% on 9 ready pods, canary 10% on 1 ready pod
               next     canaryctl status payment-api -n canary-release --sandbox=no-data
               undo     canaryctl rollback payment-api -n canary-release --sandbox=no-data
    --- stderr
    cluster sandbox no-data, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    09:00:00Z  started      run 20260105-090000: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 25% → 50% → 100%
    09:00:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:00:00Z  step 1 of 4  moving traffic to 10%
    09:00:00Z  reached      canary at 10% (1 of 10 pods)
    09:00:00Z  step 1 of 4  watching at 10%
    09:00:00Z  ✓ healthy    pods, health
    09:00:00Z  ? unknown    success rate: no requests; payment-api-canary-sql47cn4ws-2jzqf:
                            body.successfulTransactions: found no matching overload for '_._' applied to
                            '(null_type, string)'
    "#);
}

#[tokio::test(start_paused = true)]
async fn auto_holds_with_too_few_requests() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox=low-traffic --speed 1").await, @r#"
    $ canaryctl auto payment-api --sandbox=low-traffic --speed 1
    exit 0
    --- stdout
    09:05:04Z  PROMOTED after 5m04s: payment-api-stable runs the new version
               weights  0% → 10% → 30% → 50% → 100% → 0%
               live     stable 100% on 10 ready pods, canary 0% on 0 ready pods
               next     canaryctl status payment-api -n canary-release --sandbox=low-traffic
    --- stderr
    cluster sandbox low-traffic, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    09:00:00Z  started      run 20260105-090000: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 25% → 50% → 100%
    09:00:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:00:00Z  step 1 of 4  moving traffic to 10%
    09:00:00Z  reached      canary at 10% (1 of 10 pods)
    09:00:00Z  step 1 of 4  watching at 10%
    09:00:00Z  ✓ healthy    pods, health
    09:00:00Z  ? unknown    success rate: no requests, 50 wanted
    09:00:10Z  ? unknown    success rate: 100 % (8 of 8 requests), 50 wanted
    09:01:00Z  ✓ healthy    success rate: 98.11 % (52 of 53 requests)
    09:01:00Z  step 2 of 4  moving traffic to 25%
    09:01:00Z  doing        scale payment-api-canary from 1 to 3
    09:01:00Z  waits        payment-api-canary: the controller to see the change
    09:01:00Z  waits        payment-api-canary: 1 of 3 pods to be ready (ContainerCreating)
    09:01:03Z  waits        payment-api-canary: 1 of 3 pods to be ready
    09:01:12Z  ? unknown    pods: 2 of 3 ready, 0 restarts
    09:01:12Z  doing        scale payment-api-stable from 9 to 8
    09:01:13Z  doing        scale payment-api-stable from 8 to 7
    09:01:13Z  reached      canary at 30% (wanted 25%, 3 of 10 pods = 30%)
    09:01:13Z  step 2 of 4  watching at 25%
    09:01:13Z  ✓ healthy    pods, health
    09:01:13Z  ? unknown    success rate: 100 % (11 of 11 requests), 50 wanted
    09:01:35Z  ✓ healthy    success rate: 100 % (56 of 56 requests)
    09:01:35Z  waits        37s more at 25%
    09:02:15Z  step 3 of 4  moving traffic to 50%
    09:02:15Z  doing        scale payment-api-canary from 3 to 5
    09:02:15Z  waits        payment-api-canary: the controller to see the change
    09:02:15Z  waits        payment-api-canary: 3 of 5 pods to be ready (ContainerCreating)
    09:02:16Z  waits        payment-api-canary: 3 of 5 pods to be ready
    09:02:26Z  doing        scale payment-api-stable from 7 to 5
    09:02:26Z  waits        payment-api-stable: the controller to see the change
    09:02:26Z  reached      canary at 50% (5 of 10 pods)
    09:02:26Z  step 3 of 4  watching at 50%
    09:02:26Z  ✓ healthy    pods, health
    09:02:26Z  ? unknown    success rate: 95.65 % (22 of 23 requests), 50 wanted
    09:02:38Z  ✓ healthy    success rate: 98.53 % (67 of 68 requests)
    09:02:38Z  waits        47s more at 50%
    09:03:28Z  step 4 of 4  moving traffic to 100%
    09:03:28Z  doing        scale payment-api-canary from 5 to 10
    09:03:28Z  waits        payment-api-canary: the controller to see the change
    09:03:29Z  waits        payment-api-canary: 5 of 10 pods to be ready (ContainerCreating)
    09:03:29Z  waits        payment-api-canary: 5 of 10 pods to be ready
    09:03:39Z  ? unknown    pods: 6 of 10 ready, 0 restarts
    09:03:39Z  doing        scale payment-api-stable from 5 to 4
    09:03:39Z  doing        scale payment-api-stable from 4 to 0
    09:03:40Z  reached      canary at 100% (10 of 10 pods)
    09:03:40Z  step 4 of 4  watching at 100%
    09:03:40Z  ✓ healthy    pods, health
    09:03:40Z  ? unknown    success rate: 100 % (36 of 36 requests), 50 wanted
    09:03:52Z  ✓ healthy    success rate: 100 % (122 of 122 requests)
    09:03:52Z  waits        47s more at 100%
    09:04:42Z  promoting    moving all traffic to the canary
    09:04:42Z  reached      canary at 100% (10 of 10 pods)
    09:04:42Z  promoting    updating stable
    09:04:42Z  doing        give payment-api-stable the version of payment-api-canary
    09:04:42Z  waits        payment-api-stable: the controller to see the change
    09:04:42Z  promoting    starting stable's pods
    09:04:42Z  doing        scale payment-api-stable from 0 to 10
    09:04:42Z  ? unknown    stable, pods: no pods
    09:04:42Z  ? unknown    stable, health: no pods to ask
    09:04:43Z  waits        payment-api-stable: 0 of 10 new pods to be created
    09:04:43Z  waits        payment-api-stable: 0 of 10 pods to be available
    09:04:53Z  ✓ healthy    stable, health: holds, status 200 on 4 of 4 pods
    09:04:53Z  ? unknown    stable, pods: 4 of 10 ready, 0 restarts
    09:04:54Z  promoting    checking stable
    09:04:54Z  waits        stable to prove itself healthy
    09:04:54Z  ✓ healthy    stable, pods: 10 of 10 ready, 0 restarts
    09:05:04Z  promoting    returning traffic to stable
    09:05:04Z  doing        scale payment-api-canary from 10 to 0
    09:05:04Z  waits        payment-api-canary: the controller to see the change
    09:05:04Z  reached      canary at 0% (0 of 10 pods)
    09:05:04Z  phase        draining
    09:05:04Z  phase        cleaning up
    "#);
}

#[tokio::test(start_paused = true)]
async fn ticks_of_cron_walk_a_release() {
    let console = Console::on("healthy").await;
    for _ in 0..3 {
        let ran = console
            .run("auto payment-api -n canary-release --once --steps 50,100 --hold 30s")
            .await;
        assert_eq!(ran.code, 0, "{}", ran.text());
        console.wait(20).await;
    }
    assert_snapshot!(console.shows("auto payment-api -n canary-release --once").await, @r#"
    $ canaryctl auto payment-api -n canary-release --once
    exit 0
    --- stdout
    waits for 10s more at 50%
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    09:02:00Z  resumed      run 20260105-090100: watching
    09:02:00Z  ✓ healthy    pods: 5 of 5 ready, 0 restarts
    09:02:00Z  waits        10s more at 50%
    "#);
    for _ in 0..40 {
        console
            .run("auto payment-api -n canary-release --once -q")
            .await;
        console.wait(20).await;
    }
    assert_snapshot!(console.shows("status -n canary-release").await, @r#"
    $ canaryctl status -n canary-release
    exit 0
    --- stdout
    APP          STATE     STEP  WEIGHT  SINCE   DRIVER
    payment-api  promoted  2/2   0%      10m20s  -
    "#);
}

#[tokio::test(start_paused = true)]
async fn an_approval_from_another_command_lets_the_release_go_on() {
    let console = Console::on("healthy").await;
    let paused = console
        .run("auto payment-api -n canary-release --steps 10:60s:approve,100 --hold 30s -q")
        .await;
    assert_eq!(paused.code, 5, "{}", paused.text());
    assert_snapshot!(console.shows("status payment-api -n canary-release --quick").await, @r#"
    $ canaryctl status payment-api -n canary-release --quick
    exit 0
    --- stdout
    payment-api  namespace canary-release  router replicas  run 20260105-090100
    state   waiting for approval at 10%, step 1 of 2, for 0s, run began 1m00s ago
    why     waits for approval of step 1
    split   stable ████████████████████████████████████░░░░ canary 10% (1 of 10 pods)

            READY  RESTARTS  REVISION  IMAGE
    stable  9/9    0         b9e7c8c2  registry.example/payment-api:1.5.0
    canary  1/1    0         cfc10cb8  registry.example/payment-api:2.0.0

    checks  none were looked at

    next    canaryctl auto payment-api -n canary-release
    undo    canaryctl rollback payment-api -n canary-release
    found   Deployments payment-api-stable and payment-api-canary by name; Service payment-api-service
            by name and selector; router replicas: Service payment-api-service selects the pods of both
            Deployments
    "#);
    assert_snapshot!(console.shows("approve payment-api -n canary-release").await, @r#"
    $ canaryctl approve payment-api -n canary-release
    exit 0
    --- stdout
    step 1 of payment-api is approved
    "#);
    assert_snapshot!(console.shows("approve payment-api -n canary-release").await, @r#"
    $ canaryctl approve payment-api -n canary-release
    exit 0
    --- stdout
    step 1 of payment-api is approved
    "#);
    assert_snapshot!(console.shows("auto payment-api -n canary-release").await, @r#"
    $ canaryctl auto payment-api -n canary-release
    exit 0
    --- stdout
    09:03:07Z  PROMOTED after 1m07s: payment-api-stable runs the new version
               weights  100% → 0%
               live     stable 100% on 10 ready pods, canary 0% on 0 ready pods
               next     canaryctl status payment-api -n canary-release
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    09:02:00Z  resumed      run 20260105-090100: waiting for approval
    09:02:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:02:00Z  step 2 of 2  moving traffic to 100%
    09:02:00Z  doing        scale payment-api-canary from 1 to 10
    09:02:00Z  waits        payment-api-canary: the controller to see the change
    09:02:00Z  waits        payment-api-canary: 1 of 10 pods to be ready (ContainerCreating)
    09:02:02Z  waits        payment-api-canary: 1 of 10 pods to be ready
    09:02:10Z  ? unknown    pods: 2 of 10 ready, 0 restarts
    09:02:10Z  doing        scale payment-api-stable from 9 to 8
    09:02:11Z  doing        scale payment-api-stable from 8 to 2
    09:02:12Z  doing        scale payment-api-stable from 2 to 0
    09:02:12Z  waits        payment-api-stable: the controller to see the change
    09:02:12Z  reached      canary at 100% (10 of 10 pods)
    09:02:12Z  step 2 of 2  watching at 100%
    09:02:12Z  ✓ healthy    pods: 10 of 10 ready, 0 restarts
    09:02:12Z  waits        30s more at 100%
    09:02:45Z  promoting    moving all traffic to the canary
    09:02:45Z  reached      canary at 100% (10 of 10 pods)
    09:02:45Z  promoting    updating stable
    09:02:45Z  doing        give payment-api-stable the version of payment-api-canary
    09:02:45Z  waits        payment-api-stable: the controller to see the change
    09:02:45Z  promoting    starting stable's pods
    09:02:45Z  doing        scale payment-api-stable from 0 to 10
    09:02:45Z  ? unknown    stable, pods: no pods
    09:02:45Z  waits        payment-api-stable: 0 of 10 new pods to be created
    09:02:46Z  waits        payment-api-stable: 0 of 10 pods to be available
    09:02:56Z  ? unknown    stable, pods: 5 of 10 ready, 0 restarts
    09:02:57Z  promoting    checking stable
    09:02:57Z  waits        stable to prove itself healthy
    09:03:07Z  ✓ healthy    stable, pods: 10 of 10 ready, 0 restarts
    09:03:07Z  promoting    returning traffic to stable
    09:03:07Z  doing        scale payment-api-canary from 10 to 0
    09:03:07Z  waits        payment-api-canary: the controller to see the change
    09:03:07Z  reached      canary at 0% (0 of 10 pods)
    09:03:07Z  phase        draining
    09:03:07Z  phase        cleaning up
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_second_run_is_refused_while_one_is_alive() {
    let console = Console::on("healthy").await;
    let line = format!("auto {RELEASE} --steps 10,100 --hold 5m");
    let first = console.run(&line);
    let others = async {
        console.wait(120).await;
        let auto = console.shows(&format!("auto {RELEASE}")).await;
        auto + &console.shows(&format!("set {RELEASE} 50")).await
    };
    let said = tokio::select! {
        ran = first => panic!("ended: {}", ran.text()),
        said = others => said,
    };
    assert_snapshot!(said, @r#"
    $ canaryctl auto payment-api -n canary-release
    exit 4
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    error: ana@laptop holds the release since 2026-01-05T09:01:00Z
    hint: watch it with `canaryctl monitor payment-api -n canary-release`, or end it with `canaryctl rollback payment-api -n canary-release`
    $ canaryctl set payment-api -n canary-release 50
    exit 4
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    error: ana@laptop holds the release since 2026-01-05T09:01:00Z
    hint: watch it with `canaryctl monitor payment-api -n canary-release`, or end it with `canaryctl rollback payment-api -n canary-release`
    "#);
}
