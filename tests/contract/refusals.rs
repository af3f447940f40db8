//! What is gone, forbidden, changed meanwhile, refused or not served.

use canaryctl::{
    cluster::Reason,
    domain::weight::Percent,
    sim::{api::Rules, fault::Fault, store::Key},
    traffic::{Router, TrafficError},
};
use http::Method;

use super::{
    by_weights,
    fixtures::{FIXTURES, Fixture, app},
    stand::{NAMESPACE, Stand},
};

const QUARTER: Percent = Percent::whole(25);

async fn shift(stand: &Stand, router: &dyn Router) -> Result<(), TrafficError> {
    let look = stand.look(router).await;
    router.shift(QUARTER, &look.scene()).await.map(drop)
}

fn reason(error: &TrafficError, fixture: &Fixture) -> Reason {
    match error {
        TrafficError::Cluster(error) => error.reason,
        other => panic!("{}: {other}", fixture.title()),
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_gone_is_named() {
    for fixture in by_weights() {
        let stand = Stand::at(fixture, 0);
        let router = stand.bind().await;
        stand.settle(router.as_ref(), 5).await;
        let key = stand.keys().into_iter().next_back().unwrap();
        let store = stand.sim.world().store();
        let gone = match fixture.router {
            // The canary Ingress; the main one is not this tool's.
            "nginx" => Key::new(&key.group, &key.resource, NAMESPACE, "web-canary"),
            // Not the DestinationRule.
            "istio" => Key::new(&key.group, "virtualservices", NAMESPACE, "web"),
            _ => key,
        };
        let object = (*store.get(&gone).unwrap()).clone();
        store.delete(&gone, false).unwrap();
        let look = stand.look(router.as_ref()).await;
        let split = router.read(Percent::whole(5), &look.scene()).unwrap();
        assert!(!split.matches && !split.settled, "{}", fixture.title());
        let waits_for = split.waits_for.unwrap_or_default();
        let name = format!("shop/{} to exist", gone.name);
        assert!(
            waits_for.contains(&name),
            "{}: {waits_for}",
            fixture.title()
        );
        shift(&stand, router.as_ref()).await.unwrap();
        assert!(store.get(&gone).is_none(), "{} made it", fixture.title());
        // Whoever deleted it puts it back.
        let mut object = object;
        let meta = object["metadata"].as_object_mut().unwrap();
        meta.shift_remove("resourceVersion");
        meta.shift_remove("uid");
        store.create(gone, object, false).unwrap();
        stand.settle(router.as_ref(), 25).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_right_to_patch_that_is_missing_is_named_and_nothing_changes() {
    for fixture in FIXTURES {
        let stand = Stand::at(fixture, 0);
        let router = stand.bind().await;
        let before = stand.objects();
        let rules = fixture.resources.iter();
        let rules = rules.fold(Rules::new("dev"), |rules, (group, resource)| {
            rules.deny("patch", group, resource)
        });
        stand.sim.server().set_rules(rules);
        let error = shift(&stand, router.as_ref()).await.unwrap_err();
        assert_eq!(reason(&error, fixture), Reason::Forbidden);
        let text = error.to_string();
        assert!(text.contains(" shop/"), "{}: {text}", fixture.title());
        assert!(text.contains("patch"), "{}: {text}", fixture.title());
        assert_eq!(stand.objects(), before, "{}", fixture.title());
    }
}

#[tokio::test(start_paused = true)]
async fn a_right_to_list_that_is_missing_is_told_at_the_start() {
    for fixture in by_weights() {
        let stand = Stand::at(fixture, 0);
        let rules = fixture.resources.iter();
        let rules = rules.fold(Rules::new("dev"), |rules, (group, resource)| {
            rules.deny("list", group, resource)
        });
        stand.sim.server().set_rules(rules);
        let Err(error) = stand.try_bind(&stand.cluster()).await else {
            panic!("{} was bound to what it may not read", fixture.title());
        };
        assert_eq!(reason(&error, fixture), Reason::Forbidden);
        assert!(error.to_string().contains("list"), "{error}");
    }
}

/// What somebody else writes between our look and our write stays, and ours is not written.
#[tokio::test(start_paused = true)]
async fn a_change_meanwhile_is_never_overwritten() {
    for fixture in FIXTURES {
        let stand = Stand::at(fixture, 0);
        let router = stand.bind().await;
        let look = stand.look(router.as_ref()).await;
        for key in stand.keys() {
            stand.edit(&key, |object| {
                object["metadata"]["labels"]["meanwhile"] = "somebody".into();
                // Of a Deployment only the number that is about to be written counts.
                if object["kind"] == "Deployment" {
                    object["spec"]["replicas"] = 2.into();
                }
            });
        }
        let theirs = stand.objects();
        let error = router.shift(QUARTER, &look.scene()).await.unwrap_err();
        assert_eq!(reason(&error, fixture), Reason::Conflict);
        assert_eq!(stand.objects(), theirs, "{}", fixture.title());
        stand.settle(router.as_ref(), 25).await;
        for (name, text) in stand.objects() {
            let kept = text.contains(r#""meanwhile":"somebody""#);
            assert!(kept, "{}: {name} lost it: {text}", fixture.title());
        }
    }
}

/// An admission webhook answers 400 or 403: the object is as it was, and what is refused is told.
#[tokio::test(start_paused = true)]
async fn what_admission_refuses_leaves_everything_as_it_was() {
    for fixture in FIXTURES {
        for (code, expected) in [
            (400, Reason::Invalid),
            (403, Reason::Forbidden),
            // The answer that a JSON patch gets, too, when the object is not as it was.
            (422, Reason::Conflict),
        ] {
            let stand = Stand::at(fixture, 0);
            let router = stand.bind_on(&stand.refusing(code)).await;
            let before = stand.objects();
            let error = shift(&stand, router.as_ref()).await.unwrap_err();
            assert_eq!(reason(&error, fixture), expected, "{code}");
            assert_eq!(stand.objects(), before, "{}", fixture.title());
            let allowed = stand.bind().await;
            stand.settle(allowed.as_ref(), 25).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_served_is_named_with_what_to_do() {
    for fixture in by_weights() {
        let Some(kind) = fixture.kind else { continue };
        let stand = Stand::with(fixture, &app((4, 4)));
        let Err(error) = stand.try_bind(&stand.cluster()).await else {
            panic!("{} was bound to nothing", fixture.title());
        };
        let text = error.to_string();
        assert!(
            text.contains(&format!("the cluster serves no {kind}")),
            "{}: {text}",
            fixture.title()
        );
        assert!(text.contains("install"), "{}: {text}", fixture.title());
    }
}

/// The kind is there, but no object of it leads to both sides.
#[tokio::test(start_paused = true)]
async fn objects_that_lead_elsewhere_are_named() {
    for fixture in by_weights().filter(|f| f.router != "pointer" && f.router != "several") {
        let mut objects = fixture.weighted(5);
        for (canary, other) in [
            ("name: web-canary", "name: other"),
            ("host: web-canary", "host: other"),
            ("service: web-canary", "service: other"),
            (r#""web-canary""#, r#""other""#),
            ("track: canary}}", "track: elsewhere}}"),
        ] {
            objects = objects.replace(canary, other);
        }
        let objects = format!("{}---\n{objects}", app((4, 4)));
        let stand = Stand::with(fixture, &objects);
        let error = match stand.try_bind(&stand.cluster()).await {
            // An object that was named is taken, so that whoever wants out of it gets out.
            Ok(router) => {
                let look = stand.look(router.as_ref()).await;
                let split = router.read(QUARTER, &look.scene()).unwrap();
                let waits_for = split.waits_for.unwrap_or_default();
                assert!(waits_for.contains("both sides"), "{waits_for}");
                assert!(!split.settled, "{}", fixture.title());
                let before = stand.objects();
                shift(&stand, router.as_ref()).await.unwrap();
                assert_eq!(stand.objects(), before, "{}", fixture.title());
                continue;
            }
            Err(error) => error,
        };
        let TrafficError::Refused(text) = error else {
            panic!("{}: {error}", fixture.title());
        };
        assert!(text.contains("web"), "{}: {text}", fixture.title());
    }
}

/// Routes that were named must be there: a name with a mistake in it moves nothing, and is told.
#[tokio::test(start_paused = true)]
async fn a_chosen_route_that_is_not_there_is_named() {
    static NONE: Fixture = Fixture {
        options: r#"{"routes": ["not-found"]}"#,
        ..istio()
    };
    static ONE_OF_TWO: Fixture = Fixture {
        options: r#"{"routes": ["primary", "not-found"]}"#,
        ..istio()
    };
    let stand = Stand::at(&NONE, 0);
    let Err(error) = stand.try_bind(&stand.cluster()).await else {
        panic!("bound to a route that is not there");
    };
    assert_eq!(
        error.to_string(),
        "no route of VirtualService with destinations of both sides is called not-found; there are: primary, tls route 1, tcp route 2"
    );
    // One of two is there: the weight is not reached, and whoever wants out gets out.
    let stand = Stand::at(&ONE_OF_TWO, 25);
    let router = stand.bind().await;
    let look = stand.look(router.as_ref()).await;
    let split = router.read(QUARTER, &look.scene()).unwrap();
    let waits_for = split.waits_for.unwrap_or_default();
    assert!(
        !split.settled && waits_for.contains("a route not-found"),
        "{waits_for}"
    );
    stand.settle(router.as_ref(), 0).await;
}

/// The objects with a route of each protocol.
const fn istio() -> Fixture {
    FIXTURES[1]
}

// === several ===

fn several() -> &'static Fixture {
    FIXTURES.iter().find(|f| f.router == "several").unwrap()
}

/// Weights of the canary in the first and in the second of two routers.
fn weights(stand: &Stand) -> (u64, u64) {
    let store = stand.sim.world().store();
    let get = |group: &str, resource: &str, pointer: &str| {
        let object = store.get(&Key::new(group, resource, NAMESPACE, "web"));
        object.unwrap().pointer(pointer).unwrap().as_u64().unwrap()
    };
    (
        get(
            "networking.istio.io",
            "virtualservices",
            "/spec/http/0/route/1/weight",
        ),
        get(
            "traefik.io",
            "traefikservices",
            "/spec/weighted/services/1/weight",
        ),
    )
}

#[tokio::test(start_paused = true)]
async fn what_was_raised_goes_back_when_the_next_cannot_follow() {
    let stand = Stand::at(several(), 5);
    let (cluster, plan) = stand.watched(|call| match *call.method {
        Method::PATCH if call.path.contains("traefikservices") => Fault::Status(403, None),
        _ => Fault::None,
    });
    let router = stand.bind_on(&cluster).await;
    let error = shift(&stand, router.as_ref()).await.unwrap_err();
    assert_eq!(reason(&error, several()), Reason::Forbidden);
    assert_eq!(weights(&stand), (5, 5), "{:?}", plan.log());
    let patched = plan.log();
    let patched = patched
        .iter()
        .filter(|l| l.contains("PATCH") && l.contains("virtual"));
    assert_eq!(patched.count(), 2, "raised, and put back: {:?}", plan.log());
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_lowered_keeps_none_of_the_others_from_it() {
    let stand = Stand::at(several(), 50);
    let (cluster, _) = stand.watched(|call| match *call.method {
        Method::PATCH if call.path.contains("traefikservices") => Fault::Status(403, None),
        _ => Fault::None,
    });
    let router = stand.bind_on(&cluster).await;
    shift(&stand, router.as_ref()).await.unwrap_err();
    assert_eq!(weights(&stand), (25, 50));
    let look = stand.look(router.as_ref()).await;
    let split = router.read(QUARTER, &look.scene()).unwrap();
    assert_eq!(split.set, Percent::whole(50), "the largest share counts");
    assert!(!split.matches && !split.settled);
}

#[tokio::test(start_paused = true)]
async fn routers_rise_in_order_and_fall_in_reverse() {
    let stand = Stand::at(several(), 0);
    let (cluster, plan) = stand.watched(|_| Fault::None);
    let router = stand.bind_on(&cluster).await;
    let patched = |from: usize| -> Vec<String> {
        let log = plan.log().into_iter().skip(from);
        let patches = log.filter(|line| line.contains("PATCH"));
        let name = |line: String| {
            let path = line.split(' ').nth(2).unwrap().to_owned();
            path.split('/').rev().nth(1).unwrap().to_owned()
        };
        patches.map(name).collect()
    };
    stand.settle(router.as_ref(), 25).await;
    assert_eq!(patched(0), ["virtualservices", "traefikservices"]);
    let before = plan.log().len();
    stand.settle(router.as_ref(), 5).await;
    assert_eq!(patched(before), ["traefikservices", "virtualservices"]);
}
