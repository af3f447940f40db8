//! Asking whatever answers over HTTP outside the pods.
//!
//! Owns: the one client for it: credentials by reference, TLS, deadline, size limit, and what kind of
//! trouble it was when there is no answer. Must not: judge answers, follow redirects (a login page
//! is no answer), or let a secret or a query into an error.

mod target;
mod tls;
mod way;

#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use secrecy::{ExposeSecret, SecretString};

pub use target::{Auth, Basic, HeaderText, TIMEOUT, Target, Tls, Via};
pub(crate) use target::{place, target};

use crate::{
    cluster::{Cluster, error::innermost, forward, secrets::SecretRef},
    domain::{check::Sample, verdict::Unknown},
};
use way::{Connector, NoWay};

/// Largest answer that is read.
const LARGEST_BODY: usize = forward::LARGEST_BODY;

/// A target that can be asked; connections are kept open between requests. Cheap to clone.
#[derive(Clone)]
pub struct Web {
    cluster: Cluster,
    target: Target,
    uri: Uri,
    limit: Duration,
    connector: Connector,
    client: Client<Connector, Full<Bytes>>,
}

/// A request to a target.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// Method.
    pub method: Method,
    /// Path behind the one of the URL, beginning with `/`.
    pub path: Option<&'a str>,
    /// Further query.
    pub query: Vec<(&'a str, String)>,
    /// A query to send as a form, in place of `body`.
    pub form: Vec<(&'a str, String)>,
    /// Further headers; they give way to the target's own.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Body.
    pub body: Bytes,
}

/// What a target answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Method and URL that were asked, without query and credentials.
    pub request: String,
    /// Status code.
    pub status: u16,
    /// Content type, where it is told.
    pub content_type: Option<String>,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// Body.
    pub body: Bytes,
}

/// Indicates that a target gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{request}: {reason}")]
pub struct WebError {
    /// What kind of trouble it was.
    pub kind: Kind,
    /// Method and URL, without query and credentials.
    pub request: String,
    /// What was seen, which way was tried, and what right is missing.
    pub reason: String,
}

/// Kinds of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nobody answers there, or the connection broke.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// The TLS handshake failed, or a certificate file cannot be used.
    Tls,
    /// The answer is larger than is read.
    TooLarge,
    /// A secret cannot be had.
    Secret,
    /// The API server does not let us look for the pod, or forward to it.
    Forbidden,
}

// === impl Target ===

impl Target {
    /// Makes a client for it; nothing is sent yet. The error names the option that cannot be used.
    pub fn connect(&self, cluster: &Cluster) -> Result<Web, String> {
        self.check()?;
        let limit = self.limit()?;
        let tls = self.tls.clone().unwrap_or_default();
        let connector = Connector::new(cluster, self.via, tls, limit);
        let client = keeping(4, &connector);
        Ok(Web {
            cluster: cluster.clone(),
            target: self.clone(),
            uri: target::parse(&self.url)?,
            limit,
            connector,
            client,
        })
    }
}

// === impl Request ===

impl Request<'_> {
    /// Returns whether it changes nothing; a form holds a query too long for a URL.
    fn only_asks(&self) -> bool {
        !self.form.is_empty() || [Method::GET, Method::HEAD].contains(&self.method)
    }
}

// === impl Web ===

impl Web {
    /// Returns the same client for another URL; credentials go there, too.
    pub fn at(&self, url: &str) -> Result<Self, String> {
        let uri = target::parse(url)?;
        Ok(Self {
            uri,
            ..self.clone()
        })
    }

