//! One container: pulling, starting, probing, crashing, backing off.
//!
//! Owns: the life of a container as a list of timers. Must not: write objects; know traffic.

use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    object::{self, int, stamp},
    pass::{age, later},
};
use crate::sim::scenario::{Bytes, Readiness, Version};

/// First wait after a failed pull or a second crash, and the longest one; the kubelet's own.
const FIRST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// A container that ran this long starts again without a wait.
const FORGIVEN: Duration = Duration::from_secs(600);
/// Seconds after which nobody waits for a leak to kill: a hundred years.
const LONGEST_LIFE: f64 = 3.2e9;
/// Half of a turn of a flapping readiness.
const FLAP: u64 = 60;

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// The image is pulled or the container is made.
    Creating,
    /// It cannot go on: waiting with this reason and message.
    Stuck(&'static str, String),
    /// It runs since a moment.
    Running(Timestamp),
    /// It has just ended.
    Ended,
}

/// What happens next to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Create,
    PullBackOff,
    AfterEnd,
    Start,
    Probe,
    HangsUnready,
    End { code: i64, reason: &'static str },
}

/// How a container ended last time.
#[derive(Debug, Clone)]
struct Ended {
    code: i64,
    reason: &'static str,
    from: Timestamp,
    to: Timestamp,
}

/// Something worth an event.
pub(super) struct Happening {
    /// Whether it is of type Warning.
    pub(super) warning: bool,
    /// Reason in one word.
    pub(super) reason: &'static str,
    /// Sentence for people.
    pub(super) message: String,
}

/// What a container meets when its turn comes.
pub(super) struct Surroundings<'a> {
    /// How its version behaves.
    pub(super) version: &'a Version,
    /// Why it cannot be made: a missing ConfigMap or Secret.
    pub(super) problem: Option<String>,
    /// Where events go.
    pub(super) happened: &'a mut Vec<Happening>,
    /// Source of jitter.
    pub(super) rng: &'a mut Rng,
}

impl Surroundings<'_> {
    fn note(&mut self, warning: bool, reason: &'static str, message: String) {
        self.happened.push(Happening {
            warning,
            reason,
            message,
        });
    }
}

/// One container of a pod.
#[derive(Debug, Clone)]
pub(super) struct Container {
    /// Its name.
    pub(super) name: String,
    /// Its image.
    pub(super) image: String,
    /// What it is doing.
    pub(super) stage: Stage,
    /// Whether its readiness probe passes.
    pub(super) ready: bool,
    /// How often it was started again.
    pub(super) restarts: i64,
    timers: Vec<(Timestamp, Turn)>,
    last: Option<Ended>,
    wait: Option<Duration>,
    failures: i64,
    readiness: Option<Probe>,
    liveness: Option<Probe>,
    /// Its limit of memory in bytes.
    limit: Option<f64>,
    /// Memory it started with, in bytes, and its growth in bytes per second.
    memory: (f64, f64),
}

/// The timing of a probe.
#[derive(Debug, Clone)]
struct Probe {
    initial: Duration,
    period: Duration,
    failures: i64,
    path: String,
}

impl Probe {
    fn of(probe: &Value) -> Option<Self> {
        probe.as_object()?;
        let seconds = |pointer: &str, default: i64| {
            Duration::from_secs(u64::try_from(int(probe, pointer, default)).unwrap_or(0))
        };
        Some(Self {
            initial: seconds("/initialDelaySeconds", 0),
            period: seconds("/periodSeconds", 10).max(Duration::from_secs(1)),
            failures: int(probe, "/failureThreshold", 3),
            path: probe["httpGet"]["path"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        })
    }
}

impl Container {
    /// Returns a container whose image has arrived at `pulled`.
    pub(super) fn new(spec: &Value, pulled: Timestamp) -> Self {
        let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
        Self {
            name: text("name"),
            image: text("image"),
            stage: Stage::Creating,
            ready: false,
            restarts: 0,
            timers: vec![(pulled, Turn::Create)],
            last: None,
            wait: None,
            failures: 0,
            readiness: Probe::of(&spec["readinessProbe"]),
            liveness: Probe::of(&spec["livenessProbe"]),
            limit: spec["resources"]["limits"]["memory"]
                .as_str()
                .and_then(Bytes::parse)
                .map(in_bytes),
            memory: (0.0, 0.0),
        }
    }

