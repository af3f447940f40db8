//! Secrets by reference: where they are written, and reading them at the moment of use.
//!
//! Owns: the reference, reading a file, a Kubernetes Secret, or a variable of the environment that
//! the command line handed in. Must not: read the environment itself, keep a secret longer than one
//! use, or let one into an error.

use std::{fmt, marker::PhantomData, path::PathBuf, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1 as core;
use kube::Api;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, de::value::MapAccessDeserializer};

use super::{Cluster, Reason};

/// Largest secret that is read from a file, in bytes.
const LARGEST: u64 = 64 << 10;

/// Longest time a file or a Kubernetes Secret may take to read.
const PATIENCE: Duration = Duration::from_secs(10);

/// Variables of the environment, as the command line hands them in; none unless it does.
#[derive(Clone, Default)]
pub struct Variables(Option<Arc<Get>>);

/// Finds a variable by name.
type Get = dyn Fn(&str) -> Option<SecretString> + Send + Sync;

/// Where a secret is written. It is the reference that is configured, shown and recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SecretRef {
    /// Name of an environment variable.
    Env(String),
    /// Path of a file, read again at each use; a newline at its end is left out.
    File(PathBuf),
    /// A key of a Kubernetes Secret.
    Secret(SecretKey),
}

/// A key of a Kubernetes Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretKey {
    /// Name of the Secret.
    pub name: String,
    /// Key in its data.
    pub key: String,
    /// Its namespace; the release's unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Indicates that a secret cannot be had; the text names the reference, never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reference}: {reason}")]
pub struct SecretError {
    /// The reference, in words.
    pub reference: String,
    /// Why, with the missing right where that is it.
    pub reason: String,
}

// === impl Variables ===

impl Variables {
    /// Returns variables that `get` finds by name.
    pub fn new(get: impl Fn(&str) -> Option<SecretString> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(get)))
    }

    /// Returns a variable; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<SecretString> {
        let value = self.0.as_ref().and_then(|get| get(name))?;
        Some(value).filter(|value| !value.expose_secret().is_empty())
    }
}

// === impl SecretRef ===

/// The forms of a reference as they are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Form {
    Env(String),
    File(PathBuf),
    Secret(SecretKey),
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        const HINT: &str = "a secret is not written here: give {env: NAME}, {file: PATH} or {secret: {name: …, key: …}}";
        Ok(match unrepeated(from, HINT)? {
            Form::Env(name) => Self::Env(name),
            Form::File(path) => Self::File(path),
            Form::Secret(key) => Self::Secret(key),
        })
    }
}

/// Reads what must be a map. The error for anything else is `hint` alone: what stands there may be
/// a secret, and is not repeated.
pub fn unrepeated<'de, T, D>(from: D, hint: &'static str) -> Result<T, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct Visitor<T>(&'static str, PhantomData<T>);

    impl<T> Visitor<T> {
        fn refuse<E: serde::de::Error>(self) -> Result<T, E> {
            Err(E::custom(self.0))
        }
    }

    impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<T, E> {
            self.refuse()
        }

        fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<T, E> {
            self.refuse()
        }

        fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<T, E> {
            self.refuse()
        }

        fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<T, E> {
            self.refuse()
        }

        fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<T, E> {
            self.refuse()
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }
    from.deserialize_any(Visitor(hint, PhantomData))
}

impl SecretRef {
    /// Returns an error when the reference names nothing.
    pub fn check(&self) -> Result<(), String> {
        let empty = match self {
            Self::Env(name) => name.is_empty() || name.contains(['=', '\0']),
            Self::File(path) => path.as_os_str().is_empty(),
            Self::Secret(key) => key.name.is_empty() || key.key.is_empty(),
        };
        if empty {
            return Err(format!("{} names nothing", self.words("the release's")));
        }
        Ok(())
    }

    fn words(&self, namespace: &str) -> String {
        match self {
            Self::Env(name) => format!("variable {name}"),
            Self::File(path) => format!("file {}", path.display()),
            Self::Secret(SecretKey {
                name,
                key,
                namespace: own,
            }) => {
                let namespace = own.as_deref().unwrap_or(namespace);
                format!("key {key} of Secret {namespace}/{name}")
            }
        }
    }
}

