//! Interrupts in the middle of a step.

use canaryctl::cli::Signal;
use insta::assert_snapshot;

use super::Console;

#[tokio::test(start_paused = true)]
async fn sigterm_rolls_back() {
    let console = Console::on("healthy").await.signal(200, Signal::Terminate);
    assert_snapshot!(console.shows("auto payment-api -n canary-release --steps 10,50,100 --hold 5m").await, @"");
    assert_snapshot!(Console { signals: Vec::new(), ..console.clone() }.shows("status payment-api -n canary-release --quick").await, @"");
}

#[tokio::test(start_paused = true)]
async fn sigint_without_a_person_rolls_back() {
    let console = Console::on("healthy").await.signal(200, Signal::Interrupt);
    assert_snapshot!(console.shows("auto payment-api -n canary-release --steps 10,50,100 --hold 5m").await, @"");
}

#[tokio::test(start_paused = true)]
async fn sigterm_holds_where_asked() {
    let console = Console::on("healthy").await.signal(200, Signal::Terminate);
    assert_snapshot!(console.shows("auto payment-api -n canary-release --steps 10,50,100 --hold 5m --on-interrupt hold").await, @"");
    assert_snapshot!(Console { signals: Vec::new(), ..console.clone() }.shows("status payment-api -n canary-release --quick").await, @"");
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_leaves_at_once() {
    let console = Console::on("healthy")
        .await
        .signal(200, Signal::Terminate)
        .signal(1, Signal::Terminate);
    assert_snapshot!(console.shows("auto payment-api -n canary-release --steps 10,50,100 --hold 5m").await, @"");
    assert_snapshot!(Console { signals: Vec::new(), ..console.clone() }.shows("status payment-api -n canary-release --quick").await, @"");
}

#[tokio::test(start_paused = true)]
async fn a_person_can_roll_back() {
    let console = Console::on("healthy")
        .await
        .answers(&["r"])
        .signal(200, Signal::Interrupt);
    assert_snapshot!(console.shows("auto payment-api -n canary-release --steps 10,50,100 --hold 5m").await, @"");
}

#[tokio::test(start_paused = true)]
async fn a_person_can_hold() {
    let console = Console::on("healthy")
        .await
        .answers(&["h"])
        .signal(200, Signal::Interrupt);
    assert_snapshot!(console.shows("auto payment-api -n canary-release --steps 10,50,100 --hold 5m").await, @"");
}

#[tokio::test(start_paused = true)]
async fn a_person_can_go_on() {
    let console = Console::on("healthy")
        .await
        .answers(&["c"])
        .signal(200, Signal::Interrupt);
    assert_snapshot!(console.shows("auto payment-api -n canary-release --steps 50,100 --hold 2m").await, @"");
}

#[tokio::test(start_paused = true)]
async fn monitor_ends_with_the_signal() {
    let console = Console::on("healthy").await.signal(15, Signal::Interrupt);
    assert_snapshot!(console.shows("monitor payment-api -n canary-release").await, @"");
}
