//! What has to be made in a cluster so that a router by weights can divide an app's traffic.
//!
//! Owns: the parts that routers share (the canary's Service, the app's Service for stable alone, a second
//! destination beside the first), and why it cannot be had. Pure. Must not: read or write the cluster, or
//! choose between routers.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{Target, alb::escaped, backend::Labels};
use crate::{
    cluster::{
        objects::{Survey, selects},
        routing::Kind,
        workloads::{Live, selector_text},
    },
    domain::{
        release::RouterSpec,
        route::{Field, Make, OwnRoute, Piece, RUN, Spot},
        view::{Finding, Severity},
        workload::Tracks,
    },
};

/// Label on what a run makes: who takes it away.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Labels whose value names an app, the usual ones first: the canary's pods get another value of one.
const NAMING: [&str; 4] = ["app", "app.kubernetes.io/name", "k8s-app", "name"];

/// Longest value of a label.
const LONGEST: usize = 63;

/// Track labels: key → value on stable and on the canary.
type TrackLabels = BTreeMap<String, (Option<String>, Option<String>)>;

/// A route that can be made for an app.
#[derive(Debug, Clone, PartialEq)]
pub struct Blueprint {
    /// The router that moves its weights.
    pub router: RouterSpec,
    /// What is made. It is marked with no run yet.
    pub route: OwnRoute,
    /// Track labels of a canary that does not exist yet, beside those it gets anyway.
    pub labels: TrackLabels,
    /// What it is made for, such as `Ingress web leads to Service web`.
    pub why: String,
    /// What else is to be said of the objects it begins with.
    pub notes: Vec<Finding>,
    /// Whether it is only made where no other can be: no object of the app says that it is wanted.
    pub last_resort: bool,
}

/// Why a route cannot be made for an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// No Service leads to stable's pods, or several do.
    Service(String),
    /// No object of the router leads to the app's Service: where, and which was looked for.
    NoRoute(String, String),
    /// Several objects lead there: where, and which.
    Several(String, String),
    /// An object is not one that can be added to: which, and why.
    Unfit(String, String),
    /// The name of what is to be made is taken: by which object.
    Taken(String),
    /// Pods of the canary have users, through the app's Service, by their number.
    Serving(String, String),
    /// The pods of the two sides cannot be told apart: where, and why.
    Labels(String, String),
}

impl Gap {
    /// Returns the object that it is about.
    pub fn place(&self) -> &str {
        match self {
            Self::Service(place)
            | Self::Taken(place)
            | Self::NoRoute(place, _)
            | Self::Several(place, _)
            | Self::Unfit(place, _)
            | Self::Serving(place, _)
            | Self::Labels(place, _) => place,
        }
    }

    /// Returns what to do about it; `canaryctl VERB APP` stands for the command.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Service(_) => "name the Service that users call with --service",
            Self::NoRoute(..) => {
                "create an Ingress or an HTTPRoute for the app first, or name another router with --router"
            }
            Self::Several(..) => {
                "leave one of them for the app, or create the canary's route by hand"
            }
            Self::Unfit(..) => {
                "give its route a second destination for the canary with weight 0 by hand"
            }
            Self::Taken(_) => "rename or delete it, or make it the canary's own",
            Self::Serving(..) => "take the canary out first: `canaryctl rollback APP`",
            Self::Labels(..) => {
                "delete the canary Deployment: the release creates it again with labels of its own"
            }
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(_) => write!(f, "no single Service selects the pods of stable"),
            Self::NoRoute(_, why)
            | Self::Several(_, why)
            | Self::Unfit(_, why)
            | Self::Serving(_, why)
            | Self::Labels(_, why) => f.write_str(why),
            Self::Taken(_) => write!(f, "it exists already, and is not what the release needs"),
        }
    }
}

