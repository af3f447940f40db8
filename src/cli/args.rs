//! Arguments.
//!
//! Owns: flags, their help, their types. Must not: do anything with them.

use std::{ffi::OsStr, path::PathBuf, time::Duration};

use clap::{
    ArgAction, Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
};

use crate::{
    config::{
        StepSpec, parse_duration, parse_object_name, parse_on_trouble, parse_steps, parse_strategy,
    },
    domain::{
        plan::{OnTrouble, Strategy},
        right::{self, Need},
        weight::WeightChange,
    },
    engine::start::ImageOrder,
    traffic,
};

/// Canary releases on Kubernetes, one careful step at a time
///
/// Moves traffic from the stable version of an app to its canary, watches it, and promotes or rolls
/// back. Works on plain Deployments, from outside the cluster; installs nothing.
#[derive(Debug, Parser)]
#[command(version, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// Flags of all verbs.
    #[command(flatten)]
    pub global: Global,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Flags that every verb takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Common options")]
pub struct Global {
    /// Namespace of the app
    #[arg(short, long, global = true, value_name = "NAME", value_parser = crate::config::parse_label_name)]
    pub namespace: Option<String>,
    /// Context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Path of the kubeconfig
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Configuration of the release (canary.yaml)
    #[arg(short, long, global = true, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Output format: human or json
    #[arg(short, long, global = true, hide_possible_values = true, value_enum, value_name = "FORM", default_value_t = Output::Human)]
    pub output: Output,
    /// Print only the result
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print every check result and wait, with odds and intervals
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Longest time of one API request
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_duration, default_value = "15s")]
    pub timeout: Duration,
    /// When to colour: auto, always or never
    #[arg(long, global = true, hide_possible_values = true, value_enum, value_name = "WHEN", default_value_t = When::Auto)]
    pub color: When,
    /// Run on a simulated cluster: scenario or folder
    #[arg(long, global = true, value_name = "SCENARIO|DIR", num_args = 0..=1, require_equals = true, default_missing_value = "healthy")]
    pub sandbox: Option<String>,
    /// Simulated seconds per second [20; sandbox: 1]
    #[arg(long, global = true, value_name = "N", value_parser = parse_speed)]
    pub speed: Option<f64>,
}

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Human,
    /// One JSON document, or one object per line for what takes time.
    Json,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal.
    Auto,
    /// Also in pipes.
    Always,
    /// Never.
    Never,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show a release, or all releases of the namespace
    Status(StatusArgs),
    /// Move the canary to a share of the traffic
    Set(SetArgs),
    /// Watch stable and canary side by side
    Monitor(MonitorArgs),
    /// Take the canary out of the traffic, from any state
    Rollback(RollbackArgs),
    /// Make the canary's version the stable one
    Promote(PromoteArgs),
    /// Run a whole release, or resume one
    Auto(AutoArgs),
    /// Approve a waiting step
    Approve(ApproveArgs),
    /// Find what would break a release
    Check(CheckArgs),
    /// Show who released what, when and why
    History(HistoryArgs),
    /// Serve a simulated cluster for kubectl and this tool
    Sandbox(SandboxArgs),
    /// Print completions, man page or JSON Schema
    Generate(GenerateArgs),
}

/// Which app, and what its objects are called.
#[derive(Debug, Clone, Args)]
pub struct AppArgs {
    /// The app
    #[arg(value_name = "APP", value_parser = parse_object_name)]
    pub app: Option<String>,
    /// Names.
    #[command(flatten)]
    pub names: NameArgs,
}

