//! Checks that are not evaluated here: what they ask was not given to this process.
//!
//! Owns: the rule that nothing outside the release's own objects is asked because a record says so, and
//! what stands in for a check or a source that may not be asked. Must not: ask anything.
//!
//! A record in the cluster can be written by more people than those who may run commands on this machine
//! or read its secrets. So it names its checks and their limits, but what a check asks outside the
//! release (commands, addresses, headers, references to secrets) comes from the flags, the environment or
//! the file that this process was given, and is not in the record at all.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use serde_json::Value;

use super::{
    Binding, HealthError, Look, Probe, Probes, bind, probe,
    source::{self, Source},
};
use crate::{
    cluster::Cluster,
    domain::{
        check::{CheckSpec, Reading, Sample},
        plan::{MetricsSpec, Plan},
        verdict::Unknown,
    },
};

/// What is missing, and where it is to come from.
const TEXT: &str = "not evaluated here: needs -f canary.yaml";

/// Stands in for a check, and for a metrics provider, that may not be asked.
pub(super) struct Withheld;

/// Makes everything that the checks of `recorded` observe with, and removes from it what must not be
/// recorded; nothing is asked yet.
///
/// What a check asks outside the release is taken from the check of the same name and kind in `given`,
/// the plan of this process. Where there is none the check has no answer.
pub fn bind_all(
    recorded: &mut Plan,
    given: &Plan,
    cluster: &Cluster,
) -> Result<Probes, HealthError> {
    let mut probes = Probes::default();
    if let Some(spec) = &mut recorded.metrics {
        let source = if let Some(options) = source_options(spec, given) {
            let name = spec.name.clone();
            source::bind(&MetricsSpec { name, options }, cluster)?
        } else {
            probes.withheld.push(format!("metrics {}", spec.name));
            Arc::new(Withheld)
        };
        let kind = source::kind(&spec.name);
        if !kind.is_some_and(|kind| kind.asks_only_the_release(&spec.options)) {
            spec.options = Value::Null;
        }
        probes.source = Some(source);
    }
    let mut made: BTreeMap<String, Box<dyn Probe>> = BTreeMap::new();
    for check in &mut recorded.checks {
        let binding = Binding {
            cluster,
            source: probes.source.as_ref(),
        };
        let probe: Box<dyn Probe> = if let Some(options) = check_options(check, given) {
            let spec = CheckSpec {
                options,
                ..check.clone()
            };
            bind(&spec, &binding)?
        } else {
            probes.withheld.push(check.name.clone());
            Box::new(Withheld)
        };
        if !is_recorded(check) {
            check.options = Value::Null;
        }
        made.insert(check.name.clone(), probe);
    }
    probes.probes = made;
    Ok(probes)
}

/// Returns whether the options of a check may be recorded: it asks the release's own objects alone.
fn is_recorded(check: &CheckSpec) -> bool {
    probe(&check.probe).is_some_and(|kind| kind.asks_only_the_release(&check.options))
}

/// Returns the options with which a check may be asked; `None` where they were not given.
fn check_options(check: &CheckSpec, given: &Plan) -> Option<Value> {
    if !check.options.is_null() && is_recorded(check) {
        return Some(check.options.clone());
    }
    let mut all = given.checks.iter();
    let same = all.find(|other| other.name == check.name && other.probe == check.probe)?;
    Some(same.options.clone())
}

/// The same for a metrics provider.
fn source_options(spec: &MetricsSpec, given: &Plan) -> Option<Value> {
    let kind = source::kind(&spec.name)?;
    if !spec.options.is_null() && kind.asks_only_the_release(&spec.options) {
        return Some(spec.options.clone());
    }
    let given = given.metrics.as_ref();
    Some(
        given
            .filter(|given| given.name == spec.name)?
            .options
            .clone(),
    )
}

fn nothing() -> Sample {
    Sample::Missing(Unknown::NotEvaluated, TEXT.to_owned())
}

#[async_trait]
impl Probe for Withheld {
    async fn look(&self, look: &Look<'_>) -> Vec<Reading> {
        vec![Reading {
            subject: look.workload.name.clone(),
            sample: nothing(),
        }]
    }
}

#[async_trait]
impl Source for Withheld {
    async fn count(&self, look: &Look<'_>, _: bool) -> Vec<Reading> {
        self.look(look).await
    }

    async fn value(&self, _: &str, _: &Look<'_>) -> Sample {
        nothing()
    }

    fn place(&self) -> String {
        TEXT.to_owned()
    }

    fn manner(&self) -> String {
        TEXT.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::check::{Rule, Severity};

    fn check(name: &str, kind: &str, options: Value) -> CheckSpec {
        CheckSpec {
            name: name.to_owned(),
            probe: kind.to_owned(),
            options,
            rule: Rule::Condition { consecutive: 1 },
            severity: Severity::default(),
            on_unknown: None,
            pre: false,
        }
    }

    #[test]
    fn only_what_asks_the_release_alone_is_recorded() {
        let plain = json!({"path": "/health", "method": "GET", "headers": {}, "body": null});
        let token = json!({"path": "/health", "method": "GET", "headers": {"Authorization": "x"}});
        let post = json!({"path": "/pay", "method": "POST", "headers": {}, "body": "all of it"});
        for (kind, options, recorded) in [
            ("pods", json!({}), true),
            ("http", plain, true),
            ("http", token, false),
            ("http", post, false),
            ("http", json!({"nonsense": 1}), false),
            ("errorRate", json!({}), true),
            ("command", json!({"run": ["true"]}), false),
            ("json", json!({"url": "http://x"}), false),
            ("webhook", json!({"url": "http://x"}), false),
            ("alerts", json!({"url": "http://x"}), false),
            ("value", json!({"query": "up"}), false),
            ("no such kind", json!({}), false),
        ] {
            let check = check("c", kind, options.clone());
            assert_eq!(is_recorded(&check), recorded, "{kind} {options}");
        }
    }

    #[test]
    fn what_is_recorded_never_says_what_to_ask_outside() {
        let given = |options: Value| {
            let mut plan = crate::health::tests::plan();
            plan.checks = vec![check("smoke", "command", options)];
            plan
        };
        let forged = check("smoke", "command", json!({"run": ["rm", "-rf", "/"]}));
        let own = json!({"run": ["true"]});
        assert_eq!(check_options(&forged, &given(own.clone())), Some(own));
        let mut none = given(Value::Null);
        none.checks.clear();
        assert_eq!(check_options(&forged, &none), None);
        let other_kind = check("smoke", "webhook", json!({"url": "http://evil"}));
        assert_eq!(check_options(&other_kind, &given(json!({}))), None);
    }
}
