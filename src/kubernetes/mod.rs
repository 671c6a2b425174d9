//! Kubernetes objects, as far as they say which Services stand behind a Kong service, and which of
//! these Kong is to measure.
//!
//! In: manifests. Out: thin [`types`] for the resolver and the controller. The one decision: nothing is read that is
//! not needed, so an object with odd or new fields elsewhere is no trouble, and neither is one of
//! 50,000 large ones.

pub mod defaults;
pub mod extension;
pub mod keys;
pub mod manifest;
pub mod object;
mod thin;
pub mod types;

pub use object::{Key, Metadata, Object, ObjectKind, Spec};