/// What is to happen at each step.
#[derive(Debug, Clone, Default, Args)]
pub struct PlanArgs {
    /// Weights, such as 5,25,100 or 10:5m,50:1h:approve
    #[arg(long, help_heading = "Plan", value_name = "LIST", value_parser = Steps::parse)]
    pub steps: Option<Steps>,
    /// Time at each step
    #[arg(long, help_heading = "Plan", value_name = "TIME", value_parser = parse_duration)]
    pub hold: Option<Duration>,
    /// Interval between check evaluations
    #[arg(long, help_heading = "Plan", value_name = "TIME", value_parser = parse_duration)]
    pub interval: Option<Duration>,
    /// Without enough data: hold or rollback
    #[arg(long, help_heading = "Plan", value_name = "WHAT", value_parser = parse_on_trouble)]
    pub on_unknown: Option<OnTrouble>,
    /// When a check is unhealthy: rollback or hold
    #[arg(long, help_heading = "Plan", value_name = "WHAT", value_parser = parse_on_trouble)]
    pub on_failure: Option<OnTrouble>,
    /// On SIGINT or SIGTERM: rollback or hold
    #[arg(long, help_heading = "Plan", value_name = "WHAT", value_parser = parse_on_trouble)]
    pub on_interrupt: Option<OnTrouble>,
    /// How to promote: template, image, swap or none
    #[arg(long, help_heading = "Plan", value_name = "HOW", value_parser = parse_strategy)]
    pub strategy: Option<Strategy>,
}

/// Steps as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps(pub Vec<StepSpec>);

impl Steps {
    fn parse(text: &str) -> Result<Self, String> {
        parse_steps(text).map(Self)
    }
}

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  canaryctl status payment-api -n shop\n  canaryctl status -A -o json"
)]
pub struct StatusArgs {
    /// The app; without one, all releases.
    #[command(flatten)]
    pub app: AppArgs,
    /// All namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Use only the API server, do not contact pods
    #[arg(long)]
    pub quick: bool,
}

/// Arguments of `set`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  canaryctl set payment-api 25\n  canaryctl set payment-api +10\n  canaryctl set payment-api 0.5% --dry-run\n  canaryctl set 25 -f canary.yaml",
    allow_negative_numbers = true
)]
pub struct SetArgs {
    /// The app; left out where -f names it, so that the weight comes first
    #[arg(value_name = "APP", value_parser = parse_app_or_weight)]
    pub first: String,
    /// Share of the traffic: 25, 25%, 0.5%, +10, -5
    #[arg(value_name = "WEIGHT", allow_hyphen_values = true)]
    pub weight: Option<WeightChange>,
    /// Names.
    #[command(flatten)]
    pub names: NameArgs,
    /// Server-side dry run
    #[arg(long)]
    pub dry_run: bool,
    /// Keep no journal
    #[arg(long)]
    pub no_journal: bool,
}

/// Names of an app's objects.
#[derive(Debug, Clone, Args)]
pub struct NameArgs {
    /// Name of the stable Deployment
    #[arg(long, help_heading = "Objects", value_name = "NAME", value_parser = parse_object_name)]
    pub stable: Option<String>,
    /// Name of the canary Deployment
    #[arg(long, help_heading = "Objects", value_name = "NAME", value_parser = parse_object_name)]
    pub canary: Option<String>,
    /// Service that selects stable and canary
    #[arg(long, help_heading = "Objects", value_name = "NAME", value_parser = crate::config::parse_label_name)]
    pub service: Option<String>,
    /// Name of the router, instead of the detected one
    #[arg(long, help_heading = "Objects", value_name = "NAME", value_parser = RouterName)]
    pub router: Option<String>,
}

/// Arguments of `monitor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  canaryctl monitor payment-api --interval 5s\n  canaryctl monitor payment-api --until promoted -o json"
)]
pub struct MonitorArgs {
    /// The app.
    #[command(flatten)]
    pub app: AppArgs,
    /// Interval between evaluations
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "10s")]
    pub interval: Duration,
    /// Stop after this time
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Exit when the release reaches this state
    #[arg(long, value_name = "STATE", value_enum)]
    pub until: Option<MonitorUntil>,
    /// Append every evaluation to this file (.csv or .jsonl)
    #[arg(long, value_name = "FILE")]
    pub export: Option<PathBuf>,
}

/// States `monitor` can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MonitorUntil {
    /// The run waits for a person, or ended.
    Paused,
    /// The release is promoted.
    Promoted,
    /// The release is rolled back.
    RolledBack,
    /// The run has ended, however.
    Ended,
}

