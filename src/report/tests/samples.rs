//! The release that the tests show.

use jiff::Timestamp;

use crate::{
    domain::{
        check::Severity as Weight,
        event::{Event, EventKind},
        release::{Cause, Entry, Holder, Outcome, Phase},
        split::Split,
        unit::Unit,
        verdict::{CheckResult, Unknown, Verdict},
        view::{
            CheckView, Finding, HistoryRun, HistoryView, ReleaseLine, RunView, Severity, StatusView,
        },
        weight::Percent,
        workload::{Pod, Track, Workload},
    },
    report::{closing::Invocation, style::Style},
};

/// Styles that every screen must fit.
pub(super) fn styles() -> Vec<Style> {
    let mut styles = Vec::new();
    for width in [60, 80, 120] {
        for color in [false, true] {
            for unicode in [false, true] {
                styles.push(Style {
                    color,
                    unicode,
                    width,
                });
            }
        }
    }
    styles
}

pub(super) fn plain(width: usize) -> Style {
    Style {
        color: false,
        unicode: true,
        width,
    }
}

pub(super) fn ascii(width: usize) -> Style {
    Style {
        unicode: false,
        ..plain(width)
    }
}

pub(super) fn color(width: usize) -> Style {
    Style {
        color: true,
        ..plain(width)
    }
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_744_449_243 + seconds).unwrap()
}

pub(super) fn invocation() -> Invocation {
    Invocation {
        app: "payment-api".into(),
        namespace: "orion".into(),
        invoked_as: "canaryctl".into(),
        flags: Vec::new(),
        sandbox: None,
    }
}

pub(super) fn split(wanted: u32, stable: u32, canary: u32) -> Split {
    let actual = Percent::share(canary, stable + canary);
    Split {
        wanted: Percent::whole(wanted),
        set: actual,
        actual,
        matches: true,
        settled: true,
        stable_ready: stable,
        canary_ready: canary,
        detail: format!("{canary} of {} pods", stable + canary),
        pinned: Vec::new(),
        routes: Vec::new(),
        waits_for: None,
    }
}

pub(super) fn result(name: &str, verdict: Verdict, text: &str) -> CheckResult {
    CheckResult {
        name: name.into(),
        probe: "test".into(),
        verdict,
        unknown: None,
        unit: Unit::Plain,
        value: None,
        stable: None,
        interval: None,
        evidence: None,
        confidence: None,
        hopeless: false,
        against: None,
        blamed: false,
        proven: None,
        limit: "≤ 500".into(),
        samples: 3,
        severity: Weight::Rollback,
        text: format!("{name}: {text}"),
    }
}

pub(super) fn checks() -> Vec<CheckResult> {
    vec![
        CheckResult {
            limit: "ready, ≤ 3 restarts".into(),
            ..result("pods", Verdict::Healthy, "3 of 3 ready, 0 restarts")
        },
        CheckResult {
            unknown: Some(Unknown::TooFew),
            unit: Unit::Share,
            value: Some(0.960_78),
            limit: "≥ 95%".into(),
            samples: 51,
            ..result(
                "success rate",
                Verdict::Unknown,
                "96.08% (49 of 51 requests), 60 wanted",
            )
        },
        CheckResult {
            value: Some(812.0),
            severity: Weight::Warn,
            ..result(
                "p95 latency",
                Verdict::Unhealthy,
                "10.0.3.7: 812 is above 500 (2 looks in a row)",
            )
        },
    ]
}

pub(super) fn workload(name: &str, tag: &str, ready: u32, replicas: u32) -> Workload {
    let image = format!("registry.example.com/payments/backend/{name}:{tag}");
    Workload {
        name: name.into(),
        replicas,
        existing: replicas,
        updated: replicas,
        ready,
        available: ready,
        observed: true,
        images: [("app".to_owned(), image)].into(),
        revision: "7f3c1a2b9d8e".into(),
        ..Workload::default()
    }
}

