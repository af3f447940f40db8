//! Incidents that real teams had, each as a test.

use std::time::Duration;

use canaryctl::{
    domain::{
        decide::{Goal, Request},
        event::EventKind,
        meters::Witness,
        plan::{Cleanup, Load, LoadRequest, OnTrouble, Plan, Strategy},
        release::{Cause, Outcome, Phase},
        workload::Track,
    },
    engine::{EngineError, start::Begun, start::Intent},
    journal::JournalError,
    sim::{
        api::Rules,
        fault::{self, Fault},
        scenario::Scenario,
    },
};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::DeleteParams};
use serde_json::{Value, json};

use crate::support::{
    Bench, CANARY, NAMESPACE, OWN, STABLE, TOTAL, auto, check, checked, plan, set, with_strategy,
};

const OLD: &str = "registry.example/payment-api:1.5.0";
const NEW: &str = "registry.example/payment-api:2.0.0";
const HPA: &str = "payment-api-stable";

// === rollbacks with little left ===

#[tokio::test(start_paused = true)]
async fn a_rollback_with_nothing_running_leaves_stable_as_it_is() {
    let bench = Bench::new("healthy");
    bench.scale(CANARY, 0);
    bench.wait(30).await;
    let before = bench.deployment(STABLE)["spec"].clone();
    let begun = bench
        .begin(&bench.sitting(Intent::Rollback, plan(&[50], 10)))
        .await
        .unwrap();
    assert!(matches!(begun, Begun::Nothing(_)));
    bench.delete("deployments", CANARY);
    bench.wait(30).await;
    let begun = bench
        .begin(&bench.sitting(Intent::Rollback, plan(&[50], 10)))
        .await
        .unwrap();
    assert!(matches!(begun, Begun::Nothing(_)));
    assert_eq!(bench.deployment(STABLE)["spec"], before);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_works_after_the_canary_deployment_was_deleted() {
    let bench = Bench::new("healthy");
    bench
        .ends(set("50"), plan(&[50], 10), Outcome::AtWeight)
        .await;
    bench.delete("deployments", CANARY);
    bench.wait(30).await;
    assert_eq!(bench.replicas(STABLE), 5);
    let end = bench
        .ends(Intent::Rollback, plan(&[50], 10), Outcome::RolledBack)
        .await;
    assert_eq!(bench.replicas(STABLE), OWN, "{}", end.text);
    assert!(bench.object("deployments", CANARY).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_rollback_works_after_the_canary_was_scaled_away() {
    let bench = Bench::new("healthy");
    bench
        .ends(set("50"), plan(&[50], 10), Outcome::AtWeight)
        .await;
    bench.scale(CANARY, 0);
    bench.wait(30).await;
    bench
        .ends(Intent::Rollback, plan(&[50], 10), Outcome::RolledBack)
        .await;
    bench.wait(5).await;
    bench.is_back(OLD, OWN);
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_vanishes_in_mid_run_is_rolled_back() {
    let bench = Bench::new("healthy");
    let meddler = async {
        bench.until_step(2).await;
        bench.delete("deployments", CANARY);
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), plan(&[10, 50], 60)), meddler);
    let end = end.unwrap();
    assert_eq!(
        (end.outcome, end.cause),
        (Outcome::RolledBack, Some(Cause::Unhealthy))
    );
    assert!(end.text.contains("is gone"), "{}", end.text);
    assert_eq!(bench.replicas(STABLE), OWN);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_vanishes_in_mid_run_ends_it() {
    let bench = Bench::new("healthy");
    let meddler = async {
        bench.until_step(2).await;
        let namespaces: Api<Namespace> = Api::all(bench.sim.client(NAMESPACE));
        let params = DeleteParams::default();
        namespaces.delete(NAMESPACE, &params).await.unwrap();
        bench.clock.now()
    };
    let (end, gone) = tokio::join!(bench.drive(auto(), plan(&[10, 50], 60)), meddler);
    let text = match end {
        Ok(end) => {
            assert_ne!(end.outcome, Outcome::Promoted, "{}", bench.told());
            end.text
        }
        Err(error) => error.to_string(),
    };
    assert!(text.contains("namespaces"), "{text}");
    let waited = bench.clock.now().duration_since(gone);
    assert!(waited < SignedDuration::from_mins(2), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_vanishes_during_the_promotion_leaves_a_whole_stable() {
    for phase in [
        Phase::PromoteShift,
        Phase::PromoteTemplate,
        Phase::PromoteScale,
        Phase::PromoteCheck,
        Phase::PromoteReturn,
    ] {
        let bench = Bench::new("healthy");
        let meddler = async {
            bench.until_phase(phase).await;
            bench.delete("deployments", CANARY);
        };
        let (end, ()) = tokio::join!(bench.drive(auto(), plan(&[100], 20)), meddler);
        let end = end.unwrap();
        assert!(
            matches!(end.outcome, Outcome::RolledBack | Outcome::Promoted),
            "{phase:?}: {:?} {}\n{}",
            end.outcome,
            end.text,
            bench.told()
        );
        assert_eq!(bench.replicas(STABLE), OWN, "{phase:?}");
        let image = if end.outcome == Outcome::Promoted {
            NEW
        } else {
            OLD
        };
        assert_eq!(bench.image(STABLE), image, "{phase:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_total_is_not_read_again_from_a_shrunk_deployment() {
    let bench = Bench::new("healthy");
    bench
        .ends(set("25"), plan(&[50], 10), Outcome::AtWeight)
        .await;
    bench
        .ends(set("50"), plan(&[50], 10), Outcome::AtWeight)
        .await;
    assert_eq!((bench.replicas(STABLE), bench.replicas(CANARY)), (5, 5));
    bench
        .ends(Intent::Rollback, plan(&[50], 10), Outcome::RolledBack)
        .await;
    bench.wait(5).await;
    bench.is_back(OLD, OWN);
}

// === promotions that fail ===

/// A world whose new version runs as canary, but never turns ready under stable's labels.
fn unready_on_stable(more: &str) -> Bench {
    let text = format!(
        "
description: the new version needs something that only canary pods have
seed: 7
traffic: {{service: canary-release/payment-api-service, rate: 50}}
versions:
  - match: {{image: 'payment-api:1.5.'}}
    errors: {{base: 0.2%}}
  - match: {{image: payment-api, labels: {{track: stable}}}}
    {more}
  - match: {{image: payment-api}}
    errors: {{base: 0.2%}}
"
    );
    Bench::with(Scenario::parse(&text).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_promotion_onto_an_unready_stable_gives_it_its_template_back_and_leaves_the_traffic() {
    let bench = unready_on_stable("ready: never");
    let before = bench.template(STABLE);
    let mut order = plan(&[50], 20);
    order.promote_timeout = Duration::from_secs(120);
    let end = bench.ends(auto(), order.clone(), Outcome::Incomplete).await;
    assert_eq!(end.cause, Some(Cause::Promotion));
    assert_eq!(bench.template(STABLE), before);
    assert_eq!((bench.replicas(STABLE), bench.replicas(CANARY)), (0, TOTAL));
    assert!(
        end.text.contains("all traffic is on payment-api-canary"),
        "{}",
        end.text
    );
    assert!(bench.least_ready() >= TOTAL as usize);
    bench.users_are_fine(0.01);
    // From there a rollback leads home.
    bench
        .ends(Intent::Rollback, order, Outcome::RolledBack)
        .await;
    bench.wait(5).await;
    bench.is_back(OLD, TOTAL);
}

#[tokio::test(start_paused = true)]
async fn a_promotion_onto_a_crashing_stable_is_undone_before_traffic_returns() {
    let bench = unready_on_stable("crash: {after: 5s}");
    let end = bench
        .ends(auto(), plan(&[50], 20), Outcome::Incomplete)
        .await;
    assert_eq!(
        (bench.replicas(STABLE), bench.replicas(CANARY)),
        (0, TOTAL),
        "{}",
        end.text
    );
    assert_eq!(bench.image(STABLE), OLD);
}

#[tokio::test(start_paused = true)]
async fn a_stable_that_is_ready_but_says_it_is_sick_is_undone() {
    let bench = unready_on_stable("health: '{\"status\": \"degraded\"}'");
    let end = bench
        .ends(auto(), checked(&[50], 30), Outcome::Incomplete)
        .await;
    assert!(
        end.text.contains("stable with the new version"),
        "{}",
        end.text
    );
    assert_eq!(bench.image(STABLE), OLD);
    assert_eq!(bench.replicas(CANARY), TOTAL);
}

// === a canary that fails while it has all traffic ===

/// A world whose stable takes for ever to be ready with the new version, so that the canary carries
/// all traffic meanwhile, and where the canary does something at the age of some minutes.
fn failing_while_stable_is_renewed(canary: &str) -> Bench {
    let text = format!(
        "
description: the canary fails while stable is being renewed
seed: 7
traffic: {{service: canary-release/payment-api-service, rate: 50}}
versions:
  - match: {{image: 'payment-api:1.5.'}}
    errors: {{base: 0.2%}}
  - match: {{image: payment-api, labels: {{track: stable}}}}
    ready: never
  - match: {{image: payment-api}}
    {canary}
"
    );
    Bench::with(Scenario::parse(&text).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_fails_while_stable_is_renewed_brings_the_old_version_back() {
    for canary in [
        "errors: {base: 0.2%, rate: 30%, after: 5m}",
        "crash: {after: 5m}",
    ] {
        let bench = failing_while_stable_is_renewed(canary);
        let before = bench.template(STABLE);
        let end = bench
            .ends(auto(), checked(&[50], 30), Outcome::RolledBack)
            .await;
        assert_eq!(end.cause, Some(Cause::Unhealthy), "{canary}");
        assert!(
            end.text.contains("the canary failed during the promotion"),
            "{}",
            end.text
        );
        bench.until_phase(Phase::PromoteScale).await;
        bench.wait(5).await;
        bench.is_back(OLD, OWN);
        assert_eq!(bench.template(STABLE), before, "{canary}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_holds_on_failure_stops_when_the_canary_fails_in_the_promotion() {
    let bench = failing_while_stable_is_renewed("errors: {base: 0.2%, rate: 30%, after: 5m}");
    let mut order = checked(&[50], 30);
    order.on_failure = OnTrouble::Hold;
    let end = bench.ends(auto(), order.clone(), Outcome::Paused).await;
    assert!(
        end.text.contains("failed during the promotion"),
        "{}",
        end.text
    );
    assert_eq!(bench.replicas(CANARY), TOTAL);
    // A person decides; the way back is open.
    bench
        .ends(Intent::Rollback, order, Outcome::RolledBack)
        .await;
    bench.wait(5).await;
    bench.is_back(OLD, OWN);
}

#[tokio::test(start_paused = true)]
async fn the_canary_is_looked_at_as_long_as_it_has_the_traffic() {
    let bench = Bench::new("healthy");
    bench
        .ends(auto(), checked(&[50], 30), Outcome::Promoted)
        .await;
    let events = bench.events.lock().unwrap();
    let mut phase = Phase::Preparing;
    let mut looked = Vec::new();
    for event in events.iter() {
        match &event.kind {
            EventKind::PhaseChanged { phase: entered, .. } => phase = *entered,
            EventKind::Checked {
                track: Track::Canary,
                results,
            } if results.len() == 3 => {
                looked.push(phase);
            }
            _ => {}
        }
    }
    for phase in [Phase::PromoteScale, Phase::PromoteCheck] {
        assert!(looked.contains(&phase), "not in {phase:?}: {looked:?}");
    }
}

// === interrupts ===

#[tokio::test(start_paused = true)]
async fn an_interrupt_in_any_phase_is_carried_out_as_the_plan_says() {
    let phases = [
        Phase::Shifting,
        Phase::Holding,
        Phase::Approving,
        Phase::PromoteShift,
        Phase::PromoteTemplate,
        Phase::PromoteScale,
        Phase::PromoteCheck,
        Phase::PromoteReturn,
        Phase::Draining,
        Phase::Cleaning,
    ];
    for policy in [OnTrouble::Rollback, OnTrouble::Hold] {
        for phase in phases {
            let bench = Bench::new("healthy");
            let mut order = Plan {
                on_interrupt: policy,
                ..plan(&[50], 20)
            };
            order.steps[0].approve = phase == Phase::Approving;
            let signal = async {
                bench.until_phase(phase).await;
                bench.requests.send_replace(Some(Request::Interrupt));
            };
            let (end, ()) = tokio::join!(bench.drive(auto(), order.clone()), signal);
            let end = end.unwrap();
            let finishing = matches!(phase, Phase::Draining | Phase::Cleaning)
                || end.release.is_over() && end.outcome == Outcome::Promoted;
            let expected = match policy {
                _ if finishing => Outcome::Promoted,
                OnTrouble::Rollback => Outcome::RolledBack,
                OnTrouble::Hold => Outcome::Paused,
            };
            assert_eq!(
                end.outcome,
                expected,
                "{phase:?} {policy:?}\n{}",
                bench.told()
            );
            if !finishing {
                assert_eq!(end.cause, Some(Cause::Interrupt));
            }
            if expected == Outcome::Paused {
                // Hours later somebody goes on: nothing is overdue, and nothing is held against it.
                bench.wait(7200).await;
                let go_on = (phase == Phase::Approving).then_some(Request::Approve);
                bench.requests.send_replace(go_on);
                let end = bench.ends(auto(), order, Outcome::Promoted).await;
                assert_eq!(end.cause, None, "{phase:?}");
            }
            bench.wait(5).await;
            let image = if expected == Outcome::RolledBack {
                OLD
            } else {
                NEW
            };
            assert_eq!(
                (bench.image(STABLE).as_str(), bench.replicas(STABLE)),
                (image, OWN),
                "{phase:?}"
            );
            assert!(
                bench.least_ready() >= TOTAL as usize,
                "{phase:?} {policy:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_the_step_still_holds_its_time() {
    let bench = Bench::new("healthy");
    let order = Plan {
        on_interrupt: OnTrouble::Hold,
        ..plan(&[10, 50], 300)
    };
    let signal = async {
        bench.until_step(1).await;
        bench.wait(60).await;
        bench.requests.send_replace(Some(Request::Interrupt));
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), order.clone()), signal);
    assert_eq!(end.unwrap().outcome, Outcome::Paused);
    bench.wait(7200).await;
    bench.requests.send_replace(None);
    let resumed = bench.clock.now();
    bench.ends(auto(), order, Outcome::Promoted).await;
    let kinds = bench.kinds();
    let next = kinds
        .iter()
        .find(|(_, k)| {
            matches!(
                k,
                EventKind::PhaseChanged {
                    phase: Phase::Shifting,
                    step: 2,
                    ..
                }
            )
        })
        .unwrap()
        .0;
    let held = next.duration_since(resumed).as_secs();
    assert!((230..=260).contains(&held), "{held} s");
}

// === what was before the run ===

#[tokio::test(start_paused = true)]
async fn restarts_from_before_the_run_do_not_count() {
    // Crashes now and then for twenty minutes before the run; then it behaves.
    let bench = Bench::edited(
        "oom",
        &[(
            "crash: {after: 150s, oom: true}",
            "crash: {after: 30s, chance: 100%}",
        )],
    );
    bench.wait(1500).await;
    let pods = bench
        .sim
        .world()
        .store()
        .list("", "pods", "canary-release")
        .0;
    let before: u64 = pods
        .iter()
        .map(|p| {
            p["status"]["containerStatuses"][0]["restartCount"]
                .as_u64()
                .unwrap_or(0)
        })
        .sum();
    assert!(before > 3, "{before}");
    let name = pods
        .iter()
        .map(|p| p["metadata"]["name"].as_str().unwrap())
        .find(|n| n.starts_with(CANARY))
        .unwrap();
    let mut memory = canaryctl::domain::check::Memory::default();
    let sample = |restarts| canaryctl::domain::check::Reading {
        subject: name.to_owned(),
        sample: canaryctl::domain::check::Sample::Pod {
            ready: true,
            restarts,
            created: bench.clock.now(),
            ended: None,
        },
    };
    let spec = canaryctl::health::pods::default_check();
    let watching = canaryctl::domain::judge::Circumstances {
        steps: 2,
        moving: false,
        steady: true,
        now: bench.clock.now(),
        started: bench.clock.now(),
        step: 0,
        later: false,
        brake: None,
        weight: 0.1,
        next: None,
        elapsed: 0.0,
        lag: 0.0,
        patience: 0.0,
        warming: 0.0,
        witness: Witness::Source,
        load: None,
    };
    let restarts = u32::try_from(before).unwrap();
    let first = canaryctl::domain::judge::judge(&spec, &mut memory, &[sample(restarts)], watching);
    assert_eq!(
        first.verdict,
        canaryctl::domain::verdict::Verdict::Healthy,
        "{}",
        first.text
    );
    let then =
        canaryctl::domain::judge::judge(&spec, &mut memory, &[sample(restarts + 4)], watching);
    assert_eq!(
        then.verdict,
        canaryctl::domain::verdict::Verdict::Unhealthy,
        "{}",
        then.text
    );
}

// === autoscalers ===

fn bounds(bench: &Bench) -> (Value, Value, bool) {
    let hpa = bench.object("horizontalpodautoscalers", HPA).unwrap();
    let pinned = hpa["metadata"]["annotations"]
        .to_string()
        .contains("canaryctl");
    (
        hpa["spec"]["minReplicas"].clone(),
        hpa["spec"]["maxReplicas"].clone(),
        pinned,
    )
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_is_pinned_and_gets_its_bounds_back_after_a_promotion() {
    let bench = Bench::new("hpa-fights");
    let end = bench
        .ends(auto(), plan(&[10, 50, 100], 120), Outcome::Promoted)
        .await;
    assert_eq!(end.release.reasserted, 0, "{}", bench.told());
    assert_eq!(bounds(&bench), (json!(5), json!(15), false));
    assert_eq!(bench.image(STABLE), NEW);
    assert!(
        bench.least_ready() >= TOTAL as usize,
        "{}\n{}",
        bench.least_ready(),
        bench.told()
    );
    let sizes = bench.sizes(STABLE);
    let scaled: Vec<_> = sizes
        .windows(2)
        .filter(|w| w[0] == 10 && w[1] < 5 && w[1] > 0)
        .collect();
    assert!(scaled.is_empty(), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_gets_its_bounds_back_after_a_rollback() {
    let bench = Bench::new("hpa-fights");
    let operator = async {
        bench.until_step(2).await;
        assert!(bounds(&bench).2, "not pinned");
        bench.wait(60).await;
        bench.requests.send_replace(Some(Request::Rollback));
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), plan(&[10, 50, 100], 300)), operator);
    assert_eq!(
        end.unwrap().outcome,
        Outcome::RolledBack,
        "{}",
        bench.told()
    );
    assert_eq!(bounds(&bench), (json!(5), json!(15), false));
    assert_eq!(bench.replicas(CANARY), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_without_a_journal_gives_an_autoscaler_its_bounds_back() {
    let bench = Bench::new("hpa-fights");
    bench
        .ends(set("50"), plan(&[50], 20), Outcome::AtWeight)
        .await;
    assert!(bounds(&bench).2, "not pinned");
    bench.delete("configmaps", "canaryctl-payment-api");
    bench
        .ends(Intent::Rollback, plan(&[50], 20), Outcome::RolledBack)
        .await;
    assert_eq!(bounds(&bench), (json!(5), json!(15), false));
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_that_may_not_be_read_any_more_is_named_and_let_go_of_later() {
    let bench = Bench::new("hpa-fights");
    let administrator = async {
        bench.until_step(2).await;
        let rules = Rules::new("ana").deny("list", "autoscaling", "horizontalpodautoscalers");
        bench.sim.server().set_rules(rules);
        bench.wait(60).await;
        bench.requests.send_replace(Some(Request::Rollback));
    };
    let (end, ()) = tokio::join!(
        bench.drive(auto(), plan(&[10, 50, 100], 300)),
        administrator
    );
    assert_eq!(end.unwrap().outcome, Outcome::RolledBack);
    assert!(bounds(&bench).2, "let go of unseen");
    let warned = format!("pinned by this run and no longer readable: {HPA};");
    assert_eq!(bench.told().matches(&warned).count(), 1, "{}", bench.told());
    bench.sim.server().set_rules(Rules::new("ana"));
    bench
        .ends(Intent::Rollback, plan(&[50], 20), Outcome::RolledBack)
        .await;
    assert_eq!(bounds(&bench), (json!(5), json!(15), false));
    assert_eq!(bench.told().matches(&warned).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_autoscalers_are_refused_nothing_is_written() {
    let bench = Bench::new("hpa-fights");
    let before = bench.sim.world().store().version();
    let mut sitting = bench.sitting(auto(), plan(&[10], 20));
    sitting.router = json!({"hpa": "refuse"});
    let refused = bench.run(sitting).await;
    let Err(EngineError::Traffic(error)) = refused else {
        panic!("{refused:?}");
    };
    assert!(error.to_string().contains(HPA), "{error}");
    assert_eq!(bench.sim.world().store().version(), before);
}

// === two at once, and what the operator sees ===

#[tokio::test(start_paused = true)]
async fn a_promotion_and_a_release_exclude_each_other() {
    let bench = Bench::new("healthy");
    let second = async {
        bench.until_step(1).await;
        let mut sitting = bench.sitting(Intent::Promote, plan(&[10, 50], 60));
        sitting.holder = "holder-2".into();
        bench.begin(&sitting).await.map(|_| ())
    };
    let (first, second) = tokio::join!(bench.drive(auto(), plan(&[10, 50], 60)), second);
    assert!(matches!(second, Err(EngineError::Journal(_))), "{second:?}");
    assert_eq!(first.unwrap().outcome, Outcome::Promoted);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_never_takes_a_template_is_not_written_to_without_pause() {
    // Somebody's operator puts stable's template back whenever it changes.
    let bench = Bench::new("healthy");
    let old = bench.template(STABLE);
    let mut order = plan(&[100], 20);
    order.promote_timeout = Duration::from_secs(120);
    let writes = std::sync::atomic::AtomicUsize::new(0);
    let operator = async {
        bench.until_phase(Phase::PromoteTemplate).await;
        for _ in 0..4000 {
            if bench.template(STABLE) != old {
                writes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                bench.edit("deployments", STABLE, |d| {
                    d["spec"]["template"] = old.clone();
                });
            }
            bench.clock.sleep(Duration::from_millis(100)).await;
        }
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), order), operator);
    let end = end.unwrap();
    assert!(
        matches!(end.outcome, Outcome::Incomplete | Outcome::Conflict),
        "{}",
        end.text
    );
    let writes = writes.into_inner();
    assert!((1..=150).contains(&writes), "{writes}");
    assert_eq!(bench.replicas(CANARY), TOTAL);
}

#[tokio::test(start_paused = true)]
async fn a_swapped_release_is_rolled_back_while_it_is_put_away() {
    let bench = Bench::new("healthy");
    let order = with_strategy(plan(&[50], 20), Strategy::Swap, Cleanup::ScaleDown);
    let operator = async {
        bench.until_phase(Phase::PromoteShift).await;
        bench.requests.send_replace(Some(Request::Rollback));
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), order), operator);
    let end = end.unwrap();
    assert_eq!(end.outcome, Outcome::RolledBack, "{}", end.text);
    bench.wait(5).await;
    bench.is_back(OLD, OWN);
}

#[tokio::test(start_paused = true)]
async fn evidence_that_ran_out_may_be_gathered_on() {
    let bench = Bench::new("low-traffic");
    let mut order = checked(&[50], 60);
    // Of so few requests hardly anything can be proven.
    order.checks.pop();
    let half = json!({
        "name": "success rate", "path": "/metrics", "good": "body.successfulTransactions",
        "total": "body.totalTransactions", "min": "60%",
    });
    order.checks.push(check("http", &half));
    order.steps[0].deadline = Duration::from_secs(60);
    let mut sittings = 0;
    loop {
        sittings += 1;
        let end = bench.drive(auto(), order.clone()).await.unwrap();
        if end.outcome == Outcome::Promoted {
            break;
        }
        assert_eq!(end.outcome, Outcome::Paused, "{}", end.text);
        assert!(end.text.contains("needed"), "{}", end.text);
        assert!(sittings < 20, "{}", bench.told());
    }
    assert!(sittings > 1);
}

#[tokio::test(start_paused = true)]
async fn a_hold_request_leaves_the_split() {
    let bench = Bench::new("healthy");
    let operator = async {
        bench.until_step(2).await;
        bench.requests.send_replace(Some(Request::Hold));
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), plan(&[10, 50], 60)), operator);
    let end = end.unwrap();
    assert_eq!(end.outcome, Outcome::Paused);
    assert_eq!((bench.replicas(STABLE), bench.replicas(CANARY)), (5, 5));
    let mut sitting = bench.sitting(auto(), plan(&[10, 50], 60));
    sitting.goal = Goal::End;
    bench.requests.send_replace(None);
    assert_eq!(bench.run(sitting).await.unwrap().outcome, Outcome::Promoted);
}

#[tokio::test(start_paused = true)]
async fn a_load_brings_the_evidence_that_the_night_does_not() {
    let bench = Bench::new("low-traffic");
    let body =
        json!({"amount": 10, "merchant": "shop", "cardNumber": "4111111111111111"}).to_string();
    let order = Plan {
        load: Some(Load {
            rate: 5.0,
            requests: vec![LoadRequest {
                method: "POST".into(),
                path: "/api/payments".into(),
                body: Some((body, "application/json".into())),
            }],
        }),
        ..checked(&[50], 60)
    };
    bench.ends(auto(), order, Outcome::Promoted).await;
}

#[tokio::test(start_paused = true)]
async fn a_stale_run_is_taken_over_and_the_old_driver_does_not_come_back() {
    let bench = Bench::new("healthy");
    // The first driver loses the API server for four minutes, and finds another one at work, which did
    // not see its record change for a minute and a half.
    let began = bench.clock.now();
    let clock = bench.clock.clone();
    let faults = fault::Plan::new(bench.clock.clone(), move |_| {
        let age = clock.now().duration_since(began).as_secs();
        if (30..280).contains(&age) {
            Fault::RequestLost
        } else {
            Fault::None
        }
    });
    let mut first = bench.sitting(auto(), plan(&[10, 50], 120));
    first.cluster = bench.faulty(&faults);
    let second = async {
        bench.wait(150).await;
        let mut sitting = bench.sitting(auto(), plan(&[10, 50], 120));
        sitting.holder = "holder-2".into();
        bench.run(sitting).await
    };
    let (first, second) = tokio::join!(bench.run(first), second);
    assert!(
        matches!(first, Err(EngineError::Journal(JournalError::Lost(_)))),
        "{first:?}"
    );
    assert_eq!(second.unwrap().outcome, Outcome::Promoted);
    assert!(bench.least_ready() >= TOTAL as usize);
    assert_eq!(
        (bench.image(STABLE).as_str(), bench.replicas(STABLE)),
        (NEW, OWN)
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_lost_in_mid_run_does_not_end_in_a_promotion_of_the_unproven() {
    let bench = Bench::edited(
        "healthy",
        &[(
            "seed: 7",
            "seed: 7\nfaults: [{at: 100s, do: {node-lost: {node: node-1}}}]",
        )],
    );
    let end = bench.drive(auto(), plan(&[10, 50], 120)).await.unwrap();
    match end.outcome {
        Outcome::Promoted => assert_eq!(bench.image(STABLE), NEW),
        Outcome::RolledBack | Outcome::Paused => assert_eq!(bench.image(STABLE), OLD),
        other => panic!("{other:?}: {}\n{}", end.text, bench.told()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_hand_that_deletes_the_journal_does_not_stop_the_run() {
    let bench = Bench::new("healthy");
    let meddler = async {
        bench.until_step(1).await;
        bench.delete("configmaps", "canaryctl-payment-api");
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), plan(&[10, 50], 60)), meddler);
    assert_eq!(end.unwrap().outcome, Outcome::Promoted);
    assert_eq!(bench.record().await.ending, Some(Outcome::Promoted));
}

#[tokio::test(start_paused = true)]
async fn a_stable_that_is_deleted_is_a_conflict_in_every_direction() {
    let bench = Bench::new("healthy");
    let meddler = async {
        bench.until_step(2).await;
        bench.delete("deployments", STABLE);
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), plan(&[10, 50], 60)), meddler);
    let end = end.unwrap();
    assert_eq!(end.outcome, Outcome::Conflict);
    assert!(
        end.text.contains("payment-api-stable is gone"),
        "{}",
        end.text
    );
    // The canary keeps what it has: it is all there is.
    assert_eq!(bench.replicas(CANARY), 5);
}
