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
    09:04:04Z  PROMOTED after 4m04s: payment-api-stable runs the new version
               weights  0% → 10% → 50% → 100% → 0%
               live     stable 100% on 10 ready pods, canary 0% on 0 ready pods
               next     canaryctl sandbox healthy
               note     this simulated cluster is gone; that one stays
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
    09:00:00Z  ? unknown    success rate: no requests yet; 50 requests wanted
    09:00:05Z  ? unknown    success rate: 100 % (78–100 %; 21 of 21 requests); 50 requests wanted
    09:00:15Z  ? unknown    success rate: 95.9 % (84–99.7 %; 71 of 74 requests); below 84 % is excluded,
                            below 95 % must be: about 47,122 more requests (3 h)
    09:00:20Z  ? unknown    success rate: 96.2 % (87–99.6 %; 100 of 104 requests); below 87 % is
                            excluded, below 95 % must be: about 9,930 more requests (32 min)
    09:00:55Z  ? unknown    success rate: 97.5 % (93.1–99.5 %; 310 of 318 requests); below 93.1 % is
                            excluded, below 95 % must be: about 393 more requests (68 s)
    09:01:20Z  ✓ healthy    success rate: 97.9 % (94.6–99.5 %; 463 of 473 requests), proven above 95 %
    09:01:20Z  step 2 of 3  moving traffic to 50%
    09:01:20Z  doing        scale payment-api-canary from 1 to 5
    09:01:21Z  waits        payment-api-canary: 1 of 5 pods to be ready (ContainerCreating)
    09:01:23Z  waits        payment-api-canary: 1 of 5 pods to be ready
    09:01:28Z  ? unknown    pods: 1 of 5 ready, 0 restarts
    09:01:30Z  doing        scale payment-api-stable from 9 to 8
    09:01:31Z  doing        scale payment-api-stable from 8 to 7
    09:01:32Z  doing        scale payment-api-stable from 7 to 6
    09:01:33Z  ✓ healthy    pods: 5 of 5 ready, 0 restarts
    09:01:33Z  doing        scale payment-api-stable from 6 to 5
    09:01:34Z  reached      canary at 50% (5 of 10 pods)
    09:01:34Z  step 2 of 3  watching at 50%
    09:01:34Z  ✓ healthy    pods, health
    09:01:34Z  ? unknown    success rate: no requests yet; 50 requests wanted
    09:01:39Z  ? unknown    success rate: 96.9 % (90–99.6 %; 154 of 159 requests); below 90 % is
                            excluded, below 95 % must be: about 1,471 more requests (47 s)
    09:01:59Z  ✓ healthy    success rate: 97.4 % (94.8–98.9 %; 786 of 807 requests), proven above 95 %
    09:01:59Z  waits        35s more at 50%
    09:02:34Z  step 3 of 3  moving traffic to 100%
    09:02:34Z  doing        scale payment-api-canary from 5 to 10
    09:02:35Z  waits        payment-api-canary: 5 of 10 pods to be ready
    09:02:40Z  ? unknown    pods: 5 of 10 ready, 0 restarts
    09:02:45Z  doing        scale payment-api-stable from 5 to 3
    09:02:45Z  doing        scale payment-api-stable from 3 to 0
    09:02:46Z  ✓ healthy    pods: 10 of 10 ready, 0 restarts
    09:02:46Z  reached      canary at 100% (10 of 10 pods)
    09:02:46Z  step 3 of 3  watching at 100%
    09:02:46Z  ✓ healthy    pods, health
    09:02:46Z  ? unknown    success rate: no requests yet; 50 requests wanted
    09:02:51Z  ✓ healthy    success rate: 98.5 % (94.9–99.8 %; 332 of 337 requests), proven above 95 %
    09:02:51Z  waits        55s more at 100%
    09:03:46Z  promoting    moving all traffic to the canary
    09:03:46Z  reached      canary at 100% (10 of 10 pods)
    09:03:46Z  promoting    updating stable
    09:03:46Z  doing        give payment-api-stable the version of payment-api-canary
    09:03:46Z  waits        payment-api-stable: the controller to see the change
    09:03:47Z  promoting    starting stable's pods
    09:03:47Z  doing        scale payment-api-stable from 0 to 10
    09:03:47Z  ? unknown    stable, pods: no pods
    09:03:47Z  ? unknown    stable, health: no pods to ask
    09:03:47Z  waits        payment-api-stable: 0 of 10 new pods to be created
    09:03:47Z  waits        payment-api-stable: 0 of 10 pods to be available
    09:03:52Z  ? unknown    stable, pods: 0 of 10 ready, 0 restarts
    09:03:58Z  promoting    checking stable
    09:03:58Z  waits        stable to prove itself healthy
    09:03:58Z  ✓ healthy    stable, pods, health
    09:04:03Z  promoting    returning traffic to stable
    09:04:03Z  doing        scale payment-api-canary from 10 to 0
    09:04:04Z  reached      canary at 0% (0 of 10 pods)
    09:04:04Z  phase        draining
    09:04:04Z  phase        cleaning up
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
    {"version":1,"at":"2026-01-05T09:00:00Z","event":"started","id":"20260105-090000","steps":[50.0,100.0],"change":"registry.example/payment-api:1.5.0 → registry.example/payment-api:2.0.0"}
    {"version":1,"at":"2026-01-05T09:00:00Z","event":"checked","track":"canary","results":[{"name":"pods","probe":"pods","verdict":"healthy","limit":"ready, ≤ 1 restarts","samples":1,"severity":"rollback","text":"pods: 1 of 1 ready, 0 restarts"}]}
    {"version":1,"at":"2026-01-05T09:00:00Z","event":"entered","phase":"shifting","step":1,"steps":2,"weight":50.0}
    {"version":1,"at":"2026-01-05T09:00:00Z","event":"acting","what":"scale payment-api-canary from 1 to 5","changes":[{"object":"Deployment canary-release/payment-api-canary","path":"/spec/replicas","from":1,"to":5}]}
    {"version":1,"at":"2026-01-05T09:00:01.05Z","event":"waiting","what":"payment-api-canary: 1 of 5 pods to be ready (ContainerCreating)","since":"2026-01-05T09:00:00Z"}
    {"version":1,"at":"2026-01-05T09:00:14.85Z","event":"reached","split":{"wanted":50.0,"set":50.0,"actual":50.0,"matches":true,"settled":true,"stableReady":5,"canaryReady":5,"detail":"5 of 10 pods"}}
    {"version":1,"at":"2026-01-05T09:01:24.25Z","event":"ended","outcome":"promoted","text":"promoted: payment-api-stable runs the new version"}
    "#);
}

