//! Plays a chapter against a cluster and writes down what it answered.
//!
//! Owns: sending, waiting, watching. Must not: judge; a transcript is compared by others.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use canaryctl::clock::Clock;
use futures::StreamExt;
use http::{Request, header};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, client::Body};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    chapter::{Chapter, Rows, Step},
    normal::{Names, unmarked},
};

/// How often an answer that is waited for is asked for.
const POLL: Duration = Duration::from_millis(100);
/// How long it is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long one answer may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A cluster to play on.
pub(crate) struct Stage {
    /// May do everything.
    pub(crate) client: Client,
    /// May do nothing; called `nobody`.
    pub(crate) stranger: Client,
    /// How time passes there.
    pub(crate) clock: Clock,
    /// The chapter's own namespace; it does not exist yet.
    pub(crate) namespace: String,
}

/// What a watch has brought so far.
#[derive(Default)]
struct Seen {
    events: Vec<Value>,
    taken: usize,
    over: bool,
}

/// One performance of a chapter.
struct Player<'a> {
    stage: &'a Stage,
    names: Names,
    kept: BTreeMap<String, String>,
    watches: BTreeMap<String, Arc<Mutex<Seen>>>,
    transcript: Vec<Value>,
}

/// An answer as it came.
struct Answer {
    status: u16,
    media: String,
    warnings: Vec<String>,
    body: Value,
}

/// Plays a chapter in a namespace that is made for it; returns the transcript.
pub(crate) async fn play(stage: &Stage, chapter: &Chapter) -> Result<Value, String> {
    let mut player = Player {
        stage,
        names: Names::new(&stage.namespace),
        kept: BTreeMap::from([("ns".to_owned(), stage.namespace.clone())]),
        watches: BTreeMap::new(),
        transcript: Vec::new(),
    };
    player.settle(chapter).await?;
    let mut outcome = Ok(());
    for step in &chapter.steps {
        outcome = player
            .step(step)
            .await
            .map_err(|why| format!("{}: {why}", step.say));
        if outcome.is_err() {
            break;
        }
    }
    player.leave().await;
    outcome.map(|()| Value::Array(player.transcript))
}

