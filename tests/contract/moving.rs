//! Reading what was written, writing nothing twice, and leaving everything else as it is.

use canaryctl::{domain::weight::Percent, sim::fault::Fault};

use super::{
    WEIGHTS, by_weights,
    fixtures::FIXTURES,
    stand::{Stand, writes},
};

#[tokio::test(start_paused = true)]
async fn what_is_written_is_read_back() {
    for fixture in FIXTURES {
        let stand = Stand::at(fixture, 0);
        let router = stand.bind().await;
        for percent in WEIGHTS.into_iter().chain(WEIGHTS.into_iter().rev()) {
            let split = stand.settle(router.as_ref(), percent).await;
            let title = format!("{} at {percent} %", fixture.title());
            let expected = Percent::share(fixture.canary(percent), fixture.sum);
            assert_eq!(split.set, expected, "{title}");
            assert_eq!(split.actual, expected, "{title}");
            assert!(split.matches && split.waits_for.is_none(), "{title}");
            assert_eq!(split.wanted, Percent::whole(percent), "{title}");
        }
    }
}

/// The objects are, byte by byte, those that a user would have written for the weight.
#[tokio::test(start_paused = true)]
async fn nothing_but_the_two_weights_changes() {
    for fixture in FIXTURES {
        let stand = Stand::at(fixture, 0);
        let router = stand.bind().await;
        for percent in [25, 99, 100, 1] {
            stand.settle(router.as_ref(), percent).await;
            let expected = Stand::at(fixture, percent).objects();
            let found = stand.objects();
            assert!(found.keys().eq(expected.keys()), "{}", fixture.title());
            for (name, text) in found {
                assert_eq!(
                    text,
                    expected[&name],
                    "{} at {percent} %: {name}",
                    fixture.title()
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn back_at_zero_everything_is_as_it_was() {
    for fixture in FIXTURES {
        let stand = Stand::at(fixture, 0);
        let before = stand.objects();
        let router = stand.bind().await;
        for percent in [5, 50, 0] {
            stand.settle(router.as_ref(), percent).await;
        }
        router.unpin().await.unwrap();
        assert_eq!(stand.objects(), before, "{}", fixture.title());
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_shift_writes_nothing() {
    for fixture in FIXTURES {
        let stand = Stand::at(fixture, 0);
        let (cluster, plan) = stand.watched(|_| Fault::None);
        let router = stand.bind_on(&cluster).await;
        for percent in [0, 25, 100, 1] {
            stand.settle(router.as_ref(), percent).await;
            let before = writes(&plan);
            let look = stand.look(router.as_ref()).await;
            let acts = router.shift(Percent::whole(percent), &look.scene()).await;
            assert_eq!(acts.unwrap(), [], "{} at {percent} %", fixture.title());
            assert_eq!(writes(&plan), before, "{} at {percent} %", fixture.title());
        }
        assert!(!writes(&plan).is_empty(), "{}", fixture.title());
    }
}

/// Every act says, field by field, what it changed.
#[tokio::test(start_paused = true)]
async fn an_act_names_the_fields_it_changes() {
    for fixture in by_weights() {
        let stand = Stand::at(fixture, 0);
        let router = stand.bind().await;
        let look = stand.look(router.as_ref()).await;
        let acts = router.shift(Percent::whole(25), &look.scene()).await;
        let acts = acts.unwrap();
        assert!(!acts.is_empty(), "{}", fixture.title());
        for act in acts {
            assert!(!act.changes.is_empty(), "{}: {}", fixture.title(), act.what);
            assert!(
                act.what.contains("25%"),
                "{}: {}",
                fixture.title(),
                act.what
            );
            for change in act.changes {
                let path = change.path.to_lowercase();
                let weight = path.contains("weight");
                assert!(weight, "{}: {}", fixture.title(), change.path);
                assert!(change.object.contains("shop/"), "{}", change.object);
                assert_ne!(change.from, change.to, "{}", fixture.title());
            }
        }
    }
}

/// A dry run asks the server and keeps nothing.
#[tokio::test(start_paused = true)]
async fn a_dry_connection_changes_nothing() {
    for fixture in FIXTURES {
        let stand = Stand::at(fixture, 0);
        let before = stand.objects();
        let router = stand.bind_on(&stand.cluster().dry()).await;
        let look = stand.look(router.as_ref()).await;
        let acts = router.shift(Percent::whole(25), &look.scene()).await;
        assert!(!acts.unwrap().is_empty(), "{}", fixture.title());
        assert_eq!(stand.objects(), before, "{}", fixture.title());
    }
}

/// Without configuration the router is found by what it divides, and only that one.
#[tokio::test(start_paused = true)]
async fn a_router_is_found_by_its_objects() {
    for fixture in by_weights() {
        let stand = Stand::at(fixture, 5);
        let survey = stand.survey_of_all().await;
        let found = canaryctl::traffic::PROVIDERS.iter().filter_map(|provider| {
            let (why, options) = provider.detect(&survey, "shop", &stand.target)?;
            (!provider.yields()).then_some((provider, why, options))
        });
        let found: Vec<_> = found.collect();
        let expected: &[&str] = match fixture.router {
            // Which fields hold weights is for a person to say, and so is that there are several.
            "pointer" => &[],
            "several" => &["istio", "traefik"],
            name => &[name],
        };
        let names: Vec<&str> = found.iter().map(|(p, ..)| p.name()).collect();
        assert_eq!(names, expected, "{}", fixture.title());
        for (provider, why, options) in found {
            assert!(why.contains("divides traffic"), "{why}");
            let cluster = stand.cluster();
            let router = provider.bind(&cluster, &stand.target, &options, &survey);
            let router = router.unwrap_or_else(|e| panic!("{}: {e}", fixture.title()));
            let look = stand.look(router.as_ref()).await;
            let split = router.read(Percent::whole(5), &look.scene()).unwrap();
            assert!(split.matches, "{}: {split:?}", fixture.title());
        }
    }
}
