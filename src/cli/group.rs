//! Several apps of one file: opening them, and which run they are in.
//!
//! Owns: what `-f` with `apps` means for the names and images on the command line, and the identity of the
//! group's run. Must not: drive it.

use crate::{
    config::Overrides,
    domain::{
        group::{Group, under_way},
        release::Release,
    },
    engine::start::ImageOrder,
    journal::Saved,
    report::closing::Invocation,
};

use super::{
    Context,
    args::{NameArgs, PlanArgs},
    error::CliError,
    exit::Code,
    make_route::Making,
    router::Fitting,
    session::{
        GroupConfig, Session, Work, doubt, group_file, not_one_app, open, planned, presence,
        settings_by, warn_of_variables, work_in,
    },
    ui::Terminal,
};

/// The apps of a file that are released together.
pub(super) struct Team {
    /// Name of the group.
    pub(super) name: String,
    /// The apps, in the order of the file.
    pub(super) members: Vec<Work>,
    /// The cluster.
    pub(super) session: Session,
    /// How hints should call the tool for all of them.
    pub(super) invocation: Invocation,
    /// Members that cannot be worked on; only a rollback goes on without them.
    pub(super) failed: Vec<CliError>,
    /// The file, as it was given.
    file: Option<String>,
}

/// Which apps a command is about, and with which plan.
pub(super) struct Scope<'s> {
    /// The app on the command line.
    pub(super) app: Option<&'s str>,
    /// Names on the command line.
    pub(super) names: &'s NameArgs,
    /// The plan on the command line.
    pub(super) plan: &'s PlanArgs,
    /// What follows where several routers fit.
    pub(super) fitting: Fitting,
}

/// Opens the apps of a file for several; `None` where the command is about one app.
pub(super) async fn open_team(
    context: &Context,
    scope: Scope<'_>,
    terminal: &mut Terminal,
) -> Result<Option<Team>, CliError> {
    let Some(file) = group_file(context)? else {
        return Ok(None);
    };
    refuse_names(context, &scope, &file)?;
    warn_of_variables(context, terminal);
    let GroupConfig {
        group: name,
        members,
        ..
    } = file;
    let presence = presence(context, terminal);
    let mut planned_members = Vec::new();
    for member in members {
        let app = member.app.clone();
        let settings = settings_by(context, None, scope.names, scope.plan, Some(member));
        let settings = settings.map_err(|error| error.of_member(&app))?;
        refuse_route(settings.create_route).map_err(|error| error.of_member(&app))?;
        let plan = planned(&settings, presence).map_err(|error| error.of_member(&app))?;
        planned_members.push((settings, plan));
    }
    let namespace = planned_members
        .first()
        .and_then(|(settings, _)| settings.namespace.clone());
    let session = open(context, namespace.as_deref()).await?;
    let invocation = context.invocation("", session.cluster.namespace(), scope.names);
    let opening = planned_members.into_iter().map(|(settings, plan)| {
        let app = settings.app.clone();
        let hints = invocation.clone();
        let how = (scope.fitting, Making::Nothing);
        let working = work_in(settings, plan, session.clone(), hints, how);
        async move { working.await.map_err(|error| error.of_member(&app)) }
    });
    let (mut members, mut failed) = (Vec::new(), Vec::new());
    for opened in futures::future::join_all(opening).await {
        match opened {
            Ok(work) => members.push(work),
            Err(error) => failed.push(error),
        }
    }
    let rolls_back = scope.fitting == Fitting::All && !members.is_empty();
    if !failed.is_empty() && !rolls_back {
        return Err(failed.swap_remove(0));
    }
    for index in 0..members.len() {
        let (before, rest) = members.split_at_mut(index);
        let Some((work, after)) = rest.split_first_mut() else {
            break;
        };
        let siblings: Vec<&Work> = before.iter().chain(after.iter()).collect();
        doubt(work, &siblings, (scope.fitting, &mut *terminal)).await?;
    }
    Ok(Some(Team {
        name,
        members,
        session,
        invocation,
        failed,
        file: context
            .global
            .file
            .as_ref()
            .map(|f| f.display().to_string()),
    }))
}

/// A route of its own is made for one app.
pub(super) fn refuse_route(asked: bool) -> Result<(), CliError> {
    if !asked {
        return Ok(());
    }
    Err(CliError::usage(
        "a route is created for one app, not for a group",
        "create the objects that `canaryctl check APP` prints for each app, then release them together",
    ))
}

