//! A snapshot as gzip shards, and back: what is published once and read by many.
//!
//! ```text
//! Snapshot ──> contents ──> Content ──> pack ──> bytes ──> read ──> Shard ──> Assembly ──> Snapshot
//! ```
//! In: a snapshot, or bytes that may be anything. Out: bytes, or a snapshot. The one decision: a
//! shard says by itself which names it is about, so any shard can be taken or refused alone, and
//! whether a set of them is whole can be seen from the set. Names go to shards by their hash
//! ([`Region`]); one name that changes is one shard that changes. As the mapping grows, shards are
//! added one at a time, each with half of the names of one that was there (linear hashing), so
//! growing touches two.

mod assembly;
mod lines;
mod pack;
mod plan;

pub use assembly::{Assembly, Outcome};
pub use pack::{Error, Header, MAX_BYTES, Shard, TooLarge, read};
pub use plan::{Plan, Published, plan};

use std::fmt;

use sha2::{Digest, Sha256};

use crate::mapping::entry::EntryRef;
use crate::mapping::name::is_label;
use crate::mapping::{Label, Snapshot, Target, target_of_entry, target_of_name};

/// Which names a shard is about: those whose hash ends in the bits of `number`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region {
    number: u32,
    bits: u8,
}

/// What one shard is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    region: Region,
    /// A line for each entry, sorted by name.
    text: String,
    entries: usize,
}

/// The name of a mapping where none is given.
pub const DEFAULT_NAME: &str = "kong-mapping";

/// The most bytes of a mapping's name.
pub const MAX_NAME: usize = 50;

/// Whether a mapping may be called so: its ConfigMaps' names begin with it, and a label has it as
/// its value.
pub fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME && is_label(name)
}

/// What all shards of a snapshot are to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// In the order of their numbers, from 0 on; one at least.
    pub shards: Vec<Content>,
    /// The names whose entries no reader would take: a Service, a port that cannot be.
    pub left_out: Vec<String>,
}

/// What all shards of this snapshot are to hold. The same names with the same entries give the same,
/// whatever was before.
///
/// A name that tells by itself all that its entry does is left out: whoever reads the shards reads
/// names, too. With rules combined into self-describing names, that is most of them.
pub fn contents(snapshot: &Snapshot) -> Contents {
    let (mut lines, mut left_out) = (Vec::new(), Vec::new());
    for (name, entry) in snapshot.iter().filter(|(name, entry)| !says_itself(name, entry)) {
        let line = lines::print(name, &entry);
        // One entry that is refused there would be a whole shard that is refused.
        match lines::parse(&line) {
            Ok(_) => lines.push((hash(name), line)),
            Err(_) => left_out.push(name.to_owned()),
        }
    }
    let bytes: usize = lines.iter().map(|(_, line)| line.len()).sum();
    let count = bytes.div_ceil(TARGET_BYTES).clamp(1, MAX_COUNT);
    let empty = |region| Content { region, text: String::new(), entries: 0 };
    let mut shards: Vec<_> = Region::all(count).map(empty).collect();
    for (hash, line) in lines {
        if let Some(content) = shards.get_mut(slot(hash, count)) {
            content.text.push_str(&line);
            content.entries += 1;
        }
    }
    Contents { shards, left_out }
}

impl Content {
    /// Which names it is about.
    pub fn region(&self) -> Region {
        self.region
    }

    /// How many names it holds.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// The SHA-256 of what it says. Contents that say the same of the same names have the same.
    pub fn digest(&self) -> [u8; 32] {
        digest(self.region, &self.text)
    }

    /// The shard, written in this revision: of two shards about the same names the one of the later
    /// revision counts.
    ///
    /// # Errors
    /// Where it is larger than what a ConfigMap can hold.
    pub fn pack(&self, revision: u64) -> Result<Vec<u8>, TooLarge> {
        pack::pack(self.region, revision, self.entries, &self.text)
    }
}

impl Region {
    /// The number of the shard.
    pub fn number(self) -> u32 {
        self.number
    }

    fn new(number: u32, bits: u8) -> Option<Self> {
        let is_one = bits <= MAX_BITS && u64::from(number) >> bits == 0;
        is_one.then_some(Self { number, bits })
    }

    /// The regions of so many shards.
    fn all(count: usize) -> impl Iterator<Item = Self> {
        let bits = bits(count);
        let half = 1 << bits.saturating_sub(1);
        (0..count).map(move |number| {
            let is_split = number >= half || number + half < count;
            let bits = if is_split { bits } else { bits.saturating_sub(1) };
            Self { number: u32::try_from(number).unwrap_or(u32::MAX), bits }
        })
    }

    fn contains(self, hash: u64) -> bool {
        hash & ((1 << self.bits) - 1) == u64::from(self.number)
    }

