//! What time the API server says it is.
//!
//! Owns: noting the date of its answers, and how far the clocks of this machine and of this process are
//! from it. Must not: ask for it: every answer brings it.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response, header};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use kube::{Client, client::Body};

use super::Cluster;
use crate::clock::Clock;

/// Clocks that are no further apart agree: an answer takes its time, and its date has whole seconds.
pub const SKEW: SignedDuration = SignedDuration::from_secs(30);

/// The latest date of an answer, with what our own counter said then.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerTime(Arc<Mutex<Option<(Timestamp, std::time::Duration)>>>);

impl ServerTime {
    /// Returns the same client, whose answers are looked at for their date.
    pub(super) fn listening(&self, client: Client, clock: &Clock) -> Client {
        let namespace = client.default_namespace().to_owned();
        let (this, clock) = (self.clone(), clock.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (client, this, clock) = (client.clone(), this.clone(), clock.clone());
            async move {
                let answer = client.send(request).await?;
                this.note(&answer, &clock);
                Ok::<_, kube::Error>(answer)
            }
        });
        Client::new(service, namespace)
    }

    fn note(&self, answer: &Response<Body>, clock: &Clock) {
        let date = answer.headers().get(header::DATE);
        let date = date.and_then(|date| date.to_str().ok());
        if let Some(date) = date.and_then(parse) {
            let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *latest = Some((date, clock.uptime()));
        }
    }

    fn now(&self, clock: &Clock) -> Option<Timestamp> {
        let (date, at) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let since = SignedDuration::try_from(clock.uptime().saturating_sub(at)).ok()?;
        date.checked_add(since).ok()
    }
}

fn parse(date: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(date).ok()
}

impl Cluster {
    /// Returns the present moment by the API server's clock; `None` before an answer told it.
    pub fn server_now(&self) -> Option<Timestamp> {
        self.server_time.now(&self.clock)
    }

    /// Returns how far this machine's clock is ahead of the API server's, where it is known.
    pub fn clock_ahead(&self) -> Option<SignedDuration> {
        let server = self.server_now()?;
        Some(self.clock.wall().duration_since(server))
    }

    /// Has this process go by the API server's clock where its own is off, so that what it writes down
    /// and what it reads of pods is on one timeline, whichever machine it runs on. For a run that has
    /// not begun.
    pub fn go_by_server(&self) {
        let Some(server) = self.server_now() else {
            return;
        };
        if self.clock.now().duration_since(server).abs() > SKEW {
            self.clock.go_by(server);
        }
    }
}

/// Says how far a clock that is `ahead` is off; `None` where it agrees.
pub fn off(ahead: SignedDuration) -> Option<String> {
    if ahead.abs() <= SKEW {
        return None;
    }
    let apart = std::time::Duration::from_secs(ahead.unsigned_abs().as_secs());
    let apart = humantime::format_duration(apart);
    let which = if ahead.is_negative() {
        "behind"
    } else {
        "ahead of"
    };
    Some(format!(
        "this machine's clock is {apart} {which} the API server's"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_half_a_minute_apart_agree() {
        let said = |seconds| off(SignedDuration::from_secs(seconds));
        assert_eq!(said(30), None);
        assert_eq!(said(-30), None);
        let ahead = "this machine's clock is 31m ahead of the API server's";
        assert_eq!(said(31 * 60).unwrap(), ahead);
        let behind = "this machine's clock is 1m 31s behind the API server's";
        assert_eq!(said(-91).unwrap(), behind);
    }

    #[test]
    fn the_date_of_an_answer_is_understood() {
        let date = parse("Mon, 05 Jan 2026 09:00:00 GMT").unwrap();
        assert_eq!(date.to_string(), "2026-01-05T09:00:00Z");
        assert_eq!(parse("yesterday"), None);
    }
}
