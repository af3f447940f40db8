//! Whole releases on the simulated cluster, in virtual time: every scenario's ending, every strategy
//! of promotion, every way to drive one.

use std::time::Duration;

use canaryctl::{
    domain::{
        decide::{Goal, Request},
        plan::{Cleanup, OnTrouble, Plan, Strategy},
        release::{Cause, Outcome, Phase},
    },
    engine::{
        End, EngineError,
        start::{Begun, Intent},
    },
};
use serde_json::json;

use crate::support::{
    Bench, CANARY, OWN, STABLE, TOTAL, auto, auto_image, check, checked, plan, restart, set,
    with_strategy,
};

const OLD: &str = "registry.example/payment-api:1.5.0";
const NEW: &str = "registry.example/payment-api:2.0.0";

async fn promoted(scenario: &str) -> Bench {
    let bench = Bench::new(scenario);
    bench
        .ends(auto(), checked(&[10, 25, 50, 100], 60), Outcome::Promoted)
        .await;
    assert_eq!(bench.image(STABLE), NEW);
    assert_eq!((bench.replicas(STABLE), bench.replicas(CANARY)), (OWN, 0));
    bench
}

/// Drives a release that must be taken back because of a sick canary, with the reason in words.
async fn taken_back(scenario: &str, reasons: &[&str]) -> (Bench, End) {
    let bench = Bench::new(scenario);
    let end = bench
        .ends(
            auto(),
            checked(&[10, 25, 50, 100], 180),
            Outcome::RolledBack,
        )
        .await;
    assert_eq!(end.cause, Some(Cause::Unhealthy), "{}", end.text);
    for reason in reasons {
        assert!(end.text.contains(reason), "{reason:?} in {:?}", end.text);
    }
    bench.wait(5).await;
    bench.is_back(OLD, OWN);
    assert_eq!(bench.users().refused, 0);
    (bench, end)
}

// === scenarios ===

#[tokio::test(start_paused = true)]
async fn a_healthy_release_is_promoted() {
    let bench = promoted("healthy").await;
    assert!(bench.least_ready() >= TOTAL as usize);
    bench.users_are_fine(0.01);
}

#[tokio::test(start_paused = true)]
async fn errors_above_a_fifth_of_the_traffic_roll_back_at_the_second_step() {
    let (bench, end) =
        taken_back("errors-at-25", &["success rate", "% good (", "minimum 95%"]).await;
    assert_eq!(end.release.step, 1);
    assert!(bench.least_ready() >= TOTAL as usize);
}

