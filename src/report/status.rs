//! `status APP`: where a release is, in five seconds.
//!
//! Owns: the order of the screen: where it is, who gets the traffic, what runs, what the checks say,
//! what it waits for, what to do. Must not: gather any of it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    bar, check,
    image::shorten,
    line::{Line, Painted, screen},
    style::{Style, Tone},
    table::Table,
    text::{count, width},
    time::{ago, between, clock, moment, span},
};
use crate::domain::{
    release::Outcome,
    split::Split,
    verdict::{CheckResult, Verdict, overall},
    view::{RunView, StatusView},
    workload::{Pod, Workload},
};

/// Column where everything after a label begins.
const BODY: usize = 8;

/// Columns an image gets at least.
const IMAGE: usize = 24;

/// Returns the screen of one app.
pub fn status(view: &StatusView, now: Timestamp, style: Style) -> Painted {
    let mut lines = header(view, now, style);
    lines.extend(split(view, style));
    lines.push(style.line());
    lines.extend(workloads(view, style));
    lines.push(style.line());
    lines.extend(checks(&view.checks, style));
    lines.push(style.line());
    lines.extend(ending(view, now, style));
    screen(lines)
}

/// Returns how a run ended, in a word or two.
pub fn outcome_words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Promoted => "promoted",
        Outcome::RolledBack => "rolled back",
        Outcome::AtWeight => "at the weight",
        Outcome::Paused => "paused",
        Outcome::Conflict => "stopped: conflict",
        Outcome::Incomplete => "not complete",
    }
}

/// Returns a row: a label, and text that wraps under itself.
pub(super) fn row(style: Style, label: &str, tone: Tone, text: &str) -> Vec<Line> {
    let line = style.line().dim(label).to_column(BODY);
    line.add(tone, text).wrap(BODY)
}

fn header(view: &StatusView, now: Timestamp, style: Style) -> Vec<Line> {
    let mut title = style.line().bold(&view.app).dim("  namespace ");
    title = title
        .plain(&view.namespace)
        .dim("  router ")
        .plain(&view.router);
    let Some(run) = &view.run else {
        let mut lines = title.wrap(BODY);
        let (tone, text) = match &view.doubt {
            None => (Tone::Plain, "no run is recorded for this app".to_owned()),
            Some(doubt) => (
                Tone::Bad,
                format!("unknown: the journal is not authentic: {doubt}"),
            ),
        };
        lines.extend(row(style, "state", tone, &text));
        return lines;
    };
    let mut lines = title.dim("  run ").plain(&run.id).wrap(BODY);
    if let Some(group) = &run.group {
        let text = format!("{}: {}", group.name, group.members.join(", "));
        lines.extend(row(style, "group", Tone::Plain, &text));
    }
    lines.extend(state(run, now, style));
    if let Some(reason) = &run.reason {
        lines.extend(row(style, "why", Tone::Plain, reason));
    }
    if let (Some(holder), None) = (&run.holder, run.ended) {
        let seen = ago(holder.heartbeat, now);
        let text = format!("{}, last seen {seen}", holder.who);
        lines.extend(row(style, "driver", Tone::Plain, &text));
    }
    lines
}

fn state(run: &RunView, now: Timestamp, style: Style) -> Vec<Line> {
    let line = style.line().dim("state").to_column(BODY);
    let steps = run.steps.len();
    let step = format!("step {} of {steps}", run.step.min(steps));
    if let (Some(outcome), Some(ended)) = (run.outcome, run.ended) {
        let (tone, _) = super::human::headline(outcome);
        let took = span(between(run.started, ended));
        let line = line.add(tone, outcome_words(outcome)).plain(format!(
            " at {} ({}), {step}, took {took}",
            moment(ended),
            ago(ended, now)
        ));
        return line.wrap(BODY);
    }
    let tone = if run.phase.is_retreat() {
        Tone::Bad
    } else {
        Tone::Bold
    };
    let since = span(between(run.since, now));
    let line = line.add(tone, run.phase.words());
    let line = line.plain(format!(" at {}, {step}, for {since}", run.target));
    let line = match run.braked {
        Some(from) => line.add(Tone::Unknown, format!(", traffic paused at {from}")),
        None => line,
    };
    let began = span(between(run.started, now));
    line.dim(format!(", run began {began} ago")).wrap(BODY)
}

