//! Exposition in, exposition out, with the labels of Kubernetes Services.

mod dictionary;
mod families;
pub mod labels;
mod memo;
mod sample;
pub mod select;
pub mod stats;
pub mod stream;
mod text;

pub use labels::LabelNames;
pub use memo::Memo;
pub use select::{FamilyFilter, Selection};
pub use stats::{Reason, Stats};
pub use stream::{Rewriter, Verdict};