// === reading ===

impl Cluster {
    /// Returns a secret as it is now.
    pub async fn secret(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        let found = match reference {
            SecretRef::Env(name) => {
                let value = self.variables().get(name);
                value.ok_or_else(|| "it is not set".to_owned())
            }
            SecretRef::File(path) => self.text_of(path.clone()).await,
            SecretRef::Secret(key) => self.secret_key(key).await,
        };
        let usable = found.and_then(|secret| {
            if secret.expose_secret().is_empty() {
                return Err("it is empty".to_owned());
            }
            Ok(secret)
        });
        usable.map_err(|reason| SecretError {
            reference: reference.words(self.namespace()),
            reason,
        })
    }

    /// Returns a small file as it is now; the error never repeats what is in it.
    pub async fn file(&self, path: PathBuf) -> Result<Vec<u8>, String> {
        let read = tokio::task::spawn_blocking(move || {
            use std::io::Read as _;
            let mut bytes = Vec::new();
            let file = std::fs::File::open(path)?;
            file.take(LARGEST + 1).read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        });
        let read = self.clock().timeout(PATIENCE, read).await;
        let bytes = match read {
            Ok(Ok(Ok(bytes))) => bytes,
            Ok(Ok(Err(error))) => return Err(error.to_string()),
            Ok(Err(_)) => return Err("it cannot be read".to_owned()),
            Err(elapsed) => return Err(elapsed.to_string()),
        };
        if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
            return Err(format!("it is larger than {} KiB", LARGEST >> 10));
        }
        Ok(bytes)
    }

    async fn text_of(&self, path: PathBuf) -> Result<SecretString, String> {
        text(self.file(path).await?)
    }

    async fn secret_key(&self, key: &SecretKey) -> Result<SecretString, String> {
        let namespace = key.namespace.as_deref().unwrap_or(self.namespace());
        let api: Api<core::Secret> = Api::namespaced(self.client().clone(), namespace);
        let what = format!("Secret {namespace}/{}", key.name);
        let read = self.read(&what, || api.get(&key.name));
        let read = self.clock().timeout(PATIENCE, read).await;
        let secret = match read {
            Ok(Ok(secret)) => secret,
            Ok(Err(error)) if error.reason == Reason::NotFound => {
                return Err("there is no such Secret".to_owned());
            }
            Ok(Err(error)) if error.reason == Reason::Forbidden => {
                return Err(format!(
                    "permission to get secrets in namespace {namespace} is missing"
                ));
            }
            Ok(Err(error)) => return Err(error.detail),
            Err(elapsed) => return Err(elapsed.to_string()),
        };
        let data = secret.data.and_then(|mut data| data.remove(&key.key));
        let bytes = data.ok_or_else(|| "the Secret has no such key".to_owned())?;
        text(bytes.0)
    }
}

/// Returns bytes as text without the newline that editors and `echo` leave at the end.
fn text(bytes: Vec<u8>) -> Result<SecretString, String> {
    let text = String::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<SecretRef, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn a_reference_is_read_and_written_the_same() {
        for json in [
            r#"{"env":"TOKEN"}"#,
            r#"{"file":"/run/token"}"#,
            r#"{"secret":{"name":"a","key":"b"}}"#,
            r#"{"secret":{"name":"a","key":"b","namespace":"c"}}"#,
        ] {
            let reference = read(json).unwrap();
            assert_eq!(serde_json::to_string(&reference).unwrap(), json);
            assert_eq!(reference.check(), Ok(()));
        }
        assert!(read(r#"{"env":""}"#).unwrap().check().is_err());
    }

    #[test]
    fn a_secret_in_place_of_a_reference_is_not_repeated() {
        for json in ["\"hunter2\"", "4711", "4711.5", "-4711"] {
            let error = read(json).unwrap_err();
            assert!(error.contains("give {env: NAME}"), "{error}");
            assert!(!error.contains("hunter2") && !error.contains("4711"));
        }
        let error = read(r#"{"vault":"x"}"#).unwrap_err();
        assert!(error.contains("`env`, `file`"), "{error}");
    }
}
