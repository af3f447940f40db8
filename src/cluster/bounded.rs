//! How much the API server may say.
//!
//! Owns: the limits on answers and on events of a watch, and counting against them while an answer is
//! read. Must not: look into what is said. Every [`super::Cluster`] puts it in front of its client,
//! wherever that comes from: what never ends costs memory, and a process that is killed for it leaves a
//! split without a driver.

use std::{
    error::Error,
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use kube::{Client, client::Body};
use tower::{BoxError, Service};

/// Largest answer of the API server that is read. A list of 5,000 pods is a quarter of it.
pub const LARGEST_ANSWER: usize = 64 << 20;

/// Largest event of a watch. An object is 1.5 MiB at most: etcd takes no larger one.
pub const LARGEST_EVENT: usize = 8 << 20;

/// Indicates that more came than is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge {
    limit: Limit,
}

/// What is counted against which number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    /// All bytes of an answer.
    Answer,
    /// The bytes from one line's end to the next.
    Event,
}

impl Limit {
    fn bytes(self) -> usize {
        match self {
            Self::Answer => LARGEST_ANSWER,
            Self::Event => LARGEST_EVENT,
        }
    }
}

impl TooLarge {
    /// Returns the excess behind an error, however deep it is wrapped.
    pub fn behind(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut at = Some(error);
        while let Some(error) = at {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(*found);
            }
            // The source of such an error is that of what it wraps, not what it wraps.
            let within = error.downcast_ref::<io::Error>().and_then(|e| e.get_ref());
            at = match within {
                Some(within) => Some(within),
                None => error.source(),
            };
        }
        None
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.limit {
            Limit::Answer => "the answer",
            Limit::Event => "an event of the watch",
        };
        let limit = self.limit.bytes() >> 20;
        write!(f, "{what} is larger than the limit of {limit} MiB")
    }
}

impl Error for TooLarge {}

/// Returns a client that reads no more than the limits of every answer.
///
/// Must be called inside a tokio runtime.
pub fn bounded(client: Client) -> Client {
    let namespace = client.default_namespace().to_owned();
    Client::new(Bounded { client }, namespace)
}

/// A client with the limits in front.
struct Bounded {
    client: Client,
}

impl Service<Request<Body>> for Bounded {
    type Response = Response<Counted>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let query = request.uri().query().unwrap_or_default();
        let mut pairs = query.split('&');
        let limit = if pairs.any(|p| p == "watch=true" || p == "watch=1") {
            Limit::Event
        } else {
            Limit::Answer
        };
        let client = self.client.clone();
        Box::pin(async move {
            let answer = client.send(request).await?;
            Ok(answer.map(|body| Counted {
                body,
                limit,
                read: 0,
            }))
        })
    }
}

/// A body that ends with an error once it is larger than its limit.
struct Counted {
    body: Body,
    limit: Limit,
    /// Bytes read of what is counted now.
    read: usize,
}

impl Counted {
    /// Counts a piece; says whether it is still within the limit.
    fn count(&mut self, piece: &[u8]) -> Result<(), TooLarge> {
        let limit = self.limit;
        let fits = |read: usize| {
            if read > limit.bytes() {
                Err(TooLarge { limit })
            } else {
                Ok(())
            }
        };
        match limit {
            Limit::Answer => self.read = self.read.saturating_add(piece.len()),
            Limit::Event => {
                let mut lines = piece.split(|byte| *byte == b'\n');
                if let Some(first) = lines.next() {
                    self.read = self.read.saturating_add(first.len());
                }
                for line in lines {
                    fits(self.read)?;
                    self.read = line.len();
                }
            }
        }
        fits(self.read)
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            Some(Ok(frame)) => frame,
        };
        if let Some(piece) = frame.data_ref()
            && let Err(excess) = self.count(piece)
        {
            // Nothing more of it is read: the connection ends with the body.
            self.body = Body::empty();
            return Poll::Ready(Some(Err(excess.into())));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(limit: Limit) -> Counted {
        Counted {
            body: Body::empty(),
            limit,
            read: 0,
        }
    }

    #[test]
    fn all_of_an_answer_counts() {
        let mut body = counted(Limit::Answer);
        let half = vec![b'\n'; LARGEST_ANSWER / 2];
        assert_eq!(body.count(&half), Ok(()));
        assert_eq!(body.count(&half), Ok(()));
        let excess = body.count(b"x").unwrap_err();
        assert_eq!(
            excess.to_string(),
            "the answer is larger than the limit of 64 MiB"
        );
    }

    #[test]
    fn of_a_watch_each_event_counts_alone() {
        let mut body = counted(Limit::Event);
        let event = vec![b'x'; LARGEST_EVENT - 1];
        for _ in 0..3 {
            assert_eq!(body.count(&event), Ok(()));
            assert_eq!(body.count(b"x\n"), Ok(()));
        }
        assert_eq!(body.count(&event), Ok(()));
        let excess = body.count(b"xx\n{}").unwrap_err();
        assert_eq!(
            excess.to_string(),
            "an event of the watch is larger than the limit of 8 MiB"
        );
    }

    #[test]
    fn an_excess_is_found_however_deep_it_is() {
        let excess = TooLarge {
            limit: Limit::Answer,
        };
        let io = io::Error::other(kube::Error::Service(excess.into()));
        let error = kube::Error::ReadEvents(io);
        assert_eq!(TooLarge::behind(&error), Some(excess));
        let other = kube::Error::ReadEvents(io::Error::other("broken"));
        assert_eq!(TooLarge::behind(&other), None);
    }
}
