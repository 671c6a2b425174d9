//! `demo`: a make-believe Kong on a free port of this host and the sidecar in front of it; prints
//! what the one says and the other makes of it, and serves until it is told to end.

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

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
use crate::demo::{self, MAPPING_FILE, Simulation};
use crate::mapping::{self, Current};
use crate::sidecar::{self, Config, Mapping};
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
    let mapping = Mapping {
        current: Current::awaiting(),
        source: "the demo's own".to_owned(),
        ..Mapping::default()
    };
    let snapshot = mapping::file::parse(MAPPING_FILE.as_bytes())?;
    mapping.current.store(snapshot, SystemTime::now());
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
        }
    };
    let showing = async move {
        let before = get(kong_address).await?;
        let after = get(address).await?;
        print(kong_address, address, &demo::excerpt(&before, &after), arguments.duration)?;
        // Nobody waits for it where serving has ended already.
        let _ = printed.send(());
        Ok::<_, Box<dyn Error>>(())
    };
    let ((), shown) = tokio::join!(serving, showing);
    shown
}

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

{excerpt}
Try
  curl -s http://{sidecar}/metrics | grep 'kubernetes_name=\"command\"'
  curl -s http://{sidecar}/mapping
{end}
"
    )?;
    out.flush()
}

/// Any number; the same demo every time.
const SEED: u64 = 1;
