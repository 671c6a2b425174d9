//! Which shards have to be written, and which removed.
//!
//! In: what is published, and what all shards are to hold. Out: what to write, in which order, and
//! what to remove after that. The one decision: at any moment between two writes all names are in
//! some shard, and the later revision is the right one; so a publisher may stop anywhere, and a
//! reader may start anywhere.

use std::collections::BTreeMap;

use crate::mapping::shards::pack::{Error, read_text};
use crate::mapping::shards::{Content, Region, digest};

/// What is published in the place of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    region: Region,
    revision: u64,
    digest: [u8; 32],
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan<'c> {
    /// The revision to write in: later than any that is published.
    pub revision: u64,
    /// What to write, in this order.
    pub write: Vec<&'c Content>,
    /// The numbers of the shards to remove once all is written.
    pub remove: Vec<u32>,
}

impl Published {
    /// What these bytes are as a shard.
    ///
    /// # Errors
    /// As for [`read`].
    ///
    /// [`read`]: crate::mapping::shards::read
    pub fn of(bytes: &[u8]) -> Result<Self, Error> {
        let (shard, text) = read_text(bytes)?;
        let region = shard.header.region;
        Ok(Self { region, revision: shard.header.revision, digest: digest(region, &text) })
    }

    /// What the content is, written in this revision.
    pub fn as_written(content: &Content, revision: u64) -> Self {
        Self { region: content.region, revision, digest: content.digest() }
    }
}

/// What to do so that `there`, what is published by the number of its place, becomes `wanted`.
/// `None` is what cannot be read as a shard: written anew, or removed.
pub fn plan<'c>(there: &BTreeMap<u32, Option<Published>>, wanted: &'c [Content]) -> Plan<'c> {
    let published = || there.iter().filter_map(|(number, one)| Some((*number, (*one)?)));
    let latest = published().map(|(_, one)| one.revision).max().unwrap_or_default();
    let is_there = |content: &&Content| {
        let Some(Some(one)) = there.get(&content.region.number) else { return false };
        // A reader may have taken these names from another shard meanwhile, and would not look at
        // this one again.
        let is_overruled = published().any(|(number, other)| {
            number != content.region.number
                && other.revision >= one.revision
                && other.region.overlaps(one.region)
        });
        one.region == content.region && one.digest == content.digest() && !is_overruled
    };
    // The highest number first: a new shard before the one whose names it takes over.
    let write = wanted.iter().rev().filter(|content| !is_there(content)).collect();
    let is_wanted = |number: &u32| wanted.iter().any(|content| content.region.number == *number);
    let remove = there.keys().copied().filter(|number| !is_wanted(number)).collect();
    Plan { revision: latest.saturating_add(1), write, remove }
}
