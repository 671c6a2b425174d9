//! The API server: the rim of everything that is read from a cluster or written to it.
//!
//! ```text
//! API server ──> client ──> follow (list, watch) ──> events ──> source
//! ```
//! Here are the connection, the waiting and the retrying. The one decision: no object is kept. What
//! comes in is read as far as it is needed ([`crate::kubernetes`]), handed on and dropped.

pub mod client;
pub mod follow;
pub mod resource;
