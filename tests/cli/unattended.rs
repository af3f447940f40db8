//! `auto` when evidence stops: at a terminal, and where nobody is.

use insta::assert_snapshot;

use super::{Console, RELEASE};

const LINE: &str = "auto payment-api --sandbox=no-data --speed 1";

#[tokio::test(start_paused = true)]
async fn auto_takes_the_canary_out_where_nobody_is() {
    let console = Console::new();
    assert_snapshot!(console.shows(LINE).await, @r"
    $ canaryctl auto payment-api --sandbox=no-data --speed 1
    exit 3
    --- stdout
    09:11:16Z  ROLLED BACK after 11m16s: verified at 0%: not enough data: success rate: no requests yet,
               minimum 95% good; payment-api-canary-sql47cn4ws-2jzqf: body.successfulTransactions: the
               body is null; no terminal, so the canary is rolled back (onUnknown: hold keeps it)
               weights  10% → 0%
               live     stable 100% on 9 ready pods, canary 0% on 0 ready pods
               next     canaryctl sandbox no-data
               note     the sandbox of this run has been deleted; that one keeps running
    --- stderr
    cluster sandbox no-data, namespace canary-release
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
    09:00:05Z  ? unknown    success rate: no requests yet, minimum 95% good;
                            payment-api-canary-sql47cn4ws-2jzqf: body.successfulTransactions: the body
                            is null
    09:11:05Z  ROLLING BACK from 10%: not enough data: success rate: no requests yet, minimum 95% good;
                            payment-api-canary-sql47cn4ws-2jzqf: body.successfulTransactions: the body
                            is null; no terminal, so the canary is rolled back (onUnknown: hold keeps
                            it)
    09:11:05Z  rollback     moving traffic to stable
    09:11:05Z  apply        scale payment-api-stable from 9 to 10
    09:11:06Z  waiting      payment-api-stable: 9/10 pods ready, before payment-api-canary is scaled to
                            0
    09:11:15Z  apply        scale payment-api-canary from 1 to 0
    09:11:16Z  reached      canary at 0% (0 of 10 pods)
    09:11:16Z  phase        draining
    09:11:16Z  phase        cleaning up
    09:11:16Z  apply        scale payment-api-stable from 10 to 9
    ");
}

#[tokio::test(start_paused = true)]
async fn auto_leaves_the_split_to_a_person() {
    let console = Console::new().answers(&[]);
    assert_snapshot!(console.shows(LINE).await, @r"
    $ canaryctl auto payment-api --sandbox=no-data --speed 1
    exit 5
    --- stdout
    09:11:05Z  PAUSED with the split live after 11m05s: not enough data: success rate: no requests yet,
               minimum 95% good; payment-api-canary-sql47cn4ws-2jzqf: body.successfulTransactions: the
               body is null
               weights  10%
               was      at 09:11:05Z: stable 90% on 9 ready pods, canary 10% on 1 ready pod
               next     canaryctl sandbox no-data
               note     the sandbox of this run has been deleted; that one keeps running
    --- stderr
    cluster sandbox no-data, namespace canary-release
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
    09:00:05Z  ? unknown    success rate: no requests yet, minimum 95% good;
                            payment-api-canary-sql47cn4ws-2jzqf: body.successfulTransactions: the body
                            is null
    ");
}

#[tokio::test(start_paused = true)]
async fn what_is_given_wins_over_who_is_there() {
    for (console, line, code) in [
        (Console::new(), format!("{LINE} --on-unknown hold"), 5),
        (
            Console::new().var("CANARYCTL_ON_UNKNOWN", "hold"),
            LINE.to_owned(),
            5,
        ),
        (
            Console::new().answers(&[]),
            format!("{LINE} --on-unknown rollback"),
            3,
        ),
        // Whoever looks at a pipeline's terminal is not asked.
        (
            Console::new().answers(&[]).var("CI", "true"),
            LINE.to_owned(),
            3,
        ),
        (
            Console::new().answers(&[]).var("CI", "false"),
            LINE.to_owned(),
            5,
        ),
    ] {
        let ran = console.run(&line).await;
        assert_eq!(ran.code, code, "{}", ran.text());
        let by_default = line == LINE && code == 3;
        let told = ran.text().replace('\n', " ");
        let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(told.contains("no terminal, so"), by_default, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tick_has_nobody_whoever_starts_it() {
    let console = Console::on("no-data").await.answers(&[]);
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/payment-api/canary.yaml"
    );
    let line = format!("auto {RELEASE} -f {file} --once");
    for _ in 0..40 {
        let ran = console.run(&line).await;
        if ran.code == 3 {
            assert!(ran.out.contains("ROLLED BACK"), "{}", ran.text());
            return;
        }
        console.wait(60).await;
    }
    panic!("never taken out");
}