#[tokio::test(start_paused = true)]
async fn auto_rolls_back_what_is_unhealthy() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox=errors-at-25 --speed 1").await, @r"
    $ canaryctl auto payment-api --sandbox=errors-at-25 --speed 1
    exit 3
    --- stdout
    09:02:01Z  ROLLED BACK after 2m01s: verified at 0%: success rate: 74 % (67–80 %; 446 of 602
               requests): below 95 %, almost surely (p < 0.01)
               weights  0% → 10% → 30% → 0%
               live     stable 100% on 10 ready pods, canary 0% on 0 ready pods
               next     canaryctl sandbox errors-at-25
               note     this simulated cluster is gone; that one stays
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
    09:00:00Z  ? unknown    success rate: no requests yet; 50 requests wanted
    09:00:05Z  ? unknown    success rate: 100 % (78–100 %; 21 of 21 requests); 50 requests wanted
    09:00:15Z  ? unknown    success rate: 100 % (93.1–100.0 %; 81 of 81 requests); below 93.1 % is
                            excluded, below 95 % must be: about 17 more requests (4 s)
    09:00:20Z  ✓ healthy    success rate: 100 % (94.4–100.0 %; 102 of 102 requests), proven above 95 %
    09:00:20Z  waits        40s more at 10%
    09:00:30Z  ? unknown    success rate: 99.32 % (94.0–99.999 %; 145 of 146 requests); below 94.0 % is
                            excluded, below 95 % must be: about 8 more requests (2 s)
    09:00:45Z  ✓ healthy    success rate: 99.10 % (94.9–99.98 %; 219 of 221 requests), proven above 95 %
    09:01:00Z  step 2 of 4  moving traffic to 25%
    09:01:00Z  doing        scale payment-api-canary from 1 to 3
    09:01:02Z  waits        payment-api-canary: 1 of 3 pods to be ready (ContainerCreating)
    09:01:03Z  waits        payment-api-canary: 1 of 3 pods to be ready
    09:01:08Z  ? unknown    pods: 1 of 3 ready, 0 restarts
    09:01:12Z  doing        scale payment-api-stable from 9 to 8
    09:01:13Z  ✓ healthy    pods: 3 of 3 ready, 0 restarts
    09:01:13Z  doing        scale payment-api-stable from 8 to 7
    09:01:14Z  reached      canary at 30% (wanted 25%, 3 of 10 pods = 30%)
    09:01:14Z  step 2 of 4  watching at 25%
    09:01:14Z  ✓ healthy    pods, health
    09:01:14Z  ? unknown    success rate: no requests yet; 50 requests wanted
    09:01:19Z  ? unknown    success rate: 80 % (63–92 %; 65 of 81 requests); below 95 % so far, which
                            may be chance (evidence 0.7:1)
    09:01:34Z  ? unknown    success rate: 73 % (64–81 %; 244 of 334 requests): evidence 5.8:1, 100:1
                            rolls back
    09:01:49Z  ✗ unhealthy  success rate: 74 % (67–80 %; 446 of 602 requests): below 95 %, almost surely
                            (p < 0.01)
    09:01:49Z  ROLLING BACK from 30%: success rate: 74 % (67–80 %; 446 of 602 requests): below 95 %,
                            almost surely (p < 0.01)
    09:01:49Z  back         moving traffic to stable
    09:01:49Z  doing        scale payment-api-stable from 7 to 10
    09:01:50Z  waits        payment-api-canary: to be scaled from 3 to 0
    09:02:00Z  doing        scale payment-api-canary from 3 to 1
    09:02:00Z  doing        scale payment-api-canary from 1 to 0
    09:02:01Z  reached      canary at 0% (0 of 10 pods)
    09:02:01Z  phase        draining
    09:02:01Z  phase        cleaning up
    ");
}

