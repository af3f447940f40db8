//! What differs between two runs of the same script on the same cluster.
//!
//! Owns: putting placeholders for uids, versions, times, addresses and generated names, the same
//! placeholder for the same value, numbered in the order in which a transcript shows them. Must
//! not: leave anything out that a client could rely on.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Around a value that has no number yet: its kind, a colon, itself.
const OPEN: char = '\u{1}';
const CLOSE: char = '\u{2}';

/// The placeholders of one chapter.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    namespace: String,
    /// Generated parts of names, each with what it is part of.
    parts: Vec<(String, &'static str)>,
    /// Values that were shown, with their placeholders.
    shown: BTreeMap<String, String>,
}

fn marked(kind: &str, value: &str) -> String {
    format!("{OPEN}{kind}:{value}{CLOSE}")
}

impl Names {
    /// Returns placeholders for a chapter in this namespace.
    pub(crate) fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            ..Self::default()
        }
    }

    /// Returns a body with placeholders that have no numbers yet, its keys in order.
    pub(crate) fn body(&mut self, body: &Value) -> Value {
        let mut body = sorted(body);
        self.learn(&body);
        self.order(&mut body);
        self.put(&mut body, "");
        body
    }

    /// Returns a text with placeholders that have no numbers yet.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.replace(&self.namespace, "<namespace>");
        for (part, kind) in &self.parts {
            text = text.replace(part.as_str(), &marked(kind, part));
        }
        uids_in(&times_in(&addresses_in(&versions_in(&text))))
    }

    /// Numbers the placeholders of what is shown.
    pub(crate) fn number(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => json!(self.numbered(text)),
            Value::Array(items) => items.iter().map(|v| self.number(v)).collect(),
            Value::Object(map) => {
                let map = map.iter().map(|(k, v)| (self.numbered(k), self.number(v)));
                Value::Object(map.collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn numbered(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(OPEN) {
            let (token, after) = after.split_once(CLOSE).unwrap_or((after, ""));
            out.push_str(before);
            let (kind, _) = token.split_once(':').unwrap_or((token, ""));
            let prefix = format!("<{kind}-");
            let next = self
                .shown
                .values()
                .filter(|p| p.starts_with(&prefix))
                .count()
                + 1;
            let known = self.shown.entry(token.to_owned());
            out.push_str(known.or_insert_with(|| format!("{prefix}{next}>")));
            rest = after;
        }
        out + rest
    }

    /// Brings items whose names are generated into an order that does not depend on these.
    fn order(&self, body: &mut Value) {
        let Some(items) = body.get_mut("items").and_then(Value::as_array_mut) else {
            return;
        };
        if !items.iter().any(|i| generated(i).is_some()) {
            return;
        }
        items.sort_by_cached_key(|item| {
            let mut item = item.clone();
            self.put(&mut item, "");
            unmarked(&item.to_string())
        });
    }

    /// Finds the generated names in a body.
    fn learn(&mut self, value: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(hash) = map.get("pod-template-hash").and_then(Value::as_str) {
                    self.part(hash, "hash");
                }
                if let Some(part) = generated(value) {
                    self.part(&part, "name");
                }
                if let Some(name) = map.get("name").and_then(Value::as_str)
                    && let Some(part) = name.strip_prefix("kube-api-access-")
                {
                    self.part(part, "volume");
                }
                map.values().for_each(|v| self.learn(v));
            }
            Value::Array(items) => items.iter().for_each(|v| self.learn(v)),
            Value::String(text) => {
                if let Some(hash) = hash_in(text) {
                    self.part(&hash, "hash");
                }
                if let Some(part) = pod_in(text) {
                    self.part(&part, "name");
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn part(&mut self, part: &str, kind: &'static str) {
        // A shorter one would be found in words and numbers that nobody made up.
        if part.len() >= 5 && !self.parts.iter().any(|(known, _)| known == part) {
            self.parts.push((part.to_owned(), kind));
        }
    }

    fn put(&self, value: &mut Value, key: &str) {
        match value {
            Value::Object(map) => self.put_map(map, key),
            Value::Array(items) => {
                for item in items.iter_mut() {
                    self.put(item, key);
                }
                if key == "conditions" && items.iter().any(|c| c.get("lastProbeTime").is_some()) {
                    // Conditions of pods: their order is that of the kubelet, which is not compared.
                    items.sort_by_key(|c| c["type"].to_string());
                }
                if key == "managedFields" {
                    // They are sorted by the second of their time, which is chance.
                    items.sort_by_key(|e| {
                        format!("{} {} {}", e["manager"], e["subresource"], e["operation"])
                    });
                }
            }
            Value::String(text) => *text = self.string(text, key),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn put_map(&self, map: &mut Map<String, Value>, key: &str) {
        let collection = map.contains_key("items") || map.contains_key("rows");
        if let Some(meta) = map.get_mut("metadata").filter(|_| collection) {
            // The version of a list is that of the whole cluster: others write as well.
            for (field, placeholder) in [("resourceVersion", "<list>"), ("continue", "<continue>")]
            {
                if meta[field].as_str().is_some_and(|v| !v.is_empty()) {
                    meta[field] = json!(placeholder);
                }
            }
        }
        if map.get("type").is_some_and(|t| t == "BOOKMARK") {
            map["object"]["metadata"]["resourceVersion"] = json!("<bookmark>");
        }
        if key == "columnDefinitions" {
            // Long texts from the API's documentation that no client shows.
            map.remove("description");
        }
        if key == "involvedObject" || key == "regarding" {
            map.entry("resourceVersion")
                .and_modify(|v| *v = json!("<some>"));
        }
        if let Some(cells) = map.get_mut("cells").and_then(Value::as_array_mut) {
            for cell in cells.iter_mut().filter(|c| c.as_str().is_some_and(is_age)) {
                *cell = json!("<age>");
            }
        }
        for (key, value) in map.iter_mut() {
            self.put(value, key);
        }
        let renamed: Vec<(String, String)> = map
            .keys()
            .map(|k| (k.clone(), self.text(k)))
            .filter(|(old, new)| old != new)
            .collect();
        for (old, new) in renamed {
            if let Some(value) = map.remove(&old) {
                map.insert(new, value);
            }
        }
    }

    fn string(&self, text: &str, key: &str) -> String {
        if text == "canaryctl-live-node" {
            // The program that stands for kubelets has a name of its own.
            return "kubelet".to_owned();
        }
        if text.starts_with("default-scheduler-") {
            return "default-scheduler-<host>".to_owned();
        }
        if text.starts_with("-----BEGIN CERTIFICATE") {
            return "<certificate>".to_owned();
        }
        if key == "resourceVersion" && text.parse::<u64>().is_ok_and(|v| v > 0) {
            return marked("version", text);
        }
        self.text(text)
    }
}

fn uids_in(text: &str) -> String {
    replace(text, |rest| {
        let uid = rest.get(..36)?;
        let fits = uid.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        });
        fits.then(|| (36, marked("uid", uid)))
    })
}

/// Returns a text whose placeholders tell nothing but their kind.
pub(crate) fn unmarked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    // In text that was written as JSON the marks are escaped.
    let plain = rest.replace("\\u0001", "\u{1}").replace("\\u0002", "\u{2}");
    rest = &plain;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (token, after) = after.split_once(CLOSE).unwrap_or((after, ""));
        out.push_str(before);
        out.push_str(token.split(':').next().unwrap_or_default());
        rest = after;
    }
    out + rest
}

/// Returns whether a cell is a time that has passed: `5s`, `2m10s`.
fn is_age(cell: &str) -> bool {
    cell.starts_with(|c: char| c.is_ascii_digit())
        && cell.ends_with(['s', 'm', 'h', 'd'])
        && cell
            .chars()
            .all(|c| c.is_ascii_digit() || "smhd".contains(c))
}

/// Returns the part of an object's name that the server or a controller made up.
fn generated(object: &Value) -> Option<String> {
    let meta = &object["metadata"];
    let name = meta["name"].as_str()?;
    if let Some(prefix) = meta["generateName"].as_str() {
        return name.strip_prefix(prefix).map(str::to_owned);
    }
    let about = ["involvedObject", "regarding"];
    let about = about.iter().find_map(|f| object[*f]["name"].as_str())?;
    let part = name.strip_prefix(about)?.strip_prefix('.')?;
    (!part.is_empty()).then(|| part.to_owned())
}

/// Returns the generated end of the name of a pod that a message is about.
fn pod_in(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("pods \"")?;
    let (name, _) = rest.split_once('"')?;
    let (_, part) = name.rsplit_once('-').filter(|(set, _)| set.contains('-'))?;
    (part.len() == 5).then(|| part.to_owned())
}

/// Returns the hash in the name of a ReplicaSet that a message is about.
fn hash_in(text: &str) -> Option<String> {
    let markers = ["ReplicaSet \"", "replica set \"", "replica set "];
    let rest = markers
        .iter()
        .find_map(|m| text.split_once(m))
        .map(|(_, rest)| rest)?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let (_, hash) = rest[..end.unwrap_or(rest.len())].rsplit_once('-')?;
    hash.bytes()
        .any(|b| b.is_ascii_digit())
        .then(|| hash.to_owned())
}

/// Returns a value whose maps are in the order of their keys.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<&String, &Value> = map.iter().collect();
            let ordered = ordered.into_iter();
            Value::Object(ordered.map(|(k, v)| (k.clone(), sorted(v))).collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Replaces what `find` finds at the beginning of a rest of the text: its length and what stands
/// for it.
fn replace(text: &str, mut find: impl FnMut(&str) -> Option<(usize, String)>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let inside = out.ends_with(|c: char| c.is_ascii_alphanumeric());
        if let Some((length, placeholder)) = find(rest).filter(|_| !inside) {
            out.push_str(&placeholder);
            rest = &rest[length..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// Times: to the second, and with fractions.
fn times_in(text: &str) -> String {
    replace(text, |rest| {
        let mask = "dddd-dd-ddTdd:dd:dd";
        let head = rest.get(..mask.len())?;
        let fits = head.chars().zip(mask.chars()).all(|(c, m)| match m {
            'd' => c.is_ascii_digit(),
            _ => c == m,
        });
        let tail = &rest[mask.len()..];
        let digits = |t: &str| t.bytes().take_while(u8::is_ascii_digit).count();
        match (fits, tail.strip_prefix('.')) {
            (false, _) => None,
            (true, Some(fraction)) => {
                let count = digits(fraction);
                let whole =
                    mask.len() + 1 + count + usize::from(fraction[count..].starts_with('Z'));
                Some((whole, format!("<time.{count}>")))
            }
            (true, None) => {
                let zone = usize::from(tail.starts_with('Z'));
                Some((mask.len() + zone, "<time>".to_owned()))
            }
        }
    })
}

/// Addresses of pods, nodes and Services, nodes' names, digests and ages in tables.
fn addresses_in(text: &str) -> String {
    let nets = [
        ("198.18.", "<pod-ip>"),
        ("198.19.", "<node-ip>"),
        ("10.0.", "<service-ip>"),
        ("10.96.", "<service-ip>"),
    ];
    let text = replace(text, |rest| {
        let (_, placeholder) = nets.iter().find(|(net, _)| rest.starts_with(net))?;
        let length = rest
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'.')
            .count();
        Some((length, (*placeholder).to_owned()))
    });
    let text = replace(&text, |rest| {
        let digits = rest.strip_prefix("node-")?;
        digits
            .starts_with(|c: char| c.is_ascii_digit())
            .then(|| (6, "<node>".to_owned()))
    });
    replace(&text, |rest| {
        let digits = rest.strip_prefix("sha256:")?;
        let length = digits.bytes().take_while(u8::is_ascii_hexdigit).count();
        (length == 64).then(|| (7 + length, "sha256:<digest>".to_owned()))
    })
}

/// Versions in messages: `too old resource version: 1 (234)`.
fn versions_in(text: &str) -> String {
    if !["esource version: ", "ResourceVersion in "]
        .iter()
        .any(|m| text.contains(m))
    {
        return text.to_owned();
    }
    replace(text, |rest| {
        let length = rest.bytes().take_while(u8::is_ascii_digit).count();
        (length > 0).then(|| (length, "<n>".to_owned()))
    })
}
