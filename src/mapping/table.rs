//! Names and what they stand for, packed.
//!
//! In: names with their backends and owners, in any order. Out: a [`Table`] that answers by binary
//! search. The one decision: every distinct string is kept once, in one text, and entries point
//! into it; 5,000 services cost some 0.7 MB where a map of owned strings costs 2.4 MB.

use std::collections::HashMap;
use std::ops::Range;

use crate::mapping::{BackendRef, Kind, OwnerRef, PortRef};

/// Entries sorted by name, each with a `T` beside it.
#[derive(Debug)]
pub(crate) struct Table<T> {
    text: Box<str>,
    records: Box<[Record<T>]>,
    backends: Box<[PackedBackend]>,
    owners: Box<[PackedOwner]>,
}

/// Makes a [`Table`]. Of two entries of one name the later one counts.
#[derive(Debug)]
pub(crate) struct Builder<T> {
    text: String,
    spans: HashMap<Box<str>, Span>,
    records: Vec<Record<T>>,
    backends: Vec<PackedBackend>,
    owners: Vec<PackedOwner>,
}

/// One entry of a table.
#[derive(Debug)]
pub(crate) struct Row<'a, T> {
    table: &'a Table<T>,
    record: &'a Record<T>,
}

#[derive(Debug, Clone, Copy)]
struct Record<T> {
    name: Span,
    backends: Slice,
    owners: Slice,
    beside: T,
}

/// A piece of the text. Names in a line are at most 64 KiB long: `u16` is enough.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    len: u16,
}

#[derive(Debug, Clone, Copy)]
struct Slice {
    start: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy)]
struct PackedBackend {
    namespace: Span,
    service: Span,
    port: Option<PackedPort>,
    weight: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
enum PackedPort {
    Number(u16),
    Name(Span),
}

#[derive(Debug, Clone, Copy)]
struct PackedOwner {
    kind: Kind,
    namespace: Span,
    name: Option<Span>,
    rule: Option<u32>,
}

impl<T> Table<T> {
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn get(&self, name: &str) -> Option<Row<'_, T>> {
        let found = self.records.binary_search_by(|record| self.text(record.name).cmp(name));
        found.ok().and_then(|at| self.records.get(at)).map(|record| Row { table: self, record })
    }

    /// Every entry, sorted by name.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_, T>> {
        self.records.iter().map(|record| Row { table: self, record })
    }

    fn text(&self, span: Span) -> &str {
        self.text.get(span.range()).unwrap_or_default()
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            text: Box::default(),
            records: Box::default(),
            backends: Box::default(),
            owners: Box::default(),
        }
    }
}

impl<'a, T> Row<'a, T> {
    pub(crate) fn name(&self) -> &'a str {
        self.table.text(self.record.name)
    }

    pub(crate) fn beside(&self) -> &'a T {
        &self.record.beside
    }

    pub(crate) fn backends(&self) -> impl ExactSizeIterator<Item = BackendRef<'a>> + use<'a, T> {
        let table = self.table;
        let packed = table.backends.get(self.record.backends.range()).unwrap_or_default();
        packed.iter().map(|backend| BackendRef {
            namespace: table.text(backend.namespace),
            service: table.text(backend.service),
            port: backend.port.map(|port| match port {
                PackedPort::Number(number) => PortRef::Number(number),
                PackedPort::Name(name) => PortRef::Name(table.text(name)),
            }),
            weight: backend.weight,
        })
    }

    pub(crate) fn owners(&self) -> impl ExactSizeIterator<Item = OwnerRef<'a>> + use<'a, T> {
        let table = self.table;
        let packed = table.owners.get(self.record.owners.range()).unwrap_or_default();
        packed.iter().map(|owner| OwnerRef {
            kind: owner.kind,
            namespace: table.text(owner.namespace),
            name: owner.name.map(|name| table.text(name)),
            rule: owner.rule,
        })
    }
}

impl<T> Default for Builder<T> {
    fn default() -> Self {
        Self {
            text: String::new(),
            spans: HashMap::new(),
            records: Vec::new(),
            backends: Vec::new(),
            owners: Vec::new(),
        }
    }
}

impl<T> Builder<T> {
    /// Adds an entry. An entry with a string of more than 64 KiB, which no line can carry, or one
    /// past 4 GiB of distinct strings is left out: such a name is then simply not in the mapping.
    pub(crate) fn insert<'b>(
        &mut self,
        name: &str,
        backends: impl IntoIterator<Item = BackendRef<'b>>,
        owners: impl IntoIterator<Item = OwnerRef<'b>>,
        beside: T,
    ) {
        let record = self.pack(name, backends, owners, beside);
        self.records.extend(record);
    }

    pub(crate) fn build(self) -> Table<T> {
        let Self { text, spans, mut records, backends, owners } = self;
        drop(spans);
        let name = |record: &Record<T>| text.get(record.name.range()).unwrap_or_default();
        records.sort_by(|a, b| name(a).cmp(name(b)));
        // The sort is stable: of equal names the last one was inserted last.
        records.dedup_by(|later, kept| {
            let is_again = name(later) == name(kept);
            if is_again {
                std::mem::swap(later, kept);
            }
            is_again
        });
        Table {
            text: text.into_boxed_str(),
            records: records.into_boxed_slice(),
            backends: backends.into_boxed_slice(),
            owners: owners.into_boxed_slice(),
        }
    }

    fn pack<'b>(
        &mut self,
        name: &str,
        backends: impl IntoIterator<Item = BackendRef<'b>>,
        owners: impl IntoIterator<Item = OwnerRef<'b>>,
        beside: T,
    ) -> Option<Record<T>> {
        let name = self.span(name)?;
        let first_backend = self.backends.len();
        for backend in backends {
            let port = match backend.port {
                Some(PortRef::Number(number)) => Some(PackedPort::Number(number)),
                Some(PortRef::Name(name)) => Some(PackedPort::Name(self.span(name)?)),
                None => None,
            };
            let namespace = self.span(backend.namespace)?;
            let service = self.span(backend.service)?;
            let weight = backend.weight;
            self.backends.push(PackedBackend { namespace, service, port, weight });
        }
        let first_owner = self.owners.len();
        for owner in owners {
            let OwnerRef { kind, rule, .. } = owner;
            let namespace = self.span(owner.namespace)?;
            let name = match owner.name {
                Some(name) => Some(self.span(name)?),
                None => None,
            };
            self.owners.push(PackedOwner { kind, namespace, name, rule });
        }
        let backends = Slice::new(first_backend, self.backends.len())?;
        let owners = Slice::new(first_owner, self.owners.len())?;
        Some(Record { name, backends, owners, beside })
    }

    fn span(&mut self, text: &str) -> Option<Span> {
        if let Some(span) = self.spans.get(text) {
            return Some(*span);
        }
        let len = u16::try_from(text.len()).ok()?;
        let start = u32::try_from(self.text.len()).ok()?;
        self.text.push_str(text);
        self.spans.insert(text.into(), Span { start, len });
        Some(Span { start, len })
    }
}

impl Span {
    fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + usize::from(self.len)
    }
}

impl Slice {
    fn new(start: usize, end: usize) -> Option<Self> {
        Some(Self { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}
