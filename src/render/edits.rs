//! Edits of a text, by places in it.
//!
//! In: a text and what to do where. Out: the text, edited. The one decision: places are those of the
//! text as it was, and of two things that go to one place the deeper one comes first.

use std::cmp::Reverse;
use std::ops::Range;

use super::tree::Node;

/// A text and what is to be done to it.
pub(crate) struct Edits<'a> {
    /// As it was.
    pub(crate) text: &'a str,
    list: Vec<Edit>,
}

struct Edit {
    range: Range<usize>,
    /// What is deeper goes first where two things go to one place.
    column: usize,
    text: String,
}

impl<'a> Edits<'a> {
    /// Nothing yet.
    pub(crate) fn of(text: &'a str) -> Self {
        Self { text, list: Vec::new() }
    }

    /// Lines behind the content that ends at `end`, and behind its comment.
    pub(crate) fn add_lines(&mut self, end: usize, column: usize, block: &str) {
        if self.text.get(..end).is_some_and(|before| before.ends_with('\n')) {
            self.edit(end..end, column, format!("{block}{}", self.newline()));
        } else {
            let end = self.end_of_line(end);
            self.edit(end..end, column, format!("{}{block}", self.newline()));
        }
    }

    pub(crate) fn add_in_brackets(&mut self, theirs: Range<usize>, text: &str) {
        let end = theirs.end.saturating_sub(1);
        let before = self.text.get(theirs.start..end).unwrap_or_default().trim_end();
        let comma = if before.ends_with(['{', '[', ',']) { "" } else { ", " };
        self.edit(end..end, 0, format!("{comma}{text}"));
    }

    /// Whole lines, from that of `start` to that of `end`.
    pub(crate) fn remove_lines(&mut self, start: usize, end: usize) {
        let before = self.text.get(..start).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let ends_a_line = self.text.get(..end).is_some_and(|before| before.ends_with('\n'));
        let end = if ends_a_line { end } else { self.end_of_line(end) };
        let end = if self.text.get(end..).is_some_and(|rest| rest.starts_with("\r\n")) {
            end + 2
        } else if self.text.get(end..).is_some_and(|rest| rest.starts_with('\n')) && !ends_a_line {
            end + 1
        } else {
            end
        };
        self.edit(start..end, 0, String::new());
    }

    /// As lines that are indented, without the last line's end.
    pub(crate) fn block(
        &self,
        node: &Node,
        indent: usize,
    ) -> Result<String, serde_saphyr::SerializeError> {
        let indent = " ".repeat(indent);
        let lines = node.to_yaml()?;
        let lines = lines
            .lines()
            .map(|line| if line.is_empty() { String::new() } else { format!("{indent}{line}") });
        Ok(lines.collect::<Vec<_>>().join(self.newline()))
    }

    pub(crate) fn edit(&mut self, range: Range<usize>, column: usize, text: String) {
        self.list.push(Edit { range, column, text });
    }

    pub(crate) fn apply(&mut self) -> String {
        // Stable: what was added first comes first.
        self.list.sort_by_key(|edit| (edit.range.start, Reverse(edit.column)));
        let (mut out, mut done) = (String::new(), 0);
        for Edit { range, text, .. } in &self.list {
            out += self.text.get(done..range.start).unwrap_or_default();
            out += text;
            done = done.max(range.end);
        }
        out + self.text.get(done..).unwrap_or_default()
    }

    pub(crate) fn newline(&self) -> &'static str {
        if self.text.contains("\r\n") { "\r\n" } else { "\n" }
    }

    pub(crate) fn end_of_line(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        at + rest.find(self.newline()).unwrap_or(rest.len())
    }

    pub(crate) fn column(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or_default();
        at - before.rfind('\n').map_or(0, |newline| newline + 1)
    }

    pub(crate) fn line(&self, at: usize) -> usize {
        1 + self.text.get(..at).unwrap_or_default().matches('\n').count()
    }
}
