//! Watches: the change log as a stream of events.
//!
//! Owns: where a watch starts, what it shows, when it ends. Must not: change anything. The stream
//! is pulled by the connection, so it ends when the client goes away.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream;
use http::Response;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    Server, convert,
    objects::metadata_of,
    options,
    reply::{self, Out},
    request::{Call, Shape},
    resources::Target,
    select::Selector,
    table,
    validate::Cause,
};
use crate::sim::store::{Change, ChangeKind, Refusal, Store};

/// How long a watch lasts when the client names no limit; the real server picks 30 to 60 minutes.
const USUAL_LIMIT: i64 = 45 * 60;

/// Time between two bookmarks.
const BOOKMARK_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// How long before its end a watch is given a last bookmark.
const BEFORE_END: SignedDuration = SignedDuration::from_secs(2);

/// One watch in progress.
struct Watch {
    store: Store,
    changed: watch::Receiver<u64>,
    target: Target,
    selector: Selector,
    shape: Shape,
    call: Arc<Call>,
    /// Version up to which the client knows everything.
    seen: u64,
    ready: VecDeque<Bytes>,
    /// A table names its columns once.
    headed: bool,
    over: bool,
    end: Timestamp,
    bookmark: Option<Timestamp>,
}

/// Answers a watch.
pub(crate) fn answer(
    server: &Server,
    target: &Target,
    call: &Arc<Call>,
) -> Result<Response<Out>, Refusal> {
    let selector = Selector::of(call, &target.resource)?;
    let from = match call.query("resourceVersion").unwrap_or_default() {
        "" => 0,
        text => text.parse::<u64>().map_err(|_| {
            Refusal::new(500, "", format!("resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"))
        })?,
    };
    if call.query("sendInitialEvents").is_some() && call.query("resourceVersionMatch").is_none() {
        return Err(options::refuse_list(Cause::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        )));
    }
    let limit = call.query("timeoutSeconds").and_then(|t| t.parse().ok());
    let store = server.store().clone();
    let now = store.clock().now();
    let end = now + SignedDuration::from_secs(limit.unwrap_or(USUAL_LIMIT));
    let bookmarks = call.flag("allowWatchBookmarks");
    let mut watch = Watch {
        // Subscribe first: what changes from here on wakes the watch.
        changed: store.subscribe(),
        store,
        target: target.clone(),
        selector,
        shape: call.shape(),
        call: call.clone(),
        seen: from,
        ready: VecDeque::new(),
        headed: false,
        over: false,
        end,
        bookmark: bookmarks.then(|| next_bookmark(now, end)),
    };
    let initial = match call.query("sendInitialEvents") {
        Some(_) => call.flag("sendInitialEvents"),
        None => from == 0,
    };
    if initial {
        watch.send_present();
    } else if from == 0 {
        watch.seen = watch.store.version();
    }
    if initial && bookmarks && call.flag("sendInitialEvents") {
        watch.send_bookmark(true);
    }
    let lines = stream::unfold(watch, |mut watch| async move {
        watch.next().await.map(|line| (line, watch))
    });
    Ok(reply::stream(lines))
}

/// Returns when a bookmark is due: after a minute, or shortly before the end.
fn next_bookmark(now: Timestamp, end: Timestamp) -> Timestamp {
    let before = end - BEFORE_END;
    let usual = now + BOOKMARK_EVERY;
    if before > now {
        usual.min(before)
    } else {
        usual
    }
}

impl Watch {
    /// Returns the next event; `None` at the end of the watch.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.over {
                return None;
            }
            self.changed.mark_unchanged();
            self.read();
            if !self.ready.is_empty() {
                continue;
            }
            let now = self.store.clock().now();
            if now >= self.end {
                return None;
            }
            if self.bookmark.is_some_and(|at| now >= at) {
                self.send_bookmark(false);
                self.bookmark = Some(next_bookmark(now, self.end));
                continue;
            }
            let wake = self.bookmark.map_or(self.end, |at| at.min(self.end));
            let wait = Duration::try_from(wake.duration_since(now)).unwrap_or_default();
            tokio::select! {
                biased;
                changed = self.changed.changed() => if changed.is_err() { self.over = true },
                // A little more than needed, so that rounding does not wake us early for ever.
                () = self.store.clock().sleep(wait + Duration::from_millis(1)) => {}
            }
        }
    }

    /// Turns new entries of the change log into events.
    fn read(&mut self) {
        match self.store.changes_after(self.seen) {
            Ok(changes) => {
                for change in changes {
                    self.seen = change.version;
                    self.show(&change);
                }
            }
            Err(floor) => {
                let expired = Refusal::new(
                    410,
                    "Expired",
                    format!("too old resource version: {} ({floor})", self.seen),
                );
                self.push("ERROR", &reply::status_of(&expired));
                self.over = true;
            }
        }
    }

    fn show(&mut self, change: &Change) {
        let place = self.target.key();
        let named = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        if change.key.group != place.group
            || change.key.resource != place.resource
            || !named(&place.namespace, &change.key.namespace)
            || !named(&place.name, &change.key.name)
        {
            return;
        }
        // An object that walks in or out of the selection appears or disappears.
        let is = change.kind != ChangeKind::Deleted && self.selector.matches(&change.object);
        let before = change.before.as_deref();
        let was = before.is_some_and(|b| self.selector.matches(b));
        match (was, is) {
            (false, true) => self.push_object("ADDED", &change.object),
            (true, true) => self.push_object("MODIFIED", &change.object),
            (true, false) => {
                // The client is shown what it knew, at the version of the change.
                let mut last = before.cloned().unwrap_or_default();
                last["metadata"]["resourceVersion"] =
                    change.object["metadata"]["resourceVersion"].clone();
                self.push_object("DELETED", &last);
            }
            (false, false) => {}
        }
    }

    /// Shows what exists, as a watch without a version starts.
    fn send_present(&mut self) {
        let key = self.target.key();
        let (objects, version) = self.store.list(&key.group, &key.resource, &key.namespace);
        for object in &objects {
            let named = key.name.is_empty() || object["metadata"]["name"] == key.name.as_str();
            if named && self.selector.matches(object) {
                self.push_object("ADDED", object);
            }
        }
        self.seen = version;
    }

    fn send_bookmark(&mut self, ends_initial: bool) {
        let mut meta = json!({"resourceVersion": self.seen.to_string()});
        if ends_initial {
            meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = json!({"kind": self.target.resource.kind, "apiVersion": self.target.api_version(), "metadata": meta});
        match self.shape {
            Shape::Object => self.push("BOOKMARK", &object),
            Shape::Metadata => self.push("BOOKMARK", &metadata_of(&object)),
            Shape::Table => self.push_row("BOOKMARK", object),
        }
    }

    fn push_object(&mut self, kind: &str, kept: &Value) {
        let seen = convert::outward(&self.target, kept);
        match self.shape {
            Shape::Object => self.push(kind, &seen),
            Shape::Metadata => self.push(kind, &metadata_of(&seen)),
            Shape::Table => self.push_row(kind, seen),
        }
    }

    fn push_row(&mut self, kind: &str, seen: Value) {
        let meta = json!({"resourceVersion": seen["metadata"]["resourceVersion"]});
        let now = self.store.clock().now();
        let mut table = table::render(&self.target, &[seen], &self.call, now, &meta);
        if self.headed {
            table["columnDefinitions"] = Value::Null;
        }
        self.headed = true;
        self.push(kind, &table);
    }

    fn push(&mut self, kind: &str, object: &Value) {
        let line = format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
        self.ready.push_back(line.into());
    }
}
