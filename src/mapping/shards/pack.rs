//! The bytes of a shard.
//!
//! ```text
//! 1f 8b 08 10 00 00 00 00 02 ff   a gzip header that announces a comment
//! kong-metrics-exporter.io/mapping version=1 number=3 bits=2 revision=7 entries=812 sha256=…   00
//! …                               deflated lines, CRC and length
//! ```
//! In: a shard's text, or bytes that may be anything. Out: the other. The one decision: it is a gzip
//! file that `zcat` reads, and its header is gzip's own comment, so `head -1` tells what it is and a
//! reader knows before it inflates. The SHA-256 is of all that is not fixed, so no other bytes but
//! these are taken.

use std::fmt::Write as _;
use std::io::{self, Read, Write};

use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};

use crate::mapping::Entry;
use crate::mapping::shards::{Region, hash, lines};

/// The most bytes of a shard. A ConfigMap holds 1 MiB, with its keys.
pub const MAX_BYTES: usize = (1 << 20) - 16 * 1024;

/// What a shard says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Which names it is about.
    pub region: Region,
    /// Of two shards about the same names the one of the later revision counts.
    pub revision: u64,
    /// How many names it holds.
    pub entries: usize,
    /// Of all that is not the same in every shard. Two shards with the same are the same.
    pub sha256: [u8; 32],
}

/// A shard that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// What it says about itself.
    pub header: Header,
    /// Names and what they stand for, sorted by name.
    pub entries: Vec<(String, Entry)>,
}

/// A shard that no ConfigMap can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("shard {region} has {bytes} bytes, more than the {MAX_BYTES} that a ConfigMap can hold")]
pub struct TooLarge {
    /// Which one.
    pub region: Region,
    /// Its size.
    pub bytes: usize,
}

