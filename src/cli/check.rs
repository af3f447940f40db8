//! `check`: what would break a release. Reads only.

use std::collections::BTreeMap;

use crate::{
    domain::view::{CheckView, DOCUMENT, Severity},
    preflight, report,
};

use super::{
    Context,
    args::CheckArgs,
    error::CliError,
    exit::Code,
    group::{Scope, Team, open_team, refuse_route},
    make_route::{Making, offer},
    metrics,
    router::Fitting,
    session::{Work, work_with},
    ui::Terminal,
};

pub(super) async fn run(
    context: &Context,
    args: &CheckArgs,
    terminal: &mut Terminal,
) -> Result<Code, CliError> {
    let app = args.app.app.as_deref();
    let scope = Scope {
        app,
        names: &args.app.names,
        plan: &args.plan,
        fitting: Fitting::One,
    };
    if let Some(team) = open_team(context, scope, terminal).await? {
        refuse_route(args.create_route)?;
        return all(team, terminal).await;
    }
    let with = (&mut *terminal, Making::asked(args.create_route));
    let mut work = work_with(context, app, &args.app.names, &args.plan, with).await?;
    let view = look(&mut work).await?;
    let broken = is_broken(&view);
    if terminal.is_json() {
        terminal.document(&view);
    } else {
        terminal.answer(report::findings::findings(&view, terminal.style()));
    }
    Ok(if broken { Code::Refused } else { Code::Done })
}

/// Returns what would break the release of one app.
async fn look(work: &mut Work) -> Result<CheckView, CliError> {
    metrics::discover(work).await;
    let images = BTreeMap::new();
    let subject = work.subject(true, &images);
    let findings = preflight::findings(&work.session.cluster, &work.survey, &subject).await?;
    let findings: Vec<_> = work.unsure.clone().into_iter().chain(findings).collect();
    Ok(CheckView {
        version: DOCUMENT,
        app: work.settings.app.clone(),
        namespace: work.session.cluster.namespace().to_owned(),
        findings,
        route: work.route.as_ref().map(|(route, _)| offer(route)),
    })
}

fn is_broken(view: &CheckView) -> bool {
    view.findings.iter().any(|f| f.severity == Severity::Error)
}

/// Says what would break the release of each app of a group.
async fn all(mut team: Team, terminal: &mut Terminal) -> Result<Code, CliError> {
    let mut views = Vec::new();
    for work in &mut team.members {
        let app = work.settings.app.clone();
        let view = look(work).await.map_err(|error| error.of_member(&app))?;
        views.push(view);
    }
    if terminal.is_json() {
        let document =
            serde_json::json!({"version": DOCUMENT, "group": team.name, "members": views});
        terminal.document(&document);
    } else {
        let style = terminal.style();
        for (index, view) in views.iter().enumerate() {
            if index > 0 {
                terminal.answer("");
            }
            terminal.answer(report::group::heading(style, &view.app));
            terminal.answer(report::findings::findings(view, style));
        }
    }
    let broken = views.iter().any(is_broken);
    Ok(if broken { Code::Refused } else { Code::Done })
}
