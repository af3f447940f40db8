//! Verbs that only look.

use insta::assert_snapshot;

use super::Console;

#[tokio::test(start_paused = true)]
async fn status_shows_a_release_that_has_not_begun() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("status payment-api -n canary-release").await, @"");
    assert_snapshot!(console.shows("status payment-api -n canary-release -o json").await, @"");
}

#[tokio::test(start_paused = true)]
async fn status_of_the_sandbox_needs_no_flags() {
    let console = Console::new();
    assert_snapshot!(console.shows("status payment-api --sandbox --quick").await, @"");
}

#[tokio::test(start_paused = true)]
async fn status_fits_eighty_and_a_hundred_and_twenty_columns() {
    let console = Console::on("errors-at-25").await.columns(80);
    assert_snapshot!(console.shows("status payment-api -n canary-release").await, @"");
}

#[tokio::test(start_paused = true)]
async fn wide_status() {
    let console = Console::on("errors-at-25").await.columns(120);
    assert_snapshot!(console.shows("status payment-api -n canary-release").await, @"");
}

#[tokio::test(start_paused = true)]
async fn colours_are_for_terminals() {
    let console = Console::on("healthy").await.tty();
    assert_snapshot!(console.shows("status payment-api -n canary-release --quick").await, @"");
    assert_snapshot!(console.shows("status payment-api -n canary-release --quick --color never").await, @"");
}

#[tokio::test(start_paused = true)]
async fn no_color_wins_over_the_terminal() {
    let console = Console::on("healthy").await.tty().var("NO_COLOR", "1");
    assert_snapshot!(console.shows("status payment-api -n canary-release --quick").await, @"");
}

#[tokio::test(start_paused = true)]
async fn color_always_colours_pipes() {
    let console = Console::on("healthy").await.var("NO_COLOR", "1");
    assert_snapshot!(console.shows("status payment-api -n canary-release --quick --color always").await, @"");
}

#[tokio::test(start_paused = true)]
async fn no_releases_are_said_to_be_none() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("status -n canary-release").await, @"");
    assert_snapshot!(console.shows("status -A").await, @"");
    assert_snapshot!(console.shows("status -A -o json").await, @"");
}

#[tokio::test(start_paused = true)]
async fn status_lists_releases() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 -q").await, @"");
    assert_snapshot!(console.shows("status -n canary-release").await, @"");
    assert_snapshot!(console.shows("status -A").await, @"");
    assert_snapshot!(console.shows("status -A -o json").await, @"");
    assert_snapshot!(console.shows("status payment-api -n canary-release").await, @"");
}

#[tokio::test(start_paused = true)]
async fn monitor_prints_one_line_per_look() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("monitor payment-api -n canary-release --duration 20s").await, @"");
    assert_snapshot!(console.shows("monitor payment-api -n canary-release --duration 10s -o json").await, @"");
}

#[tokio::test(start_paused = true)]
async fn monitor_redraws_on_a_terminal() {
    let console = Console::on("healthy").await.tty().columns(80);
    assert_snapshot!(console.shows("monitor payment-api -n canary-release --duration 0s").await, @"");
}

#[tokio::test(start_paused = true)]
async fn monitor_until_promoted_gives_up_unfinished() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("monitor payment-api -n canary-release --until promoted --duration 20s").await, @"");
}

#[tokio::test(start_paused = true)]
async fn history_of_nothing() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("history payment-api -n canary-release").await, @"");
}

#[tokio::test(start_paused = true)]
async fn history_tells_who_did_what() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 -q").await, @"");
    assert_snapshot!(console.shows("rollback payment-api -n canary-release -q").await, @"");
    assert_snapshot!(console.shows("history payment-api -n canary-release").await, @"");
    assert_snapshot!(console.shows("history payment-api -n canary-release -o json").await, @"");
}
