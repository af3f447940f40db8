//! The applications inside the simulated pods.
//!
//! Owns: the seam through which port-forward, pod proxy and resource metrics reach them. Must not:
//! know pods.

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use jiff::Timestamp;

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

    /// Returns what the pods used at metrics-server's last look, those it has no sample of left out.
    fn usage(&self) -> Vec<PodUsage> {
        Vec::new()
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
