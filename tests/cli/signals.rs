//! Interrupts in the middle of a step.

use canaryctl::cli::Signal;
use insta::assert_snapshot;

use super::Console;

#[tokio::test(start_paused = true)]
async fn sigterm_rolls_back() {
    let console = Console::on("healthy").await.signal(200, Signal::Terminate);
    assert_snapshot!(console.shows("auto payment-api -n canary-release --steps 10,50,100 --hold 5m").await, @r"
    $ canaryctl auto payment-api -n canary-release --steps 10,50,100 --hold 5m
    exit 143
    --- stdout
    09:04:31Z  ROLLED BACK after 3m31s: verified at 0%: the process was interrupted
               weights  10% → 0%
               live     stable 100% on 9 ready pods, canary 0% on 0 ready pods
               next     canaryctl auto payment-api -n canary-release
    --- stderr
    warning: nothing but the pods is checked (plan of payment-api)
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    09:01:00Z  started      run 20260105-090100: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 50% → 100%
    09:01:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:01:00Z  step 1 of 3  moving traffic to 10%
    09:01:00Z  reached      canary at 10% (1 of 10 pods)
    09:01:00Z  step 1 of 3  watching at 10%
    09:01:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:01:00Z  waiting      5m more at 10%
    09:02:00Z  waiting      4m more at 10% (for 1m00s)
    09:03:00Z  waiting      3m more at 10% (for 2m00s)
    09:04:00Z  waiting      2m more at 10% (for 3m00s)
    warning: interrupted: rolling back (press Ctrl-C again to exit immediately)
    09:04:20Z  ROLLING BACK from 10%: the process was interrupted
    09:04:20Z  rollback     moving traffic to stable
    09:04:20Z  apply        scale payment-api-stable from 9 to 10
    09:04:21Z  waiting      payment-api-stable: 9/10 pods ready, before payment-api-canary is scaled to
                            0
    09:04:30Z  apply        scale payment-api-canary from 1 to 0
    09:04:31Z  reached      canary at 0% (0 of 10 pods)
    09:04:31Z  phase        draining
    09:04:31Z  phase        cleaning up
    09:04:31Z  apply        scale payment-api-stable from 10 to 9
    ");
    assert_snapshot!(Console { signals: Vec::new(), ..console.clone() }.shows("status payment-api -n canary-release --quick").await, @r"
    $ canaryctl status payment-api -n canary-release --quick
    exit 0
    --- stdout
    payment-api  namespace canary-release  router replicas  run 20260105-090100
    state   rolled back at 2026-01-05 09:04:31Z (0s ago), step 1 of 3, took 3m31s
    why     the process was interrupted
    split   stable ████████████████████████████████████████ canary 0% (0 of 9 pods)
            progressing: payment-api-stable: to be scaled from 9 to 10

            READY  RESTARTS  REVISION  IMAGE
    stable  10/9   0         b9e7c8c2  registry.example/payment-api:1.5.0
    canary  0/0    0         cfc10cb8  registry.example/payment-api:2.0.0

    checks  none evaluated

    next    canaryctl auto payment-api -n canary-release --image IMAGE
    found   Deployments payment-api-stable and payment-api-canary by name; Service payment-api-service
            by name and selector; router replicas: Service payment-api-service selects the pods of both
            Deployments
    ");
}

#[tokio::test(start_paused = true)]
async fn sigint_without_a_person_rolls_back() {
    let console = Console::on("healthy").await.signal(200, Signal::Interrupt);
    assert_snapshot!(console.shows("auto payment-api -n canary-release --steps 10,50,100 --hold 5m").await, @r"
    $ canaryctl auto payment-api -n canary-release --steps 10,50,100 --hold 5m
    exit 130
    --- stdout
    09:04:31Z  ROLLED BACK after 3m31s: verified at 0%: the process was interrupted
               weights  10% → 0%
               live     stable 100% on 9 ready pods, canary 0% on 0 ready pods
               next     canaryctl auto payment-api -n canary-release
    --- stderr
    warning: nothing but the pods is checked (plan of payment-api)
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    09:01:00Z  started      run 20260105-090100: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 50% → 100%
    09:01:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:01:00Z  step 1 of 3  moving traffic to 10%
    09:01:00Z  reached      canary at 10% (1 of 10 pods)
    09:01:00Z  step 1 of 3  watching at 10%
    09:01:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:01:00Z  waiting      5m more at 10%
    09:02:00Z  waiting      4m more at 10% (for 1m00s)
    09:03:00Z  waiting      3m more at 10% (for 2m00s)
    09:04:00Z  waiting      2m more at 10% (for 3m00s)
    warning: interrupted: rolling back (press Ctrl-C again to exit immediately)
    09:04:20Z  ROLLING BACK from 10%: the process was interrupted
    09:04:20Z  rollback     moving traffic to stable
    09:04:20Z  apply        scale payment-api-stable from 9 to 10
    09:04:21Z  waiting      payment-api-stable: 9/10 pods ready, before payment-api-canary is scaled to
                            0
    09:04:30Z  apply        scale payment-api-canary from 1 to 0
    09:04:31Z  reached      canary at 0% (0 of 10 pods)
    09:04:31Z  phase        draining
    09:04:31Z  phase        cleaning up
    09:04:31Z  apply        scale payment-api-stable from 10 to 9
    ");
}

#[tokio::test(start_paused = true)]
async fn sigterm_holds_where_asked() {
    let console = Console::on("healthy").await.signal(200, Signal::Terminate);
    assert_snapshot!(console.shows("auto payment-api -n canary-release --steps 10,50,100 --hold 5m --on-interrupt hold").await, @r"
    $ canaryctl auto payment-api -n canary-release --steps 10,50,100 --hold 5m --on-interrupt hold
    exit 143
    --- stdout
    09:04:20Z  PAUSED with the split live after 3m20s: interrupted; the split stays as it is
               weights  10%
               was      at 09:04:20Z: stable 90% on 9 ready pods, canary 10% on 1 ready pod
               next     canaryctl status payment-api -n canary-release
               undo     canaryctl rollback payment-api -n canary-release
    --- stderr
    warning: nothing but the pods is checked (plan of payment-api)
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    09:01:00Z  started      run 20260105-090100: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 50% → 100%
    09:01:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:01:00Z  step 1 of 3  moving traffic to 10%
    09:01:00Z  reached      canary at 10% (1 of 10 pods)
    09:01:00Z  step 1 of 3  watching at 10%
    09:01:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:01:00Z  waiting      5m more at 10%
    09:02:00Z  waiting      4m more at 10% (for 1m00s)
    09:03:00Z  waiting      3m more at 10% (for 2m00s)
    09:04:00Z  waiting      2m more at 10% (for 3m00s)
    warning: interrupted: leaving the split as it is (press Ctrl-C again to exit immediately)
    ");
    assert_snapshot!(Console { signals: Vec::new(), ..console.clone() }.shows("status payment-api -n canary-release --quick").await, @r#"
    $ canaryctl status payment-api -n canary-release --quick
    exit 0
    --- stdout
    payment-api  namespace canary-release  router replicas  run 20260105-090100
    state   watching at 10%, step 1 of 3, for 3m20s, run began 3m20s ago
    why     interrupted; the split stays as it is
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
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_leaves_at_once() {
    let console = Console::on("healthy")
        .await
        .signal(200, Signal::Terminate)
        .signal(1, Signal::Terminate);
    assert_snapshot!(console.shows("auto payment-api -n canary-release --steps 10,50,100 --hold 5m").await, @r"
    $ canaryctl auto payment-api -n canary-release --steps 10,50,100 --hold 5m
    exit 143
    --- stderr
    warning: nothing but the pods is checked (plan of payment-api)
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    09:01:00Z  started      run 20260105-090100: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 50% → 100%
    09:01:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:01:00Z  step 1 of 3  moving traffic to 10%
    09:01:00Z  reached      canary at 10% (1 of 10 pods)
    09:01:00Z  step 1 of 3  watching at 10%
    09:01:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:01:00Z  waiting      5m more at 10%
    09:02:00Z  waiting      4m more at 10% (for 1m00s)
    09:03:00Z  waiting      3m more at 10% (for 2m00s)
    09:04:00Z  waiting      2m more at 10% (for 3m00s)
    warning: interrupted: rolling back (press Ctrl-C again to exit immediately)
    09:04:20Z  ROLLING BACK from 10%: the process was interrupted
    09:04:20Z  rollback     moving traffic to stable
    09:04:20Z  apply        scale payment-api-stable from 9 to 10
    warning: stopped at once; the split may be live. Finish it with `canaryctl rollback payment-api -n canary-release`
    ");
    assert_snapshot!(Console { signals: Vec::new(), ..console.clone() }.shows("status payment-api -n canary-release --quick").await, @r"
    $ canaryctl status payment-api -n canary-release --quick
    exit 0
    --- stdout
    payment-api  namespace canary-release  router replicas  run 20260105-090100
    state   rolling back at 0%, step 1 of 3, for 1s, run began 3m21s ago
    why     the process was interrupted
    driver  ana@laptop, last seen 0s ago
    split   stable ████████████████████████░░░ canary 10% (wanted 0%, set to 9.091%, 1 of 10 pods = 10%)
            progressing: payment-api-stable: 9/10 pods ready, before payment-api-canary is scaled to 0

            READY  RESTARTS  REVISION  IMAGE
    stable  9/10   0         b9e7c8c2  registry.example/payment-api:1.5.0
    canary  1/1    0         cfc10cb8  registry.example/payment-api:2.0.0

    checks  none evaluated

    waiting payment-api-stable: 9/10 pods ready, before payment-api-canary is scaled to 0 (since
            09:04:20Z, 1s)
    next    canaryctl monitor payment-api -n canary-release
    undo    canaryctl rollback payment-api -n canary-release
    found   Deployments payment-api-stable and payment-api-canary by name; Service payment-api-service
            by name and selector; router replicas from the run in progress
    ");
}

#[tokio::test(start_paused = true)]
async fn a_person_can_roll_back() {
    let console = Console::on("healthy")
        .await
        .answers(&["r"])
        .signal(200, Signal::Interrupt);
    assert_snapshot!(console.shows("auto payment-api -n canary-release --steps 10,50,100 --hold 5m").await, @r"
    $ canaryctl auto payment-api -n canary-release --steps 10,50,100 --hold 5m
    exit 130
    --- stdout
    09:04:31Z  ROLLED BACK after 3m31s: verified at 0%: an operator asked for it
               weights  10% → 0%
               live     stable 100% on 9 ready pods, canary 0% on 0 ready pods
               next     canaryctl status payment-api -n canary-release
    --- stderr
    warning: nothing but the pods is checked (plan of payment-api)
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    09:01:00Z  started      run 20260105-090100: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 50% → 100%
    09:01:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:01:00Z  step 1 of 3  moving traffic to 10%
    09:01:00Z  reached      canary at 10% (1 of 10 pods)
    09:01:00Z  step 1 of 3  watching at 10%
    09:01:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:01:00Z  waiting      5m more at 10%
    09:02:00Z  waiting      4m more at 10% (for 1m00s)
    09:03:00Z  waiting      3m more at 10% (for 2m00s)
    09:04:00Z  waiting      2m more at 10% (for 3m00s)
    interrupted: [r]oll back, [h]old the split and leave, [c]ontinue? 09:04:20Z  ROLLING BACK from 10%: an operator asked for it
    09:04:20Z  rollback     moving traffic to stable
    09:04:20Z  apply        scale payment-api-stable from 9 to 10
    09:04:21Z  waiting      payment-api-stable: 9/10 pods ready, before payment-api-canary is scaled to
                            0
    09:04:30Z  apply        scale payment-api-canary from 1 to 0
    09:04:31Z  reached      canary at 0% (0 of 10 pods)
    09:04:31Z  phase        draining
    09:04:31Z  phase        cleaning up
    09:04:31Z  apply        scale payment-api-stable from 10 to 9
    ");
}

#[tokio::test(start_paused = true)]
async fn a_person_can_hold() {
    let console = Console::on("healthy")
        .await
        .answers(&["h"])
        .signal(200, Signal::Interrupt);
    assert_snapshot!(console.shows("auto payment-api -n canary-release --steps 10,50,100 --hold 5m").await, @r"
    $ canaryctl auto payment-api -n canary-release --steps 10,50,100 --hold 5m
    exit 130
    --- stdout
    09:04:20Z  PAUSED with the split live after 3m20s: held by an operator
               weights  10%
               was      at 09:04:20Z: stable 90% on 9 ready pods, canary 10% on 1 ready pod
               next     canaryctl status payment-api -n canary-release
               undo     canaryctl rollback payment-api -n canary-release
    --- stderr
    warning: nothing but the pods is checked (plan of payment-api)
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    09:01:00Z  started      run 20260105-090100: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 10% → 50% → 100%
    09:01:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:01:00Z  step 1 of 3  moving traffic to 10%
    09:01:00Z  reached      canary at 10% (1 of 10 pods)
    09:01:00Z  step 1 of 3  watching at 10%
    09:01:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:01:00Z  waiting      5m more at 10%
    09:02:00Z  waiting      4m more at 10% (for 1m00s)
    09:03:00Z  waiting      3m more at 10% (for 2m00s)
    09:04:00Z  waiting      2m more at 10% (for 3m00s)
    interrupted: [r]oll back, [h]old the split and leave, [c]ontinue?
    ");
}

#[tokio::test(start_paused = true)]
async fn a_person_can_go_on() {
    let console = Console::on("healthy")
        .await
        .answers(&["c"])
        .signal(200, Signal::Interrupt);
    assert_snapshot!(console.shows("auto payment-api -n canary-release --steps 50,100 --hold 2m").await, @r"
    $ canaryctl auto payment-api -n canary-release --steps 50,100 --hold 2m
    exit 0
    --- stdout
    09:05:57Z  PROMOTED after 4m57s: payment-api-stable runs the new version
               weights  10% → 50% → 100% → 0%
               live     stable 100% on 9 ready pods, canary 0% on 0 ready pods
               next     canaryctl status payment-api -n canary-release
    --- stderr
    warning: nothing but the pods is checked (plan of payment-api)
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    09:01:00Z  started      run 20260105-090100: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 50% → 100%
    09:01:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:01:00Z  step 1 of 2  moving traffic to 50%
    09:01:00Z  apply        scale payment-api-canary from 1 to 5
    09:01:01Z  waiting      payment-api-canary: 1/5 pods ready (ContainerCreating)
    09:01:03Z  waiting      payment-api-canary: 1/5 pods ready
    09:01:10Z  ? unknown    pods: 2 of 5 ready, 0 restarts
    09:01:10Z  apply        scale payment-api-stable from 9 to 8
    09:01:11Z  apply        scale payment-api-stable from 8 to 7
    09:01:12Z  apply        scale payment-api-stable from 7 to 6
    09:01:13Z  apply        scale payment-api-stable from 6 to 5
    09:01:14Z  reached      canary at 50% (5 of 10 pods)
    09:01:14Z  step 1 of 2  watching at 50%
    09:01:14Z  ✓ healthy    pods: 5 of 5 ready, 0 restarts
    09:01:14Z  waiting      2m more at 50%
    09:02:14Z  waiting      1m more at 50% (for 1m00s)
    09:03:14Z  step 2 of 2  moving traffic to 100%
    09:03:14Z  apply        scale payment-api-canary from 5 to 10
    09:03:15Z  waiting      payment-api-canary: 5/10 pods ready
    09:03:25Z  ? unknown    pods: 8 of 10 ready, 0 restarts
    09:03:25Z  apply        scale payment-api-stable from 5 to 2
    09:03:25Z  apply        scale payment-api-stable from 2 to 0
    09:03:27Z  reached      canary at 100% (10 of 10 pods)
    09:03:27Z  step 2 of 2  watching at 100%
    09:03:27Z  ✓ healthy    pods: 10 of 10 ready, 0 restarts
    09:03:27Z  waiting      2m more at 100%
    interrupted: [r]oll back, [h]old the split and leave, [c]ontinue? 09:04:27Z  waiting      1m more at 100% (for 1m00s)
    09:05:27Z  promoting    moving all traffic to the canary
    09:05:27Z  reached      canary at 100% (10 of 10 pods)
    09:05:27Z  promoting    updating stable
    09:05:27Z  apply        give payment-api-stable the version of payment-api-canary
    09:05:27Z  waiting      payment-api-stable: observedGeneration to catch up
    09:05:27Z  promoting    starting stable's pods
    09:05:27Z  apply        scale payment-api-stable from 0 to 10
    09:05:27Z  ? unknown    stable, pods: no pods
    09:05:27Z  waiting      payment-api-stable: 0/10 new pods created
    09:05:27Z  waiting      payment-api-stable: 0/10 pods available
    09:05:37Z  ? unknown    stable, pods: 0 of 10 ready, 0 restarts
    09:05:38Z  promoting    checking stable
    09:05:38Z  waiting      stable: checks to pass
    09:05:47Z  ✓ healthy    stable, pods: 10 of 10 ready, 0 restarts
    09:05:57Z  promoting    returning traffic to stable
    09:05:57Z  apply        scale payment-api-canary from 10 to 0
    09:05:57Z  reached      canary at 0% (0 of 10 pods)
    09:05:57Z  phase        draining
    09:05:57Z  phase        cleaning up
    09:05:57Z  apply        scale payment-api-stable from 10 to 9
    ");
}

#[tokio::test(start_paused = true)]
async fn monitor_ends_with_the_signal() {
    let console = Console::on("healthy").await.signal(15, Signal::Interrupt);
    assert_snapshot!(console.shows("monitor payment-api -n canary-release").await, @r#"
    $ canaryctl monitor payment-api -n canary-release
    exit 130
    --- stdout
    09:01:00Z  canary 10%  stable 9/9  canary 1/1  ✓ 1 healthy
    09:01:10Z  canary 10%  stable 9/9  canary 1/1  ✓ 1 healthy
    "#);
}
