//! The end of a step that nothing proves: what goes out, what stays, and why.

use super::*;

const DEADLINE: u64 = 900;

/// What one check says at the end of a step.
#[derive(Clone, Copy)]
struct Says {
    verdict: Verdict,
    severity: Severity,
    against: bool,
    hopeless: bool,
}

const UNKNOWN: Says = Says {
    verdict: Verdict::Unknown,
    severity: Severity::Rollback,
    against: false,
    hopeless: false,
};

const HEALTHY: Says = Says {
    verdict: Verdict::Healthy,
    ..UNKNOWN
};

const AGAINST: Says = Says {
    against: true,
    ..UNKNOWN
};

fn plan(on_unknown: OnTrouble, on_unknown_unset: bool) -> Plan {
    let step = |weight| Step {
        weight: Percent::whole(weight),
        hold: Duration::from_secs(300),
        early: None,
        approve: false,
        deadline: Duration::from_secs(DEADLINE),
    };
    Plan {
        steps: vec![step(25), step(50)],
        checks: vec![health::pods::default_check()],
        metrics: None,
        load: None,
        interval: Duration::from_secs(10),
        brake: true,
        warmup: Duration::ZERO,
        patient: false,
        on_unknown,
        on_unknown_unset,
        on_failure: OnTrouble::Rollback,
        on_interrupt: OnTrouble::Rollback,
        promote: Promotion {
            strategy: Way::Template,
            canary: Cleanup::ScaleDown,
            auto: true,
        },
        drain: Duration::from_secs(30),
        ready_timeout: Duration::from_secs(60),
        promote_timeout: Duration::from_secs(60),
    }
}

/// Decides at 25 %, `seconds` after the step began.
fn at(plan: Plan, seconds: u64, says: &[Says]) -> Decision {
    let mut release = release(plan);
    release.phase = Phase::Holding;
    release.target = Percent::whole(20);
    let mut world = World::new();
    (world.stable.1, world.canary) = (8, Some(2));
    world.now = later(start(), seconds);
    let mut seen = world.observe(&release, FINE, None);
    let said = |(at, says): (usize, &Says)| CheckResult {
        name: if at == 0 {
            "pods".into()
        } else {
            format!("check-{at}")
        },
        severity: says.severity,
        hopeless: says.hopeless,
        against: says
            .against
            .then(|| format!("check-{at}: 5.7 % of 12,140 requests failed (limit ≤ 5 %)")),
        text: format!("check-{at}: 5.7 % (690 of 12,140 requests)"),
        ..result(says.verdict)
    };
    seen.canary_checks = says.iter().enumerate().map(said).collect();
    decide(&release, &seen)
}

