//! Any text is a plan or an error that can be shown: one line, the line of the file, and a hint.

use canaryctl::{
    cli::{CheckEntry, MetricsEntry, RouterEntry},
    config::{ConfigError, File, Overrides, Settings},
    domain::{
        check::CheckSpec,
        plan::{Plan, Presence},
    },
    health::source::fitted,
    traffic,
};

/// Panics unless it is so of this input.
pub(crate) fn holds(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match plan(&text) {
        Ok(Some(plan)) => {
            plan.validate().expect("a plan is valid");
            let recorded = serde_json::to_string(&plan).expect("a plan can be recorded");
            let read: Plan = serde_json::from_str(&recorded).expect("a plan can be read back");
            assert_eq!(read.steps.len(), plan.steps.len());
        }
        Ok(None) => {}
        Err(error) => {
            let said = error.to_string();
            let hint = error.hint().unwrap_or_default();
            let snippet = error.snippet().unwrap_or_default();
            let control = |text: &str| text.chars().any(char::is_control);
            assert!(!control(&said) && !control(hint), "{said:?} {hint:?}");
            assert!(
                snippet.lines().count() <= 2 && !snippet.lines().any(control),
                "{snippet:?}"
            );
        }
    }
}

/// Returns the plan of a file; `None` where its checks do not fit its source of metrics.
fn plan(text: &str) -> Result<Option<Plan>, ConfigError> {
    let file = File::<RouterEntry, CheckEntry, MetricsEntry>::parse("canary.yaml", text)?;
    let none = Overrides::default;
    let settings = Settings::resolve(None, none(), none(), Some(file))?;
    let router = settings.router.as_ref().map(|entry| &entry.0);
    drop(traffic::wanted(router));
    let checks: Vec<CheckSpec> = settings.checks.iter().map(|c| c.0.clone()).collect();
    let metrics = settings.metrics.as_ref().map(|entry| entry.0.clone());
    match fitted(checks, metrics.as_ref()) {
        Ok(checks) => settings.plan(checks, metrics, Presence::Attended).map(Some),
        Err(error) => {
            drop(error.to_string());
            Ok(None)
        }
    }
}
