//! `approve`: a right of its own, by writing one small object.

use crate::journal::{JournalError, approve};

use super::{
    Context,
    args::{ApproveArgs, PlanArgs},
    error::CliError,
    exit::Code,
    session::{GroupConfig, group_file, not_one_app, open, settings},
    ui::Terminal,
};

pub(super) async fn run(
    context: &Context,
    args: &ApproveArgs,
    terminal: &mut Terminal,
) -> Result<Code, CliError> {
    if let Some(group) = group_file(context)? {
        return all(context, args, &group, terminal).await;
    }
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

/// Approves the step of all members of a group, once each of them is proven and waits.
async fn all(
    context: &Context,
    args: &ApproveArgs,
    group: &GroupConfig,
    terminal: &mut Terminal,
) -> Result<Code, CliError> {
    if args.app.app.is_some() {
        return Err(not_one_app(args.app.app.as_deref(), group));
    }
    let file = group.members.first();
    let named = file.and_then(|file| file.overrides.namespace.clone());
    let variable = context.environment.get("CANARYCTL_NAMESPACE");
    let given = context.global.namespace.as_deref();
    let namespace = given.or(variable.filter(|name| !name.is_empty()));
    let session = open(context, namespace.or(named.as_deref())).await?;
    let cluster = &session.cluster;
    let invocation = context.invocation("", cluster.namespace(), &args.app.names);
    let who = context.environment.who();
    let mut step = None;
    for member in &group.members {
        let waiting = approve::waiting(cluster, &member.app).await;
        let (there, _) = waiting.map_err(|error| {
            if approve::is_idle(&error) {
                let text = format!(
                    "{}: no step waits for approval; a group is approved once all its apps wait",
                    member.app
                );
                let hint = format!("`{}` shows what it waits for", invocation.command("status"));
                return CliError::usage(text, hint);
            }
            CliError::from(error).of_member(&member.app)
        })?;
        let first = *step.get_or_insert(there);
        if first != there {
            let text = format!(
                "{} waits at step {there}, others at step {first}",
                member.app
            );
            let hint = format!("`{}` shows where each is", invocation.command("status"));
            return Err(CliError::new(Code::Conflict, text).hint(hint));
        }
    }
    for member in &group.members {
        let granted = approve::grant(cluster, &member.app, &who).await;
        granted.map_err(|error| nothing_waits(error).of_member(&member.app))?;
    }
    let step = step.unwrap_or_default();
    if terminal.is_json() {
        let document =
            serde_json::json!({"version": 1, "group": group.group, "step": step, "by": who});
        terminal.document(&document);
    } else {
        let apps: Vec<&str> = group.members.iter().map(|m| m.app.as_str()).collect();
        let apps = apps.join(", ");
        terminal.answer(format!(
            "step {step} of group {} is approved: {apps}",
            group.group
        ));
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
