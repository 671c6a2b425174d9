//! Names and what they stand for, packed.
//!
//! In: names with their entries, one after the other. Out: a [`Table`] of a hundred or so that
//! answers by name. The one decision: an entry is a piece of text, its name first, and a handful of
//! small numbers that say which parts of that text are Services and owners. So it is copied from
//! table to table as it is, and equal entries are equal bytes.

use crate::mapping::entry::{BackendRef, Backends, EntryRef, OwnerRef, Owners, PortRef};
use crate::mapping::kind::Kind;

/// Entries, each with a `T` beside it, and the lowest byte of the hash of its name.
///
/// A name is looked for by that byte: among a hundred entries, `memchr` over one or two cache lines
/// leaves hardly one to compare. Nothing is sorted and no slot is empty.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table<T> {
    tags: Box<[u8]>,
    rows: Rows,
    beside: Box<[T]>,
}

/// Entries in a row, each a slice of the same text and of the same numbers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    ends: Vec<End>,
    text: String,
    numbers: Vec<u8>,
}

/// An entry, packed.
///
/// `text` is the name and then whatever is not part of what stands before it. `numbers` are the
/// length of the name, the counts of backends and owners, and their fields in order; a text is its
/// offset in `text` and its length. Seven bits a byte, the lowest first; the highest bit says that
/// another byte follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed<'a> {
    text: &'a str,
    numbers: &'a [u8],
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct End {
    text: u32,
    numbers: u32,
}

