//! What the API server sends, held against what it sent before.
//!
//! Owns: reading an answer while comparing it, so that what is the same is neither stored nor taken
//! apart again, and the items of a list one by one. Must not: skip a request, or know kinds.

use std::{ops::Range, pin::pin};

use futures::{AsyncBufRead, AsyncBufReadExt};
use http::Request;
use kube::Client;
use serde::de::{DeserializeOwned, IgnoredAny};

/// Where the version of a list stands: the first one in the text is its own.
const VERSION: &str = "\"resourceVersion\":\"";

/// How far the version of a list is looked for: it stands in the first few hundred bytes.
const HEAD: usize = 64 << 10;

/// Where the items of a list begin, as API servers write it.
const ITEMS: &str = "\"items\":[";

/// What may differ in an answer that still says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Apart {
    /// Nothing.
    Nothing,
    /// The version of a list, which moves with everything in the cluster.
    ListVersion,
}

/// Sends a read and returns its answer; `None` where that is the same as `before`, byte by byte, but
/// for what may stand `apart`.
pub(super) async fn text_unless(
    client: &Client,
    request: Request<Vec<u8>>,
    before: &str,
    apart: Apart,
) -> Result<Option<String>, kube::Error> {
    let mut body = pin!(client.request_stream(request).await?);
    let mut comparing = Comparing::new(before, apart);
    loop {
        let chunk = body.fill_buf().await.map_err(kube::Error::ReadEvents)?;
        if chunk.is_empty() {
            break;
        }
        comparing.take(chunk);
        let length = chunk.len();
        AsyncBufRead::consume(body.as_mut(), length);
    }
    let text = comparing.end().map(String::from_utf8).transpose();
    let text = text.map_err(kube::Error::FromUtf8)?;
    // What is no JSON, such as a proxy's login page, is no answer: it is asked for again as any other.
    if let Some(text) = &text {
        serde_json::from_str::<IgnoredAny>(text).map_err(kube::Error::SerdeError)?;
    }
    Ok(text)
}

/// An answer that is being read.
struct Comparing<'a> {
    before: &'a str,
    /// What was read, but for what is the same.
    text: Vec<u8>,
    state: State,
}

enum State {
    /// Looking for the version of the list.
    Head,
    /// All so far is the same up to these bytes of what was before, from those on.
    Same(Range<usize>),
    /// Something is different, or there was nothing before.
    Other,
}

impl<'a> Comparing<'a> {
    fn new(before: &'a str, apart: Apart) -> Self {
        let state = match apart {
            _ if before.is_empty() => State::Other,
            Apart::Nothing => State::Same(0..0),
            Apart::ListVersion => State::Head,
        };
        Self {
            before,
            text: Vec::new(),
            state,
        }
    }

    fn take(&mut self, chunk: &[u8]) {
        match &mut self.state {
            State::Other => self.text.extend_from_slice(chunk),
            State::Same(same) => {
                let rest = &self.before.as_bytes()[same.end..];
                if rest.starts_with(chunk) {
                    same.end += chunk.len();
                } else {
                    let same = same.clone();
                    self.text.extend_from_slice(&self.before.as_bytes()[same]);
                    self.text.extend_from_slice(chunk);
                    self.state = State::Other;
                }
            }
            State::Head => {
                // What follows the version is nearly all: it is held against what was, not stored.
                let held = self.text.len();
                let found = if held == 0 {
                    version(chunk)
                } else {
                    self.text.extend_from_slice(chunk);
                    version(&self.text)
                };
                let Some(now) = found else {
                    if held == 0 {
                        self.text.extend_from_slice(chunk);
                    }
                    if self.text.len() > HEAD {
                        self.state = State::Other;
                    }
                    return;
                };
                let (start, rest) = chunk.split_at(now.end - held);
                self.text.truncate(held);
                self.text.extend_from_slice(start);
                let before = version(self.before.as_bytes());
                let same = before
                    .filter(|then| self.before.as_bytes()[..then.start] == self.text[..now.start]);
                self.state = match same {
                    Some(then) => State::Same(then.end..then.end),
                    None => State::Other,
                };
                self.take(rest);
            }
        }
    }

    /// Returns the answer, unless it is the same.
    fn end(mut self) -> Option<Vec<u8>> {
        match self.state {
            State::Same(same) if same.end == self.before.len() => None,
            State::Same(same) => {
                self.text.extend_from_slice(&self.before.as_bytes()[same]);
                Some(self.text)
            }
            State::Head if self.text == self.before.as_bytes() => None,
            State::Head | State::Other => Some(self.text),
        }
    }
}

/// Returns where the version of a list stands, once it has been read whole.
fn version(text: &[u8]) -> Option<Range<usize>> {
    let mut windows = text.windows(VERSION.len());
    let start = windows.position(|bytes| bytes == VERSION.as_bytes())? + VERSION.len();
    let length = text[start..].iter().position(|byte| *byte == b'"')?;
    Some(start..start + length)
}

/// Items of a list with the text each was read from; cheap to look up, not to clone.
#[derive(Debug)]
pub(super) struct Items<T> {
    pub(super) all: Vec<T>,
    places: Vec<Range<usize>>,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            places: Vec::new(),
        }
    }
}

impl<T> Items<T> {
    /// Returns items that were read as a whole: none stands in a text.
    pub(super) fn whole(all: Vec<T>) -> Self {
        Self {
            all,
            places: Vec::new(),
        }
    }
}

