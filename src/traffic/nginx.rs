//! ingress-nginx: the weight of a canary Ingress.
//!
//! Owns: `canary-weight`, and making a canary Ingress where that is asked for. Must not: touch the
//! main Ingress, header and cookie annotations, or write `canary: "false"`, which the controller's
//! admission refuses.
//!
//! The controller sends a request to the canary when a random number up to the total is not above
//! the weight. The total is 100 unless `canary-weight-total` is larger. Stable gets the rest.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Scene, Target,
    alb::{escaped, ingresses},
    backend::{Backends, Whose},
    blueprint::{Blueprint, Gap, Site},
    place::{Form, Place},
    route::{Part, Route, Scale},
    weighted::{CREATED, Common as _, Shape, named_by, spec_of},
    words::titled,
};
use crate::{
    cluster::routing::Kind,
    domain::{view::Severity, weight::Percent, workload::Track},
};

/// Start of the annotations' names; a flag of the controller can change it.
const PREFIX: &str = "nginx.ingress.kubernetes.io";

/// Annotation with the class of an Ingress, from before it was a field.
const CLASS: &str = "kubernetes.io/ingress.class";

/// The total the controller goes by where none, or a smaller one, is written.
const TOTAL: u64 = 100;

/// The router by canary Ingress.
pub(super) struct Nginx;

/// Options of the router.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(rename = "NginxOptions")]
pub(super) struct Options {
    /// Name of the canary Ingress, or `namespace/name`. Default: every canary Ingress that leads to
    /// the canary; with `createCanaryIngress` the name of the main one with `-canary` added.
    #[serde(skip_serializing_if = "Option::is_none")]
    ingress: Option<String>,
    /// Make the canary Ingress from the main one, and delete it at the end.
    #[serde(skip_serializing_if = "is_false")]
    create_canary_ingress: bool,
    /// Start of the annotations' names, where the controller has another one than
    /// nginx.ingress.kubernetes.io.
    #[serde(skip_serializing_if = "Option::is_none")]
    annotation_prefix: Option<String>,
    /// Stable's Service, where selectors do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    stable_service: Option<String>,
    /// The canary's Service, where selectors do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    canary_service: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Options {
    fn key(&self, name: &str) -> String {
        let prefix = self.annotation_prefix.as_deref().unwrap_or(PREFIX);
        format!("{prefix}/{name}")
    }

    fn note<'v>(&self, ingress: &'v Value, name: &str) -> Option<&'v str> {
        ingress["metadata"]["annotations"][self.key(name).as_str()].as_str()
    }

    fn is_canary(&self, ingress: &Value) -> bool {
        self.note(ingress, "canary") == Some("true")
    }

    fn total(&self, ingress: &Value) -> u64 {
        let total = self.note(ingress, "canary-weight-total");
        let total = total.and_then(|text| text.parse().ok());
        total.unwrap_or(TOTAL).max(TOTAL)
    }
}

named_by!(Options, ingress);

impl Shape for Nginx {
    type Options = Options;

    const NAME: &'static str = "nginx";
    const ABOUT: &'static str = "weight of a canary Ingress of ingress-nginx";

    fn kinds(_: &Options) -> Vec<Kind> {
        vec![ingresses()]
    }

    /// The main Ingress tells which Service is stable's.
    fn context() -> Vec<Kind> {
        vec![ingresses()]
    }

    fn makes(options: &Options) -> bool {
        options.create_canary_ingress
    }