#[tokio::test(start_paused = true)]
async fn auto_stops_at_a_step() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox --speed 1 --until step=2").await, @r"
    $ canaryctl auto payment-api --sandbox --speed 1 --until step=2
    exit 0
    --- stdout
    09:02:34Z  AT THE WEIGHT after 2m34s: canary at 30% (wanted 25%, 3 of 10 pods)
               weights  0% → 10% → 30%
               live     stable 70% on 7 ready pods, canary 30% on 3 ready pods
               next     canaryctl sandbox healthy
               note     this simulated cluster is gone; that one stays
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
    09:00:00Z  ? unknown    success rate: no requests yet; 50 requests wanted
    09:00:05Z  ? unknown    success rate: 100 % (78–100 %; 21 of 21 requests); 50 requests wanted
    09:00:15Z  ? unknown    success rate: 95.9 % (84–99.7 %; 71 of 74 requests); below 84 % is excluded,
                            below 95 % must be: about 47,122 more requests (3 h)
    09:00:20Z  ? unknown    success rate: 96.2 % (87–99.6 %; 100 of 104 requests); below 87 % is
                            excluded, below 95 % must be: about 9,930 more requests (32 min)
    09:00:55Z  ? unknown    success rate: 97.5 % (93.1–99.5 %; 310 of 318 requests); below 93.1 % is
                            excluded, below 95 % must be: about 393 more requests (68 s)
    09:01:20Z  ✓ healthy    success rate: 97.9 % (94.6–99.5 %; 463 of 473 requests), proven above 95 %
    09:01:20Z  step 2 of 4  moving traffic to 25%
    09:01:20Z  doing        scale payment-api-canary from 1 to 3
    09:01:21Z  waits        payment-api-canary: 1 of 3 pods to be ready (ContainerCreating)
    09:01:23Z  waits        payment-api-canary: 1 of 3 pods to be ready
    09:01:28Z  ? unknown    pods: 1 of 3 ready, 0 restarts
    09:01:31Z  doing        scale payment-api-stable from 9 to 8
    09:01:33Z  ✓ healthy    pods: 3 of 3 ready, 0 restarts
    09:01:33Z  doing        scale payment-api-stable from 8 to 7
    09:01:34Z  reached      canary at 30% (wanted 25%, 3 of 10 pods = 30%)
    09:01:34Z  step 2 of 4  watching at 25%
    09:01:34Z  ✓ healthy    pods, health
    09:01:34Z  ? unknown    success rate: no requests yet; 50 requests wanted
    09:01:39Z  ? unknown    success rate: 96.4 % (85–99.8 %; 80 of 83 requests); below 85 % is excluded,
                            below 95 % must be: about 6,117 more requests (7 min)
    09:01:44Z  ? unknown    success rate: 98.4 % (93.2–99.9 %; 189 of 192 requests); below 93.2 % is
                            excluded, below 95 % must be: about 58 more requests (3 s)
    09:01:49Z  ✓ healthy    success rate: 98.6 % (94.6–99.9 %; 276 of 280 requests), proven above 95 %
    09:01:49Z  waits        45s more at 25%
    ");
}

