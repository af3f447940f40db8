//! Whole releases.

use insta::assert_snapshot;

use super::Console;

#[tokio::test(start_paused = true)]
async fn auto_promotes_a_healthy_release() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox --speed 1 --steps 10,50,100 --hold 60s").await, @"");
}

#[tokio::test(start_paused = true)]
async fn auto_in_json() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox --speed 1 --steps 50,100 --hold 20s -o json").await, @"");
}

#[tokio::test(start_paused = true)]
async fn auto_rolls_back_what_is_unhealthy() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox=errors-at-25 --speed 1").await, @"");
}

#[tokio::test(start_paused = true)]
async fn auto_stops_at_a_step() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox --speed 1 --until step=2").await, @"");
}

#[tokio::test(start_paused = true)]
async fn auto_stops_at_an_approval() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox --speed 1 --steps 10:60s:approve,100 --until paused").await, @"");
    assert_snapshot!(console.shows("auto payment-api --sandbox --speed 1 --steps 10:60s:approve,100").await, @"");
}

#[tokio::test(start_paused = true)]
async fn auto_dry_run() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox --speed 1 --dry-run").await, @"");
}

#[tokio::test(start_paused = true)]
async fn auto_gives_up_on_a_missing_image() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox=image-missing --speed 1").await, @"");
}

#[tokio::test(start_paused = true)]
async fn auto_refuses_or_pins_an_autoscaler() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox=hpa-fights --speed 1").await, @"");
}

#[tokio::test(start_paused = true)]
async fn auto_holds_without_data() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox=no-data --speed 1").await, @"");
}

#[tokio::test(start_paused = true)]
async fn auto_holds_with_too_few_requests() {
    let console = Console::new();
    assert_snapshot!(console.shows("auto payment-api --sandbox=low-traffic --speed 1").await, @"");
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
    assert_snapshot!(console.shows("auto payment-api -n canary-release --once").await, @"");
    for _ in 0..40 {
        console
            .run("auto payment-api -n canary-release --once -q")
            .await;
        console.wait(20).await;
    }
    assert_snapshot!(console.shows("status -n canary-release").await, @"");
}

#[tokio::test(start_paused = true)]
async fn an_approval_from_another_command_lets_the_release_go_on() {
    let console = Console::on("healthy").await;
    let paused = console
        .run("auto payment-api -n canary-release --steps 10:60s:approve,100 --hold 30s -q")
        .await;
    assert_eq!(paused.code, 5, "{}", paused.text());
    assert_snapshot!(console.shows("status payment-api -n canary-release --quick").await, @"");
    assert_snapshot!(console.shows("approve payment-api -n canary-release").await, @"");
    assert_snapshot!(console.shows("approve payment-api -n canary-release").await, @"");
    assert_snapshot!(console.shows("auto payment-api -n canary-release").await, @"");
}

#[tokio::test(start_paused = true)]
async fn a_second_run_is_refused_while_one_is_alive() {
    let console = Console::on("healthy").await;
    let first = console.clone();
    let run = tokio::spawn(async move {
        first
            .run("auto payment-api -n canary-release --steps 10,100 --hold 5m")
            .await
    });
    console.wait(120).await;
    assert_snapshot!(console.shows("auto payment-api -n canary-release").await, @"");
    assert_snapshot!(console.shows("set payment-api -n canary-release 50").await, @"");
    run.abort();
}
