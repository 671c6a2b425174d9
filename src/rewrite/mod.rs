//! Exposition in, exposition out, with the labels of Kubernetes Services.

pub mod labels;
pub mod select;
pub mod stats;
pub mod stream;

pub use labels::LabelNames;
pub use select::{FamilyFilter, Selection};
pub use stats::{Reason, Stats};
pub use stream::{Memo, Rewriter, Verdict};
