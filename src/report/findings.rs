//! `check APP`: what was found, the worst first.
//!
//! Owns: the order and the words. Must not: look for anything.

use super::{
    line::{Line, Painted, screen},
    style::{Style, Tone},
    text::count,
    yaml::yaml,
};
use crate::domain::{
    change::Change,
    view::{CheckView, Finding, RouteOffer, Severity},
};

/// Column of the sentence, after the mark.
const TEXT: usize = 11;

/// Column after `where`, `why` and `fix`.
const DETAIL: usize = TEXT + 7;

/// Returns the findings; those in order are one line each.
pub fn findings(view: &CheckView, style: Style) -> Painted {
    let mut sorted: Vec<&Finding> = view.findings.iter().collect();
    sorted.sort_by_key(|f| f.severity);
    let mut lines = Vec::new();
    for finding in sorted {
        if finding.severity == Severity::Ok {
            lines.extend(head(finding, style));
        } else {
            lines.extend(full(finding, style));
            lines.push(style.line());
        }
    }
    if let Some(route) = &view.route {
        lines.push(style.line());
        lines.extend(offered(route, style));
    }
    lines.push(style.line());
    lines.dedup_by(|a, b| a.is_empty() && b.is_empty());
    lines.push(summary(view, style));
    screen(lines)
}

/// Returns the route that a release by weights would need, with its objects as `kubectl apply` takes them.
fn offered(route: &RouteOffer, style: Style) -> Vec<Line> {
    let head = format!(
        "a release by weights ({}, as {}) needs a route to the canary; `auto --create-route` makes it for the release and undoes it at the end:",
        route.router, route.why
    );
    let line = style.line().bold("route").to_column(TEXT);
    let mut lines = line.plain(head).wrap(TEXT);
    for object in &route.creates {
        lines.push(style.line().dim("---"));
        lines.extend(yaml(object).iter().map(|text| style.line().plain(text)));
    }
    let mut changes = route.changes.iter().peekable();
    if changes.peek().is_some() {
        lines.push(style.line());
    }
    for Change {
        object,
        path,
        from,
        to,
    } in changes
    {
        let line = style.line().bold("change").to_column(TEXT).plain(object);
        lines.extend(line.plain(format!(" {path}")).wrap(TEXT));
        for (label, value) in [("from", from), ("to", to)] {
            let value = if value.is_null() {
                "(not set)".to_owned()
            } else {
                value.to_string()
            };
            let line = style.line().to_column(TEXT).dim(label).to_column(DETAIL);
            lines.extend(line.plain(value).wrap(DETAIL));
        }
    }
    lines
}

fn mark(severity: Severity, style: Style) -> (Tone, &'static str) {
    match (severity, style.unicode) {
        (Severity::Error, true) => (Tone::Bad, "✗ error"),
        (Severity::Error, false) => (Tone::Bad, "FAIL"),
        (Severity::Warning, _) => (Tone::Unknown, "! warning"),
        (Severity::Note, _) => (Tone::Weight, "- note"),
        (Severity::Ok, true) => (Tone::Good, "✓ ok"),
        (Severity::Ok, false) => (Tone::Good, "ok"),
    }
}

fn head(finding: &Finding, style: Style) -> Vec<Line> {
    let (tone, mark) = mark(finding.severity, style);
    let line = style.line().add(tone, mark).to_column(TEXT);
    if finding.severity == Severity::Ok {
        let place = format!(" ({})", finding.place);
        return line.plain(&finding.what).dim(place).wrap(TEXT);
    }
    line.bold(&finding.what).wrap(TEXT)
}

fn full(finding: &Finding, style: Style) -> Vec<Line> {
    let mut lines = head(finding, style);
    let details = [
        ("where", &finding.place),
        ("why", &finding.why),
        ("fix", &finding.fix),
    ];
    for (label, text) in details.into_iter().filter(|(_, text)| !text.is_empty()) {
        let line = style.line().to_column(TEXT).dim(label).to_column(DETAIL);
        lines.extend(line.plain(text).wrap(DETAIL));
    }
    lines
}

fn summary(view: &CheckView, style: Style) -> Line {
    let of = |s: Severity| view.findings.iter().filter(|f| f.severity == s).count() as u64;
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    let rest = format!(
        ", {}, {} ok",
        count(of(Severity::Note), "note"),
        of(Severity::Ok)
    );
    let text = format!(
        "{}, {}{rest}",
        count(errors, "error"),
        count(warnings, "warning")
    );
    let (tone, verdict) = match (errors, warnings) {
        (0, 0) => (Tone::Good, "ready to release"),
        (0, _) => (Tone::Unknown, "ready, with warnings"),
        _ => (Tone::Bad, "not ready: fix the errors above"),
    };
    let line = style.line().add(tone, verdict);
    line.plain(format!(" ({text})")).cut(style.columns())
}