impl<T: DeserializeOwned + Clone> Items<T> {
    /// Takes the items of a list apart; those that stand letter by letter in the text `before` are taken
    /// from there. `None` where the list is written in another way than API servers do, or an item
    /// cannot be understood: then it has to be read as a whole.
    pub(super) fn read(sent: &str, before: (&str, &Self)) -> Option<Self> {
        let (text, known) = before;
        let mut known = known.places.iter().zip(&known.all);
        let mut items = Self::default();
        let mut at = sent.find(ITEMS)? + ITEMS.len();
        while !sent[at..].starts_with(']') {
            let rest = &sent[at..];
            // A whole object ends where it ends: what begins with it, is it.
            let same = |place: &Range<usize>| rest.starts_with(&text[place.clone()]);
            let skipped = known.clone().position(|(place, _)| same(place));
            let known = skipped.and_then(|skipped| known.nth(skipped));
            let (item, length) = if let Some((place, item)) = known {
                (item.clone(), place.len())
            } else {
                let mut values = serde_json::Deserializer::from_str(rest).into_iter::<T>();
                (values.next()?.ok()?, values.byte_offset())
            };
            items.all.push(item);
            items.places.push(at..at + length);
            at += length;
            let next = sent.get(at..)?;
            if next.starts_with(',') {
                at += 1;
            } else if !next.starts_with(']') {
                return None;
            }
        }
        (sent[at..].trim_end() == "]}").then_some(items)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Returns what is left of an answer in chunks of some length after another one.
    fn compared(before: &str, now: &str, chunk: usize, apart: Apart) -> Option<String> {
        let mut comparing = Comparing::new(before, apart);
        for chunk in now.as_bytes().chunks(chunk) {
            comparing.take(chunk);
        }
        comparing.end().map(|text| String::from_utf8(text).unwrap())
    }

    fn list(version: &str, pods: &[&str]) -> String {
        let pod = |name: &&str| json!({"metadata": {"name": name, "resourceVersion": "3"}});
        let items: Vec<Value> = pods.iter().map(pod).collect();
        json!({"metadata": {"resourceVersion": version}, "items": items}).to_string()
    }

    #[test]
    fn a_list_is_the_same_but_for_its_version() {
        let (a, b) = (list("7", &["a"]), list("7", &["b"]));
        for (before, now, same) in [
            (a.clone(), list("7", &["a"]), true),
            (a.clone(), list("18", &["a"]), true),
            (list("18", &["a"]), a.clone(), true),
            (a.clone(), b.clone(), false),
            (a.clone(), list("7", &["a", "b"]), false),
            (list("7", &["a", "b"]), a.clone(), false),
            (a.clone(), String::new(), false),
            (String::new(), a.clone(), false),
            ("{}".into(), r#"{"items": []}"#.into(), false),
            (r#"{"items": []}"#.into(), r#"{"items": []}"#.into(), true),
            (r#"{"items": []}"#.into(), a.clone(), false),
            (a.clone(), r#"{"items": []}"#.into(), false),
        ] {
            for chunk in [1, 7, 40, 1000] {
                let left = compared(&before, &now, chunk, Apart::ListVersion);
                let expected = (!same).then(|| now.clone());
                assert_eq!(left, expected, "{before} then {now} by {chunk}");
            }
        }
    }

    #[test]
    fn a_version_far_behind_is_not_looked_for() {
        let far = format!("{}{}", " ".repeat(2 * HEAD), list("7", &["a"]));
        let same = compared(&far, &far, 1000, Apart::ListVersion);
        assert_eq!(same.as_deref(), Some(far.as_str()));
    }

    #[test]
    fn an_object_is_the_same_byte_by_byte() {
        for (before, now, same) in [
            ("{\"a\":1}", "{\"a\":1}", true),
            ("{\"a\":1}", "{\"a\":2}", false),
            ("{\"a\":1}", "{\"a\":1}\n", false),
            ("{\"a\":1}\n", "{\"a\":1}", false),
            ("", "{}", false),
            (
                "{\"resourceVersion\":\"1\"}",
                "{\"resourceVersion\":\"2\"}",
                false,
            ),
        ] {
            for chunk in 1..10 {
                let left = compared(before, now, chunk, Apart::Nothing);
                let expected = (!same).then(|| now.to_owned());
                assert_eq!(left, expected, "{before} then {now} by {chunk}");
            }
        }
    }

    /// Reads lists after one another, and holds each against reading it as a whole.
    fn read_all(texts: &[String]) {
        let (mut text, mut items) = (String::new(), Items::<Value>::default());
        for now in texts {
            items = Items::read(now, (&text, &items)).unwrap();
            let whole: Value = serde_json::from_str(now).unwrap();
            assert_eq!(json!(items.all), whole["items"], "{now} after {text}");
            text.clone_from(now);
        }
    }

    #[test]
    fn items_that_come_change_and_go_are_read_as_they_are() {
        read_all(&[
            list("1", &[]),
            list("2", &["a", "c"]),
            list("3", &["a", "b", "c"]),
            list("4", &["b", "c", "d"]),
            list("5", &["d", "c", "b"]),
            list("6", &["d", "d"]),
            list("7", &["x]}", "d,{", "\"items\":["]),
            list("8", &["d,{"]),
            format!("{}\n", list("9", &[])),
        ]);
    }

    #[test]
    fn a_list_written_otherwise_is_not_read_by_items() {
        for text in [
            r#"{"items": [{}]}"#,
            r#"{"items":[{}],"metadata":{}}"#,
            r#"{"items":[{}"#,
            r#"{"items":[{} ]}"#,
            r#"{"items":[{"a":}]}"#,
            r#"{"items":null}"#,
            "",
        ] {
            let read = Items::<Value>::read(text, ("", &Items::default()));
            assert!(read.is_none(), "{text}");
        }
    }
}
