//! Where a source of observations is, and how one proves who asks.
//!
//! Owns: the options of it, and what is wrong with them before anything is sent. Must not: hold a
//! secret; only references to secrets stand here.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::value::MapAccessDeserializer};

use crate::cluster::secrets::{SecretRef, unrepeated};

/// Longest time an answer may take, unless configured.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time that can be configured.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Words in the names of headers and of query keys whose values are secrets.
const TELLING: [&str; 8] = [
    "authorization",
    "cookie",
    "token",
    "secret",
    "password",
    "api-key",
    "api_key",
    "application-key",
];

/// Something outside the pods that answers over HTTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// Address: `http://` or `https://`, without credentials.
    pub url: String,
    /// How to prove who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Certificates, where the system's do not do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Further headers; a value is text or a reference to a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, HeaderText>,
    /// Longest time an answer may take, such as `10s`, at most a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Which way requests go.
    #[serde(default)]
    pub via: Via,
}

/// Makes the [`Target`] of options that have the same keys beside their own.
macro_rules! target {
    ($options:expr) => {
        $crate::health::web::Target {
            url: $options.url.clone(),
            auth: $options.auth.clone(),
            tls: $options.tls.clone(),
            headers: $options.headers.clone(),
            timeout: $options.timeout.clone(),
            via: $options.via,
        }
    };
}
pub(crate) use target;

/// How to prove who asks; exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Auth {
    /// A token, sent as `Authorization: Bearer …`.
    Bearer(SecretRef),
    /// User name and password.
    Basic(Basic),
}

/// User name and password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// User name, as text or by reference.
    pub username: HeaderText,
    /// Password, by reference.
    pub password: SecretRef,
}

/// Certificates and what is checked of the other side's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Tls {
    /// PEM file of the authorities to trust instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// PEM file of the client's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// PEM file of the key that belongs to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Name that the server's certificate must have; the URL's host unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Do not check the server's certificate at all.
    pub insecure_skip_verify: bool,
}

/// Text, or a reference to a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum HeaderText {
    /// Text that anybody may read.
    Plain(String),
    /// A secret, by reference.
    Secret(SecretRef),
}

/// Which way requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// Straight from here; through the API server where the host is a Service that has no address
    /// here.
    #[default]
    Auto,
    /// Straight from here.
    Direct,
    /// Through the API server to a ready pod behind the Service that the host names.
    PortForward,
}

impl<'de> Deserialize<'de> for Auth {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        enum Form {
            Bearer(SecretRef),
            Basic(Basic),
        }
        const HINT: &str =
            "auth is {bearer: {env: NAME}} or {basic: {username: …, password: {env: NAME}}}";
        Ok(match unrepeated(from, HINT)? {
            Form::Bearer(token) => Self::Bearer(token),
            Form::Basic(basic) => Self::Basic(basic),
        })
    }
}

impl<'de> Deserialize<'de> for HeaderText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = HeaderText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, or {env: NAME}, {file: PATH} or {secret: {name: …, key: …}}")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<HeaderText, E> {
                Ok(HeaderText::Plain(text.to_owned()))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<HeaderText, E> {
                Ok(HeaderText::Plain(number.to_string()))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<HeaderText, E> {
                Ok(HeaderText::Plain(number.to_string()))
            }

            fn visit_bool<E: serde::de::Error>(self, yes: bool) -> Result<HeaderText, E> {
                Ok(HeaderText::Plain(yes.to_string()))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                map: A,
            ) -> Result<HeaderText, A::Error> {
                SecretRef::deserialize(MapAccessDeserializer::new(map)).map(HeaderText::Secret)
            }
        }
        from.deserialize_any(Visitor)
    }
}

// === impl Target ===

impl Target {
    /// Returns an error that names the key when something of it cannot be used.
    pub fn check(&self) -> Result<(), String> {
        let uri = parse(&self.url)?;
        self.limit()?;
        if let Some(auth) = &self.auth {
            match auth {
                Auth::Bearer(token) => token.check(),
                Auth::Basic(basic) => basic.username.check().and_then(|()| basic.password.check()),
            }
            .map_err(|e| format!("auth: {e}"))?;
        }
        for (name, value) in &self.headers {
            self.check_header(name, value)
                .map_err(|e| format!("headers: {name}: {e}"))?;
        }
        let Some(tls) = &self.tls else {
            return Ok(());
        };
        if uri.scheme_str() != Some("https") {
            return Err("tls needs a url that begins with https://".to_owned());
        }
        if tls.cert.is_some() != tls.key.is_some() {
            return Err("tls: cert and key belong together".to_owned());
        }
        if tls.insecure_skip_verify && (tls.ca.is_some() || tls.server_name.is_some()) {
            let text =
                "tls: insecureSkipVerify checks nothing, so that ca and serverName mean nothing";
            return Err(text.to_owned());
        }
        Ok(())
    }

    /// Returns what people should know of it though it works.
    pub fn notes(&self) -> Vec<String> {
        let blind = self.tls.as_ref().is_some_and(|t| t.insecure_skip_verify);
        let text = || {
            let place = place(&self.url);
            format!(
                "the certificate of {place} is not checked (insecureSkipVerify): a man in the middle can answer in its name and read the credentials"
            )
        };
        blind.then(text).into_iter().collect()
    }

    /// Returns the longest time an answer may take.
    pub(super) fn limit(&self) -> Result<Duration, String> {
        let Some(text) = &self.timeout else {
            return Ok(TIMEOUT);
        };
        humantime::parse_duration(text)
            .ok()
            .filter(|d| *d >= Duration::from_millis(1) && *d <= LONGEST_TIMEOUT)
            .ok_or_else(|| format!("timeout '{text}' must be between 1ms and 1m"))
    }

