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
    make_route::{Making, offer},
    metrics,
    session::work_with,
    ui::Terminal,
};

pub(super) async fn run(
    context: &Context,
    args: &CheckArgs,
    terminal: &mut Terminal,
) -> Result<Code, CliError> {
    let app = args.app.app.as_deref();
    let with = (&mut *terminal, Making::asked(args.create_route));
    let mut work = work_with(context, app, &args.app.names, &args.plan, with).await?;
    metrics::discover(&mut work).await;
    let images = BTreeMap::new();
    let subject = work.subject(true, &images);
    let findings = preflight::findings(&work.session.cluster, &work.survey, &subject).await?;
    let findings: Vec<_> = work.unsure.clone().into_iter().chain(findings).collect();
    let broken = findings.iter().any(|f| f.severity == Severity::Error);
    let view = CheckView {
        version: DOCUMENT,
        app: work.settings.app.clone(),
        namespace: work.session.cluster.namespace().to_owned(),
        findings,
        route: work.route.as_ref().map(|(route, _)| offer(route)),
    };
    if terminal.is_json() {
        terminal.document(&view);
    } else {
        terminal.answer(report::findings::findings(&view, terminal.style()));
    }
    Ok(if broken { Code::Refused } else { Code::Done })
}