pub(super) fn crashing() -> Pod {
    let text = "back-off 40s restarting failed container=app pod=payment-api-canary-7d9f-x2x4k";
    Pod {
        name: "payment-api-canary-7d9f-x2x4k".into(),
        ready: false,
        ready_since: None,
        terminating: false,
        current: true,
        created: at(0),
        restarts: 4,
        waiting: vec![("app".into(), "CrashLoopBackOff".into(), text.into())],
        last_end: Some("OOMKilled".into()),
        probed: None,
        unschedulable: None,
    }
}

pub(super) fn run() -> RunView {
    RunView {
        group: None,
        passed: None,
        id: "a1b2".into(),
        phase: Phase::Holding,
        step: 2,
        steps: [5, 25, 50, 100].map(Percent::whole).to_vec(),
        target: Percent::whole(25),
        braked: None,
        since: at(99),
        started: at(0),
        ended: None,
        outcome: None,
        reason: None,
        holder: Some(Holder {
            id: "p1".into(),
            who: "ana@laptop".into(),
            since: at(0),
            heartbeat: at(127),
            process: None,
        }),
    }
}

pub(super) fn view() -> StatusView {
    StatusView {
        doubt: None,
        version: 1,
        app: "payment-api".into(),
        namespace: "orion".into(),
        router: "replicas".into(),
        found_by: vec!["payment-api-stable and payment-api-canary by their names".into()],
        run: Some(run()),
        split: Some(split(25, 9, 3)),
        served: None,
        stable: Some(workload("payment-api", "1.4.2", 9, 9)),
        canary: Some(workload("payment-api", "1.5.0", 3, 3)),
        checks: checks(),
        waits_for: Some("29s more at 25%".into()),
        next: "canaryctl monitor payment-api -n orion".into(),
        undo: Some("canaryctl rollback payment-api -n orion".into()),
    }
}

/// The night nobody wants: the canary crashes, the route is drifting, the texts are hostile.
pub(super) fn hostile() -> StatusView {
    let evil = "\u{1b}[2J\u{1b}[31mall is well\u{1b}[0m\r\n\u{202e}gnihtyreve\u{9b}1m\u{200b}";
    let long = "a-very-long-name-that-somebody-thought-was-a-good-idea-for-a-service-in-production";
    let mut view = view();
    let mut canary = workload(long, "1.5.0\nfake: line", 0, 12);
    let digest = "0123456789abcdef".repeat(4);
    let sidecar = format!("docker.io/istio/proxyv2:1.22@sha256:{digest}");
    canary.images.insert("sidecar".into(), sidecar);
    canary.images.insert(evil.into(), evil.into());
    canary.pods = vec![crashing(), crashing()];
    canary.pods[1].unschedulable = Some(evil.into());
    canary.refused = Some(evil.into());
    canary.stalled = Some(long.into());
    (view.app, view.namespace) = (long.into(), evil.into());
    view.canary = Some(canary);
    view.split = Some(Split {
        set: Percent::whole(40),
        settled: false,
        detail: evil.into(),
        pinned: vec![long.into(), evil.into()],
        waits_for: Some(evil.into()),
        ..split(50, 12, 0)
    });
    view.checks.push(result(evil, Verdict::Unhealthy, evil));
    view.checks.push(result(long, Verdict::Unknown, long));
    view.waits_for = Some(format!("{evil} {long}"));
    view.next = format!("canaryctl status {long} -n {long}");
    view.found_by.push(evil.into());
    if let Some(run) = &mut view.run {
        run.id = evil.into();
        run.reason = Some(format!("{long} {evil}"));
        run.phase = Phase::RollingBack;
    }
    view
}

