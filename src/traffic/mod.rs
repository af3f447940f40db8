//! Moving traffic: the seam, and the table of routers.
//!
//! Owns: what a router must be able to do, and which there are. Must not: judge health or know
//! plans. A new router is one file here and one line in [`PROVIDERS`]; configuration, detection,
//! help, completions and the contract tests follow from the table.

mod alb;
pub mod autoscaler;
pub mod backend;
pub mod blueprint;
mod findings;
mod gateway;
mod istio;
mod mover;
mod nginx;
pub mod place;
mod pointer;
pub mod replicas;
pub mod route;
mod several;
mod smi;
#[cfg(test)]
mod tests;
mod traefik;
mod view;
mod weighted;
mod without;
mod words;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::without::without;
use self::{
    blueprint::{Blueprint, Gap},
    weighted::Weighted,
};
use crate::{
    cluster::{
        Cluster, ClusterError,
        objects::Survey,
        routing::{Knowledge, Wanted},
        workloads::Sides,
    },
    domain::{
        change::Act,
        options,
        release::RouterSpec,
        right::Right,
        split::{Grain, Split},
        view::Finding,
        weight::Percent,
        workload::Workload,
    },
};

/// Every router, in the order in which help and messages name them.
pub const PROVIDERS: &[&dyn Provider] = &[
    &replicas::Replicas,
    &Weighted::<istio::Istio>::new(),
    &Weighted::<gateway::Gateway>::new(),
    &Weighted::<nginx::Nginx>::new(),
    &Weighted::<smi::Smi>::new(),
    &Weighted::<alb::Alb>::new(),
    &Weighted::<traefik::Traefik>::new(),
    &Weighted::<pointer::Pointer>::new(),
];

/// Returns a provider by name.
pub fn provider(name: &str) -> Option<&'static dyn Provider> {
    let several: &'static dyn Provider = &several::Several;
    let mut all = PROVIDERS.iter().copied().chain([several]);
    all.find(|provider| provider.name() == name)
}

/// Returns whether a router puts the canary's pods on top of stable's.
pub fn adds_pods(router: &RouterSpec) -> bool {
    provider(&router.name).is_some_and(|provider| provider.adds_pods(&router.options))
}

/// Returns several routers as one that keeps them in step; `None` for fewer than two.
pub fn together(specs: &[RouterSpec]) -> Option<RouterSpec> {
    (specs.len() > 1).then(|| several::spec(specs))
}

/// Returns the kinds of objects to be read for a router; for all of them where none is named.
pub fn wanted(router: Option<&RouterSpec>) -> (Vec<Wanted>, Knowledge) {
    let Some(router) = router else {
        let all = PROVIDERS.iter().flat_map(|p| p.wanted(&Value::Null));
        return (each_once(all), Knowledge::Any);
    };
    let provider = provider(&router.name);
    let wanted = provider.map(|p| p.wanted(&router.options));
    (wanted.unwrap_or_default(), Knowledge::Named)
}

/// Returns a router's options from what is recorded; those by default where nothing is.
fn recorded<T: DeserializeOwned + Default>(
    router: &'static str,
    recorded: &Value,
) -> Result<T, TrafficError> {
    if recorded.is_null() {
        return Ok(T::default());
    }
    options::read(recorded).map_err(|reason| TrafficError::Options { router, reason })
}

/// Returns the items in their order, each once.
fn each_once<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut all = Vec::new();
    for item in items {
        if !all.contains(&item) {
            all.push(item);
        }
    }
    all
}

/// Indicates that traffic could not be read or moved.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TrafficError {
    /// No router has this name.
    #[error("no router '{name}'; there are: {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// The options of a router cannot be used.
    #[error("router {router}: {reason}")]
    Options {
        /// The router.
        router: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The cluster is set up so that this router must not act.
    #[error("{0}")]
    Refused(String),
    /// The API server refuses or does not answer.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// What a router is bound to.
#[derive(Debug, Clone)]
pub struct Target {
    /// Name of the stable Deployment.
    pub stable: String,
    /// Name of the canary Deployment.
    pub canary: String,
    /// Service that selects stable and canary, where known.
    pub service: Option<String>,
    /// Pods of both sides together at the start.
    pub total: u32,
}

/// An app that is released together with another one, and its router.
#[derive(Debug, Clone)]
pub struct Sibling {
    /// What its router is bound to.
    pub target: Target,
    /// The router.
    pub router: RouterSpec,
}

/// Both sides at one moment, as facts and as objects.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The moment.
    pub at: Timestamp,
    /// Facts about stable.
    pub stable: &'a Workload,
    /// Facts about the canary, if it exists.
    pub canary: Option<&'a Workload>,
    /// The objects behind the facts.
    pub sides: &'a Sides,
    /// The router's own objects.
    pub objects: &'a Objects,
}

/// A router's own objects at one moment, such as autoscalers or routes.
pub type Objects = Vec<Value>;

/// An object of a router, with what a release writes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The object.
    pub object: Value,
    /// JSON pointers to the fields.
    pub pointers: Vec<String>,
}

/// What is known beforehand of a router whose route is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// Its options, as configured.
    pub options: &'a Value,
    /// Whether a person named it.
    pub named: bool,
}