/// Whether the canary goes out, and why; else the text of the pause, or nothing while the step goes on.
fn ending(decision: &Decision) -> (Option<Cause>, String) {
    let release = &decision.release;
    match &decision.action {
        _ if release.phase == Phase::RollingBack => {
            assert_eq!(release.ending, Some(Outcome::RolledBack));
            assert_eq!(release.target, Percent::ZERO);
            (release.cause, release.reason.clone().unwrap())
        }
        Action::Stop(Outcome::Paused, text) => (None, text.clone()),
        Action::Wait { .. } => (None, String::new()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_evidence_the_canary_stays_with_a_person_and_goes_out_with_nobody() {
    let unwatched = "no terminal, so the canary is rolled back (onUnknown: hold keeps it)";
    let hopeless = Says {
        hopeless: true,
        ..UNKNOWN
    };
    for (on_unknown, unset, cause, told) in [
        (OnTrouble::Hold, true, None, false),
        (OnTrouble::Hold, false, None, false),
        (OnTrouble::Rollback, true, Some(Cause::Unknown), true),
        (OnTrouble::Rollback, false, Some(Cause::Unknown), false),
    ] {
        for (seconds, says) in [
            (DEADLINE, UNKNOWN),
            (DEADLINE + 60, UNKNOWN),
            (310, hopeless),
        ] {
            let decision = at(plan(on_unknown, unset), seconds, &[HEALTHY, says]);
            let (found, text) = ending(&decision);
            assert_eq!(found, cause, "{on_unknown:?} {unset}: {text}");
            assert!(text.starts_with("not enough data: check-1: "), "{text}");
            assert_eq!(text.ends_with(unwatched), told, "{text}");
        }
        // Before the deadline the step goes on.
        let decision = at(plan(on_unknown, unset), DEADLINE - 1, &[HEALTHY, UNKNOWN]);
        assert_eq!(ending(&decision), (None, String::new()));
    }
}

#[test]
fn what_a_check_says_of_itself_wins_over_who_is_there() {
    let own = |on_unknown| {
        let mut plan = plan(OnTrouble::Rollback, true);
        plan.checks[0].on_unknown = Some(on_unknown);
        plan
    };
    let decision = at(own(OnTrouble::Hold), DEADLINE, &[UNKNOWN]);
    assert_eq!(ending(&decision).0, None, "{decision:?}");
    let decision = at(own(OnTrouble::Rollback), DEADLINE, &[UNKNOWN]);
    let (cause, text) = ending(&decision);
    assert_eq!(cause, Some(Cause::Unknown));
    assert!(!text.contains("no terminal"), "it was asked for: {text}");
    // Another check that does not know, and says nothing, is not held by it.
    let decision = at(own(OnTrouble::Hold), DEADLINE, &[UNKNOWN, UNKNOWN]);
    let (cause, text) = ending(&decision);
    assert_eq!(cause, Some(Cause::Unknown));
    assert!(text.contains("no terminal"), "{text}");
}

#[test]
fn evidence_against_the_canary_takes_it_out_whoever_is_there() {
    for (on_unknown, unset) in [
        (OnTrouble::Hold, true),
        (OnTrouble::Hold, false),
        (OnTrouble::Rollback, true),
    ] {
        let decision = at(
            plan(on_unknown, unset),
            DEADLINE,
            &[HEALTHY, AGAINST, UNKNOWN],
        );
        let (cause, text) = ending(&decision);
        assert_eq!(cause, Some(Cause::Unhealthy));
        assert_eq!(
            text,
            "check-1: 5.7 % of 12,140 requests failed (limit ≤ 5 %), at the deadline of 15m"
        );
        let hopeless = Says {
            hopeless: true,
            ..UNKNOWN
        };
        let decision = at(plan(on_unknown, unset), 400, &[AGAINST, hopeless]);
        let (cause, text) = ending(&decision);
        assert_eq!(cause, Some(Cause::Unhealthy));
        assert!(text.ends_with(", and waiting brings no answer"), "{text}");
        // Not before its time is over.
        let decision = at(plan(on_unknown, unset), 400, &[AGAINST, UNKNOWN]);
        assert_eq!(ending(&decision), (None, String::new()));
    }
}

#[test]
fn evidence_against_the_canary_does_what_the_plan_says_of_failures() {
    let holding = Plan {
        on_failure: OnTrouble::Hold,
        ..plan(OnTrouble::Rollback, true)
    };
    let decision = at(holding, DEADLINE, &[AGAINST]);
    assert_eq!(decision.release.cause, Some(Cause::Unhealthy));
    assert!(
        matches!(&decision.action, Action::Stop(Outcome::Paused, text) if text.contains("12,140")),
        "{decision:?}"
    );
    // A check that may only hold holds; beside one that may roll back it does not keep it from that.
    let holds = Says {
        severity: Severity::Hold,
        ..AGAINST
    };
    let unset = || plan(OnTrouble::Rollback, true);
    let decision = at(unset(), DEADLINE, &[holds]);
    assert!(
        matches!(&decision.action, Action::Stop(Outcome::Paused, _)),
        "{decision:?}"
    );
    let decision = at(unset(), DEADLINE, &[holds, AGAINST]);
    assert_eq!(ending(&decision).0, Some(Cause::Unhealthy));
    // What only warns is no reason.
    let warns = Says {
        severity: Severity::Warn,
        ..AGAINST
    };
    let decision = at(plan(OnTrouble::Hold, false), DEADLINE, &[warns, UNKNOWN]);
    assert_eq!(ending(&decision).0, None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever leans which way and whoever is there: a step without a known verdict never advances, and
    /// from its deadline on it is over.
    #[test]
    fn a_step_that_is_not_proven_never_advances_and_ends_at_its_deadline(
        (seconds, unset) in (0u64..2000, any::<bool>()),
        on_unknown in select(vec![OnTrouble::Hold, OnTrouble::Rollback]),
        on_failure in select(vec![OnTrouble::Hold, OnTrouble::Rollback]),
        says in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 1..4),
    ) {
        let says: Vec<Says> = says
            .into_iter()
            .map(|(unknown, against, hopeless)| Says {
                against: unknown && against,
                hopeless: unknown && hopeless,
                ..if unknown { UNKNOWN } else { HEALTHY }
            })
            .chain([UNKNOWN])
            .collect();
        let plan = Plan { on_failure, ..plan(on_unknown, unset) };
        let decision = at(plan, seconds, &says);
        prop_assert_eq!(decision.release.step, 0);
        prop_assert!(decision.release.ending != Some(Outcome::Promoted));
        let over = seconds >= DEADLINE || says.iter().any(|says| says.hopeless);
        let goes_on = matches!(decision.action, Action::Wait { .. })
            && decision.release.phase == Phase::Holding;
        prop_assert_eq!(goes_on, !over, "{:?}", decision.action);
        let against = says.iter().any(|says| says.against);
        if over && against {
            prop_assert_eq!(decision.release.cause, Some(Cause::Unhealthy));
        }
    }
}