fn split(view: &StatusView, style: Style) -> Vec<Line> {
    let lead = style.line().dim("split").to_column(BODY);
    let Some(split) = &view.split else {
        let line = lead.add(Tone::Unknown, "? unknown: the route could not be read");
        return line.wrap(BODY);
    };
    let mut lines = bar::lines(style, lead, split);
    lines.extend(users(view, split, style));
    if let Some(waits) = &split.waits_for {
        lines.extend(row(
            style,
            "",
            Tone::Unknown,
            &format!("progressing: {waits}"),
        ));
    }
    for route in &split.routes {
        let said = match (&route.canary, &route.left_alone) {
            (Some(canary), _) => format!("canary {canary}"),
            (None, Some(why)) => format!("left alone, {why}"),
            (None, None) => "no traffic for either side".to_owned(),
        };
        let tone = if route.canary.is_some() {
            Tone::Plain
        } else {
            Tone::Dim
        };
        let text = format!("{}, {}: {said}", route.object, route.route);
        lines.extend(row(style, "", tone, &text));
    }
    if !split.pinned.is_empty() {
        let text = format!("pinned by this run: {}", split.pinned.join(", "));
        lines.extend(row(style, "", Tone::Dim, &text));
    }
    lines
}

/// Returns what users get of the split, where it is counted.
pub(super) fn users(view: &StatusView, split: &Split, style: Style) -> Vec<Line> {
    let Some(served) = &view.served else {
        return Vec::new();
    };
    let tone = if served.as_weighted {
        Tone::Plain
    } else {
        Tone::Unknown
    };
    row(style, "users", tone, &bar::served(served, split))
}

fn workloads(view: &StatusView, style: Style) -> Vec<Line> {
    let sides = [("stable", &view.stable), ("canary", &view.canary)];
    let all = sides.iter().filter_map(|(_, w)| w.as_ref());
    let columns = image_columns(all, style);
    let header = ["", "READY", "RESTARTS", "REVISION", "IMAGE"];
    let mut table = Table::new(style, &header);
    let mut rows = Vec::new();
    for (side, workload) in sides {
        let Some(workload) = workload else {
            let missing = style
                .line()
                .add(Tone::Unknown, "none: the Deployment does not exist");
            rows.push((
                1,
                Some(style.line().bold(side).to_column(BODY).join(missing)),
                Vec::new(),
            ));
            continue;
        };
        let images = workload_rows(&mut table, side, workload, columns, style);
        rows.push((images, None, troubles(workload, style)));
    }
    let mut drawn = table.lines().into_iter();
    let mut lines: Vec<Line> = drawn.next().into_iter().collect();
    for (count, instead, troubles) in rows {
        match instead {
            Some(line) => lines.push(line),
            None => lines.extend(drawn.by_ref().take(count)),
        }
        lines.extend(troubles);
    }
    lines
}

/// Returns the columns left for images beside the others at their widest.
fn image_columns<'a>(workloads: impl Iterator<Item = &'a Workload>, style: Style) -> usize {
    let longest = workloads
        .flat_map(|w| {
            w.images
                .iter()
                .map(|(name, image)| (name, image, w.images.len()))
        })
        .map(|(name, image, n)| width(image) + if n > 1 { width(name) + 1 } else { 0 })
        .max();
    let room = style
        .columns()
        .saturating_sub(BODY + 2 + 7 + 2 + 8 + 2 + 10);
    room.max(IMAGE).min(longest.unwrap_or(0).max(IMAGE))
}

/// Adds the rows of a workload, one for each image, and returns how many.
fn workload_rows(
    table: &mut Table,
    side: &str,
    workload: &Workload,
    columns: usize,
    style: Style,
) -> usize {
    let restarts: u32 = workload.pods.iter().map(|p| p.restarts).sum();
    let ready = format!("{}/{}", workload.ready, workload.replicas);
    let ready_tone = if workload.ready < workload.replicas {
        Tone::Unknown
    } else {
        Tone::Plain
    };
    let restarts_tone = if restarts > 0 {
        Tone::Unknown
    } else {
        Tone::Plain
    };
    let mut first = vec![
        style.line().bold(side),
        style.line().add(ready_tone, ready),
        style.line().add(restarts_tone, restarts.to_string()),
        style
            .line()
            .plain(workload.revision.chars().take(8).collect::<String>()),
    ];
    let several = workload.images.len() > 1;
    let mut images = workload.images.iter().map(|(name, image)| {
        let lead = if several {
            format!("{name}=")
        } else {
            String::new()
        };
        // Without Unicode the sign of an omission takes three columns, not one.
        let omission = if style.unicode { 0 } else { 2 };
        let room = columns.saturating_sub(width(&lead) + omission);
        style.line().dim(lead).plain(shorten(image, room))
    });
    first.push(images.next().unwrap_or_else(|| style.line().dim("none")));
    table.row(first);
    let mut count = 1;
    for image in images {
        let mut row = vec![style.line(); 4];
        row.push(image);
        table.row(row);
        count += 1;
    }
    count
}

