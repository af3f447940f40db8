//! Who may do what: an authorisation rule set that denies, and the reviews that ask it.
//!
//! Owns: the rules, their 403, `SelfSubjectAccessReview` and `SelfSubjectRulesReview`. Must not:
//! know where objects are kept.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::resources::{Resource, Target};
use crate::sim::store::Refusal;

/// What the user of the simulated cluster may do: everything that is not denied, or what a Role
/// allows and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    user: String,
    denied: Vec<Denial>,
    role: Option<Vec<Rule>>,
}

/// A rule of a Role.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
    verbs: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Denial {
    verb: String,
    group: String,
    resource: String,
    namespace: String,
}

/// One question: may the user do this?
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    /// Plural, with `/subresource` where there is one.
    pub(crate) resource: &'a str,
    pub(crate) namespace: &'a str,
    /// Empty for all objects.
    pub(crate) name: &'a str,
}

impl Default for Rules {
    fn default() -> Self {
        Self::new("dev")
    }
}

impl Rules {
    /// Returns rules that let `user` do everything.
    pub fn new(user: &str) -> Self {
        Self {
            user: user.to_owned(),
            denied: Vec::new(),
            role: None,
        }
    }

    /// Returns rules that let `user` do what a Role says, in every namespace, and nothing else;
    /// `None` when it is no Role.
    pub fn of_role(user: &str, role: &Value) -> Option<Self> {
        let rules = Vec::deserialize(&role["rules"]).ok()?;
        Some(Self {
            role: Some(rules),
            ..Self::new(user)
        })
    }

    /// Denies a verb on a resource in all namespaces.
    ///
    /// `resource` is the plural, with `/subresource` where meant (`deployments/scale`); denying
    /// the plural leaves its subresources allowed, as in RBAC. `*` stands for any verb, group or
    /// resource.
    pub fn deny(self, verb: &str, group: &str, resource: &str) -> Self {
        self.deny_in("*", verb, group, resource)
    }

    /// Denies a verb on a resource in one namespace.
    pub fn deny_in(mut self, namespace: &str, verb: &str, group: &str, resource: &str) -> Self {
        self.denied.push(Denial {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
        });
        self
    }

    /// Returns whether the answer to a question is yes.
    pub(crate) fn allow(&self, asked: Question<'_>) -> bool {
        let fits = |rule: &str, value: &str| rule == "*" || rule == value;
        // Everybody may ask what they may do, unless it is denied by name.
        let review = asked.group == "authorization.k8s.io";
        let any = |rules: &[String], value: &str| rules.iter().any(|rule| fits(rule, value));
        let allowed = |rule: &Rule| {
            any(&rule.verbs, asked.verb)
                && any(&rule.api_groups, asked.group)
                && any(&rule.resources, asked.resource)
                && (rule.resource_names.is_empty()
                    || rule.resource_names.iter().any(|name| name == asked.name))
        };
        if let Some(role) = &self.role
            && !review
            && !role.iter().any(allowed)
        {
            return false;
        }
        !self.denied.iter().any(|d| {
            !(review && d.group == "*")
                && fits(&d.verb, asked.verb)
                && fits(&d.group, asked.group)
                && fits(&d.resource, asked.resource)
                && fits(&d.namespace, asked.namespace)
        })
    }

    /// Refuses what the rules deny, in the words of the API server.
    pub(crate) fn check(&self, verb: &str, target: &Target) -> Result<(), Refusal> {
        let resource = match target.sub.first() {
            Some(sub) => format!("{}/{sub}", target.resource.plural),
            None => target.resource.plural.clone(),
        };
        let group = target.resource.group.as_str();
        // Who may see a namespace is decided in that namespace.
        let itself = group.is_empty() && target.resource.plural == "namespaces";
        let namespace = if itself {
            &target.name
        } else {
            &target.namespace
        };
        let asked = Question {
            verb,
            group,
            resource: &resource,
            namespace,
            name: &target.name,
        };
        if self.allow(asked) {
            return Ok(());
        }
        let mut subject = super::resources::qualified(group, &target.resource.plural);
        if !target.name.is_empty() {
            subject = format!("{subject} \"{}\"", target.name);
        }
        let place = if namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{namespace}\"")
        };
        Err(Refusal {
            details: json!({"name": target.name, "group": group, "kind": target.resource.plural}),
            ..Refusal::new(
                403,
                "Forbidden",
                format!(
                    "{subject} is forbidden: User \"{}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {place}",
                    self.user
                ),
            )
        })
    }

    /// Answers a `SelfSubjectAccessReview`.
    pub(crate) fn access_review(&self, review: &Value) -> Value {
        let asked = &review["spec"]["resourceAttributes"];
        let text = |field: &str| asked[field].as_str().unwrap_or_default();
        let resource = match text("subresource") {
            "" => text("resource").to_owned(),
            sub => format!("{}/{sub}", text("resource")),
        };
        let allowed = asked.is_null()
            || self.allow(Question {
                verb: text("verb"),
                group: text("group"),
                resource: &resource,
                namespace: text("namespace"),
                name: text("name"),
            });
        let mut answer = review.clone();
        answer["status"] = json!({"allowed": allowed});
        answer
    }

    /// Answers a `SelfSubjectRulesReview`: every verb of every resource that is not denied.
    pub(crate) fn rules_review(&self, review: &Value, served: &[Arc<Resource>]) -> Value {
        let namespace = review["spec"]["namespace"].as_str().unwrap_or_default();
        let mut rules = Vec::new();
        if self.denied.is_empty() && self.role.is_none() {
            rules.push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        } else {
            for resource in served {
                let mut rule = |name: &str, verbs: &[&str]| {
                    let asked = |verb| Question {
                        verb,
                        group: &resource.group,
                        resource: name,
                        namespace,
                        name: "",
                    };
                    let verbs: Vec<&&str> = verbs.iter().filter(|v| self.allow(asked(v))).collect();
                    if !verbs.is_empty() {
                        rules.push(json!({"verbs": verbs, "apiGroups": [resource.group], "resources": [name]}));
                    }
                };
                rule(&resource.plural, resource.verbs());
                for sub in resource.subresources() {
                    rule(&format!("{}/{}", resource.plural, sub.name), sub.verbs);
                }
            }
        }
        let mut answer = review.clone();
        answer["status"] = json!({
            "resourceRules": rules,
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["*"]}],
            "incomplete": false,
        });
        answer
    }
}
