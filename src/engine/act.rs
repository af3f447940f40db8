//! Carrying out one action.
//!
//! Owns: turning an action into writes. Must not: conclude that a write had its effect; the next
//! round looks.

use kube::{
    Api,
    core::{ApiResource, DynamicObject},
};
use serde_json::Value;

use super::{Engine, EngineError, observe::Sight};
use crate::{
    cluster::{ClusterError, template, workloads::Live, writes::Written},
    domain::{
        change::Act,
        decide::Action,
        event::EventKind,
        plan::Strategy,
        stored::{Version, rewriting},
        workload::Track,
    },
};

impl Engine {
    /// Carries out an action; returns which fields were written.
    pub(super) async fn act(
        &mut self,
        action: &Action,
        sight: &Sight,
    ) -> Result<Vec<String>, EngineError> {
        let sides = &sight.sides;
        let release = &self.saved.release;
        let live = |track: Track| {
            sides.live(track).ok_or_else(|| {
                let what = self.cluster.named("Deployment", release.deployment(track));
                EngineError::from(ClusterError::garbled("find", &what, "it is gone"))
            })
        };
        let said = match action {
            Action::CreateCanary => {
                let stable = live(Track::Stable)?;
                let mut acts = self.create_canary(stable).await?;
                if self.cluster.is_dry() {
                    acts.extend(self.make_route(0).await?);
                }
                acts
            }
            Action::SetImages => {
                let canary = live(Track::Canary)?;
                let images: Vec<String> = release.images.values().cloned().collect();
                let written = self.cluster.set_images(canary, &release.images).await?;
                self.take_canary(&written);
                let canary = &self.saved.release.canary;
                words(format!("set image of {canary} to {}", images.join(", ")))
            }
            Action::Shift(weight) => self.router.shift(*weight, &sight.scene()).await?,
            Action::Scale(track, replicas) => {
                let side = live(*track)?;
                self.router.pin(&side.name(), *replicas).await?;
                self.cluster.scale(side, *replicas).await?;
                let namespace = self.cluster.namespace();
                let (name, now) = (side.name(), side.replicas());
                let mut acts = vec![Act::scaling(namespace, &name, now, *replicas)];
                if self.cluster.is_dry() {
                    // The pods will not come; what follows them is shown all the same.
                    let target = self.saved.release.target;
                    acts.extend(self.router.preview(target, &sight.scene()).await?);
                }
                acts
            }
            Action::UpdateStable => {
                let (stable, canary) = (live(Track::Stable)?, live(Track::Canary)?);
                self.update_stable(stable, canary).await?;
                let release = &self.saved.release;
                words(format!(
                    "give {} the version of {}",
                    release.stable, release.canary
                ))
            }
            Action::RestoreStable => {
                let stable = live(Track::Stable)?;
                let template = self.recorded_template().await?;
                let written = self.cluster.set_template(stable, &template).await?;
                let changed = self.changed_on_stable(&written);
                if let Some(version) = changed {
                    self.saved.release.stored.restored = Some(version);
                }
                let stable = &self.saved.release.stable;
                words(format!("give {stable} its old template back"))
            }
            Action::DeleteCanary => {
                let canary = live(Track::Canary)?;
                self.cluster.delete_deployment(canary).await?;
                words(format!("delete Deployment {}", release.canary))
            }
            Action::MakeRoute(at) => self.make_route(*at).await?,
            Action::TakeRoute(at) => self.take_piece(*at).await?,
            Action::Unpin => {
                self.router.unpin().await?;
                words("restore what was pinned".to_owned())
            }
            Action::Look | Action::Wait { .. } | Action::Stop(..) => Vec::new(),
        };
        let fields = said.iter().flat_map(Act::fields).collect();
        for Act { what, changes } in said {
            self.tell(EventKind::Acting { what, changes });
        }
        Ok(fields)
    }

