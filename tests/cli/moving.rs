//! Verbs that move traffic by hand.

use insta::assert_snapshot;

use super::Console;

#[tokio::test(start_paused = true)]
async fn set_moves_and_proves() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25").await, @"");
    assert_snapshot!(console.shows("set payment-api -n canary-release +10").await, @"");
    assert_snapshot!(console.shows("set payment-api -n canary-release 35").await, @"");
}

#[tokio::test(start_paused = true)]
async fn set_says_the_real_share() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 0.5%").await, @"");
}

#[tokio::test(start_paused = true)]
async fn set_in_json() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 -o json").await, @"");
}

#[tokio::test(start_paused = true)]
async fn set_dry_run_changes_nothing() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 --dry-run").await, @"");
    assert_snapshot!(console.shows("status payment-api -n canary-release --quick").await, @"");
}

#[tokio::test(start_paused = true)]
async fn set_quiet_says_only_the_answer() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 -q").await, @"");
}

#[tokio::test(start_paused = true)]
async fn set_verbose_on_a_terminal() {
    let console = Console::on("healthy").await.tty().var("NO_COLOR", "1");
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 -v").await, @"");
}

#[tokio::test(start_paused = true)]
async fn set_without_a_journal() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 --no-journal -q").await, @"");
    assert_snapshot!(console.shows("status -n canary-release").await, @"");
}

#[tokio::test(start_paused = true)]
async fn rollback_after_set() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 -q").await, @"");
    assert_snapshot!(console.shows("rollback payment-api -n canary-release").await, @"");
    assert_snapshot!(console.shows("rollback payment-api -n canary-release").await, @"");
}

#[tokio::test(start_paused = true)]
async fn rollback_now_moves_the_traffic_alone() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 -q").await, @"");
    assert_snapshot!(console.shows("rollback payment-api -n canary-release --now").await, @"");
    assert_snapshot!(console.shows("rollback payment-api -n canary-release").await, @"");
}

#[tokio::test(start_paused = true)]
async fn rollback_dry_run() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 -q").await, @"");
    assert_snapshot!(console.shows("rollback payment-api -n canary-release --dry-run").await, @"");
    assert_snapshot!(console.shows("status payment-api -n canary-release --quick -q").await, @"");
}

#[tokio::test(start_paused = true)]
async fn rollback_with_nothing_to_do() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("rollback payment-api -n canary-release").await, @"");
    assert_snapshot!(console.shows("rollback payment-api -n canary-release -o json").await, @"");
}

#[tokio::test(start_paused = true)]
async fn promote_from_twenty_five() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 -q").await, @"");
    assert_snapshot!(console.shows("promote payment-api -n canary-release --dry-run").await, @"");
    assert_snapshot!(console.shows("promote payment-api -n canary-release --yes").await, @"");
}

#[tokio::test(start_paused = true)]
async fn promote_asks_on_a_terminal() {
    let console = Console::on("healthy").await.answers(&["n"]);
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 -q").await, @"");
    assert_snapshot!(console.shows("promote payment-api -n canary-release").await, @"");
}

#[tokio::test(start_paused = true)]
async fn hints_call_the_tool_as_it_was_called() {
    let console = Console::new().called("/usr/bin/kubectl-canary");
    assert_snapshot!(console.shows("set payment-api 25 --sandbox").await, @"");
}

#[tokio::test(start_paused = true)]
async fn hints_lead_to_the_same_cluster() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("set payment-api -n canary-release 25 --stable payment-api-stable --canary payment-api-canary").await, @"");
}
