//! What is served: version, health, group and resource lists, the `OpenAPI` that kubectl asks for.
//!
//! Owns: discovery, plain and aggregated. Must not: describe schemas; there are none.

use std::sync::Arc;

use http::{Method, Response};
use serde_json::{Value, json};

use super::{
    Server,
    reply::{self, Out, not_allowed, nowhere},
    request::Call,
    resources::{self, Resource},
};
use crate::sim::store::Refusal;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// `openapi.v2.Document{swagger: "2.0", info: {title: "Kubernetes", version: "v1.36.2"}}` as
/// protobuf: the only form kubectl reads.
const OPENAPI_V2: &[u8] = b"\x0a\x032.0\x12\x15\x0a\x0aKubernetes\x12\x07v1.36.2";

/// Returns whether a path leads to a group that nobody serves, or nowhere at all.
pub(crate) fn is_nowhere(server: &Server, path: &[&str]) -> bool {
    match path {
        ["apis", group, ..] => {
            let known = resources::catalog(server.store());
            !known.iter().any(|r| r.group == *group)
        }
        [] => false,
        [first, ..] => ![
            "api", "apis", "openapi", "version", "healthz", "readyz", "livez",
        ]
        .contains(first),
    }
}

/// Answers a request for one of the pages about the server itself; `None` for all other paths.
pub(crate) fn answer(
    server: &Server,
    call: &Call,
    path: &[&str],
) -> Option<Result<Response<Out>, Refusal>> {
    let page = match path {
        ["healthz" | "readyz" | "livez", ..] => Ok(reply::text(200, "ok")),
        ["version"] => Ok(reply::json(200, &version())),
        [] => Ok(reply::json(
            200,
            &json!({"paths": ["/api", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]}),
        )),
        ["api"] => Ok(roots(server, call, true)),
        ["apis"] => Ok(roots(server, call, false)),
        ["api", version] => list(server, "", version),
        ["apis", group] => one_group(server, group),
        ["apis", group, version] => list(server, group, version),
        ["openapi", "v2"] => Ok(openapi_v2(call)),
        ["openapi", "v3"] => Ok(reply::json(200, &openapi_index(server))),
        ["openapi", "v3", "api", version] => openapi(server, "", version),
        ["openapi", "v3", "apis", group, version] => openapi(server, group, version),
        _ => return None,
    };
    if call.method == Method::GET || call.method == Method::HEAD {
        Some(page)
    } else {
        Some(Err(not_allowed()))
    }
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": "36",
        "gitVersion": "v1.36.2+canaryctl-sim",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": "linux/amd64",
    })
}

/// Returns the groups in the order of the catalog, each with its versions, preferred first.
fn groups(known: &[Arc<Resource>]) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for resource in known {
        let hit = groups.iter().position(|(g, _)| *g == resource.group);
        let hit = hit.unwrap_or_else(|| {
            groups.push((resource.group.clone(), Vec::new()));
            groups.len() - 1
        });
        for version in &resource.versions {
            if !groups[hit].1.contains(version) {
                groups[hit].1.push(version.clone());
            }
        }
    }
    groups
}

/// Answers `/api` (`core`) and `/apis`, aggregated when the client takes that.
fn roots(server: &Server, call: &Call, core: bool) -> Response<Out> {
    let known = resources::catalog(server.store());
    let groups = groups(&known);
    let groups = groups.iter().filter(|(group, _)| group.is_empty() == core);
    let accept = call.header("accept").replace(' ', "");
    if accept.split(',').any(|clause| clause == AGGREGATED) {
        let items: Vec<Value> = groups.map(|g| aggregated(g, &known)).collect();
        let body = json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items});
        return reply::bytes(200, AGGREGATED, body.to_string().into());
    }
    if core {
        return reply::json(
            200,
            &json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
        );
    }
    let groups: Vec<Value> = groups.map(group_of).collect();
    reply::json(
        200,
        &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}),
    )
}

fn group_of((group, versions): &(String, Vec<String>)) -> Value {
    let shown: Vec<Value> = versions
        .iter()
        .map(|v| json!({"groupVersion": resources::join(group, v), "version": v}))
        .collect();
    json!({"name": group, "versions": shown, "preferredVersion": shown.first()})
}

fn one_group(server: &Server, group: &str) -> Result<Response<Out>, Refusal> {
    let groups = groups(&resources::catalog(server.store()));
    let found = groups
        .iter()
        .find(|(name, _)| name == group && !name.is_empty());
    let mut body = group_of(found.ok_or_else(nowhere)?);
    body["kind"] = json!("APIGroup");
    body["apiVersion"] = json!("v1");
    Ok(reply::json(200, &body))
}