/// The morning after.
pub(super) fn ended() -> StatusView {
    let mut view = view();
    let run = RunView {
        phase: Phase::Ended,
        target: Percent::ZERO,
        ended: Some(at(352)),
        outcome: Some(Outcome::RolledBack),
        reason: Some(
            "success rate: 46.67 % (7 of 15 requests), below 95 % with evidence 410:1".into(),
        ),
        ..run()
    };
    view.run = Some(run);
    view.split = Some(split(0, 12, 0));
    view.canary = Some(workload("payment-api", "1.5.0", 0, 0));
    view.checks.clear();
    (view.waits_for, view.undo) = (None, None);
    view.next = "canaryctl history payment-api -n orion".into();
    view
}

/// One check for every reason not to know.
pub(super) fn doubtful() -> StatusView {
    let reasons = [
        ("pending", Unknown::Pending),
        ("query", Unknown::Query),
        ("no data", Unknown::NoData),
        ("no traffic", Unknown::NoTraffic),
        ("too few", Unknown::TooFew),
        ("source down", Unknown::SourceDown),
    ];
    let checks = reasons.map(|(name, why)| CheckResult {
        unknown: Some(why),
        severity: Weight::Hold,
        ..result(name, Verdict::Unknown, "no answer")
    });
    StatusView {
        doubt: None,
        checks: checks.to_vec(),
        ..view()
    }
}

/// Nothing is there yet.
pub(super) fn bare() -> StatusView {
    StatusView {
        doubt: None,
        run: None,
        split: None,
        stable: Some(workload("payment-api", "1.4.2", 0, 0)),
        canary: None,
        checks: Vec::new(),
        waits_for: None,
        undo: None,
        next: "canaryctl check payment-api -n orion".into(),
        found_by: Vec::new(),
        ..view()
    }
}

pub(super) fn releases() -> Vec<ReleaseLine> {
    let line = |namespace: &str, app: &str, phase, outcome| ReleaseLine {
        doubt: None,
        namespace: namespace.into(),
        app: app.into(),
        phase,
        outcome,
        step: 2,
        steps: 4,
        target: Percent::whole(25),
        since: at(99),
        holder: Some("ana@laptop".into()),
    };
    vec![
        line("orion", "payment-api", Phase::Holding, None),
        line("orion", "auth", Phase::Ended, Some(Outcome::RolledBack)),
        line("shop", "cart", Phase::PromoteTemplate, None),
        ReleaseLine {
            holder: Some("https://ci.example.com/group/project/-/jobs/123456789".into()),
            ..line(
                "shop",
                "a-very-long-name-for-a-release-of-a-service",
                Phase::Draining,
                None,
            )
        },
    ]
}

pub(super) fn history() -> HistoryView {
    let entry = |seconds, who: &str, what: &str, text: &str| Entry {
        at: at(seconds),
        who: who.into(),
        what: what.into(),
        text: text.into(),
    };
    let trail = vec![
        entry(
            0,
            "ana@laptop",
            "Started",
            "release a1b2 started: payment-api 1.4.2 → 1.5.0, steps 5% → 25%",
        ),
        entry(
            12,
            "ana@laptop",
            "WeightReached",
            "canary at 25% (wanted 5%, 1 of 4 pods)",
        ),
        entry(
            71,
            "ci job 7",
            "RollingBack",
            "rolling back: success rate: 46.67 % (7 of 15 requests), below 95 % with evidence 410:1",
        ),
        entry(80, "ci job 7", "RolledBack", "rolled back, verified at 0%"),
    ];
    HistoryView {
        version: 1,
        app: "payment-api".into(),
        namespace: "orion".into(),
        runs: vec![HistoryRun {
            unproven: false,
            id: "a1b2".into(),
            change: "payment-api:1.4.2 → payment-api:1.5.0".into(),
            started: at(0),
            ended: Some(at(80)),
            outcome: Some(Outcome::RolledBack),
            trail,
        }],
    }
}

