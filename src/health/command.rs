//! An executable of the user's own: its exit code is the verdict.
//!
//! Owns: running it without a shell, the facts it gets, its exit code and first line, and ending it
//! in time. Must not: interpret what it prints; judge.

use std::{path::PathBuf, process::Stdio, time::Duration};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command as Process},
};

use super::{
    Binding, HealthError, Look, Probe, ProbeKind,
    facts::{self, Filling, Place, image},
    plain,
};
use crate::{
    cluster::Cluster,
    domain::{
        check::{CheckSpec, Reading, Rule, Sample, Severity},
        options,
        plan::OnTrouble,
        verdict::Unknown,
    },
};

/// Failing evaluations in a row before the verdict is unhealthy, unless configured.
const CONSECUTIVE: u32 = 3;

/// Longest time the command may take, unless configured.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time that can be configured.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// How much of the output is kept, in bytes; what is behind it is read and forgotten.
const KEPT: usize = 4 << 10;

/// Longest sentence that is shown, in characters.
const SENTENCE: usize = 160;

/// How long the output is waited for when the command is over: something it started may hold it.
const LINGER: Duration = Duration::from_millis(200);

/// The probe of a command.
pub struct Command;

/// Options of the check.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "CommandOptions")]
struct Options {
    /// Name of the check; the program's file name unless given.
    #[serde(default)]
    name: Option<String>,
    /// Program and arguments, run without a shell; placeholders in the arguments are filled in.
    run: Vec<String>,
    /// Folder it runs in; the present one unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    folder: Option<PathBuf>,
    /// Longest time it may take, such as `30s`, at most 10 minutes.
    #[serde(default)]
    timeout: Option<String>,
    /// Failing evaluations in a row before the verdict is unhealthy.
    #[serde(default)]
    consecutive: Option<u32>,
    /// What an unhealthy verdict does.
    #[serde(default)]
    severity: Severity,
    /// What happens when a step ends and the check does not know; default: as the plan says.
    #[serde(default)]
    on_unknown: Option<OnTrouble>,
}

struct Runner {
    cluster: Cluster,
    options: Options,
    limit: Duration,
}

impl ProbeKind for Command {
    fn name(&self) -> &'static str {
        "command"
    }

    fn about(&self) -> &'static str {
        "run an executable: exit 0 healthy, 1 unhealthy, 2 unknown"
    }

    fn check(
        &self,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<CheckSpec, erased_serde::Error> {
        use serde::de::Error as _;
        let options: Options = erased_serde::deserialize(from)?;
        options.limit().map_err(erased_serde::Error::custom)?;
        Ok(CheckSpec {
            name: options.name(),
            probe: self.name().to_owned(),
            rule: Rule::Condition {
                consecutive: options.consecutive.unwrap_or(CONSECUTIVE).max(1),
            },
            severity: options.severity,
            on_unknown: options.on_unknown,
            pre: false,
            options: serde_json::to_value(options).map_err(erased_serde::Error::custom)?,
        })
    }

    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<Options>()
    }

    fn bind(&self, spec: &CheckSpec, binding: &Binding<'_>) -> Result<Box<dyn Probe>, HealthError> {
        let cluster = binding.cluster;
        let fail = |reason: String| HealthError::Options {
            check: spec.name.clone(),
            reason,
        };
        let options: Options = options::read(&spec.options).map_err(fail)?;
        let limit = options.limit().map_err(fail)?;
        Ok(Box::new(Runner {
            cluster: cluster.clone(),
            options,
            limit,
        }))
    }
}

// === impl Options ===