/// An app as a blueprint sees it.
pub(super) struct Site<'a> {
    pub(super) survey: &'a Survey,
    pub(super) namespace: &'a str,
    pub(super) target: &'a Target,
    /// Whether the router was named: then objects that might be another router's are this one's.
    pub(super) named: bool,
    /// The app's Service.
    pub(super) service: &'a Service,
    /// The name of the canary's Service, where that is given.
    pub(super) given: Option<&'a str>,
    stable: Labels,
    /// Labels of the canary's pods, with those that a blueprint adds.
    canary: Labels,
    /// What tells the sides apart, with what a blueprint adds.
    tracks: TrackLabels,
    /// What is added.
    added: TrackLabels,
}

impl<'a> Site<'a> {
    /// Looks at an app.
    pub(super) fn of(
        (survey, namespace): (&'a Survey, &'a str),
        target: &'a Target,
        named: bool,
        given: (Option<&'a str>, Option<&'a str>),
    ) -> Result<Self, Gap> {
        let nothing = || Gap::Service(format!("namespace {namespace}"));
        let deployment = survey.deployment(&target.stable).ok_or_else(nothing)?;
        let stable = deployment.pod_labels();
        let service = service_of((survey, target), given.0, &stable).ok_or_else(nothing)?;
        let canary = survey.deployment(&target.canary);
        let tracks = match canary {
            Some(canary) => Tracks::between(&deployment.object, &canary.object),
            None => Tracks::invented(&deployment.object),
        };
        let labels = match canary {
            Some(canary) => canary.pod_labels(),
            None => turned(&stable, &tracks.labels),
        };
        Ok(Self {
            survey,
            namespace,
            target,
            named,
            service,
            given: given.1,
            stable,
            canary: labels,
            tracks: tracks.labels,
            added: TrackLabels::new(),
        })
    }

    /// Returns the name of the app's Service.
    pub(super) fn service_name(&self) -> String {
        self.service.name_any()
    }

    /// Returns an object of the app's namespace as messages name it.
    pub(super) fn named(&self, kind: &str, name: &str) -> String {
        format!("{kind} {}/{name}", self.namespace)
    }

    /// Returns whether the app's Service selects the pods of both sides.
    pub(super) fn is_shared(&self) -> bool {
        selects(self.service, &self.canary)
    }

    /// Has the app's Service select stable's pods alone. A canary that does not exist yet gets another value of
    /// a label that the Service selects by: then nothing of the app's is changed. One that exists keeps its
    /// labels, and the Service gets a label of stable's for the time of the release.
    pub(super) fn part(&mut self) -> Result<Option<Piece>, Gap> {
        if !self.is_shared() {
            return Ok(None);
        }
        if self.survey.deployment(&self.target.canary).is_none() {
            let selector = selector(self.service);
            let named = NAMING.into_iter().find(|key| selector.contains_key(*key));
            let key = named.or_else(|| selector.keys().next().map(String::as_str));
            let key = key.unwrap_or_default();
            let value = &selector[key];
            let other = format!("{value}-canary");
            if other.len() > LONGEST {
                let why = format!("label {key}={value} is too long for one of the canary's own");
                return Err(Gap::Labels(
                    self.named("Deployment", &self.target.stable),
                    why,
                ));
            }
            let pair = (Some(value.clone()), Some(other.clone()));
            self.canary.insert(key.to_owned(), other);
            self.tracks.insert(key.to_owned(), pair.clone());
            self.added.insert(key.to_owned(), pair);
            return Ok(None);
        }
        self.no_users_yet()?;
        let name = self.service_name();
        let own = self.tracks.iter();
        let mut own = own.filter_map(|(key, (stable, _))| Some((key, stable.as_ref()?)));
        let Some((key, value)) = own.next() else {
            let why = format!(
                "Service {name} selects the pods of both sides, and stable's have no label that those of {} lack",
                self.target.canary
            );
            return Err(Gap::Labels(self.named("Service", &name), why));
        };
        let field = Field {
            pointer: format!("/spec/selector/{}", escaped(key)),
            before: None,
            during: json!(value),
        };
        Ok(Some(Piece {
            words: format!("narrow the selector of Service {name} to {key}={value}"),
            at: self.spot(&services(), "v1", &name),
            make: Make::Change(vec![field]),
        }))
    }

