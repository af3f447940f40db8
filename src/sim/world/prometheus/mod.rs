//! A Prometheus in every pod that runs the image of one.
//!
//! Owns: its rounds of scrapes and alerts, what it keeps, its HTTP API. Must not: count requests;
//! it knows what the pods answer, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;

use self::{
    scrape::{Target, scraped},
    storage::{Labels, NAME, Samples, Storage},
};
use super::{
    State,
    kubelet::{Kubelet, PodName},
    pass::later,
    pod::Program,
};
use crate::sim::{
    scenario::{Alert, Answering},
    store::Store,
};

mod api;
mod eval;
mod functions;
mod lexer;
mod parser;
mod query;
mod scrape;
mod storage;
#[cfg(test)]
mod tests;
mod text;

const SECOND: Duration = Duration::from_secs(1);

/// The port it listens on.
pub(super) const PORT: u16 = 9090;

/// All of them: they differ only in how long they have been there.
#[derive(Debug, Clone, Default)]
pub(super) struct Prometheus {
    /// How they answer.
    pub(super) answering: Answering,
    next: Option<Timestamp>,
    /// When it was last seen to whose turn it was.
    turned: Option<Timestamp>,
    servers: BTreeMap<PodName, Server>,
}

/// One of them.
#[derive(Clone, Default)]
struct Server {
    uid: String,
    storage: Storage,
    /// The series that the last scrape of each target gave.
    targets: BTreeMap<Labels, Vec<Labels>>,
    /// The alerts that fire, each with the moment it began.
    alerts: Vec<Firing>,
}

impl fmt::Debug for Server {
    /// Leaves the series out: which there are follows from the pods.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("uid", &self.uid)
            .field("storage", &self.storage)
            .field("targets", &self.targets.len())
            .field("alerts", &self.alerts)
            .finish()
    }
}

/// An alert that fires.
#[derive(Debug, Clone, PartialEq)]
struct Firing {
    labels: Labels,
    since: Timestamp,
}

/// Returns which container of a pod is a Prometheus.
pub(super) fn container_of(pod: &Value) -> Option<usize> {
    let containers = pod["spec"]["containers"].as_array()?;
    containers
        .iter()
        .position(|c| c["image"].as_str().is_some_and(is_image))
}

/// Returns whether an image is that of Prometheus, of any registry and version.
fn is_image(image: &str) -> bool {
    let named = image.split('@').next().unwrap_or_default();
    // A colon before the last slash is that of the registry's port.
    let tagged = named.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
    let repository = tagged.map_or(named, |(repository, _)| repository);
    ["prom/prometheus", "prometheus/prometheus"]
        .iter()
        .any(|path| repository == *path || repository.ends_with(&format!("/{path}")))
}

impl State {
    /// Lets every Prometheus scrape those whose turn it is. Each target has its own moment within the interval, as with
    /// a real one: at no moment are all pods seen at once.
    pub(super) fn scrape(&mut self, store: &Store, now: Timestamp) {
        let began = self.traffic.began;
        let next = *self.prometheus.next.get_or_insert(began);
        if now < next {
            return;
        }
        let since = self.prometheus.turned.replace(now);
        self.prometheus.next = Some(after(next, now));
        if !self.prometheus.keep(&self.kubelet) || self.prometheus.answering == Answering::Down {
            return;
        }
        let every = self.scenario.prometheus.every.0;
        let turn = Turn {
            began,
            since,
            now,
            every,
        };
        let found: Vec<(Target, Found)> = scrape::targets(store, &self.kubelet)
            .into_iter()
            .map(|target| {
                if !turn.is_of(target.offset()) {
                    return (target, Found::Earlier);
                }
                let (namespace, name) = &target.pod;
                let answer = self.ask(namespace, name, target.port, (&target.request, now));
                let samples = answer.ok().and_then(|answer| scraped(&answer));
                (target, samples.map_or(Found::Nothing, Found::Samples))
            })
            .collect();
        let alerts = firing(&self.scenario.prometheus.alerts, began, now);
        let alerts = turn.is_of(0).then_some(alerts);
        for (name, server) in &mut self.prometheus.servers {
            let running = self.kubelet.pods.get(name);
            if running.is_some_and(|pod| {
                !pod.unreachable && pod.app().is_some_and(|c| c.running_since().is_some())
            }) {
                server.round(&found, alerts.as_deref(), now.as_millisecond());
            }
        }
    }
}

/// What a round found of a target.
enum Found {
    /// It was not its turn: what was found before holds.
    Earlier,
    /// It did not answer with a page of metrics.
    Nothing,
    Samples(Samples),
}

/// The time since the round before.
struct Turn {
    began: Timestamp,
    since: Option<Timestamp>,
    now: Timestamp,
    every: Duration,
}

