//! A mapping file, followed.
//!
//! In: the path of a file. Out: a snapshot into [`Current`] at the start and whenever the file
//! changes. The one decision: changes are noticed by asking for the file's metadata once a second.
//! That follows symbolic links, so a ConfigMap volume, which swaps a link, needs nothing special,
//! and works on every file system, which inotify does not.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::mapping::{Current, Snapshot, file};
use crate::source::Error;

/// The largest file that is read. 50,000 services with a backend and an owner each take 13 MB.
pub const MAX_BYTES: u64 = 64 << 20;

/// How often the file is looked at.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A change of the file that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// The new content is the mapping now.
    Success,
    /// The file is gone, cannot be read or is not understood: the last good mapping goes on.
    Failure,
}

/// Follows one file.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    current: Current,
    seen: Option<Identity>,
    /// What was told last of a file that cannot be read, until it can be again.
    trouble: Option<String>,
}

/// What of a file's metadata differs once its content does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Reads a mapping file once. Blocks.
pub fn read(path: &Path) -> Result<Snapshot, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > MAX_BYTES {
        return Err(Error::TooLarge { path: path.to_owned(), bytes });
    }
    let content = std::fs::read(path).map_err(failed)?;
    file::parse(&content).map_err(|source| Error::Parse { path: path.to_owned(), source })
}

impl Follower {
    /// Reads the file for the first time; an error is the caller's to report.
    pub async fn open(path: PathBuf, current: Current) -> Result<Self, Error> {
        let mut follower = Self { path, current, seen: None, trouble: None };
        follower.seen = follower.identity().await;
        follower.load().await?;
        Ok(follower)
    }

