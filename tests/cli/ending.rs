//! The last lines of a run that cannot go on: which split is live, and the command that ends it.

use std::{sync::Arc, time::Duration};

use canaryctl::{
    clock::Clock,
    sim::{
        SimCluster,
        api::Rules,
        scenario::{Scenario, parse_objects},
        store::Key,
    },
};
use insta::assert_snapshot;

use super::{Console, NOW, RELEASE, Ran, refusals::Folder};

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
    assert_snapshot!(ran.text(), @r#"
    $ canaryctl auto payment-api -n canary-release --steps 50 --hold 30m
    exit 5
    --- stdout
    09:03:34Z  PAUSED with the split live after 2m34s: cannot read Deployment
               canary-release/payment-api-stable: deployments.apps "payment-api-stable" is forbidden:
               User "dev" cannot get resource "deployments" in API group "apps" in the namespace
               "canary-release"; tried again for 1m of the same refusal; payment-api-canary had 50% of
               the traffic at 09:02:24Z
               weights  10% → 50%
               was      at 09:01:14Z: stable 50% on 5 ready pods, canary 50% on 5 ready pods
               next     canaryctl status payment-api -n canary-release
               undo     canaryctl rollback payment-api -n canary-release
    --- stderr
    warning: nothing but the pods is checked (plan of payment-api)
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    09:01:00Z  started      run 20260105-090100: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 50%
    09:01:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:01:00Z  step 1 of 1  moving traffic to 50%
    09:01:00Z  apply        scale payment-api-canary from 1 to 5
    09:01:01Z  waiting      payment-api-canary: 1/5 pods ready (ContainerCreating)
    09:01:03Z  waiting      payment-api-canary: 1/5 pods ready
    09:01:10Z  ? unknown    pods: 2 of 5 ready, 0 restarts
    09:01:10Z  apply        scale payment-api-stable from 9 to 8
    09:01:11Z  apply        scale payment-api-stable from 8 to 7
    09:01:12Z  apply        scale payment-api-stable from 7 to 6
    09:01:13Z  apply        scale payment-api-stable from 6 to 5
    09:01:14Z  reached      canary at 50% (5 of 10 pods)
    09:01:14Z  step 1 of 1  watching at 50%
    09:01:14Z  ✓ healthy    pods: 5 of 5 ready, 0 restarts
    09:01:14Z  waiting      30m more at 50%
    09:02:14Z  waiting      29m more at 50% (for 1m00s)
    09:02:34Z  waiting      cannot read Deployment canary-release/payment-api-stable: deployments.apps
                            "payment-api-stable" is forbidden: User "dev" cannot get resource
                            "deployments" in API group "apps" in the namespace "canary-release"; tries
                            again until 1m of the same refusal are over
    "#);
}

