//! What all routers by weights share: their options, their objects, their entry in the table.
//!
//! Owns: [`Shape`], what one kind of object must say of itself, and finding its objects. Must not:
//! know any kind of object, or move anything; `mover` does.

use std::marker::PhantomData;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    Given, Provider, Router, Scene, Sibling, Target, TrafficError,
    autoscaler::{self, is_of},
    backend::Backends,
    blueprint::{Blueprint, Gap, Site, services},
    findings,
    mover::{ByWeights, Form, Stored},
    route::Route,
    words::{not_served, nothing_fits, titled},
};
use crate::{
    cluster::{
        Cluster,
        objects::Survey,
        routing::{Family, Kind, Place, Wanted},
    },
    domain::{
        release::RouterSpec,
        right::{Need, READERS, Right, WRITERS},
        view::{Finding, Severity},
        weight::Percent,
        workload::Track,
    },
};

/// What one family of routing objects says of itself.
pub(super) trait Shape: Send + Sync + 'static {
    /// Options in configuration.
    type Options: Common
        + Clone
        + Default
        + DeserializeOwned
        + Serialize
        + schemars::JsonSchema
        + Send
        + Sync;

    /// Name in configuration.
    const NAME: &'static str;

    /// One line for `--help`.
    const ABOUT: &'static str;

    /// Returns the kinds that hold weights, as the options narrow them.
    fn kinds(options: &Self::Options) -> Vec<Kind>;

    /// Returns kinds that are only read, to understand the others.
    fn context() -> Vec<Kind> {
        Vec::new()
    }

    /// Returns whether these options have the router make an object of its own.
    fn makes(options: &Self::Options) -> bool {
        let _ = options;
        false
    }

    /// Returns the object to be made; only asked where [`Shape::makes`] says so.
    fn made(
        options: &Self::Options,
        backends: &Backends,
        context: &[Value],
        target: &Target,
    ) -> Result<Value, String> {
        let _ = (options, backends, context, target);
        Err("this router makes no objects".to_owned())
    }

    /// Returns the kinds that a run may create for a route of its own, beside the canary's Service; `None`
    /// where it makes no route.
    fn creates() -> Option<Vec<Kind>> {
        None
    }

    /// Returns what has to be made so that these objects can divide an app's traffic; only asked where
    /// [`Shape::creates`] says so.
    fn blueprint(site: Site<'_>, options: &Self::Options) -> Result<Blueprint, Gap> {
        let _ = options;
        let namespace = format!("namespace {}", site.namespace);
        Err(Gap::NoRoute(
            namespace,
            "this router makes no routes".to_owned(),
        ))
    }

    /// Returns why an object must not be used, if so.
    fn unfit(
        object: &Value,
        backends: &Backends,
        context: &[Value],
        options: &Self::Options,
    ) -> Option<String> {
        let _ = (object, backends, context, options);
        None
    }

    /// Returns every route of an object. `context` holds the objects that are only read.
    fn routes(
        object: &Value,
        backends: &Backends,
        context: &[Value],
        options: &Self::Options,
    ) -> Vec<Route>;

    /// Returns where an object leads that holds no weights; by default nowhere but by its routes.
    fn leads(object: &Value, backends: &Backends, options: &Self::Options) -> Vec<Route> {
        let _ = (object, backends, options);
        Vec::new()
    }

    /// Returns what the object's status still waits for since the latest change.
    fn waits_for(object: &Value, options: &Self::Options) -> Option<String> {
        let _ = (object, options);
        None
    }

    /// Returns what else is wrong with an object: how bad, what, why it matters, how to fix it.
    /// `all` are the objects of its kinds.
    fn findings(object: &Value, all: &[Value]) -> Vec<(Severity, String, String, String)> {
        let _ = (object, all);
        Vec::new()
    }

    /// Refuses a change that this kind of object must not get, with the reason.
    fn refuse(
        object: &Value,
        to: Percent,
        scene: &Scene<'_>,
        options: &Self::Options,
    ) -> Option<String> {
        let _ = (object, to, scene, options);
        None
    }
}

