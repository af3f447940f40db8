//! Ways to a host: straight, through the user's proxy, or through the API server to a pod.
//!
//! Owns: choosing the way, keeping it while it works, TLS on top of it. Must not: speak HTTP.

use std::{
    collections::BTreeMap,
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::{
    client::{
        legacy::connect::{Connected, Connection, HttpConnector, proxy::Tunnel},
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioIo,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tower::{Service, ServiceExt};

use super::{Kind, Tls, Via, tls};
use crate::cluster::{
    Cluster,
    error::innermost,
    forward::ForwardError,
    secrets::Variables,
    services::{BehindError, ServiceName},
};

/// Longest time in which a name has to resolve before the way through the API server is tried.
const RESOLVING: Duration = Duration::from_secs(3);

/// A way to one host.
#[derive(Clone)]
enum Way {
    /// Straight from here.
    Direct,
    /// Through a proxy that the environment names.
    Proxy(Intercept),
    /// Through the API server to a pod.
    Forward {
        namespace: String,
        pod: String,
        port: u16,
    },
}

/// Indicates that a host cannot be reached.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub(super) struct NoWay {
    pub(super) kind: Kind,
    pub(super) text: String,
}

/// Opens streams for one target; the client asks it where it has no open connection.
#[derive(Clone)]
pub(super) struct Connector {
    shared: Arc<Shared>,
}

struct Shared {
    cluster: Cluster,
    via: Via,
    tls: Tls,
    proxies: Matcher,
    limit: Duration,
    /// The ways that were found, by host and port.
    ways: Mutex<BTreeMap<(String, u16), Way>>,
}

/// An open stream.
pub(super) struct Stream {
    inner: Box<dyn Io>,
    /// Whether a proxy reads the requests, which then have to name the host.
    proxied: bool,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("straight from here"),
            Self::Proxy(proxy) => {
                let host = proxy.uri().host().unwrap_or_default();
                write!(f, "through the proxy {host}")
            }
            Self::Forward {
                namespace,
                pod,
                port,
            } => write!(f, "by port-forward to pod {namespace}/{pod}:{port}"),
        }
    }
}

fn no_way(kind: Kind, text: impl Into<String>) -> NoWay {
    let text = text.into();
    NoWay { kind, text }
}

// === impl Connector ===

impl Connector {
    pub(super) fn new(cluster: &Cluster, via: Via, tls: Tls, limit: Duration) -> Self {
        Self {
            shared: Arc::new(Shared {
                cluster: cluster.clone(),
                via,
                tls,
                proxies: proxies(cluster.variables()),
                limit,
                ways: Mutex::default(),
            }),
        }
    }

    /// Forgets the way to the host of a URL, so that the next connection looks for one; returns how
    /// it was reached.
    pub(super) fn forget(&self, uri: &Uri) -> Option<String> {
        let mut ways = self.shared.ways();
        ways.remove(&address(uri)).map(|way| way.to_string())
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = NoWay;
    type Future = BoxFuture<'static, Result<Self::Response, NoWay>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoWay>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let shared = self.shared.clone();
        Box::pin(async move { shared.connect(&uri).await.map(TokioIo::new) })
    }
}

// === impl Shared ===

