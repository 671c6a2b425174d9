//! The text exposition format: chunks to lines, and the grammar of a line.
