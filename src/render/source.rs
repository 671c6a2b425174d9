//! Somebody's YAML, with the place of each node in the text.
//!
//! In: a text. Out: a tree for each document, with byte offsets. The one decision: scalars stay
//! text. What is not touched is not understood, so no `yes`, `0444` or `1.10` changes its meaning.

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StructureStyle};

/// A node and where it is.
#[derive(Debug)]
pub(crate) struct Tree {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its first byte; of a sequence in block style its first dash, of a text in block style the
    /// first byte of its first line.
    pub(crate) start: usize,
    /// Behind the last byte of its content, comments not counted.
    pub(crate) end: usize,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Anything that has no parts.
    Scalar {
        /// Its value, as a text.
        text: String,
        /// Whether it is without quotes.
        plain: bool,
    },
    /// A sequence.
    List {
        /// Whether it is in brackets.
        flow: bool,
        /// Its items.
        items: Vec<Tree>,
    },
    /// A mapping.
    Map {
        /// Whether it is in braces.
        flow: bool,
        /// Keys and values.
        entries: Vec<(Tree, Tree)>,
    },
    /// `*name`, the content of another node.
    Alias,
}

/// What is no YAML.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// With the place of it.
    #[error("{0}")]
    Yaml(#[from] ScanError),
    /// Its parser does not tell where things are, or not all of them.
    #[error("the YAML parser lost its place")]
    Lost,
}

/// Its documents; one that is empty is null.
pub(crate) fn documents(text: &str) -> Result<Vec<Tree>, Error> {
    let mut reader = Reader { text, events: Parser::new_from_str(text) };
    let mut documents = Vec::new();
    while let Some((event, _)) = reader.next()? {
        if let Event::DocumentStart(..) = event {
            let (event, span) = reader.next()?.ok_or(Error::Lost)?;
            documents.push(reader.node(&event, span)?);
        } else if let Event::StreamEnd = event {
            break;
        }
    }
    Ok(documents)
}

/// Where the dash is that an item stands behind.
pub(crate) fn dash(text: &str, item: usize) -> Option<usize> {
    text.get(..item)?.rfind('-')
}

impl Tree {
    /// The value of a key of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Kind::Map { entries, .. } = &self.kind else { return None };
        entries.iter().find(|(own, _)| own.text() == Some(key)).map(|(_, value)| value)
    }

    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether it is nothing: empty, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        let Kind::Scalar { text, plain: true } = &self.kind else { return false };
        ["", "~", "null", "Null", "NULL"].contains(&text.as_str())
    }
}

struct Reader<'a> {
    text: &'a str,
    events: Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>,
}

impl<'a> Reader<'a> {
    /// The next event that is not a comment.
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Error> {
        loop {
            match self.events.next().transpose()? {
                Some((Event::Comment(..), _)) => {}
                other => return Ok(other),
            }
        }
    }

    fn node(&mut self, event: &Event<'a>, span: Span) -> Result<Tree, Error> {
        let range = span.byte_range().ok_or(Error::Lost)?;
        let (mut start, mut end) = (range.start, range.end);
        let kind = match event {
            Event::Scalar(text, style, ..) => {
                if start == end {
                    // Nothing is where the parser noticed; it belongs behind what came before.
                    start = self.text.get(..start).ok_or(Error::Lost)?.trim_end().len();
                    end = start;
                }
                let plain = *style == ScalarStyle::Plain;
                Kind::Scalar { text: text.clone().into_owned(), plain }
            }
            Event::SequenceStart(style, ..) => {
                let mut items = Vec::new();
                loop {
                    let (event, span) = self.next()?.ok_or(Error::Lost)?;
                    if let Event::SequenceEnd = event {
                        end = self.end(*style, &span, items.last())?;
                        break;
                    }
                    items.push(self.node(&event, span)?);
                }
                // A block at the margin of its key starts, for the parser, with its first item.
                if let (StructureStyle::Block, Some(item)) = (style, items.first())
                    && !self.text.get(start..).is_some_and(|text| text.starts_with('-'))
                {
                    start = dash(self.text, item.start).ok_or(Error::Lost)?;
                }
                Kind::List { flow: *style == StructureStyle::Flow, items }
            }
            Event::MappingStart(style, ..) => {
                let mut entries = Vec::new();
                loop {
                    let (event, span) = self.next()?.ok_or(Error::Lost)?;
                    if let Event::MappingEnd = event {
                        end = self.end(*style, &span, entries.last().map(|(_, value)| value))?;
                        break;
                    }
                    let key = self.node(&event, span)?;
                    let (event, span) = self.next()?.ok_or(Error::Lost)?;
                    entries.push((key, self.node(&event, span)?));
                }
                if let (StructureStyle::Block, Some((key, _))) = (style, entries.first()) {
                    start = key.start;
                }
                Kind::Map { flow: *style == StructureStyle::Flow, entries }
            }
            Event::Alias(..) => Kind::Alias,
            _ => return Err(Error::Lost),
        };
        Ok(Tree { kind, start, end })
    }

    /// Brackets end where they end; a block ends with what is in it.
    fn end(&self, style: StructureStyle, span: &Span, last: Option<&Tree>) -> Result<usize, Error> {
        match (style, last) {
            (StructureStyle::Block, Some(last)) => Ok(last.end),
            _ => Ok(span.byte_range().ok_or(Error::Lost)?.end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(text: &str) -> String {
        fn node(text: &str, tree: &Tree, out: &mut String) {
            let place = &text[tree.start..tree.end];
            match &tree.kind {
                Kind::Scalar { .. } => *out += &format!("<{place}>"),
                Kind::Alias => *out += &format!("*{place}*"),
                Kind::List { items, .. } => {
                    assert!(place.starts_with('-') || place.ends_with(']'), "{place:?}");
                    *out += "[";
                    items.iter().for_each(|item| node(text, item, out));
                    *out += "]";
                }
                Kind::Map { entries, .. } => {
                    *out += "{";
                    for (key, value) in entries {
                        node(text, key, out);
                        *out += ":";
                        node(text, value, out);
                    }
                    *out += "}";
                }
            }
        }
        let mut out = String::new();
        for document in documents(text).unwrap() {
            node(text, &document, &mut out);
            out += "|";
        }
        out
    }

    #[test]
    fn each_node_has_its_place() {
        let text = "# head\na: 1 # one\nb:\n- x: 'y' # c\n\n  z: [1, {k: v}]\n-\n  - deep\nc:   # none\nd: {}\n\
                    e: |\n  lit\n  eral\n\nf: ~\n# tail\n---\n...\n---\n- &n ü\n- *n\n";
        assert_eq!(
            describe(text),
            "{<a>:<1><b>:[{<x>:<'y'><z>:[<1>{<k>:<v>}]}[<deep>]]<c>:<><d>:{}<e>:<lit\n  eral\n\n>\
             <f>:<~>}|<>|[<ü>**n*]|"
        );
    }
}
