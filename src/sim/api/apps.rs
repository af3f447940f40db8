//! The applications inside the simulated pods.
//!
//! Owns: the seam through which port-forward and pod proxy reach them. Must not: know pods.

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};

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
