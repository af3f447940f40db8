//! Driving the runs of a group: all in this process, each at its place at one board.
//!
//! Owns: beginning them, what a person sees of them, Ctrl-C for all, and one exit code. Must not: decide.

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::sync::{mpsc, watch};

use crate::{
    clock::Clock,
    domain::{
        decide::{Goal, Request},
        event::Event,
        group::{Board, Part, Standing, State, ending},
        release::{Cause, Outcome, Phase, Release},
    },
    engine::{
        Drive, End, Engine, EngineError,
        group::Shared,
        start::{Begun, Intent, begin},
    },
    journal::JournalError,
};

use super::{
    Context,
    drive::{
        Interrupted, Question, answered, decision, interrupted, put, refused_by, warn_of_owners,
    },
    error::CliError,
    exit::Code,
    group::Team,
    scene::Scene,
    session::Work,
    signal::{Signal, Signals},
    ui::Terminal,
};

/// How a verb wants the runs of a group driven.
pub(super) struct Joint {
    /// What the verb asks for, by member.
    pub(super) intents: Vec<Intent>,
    /// How far to go.
    pub(super) goal: Goal,
    /// A single tick.
    pub(super) once: bool,
    /// A request that holds from the start.
    pub(super) request: Option<Request>,
    /// Only say what would be done.
    pub(super) dry: bool,
    /// Keep journals.
    pub(super) journal: bool,
}

/// What a member begins with.
enum First {
    /// A run to be driven.
    Run(Box<Engine>),
    /// Nothing to do, with the reason.
    Nothing(String),
    /// Its part of the run is over.
    Over(Box<Release>),
    /// The run goes back before it had a part in it.
    Never,
    /// It cannot begin; the others are rolled back without it.
    Failed(CliError),
}

/// How a member's sitting ended.
struct Ended {
    index: usize,
    outcome: Result<End, EngineError>,
    /// The run as it is recorded then.
    release: Release,
}

/// Begins or resumes the runs of all members, drives them to the end of the sitting, and returns the exit
/// code of the group.
pub(super) async fn ride_all(
    context: &Context,
    team: &mut Team,
    joint: Joint,
    terminal: &mut Terminal,
    signals: Signals,
) -> Result<Code, CliError> {
    for work in &team.members {
        if let Some(error) = refused_by(work) {
            return Err(error.of_member(&work.settings.app));
        }
    }
    for (work, intent) in team.members.iter().zip(&joint.intents) {
        warn_of_owners(work, intent, terminal);
    }
    let is_rollback = joint.intents.contains(&Intent::Rollback);
    let anew = joint
        .intents
        .iter()
        .any(|intent| matches!(intent, Intent::Auto { restart: true, .. }));
    let resumed = if is_rollback { None } else { team.join(anew)? };
    let team = &*team;
    let mut scene = Scene::new(team, terminal, joint.dry);
    let (sender, mut events) = mpsc::unbounded_channel();
    let beginning = begin_all(context, team, &joint, (resumed.as_deref(), sender));
    let begun = scene.beginning(beginning, &mut events).await?;
    let Some(begun) = all_or_none(team, begun, is_rollback, &mut scene)? else {
        return Ok(Code::Done);
    };
    let board = board(team, &begun);
    let mut parts: Vec<Part> = team.apps().into_iter().map(no_part).collect();
    let mut failed = team.failed.clone();
    let mut engines = Vec::new();
    for (index, first) in begun.into_iter().enumerate() {
        match first {
            First::Run(mut engine) => {
                engine.sit(&board);
                scene.plan(index, &engine);
                engines.push((index, engine));
            }
            First::Over(release) => parts[index] = part_of(&release),
            First::Nothing(text) => parts[index].text = text,
            First::Failed(error) => failed.push(error),
            First::Never => {}
        }
    }
    scene.begin(&joint.intents);
    let steered = steer(&mut engines, &joint, &mut scene, events, signals);
    let (ended, signal) = match Box::pin(steered).await {
        Ok(ended) => ended,
        Err(signal) => return Ok(scene.left(signal)),
    };
    let mut code = Code::Done;
    let follows_only = |end: &Ended| {
        let cause = end.release.cause;
        end.outcome.is_ok() && cause == Some(Cause::Member)
    };
    let led = ended
        .iter()
        .any(|end| !follows_only(end) && is_back(&end.release));
    for end in &ended {
        parts[end.index] = part(end);
        let counts = !(led && follows_only(end) && is_verified(end));
        let own = own_code(end, team, (signal, is_rollback), &mut scene);
        if counts && severity(own) > severity(code) {
            code = own;
        }
    }
    for error in &failed {
        let own = scene.terminal.fail(error);
        if severity(own) > severity(code) {
            code = own;
        }
    }
    let ending = ending(&parts);
    if ending.outcome == Outcome::Incomplete {
        code = Code::Incomplete;
    }
    scene.end(&ending, &parts, joint.once);
    Ok(code)
}