impl Player<'_> {
    /// Makes the namespace and waits for what every namespace has.
    async fn settle(&mut self, chapter: &Chapter) -> Result<(), String> {
        let create = Step {
            call: Some("POST /api/v1/namespaces".to_owned()),
            body: Some(json!({"metadata": {"name": "$ns"}})),
            ..Step::default()
        };
        let made = self.send(&create).await?;
        if made.status != 201 {
            return Err(format!("create the namespace: {}", made.body));
        }
        for path in ["serviceaccounts/default", "configmaps/kube-root-ca.crt"] {
            let wait = Step {
                call: Some(format!("GET /api/v1/namespaces/$ns/{path}")),
                until_status: Some(200),
                ..Step::default()
            };
            self.answer(&wait).await?;
        }
        let Some(scenario) = &chapter.scenario else {
            return Ok(());
        };
        let give = Step {
            call: Some("POST /api/v1/namespaces/$ns/configmaps".to_owned()),
            body: Some(
                json!({"metadata": {"name": "sim-scenario"}, "data": {"scenario.yaml": scenario.to_string()}}),
            ),
            ..Step::default()
        };
        self.send(&give).await.map(|_| ())
    }

    async fn leave(&self) {
        let gone = Step {
            call: Some("DELETE /api/v1/namespaces/$ns".to_owned()),
            ..Step::default()
        };
        // What cannot be deleted now is in nobody's way.
        self.send(&gone).await.ok();
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        if let Some(seconds) = step.pause {
            self.stage
                .clock
                .sleep(Duration::from_secs_f64(seconds))
                .await;
            return Ok(());
        }
        if let Some(name) = &step.take {
            let events = self.take(name, step).await?;
            let mut body = json!({"items": events});
            if step.rows.is_none() {
                body = body["items"].take();
            }
            let body = self.part(step, body);
            return self.note(step, json!({"events": body}));
        }
        if let Some(target) = &step.forward {
            let said = self.forward(target).await;
            let said = self.names.text(&said);
            return self.note(step, json!({"said": said}));
        }
        if let Some(name) = &step.watch {
            return self.watch(name, step).await;
        }
        let answer = self.answer(step).await?;
        for (name, pointer) in &step.keep {
            let value = answer.body.pointer(pointer);
            let value = value.ok_or_else(|| format!("no {pointer} in {}", answer.body))?;
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            self.kept.insert(name.clone(), text);
        }
        let mut entry = json!({"status": answer.status, "type": answer.media});
        if !answer.warnings.is_empty() {
            entry["warnings"] = answer.warnings.iter().map(|w| self.names.text(w)).collect();
        }
        entry["body"] = self.part(step, answer.body);
        self.note(step, entry)
    }

    fn note(&mut self, step: &Step, entry: Value) -> Result<(), String> {
        if step.silent {
            return Ok(());
        }
        let mut whole = json!({"step": step.say});
        if let Some(call) = &step.call {
            whole["call"] = json!(call);
        }
        if let Some(because) = &step.because {
            whole["because"] = json!(because);
        }
        for (field, value) in entry.as_object().ok_or("not an entry")? {
            whole[field] = self.names.number(value);
        }
        self.transcript.push(whole);
        Ok(())
    }

    /// Returns what of a body is compared.
    fn part(&mut self, step: &Step, body: Value) -> Value {
        let body = self.names.body(&body);
        if let Some(rows) = &step.rows {
            return table(&body, rows);
        }
        if step.only.is_empty() {
            return body;
        }
        let parts = step.only.iter();
        let parts = parts.map(|p| (p.clone(), body.pointer(p).cloned().unwrap_or_default()));
        Value::Object(parts.collect())
    }

    /// Sends a step's call, again and again if it waits for something.
    async fn answer(&self, step: &Step) -> Result<Answer, String> {
        let end = self.stage.clock.now() + PATIENCE;
        loop {
            let answer = self.send(step).await?;
            let reached = step
                .until_status
                .is_none_or(|status| status == answer.status)
                && self.holds(&step.until, &answer.body)
                && self.fills(step, &answer.body);
            if reached {
                return Ok(answer);
            }
            if self.stage.clock.now() > end {
                return Err(format!("not reached: {} {}", answer.status, answer.body));
            }
            self.stage.clock.sleep(POLL).await;
        }
    }

    /// Returns whether the table of a step has the rows that it waits for.
    fn fills(&self, step: &Step, body: &Value) -> bool {
        let (Some(wanted), Some(rows)) = (step.until_rows, &step.rows) else {
            return step.until_rows.is_none();
        };
        let shown = table(&self.names.clone().body(body), rows);
        shown["rows"].as_array().is_some_and(|r| r.len() >= wanted)
    }

    fn holds(&self, wanted: &BTreeMap<String, Value>, body: &Value) -> bool {
        wanted.iter().all(|(pointer, value)| {
            let is = body.pointer(pointer).unwrap_or(&Value::Null);
            match value.as_str() {
                Some(text) => is.as_str() == Some(self.fill(text).as_str()),
                None => is == value,
            }
        })
    }

    async fn send(&self, step: &Step) -> Result<Answer, String> {
        let request = self.request(step)?;
        let client = if step.stranger {
            &self.stage.stranger
        } else {
            &self.stage.client
        };
        let whole = async {
            let response = client
                .clone()
                .send(request)
                .await
                .map_err(|e| e.to_string())?;
            let (head, body) = response.into_parts();
            let bytes = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
            Ok::<_, String>((head, bytes))
        };
        let answered = self.stage.clock.timeout(DEADLINE, whole).await;
        let (head, bytes) = answered.map_err(|e| e.to_string())??;
        let text = |name: header::HeaderName| -> Vec<String> {
            let values = head.headers.get_all(name).iter();
            values
                .filter_map(|v| v.to_str().ok())
                .map(str::to_owned)
                .collect()
        };
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
        Ok(Answer {
            status: head.status.as_u16(),
            media: text(header::CONTENT_TYPE).join(", "),
            warnings: text(header::WARNING),
            body,
        })
    }

    fn request(&self, step: &Step) -> Result<Request<Body>, String> {
        let call = self.fill(step.call.as_deref().ok_or("nothing to call")?);
        let (method, path) = call.split_once(' ').ok_or("a call is METHOD PATH")?;
        let body = match (&step.body, &step.text) {
            (Some(body), _) => self.filled(body).to_string(),
            (None, Some(text)) => self.fill(text),
            (None, None) => String::new(),
        };
        let media = match step.media.as_deref().unwrap_or("json") {
            "json" => "application/json",
            "yaml" => "application/yaml",
            "merge" => "application/merge-patch+json",
            "patch" => "application/json-patch+json",
            "strategic" => "application/strategic-merge-patch+json",
            other => other,
        };
        let accept = match step.accept.as_deref().unwrap_or("json") {
            "json" => "application/json",
            "table" => "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
            "partial" => {
                if method == "GET" && !path.contains("watch=") && step.until_status.is_none() {
                    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
                } else {
                    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
                }
            }
            other => other,
        };
        let agent = step.agent.as_deref().unwrap_or("parity");
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, accept)
            .header(header::USER_AGENT, format!("{agent}/1.0"));
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, media);
        }
        for (name, value) in &step.headers {
            request = request.header(name, value);
        }
        request
            .body(Body::from(body.into_bytes()))
            .map_err(|e| e.to_string())
    }

    async fn watch(&mut self, name: &str, step: &Step) -> Result<(), String> {
        let request = self.request(step)?;
        let client = self.stage.client.clone();
        let response = client.send(request).await.map_err(|e| e.to_string())?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        self.watches.insert(name.to_owned(), seen.clone());
        let (head, body) = response.into_parts();
        let media = head.headers.get(header::CONTENT_TYPE);
        let media = media.and_then(|m| m.to_str().ok()).unwrap_or_default();
        let entry = json!({"status": head.status.as_u16(), "type": media});
        tokio::spawn(async move {
            let mut stream = body.into_data_stream();
            let mut rest: Vec<u8> = Vec::new();
            while let Some(Ok(data)) = stream.next().await {
                rest.extend_from_slice(&data);
                while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    let event = serde_json::from_slice(&line).unwrap_or_default();
                    seen.lock().unwrap().events.push(event);
                }
            }
            seen.lock().unwrap().over = true;
        });
        self.note(step, entry)
    }

    /// Waits for events of a watch.
    async fn take(&self, name: &str, step: &Step) -> Result<Vec<Value>, String> {
        let seen = self.watches.get(name).ok_or("no such watch")?;
        let end = self.stage.clock.now() + PATIENCE;
        loop {
            {
                let mut seen = seen.lock().unwrap();
                let fresh = &seen.events[seen.taken..];
                let enough = if step.until.is_empty() {
                    step.count.filter(|count| fresh.len() >= *count)
                } else {
                    let hit = fresh.iter().position(|e| self.holds(&step.until, e));
                    hit.map(|at| at + 1)
                };
                let whole = seen.over && step.count.is_none() && step.until.is_empty();
                if let Some(count) = enough.or(whole.then_some(fresh.len())) {
                    let events = fresh[..count].to_vec();
                    seen.taken += count;
                    return Ok(events);
                }
                if self.stage.clock.now() > end {
                    return Err(format!("only these events: {}", json!(fresh)));
                }
            }
            self.stage.clock.sleep(POLL).await;
        }
    }

    /// Asks for a port and returns what was said on it, or what refused it.
    async fn forward(&self, target: &str) -> String {
        let target = self.fill(target);
        let (pod, port) = target.split_once(':').unwrap();
        let port: u16 = port.parse().unwrap();
        let pods: Api<Pod> = Api::namespaced(self.stage.client.clone(), &self.stage.namespace);
        let mut forward = match pods.portforward(pod, &[port]).await {
            Ok(forward) => forward,
            Err(error) => return format!("refused: {error}"),
        };
        let error = forward.take_error(port).unwrap();
        let mut stream = forward.take_stream(port).unwrap();
        let ask = b"GET /nowhere HTTP/1.1\r\nhost: pod\r\nconnection: close\r\n\r\n";
        let mut said = Vec::new();
        // A refused port closes at any moment; the error channel says why.
        stream.write_all(ask).await.ok();
        stream.read_to_end(&mut said).await.ok();
        drop(stream);
        if !said.is_empty() {
            let said = String::from_utf8_lossy(&said).into_owned();
            return format!("answered: {}", said.lines().next().unwrap_or_default());
        }
        let error = self
            .stage
            .clock
            .timeout(Duration::from_secs(10), error)
            .await;
        let error = error.ok().flatten().unwrap_or_default();
        // The words before are those of the container runtime.
        let why = error.trim_end().rsplit(": ").next().unwrap_or_default();
        format!("error: {why}")
    }

    fn fill(&self, text: &str) -> String {
        // The longest name first: `$pod2` is not `$pod` and a 2.
        let mut names: Vec<(&String, &String)> = self.kept.iter().collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        names
            .into_iter()
            .fold(text.to_owned(), |text, (name, value)| {
                text.replace(&format!("${name}"), value)
            })
    }

    fn filled(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => json!(self.fill(text)),
            Value::Array(items) => items.iter().map(|v| self.filled(v)).collect(),
            Value::Object(map) => {
                let map = map.iter().map(|(k, v)| (k.clone(), self.filled(v)));
                Value::Object(map.collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }
}

/// Returns the columns of the items of a list, one text for each item.
fn table(body: &Value, rows: &Rows) -> Value {
    let items = body.pointer(&rows.of).and_then(Value::as_array);
    let cell = |item: &Value, pointer: &String| match item.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "-".to_owned(),
    };
    let lines = items.into_iter().flatten().map(|item| {
        let cells: Vec<String> = rows.columns.iter().map(|c| cell(item, c)).collect();
        cells.join(" | ")
    });
    let mut lines: Vec<String> = lines.collect();
    if rows.set {
        lines.sort_by_cached_key(|line| unmarked(line));
    }
    if rows.set || rows.changes {
        lines.dedup();
    }
    json!({"columns": rows.columns.join(" | "), "rows": lines})
}