    /// Refuses where pods of the canary have users by their number: a route would take the canary's share of the
    /// pods out of the traffic at once.
    pub(super) fn no_users_yet(&self) -> Result<(), Gap> {
        let canary = self.survey.deployment(&self.target.canary);
        let pods = canary.map_or(0, Live::replicas);
        if pods == 0 || !self.is_shared() {
            return Ok(());
        }
        let name = self.service_name();
        let pods = match pods {
            1 => "its pod".to_owned(),
            pods => format!("its {pods} pods"),
        };
        Err(Gap::Serving(
            self.named("Service", &name),
            format!("it sends users to {} now, by {pods}", self.target.canary),
        ))
    }

    /// Returns the Service of the canary's pods alone, and what creates it where there is none.
    pub(super) fn canary_service(&self) -> Result<(String, Option<Piece>), Gap> {
        let own =
            |service: &&Service| selects(service, &self.canary) && !selects(service, &self.stable);
        let all = self.survey.services.iter();
        let wanted = |service: &&Service| self.given.is_none_or(|name| service.name_any() == name);
        if let Some(known) = all.clone().filter(wanted).find(own) {
            return Ok((known.name_any(), None));
        }
        let app = self.service_name();
        let name = self
            .given
            .map_or_else(|| format!("{app}-canary"), str::to_owned);
        if self.survey.service(&name).is_some() {
            return Err(Gap::Taken(self.named("Service", &name)));
        }
        let mut select: Labels = selector(self.service)
            .into_keys()
            .filter_map(|key| Some((key.clone(), self.canary.get(&key)?.clone())))
            .collect();
        let own = self.tracks.iter();
        let own = own.filter_map(|(key, (_, canary))| Some((key.clone(), canary.clone()?)));
        let own: Labels = own.collect();
        if own.is_empty() {
            let why = format!(
                "its pods have no label that those of {} lack",
                self.target.stable
            );
            return Err(Gap::Labels(
                self.named("Deployment", &self.target.canary),
                why,
            ));
        }
        select.extend(own);
        let spec = json!({"selector": select, "ports": ports(self.service)});
        let words = format!(
            "create Service {name} that selects {}",
            selector_text(&select)
        );
        let object = self.object("v1", "Service", &name, &spec);
        let piece = self.create(&services(), "v1", object, words);
        Ok((name, Some(piece)))
    }

    /// Returns labels that tell the pods of each side from those of the other, where both have one.
    pub(super) fn labels_of_both(&self) -> Option<(Labels, Labels)> {
        let both = self.tracks.iter().filter_map(|(key, (stable, canary))| {
            Some((key.clone(), stable.clone()?, canary.clone()?))
        });
        let (stable, canary): (Labels, Labels) = both
            .map(|(key, stable, canary)| ((key.clone(), stable), (key, canary)))
            .unzip();
        (!stable.is_empty()).then_some((stable, canary))
    }

