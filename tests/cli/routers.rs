//! The examples that route traffic by weights, unchanged: looked at, moved, tried, taken back.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{Console, RELEASE, refusals::Folder};

/// Runs a command on an example's folder, as a person tries it, and returns what a dry run in JSON
/// would change, one field a line.
async fn tried(command: &str) -> String {
    let ran = Console::new().run(command).await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    let mut lines = Vec::new();
    for line in ran.out.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        for change in event["changes"].as_array().into_iter().flatten() {
            lines.push(format!(
                "{} {} {} → {}",
                change["object"].as_str().unwrap(),
                change["path"].as_str().unwrap(),
                change["from"],
                change["to"]
            ));
        }
    }
    lines.join("\n")
}

// === the objects of meshes and controllers that are known by name ===

#[tokio::test(start_paused = true)]
async fn auth_service_dry_run_patches_its_weights_alone() {
    let line = "set auth-service 25 -n orion --sandbox=examples/auth-service --dry-run -o json";
    assert_snapshot!(tried(line).await, @r"
    VirtualService orion/auth-service /spec/http/1/route/0/weight 95 → 75
    VirtualService orion/auth-service /spec/http/1/route/1/weight 5 → 25
    ");
}

#[tokio::test(start_paused = true)]
async fn auth_service() {
    let console = Console::beside("auth-service", "orion").await;
    let with = |verb: &str| format!("{verb} -n orion -f examples/auth-service/canary.yaml");
    assert_snapshot!(console.shows(&with("status auth-service")).await, @r"
    $ canaryctl status auth-service -n orion -f examples/auth-service/canary.yaml
    exit 0
    --- stdout
    auth-service  namespace orion  router istio
    state   no run is recorded for this app
    split   stable ███████████████████████████░ canary 5% (weights of VirtualService orion/auth-service)
            VirtualService orion/auth-service, http route 1: left alone, leads to the canary alone
            VirtualService orion/auth-service, http route 2: canary 5%

            READY  RESTARTS  REVISION  IMAGE
    stable  3/3    0         a1366b8e  registry.example/auth-service:1.8.2
    canary  1/1    0         5e84f8e4  registry.example/auth-service:1.9.0

    checks  ✓ healthy (1 healthy)
    ✓ healthy  pods  1 of 1 ready, 0 restarts [limit ready, ≤ 3 restarts; 1 sample]

    next    canaryctl auto auth-service -n orion -f examples/auth-service/canary.yaml
    undo    canaryctl rollback auth-service -n orion -f examples/auth-service/canary.yaml
    found   Deployments auth-service-stable and auth-service-canary by name; Service auth-service by
            name and selector
    ");
    assert_snapshot!(console.shows(&with("set auth-service 25")).await, @r"
    $ canaryctl set auth-service 25 -n orion -f examples/auth-service/canary.yaml
    exit 0
    --- stdout
    09:01:00Z  WEIGHT REACHED after 0s: canary at 25% (wanted 25%, weights of VirtualService
               orion/auth-service)
               weights  5% → 25%
               live     stable 75% on 3 ready pods, canary 25% on 1 ready pod
               next     canaryctl monitor auth-service -n orion -f examples/auth-service/canary.yaml
               undo     canaryctl rollback auth-service -n orion -f examples/auth-service/canary.yaml
    --- stderr
    cluster simulated, namespace orion
    found Deployments auth-service-stable and auth-service-canary by name
    found Service auth-service by name and selector
    09:01:00Z  started      run 20260105-090100: registry.example/auth-service:1.8.2 →
                            registry.example/auth-service:1.9.0, steps 25%
    09:01:00Z  apply        set the canary's weight in VirtualService orion/auth-service from 5% to 25%
    09:01:00Z  reached      canary at 25% (weights of VirtualService orion/auth-service)
    ");
    assert_snapshot!(console.shows(&with("rollback auth-service")).await, @r"
    $ canaryctl rollback auth-service -n orion -f examples/auth-service/canary.yaml
    exit 0
    --- stdout
    09:01:30Z  ROLLED BACK after 30s: verified at 0%: an operator asked for it
               weights  0%
               live     stable 100% on 3 ready pods, canary 0% on 1 ready pod
               next     canaryctl status auth-service -n orion -f examples/auth-service/canary.yaml
    --- stderr
    cluster simulated, namespace orion
    found Deployments auth-service-stable and auth-service-canary by name
    found Service auth-service by name and selector
    09:01:00Z  resumed      run 20260105-090100: moving traffic
    09:01:00Z  ROLLING BACK an operator asked for it
    09:01:00Z  rollback     moving traffic to stable
    09:01:00Z  apply        set the canary's weight in VirtualService orion/auth-service from 25% to 0%
    09:01:00Z  reached      canary at 0% (weights of VirtualService orion/auth-service)
    09:01:00Z  phase        draining
    09:01:00Z  waiting      the last requests to end
    09:01:30Z  phase        cleaning up
    09:01:30Z  apply        scale auth-service-canary from 1 to 0
    ");
}

/// Without a file both routers fit, and one has to be named.
#[tokio::test(start_paused = true)]
async fn auth_service_has_two_routers() {
    let console = Console::beside("auth-service", "orion").await;
    assert_snapshot!(console.refuses("set auth-service 25 -n orion").await, @r"
    $ canaryctl set auth-service 25 -n orion
    exit 2
    --- stderr
    error: several routers fit: istio (VirtualService auth-service divides traffic between both), smi (TrafficSplit auth-service-split divides traffic between both)
    hint: say which with --router
    ");
    let named = console
        .run("set auth-service 25 -n orion --router smi")
        .await;
    assert_eq!(named.code, 0, "{}", named.text());
}

/// Whoever wants the canary out need not know by which object it is in.
#[tokio::test(start_paused = true)]
async fn a_rollback_lowers_every_route_that_it_finds() {
    let console = Console::beside("auth-service", "orion").await;
    let back = console.run("rollback auth-service -n orion").await;
    assert_eq!(back.code, 0, "{}", back.text());
    for named in ["VirtualService", "TrafficSplit"] {
        let lowered = format!("set the canary's weight in {named} orion/auth-service");
        assert!(
            back.err.replace('\n', " ").contains(&lowered),
            "{}",
            back.text()
        );
    }
    for router in ["istio", "smi"] {
        let line = format!("status auth-service -n orion --router {router}");
        let status = console.run(&line).await;
        assert!(status.out.contains("canary 0%"), "{}", status.text());
    }
}

#[tokio::test(start_paused = true)]
async fn vcci_backend_api() {
    let console = Console::beside("vcci-backend-api", "vcci-production").await;
    assert_snapshot!(console.shows("status vcci-backend-api -n vcci-production").await, @r"
    $ canaryctl status vcci-backend-api -n vcci-production
    exit 0
    --- stdout
    vcci-backend-api  namespace vcci-production  router istio
    state   no run is recorded for this app
    split   stable ██████████████████████████████████████░░ canary 5%
            (weights of VirtualService vcci-production/vcci-backend-api)
            VirtualService vcci-production/vcci-backend-api, http route 1: left alone, leads to the
            canary alone
            VirtualService vcci-production/vcci-backend-api, http route 2: canary 5%

            READY  RESTARTS  REVISION  IMAGE
    stable  19/19  0         4c5446ac  registry.example/vcci-backend:v1.0.0
    canary  1/1    0         3f80c192  registry.example/vcci-backend:v2.0.0

    checks  ✓ healthy (1 healthy)
    ✓ healthy  pods  1 of 1 ready, 0 restarts [limit ready, ≤ 3 restarts; 1 sample]

    next    canaryctl auto vcci-backend-api -n vcci-production
    undo    canaryctl rollback vcci-backend-api -n vcci-production
    found   Deployments vcci-backend-api-stable and vcci-backend-api-canary by name; Service
            vcci-backend-api by name and selector; router istio: VirtualService vcci-backend-api divides
            traffic between both
    ");
    assert_snapshot!(console.shows("set vcci-backend-api 25 -n vcci-production").await, @r"
    $ canaryctl set vcci-backend-api 25 -n vcci-production
    exit 0
    --- stdout
    09:01:03Z  WEIGHT REACHED after 3s: canary at 25% (wanted 25%, weights of VirtualService
               vcci-production/vcci-backend-api)
               weights  5% → 25%
               live     stable 75% on 19 ready pods, canary 25% on 5 ready pods
               next     canaryctl monitor vcci-backend-api -n vcci-production
               undo     canaryctl rollback vcci-backend-api -n vcci-production
    --- stderr
    cluster simulated, namespace vcci-production
    found Deployments vcci-backend-api-stable and vcci-backend-api-canary by name
    found Service vcci-backend-api by name and selector
    found router istio: VirtualService vcci-backend-api divides traffic between both
    09:01:00Z  started      run 20260105-090100: registry.example/vcci-backend:v1.0.0 →
                            registry.example/vcci-backend:v2.0.0, steps 25%
    09:01:00Z  apply        scale vcci-backend-api-canary from 1 to 5
    09:01:01Z  waiting      vcci-backend-api-canary: 3/5 pods ready
    09:01:03Z  apply        set the canary's weight in VirtualService vcci-production/vcci-backend-api
                            from 5% to 25%
    09:01:03Z  reached      canary at 25% (weights of VirtualService vcci-production/vcci-backend-api)
    ");
    assert_snapshot!(console.shows("rollback vcci-backend-api -n vcci-production").await, @r"
    $ canaryctl rollback vcci-backend-api -n vcci-production
    exit 0
    --- stdout
    09:01:33Z  ROLLED BACK after 30s: verified at 0%: an operator asked for it
               weights  0%
               live     stable 100% on 19 ready pods, canary 0% on 5 ready pods
               next     canaryctl status vcci-backend-api -n vcci-production
    --- stderr
    cluster simulated, namespace vcci-production
    found Deployments vcci-backend-api-stable and vcci-backend-api-canary by name
    found Service vcci-backend-api by name and selector
    found router istio from the run in progress
    09:01:03Z  resumed      run 20260105-090100: moving traffic
    09:01:03Z  ROLLING BACK an operator asked for it
    09:01:03Z  rollback     moving traffic to stable
    09:01:03Z  apply        set the canary's weight in VirtualService vcci-production/vcci-backend-api
                            from 25% to 0%
    09:01:03Z  reached      canary at 0% (weights of VirtualService vcci-production/vcci-backend-api)
    09:01:03Z  phase        draining
    09:01:03Z  waiting      the last requests to end
    09:01:33Z  phase        cleaning up
    09:01:33Z  apply        scale vcci-backend-api-canary from 5 to 0
    ");
    let line = "set vcci-backend-api 10 -n vcci-production --sandbox=examples/vcci-backend-api --dry-run -o json";
    assert_snapshot!(tried(line).await, @r#"
    Deployment vcci-production/vcci-backend-api-canary /spec/replicas 1 → 2
    VirtualService vcci-production/vcci-backend-api /spec/http/1/route/0/weight 95 → 90
    VirtualService vcci-production/vcci-backend-api /spec/http/1/route/1/weight 5 → 10
    "#);
}

#[tokio::test(start_paused = true)]
async fn podinfo() {
    let console = Console::beside("podinfo", "test").await;
    assert_snapshot!(console.shows("status podinfo -n test").await, @r"
    $ canaryctl status podinfo -n test
    exit 0
    --- stdout
    podinfo  namespace test  router nginx
    state   no run is recorded for this app
    split   stable ██████████████████████████████████ canary 0% (weights of Ingress test/podinfo-canary)
            Ingress test/podinfo-canary, podinfo.local/: canary 0%

            READY  RESTARTS  REVISION  IMAGE
    stable  2/2    0         8a20af51  ghcr.io/stefanprodan/podinfo:6.5.3
    canary  1/1    0         06fa005e  ghcr.io/stefanprodan/podinfo:6.5.4

    checks  ✓ healthy (1 healthy)
    ✓ healthy  pods  1 of 1 ready, 0 restarts [limit ready, ≤ 3 restarts; 1 sample]

    next    canaryctl auto podinfo -n test --image IMAGE
    found   Deployments podinfo and podinfo-canary by name; Service podinfo by name; router nginx:
            Ingress podinfo-canary divides traffic between both
    ");
    assert_snapshot!(console.shows("set podinfo 25 -n test").await, @r"
    $ canaryctl set podinfo 25 -n test
    exit 0
    --- stdout
    09:01:00Z  WEIGHT REACHED after 0s: canary at 25% (wanted 25%, weights of Ingress
               test/podinfo-canary)
               weights  0% → 25%
               live     stable 75% on 2 ready pods, canary 25% on 1 ready pod
               next     canaryctl monitor podinfo -n test
               undo     canaryctl rollback podinfo -n test
    --- stderr
    cluster simulated, namespace test
    found Deployments podinfo and podinfo-canary by name
    found Service podinfo by name
    found router nginx: Ingress podinfo-canary divides traffic between both
    09:01:00Z  started      run 20260105-090100: ghcr.io/stefanprodan/podinfo:6.5.3 →
                            ghcr.io/stefanprodan/podinfo:6.5.4, steps 25%
    09:01:00Z  apply        set the canary's weight in Ingress test/podinfo-canary from 0% to 25%
    09:01:00Z  reached      canary at 25% (weights of Ingress test/podinfo-canary)
    ");
    assert_snapshot!(console.shows("rollback podinfo -n test").await, @r"
    $ canaryctl rollback podinfo -n test
    exit 0
    --- stdout
    09:01:30Z  ROLLED BACK after 30s: verified at 0%: an operator asked for it
               weights  0%
               live     stable 100% on 2 ready pods, canary 0% on 1 ready pod
               next     canaryctl status podinfo -n test
    --- stderr
    cluster simulated, namespace test
    found Deployments podinfo and podinfo-canary by name
    found Service podinfo by name
    found router nginx from the run in progress
    09:01:00Z  resumed      run 20260105-090100: moving traffic
    09:01:00Z  ROLLING BACK an operator asked for it
    09:01:00Z  rollback     moving traffic to stable
    09:01:00Z  apply        set the canary's weight in Ingress test/podinfo-canary from 25% to 0%
    09:01:00Z  reached      canary at 0% (weights of Ingress test/podinfo-canary)
    09:01:00Z  phase        draining
    09:01:00Z  waiting      the last requests to end
    09:01:30Z  phase        cleaning up
    09:01:30Z  apply        scale podinfo-canary from 1 to 0
    ");
    let line = "set podinfo 25 -n test --sandbox=examples/podinfo --dry-run -o json";
    assert_snapshot!(tried(line).await, @r#"Ingress test/podinfo-canary /metadata/annotations/nginx.ingress.kubernetes.io~1canary-weight "0" → "25""#);
}

// === objects by JSON pointers ===

/// The examples that the tests below move.
const EXAMPLES: [&str; 6] = [
    "apisix",
    "consul",
    "contour",
    "knative",
    "kuma",
    "openshift",
];

#[test]
fn every_example_of_a_router_is_moved() {
    let folder = format!("{}/examples/routers", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, EXAMPLES);
}

/// Moves an example there and back, and returns what its dry run would change, and what is told.
async fn by_pointers(example: &str) -> String {
    assert!(EXAMPLES.contains(&example));
    let folder = format!("examples/routers/{example}");
    let dry = tried(&format!("set web 25 --sandbox={folder} --dry-run -o json")).await;
    let console = Console::beside(&format!("routers/{example}"), "shop").await;
    let mut told = vec![dry];
    for verb in ["status web", "set web 25", "status web", "rollback web"] {
        let ran = console
            .run(&format!("{verb} -f {folder}/canary.yaml"))
            .await;
        assert_eq!(ran.code, 0, "{}", ran.text());
        let lines = ran.out.lines().chain(ran.err.lines());
        let weights = lines.filter(|line| line.contains("weight") || line.contains("/spec/"));
        told.push(format!("$ {verb}"));
        told.extend(weights.map(|line| line.trim_end().to_owned()));
    }
    told.join("\n")
}

#[tokio::test(start_paused = true)]
async fn contour() {
    assert_snapshot!(by_pointers("contour").await, @r"
    HTTPProxy shop/web /spec/routes/0/services/0/weight 100 → 75
    HTTPProxy shop/web /spec/routes/0/services/1/weight 0 → 25
    HTTPProxy shop/web /spec/routes/1/services/0/weight 100 → 75
    HTTPProxy shop/web /spec/routes/1/services/1/weight 0 → 25
    $ status web
    split   stable ████████████████████████████████████████ canary 0% (weights of HTTPProxy shop/web)
            HTTPProxy shop/web, /spec/routes/0/services/1/weight: canary 0%
            HTTPProxy shop/web, /spec/routes/1/services/1/weight: canary 0%
    $ set web 25
    09:01:00Z  WEIGHT REACHED after 0s: canary at 25% (wanted 25%, weights of HTTPProxy shop/web)
               weights  0% → 25%
    09:01:00Z  apply        set the canary's weight in HTTPProxy shop/web from 0% to 25%
    09:01:00Z  reached      canary at 25% (weights of HTTPProxy shop/web)
    $ status web
    split   stable ██████████████████████████████░░░░░░░░░░ canary 25% (weights of HTTPProxy shop/web)
            HTTPProxy shop/web, /spec/routes/0/services/1/weight: canary 25%
            HTTPProxy shop/web, /spec/routes/1/services/1/weight: canary 25%
    $ rollback web
               weights  0%
    09:01:00Z  apply        set the canary's weight in HTTPProxy shop/web from 25% to 0%
    09:01:00Z  reached      canary at 0% (weights of HTTPProxy shop/web)
    ");
}

#[tokio::test(start_paused = true)]
async fn apisix() {
    assert_snapshot!(by_pointers("apisix").await, @r"
    ApisixRoute shop/web /spec/http/0/backends/0/weight 100 → 75
    ApisixRoute shop/web /spec/http/0/backends/1/weight 0 → 25
    $ status web
    split   stable ████████████████████████████████████████ canary 0% (weights of ApisixRoute shop/web)
            ApisixRoute shop/web, /spec/http/0/backends/1/weight: canary 0%
    $ set web 25
    09:01:00Z  WEIGHT REACHED after 0s: canary at 25% (wanted 25%, weights of ApisixRoute shop/web)
               weights  0% → 25%
    09:01:00Z  apply        set the canary's weight in ApisixRoute shop/web from 0% to 25%
    09:01:00Z  reached      canary at 25% (weights of ApisixRoute shop/web)
    $ status web
    split   stable ██████████████████████████████░░░░░░░░░░ canary 25% (weights of ApisixRoute shop/web)
            ApisixRoute shop/web, /spec/http/0/backends/1/weight: canary 25%
    $ rollback web
               weights  0%
    09:01:00Z  apply        set the canary's weight in ApisixRoute shop/web from 25% to 0%
    09:01:00Z  reached      canary at 0% (weights of ApisixRoute shop/web)
    ");
}

#[tokio::test(start_paused = true)]
async fn kuma() {
    assert_snapshot!(by_pointers("kuma").await, @r"
    MeshHTTPRoute shop/web /spec/to/0/rules/0/default/backendRefs/0/weight 100 → 75
    MeshHTTPRoute shop/web /spec/to/0/rules/0/default/backendRefs/1/weight 0 → 25
    $ status web
    split   stable ███████████████████████████████████████ canary 0% (weights of MeshHTTPRoute shop/web)
            MeshHTTPRoute shop/web, /spec/to/0/rules/0/default/backendRefs/1/weight: canary 0%
    $ set web 25
    09:01:00Z  WEIGHT REACHED after 0s: canary at 25% (wanted 25%, weights of MeshHTTPRoute shop/web)
               weights  0% → 25%
    09:01:00Z  apply        set the canary's weight in MeshHTTPRoute shop/web from 0% to 25%
    09:01:00Z  reached      canary at 25% (weights of MeshHTTPRoute shop/web)
    $ status web
    split   stable ████████████████████████████░░░░░░░░░░ canary 25% (weights of MeshHTTPRoute shop/web)
            MeshHTTPRoute shop/web, /spec/to/0/rules/0/default/backendRefs/1/weight: canary 25%
    $ rollback web
               weights  0%
    09:01:00Z  apply        set the canary's weight in MeshHTTPRoute shop/web from 25% to 0%
    09:01:00Z  reached      canary at 0% (weights of MeshHTTPRoute shop/web)
    ");
}

#[tokio::test(start_paused = true)]
async fn openshift() {
    assert_snapshot!(by_pointers("openshift").await, @r"
    Route shop/web /spec/to/weight 100 → 75
    Route shop/web /spec/alternateBackends/0/weight 0 → 25
    $ status web
    split   stable ████████████████████████████████████████ canary 0% (weights of Route shop/web)
            Route shop/web, /spec/alternateBackends/0/weight: canary 0%
    $ set web 25
    09:01:00Z  WEIGHT REACHED after 0s: canary at 25% (wanted 25%, weights of Route shop/web)
               weights  0% → 25%
    09:01:00Z  apply        set the canary's weight in Route shop/web from 0% to 25%
    09:01:00Z  reached      canary at 25% (weights of Route shop/web)
    $ status web
    split   stable ██████████████████████████████░░░░░░░░░░ canary 25% (weights of Route shop/web)
            Route shop/web, /spec/alternateBackends/0/weight: canary 25%
    $ rollback web
               weights  0%
    09:01:00Z  apply        set the canary's weight in Route shop/web from 25% to 0%
    09:01:00Z  reached      canary at 0% (weights of Route shop/web)
    ");
}

#[tokio::test(start_paused = true)]
async fn consul() {
    assert_snapshot!(by_pointers("consul").await, @r"
    ServiceSplitter shop/web /spec/splits/0/weight 100 → 75
    ServiceSplitter shop/web /spec/splits/1/weight 0 → 25
    $ status web
    split   stable █████████████████████████████████████ canary 0% (weights of ServiceSplitter shop/web)
            ServiceSplitter shop/web, /spec/splits/1/weight: canary 0%
    $ set web 25
    09:01:00Z  WEIGHT REACHED after 0s: canary at 25% (wanted 25%, weights of ServiceSplitter shop/web)
               weights  0% → 25%
    09:01:00Z  apply        set the canary's weight in ServiceSplitter shop/web from 0% to 25%
    09:01:00Z  reached      canary at 25% (weights of ServiceSplitter shop/web)
    $ status web
    split   stable ███████████████████████████░░░░░░░░░ canary 25% (weights of ServiceSplitter shop/web)
            ServiceSplitter shop/web, /spec/splits/1/weight: canary 25%
    $ rollback web
               weights  0%
    09:01:00Z  apply        set the canary's weight in ServiceSplitter shop/web from 25% to 0%
    09:01:00Z  reached      canary at 0% (weights of ServiceSplitter shop/web)
    ");
}

#[tokio::test(start_paused = true)]
async fn knative() {
    assert_snapshot!(by_pointers("knative").await, @r"
    Service shop/web /spec/traffic/0/percent 100 → 75
    Service shop/web /spec/traffic/1/percent 0 → 25
    $ status web
    split   stable ████████████████████████████████████████ canary 0% (weights of Service shop/web)
            Service shop/web, /spec/traffic/1/percent: canary 0%
    $ set web 25
    09:01:00Z  WEIGHT REACHED after 0s: canary at 25% (wanted 25%, weights of Service shop/web)
               weights  0% → 25%
    09:01:00Z  apply        set the canary's weight in Service shop/web from 0% to 25%
    09:01:00Z  reached      canary at 25% (weights of Service shop/web)
    $ status web
    split   stable ██████████████████████████████░░░░░░░░░░ canary 25% (weights of Service shop/web)
            Service shop/web, /spec/traffic/1/percent: canary 25%
    $ rollback web
               weights  0%
    09:01:00Z  apply        set the canary's weight in Service shop/web from 25% to 0%
    09:01:00Z  reached      canary at 0% (weights of Service shop/web)
    ");
}

/// Somebody put the services in another order: nothing is changed.
#[tokio::test(start_paused = true)]
async fn an_object_in_another_order_is_refused() {
    let console = Console::beside("routers/openshift", "shop").await;
    let key = canaryctl::sim::store::Key::new("route.openshift.io", "routes", "shop", "web");
    let store = console.sim().world().store();
    let swap = |route: &mut Value| {
        route["spec"]["to"]["name"] = "web-canary".into();
        route["spec"]["alternateBackends"][0]["name"] = "web-stable".into();
        Ok(())
    };
    let door = canaryctl::sim::store::Door::Main;
    store.update(&key, door, false, swap).unwrap();
    let line = "set web 25 -f examples/routers/openshift/canary.yaml";
    assert_snapshot!(console.refuses(line).await, @r#"
    $ canaryctl set web 25 -f examples/routers/openshift/canary.yaml
    exit 2
    --- stderr
    cluster simulated, namespace shop
    found Deployments web-stable and web-canary by name
    error: Route web: /spec/alternateBackends/0/name is "web-stable", not "web-canary"
    hint: `canaryctl check web -n shop -f examples/routers/openshift/canary.yaml` says how to fix it
    "#);
}

// === what is wrong with them ===

/// Changes the route of the authentication service: one subset that no rule has, a gateway without
/// the mesh, another route for the same host, and Argo CD behind it.
fn spoilt(objects: &mut Vec<Value>) {
    let mut rival = None;
    for object in objects.iter_mut() {
        if object["kind"] == "DestinationRule" {
            object["spec"]["subsets"][1]["name"] = json!("next");
        }
        if object["kind"] == "VirtualService" {
            object["spec"]["gateways"] = json!(["edge"]);
            object["metadata"]["annotations"] = json!({
                "argocd.argoproj.io/tracking-id": "login:networking.istio.io/VirtualService:orion/auth-service",
            });
            let mut other = object.clone();
            other["metadata"] = json!({"name": "legacy", "namespace": "orion"});
            other["spec"]["http"] = json!([{"route": [{"destination": {"host": "elsewhere"}}]}]);
            rival = Some(other);
        }
    }
    objects.extend(rival);
}

#[tokio::test(start_paused = true)]
async fn check_tells_what_is_wrong_with_routes() {
    let console = Console::beside_changed("auth-service", "orion", spoilt).await;
    let line = "check auth-service -n orion -f examples/auth-service/canary.yaml";
    let ran = console.run(line).await;
    let routes =
        |paragraph: &&str| paragraph.contains("VirtualService") && !paragraph.contains("✓");
    let found: Vec<&str> = ran.out.split("\n\n").filter(routes).collect();
    assert_snapshot!(found.join("\n\n"), @r"
    ✗ error    http route 1: no DestinationRule of host auth-service has the subset canary
               where  VirtualService orion/auth-service
               why    requests that go there fail, or reach the wrong side
               fix    make its selector match only one side

    ✗ error    http route 2: no DestinationRule of host auth-service has the subset canary
               where  VirtualService orion/auth-service
               why    requests that go there fail, or reach the wrong side
               fix    make its selector match only one side

    ! warning  it holds at the gateways edge alone
               where  VirtualService orion/auth-service
               why    in-mesh clients bypass it: they reach the pods of both sides whatever the weights
               fix    add `mesh` to spec.gateways where callers within the mesh are to be divided, too

    ! warning  VirtualService legacy is about a host of it, too
               where  VirtualService orion/auth-service
               why    which of the two a proxy obeys is not defined: the weights may not take effect
               fix    bring the routes of both into one, or take the host out of legacy

    ! warning  VirtualService auth-service is synced by Argo CD (login)
               where  VirtualService orion/auth-service
               why    a sync or self-heal during the release puts back what Git says: the weights, and
                      the template of stable after the promotion
               fix    in the Application: `ignoreDifferences: [{group: apps, kind: Deployment, name:
                      auth-service-stable, jsonPointers: [/spec/replicas, /spec/template]}, {group:
                      apps, kind: Deployment, name: auth-service-canary, jsonPointers: [/spec/replicas,
                      /spec/template]}, {group: networking.istio.io, kind: VirtualService, name:
                      auth-service, jsonPointers: [/spec/http/1/route/0/weight,
                      /spec/http/1/route/1/weight]}]` with `syncOptions:
                      [RespectIgnoreDifferences=true]`, or switch auto-sync off during the release
    ");
    assert_eq!(ran.code, 2, "{}", ran.text());
}

#[tokio::test(start_paused = true)]
async fn a_drain_shorter_than_a_change_of_a_route_takes_is_a_warning() {
    let folder = Folder::new("drain");
    let settings = std::fs::read_to_string("examples/auth-service/canary.yaml").unwrap();
    for (drain, warned) in [("1s", true), ("5s", false)] {
        let file = folder.file("canary.yaml", &format!("{settings}\ndrain: {drain}\n"));
        let console = Console::beside("auth-service", "orion").await;
        let said = console
            .shows(&format!("check auth-service -n orion -f {file}"))
            .await;
        let warning = "the canary's pods may end before every proxy has weight 0";
        assert_eq!(said.contains(warning), warned, "{said}");
    }
    // By pods there is no route that takes time to spread.
    let console = Console::on("healthy").await;
    let file = folder.file("pods.yaml", "app: payment-api\ndrain: 1s\n");
    let said = console.shows(&format!("check {RELEASE} -f {file}")).await;
    assert!(!said.contains("every proxy"), "{said}");
}

/// A canary without pods is an error where everybody's requests reach it, and a note where only
/// those behind the header do.
#[tokio::test(start_paused = true)]
async fn check_tells_of_a_side_that_gets_traffic_without_pods() {
    for (weight, severity, code) in [(5, "✗ error", 2), (0, "- note", 0)] {
        let emptied = |objects: &mut Vec<Value>| {
            for object in objects {
                if object["metadata"]["name"] == "auth-service-canary"
                    && object["kind"] == "Deployment"
                {
                    object["spec"]["replicas"] = json!(0);
                }
                if object["kind"] == "VirtualService" {
                    let route = &mut object["spec"]["http"][1]["route"];
                    route[0]["weight"] = json!(100 - weight);
                    route[1]["weight"] = json!(weight);
                }
            }
        };
        let console = Console::beside_changed("auth-service", "orion", emptied).await;
        let line = "check auth-service -n orion -f examples/auth-service/canary.yaml";
        let ran = console.run(line).await;
        let found = ran
            .out
            .split("\n\n")
            .find(|p| p.contains("leads to no ready pod"));
        let found = found.unwrap_or_else(|| panic!("{}", ran.text()));
        assert!(found.starts_with(severity), "{found}");
        assert!(found.contains("auth-service/canary"), "{found}");
        assert_eq!(ran.code, code, "{}", ran.text());
    }
}

#[tokio::test(start_paused = true)]
async fn who_else_writes_a_route_is_told_before_the_first_write() {
    let console = Console::beside_changed("auth-service", "orion", spoilt).await;
    let line = "set auth-service 25 -n orion -f examples/auth-service/canary.yaml";
    let ran = console.run(line).await;
    let told = ran
        .err
        .find("synced by Argo CD")
        .expect("nobody is told of");
    assert!(
        told < ran.err.find("set the canary's weight").unwrap(),
        "{}",
        ran.text()
    );
    let pointers = "jsonPointers: [/spec/http/1/route/0/weight, /spec/http/1/route/1/weight]";
    let folded = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(folded.contains(pointers), "{}", ran.text());
}
