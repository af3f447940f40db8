//! Whole releases.

use insta::assert_snapshot;

use super::{Console, RELEASE};

#[tokio::test(start_paused = true)]
async fn auto_promotes_a_healthy_release() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox --speed 1 --steps 10,50,100 --hold 60s").await, @r"
    $ canaryctl auto payment-api --sandbox --speed 1 --steps 10,50,100 --hold 60s
    exit 0
    --- stdout
    09:03:48Z  PROMOTED after 3m48s: payment-api-stable runs the new version
               weights  10% → 50% → 100% → 0%
               live     stable 100% on 9 ready pods, canary 0% on 0 ready pods
               next     canaryctl sandbox healthy
               note     the sandbox of this run has been deleted; that one keeps running
    --- stderr
    cluster sandbox healthy, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    09:00:00Z  started      run 20260105-090000: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 50% → 100%
    09:00:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:00:00Z  waiting      payment-api-canary: pods to stay ready for 5s
    09:00:05Z  step 1 of 3  moving traffic to 10%
    09:00:05Z  reached      canary at 10% (1 of 10 pods)
    09:00:05Z  step 1 of 3  watching at 10%
    09:00:05Z  ✓ healthy    pods, health
    09:00:05Z  ? unknown    success rate: new pods warm up, their requests count in 10s
    09:00:15Z  ? unknown    success rate: 97.1% good (33 of 34), minimum 95%; 50 needed, about 4s more
    09:00:20Z  ? unknown    success rate: 96.8% good (61 of 63), minimum 95%; more requests needed
                            before 50%, 5m to 20m
    09:00:40Z  ? unknown    success rate: 97.2% good (172 of 177), minimum 95%; about 832 more requests
                            (3m) before 50%
    09:01:05Z  ✓ healthy    success rate: 98.2% good (329 of 335), minimum 95%: enough for 50%, counting
                            `load`
    09:01:05Z  step 2 of 3  moving traffic to 50%
    09:01:05Z  apply        scale payment-api-canary from 1 to 5
    09:01:06Z  waiting      payment-api-canary: 1/5 pods ready (ContainerCreating)
    09:01:07Z  waiting      payment-api-canary: 1/5 pods ready
    09:01:12Z  ? unknown    pods: 1 of 5 ready, 0 restarts
    09:01:15Z  apply        scale payment-api-stable from 9 to 7
    09:01:17Z  apply        scale payment-api-stable from 7 to 5
    09:01:18Z  ✓ healthy    pods: 5 of 5 ready, 0 restarts
    09:01:18Z  reached      canary at 50% (5 of 10 pods)
    09:01:18Z  step 2 of 3  watching at 50%
    09:01:18Z  ✓ healthy    pods, health
    09:01:18Z  ? unknown    success rate: new pods warm up, their requests count in 9s
    09:01:27Z  ✓ healthy    success rate: 100% good (70 of 70), minimum 95%: enough for 100%, counting
                            `load`
    09:01:27Z  waiting      51s more at 50%
    09:02:18Z  step 3 of 3  moving traffic to 100%
    09:02:18Z  apply        scale payment-api-canary from 5 to 10
    09:02:19Z  waiting      payment-api-canary: 5/10 pods ready
    09:02:24Z  ? unknown    pods: 5 of 10 ready, 0 restarts
    09:02:29Z  apply        scale payment-api-stable from 5 to 1
    09:02:29Z  apply        scale payment-api-stable from 1 to 0
    09:02:30Z  ✓ healthy    pods: 10 of 10 ready, 0 restarts
    09:02:30Z  reached      canary at 100% (10 of 10 pods)
    09:02:30Z  step 3 of 3  watching at 100%
    09:02:30Z  ✓ healthy    pods, health
    09:02:30Z  ? unknown    success rate: new pods warm up, their requests count in 9s
    09:02:40Z  ? unknown    success rate: 97.6% good (279 of 286), minimum 95%; about 295 more requests
                            (5s) to promote
    09:02:45Z  ✓ healthy    success rate: 97.5% good (625 of 641), minimum 95%: enough to promote,
                            counting `load`
    09:02:45Z  waiting      45s more at 100%
    09:03:30Z  promoting    moving all traffic to the canary
    09:03:30Z  reached      canary at 100% (10 of 10 pods)
    09:03:30Z  promoting    updating stable
    09:03:30Z  apply        give payment-api-stable the version of payment-api-canary
    09:03:30Z  waiting      payment-api-stable: observedGeneration to catch up
    09:03:31Z  promoting    starting stable's pods
    09:03:31Z  apply        scale payment-api-stable from 0 to 10
    09:03:31Z  ? unknown    stable, pods: no pods
    09:03:31Z  ? unknown    stable, health: no pods to ask
    09:03:31Z  waiting      payment-api-stable: 0/10 new pods created
    09:03:31Z  waiting      payment-api-stable: 0/10 pods available
    09:03:36Z  ? unknown    stable, pods: 0 of 10 ready, 0 restarts
    09:03:42Z  promoting    checking stable
    09:03:42Z  waiting      stable: checks to pass
    09:03:42Z  ✓ healthy    stable, pods, health
    09:03:47Z  promoting    returning traffic to stable
    09:03:47Z  apply        scale payment-api-canary from 10 to 0
    09:03:48Z  reached      canary at 0% (0 of 10 pods)
    09:03:48Z  phase        draining
    09:03:48Z  phase        cleaning up
    09:03:48Z  apply        scale payment-api-stable from 10 to 9
    ");
}