    /// Returns an object to be created, with the labels that say whose it is.
    pub(super) fn object(&self, version: &str, kind: &str, name: &str, spec: &Value) -> Value {
        json!({
            "apiVersion": version,
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": {MANAGED_BY: "canaryctl"},
            },
            "spec": spec,
        })
    }

    /// Returns the piece that creates an object.
    pub(super) fn create(&self, kind: &Kind, version: &str, object: Value, words: String) -> Piece {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        Piece {
            at: self.spot(kind, version, name),
            words,
            make: Make::Create(object),
        }
    }

    /// Returns an object's place in the app's namespace.
    pub(super) fn spot(&self, kind: &Kind, version: &str, name: &str) -> Spot {
        Spot {
            group: kind.group.clone(),
            version: version.to_owned(),
            kind: kind.kind.clone(),
            plural: kind.plural.clone(),
            namespace: self.namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Returns the blueprint of these pieces.
    pub(super) fn blueprint(
        self,
        router: RouterSpec,
        pieces: impl IntoIterator<Item = Piece>,
        why: String,
    ) -> Blueprint {
        let rejoins = self.is_shared();
        Blueprint {
            router,
            route: OwnRoute {
                mark: String::new(),
                pieces: pieces.into_iter().collect(),
                rejoins,
                with_canary: self.survey.deployment(&self.target.canary).is_none(),
                gone: false,
            },
            labels: self.added,
            why,
            notes: Vec::new(),
            last_resort: false,
        }
    }
}

impl Blueprint {
    /// Returns the route, made by the run of that name.
    pub fn of_run(&self, run: &str) -> OwnRoute {
        let mut route = self.route.clone();
        run.clone_into(&mut route.mark);
        for piece in &mut route.pieces {
            if let Make::Create(object) = &mut piece.make {
                object["metadata"]["annotations"][RUN] = json!(run);
            }
        }
        route
    }

    /// Adds what is to be said of the object it begins with.
    pub(super) fn with_notes(
        mut self,
        place: &str,
        notes: Vec<(Severity, String, String, String)>,
    ) -> Self {
        let notes = notes.into_iter().map(|(severity, what, why, fix)| Finding {
            severity,
            what,
            place: place.to_owned(),
            why,
            fix,
        });
        self.notes.extend(notes);
        self
    }
}

/// Returns what gives every list of destinations a second one beside the only one, which leads to the app's
/// Service: the canary's, with weight 0. `refs` are the lists, each with its pointer; an error says which
/// cannot be added to, and why.
pub(super) fn doubled(
    refs: &[(String, Vec<Value>)],
    leads: impl Fn(&Value) -> bool,
    canary: impl Fn(&mut Value),
) -> Result<Vec<Field>, String> {
    let mut fields = Vec::new();
    for (pointer, list) in refs {
        if !list.iter().any(&leads) {
            continue;
        }
        let [only] = list.as_slice() else {
            return Err(format!("{pointer} has {} destinations already", list.len()));
        };
        let (mut stable, mut second) = (only.clone(), only.clone());
        stable["weight"] = json!(100);
        second["weight"] = json!(0);
        canary(&mut second);
        fields.push(Field {
            pointer: pointer.clone(),
            before: Some(json!([only])),
            during: json!([stable, second]),
        });
    }
    Ok(fields)
}

/// Returns the kind of Services.
pub(super) fn services() -> Kind {
    Kind::new("", &["v1"], "Service", "services")
}

/// Returns the Service that users call: the one that is named, or the only one that selects stable's pods.
fn service_of<'s>(
    (survey, target): (&'s Survey, &Target),
    given: Option<&str>,
    stable: &Labels,
) -> Option<&'s Service> {
    let own = |service: &&Service| selects(service, stable);
    let named = given.or(target.service.as_deref());
    if let Some(service) = named.and_then(|name| survey.service(name)) {
        return Some(service).filter(own);
    }
    let mut all = survey.services.iter().filter(own);
    all.next().filter(|_| all.next().is_none())
}

fn selector(service: &Service) -> Labels {
    let spec = service.spec.as_ref();
    spec.and_then(|spec| spec.selector.clone())
        .unwrap_or_default()
}

/// Returns the ports of a Service as another one may have them.
fn ports(service: &Service) -> Value {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.clone());
    let ports = ports.unwrap_or_default().into_iter().map(|mut port| {
        // Which port of the nodes it has is a Service's own.
        port.node_port = None;
        serde_json::to_value(port).unwrap_or_default()
    });
    ports.collect()
}

/// Returns stable's labels as the canary's.
fn turned(stable: &Labels, tracks: &TrackLabels) -> Labels {
    let mut labels = stable.clone();
    for (key, (_, canary)) in tracks {
        match canary {
            Some(value) => drop(labels.insert(key.clone(), value.clone())),
            None => drop(labels.remove(key)),
        }
    }
    labels
}
