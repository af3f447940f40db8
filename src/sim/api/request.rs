//! One request as the simulated API server reads it.
//!
//! Owns: path segments, query, body, accepted representation, who writes. Must not: know what is
//! stored.

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderMap, Method, request::Parts};
use serde_json::{Value, json};

use super::{gojson, protobuf, resources::Target};
use crate::sim::store::Refusal;

/// How the client wants objects shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Whole objects.
    Object,
    /// A `Table` for people.
    Table,
    /// `PartialObjectMetadata` only.
    Metadata,
}

/// A request, decoded.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    query: Vec<(String, String)>,
    query_text: String,
}

impl Call {
    /// Returns the decoded form of a request.
    pub(crate) fn new(parts: Parts, body: Bytes) -> Self {
        let query_text = parts.uri.query().unwrap_or_default().to_owned();
        let query = form_urlencoded::parse(query_text.as_bytes());
        Self {
            query: query.into_owned().collect(),
            method: parts.method,
            path: parts.uri.path().to_owned(),
            headers: parts.headers,
            body,
            query_text,
        }
    }

    /// Returns the query as it was sent.
    pub(crate) fn query_text(&self) -> &str {
        &self.query_text
    }

    /// Returns the path without empty segments, each percent-decoded.
    pub(crate) fn segments(&self) -> Vec<String> {
        let raw = self.path.split('/').filter(|s| !s.is_empty());
        raw.map(decode).collect()
    }

    /// Returns the first value of a query parameter.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let hit = self.query.iter().find(|(key, _)| key == name);
        hit.map(|(_, value)| value.as_str())
    }

    /// Returns all values of a query parameter.
    pub(crate) fn queries<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let hits = self.query.iter().filter(move |(key, _)| key == name);
        hits.map(|(_, value)| value.as_str())
    }

    /// Returns whether a boolean query parameter is set.
    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.query(name), Some("1" | "true" | "True" | "t"))
    }

    /// Returns whether the write must not be kept.
    pub(crate) fn dry_run(&self) -> bool {
        self.query("dryRun") == Some("All")
    }

    /// Returns one header, or the empty string.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// Returns the media type of the body, without parameters.
    pub(crate) fn media_type(&self) -> &str {
        let value = self.header("content-type");
        value.split(';').next().unwrap_or_default().trim()
    }

    /// Returns the representation asked for; the first known one in `Accept` wins.
    pub(crate) fn shape(&self) -> Shape {
        for clause in self.header("accept").split(',') {
            let mut parts = clause.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            if media != "application/json" && media != "*/*" && media != "application/*" {
                continue;
            }
            let named = parts.find_map(|p| p.strip_prefix("as="));
            match named {
                Some("Table") => return Shape::Table,
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => {
                    return Shape::Metadata;
                }
                Some(_) => {}
                None => return Shape::Object,
            }
        }
        Shape::Object
    }

    /// Returns the field manager: the one named, or the first word of the user agent.
    pub(crate) fn manager(&self) -> String {
        let named = self.query("fieldManager").filter(|m| !m.is_empty());
        let agent = || {
            let agent = self.header("user-agent").split('/').next();
            agent.filter(|a| !a.is_empty()).unwrap_or("unknown")
        };
        named.unwrap_or_else(agent).to_owned()
    }

    /// Returns whether the client asks for a table or for metadata alone.
    pub(crate) fn wants_shape(&self) -> bool {
        self.shape() != Shape::Object
    }

    /// Refuses a representation that is not served.
    pub(crate) fn check_accept(&self) -> Result<(), Refusal> {
        let accept = self.header("accept");
        let known = [
            "application/json",
            "application/yaml",
            "application/*",
            "*/*",
            "application/vnd.kubernetes.protobuf",
        ];
        let fits =
            |clause: &str| known.contains(&clause.split(';').next().unwrap_or_default().trim());
        if accept.is_empty() || accept.split(',').any(fits) {
            return Ok(());
        }
        Err(Refusal {
            details: json!({}),
            ..Refusal::new(
                406,
                "NotAcceptable",
                "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf",
            )
        })
    }

    /// Parses the body as one object of the kind of `target`.
    pub(crate) fn object(&self, target: &Target) -> Result<Value, Refusal> {
        let media = self.media_type();
        let custom = !target.resource.builtin;
        let known = [
            "",
            "application/json",
            "application/yaml",
            "application/vnd.kubernetes.protobuf",
        ];
        if !known.contains(&media) {
            return Err(Refusal::new(
                415,
                "UnsupportedMediaType",
                format!(
                    "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml{}",
                    if custom {
                        ""
                    } else {
                        ", application/vnd.kubernetes.protobuf"
                    }
                ),
            ));
        }
        if self.body.starts_with(b"k8s\0") {
            return protobuf::object(&self.body);
        }
        let unrecognized = |why: &str| {
            bad_request(format!(
                "the object provided is unrecognized (must be of type {}): {why} ({})",
                target.resource.kind,
                summary(&self.body)
            ))
        };
        let value = self.value().map_err(|why| {
            unrecognized(&format!(
                "couldn't get version/kind; json parse error: {why}"
            ))
        })?;
        if !value.is_object() {
            let word = gojson::word_of(&value);
            return Err(unrecognized(&format!(
                "couldn't get version/kind; json parse error: json: cannot unmarshal {word} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}"
            )));
        }
        if custom && value["kind"].as_str().unwrap_or_default().is_empty() {
            let text = String::from_utf8_lossy(&self.body);
            return Err(unrecognized(&format!(
                "Object 'Kind' is missing in '{text}'"
            )));
        }
        Ok(value)
    }

    /// Parses the body of a patch.
    pub(crate) fn patch(&self) -> Result<Value, String> {
        gojson::scan(&self.body)?;
        serde_json::from_slice(&self.body).map_err(|e| e.to_string())
    }

    /// Returns the paths of the fields that the body gives twice.
    pub(crate) fn duplicates(&self) -> Vec<String> {
        gojson::scan(&self.body).unwrap_or_default().duplicates
    }

    /// Parses the body as JSON, or as YAML when it says so.
    fn value(&self) -> Result<Value, String> {
        if self.media_type().ends_with("yaml") {
            return serde_saphyr::from_slice(&self.body).map_err(|e| e.to_string());
        }
        gojson::scan(&self.body)?;
        serde_json::from_slice(&self.body).map_err(|e| e.to_string())
    }

    /// Parses the options of a delete; an empty body means none.
    pub(crate) fn delete_options(&self) -> Result<Value, Refusal> {
        let mut options = if self.body.is_empty() {
            json!({})
        } else if self.body.starts_with(b"k8s\0") {
            protobuf::object(&self.body)?
        } else {
            self.value().map_err(|why| {
                bad_request(format!(
                    "couldn't get version/kind; json parse error: {why}"
                ))
            })?
        };
        for name in ["propagationPolicy", "gracePeriodSeconds"] {
            if let Some(value) = self.query(name) {
                let number = value.parse::<i64>().map(Value::from);
                options[name] = number.unwrap_or_else(|_| json!(value));
            }
        }
        Ok(options)
    }
}

