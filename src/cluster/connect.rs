//! From a kubeconfig (or a pod's service account) to a client.
//!
//! Owns: choosing the context, credentials, and how they are renewed. Must not: read the
//! environment beyond what the client library does for `KUBECONFIG`, or print. The exec plugin runs
//! once per token, off the runtime's thread and with a deadline; the library would run it three
//! times for every client.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use jiff::{SignedDuration, Timestamp};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
    config::{ExecConfig, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    sync::Mutex,
};
use tower::{BoxError, Layer, Service, ServiceExt};

use super::error::innermost;
use crate::clock::Clock;

/// Longest time an exec plugin may take.
const PLUGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Most that an exec plugin may answer; a credential is a few KiB.
const PLUGIN_OUTPUT: usize = 1 << 20;

/// Largest kubeconfig that is read.
const LARGEST_KUBECONFIG: u64 = 1 << 20;

/// Longest time to make a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A token is renewed this long before it expires.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// Which cluster to talk to, as the command line says it.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// Path of a kubeconfig, instead of the usual ones.
    pub kubeconfig: Option<PathBuf>,
    /// The usual ones, where the environment names them.
    pub files: Vec<PathBuf>,
    /// Context of the kubeconfig, instead of the current one.
    pub context: Option<String>,
    /// Namespace, instead of the context's.
    pub namespace: Option<String>,
}

/// A client and where it points.
pub struct Connection {
    /// The client.
    pub client: Client,
    /// The namespace in force.
    pub namespace: String,
    /// Name of the cluster or address of the server, to be shown to people.
    pub cluster: String,
    /// Address of the API server.
    pub server: String,
    /// The user of the context, where known.
    pub user: Option<String>,
}

/// Indicates that no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no kubeconfig, and this is not a pod.
    #[error("no kubeconfig found ({0}), and not inside a cluster")]
    NoConfig(String),
    /// The kubeconfig cannot be used.
    #[error("kubeconfig: {0}")]
    Kubeconfig(String),
    /// The context does not exist.
    #[error("no context '{name}' in the kubeconfig; there are: {known}")]
    NoContext {
        /// The name asked for.
        name: String,
        /// All contexts.
        known: String,
    },
    /// The credential plugin failed.
    #[error("credential plugin {command}: {reason}")]
    Plugin {
        /// Its command.
        command: String,
        /// What went wrong.
        reason: String,
    },
    /// TLS or transport could not be set up.
    #[error("cannot set up the connection: {0}")]
    Transport(String),
}

/// Where a target points, before anything is connected or run.
pub struct Pointed {
    /// What a client is made of; a credential plugin is in it as it was written.
    pub config: Config,
    /// Name of the cluster or address of the server, to be shown to people.
    pub cluster: String,
    /// The user of the context, where known.
    pub user: Option<String>,
}

/// Reads where `target` points; connects to nothing and runs no program.
pub async fn point(target: &Target) -> Result<Pointed, ConnectError> {
    let files = target
        .kubeconfig
        .as_ref()
        .map_or(target.files.as_slice(), std::slice::from_ref);
    for path in files {
        refuse_large(path)?;
        refuse_half(path)?;
    }
    let kubeconfig = match &target.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let (mut config, cluster, user) = match kubeconfig {
        Ok(kubeconfig) => from_kubeconfig(kubeconfig, target).await?,
        Err(error) if target.kubeconfig.is_some() || target.context.is_some() => {
            return Err(ConnectError::Kubeconfig(unreadable(&error)));
        }
        Err(error) => {
            let config =
                Config::incluster().map_err(|_| ConnectError::NoConfig(innermost(&error)))?;
            let server = config.cluster_url.to_string();
            (config, server, None)
        }
    };
    // The library would retry writes silently for minutes; see `Cluster`.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    if let Some(namespace) = &target.namespace {
        config.default_namespace.clone_from(namespace);
    }
    Ok(Pointed {
        config,
        cluster,
        user,
    })
}

/// Makes a client for `target`.
pub async fn connect(target: &Target, clock: &Clock) -> Result<Connection, ConnectError> {
    let Pointed {
        mut config,
        cluster,
        user,
    } = point(target).await?;
    let namespace = config.default_namespace.clone();
    let server = config.cluster_url.to_string();
    let plugin = config.auth_info.exec.take();
    let transport = |e: kube::Error| ConnectError::Transport(innermost(&e));
    let client = match plugin {
        None => Client::try_from(config).map_err(transport)?,
        Some(plugin) => {
            let credential = run_plugin(&plugin, clock).await?;
            if let Some((certificate, key)) = credential.certificate {
                config.auth_info.client_certificate_data = Some(certificate);
                config.auth_info.client_key_data = Some(key);
            }
            let token = Token {
                plugin,
                clock: clock.clone(),
                state: Mutex::new((credential.token, credential.expires)),
            };
            let layer = Renewing(Arc::new(token));
            let builder = ClientBuilder::try_from(config).map_err(transport)?;
            builder.with_layer(&layer).build()
        }
    };
    Ok(Connection {
        client,
        namespace,
        cluster,
        server,
        user,
    })
}