/// Why bytes are no shard.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum Error {
    #[error("no shard of a mapping: it does not begin as one does")]
    Foreign,
    #[error(
        "format version {found}: only version {VERSION} is known, so a newer exporter wrote it"
    )]
    Version { found: u64 },
    #[error("{bytes} bytes are more than the {most} that a shard has")]
    TooLarge { bytes: usize, most: usize },
    #[error("bad header {header:?}: expected {expected}")]
    Header { header: String, expected: &'static str },
    #[error("cut off or damaged: its SHA-256 is not the one in its header")]
    Damaged,
    #[error("cannot be inflated")]
    Inflate(#[source] io::Error),
    #[error("line {line} is no entry")]
    Line {
        line: usize,
        #[source]
        source: serde_json::Error,
    },
    #[error("line {line}: {name:?} belongs into another shard")]
    Misplaced { line: usize, name: String },
    #[error("line {line}: {name:?} is not behind the name of the line before")]
    Unsorted { line: usize, name: String },
    #[error("{found} entries, not the {said} that its header says")]
    Count { said: usize, found: usize },
}

pub(super) fn pack(
    region: Region,
    revision: u64,
    entries: usize,
    text: &str,
) -> Result<Vec<u8>, TooLarge> {
    let Region { number, bits } = region;
    let about = format!(
        "{MAGIC} version={VERSION} number={number} bits={bits} revision={revision} \
         entries={entries} {SHA256}"
    );
    let deflated = deflate(text);
    let sha256 = digest(about.as_bytes(), &deflated);
    let mut bytes = Vec::with_capacity(GZIP.len() + about.len() + 65 + deflated.len());
    bytes.extend_from_slice(&GZIP);
    bytes.extend_from_slice(about.as_bytes());
    bytes.extend_from_slice(hex(&sha256).as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&deflated);
    if bytes.len() > MAX_BYTES {
        return Err(TooLarge { region, bytes: bytes.len() });
    }
    Ok(bytes)
}

/// Reads a shard's header, and makes sure that the bytes are all there and as they were written.
pub(super) fn header(bytes: &[u8]) -> Result<Header, Error> {
    split(bytes).map(|(header, _)| header)
}

/// Reads a shard.
///
/// # Errors
/// Whatever no publisher of this format version writes is refused as a whole.
pub fn read(bytes: &[u8]) -> Result<Shard, Error> {
    read_text(bytes).map(|(shard, _)| shard)
}

/// As [`read`], with the text that it was read from.
pub(super) fn read_text(bytes: &[u8]) -> Result<(Shard, String), Error> {
    let (header, deflated) = split(bytes)?;
    let text = inflate(deflated)?;
    let mut entries: Vec<(String, Entry)> = Vec::with_capacity(header.entries.min(text.len()));
    for (number, line) in text.lines().enumerate() {
        let at = number + 1;
        let (name, entry) =
            lines::parse(line).map_err(|source| Error::Line { line: at, source })?;
        if !header.region.contains(hash(&name)) {
            return Err(Error::Misplaced { line: at, name });
        }
        if entries.last().is_some_and(|(before, _)| *before >= name) {
            return Err(Error::Unsorted { line: at, name });
        }
        entries.push((name, entry));
    }
    if entries.len() != header.entries {
        return Err(Error::Count { said: header.entries, found: entries.len() });
    }
    Ok((Shard { header, entries }, text))
}

/// The header, once it is proved, and what is deflated.
fn split(bytes: &[u8]) -> Result<(Header, &[u8]), Error> {
    if bytes.len() > MAX_BYTES {
        return Err(Error::TooLarge { bytes: bytes.len(), most: MAX_BYTES });
    }
    let rest = bytes.strip_prefix(&GZIP).and_then(|rest| rest.strip_prefix(MAGIC.as_bytes()));
    let rest = rest.and_then(|rest| rest.strip_prefix(b" ")).ok_or(Error::Foreign)?;
    let end = memchr::memchr(0, rest).ok_or(Error::Damaged)?;
    let (comment, deflated) = rest.split_at(end);
    let deflated = deflated.get(1..).unwrap_or_default();
    let comment = str::from_utf8(comment).map_err(|_| Error::Damaged)?;
    let bad = |expected| Error::Header { header: comment.to_owned(), expected };
    let mut words = comment.split(' ');
    let mut number = |key: &'static str| {
        let value = words.next().and_then(|word| word.strip_prefix(key)?.strip_prefix('='));
        value.filter(|value| is_number(value)).and_then(|value| value.parse::<u64>().ok())
    };
    let found = number("version").ok_or_else(|| bad("version=NUMBER"))?;
    if found != VERSION {
        return Err(Error::Version { found });
    }
    // Before anything that a damaged header could say is believed.
    let at = comment.find(SHA256).ok_or(Error::Damaged)? + SHA256.len();
    let (about, said) = comment.split_at(at);
    let sha256 = digest(format!("{MAGIC} {about}").as_bytes(), deflated);
    if said != hex(&sha256) {
        return Err(Error::Damaged);
    }
    let expected = "number=NUMBER bits=NUMBER revision=NUMBER entries=NUMBER";
    let mut number = |key| number(key).ok_or_else(|| bad(expected));
    let (region, bits) = (number("number")?, number("bits")?);
    let (revision, entries) = (number("revision")?, number("entries")?);
    let region = u32::try_from(region).ok().zip(u8::try_from(bits).ok());
    let region = region.and_then(|(number, bits)| Region::new(number, bits));
    let region = region.ok_or_else(|| bad("a number of at most so many bits, and those few"))?;
    let entries = usize::try_from(entries).map_err(|_| bad(expected))?;
    Ok((Header { region, revision, entries, sha256 }, deflated))
}

/// A gzip file without its header, whose ten bytes are known.
fn deflate(text: &str) -> Vec<u8> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
    // A vector takes whatever is written.
    let _ = encoder.write_all(text.as_bytes());
    encoder.finish().unwrap_or_default().split_off(GZIP.len())
}

fn inflate(deflated: &[u8]) -> Result<String, Error> {
    let mut text = String::new();
    let gzip = PLAIN_GZIP.chain(deflated);
    let most = u64::try_from(MAX_TEXT).unwrap_or(u64::MAX);
    let read = GzDecoder::new(gzip).take(most + 1).read_to_string(&mut text);
    let bytes = read.map_err(Error::Inflate)?;
    if bytes > MAX_TEXT {
        return Err(Error::TooLarge { bytes, most: MAX_TEXT });
    }
    Ok(text)
}

fn digest(about: &[u8], deflated: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(about).chain_update(deflated).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        // A string takes whatever is written.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// As it is printed: `u64::from_str` takes `+7` and `007`, too.
fn is_number(text: &str) -> bool {
    text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()))
}

const MAGIC: &str = "kong-metrics-exporter.io/mapping";
const VERSION: u64 = 1;
const SHA256: &str = "sha256=";

/// Deflated, with a comment, without a time, packed small, on no system in particular.
const GZIP: [u8; 10] = [0x1f, 0x8b, 8, 0x10, 0, 0, 0, 0, 2, 0xff];

/// The same without a comment.
const PLAIN_GZIP: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 0xff];

/// The most that a shard is inflated to. What deflates into [`MAX_BYTES`] may be a thousand times
/// as much; names and entries deflate to a fifth or a tenth.
const MAX_TEXT: usize = 32 << 20;
