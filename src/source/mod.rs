//! Where the mapping comes from: `--mapping` in, snapshots into [`Current`] out.
//!
//! The rim of `mapping`: here are the files, the clock and the waiting. The one decision: a source
//! that cannot be read at the start is an error, one that cannot be read later is a warning, and
//! the last good mapping goes on.
//!
//! [`Current`]: crate::mapping::Current

pub mod asking;
pub mod dir;
pub mod file;
mod gather;
pub mod needs;
pub mod published;
mod shards;
pub mod watch;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::cluster::client::Access;
use crate::mapping;

/// The value of `--mapping`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `none`: names tell what they tell.
    None,
    /// `watch`: routes, Services and all else that counts, watched.
    Watch,
    /// `file:PATH`: a mapping file, read again when it changes.
    File(PathBuf),
    /// `dir:PATH`: a folder of published shards, read again when it changes.
    Dir(PathBuf),
    /// `published` or `published:NAME`: published shards in ConfigMaps, watched.
    Published(String),
}

/// Where in which cluster a source that is followed there is.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// Which API server, and as whom.
    pub access: Access,
    /// The namespace of a published mapping; `None` for this pod's own.
    pub namespace: Option<String>,
    /// What is watched.
    pub watch: watch::Config,
}

/// What went wrong with a source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--mapping` has another value.
    #[error(
        "mapping source {0:?} is not known: expected watch, published[:NAME], dir:PATH, file:PATH or \
         none"
    )]
    Unknown(String),
    /// `file:` or `dir:` without a path.
    #[error("mapping source {0}: has no path: expected {0}:PATH")]
    NoPath(&'static str),
    /// `published:` with a name that no mapping can have.
    #[error("mapping source published:{0}: expected a name of up to {max} of a-z, 0-9 and -", max = mapping::shards::MAX_NAME)]
    Name(String),
    /// A one-time reading of what only makes sense followed.
    #[error(
        "{0} is followed in a cluster, and here the mapping is read once: expected none, file:PATH or dir:PATH"
    )]
    Followed(Source),
    /// The folder, or a shard in it, cannot be read.
    #[error("cannot read the folder of mapping shards {}", path.display())]
    ReadFolder {
        /// Which folder.
        path: PathBuf,
        /// Which file, and why.
        #[source]
        source: std::io::Error,
    },
    /// A file in the folder is no shard.
    #[error("{} is refused", path.display())]
    Shard {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: mapping::shards::Error,
    },
    /// The folder has not all shards.
    #[error("shards are missing in {}: {missing}", path.display())]
    Missing {
        /// Which folder.
        path: PathBuf,
        /// Their numbers.
        missing: String,
    },
    /// The file cannot be read.
    #[error("cannot read mapping file {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than [`file::MAX_BYTES`].
    #[error("mapping file {} has {bytes} bytes, more than {}", path.display(), file::MAX_BYTES)]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The file's text is no mapping.
    #[error("mapping file {} is not understood", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        #[source]
        source: mapping::file::Error,
    },
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            None if text == "watch" => Ok(Self::Watch),
            None if text == "published" => {
                Ok(Self::Published(mapping::shards::DEFAULT_NAME.into()))
            }
            Some(("file", "")) => Err(Error::NoPath("file")),
            Some(("dir", "")) => Err(Error::NoPath("dir")),
            Some(("dir", path)) => Ok(Self::Dir(path.into())),
            Some(("published", name)) if mapping::shards::is_name(name) => {
                Ok(Self::Published(name.to_owned()))
            }
            Some(("published", name)) => Err(Error::Name(name.to_owned())),
            Some(("file", path)) => Ok(Self::File(path.into())),
            _ => Err(Error::Unknown(text.to_owned())),
        }
    }
}

/// As it is written on the command line.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Watch => f.write_str("watch"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Dir(path) => write!(f, "dir:{}", path.display()),
            Self::Published(name) if name == mapping::shards::DEFAULT_NAME => {
                f.write_str("published")
            }
            Self::Published(name) => write!(f, "published:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_read_from_the_command_line_and_printed_back() {
        for text in [
            "none",
            "watch",
            "file:/etc/kong/map.yaml",
            "file:map:a.json",
            "dir:/etc/kong/map",
            "published",
            "published:other",
        ] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn any_other_source_is_refused_with_what_is_possible() {
        let message = |text: &str| text.parse::<Source>().unwrap_err().to_string();
        assert_eq!(
            message("/etc/map.json"),
            "mapping source \"/etc/map.json\" is not known: expected watch, published[:NAME], \
             dir:PATH, file:PATH or none"
        );
        assert_eq!(message("dir:"), "mapping source dir: has no path: expected dir:PATH");
        assert_eq!(
            message("published:A"),
            "mapping source published:A: expected a name of up to 50 of a-z, 0-9 and -"
        );
        assert_eq!(message("file:"), "mapping source file: has no path: expected file:PATH");
    }
}