/// Refuses a kubeconfig that is too large to be one, before it is read whole.
fn refuse_large(path: &Path) -> Result<(), ConnectError> {
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    if size <= LARGEST_KUBECONFIG {
        return Ok(());
    }
    let text = format!(
        "{}: it is larger than the limit of {} MiB",
        path.display(),
        LARGEST_KUBECONFIG >> 20
    );
    Err(ConnectError::Kubeconfig(text))
}

/// Refuses a kubeconfig in UTF-16 that ends in the middle of a character; the library panics there.
fn refuse_half(path: &Path) -> Result<(), ConnectError> {
    use std::io::Read as _;
    let mut mark = [0; 2];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut mark));
    let is_wide = read.is_ok() && matches!(mark, [0xFF, 0xFE] | [0xFE, 0xFF]);
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    if !is_wide || size.is_multiple_of(2) {
        return Ok(());
    }
    let text = format!(
        "{}: it is UTF-16 and ends in the middle of a character",
        path.display()
    );
    Err(ConnectError::Kubeconfig(text))
}

async fn from_kubeconfig(
    kubeconfig: Kubeconfig,
    target: &Target,
) -> Result<(Config, String, Option<String>), ConnectError> {
    let name = target
        .context
        .clone()
        .or_else(|| kubeconfig.current_context.clone())
        .unwrap_or_default();
    let known: Vec<&str> = kubeconfig
        .contexts
        .iter()
        .map(|c| c.name.as_str())
        .collect();
    if !known.contains(&name.as_str()) {
        if name.is_empty() {
            let text = "no current context; name one with --context".to_owned();
            return Err(ConnectError::Kubeconfig(text));
        }
        let known = known.join(", ");
        return Err(ConnectError::NoContext { name, known });
    }
    let context = kubeconfig.contexts.iter().find(|c| c.name == name);
    let context = context.and_then(|c| c.context.as_ref());
    let cluster = context.map_or_else(|| name.clone(), |c| c.cluster.clone());
    let user = context.and_then(|c| c.user.clone());
    let options = KubeConfigOptions {
        context: Some(name),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let config = config.map_err(|e| ConnectError::Kubeconfig(innermost(&e)))?;
    Ok((config, cluster, user))
}

// === the credential plugin ===

/// What a plugin answered.
struct Credential {
    token: Option<SecretString>,
    certificate: Option<(String, SecretString)>,
    expires: Option<Timestamp>,
}

#[derive(Deserialize)]
struct ExecAnswer {
    status: Option<ExecStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecStatus {
    token: Option<SecretString>,
    client_certificate_data: Option<String>,
    client_key_data: Option<SecretString>,
    expiration_timestamp: Option<Timestamp>,
}

async fn run_plugin(plugin: &ExecConfig, clock: &Clock) -> Result<Credential, ConnectError> {
    let name = plugin.command.clone().unwrap_or_default();
    let fail = |reason: String| ConnectError::Plugin {
        command: name.clone(),
        reason,
    };
    let mut command = Command::new(&name);
    command
        .args(plugin.args.iter().flatten())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for pair in plugin.env.iter().flatten() {
        if let (Some(key), Some(value)) = (pair.get("name"), pair.get("value")) {
            command.env(key, value);
        }
    }
    let mut spec = json!({"interactive": false});
    if plugin.provide_cluster_info {
        spec["cluster"] = serde_json::to_value(&plugin.cluster).unwrap_or_default();
    }
    let info = json!({"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec});
    command.env("KUBERNETES_EXEC_INFO", info.to_string());
    let output = clock.timeout(PLUGIN_TIMEOUT, heard(&mut command)).await;
    let output = output.map_err(|e| fail(e.to_string()))?.map_err(fail)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.trim().lines().last().unwrap_or_default().to_owned();
        return Err(fail(format!("it failed ({}): {last}", output.status)));
    }
    let answer: ExecAnswer = serde_json::from_slice(&output.stdout)
        .map_err(|_| fail("its answer is no ExecCredential".to_owned()))?;
    let status = answer
        .status
        .ok_or_else(|| fail("its answer has no status".to_owned()))?;
    let certificate = match (status.client_certificate_data, status.client_key_data) {
        (Some(certificate), Some(key)) => Some((
            base64(certificate.as_bytes()),
            SecretString::from(base64(key.expose_secret().as_bytes())),
        )),
        (None, _) | (_, None) => None,
    };
    Ok(Credential {
        token: status.token,
        certificate,
        expires: status.expiration_timestamp,
    })
}

/// Runs a plugin and returns what it said, unless that is more than it may say. Of its complaints the
/// first part is kept.
async fn heard(command: &mut Command) -> Result<std::process::Output, String> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = command.spawn();
    let mut child = started.map_err(|e| format!("it cannot be started: {e}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let answer = async {
        let (kept, more) = first_part(stdout).await;
        if more {
            let limit = PLUGIN_OUTPUT >> 20;
            return Err(format!(
                "its answer is larger than the limit of {limit} MiB"
            ));
        }
        Ok(kept)
    };
    let complaints = async {
        let mut stderr = stderr;
        let (kept, _) = first_part(stderr.as_mut()).await;
        if let Some(rest) = &mut stderr {
            // Read and forgotten, so that it is not kept waiting.
            tokio::io::copy(rest, &mut tokio::io::sink()).await.ok();
        }
        Ok(kept)
    };
    let (stdout, stderr) = futures::try_join!(answer, complaints)?;
    let status = child.wait().await.map_err(|e| e.to_string())?;
    Ok(std::process::Output {
        status,
        stdout,
        stderr,
    })
}

/// Returns what comes first on a stream, and whether there is more than is kept.
async fn first_part(stream: Option<impl AsyncRead + Unpin>) -> (Vec<u8>, bool) {
    let mut kept = Vec::new();
    if let Some(stream) = stream {
        let most = u64::try_from(PLUGIN_OUTPUT).unwrap_or(u64::MAX);
        let mut limited = stream.take(most.saturating_add(1));
        // What was read before an error counts: the plugin's exit code tells the rest.
        limited.read_to_end(&mut kept).await.ok();
    }
    let more = kept.len() > PLUGIN_OUTPUT;
    kept.truncate(PLUGIN_OUTPUT);
    (kept, more)
}

/// Returns standard base64, the form in which the client library takes certificate data.
fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

// === a token that renews itself ===

struct Token {
    plugin: ExecConfig,
    clock: Clock,
    state: Mutex<(Option<SecretString>, Option<Timestamp>)>,
}

impl Token {
    /// Returns the header for the next request, from a new token when the old one is about to expire.
    async fn header(&self) -> Result<Option<HeaderValue>, ConnectError> {
        let mut state = self.state.lock().await;
        let soon = self
            .clock
            .now()
            .checked_add(MARGIN)
            .unwrap_or(Timestamp::MAX);
        let expiring = state.1.is_some_and(|expires| expires <= soon);
        if expiring || state.0.is_none() && state.1.is_none() {
            let fresh = run_plugin(&self.plugin, &self.clock).await?;
            *state = (fresh.token, fresh.expires.or(Some(Timestamp::MAX)));
        }
        let Some(token) = &state.0 else {
            return Ok(None);
        };
        let header = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()));
        let mut header = header.map_err(|_| ConnectError::Plugin {
            command: self.plugin.command.clone().unwrap_or_default(),
            reason: "its token cannot be sent in a header".to_owned(),
        })?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    /// Forgets the token that was refused, so that the next request gets a new one; unless another
    /// request has brought one meanwhile.
    async fn forget(&self, refused: Option<&HeaderValue>) {
        let mut state = self.state.lock().await;
        let same = |token: &SecretString| {
            let header = format!("Bearer {}", token.expose_secret());
            refused.is_some_and(|refused| refused.as_bytes() == header.as_bytes())
        };
        if state.0.as_ref().is_none_or(same) {
            *state = (None, None);
        }
    }
}

#[derive(Clone)]
struct Renewing(Arc<Token>);

impl<S> Layer<S> for Renewing {
    type Service = Renewed<S>;

    fn layer(&self, inner: S) -> Renewed<S> {
        Renewed {
            inner: Arc::new(Mutex::new(inner)),
            token: self.0.clone(),
        }
    }
}

struct Renewed<S> {
    inner: Arc<Mutex<S>>,
    token: Arc<Token>,
}

impl<S, B> Service<Request<Body>> for Renewed<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let (inner, token) = (self.inner.clone(), self.token.clone());
        Box::pin(async move {
            let header = token.header().await?;
            if let Some(header) = header.clone() {
                request.headers_mut().insert(AUTHORIZATION, header);
            }
            let sent = {
                let mut inner = inner.lock().await;
                let ready = inner.ready().await.map_err(Into::into)?;
                ready.call(request)
            };
            let response = sent.await.map_err(Into::into)?;
            if response.status() == http::StatusCode::UNAUTHORIZED {
                token.forget(header.as_ref()).await;
            }
            Ok(response)
        })
    }
}

/// Returns why a kubeconfig cannot be read, on one line.
fn unreadable(error: &KubeconfigError) -> String {
    if let KubeconfigError::ReadConfig(error, path) = error {
        return format!("{}: {error}", path.display());
    }
    // The YAML library draws the place below the first line.
    let text = innermost(error);
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}