/// Options that every router by weights has.
pub(super) trait Common {
    /// Returns the name of the object, where it is given, and its namespace, where that is another
    /// than the app's.
    fn object(&self) -> (Option<&str>, Option<&str>);

    /// Returns the options for an object that was found.
    fn with_object(self, name: &str) -> Self;

    /// Returns the options with the destinations of both sides by name, where they are told by name.
    #[must_use]
    fn with_services(self, stable: &str, canary: &str) -> Self
    where
        Self: Sized,
    {
        let _ = (stable, canary);
        self
    }

    /// Returns the Services that are said to be stable's and the canary's.
    fn services(&self) -> (Option<&str>, Option<&str>);

    /// Returns what is wrong with the options, if anything is.
    fn refuse(&self) -> Option<String> {
        None
    }

    /// Returns the names of routes that alone are to change; empty for all.
    fn routes(&self) -> &[String] {
        &[]
    }
}

/// Implements [`Common`] for options with the fields `stable_service` and `canary_service`, the given
/// one for the object, and the given one for the names of routes, where there is one.
macro_rules! named_by {
    ($options:ty, $object:ident $(, $routes:ident)?) => {
        impl $crate::traffic::weighted::Common for $options {
            fn object(&self) -> (Option<&str>, Option<&str>) {
                $crate::traffic::weighted::split_name(self.$object.as_deref())
            }

            fn with_object(mut self, name: &str) -> Self {
                self.$object = Some(name.to_owned());
                self
            }

            fn with_services(mut self, stable: &str, canary: &str) -> Self {
                self.stable_service = Some(stable.to_owned());
                self.canary_service = Some(canary.to_owned());
                self
            }

            fn services(&self) -> (Option<&str>, Option<&str>) {
                let (stable, canary) = (&self.stable_service, &self.canary_service);
                (stable.as_deref(), canary.as_deref())
            }

            $(fn routes(&self) -> &[String] {
                &self.$routes
            })?
        }
    };
}
pub(super) use named_by;

/// Annotation on an object that a router made, so that it is known to be deleted at the end.
pub(super) const CREATED: &str = "canaryctl.dev/created";

/// Returns name and namespace of an object given as `name` or `namespace/name`.
pub(super) fn split_name(given: Option<&str>) -> (Option<&str>, Option<&str>) {
    match given.map(|text| text.split_once('/').ok_or(text)) {
        Some(Ok((namespace, name))) => (Some(name), Some(namespace)),
        Some(Err(name)) => (Some(name), None),
        None => (None, None),
    }
}

/// A router by weights: an entry of the table.
pub(super) struct Weighted<S>(PhantomData<S>);

