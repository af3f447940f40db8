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
    assert_snapshot!(ran.text(), @r#"
    $ canaryctl auto payment-api -n canary-release --steps 50 --hold 30m
    exit 5
    --- stdout
    09:03:34Z  PAUSED with the split live after 2m34s: cannot read Deployment
               canary-release/payment-api-stable: deployments.apps "payment-api-stable" is forbidden:
               User "dev" cannot get resource "deployments" in API group "apps" in the namespace
               "canary-release"; tried again for 1m of the same refusal; payment-api-canary had 50% of
               the traffic at 09:02:24Z
               weights  0% → 50%
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
    09:01:00Z  doing        scale payment-api-canary from 1 to 5
    09:01:01Z  waits        payment-api-canary: 1 of 5 pods to be ready (ContainerCreating)
    09:01:03Z  waits        payment-api-canary: 1 of 5 pods to be ready
    09:01:10Z  ? unknown    pods: 2 of 5 ready, 0 restarts
    09:01:10Z  doing        scale payment-api-stable from 9 to 8
    09:01:11Z  doing        scale payment-api-stable from 8 to 7
    09:01:12Z  doing        scale payment-api-stable from 7 to 6
    09:01:13Z  doing        scale payment-api-stable from 6 to 5
    09:01:14Z  reached      canary at 50% (5 of 10 pods)
    09:01:14Z  step 1 of 1  watching at 50%
    09:01:14Z  ✓ healthy    pods: 5 of 5 ready, 0 restarts
    09:01:14Z  waits        30m more at 50%
    09:02:14Z  still waits  29m more at 50% (for 1m00s)
    09:02:34Z  waits        cannot read Deployment canary-release/payment-api-stable: deployments.apps
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
    09:04:35Z  NOT COMPLETE after 3m35s: cannot scale Deployment canary-release/payment-api-stable:
               deployments.apps "payment-api-stable" is forbidden: User "dev" cannot patch resource
               "deployments/scale" in API group "apps" in the namespace "canary-release"; tried again
               for 1m of the same refusal; payment-api-canary had 50% of the traffic at 09:04:35Z
               page     somebody: this could not be finished or verified
               weights  0% → 50%
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
    09:01:00Z  doing        scale payment-api-canary from 1 to 5
    09:01:01Z  waits        payment-api-canary: 1 of 5 pods to be ready (ContainerCreating)
    09:01:03Z  waits        payment-api-canary: 1 of 5 pods to be ready
    09:01:10Z  ? unknown    pods: 2 of 5 ready, 0 restarts
    09:01:10Z  doing        scale payment-api-stable from 9 to 8
    09:01:11Z  doing        scale payment-api-stable from 8 to 7
    09:01:12Z  doing        scale payment-api-stable from 7 to 6
    09:01:13Z  doing        scale payment-api-stable from 6 to 5
    09:01:14Z  reached      canary at 50% (5 of 10 pods)
    09:01:14Z  step 1 of 1  watching at 50%
    09:01:14Z  ✓ healthy    pods: 5 of 5 ready, 0 restarts
    09:01:14Z  waits        30m more at 50%
    09:02:14Z  still waits  29m more at 50% (for 1m00s)
    09:02:34Z  waits        cannot save ConfigMap canary-release/canaryctl-payment-api: configmaps
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
    09:03:35Z  back         moving traffic to stable
    09:03:35Z  waits        cannot scale Deployment canary-release/payment-api-stable: deployments.apps
                            "payment-api-stable" is forbidden: User "dev" cannot patch resource
                            "deployments/scale" in API group "apps" in the namespace "canary-release";
                            tries again until 1m of the same refusal are over
    "#);
}