    /// Looks at the file once a second for as long as it is polled, and tells `on_reload` of each
    /// change.
    pub async fn follow(mut self, mut on_reload: impl FnMut(Reload)) {
        let mut ticks = interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Some(reload) = self.look().await {
                on_reload(reload);
            }
        }
    }

    /// Looks at the file once: reads it where it has changed, and drops retained names whose hour
    /// is over. `None` where nothing is new.
    pub async fn look(&mut self) -> Option<Reload> {
        self.current.forget(Instant::now());
        // Before the content is read: a change in between is then seen at the next look.
        let identity = self.identity().await;
        if identity.is_some() && identity == self.seen {
            return None;
        }
        let Err(error) = self.load().await else {
            self.seen = identity;
            self.trouble = None;
            return Some(Reload::Success);
        };
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let trouble = format!("{error}: {}", cause.unwrap_or_default());
        // What is not understood stays so until the file changes. What cannot be read may be
        // readable the next time, so that is tried on, but told once.
        let is_misunderstood = matches!(error, Error::Parse { .. });
        self.seen = identity.filter(|_| is_misunderstood);
        if !is_misunderstood && self.trouble.as_ref() == Some(&trouble) {
            return None;
        }
        warn!(error = trouble, "mapping not renewed, the last good one stays");
        self.trouble = Some(trouble);
        Some(Reload::Failure)
    }

    /// Reads and parses beside the runtime's thread, which answers scrapes meanwhile.
    async fn load(&self) -> Result<(), Error> {
        let (path, previous) = (self.path.clone(), self.current.load());
        let blocking = move || Ok(read(&path)?.succeed(&previous, Instant::now()));
        let snapshot = tokio::task::spawn_blocking(blocking).await.unwrap_or_else(|stopped| {
            let source = std::io::Error::other(stopped);
            Err(Error::Read { path: self.path.clone(), source })
        })?;
        let (services, retained) = (snapshot.len(), snapshot.retained_len());
        self.current.store(snapshot, SystemTime::now());
        info!(path = %self.path.display(), services, retained, "mapping read");
        Ok(())
    }

    async fn identity(&self) -> Option<Identity> {
        let metadata = tokio::fs::metadata(&self.path).await.ok()?;
        Some(Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::mapping::{Label, Resolution, Tier, resolve};

    const ONE: &str =
        r#"{"services": {"one": {"backends": [{"namespace": "a", "service": "b"}]}}}"#;
    const TWO: &str = "services: {two: {backends: [{namespace: a, service: b}]}}";

    /// A directory of its own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("kong-metrics-exporter-{}-{name}", std::process::id());
            let folder = Self(std::env::temp_dir().join(name));
            fs::create_dir_all(&folder.0).unwrap();
            folder
        }

        fn file(&self) -> PathBuf {
            self.0.join("map")
        }

        async fn with(&self, content: &str) -> Follower {
            self.replace(content);
            Follower::open(self.file(), Current::awaiting()).await.unwrap()
        }

        /// By renaming, so that no look can see half of it.
        fn replace(&self, content: &str) {
            fs::write(self.0.join("new"), content).unwrap();
            fs::rename(self.0.join("new"), self.file()).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn tier(current: &Current, name: &str) -> Option<Tier> {
        let snapshot = current.load();
        let Resolution { tier, .. } = resolve(&snapshot, Label::Service, name);
        tier
    }

    #[tokio::test]
    async fn a_change_is_picked_up_and_a_vanished_name_retained() {
        let folder = Folder::new("change");
        let mut follower = folder.with(ONE).await;
        let current = follower.current.clone();
        assert!(current.is_ready());
        assert_eq!(tier(&current, "one"), Some(Tier::Exact));
        assert_eq!(follower.look().await, None);
        folder.replace(TWO);
        assert_eq!(follower.look().await, Some(Reload::Success));
        assert_eq!(tier(&current, "one"), Some(Tier::Retained));
        assert_eq!(tier(&current, "two"), Some(Tier::Exact));
        assert_eq!(follower.look().await, None);
        folder.replace(ONE);
        assert_eq!(follower.look().await, Some(Reload::Success));
        assert_eq!(tier(&current, "one"), Some(Tier::Exact));
        assert_eq!(tier(&current, "two"), Some(Tier::Retained));
    }

    #[tokio::test]
    async fn a_broken_file_keeps_the_last_good_mapping_and_is_told_once() {
        let folder = Folder::new("broken");
        let mut follower = folder.with(ONE).await;
        let (current, updated) = (follower.current.clone(), follower.current.updated());
        folder.replace("services:\n  two: {back: []}");
        assert_eq!(follower.look().await, Some(Reload::Failure));
        let told = follower.trouble.clone().unwrap();
        let place = "YAML line 2 column 9: service \"two\": unknown field `back`";
        assert!(told.contains(place), "{told}");
        assert_eq!(follower.look().await, None);
        folder.replace("services:\n  two: {brick: []}");
        assert_eq!(follower.look().await, Some(Reload::Failure));
        assert_eq!(tier(&current, "one"), Some(Tier::Exact));
        assert_eq!(current.updated(), updated);
        folder.replace(TWO);
        assert_eq!(follower.look().await, Some(Reload::Success));
        assert_eq!(tier(&current, "two"), Some(Tier::Exact));
    }

    #[tokio::test]
    async fn a_file_that_is_gone_is_told_once_and_read_when_it_is_back() {
        let folder = Folder::new("gone");
        let mut follower = folder.with(ONE).await;
        fs::remove_file(folder.file()).unwrap();
        assert_eq!(follower.look().await, Some(Reload::Failure));
        assert_eq!(follower.look().await, None);
        assert_eq!(tier(&follower.current, "one"), Some(Tier::Exact));
        folder.replace(TWO);
        assert_eq!(follower.look().await, Some(Reload::Success));
        assert_eq!(tier(&follower.current, "two"), Some(Tier::Exact));
    }

    #[tokio::test]
    async fn the_swapped_link_of_a_configmap_volume_is_followed() {
        let folder = Folder::new("link");
        let version = |name: &str, content: &str| {
            fs::create_dir_all(folder.0.join(name)).unwrap();
            fs::write(folder.0.join(name).join("map"), content).unwrap();
            std::os::unix::fs::symlink(name, folder.0.join("..data_tmp")).unwrap();
            fs::rename(folder.0.join("..data_tmp"), folder.0.join("..data")).unwrap();
        };
        version("..1", ONE);
        std::os::unix::fs::symlink("..data/map", folder.file()).unwrap();
        let mut follower = Follower::open(folder.file(), Current::awaiting()).await.unwrap();
        version("..2", TWO);
        assert_eq!(follower.look().await, Some(Reload::Success));
        assert_eq!(tier(&follower.current, "two"), Some(Tier::Exact));
        assert_eq!(follower.look().await, None);
    }

    #[tokio::test]
    async fn a_missing_or_bad_file_at_the_start_is_an_error() {
        let folder = Folder::new("start");
        let current = Current::awaiting();
        let missing = Follower::open(folder.file(), current.clone()).await.unwrap_err();
        assert!(matches!(missing, Error::Read { .. }), "{missing:?}");
        folder.replace("{}");
        let bad = Follower::open(folder.file(), current.clone()).await.unwrap_err();
        let Error::Parse { source, .. } = bad else { panic!("{bad:?}") };
        assert_eq!(source.to_string(), "JSON line 1 column 2: missing field `services`");
        assert!(!current.is_ready());
    }

    #[tokio::test]
    async fn following_tells_of_a_change() {
        let folder = Folder::new("follow");
        let follower = folder.with(ONE).await;
        folder.replace(TWO);
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let task = tokio::spawn(follower.follow(move |reload| told.send(reload).unwrap()));
        assert_eq!(heard.recv().await, Some(Reload::Success));
        folder.replace("");
        assert_eq!(heard.recv().await, Some(Reload::Failure));
        task.abort();
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let folder = Folder::new("large");
        let file = fs::File::create(folder.file()).unwrap();
        file.set_len(MAX_BYTES + 1).unwrap();
        let error = read(&folder.file()).unwrap_err();
        assert!(matches!(error, Error::TooLarge { bytes, .. } if bytes == MAX_BYTES + 1));
    }
}