pub(super) fn findings() -> CheckView {
    let finding = |severity, what: &str, place: &str, why: &str, fix: &str| Finding {
        severity,
        what: what.into(),
        place: place.into(),
        why: why.into(),
        fix: fix.into(),
    };
    CheckView {
        version: 1,
        app: "payment-api".into(),
        namespace: "orion".into(),
        route: None,
        findings: vec![
            finding(
                Severity::Ok,
                "both Deployments exist",
                "Deployment orion/payment-api",
                "",
                "",
            ),
            finding(
                Severity::Warning,
                "an HPA scales stable",
                "HorizontalPodAutoscaler orion/payment-api",
                "it would undo the replica counts that make the split",
                "let the run pin it: --pin-hpa",
            ),
            finding(
                Severity::Error,
                "the selector of stable also matches the canary's pods",
                "Service orion/payment-api-stable",
                "the weight of the route would not be the canary's share: stable's share would reach it too",
                "add track: stable to spec.selector",
            ),
            finding(
                Severity::Ok,
                "you may patch Deployments",
                "namespace orion",
                "",
                "",
            ),
        ],
    }
}

/// A release that fails at its second step.
#[expect(clippy::too_many_lines, reason = "one story, told once")]
pub(super) fn events() -> Vec<Event> {
    let mut events = Vec::new();
    let mut add = |seconds, kind| events.push(event(seconds, kind));
    let entered = |phase, step, weight| EventKind::PhaseChanged {
        phase,
        step,
        steps: 4,
        weight: Percent::whole(weight),
    };
    let waiting = |what: &str, since| EventKind::Waiting {
        what: what.into(),
        since: at(since),
    };
    let look = |results: Vec<CheckResult>| EventKind::Checked {
        track: Track::Canary,
        results,
    };
    let good = |n: u32| {
        let text = format!("100 % ({n} of {n} requests)");
        vec![
            result("pods", Verdict::Healthy, "1 of 1 ready, 0 restarts"),
            result("success rate", Verdict::Healthy, &text),
        ]
    };
    let few = |n: u32| {
        let text = format!("100 % ({n} of {n} requests), 60 wanted");
        vec![
            result("pods", Verdict::Healthy, "1 of 1 ready, 0 restarts"),
            result("success rate", Verdict::Unknown, &text),
        ]
    };
    add(
        0,
        EventKind::Started {
            id: "a1b2".into(),
            steps: [5, 25, 50, 100].map(Percent::whole).to_vec(),
            change: "payment-api:1.4.2 → payment-api:1.5.0".into(),
            live: None,
        },
    );
    add(0, entered(Phase::Preparing, 1, 0));
    add(
        1,
        EventKind::Acting {
            what: "give payment-api-canary the image payment-api:1.5.0".into(),
            changes: Vec::new(),
        },
    );
    add(2, waiting("payment-api-canary: 0/1 pods available", 0));
    add(12, entered(Phase::Shifting, 1, 5));
    add(
        12,
        EventKind::Acting {
            what: "scale payment-api-canary to 1 and payment-api to 3".into(),
            changes: Vec::new(),
        },
    );
    add(
        20,
        EventKind::Reached {
            split: split(5, 3, 1),
        },
    );
    add(20, entered(Phase::Holding, 1, 5));
    add(21, look(few(20)));
    add(
        21,
        waiting(
            "not enough data: success rate: 100 % (20 of 20 requests), 60 wanted",
            20,
        ),
    );
    add(36, look(few(40)));
    add(
        36,
        waiting(
            "not enough data: success rate: 100 % (40 of 40 requests), 60 wanted",
            20,
        ),
    );
    add(51, look(good(70)));
    add(51, waiting("4m 29s more at 5%", 20));
    add(66, waiting("4m 14s more at 5%", 20));
    add(117, waiting("3m 23s more at 5%", 20));
    add(320, entered(Phase::Shifting, 2, 25));
    add(
        321,
        EventKind::Reached {
            split: split(25, 3, 1),
        },
    );
    add(321, entered(Phase::Holding, 2, 25));
    add(
        330,
        EventKind::Drift {
            text: "the replicas of payment-api were changed from 3 to 5 by kubectl-edit".into(),
            reasserted: true,
        },
    );
    add(
        335,
        look(vec![
            result("pods", Verdict::Healthy, "1 of 1 ready, 0 restarts"),
            result(
                "success rate",
                Verdict::Unhealthy,
                "46.67 % (7 of 15 requests), below 95 % with evidence 410:1",
            ),
        ]),
    );
    add(
        335,
        EventKind::RollingBack {
            cause: Cause::Unhealthy,
            reason: "success rate: 46.67 % (7 of 15 requests), below 95 % with evidence 410:1"
                .into(),
        },
    );
    add(335, entered(Phase::RollingBack, 2, 0));
    add(
        336,
        EventKind::Acting {
            what: "scale payment-api to 4, then payment-api-canary to 0".into(),
            changes: Vec::new(),
        },
    );
    add(
        341,
        EventKind::Reached {
            split: split(0, 4, 0),
        },
    );
    add(341, entered(Phase::Draining, 2, 0));
    add(351, entered(Phase::Cleaning, 2, 0));
    add(352, entered(Phase::Ended, 2, 0));
    add(352, EventKind::Ended {
        outcome: Outcome::RolledBack,
        text: "rolled back, verified at 0%: success rate: 46.67 % (7 of 15 requests), below 95 % with evidence 410:1".into(),
        split: None,
    });
    events
}

