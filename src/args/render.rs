//! Arguments of `render`.

use std::path::{Path, PathBuf};

use clap::{Args, Parser};

use super::{Arguments, Command, usage};
use crate::args::values::object_name;
use crate::render::{Form, Settings, Target, Tls};
use crate::source::Source;

/// Arguments of `render`.
#[derive(Debug, Args)]
pub struct Render {
    /// What makes Kong's pods
    #[arg(long = "for", env = "KONG_METRICS_EXPORTER_FOR", value_name = "TARGET")]
    pub target: Target,

    /// As which kind of container the sidecar runs: native (an init container that goes on, from
    /// Kubernetes 1.29 on) or container (beside Kong's)
    #[arg(
        long = "sidecar",
        env = "KONG_METRICS_EXPORTER_SIDECAR",
        value_name = "FORM",
        default_value = "native"
    )]
    form: Form,

    /// The sidecar's mapping source; what it needs (an account, a token, a volume) is written too
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_MAPPING",
        value_name = "SOURCE",
        default_value = "watch"
    )]
    mapping: Source,

    /// With --mapping=dir:PATH, how many of the ConfigMaps of `publish` the volume has: one for each
    /// 1,000 Kong services, and some to spare
    #[arg(
        long = "mapping.shards",
        env = "KONG_METRICS_EXPORTER_MAPPING_SHARDS",
        value_name = "COUNT",
        default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..=1024)
    )]
    shards: u16,

    /// The sidecar's image
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_IMAGE",
        value_name = "IMAGE",
        default_value = concat!("kong-metrics-exporter:", env!("CARGO_PKG_VERSION"))
    )]
    image: String,

    /// TLS for scrapers: a Secret in the namespace of Kong's pods with tls.crt and tls.key
    #[arg(long, env = "KONG_METRICS_EXPORTER_TLS", value_name = "SECRET", value_parser = object_name)]
    tls: Option<String>,

    /// With --tls, let only those in that have a certificate signed by the Secret's ca.crt
    #[arg(long = "tls.clients", env = "KONG_METRICS_EXPORTER_TLS_CLIENTS", requires = "tls")]
    tls_clients: bool,

    /// A file that has the object, or the values, already: printed with the sidecar in it, and
    /// otherwise as it is; - for standard input
    #[arg(long, env = "KONG_METRICS_EXPORTER_INTO", value_name = "FILE")]
    pub into: Option<PathBuf>,

    /// What the object is called; with --into, which one of several
    #[arg(long, env = "KONG_METRICS_EXPORTER_NAME", value_name = "NAME", default_value = "kong")]
    name: String,

    /// The namespace of Kong's pods
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_NAMESPACE",
        value_name = "NAME",
        default_value = "kong"
    )]
    namespace: String,

    /// Kong's image, for the targets that have to name one
    #[arg(
        long = "kong.image",
        env = "KONG_METRICS_EXPORTER_KONG_IMAGE",
        value_name = "IMAGE",
        default_value = "kong/kong-gateway:3.12",
        help_heading = super::KONG
    )]
    kong_image: String,

    /// What Kong's container is called, with --into and a Deployment
    #[arg(
        long = "kong.container",
        env = "KONG_METRICS_EXPORTER_KONG_CONTAINER",
        value_name = "NAME",
        default_value = "proxy",
        help_heading = super::KONG
    )]
    kong_container: String,

    /// How many series Kong's dictionary is to have room for; 0 leaves Kong's 5 MB, some 16,000
    #[arg(
        long = "kong.series",
        env = "KONG_METRICS_EXPORTER_KONG_SERIES",
        value_name = "COUNT",
        default_value_t = 100_000,
        value_parser = clap::value_parser!(u32).range(..=10_000_000),
        help_heading = super::KONG
    )]
    kong_series: u32,

    /// Further arguments of the sidecar, behind --
    #[arg(value_name = "ARGUMENT", last = true)]
    arguments: Vec<String>,
}

impl Render {
    /// What the sidecar is like.
    ///
    /// # Errors
    /// Names the argument of the sidecar's that it would not take, or that does not fit.
    pub fn settings(&self) -> Result<Settings, clap::Error> {
        Ok(Settings {
            form: self.form,
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            image: self.image.clone(),
            container: self.kong_container.clone(),
            kong_image: self.kong_image.clone(),
            mapping: self.mapping.clone(),
            shards: self.shards,
            arguments: self.arguments.clone(),
            port: self.port()?,
            kong_series: self.kong_series,
            tls: self.tls.clone().map(|secret| Tls { secret, clients: self.tls_clients }),
        })
    }

    /// Where the sidecar will listen, by arguments that it will take.
    fn port(&self) -> Result<u16, clap::Error> {
        let is_given = |flag: &str| self.arguments.iter().any(|own| own.starts_with(flag));
        // Mounted where there is a folder of its own; `/` and the working folder are none.
        let path = match &self.mapping {
            Source::File(path) => path.parent(),
            Source::Dir(path) => Some(path.as_path()),
            _ => Some(Path::new("/mapping")),
        };
        if !path.is_some_and(|path| path.is_absolute() && path.parent().is_some()) {
            return Err(usage("--mapping: the path has to be absolute, and in a folder"));
        }
        if is_given("--mapping") {
            return Err(usage("--mapping belongs before the --"));
        }
        if self.tls.is_some() && is_given("--web.config.file") {
            return Err(usage("--tls writes the --web.config.file: give one of them"));
        }
        let start = ["kong-metrics-exporter", "sidecar"].map(str::to_owned);
        let arguments = start.into_iter().chain(self.arguments.iter().cloned());
        let Command::Sidecar(sidecar) = Arguments::try_parse_from(arguments)?.command else {
            return Err(usage("what is behind the -- has to be arguments of sidecar"));
        };
        sidecar.config()?;
        // An address in this process' environment would be none of the container's.
        let port = match sidecar.listen.listen_addresses.first() {
            Some(address) if is_given("--web.listen-address") => address.port(),
            _ => PORT,
        };
        if port == 0 || KONGS.contains(&port) {
            let message = format!("--web.listen-address: port {port} cannot be the sidecar's");
            return Err(usage(format!("{message}: 0 is any port, and Kong has {KONGS:?}")));
        }
        Ok(port)
    }
}

/// The default of `--web.listen-address`.
const PORT: u16 = 9542;

/// Ports in Kong's pods: proxy, admin, manager, portal, cluster, status.
const KONGS: [u16; 14] =
    [8000, 8001, 8002, 8003, 8004, 8005, 8006, 8007, 8100, 8443, 8444, 8445, 8446, 8447];