/// Returns the beginning of a body as messages show it: an object as it is, anything else in
/// hexadecimal digits.
fn summary(body: &[u8]) -> String {
    const LONGEST: usize = 30;
    let Some(first) = body.first() else {
        return "<empty>".to_owned();
    };
    let (part, more) = match body.get(..LONGEST) {
        Some(part) if body.len() > LONGEST => (part, " ..."),
        _ => (body, ""),
    };
    let shown = if *first == b'{' {
        String::from_utf8_lossy(part).into_owned()
    } else {
        hex(part)
    };
    shown + more
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").ok();
    }
    text
}

/// Returns a 400 with this message.
pub(crate) fn bad_request(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "BadRequest", message)
}

fn decode(segment: &str) -> String {
    let bytes = segment.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| segment.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(hex.unwrap_or(bytes[at]));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(uri: &str, headers: &[(&str, &str)]) -> Call {
        let mut builder = http::Request::builder().uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        Call::new(builder.body(()).unwrap().into_parts().0, Bytes::new())
    }

    #[test]
    fn segments_and_queries_are_decoded() {
        let call = call("/api/v1/pods/a%3A80?labelSelector=a%3Db%2Cc&x=1+2", &[]);
        assert_eq!(call.segments(), ["api", "v1", "pods", "a:80"]);
        assert_eq!(call.query("labelSelector"), Some("a=b,c"));
        assert_eq!(call.query("x"), Some("1 2"));
    }

    #[test]
    fn the_first_known_shape_wins() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        assert_eq!(call("/", &[("accept", table)]).shape(), Shape::Table);
        let proto = "application/vnd.kubernetes.protobuf,application/json";
        assert_eq!(call("/", &[("accept", proto)]).shape(), Shape::Object);
    }

    #[test]
    fn the_user_agent_names_the_manager_when_nobody_else_does() {
        let agent = [("user-agent", "kubectl/v1.32 (linux)")];
        assert_eq!(call("/", &agent).manager(), "kubectl");
        assert_eq!(call("/?fieldManager=me", &agent).manager(), "me");
    }
}
