//! The sidecar, put into somebody's file.
//!
//! In: their text and our tree. Out: their text with ours in it, and what they should know. The one
//! decision: the text is edited, not written anew. Comments, order and notation stay, what is not
//! the sidecar's is kept even where we would have it otherwise, and what is the sidecar's from an
//! earlier time is replaced.

use super::edits::Edits;
use super::pod::NAME;
use super::source::{self, Kind, Tree};
use super::tree::Node;

/// A file with the sidecar in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Merged {
    /// The file.
    pub text: String,
    /// What was left as it was, though the sidecar asks for something else.
    pub notes: Vec<String>,
}

/// Why the sidecar cannot be put in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// With line and column.
    #[error("{0}")]
    Yaml(String),
    /// There is none of the kind, or none of the name.
    #[error("there is no {0} in it")]
    None(String),
    /// Which one?
    #[error("there are several of {kind} in it; --name says which: {}", names.join(", "))]
    Several {
        /// What was looked for.
        kind: String,
        /// Those that are there.
        names: Vec<String>,
    },
    /// A scalar where a mapping should be, and the like.
    #[error("line {line}: {path} is {is}, and has to be {wanted}")]
    Shape {
        /// Where in the file.
        line: usize,
        /// Where in the document.
        path: String,
        /// What it is.
        is: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// A Deployment's container has another name.
    #[error("line {line}: {path} has no container {name}; --kong.container says which is Kong's")]
    Container {
        /// Where in the file.
        line: usize,
        /// Where in the document.
        path: String,
        /// The one that was looked for.
        name: String,
    },
    /// Nothing in a tree is beyond YAML.
    #[error("cannot write YAML")]
    Write(#[from] serde_saphyr::SerializeError),
    /// The edited text does not say what it should; better nothing than that.
    #[error("the file cannot be edited in its notation; write it in block style")]
    Notation,
}

/// Which document of a file, and what has to be in it.
pub(crate) struct Wanted<'a> {
    /// `apiVersion` and `kind`; `None` for the only document, whatever it is.
    pub(crate) kind: Option<(&'a str, &'a str)>,
    /// Which one, where there are several.
    pub(crate) name: &'a str,
    /// A container that has to be there already.
    pub(crate) container: Option<&'a str>,
    /// What to put in.
    pub(crate) tree: &'a Node,
}

/// Puts it in.
pub(crate) fn merge(text: &str, wanted: &Wanted<'_>) -> Result<Merged, Error> {
    let (merged, notes) = once(text, wanted)?;
    // A second time there must be nothing to do.
    match once(&merged, wanted) {
        Ok((again, _)) if again == merged => Ok(Merged { text: merged, notes }),
        _ => Err(Error::Notation),
    }
}

/// First what is stale goes, then what is wanted comes: one never edits where the other does.
fn once(text: &str, wanted: &Wanted<'_>) -> Result<(String, Vec<String>), Error> {
    let documents = source::documents(text).map_err(|error| Error::Yaml(error.to_string()))?;
    // Values may be empty, or comments alone.
    if document(&documents, wanted)?.is_none() {
        return Ok((text.to_owned() + &wanted.tree.to_yaml()?, Vec::new()));
    }
    let (kept, _) = pass(text, wanted, |merge, tree| merge.forget(tree, wanted.tree))?;
    pass(&kept, wanted, |merge, tree| merge.node("", tree, wanted.tree, Some(0)))
}

fn pass(
    text: &str,
    wanted: &Wanted<'_>,
    edit: impl FnOnce(&mut Merge<'_>, &Tree) -> Result<(), Error>,
) -> Result<(String, Vec<String>), Error> {
    let documents = source::documents(text).map_err(|error| Error::Yaml(error.to_string()))?;
    let mut merge = Merge { edits: Edits::of(text), notes: Vec::new(), wanted };
    if let Some(document) = document(&documents, wanted)? {
        edit(&mut merge, document)?;
    }
    Ok((merge.edits.apply(), merge.notes))
}

fn document<'a>(documents: &'a [Tree], wanted: &Wanted<'_>) -> Result<Option<&'a Tree>, Error> {
    let Some((api_version, kind)) = wanted.kind else {
        return Ok(documents.iter().find(|document| !document.is_null()));
    };
    let is = |tree: &Tree, key, value| tree.get(key).and_then(Tree::text) == Some(value);
    let found: Vec<_> = documents
        .iter()
        .filter(|tree| is(tree, "apiVersion", api_version) && is(tree, "kind", kind))
        .collect();
    let named = |tree: &Tree| tree.get("metadata")?.get("name")?.text().map(str::to_owned);
    match found[..] {
        [] => Err(Error::None(format!("{kind} {api_version}"))),
        [only] => Ok(Some(only)),
        _ => {
            let mut own = found.iter().filter(|tree| named(tree).as_deref() == Some(wanted.name));
            match (own.next(), own.next()) {
                (Some(one), None) => Ok(Some(one)),
                _ => Err(Error::Several {
                    kind: format!("{kind} {api_version}"),
                    names: found.iter().filter_map(|tree| named(tree)).collect(),
                }),
            }
        }
    }
}

struct Merge<'a> {
    edits: Edits<'a>,
    notes: Vec<String>,
    wanted: &'a Wanted<'a>,
}