#[tokio::test(start_paused = true)]
async fn auto_stops_at_an_approval() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox --speed 1 --steps 10:60s:approve,100 --until paused").await, @r"
    $ canaryctl auto payment-api --sandbox --speed 1 --steps 10:60s:approve,100 --until paused
    exit 0
    --- stdout
    09:01:20Z  PAUSED with the split live after 1m20s: waits for approval of step 1
               weights  0% → 10%
               was      at 09:00:00Z: stable 90% on 9 ready pods, canary 10% on 1 ready pod
               next     canaryctl sandbox healthy
               note     this simulated cluster is gone; that one stays
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
    09:00:00Z  ? unknown    success rate: no requests yet; 50 requests wanted
    09:00:05Z  ? unknown    success rate: 100 % (78–100 %; 21 of 21 requests); 50 requests wanted
    09:00:15Z  ? unknown    success rate: 95.9 % (84–99.7 %; 71 of 74 requests); below 84 % is excluded,
                            below 95 % must be: about 47,122 more requests (3 h)
    09:00:20Z  ? unknown    success rate: 96.2 % (87–99.6 %; 100 of 104 requests); below 87 % is
                            excluded, below 95 % must be: about 9,930 more requests (32 min)
    09:00:55Z  ? unknown    success rate: 97.5 % (93.1–99.5 %; 310 of 318 requests); below 93.1 % is
                            excluded, below 95 % must be: about 393 more requests (68 s)
    09:01:20Z  ✓ healthy    success rate: 97.9 % (94.6–99.5 %; 463 of 473 requests), proven above 95 %
    09:01:20Z  step 1 of 2  waiting for approval at 10%
    ");
    assert_snapshot!(console.shows("auto payment-api --sandbox --speed 1 --steps 10:60s:approve,100").await, @r"
    $ canaryctl auto payment-api --sandbox --speed 1 --steps 10:60s:approve,100
    exit 5
    --- stdout
    09:01:20Z  PAUSED with the split live after 1m20s: waits for approval of step 1
               weights  0% → 10%
               was      at 09:00:00Z: stable 90% on 9 ready pods, canary 10% on 1 ready pod
               next     canaryctl sandbox healthy
               note     this simulated cluster is gone; that one stays
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
    09:00:00Z  ? unknown    success rate: no requests yet; 50 requests wanted
    09:00:05Z  ? unknown    success rate: 100 % (78–100 %; 21 of 21 requests); 50 requests wanted
    09:00:15Z  ? unknown    success rate: 95.9 % (84–99.7 %; 71 of 74 requests); below 84 % is excluded,
                            below 95 % must be: about 47,122 more requests (3 h)
    09:00:20Z  ? unknown    success rate: 96.2 % (87–99.6 %; 100 of 104 requests); below 87 % is
                            excluded, below 95 % must be: about 9,930 more requests (32 min)
    09:00:55Z  ? unknown    success rate: 97.5 % (93.1–99.5 %; 310 of 318 requests); below 93.1 % is
                            excluded, below 95 % must be: about 393 more requests (68 s)
    09:01:20Z  ✓ healthy    success rate: 97.9 % (94.6–99.5 %; 463 of 473 requests), proven above 95 %
    09:01:20Z  step 1 of 2  waiting for approval at 10%
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
               live     stable 100% on 10 ready pods, canary 0% on 0 ready pods
               next     canaryctl sandbox image-missing
               note     this simulated cluster is gone; that one stays
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
    09:00:00Z  back         moving traffic to stable
    09:00:00Z  doing        scale payment-api-stable from 9 to 10
    09:00:01Z  waits        payment-api-canary: to be scaled from 1 to 0
    09:00:10Z  doing        scale payment-api-canary from 1 to 0
    09:00:11Z  reached      canary at 0% (0 of 10 pods)
    09:00:11Z  phase        draining
    09:00:11Z  phase        cleaning up
    "#);
}

