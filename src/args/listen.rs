//! Where to listen, for every command that serves something.

use clap::Args;
use tokio::net::TcpListener;

use crate::args::WEB;
use crate::sidecar::{ListenAddress, ListenError};

/// Where to listen.
#[derive(Debug, Args)]
pub struct Listen {
    /// Where to listen, for metrics and probes: :PORT or HOST:PORT, IPv6 addresses in brackets; may
    /// be repeated
    #[arg(
        long = "web.listen-address",
        env = "KONG_METRICS_EXPORTER_WEB_LISTEN_ADDRESS",
        value_name = "ADDRESS",
        default_value = ":9542",
        value_delimiter = ',',
        help_heading = WEB
    )]
    pub listen_addresses: Vec<ListenAddress>,
}

impl Listen {
    /// A listener for each address. Has to be called within a tokio runtime.
    ///
    /// # Errors
    /// For the first address that there is not, or that cannot be bound.
    pub fn bind(&self) -> Result<Vec<TcpListener>, ListenError> {
        self.listen_addresses.iter().map(ListenAddress::bind).collect()
    }
}
