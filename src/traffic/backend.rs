//! Which side of a release a destination leads to.
//!
//! Owns: telling it from Services and the labels of pods. Must not: go by names alone, unless a
//! Service cannot be read: a route may call anything `canary`.

use std::collections::BTreeMap;

use kube::ResourceExt;

use super::Target;
use crate::{
    cluster::{objects::Survey, workloads::Live},
    domain::workload::{Track, Tracks},
};

/// Labels of pods, or those by which pods are selected.
pub type Labels = BTreeMap<String, String>;

/// Whose pods a destination reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Those of one side.
    Side(Track),
    /// Those of both sides.
    Both,
    /// Neither's.
    Neither,
    /// It does not exist, or selects no pods by itself.
    Unknown,
}

impl Whose {
    /// Returns the side, if it is one.
    pub fn side(self) -> Option<Track> {
        match self {
            Self::Side(track) => Some(track),
            Self::Both | Self::Neither | Self::Unknown => None,
        }
    }
}

/// The two sides as destinations.
#[derive(Debug, Clone)]
pub struct Backends {
    namespace: String,
    /// Service → what it selects by; `None` for one without a selector.
    services: BTreeMap<String, Option<Labels>>,
    stable: Labels,
    canary: Labels,
    /// Services that are said to be a side's.
    given: Vec<(String, Track)>,
    /// Names of the two Deployments.
    names: (String, String),
}

impl Backends {
    /// Returns the sides of a target as surveyed. A canary that does not exist yet is taken to have
    /// the labels that it will be made with.
    pub fn of(survey: &Survey, namespace: &str, target: &Target) -> Self {
        let stable = survey.deployment(&target.stable);
        let canary = survey.deployment(&target.canary);
        let invented = || {
            let tracks = Tracks::invented(&stable?.object);
            let template = tracks.carry(stable?.template(), Track::Stable);
            let labels = template["metadata"]["labels"].as_object()?.clone();
            let text =
                |(key, value): (String, serde_json::Value)| Some((key, value.as_str()?.to_owned()));
            Some(labels.into_iter().filter_map(text).collect())
        };
        let selector = |service: &k8s_openapi::api::core::v1::Service| {
            let spec = service.spec.as_ref();
            spec.and_then(|s| s.selector.clone())
                .filter(|s| !s.is_empty())
        };
        let services = survey.services.iter();
        Self {
            namespace: namespace.to_owned(),
            services: services.map(|s| (s.name_any(), selector(s))).collect(),
            stable: stable.map(Live::pod_labels).unwrap_or_default(),
            canary: canary
                .map(Live::pod_labels)
                .or_else(invented)
                .unwrap_or_default(),
            given: Vec::new(),
            names: (target.stable.clone(), target.canary.clone()),
        }
    }

    /// Returns the same with Services whose side is known from configuration.
    pub fn with_given(mut self, stable: Option<&str>, canary: Option<&str>) -> Self {
        let given = [(stable, Track::Stable), (canary, Track::Canary)];
        self.given = given
            .into_iter()
            .filter_map(|(name, track)| Some((name?.to_owned(), track)))
            .collect();
        self
    }

    /// Returns the app's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns whose pods a Service reaches; `namespace` is where the route looks for it.
    pub fn service(&self, namespace: &str, name: &str) -> Whose {
        self.subset(namespace, name, &Labels::new())
    }

    /// Returns whose pods a Service reaches when they carry further labels.
    pub fn subset(&self, namespace: &str, name: &str, labels: &Labels) -> Whose {
        if namespace != self.namespace {
            return Whose::Neither;
        }
        if let Some((_, track)) = self.given.iter().find(|(given, _)| given == name) {
            return Whose::Side(*track);
        }
        let Some(Some(selector)) = self.services.get(name) else {
            return Whose::Unknown;
        };
        let all = || selector.iter().chain(labels);
        let selects = |pods: &Labels| all().all(|(key, value)| pods.get(key) == Some(value));
        match (selects(&self.stable), selects(&self.canary)) {
            (true, true) => Whose::Both,
            (true, false) => Whose::Side(Track::Stable),
            (false, true) => Whose::Side(Track::Canary),
            (false, false) => Whose::Neither,
        }
    }