#[tokio::test(start_paused = true)]
async fn auto_refuses_or_pins_an_autoscaler() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox=hpa-fights --speed 1").await, @r"
    $ canaryctl auto payment-api --sandbox=hpa-fights --speed 1
    exit 0
    --- stdout
    09:04:58Z  PROMOTED after 4m58s: payment-api-stable runs the new version
               weights  0% → 10% → 30% → 50% → 100% → 0%
               live     stable 100% on 10 ready pods, canary 0% on 0 ready pods
               next     canaryctl sandbox hpa-fights
               note     this simulated cluster is gone; that one stays
    --- stderr
    cluster sandbox hpa-fights, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    09:00:00Z  started      run 20260105-090000: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 25% → 50% → 100%
    09:00:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:00:00Z  step 1 of 4  moving traffic to 10%
    09:00:00Z  doing        pin payment-api-stable at 9
    09:00:00Z  reached      canary at 10% (1 of 10 pods)
    09:00:00Z  step 1 of 4  watching at 10%
    09:00:00Z  ✓ healthy    pods, health
    09:00:00Z  ? unknown    success rate: no requests yet; 50 requests wanted
    09:00:05Z  ? unknown    success rate: 100 % (78–100 %; 21 of 21 requests); 50 requests wanted
    09:00:15Z  ? unknown    success rate: 100 % (93.5–100.0 %; 86 of 86 requests); below 93.5 % is
                            excluded, below 95 % must be: about 8 more requests (2 s)
    09:00:20Z  ✓ healthy    success rate: 100 % (94.4–100.0 %; 102 of 102 requests), proven above 95 %
    09:00:20Z  waits        40s more at 10%
    09:00:30Z  ? unknown    success rate: 99.32 % (94.1–99.999 %; 146 of 147 requests); below 94.1 % is
                            excluded, below 95 % must be: about 6 more requests (2 s)
    09:00:45Z  ✓ healthy    success rate: 99.10 % (95.0–99.98 %; 221 of 223 requests), proven above 95 %
    09:01:00Z  step 2 of 4  moving traffic to 25%
    09:01:00Z  doing        scale payment-api-canary from 1 to 3
    09:01:02Z  waits        payment-api-canary: 1 of 3 pods to be ready (ContainerCreating)
    09:01:03Z  waits        payment-api-canary: 1 of 3 pods to be ready
    09:01:08Z  ? unknown    pods: 1 of 3 ready, 0 restarts
    09:01:12Z  doing        scale payment-api-stable from 9 to 8
    09:01:13Z  ✓ healthy    pods: 3 of 3 ready, 0 restarts
    09:01:13Z  doing        scale payment-api-stable from 8 to 7
    09:01:14Z  reached      canary at 30% (wanted 25%, 3 of 10 pods = 30%)
    09:01:14Z  step 2 of 4  watching at 25%
    09:01:14Z  ✓ healthy    pods, health
    09:01:14Z  ? unknown    success rate: no requests yet; 50 requests wanted
    09:01:19Z  ✓ healthy    success rate: 100 % (92.6–100.0 %; 74 of 74 requests), proven above 94.31 %
    09:01:19Z  waits        55s more at 25%
    09:01:24Z  ? unknown    success rate: 98.6 % (92.4–99.97 %; 140 of 142 requests); below 92.4 % is
                            excluded, below 94.31 % must be: about 24 more requests (2 s)
    09:01:29Z  ✓ healthy    success rate: 98.2 % (93.4–99.8 %; 223 of 227 requests), proven above 94.31
                            %
    09:02:14Z  step 3 of 4  moving traffic to 50%
    09:02:14Z  doing        scale payment-api-canary from 3 to 5
    09:02:15Z  waits        payment-api-canary: 3 of 5 pods to be ready
    09:02:20Z  ? unknown    pods: 3 of 5 ready, 0 restarts
    09:02:25Z  doing        scale payment-api-stable from 7 to 6
    09:02:25Z  doing        scale payment-api-stable from 6 to 5
    09:02:26Z  ✓ healthy    pods: 5 of 5 ready, 0 restarts
    09:02:26Z  reached      canary at 50% (5 of 10 pods)
    09:02:26Z  step 3 of 4  watching at 50%
    09:02:26Z  ✓ healthy    pods, health
    09:02:26Z  ? unknown    success rate: no requests yet; 50 requests wanted
    09:02:31Z  ✓ healthy    success rate: 99.28 % (93.7–99.999 %; 137 of 138 requests), proven above 95
                            %
    09:02:31Z  waits        55s more at 50%
    09:03:26Z  step 4 of 4  moving traffic to 100%
    09:03:26Z  doing        scale payment-api-canary from 5 to 10
    09:03:27Z  waits        payment-api-canary: 5 of 10 pods to be ready
    09:03:32Z  ? unknown    pods: 5 of 10 ready, 0 restarts
    09:03:37Z  doing        scale payment-api-stable from 5 to 1
    09:03:37Z  doing        scale payment-api-stable from 1 to 0
    09:03:38Z  ✓ healthy    pods: 10 of 10 ready, 0 restarts
    09:03:38Z  reached      canary at 100% (10 of 10 pods)
    09:03:38Z  step 4 of 4  watching at 100%
    09:03:38Z  ✓ healthy    pods, health
    09:03:38Z  ? unknown    success rate: no requests yet; 50 requests wanted
    09:03:43Z  ? unknown    success rate: 98.0 % (93.7–99.7 %; 291 of 297 requests); below 93.7 % is
                            excluded, below 95 % must be: about 66 more requests (2 s)
    09:03:48Z  ✓ healthy    success rate: 98.3 % (95.6–99.6 %; 573 of 583 requests), proven above 95 %
    09:03:48Z  waits        50s more at 100%
    09:04:38Z  promoting    moving all traffic to the canary
    09:04:38Z  reached      canary at 100% (10 of 10 pods)
    09:04:38Z  promoting    updating stable
    09:04:38Z  doing        give payment-api-stable the version of payment-api-canary
    09:04:38Z  waits        payment-api-stable: the controller to see the change
    09:04:38Z  promoting    starting stable's pods
    09:04:38Z  doing        scale payment-api-stable from 0 to 10
    09:04:38Z  ? unknown    stable, pods: no pods
    09:04:38Z  ? unknown    stable, health: no pods to ask
    09:04:38Z  waits        payment-api-stable: 0 of 10 new pods to be created
    09:04:39Z  waits        payment-api-stable: 0 of 10 pods to be available
    09:04:43Z  ? unknown    stable, pods: 0 of 10 ready, 0 restarts
    09:04:50Z  promoting    checking stable
    09:04:50Z  waits        stable to prove itself healthy
    09:04:53Z  ✓ healthy    stable, pods, health
    09:04:58Z  promoting    returning traffic to stable
    09:04:58Z  doing        scale payment-api-canary from 10 to 0
    09:04:58Z  reached      canary at 0% (0 of 10 pods)
    09:04:58Z  phase        draining
    09:04:58Z  phase        cleaning up
    09:04:58Z  doing        restore what was pinned
    ");
}