impl Merge<'_> {
    /// `column` is that of the mapping whose value this is; `None` within brackets.
    fn node(
        &mut self,
        path: &str,
        theirs: &Tree,
        ours: &Node,
        column: Option<usize>,
    ) -> Result<(), Error> {
        match (&theirs.kind, ours) {
            _ if theirs.is_null() => self.fill(theirs, ours, column)?,
            (Kind::Map { entries, flow: true }, Node::Map(_)) if entries.is_empty() => {
                self.fill(theirs, ours, column)?;
            }
            (Kind::List { items, flow: true }, Node::List(_)) if items.is_empty() => {
                self.fill(theirs, ours, column)?;
            }
            (Kind::Map { entries, flow }, Node::Map(own)) => {
                if entries.iter().any(|(key, _)| key.text() == Some("<<")) {
                    return Err(self.shape(
                        path,
                        theirs,
                        "merged with another (<<)",
                        "written out",
                    ));
                }
                let column = (!flow).then(|| self.edits.column(theirs.start));
                for (key, value) in own {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    match theirs.get(key) {
                        Some(their) => self.node(&path, their, value, column)?,
                        None => self.add_entry(theirs, key, value, column)?,
                    }
                }
            }
            (Kind::List { items, flow }, Node::List(own)) => {
                let column = (!flow).then(|| self.edits.column(theirs.start));
                self.need_container(path, theirs, items)?;
                for item in own {
                    let name = item.get("name").and_then(Node::as_text).unwrap_or_default();
                    let their = items.iter().find(|item| is_named(item, name));
                    match their {
                        Some(their) if !is_own(name) => {
                            self.node(&format!("{path}[{name}]"), their, item, column)?;
                        }
                        Some(their) if is_same(their, item) => {}
                        Some(their) => self.replace(their, item, column)?,
                        None => self.add_item(theirs, item, column)?,
                    }
                }
            }
            (Kind::Alias, _) => return Err(self.shape(path, theirs, "an alias", "written out")),
            (Kind::Scalar { .. }, Node::Map(_)) => {
                return Err(self.shape(path, theirs, "a scalar", "a mapping"));
            }
            (Kind::Scalar { .. }, Node::List(_)) => {
                return Err(self.shape(path, theirs, "a scalar", "a sequence"));
            }
            (Kind::Map { .. }, _) => {
                return Err(self.shape(path, theirs, "a mapping", "something else"));
            }
            (Kind::List { .. }, _) => {
                return Err(self.shape(path, theirs, "a sequence", "something else"));
            }
            (Kind::Scalar { text, .. }, _) => {
                // An image is theirs to choose.
                if !is_same(theirs, ours) && !path.ends_with(".image") {
                    let wanted = ours.as_scalar();
                    self.notes.push(format!("{path} stays {text}; the sidecar asks for {wanted}"));
                }
            }
        }
        Ok(())
    }

    /// What is the sidecar's from an earlier time and is not asked for now: its container in the
    /// other list, a volume that no longer is needed.
    fn forget(&mut self, theirs: &Tree, ours: &Node) -> Result<(), Error> {
        let (Kind::Map { entries, flow }, Node::Map(own)) = (&theirs.kind, ours) else {
            return Ok(());
        };
        for (key, value) in own {
            if let Some(their) = theirs.get(key) {
                self.forget(their, value)?;
            }
        }
        let lists =
            entries.iter().filter(|(key, _)| key.text().is_some_and(|k| LISTS.contains(&k)));
        for (key, list) in lists {
            let Kind::List { items, flow: list_flow } = &list.kind else { continue };
            let wanted = key.text().and_then(|key| ours.get(key));
            let stale: Vec<_> = items.iter().filter(|item| is_stale(item, wanted)).collect();
            if stale.is_empty() {
                continue;
            }
            if *flow || *list_flow {
                return Err(Error::Notation);
            }
            if stale.len() == items.len() {
                self.edits.remove_lines(key.start, list.end);
            } else {
                for item in stale {
                    let dash = source::dash(self.edits.text, item.start).ok_or(Error::Notation)?;
                    self.edits.remove_lines(dash, item.end);
                }
            }
        }
        Ok(())
    }

    /// Where a container has to be there already, in the list that is one of containers.
    fn need_container(&self, path: &str, theirs: &Tree, items: &[Tree]) -> Result<(), Error> {
        match self.wanted.container {
            Some(name) if path.ends_with(".containers") => {
                if items.iter().any(|item| is_named(item, name)) {
                    return Ok(());
                }
                let (line, path) = (self.edits.line(theirs.start), path.to_owned());
                Err(Error::Container { line, path, name: name.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Into nothing: `~`, `{}`, `[]`, or what was left out.
    fn fill(&mut self, theirs: &Tree, ours: &Node, column: Option<usize>) -> Result<(), Error> {
        match (ours, column) {
            (Node::Map(_) | Node::List(_), Some(column)) => {
                let indent = if theirs.start == 0 { 0 } else { column + 2 };
                let block = self.edits.block(ours, indent)?;
                if theirs.start == theirs.end {
                    let end = self.edits.end_of_line(theirs.end);
                    self.edits.edit(end..end, column, format!("{}{block}", self.edits.newline()));
                } else {
                    let before = self.edits.text.get(..theirs.start).unwrap_or_default();
                    let start = before.trim_end_matches(' ').len();
                    self.edits.edit(
                        start..theirs.end,
                        column,
                        format!("{}{block}", self.edits.newline()),
                    );
                }
            }
            (_, _) => {
                let space = if theirs.start == theirs.end { " " } else { "" };
                let text = format!("{space}{}", ours.to_json());
                self.edits.edit(theirs.start..theirs.end, column.unwrap_or_default(), text);
            }
        }
        Ok(())
    }

    fn add_entry(
        &mut self,
        theirs: &Tree,
        key: &str,
        value: &Node,
        column: Option<usize>,
    ) -> Result<(), Error> {
        match column {
            Some(column) => {
                let entry = Node::Map(vec![(key.to_owned(), value.clone())]);
                let block = self.edits.block(&entry, column)?;
                self.edits.add_lines(theirs.end, column, &block);
            }
            None => {
                let key = Node::Text(key.to_owned()).to_json();
                self.edits.add_in_brackets(
                    theirs.start..theirs.end,
                    &format!("{key}: {}", value.to_json()),
                );
            }
        }
        Ok(())
    }

    fn add_item(&mut self, theirs: &Tree, item: &Node, column: Option<usize>) -> Result<(), Error> {
        match column {
            Some(column) => {
                let block = self.edits.block(&Node::List(vec![item.clone()]), column)?;
                self.edits.add_lines(theirs.end, column, &block);
            }
            None => self.edits.add_in_brackets(theirs.start..theirs.end, &item.to_json()),
        }
        Ok(())
    }

    fn replace(&mut self, theirs: &Tree, item: &Node, column: Option<usize>) -> Result<(), Error> {
        let is_flow = matches!(theirs.kind, Kind::Map { flow: true, .. });
        let text = match column {
            Some(_) if !is_flow => {
                let block = self.edits.block(item, self.edits.column(theirs.start))?;
                let ends_a_line =
                    self.edits.text.get(..theirs.end).is_some_and(|t| t.ends_with('\n'));
                let end = if ends_a_line { self.edits.newline() } else { "" };
                format!("{}{end}", block.trim_start())
            }
            _ => item.to_json(),
        };
        self.edits.edit(theirs.start..theirs.end, self.edits.column(theirs.start), text);
        Ok(())
    }

    fn shape(&self, path: &str, theirs: &Tree, is: &'static str, wanted: &'static str) -> Error {
        let path = if path.is_empty() { "the document" } else { path };
        Error::Shape { line: self.edits.line(theirs.start), path: path.to_owned(), is, wanted }
    }
}

/// The sidecar's, and in none of the lists that are wanted.
fn is_stale(item: &Tree, wanted: Option<&Node>) -> bool {
    let Some(name) = item.get("name").and_then(Tree::text).filter(|name| is_own(name)) else {
        return false;
    };
    let Some(Node::List(wanted)) = wanted else { return true };
    !wanted.iter().any(|own| own.get("name").and_then(Node::as_text) == Some(name))
}

fn is_named(item: &Tree, name: &str) -> bool {
    item.get("name").and_then(Tree::text) == Some(name)
}

fn is_own(name: &str) -> bool {
    name.strip_prefix(NAME).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Whether the two say the same.
fn is_same(theirs: &Tree, ours: &Node) -> bool {
    match (&theirs.kind, ours) {
        (Kind::Map { entries, .. }, Node::Map(own)) => {
            let is_there = |(key, value): &(String, Node)| {
                theirs.get(key).is_some_and(|their| is_same(their, value))
            };
            entries.len() == own.len() && own.iter().all(is_there)
        }
        (Kind::List { items, .. }, Node::List(own)) => {
            let same = items.iter().zip(own).all(|(their, own)| is_same(their, own));
            items.len() == own.len() && same
        }
        // `"9542"` is no number.
        (Kind::Scalar { text, plain }, Node::Number(_) | Node::Flag(_)) => {
            *plain && *text == ours.as_scalar()
        }
        (Kind::Scalar { text, plain }, Node::Text(own)) => {
            text == own && (!plain || ours.to_yaml().is_ok_and(|yaml| yaml.trim_end() == text))
        }
        _ => false,
    }
}

/// The lists that the sidecar is in, as pods and as Kong's chart call them.
const LISTS: [&str; 5] =
    ["containers", "initContainers", "volumes", "sidecarContainers", "userDefinedVolumes"];
