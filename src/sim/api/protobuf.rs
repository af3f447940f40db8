//! Bodies in Kubernetes' protobuf, as typed clients such as `kubectl create` send them.
//!
//! Owns: reading the kinds in the table below. Must not: guess; a field that is not in the table
//! and not empty is refused. Answers are always JSON.

use serde_json::{Map, Value, json};

use super::{defaults::base64, reply::nowhere, request::bad_request};
use crate::sim::store::Refusal;

/// How a field is read.
#[derive(Clone, Copy)]
enum Kind {
    /// Text; empty means absent.
    Text,
    /// Texts, one per occurrence.
    Texts,
    /// A number for which 0 is a value.
    Number,
    /// A number for which 0 means absent.
    Count,
    /// A flag; false means absent.
    Flag,
    /// A message of this name.
    One(&'static str),
    /// Messages of this name, one per occurrence.
    Many(&'static str),
    /// A map to text.
    TextMap,
    /// A map to bytes, shown in base64.
    BytesMap,
    /// A map to quantities.
    Quantities,
    /// A number or a text.
    Either,
    /// Not read: the server decides about it.
    Ignored,
}

use Kind::{
    BytesMap, Count, Either, Flag, Ignored, Many, Number, One, Quantities, Text, TextMap, Texts,
};

/// Number, name and kind of each field that is read.
type Fields = &'static [(u64, &'static str, Kind)];

/// Field numbers from the `generated.proto` files of k8s.io/api and apimachinery.
#[rustfmt::skip]
const MESSAGES: &[(&str, Fields)] = &[
    ("ObjectMeta", &[(1, "name", Text), (2, "generateName", Text), (3, "namespace", Text), (5, "uid", Text), (6, "resourceVersion", Text), (7, "generation", Ignored), (8, "creationTimestamp", Ignored), (11, "labels", TextMap), (12, "annotations", TextMap), (14, "finalizers", Texts)]),
    ("SelfSubjectAccessReview", &[(1, "metadata", One("ObjectMeta")), (2, "spec", One("AccessSpec")), (3, "status", Ignored)]),
    ("AccessSpec", &[(1, "resourceAttributes", One("ResourceAttributes")), (2, "nonResourceAttributes", One("NonResourceAttributes"))]),
    ("ResourceAttributes", &[(1, "namespace", Text), (2, "verb", Text), (3, "group", Text), (4, "version", Text), (5, "resource", Text), (6, "subresource", Text), (7, "name", Text)]),
    ("NonResourceAttributes", &[(1, "path", Text), (2, "verb", Text)]),
    ("SelfSubjectRulesReview", &[(1, "metadata", One("ObjectMeta")), (2, "spec", One("RulesSpec")), (3, "status", Ignored)]),
    ("RulesSpec", &[(1, "namespace", Text)]),
    ("DeleteOptions", &[(1, "gracePeriodSeconds", Number), (2, "preconditions", One("Preconditions")), (3, "orphanDependents", Flag), (4, "propagationPolicy", Text), (5, "dryRun", Texts)]),
    ("Preconditions", &[(1, "uid", Text), (2, "resourceVersion", Text)]),
    ("Namespace", &[(1, "metadata", One("ObjectMeta")), (2, "spec", Ignored), (3, "status", Ignored)]),
    ("ServiceAccount", &[(1, "metadata", One("ObjectMeta"))]),
    ("ConfigMap", &[(1, "metadata", One("ObjectMeta")), (2, "data", TextMap), (3, "binaryData", BytesMap), (4, "immutable", Flag)]),
    ("Secret", &[(1, "metadata", One("ObjectMeta")), (2, "data", BytesMap), (3, "type", Text), (4, "stringData", TextMap), (5, "immutable", Flag)]),
    ("Service", &[(1, "metadata", One("ObjectMeta")), (2, "spec", One("ServiceSpec")), (3, "status", Ignored)]),
    ("ServiceSpec", &[(1, "ports", Many("ServicePort")), (2, "selector", TextMap), (3, "clusterIP", Text), (4, "type", Text), (5, "externalIPs", Texts), (7, "sessionAffinity", Text), (10, "externalName", Text)]),
    ("ServicePort", &[(1, "name", Text), (2, "protocol", Text), (3, "port", Count), (4, "targetPort", Either), (5, "nodePort", Count), (6, "appProtocol", Text)]),
    ("Deployment", &[(1, "metadata", One("ObjectMeta")), (2, "spec", One("DeploymentSpec")), (3, "status", Ignored)]),
    ("DeploymentSpec", &[(1, "replicas", Number), (2, "selector", One("LabelSelector")), (3, "template", One("PodTemplateSpec")), (4, "strategy", One("DeploymentStrategy")), (5, "minReadySeconds", Count), (6, "revisionHistoryLimit", Number), (7, "paused", Flag), (9, "progressDeadlineSeconds", Number)]),
    ("DeploymentStrategy", &[(1, "type", Text), (2, "rollingUpdate", One("RollingUpdate"))]),
    ("RollingUpdate", &[(1, "maxUnavailable", Either), (2, "maxSurge", Either)]),
    ("LabelSelector", &[(1, "matchLabels", TextMap)]),
    ("PodTemplateSpec", &[(1, "metadata", One("ObjectMeta")), (2, "spec", One("PodSpec"))]),
    ("Pod", &[(1, "metadata", One("ObjectMeta")), (2, "spec", One("PodSpec")), (3, "status", Ignored)]),
    ("PodSpec", &[(2, "containers", Many("Container")), (3, "restartPolicy", Text), (4, "terminationGracePeriodSeconds", Number), (6, "dnsPolicy", Text), (7, "nodeSelector", TextMap), (8, "serviceAccountName", Text), (10, "nodeName", Text), (19, "schedulerName", Text), (20, "initContainers", Many("Container"))]),
    ("Container", &[(1, "name", Text), (2, "image", Text), (3, "command", Texts), (4, "args", Texts), (5, "workingDir", Text), (6, "ports", Many("ContainerPort")), (7, "env", Many("EnvVar")), (8, "resources", One("Resources")), (13, "terminationMessagePath", Text), (14, "imagePullPolicy", Text), (20, "terminationMessagePolicy", Text)]),
    ("ContainerPort", &[(1, "name", Text), (2, "hostPort", Count), (3, "containerPort", Count), (4, "protocol", Text), (5, "hostIP", Text)]),
    ("EnvVar", &[(1, "name", Text), (2, "value", Text)]),
    ("Resources", &[(1, "limits", Quantities), (2, "requests", Quantities)]),
    ("Quantity", &[(1, "string", Text)]),
    ("HorizontalPodAutoscaler", &[(1, "metadata", One("ObjectMeta")), (2, "spec", One("AutoscalerSpec")), (3, "status", Ignored)]),
    ("AutoscalerSpec", &[(1, "scaleTargetRef", One("ScaleTarget")), (2, "minReplicas", Number), (3, "maxReplicas", Count), (4, "targetCPUUtilizationPercentage", Number)]),
    ("ScaleTarget", &[(1, "kind", Text), (2, "name", Text), (3, "apiVersion", Text)]),
];

