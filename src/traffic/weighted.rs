//! What all routers by weights share: finding the objects, reading the split, moving it.
//!
//! Owns: [`Shape`], what one kind of object must say of itself, and the router made of it. Must not:
//! know any kind of object. A write changes weights of routes that hold both sides, and nothing else.

use std::marker::PhantomData;

use async_trait::async_trait;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    Objects, Provider, Router, Scene, Target, TrafficError, Written,
    autoscaler::{hold_above, is_of, is_pinned, let_go, of_sides, typed},
    backend::Backends,
    place::patch,
    route::Route,
};
use crate::{
    cluster::{
        Cluster,
        objects::{Survey, scales},
        routing::{Family, Kind, Place, Wanted},
    },
    domain::{
        change::{Act, Change},
        decide::pods_needed,
        right::{Need, READERS, Right, WRITERS},
        split::{Grain, RouteView, Split},
        view::{Finding, Severity},
        weight::Percent,
        workload::{Track, Workload},
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

    /// Returns what the object's status still waits for since the latest change.
    fn waits_for(object: &Value, options: &Self::Options) -> Option<String> {
        let _ = (object, options);
        None
    }

    /// Returns what else is wrong with an object: how bad, what, why it matters, how to mend it.
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
        rights.push(Right {
            verb: "patch",
            group: "autoscaling".into(),
            resource: "horizontalpodautoscalers".into(),
            subresource: "",
            need: Need::Autoscaler,
            why: "keep autoscalers from taking the canary's pods, and restore them",
            verbs: WRITERS,
        });
        for kind in S::context().iter().filter(|kind| !written.contains(kind)) {
            let why = "tell which destination is which side";
            rights.push(right("list", kind, Need::Always, why, READERS));
        }
        for kind in written.iter().filter(|_| S::makes(&options)) {
            let why = "make the canary's route and delete it at the end";
            rights.push(right("create", kind, Need::Always, why, WRITERS));
            rights.push(right("delete", kind, Need::Always, why, WRITERS));
        }
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
                mend: "name the object in the configuration, or give one of its routes both destinations, the canary's with weight 0".to_owned(),
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
) -> Result<ByWeights<S>, TrafficError> {
    let options = parsed::<S>(options)?;
    let (stable, canary) = options.services();
    let backends = Backends::of(survey, cluster.namespace(), target).with_given(stable, canary);
    let (name, elsewhere) = options.object();
    let namespace = elsewhere.unwrap_or(cluster.namespace());
    let context = context::<S>(survey, namespace);
    let mut places = Vec::new();
    let mut seen = Vec::new();
    for kind in S::kinds(&options) {
        let Some(family) = survey.family(&kind, namespace) else {
            continue;
        };
        let objects = family.objects.as_ref().map_err(Clone::clone)?;
        let fits = |object: &&Value| {
            if let Some(name) = name {
                return object["metadata"]["name"] == name;
            }
            let routes = S::routes(object, &backends, &context, &options);
            routes.iter().any(Route::divides)
        };
        places.extend(
            objects
                .iter()
                .filter(fits)
                .map(|object| place(family, object)),
        );
        seen.extend(objects.iter().map(titled));
    }
    let mut made = None;
    if S::makes(&options) {
        let object = S::made(&options, &backends, &context, target);
        let object = object.map_err(TrafficError::Refused)?;
        let kinds = S::kinds(&options);
        let family = kinds.iter().find_map(|kind| survey.family(kind, namespace));
        let at = family.map(|family| place(family, &object));
        if places.is_empty() {
            places.extend(at);
        }
        made = Some(object);
    }
    let fits = survey
        .routing
        .iter()
        .flat_map(|f| f.objects.iter().flatten());
    for object in fits.filter(|object| places.iter().any(|place| place.holds(object))) {
        if let Some(reason) = S::unfit(object, &backends, &context, &options) {
            let text = format!("{}: {reason}", titled(object));
            return Err(TrafficError::Refused(text));
        }
    }
    if places.is_empty() {
        return Err(TrafficError::Refused(nothing_fits::<S>(
            name, namespace, &options, &seen, target,
        )));
    }
    Ok(ByWeights {
        cluster: cluster.clone(),
        target: target.clone(),
        options,
        backends,
        context,
        places,
        watched: survey.autoscalers.iter().any(|hpa| is_of(hpa, target)),
        made,
    })
}

fn nothing_fits<S: Shape>(
    name: Option<&str>,
    namespace: &str,
    options: &S::Options,
    seen: &[String],
    target: &Target,
) -> String {
    let kinds: Vec<String> = S::kinds(options)
        .into_iter()
        .map(|kind| kind.kind)
        .collect();
    let kinds = kinds.join(" or ");
    if let Some(name) = name {
        return format!("there is no {kinds} {namespace}/{name}");
    }
    let there = if seen.is_empty() {
        format!("there is none in namespace {namespace}")
    } else {
        format!("there are {}", seen.join(", "))
    };
    format!(
        "no {kinds} has a route with destinations of both {} and {}; {there}",
        target.stable, target.canary
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
        need,
        why,
        verbs,
    }
}

fn parsed<S: Shape>(options: &Value) -> Result<S::Options, TrafficError> {
    if options.is_null() {
        return Ok(S::Options::default());
    }
    serde_json::from_value(options.clone()).map_err(|error| TrafficError::Options {
        router: S::NAME,
        reason: error.to_string(),
    })
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

/// Returns an object as messages name it.
fn titled(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let meta = &object["metadata"];
    format!("{} {}", text(&object["kind"]), text(&meta["name"]))
}

struct ByWeights<S: Shape> {
    cluster: Cluster,
    target: Target,
    options: S::Options,
    backends: Backends,
    context: Vec<Value>,
    places: Vec<Place>,
    /// Whether an autoscaler has a say in either Deployment.
    watched: bool,
    /// The object this router makes where it is missing.
    made: Option<Value>,
}

#[async_trait]
impl<S: Shape> Router for ByWeights<S> {
    fn grain(&self) -> Grain {
        Grain::Weight(Percent::whole(1))
    }

    fn pick(&self, survey: &Survey) -> Objects {
        let families = survey.routing.iter();
        let all = families.flat_map(|family| family.objects.iter().flatten());
        let ours = all.filter(|object| self.places.iter().any(|place| place.holds(object)));
        let autoscalers = survey
            .autoscalers
            .iter()
            .filter(|hpa| is_of(hpa, &self.target));
        let autoscalers = autoscalers.filter_map(|hpa| serde_json::to_value(hpa).ok());
        ours.cloned().chain(autoscalers).collect()
    }

    fn written(&self, objects: &Objects) -> Vec<Written> {
        let ours = objects
            .iter()
            .filter(|object| self.places.iter().any(|p| p.holds(object)));
        let written = ours.map(|object| {
            let routes = self.routes(object);
            let parts = routes.iter().filter(|route| route.divides());
            let parts = parts
                .flat_map(|route| &route.parts)
                .filter(|part| part.side.is_some());
            let places = parts.filter_map(|part| part.place.as_ref());
            let mut pointers: Vec<String> = places.map(|place| place.pointer.clone()).collect();
            pointers.dedup();
            Written {
                object: object.clone(),
                pointers,
            }
        });
        written.collect()
    }

    async fn fetch(&self) -> Result<Objects, TrafficError> {
        let (objects, autoscalers) = futures::try_join!(
            async { Ok(self.cluster.objects_at(&self.places).await?) },
            self.autoscalers(),
        )?;
        let autoscalers = autoscalers
            .iter()
            .filter_map(|hpa| serde_json::to_value(hpa).ok());
        Ok(objects.into_iter().chain(autoscalers).collect())
    }

    fn read(&self, wanted: Percent, scene: &Scene<'_>) -> Result<Split, TrafficError> {
        let mut view = View::default();
        for place in &self.places {
            let Some(object) = scene.objects.iter().find(|o| place.holds(o)) else {
                view.miss(place, wanted, self.made.is_some());
                continue;
            };
            if is_created(object) {
                view.pinned.push(place.named());
            }
            let waits = S::waits_for(object, &self.options);
            let routes = self.routes(object);
            view.take(place, wanted, &routes, waits);
        }
        let held = typed(scene.objects);
        let held = held.iter().filter(|hpa| is_pinned(hpa));
        view.pinned.extend(held.map(ResourceExt::name_any));
        let mut split = view.split(wanted, scene);
        // What it waits for first is what the change waits for.
        let pods = self.not_ready_for(wanted, split.set, scene);
        split.waits_for = pods.filter(|_| !split.settled).or(split.waits_for);
        Ok(split)
    }

    async fn shift(&self, to: Percent, scene: &Scene<'_>) -> Result<Vec<Act>, TrafficError> {
        let present = self.read(to, scene)?.set;
        if self.not_ready_for(to, present, scene).is_some() {
            return Ok(Vec::new());
        }
        let mut planned = Vec::new();
        // What is refused in one object leaves the others as they are.
        for place in &self.places {
            let Some(object) = scene.objects.iter().find(|o| place.holds(o)) else {
                if let Some(made) = self.made.as_ref().filter(|_| to > Percent::ZERO) {
                    self.cluster.create_at(place, made).await?;
                    return Ok(vec![Act::in_words(format!("create {}", place.named()))]);
                }
                continue;
            };
            if let Some(reason) = S::unfit(object, &self.backends, &self.context, &self.options) {
                return Err(TrafficError::Refused(format!(
                    "{}: {reason}",
                    place.named()
                )));
            }
            if let Some(reason) = S::refuse(object, to, scene, &self.options) {
                return Err(TrafficError::Refused(format!(
                    "{}: {reason}",
                    place.named()
                )));
            }
            if let Some(write) = self.write(place, object, to)? {
                planned.push(write);
            }
        }
        let mut done: Vec<Act> = Vec::new();
        for (place, version, operations, act) in planned {
            self.cluster
                .change_fields(place, &version, operations)
                .await?;
            done.push(act);
        }
        Ok(done)
    }

    /// An autoscaler follows the load, but not below what the canary's share needs.
    async fn pin(&self, deployment: &str, replicas: u32) -> Result<(), TrafficError> {
        let autoscalers = self.autoscalers().await?;
        match autoscalers.iter().find(|hpa| scales(hpa, deployment)) {
            Some(hpa) if replicas > 0 => {
                hold_above(&self.cluster, hpa, replicas).await?;
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn unpin(&self) -> Result<(), TrafficError> {
        for hpa in self
            .autoscalers()
            .await?
            .iter()
            .filter(|hpa| is_pinned(hpa))
        {
            let_go(&self.cluster, hpa).await?;
        }
        for object in self
            .fetch()
            .await?
            .iter()
            .filter(|object| is_created(object))
        {
            if let Some(place) = self.places.iter().find(|place| place.holds(object)) {
                self.cluster.delete_at(place, object).await?;
            }
        }
        Ok(())
    }
}

/// Returns whether this tool made the object.
fn is_created(object: &Value) -> bool {
    object["metadata"]["annotations"][CREATED] == "true"
}

/// A write: where, at which version, by which operations, and in words.
type Write<'p> = (&'p Place, String, Vec<Value>, Act);

impl<S: Shape> ByWeights<S> {
    /// Returns what is good and bad about the objects.
    fn findings(&self, survey: &Survey) -> Vec<Finding> {
        let kinds = S::kinds(&self.options);
        let families = survey
            .routing
            .iter()
            .filter(|family| kinds.contains(&family.kind));
        let all: Vec<Value> = families
            .flat_map(|family| family.objects.iter().flatten())
            .cloned()
            .collect();
        let mut found = Vec::new();
        for place in &self.places {
            let Some(object) = all.iter().find(|object| place.holds(object)) else {
                continue;
            };
            let named = place.named();
            found.extend(about(&named, &self.routes(object)));
            if let Some(what) = S::waits_for(object, &self.options) {
                found.push(Finding {
                    severity: Severity::Warning,
                    place: named.clone(),
                    what: format!("its status is not as it should be: it waits for {what}"),
                    why: "a change of the weights is not done before its status says so".to_owned(),
                    mend: "look at the status of the object, and at the controller behind it"
                        .to_owned(),
                });
            }
            let own = S::findings(object, &all).into_iter();
            found.extend(own.map(|(severity, what, why, mend)| Finding {
                severity,
                place: named.clone(),
                what,
                why,
                mend,
            }));
        }
        found
    }

    fn routes(&self, object: &Value) -> Vec<Route> {
        let mut routes = S::routes(object, &self.backends, &self.context, &self.options);
        let chosen = self.options.routes();
        for route in &mut routes {
            if !chosen.is_empty() && !chosen.contains(&route.name) {
                route.left_alone = Some("not among the routes of the configuration".to_owned());
            }
        }
        routes
    }

    async fn autoscalers(&self) -> Result<Vec<HorizontalPodAutoscaler>, TrafficError> {
        if !self.watched {
            return Ok(Vec::new());
        }
        of_sides(&self.cluster, &self.target).await
    }

    fn write<'p>(
        &self,
        place: &'p Place,
        object: &Value,
        to: Percent,
    ) -> Result<Option<Write<'p>>, TrafficError> {
        let named = place.named();
        let refused = |reason: String| TrafficError::Refused(format!("{named}: {reason}"));
        let routes = self.routes(object);
        let mut weights = Vec::new();
        let mut from = None;
        for route in routes.iter().filter(|route| route.divides()) {
            if let Some(trouble) = route.trouble() {
                return Err(refused(trouble));
            }
            from = from.max(route.share());
            weights.extend(route.written(to).map_err(refused)?);
        }
        let operations = patch(object, &weights).map_err(refused)?;
        if operations.is_empty() {
            return Ok(None);
        }
        let changed = weights.iter().map(|(at, weight)| Change {
            object: named.clone(),
            path: at.shown(),
            from: at
                .read(object)
                .map_or(Value::Null, |now| at.form.write(now)),
            to: at.form.write(*weight),
        });
        let act = Act {
            what: format!(
                "set the canary's weight in {named} from {} to {to}",
                from.unwrap_or_default()
            ),
            changes: changed.filter(|change| change.from != change.to).collect(),
        };
        let version = object["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default();
        Ok(Some((place, version.to_owned(), operations, act)))
    }

    /// Returns what must be ready before traffic may move to `to`: no weight goes to a side that
    /// has not the pods for it.
    fn not_ready_for(&self, to: Percent, present: Percent, scene: &Scene<'_>) -> Option<String> {
        let (stable, canary) = (ready(scene.stable), scene.canary.map_or(0, ready));
        if to > present {
            let need = pods_needed(to, self.target.total);
            let text = format!(
                "{}: {canary} of {need} pods to be ready",
                self.target.canary
            );
            return (canary < need).then_some(text);
        }
        // A canary without ready pods serves nobody: nothing is lost by leaving it.
        let text = format!("{}: a pod to be ready", self.target.stable);
        (to < present && stable == 0 && canary > 0).then_some(text)
    }
}

/// Returns what is good and bad about the routes of an object.
fn about(named: &str, routes: &[Route]) -> Vec<Finding> {
    let find = |severity, what: String, why: &str, mend: &str| Finding {
        severity,
        place: named.to_owned(),
        what,
        why: why.to_owned(),
        mend: mend.to_owned(),
    };
    let mut found = Vec::new();
    for route in routes {
        let name = &route.name;
        for part in &route.parts {
            let Some(trouble) = &part.trouble else {
                continue;
            };
            let severity = if part.weight > 0 || !route.divides() {
                Severity::Error
            } else {
                Severity::Warning
            };
            found.push(find(
                severity,
                format!("{name}: {trouble}"),
                "requests that go there fail, or reach the wrong side",
                "mend the destination, or what it selects by",
            ));
        }
        if let Some(trouble) = route.trouble() {
            found.push(find(
                Severity::Error,
                trouble,
                "it is not clear which of their weights is the side's",
                "leave one destination for each side",
            ));
        }
        let text = match (route.share(), route.why_left_alone()) {
            (Some(share), None) => {
                format!("{name} divides traffic between both sides: canary {share}")
            }
            (None, None) => {
                format!("{name} divides traffic between both sides; both weights are 0")
            }
            (_, Some(why)) => format!("{name} is left alone: it {why}"),
        };
        found.push(find(Severity::Ok, text, "", ""));
    }
    if !routes.iter().any(Route::divides) {
        found.push(find(
            Severity::Error,
            "no route of it holds both sides".to_owned(),
            "no weight can be set",
            "give a route both destinations, the canary's with weight 0",
        ));
    }
    found
}

/// What is gathered of all objects.
#[derive(Default)]
struct View {
    shares: Vec<Percent>,
    matches: bool,
    strayed: bool,
    details: Vec<String>,
    waits_for: Vec<String>,
    routes: Vec<RouteView>,
    pinned: Vec<String>,
}

impl View {
    /// Takes in that an object is not there; without one that is made when it is needed nobody
    /// reaches the canary.
    fn miss(&mut self, place: &Place, wanted: Percent, made: bool) {
        self.details.push(place.named());
        if wanted > Percent::ZERO || !made {
            self.strayed = true;
            self.waits_for.push(format!("{} to exist", place.named()));
        }
    }

    fn take(&mut self, place: &Place, wanted: Percent, routes: &[Route], waits: Option<String>) {
        let named = place.named();
        let divides = routes.iter().any(Route::divides);
        for route in routes {
            let left_alone = route.why_left_alone();
            let share = route.share().filter(|_| left_alone.is_none());
            if route.divides() {
                self.shares.extend(share);
                if !route.is_at(wanted) {
                    self.strayed = true;
                    self.waits_for
                        .push(format!("{named}, {}: weight {wanted}", route.name));
                }
            }
            self.routes.push(RouteView {
                object: named.clone(),
                route: route.name.clone(),
                canary: share,
                left_alone,
            });
        }
        if !divides {
            // Without a route to the canary nobody reaches it; more than that cannot be had.
            let leads = routes
                .iter()
                .any(|r| r.left_alone.is_none() && r.part(Track::Canary).is_some());
            if wanted > Percent::ZERO || leads {
                self.strayed = true;
                self.waits_for
                    .push(format!("{named}: a route with destinations of both sides"));
            }
        }
        self.waits_for
            .extend(waits.map(|what| format!("{named}: {what}")));
        self.details.push(named);
    }

    fn split(mut self, wanted: Percent, scene: &Scene<'_>) -> Split {
        let set = self.shares.iter().max().copied().unwrap_or_default();
        let (stable_ready, canary_ready) = (ready(scene.stable), scene.canary.map_or(0, ready));
        if set < Percent::FULL && stable_ready == 0 {
            self.waits_for
                .push(format!("{}: a pod to be ready", scene.stable.name));
        }
        if set > Percent::ZERO && canary_ready == 0 {
            self.waits_for
                .push("the canary: a pod to be ready".to_owned());
        }
        self.matches = !self.strayed && !self.details.is_empty();
        Split {
            wanted,
            set,
            actual: set,
            matches: self.matches,
            settled: self.matches && self.waits_for.is_empty(),
            stable_ready,
            canary_ready,
            detail: format!("weights of {}", self.details.join(", ")),
            pinned: self.pinned,
            waits_for: self.waits_for.into_iter().next(),
            routes: self.routes,
        }
    }
}

fn ready(side: &Workload) -> u32 {
    let ready = side.pods.iter().filter(|p| p.ready).count();
    u32::try_from(ready).unwrap_or(u32::MAX)
}