impl Options {
    /// Returns the longest time; an error that names the key when an option cannot be used.
    fn limit(&self) -> Result<Duration, String> {
        let program = self.run.first().map(|program| program.trim());
        if program.is_none_or(str::is_empty) {
            return Err(
                "run needs a program, such as [./errors-in-log.sh, \"{{canary}}\"]".to_owned(),
            );
        }
        for argument in &self.run {
            facts::check(argument).map_err(|e| format!("run: {e}"))?;
            if argument.contains('\0') {
                return Err("run: an argument cannot hold a NUL".to_owned());
            }
        }
        let Some(text) = &self.timeout else {
            return Ok(TIMEOUT);
        };
        humantime::parse_duration(text)
            .ok()
            .filter(|d| *d >= Duration::from_millis(1) && *d <= LONGEST_TIMEOUT)
            .ok_or_else(|| format!("timeout '{text}' must be between 1ms and 10m"))
    }

    fn name(&self) -> String {
        let program = self.run.first().map_or("", String::as_str);
        let file = program.rsplit('/').next().unwrap_or(program);
        self.name.clone().unwrap_or_else(|| file.to_owned())
    }
}

// === impl Runner ===

#[async_trait]
impl Probe for Runner {
    async fn look(&self, look: &Look<'_>) -> Vec<Reading> {
        vec![Reading {
            subject: look.workload.name.clone(),
            sample: self.run(look).await,
        }]
    }

    fn effect(&self) -> Option<String> {
        let program = self.options.run.first().map_or("", String::as_str);
        Some(format!("it runs {program}"))
    }
}

/// How a command ended and what it said.
struct Ended {
    status: std::process::ExitStatus,
    said: String,
}

impl Runner {
    async fn run(&self, look: &Look<'_>) -> Sample {
        let program = self.options.run.first().map_or("", String::as_str);
        let missing = |why, text: String| Sample::Missing(why, format!("{program}: {text}"));
        let child = match self.start(look) {
            Ok(child) => child,
            Err(error) => return missing(Unknown::Query, format!("it cannot be started: {error}")),
        };
        let running = self.finish(Running(child), look);
        let ended = match self.cluster.clock().timeout(self.limit, running).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => return missing(Unknown::SourceDown, error.to_string()),
            Err(_) => {
                let limit = humantime::format_duration(self.limit);
                let text = format!("not done within {limit}, and ended");
                return missing(Unknown::SourceDown, text);
            }
        };
        let said = ended.said;
        match ended.status.code() {
            Some(0) => Sample::Holds(true, or(said, "exit code 0")),
            Some(1) => Sample::Holds(false, or(said, "exit code 1")),
            Some(2) => missing(Unknown::NoData, or(said, "exit code 2")),
            Some(code) => {
                let text = format!("exit code {code} is none of 0, 1 and 2");
                let more = if said.is_empty() {
                    said
                } else {
                    format!(": {said}")
                };
                missing(Unknown::Query, format!("{text}{more}"))
            }
            None => missing(Unknown::SourceDown, format!("ended by {}", ended.status)),
        }
    }

    fn start(&self, look: &Look<'_>) -> std::io::Result<Child> {
        let filling = Filling::new(&look.facts, self.cluster.namespace(), look.workload);
        let (program, arguments) = self
            .options
            .run
            .split_first()
            .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))?;
        let mut process = Process::new(program);
        let arguments = arguments.iter().map(|a| filling.fill(a, Place::Text));
        process
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What it says there is for whoever writes it, and would break into the progress shown.
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if let Some(folder) = &self.options.folder {
            process.current_dir(folder);
        }
        let facts = &look.facts;
        let weight = facts.weight.map(|weight| weight.to_string());
        for (name, value) in [
            ("APP", facts.app),
            ("NAMESPACE", self.cluster.namespace()),
            ("TRACK", facts.track.word()),
            ("STABLE", facts.stable),
            ("CANARY", facts.canary),
            ("IMAGE", image(facts.app, look.workload)),
            ("REVISION", &look.workload.revision),
            ("WEIGHT", weight.as_deref().unwrap_or_default()),
        ] {
            process.env(format!("CANARYCTL_{name}"), value);
        }
        #[cfg(unix)]
        process.process_group(0);
        process.spawn()
    }

    /// Tells the command the facts, and waits for its end.
    async fn finish(&self, mut running: Running, look: &Look<'_>) -> std::io::Result<Ended> {
        let facts = self.facts(look);
        let stdin = running.0.stdin.take();
        let stdout = running.0.stdout.take();
        // Whoever does not want the facts does not read them.
        let tell = async move {
            if let Some(mut stdin) = stdin {
                stdin.write_all(facts.as_bytes()).await.ok();
            }
        };
        let hear = async move {
            let mut kept = Vec::new();
            let Some(mut stdout) = stdout else {
                return kept;
            };
            let mut buffer = [0; 1024];
            while let Ok(length @ 1..) = stdout.read(&mut buffer).await {
                let room = KEPT.saturating_sub(kept.len()).min(length);
                kept.extend_from_slice(&buffer[..room]);
            }
            kept
        };
        let heard = futures::future::join(tell, hear);
        tokio::pin!(heard);
        let (status, kept) = tokio::select! {
            ((), kept) = &mut heard => (running.0.wait().await?, Some(kept)),
            status = running.0.wait() => (status?, None),
        };
        let kept = if let Some(kept) = kept {
            kept
        } else {
            let late = self.cluster.clock().timeout(LINGER, heard).await;
            late.map(|((), kept)| kept).unwrap_or_default()
        };
        let said = plain(&String::from_utf8_lossy(&kept), SENTENCE);
        Ok(Ended { status, said })
    }

    fn facts(&self, look: &Look<'_>) -> String {
        let facts = &look.facts;
        let workload = look.workload;
        let pods = workload.pods.iter();
        let pods: Vec<_> = pods
            .map(|pod| json!({"name": pod.name, "ready": pod.ready}))
            .collect();
        let json = json!({
            "app": facts.app,
            "namespace": self.cluster.namespace(),
            "track": facts.track.word(),
            "stable": facts.stable,
            "canary": facts.canary,
            "deployment": workload.name,
            "image": image(facts.app, workload),
            "images": workload.images,
            "revision": workload.revision,
            "weight": facts.weight.map(|weight| weight.to_string()),
            "started": look.started.to_string(),
            "pods": pods,
        });
        format!("{json}\n")
    }
}

