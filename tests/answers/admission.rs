//! Admission that rewrites what a run writes: what was stored is what is released.

use std::{sync::Mutex, time::Duration};

use canaryctl::{
    domain::{
        event::EventKind,
        plan::{Cleanup, OnTrouble, Plan, Strategy},
        release::{Cause, Outcome, Phase},
    },
    engine::start::{Begun, Intent},
    sim::{
        api::Admission,
        fault::{self, Fault},
    },
};
use http::Method;
use serde_json::{Value, json};

use crate::support::{Bench, CANARY, OWN, STABLE, auto, auto_image, plan, with_strategy};

const OLD: &str = "registry.example/payment-api:1.5.0";
const ORDERED: &str = "registry.example/payment-api:2.1.0";
const MIRRORED: &str = "mirror.example/payment-api:2.1.0";

/// What admission does to the pod template of a Deployment with this name.
type Rewrite = fn(&str, &mut Value);

fn mirror(_: &str, template: &mut Value) {
    for container in template["spec"]["containers"].as_array_mut().unwrap() {
        let image = container["image"].as_str().unwrap();
        let image = image.replace(
            "registry.example/payment-api:2",
            "mirror.example/payment-api:2",
        );
        container["image"] = json!(image);
    }
}

/// A sidecar, once.
fn sidecar(_: &str, template: &mut Value) {
    let containers = template["spec"]["containers"].as_array_mut().unwrap();
    if containers.iter().all(|c| c["name"] != "proxy") {
        containers.push(json!({
            "name": "proxy", "image": "mesh.example/proxy:1", "imagePullPolicy": "IfNotPresent",
            "resources": {}, "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        }));
    }
}

/// Something that is different on each side, over what the other side has.
fn named(name: &str, template: &mut Value) {
    template["metadata"]["annotations"]["policy.example/for"] = json!(name);
}

fn admitting(rewrite: Rewrite) -> Bench {
    let bench = Bench::new("healthy");
    install(&bench, rewrite);
    bench
}

fn install(bench: &Bench, rewrite: Rewrite) {
    let admission = Admission::new(move |key, object, old| {
        // As webhooks are told to: only where the template changes.
        let changed = old.is_none_or(|old| old["spec"]["template"] != object["spec"]["template"]);
        if key.resource == "deployments" && changed {
            rewrite(&key.name, &mut object["spec"]["template"]);
        }
        Ok(())
    });
    bench.sim.server().set_admission(Some(admission));
}

fn short() -> Plan {
    plan(&[50], 10)
}

#[tokio::test(start_paused = true)]
async fn an_image_that_admission_rewrites_is_released_as_it_was_stored() {
    let bench = admitting(mirror);
    let end = bench
        .ends(auto_image(ORDERED), short(), Outcome::Promoted)
        .await;
    assert_eq!(bench.image(STABLE), MIRRORED);
    assert_eq!(end.release.canary_images["payment-api"], MIRRORED);
    let said = format!(
        "admission changed the image of container payment-api from {ORDERED} to {MIRRORED}"
    );
    assert_eq!(bench.told().matches(&said).count(), 1, "{}", bench.told());
    // The same order again is no other version.
    let again = bench
        .begin(&bench.sitting(auto_image(ORDERED), short()))
        .await;
    assert!(matches!(again, Ok(Begun::Nothing(_))));
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_that_admission_adds_is_part_of_the_version() {
    let bench = admitting(sidecar);
    bench
        .ends(auto_image(ORDERED), short(), Outcome::Promoted)
        .await;
    assert!(
        bench.was_told("admission added container proxy"),
        "{}",
        bench.told()
    );
    let containers = &bench.template(STABLE)["spec"]["containers"];
    assert_eq!(containers[1]["name"], "proxy");
}

#[tokio::test(start_paused = true)]
async fn what_admission_makes_of_stable_is_what_is_compared_later() {
    for strategy in [Strategy::Template, Strategy::Image] {
        let bench = admitting(named);
        let order = with_strategy(short(), strategy, Cleanup::ScaleDown);
        let end = bench
            .ends(auto_image(ORDERED), order, Outcome::Promoted)
            .await;
        assert_eq!(bench.image(STABLE), ORDERED, "{}", end.text);
        let note = &bench.template(STABLE)["metadata"]["annotations"]["policy.example/for"];
        assert_eq!(note, STABLE);
    }
}

#[tokio::test(start_paused = true)]
async fn stable_gets_its_old_version_back_as_admission_stores_it() {
    let bench = Bench::new("healthy");
    let meddler = async {
        bench.until_phase(Phase::PromoteTemplate).await;
        install(&bench, named);
        bench.until_phase(Phase::PromoteCheck).await;
        let request = canaryctl::domain::decide::Request::Rollback;
        bench.requests.send_replace(Some(request));
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), short()), meddler);
    let end = end.unwrap();
    assert_eq!(
        end.outcome,
        Outcome::RolledBack,
        "{}\n{}",
        end.text,
        bench.told()
    );
    bench.wait(30).await;
    bench.is_back(OLD, OWN);
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_is_made_is_taken_as_it_was_stored() {
    for rewrite in [mirror as Rewrite, sidecar, named] {
        let bench = admitting(rewrite);
        bench.delete("deployments", CANARY);
        bench.wait(5).await;
        let end = bench
            .ends(auto_image(ORDERED), short(), Outcome::Promoted)
            .await;
        assert!(
            bench.was_told("admission "),
            "{}\n{}",
            end.text,
            bench.told()
        );
    }
}

/// Drives a release whose process dies at the first write of the canary's template, after it was
/// carried out; another one ends it.
async fn killed_after_the_write(rewrite: Rewrite, made: bool) -> Bench {
    let bench = admitting(rewrite);
    if made {
        bench.delete("deployments", CANARY);
        bench.wait(5).await;
    }
    bench.wait(5).await;
    let faults = fault::Plan::new(bench.clock.clone(), move |call| {
        let write = *call.method == Method::PATCH && call.path.ends_with(CANARY)
            || *call.method == Method::POST && call.path.ends_with("/deployments");
        if write {
            Fault::CrashAfter
        } else {
            Fault::None
        }
    });
    let mut sitting = bench.sitting(auto_image(ORDERED), short());
    sitting.cluster = bench.faulty(&faults);
    tokio::select! {
        end = bench.run(sitting) => panic!("{end:?}"),
        () = faults.crash() => {}
    }
    bench.wait(95).await;
    let mut sitting = bench.sitting(auto(), short());
    sitting.holder = "holder-2".into();
    let end = bench.run(sitting).await.unwrap();
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
async fn a_kill_between_the_write_and_the_record_ends_the_same() {
    for rewrite in [mirror as Rewrite, sidecar, named] {
        for made in [false, true] {
            let bench = killed_after_the_write(rewrite, made).await;
            let undisturbed = admitting(rewrite);
            if made {
                undisturbed.delete("deployments", CANARY);
                undisturbed.wait(5).await;
            }
            undisturbed
                .ends(auto_image(ORDERED), short(), Outcome::Promoted)
                .await;
            assert_eq!(bench.template(STABLE), undisturbed.template(STABLE));
            let (one, other) = (bench.record().await, undisturbed.record().await);
            assert_eq!(one.revision, other.revision);
            assert_eq!(one.canary_images, other.canary_images);
            assert_eq!(one.stored.promoted, other.stored.promoted);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_version_is_not_taken_for_a_rewriting() {
    // After our write, within the same second, before the next look.
    let bench = admitting(sidecar);
    let meddler = async {
        while bench.image(CANARY) != ORDERED {
            bench.clock.sleep(Duration::from_millis(20)).await;
        }
        bench.edit("deployments", CANARY, |d| {
            d["spec"]["template"]["metadata"]["annotations"]["by"] = json!("hand");
        });
    };
    let (end, ()) = tokio::join!(bench.drive(auto_image(ORDERED), short()), meddler);
    let end = end.unwrap();
    assert_eq!(
        end.outcome,
        Outcome::Conflict,
        "{}\n{}",
        end.text,
        bench.told()
    );
    assert!(end.text.contains("kubectl-edit"), "{}", end.text);
    assert_eq!(bench.image(STABLE), OLD);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_admission_turns_back_is_not_released() {
    fn pinned(_: &str, template: &mut Value) {
        template["spec"] = STABLE_SPEC.lock().unwrap().clone();
    }
    static STABLE_SPEC: Mutex<Value> = Mutex::new(Value::Null);
    let bench = Bench::new("healthy");
    bench.delete("deployments", CANARY);
    bench.wait(5).await;
    *STABLE_SPEC.lock().unwrap() = bench.template(STABLE)["spec"].clone();
    install(&bench, |name, template| {
        // All but what tells the two sides apart.
        let env = template["spec"]["containers"][0]["env"].clone();
        pinned(name, template);
        if !env.is_null() {
            template["spec"]["containers"][0]["env"] = env;
        }
    });
    let end = bench.drive(auto_image(ORDERED), short()).await.unwrap();
    assert_eq!(
        end.outcome,
        Outcome::RolledBack,
        "{}\n{}",
        end.text,
        bench.told()
    );
    assert!(end.text.contains("with the version that"), "{}", end.text);
}

#[tokio::test(start_paused = true)]
async fn a_template_that_a_policy_denies_takes_the_canary_out_after_a_minute() {
    let bench = Bench::new("healthy");
    let admission = Admission::new(|key, object, _| {
        let image = &object["spec"]["template"]["spec"]["containers"][0]["image"];
        if key.resource == "deployments" && image == ORDERED {
            return Err("images come from mirror.example".to_owned());
        }
        Ok(())
    });
    bench.sim.server().set_admission(Some(admission));
    let end = bench.drive(auto_image(ORDERED), short()).await.unwrap();
    assert_eq!(
        end.outcome,
        Outcome::RolledBack,
        "{}\n{}",
        end.text,
        bench.told()
    );
    assert_eq!(end.cause, Some(Cause::Refused));
    assert!(
        end.text.contains("images come from mirror.example"),
        "{}",
        end.text
    );
    // Where the plan leaves it to a person nothing is live, and that is an error of the order.
    let bench = Bench::new("healthy");
    bench.delete("deployments", CANARY);
    bench.wait(5).await;
    let admission = Admission::new(|key, _, _| match key.resource.as_str() {
        "deployments" => Err("no".to_owned()),
        _ => Ok(()),
    });
    bench.sim.server().set_admission(Some(admission));
    let order = Plan {
        on_failure: OnTrouble::Hold,
        ..short()
    };
    let end = bench.drive(auto_image(ORDERED), order).await;
    assert!(end.is_err(), "{end:?}");
    let warned = |k: &EventKind| matches!(k, EventKind::Warning { .. });
    assert!(!bench.kinds().iter().any(|(_, k)| warned(k)));
    let rollback = bench.begin(&bench.sitting(Intent::Rollback, short())).await;
    assert!(rollback.is_ok());
}

#[tokio::test(start_paused = true)]
async fn stable_is_not_labelled_where_admission_would_restart_it() {
    let bench = Bench::new("healthy");
    let admission = Admission::new(|key, object, _| {
        if key.resource == "deployments" && key.name == STABLE {
            sidecar(STABLE, &mut object["spec"]["template"]);
        }
        Ok(())
    });
    bench.sim.server().set_admission(Some(admission));
    let before = bench.template(STABLE);
    let plan = Plan {
        on_interrupt: OnTrouble::Hold,
        ..short()
    };
    bench
        .ends(Intent::Set("50".parse().unwrap()), plan, Outcome::AtWeight)
        .await;
    assert_eq!(bench.template(STABLE), before);
    assert!(
        bench.was_told("admission would change its pod template"),
        "{}",
        bench.told()
    );
    bench
        .ends(Intent::Rollback, short(), Outcome::RolledBack)
        .await;
    assert_eq!(bench.template(STABLE), before);
}