/// What stands on the wire after a tag.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl Wire<'_> {
    fn is_empty(&self) -> bool {
        match self {
            Self::Number(number) => *number == 0,
            Self::Bytes(bytes) => bytes.is_empty(),
        }
    }
}

/// Reads a body: the magic bytes, and an envelope that names version and kind.
pub(crate) fn object(body: &[u8]) -> Result<Value, Refusal> {
    let envelope = body.strip_prefix(b"k8s\0").ok_or_else(broken)?;
    let (mut version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    each(envelope, |number, wire| {
        match (number, wire) {
            (1, Wire::Bytes(meta)) => each(meta, |number, wire| {
                if let Wire::Bytes(bytes) = wire {
                    let text = text_of(bytes)?;
                    if number == 1 {
                        version = text;
                    } else {
                        kind = text;
                    }
                }
                Ok(())
            })?,
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
        Ok(())
    })?;
    let autoscaler = kind == "HorizontalPodAutoscaler" && version != "autoscaling/v1";
    if autoscaler || !MESSAGES.iter().any(|(name, _)| *name == kind) {
        return Err(unread(&format!("kind {kind} in version {version}")));
    }
    let mut read = message(&kind, raw)?;
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), json!(version));
    object.insert("kind".to_owned(), json!(kind));
    object.append(&mut read);
    Ok(Value::Object(object))
}

fn message(name: &str, bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let fields = MESSAGES.iter().find(|(known, _)| *known == name);
    let (_, fields) = fields.ok_or_else(broken)?;
    let mut map = Map::new();
    each(bytes, |number, wire| {
        let known = fields.iter().find(|(n, ..)| *n == number);
        match known {
            Some((_, field, kind)) => read(&mut map, field, *kind, &wire),
            None if wire.is_empty() => Ok(()),
            None => Err(unread(&format!("field {number} of {name}"))),
        }
    })?;
    Ok(map)
}