#[tokio::test(start_paused = true)]
async fn auto_in_json() {
    let console = Console::new();
    let line = "auto payment-api --sandbox --speed 1 --steps 50,100 --hold 20s -o json";
    let ran = console.run(line).await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    // Each kind of event once, so that the snapshot is about the form and not about the second.
    let mut kinds = std::collections::BTreeSet::new();
    let firsts = ran.out.lines().filter(|line| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        kinds.insert(event["event"].to_string())
    });
    let firsts: Vec<&str> = firsts.collect();
    assert_snapshot!(firsts.join("\n"), @r#"
    {"version":1,"at":"2026-01-05T09:00:00Z","event":"started","id":"20260105-090000","steps":[50.0,100.0],"change":"registry.example/payment-api:1.5.0 → registry.example/payment-api:2.0.0","live":10.0}
    {"version":1,"at":"2026-01-05T09:00:00Z","event":"checked","track":"canary","results":[{"name":"pods","probe":"pods","verdict":"healthy","limit":"ready, ≤ 1 restarts","samples":1,"severity":"rollback","text":"pods: 1 of 1 ready, 0 restarts"}]}
    {"version":1,"at":"2026-01-05T09:00:00Z","event":"waiting","what":"payment-api-canary: pods to stay ready for 5s","since":"2026-01-05T09:00:00Z"}
    {"version":1,"at":"2026-01-05T09:00:05Z","event":"phase-changed","phase":"shifting","step":1,"steps":2,"weight":50.0}
    {"version":1,"at":"2026-01-05T09:00:05Z","event":"acting","what":"scale payment-api-canary from 1 to 5","changes":[{"object":"Deployment canary-release/payment-api-canary","path":"/spec/replicas","from":1,"to":5}]}
    {"version":1,"at":"2026-01-05T09:00:19.85Z","event":"reached","split":{"wanted":50.0,"set":50.0,"actual":50.0,"matches":true,"settled":true,"stableReady":5,"canaryReady":5,"detail":"5 of 10 pods"}}
    {"version":1,"at":"2026-01-05T09:01:34.7Z","event":"ended","outcome":"promoted","text":"promoted: payment-api-stable runs the new version","split":{"wanted":0.0,"set":0.0,"actual":0.0,"matches":false,"settled":false,"stableReady":9,"canaryReady":0,"detail":"0 of 9 pods","waitsFor":"payment-api-stable: to be scaled from 9 to 10"}}
    "#);
}