/// Begins or resumes every member's run; nothing is written yet.
async fn begin_all(
    context: &Context,
    team: &Team,
    joint: &Joint,
    (resumed, sender): (Option<&str>, mpsc::UnboundedSender<(usize, Event)>),
) -> Result<Vec<First>, CliError> {
    let of_run = |work: &Work| {
        let release = work.record()?.release;
        let group = release.group.as_ref()?;
        (Some(group.run.as_str()) == resumed).then_some(release)
    };
    let goes_back = team
        .members
        .iter()
        .filter_map(of_run)
        .any(|release| matches!(Standing::of(&release).state, State::Back { .. }));
    let members = team.members.iter().zip(&joint.intents).enumerate();
    let beginning = members.map(|(index, (work, intent))| {
        let release = of_run(work);
        let sender = sender.clone();
        async move {
            match release {
                Some(release) if release.is_over() => return Ok(First::Over(Box::new(release))),
                None if goes_back => return Ok(First::Never),
                Some(_) | None => {}
            }
            let sink = Box::new(move |event: &Event| drop(sender.send((index, event.clone()))));
            let mut order = work.order(context, intent.clone(), sink);
            order.journal = joint.journal && !joint.dry;
            let cluster = work.session.cluster.clone();
            let cluster = if joint.dry { cluster.dry() } else { cluster };
            match Box::pin(begin(&cluster, order)).await {
                Ok(Begun::Run(engine)) => Ok(First::Run(engine)),
                Ok(Begun::Nothing(text)) => Ok(First::Nothing(text)),
                Err(error) => {
                    let app = &work.settings.app;
                    let error = CliError::from(error).for_app(&work.invocation);
                    let error = error.of_member(app);
                    if *intent == Intent::Rollback {
                        Ok(First::Failed(error))
                    } else {
                        Err(error)
                    }
                }
            }
        }
    });
    futures::future::try_join_all(beginning).await
}

/// Returns what the members begin with, unless there is nothing to do for any of them. A group is released
/// as a whole: it is an error where there is nothing for some.
fn all_or_none(
    team: &Team,
    begun: Vec<First>,
    is_rollback: bool,
    scene: &mut Scene<'_>,
) -> Result<Option<Vec<First>>, CliError> {
    let runs = begun.iter().any(|first| matches!(first, First::Run(_)));
    for (app, first) in team.apps().into_iter().zip(&begun) {
        let First::Nothing(text) = first else {
            continue;
        };
        if runs && !is_rollback {
            let hint = "a group is released as a whole: give each app a new version, or release \
                        one alone, by its name and without -f";
            return Err(CliError::usage(text.clone(), hint).of_member(app));
        }
        scene.nothing(app, text);
    }
    if !runs && let Some(index) = begun.iter().position(|f| matches!(f, First::Failed(_))) {
        let mut begun = begun;
        if let First::Failed(error) = begun.swap_remove(index) {
            return Err(error);
        }
        return Ok(None);
    }
    Ok(runs.then_some(begun))
}

/// Returns the board that all members begin with.
fn board(team: &Team, begun: &[First]) -> Shared {
    let standings = team
        .apps()
        .into_iter()
        .zip(begun)
        .map(|(app, first)| match first {
            First::Run(engine) => Standing::of(engine.release()),
            First::Over(release) => Standing::of(release),
            First::Nothing(_) | First::Never | First::Failed(_) => Standing::absent(app),
        });
    Shared::new(watch::Sender::new(Board::new(standings.collect())))
}

/// Drives all runs at the same time until each sitting has ended. An error is the second signal.
async fn steer(
    engines: &mut [(usize, Box<Engine>)],
    joint: &Joint,
    scene: &mut Scene<'_>,
    mut events: mpsc::UnboundedReceiver<(usize, Event)>,
    mut signals: Signals,
) -> Result<(Vec<Ended>, Option<Signal>), Signal> {
    signals.catch();
    let requests = watch::Sender::new(joint.request);
    let policy = engines
        .first()
        .map(|(_, engine)| engine.release().plan.on_interrupt);
    let once = joint.once || joint.dry;
    let driving = engines.iter_mut().map(|(index, engine)| {
        let drive = Drive {
            goal: joint.goal,
            once,
            requests: requests.subscribe(),
        };
        let index = *index;
        Box::pin(async move {
            let outcome = Box::pin(engine.run(drive)).await;
            let release = Box::pin(engine.leave(&outcome, once)).await;
            Ended {
                index,
                outcome,
                release,
            }
        })
    });
    let mut driving: FuturesUnordered<_> = driving.collect();
    let mut ended = Vec::new();
    let mut first: Option<Signal> = None;
    let mut question: Option<Question> = None;
    loop {
        tokio::select! {
            biased;
            Some((index, event)) = events.recv() => scene.event(index, &event),
            next = driving.next() => match next {
                Some(end) => ended.push(end),
                None => break,
            },
            signal = signals.next() => {
                if first.is_some() {
                    return Err(signal);
                }
                first = Some(signal);
                match interrupted(scene.terminal, signal, policy.unwrap_or(crate::domain::plan::OnTrouble::Rollback)) {
                    Interrupted::Request(request) => drop(requests.send_replace(Some(request))),
                    Interrupted::Asked(ask) => question = Some(put(ask)),
                }
            }
            answer = answered(&mut question) => {
                question = None;
                match decision(scene.terminal, answer) {
                    Some(request) => drop(requests.send_replace(Some(request))),
                    None => first = None,
                }
            }
            () = Clock::System.sleep(Terminal::frame()), if scene.terminal.is_live() => scene.frame(),
        }
    }
    while let Ok((index, event)) = events.try_recv() {
        scene.event(index, &event);
    }
    ended.sort_by_key(|end| end.index);
    Ok((ended, first))
}

