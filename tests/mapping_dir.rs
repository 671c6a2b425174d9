//! Shards in a folder, as ConfigMaps are mounted. In: files that come, change, break and go.
//! Asserted: what counts then, what is told, and that nothing known is lost.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use kong_metrics_exporter::mapping::shards::contents;
use kong_metrics_exporter::mapping::{Backend, Current, Entry, Label, Snapshot, Tier, resolve};
use kong_metrics_exporter::metrics::Shards;
use kong_metrics_exporter::source::dir::{self, Follower};
use kong_metrics_exporter::source::{Error, file::Reload};

/// A folder of its own, laid out as kubelet lays out a volume; removed at the end.
struct Volume {
    path: PathBuf,
    version: u32,
}

impl Volume {
    fn new(name: &str) -> Self {
        let name = format!("kong-metrics-exporter-{}-dir-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self { path, version: 0 }
    }

    /// Swaps the link to the files, then makes the links to those that are new and removes those of
    /// files that are gone.
    fn swap(&mut self, files: &[(&str, &[u8])]) {
        self.version += 1;
        let version = format!("..{}", self.version);
        fs::create_dir_all(self.path.join(&version)).unwrap();
        for (name, bytes) in files {
            fs::write(self.path.join(&version).join(name), bytes).unwrap();
        }
        symlink(&version, self.path.join("..data_tmp")).unwrap();
        fs::rename(self.path.join("..data_tmp"), self.path.join("..data")).unwrap();
        for entry in fs::read_dir(&self.path).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !name.starts_with("..") && !files.iter().any(|(file, _)| *file == name) {
                fs::remove_file(self.path.join(name)).unwrap();
            }
        }
        for (name, _) in files {
            if !self.path.join(name).exists() {
                symlink(format!("..data/{name}"), self.path.join(name)).unwrap();
            }
        }
    }

