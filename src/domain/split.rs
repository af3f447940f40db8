//! How traffic is divided at one moment.
//!
//! Owns: what a router reports, and how fine it can divide. Must not: know any router.

use serde::Serialize;

use super::weight::Percent;

/// The division of traffic as read from the cluster, next to the one that is wanted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Split {
    /// The weight that was asked for.
    pub wanted: Percent,
    /// The weight the objects say.
    pub set: Percent,
    /// The canary's share as pods really stand.
    pub actual: Percent,
    /// Whether the objects say what is wanted, as near as the router can.
    pub matches: bool,
    /// Whether the objects say it and the pods are so.
    pub settled: bool,
    /// Ready stable pods that receive traffic.
    pub stable_ready: u32,
    /// Ready canary pods that receive traffic.
    pub canary_ready: u32,
    /// What the share rests on, such as `1 of 4 pods`.
    pub detail: String,
    /// Objects this tool keeps from interfering, such as a HorizontalPodAutoscaler.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pinned: Vec<String>,
    /// What it still waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// The routes of routing objects that have to do with the app; empty where pods are the traffic.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteView>,
}

/// One route of a routing object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteView {
    /// The object, such as `VirtualService shop/web`.
    pub object: String,
    /// The route in it, such as `http route 2`.
    pub route: String,
    /// The canary's share of what both sides get of it; absent where it is left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Percent>,
    /// Why it is left alone, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_alone: Option<String>,
}

/// How finely a router can divide traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// In whole pods: the share follows the numbers of ready pods.
    Pods {
        /// Pods of both sides together.
        total: u32,
    },
    /// In steps of this weight, whatever the number of pods.
    Weight(Percent),
}
