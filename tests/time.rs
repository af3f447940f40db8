//! Time: what counts for a hold, whose clock is believed, and who is dead.
//!
//! A process may be stopped, a machine suspended, a clock set, an API server out of reach; two machines
//! never agree on the time. None of that passes a step that nobody looked at, blinds a run, or takes a
//! lock from a driver who lives.

use std::time::Duration;

use canaryctl::{
    clock::Clock,
    cluster::{Cluster, server_time},
    domain::{
        event::EventKind,
        plan::Plan,
        release::{Outcome, Phase, Process},
    },
    engine::{End, EngineError, start::Begun, start::Intent},
    journal::{Journal, JournalError, STALE, anchor::Stage},
    sim::fault::{self, Fault},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::support::{APP, Bench, NAMESPACE, STABLE, Sitting, auto, checked, plan};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Name of the journal.
const JOURNAL: &str = "canaryctl-payment-api";

impl Bench {
    /// A connection from a machine whose clock is `off`, and that clock.
    fn machine(&self, off: SignedDuration) -> (Cluster, Clock) {
        let clock = self.clock.elsewhere(off);
        let cluster = Cluster::new(self.sim.client(NAMESPACE), NAMESPACE, clock.clone());
        (cluster, clock)
    }

    /// Drives a release from such a machine.
    async fn drive_from(&self, off: SignedDuration, plan: Plan) -> Result<End, EngineError> {
        let mut sitting = self.sitting(auto(), plan);
        sitting.cluster = self.machine(off).0;
        self.run(sitting).await
    }

    /// Returns when the run entered a phase of a step for the first time.
    fn entered(&self, wanted: Phase, at_step: usize) -> Option<Timestamp> {
        let is = |kind: &EventKind| matches!(kind, EventKind::PhaseChanged { phase, step, .. } if *phase == wanted && *step == at_step);
        let kinds = self.kinds();
        kinds.iter().find(|(_, kind)| is(kind)).map(|(at, _)| *at)
    }

    /// Returns for how many seconds a step was held before the traffic moved on.
    fn held(&self, step: usize) -> i64 {
        let from = self.entered(Phase::Holding, step).unwrap();
        let next = self
            .entered(Phase::Shifting, step + 1)
            .or_else(|| self.entered(Phase::PromoteShift, step));
        let to = next.unwrap_or_else(|| panic!("it never moved on:\n{}", self.told()));
        to.duration_since(from).as_secs()
    }

    /// Edits the record as text.
    /// Has a driver of the run write the record as `change` makes it.
    async fn edit_record(&self, change: impl Fn(&mut Value)) {
        let cluster = self.cluster();
        let journal = Journal::new(cluster.clone(), APP);
        let mut saved = journal.load().await.unwrap().unwrap();
        let mut release = serde_json::to_value(&saved.release).unwrap();
        change(&mut release);
        saved.release = serde_json::from_value(release).unwrap();
        let mut all = cluster.deployments().await.unwrap().into_iter();
        let stable = all.find(|live| live.name() == STABLE).unwrap();
        journal
            .anchor(&stable, &saved, Stage::Forward)
            .await
            .unwrap();
        journal.save(&mut saved).await.unwrap();
    }
}

/// Runs a future that nobody runs for some seconds once `moment` has come, as after SIGSTOP, or on a
/// laptop whose lid is closed.
async fn stopped<T>(
    bench: &Bench,
    run: impl Future<Output = T>,
    moment: impl Future<Output = ()>,
    seconds: u64,
) -> T {
    let mut run = Box::pin(run);
    tokio::select! {
        biased;
        _ = &mut run => panic!("it ended before it was stopped:\n{}", bench.told()),
        () = moment => {}
    }
    bench.wait(seconds).await;
    run.await
}

// === looks ===

#[tokio::test(start_paused = true)]
async fn looks_come_at_their_interval() {
    for interval in [7, 25, 40] {
        let bench = Bench::new("healthy");
        let mut order = plan(&[50], 200);
        order.interval = Duration::from_secs(interval);
        bench.ends(auto(), order, Outcome::Promoted).await;
        let from = bench.entered(Phase::Holding, 1).unwrap();
        let to = bench.entered(Phase::PromoteShift, 1).unwrap();
        let at = |(at, kind): (Timestamp, EventKind)| {
            let look = matches!(kind, EventKind::Checked { .. });
            (look && at >= from && at < to).then_some(at)
        };
        let looks: Vec<Timestamp> = bench.kinds().into_iter().filter_map(at).collect();
        let pauses: Vec<i64> = looks
            .windows(2)
            .map(|pair| pair[1].duration_since(pair[0]).as_secs())
            .collect();
        let wanted = i64::try_from(interval).unwrap();
        // The last one comes when the hold is over.
        let regular = &pauses[..pauses.len() - 1];
        assert!(regular.len() >= 3, "{pauses:?}");
        let near = |pause: &i64| (wanted..=wanted + 1).contains(pause);
        assert!(regular.iter().all(near), "{interval}: {pauses:?}");
    }
}

// === holds ===

#[tokio::test(start_paused = true)]
async fn a_stopped_process_passes_no_step_without_looking() {
    for (hold, before, stop) in [(60, 5, 62), (60, 30, 3600), (300, 100, 320)] {
        let bench = Bench::new("healthy");
        let moment = async {
            bench.until_step(1).await;
            bench.wait(before).await;
        };
        let run = bench.drive(auto(), plan(&[10, 50], hold));
        let end = stopped(&bench, run, moment, stop).await.unwrap();
        assert_eq!(end.outcome, Outcome::Promoted, "{}", bench.told());
        // What a round may take longer than it waited is nobody's fault.
        let (took, both) = (bench.held(1), i64::try_from(hold + stop).unwrap());
        assert!(took >= both - 21, "{took} s\n{}", bench.told());
        assert!(took <= both + 30, "{took} s\n{}", bench.told());
        assert!(bench.was_told("no evaluation for"), "{}", bench.told());
    }
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_breaks_while_nobody_looks_is_rolled_back() {
    let bench = Bench::new("crash-loop");
    let moment = async {
        bench.until_step(1).await;
        bench.wait(1).await;
    };
    let run = bench.drive(auto(), plan(&[10, 50], 60));
    let end = stopped(&bench, run, moment, 62).await.unwrap();
    assert_eq!(end.outcome, Outcome::RolledBack, "{}", bench.told());
    assert_eq!(bench.entered(Phase::Shifting, 2), None, "{}", bench.told());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_skips_no_hold() {
    for off in [SignedDuration::from_mins(31), -HOUR] {
        let bench = Bench::new("healthy");
        let mut order = plan(&[10], 1800);
        order.interval = Duration::from_secs(30);
        let mut sitting = bench.sitting(auto(), order);
        let (cluster, clock) = bench.machine(SignedDuration::ZERO);
        sitting.cluster = cluster;
        let somebody = async {
            bench.until_step(1).await;
            bench.wait(5).await;
            clock.set_wall(off);
        };
        let (end, ()) = tokio::join!(bench.run(sitting), somebody);
        assert_eq!(end.unwrap().outcome, Outcome::Promoted);
        assert!((1800..=1830).contains(&bench.held(1)), "{}", bench.held(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_blinds_no_run() {
    let bench = Bench::new("crash-loop");
    let mut sitting = bench.sitting(auto(), plan(&[10, 50], 1800));
    let (cluster, clock) = bench.machine(SignedDuration::ZERO);
    sitting.cluster = cluster;
    let somebody = async {
        bench.until_step(1).await;
        clock.set_wall(-HOUR);
        bench.clock.now()
    };
    let (end, set) = tokio::join!(bench.run(sitting), somebody);
    assert_eq!(end.unwrap().outcome, Outcome::RolledBack);
    let back = bench.entered(Phase::RollingBack, 1).unwrap();
    assert!(back.duration_since(set).as_secs() < 120, "{}", bench.told());
}

#[tokio::test(start_paused = true)]
async fn an_outage_counts_for_no_hold_and_against_no_deadline() {
    let bench = Bench::new("healthy");
    let mut order = plan(&[10, 50], 120);
    order.steps[0].deadline = Duration::from_secs(130);
    let began = bench.clock.now();
    let clock = bench.clock.clone();
    let faults = fault::Plan::new(bench.clock.clone(), move |_| {
        let age = clock.now().duration_since(began).as_secs();
        if (60..260).contains(&age) {
            Fault::RequestLost
        } else {
            Fault::None
        }
    });
    let mut sitting = bench.sitting(auto(), order);
    sitting.cluster = bench.faulty(&faults);
    let end = bench.run(sitting).await.unwrap();
    assert_eq!(end.outcome, Outcome::Promoted, "{}", bench.told());
    assert!(bench.held(1) >= 120 + 170, "{}", bench.held(1));
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_evidence_never_comes_ends_though_it_is_stopped_again_and_again() {
    let bench = Bench::new("no-data");
    let mut run = Box::pin(bench.drive(auto(), checked(&[10], 60)));
    let ended = async {
        loop {
            let first = bench.clock.timeout(Duration::from_secs(15), &mut run).await;
            if let Ok(end) = first {
                return end.unwrap();
            }
            bench.wait(45).await;
        }
    };
    let end = bench.clock.timeout(Duration::from_secs(3 * 3600), ended);
    let end = end
        .await
        .unwrap_or_else(|_| panic!("no end:\n{}", bench.told()));
    assert_eq!(end.outcome, Outcome::Paused, "{}", bench.told());
}

// === ticks ===

#[tokio::test(start_paused = true)]
async fn a_job_that_did_not_come_for_hours_has_held_nothing_meanwhile() {
    for (pause, least, most) in [(300, 1500, 2400), (3600, 4 * 3600, 7 * 3600)] {
        let bench = Bench::new("healthy");
        let tick = || {
            let mut sitting = bench.sitting(auto(), plan(&[10, 50], 1500));
            sitting.once = true;
            bench.run(sitting)
        };
        while bench.entered(Phase::Holding, 1).is_none() {
            tick().await.unwrap();
            bench.wait(5).await;
        }
        while bench.entered(Phase::Shifting, 2).is_none() {
            bench.wait(pause).await;
            tick().await.unwrap();
        }
        let held = bench.held(1);
        assert!(
            (least..=most).contains(&held),
            "{held} s, a tick each {pause} s"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn ticks_of_two_machines_with_other_clocks_add_up() {
    let bench = Bench::new("healthy");
    let mut turns = [HOUR, -HOUR, SignedDuration::ZERO].into_iter().cycle();
    let mut tick = || {
        let mut sitting = bench.sitting(auto(), plan(&[10, 50], 900));
        sitting.once = true;
        sitting.cluster = bench.machine(turns.next().unwrap()).0;
        bench.run(sitting)
    };
    let mut ticks = 0;
    while bench.entered(Phase::Shifting, 2).is_none() {
        tick().await.unwrap();
        bench
            .wait(if bench.entered(Phase::Holding, 1).is_some() {
                180
            } else {
                5
            })
            .await;
        ticks += 1;
        assert!(ticks < 60, "{}", bench.told());
    }
    let held = bench.held(1);
    assert!((880..=1100).contains(&held), "{held} s");
}

// === whose clock ===

#[tokio::test(start_paused = true)]
async fn a_machine_whose_clock_is_off_goes_by_the_servers() {
    for off in [HOUR, -HOUR, SignedDuration::from_mins(2)] {
        let bench = Bench::new("healthy");
        let (cluster, clock) = bench.machine(off);
        let mut sitting = bench.sitting(auto(), plan(&[10], 60));
        sitting.cluster = cluster.clone();
        let began = bench.clock.now();
        assert_eq!(bench.run(sitting).await.unwrap().outcome, Outcome::Promoted);
        let apart = bench.record().await.started.duration_since(began);
        assert!(apart.abs() < SignedDuration::from_secs(3), "{apart:?}");
        let ahead = cluster.clock_ahead().unwrap();
        assert!((ahead - off).abs() <= SignedDuration::from_secs(2));
        assert!(server_time::off(ahead).is_some());
        assert_eq!(clock.wall().duration_since(bench.clock.now()), off);
    }
}

#[tokio::test(start_paused = true)]
async fn progress_that_is_written_down_is_kept_whatever_the_clock_says() {
    for off in [HOUR, -HOUR] {
        let bench = Bench::new("healthy");
        let moment = async {
            bench.until_step(1).await;
            bench.wait(300).await;
        };
        tokio::select! {
            biased;
            _ = bench.drive(auto(), plan(&[10, 50], 600)) => panic!("{}", bench.told()),
            () = moment => {}
        }
        // As if it had been written with a clock that was off: an older version did not mind.
        let moved_by = |release: &mut Value| {
            let moved = |at: &Value| {
                let at: Timestamp = at.as_str().unwrap().parse().unwrap();
                Value::from((at + off).to_string())
            };
            for field in ["since", "stepSince", "started"] {
                release[field] = moved(&release[field]);
            }
            for field in ["since", "heartbeat"] {
                release["holder"][field] = moved(&release["holder"][field]);
            }
        };
        bench.edit_record(moved_by).await;
        bench.events.lock().unwrap().clear();
        let mut heir = bench.sitting(auto(), plan(&[10, 50], 600));
        heir.cluster = bench.machine(SignedDuration::ZERO).0;
        let began = bench.clock.uptime();
        let kept = async {
            bench
                .until(|e| {
                    matches!(
                        e,
                        EventKind::PhaseChanged {
                            phase: Phase::Shifting,
                            ..
                        }
                    )
                })
                .await;
            bench.clock.uptime().saturating_sub(began)
        };
        let (end, took) = tokio::join!(bench.run(heir), kept);
        assert_eq!(end.unwrap().outcome, Outcome::Promoted);
        let took = took.as_secs();
        assert!((270..=340).contains(&took), "{took} s more, {off:?}");
    }
}

// === locks ===

/// Begins a second run beside one that goes on, on a machine whose clock is off.
async fn second(bench: &Bench, off: SignedDuration, after: u64) -> (Result<End, EngineError>, i64) {
    bench.until_step(1).await;
    bench.wait(after).await;
    let mut sitting = bench.sitting(auto(), plan(&[10, 50], 300));
    sitting.holder = "holder-2".into();
    sitting.cluster = bench.machine(off).0;
    let began = bench.clock.now();
    let end = bench.run(sitting).await;
    (end, bench.clock.now().duration_since(began).as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_driver_who_lives_keeps_its_lock_whatever_the_clocks_say() {
    for (ours, theirs) in [(0, 120), (7200, 0), (-3600, 3600)] {
        let bench = Bench::new("healthy");
        let first = bench.drive_from(SignedDuration::from_secs(ours), plan(&[10, 50], 300));
        let second = second(&bench, SignedDuration::from_secs(theirs), 15);
        let (first, (second, waited)) = tokio::join!(first, second);
        assert_eq!(first.unwrap().outcome, Outcome::Promoted);
        assert!(
            matches!(second, Err(EngineError::Journal(JournalError::Held { .. }))),
            "{second:?}"
        );
        assert!(waited <= 32, "told after {waited} s");
        assert!(
            bench.was_told("no sign of life seen for 0s"),
            "{}",
            bench.told()
        );
    }
}

/// Drives a release and kills the driver in the first step, and returns how long another one waits.
async fn inherited(
    bench: &Bench,
    after: u64,
    process: Option<Process>,
    edit: impl Fn(&mut Sitting),
) -> i64 {
    let moment = async {
        bench.until_step(1).await;
        bench.wait(25).await;
    };
    let mut first = bench.sitting(auto(), plan(&[10, 50], 300));
    first.process = process;
    tokio::select! {
        biased;
        _ = bench.run(first) => panic!("{}", bench.told()),
        () = moment => {}
    }
    bench.wait(after).await;
    let mut heir = bench.sitting(auto(), plan(&[10, 50], 300));
    heir.holder = "holder-2".into();
    heir.cluster = bench.machine(SignedDuration::ZERO).0;
    heir.is_gone = |process| process.pid == 1;
    edit(&mut heir);
    let began = bench.clock.now();
    let result = bench.begin(&heir).await;
    let Ok(Begun::Run(_)) = result else {
        panic!("{:?}\n{}", result.err(), bench.told());
    };
    bench.clock.now().duration_since(began).as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_dead_driver_is_followed_after_the_same_time_whatever_the_clocks_say() {
    let stale = i64::try_from(STALE.as_secs()).unwrap();
    for off in [SignedDuration::ZERO, HOUR, -HOUR] {
        let bench = Bench::new("healthy");
        let edit = |sitting: &mut Sitting| sitting.cluster = bench.machine(off).0;
        let waited = inherited(&bench, 0, None, edit).await;
        assert!((stale..=stale + 5).contains(&waited), "{waited} s");
        // Dead for longer than any server's clock is off.
        let bench = Bench::new("healthy");
        let edit = |sitting: &mut Sitting| sitting.cluster = bench.machine(off).0;
        assert_eq!(inherited(&bench, 180, None, edit).await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_gone_from_this_machine_is_followed_at_once() {
    let first = Process {
        machine: "boot-1 pid:[1]".into(),
        pid: 1,
        began: 1,
    };
    let heir = |machine: &str| Process {
        machine: machine.into(),
        pid: 2,
        began: 7,
    };
    for (machine, pid, who, waits) in [
        ("boot-1 pid:[1]", 1, "holder-1@host", false),
        // Another container, another start of the machine, a process that lives, another job.
        ("boot-1 pid:[2]", 1, "holder-1@host", true),
        ("boot-2 pid:[1]", 1, "holder-1@host", true),
        ("boot-1 pid:[1]", 3, "holder-1@host", true),
        ("boot-1 pid:[1]", 1, "https://ci.example/jobs/8", true),
    ] {
        let bench = Bench::new("healthy");
        let first = Process {
            pid,
            ..first.clone()
        };
        let edit = |sitting: &mut Sitting| {
            let heir = Some(heir(machine));
            (sitting.process, sitting.who) = (heir, Some(who.to_owned()));
        };
        let waited = inherited(&bench, 0, Some(first), edit).await;
        assert_eq!(waited > 0, waits, "{machine} {pid} {who}: {waited} s");
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_label_is_no_sign_of_life() {
    let bench = Bench::new("healthy");
    let meddler = async {
        bench.until_step(1).await;
        bench.wait(26).await;
        loop {
            bench.wait(7).await;
            let second = bench.clock.now().as_second().to_string();
            bench.edit("configmaps", JOURNAL, |map| {
                map["metadata"]["labels"]["seen"] = second.into();
            });
        }
    };
    // The driver lives for its first step, and then shows nothing any more.
    let waited = tokio::select! {
        biased;
        waited = inherited(&bench, 0, None, |_| {}) => waited,
        () = meddler => unreachable!(),
    };
    assert!((90..=95).contains(&waited), "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_let_go_of_is_taken_at_once() {
    let bench = Bench::new("healthy");
    let leaver = async {
        bench.until_step(1).await;
        bench.wait(20).await;
        bench
            .requests
            .send_replace(Some(canaryctl::domain::decide::Request::Hold));
    };
    let heir = async {
        bench.until_step(1).await;
        bench.wait(19).await;
        let mut sitting = bench.sitting(auto(), plan(&[10, 50], 300));
        sitting.holder = "holder-2".into();
        let began = bench.clock.now();
        let result = bench.begin(&sitting).await;
        assert!(matches!(result, Ok(Begun::Run(_))), "{:?}", result.err());
        bench.clock.now().duration_since(began).as_secs()
    };
    let (end, (), waited) = tokio::join!(bench.drive(auto(), plan(&[10, 50], 300)), leaver, heir);
    assert_eq!(end.unwrap().outcome, Outcome::Paused);
    assert!(waited <= 4, "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_and_a_look_wait_for_no_lock() {
    for intent in [Intent::Rollback, Intent::Look] {
        let bench = Bench::new("healthy");
        let other = async {
            bench.until_step(1).await;
            bench.wait(15).await;
            let mut sitting = bench.sitting(intent.clone(), plan(&[10, 50], 300));
            sitting.holder = "holder-2".into();
            let began = bench.clock.now();
            let result = bench.begin(&sitting).await;
            assert!(matches!(result, Ok(Begun::Run(_))), "{:?}", result.err());
            bench.clock.now().duration_since(began).as_secs()
        };
        let first = bench.drive(auto(), plan(&[10, 50], 300));
        let (_, waited) = tokio::join!(first, other);
        assert_eq!(waited, 0);
    }
}
