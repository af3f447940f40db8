//! What is written in the cluster is state, never instruction: forged, edited, replayed and unusable
//! records, and approvals. One test for each row of docs/security.md that is about them.

use std::{sync::Arc, time::Duration};

use canaryctl::{
    domain::{
        decide::{Goal, Request},
        event::EventKind,
        plan::{OnTrouble, Plan},
        release::{Outcome, Phase},
        verdict::{Unknown, Verdict},
    },
    engine::{EngineError, start::Intent},
    journal::{JournalError, approve, name},
    sim::fault::{self, Fault},
};
use http::Method;
use serde_json::{Value, json};

use crate::support::{APP, Bench, CANARY, OWN, STABLE, TOTAL, auto, check, plan, restart, set};

const OLD: &str = "registry.example/payment-api:1.5.0";
const JOURNAL: &str = "canaryctl-payment-api";

/// What somebody does to an object.
type Edit = fn(&mut Value);
const APPROVAL: &str = "canaryctl-payment-api-approval";

/// The page names a test in each row; what it names is there.
#[test]
fn the_tests_that_the_page_names_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let page = text("docs/security.md");
    let named = regex::Regex::new(r"`(\w+)::(\w+)`").unwrap();
    let mut count = 0;
    for (_, [file, name]) in named.captures_iter(&page).map(|found| found.extract()) {
        let places = [
            format!("tests/{file}.rs"),
            format!("tests/live/suite/{file}.rs"),
        ];
        let is_test = |place: &String| text(place).contains(&format!("fn {name}("));
        let is_file = root.join(format!("tests/{file}/{name}.rs")).is_file();
        // Some rows name a file of tests.
        assert!(places.iter().any(is_test) || is_file, "{file}::{name}");
        count += 1;
    }
    assert!(count > 15, "{count}");
}

/// Changes the latest run in the record, as whoever may write ConfigMaps can.
fn forge(bench: &Bench, change: impl FnOnce(&mut Value)) {
    bench.edit("configmaps", JOURNAL, |map| {
        let text = map["data"]["release.json"].as_str().unwrap();
        let mut release: Value = serde_json::from_str(text).unwrap();
        change(&mut release);
        map["data"]["release.json"] = json!(release.to_string());
    });
}

/// A plan that leaves the split when its process is told to end.
fn patient(weights: &[u32]) -> Plan {
    Plan {
        on_interrupt: OnTrouble::Hold,
        ..plan(weights, 20)
    }
}

/// A release that was left at 25 % by its driver.
async fn left_at_25() -> Bench {
    let bench = Bench::new("healthy");
    let mut sitting = bench.sitting(auto(), patient(&[25, 50, 100]));
    sitting.goal = Goal::Step(1);
    bench.run(sitting).await.unwrap();
    assert!(bench.record().await.plan.steps.len() == 3);
    bench
}

fn refused(outcome: &Result<canaryctl::engine::End, EngineError>) -> &str {
    match outcome {
        Err(EngineError::Refused { text, .. }) => text,
        other => panic!("{other:?}"),
    }
}

// === records that no driver wrote ===

#[tokio::test(start_paused = true)]
async fn a_forged_step_is_not_resumed_and_does_not_stop_a_rollback() {
    for forgery in [
        |release: &mut Value| release["step"] = json!(2),
        |release: &mut Value| release["phase"] = json!("promote-template"),
        |release: &mut Value| release["revision"] = json!("0123456789abcdef"),
        |release: &mut Value| release["plan"]["steps"] = json!([]),
        |release: &mut Value| release["approved"] = json!(true),
        |release: &mut Value| release["stable"] = json!(CANARY),
    ] {
        let bench = left_at_25().await;
        forge(&bench, forgery);
        let before = (bench.replicas(STABLE), bench.replicas(CANARY));
        let outcome = bench.drive(auto(), patient(&[25, 50, 100])).await;
        let text = refused(&outcome);
        assert!(text.contains("is not authentic"), "{text}");
        let promoted = bench.drive(Intent::Promote, patient(&[25, 50, 100])).await;
        assert!(refused(&promoted).contains("is not authentic"));
        assert_eq!((bench.replicas(STABLE), bench.replicas(CANARY)), before);
        bench
            .ends(Intent::Rollback, plan(&[25], 20), Outcome::RolledBack)
            .await;
        bench.wait(5).await;
        bench.is_back(OLD, TOTAL);
    }
}