/// A kind of router: an entry of [`PROVIDERS`].
pub trait Provider: Sync {
    /// Returns its name in configuration.
    fn name(&self) -> &'static str;

    /// Returns one line for `--help`.
    fn about(&self) -> &'static str;

    /// Reads its options from configuration; unknown keys are errors.
    fn options(
        &self,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<Value, erased_serde::Error>;

    /// Returns the JSON Schema of its options.
    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema;

    /// Returns what must be allowed for it beyond what every release needs.
    fn rights(&self, options: &Value) -> Vec<Right>;

    /// Returns the kinds of objects it has to see; none where Deployments and Services will do.
    fn wanted(&self, options: &Value) -> Vec<Wanted> {
        let _ = options;
        Vec::new()
    }

    /// Returns whether it is only taken where no other router fits.
    fn yields(&self) -> bool {
        false
    }

    /// Returns which of these objects, of other namespaces than the app's, leads to one of its sides, and what
    /// that means for a release by numbers of pods.
    fn reaches(
        &self,
        objects: &[Value],
        survey: &Survey,
        namespace: &str,
        target: &Target,
    ) -> Option<Finding> {
        let _ = (objects, survey, namespace, target);
        None
    }

    /// Returns what a weight of this router would move that is no part of the release, nor of one that is
    /// released together with it, if anything.
    fn strays(
        &self,
        cluster: &Cluster,
        target: &Target,
        options: &Value,
        survey: &Survey,
        siblings: &[Sibling],
    ) -> Option<Finding> {
        let _ = (cluster, target, options, survey, siblings);
        None
    }

    /// Returns whether the canary's pods come on top of stable's under these options, so that they are no part
    /// of the capacity.
    fn adds_pods(&self, options: &Value) -> bool {
        let _ = options;
        false
    }

    /// Returns why this router fits the app in `namespace`, if it does, and the options that name
    /// the objects that were found.
    fn detect(&self, survey: &Survey, namespace: &str, target: &Target) -> Option<(String, Value)>;

    /// Returns why it cannot be told whether this router fits, if that is so.
    fn blind(&self, survey: &Survey, namespace: &str) -> Option<String> {
        let _ = (survey, namespace);
        None
    }

    /// Returns an object that leads to pods of the app without dividing traffic between both sides: where
    /// there is one, numbers of pods do not divide the traffic either.
    fn misfit(&self, survey: &Survey, namespace: &str, target: &Target) -> Option<Finding> {
        let _ = (survey, namespace, target);
        None
    }

    /// Returns what has to be made in the cluster so that it can divide the app's traffic, or why that cannot
    /// be had; `None` where it makes nothing.
    fn blueprint(
        &self,
        survey: &Survey,
        namespace: &str,
        target: &Target,
        given: Given<'_>,
    ) -> Option<Result<Blueprint, Gap>> {
        let _ = (survey, namespace, target, given);
        None
    }

    /// Returns what is good and bad about its objects for a release, for `check`.
    fn findings(
        &self,
        cluster: &Cluster,
        target: &Target,
        options: &Value,
        survey: &Survey,
    ) -> Vec<Finding> {
        let _ = (cluster, target, options, survey);
        Vec::new()
    }

    /// Binds the router to an app, by what was read of the namespace.
    fn bind(
        &self,
        cluster: &Cluster,
        target: &Target,
        options: &Value,
        survey: &Survey,
    ) -> Result<Box<dyn Router>, TrafficError>;
}

/// A router bound to an app.
#[async_trait]
pub trait Router: Send + Sync {
    /// Returns how finely it divides.
    fn grain(&self) -> Grain;

    /// Picks the router's own objects out of what was read of the namespace.
    fn pick(&self, survey: &Survey) -> Objects;

    /// Returns which fields of its own objects it writes; empty where it scales Deployments.
    fn written(&self, objects: &Objects) -> Vec<Written> {
        let _ = objects;
        Vec::new()
    }

    /// Reads the router's own objects.
    async fn fetch(&self) -> Result<Objects, TrafficError>;

    /// Tells the division of traffic from what was read, and compares it with `wanted`.
    fn read(&self, wanted: Percent, scene: &Scene<'_>) -> Result<Split, TrafficError>;

    /// Makes the next safe changes towards `to`, none when it is only a matter of waiting, and
    /// returns them. Called again until [`Split::settled`].
    async fn shift(&self, to: Percent, scene: &Scene<'_>) -> Result<Vec<Act>, TrafficError>;

    /// Makes, on a dry connection, the changes that follow once the pods for `to` are there.
    async fn preview(&self, to: Percent, scene: &Scene<'_>) -> Result<Vec<Act>, TrafficError> {
        let _ = (to, scene);
        Ok(Vec::new())
    }

    /// Keeps whatever would overrule it from changing a Deployment's number of replicas, which the
    /// engine is about to set. Most routers have nothing to do with the replica counts.
    async fn pin(&self, deployment: &str, replicas: u32) -> Result<(), TrafficError> {
        let _ = (deployment, replicas);
        Ok(())
    }

    /// Lets go of what was pinned for the release; harmless when nothing is.
    async fn unpin(&self) -> Result<(), TrafficError>;
}