/// Answers `/api/v1` and `/apis/GROUP/VERSION`.
fn list(server: &Server, group: &str, version: &str) -> Result<Response<Out>, Refusal> {
    let known = served_in(server, group, version)?;
    let mut items = Vec::new();
    for resource in &known {
        let mut item = json!({
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": resource.verbs(),
        });
        if !resource.short_names.is_empty() {
            item["shortNames"] = json!(resource.short_names);
        }
        if !resource.categories.is_empty() {
            item["categories"] = json!(resource.categories);
        }
        items.push(item);
        for sub in resource.subresources() {
            let mut item = json!({
                "name": format!("{}/{}", resource.plural, sub.name),
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": sub.kind,
                "verbs": sub.verbs,
            });
            if !sub.group.is_empty() {
                item["group"] = json!(sub.group);
                item["version"] = json!(sub.version);
            }
            items.push(item);
        }
    }
    let body = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": resources::join(group, version), "resources": items});
    Ok(reply::json(200, &body))
}

fn served_in(server: &Server, group: &str, version: &str) -> Result<Vec<Arc<Resource>>, Refusal> {
    let mut known = resources::catalog(server.store());
    known.retain(|r| r.group == group && r.versions.iter().any(|v| v == version));
    if known.is_empty() {
        return Err(nowhere());
    }
    Ok(known)
}

fn aggregated((group, versions): &(String, Vec<String>), known: &[Arc<Resource>]) -> Value {
    let scope = |r: &Resource| {
        if r.namespaced {
            "Namespaced"
        } else {
            "Cluster"
        }
    };
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| {
            let here = known
                .iter()
                .filter(|r| r.group == *group && r.versions.contains(version));
            let resources: Vec<Value> = here
                .map(|r| {
                    let kind = |g: &str, v: &str, k: &str| json!({"group": g, "version": v, "kind": k});
                    let subs: Vec<Value> = r
                        .subresources()
                        .iter()
                        .map(|s| {
                            let (g, v) = if s.version.is_empty() { (r.group.as_str(), version.as_str()) } else { (s.group, s.version) };
                            json!({"subresource": s.name, "responseKind": kind(g, v, &s.kind), "verbs": s.verbs})
                        })
                        .collect();
                    json!({
                        "resource": r.plural,
                        "responseKind": kind(group, version, &r.kind),
                        "scope": scope(r),
                        "singularResource": r.singular,
                        "verbs": r.verbs(),
                        "shortNames": r.short_names,
                        "categories": r.categories,
                        "subresources": subs,
                    })
                })
                .collect();
            json!({"version": version, "resources": resources, "freshness": "Current"})
        })
        .collect();
    let meta = if group.is_empty() {
        json!({})
    } else {
        json!({"name": group})
    };
    json!({"metadata": meta, "versions": versions})
}

fn openapi_v2(call: &Call) -> Response<Out> {
    if call.header("accept").contains("protobuf") {
        let media = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
        return reply::bytes(200, media, OPENAPI_V2.into());
    }
    let info = json!({"title": "Kubernetes", "version": "v1.36.2"});
    reply::json(200, &json!({"swagger": "2.0", "info": info, "paths": {}}))
}

fn openapi_index(server: &Server) -> Value {
    let mut paths = serde_json::Map::new();
    for (group, versions) in groups(&resources::catalog(server.store())) {
        for version in versions {
            let place = place_of(&group, &version);
            let url = format!("/openapi/v3/{place}");
            paths.insert(place, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// Answers the `OpenAPI` of one group: no schemas, only what tells kubectl that this server checks
/// fields itself and knows dry runs.
fn openapi(server: &Server, group: &str, version: &str) -> Result<Response<Out>, Refusal> {
    let mut paths = serde_json::Map::new();
    for resource in served_in(server, group, version)? {
        let middle = if resource.namespaced {
            "namespaces/{namespace}/"
        } else {
            ""
        };
        let path = format!(
            "/{}/{middle}{}/{{name}}",
            place_of(group, version),
            resource.plural
        );
        let parameter =
            |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
        let operation = json!({
            "parameters": [parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation")],
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": resource.kind},
        });
        paths.insert(path, json!({"patch": operation}));
    }
    let info = json!({"title": "Kubernetes", "version": "v1.36.2"});
    Ok(reply::json(
        200,
        &json!({"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": {}}}),
    ))
}

fn place_of(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}