/// Names on the command line and in variables are those of one app.
fn refuse_names(context: &Context, scope: &Scope<'_>, file: &GroupConfig) -> Result<(), CliError> {
    if scope.app.is_some() {
        return Err(not_one_app(scope.app, file));
    }
    let names = scope.names;
    let flags = [
        ("--stable", names.stable.is_some()),
        ("--canary", names.canary.is_some()),
        ("--service", names.service.is_some()),
        ("--router", names.router.is_some()),
    ];
    let environment =
        Overrides::from_env(&|name| context.environment.get(name).map(str::to_owned))?;
    let variables = [
        ("CANARYCTL_STABLE", environment.stable.is_some()),
        ("CANARYCTL_CANARY", environment.canary.is_some()),
        ("CANARYCTL_SERVICE", environment.service.is_some()),
    ];
    let given = flags.into_iter().chain(variables).find(|(_, given)| *given);
    let Some((name, _)) = given else {
        return Ok(());
    };
    let text = format!(
        "{name} is about one app, and {} is for the group {}",
        file.name, file.group
    );
    let key = name.trim_start_matches("--").to_lowercase();
    let key = key.strip_prefix("canaryctl_").unwrap_or(&key);
    let hint = format!("write `{key}` at the app that it belongs to, in `apps`");
    Err(CliError::usage(text, hint))
}

impl Team {
    /// Returns the names of the apps.
    pub(super) fn apps(&self) -> Vec<&str> {
        let members = self.members.iter();
        members.map(|work| work.settings.app.as_str()).collect()
    }

    /// Puts all members into one run: the one that is under way, which is returned, or else a new one. With
    /// `anew` it is always a new one.
    pub(super) fn join(&mut self, anew: bool) -> Result<Option<String>, CliError> {
        let records: Vec<Option<Saved>> = self.members.iter().map(Work::record).collect();
        let apps: Vec<String> = self.apps().into_iter().map(str::to_owned).collect();
        let pairs: Vec<(&str, Option<&Release>)> = apps
            .iter()
            .zip(&records)
            .map(|(app, saved)| (app.as_str(), saved.as_ref().map(|saved| &saved.release)))
            .collect();
        let known = if anew {
            None
        } else {
            under_way(&apps, &pairs).map_err(|text| {
                let verb = self.invocation.command("rollback");
                let hint = format!("end what is under way: `{verb}` takes all of them back");
                CliError::new(Code::Conflict, text).hint(hint)
            })?
        };
        let now = self.session.cluster.clock().now();
        let fresh = || now.strftime("%Y%m%d-%H%M%S").to_string();
        let run = known.clone().unwrap_or_else(fresh);
        for work in &mut self.members {
            work.group = Some(Group {
                name: self.name.clone(),
                run: run.clone(),
                members: apps.clone(),
                file: self.file.clone(),
            });
        }
        Ok(known)
    }

    /// Gives each image to the app that it is for: `APP=IMAGE`, or `APP:CONTAINER=IMAGE`.
    pub(super) fn images(&self, orders: &[ImageOrder]) -> Result<Vec<Vec<ImageOrder>>, CliError> {
        let mut all = vec![Vec::new(); self.members.len()];
        for order in orders {
            let whose = order.container.as_deref().unwrap_or_default();
            let (app, container) = match whose.split_once(':') {
                Some((app, container)) => (app, Some(container.to_owned())),
                None => (whose, None),
            };
            let index = self.apps().iter().position(|known| *known == app);
            let Some(images) = index.and_then(|index| all.get_mut(index)) else {
                let text = if whose.is_empty() {
                    format!("--image {}: it does not say for which app", order.image)
                } else {
                    format!(
                        "--image {whose}={}: there is no app {app} in the group",
                        order.image
                    )
                };
                let apps = self.apps().join(", ");
                let hint = format!("write APP=IMAGE, or APP:CONTAINER=IMAGE; the apps are {apps}");
                return Err(CliError::usage(text, hint));
            };
            images.push(ImageOrder {
                container,
                image: order.image.clone(),
            });
        }
        Ok(all)
    }
}

/// Returns how hints should call the tool for one app of a group: by its name, without the file.
pub(super) fn of_app(all: &Invocation, app: &str) -> Invocation {
    let mut one = all.clone();
    app.clone_into(&mut one.app);
    one.flags.retain(|(flag, _)| flag != "-f");
    one
}

impl CliError {
    /// Says about which app of a group it is.
    #[must_use]
    pub(super) fn of_member(mut self, app: &str) -> Self {
        self.text = format!("{app}: {}", self.text);
        self
    }
}
