//! `auto` when evidence stops: at a terminal, and where nobody is.

use insta::assert_snapshot;

use super::{Console, RELEASE};

const LINE: &str = "auto payment-api --sandbox=no-data --speed 1";

#[tokio::test(start_paused = true)]
async fn auto_takes_the_canary_out_where_nobody_is() {
    let console = Console::new();
    assert_snapshot!(console.shows(LINE).await, @"");
}

#[tokio::test(start_paused = true)]
async fn auto_leaves_the_split_to_a_person() {
    let console = Console::new().answers(&[]);
    assert_snapshot!(console.shows(LINE).await, @"");
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
        assert_eq!(
            told.contains("nobody is at a terminal"),
            by_default,
            "{told}"
        );
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