#[tokio::test(start_paused = true)]
async fn errors_that_come_late_roll_back() {
    taken_back("late-errors", &["success rate", "% good (", "minimum 95%"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_rolls_back() {
    taken_back("crash-loop", &["pods", "restarts"]).await;
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_killed_for_memory_roll_back() {
    taken_back("oom", &["pods", "restarts"]).await;
}

#[tokio::test(start_paused = true)]
async fn pods_that_never_turn_ready_roll_back() {
    taken_back("never-ready", &["0/1 pods available", "5m"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_image_rolls_back() {
    taken_back("image-missing", &["ImagePull"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_configuration_rolls_back() {
    taken_back("config-missing", &["CreateContainerConfigError"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_quota_rolls_back_and_names_the_quota() {
    taken_back("quota", &["exceeded quota"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_flapping_canary_is_not_promoted() {
    let bench = Bench::new("flapping");
    let end = bench
        .drive(auto(), checked(&[10, 25, 50, 100], 180))
        .await
        .unwrap();
    assert!(
        matches!(end.outcome, Outcome::RolledBack | Outcome::Paused),
        "{}",
        end.text
    );
    assert_eq!(bench.image(STABLE), OLD);
    assert!(end.text.contains("success rate"), "{}", end.text);
}

#[tokio::test(start_paused = true)]
async fn a_slow_canary_is_caught_by_a_latency_check() {
    let bench = Bench::new("slow");
    let latency = json!({
        "name": "latency", "path": "/metrics", "value": "body.averageLatency", "max": 300,
    });
    let mut plan = checked(&[10, 50], 120);
    plan.checks.push(check("http", &latency));
    let end = bench.drive(auto(), plan).await.unwrap();
    assert_ne!(end.outcome, Outcome::Promoted, "{}", bench.told());
    assert!(end.text.contains("latency"), "{}", end.text);
}

#[tokio::test(start_paused = true)]
async fn without_data_nothing_advances_and_nothing_is_taken_back() {
    let bench = Bench::new("no-data");
    let end = bench
        .ends(auto(), checked(&[10, 50], 60), Outcome::Paused)
        .await;
    assert_eq!(end.release.step, 0);
    assert!(end.text.contains("success rate"), "{}", end.text);
    assert_eq!(bench.replicas(CANARY), 1);
}

#[tokio::test(start_paused = true)]
async fn without_data_a_plan_may_ask_for_a_rollback() {
    let bench = Bench::new("no-data");
    let plan = Plan {
        on_unknown: OnTrouble::Rollback,
        ..checked(&[10, 50], 60)
    };
    let end = bench.ends(auto(), plan, Outcome::RolledBack).await;
    assert_eq!(end.cause, Some(Cause::Unknown));
    bench.wait(5).await;
    bench.is_back(OLD, OWN);
}

#[tokio::test(start_paused = true)]
async fn low_traffic_holds_and_is_never_taken_back() {
    let bench = Bench::new("low-traffic");
    let end = bench.drive(auto(), checked(&[10, 50], 60)).await.unwrap();
    assert!(
        matches!(end.outcome, Outcome::Paused | Outcome::Promoted),
        "{}",
        end.text
    );
    assert!(!bench.was_told("rolling back"), "{}", bench.told());
}

// === promotion ===

#[tokio::test(start_paused = true)]
async fn the_template_strategy_gives_stable_the_whole_template_but_the_track() {
    let bench = Bench::edited("healthy", &[("seed: 7", "seed: 7
edits:
  - {kind: Deployment, name: payment-api-canary, patch: [{op: add, path: /spec/template/spec/terminationGracePeriodSeconds, value: 17}]}")]);
    let labels = bench.template(STABLE)["metadata"]["labels"].clone();
    bench.ends(auto(), plan(&[50], 20), Outcome::Promoted).await;
    let template = bench.template(STABLE);
    assert_eq!(template["spec"]["terminationGracePeriodSeconds"], 17);
    assert_eq!(template["metadata"]["labels"]["track"], labels["track"]);
    assert_eq!(bench.image(STABLE), NEW);
}

#[tokio::test(start_paused = true)]
async fn the_image_strategy_gives_stable_nothing_but_the_image() {
    let bench = Bench::edited("healthy", &[("seed: 7", "seed: 7
edits:
  - {kind: Deployment, name: payment-api-canary, patch: [{op: add, path: /spec/template/spec/terminationGracePeriodSeconds, value: 17}]}")]);
    let mut before = bench.template(STABLE);
    let plan = with_strategy(plan(&[50], 20), Strategy::Image, Cleanup::ScaleDown);
    bench.ends(auto(), plan, Outcome::Promoted).await;
    before["spec"]["containers"][0]["image"] = json!(NEW);
    assert_eq!(bench.template(STABLE), before);
    assert_eq!((bench.replicas(STABLE), bench.replicas(CANARY)), (OWN, 0));
}

#[tokio::test(start_paused = true)]
async fn a_canary_with_a_sidecar_of_its_own_can_be_promoted_by_image() {
    let bench = Bench::edited("healthy", &[("seed: 7", "seed: 7
edits:
  - {kind: Deployment, name: payment-api-canary, patch: [{op: add, path: /spec/template/spec/containers/-, value: {name: tracer, image: 'tracer:1'}}]}")]);
    let plan = with_strategy(plan(&[50], 20), Strategy::Image, Cleanup::ScaleDown);
    bench.ends(auto(), plan, Outcome::Promoted).await;
    assert_eq!(bench.image(STABLE), NEW);
}

#[tokio::test(start_paused = true)]
async fn the_swap_strategy_changes_the_roles_and_the_next_release_starts_from_them() {
    let bench = Bench::new("healthy");
    let swap = || with_strategy(plan(&[50], 20), Strategy::Swap, Cleanup::ScaleDown);
    let end = bench.ends(auto(), swap(), Outcome::Promoted).await;
    assert_eq!(
        (end.release.stable.as_str(), end.release.canary.as_str()),
        (CANARY, STABLE)
    );
    assert_eq!((bench.replicas(CANARY), bench.replicas(STABLE)), (OWN, 0));
    assert!(end.text.contains(CANARY), "{}", end.text);
    // The old stable is the canary now.
    let next = "registry.example/payment-api:2.1.0";
    let end = bench
        .ends(auto_image(next), swap(), Outcome::Promoted)
        .await;
    assert_eq!(end.release.stable, STABLE);
    assert_eq!(bench.image(STABLE), next);
    assert_eq!(bench.image(CANARY), NEW);
    assert_eq!((bench.replicas(STABLE), bench.replicas(CANARY)), (OWN, 0));
    // The second release began with stable's own pods alone.
    assert!(bench.least_ready() >= OWN as usize);
}

#[tokio::test(start_paused = true)]
async fn without_a_strategy_the_canary_keeps_the_traffic() {
    let bench = Bench::new("healthy");
    let plan = with_strategy(plan(&[50, 100], 20), Strategy::None, Cleanup::ScaleDown);
    let end = bench.ends(auto(), plan, Outcome::Promoted).await;
    assert_eq!((bench.replicas(CANARY), bench.replicas(STABLE)), (TOTAL, 0));
    assert_eq!(bench.image(STABLE), OLD);
    assert!(end.text.contains("keeps 100%"), "{}", end.text);
}

#[tokio::test(start_paused = true)]
async fn the_canary_is_deleted_where_the_plan_says_so() {
    let bench = Bench::new("healthy");
    let plan = with_strategy(plan(&[50], 20), Strategy::Template, Cleanup::Delete);
    bench.ends(auto(), plan, Outcome::Promoted).await;
    assert!(bench.object("deployments", CANARY).is_none());
    assert_eq!(bench.replicas(STABLE), OWN);
}

#[tokio::test(start_paused = true)]
async fn an_absent_canary_is_made_from_stable_with_the_new_image() {
    let bench = Bench::new("healthy");
    bench.delete("deployments", CANARY);
    bench.wait(30).await;
    let before = bench.template(STABLE);
    let plan = with_strategy(plan(&[50], 20), Strategy::Template, Cleanup::Delete);
    let mut sitting = bench.sitting(auto_image(NEW), plan);
    sitting.goal = Goal::Step(1);
    let end = bench.run(sitting).await.unwrap();
    assert_eq!(end.outcome, Outcome::AtWeight, "{}", bench.told());
    let mut made = bench.template(CANARY);
    assert_eq!(made["metadata"]["labels"]["track"], "canary");
    made["metadata"]["labels"]["track"] = before["metadata"]["labels"]["track"].clone();
    let variables =
        |t: &serde_json::Value| t["spec"]["containers"][0]["env"].as_array().map(Vec::len);
    assert_eq!(variables(&made), variables(&before));
    bench
        .ends(auto(), end.release.plan, Outcome::Promoted)
        .await;
    assert_eq!(
        (bench.image(STABLE).as_str(), bench.replicas(STABLE)),
        (NEW, 9)
    );
}

#[tokio::test(start_paused = true)]
async fn promoting_by_hand_needs_a_healthy_look_and_skips_the_steps() {
    let bench = Bench::new("healthy");
    bench
        .ends(set("25%"), plan(&[50], 600), Outcome::AtWeight)
        .await;
    bench
        .ends(Intent::Promote, plan(&[50], 600), Outcome::Promoted)
        .await;
    assert_eq!(bench.image(STABLE), NEW);
}

#[tokio::test(start_paused = true)]
async fn a_promotion_by_force_passes_a_sick_canary_but_not_a_changed_one() {
    let bench = Bench::new("errors-at-25");
    bench
        .requests
        .send_replace(Some(Request::Promote { force: true }));
    bench
        .ends(auto(), checked(&[10], 60), Outcome::Promoted)
        .await;
    let bench = Bench::new("healthy");
    let release = bench.drive(auto(), plan(&[10], 600));
    let meddler = async {
        bench.until_step(1).await;
        bench.set_image(CANARY, "registry.example/payment-api:9.9.9");
        bench
            .requests
            .send_replace(Some(Request::Promote { force: true }));
    };
    let (end, ()) = tokio::join!(release, meddler);
    let end = end.unwrap();
    assert_eq!(end.outcome, Outcome::Conflict, "{}", end.text);
    assert_eq!(bench.image(STABLE), OLD);
}

#[tokio::test(start_paused = true)]
async fn a_plan_of_counters_alone_can_be_promoted() {
    let bench = Bench::new("healthy");
    let mut plan = checked(&[50], 30);
    plan.checks.retain(|c| c.name == "success rate");
    bench.ends(auto(), plan, Outcome::Promoted).await;
}

#[tokio::test(start_paused = true)]
async fn without_checks_nothing_is_promoted() {
    let bench = Bench::new("healthy");
    let mut plan = plan(&[50], 30);
    plan.checks.clear();
    plan.on_unknown = OnTrouble::Hold;
    let end = bench.ends(auto(), plan, Outcome::Paused).await;
    assert!(end.text.contains("no checks"), "{}", end.text);
}

// === how far, and how driven ===

#[tokio::test(start_paused = true)]
async fn a_release_goes_as_far_as_it_is_told() {
    let bench = Bench::new("healthy");
    let plan = || plan(&[10, 50, 100], 30);
    for step in [1, 2] {
        let mut sitting = bench.sitting(auto(), plan());
        sitting.goal = Goal::Step(step);
        let end = bench.run(sitting).await.unwrap();
        assert_eq!(
            (end.outcome, end.release.step),
            (Outcome::AtWeight, step - 1)
        );
    }
    assert_eq!(bench.replicas(CANARY), 5);
    // A step that is passed already is no reason to go on.
    let mut sitting = bench.sitting(auto(), plan());
    sitting.goal = Goal::Step(1);
    let end = bench.run(sitting).await.unwrap();
    assert_eq!((end.outcome, end.release.step), (Outcome::AtWeight, 1));
    bench.ends(auto(), plan(), Outcome::Promoted).await;
}

#[tokio::test(start_paused = true)]
async fn a_gate_waits_for_approval_and_its_time_does_not_count() {
    let bench = Bench::new("healthy");
    let mut plan = plan(&[10, 50], 30);
    plan.steps[0].approve = true;
    plan.steps[0].deadline = Duration::from_secs(60);
    let approver = async {
        bench.until_phase(Phase::Approving).await;
        bench.wait(7200).await;
        assert_eq!(bench.replicas(CANARY), 1);
        bench.requests.send_replace(Some(Request::Approve));
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), plan), approver);
    let end = end.unwrap();
    assert_eq!(end.outcome, Outcome::Promoted, "{}", end.text);
}

#[tokio::test(start_paused = true)]
async fn until_the_gate_is_a_goal_and_another_process_may_approve() {
    let bench = Bench::new("healthy");
    let mut plan = plan(&[10, 50], 30);
    plan.steps[0].approve = true;
    let mut sitting = bench.sitting(auto(), plan.clone());
    sitting.goal = Goal::Approval;
    let end = bench.run(sitting).await.unwrap();
    assert_eq!(end.outcome, Outcome::Paused, "{}", end.text);
    assert!(end.text.contains("approval of step 1"), "{}", end.text);
    bench.wait(3600).await;
    bench.requests.send_replace(Some(Request::Approve));
    bench.ends(auto(), plan, Outcome::Promoted).await;
}

#[tokio::test(start_paused = true)]
async fn an_approval_does_not_pass_over_a_canary_that_turned_sick() {
    let bench = Bench::edited("late-errors", &[("after: 6m", "after: 3m")]);
    let mut plan = checked(&[20, 50], 30);
    plan.steps[0].approve = true;
    let approver = async {
        bench.until_phase(Phase::Approving).await;
        bench.wait(600).await;
        bench.requests.send_replace(Some(Request::Approve));
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), plan), approver);
    let end = end.unwrap();
    assert_eq!(
        (end.outcome, end.release.step),
        (Outcome::RolledBack, 0),
        "{}",
        end.text
    );
}

#[tokio::test(start_paused = true)]
async fn a_plan_without_promotion_ends_at_the_last_step() {
    let bench = Bench::new("healthy");
    let mut order = plan(&[10, 50], 30);
    order.promote.auto = false;
    let end = bench.ends(auto(), order.clone(), Outcome::Paused).await;
    assert!(
        end.text.contains("promotion needs manual approval"),
        "{}",
        end.text
    );
    assert_eq!(bench.replicas(CANARY), 5);
    bench.ends(Intent::Promote, order, Outcome::Promoted).await;
}

/// Ticks as cron does, every `seconds`, until the run is over.
async fn ticked(bench: &Bench, plan: &Plan, seconds: u64) -> (End, usize) {
    for tick in 1..500 {
        let mut sitting = bench.sitting(auto(), plan.clone());
        sitting.once = true;
        sitting.holder = format!("tick-{tick}");
        let end = bench.run(sitting).await.unwrap();
        if end.release.is_over() || end.outcome != Outcome::AtWeight {
            return (end, tick);
        }
        bench.wait(seconds).await;
    }
    panic!("never over:\n{}", bench.told());
}

#[tokio::test(start_paused = true)]
async fn ticks_of_a_minute_drive_a_whole_release() {
    let bench = Bench::new("healthy");
    let (end, _) = ticked(&bench, &checked(&[10, 50, 100], 120), 60).await;
    assert_eq!(
        end.outcome,
        Outcome::Promoted,
        "{}\n{}",
        end.text,
        bench.told()
    );
    assert!(bench.least_ready() >= TOTAL as usize);
    assert_eq!(bench.image(STABLE), NEW);
}

#[tokio::test(start_paused = true)]
async fn ticks_rarer_than_the_deadline_of_a_move_drive_a_whole_release() {
    let bench = Bench::new("healthy");
    let (end, _) = ticked(&bench, &plan(&[10, 50, 100], 120), 600).await;
    assert_eq!(
        end.outcome,
        Outcome::Promoted,
        "{}\n{}",
        end.text,
        bench.told()
    );
}

#[tokio::test(start_paused = true)]
async fn ticks_take_a_sick_canary_back() {
    let bench = Bench::new("errors-at-25");
    let (end, _) = ticked(&bench, &checked(&[10, 50, 100], 300), 60).await;
    assert_eq!(end.outcome, Outcome::RolledBack, "{}", end.text);
    bench.wait(5).await;
    bench.is_back(OLD, OWN);
}

#[tokio::test(start_paused = true)]
async fn a_failure_may_hold_instead_of_taking_back() {
    let bench = Bench::new("errors-at-25");
    let plan = Plan {
        on_failure: OnTrouble::Hold,
        ..checked(&[10, 50], 120)
    };
    let end = bench.ends(auto(), plan, Outcome::Paused).await;
    assert_eq!(end.cause, Some(Cause::Unhealthy));
    assert_eq!(bench.replicas(CANARY), 5);
}

#[tokio::test(start_paused = true)]
async fn a_check_may_hold_or_only_warn() {
    for (severity, outcome) in [("hold", Outcome::Paused), ("warn", Outcome::Promoted)] {
        let bench = Bench::new("errors-at-25");
        let success = json!({
            "name": "success", "path": "/metrics", "good": "body.successfulTransactions",
            "total": "body.totalTransactions", "min": "95%", "severity": severity,
        });
        let mut plan = plan(&[10, 50], 120);
        plan.checks.push(check("http", &success));
        bench.ends(auto(), plan, outcome).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_was_rolled_back_needs_restart() {
    let bench = Bench::new("errors-at-25");
    let plan = || checked(&[10, 50], 120);
    bench.ends(auto(), plan(), Outcome::RolledBack).await;
    let again = bench.drive(auto(), plan()).await;
    assert!(
        matches!(again, Err(EngineError::Refused { .. })),
        "{again:?}"
    );
    bench.ends(restart(), plan(), Outcome::RolledBack).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_begins_again_with_the_version_that_is_there() {
    let bench = Bench::new("healthy");
    let mut sitting = bench.sitting(auto(), plan(&[10, 50], 30));
    sitting.goal = Goal::Step(2);
    bench.run(sitting).await.unwrap();
    let newer = "registry.example/payment-api:2.0.1";
    bench.set_image(CANARY, newer);
    let end = bench.drive(auto(), plan(&[10, 50], 30)).await.unwrap();
    assert_eq!(end.outcome, Outcome::Conflict, "{}", end.text);
    assert!(
        end.text.contains("kubectl-edit") && end.text.contains(newer),
        "{}",
        end.text
    );
    bench
        .ends(restart(), plan(&[10, 50], 30), Outcome::Promoted)
        .await;
    assert_eq!(bench.image(STABLE), newer);
}

#[tokio::test(start_paused = true)]
async fn a_promoted_version_is_nothing_to_do() {
    let bench = promoted("healthy").await;
    let begun = bench
        .begin(&bench.sitting(auto(), plan(&[50], 10)))
        .await
        .unwrap();
    assert!(matches!(begun, Begun::Nothing(_)));
    let begun = bench
        .begin(&bench.sitting(Intent::Rollback, plan(&[50], 10)))
        .await
        .unwrap();
    let Begun::Nothing(text) = begun else {
        panic!("there is nothing to roll back");
    };
    assert!(text.contains(OLD), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_order_for_another_image_does_not_go_on_with_the_run_under_way() {
    let bench = Bench::new("healthy");
    let mut sitting = bench.sitting(auto(), plan(&[10, 50], 30));
    sitting.goal = Goal::Step(1);
    bench.run(sitting).await.unwrap();
    let other = auto_image("registry.example/payment-api:3.0.0");
    let refused = bench.drive(other, plan(&[10, 50], 30)).await;
    assert!(
        matches!(refused, Err(EngineError::Refused { .. })),
        "{refused:?}"
    );
    assert_eq!(bench.image(CANARY), NEW);
    bench
        .ends(auto_image(NEW), plan(&[10, 50], 30), Outcome::Promoted)
        .await;
}

// === by hand ===

#[tokio::test(start_paused = true)]
async fn weights_set_by_hand_keep_the_total() {
    let bench = Bench::new("healthy");
    for (weight, canary) in [("25", 3), ("50", 5), ("+10", 6), ("10%", 1), ("0", 0)] {
        bench
            .ends(set(weight), plan(&[50], 10), Outcome::AtWeight)
            .await;
        assert_eq!(bench.replicas(CANARY), canary, "{weight}");
        assert_eq!(bench.replicas(STABLE) + canary, TOTAL, "{weight}");
    }
    assert!(bench.least_ready() >= TOTAL as usize);
}

#[tokio::test(start_paused = true)]
async fn a_weight_can_be_set_without_a_journal() {
    let bench = Bench::new("healthy");
    let mut sitting = bench.sitting(set("50%"), plan(&[50], 10));
    sitting.journal = false;
    let end = bench.run(sitting).await.unwrap();
    assert_eq!(end.outcome, Outcome::AtWeight);
    assert_eq!(bench.replicas(CANARY), 5);
    assert!(
        bench
            .object("configmaps", "canaryctl-payment-api")
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn a_release_goes_on_from_a_weight_set_by_hand() {
    let bench = Bench::new("healthy");
    bench
        .ends(set("25%"), plan(&[10, 25, 50], 30), Outcome::AtWeight)
        .await;
    bench
        .ends(auto(), plan(&[10, 25, 50], 30), Outcome::Promoted)
        .await;
    let sizes = bench.sizes(CANARY);
    assert_eq!(sizes[..4], [1, 3, 5, 10], "{sizes:?}");
    assert!(
        bench.was_told("step 2 of 3: watching at 25%"),
        "{}",
        bench.told()
    );
}

#[tokio::test(start_paused = true)]
async fn a_deadline_as_long_as_the_hold_does_not_end_a_healthy_step() {
    let bench = Bench::new("healthy");
    let mut plan = plan(&[50, 100], 120);
    for step in &mut plan.steps {
        step.deadline = step.hold;
    }
    bench.ends(auto(), plan, Outcome::Promoted).await;
}
