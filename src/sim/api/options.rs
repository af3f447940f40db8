//! The options of a request: dry run, field validation, field manager, propagation.
//!
//! Owns: refusing options that do not exist. Must not: act on them.

use http::Method;
use serde_json::{Value, json};

use super::{
    request::Call,
    validate::{Cause, invalid},
};
use crate::sim::store::Refusal;

/// Longest name of a field manager, in bytes.
const LONGEST_MANAGER: usize = 128;

/// What happens to fields that are unknown or given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    /// Nothing.
    Ignore,
    /// A warning.
    Warn,
    /// An error.
    Strict,
}

/// Returns what a request wants of unknown fields.
pub(crate) fn field_validation(call: &Call) -> FieldValidation {
    match call.query("fieldValidation") {
        Some("Ignore") => FieldValidation::Ignore,
        Some("Strict") => FieldValidation::Strict,
        Some(_) | None => FieldValidation::Warn,
    }
}

/// Refuses a write whose options cannot be understood.
pub(crate) fn check(call: &Call) -> Result<(), Refusal> {
    let kind = match call.method {
        Method::POST => "CreateOptions",
        Method::PUT => "UpdateOptions",
        Method::PATCH => "PatchOptions",
        _ => return Ok(()),
    };
    let mut causes = Vec::new();
    dry_run(call, &mut causes);
    if call
        .query("fieldManager")
        .is_some_and(|m| m.len() > LONGEST_MANAGER)
    {
        causes.push(Cause::too_long("fieldManager", LONGEST_MANAGER));
    }
    if let Some(other) = call.query("fieldValidation")
        && !["", "Ignore", "Strict", "Warn"].contains(&other)
    {
        let known = ["", "Ignore", "Strict", "Warn"];
        causes.push(Cause::unsupported("fieldValidation", &json!(other), &known));
    }
    refuse(kind, &causes)
}

/// Refuses a delete whose options cannot be understood.
pub(crate) fn check_delete(call: &Call, options: &Value) -> Result<(), Refusal> {
    let mut causes = Vec::new();
    if let Some(policy) = options["propagationPolicy"].as_str()
        && !["Foreground", "Background", "Orphan"].contains(&policy)
    {
        let known = ["Foreground", "Background", "Orphan", "nil"];
        causes.push(Cause::unsupported(
            "propagationPolicy",
            &json!(policy),
            &known,
        ));
    }
    dry_run(call, &mut causes);
    refuse("DeleteOptions", &causes)
}

/// Refuses a list whose options cannot be understood.
pub(crate) fn refuse_list(cause: Cause) -> Refusal {
    invalid(
        "ListOptions.meta.k8s.io",
        ("meta.k8s.io", "ListOptions"),
        "",
        &[cause],
    )
}

fn dry_run(call: &Call, causes: &mut Vec<Cause>) {
    if let Some(other) = call
        .query("dryRun")
        .filter(|v| !v.is_empty() && *v != "All")
    {
        causes.push(Cause::unsupported("dryRun", &json!([other]), &["All"]));
    }
}

fn refuse(kind: &str, causes: &[Cause]) -> Result<(), Refusal> {
    if causes.is_empty() {
        return Ok(());
    }
    let qualified = format!("{kind}.meta.k8s.io");
    Err(invalid(&qualified, ("meta.k8s.io", kind), "", causes))
}
