//! What to do when a run has ended: the next command, and the one that undoes.
//!
//! Owns: the hints. Must not: know why beyond the outcome, its cause and the phase.

use crate::domain::release::{Cause, Outcome, Phase};

/// How the tool was called, so that hints can be pasted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The app; empty where a file names several.
    pub app: String,
    /// Its namespace.
    pub namespace: String,
    /// `canaryctl` or `kubectl canary`.
    pub invoked_as: String,
    /// Flags that lead to the same cluster and objects, with their values.
    pub flags: Vec<(String, String)>,
    /// The simulated cluster, where it runs on one.
    pub sandbox: Option<String>,
}

/// Commands worth running after an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// The next command.
    pub next: String,
    /// The command that takes the canary out, where it may have traffic.
    pub undo: Option<String>,
    /// What to know before.
    pub note: Option<&'static str>,
}

/// Said where the run had a simulated cluster of its own.
const GONE: &str = "the sandbox of this run has been deleted; that one keeps running";

// === impl Invocation ===

impl Invocation {
    /// Returns the command line of a verb for this app.
    pub fn command(&self, verb: &str) -> String {
        let namespace = quoted(&self.namespace);
        let app = if self.app.is_empty() {
            String::new()
        } else {
            format!(" {}", quoted(&self.app))
        };
        let mut line = format!("{} {verb}{app} -n {namespace}", self.invoked_as);
        for (flag, value) in &self.flags {
            line += &[" ", flag, " ", &quoted(value)].concat();
        }
        if let Some(sandbox) = &self.sandbox {
            line += &[" --sandbox=", &quoted(sandbox)].concat();
        }
        line
    }
}

/// Returns the hints for an end in `phase`, the last one entered, if any was.
pub fn closing(
    outcome: Outcome,
    cause: Option<Cause>,
    phase: Option<Phase>,
    invocation: &Invocation,
) -> Closing {
    if let Some(sandbox) = &invocation.sandbox {
        return Closing {
            next: format!("{} sandbox {}", invocation.invoked_as, quoted(sandbox)),
            undo: None,
            note: Some(GONE),
        };
    }
    let undo = Some(invocation.command("rollback"));
    let (verb, undo) = match outcome {
        Outcome::Promoted => ("status", None),
        Outcome::RolledBack => (after_rollback(cause), None),
        Outcome::AtWeight => ("monitor", undo),
        Outcome::Paused => (after_pause(cause, phase), undo),
        Outcome::Conflict => ("status", undo),
        // A rollback that did not complete is tried again; a failed promotion is looked at first.
        Outcome::Incomplete if cause == Some(Cause::Promotion) => ("status", undo),
        Outcome::Incomplete => ("rollback", None),
    };
    Closing {
        next: invocation.command(verb),
        undo,
        note: None,
    }
}

fn after_rollback(cause: Option<Cause>) -> &'static str {
    match cause {
        Some(Cause::Unhealthy | Cause::Promotion) => "history",
        Some(Cause::Unknown | Cause::Refused) => "check",
        Some(Cause::Interrupt) => "auto",
        Some(Cause::Operator | Cause::Member) | None => "status",
    }
}

fn after_pause(cause: Option<Cause>, phase: Option<Phase>) -> &'static str {
    match (cause, phase) {
        (None, Some(Phase::Approving)) => "approve",
        _ => "status",
    }
}

/// Returns a word that a shell takes as it is.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undo_is_offered_only_while_the_canary_may_have_traffic() {
        let invocation = Invocation {
            app: "payment-api".into(),
            namespace: "orion".into(),
            invoked_as: "kubectl canary".into(),
            flags: Vec::new(),
            sandbox: None,
        };
        let hints = |outcome, cause, phase| closing(outcome, cause, phase, &invocation);
        let paused = hints(Outcome::Paused, None, Some(Phase::Approving));
        assert_eq!(paused.next, "kubectl canary approve payment-api -n orion");
        assert_eq!(
            paused.undo.as_deref(),
            Some("kubectl canary rollback payment-api -n orion")
        );
        let back = hints(Outcome::RolledBack, Some(Cause::Unhealthy), None);
        assert_eq!(back.next, "kubectl canary history payment-api -n orion");
        assert_eq!(back.undo, None);
        let stuck = hints(Outcome::Incomplete, Some(Cause::Unhealthy), None);
        assert_eq!(stuck.next, "kubectl canary rollback payment-api -n orion");
    }

    #[test]
    fn a_pasted_hint_leads_to_the_same_cluster() {
        let invocation = Invocation {
            app: "web".into(),
            namespace: "shop".into(),
            invoked_as: "canaryctl".into(),
            flags: vec![("--context".into(), "prod eu".into())],
            sandbox: None,
        };
        let command = invocation.command("rollback");
        assert_eq!(
            command,
            "canaryctl rollback web -n shop --context 'prod eu'"
        );
    }

    #[test]
    fn a_cluster_that_is_gone_is_not_named_again() {
        let invocation = Invocation {
            app: "payment-api".into(),
            namespace: "canary-release".into(),
            invoked_as: "canaryctl".into(),
            flags: Vec::new(),
            sandbox: Some("errors-at-25".into()),
        };
        for outcome in [Outcome::RolledBack, Outcome::Paused, Outcome::AtWeight] {
            let hints = closing(outcome, None, Some(Phase::Approving), &invocation);
            assert_eq!(hints.next, "canaryctl sandbox errors-at-25");
            assert_eq!(hints.undo, None);
            assert!(hints.note.is_some_and(|note| note.contains("deleted")));
        }
    }

    #[test]
    fn names_that_a_shell_would_take_apart_are_quoted() {
        assert_eq!(quoted("a;rm -rf /"), "'a;rm -rf /'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
