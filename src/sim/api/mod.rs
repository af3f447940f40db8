//! The wire of the simulated API server.
//!
//! Owns: routing, representation, validation, authorisation, port-forward, and the doors through
//! which clients come in. Must not: roll anything out; controllers do that, on the store.

mod admission;
mod apps;
mod cells;
mod client;
mod columns;
mod convert;
mod defaults;
mod delete;
mod discovery;
mod exchange;
mod gojson;
mod list;
mod metrics;
mod objects;
mod options;
mod patch;
mod portforward;
mod protobuf;
mod proxy;
pub mod quota;
mod reply;
mod request;
mod resources;
mod rules;
mod scale;
mod schema;
mod select;
mod serve;
mod spdy;
mod strategic;
mod table;
mod validate;
mod watch;
mod written;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use serde_json::{Value, json};

pub use self::{
    admission::Admission,
    apps::{Apps, ContainerUsage, Listener, NoApps, PodUsage, Speaker},
    delete::{FOREGROUND, finish_namespace},
    metrics::serve_metrics,
    reply::Out,
    rules::Rules,
    serve::kubeconfig,
};
use self::{
    reply::{not_allowed, nowhere},
    request::{Call, bad_request},
    resources::Target,
    written::Written,
};
use super::{
    fields::{self, Writer},
    store::{Key, Refusal, Store},
};

/// Fills in what the API server fills in when an object is created.
///
/// For what is put on the store directly, as controllers do, so that clients see it complete.
/// Does nothing for a resource that is not built in.
pub fn complete(store: &Store, group: &str, plural: &str, object: &mut Value) {
    let version = if group == "autoscaling" { "v2" } else { "v1" };
    if let Some(resource) = resources::find(store, group, version, plural) {
        defaults::fill(&resource, object, false);
        defaults::admit(plural, object);
    }
}

/// Like [`complete`], and notes that `writer` set what is there before admission.
pub fn compose(store: &Store, writer: &Writer, group: &str, plural: &str, object: &mut Value) {
    let version = if group == "autoscaling" { "v2" } else { "v1" };
    if let Some(resource) = resources::find(store, group, version, plural) {
        defaults::fill(&resource, object, false);
        fields::stamp(None, object, writer, &store.stamp());
        defaults::admit(plural, object);
    }
}

/// Returns whether the API server serves a resource.
pub fn serves(store: &Store, group: &str, version: &str, plural: &str) -> bool {
    resources::find(store, group, version, plural).is_some()
}

/// Namespaces that every cluster has.
const NAMESPACES: [&str; 3] = ["default", "kube-system", "kube-public"];

