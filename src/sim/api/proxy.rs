//! `pods/NAME:PORT/proxy/PATH`: one HTTP exchange with an app through the API server.
//!
//! Owns: what is passed on and what the server says when nothing answers. Must not: resolve port
//! names; the real server does not either.

use bytes::Bytes;
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};

use super::{
    Server,
    cells::{at, text},
    reply::Out,
    request::{Call, bad_request},
    resources::Target,
};
use crate::sim::store::Refusal;

/// Headers that belong to one connection and not to the message.
const HOP_BY_HOP: [header::HeaderName; 5] = [
    header::CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::AUTHORIZATION,
];

/// Answers a request to a pod.
pub(crate) async fn answer(
    server: &Server,
    target: &Target,
    call: &Call,
) -> Result<Response<Out>, Refusal> {
    let (name, port) = split(&target.name)?;
    let mut key = target.key();
    key.name = name.to_owned();
    let pod = server.store().get(&key);
    let pod = pod.ok_or_else(|| Refusal::not_found(&key))?;
    let declared = at(&pod, "/spec/containers/0/ports/0/containerPort").as_u64();
    let declared = declared.and_then(|p| u16::try_from(p).ok());
    let port = port.or(declared).unwrap_or(80);
    let address = text(at(&pod, "/status/podIP"));
    if address.is_empty() {
        return Err(bad_request("address not allowed"));
    }
    let down = |why: &str| {
        Refusal::new(
            503,
            "ServiceUnavailable",
            format!("error trying to reach service: dial tcp {address}:{port}: connect: {why}"),
        )
    };
    if pod["status"]["phase"] != "Running" {
        return Err(down("no route to host"));
    }
    let apps = server.inner.apps.clone();
    let request = forwarded(call, &target.sub, address, port)?;
    let answer = apps.answer(&key.namespace, &key.name, port, request).await;
    let response = answer.map_err(|why| down(&why))?;
    Ok(response.map(|body| Full::<Bytes>::new(body).boxed_unsync()))
}

/// Splits `[SCHEME:]NAME[:PORT]`.
fn split(name: &str) -> Result<(&str, Option<u16>), Refusal> {
    let parts: Vec<&str> = name.split(':').collect();
    let (name, port) = match parts.as_slice() {
        [name] => (*name, ""),
        [name, port] | ["" | "http" | "https", name, port] => (*name, *port),
        _ => return Err(bad_request(format!("invalid pod request \"{name}\""))),
    };
    if port.is_empty() {
        return Ok((name, None));
    }
    // The real server drops the connection on a port name; a sentence is more use to people.
    let number = port.parse().map_err(|_| {
        bad_request(format!(
            "invalid pod request: port \"{port}\" is not a number"
        ))
    })?;
    Ok((name, Some(number)))
}

/// Returns the request as the app receives it.
fn forwarded(
    call: &Call,
    sub: &[String],
    address: &str,
    port: u16,
) -> Result<Request<Bytes>, Refusal> {
    let broken = |_| bad_request("the path of the proxied request is not a path");
    let marker = "/proxy";
    let rest = call
        .path
        .find(marker)
        .map(|at| &call.path[at + marker.len()..]);
    let path = rest
        .filter(|r| sub.len() > 1 || !r.is_empty())
        .unwrap_or("/");
    let query = call.query_text();
    let uri = if query.is_empty() {
        path.parse::<Uri>()
    } else {
        format!("{path}?{query}").parse::<Uri>()
    };
    let mut request = Request::new(call.body.clone());
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = uri.map_err(broken)?;
    *request.headers_mut() = call.headers.clone();
    let headers = request.headers_mut();
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    if let Ok(host) = format!("{address}:{port}").parse() {
        headers.insert(header::HOST, host);
    }
    Ok(request)
}
