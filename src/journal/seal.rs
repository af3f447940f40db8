//! The seal of a record: a signature by the process that wrote it.
//!
//! Owns: keys, signing and verifying (Ed25519, RFC 8032, by `ring`). Must not: say whose key counts;
//! that is `anchor`. The private key never leaves the process and ends with it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::{
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};

/// What a signature is about, so that none made for another purpose passes for one of a record.
const PURPOSE: &str = "canaryctl journal 1";

/// What a key begins and ends with: the value of a label must not end with `-` or `_`.
const QUOTE: char = 'k';

/// Bytes of an approval's token: nobody guesses 16.
const TOKEN: usize = 16;

/// The texts of a record that are signed together.
#[derive(Debug, Clone, Copy)]
pub struct Sealed<'a> {
    /// The namespace it is in.
    pub(super) namespace: &'a str,
    /// The app it is about.
    pub(super) app: &'a str,
    /// The latest run.
    pub(super) release: &'a str,
    /// The runs before it.
    pub(super) past: &'a str,
}

/// Signs the records of one process.
pub(super) struct Signer {
    pair: Ed25519KeyPair,
    key: String,
}

impl Sealed<'_> {
    /// Returns the bytes that are signed. JSON and Kubernetes' names have no zero byte, so that no two
    /// records give the same.
    fn message(&self) -> Vec<u8> {
        [PURPOSE, self.namespace, self.app, self.release, self.past]
            .join("\0")
            .into_bytes()
    }

    /// Returns whether `signature` is one of this record by the holder of the public `key`. What cannot be
    /// decoded is none.
    pub(super) fn is_signed(&self, key: &str, signature: &str) -> bool {
        let bare = |key: &str| {
            let key = key.strip_prefix(QUOTE)?.strip_suffix(QUOTE)?;
            BASE64.decode(key).ok()
        };
        let (Some(key), Ok(signature)) = (bare(key), BASE64.decode(signature)) else {
            return false;
        };
        let key = UnparsedPublicKey::new(&ED25519, key);
        key.verify(&self.message(), &signature).is_ok()
    }
}

impl Signer {
    /// Returns a signer with a new key; an error when the system has no random numbers.
    pub(super) fn new() -> Result<Self, String> {
        let failed = |_| "the system has no random numbers".to_owned();
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(failed)?;
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|e| e.to_string())?;
        let key = format!("{QUOTE}{}{QUOTE}", BASE64.encode(pair.public_key()));
        Ok(Self { pair, key })
    }

    /// Returns the public key, as the value of a label: 45 characters.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Returns the signature of a record, in base64.
    pub(super) fn sign(&self, record: &Sealed<'_>) -> String {
        BASE64.encode(self.pair.sign(&record.message()))
    }
}

/// Returns a text that nobody can guess, in base64; an error when the system has no random numbers.
pub(super) fn token() -> Result<String, String> {
    let bytes: [u8; TOKEN] = ring::rand::generate(&SystemRandom::new())
        .map_err(|_| "the system has no random numbers".to_owned())?
        .expose();
    Ok(BASE64.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: Sealed<'_> = Sealed {
        namespace: "shop",
        app: "web",
        release: r#"{"phase":"holding"}"#,
        past: "[]",
    };

    #[test]
    fn a_signature_is_of_one_record_by_one_key() {
        let (one, other) = (Signer::new().unwrap(), Signer::new().unwrap());
        let signature = one.sign(&RECORD);
        assert!(RECORD.is_signed(one.key(), &signature));
        assert!(!RECORD.is_signed(other.key(), &signature), "another key");
        let changed = [
            Sealed {
                namespace: "bank",
                ..RECORD
            },
            Sealed {
                app: "api",
                ..RECORD
            },
            Sealed {
                release: r#"{"phase":"ended"}"#,
                ..RECORD
            },
            Sealed {
                past: "[{}]",
                ..RECORD
            },
            // The same bytes, divided at another place.
            Sealed {
                namespace: "shopw",
                app: "eb",
                ..RECORD
            },
        ];
        for record in changed {
            assert!(!record.is_signed(one.key(), &signature), "{record:?}");
        }
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        let signer = Signer::new().unwrap();
        assert!(one_label(signer.key()), "{}", signer.key());
        for text in ["", "k", "kk", "AAAA", "not base64 at all", &"A".repeat(86)] {
            assert!(!RECORD.is_signed(signer.key(), text), "{text}");
            assert!(!RECORD.is_signed(text, &signer.sign(&RECORD)), "{text}");
        }
    }

    /// Whether a text may be the value of a label.
    fn one_label(text: &str) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric();
        text.len() <= 63
            && text.starts_with(plain)
            && text.ends_with(plain)
            && text.chars().all(|c| plain(c) || "-_.".contains(c))
    }

    #[test]
    fn tokens_differ() {
        assert_ne!(token().unwrap(), token().unwrap());
    }
}