    fn check_header(&self, name: &str, value: &HeaderText) -> Result<(), String> {
        let header = HeaderName::try_from(name).map_err(|_| "not a header's name".to_owned())?;
        if header == http::header::AUTHORIZATION && self.auth.is_some() {
            return Err("given by auth as well".to_owned());
        }
        if [
            http::header::HOST,
            http::header::CONTENT_LENGTH,
            http::header::TRANSFER_ENCODING,
            http::header::CONNECTION,
        ]
        .contains(&header)
        {
            return Err("set by the request itself".to_owned());
        }
        if let HeaderText::Plain(text) = value {
            if tells(name) {
                return Err("its value is a secret: give {env: NAME}, {file: PATH} or {secret: {name: …, key: …}}".to_owned());
            }
            HeaderValue::try_from(text).map_err(|_| "its value cannot be sent".to_owned())?;
        }
        value.check()
    }
}

impl HeaderText {
    fn check(&self) -> Result<(), String> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Secret(reference) => reference.check(),
        }
    }
}

/// Returns a URL taken apart; the error does not repeat what may be a password.
pub(super) fn parse(url: &str) -> Result<Uri, String> {
    if url
        .split(['?', '#'])
        .next()
        .unwrap_or_default()
        .contains('@')
    {
        return Err("url has credentials in it: put them under auth".to_owned());
    }
    let uri: Uri = url
        .parse()
        .map_err(|_| format!("url '{}' is not a URL", place(url)))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        let text = format!("url '{}' must begin with http:// or https://", place(url));
        return Err(text);
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(format!("url '{}' has no host", place(url)));
    }
    let query = uri.query().unwrap_or_default();
    let telling = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| tells(key));
    if let Some((key, _)) = telling {
        return Err(format!(
            "url has {key} in its query, and that is a secret: put it under headers or auth, by reference"
        ));
    }
    Ok(uri)
}

/// Returns a URL without query, fragment and credentials.
pub(crate) fn place(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => url.rsplit('@').next().unwrap_or_default().to_owned(),
    }
}

fn tells(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let plain = name.replace('-', "_");
    TELLING
        .iter()
        .any(|word| name.contains(word) || plain.contains(word))
        || plain == "apikey"
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(options: Value) -> Result<Target, String> {
        let target: Target = serde_json::from_value(options).map_err(|e| e.to_string())?;
        target.check().map(|()| target)
    }

    fn refused(options: Value) -> String {
        read(options).unwrap_err()
    }

    #[test]
    fn what_is_configured_is_recorded_as_it_was() {
        let options = json!({
            "url": "https://mimir.example/prometheus",
            "auth": {"basic": {"username": "u", "password": {"env": "P"}}},
            "tls": {"ca": "/ca.pem", "insecureSkipVerify": false},
            "headers": {"X-Scope-OrgID": "team-a", "X-Api-Key": {"file": "/k"}},
            "timeout": "5s",
            "via": "port-forward"
        });
        let target = read(options.clone()).unwrap();
        assert_eq!(serde_json::to_value(target).unwrap(), options);
    }

    #[test]
    fn each_mistake_is_named() {
        for (options, said) in [
            (
                json!({"url": "prometheus:9090"}),
                "must begin with http:// or https://",
            ),
            (json!({"url": "ftp://x/"}), "must begin with"),
            (json!({"url": "not a url"}), "is not a URL"),
            (
                json!({"url": "https://u:hunter2@x/"}),
                "put them under auth",
            ),
            (
                json!({"url": "https://x/?api_key=hunter2"}),
                "under headers or auth",
            ),
            (json!({"url": "http://x", "timeout": "2h"}), "timeout '2h'"),
            (json!({"url": "http://x", "tls": {}}), "tls needs"),
            (
                json!({"url": "https://x", "tls": {"cert": "a"}}),
                "cert and key",
            ),
            (
                json!({"url": "https://x", "tls": {"insecureSkipVerify": true, "ca": "a"}}),
                "mean nothing",
            ),
            (
                json!({"url": "https://x", "auth": "Bearer hunter2"}),
                "auth is {bearer",
            ),
            (
                json!({"url": "https://x", "auth": {"bearer": "hunter2"}}),
                "give {env: NAME}",
            ),
            (
                json!({"url": "https://x", "auth": {"bearer": {"env": ""}}}),
                "names nothing",
            ),
            (
                json!({"url": "https://x", "auth": {"digest": {}}}),
                "unknown variant `digest`",
            ),
            (
                json!({"url": "https://x", "headers": {"DD-API-KEY": "hunter2"}}),
                "its value is a secret",
            ),
            (
                json!({"url": "https://x", "headers": {"Authorization": "Bearer hunter2"}}),
                "its value is a secret",
            ),
            (
                json!({"url": "https://x", "headers": {"a b": "c"}}),
                "not a header's name",
            ),
            (
                json!({"url": "https://x", "headers": {"Host": "c"}}),
                "set by the request",
            ),
            (
                json!({"url": "https://x", "via": "carrier-pigeon"}),
                "unknown variant",
            ),
            (
                json!({"url": "https://x", "retries": 3}),
                "unknown field `retries`",
            ),
        ] {
            let error = refused(options.clone());
            assert!(error.contains(said), "{options}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_place_has_neither_query_nor_credentials() {
        assert_eq!(place("https://u:p@x:1/a/b?c=d#e"), "https://x:1/a/b");
        assert_eq!(place("u:p@x?c"), "x");
    }
}