#[tokio::test(start_paused = true)]
async fn auto_rolls_back_what_is_unhealthy() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox=errors-at-25 --speed 1").await, @r"
    $ canaryctl auto payment-api --sandbox=errors-at-25 --speed 1
    exit 3
    --- stdout
    09:01:50Z  ROLLED BACK after 1m50s: verified at 0%: success rate: 74% good (148 of 201), minimum
               95%, counting `load`
               weights  10% → 30% → 0%
               live     stable 100% on 9 ready pods, canary 0% on 0 ready pods
               next     canaryctl sandbox errors-at-25
               note     the sandbox of this run has been deleted; that one keeps running
    --- stderr
    cluster sandbox errors-at-25, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    09:00:00Z  started      run 20260105-090000: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 25% → 50% → 100%
    09:00:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:00:00Z  waiting      payment-api-canary: pods to stay ready for 5s
    09:00:05Z  step 1 of 4  moving traffic to 10%
    09:00:05Z  reached      canary at 10% (1 of 10 pods)
    09:00:05Z  step 1 of 4  watching at 10%
    09:00:05Z  ✓ healthy    pods, health
    09:00:05Z  ? unknown    success rate: new pods warm up, their requests count in 10s
    09:00:15Z  ? unknown    success rate: 100% good (36 of 36), minimum 95%; 50 needed, about 3s more
    09:00:20Z  ? unknown    success rate: 100% good (56 of 56), minimum 95%; about 15 more requests (3s)
                            before 25%
    09:00:25Z  ✓ healthy    success rate: 100% good (87 of 87), minimum 95%: enough for 25%, counting
                            `load`
    09:00:25Z  waiting      40s more at 10%
    09:00:35Z  ? unknown    success rate: 98.4% good (127 of 129), minimum 95%; more requests needed
                            before 25%, 15s to 1m
    09:00:45Z  ✓ healthy    success rate: 98.9% good (174 of 176), minimum 95%: enough for 25%, counting
                            `load`
    09:01:05Z  step 2 of 4  moving traffic to 25%
    09:01:05Z  apply        scale payment-api-canary from 1 to 3
    09:01:07Z  waiting      payment-api-canary: 1/3 pods ready (ContainerCreating)
    09:01:08Z  waiting      payment-api-canary: 1/3 pods ready
    09:01:13Z  ? unknown    pods: 1 of 3 ready, 0 restarts
    09:01:17Z  apply        scale payment-api-stable from 9 to 8
    09:01:18Z  ✓ healthy    pods: 3 of 3 ready, 0 restarts
    09:01:18Z  apply        scale payment-api-stable from 8 to 7
    09:01:19Z  reached      canary at 30% (wanted 25%, 3 of 10 pods = 30%)
    09:01:19Z  step 2 of 4  watching at 25%
    09:01:19Z  ✓ healthy    pods, health
    09:01:19Z  ? unknown    success rate: new pods warm up, their requests count in 9s
    09:01:28Z  ? unknown    success rate: 71% good (30 of 42), minimum 95%: not sure yet, rollback in
                            about 10s if it continues
    09:01:34Z  ? unknown    success rate: 71% good (100 of 141), minimum 95%: nearly sure, rollback in
                            about 5s if it continues
    09:01:38Z  ✗ unhealthy  success rate: 74% good (148 of 201), minimum 95%, counting `load`
    09:01:38Z  ROLLING BACK from 30%: success rate: 74% good (148 of 201), minimum 95%, counting `load`
    09:01:38Z  rollback     moving traffic to stable
    09:01:38Z  apply        scale payment-api-stable from 7 to 10
    09:01:39Z  waiting      payment-api-stable: 7/10 pods ready, before payment-api-canary is scaled to
                            0
    09:01:49Z  apply        scale payment-api-canary from 3 to 2
    09:01:49Z  apply        scale payment-api-canary from 2 to 0
    09:01:50Z  reached      canary at 0% (0 of 10 pods)
    09:01:50Z  phase        draining
    09:01:50Z  phase        cleaning up
    09:01:50Z  apply        scale payment-api-stable from 10 to 9
    ");
}

#[tokio::test(start_paused = true)]
async fn auto_stops_at_a_step() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox --speed 1 --until step=2").await, @r"
    $ canaryctl auto payment-api --sandbox --speed 1 --until step=2
    exit 0
    --- stdout
    09:02:19Z  WEIGHT REACHED after 2m19s: canary at 30% (wanted 25%, 3 of 10 pods)
               weights  10% → 30%
               live     stable 70% on 7 ready pods, canary 30% on 3 ready pods
               next     canaryctl sandbox healthy
               note     the sandbox of this run has been deleted; that one keeps running
    --- stderr
    cluster sandbox healthy, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    09:00:00Z  started      run 20260105-090000: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 25% → 50% → 100%
    09:00:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:00:00Z  waiting      payment-api-canary: pods to stay ready for 5s
    09:00:05Z  step 1 of 4  moving traffic to 10%
    09:00:05Z  reached      canary at 10% (1 of 10 pods)
    09:00:05Z  step 1 of 4  watching at 10%
    09:00:05Z  ✓ healthy    pods, health
    09:00:05Z  ? unknown    success rate: new pods warm up, their requests count in 10s
    09:00:15Z  ? unknown    success rate: 97.1% good (33 of 34), minimum 95%; 50 needed, about 4s more
    09:00:20Z  ? unknown    success rate: 96.8% good (61 of 63), minimum 95%; more requests needed
                            before 25%, 4m to 13m
    09:00:40Z  ? unknown    success rate: 97.2% good (172 of 177), minimum 95%; about 613 more requests
                            (2m) before 25%
    09:01:00Z  ✓ healthy    success rate: 98.1% good (302 of 308), minimum 95%: enough for 25%, counting
                            `load`
    09:01:00Z  waiting      5s more at 10%
    09:01:05Z  step 2 of 4  moving traffic to 25%
    09:01:05Z  apply        scale payment-api-canary from 1 to 3
    09:01:07Z  waiting      payment-api-canary: 1/3 pods ready (ContainerCreating)
    09:01:08Z  waiting      payment-api-canary: 1/3 pods ready
    09:01:13Z  ? unknown    pods: 1 of 3 ready, 0 restarts
    09:01:17Z  apply        scale payment-api-stable from 9 to 8
    09:01:18Z  ✓ healthy    pods: 3 of 3 ready, 0 restarts
    09:01:18Z  apply        scale payment-api-stable from 8 to 7
    09:01:19Z  reached      canary at 30% (wanted 25%, 3 of 10 pods = 30%)
    09:01:19Z  step 2 of 4  watching at 25%
    09:01:19Z  ✓ healthy    pods, health
    09:01:19Z  ? unknown    success rate: new pods warm up, their requests count in 9s
    09:01:28Z  ? unknown    success rate: 100% good (32 of 32), minimum 95%; 50 needed, about 1s more
    09:01:29Z  ? unknown    success rate: 100% good (55 of 55), minimum 95%; about 16 more requests (1s)
                            before 50%
    09:01:31Z  ? unknown    success rate: 99.0% good (95 of 96), minimum 95%; more requests needed
                            before 50%, 5s to 10s
    09:01:33Z  ✓ healthy    success rate: 99.24% good (131 of 132), minimum 95%: enough for 50%,
                            counting `load`
    09:01:33Z  waiting      46s more at 25%
    ");
}