#[tokio::test(start_paused = true)]
async fn a_forged_router_scales_nothing_else() {
    let bench = left_at_25().await;
    forge(&bench, |release| {
        release["router"] = json!({"name": "pointer", "options": {
            "apiVersion": "apps/v1", "kind": "Deployment", "name": "other",
            "stable": "/spec/replicas", "canary": "/spec/minReadySeconds", "total": 100,
        }});
    });
    let end = bench
        .ends(Intent::Rollback, plan(&[25], 20), Outcome::RolledBack)
        .await;
    assert_eq!(end.release.router.name, "replicas");
    assert!(bench.was_told("is not authentic"), "{}", bench.told());
    bench.wait(5).await;
    bench.is_back(OLD, TOTAL);
}

#[tokio::test(start_paused = true)]
async fn a_record_of_another_run_or_an_old_one_is_not_resumed() {
    let bench = Bench::new("healthy");
    let somebody = async {
        bench.until_step(1).await;
        bench.wait(3).await;
        let old = bench.object("configmaps", JOURNAL).unwrap();
        bench.requests.send_replace(Some(Request::Rollback));
        old
    };
    let (end, old) = tokio::join!(bench.drive(auto(), patient(&[25, 50, 100])), somebody);
    assert_eq!(end.unwrap().outcome, Outcome::RolledBack);
    bench.requests.send_replace(None);
    let put_back = |bench: &Bench| {
        let data = old["data"].clone();
        bench.edit("configmaps", JOURNAL, |map| map["data"] = data);
    };
    // Of the same run, before it was rolled back.
    put_back(&bench);
    let outcome = bench.drive(auto(), patient(&[25, 50, 100])).await;
    assert!(
        refused(&outcome).contains("an old record of this run"),
        "{outcome:?}"
    );
    // Of the run before.
    bench.wait(5).await;
    let mut sitting = bench.sitting(restart(), patient(&[25, 50, 100]));
    sitting.goal = Goal::Step(1);
    bench.run(sitting).await.unwrap();
    put_back(&bench);
    let outcome = bench.drive(auto(), patient(&[25, 50, 100])).await;
    assert!(refused(&outcome).contains("belongs to run"), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_record_does_not_count_for_a_deployment_made_anew() {
    let bench = left_at_25().await;
    bench.edit("deployments", STABLE, |d| {
        let labels = d["metadata"]["labels"].as_object_mut().unwrap();
        labels.insert("canaryctl.dev/run-uid".into(), json!("another"));
    });
    let outcome = bench.drive(auto(), patient(&[25, 50, 100])).await;
    assert!(refused(&outcome).contains("no valid label"), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn an_authentic_record_is_resumed_and_its_history_stays_proven() {
    let bench = left_at_25().await;
    let mut sitting = bench.sitting(auto(), patient(&[25, 50, 100]));
    sitting.holder = "holder-2".into();
    let end = bench.run(sitting).await.unwrap();
    assert_eq!(end.outcome, Outcome::Promoted, "{}", bench.told());
    let map = bench.object("configmaps", JOURNAL).unwrap();
    let past = map["data"]["history.json"].as_str().unwrap();
    assert!(!past.contains("unproven"), "{past}");
    // The canary that the next release makes of stable carries nothing of the run.
    let labels = &bench.deployment(STABLE)["metadata"]["labels"];
    let run = labels["canaryctl.dev/run"].as_str().unwrap();
    assert!(run.rsplit_once('.').unwrap().1 == "over", "{labels}");
}

// === what checks ask ===

#[tokio::test(start_paused = true)]
async fn what_a_check_asks_outside_is_given_here_or_not_asked() {
    let folder = std::env::temp_dir().join(format!("canaryctl-trust-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let trace = folder.join("ran");
    let smoke = |trace: &std::path::Path| {
        let script = format!("touch {}", trace.display());
        check(
            "command",
            &json!({"name": "smoke", "run": ["sh", "-c", script]}),
        )
    };
    let bench = Bench::new("healthy");
    let mut with = patient(&[25, 50, 100]);
    with.checks.push(smoke(&folder.join("own")));
    let mut sitting = bench.sitting(auto(), with);
    sitting.goal = Goal::Step(1);
    bench.run(sitting).await.unwrap();
    let map = bench.object("configmaps", JOURNAL).unwrap();
    let text = map["data"]["release.json"].as_str().unwrap();
    assert!(
        text.contains("\"smoke\"") && !text.contains("touch"),
        "{text}"
    );

    // Somebody writes the check into the record.
    let options = smoke(&trace).options;
    forge(&bench, |release| {
        let checks = release["plan"]["checks"].as_array_mut().unwrap();
        checks.last_mut().unwrap()["options"] = options;
    });
    let outcome = bench.drive(auto(), patient(&[25, 50, 100])).await;
    assert!(outcome.is_err(), "{outcome:?}");
    assert!(!trace.exists());

    // Nobody gave it to this process: it has no answer, and the release waits for one.
    let bench = Bench::new("healthy");
    let mut with = patient(&[25, 50, 100]);
    with.checks.push(smoke(&folder.join("own")));
    let mut sitting = bench.sitting(auto(), with);
    sitting.goal = Goal::Step(1);
    bench.run(sitting).await.unwrap();
    std::fs::remove_file(folder.join("own")).unwrap();
    let mut bare = patient(&[25, 50, 100]);
    bare.on_unknown = OnTrouble::Hold;
    let end = bench.drive(auto(), bare).await.unwrap();
    assert_eq!(
        end.outcome,
        Outcome::Paused,
        "{}\n{}",
        end.text,
        bench.told()
    );
    let last = bench.results("smoke").pop().unwrap();
    assert_eq!(last.verdict, Verdict::Unknown);
    assert_eq!(last.unknown, Some(Unknown::NotEvaluated));
    assert!(last.text.contains("needs -f canary.yaml"), "{}", last.text);
    assert!(!folder.join("own").exists());
    std::fs::remove_dir_all(&folder).unwrap();
}

// === edits while a run goes ===

/// Runs a release beside which somebody edits the journal at the first step, and expects it promoted.
async fn promoted_in_spite_of(edit: impl FnOnce(&Bench)) -> Bench {
    let bench = Bench::new("healthy");
    let somebody = async {
        bench.until_step(1).await;
        bench.wait(3).await;
        edit(&bench);
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), patient(&[25, 50])), somebody);
    let end = end.unwrap_or_else(|e| panic!("{e}\n{}", bench.told()));
    assert_eq!(
        end.outcome,
        Outcome::Promoted,
        "{}\n{}",
        end.text,
        bench.told()
    );
    bench
}

#[tokio::test(start_paused = true)]
async fn a_label_on_the_journal_is_no_takeover() {
    let bench = promoted_in_spite_of(|bench| {
        bench.edit("configmaps", JOURNAL, |map| {
            map["metadata"]["labels"]["team"] = json!("payments");
            map["metadata"]["annotations"] = json!({"note": "seen"});
        });
    })
    .await;
    assert!(!bench.was_told("is rewritten"), "{}", bench.told());
}

#[tokio::test(start_paused = true)]
async fn garbage_and_forgeries_in_mid_run_are_told_and_written_anew() {
    let bench = promoted_in_spite_of(|bench| {
        bench.edit("configmaps", JOURNAL, |map| {
            map["data"]["release.json"] = json!("{]");
        });
    })
    .await;
    assert!(bench.was_told("is rewritten"), "{}", bench.told());
    let bench = promoted_in_spite_of(|bench| {
        forge(bench, |release| {
            release["holder"]["id"] = json!("somebody");
            release["step"] = json!(1);
        });
    })
    .await;
    assert!(
        bench.was_told("not by a driver of this run"),
        "{}",
        bench.told()
    );
    let bench = promoted_in_spite_of(|bench| bench.delete("configmaps", JOURNAL)).await;
    assert!(bench.object("configmaps", JOURNAL).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_cannot_sign_is_obeyed_by_the_driver() {
    let bench = Bench::new("healthy");
    let somebody = async {
        bench.until_step(1).await;
        bench.wait(3).await;
        forge(&bench, |release| {
            release["holder"]["id"] = json!("on-call");
            release["holder"]["who"] = json!("ana@laptop");
            release["phase"] = json!("rolling-back");
        });
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), patient(&[25, 50])), somebody);
    let end = end.unwrap();
    assert_eq!(end.outcome, Outcome::RolledBack, "{}", bench.told());
    assert!(
        bench.was_told("ana@laptop asks for a rollback"),
        "{}",
        bench.told()
    );
    bench.wait(5).await;
    bench.is_back(OLD, OWN);
}

// === a rollback whatever becomes of the journal ===

#[tokio::test(start_paused = true)]
async fn a_rollback_moves_traffic_though_the_journal_cannot_be_written() {
    for status in [400, 403, 404, 409, 413, 422, 500, 503] {
        let bench = Bench::new("healthy");
        bench
            .ends(set("50"), plan(&[50], 20), Outcome::AtWeight)
            .await;
        let faults = fault::Plan::new(bench.clock.clone(), move |call| {
            let write = *call.method != Method::GET && call.path.contains("/configmaps");
            if write {
                Fault::Status(status, None)
            } else {
                Fault::None
            }
        });
        let mut sitting = bench.sitting(Intent::Rollback, plan(&[50], 20));
        sitting.cluster = bench.faulty(&faults);
        let begun = bench.clock.now();
        let end = bench.run(sitting).await;
        let end = end.unwrap_or_else(|e| panic!("{status}: {e}\n{}", bench.told()));
        assert_eq!(
            end.outcome,
            Outcome::RolledBack,
            "{status}: {}",
            bench.told()
        );
        assert!(
            bench.was_told("without the journal"),
            "{status}: {}",
            bench.told()
        );
        let spent = bench.clock.now().duration_since(begun).as_secs();
        assert!(spent < 120, "{status}: {spent} s\n{}", bench.told());
        bench.wait(5).await;
        bench.is_back(OLD, OWN);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_passes_over_an_immutable_journal_and_somebody_elses() {
    // What can be read knows stable's own number; without it no pod is given up.
    let edits: [(Edit, u32); 2] = [
        (|map| map["immutable"] = json!(true), OWN),
        (
            |map| {
                map["data"] = json!({"settings": "of another program"});
                map["metadata"]["labels"] = json!({});
            },
            TOTAL,
        ),
    ];
    for (edit, pods) in edits {
        let bench = Bench::new("healthy");
        bench
            .ends(set("50"), plan(&[50], 20), Outcome::AtWeight)
            .await;
        bench.edit("configmaps", JOURNAL, edit);
        let kept = bench.object("configmaps", JOURNAL).unwrap();
        bench
            .ends(Intent::Rollback, plan(&[50], 20), Outcome::RolledBack)
            .await;
        bench.wait(5).await;
        bench.is_back(OLD, pods);
        let there = bench.object("configmaps", JOURNAL).unwrap();
        assert_eq!(kept["data"], there["data"]);
    }
}

/// The record of the run is still there as it was. What became of the run is at the Deployment.
#[tokio::test(start_paused = true)]
async fn a_rollback_without_the_journal_is_not_undone_by_the_next_release() {
    let bench = left_at_25().await;
    let faults = fault::Plan::new(bench.clock.clone(), move |call| {
        let write = *call.method != Method::GET && call.path.contains("/configmaps");
        if write {
            Fault::Status(403, None)
        } else {
            Fault::None
        }
    });
    let mut sitting = bench.sitting(Intent::Rollback, patient(&[25, 50, 100]));
    sitting.cluster = bench.faulty(&faults);
    assert_eq!(
        bench.run(sitting).await.unwrap().outcome,
        Outcome::RolledBack
    );
    bench.requests.send_replace(None);
    bench.wait(5).await;
    bench.is_back(OLD, OWN);
    let outcome = bench.drive(auto(), patient(&[25, 50, 100])).await;
    assert!(
        refused(&outcome).contains("an old record of this run"),
        "{outcome:?}"
    );
    bench.is_back(OLD, OWN);
}

#[test]
fn the_longest_name_of_an_app_has_a_journal() {
    let app = "a".repeat(253);
    for name in [name::config_map(&app), name::approval(&app)] {
        assert!(name.len() <= 253, "{}", name.len());
    }
}

// === approvals ===

/// A run that waits for a person after its first step, and how it goes on beside what a person does.
async fn approved_by(person: impl AsyncFnOnce(&Bench)) -> Bench {
    let bench = Bench::new("healthy");
    let mut order = patient(&[25, 50]);
    order.steps[0].approve = true;
    let somebody = async {
        bench.until_phase(Phase::Approving).await;
        bench.wait(20).await;
        person(&bench).await;
    };
    let run = bench.clock.timeout(
        Duration::from_secs(1200),
        Box::pin(bench.drive(auto(), order)),
    );
    let (_, ()) = tokio::join!(run, somebody);
    bench
}

#[tokio::test(start_paused = true)]
async fn the_step_that_waits_is_approved_once() {
    let bench = approved_by(async |bench: &Bench| {
        let step = approve::grant(&bench.cluster(), APP, "ana@laptop").await;
        assert_eq!(step.unwrap(), 1);
    })
    .await;
    assert_eq!(bench.record().await.ending, Some(Outcome::Promoted));
    let again = approve::grant(&bench.cluster(), APP, "ana@laptop").await;
    assert!(again.is_err_and(|error| approve::is_idle(&error)));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_made_up_approves_nothing() {
    let bench = approved_by(async |bench: &Bench| {
        bench.edit("configmaps", APPROVAL, |map| {
            map["data"]["approved"] = json!("made up");
            map["data"]["token"] = json!("made up");
        });
    })
    .await;
    let release = bench.record().await;
    assert_eq!(release.phase, Phase::Approving, "{}", bench.told());
    // The driver has opened the gate again, with its own token.
    let map = bench.object("configmaps", APPROVAL).unwrap();
    assert_eq!(map["data"]["token"], json!(release.gate.unwrap().token));
    assert_eq!(map["data"]["approved"], Value::Null);
}

/// Who may write ConfigMaps may write the approval, too: that is said, and no more than that.
#[tokio::test(start_paused = true)]
async fn who_may_write_configmaps_approves_the_step_that_waits() {
    let bench = approved_by(async |bench: &Bench| {
        bench.edit("configmaps", APPROVAL, |map| {
            map["data"]["approved"] = map["data"]["token"].clone();
            map["data"]["by"] = json!("\u{1b}[2Jmallory");
        });
    })
    .await;
    assert_eq!(bench.record().await.ending, Some(Outcome::Promoted));
    // Written into the record of the run instead, nothing is approved.
    let bench = approved_by(async |bench: &Bench| {
        forge(bench, |release| {
            release["approved"] = json!(true);
            release["phase"] = json!("shifting");
            release["step"] = json!(1);
        });
    })
    .await;
    let release = bench.record().await;
    assert_eq!((release.phase, release.step), (Phase::Approving, 0));
    assert!(bench.was_told("is rewritten"), "{}", bench.told());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_approved_ahead_of_its_time() {
    let bench = left_at_25().await;
    let early = approve::grant(&bench.cluster(), APP, "ana@laptop").await;
    assert!(early.is_err_and(|error| approve::is_idle(&error)));
    assert!(bench.object("configmaps", APPROVAL).is_none());
}

// === looking ===

#[tokio::test(start_paused = true)]
async fn a_look_shows_a_doubtful_record_as_such() {
    let bench = left_at_25().await;
    let journals = canaryctl::journal::all(&bench.cluster(), false)
        .await
        .unwrap();
    assert_eq!(journals.saved[0].doubt(), None);
    forge(&bench, |release| release["step"] = json!(2));
    let journals = canaryctl::journal::all(&bench.cluster(), false)
        .await
        .unwrap();
    assert!(journals.saved[0].doubt().is_some());
    bench.edit("configmaps", JOURNAL, |map| {
        map["data"]["release.json"] = json!("{]");
    });
    let journals = canaryctl::journal::all(&bench.cluster(), true)
        .await
        .unwrap();
    assert!(journals.saved.is_empty());
    assert!(matches!(
        journals.damaged.as_slice(),
        [(_, JournalError::Damaged { .. })]
    ));
    let warned = |e: &EventKind| matches!(e, EventKind::Warning { .. });
    let told: Arc<_> = bench.events.clone();
    assert!(!told.lock().unwrap().iter().any(|e| warned(&e.kind)));
}
