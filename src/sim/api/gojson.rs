//! Broken JSON, in the words of the API server.
//!
//! Owns: what is wrong with a text that is no JSON, and fields that are given twice. Must not: build
//! values; `serde_json` does.

use std::collections::BTreeSet;

/// What a text says besides its value.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Paths of fields that are given more than once.
    pub(crate) duplicates: Vec<String>,
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    path: Vec<String>,
    scan: Scan,
}

/// Reads a text; the error is what the API server's decoder says of it.
pub(crate) fn scan(text: &[u8]) -> Result<Scan, String> {
    let mut reader = Reader {
        text,
        at: 0,
        path: Vec::new(),
        scan: Scan::default(),
    };
    reader.value()?;
    match reader.peek() {
        None => Ok(reader.scan),
        Some(_) => Err(reader.wrong("after top-level value")),
    }
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<u8> {
        while self
            .text
            .get(self.at)
            .is_some_and(|b| b" \t\r\n".contains(b))
        {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    /// Says that the next character does not belong where it is.
    fn wrong(&mut self, place: &str) -> String {
        match self.text.get(self.at) {
            None => "unexpected end of JSON input".to_owned(),
            Some(b'\'') => format!("invalid character '\\'' {place}"),
            Some(byte) => format!("invalid character '{}' {place}", char::from(*byte)),
        }
    }

    fn value(&mut self) -> Result<(), String> {
        match self.peek() {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => self.string().map(|_| ()),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            Some(b'-' | b'0'..=b'9') => {
                while self
                    .text
                    .get(self.at)
                    .is_some_and(|b| b"+-.eE0123456789".contains(b))
                {
                    self.at += 1;
                }
                Ok(())
            }
            _ => Err(self.wrong("looking for beginning of value")),
        }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), String> {
        let name = String::from_utf8_lossy(word).into_owned();
        for expected in word {
            if self.text.get(self.at) != Some(expected) {
                let place = format!("in literal {name} (expecting '{}')", char::from(*expected));
                return Err(self.wrong(&place));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.text.get(self.at) {
                None => return Err(self.wrong("in string literal")),
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(byte) if *byte < 0x20 => return Err(self.wrong("in string literal")),
                Some(_) => self.at += 1,
            }
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn object(&mut self) -> Result<(), String> {
        self.at += 1;
        let mut seen = BTreeSet::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.wrong("looking for beginning of object key string"));
            }
            let key = self.string()?;
            self.path.push(key.clone());
            if !seen.insert(key) {
                self.scan.duplicates.push(self.path.join("."));
            }
            if self.peek() != Some(b':') {
                return Err(self.wrong("after object key"));
            }
            self.at += 1;
            self.value()?;
            self.path.pop();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.wrong("after object key:value pair")),
            }
        }
    }

    fn array(&mut self) -> Result<(), String> {
        self.at += 1;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value()?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.wrong("after array element")),
            }
        }
    }
}

/// Returns what the decoder says of a value that is no object where one is wanted.
pub(crate) fn word_of(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "bool",
        serde_json::Value::Number(_) => "number",
        serde_json::Value::String(_) => "string",
        serde_json::Value::Array(_) => "array",
        serde_json::Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_texts_are_told_in_the_decoder_s_words() {
        for (text, said) in [
            ("", "unexpected end of JSON input"),
            (
                "{nope",
                "invalid character 'n' looking for beginning of object key string",
            ),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            (
                "{\"a\": 1 2}",
                "invalid character '2' after object key:value pair",
            ),
            ("[1 2]", "invalid character '2' after array element"),
            ("nul", "unexpected end of JSON input"),
            ("{} x", "invalid character 'x' after top-level value"),
        ] {
            assert_eq!(scan(text.as_bytes()).unwrap_err(), said, "{text}");
        }
    }

    #[test]
    fn fields_given_twice_are_found() {
        let scan = scan(br#"{"a": {"b": 1, "b": [{}, "x\"y"]}, "c": -1.5e3}"#).unwrap();
        assert_eq!(scan.duplicates, ["a.b"]);
    }
}