    fn overlaps(self, other: Self) -> bool {
        let bits = self.bits.min(other.bits);
        (self.number ^ other.number) & ((1 << bits) - 1) == 0
    }

    /// The parts of this region that are in none of these.
    fn without(self, regions: &[Self]) -> Vec<Self> {
        let within: Vec<_> = regions.iter().copied().filter(|r| r.overlaps(self)).collect();
        if within.iter().any(|region| region.bits <= self.bits) {
            return Vec::new();
        }
        if within.is_empty() {
            return vec![self];
        }
        let bits = self.bits + 1;
        let halves = [self.number, self.number | 1 << self.bits];
        halves.into_iter().flat_map(|number| Self { number, bits }.without(&within)).collect()
    }
}

/// `3 of 2 bits`: of the names whose hash ends in 11.
impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bits", self.number, self.bits)
    }
}

fn digest(region: Region, text: &str) -> [u8; 32] {
    let Region { number, bits } = region;
    let digest = Sha256::new().chain_update(number.to_le_bytes()).chain_update([bits]);
    digest.chain_update(text).finalize().into()
}

/// Whether the name without its entry stands for the very Service that it does with it. Its upstream
/// then does, too: it has either the same name or one made of the same parts.
fn says_itself<'a>(name: &'a str, entry: &EntryRef<'a>) -> bool {
    let told = target_of_entry(entry.clone(), Label::Service, name);
    matches!(told, Target::Service { .. }) && told == target_of_name(Label::Service, name)
}

/// Whether there may be an entry that is left out because the name says it.
fn may_say_itself(name: &str) -> bool {
    matches!(target_of_name(Label::Service, name), Target::Service { .. })
}

/// The number of the shard among so many.
fn slot(hash: u64, count: usize) -> usize {
    let bits = bits(count);
    let number = |bits: u8| usize::try_from(hash & ((1 << bits) - 1)).unwrap_or_default();
    let slot = number(bits);
    if slot < count { slot } else { number(bits.saturating_sub(1)) }
}

/// As many bits as tell so many shards apart.
fn bits(count: usize) -> u8 {
    u8::try_from(count.next_power_of_two().trailing_zeros()).unwrap_or(MAX_BITS)
}

/// FNV-1a, whose upper half is better than its lower one. Part of the format.
fn hash(name: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    hash >> 32 ^ hash
}

/// Text of a shard, on average. Packed it is a sixth or less. Smaller ones cost more objects, larger
/// ones more bytes for each change.
const TARGET_BYTES: usize = 64 * 1024;

/// Then they grow instead.
const MAX_COUNT: usize = 1 << 12;

const MAX_BITS: u8 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_shards_are_about_every_name_once() {
        for count in 1..=130 {
            let regions: Vec<_> = Region::all(count).collect();
            assert_eq!(regions.len(), count);
            let everything = Region { number: 0, bits: 0 };
            assert_eq!(everything.without(&regions), []);
            for number in 0..500 {
                let hash = hash(&format!("name-{number}"));
                let of: Vec<_> = regions.iter().filter(|region| region.contains(hash)).collect();
                assert_eq!(of, [&regions[slot(hash, count)]], "{count}");
            }
            // One less, and what it was about is what is missing.
            for (gone, region) in regions.iter().enumerate() {
                let mut others = regions.clone();
                others.remove(gone);
                assert_eq!(everything.without(&others), [*region]);
            }
        }
    }

    #[test]
    fn one_more_shard_is_half_of_another() {
        for count in 1..130 {
            let before: Vec<_> = Region::all(count).collect();
            let after: Vec<_> = Region::all(count + 1).collect();
            let changed = before.iter().zip(&after).filter(|(one, other)| one != other).count();
            assert_eq!(changed, 1, "{count}");
            let [split] =
                before.iter().filter(|r| r.overlaps(after[count])).collect::<Vec<_>>()[..]
            else {
                panic!("{count}")
            };
            assert_ne!(after[split.number as usize], *split);
        }
    }

    #[test]
    fn names_are_spread_evenly() {
        for name in [
            |n: usize| format!("httproute.namespace-{}.route-{n}.0", n / 100),
            |n: usize| format!("httproute.web.svc.web.echo-{n}.80.1"),
            |n: usize| format!("web.{n:x}.http"),
        ] {
            let mut counts = [0; 64];
            (0..64_000).for_each(|n| counts[slot(hash(&name(n)), 64)] += 1);
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(*least > 800 && *most < 1200, "{least} to {most}");
        }
    }

    #[test]
    fn the_hash_is_part_of_the_format() {
        assert_eq!(hash(""), 0xcbf2_9ce4_4fd0_bfc1);
        assert_eq!(hash("httproute.web.echo.0"), 0xca5e_82b6_c37f_9d29);
    }
}
