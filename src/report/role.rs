//! A Role as a file for `kubectl apply`.
//!
//! Owns: grouping rights into rules, and saying beside each what it is for. Must not: know which
//! rights there are.

use std::{collections::BTreeSet, fmt::Write};

use crate::domain::right::{Need, Right};

/// Whom a Role is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleText<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace, where given.
    pub namespace: Option<&'a str>,
    /// The ConfigMaps that alone may be read by name and written: the app's journal, and its approval.
    pub records: Option<(&'a str, &'a str)>,
    /// Whether it is to serve in all namespaces.
    pub everywhere: bool,
}

/// One rule: what for, group, resource, names, verbs.
struct Rule<'a> {
    need: Need,
    group: &'a str,
    resource: String,
    names: Vec<String>,
    verbs: Vec<&'a str>,
    whys: Vec<&'a str>,
}

/// Returns the Role with these rights as YAML.
pub fn role(text: &RoleText<'_>, rights: &[Right]) -> String {
    let kind = if text.everywhere {
        "ClusterRole"
    } else {
        "Role"
    };
    let mut yaml = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {}\n",
        scalar(text.name)
    );
    if let Some(namespace) = text.namespace.filter(|_| !text.everywhere) {
        // Writing to a String cannot fail.
        writeln!(yaml, "  namespace: {}", scalar(namespace)).ok();
    }
    yaml.push_str("rules:\n");
    for rule in rules(text, rights) {
        yaml.push_str(&written(&rule));
    }
    yaml
}

fn rules<'a>(text: &RoleText<'_>, rights: &'a [Right]) -> Vec<Rule<'a>> {
    let mut rules: Vec<Rule<'a>> = Vec::new();
    for right in rights {
        let (resource, names) = (right.in_role(), names(text, right));
        let same = |r: &&mut Rule<'_>| {
            r.need == right.need
                && r.group == right.group
                && r.resource == resource
                && r.names == names
        };
        let known = rules.iter_mut().find(same);
        match known {
            Some(rule) => {
                rule.verbs.push(right.verb);
                if !rule.whys.contains(&right.why) {
                    rule.whys.push(right.why);
                }
            }
            None => rules.push(Rule {
                need: right.need,
                group: &right.group,
                resource,
                names,
                verbs: vec![right.verb],
                whys: vec![right.why],
            }),
        }
    }
    rules.sort_by_key(|rule| rule.need);
    rules
}

/// Returns the objects a right may be limited to: RBAC knows no names for `create` and `list`.
fn names(text: &RoleText<'_>, right: &Right) -> Vec<String> {
    if !right.names.is_empty() {
        return right.names.clone();
    }
    let named = matches!(right.verb, "get" | "update" | "patch" | "delete");
    match text.records {
        // Who approves writes to the approval alone: with the right to patch the journal he could
        // release what nobody has checked.
        Some((_, approval)) if right.verb == "patch" && right.resource == "configmaps" => {
            vec![approval.to_owned()]
        }
        Some((journal, approval)) if named && right.resource == "configmaps" => {
            vec![journal.to_owned(), approval.to_owned()]
        }
        Some(_) | None => Vec::new(),
    }
}

fn written(rule: &Rule<'_>) -> String {
    let mut comment = rule.whys.join("; ");
    if let Some(when) = when(rule.need) {
        comment = format!("{when}: {comment}");
    }
    let group = scalar(rule.group);
    let verbs: BTreeSet<&str> = rule.verbs.iter().copied().collect();
    let verbs: Vec<&str> = verbs.into_iter().collect();
    let names: Vec<String> = rule.names.iter().map(|name| scalar(name)).collect();
    let names = match names.as_slice() {
        [] => String::new(),
        names => format!("    resourceNames: [{}]\n", names.join(", ")),
    };
    format!(
        "  # {comment}\n  - apiGroups: [{group}]\n    resources: [{}]\n{names}    verbs: [{}]\n",
        scalar(&rule.resource),
        verbs.join(", ")
    )
}

/// Returns a name as YAML has it: one that is written in a file of somebody's must not become a rule.
fn scalar(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
    if !name.is_empty() && name.chars().all(plain) {
        return name.to_owned();
    }
    serde_json::Value::from(name).to_string()
}

fn when(need: Need) -> Option<&'static str> {
    match need {
        Need::Always => None,
        Need::Route => Some("only with --create-route"),
        Need::Asking => Some("only with HTTP checks, `scrape` or a load"),
        Need::Measuring => Some("only with checks of CPU or memory"),
        Need::Forwarded => Some("only where canaryctl cannot resolve the Service's name"),
        Need::Autoscaler => Some("only where an autoscaler scales either Deployment"),
        Need::Routed => Some("only where routes of this kind hold the weights"),
        Need::Create => Some("only when the release creates the canary Deployment"),
        Need::Delete => Some("only when the plan deletes the canary at the end"),
        Need::Restore => Some("only when a promotion fails"),
        Need::Better => Some("not needed, but better"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_a_file_is_no_rule() {
        for (name, yaml) in [
            ("prometheus-token", "prometheus-token"),
            ("networking.k8s.io", "networking.k8s.io"),
            ("", "\"\""),
            ("a]\n    verbs: [x", "\"a]\\n    verbs: [x\""),
            ("a # b", "\"a # b\""),
        ] {
            assert_eq!(scalar(name), yaml);
        }
    }
}