    /// Creates the canary from stable.
    async fn create_canary(&mut self, stable: &Live) -> Result<Vec<Act>, EngineError> {
        let release = &self.saved.release;
        let (tracks, images) = (&release.tracks, &release.images);
        let object = tracks.canary_of(&stable.object, &release.canary, images);
        let written = self.cluster.create_deployment(&object).await?;
        self.take_canary(&written);
        let release = &self.saved.release;
        Ok(words(format!(
            "create Deployment {} from {}",
            release.canary, release.stable
        )))
    }

    async fn update_stable(&mut self, stable: &Live, canary: &Live) -> Result<(), EngineError> {
        let release = &self.saved.release;
        let written = match release.plan.promote.strategy {
            Strategy::Template => {
                let template = release.tracks.carry(canary.template(), Track::Canary);
                self.cluster.set_template(stable, &template).await?
            }
            Strategy::Image | Strategy::Swap | Strategy::None => {
                let images = &release.canary_images;
                self.cluster.set_images(stable, images).await?
            }
        };
        if let Some(version) = self.changed_on_stable(&written) {
            self.saved.release.stored.promoted = Some(version);
        }
        Ok(())
    }

    /// Takes what the server stored of the canary's template for what was asked, where admission changed
    /// that. What another client changed before our write is not taken: then another version was asked for
    /// than the pinned one.
    fn take_canary(&mut self, written: &Written) {
        let tracks = &self.saved.release.tracks;
        let asked = tracks.digest(&written.asked, Track::Canary);
        let stored = tracks.digest(written.stored.template(), Track::Canary);
        let own = asked == self.saved.release.revision || written.over_ours;
        if !own || stored == self.saved.release.revision {
            return;
        }
        let version = Version {
            revision: stored,
            images: written.stored.images(),
        };
        let text = if self.cluster.is_dry() {
            let asked = template::images(&written.asked);
            rewriting(&self.saved.release.canary, &asked, &version.images)
        } else {
            self.saved.release.adopt(version)
        };
        self.tell(EventKind::Warning { text });
    }

    /// Returns what the server stored of stable's template, where admission changed what was asked, and
    /// says so.
    fn changed_on_stable(&mut self, written: &Written) -> Option<Version> {
        let release = &self.saved.release;
        let asked = release.tracks.digest(&written.asked, Track::Stable);
        let stored = written.stored.template();
        let revision = release.tracks.digest(stored, Track::Stable);
        if asked == revision {
            return None;
        }
        let images = written.stored.images();
        let text = rewriting(&release.stable, &template::images(&written.asked), &images);
        self.tell(EventKind::Warning { text });
        Some(Version { revision, images }).filter(|_| !self.cluster.is_dry())
    }

    /// Reads stable's template from before the promotion: Kubernetes keeps it in a ReplicaSet. It is
    /// not copied into the journal, because templates may hold secrets.
    async fn recorded_template(&self) -> Result<Value, EngineError> {
        let name = self.saved.release.origin.stable_replica_set.clone();
        let name = name.unwrap_or_default();
        let what = self.cluster.named("ReplicaSet", &name);
        let resource = ApiResource::erase::<k8s_openapi::api::apps::v1::ReplicaSet>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(
            self.cluster.client().clone(),
            self.cluster.namespace(),
            &resource,
        );
        let set = self.cluster.read(&what, || api.get(&name)).await?;
        let mut template = set.data["spec"]["template"].clone();
        if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
            labels.remove("pod-template-hash");
        }
        let revision = self.saved.release.tracks.digest(&template, Track::Stable);
        if revision != self.saved.release.origin.stable_revision {
            let text = "it does not hold the template that stable had";
            return Err(ClusterError::garbled("restore from", &what, text).into());
        }
        Ok(template)
    }
}

/// Returns one write that is told in words alone.
fn words(what: String) -> Vec<Act> {
    vec![Act::in_words(what)]
}