impl<S> Weighted<S> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<S: Shape> Provider for Weighted<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn about(&self) -> &'static str {
        S::ABOUT
    }

    fn options(
        &self,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<Value, erased_serde::Error> {
        let options: S::Options = erased_serde::deserialize(from)?;
        if let Some(reason) = options.refuse() {
            return Err(serde::de::Error::custom(reason));
        }
        serde_json::to_value(options).map_err(serde::de::Error::custom)
    }

    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<S::Options>()
    }

    fn rights(&self, options: &Value) -> Vec<Right> {
        let options = parsed::<S>(options).unwrap_or_default();
        let written = S::kinds(&options);
        let mut rights = Vec::new();
        for (i, kind) in written.iter().enumerate() {
            // Of several kinds an app has one; the first is the usual one.
            let need = if i == 0 { Need::Always } else { Need::Routed };
            rights.push(right(
                "list",
                kind,
                need,
                "find the routes of an app",
                READERS,
            ));
            rights.push(right("get", kind, need, "read the weights", WRITERS));
            rights.push(right("patch", kind, need, "change the weights", WRITERS));
        }
        let why = "keep autoscalers from taking the canary's pods, and restore them";
        rights.push(autoscaler::right(why));
        for kind in S::context().iter().filter(|kind| !written.contains(kind)) {
            let why = "tell which destination is which side";
            rights.push(right("list", kind, Need::Always, why, READERS));
        }
        for kind in written.iter().filter(|_| S::makes(&options)) {
            let why = "make the canary's route and delete it at the end";
            rights.push(right("create", kind, Need::Always, why, WRITERS));
            rights.push(right("delete", kind, Need::Always, why, WRITERS));
        }
        rights.extend(own_route::<S>());
        rights
    }

    fn wanted(&self, options: &Value) -> Vec<Wanted> {
        let options = parsed::<S>(options).unwrap_or_default();
        let (_, namespace) = options.object();
        let mut kinds = S::kinds(&options);
        let context = S::context().into_iter();
        kinds.extend(context.filter(|kind| !S::kinds(&options).contains(kind)));
        let wanted = kinds.into_iter().map(|kind| Wanted {
            kind,
            namespace: namespace.map(str::to_owned),
        });
        wanted.collect()
    }

    fn detect(&self, survey: &Survey, namespace: &str, target: &Target) -> Option<(String, Value)> {
        let options = S::Options::default();
        let backends = Backends::of(survey, namespace, target);
        let context = context::<S>(survey, namespace);
        let divides = |object: &&Value| {
            let routes = S::routes(object, &backends, &context, &options);
            routes.iter().any(Route::divides)
        };
        let kinds = S::kinds(&options);
        let families = kinds
            .iter()
            .filter_map(|kind| survey.family(kind, namespace));
        let found: Vec<&Value> = families
            .flat_map(|family| family.objects.iter().flatten())
            .filter(divides)
            .collect();
        found.first()?;
        let names: Vec<String> = found.iter().map(|object| titled(object)).collect();
        let why = format!("{} divides traffic between both", names.join(" and "));
        // Remembered by name, so that a rollback finds it even when its routes were changed since.
        let options = match found.as_slice() {
            [only] => options.with_object(only["metadata"]["name"].as_str().unwrap_or_default()),
            _ => options,
        };
        Some((why, serde_json::to_value(options).ok()?))
    }

    fn blind(&self, survey: &Survey, namespace: &str) -> Option<String> {
        let kinds = S::kinds(&S::Options::default());
        let mut families = kinds
            .iter()
            .filter_map(|kind| survey.family(kind, namespace));
        families.find_map(|family| family.objects.as_ref().err().map(ToString::to_string))
    }

    fn misfit(&self, survey: &Survey, namespace: &str, target: &Target) -> Option<Finding> {
        let options = S::Options::default();
        let backends = Backends::of(survey, namespace, target);
        let context = context::<S>(survey, namespace);
        let kinds = S::kinds(&options);
        let families = kinds
            .iter()
            .filter_map(|kind| survey.family(kind, namespace));
        let mut objects = families.flat_map(|family| family.objects.iter().flatten());
        objects.find_map(|object| {
            let mut routes = S::routes(object, &backends, &context, &options);
            let unfit = S::unfit(object, &backends, &context, &options);
            let unfit = unfit.filter(|_| routes.iter().any(Route::concerns));
            routes.extend(S::leads(object, &backends, &options));
            let why = unfit.or_else(|| routes.iter().find_map(Route::pins))?;
            Some(findings::misfit(&titled(object), &why, target))
        })
    }

    fn reaches(
        &self,
        objects: &[Value],
        survey: &Survey,
        namespace: &str,
        target: &Target,
    ) -> Option<Finding> {
        let options = S::Options::default();
        let backends = Backends::of(survey, namespace, target);
        let context = context::<S>(survey, namespace);
        let kinds = S::kinds(&options);
        let mut ours = objects
            .iter()
            .filter(|object| kinds.iter().any(|kind| kind.is(object)));
        ours.find_map(|object| {
            let routes = S::routes(object, &backends, &context, &options);
            let named = elsewhere(object);
            if routes.iter().any(Route::divides) {
                return Some(findings::divides(&named, S::NAME, target));
            }
            let why = routes.iter().find_map(Route::pins)?;
            Some(findings::misfit(&named, &why, target))
        })
    }

    fn strays(
        &self,
        cluster: &Cluster,
        target: &Target,
        options: &Value,
        survey: &Survey,
        siblings: &[Sibling],
    ) -> Option<Finding> {
        let router = bound::<S>(cluster, target, options, survey).ok()?;
        let siblings = siblings.iter().filter_map(|Sibling { target, router }| {
            let same = router.name == S::NAME;
            let bound = || bound::<S>(cluster, target, &router.options, survey).ok();
            same.then(bound).flatten()
        });
        let siblings: Vec<ByWeights> = siblings.collect();
        router.strays(survey, &siblings)
    }

    fn blueprint(
        &self,
        survey: &Survey,
        namespace: &str,
        target: &Target,
        given: Given<'_>,
    ) -> Option<Result<Blueprint, Gap>> {
        S::creates()?;
        let options = parsed::<S>(given.options).unwrap_or_default();
        let services = options.services();
        let site = Site::of((survey, namespace), target, given.named, services);
        Some(site.and_then(|site| S::blueprint(site, &options)))
    }

    fn findings(
        &self,
        cluster: &Cluster,
        target: &Target,
        options: &Value,
        survey: &Survey,
    ) -> Vec<Finding> {
        match bound::<S>(cluster, target, options, survey) {
            Ok(router) => router.findings(survey),
            Err(error) => vec![Finding {
                severity: Severity::Error,
                place: format!("namespace {}", cluster.namespace()),
                what: error.to_string(),
                why: "without a route that holds both sides no weight can be set".to_owned(),
                fix: "name the object in the configuration, or give one of its routes both destinations, the canary's with weight 0".to_owned(),
            }],
        }
    }

    fn bind(
        &self,
        cluster: &Cluster,
        target: &Target,
        options: &Value,
        survey: &Survey,
    ) -> Result<Box<dyn Router>, TrafficError> {
        Ok(Box::new(bound::<S>(cluster, target, options, survey)?))
    }
}

