//! A member of a group: whatever is seen, and wherever the others are, it goes through no gate alone.

use canaryctl::domain::group::{Board, Standing, State};

use super::*;

const OTHER: &str = "other";

/// Where the other member is.
fn others() -> impl Strategy<Value = Standing> {
    let state = prop_oneof![
        8 => Just(State::Up),
        1 => Just(State::Promoted),
        1 => Just(State::Stopped("gone".to_owned())),
        1 => Just(State::Back { reason: "errors".to_owned(), follows: false }),
    ];
    let passed = prop_oneof![1 => Just(None), 6 => (0usize..7).prop_map(Some)];
    (state, passed, 0u32..=100).prop_map(|(state, passed, room)| Standing {
        state,
        passed,
        room: Percent::whole(room),
        phase: Phase::Holding,
        looked: true,
        app: OTHER.to_owned(),
    })
}

/// The rules of a member, beside those that hold for everybody.
fn keeps_to_the_group(
    before: &Release,
    seen: &Observation,
    decision: &Decision,
) -> Result<(), TestCaseError> {
    let after = &decision.release;
    let board = seen.group.as_ref().unwrap();
    let open = |gate: usize| board.behind(&before.app, gate).is_none();
    let steps = before.plan.steps.len();
    let forced = seen.request == Some(Request::Promote { force: true });
    let begins = before.phase < Phase::Shifting && after.phase == Phase::Shifting;
    if begins {
        prop_assert!(open(0), "the first step began before all were ready");
    }
    if after.step > before.step {
        prop_assert!(open(after.step), "a step was left alone");
    }
    if before.phase < Phase::PromoteShift && after.phase == Phase::PromoteShift {
        prop_assert!(forced || open(steps), "a promotion began alone");
    }
    if before.phase < Phase::PromoteReturn && after.phase == Phase::PromoteReturn {
        prop_assert!(open(steps + 1), "traffic returned to one stable alone");
    }
    let rises = matches!(after.phase, Phase::Shifting | Phase::PromoteShift);
    if let Action::Shift(weight) = decision.action
        && rises
        && weight > seen.split.set
    {
        let room = board.without_room(&before.app, weight).is_none();
        prop_assert!(room, "a weight rose before all had the pods for it");
    }
    prop_assert!(after.ending != Some(Outcome::Incomplete));
    prop_assert!(
        after.phase != Phase::UndoShift,
        "a failed promotion got more traffic"
    );
    let asked = matches!(
        seen.request,
        Some(Request::Rollback | Request::StepBack | Request::Interrupt)
    );
    if let Some(reason) = board.back(&before.app)
        && before.ending.is_none()
        && !asked
    {
        prop_assert_eq!(after.ending, Some(Outcome::RolledBack));
        prop_assert_eq!(after.reason.as_ref(), Some(&reason));
        prop_assert_eq!(after.cause, Some(Cause::Member));
    }
    Ok(())
}

proptest! {
    #[test]
    fn nobody_goes_through_a_gate_alone(
        plan in plans(),
        glances in prop::collection::vec((glances(), others()), 1..60),
    ) {
        let mut release = release(plan);
        let mut now = start();
        for (glance, other) in glances {
            now = later(now, glance.seconds);
            glance.brake(&mut release, now);
            let own = Standing::of(&release);
            let seen = Observation {
                group: Some(Board::new(vec![own, other])),
                ..glance.observe(&release, now)
            };
            let decision = decide(&release, &seen);
            keeps_the_rules(&release, &seen, &decision)?;
            keeps_to_the_group(&release, &seen, &decision)?;
            let again = decide(&decision.release, &seen);
            prop_assert!(again.release.step >= release.step);
            release = decision.release;
        }
    }
}
