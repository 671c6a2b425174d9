//! The image: what is in it, and that this is enough. In: the OCI archive that `docker/build` makes,
//! named by `KONG_EXPORTER_IMAGE`. Asserted: the binary alone, and that it serves out of a root that
//! nobody can write to, as somebody without rights, without /tmp, /proc or certificates.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "common/http.rs"]
mod http;
#[path = "common/kong.rs"]
mod kong;
#[path = "common/processes.rs"]
mod processes;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kong::Kong;
use serde_json::{Value, json};

#[test]
fn an_image_is_one_small_static_binary_for_nobody() {
    let Some(image) = Image::unpacked("content") else { return };
    let entries = fs::read_dir(&image.root).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(entries.collect::<Vec<_>>(), ["kong-metrics-exporter"]);
    assert!(image.bytes <= 12_000_000, "{} bytes", image.bytes);
    let binary = fs::read(image.root.join("kong-metrics-exporter")).unwrap();
    assert!(binary.len() <= 15_500_000, "{} bytes unpacked", binary.len());

    let config = &image.config["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], json!(["/kong-metrics-exporter"]));
    assert_eq!(config["ExposedPorts"], json!({"9542/tcp": {}}));
    let variables = config["Env"].as_array().unwrap();
    assert!(variables.iter().any(|one| one.as_str().unwrap().starts_with("GLIBC_TUNABLES=")));
    let labels = &config["Labels"];
    let label = |name: &str| labels[format!("org.opencontainers.image.{name}")].as_str().unwrap();
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("description"), env!("CARGO_PKG_DESCRIPTION"));
    assert_eq!(label("licenses"), env!("CARGO_PKG_LICENSE"));
    assert!(!label("revision").is_empty());
    assert_eq!(image.config["os"], "linux");
}

#[tokio::test]
async fn it_serves_out_of_a_root_that_nobody_can_write_to() {
    let Some(image) = Image::unpacked("root") else { return };
    if !image.is_for_this_machine() || !is_root() {
        println!("not run: image tests: an image of this machine's kind, and root, are needed");
        return;
    }
    let kong = Kong::start(kong::good("kong_http_requests_total{service=\"a.b.80\"} 7\n")).await;
    let exporter = processes::exporter_by(image.confined(), &kong.url(), &[]).await;
    let answer = http::get(exporter.address, "/metrics", &[]).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.text().contains("{exported_service=\"b\",exported_namespace=\"a\""));
    assert!(answer.text().contains("\nkong_exporter_kong_up 1\n"));
    assert_eq!(http::get(exporter.address, "/livez", &[]).await.status(), 200);
    // It was as it was said: whose the process is, and that its root can not be written to.
    let status = fs::read_to_string(format!("/proc/{}/status", exporter.id())).unwrap();
    assert!(status.contains("\nUid:\t65532\t65532\t65532\t65532\n"), "{status}");
    assert!(status.contains("\nCapEff:\t0000000000000000\n"), "{status}");
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", exporter.id())).unwrap();
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
    assert_eq!(root.split(' ').nth(5).unwrap().split(',').next(), Some("ro"), "{root}");
}

struct Image {
    root: PathBuf,
    config: Value,
    /// Of all layers, compressed.
    bytes: u64,
}

impl Image {
    /// `None`, with a line on standard output, if there is none.
    fn unpacked(name: &str) -> Option<Self> {
        let Some(archive) = std::env::var_os("KONG_EXPORTER_IMAGE") else {
            println!(
                "not run: image tests: KONG_EXPORTER_IMAGE is not set (docker/build makes it)"
            );
            return None;
        };
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("image-{name}"));
        let _ = fs::remove_dir_all(&folder);
        let (blobs, root) = (folder.join("archive"), folder.join("root"));
        unpack(Path::new(&archive), &blobs);
        let read =
            |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap();
            blobs.join("blobs").join(digest.replace(':', "/"))
        };
        let manifest = read(blob(&read(blobs.join("index.json"))["manifests"][0]));
        let layers = manifest["layers"].as_array().unwrap();
        for layer in layers {
            unpack(&blob(layer), &root);
        }
        let bytes = layers.iter().map(|layer| layer["size"].as_u64().unwrap()).sum();
        Some(Self { config: read(blob(&manifest["config"])), root, bytes })
    }

    fn is_for_this_machine(&self) -> bool {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        self.config["architecture"] == architecture
    }

    /// A command that does what its arguments say as a runtime would: in this root, which is
    /// read-only, as the image's user.
    fn confined(&self) -> Command {
        let script = r#"export PATH=/usr/sbin:/usr/bin:/sbin:/bin; root=$1; shift
            mount --bind "$root" "$root"
            mount -o remount,bind,ro "$root"
            exec setpriv --no-new-privs \
                chroot --userspec=65532:65532 --groups= "$root" /kong-metrics-exporter "$@""#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", script, "sh"]).arg(&self.root);
        let variables = self.config["config"]["Env"].as_array().into_iter().flatten();
        command.envs(variables.filter_map(|one| one.as_str()?.split_once('=')));
        command
    }
}

fn unpack(archive: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let status = Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(to).status().unwrap();
    assert!(status.success(), "{}", archive.display());
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.contains("\nUid:\t0\t")
}
