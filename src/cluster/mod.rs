//! Talking to the API server.
//!
//! Owns: the connection, deadlines and retries of requests, and the objects every part of the
//! product needs. Must not: know routers, checks or plans. Reads are retried; a write is sent once,
//! because after a lost answer only another look at the cluster can tell what happened.

pub mod audit;
pub mod bounded;
pub mod connect;
pub mod discover;
pub mod error;
pub mod forward;
pub mod objects;
pub mod older;
pub mod pods;
pub mod quantity;
pub mod routing;
pub mod secrets;
mod sent;
pub mod server_time;
pub mod services;
pub mod streams;
pub mod template;
pub mod usage;
pub mod wake;
pub mod workloads;
pub mod writes;

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource};

use crate::clock::Clock;
pub use error::{ClusterError, Reason};
use secrets::Variables;
use server_time::ServerTime;

/// Name under which the API server records our changes.
pub const FIELD_MANAGER: &str = "canaryctl";

/// Longest time one request to the API server may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// Times a read is tried before its error counts.
const ATTEMPTS: u32 = 4;

/// Times a request is tried while the server says that it has too many. It serves what we ask at
/// once one by one, where our share of it is small.
const ATTEMPTS_IN_LINE: u32 = 10;

/// Pause before the second try; doubles with every further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Longest pause of our own between two tries.
const LONGEST_OWN_PAUSE: Duration = Duration::from_secs(2);

/// Longest pause that a server may ask for between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A connection to one namespace of one cluster; cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
    clock: Clock,
    request_timeout: Duration,
    dry: bool,
    variables: Variables,
    /// Kinds that the server was found to have in an older version only.
    older: Arc<Mutex<BTreeSet<String>>>,
    server_time: ServerTime,
}

impl Cluster {
    /// Returns a connection through `client` for `namespace`, with time from `clock`; no answer larger
    /// than the limits of [`bounded`] is read on it.
    ///
    /// Must be called inside a tokio runtime.
    pub fn new(client: Client, namespace: impl Into<String>, clock: Clock) -> Self {
        let server_time = ServerTime::default();
        Self {
            client: server_time.listening(bounded::bounded(client), &clock),
            server_time,
            namespace: namespace.into(),
            clock,
            request_timeout: REQUEST_TIMEOUT,
            dry: false,
            variables: Variables::default(),
            older: Arc::default(),
        }
    }

    /// Returns the same connection with another limit per request.
    pub fn with_request_timeout(self, request_timeout: Duration) -> Self {
        Self {
            request_timeout,
            ..self
        }
    }

    /// Returns the same connection, for which references to variables of the environment are found
    /// in `variables`.
    #[must_use]
    pub fn with_variables(self, variables: Variables) -> Self {
        Self { variables, ..self }
    }

    /// Returns the variables of the environment that were handed in.
    pub fn variables(&self) -> &Variables {
        &self.variables
    }

    /// Returns the same connection, whose writes the API server checks but does not keep.
    #[must_use]
    pub fn dry(self) -> Self {
        Self { dry: true, ..self }
    }

    /// Returns whether writes are only checked.
    pub fn is_dry(&self) -> bool {
        self.dry
    }

    /// Returns the same connection for another namespace.
    pub fn in_namespace(&self, namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            ..self.clone()
        }
    }

    /// Returns the namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns the client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the API of a namespaced kind.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Reads something named `what` (such as `Deployment shop/web`), trying again when the server or
    /// the network is at fault.
    pub async fn read<T, F, Fut>(&self, what: &str, request: F) -> Result<T, ClusterError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, kube::Error>>,
    {
        // A proxy's login page or a torn answer says nothing of what was asked for.
        let again = |reason: Reason| reason.is_outage() || reason == Reason::Garbled;
        self.attempts("read", what, again, request).await
    }

    /// Reads something that may be absent.
    pub async fn read_opt<T, F, Fut>(
        &self,
        what: &str,
        request: F,
    ) -> Result<Option<T>, ClusterError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, kube::Error>>,
    {
        match self.read(what, request).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.reason == Reason::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Changes something: `action` is a verb such as `scale`. Sent once; only an overloaded server,
    /// which has changed nothing, is asked again.
    pub async fn write<T, F, Fut>(
        &self,
        action: &'static str,
        what: &str,
        request: F,
    ) -> Result<T, ClusterError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, kube::Error>>,
    {
        let overloaded = |reason| reason == Reason::Throttled;
        self.attempts(action, what, overloaded, request).await
    }

    /// Sends a request again, with growing pauses, while `again` says that its failure may pass.
    async fn attempts<T, F, Fut>(
        &self,
        action: &'static str,
        what: &str,
        again: impl Fn(Reason) -> bool,
        request: F,
    ) -> Result<T, ClusterError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, kube::Error>>,
    {
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        let mut renewed = false;
        loop {
            let error = match self.once(action, what, Box::pin(request())).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // A token that ended has changed nothing, and the next request brings a new one.
            if error.reason == Reason::Unauthorized && !renewed {
                renewed = true;
                continue;
            }
            let most = if error.reason == Reason::Throttled {
                ATTEMPTS_IN_LINE
            } else {
                ATTEMPTS
            };
            if attempt >= most || !again(error.reason) {
                return Err(error);
            }
            let asked = error.retry_after.unwrap_or(pause).min(LONGEST_PAUSE);
            self.clock.sleep(asked.max(pause)).await;
            attempt += 1;
            pause = (pause * 2).min(LONGEST_OWN_PAUSE);
        }
    }

    async fn once<T>(
        &self,
        action: &'static str,
        what: &str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, ClusterError> {
        match self.clock.timeout(self.request_timeout, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(ClusterError::new(action, what, &error)),
            Err(elapsed) => Err(ClusterError::timeout(action, what, elapsed)),
        }
    }
}