    /// Sends a request and returns the answer, whatever its status, within the target's time.
    pub async fn send(&self, request: &Request<'_>) -> Result<Answer, WebError> {
        let uri = self.uri_of(request);
        let shown = place(&uri.to_string());
        let shown = format!("{} {shown}", request.method);
        let fail = |kind: Kind, reason: String| WebError {
            kind,
            request: shown.clone(),
            reason,
        };
        let headers = self.headers(request).await;
        let headers = headers.map_err(|reason| fail(Kind::Secret, reason))?;
        let body = if request.form.is_empty() {
            request.body.clone()
        } else {
            Bytes::from(pairs(&request.form))
        };
        let exchange = async {
            let asked = || {
                let mut asked = http::Request::new(Full::new(body.clone()));
                *asked.method_mut() = request.method.clone();
                *asked.uri_mut() = uri.clone();
                *asked.headers_mut() = headers.clone();
                asked
            };
            let first = exchange(&self.client, asked()).await;
            // Whom the kept connections lead to may be gone by now, a pod or a server that was
            // started anew, and every one of them is as old; another question does no harm.
            let lost = matches!(first, Err((Kind::Unreachable, _)));
            if lost && request.only_asks() && self.connector.forget(&uri).is_some() {
                return exchange(&keeping(0, &self.connector), asked()).await;
            }
            first
        };
        let outcome = self.cluster.clock().timeout(self.limit, exchange).await;
        let (kind, reason) = match outcome {
            Ok(Ok(answer)) => {
                return Ok(Answer {
                    request: shown,
                    ..answer
                });
            }
            Ok(Err(trouble)) => trouble,
            Err(elapsed) => (Kind::Timeout, elapsed.to_string()),
        };
        let way = self.connector.forget(&uri);
        let way = way.map_or(String::new(), |way| format!(" ({way})"));
        Err(fail(kind, format!("{reason}{way}")))
    }

    fn uri_of(&self, request: &Request<'_>) -> Uri {
        let path = self.uri.path();
        let path = match request.path {
            None => path.to_owned(),
            Some(more) => format!("{}{more}", path.trim_end_matches('/')),
        };
        let own = self.uri.query().unwrap_or_default();
        let query = pairs(&request.query);
        let query: Vec<&str> = [own, &query]
            .into_iter()
            .filter(|q| !q.is_empty())
            .collect();
        let all = if query.is_empty() {
            path
        } else {
            format!("{path}?{}", query.join("&"))
        };
        let mut parts = self.uri.clone().into_parts();
        // Both halves were part of a valid URL, or are escaped.
        if let Ok(all) = all.parse() {
            parts.path_and_query = Some(all);
        }
        Uri::from_parts(parts).unwrap_or_else(|_| self.uri.clone())
    }

    async fn headers(&self, request: &Request<'_>) -> Result<HeaderMap, String> {
        let mut headers: HeaderMap = request.headers.iter().cloned().collect();
        let agent = concat!("canaryctl/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        if !request.form.is_empty() {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(header::CONTENT_TYPE, form);
        }
        let asked = &self.target;
        if let Some(auth) = &asked.auth {
            let text = match auth {
                Auth::Bearer(token) => {
                    let token = self.secret(token).await?;
                    format!("Bearer {}", token.expose_secret())
                }
                Auth::Basic(Basic { username, password }) => {
                    let user = self.text(username).await?;
                    let password = self.secret(password).await?;
                    let both = format!("{}:{}", user.expose_secret(), password.expose_secret());
                    let coded = base64::engine::general_purpose::STANDARD.encode(both);
                    format!("Basic {coded}")
                }
            };
            headers.insert(header::AUTHORIZATION, hidden("auth", &text)?);
        }
        for (name, value) in &asked.headers {
            let text = self.text(value).await?;
            let value = hidden(name, text.expose_secret())?;
            let name = HeaderName::try_from(name).map_err(|e| format!("headers: {name}: {e}"))?;
            headers.insert(name, value);
        }
        Ok(headers)
    }

    async fn secret(&self, reference: &SecretRef) -> Result<SecretString, String> {
        let secret = self.cluster.secret(reference).await;
        secret.map_err(|e| e.to_string())
    }

    async fn text(&self, text: &HeaderText) -> Result<SecretString, String> {
        match text {
            HeaderText::Plain(text) => Ok(SecretString::from(text.as_str())),
            HeaderText::Secret(reference) => self.secret(reference).await,
        }
    }
}

/// Makes a client that keeps so many unused connections.
fn keeping(connections: usize, connector: &Connector) -> Client<Connector, Full<Bytes>> {
    Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(connections)
        .build(connector.clone())
}

