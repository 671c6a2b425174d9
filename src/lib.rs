//! Kong's `/metrics` in, Kubernetes-labelled `/metrics` out.
//!
//! ```text
//!  Kong :8100 ──> scrape ──> exposition ──> rewrite ──> serve ──> Prometheus, Datadog
//!  (chunks)       (hyper)    (lines, nom)   (bytes)     (hyper)
//!                                              ▲
//!                                           mapping  <── source  <── a mapping file
//!                                      (arc-swap snapshot)  ▲
//!                                                        resolve  <── kubernetes  <── manifests
//!                                                           ▲             ▲
//!                             what is to be written <── controller     cluster  <── API server
//! ```
//! `exposition`, `rewrite`, `mapping`, `kubernetes`, `resolve` and `controller` (which reads
//! `kubernetes`, too) are pure: bytes or values in, bytes or values out, no async, no clock, no
//! client. `sidecar` (scrape, serve), `source`, `cluster` and `command` are the rim. A module imports only along these arrows.

pub mod args;
pub mod cluster;
pub mod command;
pub mod controller;
pub mod demo;
pub mod exposition;
pub mod kubernetes;
pub mod mapping;
pub mod metrics;
pub mod render;
pub mod resolve;
pub mod rewrite;
pub mod sidecar;
pub mod source;
pub mod telemetry;
