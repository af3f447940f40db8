//! The environment: every variable that is read, and nothing else.
//!
//! Owns: reading it once, at the start. Must not: be read anywhere else.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use secrecy::SecretString;

use crate::{cluster::secrets::Variables, domain::release::Process};

/// Variables that tell where a CI job can be looked at, the first that is set wins.
const JOB_URLS: [&str; 4] = [
    "CI_JOB_URL",
    "BUILD_URL",
    "CIRCLE_BUILD_URL",
    "BUILDKITE_BUILD_URL",
];

/// A copy of the environment.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    process: Option<Process>,
}

impl Environment {
    /// Returns the environment of the process; variables that are not text are left out.
    pub fn of_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            variables,
            process: own_process(),
        }
    }

    /// Returns an environment of the given variables.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            variables: variables.into_iter().collect(),
            process: None,
        }
    }

    /// Returns a variable; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// Returns the variables for those who have a reference to one: checks name where their
    /// secrets are, and the proxy's variables say how the world is reached.
    pub fn variables(&self) -> Variables {
        let own = self.clone();
        Variables::new(move |name| own.get(name).map(SecretString::from))
    }

    /// Returns the process that runs the command, where it can be found again.
    pub fn process(&self) -> Option<Process> {
        self.process.clone()
    }

    /// Returns the kubeconfigs that are read where none is named.
    pub fn kubeconfigs(&self) -> Vec<PathBuf> {
        if let Some(paths) = self.get("KUBECONFIG") {
            return std::env::split_paths(paths).collect();
        }
        let home = self.get("HOME").map(Path::new);
        let file = home.map(|home| home.join(".kube/config"));
        file.into_iter().collect()
    }

    /// Returns the names of all variables.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    /// Returns whether this is a CI job.
    pub fn is_ci(&self) -> bool {
        self.get("CI").is_some_and(|ci| ci != "false")
    }

    /// Returns who runs the command: the CI job's URL, or user and host.
    pub fn who(&self) -> String {
        let github = || {
            let server = self.get("GITHUB_SERVER_URL")?;
            let repository = self.get("GITHUB_REPOSITORY")?;
            let run = self.get("GITHUB_RUN_ID")?;
            Some(format!("{server}/{repository}/actions/runs/{run}"))
        };
        let job = || JOB_URLS.iter().find_map(|name| self.get(name));
        github()
            .or_else(|| job().map(str::to_owned))
            .unwrap_or_else(|| {
                let user = self.get("USER").or_else(|| self.get("LOGNAME"));
                let host = self.get("HOSTNAME").map(str::to_owned).or_else(host_name);
                let host = host.unwrap_or_else(|| "unknown host".to_owned());
                format!("{}@{host}", user.unwrap_or("somebody"))
            })
    }
}

/// Returns the arguments of the process.
pub(super) fn arguments() -> Vec<OsString> {
    std::env::args_os().collect()
}

/// Returns a name for this process that no other has.
pub(super) fn process_id(now: jiff::Timestamp) -> String {
    format!("{}-{}", std::process::id(), now.as_nanosecond())
}

/// Returns this process: the machine since it was started, and what in it numbers processes, which each
/// container has of its own.
fn own_process() -> Option<Process> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let numbers = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let pid = std::process::id();
    Some(Process {
        machine: format!("{} {}", boot.trim(), numbers.display()),
        pid,
        began: began(pid)?,
    })
}

/// Returns whether a process of this machine runs no more; where that cannot be told, it runs.
#[cfg(unix)]
pub(super) fn is_gone(process: &Process) -> bool {
    use rustix::{
        io::Errno,
        process::{Pid, test_kill_process},
    };
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    // Asked of the kernel: of the processes of other users a machine may show nothing.
    let gone = pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH));
    gone || began(process.pid).is_some_and(|began| began != process.began)
}

/// Returns whether a process of this machine runs no more: that cannot be told here.
#[cfg(not(unix))]
pub(super) fn is_gone(_: &Process) -> bool {
    false
}

/// Returns when a process began, in ticks since the machine started; `None` where that is not shown.
fn began(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program comes before, in brackets, and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    // A zombie has ended, and nobody has asked how.
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return Some(u64::MAX);
    }
    fields.nth(18)?.parse().ok()
}

fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_is_gone_when_it_was_killed_or_its_number_has_another() {
        let Some(own) = own_process() else {
            // Nothing to tell it by on this system: then nobody is gone.
            return;
        };
        assert_eq!(own.pid, std::process::id());
        assert!(!is_gone(&own));
        let began = own.began + 1;
        assert!(is_gone(&Process {
            began,
            ..own.clone()
        }));
        let mut child = Command::new("sleep")
            .arg("600")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let process = Process {
            pid: child.id(),
            began: super::began(child.id()).unwrap(),
            ..own
        };
        assert!(!is_gone(&process));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_gone(&process));
    }
}
