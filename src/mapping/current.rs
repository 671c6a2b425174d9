//! (see the next commit)
pub struct Current;
