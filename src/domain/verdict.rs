//! Three-valued judgement.
//!
//! Owns: verdicts and how they combine. Must not: know where observations come from.

use serde::{Deserialize, Serialize};

use super::unit::Unit;

/// What a check, or all checks together, say of the canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Observed, enough of it, and within the limit.
    Healthy,
    /// Observed to break the limit.
    Unhealthy,
    /// Anything else: it never lets a release advance.
    Unknown,
}

impl Verdict {
    /// Returns the verdict of both together: unhealthy wins, then unknown.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unhealthy, _) | (_, Self::Unhealthy) => Self::Unhealthy,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Healthy, Self::Healthy) => Self::Healthy,
        }
    }

    /// Returns the verdict as one lower-case word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a check has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// Not looked at yet, or a single look that needs confirming.
    Pending,
    /// The question itself is wrong: a bad expression, a wrong path, a body that is not JSON.
    Query,
    /// The source answers, but without the value: null, NaN, missing field, no series.
    NoData,
    /// The canary receives no requests.
    NoTraffic,
    /// Fewer requests than the check asks for.
    TooFew,
    /// The source cannot be reached or answers an error.
    SourceDown,
    /// What the check asks was not given to this process.
    NotEvaluated,
}

/// What one check says after a look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckResult {
    /// Name of the check.
    pub name: String,
    /// Name of its probe.
    pub probe: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Why the verdict is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Unknown>,
    /// What the value, stable's and the interval count; plain where nothing is known of it.
    #[serde(default, skip_serializing_if = "Unit::is_plain")]
    pub unit: Unit,
    /// The measured value, where the check has a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The same of stable, where it was compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<f64>,
    /// Between which values the canary's lies, right at every peek with a probability of 95 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<(f64, f64)>,
    /// Evidence against the canary of all checks together, as odds to 1; from 100 on it is condemned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<f64>,
    /// How sure it is that the canary is worse than tolerated, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<String>,
    /// The limit as a person would say it.
    pub limit: String,
    /// How many observations (pods, requests or looks) the verdict rests on.
    pub samples: u64,
    /// Whether waiting longer will not bring what is missing: no traffic or no metrics for minutes.
    #[serde(
        default,
        rename = "unreachable",
        alias = "hopeless",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub hopeless: bool,
    /// What was measured at this step and speaks against the canary without being sure, on enough requests,
    /// windows or looks to mean something: it counts when the time of the step is over. Only where the
    /// verdict is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// Whether what stands against the canary is in great part this check's, where something is done about it.
    #[serde(
        default,
        rename = "isCulprit",
        alias = "blamed",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub blamed: bool,
    /// Whether the requests of the step exclude what the next one puts at risk; `None` for checks that
    /// prove nothing by requests.
    #[serde(
        default,
        rename = "passed",
        alias = "proven",
        skip_serializing_if = "Option::is_none"
    )]
    pub proven: Option<bool>,
    /// Whether the check may roll back, hold, or only warn.
    pub severity: super::check::Severity,
    /// One sentence for people: value, limit, counts, and what would make it decide.
    pub text: String,
}

/// Returns the verdict over all checks; a check that only warns never counts.
pub fn overall(results: &[CheckResult]) -> Verdict {
    results
        .iter()
        .filter(|r| r.severity != super::check::Severity::Warn)
        .fold(Verdict::Healthy, |all, r| all.and(r.verdict))
}