    async fn follow(&self, current: &Current) -> Result<Follower, Error> {
        Follower::open(self.path.clone(), current.clone(), Shards::default()).await
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn snapshot(names: impl IntoIterator<Item = usize>) -> Snapshot {
    let entry = |number: usize| {
        let service = format!("service-{number}");
        let backend = Backend { namespace: "web".into(), service, port: None, weight: None };
        (name(number), Entry { backends: vec![backend], owners: Vec::new() })
    };
    names.into_iter().map(entry).collect()
}

fn name(number: usize) -> String {
    format!("name-{number}-{}", "x".repeat(60))
}

/// The files of a mapping.
fn files(snapshot: &Snapshot, revision: u64) -> Vec<(String, Vec<u8>)> {
    let shards = contents(snapshot).shards.into_iter();
    let file = |number| format!("kong-mapping-{number}.gz");
    shards.map(|one| (file(one.region().number()), one.pack(revision).unwrap())).collect()
}

fn borrowed(files: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
    files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect()
}

fn tier(current: &Current, number: usize) -> Option<Tier> {
    resolve(&current.load(), Label::Service, &name(number)).tier
}

#[tokio::test]
async fn several_configmaps_in_one_volume_are_followed_through_its_swapped_link() {
    let (mut volume, current) = (Volume::new("swap"), Current::awaiting());
    let one = files(&snapshot(0..2_000), 1);
    assert!(one.len() > 2);
    volume.swap(&borrowed(&one));
    let mut follower = volume.follow(&current).await.unwrap();
    assert!(current.is_ready());
    assert_eq!(current.load().len(), 2_000);
    assert_eq!(follower.look().await, []);

    volume.swap(&borrowed(&files(&snapshot(1..1_500), 2)));
    assert_eq!(follower.look().await, [Reload::Success]);
    assert_eq!(current.load().len(), 1_499);
    assert_eq!((tier(&current, 0), tier(&current, 1)), (Some(Tier::Retained), Some(Tier::Exact)));
    assert_eq!(follower.look().await, []);
}

#[tokio::test]
async fn the_same_files_in_another_version_of_the_volume_are_no_change() {
    let (mut volume, current) = (Volume::new("same"), Current::awaiting());
    let one = files(&snapshot(0..10), 1);
    volume.swap(&borrowed(&one));
    let mut follower = volume.follow(&current).await.unwrap();
    let before = current.load();
    volume.swap(&borrowed(&one));
    assert_eq!(follower.look().await, []);
    assert!(std::sync::Arc::ptr_eq(&before, &current.load()));
}

#[tokio::test]
async fn a_damaged_file_keeps_what_it_said_and_is_told_once() {
    let (mut volume, current) = (Volume::new("damaged"), Current::awaiting());
    let one = files(&snapshot(0..2_000), 1);
    volume.swap(&borrowed(&one));
    let mut follower = volume.follow(&current).await.unwrap();
    let mut bad = one.clone();
    bad[0].1.truncate(100);
    volume.swap(&borrowed(&bad));
    assert_eq!(follower.look().await, [Reload::Failure]);
    assert_eq!(follower.look().await, []);
    assert_eq!(current.load().len(), 2_000);
    volume.swap(&borrowed(&bad[1..]));
    assert_eq!(follower.look().await, []);
    assert_eq!(current.load().len(), 2_000, "nor does a file that is gone");
    volume.swap(&borrowed(&files(&snapshot(0..1_999), 2)));
    assert_eq!(follower.look().await, [Reload::Success]);
    assert_eq!(current.load().len(), 1_999);
}

#[tokio::test]
async fn a_folder_without_shards_is_waited_for_and_a_folder_that_is_gone_keeps_the_mapping() {
    let (mut volume, current) = (Volume::new("empty"), Current::awaiting());
    let mut follower = volume.follow(&current).await.unwrap();
    assert_eq!(follower.look().await, []);
    assert!(!current.is_ready());
    volume.swap(&[("README", b"no shard"), ("other.gz", b"nor this one")]);
    assert_eq!(follower.look().await, [Reload::Failure]);
    assert!(!current.is_ready());
    volume.swap(&borrowed(&files(&snapshot(0..10), 1)));
    assert_eq!(follower.look().await, [Reload::Success]);
    assert!(current.is_ready());
    let elsewhere = volume.path.with_extension("elsewhere");
    fs::rename(&volume.path, &elsewhere).unwrap();
    assert_eq!(follower.look().await, [Reload::Failure]);
    assert_eq!(follower.look().await, []);
    assert_eq!(tier(&current, 3), Some(Tier::Exact));
    fs::rename(&elsewhere, &volume.path).unwrap();
    volume.swap(&borrowed(&files(&snapshot(0..11), 2)));
    assert_eq!(follower.look().await, [Reload::Success]);
    assert_eq!(current.load().len(), 11);
}

#[tokio::test]
async fn a_folder_that_is_not_there_at_the_start_is_an_error() {
    let path = PathBuf::from("/nowhere/shards");
    let error = Follower::open(path, Current::awaiting(), Shards::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot read the folder of mapping shards /nowhere/shards");
}

#[test]
fn once_a_folder_has_to_be_whole() {
    let mut volume = Volume::new("once");
    let mut one = files(&snapshot(0..2_000), 1);
    volume.swap(&borrowed(&one));
    assert_eq!(dir::read(&volume.path).unwrap().len(), 2_000);
    volume.swap(&borrowed(&one[1..]));
    let told = dir::read(&volume.path).unwrap_err().to_string();
    assert!(told.ends_with(": 0 of 2 bits"), "{told}");
    one[1].1.pop();
    volume.swap(&borrowed(&one));
    let told = dir::read(&volume.path).unwrap_err().to_string();
    assert!(told.ends_with("kong-mapping-1.gz is refused"), "{told}");
}

#[test]
fn enrich_reads_a_folder() {
    let mut volume = Volume::new("enrich");
    volume.swap(&borrowed(&files(&snapshot(0..2_000), 1)));
    let input = volume.path.join("input");
    fs::write(&input, format!("kong_http_requests_total{{service=\"{}\"}} 7\n", name(77))).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_kong-metrics-exporter"))
        .arg("enrich")
        .arg(format!("--mapping=dir:{}", volume.path.display()))
        .arg(&input)
        .output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    assert!(output.contains("exported_service=\"service-77\""), "{output}");
}
