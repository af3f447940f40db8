//! AWS Load Balancer Controller: forward actions in an annotation, byte by byte.

use super::Case;
use crate::traffic::alb::Alb;

const CAMEL: &str = r#"{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"canary","servicePort":"443","weight":0},{"serviceName":"stable","servicePort":"443","weight":100}]}}"#;
const PASCAL: &str = r#"{"Type":"forward","ForwardConfig":{"TargetGroups":[{"ServiceName":"canary","ServicePort":"443","Weight":0},{"ServiceName":"stable","ServicePort":"443","Weight":100}]}}"#;

fn case(action: &str, options: &str) -> Case<Alb> {
    let text = format!(
        "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  annotations:
    kubernetes.io/ingress.class: alb
    alb.ingress.kubernetes.io/conditions.web: '[{{\"field\":\"http-header\",\"httpHeaderConfig\":{{\"httpHeaderName\":\"X\",\"values\":[\"v\"]}}}}]'
    alb.ingress.kubernetes.io/actions.answer: '{{\"type\":\"fixed-response\",\"fixedResponseConfig\":{{\"statusCode\":\"503\"}}}}'
    alb.ingress.kubernetes.io/actions.broken: 'no json'
    alb.ingress.kubernetes.io/actions.web: '{action}'
spec: {{}}
"
    );
    Case::new(&text, options)
}

/// Returns the action as it is written for a weight.
fn written(action: &str, weight: &str) -> Result<String, String> {
    let case = case(action, "{}");
    let moved = case.at(weight)?;
    let key = "alb.ingress.kubernetes.io/actions.web";
    let notes = |object: &serde_json::Value| {
        let mut notes = object["metadata"]["annotations"]
            .as_object()
            .unwrap()
            .clone();
        let text = notes[key].as_str().unwrap().to_owned();
        notes.insert(key.to_owned(), serde_json::Value::Null);
        (text, serde_json::Value::from(notes).to_string())
    };
    let (text, others) = notes(&moved);
    assert_eq!(others, notes(&case.object).1, "another annotation changed");
    Ok(text)
}

#[test]
fn the_two_numbers_change_and_no_other_byte() {
    let sticky = CAMEL.replace(
        "]}}",
        r#"],"targetGroupStickinessConfig":{"enabled":true,"durationSeconds":300}}}"#,
    );
    let spaced = r#"{ "type": "forward",  "forwardConfig": {"targetGroups": [
        {"serviceName": "stable", "servicePort": 443, "weight" : 100 }, {"serviceName": "canary", "servicePort": 443, "weight":0} ] } }"#;
    let spaced = spaced.replace('\n', " ");
    for action in [CAMEL, PASCAL, &sticky, &spaced] {
        for (weight, canary, stable) in
            [("10", "10", "90"), ("50", "50", "50"), ("100", "100", "0")]
        {
            // The numbers are told apart by those that stand there: 100 is stable's, 0 the canary's.
            let expected =
                ["eight\":", "eight\" : "]
                    .iter()
                    .fold(action.to_owned(), |text, key| {
                        text.replace(&format!("{key}100"), &format!("{key}<{stable}"))
                            .replace(&format!("{key}0"), &format!("{key}<{canary}"))
                    });
            let expected = expected.replace('<', "");
            assert_eq!(written(action, weight), Ok(expected), "{weight}");
        }
    }
}

#[test]
fn zero_is_written_out() {
    let moved = written(
        &CAMEL
            .replace("\"weight\":0", "\"weight\":10")
            .replace("100", "90"),
        "0",
    );
    assert_eq!(moved, Ok(CAMEL.to_owned()));
}

#[test]
fn groups_by_arn_or_name_and_of_others_keep_their_weight() {
    for other in [
        r#"{"targetGroupARN":"arn:aws:elasticloadbalancing:eu-1:1:targetgroup/a/b","weight":20}"#,
        r#"{"targetGroupName":"canary","weight":20}"#,
        r#"{"serviceName":"other","servicePort":"443","weight":20}"#,
    ] {
        let action = CAMEL.replace("}]", &format!("}},{other}]"));
        let expected = action
            .replace("\"weight\":0", "\"weight\":25")
            .replace("100", "75");
        assert_eq!(written(&action, "25"), Ok(expected));
    }
}

#[test]
fn an_action_is_chosen_by_its_name() {
    let unchosen = case(CAMEL, r#"{"actions": ["answer"]}"#);
    assert_eq!(
        unchosen.told(),
        ["web: not among the routes of the configuration"]
    );
    let chosen = case(CAMEL, r#"{"actions": ["web"]}"#);
    assert_eq!(chosen.told(), ["web: 0%"]);
}

/// The controller refuses several groups of which one has no weight; so does this.
#[test]
fn an_action_with_a_group_without_a_weight_is_left_alone() {
    let case = case(&CAMEL.replace(",\"weight\":0", ""), "{}");
    assert_eq!(
        case.told(),
        ["web: a target group has no weight; the controller refuses that"]
    );
    assert_eq!(case.weights_at("10"), "nothing");
}

#[test]
fn a_finer_weight_is_the_nearest_that_can_be_said() {
    // Weights end at 999, so that the sum in use is kept.
    let moved = written(CAMEL, "0.5").unwrap();
    assert!(
        moved.contains(r#""weight":1}"#) && moved.contains(r#""weight":99}"#),
        "{moved}"
    );
}
