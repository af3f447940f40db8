//! Any response is an answer or a sentence: short, printable, of one line.

use canaryctl::health::prometheus::answer::{Reply, read};

/// Panics unless it is so of this input.
pub(crate) fn holds(body: &[u8]) {
    let location = String::from_utf8_lossy(body);
    for status in [200, 302, 400, 401, 404, 503] {
        let reply = Reply {
            status,
            content_type: "application/json",
            location: &location,
            body,
        };
        let texts = match read(&reply) {
            Ok(answer) => {
                assert_eq!(status, 200);
                answer.warnings
            }
            Err(error) => vec![error.to_string()],
        };
        for text in texts {
            assert!(!text.chars().any(char::is_control), "{text:?}");
            assert!(status == 302 || text.chars().count() < 500, "{text}");
        }
    }
}
