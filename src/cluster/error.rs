//! What can go wrong between us and the API server, in words.
//!
//! Owns: mapping the client's errors to a reason, a sentence and a hint. Must not: decide what to do.

use std::{fmt, time::Duration};

use super::bounded::TooLarge;
use crate::clock::Elapsed;

/// Indicates that a request to the API server failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterError {
    /// What was attempted, as a verb: `read`, `scale`, `create`.
    pub action: &'static str,
    /// On which object, such as `Deployment shop/web`.
    pub what: String,
    /// Why it failed.
    pub reason: Reason,
    /// What the server or the network said.
    pub detail: String,
    /// When the server wants to be asked again.
    pub retry_after: Option<Duration>,
}

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// 404: no such object.
    NotFound,
    /// 404 for the whole kind: the API is not served.
    NotServed,
    /// 401: the credentials are not accepted.
    Unauthorized,
    /// 403: the identity lacks a right, or a quota or policy refuses.
    Forbidden,
    /// 409: the object was changed since it was read.
    Conflict,
    /// 409: the object exists already.
    Exists,
    /// 400 or 422: the server does not accept the content.
    Invalid,
    /// 429: the server is overloaded; nothing was changed.
    Throttled,
    /// 5xx.
    Unavailable,
    /// The connection could not be made or broke.
    Transport,
    /// No answer in time.
    Timeout,
    /// An answer that could not be read: it is none of a Kubernetes API server, or larger than is read.
    Garbled,
}

impl Reason {
    /// Returns whether the server or the network is at fault, so that trying again may help.
    pub fn is_outage(self) -> bool {
        match self {
            Self::Throttled | Self::Unavailable | Self::Transport | Self::Timeout => true,
            Self::NotFound
            | Self::NotServed
            | Self::Unauthorized
            | Self::Forbidden
            | Self::Conflict
            | Self::Exists
            | Self::Invalid
            | Self::Garbled => false,
        }
    }
}

// === impl ClusterError ===

impl ClusterError {
    /// Returns the error of a failed request.
    pub fn new(action: &'static str, what: &str, error: &kube::Error) -> Self {
        let (reason, detail, retry_after) = classify(error);
        Self {
            action,
            what: what.to_owned(),
            reason,
            detail,
            retry_after,
        }
    }

    /// Returns the error of a request without an answer.
    pub fn timeout(action: &'static str, what: &str, elapsed: Elapsed) -> Self {
        Self {
            action,
            what: what.to_owned(),
            reason: Reason::Timeout,
            detail: elapsed.to_string(),
            retry_after: None,
        }
    }

    /// Returns an error found on our side of an answer.
    pub fn garbled(action: &'static str, what: &str, detail: impl Into<String>) -> Self {
        Self {
            action,
            what: what.to_owned(),
            reason: Reason::Garbled,
            detail: detail.into(),
            retry_after: None,
        }
    }

    /// Returns whether the next look at the cluster may find the trouble gone.
    pub fn is_passing(&self) -> bool {
        self.reason.is_outage() || self.reason == Reason::Conflict || self.reason == Reason::Exists
    }

    /// Returns the next thing to try.
    pub fn hint(&self) -> String {
        match self.reason {
            Reason::NotFound => {
                "check the name, --namespace and --context; `kubectl get deployments` lists what is there"
                    .to_owned()
            }
            Reason::NotServed => "the cluster does not serve this API".to_owned(),
            Reason::Unauthorized => {
                "log in again, or check the user of the kubeconfig context".to_owned()
            }
            Reason::Forbidden => {
                "ask for the missing permission; `canaryctl check APP` lists what each verb needs".to_owned()
            }
            Reason::Conflict | Reason::Exists => {
                "another client changed the object; run the command again".to_owned()
            }
            Reason::Invalid => "the server refuses the content; see the message above".to_owned(),
            Reason::Throttled | Reason::Unavailable => {
                "the API server is overloaded or restarting; try again".to_owned()
            }
            Reason::Transport | Reason::Timeout => {
                "check the server address in the kubeconfig, the VPN and `kubectl version`".to_owned()
            }
            Reason::Garbled => "is this really a Kubernetes API server?".to_owned(),
        }
    }
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.action, self.what, self.detail)
    }
}

impl std::error::Error for ClusterError {}

/// The client's reason for an error whose text is not a Kubernetes `Status`.
const NO_STATUS: &str = "Failed to parse error data";

/// Longest text of an error that is not a Kubernetes `Status`, in characters.
const EXCERPT: usize = 160;

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the client's error grows with its features; what is not told apart is transport"
)]
fn classify(error: &kube::Error) -> (Reason, String, Option<Duration>) {
    if let Some(excess) = TooLarge::behind(error) {
        return (Reason::Garbled, excess.to_string(), None);
    }
    match error {
        kube::Error::Api(status) => {
            let reason = reason_of(status.code, &status.reason, &status.message);
            let retry = status.details.as_ref().map(|d| d.retry_after_seconds);
            let retry = retry
                .filter(|s| *s > 0)
                .map(|s| Duration::from_secs(s.into()));
            (reason, detail_of(reason, status), retry)
        }
        kube::Error::SerdeError(e) => (Reason::Garbled, unreadable(e), None),
        kube::Error::FromUtf8(e) => (Reason::Garbled, e.to_string(), None),
        kube::Error::UpgradeConnection(e) => {
            let text = e.to_string();
            let reason = if text.contains("403") {
                Reason::Forbidden
            } else {
                Reason::Transport
            };
            (reason, text, None)
        }
        other => (Reason::Transport, innermost(other), None),
    }
}

fn reason_of(code: u16, reason: &str, message: &str) -> Reason {
    match code {
        401 => Reason::Unauthorized,
        403 => Reason::Forbidden,
        // The second text is the answer where the whole group is unknown.
        404 if message.contains("the server could not find the requested resource")
            || message.contains("404 page not found") =>
        {
            Reason::NotServed
        }
        // Not from an API server but from something in front of it: nothing is known to be absent.
        404 if reason == NO_STATUS => Reason::Garbled,
        404 => Reason::NotFound,
        409 if reason == "AlreadyExists" => Reason::Exists,
        409 => Reason::Conflict,
        // The answer to a JSON patch whose `test` failed: somebody else was faster.
        422 if message.contains("error in our request") => Reason::Conflict,
        400 | 405 | 406 | 413 | 415 | 422 => Reason::Invalid,
        429 => Reason::Throttled,
        _ => Reason::Unavailable,
    }
}

/// Returns why an answer is none that was asked for.
fn unreadable(error: &serde_json::Error) -> String {
    format!("the answer cannot be read: {error}")
}

fn detail_of(reason: Reason, status: &kube::core::Status) -> String {
    if status.reason == NO_STATUS {
        // A page of HTML: its beginning says who wrote it.
        let words: Vec<&str> = status.message.split_whitespace().collect();
        let shown: String = words.join(" ").chars().take(EXCERPT).collect();
        return format!(
            "the server answered {}, not as a Kubernetes API server does: {shown}",
            status.code
        );
    }
    if !status.message.is_empty() {
        return status.message.clone();
    }
    if reason == Reason::Forbidden {
        return "the identity lacks the permission".to_owned();
    }
    format!("the server answered {} {}", status.code, status.reason)
}

/// Returns the message of the innermost cause, which names the real trouble.
/// Returns the innermost text of an error, the one that says what happened.
pub fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