impl Turn {
    /// Returns whether it is the turn of who is scraped so many seconds after each beginning of an interval.
    fn is_of(&self, offset: u32) -> bool {
        let every = i128::try_from(self.every.as_millis()).unwrap_or(1).max(1);
        let offset = i128::from(offset) * 1000 % every;
        let number = |at: Timestamp| {
            let passed = at.duration_since(self.began).as_millis();
            (passed - offset).div_euclid(every)
        };
        let before = self.since.map_or(-1, number);
        number(self.now) > before
    }
}

/// Returns the first moment after `now` of those that are whole seconds apart.
fn after(mut next: Timestamp, now: Timestamp) -> Timestamp {
    while next <= now {
        next = later(next, SECOND);
    }
    next
}

/// Returns the alerts of a scenario that fire now.
fn firing(alerts: &[Alert], began: Timestamp, now: Timestamp) -> Vec<Firing> {
    let fires = |alert: &&Alert| {
        let ended = alert
            .until
            .is_some_and(|until| later(began, until.0) <= now);
        later(began, alert.from.0) <= now && !ended
    };
    alerts
        .iter()
        .filter(fires)
        .map(|alert| {
            let mut labels: Labels = alert.labels.clone();
            labels.insert("alertname".to_owned(), alert.name.clone());
            let since = later(began, alert.from.0);
            Firing { labels, since }
        })
        .collect()
}

impl Prometheus {
    /// Notices pods that came and went; returns whether there is any.
    fn keep(&mut self, kubelet: &Kubelet) -> bool {
        self.servers
            .retain(|name, server| kubelet.pods.get(name).is_some_and(|p| p.uid == server.uid));
        for (name, pod) in kubelet
            .pods
            .iter()
            .filter(|(_, pod)| pod.program == Program::Prometheus)
        {
            if !self.servers.contains_key(name) {
                let server = Server {
                    uid: pod.uid.clone(),
                    ..Server::default()
                };
                self.servers.insert(name.clone(), server);
            }
        }
        !self.servers.is_empty()
    }
}

impl Server {
    /// Keeps what a round found; series that are no longer there end.
    fn round(&mut self, found: &[(Target, Found)], alerts: Option<&[Firing]>, at: i64) {
        let mut before = std::mem::take(&mut self.targets);
        for (target, found) in found {
            let (up, samples) = match found {
                Found::Earlier => {
                    if let Some(series) = before.remove(&target.labels) {
                        self.targets.insert(target.labels.clone(), series);
                    }
                    continue;
                }
                Found::Nothing => (false, &[][..]),
                Found::Samples(samples) => (true, samples.as_slice()),
            };
            let mut own = Vec::with_capacity(samples.len() + 2);
            for (labels, value) in samples {
                let labels = scrape::joined(&target.labels, labels);
                self.storage.append(labels.clone(), at, *value);
                own.push(labels);
            }
            let count = f64::from(u32::try_from(samples.len()).unwrap_or(u32::MAX));
            let about = [
                ("up", f64::from(u8::from(up))),
                ("scrape_samples_scraped", count),
            ];
            for (name, value) in about {
                let mut labels = target.labels.clone();
                labels.insert(NAME.to_owned(), name.to_owned());
                self.storage.append(labels.clone(), at, value);
                own.push(labels);
            }
            let earlier = before.remove(&target.labels).unwrap_or_default();
            self.end(&earlier, &own, at);
            self.targets.insert(target.labels.clone(), own);
        }
        for series in before.values() {
            self.end(series, &[], at);
        }
        if let Some(alerts) = alerts {
            self.evaluate(alerts, at);
        }
        self.storage.trim(at);
    }

    /// Keeps which alerts fire.
    fn evaluate(&mut self, alerts: &[Firing], at: i64) {
        let shown = |alerts: &[Firing]| alerts.iter().map(series_of).collect::<Vec<_>>();
        let (earlier, own) = (shown(&self.alerts), shown(alerts));
        for labels in &own {
            self.storage.append(labels.clone(), at, 1.0);
        }
        self.end(&earlier, &own, at);
        self.alerts = alerts.to_vec();
    }

    fn end(&mut self, earlier: &[Labels], own: &[Labels], at: i64) {
        let own: BTreeSet<&Labels> = own.iter().collect();
        for gone in earlier.iter().filter(|labels| !own.contains(labels)) {
            self.storage.end(gone, at);
        }
    }
}

/// Returns the labels of the series `ALERTS` of an alert.
fn series_of(alert: &Firing) -> Labels {
    let mut labels = alert.labels.clone();
    labels.insert(NAME.to_owned(), "ALERTS".to_owned());
    labels.insert("alertstate".to_owned(), "firing".to_owned());
    labels
}
