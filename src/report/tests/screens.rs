//! The screens themselves.

use super::samples;
use crate::report::{
    findings::findings, history::history, human::Narrator, json, monitor, progress::Progress,
    status::status, style::Style, table::releases,
};

#[test]
fn look() {
    use std::time::Duration;
    let show = |t: &str, s: String| println!("=== {t}\n{s}");
    let c = Style {
        color: true,
        unicode: true,
        width: 80,
    };
    let a = Style {
        color: false,
        unicode: false,
        width: 80,
    };
    for (n, s) in [
        ("80", samples::plain(80)),
        ("120", samples::plain(120)),
        ("ascii", a),
        ("color", c),
    ] {
        show(n, status(&samples::view(), samples::at(130), s));
        show("hostile", status(&samples::hostile(), samples::at(130), s));
        show("bare", status(&samples::bare(), samples::at(130), s));
        show(
            "rel",
            releases(&samples::releases(), true, samples::at(130), s),
        );
        show("hist", history(&samples::history(), s));
        show("find", findings(&samples::findings(), s));
        show(
            "mon",
            monitor::screen_of(
                &samples::view(),
                monitor::Rates {
                    stable: Some(80.0),
                    canary: Some(26.7),
                },
                samples::at(130),
                s,
            ),
        );
        show(
            "line",
            monitor::line_of(
                &samples::view(),
                monitor::Rates::default(),
                samples::at(130),
                s,
            ),
        );
        let mut n = Narrator::new(s, samples::invocation());
        let text: Vec<String> = samples::events().iter().filter_map(|e| n.line(e)).collect();
        show("events", text.join("\n"));
        let mut p = Progress::new("payment-api", "orion", &[], &[Duration::from_secs(300); 4]);
        for (i, e) in samples::events().iter().enumerate() {
            p.update(e);
            if [3, 5, 10, 15, 20, 23, 28].contains(&i) {
                show("live", p.lines(e.at, &s).join("\n"));
            }
        }
    }
    for e in samples::events() {
        println!("{}", json::event(&e).unwrap());
    }
}