fn event(seconds: i64, kind: EventKind) -> Event {
    Event {
        at: at(seconds),
        kind,
    }
}

fn started() -> Event {
    let steps = [5, 50].map(Percent::whole).to_vec();
    let change = "payment-api:1.4.2 → payment-api:1.5.0".into();
    let id = "c3d4".into();
    let live = Some(Percent::ZERO);
    event(
        0,
        EventKind::Started {
            id,
            steps,
            change,
            live,
        },
    )
}

fn entered(seconds: i64, phase: Phase, step: usize, weight: u32) -> Event {
    let kind = EventKind::PhaseChanged {
        phase,
        step,
        steps: 2,
        weight: Percent::whole(weight),
    };
    event(seconds, kind)
}

fn reached(seconds: i64, split: Split) -> Event {
    event(seconds, EventKind::Reached { split })
}

fn end(seconds: i64, outcome: Outcome, text: &str) -> Event {
    let text = text.into();
    let split = None;
    event(
        seconds,
        EventKind::Ended {
            outcome,
            text,
            split,
        },
    )
}

/// A release that waits for a person.
pub(super) fn paused() -> Vec<Event> {
    vec![
        started(),
        reached(9, split(5, 19, 1)),
        entered(60, Phase::Approving, 1, 5),
        end(61, Outcome::Paused, "waits for approval of step 1"),
    ]
}

/// A release that goes well.
pub(super) fn promoted() -> Vec<Event> {
    vec![
        started(),
        reached(9, split(5, 19, 1)),
        reached(99, split(50, 10, 10)),
        entered(160, Phase::PromoteShift, 2, 100),
        reached(170, split(100, 0, 20)),
        entered(171, Phase::PromoteTemplate, 2, 100),
        reached(260, split(0, 20, 0)),
        entered(270, Phase::Ended, 2, 0),
        end(
            270,
            Outcome::Promoted,
            "promoted: payment-api runs the new version",
        ),
    ]
}

/// A rollback that could not be proven.
pub(super) fn incomplete() -> Vec<Event> {
    let cause = Cause::Interrupt;
    let reason = "interrupted by SIGTERM".into();
    let text = "the rollback is not complete: 2 stable pods to be ready";
    vec![
        started(),
        reached(9, split(50, 10, 10)),
        event(60, EventKind::RollingBack { cause, reason }),
        end(360, Outcome::Incomplete, text),
    ]
}