#[tokio::test(start_paused = true)]
async fn auto_stops_at_an_approval() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox --speed 1 --steps 10:60s:approve,100 --until paused").await, @r"
    $ canaryctl auto payment-api --sandbox --speed 1 --steps 10:60s:approve,100 --until paused
    exit 0
    --- stdout
    09:01:05Z  PAUSED with the split live after 1m05s: waits for approval of step 1
               weights  10%
               was      at 09:01:05Z: stable 90% on 9 ready pods, canary 10% on 1 ready pod
               next     canaryctl sandbox healthy
               note     the sandbox of this run has been deleted; that one keeps running
    --- stderr
    cluster sandbox healthy, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    09:00:00Z  started      run 20260105-090000: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 100%
    09:00:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:00:00Z  waiting      payment-api-canary: pods to stay ready for 5s
    09:00:05Z  step 1 of 2  moving traffic to 10%
    09:00:05Z  reached      canary at 10% (1 of 10 pods)
    09:00:05Z  step 1 of 2  watching at 10%
    09:00:05Z  ✓ healthy    pods, health
    09:00:05Z  ? unknown    success rate: new pods warm up, their requests count in 10s
    09:00:15Z  ? unknown    success rate: 97.1% good (33 of 34), minimum 95%; 50 needed, about 4s more
    09:00:20Z  ? unknown    success rate: 96.8% good (61 of 63), minimum 95%; more requests needed
                            before 100%, 5m to 20m
    09:00:40Z  ? unknown    success rate: 97.2% good (172 of 177), minimum 95%; about 832 more requests
                            (3m) before 100%
    09:01:05Z  ✓ healthy    success rate: 98.2% good (329 of 335), minimum 95%: enough for 100%,
                            counting `load`
    09:01:05Z  step 1 of 2  waiting for approval at 10%
    ");
    assert_snapshot!(console.shows("auto payment-api --sandbox --speed 1 --steps 10:60s:approve,100").await, @r"
    $ canaryctl auto payment-api --sandbox --speed 1 --steps 10:60s:approve,100
    exit 5
    --- stdout
    09:01:05Z  PAUSED with the split live after 1m05s: waits for approval of step 1
               weights  10%
               was      at 09:01:05Z: stable 90% on 9 ready pods, canary 10% on 1 ready pod
               next     canaryctl sandbox healthy
               note     the sandbox of this run has been deleted; that one keeps running
    --- stderr
    cluster sandbox healthy, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    09:00:00Z  started      run 20260105-090000: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 100%
    09:00:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:00:00Z  waiting      payment-api-canary: pods to stay ready for 5s
    09:00:05Z  step 1 of 2  moving traffic to 10%
    09:00:05Z  reached      canary at 10% (1 of 10 pods)
    09:00:05Z  step 1 of 2  watching at 10%
    09:00:05Z  ✓ healthy    pods, health
    09:00:05Z  ? unknown    success rate: new pods warm up, their requests count in 10s
    09:00:15Z  ? unknown    success rate: 97.1% good (33 of 34), minimum 95%; 50 needed, about 4s more
    09:00:20Z  ? unknown    success rate: 96.8% good (61 of 63), minimum 95%; more requests needed
                            before 100%, 5m to 20m
    09:00:40Z  ? unknown    success rate: 97.2% good (172 of 177), minimum 95%; about 832 more requests
                            (3m) before 100%
    09:01:05Z  ✓ healthy    success rate: 98.2% good (329 of 335), minimum 95%: enough for 100%,
                            counting `load`
    09:01:05Z  step 1 of 2  waiting for approval at 10%
    ");
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
               payment-api ImagePullBackOff: Back-off pulling image
               "registry.example/payment-api:2.0.0": ErrImagePull: failed to pull and unpack image
               "registry.example/payment-api:2.0.0": failed to resolve reference
               "registry.example/payment-api:2.0.0": registry.example/payment-api:2.0.0: not found (0 of
               1 ready, 0 restarts)
               weights  0%
               live     stable 100% on 9 ready pods, canary 0% on 0 ready pods
               next     canaryctl sandbox image-missing
               note     the sandbox of this run has been deleted; that one keeps running
    --- stderr
    warning: pods of the canary are in trouble already (payment-api ImagePullBackOff) (Deployment canary-release/payment-api-canary)
    cluster sandbox image-missing, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    09:00:00Z  started      run 20260105-090000: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 25% → 50% → 100%
    09:00:00Z  ✗ unhealthy  pods: payment-api-canary-sql47cn4ws-2jzqf: payment-api ImagePullBackOff:
                            Back-off pulling image "registry.example/payment-api:2.0.0": ErrImagePull:
                            failed to pull and unpack image "registry.example/payment-api:2.0.0": failed
                            to resolve reference "registry.example/payment-api:2.0.0":
                            registry.example/payment-api:2.0.0: not found (0 of 1 ready, 0 restarts)
    09:00:00Z  ROLLING BACK pods: payment-api-canary-sql47cn4ws-2jzqf: payment-api ImagePullBackOff:
                            Back-off pulling image "registry.example/payment-api:2.0.0": ErrImagePull:
                            failed to pull and unpack image "registry.example/payment-api:2.0.0": failed
                            to resolve reference "registry.example/payment-api:2.0.0":
                            registry.example/payment-api:2.0.0: not found (0 of 1 ready, 0 restarts)
    09:00:00Z  rollback     moving traffic to stable
    09:00:00Z  apply        scale payment-api-stable from 9 to 10
    09:00:01Z  waiting      payment-api-stable: 9/10 pods ready, before payment-api-canary is scaled to
                            0
    09:00:10Z  apply        scale payment-api-canary from 1 to 0
    09:00:11Z  reached      canary at 0% (0 of 10 pods)
    09:00:11Z  phase        draining
    09:00:11Z  phase        cleaning up
    09:00:11Z  apply        scale payment-api-stable from 10 to 9
    "#);
}