#[tokio::test(start_paused = true)]
async fn auto_holds_with_too_few_requests() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox=low-traffic --speed 1").await, @r"
    $ canaryctl auto payment-api --sandbox=low-traffic --speed 1
    exit 0
    --- stdout
    09:04:58Z  PROMOTED after 4m58s: payment-api-stable runs the new version
               weights  0% → 10% → 30% → 50% → 100% → 0%
               live     stable 100% on 10 ready pods, canary 0% on 0 ready pods
               next     canaryctl sandbox low-traffic
               note     this simulated cluster is gone; that one stays
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
    09:00:00Z  ? unknown    success rate: no requests yet; 50 requests wanted
    09:00:05Z  ? unknown    success rate: 100 % (34–100 %; 4 of 4 requests); 50 requests wanted
    09:01:00Z  ✓ healthy    success rate: 98.1 % (85–99.996 %; 52 of 53 requests), proven above 75 %
    09:01:00Z  step 2 of 4  moving traffic to 25%
    09:01:00Z  doing        scale payment-api-canary from 1 to 3
    09:01:02Z  waits        payment-api-canary: 1 of 3 pods to be ready (ContainerCreating)
    09:01:03Z  waits        payment-api-canary: 1 of 3 pods to be ready
    09:01:08Z  ? unknown    pods: 1 of 3 ready, 0 restarts
    09:01:12Z  doing        scale payment-api-stable from 9 to 8
    09:01:13Z  ✓ healthy    pods: 3 of 3 ready, 0 restarts
    09:01:13Z  doing        scale payment-api-stable from 8 to 7
    09:01:14Z  reached      canary at 30% (wanted 25%, 3 of 10 pods = 30%)
    09:01:14Z  step 2 of 4  watching at 25%
    09:01:14Z  ✓ healthy    pods, health
    09:01:14Z  ? unknown    success rate: no requests yet; 50 requests wanted
    09:01:19Z  ? unknown    success rate: 100 % (62–100 %; 10 of 10 requests); 50 requests wanted
    09:01:39Z  ✓ healthy    success rate: 100 % (90–100 %; 51 of 51 requests), proven above 66.69 %
    09:01:39Z  waits        35s more at 25%
    09:02:14Z  step 3 of 4  moving traffic to 50%
    09:02:14Z  doing        scale payment-api-canary from 3 to 5
    09:02:15Z  waits        payment-api-canary: 3 of 5 pods to be ready
    09:02:20Z  ? unknown    pods: 3 of 5 ready, 0 restarts
    09:02:25Z  doing        scale payment-api-stable from 7 to 6
    09:02:25Z  doing        scale payment-api-stable from 6 to 5
    09:02:26Z  ✓ healthy    pods: 5 of 5 ready, 0 restarts
    09:02:26Z  reached      canary at 50% (5 of 10 pods)
    09:02:26Z  step 3 of 4  watching at 50%
    09:02:26Z  ✓ healthy    pods, health
    09:02:26Z  ? unknown    success rate: no requests yet; 50 requests wanted
    09:02:31Z  ? unknown    success rate: 94.7 % (66–99.98 %; 18 of 19 requests); 50 requests wanted
    09:02:41Z  ? unknown    success rate: 98.1 % (85–99.996 %; 51 of 52 requests); below 85 % is
                            excluded, below 88.15 % must be: about 2 more requests (1 s)
    09:02:46Z  ✓ healthy    success rate: 98.6 % (89–99.998 %; 70 of 71 requests), proven above 88.15 %
    09:02:46Z  waits        40s more at 50%
    09:03:26Z  step 4 of 4  moving traffic to 100%
    09:03:26Z  doing        scale payment-api-canary from 5 to 10
    09:03:27Z  waits        payment-api-canary: 5 of 10 pods to be ready
    09:03:32Z  ? unknown    pods: 5 of 10 ready, 0 restarts
    09:03:37Z  doing        scale payment-api-stable from 5 to 1
    09:03:37Z  doing        scale payment-api-stable from 1 to 0
    09:03:38Z  ✓ healthy    pods: 10 of 10 ready, 0 restarts
    09:03:38Z  reached      canary at 100% (10 of 10 pods)
    09:03:38Z  step 4 of 4  watching at 100%
    09:03:38Z  ✓ healthy    pods, health
    09:03:38Z  ? unknown    success rate: no requests yet; 50 requests wanted
    09:03:43Z  ? unknown    success rate: 100 % (85–100 %; 34 of 34 requests); 50 requests wanted
    09:03:48Z  ? unknown    success rate: 100 % (92.1–100.0 %; 69 of 69 requests); below 92.1 % is
                            excluded, below 95 % must be: about 2 more requests (1 s)
    09:03:53Z  ✓ healthy    success rate: 100 % (94.4–100.0 %; 103 of 103 requests), proven above 95 %
    09:03:53Z  waits        45s more at 100%
    09:04:03Z  ? unknown    success rate: 98.3 % (92.6–99.9 %; 170 of 173 requests); below 92.6 % is
                            excluded, below 95 % must be: about 130 more requests (19 s)
    09:04:18Z  ✓ healthy    success rate: 98.5 % (94.5–99.9 %; 271 of 275 requests), proven above 95 %
    09:04:28Z  ? unknown    success rate: 98.0 % (94.1–99.6 %; 339 of 346 requests); below 94.1 % is
                            excluded, below 95 % must be: about 8 more requests (2 s)
    09:04:33Z  ✓ healthy    success rate: 97.9 % (94.2–99.6 %; 372 of 380 requests), proven above 95 %
    09:04:38Z  promoting    moving all traffic to the canary
    09:04:38Z  reached      canary at 100% (10 of 10 pods)
    09:04:38Z  promoting    updating stable
    09:04:38Z  doing        give payment-api-stable the version of payment-api-canary
    09:04:38Z  waits        payment-api-stable: the controller to see the change
    09:04:38Z  promoting    starting stable's pods
    09:04:38Z  doing        scale payment-api-stable from 0 to 10
    09:04:38Z  ? unknown    stable, pods: no pods
    09:04:38Z  ? unknown    stable, health: no pods to ask
    09:04:38Z  waits        payment-api-stable: 0 of 10 new pods to be created
    09:04:39Z  waits        payment-api-stable: 0 of 10 pods to be available
    09:04:43Z  ? unknown    stable, pods: 0 of 10 ready, 0 restarts
    09:04:50Z  promoting    checking stable
    09:04:50Z  waits        stable to prove itself healthy
    09:04:53Z  ✓ healthy    stable, pods, health
    09:04:58Z  promoting    returning traffic to stable
    09:04:58Z  doing        scale payment-api-canary from 10 to 0
    09:04:58Z  reached      canary at 0% (0 of 10 pods)
    09:04:58Z  phase        draining
    09:04:58Z  phase        cleaning up
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
    found router replicas by the run under way
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
            by name and selector; router replicas by the run under way
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
               live     stable 100% on 10 ready pods, canary 0% on 0 ready pods
               next     canaryctl status payment-api -n canary-release
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas by the run under way
    09:02:00Z  resumed      run 20260105-090100: waiting for approval
    09:02:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:02:00Z  step 2 of 2  moving traffic to 100%
    09:02:00Z  doing        scale payment-api-canary from 1 to 10
    09:02:01Z  waits        payment-api-canary: 1 of 10 pods to be ready (ContainerCreating)
    09:02:02Z  waits        payment-api-canary: 1 of 10 pods to be ready
    09:02:10Z  ? unknown    pods: 2 of 10 ready, 0 restarts
    09:02:10Z  doing        scale payment-api-stable from 9 to 8
    09:02:11Z  doing        scale payment-api-stable from 8 to 2
    09:02:12Z  doing        scale payment-api-stable from 2 to 1
    09:02:13Z  doing        scale payment-api-stable from 1 to 0
    09:02:14Z  reached      canary at 100% (10 of 10 pods)
    09:02:14Z  step 2 of 2  watching at 100%
    09:02:14Z  ✓ healthy    pods: 10 of 10 ready, 0 restarts
    09:02:14Z  waits        30s more at 100%
    09:02:44Z  promoting    moving all traffic to the canary
    09:02:44Z  reached      canary at 100% (10 of 10 pods)
    09:02:44Z  promoting    updating stable
    09:02:44Z  doing        give payment-api-stable the version of payment-api-canary
    09:02:44Z  waits        payment-api-stable: the controller to see the change
    09:02:45Z  promoting    starting stable's pods
    09:02:45Z  doing        scale payment-api-stable from 0 to 10
    09:02:45Z  ? unknown    stable, pods: no pods
    09:02:45Z  waits        payment-api-stable: 0 of 10 new pods to be created
    09:02:45Z  waits        payment-api-stable: 0 of 10 pods to be available
    09:02:55Z  ? unknown    stable, pods: 0 of 10 ready, 0 restarts
    09:02:56Z  promoting    checking stable
    09:02:56Z  waits        stable to prove itself healthy
    09:02:56Z  ✓ healthy    stable, pods: 10 of 10 ready, 0 restarts
    09:03:06Z  promoting    returning traffic to stable
    09:03:06Z  doing        scale payment-api-canary from 10 to 0
    09:03:07Z  reached      canary at 0% (0 of 10 pods)
    09:03:07Z  phase        draining
    09:03:07Z  phase        cleaning up
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
    assert_snapshot!(said, @r#"
    $ canaryctl auto payment-api -n canary-release
    exit 4
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas by the run under way
    09:03:00Z  waits        the lock of ana@laptop: no sign of life seen for 0s, takes over after 90s
    error: ana@laptop holds the release since 2026-01-05T09:01:00Z
    hint: it lives: its record changed a moment ago; watch it with `canaryctl monitor payment-api -n canary-release`, or end it with `canaryctl rollback payment-api -n canary-release`
    $ canaryctl set payment-api -n canary-release 50
    exit 4
    --- stderr
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas by the run under way
    09:03:02Z  waits        the lock of ana@laptop: no sign of life seen for 0s, takes over after 90s
    error: ana@laptop holds the release since 2026-01-05T09:01:00Z
    hint: it lives: its record changed a moment ago; watch it with `canaryctl monitor payment-api -n canary-release`, or end it with `canaryctl rollback payment-api -n canary-release`
    "#);
}