    fn routes(
        object: &Value,
        backends: &Backends,
        context: &[Value],
        options: &Options,
    ) -> Vec<Route> {
        if !options.is_canary(object) {
            return Vec::new();
        }
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let total = options.total(object);
        let place = Place {
            pointer: format!(
                "/metadata/annotations/{}",
                escaped(&options.key("canary-weight"))
            ),
            inner: None,
            form: Form::Text,
        };
        // What is no number is 0 to the controller, what is above the total all of it.
        let weight = place.read(object).unwrap_or(0).min(total);
        let route = |path: Path| {
            let main = main_of(object, &path, context, options);
            let side = |service: &str| backends.service(namespace, service).side();
            let trouble = |service: &str| backends.trouble(namespace, service);
            let mut parts = vec![Part {
                trouble: trouble(&path.service),
                side: side(&path.service),
                name: path.service.clone(),
                weight,
                place: Some(place.clone()),
            }];
            parts.extend(main.map(|main| Part {
                trouble: trouble(&main.service),
                side: side(&main.service),
                name: main.service.clone(),
                weight: total - weight,
                place: None,
            }));
            Route {
                name: path.title(),
                parts,
                scale: Scale::Kept,
                left_alone: None,
            }
        };
        paths(object).into_iter().map(route).collect()
    }

    /// Whatever controller reads it, an Ingress without weights leads where its paths say.
    fn leads(object: &Value, backends: &Backends, options: &Options) -> Vec<Route> {
        if options.is_canary(object) {
            return Vec::new();
        }
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let route = |path: Path| Route {
            name: path.title(),
            parts: vec![Part {
                trouble: None,
                side: backends.service(namespace, &path.service).side(),
                name: path.service,
                weight: 1,
                place: None,
            }],
            scale: Scale::Kept,
            left_alone: None,
        };
        paths(object).into_iter().map(route).collect()
    }

    fn unfit(
        object: &Value,
        backends: &Backends,
        context: &[Value],
        options: &Options,
    ) -> Option<String> {
        if !options.is_canary(object) {
            let key = options.key("canary");
            return Some(format!(
                "it has no annotation {key}: \"true\"; weights are only set on a canary Ingress, never on the main one"
            ));
        }
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        paths(object).iter().find_map(|path| {
            let Some(main) = main_of(object, path, context, options) else {
                return Some(format!(
                    "no other Ingress has {}, so the controller ignores the canary there",
                    path.title()
                ));
            };
            if main.service == path.service {
                return Some(format!(
                    "it leads to Service {}, as the main Ingress does",
                    path.service
                ));
            }
            match backends.service(namespace, &main.service) {
                Whose::Both => Some(format!(
                    "Service {} of the main Ingress selects pods of both sides, so the canary gets traffic at any weight",
                    main.service
                )),
                Whose::Side(_) | Whose::Neither | Whose::Unknown => None,
            }
        })
    }

    fn findings(_: &Value, _: &[Value]) -> Vec<(Severity, String, String, String)> {
        vec![(
            Severity::Note,
            "ingress-nginx is retired since March 2026".to_owned(),
            "it gets no more releases and no security fixes".to_owned(),
            "plan to move to an HTTPRoute of the Gateway API, which this tool releases by as well"
                .to_owned(),
        )]
    }

    fn refuse(_: &Value, to: Percent, scene: &Scene<'_>, _: &Options) -> Option<String> {
        let stable = scene.stable.pods.iter().any(|pod| pod.ready);
        let text =
            "the controller answers 503 at weight 100 while the main Service has no ready endpoint";
        (to == Percent::FULL && !stable).then(|| text.to_owned())
    }

    fn made(
        options: &Options,
        backends: &Backends,
        context: &[Value],
        _: &Target,
    ) -> Result<Value, String> {
        let canary = backends.of_side(Track::Canary);
        let canary = options.canary_service.clone().or(canary);
        let canary = canary.ok_or("there is no Service that selects the canary's pods alone")?;
        let leads = |ingress: &&Value| {
            let namespace = ingress["metadata"]["namespace"]
                .as_str()
                .unwrap_or_default();
            let to_stable = |path: &Path| {
                backends.service(namespace, &path.service).side() == Some(Track::Stable)
            };
            !options.is_canary(ingress) && paths(ingress).iter().any(to_stable)
        };
        let mut mains = context.iter().filter(leads);
        let main = match (mains.next(), mains.next()) {
            (Some(main), None) => main,
            (None, _) => return Err("no Ingress leads to stable's Service".to_owned()),
            (Some(_), Some(_)) => {
                return Err("several Ingresses lead to stable's Service".to_owned());
            }
        };
        let namespace = main["metadata"]["namespace"].as_str().unwrap_or_default();
        let to_stable =
            |service: &str| backends.service(namespace, service).side() == Some(Track::Stable);
        Ok(canary_ingress(main, to_stable, options, &canary))
    }

