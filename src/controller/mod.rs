//! From extensions to the prometheus plugin on the right objects.
//!
//! ```text
//! Object ──> view ──> placement (where the plugin may be) ──> plan (the writes, in order)
//!              │          ▲                                        ▲
//!            index     extension, plugin                  annotation, status
//! ```
//! Pure: one consistent view in, the exact list of writes out. The one decision: a plan is made from
//! what is there and nothing else. Nothing is remembered between plans, so whatever was interrupted
//! is repaired by planning again.

pub mod annotation;
mod edit;
pub mod extension;
pub mod keys;
pub mod operator;
pub mod placement;
pub mod plan;
pub mod plugin;
mod safety;
pub mod selector;
pub mod status;
pub mod view;
pub mod write;

use std::collections::BTreeSet;

use crate::kubernetes::Key;

pub use plan::{Plan, plan};
pub use view::View;
pub use write::{Request, Write};

/// What the user decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Whether to take over what Kong Operator manages, because its own controller of extensions is
    /// off.
    pub adopt: bool,
    /// The extensions that were attached only just now: Kong Operator may be about to act on them.
    pub unsettled: BTreeSet<Key>,
}
