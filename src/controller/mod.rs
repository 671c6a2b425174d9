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
pub mod keys;
pub mod plugin;
pub mod selector;
pub mod view;

pub use view::View;