/// Returns what keeps a workload from being well, the same trouble of several pods once.
fn troubles(workload: &Workload, style: Style) -> Vec<Line> {
    let mut texts: Vec<String> = Vec::new();
    texts.extend(
        workload
            .refused
            .iter()
            .map(|t| format!("pods are refused: {t}")),
    );
    texts.extend(
        workload
            .stalled
            .iter()
            .map(|t| format!("roll-out stalled: {t}")),
    );
    let mut alike: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for pod in &workload.pods {
        for (kind, text) in pod_troubles(pod) {
            alike.entry(kind).or_insert((0, text)).0 += 1;
        }
    }
    texts.extend(
        alike
            .into_values()
            .map(|(n, text)| format!("{}: {text}", count(n, "pod"))),
    );
    let lines = texts.iter().flat_map(|text| {
        let line = style.line().to_column(BODY).add(Tone::Bad, "! ");
        line.plain(text).wrap(BODY + 2)
    });
    lines.collect()
}

/// Returns the troubles of a pod, each with what makes it the same as another pod's.
fn pod_troubles(pod: &Pod) -> Vec<(String, String)> {
    let mut troubles: Vec<(String, String)> = Vec::new();
    for (container, reason, message) in &pod.waiting {
        let message = if message.is_empty() {
            String::new()
        } else {
            format!(": {message}")
        };
        let text = format!("{container} waits, {reason}{message}");
        troubles.push((format!("{container} {reason}"), text));
    }
    if let Some(text) = &pod.unschedulable {
        troubles.push(("unschedulable".into(), format!("no node: {text}")));
    }
    if let Some(end) = pod.last_end.as_ref().filter(|_| pod.restarts > 0) {
        troubles.push((format!("end {end}"), format!("last restart after {end}")));
    }
    troubles
}

fn checks(results: &[CheckResult], style: Style) -> Vec<Line> {
    if results.is_empty() {
        return row(style, "checks", Tone::Unknown, "none evaluated");
    }
    let verdict = overall(results);
    let of = |v: Verdict| results.iter().filter(|r| r.verdict == v).count();
    let counts = [Verdict::Unhealthy, Verdict::Unknown, Verdict::Healthy]
        .map(|v| (of(v), v.word()))
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{n} {word}"));
    let counts: Vec<String> = counts.collect();
    let head = style.line().dim("checks").to_column(BODY);
    let head = head.add(Tone::of(verdict), style.mark(verdict));
    let mut lines = vec![head.dim(format!(" ({})", counts.join(", ")))];
    let marks = results
        .iter()
        .map(|r| width(&style.mark(r.verdict)))
        .max()
        .unwrap_or(0);
    let names = results
        .iter()
        .map(|r| style.line().plain(&r.name).width())
        .max();
    let names = names.unwrap_or(0).min(style.columns() / 3);
    for result in results {
        let text = marks + 2 + names + 2;
        let line = style
            .line()
            .add(Tone::of(result.verdict), style.mark(result.verdict));
        let line = line.to_column(marks + 2);
        let line = line.join(style.line().plain(&result.name).cut(names));
        let line = line.to_column(text).plain(check::sentence(result));
        let line = line.dim(format!(" [{}]", check::facts(result)));
        lines.extend(line.wrap(text));
    }
    lines
}

fn ending(view: &StatusView, now: Timestamp, style: Style) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(waits) = &view.waits_for {
        let since = view.run.as_ref().filter(|r| r.ended.is_none()).map(|run| {
            let for_ = span(between(run.since, now));
            format!(" (since {}, {for_})", clock(run.since))
        });
        let line = style.line().dim("waiting").to_column(BODY).plain(waits);
        lines.extend(line.dim(since.unwrap_or_default()).wrap(BODY));
    }
    lines.extend(row(style, "next", Tone::Bold, &view.next));
    if let Some(undo) = &view.undo {
        lines.extend(row(style, "undo", Tone::Bold, undo));
    }
    if !view.found_by.is_empty() {
        lines.extend(row(style, "found", Tone::Dim, &view.found_by.join("; ")));
    }
    lines
}
