//! `approve`: a right of its own, by writing one small object.

use crate::journal::{JournalError, approve};

use super::{
    Context,
    args::{ApproveArgs, PlanArgs},
    error::CliError,
    exit::Code,
    session::{open, settings},
    ui::Terminal,
};

pub(super) async fn run(
    context: &Context,
    args: &ApproveArgs,
    terminal: &mut Terminal,
) -> Result<Code, CliError> {
    let plan = PlanArgs::default();
    let settings = settings(
        context,
        args.app.app.as_deref(),
        &args.app.names,
        &plan,
        terminal,
    )?;
    let session = open(context, settings.namespace.as_deref()).await?;
    let who = context.environment.who();
    let granted = approve::grant(&session.cluster, &settings.app, &who).await;
    let invocation =
        context.invocation(&settings.app, session.cluster.namespace(), &args.app.names);
    let step = granted.map_err(|error| nothing_waits(error).for_app(&invocation))?;
    let text = format!("step {step} of {} is approved", settings.app);
    if terminal.is_json() {
        let document =
            serde_json::json!({"version": 1, "app": settings.app, "step": step, "by": who});
        terminal.document(&document);
    } else {
        terminal.answer(text);
    }
    Ok(Code::Done)
}

/// A release that waits for nobody is a wrong command, not a broken cluster.
fn nothing_waits(error: JournalError) -> CliError {
    if approve::is_idle(&error) {
        let hint = "`canaryctl status APP` shows what it waits for";
        return CliError::usage(error.to_string(), hint);
    }
    error.into()
}
