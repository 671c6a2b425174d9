//! Arguments of `sidecar`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};
use hyper::Uri;

use super::{Families, Labels};
use crate::args::values::{
    duration, kong_url, label, positive_duration, telemetry_path, watch_kinds,
};
use crate::args::{KONG, Kubernetes, Listen, Logs, WEB, Watch};
use crate::cluster::client::is_in_cluster;
use crate::sidecar;
use crate::source::needs::Kinds;
use crate::source::{Cluster, Source, watch};

/// Arguments of `sidecar`.
#[derive(Debug, Args)]
pub struct Sidecar {
    /// Where Kong's metrics are
    #[arg(
        long = "kong.url",
        env = "KONG_METRICS_EXPORTER_KONG_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8100/metrics",
        value_parser = kong_url,
        help_heading = KONG
    )]
    kong_url: Uri,

    /// By when Kong must have answered in whole; the scraper's own timeout may make it less
    #[arg(
        long = "kong.timeout",
        env = "KONG_METRICS_EXPORTER_KONG_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = positive_duration,
        help_heading = KONG
    )]
    kong_timeout: Duration,

    /// Answer 502 when Kong fails, instead of 200 with kong_exporter_kong_up 0
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_FAIL_ON_KONG_ERROR",
        action = ArgAction::SetTrue,
        value_parser = BoolishValueParser::new(),
        help_heading = KONG
    )]
    fail_on_kong_error: bool,

    /// Where to listen.
    #[command(flatten)]
    pub listen: Listen,

    /// A file that turns TLS on, in the format of the Prometheus exporters: tls_server_config with
    /// cert_file, key_file, client_ca_file, client_auth_type, min_version and max_version
    #[arg(
        long = "web.config.file",
        env = "KONG_METRICS_EXPORTER_WEB_CONFIG_FILE",
        value_name = "PATH",
        help_heading = WEB
    )]
    pub web_config: Option<PathBuf>,

    /// The path of the metrics
    #[arg(
        long = "web.telemetry-path",
        env = "KONG_METRICS_EXPORTER_WEB_TELEMETRY_PATH",
        value_name = "PATH",
        default_value = "/metrics",
        value_parser = telemetry_path,
        help_heading = WEB
    )]
    telemetry_path: String,

    /// Scrapes at once; further ones get 503
    #[arg(
        long = "web.max-requests",
        env = "KONG_METRICS_EXPORTER_WEB_MAX_REQUESTS",
        value_name = "COUNT",
        default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..=1024),
        help_heading = WEB
    )]
    max_requests: u16,

    /// Connections at once; further ones wait
    #[arg(
        long = "web.max-connections",
        env = "KONG_METRICS_EXPORTER_WEB_MAX_CONNECTIONS",
        value_name = "COUNT",
        default_value_t = 512,
        value_parser = clap::value_parser!(u16).range(1..),
        help_heading = WEB
    )]
    max_connections: u16,

    /// Compression of answers for clients that take gzip: 0 (never) or 1 (fast) to 9 (small)
    #[arg(
        long = "web.gzip-level",
        env = "KONG_METRICS_EXPORTER_WEB_GZIP_LEVEL",
        value_name = "LEVEL",
        default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(0..=9),
        help_heading = WEB
    )]
    gzip_level: u8,

    /// How long to go on answering after SIGTERM, while others learn that this pod ends
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_SHUTDOWN_DELAY",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration,
        help_heading = WEB
    )]
    pub shutdown_delay: Duration,

    /// What tells which Services stand behind a Kong service: watch (the routes and Services of the
    /// cluster), published[:NAME] (what `publish` made of them), dir:PATH (the same, mounted),
    /// file:PATH (a mapping file) or none (names alone). If left out: watch in a pod of a cluster,
    /// else none
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_MAPPING",
        value_name = "SOURCE",
        help_heading = "Mapping"
    )]
    mapping: Option<Source>,

    /// The namespace of a published mapping, instead of this pod's own
    #[arg(
        long = "mapping.namespace",
        env = "KONG_METRICS_EXPORTER_MAPPING_NAMESPACE",
        value_name = "NAMESPACE",
        value_parser = label,
        help_heading = "Mapping"
    )]
    mapping_namespace: Option<String>,

    #[command(flatten)]
    kubernetes: Kubernetes,
    #[command(flatten)]
    watch: Watch,

    /// Which kinds are watched with --mapping=watch: all, or needed (those without which a name in
    /// the last scrapes would not be understood, each from then on)
    #[arg(
        long = "watch.kinds",
        env = "KONG_METRICS_EXPORTER_WATCH_KINDS",
        value_name = "KINDS",
        default_value = "all",
        value_parser = watch_kinds,
        help_heading = "Watch"
    )]
    kinds: Kinds,
    #[command(flatten)]
    labels: Labels,
    #[command(flatten)]
    families: Families,
    /// Logs.
    #[command(flatten)]
    pub logs: Logs,
}

impl Sidecar {
    /// Where the mapping comes from.
    pub fn source(&self) -> Source {
        let by_surroundings = || if is_in_cluster() { Source::Watch } else { Source::None };
        self.mapping.clone().unwrap_or_else(by_surroundings)
    }

    /// Where in which cluster the mapping is.
    pub fn cluster(&self) -> Cluster {
        Cluster {
            access: self.kubernetes.access(),
            namespace: self.mapping_namespace.clone(),
            watch: watch::Config { kinds: self.kinds, ..self.watch.config() },
        }
    }

    /// The sidecar's configuration.
    ///
    /// # Errors
    /// Names the flag whose value cannot be used.
    pub fn config(&self) -> Result<sidecar::Config, clap::Error> {
        Ok(sidecar::Config {
            kong_uri: self.kong_url.clone(),
            kong_timeout: self.kong_timeout,
            fail_on_kong_error: self.fail_on_kong_error,
            telemetry_path: self.telemetry_path.clone(),
            max_requests: self.max_requests.into(),
            max_connections: self.max_connections.into(),
            gzip_level: self.gzip_level.into(),
            // From a file, which is read at the start.
            tls: None,
            labels: self.labels.check()?,
            families: self.families.check()?,
        })
    }
}