fn bound<S: Shape>(
    cluster: &Cluster,
    target: &Target,
    options: &Value,
    survey: &Survey,
) -> Result<ByWeights, TrafficError> {
    let options = parsed::<S>(options)?;
    let (stable, canary) = options.services();
    let backends = Backends::of(survey, cluster.namespace(), target).with_given(stable, canary);
    let (name, elsewhere) = options.object();
    let namespace = elsewhere.unwrap_or(cluster.namespace());
    let shaped = Shaped::<S> {
        context: context::<S>(survey, namespace),
        options: options.clone(),
        backends,
    };
    let kinds = S::kinds(&options);
    let mut places = Vec::new();
    let mut seen = Vec::new();
    for kind in &kinds {
        let Some(family) = survey.family(kind, namespace) else {
            continue;
        };
        let objects = family.objects.as_ref().map_err(Clone::clone)?;
        let fits = |object: &&Value| match name {
            Some(name) => object["metadata"]["name"] == name,
            None => shaped.all_routes(object).iter().any(Route::divides),
        };
        let fitting = objects.iter().filter(fits);
        places.extend(fitting.map(|object| place(family, object)));
        seen.extend(objects.iter().map(titled));
    }
    let mut made = None;
    if S::makes(&options) {
        let object = S::made(&options, &shaped.backends, &shaped.context, target);
        let object = object.map_err(TrafficError::Refused)?;
        let family = kinds.iter().find_map(|kind| survey.family(kind, namespace));
        if places.is_empty() {
            places.extend(family.map(|family| place(family, &object)));
        }
        made = Some(object);
    }
    if places.is_empty() {
        let mut kinds_there = kinds.iter().map(|kind| survey.family(kind, namespace));
        let reason = if kinds_there.any(|family| family.is_some()) {
            nothing_fits(&kinds, name, namespace, &seen, target)
        } else {
            not_served(&kinds)
        };
        return Err(TrafficError::Refused(reason));
    }
    let router = ByWeights {
        cluster: cluster.clone(),
        target: target.clone(),
        form: Box::new(shaped),
        places,
        watched: survey.autoscalers.iter().any(|hpa| is_of(hpa, target)),
        made,
        stored: Stored::default(),
    };
    match router.unfit(survey) {
        Some(reason) => Err(TrafficError::Refused(reason)),
        None => Ok(router),
    }
}

/// A shape with what it needs to read objects: all that the router knows of it.
struct Shaped<S: Shape> {
    options: S::Options,
    backends: Backends,
    context: Vec<Value>,
}