#[tokio::test(start_paused = true)]
async fn auto_refuses_or_pins_an_autoscaler() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox=hpa-fights --speed 1").await, @r"
    $ canaryctl auto payment-api --sandbox=hpa-fights --speed 1
    exit 0
    --- stdout
    09:05:04Z  PROMOTED after 5m04s: payment-api-stable runs the new version
               weights  10% → 30% → 50% → 100% → 0%
               live     stable 100% on 9 ready pods, canary 0% on 0 ready pods
               next     canaryctl sandbox hpa-fights
               note     the sandbox of this run has been deleted; that one keeps running
    --- stderr
    cluster sandbox hpa-fights, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    09:00:00Z  started      run 20260105-090000: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 25% → 50% → 100%
    09:00:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:00:00Z  waiting      payment-api-canary: pods to stay ready for 5s
    09:00:05Z  step 1 of 4  moving traffic to 10%
    09:00:05Z  apply        pin payment-api-stable at 9
    09:00:05Z  reached      canary at 10% (1 of 10 pods)
    09:00:05Z  step 1 of 4  watching at 10%
    09:00:05Z  ✓ healthy    pods, health
    09:00:05Z  ? unknown    success rate: new pods warm up, their requests count in 10s
    09:00:15Z  ? unknown    success rate: 100% good (41 of 41), minimum 95%; 50 needed, about 2s more
    09:00:20Z  ? unknown    success rate: 100% good (56 of 56), minimum 95%; about 15 more requests (3s)
                            before 25%
    09:00:25Z  ✓ healthy    success rate: 100% good (87 of 87), minimum 95%: enough for 25%, counting
                            `load`
    09:00:25Z  waiting      40s more at 10%
    09:00:35Z  ? unknown    success rate: 98.4% good (127 of 129), minimum 95%; more requests needed
                            before 25%, 15s to 1m
    09:00:45Z  ✓ healthy    success rate: 98.9% good (176 of 178), minimum 95%: enough for 25%, counting
                            `load`
    09:01:05Z  step 2 of 4  moving traffic to 25%
    09:01:05Z  apply        scale payment-api-canary from 1 to 3
    09:01:07Z  waiting      payment-api-canary: 1/3 pods ready (ContainerCreating)
    09:01:08Z  waiting      payment-api-canary: 1/3 pods ready
    09:01:13Z  ? unknown    pods: 1 of 3 ready, 0 restarts
    09:01:17Z  apply        scale payment-api-stable from 9 to 8
    09:01:18Z  ✓ healthy    pods: 3 of 3 ready, 0 restarts
    09:01:18Z  apply        scale payment-api-stable from 8 to 7
    09:01:19Z  reached      canary at 30% (wanted 25%, 3 of 10 pods = 30%)
    09:01:19Z  step 2 of 4  watching at 25%
    09:01:19Z  ✓ healthy    pods, health
    09:01:19Z  ? unknown    success rate: new pods warm up, their requests count in 9s
    09:01:28Z  ? unknown    success rate: 100% good (27 of 27), minimum 95%; 50 needed, about 2s more
    09:01:31Z  ? unknown    success rate: 97.7% good (84 of 86), minimum 95%; more requests needed
                            before 50%, 15s to 50s
    09:01:38Z  ✓ healthy    success rate: 98.5% good (194 of 197), minimum 95%: enough for 50%, counting
                            `load`
    09:01:38Z  waiting      41s more at 25%
    09:02:19Z  step 3 of 4  moving traffic to 50%
    09:02:19Z  apply        scale payment-api-canary from 3 to 5
    09:02:20Z  waiting      payment-api-canary: 3/5 pods ready
    09:02:25Z  ? unknown    pods: 3 of 5 ready, 0 restarts
    09:02:30Z  apply        scale payment-api-stable from 7 to 6
    09:02:30Z  apply        scale payment-api-stable from 6 to 5
    09:02:31Z  ✓ healthy    pods: 5 of 5 ready, 0 restarts
    09:02:31Z  reached      canary at 50% (5 of 10 pods)
    09:02:31Z  step 3 of 4  watching at 50%
    09:02:31Z  ✓ healthy    pods, health
    09:02:31Z  ? unknown    success rate: new pods warm up, their requests count in 9s
    09:02:40Z  ? unknown    success rate: 100% good (56 of 56), minimum 95%; about 15 more requests (1s)
                            before 100%
    09:02:41Z  ✓ healthy    success rate: 100% good (80 of 80), minimum 95%: enough for 100%, counting
                            `load`
    09:02:41Z  waiting      50s more at 50%
    09:03:31Z  step 4 of 4  moving traffic to 100%
    09:03:31Z  apply        scale payment-api-canary from 5 to 10
    09:03:32Z  waiting      payment-api-canary: 5/10 pods ready
    09:03:37Z  ? unknown    pods: 5 of 10 ready, 0 restarts
    09:03:42Z  apply        scale payment-api-stable from 5 to 1
    09:03:42Z  apply        scale payment-api-stable from 1 to 0
    09:03:43Z  ✓ healthy    pods: 10 of 10 ready, 0 restarts
    09:03:43Z  reached      canary at 100% (10 of 10 pods)
    09:03:43Z  step 4 of 4  watching at 100%
    09:03:43Z  ✓ healthy    pods, health
    09:03:43Z  ? unknown    success rate: new pods warm up, their requests count in 9s
    09:03:53Z  ✓ healthy    success rate: 98.7% good (223 of 226), minimum 95%: enough to promote,
                            counting `load`
    09:03:53Z  waiting      50s more at 100%
    09:03:58Z  ? unknown    success rate: 97.4% good (486 of 499), minimum 95%; about 139 more requests
                            (3s) to promote
    09:04:08Z  ✓ healthy    success rate: 97.2% good (1,049 of 1,079), minimum 95%: enough to promote,
                            counting `load`
    09:04:43Z  promoting    moving all traffic to the canary
    09:04:43Z  reached      canary at 100% (10 of 10 pods)
    09:04:43Z  promoting    updating stable
    09:04:43Z  apply        give payment-api-stable the version of payment-api-canary
    09:04:43Z  waiting      payment-api-stable: observedGeneration to catch up
    09:04:43Z  promoting    starting stable's pods
    09:04:43Z  apply        scale payment-api-stable from 0 to 10
    09:04:43Z  ? unknown    stable, pods: no pods
    09:04:43Z  ? unknown    stable, health: no pods to ask
    09:04:43Z  waiting      payment-api-stable: 0/10 new pods created
    09:04:44Z  waiting      payment-api-stable: 0/10 pods available
    09:04:48Z  ? unknown    stable, pods: 0 of 10 ready, 0 restarts
    09:04:55Z  promoting    checking stable
    09:04:55Z  waiting      stable: checks to pass
    09:04:58Z  ✓ healthy    stable, pods, health
    09:05:03Z  promoting    returning traffic to stable
    09:05:03Z  apply        scale payment-api-canary from 10 to 0
    09:05:03Z  reached      canary at 0% (0 of 10 pods)
    09:05:03Z  phase        draining
    09:05:03Z  phase        cleaning up
    09:05:03Z  apply        scale payment-api-stable from 10 to 9
    09:05:04Z  apply        restore what was pinned
    ");
}