    /// Returns the bytes of memory it holds, in whole pages; none while it does not run.
    pub(super) fn memory(&self, now: Timestamp) -> u64 {
        const PAGE: u64 = 4096;
        let Some(since) = self.running_since() else {
            return 0;
        };
        let (base, growth) = self.memory;
        let grown = base + growth * age(now, since).as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "memory is positive and far below 2^52"
        )]
        let bytes = grown.min(self.limit.unwrap_or(f64::MAX)) as u64;
        bytes / PAGE * PAGE
    }

    /// Returns when something happens next.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.timers.iter().map(|(at, _)| *at).min()
    }

    /// Returns since when it runs.
    pub(super) fn running_since(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Running(since) => Some(since),
            Stage::Creating | Stage::Stuck(..) | Stage::Ended => None,
        }
    }

    /// Returns whether it has run at least once.
    pub(super) fn was_started(&self) -> bool {
        self.last.is_some() || self.running_since().is_some()
    }

    /// Returns whether a request to it is answered.
    pub(super) fn answers(&self, now: Timestamp, version: &Version) -> bool {
        self.running_since().is_some_and(|since| {
            let age = age(now, since);
            age >= version.start_delay.0 && version.hang_after.is_none_or(|hang| age < hang.0)
        })
    }

    /// Does everything that is due; returns whether anything was.
    pub(super) fn advance(&mut self, now: Timestamp, around: &mut Surroundings<'_>) -> bool {
        let mut moved = false;
        while let Some((at, turn)) = self.take_due(now) {
            moved = true;
            self.turn(at, turn, around);
        }
        moved
    }

    /// Brings it at once to where it would be after a while.
    pub(super) fn settle(&mut self, now: Timestamp, around: &mut Surroundings<'_>) {
        self.advance(later(now, Duration::ZERO), around);
        if let Some((_, turn)) = self.timers.first().copied()
            && matches!(self.stage, Stage::Creating)
        {
            self.timers.clear();
            self.turn(now, turn, around);
        }
        if matches!(self.stage, Stage::Stuck("ErrImagePull", _)) {
            self.timers.clear();
            self.turn(now, Turn::PullBackOff, around);
        }
        if self.running_since().is_some() && around.version.ready != Readiness::Never {
            self.ready = true;
            self.timers.retain(|(_, turn)| *turn != Turn::Probe);
            if around.version.ready == Readiness::Flaps {
                self.timers
                    .push((later(now, Duration::from_secs(FLAP)), Turn::Probe));
            }
        }
    }

    fn take_due(&mut self, now: Timestamp) -> Option<(Timestamp, Turn)> {
        let next = (0..self.timers.len()).min_by_key(|&i| self.timers[i].0)?;
        (self.timers[next].0 <= now).then(|| self.timers.swap_remove(next))
    }

    fn turn(&mut self, at: Timestamp, turn: Turn, around: &mut Surroundings<'_>) {
        match turn {
            Turn::Create => self.create(at, around),
            Turn::PullBackOff => self.pull_back_off(at, around),
            Turn::AfterEnd => self.after_end(at, around),
            Turn::Start => {
                self.restarts += 1;
                self.start(at, around);
            }
            Turn::Probe => self.probe(at, around),
            Turn::HangsUnready => {
                self.ready = false;
                around.note(
                    true,
                    "Unhealthy",
                    "Readiness probe failed: context deadline exceeded".into(),
                );
            }
            Turn::End { code, reason } => self.end(at, code, reason, around),
        }
    }

    fn create(&mut self, at: Timestamp, around: &mut Surroundings<'_>) {
        let image = &self.image;
        if around.version.image_missing {
            let message = format!(
                "failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": {image}: not found"
            );
            around.note(false, "Pulling", format!("Pulling image \"{image}\""));
            around.note(
                true,
                "Failed",
                format!("Failed to pull image \"{image}\": {message}"),
            );
            around.note(true, "Failed", "Error: ErrImagePull".into());
            self.stage = Stage::Stuck("ErrImagePull", message);
            self.timers = vec![(later(at, Duration::from_secs(3)), Turn::PullBackOff)];
            return;
        }
        if let Some(problem) = around.problem.clone() {
            around.note(true, "Failed", format!("Error: {problem}"));
            self.stage = Stage::Stuck("CreateContainerConfigError", problem);
            self.timers = vec![(later(at, Duration::from_secs(12)), Turn::Create)];
            return;
        }
        around.note(
            false,
            "Pulled",
            format!("Successfully pulled image \"{image}\""),
        );
        self.start(at, around);
    }

    fn pull_back_off(&mut self, at: Timestamp, around: &mut Surroundings<'_>) {
        let mut message = format!("Back-off pulling image \"{}\"", self.image);
        around.note(false, "BackOff", message.clone());
        around.note(true, "Failed", "Error: ImagePullBackOff".into());
        if let Stage::Stuck("ErrImagePull", why) = &self.stage {
            message = format!("{message}: ErrImagePull: {why}");
        }
        self.stage = Stage::Stuck("ImagePullBackOff", message);
        self.timers = vec![(later(at, self.next_wait()), Turn::Create)];
    }

    fn start(&mut self, at: Timestamp, around: &mut Surroundings<'_>) {
        around.note(false, "Created", "Container created".to_owned());
        around.note(false, "Started", "Container started".to_owned());
        self.stage = Stage::Running(at);
        self.failures = 0;
        self.ready = self.readiness.is_none();
        self.timers.clear();
        if let Some(probe) = &self.readiness {
            self.timers.push((later(at, probe.initial), Turn::Probe));
        }
        let version = around.version;
        let base = in_bytes(version.memory.base);
        self.memory = (base, version.memory.leak.0);
        let mut starved = self.limit.filter(|_| version.memory.leak.0 > 0.0);
        if let Some(crash) = &version.crash
            && around.rng.f64() < crash.chance.0
        {
            let life = crash.after.0.mul_f64(0.8 + 0.4 * around.rng.f64());
            if crash.oom {
                // It reaches its limit when it is killed; without one the node runs out.
                let top = self.limit.unwrap_or(4.0 * base);
                self.memory.1 = (top - base).max(0.0) / life.as_secs_f64().max(1.0);
                starved = None;
            }
            let (code, reason) = if crash.oom {
                (137, "OOMKilled")
            } else {
                (1, "Error")
            };
            self.timers
                .push((later(at, life), Turn::End { code, reason }));
        }
        if let Some(limit) = starved {
            let life = ((limit - base) / version.memory.leak.0).clamp(0.0, LONGEST_LIFE);
            let end = Turn::End {
                code: 137,
                reason: "OOMKilled",
            };
            self.timers
                .push((later(at, Duration::from_secs_f64(life)), end));
        }
        if let Some(hang) = version.hang_after {
            let times = |probe: &Probe| probe.period * u32::try_from(probe.failures).unwrap_or(3);
            if let Some(probe) = &self.readiness {
                self.timers
                    .push((later(at, hang.0 + times(probe)), Turn::HangsUnready));
            }
            if let Some(probe) = &self.liveness {
                let killed = hang.0.max(probe.initial) + times(probe);
                let end = Turn::End {
                    code: 137,
                    reason: "Error",
                };
                self.timers.push((later(at, killed), end));
            }
        }
    }

    fn probe(&mut self, at: Timestamp, around: &mut Surroundings<'_>) {
        let (Some(probe), Some(since)) = (&self.readiness, self.running_since()) else {
            return;
        };
        let lived = age(at, since);
        let passes = match around.version.ready {
            Readiness::Passes => true,
            Readiness::Never => false,
            Readiness::Flaps => (lived.as_secs() / FLAP).is_multiple_of(2),
        };
        if passes && self.answers(at, around.version) {
            self.ready = true;
            self.failures = 0;
            // A probe that keeps passing changes nothing: only a flapping one goes on.
            if around.version.ready == Readiness::Flaps {
                self.timers.push((later(at, probe.period), Turn::Probe));
            }
            return;
        }
        self.failures += 1;
        let what = if lived < around.version.start_delay.0 {
            "connect: connection refused"
        } else {
            "HTTP probe failed with statuscode: 503"
        };
        around.note(true, "Unhealthy", format!("Readiness probe failed: {what}"));
        if self.failures >= probe.failures {
            self.ready = false;
        }
        // Once it is plain that the probe fails for good, it is looked at once a minute.
        let hopeless = around.version.ready == Readiness::Never && self.failures >= 6;
        let wait = if hopeless {
            probe.period.max(Duration::from_secs(60))
        } else {
            probe.period
        };
        self.timers.push((later(at, wait), Turn::Probe));
    }

    fn end(
        &mut self,
        at: Timestamp,
        code: i64,
        reason: &'static str,
        around: &mut Surroundings<'_>,
    ) {
        let from = self.running_since().unwrap_or(at);
        if let (Some(probe), Some(_)) = (&self.liveness, around.version.hang_after)
            && code == 137
            && reason == "Error"
        {
            let path = &probe.path;
            around.note(
                true,
                "Unhealthy",
                format!("Liveness probe failed: Get \"{path}\": context deadline exceeded"),
            );
            let name = &self.name;
            around.note(
                false,
                "Killing",
                format!("Container {name} failed liveness probe, will be restarted"),
            );
        }
        if age(at, from) >= FORGIVEN {
            self.wait = None;
        }
        self.last = Some(Ended {
            code,
            reason,
            from,
            to: at,
        });
        self.stage = Stage::Ended;
        self.ready = false;
        self.timers = vec![(later(at, Duration::from_secs(1)), Turn::AfterEnd)];
    }

    /// Starts again at once after the first crash, and after a growing wait later.
    fn after_end(&mut self, at: Timestamp, around: &mut Surroundings<'_>) {
        if self.wait.is_none() {
            self.wait = Some(Duration::ZERO);
            self.restarts += 1;
            self.start(at, around);
            return;
        }
        let wait = self.next_wait();
        let message = format!("Back-off restarting failed container {}", self.name);
        around.note(true, "BackOff", message);
        let message = format!(
            "back-off {} restarting failed container={}",
            humantime::format_duration(wait)
                .to_string()
                .replace(' ', ""),
            self.name
        );
        self.stage = Stage::Stuck("CrashLoopBackOff", message);
        self.timers = vec![(later(at, wait), Turn::Start)];
    }

    fn next_wait(&mut self) -> Duration {
        let wait = match self.wait {
            Some(wait) if !wait.is_zero() => (wait * 2).min(LONGEST_WAIT),
            Some(_) | None => FIRST_WAIT,
        };
        self.wait = Some(wait);
        wait
    }

    /// Returns its entry in `containerStatuses`.
    pub(super) fn status(&self, uid: &str) -> Value {
        let id = format!("containerd://{}-{}-{}", uid, self.name, self.restarts);
        let ended = |end: &Ended| {
            json!({"terminated": {
                "exitCode": end.code, "reason": end.reason,
                "startedAt": stamp(end.from), "finishedAt": stamp(end.to), "containerID": id,
            }})
        };
        let state = match &self.stage {
            Stage::Creating => json!({"waiting": {"reason": "ContainerCreating"}}),
            Stage::Stuck(reason, message) => {
                json!({"waiting": {"reason": reason, "message": message}})
            }
            Stage::Running(since) => json!({"running": {"startedAt": stamp(*since)}}),
            Stage::Ended => self.last.as_ref().map_or(json!({}), ended),
        };
        let last = match &self.stage {
            Stage::Ended => json!({}),
            Stage::Creating | Stage::Stuck(..) | Stage::Running(_) => {
                self.last.as_ref().map_or(json!({}), ended)
            }
        };
        let started = self.was_started();
        json!({
            "name": self.name,
            "image": self.image,
            "imageID": if started { image_id(&self.image) } else { String::new() },
            "containerID": started.then_some(id.as_str()),
            "ready": self.ready,
            "started": self.running_since().is_some(),
            "restartCount": self.restarts,
            "state": state,
            "lastState": last,
        })
    }
}

fn in_bytes(bytes: Bytes) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52")]
    let bytes = bytes.0 as f64;
    bytes
}

/// Returns a digest that depends on the image's name alone.
fn image_id(image: &str) -> String {
    let repository = image.rsplit_once(':').map_or(image, |(name, _)| name);
    let hash = object::fingerprint(image);
    let word = |n: u64| hash.wrapping_mul(2 * n + 1).rotate_left(17);
    format!(
        "{repository}@sha256:{:016x}{:016x}{:016x}{:016x}",
        word(1),
        word(2),
        word(3),
        word(4)
    )
}
