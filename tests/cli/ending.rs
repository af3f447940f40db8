//! The last lines of a run that cannot go on: which split is live, and the command that ends it.

use canaryctl::sim::api::Rules;
use insta::assert_snapshot;

use super::{Console, RELEASE, Ran};

/// Runs a release to 50 % while the rules change after a minute and a half.
async fn cut_off(rules: Rules) -> Ran {
    let console = Console::on("healthy").await;
    let line = format!("auto {RELEASE} --steps 50 --hold 30m");
    let meddler = async {
        console.wait(90).await;
        console.sim().server().set_rules(rules);
    };
    let (ran, ()) = tokio::join!(console.run(&line), meddler);
    ran
}

#[tokio::test(start_paused = true)]
async fn reads_that_are_refused_leave_a_split_and_say_so() {
    let ran = cut_off(Rules::new("dev").deny("get", "apps", "deployments")).await;
    assert_snapshot!(ran.text(), @"");
}

#[tokio::test(start_paused = true)]
async fn writes_that_are_refused_on_the_way_back_call_somebody() {
    let rules = Rules::new("dev").deny("*", "", "configmaps");
    let rules = rules.deny("patch", "apps", "deployments/scale");
    let ran = cut_off(rules).await;
    assert_snapshot!(ran.text(), @"");
}
