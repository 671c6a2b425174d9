//! A folder of shards, followed: ConfigMaps of `publish`, mounted as a volume.
//!
//! In: the path of a folder. Out: snapshots into [`Current`] at the start and whenever a file there
//! changes. The one decision: every file that ends in `.gz` is a shard, whatever ConfigMap it came
//! from; all are looked at once a second, as a mapping file is, so the links that a volume swaps
//! need nothing special. Shards that are not there yet are no error: the publisher may start later.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use crate::mapping::shards::{Assembly, MAX_BYTES};
use crate::mapping::{Current, Snapshot};
use crate::metrics::Shards;
use crate::source::Error;
use crate::source::file::{POLL_INTERVAL, Reload};
use crate::source::shards::{News, Receiver};
use crate::telemetry::Chain;

/// Follows one folder.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    current: Current,
    receiver: Receiver,
    seen: Vec<Identity>,
    /// What was told last of a folder that cannot be read, until it can be again.
    trouble: Option<String>,
}

/// What of a file differs once its content does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    name: String,
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Reads a folder of shards once, which has to be whole. Blocks.
pub fn read(path: &Path) -> Result<Snapshot, Error> {
    let failed = |source| Error::ReadFolder { path: path.to_owned(), source };
    let shards = read_all(path).map_err(failed)?;
    let mut assembly = Assembly::default();
    let outcome = assembly.replace(shards, &Snapshot::default(), Instant::now());
    if let Some((file, source)) = outcome.refused.into_iter().next() {
        return Err(Error::Shard { path: path.join(file), source });
    }
    match &assembly.missing()[..] {
        [] => Ok(outcome.snapshot.unwrap_or_default()),
        missing => {
            let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
            Err(Error::Missing { path: path.to_owned(), missing: missing.join(", ") })
        }
    }
}

impl Follower {
    /// Reads the folder for the first time; an error is the caller's to report.
    pub async fn open(path: PathBuf, current: Current, shards: Shards) -> Result<Self, Error> {
        let receiver = Receiver::new(current.clone(), shards);
        let mut follower = Self { path, current, receiver, seen: Vec::new(), trouble: None };
        let seen = follower.identities().await?;
        follower.load().await?;
        follower.seen = seen;
        Ok(follower)
    }

    /// Looks at the folder once a second for as long as it is polled, and tells `on_reload` of each
    /// change.
    pub async fn follow(mut self, mut on_reload: impl FnMut(Reload)) {
        let mut ticks = interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look().await.into_iter().for_each(&mut on_reload);
        }
    }

    /// Looks at the folder once: reads it where it has changed, and drops retained names whose hour
    /// is over.
    pub async fn look(&mut self) -> Vec<Reload> {
        self.current.forget(Instant::now());
        match self.read_if_changed().await {
            Ok(reloads) => {
                self.trouble = None;
                reloads
            }
            Err(error) => {
                // A file may be gone between two looks at it, as a volume is swapped; the next look
                // finds another state. What stays is told once.
                self.seen.clear();
                let trouble = Chain(&error).to_string();
                if self.trouble.as_ref() == Some(&trouble) {
                    return Vec::new();
                }
                warn!(error = trouble, "mapping not renewed, the last good one stays");
                self.trouble = Some(trouble);
                vec![Reload::Failure]
            }
        }
    }

    async fn read_if_changed(&mut self) -> Result<Vec<Reload>, Error> {
        // Before the content is read: a change in between is then seen at the next look.
        let seen = self.identities().await?;
        if seen == self.seen && self.trouble.is_none() {
            return Ok(Vec::new());
        }
        let reloads = self.load().await?;
        self.seen = seen;
        Ok(reloads)
    }

    async fn load(&mut self) -> Result<Vec<Reload>, Error> {
        let shards = self.blocking(read_all).await?;
        Ok(self.receiver.take(News::All(shards)).await)
    }

    async fn identities(&self) -> Result<Vec<Identity>, Error> {
        self.blocking(identities).await
    }

    /// Beside the runtime's thread, which answers scrapes meanwhile.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let path = self.path.clone();
        let done = tokio::task::spawn_blocking(move || work(&path)).await;
        let done = done.unwrap_or_else(|stopped| Err(io::Error::other(stopped)));
        done.map_err(|source| Error::ReadFolder { path: self.path.clone(), source })
    }
}

fn identities(folder: &Path) -> io::Result<Vec<Identity>> {
    let identity = |name: String| {
        let metadata = fs::metadata(folder.join(&name)).map_err(|error| named(&name, &error))?;
        Ok(Identity {
            name,
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    };
    names(folder)?.into_iter().map(identity).collect()
}

fn read_all(folder: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let read = |name: String| {
        let mut bytes = Vec::new();
        let file = fs::File::open(folder.join(&name));
        // One byte more than a shard may have is enough to see that it is none.
        let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        let read = file.and_then(|file| file.take(most).read_to_end(&mut bytes));
        read.map_err(|error| named(&name, &error))?;
        Ok((name, bytes))
    };
    names(folder)?.into_iter().map(read).collect()
}

/// The shards in a folder, sorted.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        // Kubernetes' own files and folders begin with two dots.
        let name = entry?.file_name().into_string();
        names.extend(name.ok().filter(|name| name.ends_with(".gz") && !name.starts_with('.')));
    }
    names.sort_unstable();
    Ok(names)
}

fn named(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {error}"))
}