/// A simulated API server: cheap to clone, every clone is the same server.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    apps: Arc<dyn Apps>,
    rules: RwLock<Rules>,
    admission: RwLock<Option<Admission>>,
    graceful: bool,
    written: Written,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    /// Returns a server over a store, with `apps` behind the ports of its pods.
    ///
    /// The namespaces every cluster has are created. A deleted pod is gone at once: see
    /// [`Server::with_kubelets`].
    pub fn new(store: Store, apps: Arc<dyn Apps>) -> Self {
        for name in NAMESPACES {
            let key = Key::new("", "namespaces", "", name);
            if store.get(&key).is_none() {
                let namespace = json!({
                    "apiVersion": "v1",
                    "kind": "Namespace",
                    "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
                    "spec": {"finalizers": ["kubernetes"]},
                    "status": {"phase": "Active"},
                });
                // Nobody else has the store yet; a second server on it finds the namespace.
                store.create(key, namespace, false).ok();
            }
        }
        Self {
            inner: Arc::new(Inner {
                store,
                apps,
                rules: RwLock::new(Rules::default()),
                admission: RwLock::default(),
                graceful: false,
                written: Written::default(),
            }),
        }
    }

    /// Returns a server whose deleted pods wait for their kubelet.
    ///
    /// A DELETE of a scheduled pod then only sets `metadata.deletionTimestamp`; whoever plays the
    /// kubelet deletes it from the store when it has stopped.
    pub fn with_kubelets(self) -> Self {
        let inner = Inner {
            store: self.inner.store.clone(),
            apps: self.inner.apps.clone(),
            rules: RwLock::new(self.rules()),
            admission: RwLock::new(self.admission()),
            graceful: true,
            written: Written::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Returns the store behind the server.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    fn written(&self) -> &Written {
        &self.inner.written
    }

    /// Returns the rules in force.
    pub fn rules(&self) -> Rules {
        let rules = self.inner.rules.read();
        rules.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts other rules in force, for every request from now on.
    pub fn set_rules(&self, rules: Rules) {
        *self
            .inner
            .rules
            .write()
            .unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// Returns the admission in force.
    pub fn admission(&self) -> Option<Admission> {
        let admission = self.inner.admission.read();
        admission.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another admission in force, for every write from now on.
    pub fn set_admission(&self, admission: Option<Admission>) {
        *self
            .inner
            .admission
            .write()
            .unwrap_or_else(PoisonError::into_inner) = admission;
    }

    /// Has the admission change, or refuse, an object that is about to be stored.
    fn admit(
        &self,
        target: &Target,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), Refusal> {
        match self.admission() {
            Some(admission) => admission.review(&target.key(), object, old),
            None => Ok(()),
        }
    }

    /// Answers one request.
    pub async fn answer<B>(&self, mut request: Request<B>) -> Response<Out>
    where
        B: http_body::Body + Send,
        B::Data: Send,
    {
        let upgrade = hyper::upgrade::on(&mut request);
        let (parts, body) = request.into_parts();
        let Ok(body) = body.collect().await else {
            return reply::refusal(&bad_request("the request body could not be read"));
        };
        let call = Arc::new(Call::new(parts, body.to_bytes()));
        let response = match self.route(&call, upgrade).await {
            Ok(response) => response,
            Err(refusal) => reply::refusal(&refusal),
        };
        reply::dated(response, self.store().clock().now())
    }

    async fn route(&self, call: &Arc<Call>, upgrade: OnUpgrade) -> Result<Response<Out>, Refusal> {
        let segments = call.segments();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        call.check_accept()?;
        if discovery::is_nowhere(self, &segments) {
            return Ok(reply::no_page());
        }
        if let Some(page) = discovery::answer(self, call, &segments) {
            return page;
        }
        let target = self.target(&segments)?;
        let verb = verb_of(call, &target)?;
        let response = self.perform(call, &target, verb, upgrade).await?;
        let old = target.resource.group.is_empty() && target.resource.plural == "endpoints";
        let said = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";
        let warnings = if old {
            vec![said.to_owned()]
        } else {
            Vec::new()
        };
        Ok(reply::warned(response, &warnings))
    }

    /// Answers a request about a resource.
    async fn perform(
        &self,
        call: &Arc<Call>,
        target: &Target,
        verb: &str,
        upgrade: OnUpgrade,
    ) -> Result<Response<Out>, Refusal> {
        self.rules().check(verb, target)?;
        if target.resource.is_review() {
            return self.review(target, call);
        }
        if target.resource.group == metrics::GROUP {
            return match verb {
                _ if !target.sub.is_empty() => Err(nowhere()),
                "get" => metrics::get(self, target, call),
                "list" => metrics::list(self, target, call),
                _ => Err(not_allowed()),
            };
        }
        match target.sub.first().map(String::as_str) {
            None => match verb {
                "get" => objects::get(self, target, call),
                "list" => list::answer(self, target, call),
                "watch" => watch::answer(self, target, call),
                "create" => objects::create(self, target, call),
                "update" | "patch" => objects::update(self, target, call),
                "delete" => delete::one(self, target, call),
                "deletecollection" => delete::many(self, target, call),
                _ => Err(not_allowed()),
            },
            Some("scale") if target.resource.scale.is_some() => match verb {
                "get" | "update" | "patch" => scale::answer(self, target, call),
                _ => Err(not_allowed()),
            },
            Some("status") if target.resource.status => match verb {
                "get" => objects::get(self, target, call),
                "update" | "patch" => objects::update(self, target, call),
                _ => Err(not_allowed()),
            },
            Some("portforward") if is_pod(target) => {
                portforward::answer(self, target, call, upgrade)
            }
            Some("proxy") if is_pod(target) => proxy::answer(self, target, call).await,
            // A custom resource is looked for before its subresource is.
            Some(_) if !target.resource.builtin => Err(Refusal::not_found(&target.key())),
            Some(_) => Err(nowhere()),
        }
    }

    /// Returns what a path names.
    fn target(&self, segments: &[&str]) -> Result<Target, Refusal> {
        let (group, version, rest) = match segments {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(nowhere()),
        };
        let (namespace, rest) = match rest {
            ["namespaces", _, "status" | "finalize"] => ("", rest),
            ["namespaces", namespace, deeper @ ..] if !deeper.is_empty() => (*namespace, deeper),
            _ => ("", rest),
        };
        let [plural, rest @ ..] = rest else {
            return Err(nowhere());
        };
        let resource = resources::find(self.store(), group, version, plural).ok_or_else(nowhere)?;
        if !namespace.is_empty() && !resource.namespaced {
            return Err(nowhere());
        }
        let (name, sub) = match rest {
            [] => ("", rest),
            [name, sub @ ..] => (*name, sub),
        };
        if resource.namespaced && namespace.is_empty() && !name.is_empty() {
            return Err(nowhere());
        }
        Ok(Target {
            resource,
            version: version.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            sub: sub.iter().map(|&s| s.to_owned()).collect(),
        })
    }

    /// Refuses to create an object in a namespace that is missing or going away.
    fn check_namespace(&self, target: &Target, name: &str) -> Result<(), Refusal> {
        if !target.resource.namespaced {
            return Ok(());
        }
        let namespace = target.namespace.as_str();
        if namespace.is_empty() {
            return Err(bad_request(
                "an empty namespace may not be set during creation",
            ));
        }
        let key = Key::new("", "namespaces", "", namespace);
        let found = self.store().get(&key);
        let found = found.ok_or_else(|| Refusal::not_found(&key))?;
        if found["status"]["phase"] != "Terminating" {
            return Ok(());
        }
        let subject = target.key().qualified();
        Err(Refusal {
            details: json!({
                "name": name,
                "group": target.resource.group,
                "kind": target.resource.plural,
                "causes": [{"reason": "NamespaceTerminating", "message": format!("namespace {namespace} is being terminated"), "field": "metadata.namespace"}],
            }),
            ..Refusal::new(
                403,
                "Forbidden",
                format!(
                    "{subject} \"{name}\" is forbidden: unable to create new content in namespace {namespace} because it is being terminated"
                ),
            )
        })
    }

    /// Answers a question about what the user may do.
    fn review(&self, target: &Target, call: &Call) -> Result<Response<Out>, Refusal> {
        let mut asked = call.object(target)?;
        let attributes = &asked["spec"];
        if target.resource.plural == "selfsubjectaccessreviews"
            && attributes["resourceAttributes"].is_null()
            && attributes["nonResourceAttributes"].is_null()
        {
            let why =
                "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            let cause = validate::Cause::invalid("spec.resourceAttributes", &Value::Null, why);
            let group = target.resource.group.as_str();
            return Err(validate::invalid(
                &format!(".{group}"),
                (group, ""),
                "",
                &[cause],
            ));
        }
        asked["apiVersion"] = json!(target.api_version());
        asked["kind"] = json!(target.resource.kind);
        if !asked["metadata"].is_object() {
            asked["metadata"] = json!({});
        }
        let writer = objects::writer(target, call);
        fields::stamp(None, &mut asked, &writer, &self.store().stamp());
        let rules = self.rules();
        let answer = if target.resource.plural == "selfsubjectaccessreviews" {
            rules.access_review(&asked)
        } else {
            rules.rules_review(&asked, &resources::catalog(self.store()))
        };
        Ok(reply::json(201, &answer))
    }
}

fn is_pod(target: &Target) -> bool {
    target.resource.group.is_empty() && target.resource.plural == "pods"
}

/// Returns the verb of a request, as authorisation knows it.
fn verb_of(call: &Call, target: &Target) -> Result<&'static str, Refusal> {
    let named = !target.name.is_empty();
    let verb = match call.method {
        Method::GET | Method::HEAD if call.flag("watch") && target.sub.is_empty() => "watch",
        Method::GET | Method::HEAD if named => "get",
        Method::GET | Method::HEAD => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if named => "delete",
        Method::DELETE => "deletecollection",
        _ => return Err(not_allowed()),
    };
    let needs_name = matches!(verb, "update" | "patch");
    let needs_collection = verb == "create" && target.sub.is_empty();
    let served = !target.sub.is_empty() || target.resource.verbs().contains(&verb);
    if (needs_name && !named) || (needs_collection && named) || !served {
        return Err(not_allowed());
    }
    Ok(verb)
}
