use std::borrow::Cow;

use super::{Check, Metrics, Router};
use crate::config::{ConfigError, Document};

type TestDocument = Document<Router, Check, Metrics>;

fn parse(text: &str) -> Result<TestDocument, ConfigError> {
    Document::parse("canary.yaml", text)
}

#[test]
fn members_share_the_plan_and_have_what_is_their_own() {
    let text = "
group: shop
namespace: orion
apps:
  - app: frontend
    stable: web
    checks: [latency: { quantile: 0.5 }]
  - app: backend
    router: { istio: { virtualService: backend } }
router: replicas
steps: [10, 100]
checks: [pods: { maxRestarts: 3 }]
";
    let Document::Group(group) = parse(text).unwrap() else {
        panic!("no group");
    };
    assert_eq!(group.group, "shop");
    let [frontend, backend] = group.members.as_slice() else {
        panic!("{:?}", group.members);
    };
    assert_eq!(frontend.app, "frontend");
    assert_eq!(frontend.overrides.stable.as_deref(), Some("web"));
    assert_eq!(frontend.checks.len(), 2);
    assert_eq!(backend.overrides.stable, None);
    assert_eq!(backend.checks.len(), 1);
    assert_ne!(frontend.router, backend.router);
    for member in [frontend, backend] {
        assert_eq!(member.overrides.namespace.as_deref(), Some("orion"));
        assert_eq!(member.overrides.steps.as_ref().unwrap().len(), 2);
    }
}

#[test]
fn a_group_without_a_name_is_called_by_its_apps() {
    let Document::Group(group) = parse("apps: [{app: a}, {app: b}]\n").unwrap() else {
        panic!("no group");
    };
    assert_eq!(group.group, "a+b");
}

#[test]
fn what_is_wrong_with_a_group_is_told_with_its_place() {
    let cases = [
        (
            "apps: [{app: a}, {app: b, stabel: c}]\n",
            "canary.yaml:1:27: unknown key 'stabel' in apps[1]; did you mean 'stable'?",
        ),
        (
            "apps:\n  - app: a\n  - app: a\n",
            "canary.yaml:3:10: apps[1].app: 'a' is in the group already",
        ),
        (
            "apps:\n  - app: a\n  - stable: b\n",
            "canary.yaml:3:5: missing key 'app' in apps[1]",
        ),
        (
            "apps:\n  - app: a\n    steps: [10]\n  - app: b\n",
            "canary.yaml:3:5: apps[0]: 'steps' holds for all apps of the group",
        ),
        (
            "apps:\n  - app: a\n  - app: b\n    namespace: x\n",
            "canary.yaml:4:5: apps[1]: 'namespace' holds for all apps of the group",
        ),
        (
            "apps:\n  - app: a\n",
            "canary.yaml:2:3: apps: a group has two apps at least; for one use `app`",
        ),
        (
            "app: a\napps: [{app: a}, {app: b}]\n",
            "canary.yaml:1:6: app: give this or `apps`, not both",
        ),
        (
            "stable: a\napps: [{app: a}, {app: b}]\n",
            "canary.yaml:1:9: stable: give this at the app that it belongs to, in `apps`",
        ),
        (
            "app: a\ngroup: b\n",
            "canary.yaml:2:8: group: it is the name of `apps`, which are missing",
        ),
        (
            "apps: [{app: a}, {app: b, checks: [latency: { quantil: 1 }]}]\n",
            "canary.yaml:1:47: unknown key 'quantil' in apps[1].checks[0].latency; did you mean 'quantile'?",
        ),
        (
            "group: a\n",
            "canary.yaml:1:8: group: it is the name of `apps`, which are missing",
        ),
    ];
    for (text, expected) in cases {
        let actual = match parse(text) {
            Ok(_) => Cow::Borrowed("accepted"),
            Err(error) => Cow::Owned(error.to_string()),
        };
        assert_eq!(actual, expected, "{text}");
    }
}