impl Shared {
    fn ways(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, u16), Way>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self, uri: &Uri) -> Result<Stream, NoWay> {
        let at = address(uri);
        let known = self.ways().get(&at).cloned();
        if let Some(way) = known {
            if let Ok(stream) = self.go(&way, uri).await {
                return Ok(stream);
            }
            self.ways().remove(&at);
        }
        let way = self.find(uri, &at).await?;
        let opened = self.go(&way, uri).await;
        let stream = opened.map_err(|error| {
            let text = format!("{way}: {}", error.text);
            no_way(error.kind, text)
        })?;
        self.ways().insert(at, way);
        Ok(stream)
    }

    /// Chooses the way to a host.
    async fn find(&self, uri: &Uri, (host, port): &(String, u16)) -> Result<Way, NoWay> {
        let service = ServiceName::of_host(host);
        let straight = || match self.proxy(uri, host) {
            Some(proxy) => Way::Proxy(proxy),
            None => Way::Direct,
        };
        match (self.via, service) {
            (Via::Direct, _) | (Via::Auto, None) => Ok(straight()),
            (Via::PortForward, None) => Err(no_way(
                Kind::Unreachable,
                format!("via: port-forward needs a host such as SERVICE.NAMESPACE.svc, not {host}"),
            )),
            (Via::PortForward, Some(service)) => self.behind(&service, *port).await,
            (Via::Auto, Some(service)) => {
                let lookup = tokio::net::lookup_host((host.as_str(), *port));
                let found = self.cluster.clock().timeout(RESOLVING, lookup).await;
                if found.is_ok_and(|found| found.is_ok_and(|mut all| all.next().is_some())) {
                    return Ok(straight());
                }
                match self.behind(&service, *port).await {
                    Ok(way) => Ok(way),
                    // A name of the world outside that only the proxy resolves.
                    Err(_) if self.proxy(uri, host).is_some() => Ok(straight()),
                    Err(error) => Err(no_way(
                        error.kind,
                        format!(
                            "{host} has no address here, and by port-forward: {}",
                            error.text
                        ),
                    )),
                }
            }
        }
    }

    /// Returns the way to a ready pod behind a Service.
    async fn behind(&self, service: &ServiceName, port: u16) -> Result<Way, NoWay> {
        let found = self.cluster.pod_behind(service, port).await;
        let (pod, port) = found.map_err(|error| {
            let kind = match &error {
                BehindError::Forbidden { .. } => Kind::Forbidden,
                BehindError::NoService(_) | BehindError::Nobody(_) | BehindError::Cluster(_) => {
                    Kind::Unreachable
                }
            };
            no_way(kind, error.to_string())
        })?;
        Ok(Way::Forward {
            namespace: service.namespace.clone(),
            pod,
            port,
        })
    }

    /// Returns the proxy that the environment wants for a URL; none for this machine itself.
    fn proxy(&self, uri: &Uri, host: &str) -> Option<Intercept> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let address: Option<std::net::IpAddr> = bare.parse().ok();
        let here = host == "localhost" || address.is_some_and(|a| a.is_loopback());
        self.proxies.intercept(uri).filter(|_| !here)
    }

    /// Opens a stream on a way, with TLS on top where the URL wants it.
    async fn go(&self, way: &Way, uri: &Uri) -> Result<Stream, NoWay> {
        let secure = uri.scheme_str() == Some("https");
        let mut plain = self.open(way, uri).await?;
        if !secure {
            return Ok(plain);
        }
        let fail = |text: String| no_way(Kind::Tls, text);
        let config = tls::config(&self.cluster, &self.tls).await.map_err(fail)?;
        let host = uri.host().unwrap_or_default();
        let name = tls::server_name(&self.tls, host).map_err(fail)?;
        plain.proxied = false;
        let secured = TlsConnector::from(config).connect(name, plain).await;
        let secured = secured.map_err(|error| {
            let text = innermost(&error);
            // What the kubelet says of the port is no matter of TLS.
            if let Some(said) = crate::cluster::forward::said(&error) {
                return no_way(Kind::Unreachable, said);
            }
            let hint = if text.contains("UnknownIssuer") && self.tls.ca.is_none() {
                "; name its authority with tls.ca"
            } else {
                ""
            };
            fail(format!("{text}{hint}"))
        })?;
        Ok(Stream {
            inner: Box::new(secured),
            proxied: false,
        })
    }

    async fn open(&self, way: &Way, uri: &Uri) -> Result<Stream, NoWay> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        let direct = |inner, proxied| Stream { inner, proxied };
        match way {
            Way::Direct => {
                let tcp = connector.oneshot(uri.clone()).await;
                let tcp = tcp.map_err(|e| no_way(Kind::Unreachable, innermost(&e)))?;
                Ok(direct(Box::new(tcp.into_inner()), false))
            }
            Way::Proxy(proxy) => {
                if proxy.uri().scheme_str().is_some_and(|s| s != "http") {
                    let text = "only proxies with http:// can be used";
                    return Err(no_way(Kind::Unreachable, text));
                }
                // A proxy that wants a password is asked for a tunnel also for plain HTTP.
                if uri.scheme_str() == Some("http") && proxy.basic_auth().is_none() {
                    let tcp = connector.oneshot(proxy.uri().clone()).await;
                    let tcp = tcp.map_err(|e| no_way(Kind::Unreachable, innermost(&e)))?;
                    return Ok(direct(Box::new(tcp.into_inner()), true));
                }
                let mut tunnel = Tunnel::new(proxy.uri().clone(), connector);
                if let Some(auth) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(auth.clone());
                }
                let tcp = tunnel.oneshot(uri.clone()).await;
                let tcp = tcp.map_err(|e| no_way(Kind::Unreachable, innermost(&e)))?;
                Ok(direct(Box::new(tcp.into_inner()), false))
            }
            Way::Forward {
                namespace,
                pod,
                port,
            } => {
                let there = self.cluster.in_namespace(namespace);
                let opened = there.pod_stream(pod, *port, self.limit).await;
                let stream = opened.map_err(|error| forwarding(&error, namespace))?;
                Ok(direct(Box::new(stream), false))
            }
        }
    }
}

fn forwarding(error: &ForwardError, namespace: &str) -> NoWay {
    let kind = match error {
        ForwardError::Refused { reason, .. } if reason.starts_with("forbidden") => {
            let text = format!(
                "permission to get and create pods/portforward in namespace {namespace} is missing"
            );
            return no_way(Kind::Forbidden, text);
        }
        ForwardError::Refused { .. }
        | ForwardError::Broken { .. }
        | ForwardError::Timeout { .. } => Kind::Unreachable,
    };
    no_way(kind, error.to_string())
}

/// Returns the proxies that the variables of the environment name, small letters first.
fn proxies(variables: &Variables) -> Matcher {
    use secrecy::ExposeSecret as _;
    let get = |name: &str| {
        let value = variables
            .get(name)
            .or_else(|| variables.get(&name.to_ascii_uppercase()));
        value
            .map(|v| v.expose_secret().to_owned())
            .unwrap_or_default()
    };
    Matcher::builder()
        .all(get("all_proxy"))
        .http(get("http_proxy"))
        .https(get("https_proxy"))
        .no(get("no_proxy"))
        .build()
}

/// Returns host and port of a URL.
fn address(uri: &Uri) -> (String, u16) {
    let port = match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    (host, uri.port_u16().unwrap_or(port))
}

// === impl Stream ===

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.proxied)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