/// Sends a request and reads the answer; says what kind of trouble it was otherwise.
async fn exchange(
    client: &Client<Connector, Full<Bytes>>,
    request: http::Request<Full<Bytes>>,
) -> Result<Answer, (Kind, String)> {
    let response = client.request(request).await;
    let response = response.map_err(|e| trouble(&e))?;
    let status = response.status().as_u16();
    let text = |name: HeaderName| {
        let value = response.headers().get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let (content_type, location) = (text(header::CONTENT_TYPE), text(header::LOCATION));
    let body = Limited::new(response.into_body(), LARGEST_BODY).collect();
    let body = body.await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            let text = format!("answer larger than {} MiB", LARGEST_BODY >> 20);
            return (Kind::TooLarge, text);
        }
        trouble(error.as_ref())
    })?;
    Ok(Answer {
        request: String::new(),
        status,
        content_type,
        location,
        body: body.to_bytes(),
    })
}

/// Returns pairs as a query or a form.
fn pairs(pairs: &[(&str, String)]) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(pairs);
    text.finish()
}

/// Returns a value that no output shows; the error does not repeat it.
fn hidden(name: &str, text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| format!("{name}: the secret cannot be sent in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Returns what kind of trouble an error of the client is, and says it.
fn trouble(error: &(dyn std::error::Error + 'static)) -> (Kind, String) {
    if let Some(said) = forward::said(error) {
        return (Kind::Unreachable, said);
    }
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(NoWay { kind, text }) = error.downcast_ref() {
            return (*kind, text.clone());
        }
        let within = error.downcast_ref::<std::io::Error>();
        let within = within.and_then(std::io::Error::get_ref);
        if let Some(error) = within.and_then(|e| e.downcast_ref::<rustls::Error>()) {
            return (Kind::Tls, error.to_string());
        }
        at = error.source();
    }
    (Kind::Unreachable, innermost(error))
}

// === from answers to samples ===

impl WebError {
    /// Returns whether another try may give an answer.
    pub fn is_passing(&self) -> bool {
        matches!(self.kind, Kind::Unreachable | Kind::Timeout)
    }

    /// Returns it as nothing to go by.
    pub fn missing(&self) -> Sample {
        let why = match self.kind {
            Kind::Secret => Unknown::Query,
            Kind::Unreachable | Kind::Timeout | Kind::Tls | Kind::TooLarge | Kind::Forbidden => {
                Unknown::SourceDown
            }
        };
        Sample::Missing(why, self.to_string())
    }
}

impl Answer {
    /// Returns nothing to go by, with the reason, unless the status is one from 200 to 299.
    pub fn refusal(&self) -> Option<Sample> {
        let Self {
            request, status, ..
        } = self;
        let (why, text) = match status {
            200..=299 => return None,
            300..=399 => (Unknown::Query, self.redirect()),
            401 | 407 => (
                Unknown::Query,
                format!("status {status}: credentials missing or invalid"),
            ),
            403 => (
                Unknown::Query,
                format!("status {status}: credentials lack permission"),
            ),
            429 | 500.. => (
                Unknown::SourceDown,
                format!("status {status}{}", self.start()),
            ),
            _ => (Unknown::Query, format!("status {status}{}", self.start())),
        };
        Some(Sample::Missing(why, format!("{request}: {text}")))
    }

    /// Returns a sentence with what was asked before it.
    pub fn says(&self, text: &str) -> String {
        format!("{}: {text}", self.request)
    }

    /// Says where a redirect leads; a login page is the usual case.
    pub fn redirect(&self) -> String {
        let status = self.status;
        let place = self.location.as_deref().map(place);
        match place.as_deref().and_then(|p| p.split_once("://")) {
            Some((_, rest)) => {
                let host = rest.split('/').next().unwrap_or_default();
                format!(
                    "status {status}: redirects to {}, a login page perhaps",
                    super::plain(host, 80)
                )
            }
            None => format!("status {status}: a redirect, and redirects are not followed"),
        }
    }

    /// Returns how the body begins, in quotes, to be shown behind a status.
    pub fn start(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(400)]);
        let text = super::plain(&text, 80);
        if text.is_empty() {
            String::new()
        } else {
            format!(": \"{text}\"")
        }
    }
}
