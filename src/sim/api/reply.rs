//! Answers of the simulated API server.
//!
//! Owns: JSON bodies, `Status` bodies of refusals, streams. Must not: decide anything.

use std::convert::Infallible;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::sim::store::Refusal;

/// The body of every answer.
pub type Out = UnsyncBoxBody<Bytes, Infallible>;

/// Media type of JSON.
pub(crate) const JSON: &str = "application/json";

/// Returns a JSON answer.
pub(crate) fn json(code: u16, value: &Value) -> Response<Out> {
    bytes(code, JSON, value.to_string().into())
}

/// Returns a list: a head, which is an object with members, and items that are JSON already.
pub(crate) fn json_list(head: &Value, items: &[Bytes]) -> Response<Out> {
    let mut text = head.to_string().into_bytes();
    text.reserve(items.iter().map(|item| item.len() + 1).sum::<usize>() + 16);
    text.pop();
    text.extend_from_slice(b",\"items\":[");
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        text.extend_from_slice(item);
    }
    text.extend_from_slice(b"]}");
    bytes(200, JSON, text.into())
}

/// Adds warnings to an answer.
pub(crate) fn warned(mut response: Response<Out>, warnings: &[String]) -> Response<Out> {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}

/// Says in an answer when it was given.
pub(crate) fn dated(mut response: Response<Out>, now: Timestamp) -> Response<Out> {
    let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(value) = HeaderValue::from_str(&date) {
        response.headers_mut().insert(header::DATE, value);
    }
    response
}

/// Returns the 404 of a group that nobody serves: plain text.
pub(crate) fn no_page() -> Response<Out> {
    text(404, "404 page not found\n")
}

/// Returns an answer in plain text.
pub(crate) fn text(code: u16, text: &'static str) -> Response<Out> {
    bytes(
        code,
        "text/plain; charset=utf-8",
        Bytes::from_static(text.as_bytes()),
    )
}

/// Returns an answer of any type.
pub(crate) fn bytes(code: u16, media: &'static str, body: Bytes) -> Response<Out> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or_default();
    let media = HeaderValue::from_static(media);
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

/// Returns the 101 that hands the connection over.
pub(crate) fn switching(protocol: &'static str) -> Response<Out> {
    let mut response = Response::new(Empty::new().boxed_unsync());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(protocol));
    response
}

/// Returns a chunked JSON answer that lasts as long as the stream.
pub(crate) fn stream(lines: impl Stream<Item = Bytes> + Send + 'static) -> Response<Out> {
    let frames = lines.map(|line| Ok(Frame::data(line)));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let media = HeaderValue::from_static(JSON);
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

/// Returns the `Status` that stands for a refusal.
pub(crate) fn status_of(refusal: &Refusal) -> Value {
    let mut status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": refusal.message,
        "reason": refusal.reason,
    });
    if refusal.reason.is_empty()
        && let Some(map) = status.as_object_mut()
    {
        map.shift_remove("reason");
    }
    if !refusal.details.is_null() {
        let mut details = refusal.details.clone();
        if let Some(map) = details.as_object_mut() {
            map.retain(|_, value| value != "");
        }
        status["details"] = details;
    }
    status["code"] = json!(refusal.code);
    status
}

/// Returns the answer that stands for a refusal.
pub(crate) fn refusal(refusal: &Refusal) -> Response<Out> {
    json(refusal.code, &status_of(refusal))
}

/// Returns the 404 of a path that nothing serves.
pub(crate) fn nowhere() -> Refusal {
    Refusal {
        details: json!({}),
        ..Refusal::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        )
    }
}

/// Returns the 405 of a verb the resource does not have.
pub(crate) fn not_allowed() -> Refusal {
    Refusal {
        details: json!({}),
        ..Refusal::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }
}