impl<T: Copy> Table<T> {
    /// A table of these entries, of which no two have the same name: each with the hash of its name
    /// and what is to stand beside it.
    pub(crate) fn of(entries: &[(u64, Packed<'_>, T)]) -> Self {
        let texts = entries.iter().map(|(_, packed, _)| packed.text.len()).sum();
        let numbers = entries.iter().map(|(_, packed, _)| packed.numbers.len()).sum();
        // What is allocated at its final size is not moved again.
        let mut rows = Rows {
            ends: Vec::with_capacity(entries.len()),
            text: String::with_capacity(texts),
            numbers: Vec::with_capacity(numbers),
        };
        // What does not fit into 4 GiB is at the end of all three.
        let kept = entries.iter().take_while(|(_, packed, _)| rows.copy(*packed).is_some()).count();
        let kept = entries.get(..kept).unwrap_or_default();
        let tags = kept.iter().map(|(hash, ..)| tag(*hash)).collect();
        Self { tags, rows, beside: kept.iter().map(|(.., beside)| *beside).collect() }
    }

    /// The entry of this name, whose hash this is.
    pub(crate) fn get(&self, hash: u64, name: &str) -> Option<(Packed<'_>, T)> {
        memchr::memchr_iter(tag(hash), &self.tags).find_map(|at| {
            let packed = self.rows.get(at).filter(|packed| packed.is_of(name))?;
            Some((packed, *self.beside.get(at)?))
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.tags.len()
    }

    /// Every entry, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Packed<'_>, T)> {
        self.rows.iter().zip(self.beside.iter().copied())
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { tags: Box::default(), rows: Rows::default(), beside: Box::default() }
    }
}

impl Rows {
    /// Adds an entry. One with a string of more than 64 KiB, which no line can carry, or past 4 GiB
    /// of text is left out: false then.
    pub(crate) fn push<'b>(
        &mut self,
        name: &str,
        backends: &[BackendRef<'b>],
        owners: &[OwnerRef<'b>],
    ) -> bool {
        let (text, numbers) = (self.text.len(), self.numbers.len());
        let pushed = self.try_push(text, name, backends, owners);
        if pushed.is_none() {
            self.text.truncate(text);
            self.numbers.truncate(numbers);
        }
        pushed.is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Packed<'_>> {
        (0..self.ends.len()).filter_map(|at| self.get(at))
    }

    fn get(&self, at: usize) -> Option<Packed<'_>> {
        let start = match at.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => End::default(),
        };
        let end = self.ends.get(at)?;
        let text = self.text.get(start.text as usize..end.text as usize)?;
        let numbers = self.numbers.get(start.numbers as usize..end.numbers as usize)?;
        Some(Packed { text, numbers })
    }

    fn copy(&mut self, packed: Packed<'_>) -> Option<()> {
        let text = u32::try_from(self.text.len() + packed.text.len()).ok()?;
        let numbers = u32::try_from(self.numbers.len() + packed.numbers.len()).ok()?;
        self.text.push_str(packed.text);
        self.numbers.extend_from_slice(packed.numbers);
        self.ends.push(End { text, numbers });
        Some(())
    }

    fn try_push<'b>(
        &mut self,
        start: usize,
        name: &str,
        backends: &[BackendRef<'b>],
        owners: &[OwnerRef<'b>],
    ) -> Option<()> {
        is_short(name)?;
        self.text.push_str(name);
        for number in [name.len(), backends.len(), owners.len()] {
            self.number(number as u64);
        }
        for BackendRef { namespace, service, port, weight } in backends {
            self.part(start, namespace)?;
            self.part(start, service)?;
            match port {
                None => self.number(NO_PORT),
                Some(PortRef::Name(name)) => {
                    self.number(NAMED_PORT);
                    self.part(start, name)?;
                }
                Some(PortRef::Number(port)) => self.number(FIRST_PORT + u64::from(*port)),
            }
            self.optional(*weight);
        }
        for OwnerRef { kind, namespace, name, rule } in owners {
            self.number(*kind as u64);
            self.part(start, namespace)?;
            self.number(u64::from(name.is_some()));
            if let Some(name) = name {
                self.part(start, name)?;
            }
            self.optional(*rule);
        }
        let text = u32::try_from(self.text.len()).ok()?;
        let numbers = u32::try_from(self.numbers.len()).ok()?;
        self.ends.push(End { text, numbers });
        Some(())
    }

    /// A text of the entry that starts at `start`.
    fn part(&mut self, start: usize, part: &str) -> Option<()> {
        is_short(part)?;
        let before = self.text.get(start..)?;
        // What repeats repeats near the start. To search all would take minutes for a name that
        // 50,000 routes make.
        let searched = before.get(..before.floor_char_boundary(SEARCHED)).unwrap_or(before);
        let at = searched.find(part).unwrap_or(before.len());
        if at == before.len() {
            self.text.push_str(part);
        }
        self.number(at as u64);
        self.number(part.len() as u64);
        Some(())
    }

    fn optional(&mut self, number: Option<u32>) {
        self.number(number.map_or(0, |number| u64::from(number) + 1));
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.numbers.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.numbers.push(number as u8);
    }
}

impl<'a> Packed<'a> {
    pub(crate) fn name(self) -> &'a str {
        let mut numbers = Numbers(self.numbers);
        self.text.get(..numbers.index()).unwrap_or_default()
    }

    pub(crate) fn entry(self) -> EntryRef<'a> {
        let mut numbers = Numbers(self.numbers);
        let [_, backends, owners] = [numbers.next(), numbers.next(), numbers.next()];
        // Pushed, not collected: an entry is a quarter of a kilobyte, which is made in its place.
        let mut entry = EntryRef { backends: Backends::new(), owners: Owners::new() };
        for _ in 0..backends {
            entry.backends.push(self.backend(&mut numbers));
        }
        for _ in 0..owners {
            if let Some(owner) = self.owner(&mut numbers) {
                entry.owners.push(owner);
            }
        }
        entry
    }

    fn is_of(self, name: &str) -> bool {
        Numbers(self.numbers).index() == name.len() && self.text.starts_with(name)
    }

    #[inline]
    fn backend(self, numbers: &mut Numbers<'a>) -> BackendRef<'a> {
        let (namespace, service) = (self.part(numbers), self.part(numbers));
        let port = match numbers.next() {
            NO_PORT => None,
            NAMED_PORT => Some(PortRef::Name(self.part(numbers))),
            number => u16::try_from(number - FIRST_PORT).ok().map(PortRef::Number),
        };
        BackendRef { namespace, service, port, weight: numbers.optional() }
    }

    #[inline]
    fn owner(self, numbers: &mut Numbers<'a>) -> Option<OwnerRef<'a>> {
        let kind = *Kind::ALL.get(numbers.index())?;
        let namespace = self.part(numbers);
        let name = (numbers.next() != 0).then(|| self.part(numbers));
        Some(OwnerRef { kind, namespace, name, rule: numbers.optional() })
    }

    #[inline]
    fn part(self, numbers: &mut Numbers<'a>) -> &'a str {
        let (start, len) = (numbers.index(), numbers.index());
        self.text.get(start..start + len).unwrap_or_default()
    }
}

/// The numbers of an entry, as they are read. There are as many as were written; 0 behind them.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    /// Most are one byte.
    #[inline]
    fn next(&mut self) -> u64 {
        match self.0 {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.0 = rest;
                u64::from(*byte)
            }
            _ => self.long(),
        }
    }

    fn long(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        while let [byte, rest @ ..] = self.0 {
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                break;
            }
            shift += 7;
        }
        number
    }

    fn index(&mut self) -> usize {
        self.next() as usize
    }

    fn optional(&mut self) -> Option<u32> {
        self.next().checked_sub(1).and_then(|number| u32::try_from(number).ok())
    }
}

fn tag(hash: u64) -> u8 {
    hash as u8
}

fn is_short(text: &str) -> Option<()> {
    (text.len() <= usize::from(u16::MAX)).then_some(())
}

/// How much of an entry's text is searched for what repeats.
const SEARCHED: usize = 1024;

const NO_PORT: u64 = 0;
const NAMED_PORT: u64 = 1;
const FIRST_PORT: u64 = 2;
