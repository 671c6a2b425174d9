//! Where the mapping comes from: `--mapping` in, snapshots into [`Current`] out.
//!
//! The rim of `mapping`: here are the files, the clock and the waiting. The one decision: a source
//! that cannot be read at the start is an error, one that cannot be read later is a warning, and
//! the last good mapping goes on.
//!
//! [`Current`]: crate::mapping::Current

pub mod file;
mod gather;
pub mod watch;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::mapping;

/// The value of `--mapping`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `none`: names tell what they tell.
    None,
    /// `file:PATH`: a mapping file, read again when it changes.
    File(PathBuf),
}

/// What went wrong with a source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--mapping` has another value.
    #[error("mapping source {0:?} is not known: expected none or file:PATH")]
    Unknown(String),
    /// `file:` without a path.
    #[error("mapping source file: has no path: expected file:PATH")]
    NoPath,
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
            Some(("file", "")) => Err(Error::NoPath),
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
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_read_from_the_command_line_and_printed_back() {
        for text in ["none", "file:/etc/kong/map.yaml", "file:map:a.json"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn any_other_source_is_refused_with_what_is_possible() {
        let message = |text: &str| text.parse::<Source>().unwrap_err().to_string();
        assert_eq!(
            message("watch"),
            "mapping source \"watch\" is not known: expected none or file:PATH"
        );
        assert_eq!(
            message("/etc/map.json"),
            "mapping source \"/etc/map.json\" is not known: expected none or file:PATH"
        );
        assert_eq!(message("file:"), "mapping source file: has no path: expected file:PATH");
    }
}