/// Arguments of `rollback`.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  canaryctl rollback payment-api\n  canaryctl rollback payment-api --now\n  canaryctl rollback payment-api --gradual"
)]
pub struct RollbackArgs {
    /// The app.
    #[command(flatten)]
    pub app: AppArgs,
    /// Shift traffic only; skip cleanup
    #[arg(long)]
    pub now: bool,
    /// Roll back step by step, with a pause at each
    #[arg(long, conflicts_with = "now")]
    pub gradual: bool,
    /// Delete the canary Deployment at the end
    #[arg(long)]
    pub delete: bool,
    /// Server-side dry run
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `promote`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  canaryctl promote payment-api\n  canaryctl promote payment-api --strategy image"
)]
pub struct PromoteArgs {
    /// The app.
    #[command(flatten)]
    pub app: AppArgs,
    /// The plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Promote even if checks are not healthy
    #[arg(long)]
    pub force: bool,
    /// Skip confirmation
    #[arg(short, long)]
    pub yes: bool,
    /// Server-side dry run
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `auto`.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  canaryctl auto payment-api --image registry.example/payment-api:2.0.0\n  canaryctl auto payment-api --steps 5,25,50,100 --hold 5m\n  canaryctl auto payment-api --once          (from cron)\n  canaryctl auto payment-api --sandbox=errors-at-25"
)]
pub struct AutoArgs {
    /// The app.
    #[command(flatten)]
    pub app: AppArgs,
    /// The plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Image to release, repeatable; in a group APP[:CONTAINER]=IMAGE
    #[arg(long, value_name = "[CONTAINER=]IMAGE", value_parser = parse_image)]
    pub image: Vec<ImageOrder>,
    /// Create a route to the canary where there is none, and delete it at the end; `check` prints it
    #[arg(long)]
    pub create_route: bool,
    /// Stop with success at paused, promoted or step=N
    #[arg(long, value_name = "STATE", value_parser = parse_until)]
    pub until: Option<Until>,
    /// One evaluation and at most one change, for cron; a hold continues between runs, for 6m at most
    #[arg(long)]
    pub once: bool,
    /// Skip preflight checks
    #[arg(long)]
    pub skip_preflight: bool,
    /// Restart from the first step, even after a rollback
    #[arg(long)]
    pub restart: bool,
    /// Skip confirmation
    #[arg(short, long)]
    pub yes: bool,
    /// Server-side dry run
    #[arg(long)]
    pub dry_run: bool,
}

/// How far `auto` goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// To the first approval.
    Paused,
    /// To the end.
    Promoted,
    /// Until a step has proven itself.
    Step(usize),
}

/// Arguments of `approve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  canaryctl approve payment-api -n shop")]
pub struct ApproveArgs {
    /// The app.
    #[command(flatten)]
    pub app: AppArgs,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits with 2 when something would break the release.\n\nExamples:\n  canaryctl check payment-api\n  canaryctl check payment-api -f canary.yaml -o json"
)]
pub struct CheckArgs {
    /// The app.
    #[command(flatten)]
    pub app: AppArgs,
    /// The plan.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Check what `auto --create-route` needs
    #[arg(long)]
    pub create_route: bool,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  canaryctl history payment-api\n  canaryctl history payment-api -o json"
)]
pub struct HistoryArgs {
    /// The app.
    #[command(flatten)]
    pub app: AppArgs,
}

/// Arguments of `sandbox`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  canaryctl sandbox errors-at-25 &\n  KUBECONFIG=canaryctl-sandbox.json kubectl get deployments\n  KUBECONFIG=canaryctl-sandbox.json canaryctl status payment-api"
)]
pub struct SandboxArgs {
    /// Scenario, or folder of objects
    #[arg(value_name = "SCENARIO|DIR", default_value = "healthy")]
    pub scenario: String,
    /// List the scenarios
    #[arg(long)]
    pub list: bool,
    /// Port on loopback; any free one unless given
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub port: u16,
    /// Where to write the kubeconfig
    #[arg(long, value_name = "FILE", default_value = "canaryctl-sandbox.json")]
    pub write_kubeconfig: PathBuf,
}

/// Arguments of `generate`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  canaryctl generate completions bash\n  canaryctl generate schema"
)]
pub struct GenerateArgs {
    /// What to print.
    #[command(subcommand)]
    pub what: Generate,
}