fn or(said: String, otherwise: &str) -> String {
    if said.is_empty() {
        otherwise.to_owned()
    } else {
        said
    }
}

/// A command that runs; it ends with everything it started when nobody waits for it any more.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Without an id it is over, and its number may be somebody else's.
        #[cfg(unix)]
        if let Some(leader) = self.0.id()
            && let Ok(leader) = i32::try_from(leader)
            && let Some(group) = rustix::process::Pid::from_raw(leader)
        {
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::health::web::tests::{bound, look, option_error};

    async fn shell(script: &str) -> Sample {
        let options = json!({"run": ["sh", "-c", script], "timeout": "5s"});
        look(bound("command", options).as_ref()).await
    }

    #[tokio::test]
    async fn the_exit_code_decides() {
        let held = shell("echo; echo ' 3 errors in 5 minutes '; echo more").await;
        assert_eq!(held, Sample::Holds(true, "3 errors in 5 minutes".into()));
        assert_eq!(
            shell("exit 1").await,
            Sample::Holds(false, "exit code 1".into())
        );
        for (script, why, said) in [
            ("echo no data; exit 2", Unknown::NoData, "sh: no data"),
            (
                "exit 3",
                Unknown::Query,
                "sh: exit code 3 is none of 0, 1 and 2",
            ),
            (
                "echo x; exit 126",
                Unknown::Query,
                "sh: exit code 126 is none of 0, 1 and 2: x",
            ),
            (
                "kill -TERM $$",
                Unknown::SourceDown,
                "sh: ended by signal: 15 (SIGTERM)",
            ),
        ] {
            assert_eq!(
                shell(script).await,
                Sample::Missing(why, said.into()),
                "{script}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_not_there_is_unknown() {
        let options = json!({"run": ["./there-is-no-such-program"]});
        let seen = look(bound("command", options).as_ref()).await;
        let Sample::Missing(Unknown::Query, text) = seen else {
            panic!("{seen:?}");
        };
        assert!(
            text.starts_with("./there-is-no-such-program: it cannot be started"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn the_facts_are_told_twice() {
        let told = shell(
            "read -r facts; echo \"$CANARYCTL_TRACK $CANARYCTL_NAMESPACE $CANARYCTL_IMAGE $facts\"",
        )
        .await;
        let Sample::Holds(true, text) = told else {
            panic!("{told:?}");
        };
        let start = "canary canary-release r/pay:2&x {\"app\":\"payment-api\",\"namespace\":\"canary-release\"";
        assert!(text.starts_with(start), "{text}");
        let options = json!({"run": ["sh", "-c", "tail -c 12; echo \"$0\"", "{{canary}}"]});
        let seen = look(bound("command", options).as_ref()).await;
        assert_eq!(seen, Sample::Holds(true, ",\"pods\":[]}".into()));
    }

    #[tokio::test]
    async fn an_argument_is_no_script() {
        let options = json!({"run": ["echo", "$HOME; exit 1 `id` {{track}}"]});
        let seen = look(bound("command", options).as_ref()).await;
        assert_eq!(
            seen,
            Sample::Holds(true, "$HOME; exit 1 `id` canary".into())
        );
    }

    #[tokio::test]
    async fn output_is_read_to_its_end_and_shown_in_part() {
        let seen = shell("printf '\\033[31mred\\033[0m %0400d\\n' 7; yes | head -c 300000").await;
        let Sample::Holds(true, text) = seen else {
            panic!("{seen:?}");
        };
        assert!(
            text.starts_with("[31mred[0m 000") && text.chars().count() == 161,
            "{text}"
        );
    }

    /// Returns whether a process lives whose arguments are these.
    #[cfg(target_os = "linux")]
    fn lives(arguments: &str) -> bool {
        let all = std::fs::read_dir("/proc").expect("Linux has processes");
        all.filter_map(Result::ok).any(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line)
                .trim_end_matches('\0')
                .replace('\0', " ")
                == arguments
        })
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn it_ends_in_time_with_what_it_started() {
        let clock = crate::clock::Clock::System;
        // Nobody else sleeps for just as long.
        let sleeping = "sleep 86397";
        let options = json!({"run": ["sh", "-c", format!("{sleeping} & wait")], "timeout": "1s"});
        let probe = bound("command", options);
        let seen = async {
            while !lives(sleeping) {
                clock.sleep(Duration::from_millis(5)).await;
            }
        };
        let (sample, ()) = futures::join!(look(probe.as_ref()), seen);
        let text = "sh: not done within 1s, and ended".to_owned();
        assert_eq!(sample, Sample::Missing(Unknown::SourceDown, text));
        let gone = async {
            while lives(sleeping) {
                clock.sleep(Duration::from_millis(5)).await;
            }
        };
        clock.timeout(Duration::from_secs(10), gone).await.unwrap();
    }

    #[tokio::test]
    async fn a_child_that_holds_the_output_does_not_hold_the_look() {
        let seen = shell("sleep 3 & exit 1").await;
        assert_eq!(seen, Sample::Holds(false, "exit code 1".into()));
    }

    #[test]
    fn each_mistake_in_the_options_is_named() {
        for (options, said) in [
            (json!({}), "missing field `run`"),
            (json!({"run": []}), "run needs a program"),
            (json!({"run": [" "]}), "run needs a program"),
            (json!({"run": "./x.sh"}), "expected a sequence"),
            (
                json!({"run": ["x", "{{pod}}"]}),
                "run: nothing is known for {{pod}}",
            ),
            (json!({"run": ["x"], "timeout": "1h"}), "timeout '1h'"),
            (
                json!({"run": ["x"], "shell": true}),
                "unknown field `shell`",
            ),
        ] {
            let error = option_error("command", options);
            assert!(error.contains(said), "{error}");
        }
        let named = |run: Value| {
            let options: Options = serde_json::from_value(json!({"run": run})).unwrap();
            options.name()
        };
        assert_eq!(named(json!(["./bin/errors.sh", "x"])), "errors.sh");
    }
}
