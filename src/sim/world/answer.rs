//! What a program in a pod answers over HTTP.
//!
//! Owns: status, type, body, and how long they take. Must not: know who asks.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use serde_json::Value;

/// An answer that may take its time.
#[derive(Debug)]
pub(super) struct Answer {
    /// Time it takes.
    pub(super) wait: Duration,
    /// Its status.
    pub(super) status: StatusCode,
    /// Media type of its body.
    pub(super) kind: &'static str,
    /// Where it sends the client instead; none for an answer of its own.
    pub(super) location: Option<&'static str>,
    /// Its body.
    pub(super) body: String,
}

impl Answer {
    /// Returns a JSON body.
    pub(super) fn json(status: StatusCode, body: &Value) -> Self {
        Self {
            status,
            ..Self::text("application/json; charset=utf-8", body.to_string())
        }
    }

    /// Returns a body of any type, with status 200.
    pub(super) fn text(kind: &'static str, body: impl Into<String>) -> Self {
        Self {
            wait: Duration::ZERO,
            status: StatusCode::OK,
            kind,
            location: None,
            body: body.into(),
        }
    }

    /// Returns the 404 of the payment API.
    pub(super) fn not_found(method: &Method, path: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            ..Self::text(
                "text/html; charset=utf-8",
                format!("Cannot {method} {path}\n"),
            )
        }
    }

    /// Returns it as an HTTP response.
    pub(super) fn response(self) -> Result<Response<Bytes>, String> {
        let mut builder = Response::builder()
            .status(self.status)
            .header(header::CONTENT_TYPE, self.kind)
            .header(header::CONTENT_LENGTH, self.body.len());
        if let Some(location) = self.location {
            builder = builder.header(header::LOCATION, location);
        }
        builder
            .body(Bytes::from(self.body))
            .map_err(|e| e.to_string())
    }
}