// === how it ended ===

fn no_part(app: &str) -> Part {
    Part {
        app: app.to_owned(),
        outcome: None,
        cause: None,
        text: String::new(),
    }
}

/// Returns the part of a member whose run was over before.
fn part_of(release: &Release) -> Part {
    Part {
        outcome: release.ending,
        cause: release.cause,
        text: release.reason.clone().unwrap_or_default(),
        ..no_part(&release.app)
    }
}

fn part(end: &Ended) -> Part {
    let app = &end.release.app;
    match &end.outcome {
        Ok(end) => Part {
            outcome: Some(end.outcome),
            cause: end.cause,
            text: end.text.clone(),
            ..no_part(app)
        },
        Err(_) if is_taken_back(end) => Part {
            outcome: Some(Outcome::RolledBack),
            ..part_of(&end.release)
        },
        Err(error) => Part {
            outcome: Some(if is_halfway(&end.release) {
                Outcome::Incomplete
            } else if matches!(error, EngineError::Journal(JournalError::Lost(_))) {
                Outcome::Conflict
            } else {
                Outcome::Paused
            }),
            text: error.to_string(),
            ..no_part(app)
        },
    }
}

fn is_back(release: &Release) -> bool {
    matches!(Standing::of(release).state, State::Back { .. })
}

/// Returns whether somebody else took the run over, and back.
fn is_taken_back(end: &Ended) -> bool {
    let lost = matches!(
        &end.outcome,
        Err(EngineError::Journal(JournalError::Lost(_)))
    );
    lost && is_back(&end.release)
}

fn is_halfway(release: &Release) -> bool {
    release.phase.is_retreat() || release.phase >= Phase::PromoteTemplate
}

/// Returns whether the canary is out of the traffic for sure.
fn is_verified(end: &Ended) -> bool {
    matches!(&end.outcome, Ok(end) if end.outcome == Outcome::RolledBack)
}

/// Returns the exit code of one member, and says why it failed where it did.
fn own_code(
    end: &Ended,
    team: &Team,
    (signal, is_rollback): (Option<Signal>, bool),
    scene: &mut Scene<'_>,
) -> Code {
    let error = match &end.outcome {
        Ok(end) => {
            let code = Code::of(end, signal.map(Signal::code));
            let back = end.outcome == Outcome::RolledBack;
            return match (back, code, is_rollback) {
                (true, Code::Done, false) => Code::RolledBack,
                (true, Code::RolledBack, true) => Code::Done,
                _ => code,
            };
        }
        Err(_) if is_taken_back(end) => return Code::RolledBack,
        Err(error) => error,
    };
    let app = &end.release.app;
    let finish = team.invocation.command("rollback");
    let said = CliError::new(Code::Failed, error.to_string());
    let said = match error {
        EngineError::Journal(JournalError::Lost(_) | JournalError::Held { .. }) => CliError {
            code: Code::Conflict,
            ..said
        },
        EngineError::Journal(_)
        | EngineError::Cluster(_)
        | EngineError::Traffic(_)
        | EngineError::Health(_)
        | EngineError::Refused { .. } => {
            if is_halfway(&end.release) {
                said.in_retreat(&finish)
            } else {
                said.hint(format!("end the run of all with `{finish}`"))
            }
        }
    };
    scene.terminal.fail(&said.of_member(app))
}

/// Returns how urgent an exit code is: that of the group is the most urgent one.
fn severity(code: Code) -> u8 {
    match code {
        Code::Done => 0,
        Code::Interrupted => 1,
        Code::Terminated => 2,
        Code::RolledBack => 3,
        Code::Refused => 4,
        Code::Unfinished => 5,
        Code::Conflict => 6,
        Code::Failed => 7,
        Code::Incomplete => 8,
    }
}
