//! Writing pod templates, and what the server made of them.
//!
//! Owns: creating a Deployment, giving one a template or images, and the answer. Must not: decide, or
//! conclude that pods followed. Every write carries what it was based on: where the answer is another
//! template than was asked for, nobody but the server's admission changed it.

use std::collections::BTreeMap;

use kube::{api::PostParams, core::DynamicObject};
use serde_json::{Value, json};

use super::{
    Cluster, ClusterError, FIELD_MANAGER, template,
    workloads::{Live, TEMPLATE, is_ours, json_patch},
};

/// A write of a pod template: what was asked for, and what was stored.
#[derive(Debug, Clone)]
pub struct Written {
    /// The template that was sent.
    pub asked: Value,
    /// The Deployment as the server stored it.
    pub stored: Live,
    /// Whether what was there before was of this tool's own writing.
    pub over_ours: bool,
}

impl Cluster {
    /// Gives containers of a Deployment their images: container → image; unless its template changed
    /// since `seen`.
    pub async fn set_images(
        &self,
        seen: &Live,
        images: &BTreeMap<String, String>,
    ) -> Result<Written, ClusterError> {
        let mut asked = seen.template().clone();
        template::set_images(&mut asked, images);
        let operations = template::image_patch(seen.template(), images);
        self.patch_template("set the image of", seen, operations, asked)
            .await
    }

    /// Replaces the pod template of a Deployment, unless it changed since `seen`.
    pub async fn set_template(
        &self,
        seen: &Live,
        template: &Value,
    ) -> Result<Written, ClusterError> {
        let operations =
            vec![json!({"op": "replace", "path": "/spec/template", "value": template})];
        self.patch_template("update", seen, operations, template.clone())
            .await
    }

    async fn patch_template(
        &self,
        action: &'static str,
        seen: &Live,
        operations: Vec<Value>,
        asked: Value,
    ) -> Result<Written, ClusterError> {
        let name = seen.name();
        let mut guarded = vec![
            json!({"op": "test", "path": "/metadata/uid", "value": seen.object["metadata"]["uid"]}),
            json!({"op": "test", "path": "/spec/template", "value": seen.template()}),
        ];
        guarded.extend(operations);
        let api = self.raw_deployments();
        let patch = json_patch(Value::Array(guarded));
        let params = self.patch_params();
        let what = self.named("Deployment", &name);
        let stored = self
            .write(action, &what, || api.patch(&name, &params, &patch))
            .await?;
        Ok(Written {
            asked,
            stored: live(action, &what, &stored)?,
            over_ours: is_ours(&seen.object, TEMPLATE),
        })
    }

    /// Creates a Deployment.
    pub async fn create_deployment(&self, object: &Value) -> Result<Written, ClusterError> {
        let asked = object["spec"]["template"].clone();
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let what = self.named("Deployment", name);
        let object: DynamicObject = serde_json::from_value(object.clone())
            .map_err(|e| ClusterError::garbled("create", &what, e.to_string()))?;
        let api = self.raw_deployments();
        let params = PostParams {
            dry_run: self.is_dry(),
            field_manager: Some(FIELD_MANAGER.to_owned()),
        };
        let stored = self
            .write("create", &what, || api.create(&params, &object))
            .await?;
        Ok(Written {
            asked,
            stored: live("create", &what, &stored)?,
            over_ours: false,
        })
    }
}

/// Returns the Deployment that was stored.
fn live(action: &'static str, what: &str, stored: &DynamicObject) -> Result<Live, ClusterError> {
    let fail = |why: String| ClusterError::garbled(action, what, why);
    let object = serde_json::to_value(stored).map_err(|e| fail(e.to_string()))?;
    if !object["spec"]["template"].is_object() {
        return Err(fail("the answer is no Deployment".to_owned()));
    }
    Live::new(object).map_err(fail)
}
