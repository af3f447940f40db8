//! The applications inside the simulated pods.
//!
//! Owns: the seam through which port-forward, pod proxy and resource metrics reach them. Must not:
//! know pods.

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use jiff::Timestamp;
use tokio::io::DuplexStream;

/// What listens on the ports of simulated pods.
pub trait Apps: Send + Sync {
    /// Makes one HTTP exchange with the app in a pod.
    ///
    /// An error says why nothing answers, such as `connection refused`.
    fn answer<'a>(
        &'a self,
        namespace: &'a str,
        pod: &'a str,
        port: u16,
        request: Request<Bytes>,
    ) -> BoxFuture<'a, Result<Response<Bytes>, String>>;

    /// Returns who listens on a port of a pod; `None` where nobody does.
    fn listener(&self, _namespace: &str, _pod: &str, _port: u16) -> Option<Listener> {
        Some(Listener::default())
    }

    /// Returns what speaks on a new connection to a port of a pod, where that is not HTTP as it should
    /// be spoken.
    fn speaker(&self, _namespace: &str, _pod: &str, _port: u16) -> Option<Speaker> {
        None
    }

    /// Returns what the pods used at metrics-server's last look, those it has no sample of left out.
    fn usage(&self) -> Vec<PodUsage> {
        Vec::new()
    }
}

/// Speaks on a connection until it ends.
pub type Speaker = Box<dyn FnOnce(DuplexStream) -> BoxFuture<'static, ()> + Send>;

/// A process that listens on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// Which: what is started again is another one.
    pub process: u64,
    /// How long it keeps a connection on which nothing is asked.
    pub patience: Duration,
}

impl Default for Listener {
    /// A process like any other, with the patience of Node.js.
    fn default() -> Self {
        Self {
            process: 0,
            patience: Duration::from_secs(5),
        }
    }
}

/// What a pod uses, as metrics-server knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct PodUsage {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// The node it is on.
    pub node: String,
    /// End of the time that was measured.
    pub at: Timestamp,
    /// Length of that time.
    pub window: Duration,
    /// Its containers, by name.
    pub containers: Vec<ContainerUsage>,
}

/// What a container uses.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerUsage {
    /// Its name.
    pub name: String,
    /// CPU in billionths of a core, on average over the window.
    pub cpu: u64,
    /// Memory in bytes at the end of the window.
    pub memory: u64,
}

/// Pods in which nothing listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoApps;

impl Apps for NoApps {
    fn answer<'a>(
        &'a self,
        _namespace: &'a str,
        _pod: &'a str,
        _port: u16,
        _request: Request<Bytes>,
    ) -> BoxFuture<'a, Result<Response<Bytes>, String>> {
        Box::pin(async { Err("connection refused".to_owned()) })
    }
}
