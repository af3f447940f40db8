//! `generate`: files made from the command line's own definition.

use std::collections::BTreeSet;

use crate::{
    config,
    domain::{
        check::CheckSpec,
        release::RouterSpec,
        right::{Need, Right},
    },
    health,
    journal::name,
    preflight::rights,
    report::{
        line::Painted,
        role::{RoleText, role},
    },
};

use super::{
    Context,
    args::{Generate, GenerateArgs, RbacArgs},
    command,
    error::CliError,
    exit::Code,
    session::{ConfigFile, named_router, read},
    tables::{CheckEntry, MetricsEntry, RouterEntry},
    ui::Terminal,
};

pub(super) fn run(
    context: &Context,
    args: &GenerateArgs,
    terminal: &mut Terminal,
) -> Result<Code, CliError> {
    match &args.what {
        Generate::Completions { shell } => terminal.answer(page(&completions(*shell))),
        Generate::Man => terminal.answer(page(&man()?)),
        Generate::Rbac(args) => terminal.answer(page(&rbac(context, args)?)),
        Generate::Schema => {
            terminal.document(&config::schema::<RouterEntry, CheckEntry, MetricsEntry>());
        }
    }
    Ok(Code::Done)
}

/// Returns a file as it is printed.
fn page(text: &str) -> Painted {
    Painted::lines(text.lines())
}

/// Returns the Role for some verbs; where the plan of a file asks sources in other namespaces, a Role for
/// each of those, too.
fn rbac(context: &Context, args: &RbacArgs) -> Result<String, CliError> {
    let file = context.global.file.as_deref().map(read).transpose()?;
    let router = router(file.as_ref(), &args.router)?;
    let mut rights = rights::rights(&router);
    let makes = args.create_route || file.as_ref().is_some_and(|f| f.create_route == Some(true));
    if args.create_route && !rights.iter().any(|right| right.need == Need::Route) {
        let text = format!("--create-route: router {} creates no routes", router.name);
        return Err(CliError::usage(text, "say for which router with --router"));
    }
    rights.retain(|right| makes || right.need != Need::Route);
    if let Some(file) = &file {
        let checks: Vec<CheckSpec> = file
            .checks
            .iter()
            .chain(&file.pre)
            .map(|check| check.0.clone())
            .collect();
        let metrics = file.metrics.as_ref().map(|metrics| &metrics.0);
        let own = context.global.namespace.as_deref();
        rights.extend(health::rights::rights(&checks, metrics, own));
        let asking = file.load.is_some() || rights::asks_pods(&checks, metrics);
        rights.retain(|right| asking || right.need != Need::Asking);
    }
    rights.retain(|right| {
        let serves = right.verbs.iter().any(|verb| args.verbs.contains(verb));
        serves && !args.without.contains(&right.need)
    });
    let pins = rights.iter().any(|right| right.need == Need::Autoscaler);
    rights.retain(|right| {
        // Who may hold an autoscaler still and cannot see it never does.
        let seen = pins && right.resource == "horizontalpodautoscalers";
        !args.strict || right.need != Need::Better || seen
    });
    let verbs: Vec<&str> = args.verbs.iter().map(|verb| verb.word()).collect();
    let app = args.app.iter().map(String::as_str);
    let words: Vec<&str> = std::iter::once("canaryctl")
        .chain(app)
        .chain(verbs)
        .collect();
    let records = args.app.as_deref();
    let records = records.map(|app| (name::config_map(app), name::approval(app)));
    let own = RoleText {
        name: &words.join("-"),
        namespace: context.global.namespace.as_deref(),
        records: records.as_ref().map(|(a, b)| (a.as_str(), b.as_str())),
        everywhere: args.all_namespaces,
    };
    if args.all_namespaces {
        return Ok(role(&own, &rights));
    }
    let (here, beyond): (Vec<Right>, Vec<Right>) = rights
        .into_iter()
        .partition(|right| right.namespace.is_none());
    let mut yaml = role(&own, &here);
    let others: BTreeSet<&str> = beyond
        .iter()
        .filter_map(|r| r.namespace.as_deref())
        .collect();
    for namespace in others {
        let rights: Vec<Right> = beyond
            .iter()
            .filter(|right| right.namespace.as_deref() == Some(namespace))
            .cloned()
            .collect();
        let there = RoleText {
            namespace: Some(namespace),
            ..own
        };
        yaml.push_str("---\n");
        yaml.push_str(&role(&there, &rights));
    }
    Ok(yaml)
}

/// Returns the router of that name, with its options where a configuration file was given.
fn router(file: Option<&ConfigFile>, name: &str) -> Result<RouterSpec, CliError> {
    let named = named_router(name)?;
    let configured = file.and_then(|file| file.router.as_ref());
    let configured = configured.map(|entry| entry.0.clone());
    Ok(configured.filter(|spec| spec.name == name).unwrap_or(named))
}

/// Returns the completion script of a shell.
fn completions(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command("canaryctl"), "canaryctl", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Returns the man page: the command, and every verb after it; what all verbs share is said once.
fn man() -> Result<String, CliError> {
    let fail = |e: std::io::Error| CliError::new(Code::Failed, format!("the man page: {e}"));
    let mut page = Vec::new();
    let mut command = command("canaryctl");
    command.build();
    // No date: the page must not change from day to day.
    clap_mangen::Man::new(command.clone())
        .date("")
        .render(&mut page)
        .map_err(fail)?;
    for verb in command.get_subcommands().filter(|v| v.get_name() != "help") {
        let title = format!("canaryctl {}", verb.get_name());
        let about = verb
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        let own = verb.clone().bin_name(&title).mut_args(|arg| {
            let shared = arg.is_global_set();
            arg.hide(shared)
        });
        let man = clap_mangen::Man::new(own).date("");
        let mut text = Vec::new();
        man.render_synopsis_section(&mut text).map_err(fail)?;
        man.render_options_section(&mut text).map_err(fail)?;
        man.render_extra_section(&mut text).map_err(fail)?;
        // Within the page a verb is one section, and its parts are below it.
        let text = String::from_utf8_lossy(&text).replace(".SH ", ".SS ");
        let heading = title.to_uppercase();
        page.extend(format!(".SH \"{heading}\"\n{about}\n{text}").bytes());
    }
    Ok(String::from_utf8_lossy(&page).into_owned())
}