#[tokio::test(start_paused = true)]
async fn writes_that_are_refused_on_the_way_back_call_somebody() {
    let rules = Rules::new("dev").deny("*", "", "configmaps");
    let rules = rules.deny("patch", "apps", "deployments/scale");
    let ran = cut_off(rules).await;
    assert_snapshot!(ran.text(), @r#"
    $ canaryctl auto payment-api -n canary-release --steps 50 --hold 30m
    exit 6
    --- stdout
    09:04:35Z  INCOMPLETE after 3m35s: cannot scale Deployment canary-release/payment-api-stable:
               deployments.apps "payment-api-stable" is forbidden: User "dev" cannot patch resource
               "deployments/scale" in API group "apps" in the namespace "canary-release"; tried again
               for 1m of the same refusal; payment-api-canary had 50% of the traffic at 09:04:35Z
               page     on-call: this could not be finished or verified
               weights  10% → 50%
               was      at 09:01:14Z: stable 50% on 5 ready pods, canary 50% on 5 ready pods
               next     canaryctl rollback payment-api -n canary-release
    --- stderr
    warning: nothing but the pods is checked (plan of payment-api)
    cluster simulated, namespace canary-release
    found Deployments payment-api-stable and payment-api-canary by name
    found Service payment-api-service by name and selector
    found router replicas: Service payment-api-service selects the pods of both Deployments
    09:01:00Z  started      run 20260105-090100: registry.example/payment-api:1.5.0 →
                            registry.example/payment-api:2.0.0, steps 50%
    09:01:00Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:01:00Z  step 1 of 1  moving traffic to 50%
    09:01:00Z  apply        scale payment-api-canary from 1 to 5
    09:01:01Z  waiting      payment-api-canary: 1/5 pods ready (ContainerCreating)
    09:01:03Z  waiting      payment-api-canary: 1/5 pods ready
    09:01:10Z  ? unknown    pods: 2 of 5 ready, 0 restarts
    09:01:10Z  apply        scale payment-api-stable from 9 to 8
    09:01:11Z  apply        scale payment-api-stable from 8 to 7
    09:01:12Z  apply        scale payment-api-stable from 7 to 6
    09:01:13Z  apply        scale payment-api-stable from 6 to 5
    09:01:14Z  reached      canary at 50% (5 of 10 pods)
    09:01:14Z  step 1 of 1  watching at 50%
    09:01:14Z  ✓ healthy    pods: 5 of 5 ready, 0 restarts
    09:01:14Z  waiting      30m more at 50%
    09:02:14Z  waiting      29m more at 50% (for 1m00s)
    09:02:34Z  waiting      cannot save ConfigMap canary-release/canaryctl-payment-api: configmaps
                            "canaryctl-payment-api" is forbidden: User "dev" cannot update resource
                            "configmaps" in API group "" in the namespace "canary-release"; tries again
                            until 1m of the same refusal are over
    09:03:35Z  warning      rolling back without the journal: cannot save ConfigMap
                            canary-release/canaryctl-payment-api: configmaps "canaryctl-payment-api" is
                            forbidden: User "dev" cannot update resource "configmaps" in API group "" in
                            the namespace "canary-release"
    09:03:35Z  ROLLING BACK from 50%: refused for 1m of the same refusal: cannot save ConfigMap
                            canary-release/canaryctl-payment-api: configmaps "canaryctl-payment-api" is
                            forbidden: User "dev" cannot update resource "configmaps" in API group "" in
                            the namespace "canary-release"
    09:03:35Z  rollback     moving traffic to stable
    09:03:35Z  waiting      cannot scale Deployment canary-release/payment-api-stable: deployments.apps
                            "payment-api-stable" is forbidden: User "dev" cannot patch resource
                            "deployments/scale" in API group "apps" in the namespace "canary-release";
                            tries again until 1m of the same refusal are over
    "#);
}

/// After a swap the roles are changed; the next release goes the other way, by whatever divides the traffic.
#[tokio::test(start_paused = true)]
async fn after_a_swap_the_next_release_goes_the_other_way() {
    const ISTIO: &str = crate::support::weights::ISTIO.objects;
    for objects in ["", ISTIO] {
        let clock = Clock::simulated(NOW.parse().unwrap(), 1.0);
        let mut scenario = Scenario::builtin("healthy").unwrap();
        scenario.objects.extend(parse_objects(objects).unwrap());
        let sim = SimCluster::start(scenario, None, clock.clone()).unwrap();
        clock.sleep(Duration::from_secs(60)).await;
        let console = Console {
            sim: Some(Arc::new(sim)),
            ..Console::new()
        };
        let plan = "--steps 50 --hold 10s --strategy swap";
        let ran = console.run(&format!("auto {RELEASE} {plan}")).await;
        assert_eq!(ran.code, 0, "{}", ran.text());
        let names = "--stable payment-api-stable --canary payment-api-canary";
        for given in ["", names] {
            let check = console.run(&format!("check {RELEASE} {given}")).await;
            assert!(
                check.out.contains("payment-api-stable") && !check.out.contains("✗"),
                "{}",
                check.text()
            );
            let image = "--image registry.example/payment-api:2.1.0";
            let dry = console
                .run(&format!("auto {RELEASE} {given} {plan} {image} --dry-run"))
                .await;
            assert_eq!(dry.code, 0, "{}", dry.text());
            assert!(
                dry.out.contains("set image of payment-api-stable")
                    || dry.err.contains("set image of payment-api-stable"),
                "{}",
                dry.text()
            );
        }
        let image = "--image registry.example/payment-api:2.1.0";
        let next = console.run(&format!("auto {RELEASE} {plan} {image}")).await;
        assert_eq!(next.code, 0, "{}", next.text());
        let status = console.run(&format!("status {RELEASE}")).await;
        assert!(status.out.contains("2.1.0"), "{}", status.text());
    }
}

/// What was deleted at the end is gone, and comes again with the next release.
#[tokio::test(start_paused = true)]
async fn a_canary_that_is_to_be_deleted_is_deleted() {
    let console = Console::on("healthy").await;
    let folder = Folder::new("delete");
    let file = folder.file(
        "canary.yaml",
        "app: payment-api\nsteps: [50]\nhold: 10s\npromote: {canary: delete}\n",
    );
    let ran = console.run(&format!("auto {RELEASE} -f {file}")).await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    let key = Key::new(
        "apps",
        "deployments",
        "canary-release",
        "payment-api-canary",
    );
    assert!(console.sim().world().store().get(&key).is_none());
    let image = "--image registry.example/payment-api:2.1.0";
    let again = console
        .run(&format!("auto {RELEASE} -f {file} {image}"))
        .await;
    assert_eq!(again.code, 0, "{}", again.text());
    assert!(console.sim().world().store().get(&key).is_none());
}

/// A test before the first user may do something: nobody but the release runs it.
#[tokio::test(start_paused = true)]
async fn status_and_check_run_no_test_that_is_for_before_the_first_user() {
    let console = Console::on("healthy").await;
    let folder = Folder::new("pre");
    let file = folder.file(
        "canary.yaml",
        "app: payment-api\nsteps: [25, 50]\nhold: 10s\n\
         pre:\n  - http: {name: acceptance, path: /health}\n\
         checks:\n  - http: {name: alive, path: /health}\n",
    );
    let check = console.run(&format!("check {RELEASE} -f {file}")).await;
    assert_eq!(check.code, 0, "{}", check.text());
    let until = format!("auto {RELEASE} -f {file} --until step=1");
    let ran = console.run(&until).await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    assert!(ran.err.contains("acceptance"), "{}", ran.text());
    let status = console.run(&format!("status {RELEASE} -f {file}")).await;
    for said in [&check.out, &status.out] {
        assert!(said.contains("alive"), "{said}");
        assert!(!said.contains("acceptance"), "{said}");
    }
}
