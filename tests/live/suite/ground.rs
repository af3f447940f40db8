//! The clusters under the tests.
//!
//! Owns: finding or starting one, disturbing one, clients for it. Must not: know the payment API.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use canaryctl::clock::Clock;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// The folder of the scripts that start and end clusters.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live");

/// A cluster.
pub(crate) struct Ground {
    /// A kubeconfig that may do everything.
    pub(crate) kubeconfig: PathBuf,
    /// Its state folder; a cluster that was only given may have none.
    state: Option<PathBuf>,
    /// Whether it ends with this value.
    own: bool,
}

impl Ground {
    /// Returns the cluster that all tests share: the one of `KUBECONFIG`, or one that is started now
    /// and ends with this process.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Ground> = OnceLock::new();
        SHARED.get_or_init(|| match variable("KUBECONFIG") {
            Some(kubeconfig) => Self {
                kubeconfig: kubeconfig.into(),
                state: variable("CANARYCTL_LIVE_STATE").map(PathBuf::from),
                own: false,
            },
            // Never dropped; it ends because the process does.
            None => Self::start(),
        })
    }

    /// Starts a cluster of one's own, to be disturbed. It ends with the value, or with the process.
    pub(crate) fn start() -> Self {
        let output = Command::new(format!("{SCRIPTS}/up"))
            .args(["--while", &std::process::id().to_string()])
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "up: {}", output.status);
        let state = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
        Self {
            kubeconfig: state.join("kubeconfig"),
            state: Some(state),
            own: true,
        }
    }

    /// Returns the state folder.
    pub(crate) fn state(&self) -> &Path {
        let none = "this needs a cluster of tests/live/up: unset KUBECONFIG, or source its env";
        self.state.as_deref().expect(none)
    }

    /// Returns a variable that the cluster's `env` sets.
    pub(crate) fn setting(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.state().join("env")).unwrap();
        let begin = format!("export {name}=");
        let value = text.lines().find_map(|line| line.strip_prefix(&begin));
        value
            .unwrap_or_else(|| panic!("no {name} in env"))
            .to_owned()
    }

    /// Returns the path of a test user's kubeconfig.
    pub(crate) fn credentials(&self, user: &str) -> PathBuf {
        self.state().join(format!("credentials/{user}.kubeconfig"))
    }

    /// Disturbs the control plane: the words of `tests/live/ctl` after the state folder.
    pub(crate) async fn ctl(&self, words: &[&str]) {
        let status = tokio::process::Command::new(format!("{SCRIPTS}/ctl"))
            .arg(self.state())
            .args(words)
            .stdin(Stdio::null())
            .status()
            .await
            .unwrap();
        assert!(status.success(), "ctl {words:?}: {status}");
    }

    /// Returns the second number of the version of Kubernetes: 36 of 1.36.
    pub(crate) async fn minor(&self) -> u32 {
        let version = self.client().await.apiserver_version().await.unwrap();
        // Some say `20+`.
        version.minor.trim_end_matches('+').parse().unwrap()
    }

    /// Returns a client of the administrator.
    pub(crate) async fn client(&self) -> Client {
        client_of(&self.kubeconfig).await
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let (true, Some(state)) = (self.own, &self.state) {
            let down = Command::new(format!("{SCRIPTS}/down")).arg(state).status();
            assert!(down.is_ok_and(|status| status.success()), "down failed");
        }
    }
}

/// Returns a client of whoever a kubeconfig is of.
pub(crate) async fn client_of(kubeconfig: &Path) -> Client {
    // A second call in the same process is refused, which is fine.
    drop(rustls::crypto::ring::default_provider().install_default());
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.unwrap();
    // Whoever asks knows for how long it is worth while.
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// Returns the command that runs kubectl: the one of the cluster's environment, or of the PATH.
pub(crate) fn kubectl() -> String {
    variable("CANARYCTL_LIVE_KUBECTL").unwrap_or_else(|| "kubectl".to_owned())
}

/// Returns a variable of the environment, unless it is empty.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the suite that does"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Lets real time pass.
pub(crate) async fn pause(milliseconds: u64) {
    Clock::System
        .sleep(Duration::from_millis(milliseconds))
        .await;
}

/// Asks again and again until there is an answer; panics with `what` after so many seconds.
pub(crate) async fn within<T>(seconds: u64, what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let begin = std::time::Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        let late = begin.elapsed() > Duration::from_secs(seconds);
        assert!(!late, "not within {seconds} s: {what}");
        pause(200).await;
    }
}
