//! `demo`: a make-believe Kong on a free port of this host and the sidecar in front of it; prints
//! what the one says and the other makes of it, and serves until it is told to end. The mapping is
//! a file in the folder for temporary ones, followed as any other, and removed at the end.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::args::Demo;
use crate::command::mapping::follow;
use crate::demo::{self, MAPPING_FILE, Simulation};
use crate::sidecar::{self, Config};
use crate::source::{Cluster, Source};
use crate::telemetry::{self, Chain};

/// Runs for `--for`, or until SIGINT or SIGTERM; 1 if it cannot start.
pub(super) fn run(arguments: &Demo) -> ExitCode {
    // The excerpt on stdout is what counts; logs only where something is wrong.
    if let Ok(level) = "warn".parse() {
        telemetry::start(telemetry::Format::Text, &level);
    }
    let runtime = match Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(show(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error.as_ref()),
    }
}

fn failed(error: &(dyn Error + 'static)) -> ExitCode {
    tracing::error!(error = %Chain(error), "cannot show the demo");
    ExitCode::FAILURE
}

async fn show(arguments: &Demo) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let kong = TcpListener::bind("127.0.0.1:0").await?;
    let kong_address = kong.local_addr()?;
    let listener = arguments.listen_address.bind()?;
    let address = listener.local_addr()?;
    let file = MappingFile::write().map_err(Unwritable)?;
    let path = file.0.as_path();
    let (mapping, following) = follow(&Source::File(file.0.clone()), &Cluster::default()).await?;
    let config = Config {
        kong_uri: Uri::try_from(format!("http://{kong_address}/metrics"))?,
        ..Config::default()
    };
    // Gone without a word when showing fails, which ends it all.
    let (printed, is_printed) = oneshot::channel::<()>();
    let end = async {
        tokio::select! {
            () = over(is_printed, arguments.duration) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Duration::ZERO
    };
    let kong = demo::serve(kong, Simulation::new(SEED), std::future::pending());
    let sidecar = sidecar::run(config, vec![listener], mapping, end);
    let serving = async {
        tokio::select! {
            () = kong => {}
            () = sidecar => {}
            _ = following => {}
        }
    };
    let showing = async move {
        let before = get(kong_address).await?;
        let after = get(address).await?;
        let excerpt = demo::excerpt(&before, &after);
        print(kong_address, address, path, &excerpt, arguments.duration)?;
        // Nobody waits for it where serving has ended already.
        let _ = printed.send(());
        Ok::<_, Box<dyn Error>>(())
    };
    let ((), shown) = tokio::join!(serving, showing);
    shown
}

/// The mapping file of this run; gone when dropped.
struct MappingFile(PathBuf);

impl MappingFile {
    /// Never writes through what is there already, be it a link: others can write to that folder.
    fn write() -> io::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("kong-demo-{}-{}.json", process::id(), now.subsec_micros());
        let path = std::env::temp_dir().join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let written = Self(path);
        file.write_all(MAPPING_FILE.as_bytes())?;
        Ok(written)
    }
}

impl Drop for MappingFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "cannot remove the mapping file");
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write the mapping file into {}", std::env::temp_dir().display())]
struct Unwritable(#[source] io::Error);

/// Resolves this long after it was printed; never, if there is no end to it.
async fn over(is_printed: oneshot::Receiver<()>, duration: Option<Duration>) {
    match (is_printed.await, duration) {
        (Ok(()), Some(duration)) => tokio::time::sleep(duration).await,
        (Ok(()), None) => std::future::pending().await,
        (Err(_), _) => {}
    }
}

/// The metrics of the server at `address`.
async fn get(address: SocketAddr) -> Result<String, Box<dyn Error>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends when the sender is gone; what can go wrong shows in the answer.
    tokio::spawn(connection);
    let request = Request::get("/metrics").header("host", address.to_string());
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec())?)
}

fn print(
    kong: SocketAddr,
    sidecar: SocketAddr,
    mapping: &Path,
    excerpt: &str,
    duration: Option<Duration>,
) -> io::Result<()> {
    let end = duration.map_or_else(
        || "^C ends it.".to_owned(),
        |duration| format!("It ends in {}.", humantime::format_duration(duration)),
    );
    let mut out = io::stdout().lock();
    write!(
        out,
        "A make-believe Kong, under load:  http://{kong}/metrics
The sidecar in front of it:       http://{sidecar}/metrics
Its mapping, followed:            {mapping}

{excerpt}
Try
  curl -s http://{sidecar}/metrics | grep 'kubernetes_name=\"command\"'
  curl -s http://{sidecar}/mapping
{end}
",
        mapping = mapping.display(),
    )?;
    out.flush()
}

/// Any number; the same demo every time.
const SEED: u64 = 1;
