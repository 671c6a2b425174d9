//! The API server: the rim of everything that is read from a cluster or written to it.
//!
//! ```text
//! API server ──> client ──> kinds, follow (one kind: list, watch) ──> watches (all of them) ──> source
//!                                                  trouble, board <──┘
//! API server <── publish (ConfigMaps) <── lease (who leads) <── mapping
//! API server <── control (writes of plans) <── lease, watches <── controller
//! ```
//! Here are the connection, the waiting and the retrying. The one decision: no object is kept. What
//! comes in is read as far as it is needed ([`crate::kubernetes`]), handed on and dropped.

pub mod board;
pub mod client;
pub mod control;
pub mod follow;
pub mod kinds;
pub mod lease;
pub mod publish;
pub mod resource;
pub mod trouble;
pub mod watches;
