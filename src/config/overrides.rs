//! What flags and environment variables can set, and which of them wins.
//!
//! Owns: the table of variables, precedence. Must not: read the environment; the caller passes it.

use std::time::Duration;

use super::{
    duration::{parse_duration, parse_pause},
    error::ConfigError,
    name::{parse_label_name, parse_object_name},
    step::{StepSpec, parse_steps},
};
use crate::{
    document::{excerpt, listing, suggestion},
    domain::plan::{OnTrouble, Strategy},
};

/// What one source (flags, the environment, the file) says; `None`: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    /// Namespace.
    pub namespace: Option<String>,
    /// Name of the stable Deployment.
    pub stable: Option<String>,
    /// Name of the canary Deployment.
    pub canary: Option<String>,
    /// Name of the Service that both sides stand behind.
    pub service: Option<String>,
    /// Steps of the release.
    pub steps: Option<Vec<StepSpec>>,
    /// Time at each step, up to 30 days. It wins over the holds of steps from a weaker source.
    pub hold: Option<Duration>,
    /// Interval between check evaluations, from 1 s to 30 days.
    pub interval: Option<Duration>,
    /// What happens when a step ends without enough evidence.
    pub on_unknown: Option<OnTrouble>,
    /// What happens when a check is unhealthy.
    pub on_failure: Option<OnTrouble>,
    /// What happens when the process is told to end.
    pub on_interrupt: Option<OnTrouble>,
    /// How the canary's version gets into stable.
    pub promote: Option<Strategy>,
}

/// An environment variable that the tool reads.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    set: fn(&mut Overrides, &str) -> Result<(), String>,
}

/// The variables that set what flags and the file can set as well.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: "CANARYCTL_NAMESPACE",
        about: "namespace of the release",
        set: |to, text| parse_label_name(text).map(|value| to.namespace = Some(value)),
    },
    Variable {
        name: "CANARYCTL_STABLE",
        about: "name of the stable Deployment",
        set: |to, text| parse_object_name(text).map(|value| to.stable = Some(value)),
    },
    Variable {
        name: "CANARYCTL_CANARY",
        about: "name of the canary Deployment",
        set: |to, text| parse_object_name(text).map(|value| to.canary = Some(value)),
    },
    Variable {
        name: "CANARYCTL_SERVICE",
        about: "name of the Service that both sides stand behind",
        set: |to, text| parse_label_name(text).map(|value| to.service = Some(value)),
    },
    Variable {
        name: "CANARYCTL_STEPS",
        about: "steps, such as 5,25,50,100 or 10:5m,50:30m:approve",
        set: |to, text| parse_steps(text).map(|value| to.steps = Some(value)),
    },
    Variable {
        name: "CANARYCTL_HOLD",
        about: "time at each step, such as 5m",
        set: |to, text| parse_duration(text).map(|value| to.hold = Some(value)),
    },
    Variable {
        name: "CANARYCTL_INTERVAL",
        about: "interval between check evaluations, such as 10s",
        set: |to, text| parse_pause(text).map(|value| to.interval = Some(value)),
    },
    Variable {
        name: "CANARYCTL_ON_UNKNOWN",
        about: "what to do without enough data: hold or rollback",
        set: |to, text| parse_on_trouble(text).map(|value| to.on_unknown = Some(value)),
    },
    Variable {
        name: "CANARYCTL_ON_FAILURE",
        about: "what to do when a check is unhealthy: rollback or hold",
        set: |to, text| parse_on_trouble(text).map(|value| to.on_failure = Some(value)),
    },
    Variable {
        name: "CANARYCTL_ON_INTERRUPT",
        about: "what to do on SIGINT or SIGTERM: rollback or hold",
        set: |to, text| parse_on_trouble(text).map(|value| to.on_interrupt = Some(value)),
    },
    Variable {
        name: "CANARYCTL_PROMOTE",
        about: "how to promote: template, image, swap or none",
        set: |to, text| parse_strategy(text).map(|value| to.promote = Some(value)),
    },
];

/// The variables that the command line reads itself; [`Overrides::from_env`] leaves them alone.
pub const RESERVED: &[(&str, &str)] = &[
    ("CANARYCTL_CONFIG", "path of the configuration file"),
    ("CANARYCTL_LOG", "filter of the log on stderr"),
    ("CANARYCTL_NOW", "fixed time, for tests"),
];

impl Overrides {
    /// Returns what the environment says; `get` returns the value of a variable. An empty value
    /// counts as unset. The error names the variable.
    pub fn from_env(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut overrides = Self::default();
        for variable in VARIABLES {
            let Some(text) = get(variable.name).filter(|text| !text.trim().is_empty()) else {
                continue;
            };
            (variable.set)(&mut overrides, text.trim()).map_err(|what| {
                ConfigError::new(what)
                    .of_variable(variable.name)
                    .with_hint(format!("{}: {}", variable.name, variable.about))
            })?;
        }
        Ok(overrides)
    }

    /// Returns `self` with what it does not say taken from `weaker`. A hold in `self` also
    /// replaces the holds of the steps in `weaker`.
    pub fn overlay(self, weaker: Self) -> Self {
        let steps = self.steps.or_else(|| {
            let mut steps = weaker.steps?;
            if self.hold.is_some() {
                for step in &mut steps {
                    step.hold = None;
                }
            }
            Some(steps)
        });
        Self {
            namespace: self.namespace.or(weaker.namespace),
            stable: self.stable.or(weaker.stable),
            canary: self.canary.or(weaker.canary),
            service: self.service.or(weaker.service),
            steps,
            hold: self.hold.or(weaker.hold),
            interval: self.interval.or(weaker.interval),
            on_unknown: self.on_unknown.or(weaker.on_unknown),
            on_failure: self.on_failure.or(weaker.on_failure),
            on_interrupt: self.on_interrupt.or(weaker.on_interrupt),
            promote: self.promote.or(weaker.promote),
        }
    }
}

/// Returns a one-line warning for each of `names` that begins with `CANARYCTL_` and means nothing,
/// with the nearest variable that does.
pub fn unknown_variables<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let known = || {
        let settable = VARIABLES.iter().map(|variable| variable.name);
        settable.chain(RESERVED.iter().map(|(name, _)| *name))
    };
    let mut warnings: Vec<_> = names
        .into_iter()
        .filter(|name| name.starts_with("CANARYCTL_") && known().all(|known| known != *name))
        .map(|name| {
            let near = suggestion(name, known());
            format!("unknown variable '{}' is ignored{near}", excerpt(name))
        })
        .collect();
    warnings.sort();
    warnings
}

/// Returns what `rollback` or `hold` means. The error says in one line what is known.
pub fn parse_on_trouble(text: &str) -> Result<OnTrouble, String> {
    let known = [("rollback", OnTrouble::Rollback), ("hold", OnTrouble::Hold)];
    one_of(text, &known)
}

/// Returns what `template`, `image`, `swap` or `none` means. The error says in one line what is
/// known.
pub fn parse_strategy(text: &str) -> Result<Strategy, String> {
    let known = [
        ("template", Strategy::Template),
        ("image", Strategy::Image),
        ("swap", Strategy::Swap),
        ("none", Strategy::None),
    ];
    one_of(text, &known)
}

fn one_of<T: Copy>(text: &str, known: &[(&'static str, T)]) -> Result<T, String> {
    let words = || known.iter().map(|(word, _)| *word);
    let found = known.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let near = suggestion(text, words());
        let near = if near.is_empty() {
            format!("; known: {}", listing(words()))
        } else {
            near
        };
        format!("unknown value '{}'{near}", excerpt(text))
    })
}