fn read(
    map: &mut Map<String, Value>,
    field: &str,
    kind: Kind,
    wire: &Wire<'_>,
) -> Result<(), Refusal> {
    let list = |map: &mut Map<String, Value>, item: Value| {
        let slot = map.entry(field).or_insert_with(|| json!([]));
        if let Some(items) = slot.as_array_mut() {
            items.push(item);
        }
    };
    let value = match (kind, wire) {
        (Ignored, _) => return Ok(()),
        (Text, Wire::Bytes(bytes)) => json!(text_of(bytes)?),
        (Texts, Wire::Bytes(bytes)) => {
            list(map, json!(text_of(bytes)?));
            return Ok(());
        }
        (Many(name), Wire::Bytes(bytes)) => {
            list(map, Value::Object(message(name, bytes)?));
            return Ok(());
        }
        (One(name), Wire::Bytes(bytes)) => Value::Object(message(name, bytes)?),
        (Either, Wire::Bytes(bytes)) => either(bytes)?,
        (TextMap | BytesMap | Quantities, Wire::Bytes(bytes)) => {
            let (key, value) = entry(kind, bytes)?;
            let slot = map.entry(field).or_insert_with(|| json!({}));
            slot[key] = value;
            return Ok(());
        }
        // Protobuf writes negative numbers as their two's complement.
        (Number | Count, Wire::Number(number)) => json!(number.cast_signed()),
        (Flag, Wire::Number(number)) => json!(*number != 0),
        (Number | Count | Flag, Wire::Bytes(_)) | (_, Wire::Number(_)) => return Err(broken()),
    };
    let absent = match (kind, &value) {
        (Count, value) => *value == 0,
        // The one such field that is always sent.
        (Either, value) => field == "targetPort" && *value == 0,
        (Flag, value) => *value == false,
        (_, Value::String(text)) => text.is_empty(),
        (_, Value::Object(fields)) => fields.is_empty(),
        _ => false,
    };
    if !absent {
        map.insert(field.to_owned(), value);
    }
    Ok(())
}

/// Reads an `IntOrString`.
fn either(bytes: &[u8]) -> Result<Value, Refusal> {
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    each(bytes, |field, wire| {
        match (field, wire) {
            (1, Wire::Number(kind)) => is_text = kind == 1,
            (2, Wire::Number(value)) => number = value.cast_signed(),
            (3, Wire::Bytes(bytes)) => text = text_of(bytes)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(if is_text { json!(text) } else { json!(number) })
}

fn entry(kind: Kind, bytes: &[u8]) -> Result<(String, Value), Refusal> {
    let (mut key, mut value) = (String::new(), json!(""));
    each(bytes, |field, wire| {
        let Wire::Bytes(bytes) = wire else {
            return Err(broken());
        };
        if field == 1 {
            key = text_of(bytes)?;
        } else {
            value = match kind {
                BytesMap => json!(base64(bytes)),
                Quantities => message("Quantity", bytes)?
                    .remove("string")
                    .unwrap_or_default(),
                Text | Texts | Number | Count | Flag | One(_) | Many(_) | TextMap | Either
                | Ignored => json!(text_of(bytes)?),
            };
        }
        Ok(())
    })?;
    Ok((key, value))
}

/// Calls `visit` with every field of a message.
fn each<'a>(
    mut bytes: &'a [u8],
    mut visit: impl FnMut(u64, Wire<'a>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let wire = match tag & 7 {
            0 => Wire::Number(varint(&mut bytes)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).map_err(|_| broken())?;
                let (value, rest) = bytes.split_at_checked(length).ok_or_else(broken)?;
                bytes = rest;
                Wire::Bytes(value)
            }
            _ => return Err(broken()),
        };
        visit(tag >> 3, wire)?;
    }
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Refusal> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or_else(broken)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(broken())
}

fn text_of(bytes: &[u8]) -> Result<String, Refusal> {
    String::from_utf8(bytes.to_vec()).map_err(|_| broken())
}

fn broken() -> Refusal {
    bad_request("the protobuf body could not be read")
}

fn unread(what: &str) -> Refusal {
    Refusal {
        code: 415,
        reason: "UnsupportedMediaType",
        message: format!(
            "the simulated API server does not read {what} from protobuf; send application/json (kubectl create -f, kubectl apply)"
        ),
        ..nowhere()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(bytes.len()).unwrap();
        [&[number << 3 | 2, length], bytes].concat()
    }

    fn body(kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
        [b"k8s\0".to_vec(), field(1, &meta), field(2, raw)].concat()
    }

    #[test]
    fn a_config_map_is_read() {
        let meta = [field(1, b"cfg"), field(2, b""), field(8, b"")].concat();
        let data = [field(1, b"a"), field(2, b"1")].concat();
        let raw = [field(1, &meta), field(2, &data)].concat();
        assert_eq!(
            object(&body("ConfigMap", &raw)).unwrap(),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cfg"}, "data": {"a": "1"}})
        );
    }

    #[test]
    fn what_is_not_known_is_refused_and_not_dropped() {
        let unknown = field(9, b"x");
        assert_eq!(object(&body("ConfigMap", &unknown)).unwrap_err().code, 415);
        assert_eq!(object(&body("Widget", &[])).unwrap_err().code, 415);
        assert_eq!(object(b"k8s\0\x0a\xff").unwrap_err().code, 400);
    }
}