    /// Returns the side that a bare name promises, where nothing better can be known: the name of a
    /// Deployment, or one with `stable`, `primary` or `canary` in it as a word.
    pub fn promised(&self, name: &str) -> Option<Track> {
        if name == self.names.1 {
            return Some(Track::Canary);
        }
        if name == self.names.0 {
            return Some(Track::Stable);
        }
        let mut words = name.split(['-', '.', '_']);
        words.find_map(|word| match word {
            "stable" | "primary" | "production" => Some(Track::Stable),
            "canary" => Some(Track::Canary),
            _ => None,
        })
    }

    /// Returns what is wrong with a Service as a destination of one side, if anything is.
    pub fn trouble(&self, namespace: &str, name: &str) -> Option<String> {
        let is_given = self.given.iter().any(|(given, _)| given == name);
        if namespace != self.namespace || is_given {
            return None;
        }
        if !self.services.contains_key(name) {
            return Some(format!("there is no Service {name}"));
        }
        let both = self.service(namespace, name) == Whose::Both;
        both.then(|| format!("Service {name} selects the pods of both sides"))
    }

    /// Returns how many pods of a side are ready; `None` where they were not read.
    pub fn ready(&self, survey: &Survey, track: Track) -> Option<usize> {
        let labels = match track {
            Track::Stable => &self.stable,
            Track::Canary => &self.canary,
        };
        let pods = survey.pods.as_ref().ok()?.as_ref()?;
        let ready = pods
            .iter()
            .filter(|pod| pod.metadata.carries(labels) && pod.is_ready());
        Some(ready.count())
    }

    /// Returns the only Service that reaches the pods of one side alone.
    pub fn of_side(&self, track: Track) -> Option<String> {
        let mut names = self
            .services
            .keys()
            .filter(|name| self.service(&self.namespace, name).side() == Some(track));
        let first = names.next()?;
        names.next().is_none().then(|| first.clone())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn survey(services: &[(&str, serde_json::Value)]) -> Survey {
        let services = services.iter().map(|(name, selector)| {
            let object = json!({"metadata": {"name": name}, "spec": {"selector": selector}});
            serde_json::from_value(object).unwrap()
        });
        Survey {
            services: services.collect(),
            ..Survey::default()
        }
    }

    fn backends(survey: &Survey) -> Backends {
        let labels = |track: &str| {
            let pairs = [("app", "web"), ("track", track)];
            pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
        };
        let target = Target {
            stable: "web-stable".into(),
            canary: "web-canary".into(),
            service: None,
            total: 1,
        };
        let mut backends = Backends::of(survey, "shop", &target);
        backends.stable = labels("stable");
        backends.canary = labels("canary");
        backends
    }

    #[test]
    fn a_service_is_whose_pods_it_selects_whatever_its_name() {
        let survey = survey(&[
            ("apex", json!({"app": "web"})),
            ("misnamed-canary", json!({"app": "web", "track": "stable"})),
            ("new", json!({"track": "canary"})),
            ("other", json!({"app": "other"})),
            ("external", json!(null)),
        ]);
        let backends = backends(&survey);
        for (name, expected) in [
            ("apex", Whose::Both),
            ("misnamed-canary", Whose::Side(Track::Stable)),
            ("new", Whose::Side(Track::Canary)),
            ("other", Whose::Neither),
            ("external", Whose::Unknown),
            ("missing", Whose::Unknown),
        ] {
            assert_eq!(backends.service("shop", name), expected, "{name}");
        }
        assert_eq!(backends.service("elsewhere", "new"), Whose::Neither);
        let labels = Labels::from([("track".to_owned(), "canary".to_owned())]);
        assert_eq!(
            backends.subset("shop", "apex", &labels),
            Whose::Side(Track::Canary)
        );
        let given = backends.with_given(Some("external"), None);
        assert_eq!(
            given.service("shop", "external"),
            Whose::Side(Track::Stable)
        );
    }
}