/// What `generate` prints.
#[derive(Debug, Subcommand)]
pub enum Generate {
    /// Completion script of a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Man page
    Man,
    /// JSON Schema of the configuration file
    Schema,
    /// Role with exactly the permissions that verbs need
    #[command(
        after_help = "Examples:\n  canaryctl generate rbac payment-api | kubectl apply -f -\n  canaryctl generate rbac --verb status,monitor,history\n  canaryctl generate rbac payment-api --verb rollback --strict"
    )]
    Rbac(RbacArgs),
}

/// Arguments of `generate rbac`.
#[derive(Debug, Args)]
pub struct RbacArgs {
    /// The app: then only its own journal may be written
    #[arg(value_parser = parse_object_name)]
    pub app: Option<String>,
    /// What the Role is for
    #[arg(long = "verb", value_name = "VERB", value_parser = parse_verb, value_delimiter = ',', default_value = "auto")]
    pub verbs: Vec<right::Verb>,
    /// How traffic is moved
    #[arg(long, default_value = "replicas", value_parser = RouterName)]
    pub router: String,
    /// With what `auto --create-route` needs
    #[arg(long)]
    pub create_route: bool,
    /// Minimum permissions only
    #[arg(long)]
    pub strict: bool,
    /// Leave out what only some releases need: http, usage, forward, autoscaler, crds, create, delete, restore
    #[arg(long, value_name = "CASE", value_parser = parse_case, value_delimiter = ',')]
    pub without: Vec<Need>,
    /// A `ClusterRole`, to be bound in several namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
}

/// A router by name: help and completions list the table; what is not in it is refused later, where
/// the nearest name can be told.
#[derive(Debug, Clone, Copy)]
struct RouterName;

impl TypedValueParser for RouterName {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let value = |p: &&dyn traffic::Provider| PossibleValue::new(p.name());
        Some(Box::new(traffic::PROVIDERS.iter().map(value)))
    }
}

fn parse_speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text
        .parse()
        .map_err(|_| format!("'{text}' is not a number"))?;
    if speed.is_finite() && (0.1..=1000.0).contains(&speed) {
        Ok(speed)
    } else {
        Err("it must be between 0.1 and 1000".to_owned())
    }
}

fn parse_verb(text: &str) -> Result<right::Verb, String> {
    let words: Vec<&str> = right::Verb::ALL.iter().map(|verb| verb.word()).collect();
    let known = right::Verb::ALL
        .into_iter()
        .find(|verb| verb.word() == text);
    known.ok_or_else(|| format!("the verbs are {}", words.join(", ")))
}

fn parse_case(text: &str) -> Result<Need, String> {
    match text {
        "http" => Ok(Need::Asking),
        "forward" => Ok(Need::Forwarded),
        "usage" => Ok(Need::Measuring),
        "autoscaler" => Ok(Need::Autoscaler),
        "crds" => Ok(Need::Routed),
        "create" => Ok(Need::Create),
        "delete" => Ok(Need::Delete),
        "restore" => Ok(Need::Restore),
        _ => Err(
            "the cases are http, usage, forward, autoscaler, crds, create, delete, restore"
                .to_owned(),
        ),
    }
}

fn parse_image(text: &str) -> Result<ImageOrder, String> {
    let (container, image) = match text.split_once('=') {
        Some((container, image)) => (Some(container.to_owned()), image),
        None => (None, text),
    };
    let bad = |c: char| c.is_whitespace() || c.is_control();
    if image.is_empty() || image.contains(bad) || image.contains('=') || image.starts_with(':') {
        return Err(format!("'{text}' is not [CONTAINER=]IMAGE"));
    }
    Ok(ImageOrder {
        container,
        image: image.to_owned(),
    })
}

/// Returns what may be the name of an app, or a weight that comes first.
fn parse_app_or_weight(text: &str) -> Result<String, String> {
    match text.parse::<WeightChange>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => parse_object_name(text),
    }
}

fn parse_until(text: &str) -> Result<Until, String> {
    match text {
        "paused" => Ok(Until::Paused),
        "promoted" => Ok(Until::Promoted),
        other => other
            .strip_prefix("step=")
            .and_then(|n| n.parse().ok())
            .filter(|n| *n > 0)
            .map(Until::Step)
            .ok_or_else(|| format!("'{text}' is none of paused, promoted, step=N")),
    }
}
