//! Kubernetes objects in, the mapping out.
//!
//! ```text
//! Object ──> graph (objects and who refers to whom) ──> claims (this object makes that name)
//!                                                          │
//!            Snapshot, changes <── entries <── groups (all claims on one name)
//!                                                 │
//!                                              holding (which Services are in it together),
//!                                              explain (what maps to what, and why not)
//! ```
//! Pure: no clock, no client, and the same objects in any order give the same mapping. The one
//! decision: what Kong's controllers do object by object is written down as claims on names, and
//! what a name stands for is decided per name, from all its claims. So one changed object costs
//! the names it claims and those of the objects that refer to it, however many others there are.
//!
//! The names are those of Kong Ingress Controller 3.4 to 3.5 and Kong Operator 2.0 to 2.3; each
//! file names the source file of its rules.

mod backend;
mod changes;
mod claim;
pub mod explain;
mod facade;
mod gateway;
mod graph;
mod group;
mod grpcroute;
mod holding;
mod httproute;
mod index;
mod ingress;
mod inventory;
mod kongservice;
mod l4ingress;
mod l4route;
mod settings;
mod store;
mod timeout;
mod world;

pub use changes::{Change, Dropped};
pub use holding::{Held, service_key};
pub use index::Index;
pub use settings::{Flavor, Settings, Switch};