    fn creates() -> Option<Vec<Kind>> {
        Some(vec![ingresses()])
    }

    fn blueprint(mut site: Site<'_>, options: &Options) -> Result<Blueprint, Gap> {
        let app = site.service_name();
        let (main, canaries) = main_ingress(&site, options)?;
        let of_main = paths(main);
        let same = |canary: &&&Value| {
            paths(canary)
                .iter()
                .any(|own| of_main.iter().any(|p| p.is_of(own)))
        };
        if let Some(other) = canaries.iter().find(same) {
            let name = other["metadata"]["name"].as_str().unwrap_or_default();
            return Err(Gap::Taken(site.named("Ingress", name)));
        }
        let narrowed = site.part()?;
        let (canary, made) = site.canary_service()?;
        let mut ingress = canary_ingress(main, |service| service == app, options, &canary);
        let name = ingress["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let there = site.survey.family(&ingresses(), site.namespace);
        let mut there = there
            .into_iter()
            .flat_map(|family| family.objects.iter().flatten());
        if there.any(|other| other["metadata"]["name"] == name.as_str()) {
            return Err(Gap::Taken(site.named("Ingress", &name)));
        }
        let blank = site.object("", "", &name, &Value::Null);
        ingress["metadata"]["labels"] = blank["metadata"]["labels"].clone();
        if let Some(notes) = ingress["metadata"]["annotations"].as_object_mut() {
            // It belongs to the run, not to the router.
            notes.remove(CREATED);
        }
        let version = main["apiVersion"].as_str().unwrap_or_default();
        let version = version
            .split_once('/')
            .map_or(version, |(_, version)| version);
        let words = format!("create canary Ingress {name} to Service {canary} with weight 0");
        let weighted = site.create(&ingresses(), version, ingress, words);
        let titled = titled(main);
        let place = site.named(
            "Ingress",
            main["metadata"]["name"].as_str().unwrap_or_default(),
        );
        let router = spec_of::<Self>(options, &name, (&app, &canary));
        let why = format!("{titled} leads to Service {app}");
        let pieces = narrowed.into_iter().chain(made).chain([weighted]);
        let blueprint = site.blueprint(router, pieces, why);
        Ok(blueprint.with_notes(&place, Self::findings(main, &[])))
    }
}

/// Returns the main Ingress that leads to the app's Service, and the canary Ingresses of the namespace.
fn main_ingress<'s>(
    site: &Site<'s>,
    options: &Options,
) -> Result<(&'s Value, Vec<&'s Value>), Gap> {
    let app = site.service_name();
    let family = site.survey.family(&ingresses(), site.namespace);
    let all = family
        .into_iter()
        .flat_map(|family| family.objects.iter().flatten());
    let (canaries, mains): (Vec<&Value>, Vec<&Value>) = all.partition(|i| options.is_canary(i));
    let leads = |ingress: &&&Value| {
        let to_app = paths(ingress).iter().any(|path| path.service == app);
        to_app && (site.named || is_of_class(ingress, options))
    };
    let mains: Vec<&Value> = mains.iter().filter(leads).copied().collect();
    let namespace = format!("namespace {}", site.namespace);
    match mains.as_slice() {
        [main] if main["apiVersion"] != "networking.k8s.io/v1" => {
            let name = main["metadata"]["name"].as_str().unwrap_or_default();
            let why = "it is served in an old version of the API alone".to_owned();
            Err(Gap::Unfit(site.named("Ingress", name), why))
        }
        [main] => Ok((main, canaries)),
        [] => {
            let why = format!("no Ingress of class nginx leads to Service {app}");
            Err(Gap::NoRoute(namespace, why))
        }
        several => {
            let names: Vec<String> = several.iter().map(|ingress| titled(ingress)).collect();
            let why = format!("{} lead to Service {app}", names.join(" and "));
            Err(Gap::Several(namespace, why))
        }
    }
}

