//! No weight goes to a side without ready pods, in either direction.

use canaryctl::{
    domain::weight::Percent,
    sim::{fault::Fault, store::Key},
};

use super::{
    by_weights,
    fixtures::Fixture,
    stand::{NAMESPACE, Stand, writes},
};

/// Asks for a weight that must wait, and returns what it waits for.
async fn waits(stand: &Stand, fixture: &Fixture, percent: u32) -> String {
    let to = Percent::whole(percent);
    let (cluster, plan) = stand.watched(|_| Fault::None);
    let router = stand.bind_on(&cluster).await;
    let before = stand.objects();
    for _ in 0..3 {
        let look = stand.look(router.as_ref()).await;
        let split = router.read(to, &look.scene()).unwrap();
        assert!(!split.settled, "{}: {split:?}", fixture.title());
        let acts = router.shift(to, &look.scene()).await.unwrap();
        assert_eq!(acts, [], "{}", fixture.title());
        stand.wait(1).await;
    }
    assert_eq!(writes(&plan), Vec::<String>::new(), "{}", fixture.title());
    assert_eq!(stand.objects(), before, "{}", fixture.title());
    let look = stand.look(router.as_ref()).await;
    let split = router.read(to, &look.scene()).unwrap();
    split.waits_for.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_canary_without_ready_pods_gets_nothing() {
    for fixture in by_weights() {
        let stand = Stand::at(fixture, 0);
        stand.scale("web-canary", 0).await;
        let waits_for = waits(&stand, fixture, 25).await;
        assert!(
            waits_for.contains("web-canary: 0/1 pods ready"),
            "{}: {waits_for}",
            fixture.title()
        );
        // As soon as it has them, it goes on.
        stand.scale("web-canary", 1).await;
        let router = stand.bind().await;
        stand.settle(router.as_ref(), 25).await;
    }
}

/// A weight needs as many ready pods as it has of the traffic.
#[tokio::test(start_paused = true)]
async fn too_few_ready_pods_get_no_more() {
    for fixture in by_weights() {
        let stand = Stand::at(fixture, 0);
        stand.scale("web-canary", 2).await;
        let router = stand.bind().await;
        stand.settle(router.as_ref(), 50).await;
        let waits_for = waits(&stand, fixture, 75).await;
        assert!(
            waits_for.contains("web-canary: 2/3 pods ready"),
            "{}: {waits_for}",
            fixture.title()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn stable_without_ready_pods_gets_nothing_back() {
    for fixture in by_weights() {
        let stand = Stand::at(fixture, 0);
        let router = stand.bind().await;
        stand.settle(router.as_ref(), 100).await;
        stand.scale("web-stable", 0).await;
        let waits_for = waits(&stand, fixture, 0).await;
        assert!(
            waits_for.contains("web-stable: no pod ready"),
            "{}: {waits_for}",
            fixture.title()
        );
        stand.scale("web-stable", 4).await;
        stand.settle(router.as_ref(), 0).await;
    }
}

/// Where the canary is gone altogether, its weight goes back: nobody is served there.
#[tokio::test(start_paused = true)]
async fn a_canary_that_is_gone_loses_its_weight() {
    for fixture in by_weights() {
        let stand = Stand::at(fixture, 0);
        let router = stand.bind().await;
        stand.settle(router.as_ref(), 50).await;
        let canary = Key::new("apps", "deployments", NAMESPACE, "web-canary");
        stand.sim.world().store().delete(&canary, false).unwrap();
        stand.wait(60).await;
        let split = stand.settle(router.as_ref(), 0).await;
        assert_eq!((split.set, split.canary_ready), (Percent::ZERO, 0));
    }
}
