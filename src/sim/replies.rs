//! Replies that no sound API server gives, or only when it refuses.
//!
//! Owns: the bodies and codes of faults, and what was read before. Must not: decide which call gets
//! which.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody, combinators::UnsyncBoxBody};
use serde_json::json;
use tower::BoxError;

use crate::clock::Clock;

/// One piece of a body without end.
const PIECE: &[u8] = &[b' '; 64 << 10];

/// What a proxy shows to who has to log in.
const LOGIN: &str = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n\
                     <body><form action=\"/login\"></form></body></html>\n";

/// The body of a reply that may break.
pub type Reply = UnsyncBoxBody<Bytes, BoxError>;

pub(super) fn broken(what: &str) -> BoxError {
    let message = format!("injected fault: {what}");
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, message).into()
}

/// Returns a body that breaks before its first byte.
pub(super) fn torn() -> Reply {
    let frames = stream::once(async { Err(broken("connection reset")) });
    StreamBody::new(frames).boxed_unsync()
}

/// Returns a body that ends after some time.
pub(super) fn cut(body: Reply, clock: Clock, time: Duration) -> Reply {
    let end = Box::pin(async move { clock.sleep(time).await });
    StreamBody::new(BodyStream::new(body).take_until(end)).boxed_unsync()
}

/// Returns the first half of a body, which then ends as if that were all.
pub(super) async fn half(reply: Response<Reply>) -> Result<Response<Reply>, BoxError> {
    let (mut head, mut body) = reply.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    let mut first = Bytes::new();
    while first.is_empty() {
        // A watch need not end; its first event is as good.
        let Some(frame) = body.frame().await else {
            break;
        };
        first = frame?.into_data().unwrap_or_default();
    }
    let half = first.slice(..first.len() / 2);
    Ok(Response::from_parts(head, whole(half)))
}

/// Returns a page of HTML in place of what was asked for.
pub(super) fn login_page() -> Response<Reply> {
    let mut reply = Response::new(whole(LOGIN));
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    reply.headers_mut().insert(header::CONTENT_TYPE, html);
    reply
}

/// Returns an answer that never ends; `poured` counts its bytes.
pub(super) fn endless(poured: &Arc<AtomicU64>) -> Response<Reply> {
    let poured = poured.clone();
    let pieces = stream::repeat_with(move || {
        let length = u64::try_from(PIECE.len()).unwrap_or_default();
        poured.fetch_add(length, Ordering::Relaxed);
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(PIECE)))
    });
    // Whoever reads it lets others have their turn.
    let pieces = pieces.then(|piece| async move {
        tokio::task::yield_now().await;
        piece
    });
    let body = StreamBody::new(pieces);
    let mut reply = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    let json = HeaderValue::from_static("application/json");
    reply.headers_mut().insert(header::CONTENT_TYPE, json);
    reply
}

fn whole(bytes: impl Into<Bytes>) -> Reply {
    let body = Full::<Bytes>::from(bytes.into());
    body.map_err(|never| match never {}).boxed_unsync()
}

/// What reads were answered, by what was asked: the latest answer, and the one before it that was
/// different.
#[derive(Default)]
pub(super) struct Past {
    answers: Mutex<HashMap<String, (Bytes, Option<Bytes>)>>,
}

impl Past {
    /// Takes in the answer to a read; returns it, or the one before where a `stale` one is wanted and
    /// there is one.
    pub(super) async fn answer(
        &self,
        asked: String,
        stale: bool,
        reply: Response<Reply>,
    ) -> Result<Response<Reply>, BoxError> {
        if reply.status() != StatusCode::OK {
            return Ok(reply);
        }
        let (mut head, body) = reply.into_parts();
        let now = body.collect().await?.to_bytes();
        // Nothing panics while it holds the lock.
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (latest, before) = answers.entry(asked).or_insert_with(|| (now.clone(), None));
        if *latest != now {
            *before = Some(std::mem::replace(latest, now.clone()));
        }
        let told = match before {
            Some(before) if stale => before.clone(),
            Some(_) | None => now,
        };
        drop(answers);
        head.headers.remove(header::CONTENT_LENGTH);
        Ok(Response::from_parts(head, whole(told)))
    }
}

/// Returns what the API server, or something in front of it, answers with this code.
pub(super) fn refusal(code: u16, after: Option<u32>) -> Response<Reply> {
    let (reason, message) = match code {
        400 => (
            "BadRequest",
            "the server rejected our request for an unknown reason",
        ),
        401 => ("Unauthorized", "Unauthorized"),
        403 => ("Forbidden", "forbidden: injected fault"),
        404 => (
            "NotFound",
            "the server could not find the requested resource",
        ),
        409 => (
            "Conflict",
            "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version and try again",
        ),
        410 => ("Expired", "too old resource version"),
        422 => (
            "Invalid",
            "the server rejected our request due to an error in our request",
        ),
        429 => (
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later",
        ),
        503 => (
            "ServiceUnavailable",
            "the server is currently unable to handle the request",
        ),
        504 => (
            "Timeout",
            "the server was unable to return a response in the time allotted, but may still be processing the request",
        ),
        _ => (
            "InternalError",
            "an error on the server has prevented the request from succeeding",
        ),
    };
    let mut status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": {},
        "code": code,
    });
    if let Some(seconds) = after {
        status["details"]["retryAfterSeconds"] = json!(seconds);
    }
    let body = Full::<Bytes>::from(status.to_string());
    let mut reply = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *reply.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = reply.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    if let Some(seconds) = after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    reply
}