#[tokio::test(start_paused = true)]
async fn auto_holds_with_too_few_requests() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox=low-traffic --speed 1").await, @r"
    $ canaryctl auto payment-api --sandbox=low-traffic --speed 1
    exit 0
    --- stdout
    09:05:05Z  PROMOTED after 5m05s: payment-api-stable runs the new version
               weights  10% → 30% → 50% → 100% → 0%
               live     stable 100% on 9 ready pods, canary 0% on 0 ready pods
               next     canaryctl sandbox low-traffic
               note     the sandbox of this run has been deleted; that one keeps running
    --- stderr
    cluster sandbox low-traffic, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    09:00:00Z  started      run 20260105-090000: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 25% → 50% → 100%
    09:00:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:00:00Z  waiting      payment-api-canary: pods to stay ready for 5s
    09:00:05Z  step 1 of 4  moving traffic to 10%
    09:00:05Z  reached      canary at 10% (1 of 10 pods)
    09:00:05Z  step 1 of 4  watching at 10%
    09:00:05Z  ✓ healthy    pods, health
    09:00:05Z  ? unknown    success rate: new pods warm up, their requests count in 10s
    09:00:15Z  ? unknown    success rate: 100% good (4 of 4), minimum 95%; 50 needed, about 58s more
    09:01:05Z  ✓ healthy    success rate: 98.0% good (49 of 50), minimum 95%: enough for 25%, counting
                            `load`
    09:01:05Z  step 2 of 4  moving traffic to 25%
    09:01:05Z  apply        scale payment-api-canary from 1 to 3
    09:01:07Z  waiting      payment-api-canary: 1/3 pods ready (ContainerCreating)
    09:01:08Z  waiting      payment-api-canary: 1/3 pods ready
    09:01:13Z  ? unknown    pods: 1 of 3 ready, 0 restarts
    09:01:17Z  apply        scale payment-api-stable from 9 to 8
    09:01:18Z  ✓ healthy    pods: 3 of 3 ready, 0 restarts
    09:01:18Z  apply        scale payment-api-stable from 8 to 7
    09:01:19Z  reached      canary at 30% (wanted 25%, 3 of 10 pods = 30%)
    09:01:19Z  step 2 of 4  watching at 25%
    09:01:19Z  ✓ healthy    pods, health
    09:01:19Z  ? unknown    success rate: new pods warm up, their requests count in 9s
    09:01:28Z  ? unknown    success rate: 100% good (5 of 5), minimum 95%; 50 needed, about 22s more
    09:01:54Z  ✓ healthy    success rate: 98.2% good (56 of 57), minimum 95%: enough for 50%, counting
                            `load`
    09:01:54Z  waiting      25s more at 25%
    09:02:19Z  step 3 of 4  moving traffic to 50%
    09:02:19Z  apply        scale payment-api-canary from 3 to 5
    09:02:20Z  waiting      payment-api-canary: 3/5 pods ready
    09:02:25Z  ? unknown    pods: 3 of 5 ready, 0 restarts
    09:02:30Z  apply        scale payment-api-stable from 7 to 6
    09:02:30Z  apply        scale payment-api-stable from 6 to 5
    09:02:31Z  ✓ healthy    pods: 5 of 5 ready, 0 restarts
    09:02:31Z  reached      canary at 50% (5 of 10 pods)
    09:02:31Z  step 3 of 4  watching at 50%
    09:02:31Z  ✓ healthy    pods, health
    09:02:31Z  ? unknown    success rate: new pods warm up, their requests count in 9s
    09:02:40Z  ? unknown    success rate: 100% good (7 of 7), minimum 95%; 50 needed, about 12s more
    09:02:56Z  ✓ healthy    success rate: 98.4% good (61 of 62), minimum 95%: enough for 100%, counting
                            `load`
    09:02:56Z  waiting      35s more at 50%
    09:03:31Z  step 4 of 4  moving traffic to 100%
    09:03:31Z  apply        scale payment-api-canary from 5 to 10
    09:03:32Z  waiting      payment-api-canary: 5/10 pods ready
    09:03:37Z  ? unknown    pods: 5 of 10 ready, 0 restarts
    09:03:42Z  apply        scale payment-api-stable from 5 to 1
    09:03:42Z  apply        scale payment-api-stable from 1 to 0
    09:03:43Z  ✓ healthy    pods: 10 of 10 ready, 0 restarts
    09:03:43Z  reached      canary at 100% (10 of 10 pods)
    09:03:43Z  step 4 of 4  watching at 100%
    09:03:43Z  ✓ healthy    pods, health
    09:03:43Z  ? unknown    success rate: new pods warm up, their requests count in 9s
    09:03:53Z  ? unknown    success rate: 100% good (34 of 34), minimum 95%; 50 needed, about 3s more
    09:03:58Z  ? unknown    success rate: 98.6% good (68 of 69), minimum 95%; more requests needed to
                            promote, 20s to 1m
    09:04:13Z  ? unknown    success rate: 97.1% good (167 of 172), minimum 95%; about 961 more requests
                            (3m) to promote
    09:04:48Z  ✓ healthy    success rate: 97.8% good (405 of 414), minimum 95%: enough to promote,
                            counting `load`
    09:04:48Z  promoting    moving all traffic to the canary
    09:04:48Z  reached      canary at 100% (10 of 10 pods)
    09:04:48Z  promoting    updating stable
    09:04:48Z  apply        give payment-api-stable the version of payment-api-canary
    09:04:48Z  waiting      payment-api-stable: observedGeneration to catch up
    09:04:48Z  promoting    starting stable's pods
    09:04:48Z  apply        scale payment-api-stable from 0 to 10
    09:04:48Z  ? unknown    stable, pods: no pods
    09:04:48Z  ? unknown    stable, health: no pods to ask
    09:04:48Z  waiting      payment-api-stable: 0/10 new pods created
    09:04:49Z  waiting      payment-api-stable: 0/10 pods available
    09:04:53Z  ? unknown    stable, pods: 0 of 10 ready, 0 restarts
    09:05:00Z  promoting    checking stable
    09:05:00Z  waiting      stable: checks to pass
    09:05:00Z  ✓ healthy    stable, pods, health
    09:05:05Z  promoting    returning traffic to stable
    09:05:05Z  apply        scale payment-api-canary from 10 to 0
    09:05:05Z  reached      canary at 0% (0 of 10 pods)
    09:05:05Z  phase        draining
    09:05:05Z  phase        cleaning up
    09:05:05Z  apply        scale payment-api-stable from 10 to 9
    ");
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
    found router replicas from the run in progress
    09:02:00Z  resumed      run 20260105-090100: watching
    09:02:00Z  ✓ healthy    pods: 5 of 5 ready, 0 restarts
    09:02:00Z  waiting      10s more at 50%
    "#);
    for _ in 0..40 {
        console
            .run("auto payment-api -n canary-release --once -q")
            .await;
        console.wait(20).await;
    }
    assert_snapshot!(console.shows("status -n canary-release").await, @r"
    $ canaryctl status -n canary-release
    exit 0
    --- stdout
    APP          STATE     STEP  WEIGHT  SINCE   DRIVER
    payment-api  promoted  2/2   0%      10m00s  -
    ");
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

    checks  none evaluated

    next    canaryctl auto payment-api -n canary-release
    undo    canaryctl rollback payment-api -n canary-release
    found   Deployments payment-api-stable and payment-api-canary by name; Service payment-api-service
            by name and selector; router replicas from the run in progress
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
    assert_snapshot!(console.shows("auto payment-api -n canary-release").await, @r"
    $ canaryctl auto payment-api -n canary-release
    exit 0
    --- stdout
    09:03:07Z  PROMOTED after 1m07s: payment-api-stable runs the new version
               weights  100% → 0%
               live     stable 100% on 9 ready pods, canary 0% on 0 ready pods
               next     canaryctl status payment-api -n canary-release
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas from the run in progress
    09:02:00Z  resumed      run 20260105-090100: waiting for approval
    09:02:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:02:00Z  step 2 of 2  moving traffic to 100%
    09:02:00Z  apply        scale payment-api-canary from 1 to 10
    09:02:01Z  waiting      payment-api-canary: 1/10 pods ready (ContainerCreating)
    09:02:02Z  waiting      payment-api-canary: 1/10 pods ready
    09:02:10Z  ? unknown    pods: 2 of 10 ready, 0 restarts
    09:02:10Z  apply        scale payment-api-stable from 9 to 8
    09:02:11Z  apply        scale payment-api-stable from 8 to 2
    09:02:12Z  apply        scale payment-api-stable from 2 to 1
    09:02:13Z  apply        scale payment-api-stable from 1 to 0
    09:02:14Z  reached      canary at 100% (10 of 10 pods)
    09:02:14Z  step 2 of 2  watching at 100%
    09:02:14Z  ✓ healthy    pods: 10 of 10 ready, 0 restarts
    09:02:14Z  waiting      30s more at 100%
    09:02:44Z  promoting    moving all traffic to the canary
    09:02:44Z  reached      canary at 100% (10 of 10 pods)
    09:02:44Z  promoting    updating stable
    09:02:44Z  apply        give payment-api-stable the version of payment-api-canary
    09:02:44Z  waiting      payment-api-stable: observedGeneration to catch up
    09:02:45Z  promoting    starting stable's pods
    09:02:45Z  apply        scale payment-api-stable from 0 to 10
    09:02:45Z  ? unknown    stable, pods: no pods
    09:02:45Z  waiting      payment-api-stable: 0/10 new pods created
    09:02:45Z  waiting      payment-api-stable: 0/10 pods available
    09:02:55Z  ? unknown    stable, pods: 0 of 10 ready, 0 restarts
    09:02:56Z  promoting    checking stable
    09:02:56Z  waiting      stable: checks to pass
    09:02:56Z  ✓ healthy    stable, pods: 10 of 10 ready, 0 restarts
    09:03:06Z  promoting    returning traffic to stable
    09:03:06Z  apply        scale payment-api-canary from 10 to 0
    09:03:07Z  reached      canary at 0% (0 of 10 pods)
    09:03:07Z  phase        draining
    09:03:07Z  phase        cleaning up
    09:03:07Z  apply        scale payment-api-stable from 10 to 9
    ");
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
    assert_snapshot!(said, @r"
    $ canaryctl auto payment-api -n canary-release
    exit 4
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas from the run in progress
    09:03:00Z  waiting      the lock of ana@laptop: no sign of life seen for 0s, takes over after 90s
    error: the release is locked by ana@laptop since 2026-01-05T09:01:00Z
    hint: it lives: its record changed a moment ago; watch it with `canaryctl monitor payment-api -n canary-release`, or end it with `canaryctl rollback payment-api -n canary-release`
    $ canaryctl set payment-api -n canary-release 50
    exit 4
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas from the run in progress
    09:03:02Z  waiting      the lock of ana@laptop: no sign of life seen for 0s, takes over after 90s
    error: the release is locked by ana@laptop since 2026-01-05T09:01:00Z
    hint: it lives: its record changed a moment ago; watch it with `canaryctl monitor payment-api -n canary-release`, or end it with `canaryctl rollback payment-api -n canary-release`
    ");
}