/// Returns whether an Ingress is one of ingress-nginx, as its class and annotations say.
fn is_of_class(ingress: &Value, options: &Options) -> bool {
    let notes = &ingress["metadata"]["annotations"];
    let classes = [&ingress["spec"]["ingressClassName"], &notes[CLASS]];
    let mut classes = classes.into_iter().filter_map(Value::as_str);
    let prefix = options.key("");
    let mut keys = notes.as_object().into_iter().flat_map(|notes| notes.keys());
    classes.any(|class| class.contains("nginx")) || keys.any(|key| key.starts_with(&prefix))
}

/// Returns the canary Ingress of a main one: its paths to stable, leading to the canary's Service
/// with weight 0.
fn canary_ingress(
    main: &Value,
    to_stable: impl Fn(&str) -> bool,
    options: &Options,
    canary: &str,
) -> Value {
    let namespace = main["metadata"]["namespace"].as_str().unwrap_or_default();
    let mut rules = main["spec"]["rules"].clone();
    for rule in rules.as_array_mut().into_iter().flatten() {
        if let Some(paths) = rule["http"]["paths"].as_array_mut() {
            paths.retain(|path| {
                let service = path["backend"]["service"]["name"]
                    .as_str()
                    .unwrap_or_default();
                to_stable(service)
            });
            for path in paths {
                path["backend"]["service"]["name"] = json!(canary);
            }
        }
    }
    if let Some(rules) = rules.as_array_mut() {
        rules.retain(|rule| {
            rule["http"]["paths"]
                .as_array()
                .is_some_and(|p| !p.is_empty())
        });
    }
    let mut annotations = json!({
        options.key("canary"): "true",
        options.key("canary-weight"): "0",
        CREATED: "true",
    });
    if let Some(value) = main["metadata"]["annotations"][CLASS].as_str() {
        annotations[CLASS] = json!(value);
    }
    let name = main["metadata"]["name"].as_str().unwrap_or_default();
    let name = options
        .object()
        .0
        .map_or_else(|| format!("{name}-canary"), str::to_owned);
    let mut ingress = json!({
        "apiVersion": main["apiVersion"],
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {"rules": rules},
    });
    if let Some(class) = main["spec"]["ingressClassName"].as_str() {
        ingress["spec"]["ingressClassName"] = json!(class);
    }
    ingress
}

/// One path of an Ingress.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Path {
    host: String,
    at: String,
    service: String,
}

impl Path {
    fn title(&self) -> String {
        let host = if self.host.is_empty() {
            "*"
        } else {
            &self.host
        };
        format!("{host}{}", self.at)
    }

    fn is_of(&self, other: &Self) -> bool {
        self.host == other.host && self.at == other.at
    }
}

fn paths(ingress: &Value) -> Vec<Path> {
    let rules = ingress["spec"]["rules"].as_array().into_iter().flatten();
    let of_rule = |rule: &Value| {
        let host = rule["host"].as_str().unwrap_or_default().to_owned();
        let paths = rule["http"]["paths"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let path = move |path: Value| {
            // `networking.k8s.io/v1beta1` had the name elsewhere.
            let backend = &path["backend"];
            let service = backend["service"]["name"]
                .as_str()
                .or(backend["serviceName"].as_str())?;
            Some(Path {
                host: host.clone(),
                at: path["path"].as_str().unwrap_or("/").to_owned(),
                service: service.to_owned(),
            })
        };
        paths.into_iter().filter_map(path).collect::<Vec<_>>()
    };
    rules.flat_map(of_rule).collect()
}

/// Returns the path of the main Ingress that has the same host and path.
fn main_of(canary: &Value, path: &Path, context: &[Value], options: &Options) -> Option<Path> {
    let namespace = &canary["metadata"]["namespace"];
    let mains = context.iter().filter(|ingress| {
        !options.is_canary(ingress) && ingress["metadata"]["namespace"] == *namespace
    });
    mains.flat_map(paths).find(|main| main.is_of(path))
}
