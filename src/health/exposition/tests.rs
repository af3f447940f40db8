use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

/// Name, labels and value of every sample.
type Page = Vec<(String, Vec<(String, String)>, f64)>;

fn page(body: &[u8]) -> Result<Page, ExpositionError> {
    let mut page = Page::new();
    read("", body, &mut |sample| {
        let labels = sample
            .labels()
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        page.push((sample.name.clone().into_owned(), labels, sample.value));
    })?;
    Ok(page)
}

/// The only sample of a page, as `name|label=value|label=value|value`.
fn one(text: &str) -> String {
    let page = page(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    let [(name, labels, value)] = page.as_slice() else {
        panic!("{text:?}: {page:?}");
    };
    let mut line = name.clone();
    for (name, value) in labels {
        write!(line, "|{name}={value}").unwrap();
    }
    format!("{line}|{value}")
}

fn refused(body: impl AsRef<[u8]>) -> String {
    let body = body.as_ref();
    match page(body) {
        Ok(page) => panic!("{:?}: {page:?}", String::from_utf8_lossy(body)),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_apps_write_is_read() {
    for (text, wanted) in [
        ("up 1\n", "up|1"),
        ("up 1", "up|1"),
        ("up 1\r\n", "up|1"),
        ("  up\t \t1 \t\n", "up|1"),
        ("\u{feff}up 1\n", "up|1"),
        (
            "\n\n# HELP up Whether\n#\n#TYPE\n# anything { \" \nup 1\n",
            "up|1",
        ),
        ("up{} 1\n", "up|1"),
        ("up { } 1\n", "up|1"),
        ("up{a=\"b\"}1\n", "up|a=b|1"),
        ("up{a=\"b\",} 1\n", "up|a=b|1"),
        ("up\t{ a\t= \"b\" , c =\"d\" , }\t1\n", "up|a=b|c=d|1"),
        ("up{a=\"\"} 1\n", "up|a=|1"),
        ("job:up:sum5m 1\n", "job:up:sum5m|1"),
        ("_x9 1\n", "_x9|1"),
        (r#"up{a="} , = # \" {"} 1"#, "up|a=} , = # \" {|1"),
        (
            r#"up{path="C:\\new",b="\\\"\n"} 1"#,
            "up|path=C:\\new|b=\\\"\n|1",
        ),
        (r#"up{re="\d+\é"} 1"#, r"up|re=\d+\é|1"),
        ("up{stadt=\"Zürich 🏔\"} 1\n", "up|stadt=Zürich 🏔|1"),
        // Times: milliseconds, and seconds as OpenMetrics has them.
        ("up 1 1395066363000\n", "up|1"),
        ("up 1 -3982045\n", "up|1"),
        ("up{a=\"b\"} 1 1520879607.789\n", "up|a=b|1"),
        // Exemplars.
        (
            "x_bucket{le=\"1\"} 11 # {trace_id=\"K}\\\"#\"} 0.67\n",
            "x_bucket|le=1|11",
        ),
        ("x_total 11 1.5 # {} 0.67 1520879607.789\n", "x_total|11"),
        ("x_created 1520430000.123\n", "x_created|1520430000.123"),
        // Names in UTF-8.
        (r#"{"http.requests"} 1"#, "http.requests|1"),
        (
            r#"{"http.requests","a.b"="c",d="e"} 1"#,
            "http.requests|a.b=c|d=e|1",
        ),
        (r#"{a="b","http.requests"} 1"#, "http.requests|a=b|1"),
        (r#"{"a\"b\\c"} 1"#, "a\"b\\c|1"),
        (r#"up{"a b"="c"} 1"#, "up|a b=c|1"),
    ] {
        assert_eq!(one(text), wanted, "{text:?}");
    }
}

#[test]
fn numbers_are_read_as_prometheus_reads_them() {
    for (text, wanted) in [
        ("0", 0.0),
        ("-1", -1.0),
        ("+1.5", 1.5),
        ("1e-05", 1e-5),
        ("1.7560473E+07", 17_560_473.0),
        (".5", 0.5),
        ("12345678901234567890", 12_345_678_901_234_567_890.0),
        ("+Inf", f64::INFINITY),
        ("inf", f64::INFINITY),
        ("-INF", f64::NEG_INFINITY),
        ("-Infinity", f64::NEG_INFINITY),
    ] {
        assert_eq!(number(text), Some(wanted), "{text}");
        assert_eq!(one(&format!("up {text}")), format!("up|{wanted}"));
    }
    for text in ["NaN", "nan", "NAN"] {
        assert!(number(text).unwrap().is_nan());
        assert_eq!(one(&format!("up {text}")), "up|NaN");
    }
    for text in [
        "", "0x1p-2", "0x10", "1_000", "1,5", "1e", "1e999", "-1e999", "one", "١",
    ] {
        assert_eq!(number(text), None, "{text}");
    }
}

#[test]
fn a_label_is_found_by_name_and_borrowed_where_it_can_be() {
    let text = br#"x{status="500",path="\\a"} 1"#;
    let mut seen = 0;
    read("", text, &mut |sample| {
        seen += 1;
        assert!(matches!(sample.label("status"), Some(Cow::Borrowed("500"))));
        assert_eq!(sample.label("path").as_deref(), Some("\\a"));
        assert_eq!(sample.label("pat"), None);
    })
    .unwrap();
    assert_eq!(seen, 1);
}

#[test]
fn one_broken_line_is_an_error_that_names_it() {
    for (line, reason) in [
        (
            "up",
            "expected a blank or `{` behind the name, found the end of the line",
        ),
        ("up ", "expected a value, found the end of the line"),
        ("up one", "expected a value, found \"one\""),
        ("up 0x1p-2", "expected a value, found \"0x1p-2\""),
        ("up 1e999", "expected a value, found \"1e999\""),
        ("up 1 2 3", "expected the end of the line, found \"3\""),
        ("up 1 later", "expected a time or nothing, found \"later\""),
        ("up 1 NaN", "the time of the sample is not a number"),
        (
            "up+1",
            "expected a blank or `{` behind the name, found \"+1\"",
        ),
        (
            "http.requests 1",
            "expected a blank or `{` behind the name, found \".requests 1\"",
        ),
        ("9up 1", "expected the name of a metric, found \"9up 1\""),
        ("{} 1", "expected the name of a metric, found \" 1\""),
        ("{\"\"} 1", "a name is empty"),
        ("{\"a\",\"b\"} 1", "the metric has two names"),
        ("up{\"b\"} 1", "the metric has two names"),
        (
            "up{a=\"b\"",
            "expected a label or `}`, found the end of the line",
        ),
        (
            "up{a=\"b",
            "the quotation mark before \"b\" is never closed",
        ),
        (
            "up{a=\"b\\",
            "the quotation mark before \"b\\\\\" is never closed",
        ),
        (
            "up{a=b} 1",
            "expected text in double quotes, found \"b} 1\"",
        ),
        (
            "up{a} 1",
            "expected `=` behind the label's name, found \"} 1\"",
        ),
        ("up{,} 1", "expected a label or `}`, found \",} 1\""),
        ("up{a=\"b\",,} 1", "expected a label or `}`, found \",} 1\""),
        (
            "up{a=\"b\" c=\"d\"} 1",
            "expected `,` or `}` behind a label, found \"c=\\\"d\\\"} 1\"",
        ),
        ("up{a=\"b\",a=\"c\"} 1", "the label \"a\" comes twice"),
        (
            "up{a=\"b\",c=\"d\",\"a\"=\"b\"} 1",
            "the label \"a\" comes twice",
        ),
        (
            "up 1 # trailing",
            "expected `{` of an exemplar, found \"trailing\"",
        ),
        ("up 1 # {\"a\"} 1", "a label of the exemplar has no value"),
        (
            "up 1 # {} ",
            "expected the exemplar's value, found the end of the line",
        ),
        (
            "up 1 # {} 1 1 1",
            "expected the end of the line, found \"1\"",
        ),
        ("<html>", "expected the name of a metric, found \"<html>\""),
    ] {
        let text = format!("# HELP\nfirst 1\r\n{line}\nlast 1\n");
        let wanted = format!("not Prometheus text in line 3: {reason}");
        assert_eq!(refused(text), wanted, "{line}");
    }
}

#[test]
fn what_a_message_shows_is_short_and_printable() {
    let said = refused(format!("up \u{1b}[31m\u{202e}{}", "é".repeat(500)));
    assert!(said.contains(r"\u{1b}[31m\u{202e}é"), "{said}");
    assert!(said.chars().count() < 120, "{said}");
}

#[test]
fn what_is_no_page_at_all_is_said_in_plain_words() {
    for (body, what) in [
        (&b""[..], "it is empty"),
        (b" \r\n\n", "it is empty"),
        (b"<!DOCTYPE html>\n<html>", "it looks like a web page"),
        (b"\n  <html lang=\"en\">", "it looks like a web page"),
        (b"{\"status\":\"UP\"}", "it looks like JSON"),
        (b"{\n  \"status\" : 1\n}", "it looks like JSON"),
        (b"{}", "it looks like JSON"),
        (b"[]", "it looks like JSON"),
        (b"[\n{\"a\":1}]", "it looks like JSON"),
        (b"null\n", "it looks like JSON"),
        (
            b"\x1f\x8b\x08\x00\x00\x00",
            "it is compressed with gzip, although that was not asked for",
        ),
        (
            b"\x28\xb5\x2f\xfd\x00",
            "it is compressed with zstd, although that was not asked for",
        ),
        (b"\x0a\x02up\x12\x00", "it is binary"),
        (b"up{a=\"\xff\"} 1\n", "it is not text in UTF-8"),
    ] {
        assert_eq!(refused(body), format!("not Prometheus text: {what}"));
    }
    // A broken page with names in UTF-8 is no JSON.
    assert!(refused("{\"http.requests\" 1").contains("line 1"));
    for text in [
        "OK",
        "404 page not found",
        "true",
        "upstream connect error",
        "\"up\"",
    ] {
        assert!(refused(text).contains("in line 1"), "{text}");
    }
}

#[test]
fn an_openmetrics_page_ends_with_its_mark() {
    let kind = "application/OpenMetrics-text; version=1.0.0; charset=utf-8";
    let read = |text: &str| read(kind, text.as_bytes(), &mut |_| ());
    assert_eq!(read("up 1\n# EOF\n"), Ok(()));
    assert_eq!(read("up 1\n# EOF"), Ok(()));
    assert_eq!(read("# EOF\r\n\r\n"), Ok(()));
    assert!(
        read("up 1\n")
            .unwrap_err()
            .to_string()
            .contains("truncated")
    );
    assert!(
        read("up 1\n# EO")
            .unwrap_err()
            .to_string()
            .contains("truncated")
    );
    let said = read("up 1\n# EOF\nup 2\n").unwrap_err().to_string();
    assert!(
        said.contains("line 3: expected nothing after `# EOF`"),
        "{said}"
    );
    assert!(refused("up 1\n# EOF\n# HELP up Two pages in one.\n").contains("line 3"));
}

#[test]
fn protobuf_is_told_by_its_type() {
    let kind = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily";
    let said = read(kind, b"up 1\n", &mut |_| ()).unwrap_err().to_string();
    assert!(said.contains("protobuf"), "{said}");
}

#[test]
fn a_page_without_samples_is_a_page() {
    assert_eq!(
        page(b"# HELP up Whether it is.\n# TYPE up gauge\n"),
        Ok(Vec::new())
    );
}

// === Any page, and any damage ===

const WHOLE: &str = "# HELP http_requests_total How many.\n\
    # TYPE http_requests_total counter\n\
    http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\n\
    http_requests_total{method=\"post\",path=\"a\\\\b\\\"c\\n\",} 3e0\r\n\
    {\"rpc.duration\",\"quantile.of\"=\"0.5\"} NaN\n\
    \n\
    seconds_bucket{le=\"+Inf\"} 17 # {trace_id=\"oHg5\"} 9.8 1520879607.789\n\
    # EOF\n";

fn written(page: &Page) -> String {
    let quoted = |text: &str| {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{}\"", text.replace('\n', "\\n"))
    };
    let mut text = String::new();
    for (name, labels, value) in page {
        write!(text, "{{{}", quoted(name)).unwrap();
        for (label, value) in labels {
            write!(text, ",{}={}", quoted(label), quoted(value)).unwrap();
        }
        writeln!(text, "}} {value}").unwrap();
    }
    text
}

proptest! {
    #[test]
    fn any_bytes_are_a_page_or_an_error_of_one_line(
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..80),
            "[a{}=\"\\\\,# \t\r\n1.eN+\u{fe}_:]{0,60}".prop_map(String::into_bytes),
        ],
    ) {
        if let Err(error) = page(&body) {
            prop_assert!(!error.to_string().chars().any(char::is_control), "{error}");
        }
    }

    #[test]
    fn damage_is_an_error_or_leaves_a_page(
        at in 0..WHOLE.len(),
        length in 0usize..8,
        put in "[a{}=\"\\\\,# \t\r\n1é]{0,4}",
    ) {
        let end = (at + length).min(WHOLE.len());
        let body = [&WHOLE.as_bytes()[..at], put.as_bytes(), &WHOLE.as_bytes()[end..]].concat();
        if let Err(error) = page(&body) {
            prop_assert!(!error.to_string().chars().any(char::is_control), "{error}");
        }
    }

    #[test]
    fn what_was_written_is_read_back(
        samples in proptest::collection::vec(
            (
                "[^\r]{1,9}",
                proptest::collection::btree_map("[^\r]{1,5}", "[^\r]{0,9}", 0..5),
                -1e300..1e300,
            ),
            1..5,
        ),
    ) {
        let samples: Page = samples
            .into_iter()
            .map(|(name, labels, value)| (name, labels.into_iter().collect(), value))
            .collect();
        prop_assert_eq!(page(written(&samples).as_bytes()), Ok(samples));
    }
}
