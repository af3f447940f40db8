//! Names of the journal's objects.
//!
//! Owns: making names and label values that Kubernetes takes of any app's name. Must not: know what is in
//! the objects.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::cluster::FIELD_MANAGER;

/// Longest name of an object, in bytes (RFC 1123 subdomain).
const LONGEST_NAME: usize = 253;

/// Longest value of a label, in bytes.
const LONGEST_LABEL: usize = 63;

/// What is appended to the name of an approval.
const APPROVAL: &str = "-approval";

/// Returns the name of an app's journal, a ConfigMap.
pub fn config_map(app: &str) -> String {
    fitted(
        &format!("{FIELD_MANAGER}-{app}"),
        LONGEST_NAME - APPROVAL.len(),
    )
}

/// Returns the name of the ConfigMap that holds an app's approval.
pub fn approval(app: &str) -> String {
    format!("{}{APPROVAL}", config_map(app))
}

/// Returns the value of the label that names the app.
pub(super) fn label(app: &str) -> String {
    fitted(app, LONGEST_LABEL)
}

/// Returns a text as it is, or where it is too long its beginning and a digest of the whole.
fn fitted(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let digest = Sha256::digest(text.as_bytes());
    let digest = digest.iter().take(4).fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    let room = longest - digest.len() - 1;
    let end = (0..=room).rfind(|at| text.is_char_boundary(*at));
    let begin = text[..end.unwrap_or(0)].trim_end_matches(['-', '.', '_']);
    format!("{begin}-{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_tell_apps_apart() {
        assert_eq!(config_map("web"), "canaryctl-web");
        assert_eq!(approval("web"), "canaryctl-web-approval");
        let long = "x".repeat(250);
        let other = format!("{long}y");
        assert!(
            approval(&long).len() <= LONGEST_NAME,
            "{}",
            approval(&long).len()
        );
        assert!(label(&long).len() <= LONGEST_LABEL);
        assert_ne!(config_map(&long), config_map(&other));
        assert_ne!(label(&long), label(&other));
        assert!(fitted("a-very-long-name", 12).ends_with(|c: char| c.is_ascii_alphanumeric()));
    }
}