impl<S: Shape> Shaped<S> {
    fn all_routes(&self, object: &Value) -> Vec<Route> {
        S::routes(object, &self.backends, &self.context, &self.options)
    }
}

impl<S: Shape> Form for Shaped<S> {
    fn kinds(&self) -> Vec<Kind> {
        S::kinds(&self.options)
    }

    fn chosen(&self) -> &[String] {
        self.options.routes()
    }

    fn routes(&self, object: &Value) -> Vec<Route> {
        routes_of::<S>(object, &self.backends, &self.context, &self.options)
    }

    fn waits_for(&self, object: &Value) -> Option<String> {
        S::waits_for(object, &self.options)
    }

    fn unfit(&self, object: &Value) -> Option<String> {
        S::unfit(object, &self.backends, &self.context, &self.options)
    }

    fn refuse(&self, object: &Value, to: Percent, scene: &Scene<'_>) -> Option<String> {
        S::refuse(object, to, scene, &self.options)
    }

    fn ready(&self, survey: &Survey, track: Track) -> Option<usize> {
        self.backends.ready(survey, track)
    }

    fn findings(&self, object: &Value, all: &[Value]) -> Vec<(Severity, String, String, String)> {
        S::findings(object, all)
    }
}

/// Returns every route of an object; those that the options do not name are left alone.
pub(super) fn routes_of<S: Shape>(
    object: &Value,
    backends: &Backends,
    context: &[Value],
    options: &S::Options,
) -> Vec<Route> {
    let mut routes = S::routes(object, backends, context, options);
    let chosen = options.routes();
    for route in &mut routes {
        if !chosen.is_empty() && !chosen.contains(&route.name) {
            route.left_alone = Some("not among the routes of the configuration".to_owned());
        }
    }
    routes
}

/// Returns an object of another namespace as messages name it.
fn elsewhere(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let meta = &object["metadata"];
    format!(
        "{} {}/{}",
        text(&object["kind"]),
        text(&meta["namespace"]),
        text(&meta["name"])
    )
}

fn right(
    verb: &'static str,
    kind: &Kind,
    need: Need,
    why: &'static str,
    verbs: &'static [crate::domain::right::Verb],
) -> Right {
    Right {
        verb,
        group: kind.group.clone().into(),
        resource: kind.plural.clone().into(),
        subresource: "",
        namespace: None,
        names: Vec::new(),
        need,
        why,
        verbs,
    }
}

/// Returns the rights to make a route of a run's own, and to take it away.
fn own_route<S: Shape>() -> Vec<Right> {
    let Some(kinds) = S::creates() else {
        return Vec::new();
    };
    let why = "make a route for the release and take it away at the end";
    let mut rights = vec![right("patch", &services(), Need::Route, why, WRITERS)];
    for kind in [services()].iter().chain(&kinds) {
        for verb in ["get", "create", "delete"] {
            rights.push(right(verb, kind, Need::Route, why, WRITERS));
        }
    }
    rights
}

/// Returns router and options with the object that holds the weights, and the destinations of both sides: what
/// becomes of a Service's selector meanwhile must not keep a weight from being lowered.
pub(super) fn spec_of<S: Shape>(
    options: &S::Options,
    name: &str,
    (stable, canary): (&str, &str),
) -> RouterSpec {
    let options = options.clone().with_object(name);
    let options = options.with_services(stable, canary);
    RouterSpec {
        name: S::NAME.to_owned(),
        options: serde_json::to_value(options).unwrap_or_default(),
    }
}

fn parsed<S: Shape>(options: &Value) -> Result<S::Options, TrafficError> {
    super::recorded(S::NAME, options)
}

fn context<S: Shape>(survey: &Survey, namespace: &str) -> Vec<Value> {
    let kinds = S::context();
    let families = kinds
        .iter()
        .filter_map(|kind| survey.family(kind, namespace));
    let objects = families.flat_map(|family| family.objects.iter().flatten());
    objects.cloned().collect()
}

fn place(family: &Family, object: &Value) -> Place {
    family.place(object["metadata"]["name"].as_str().unwrap_or_default())
}
