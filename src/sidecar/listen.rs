//! `--web.listen-address`: text in, a listening socket out.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// `None`: on every address, of IPv6 and IPv4.
    host: Option<String>,
    port: u16,
}

/// A listener that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} (--web.listen-address)")]
pub struct Error {
    address: ListenAddress,
    #[source]
    source: io::Error,
}

impl ListenAddress {
    /// The port; 0 for any.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Binds. Port 0 takes a free one; ask the listener which.
    ///
    /// `:9542` and `[::]:9542` take IPv4 too; without IPv6 on this host, `:9542` takes IPv4 alone.
    ///
    /// # Errors
    /// If the host has no address or none can be bound. Has to be called within a tokio runtime.
    pub fn bind(&self) -> Result<TcpListener, Error> {
        self.try_bind().map_err(|source| Error { address: self.clone(), source })
    }

    fn try_bind(&self) -> io::Result<TcpListener> {
        let Some(host) = &self.host else {
            return match bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, self.port))) {
                Err(error) if is_without_ipv6(&error) => {
                    bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.port)))
                }
                bound => bound,
            };
        };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in (host.as_str(), self.port).to_socket_addrs()? {
            match bind(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        // Else net.ipv6.bindv6only decides.
        socket.set_only_v6(false)?;
    }
    // Else a restart fails while connections of the last run are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn is_without_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT has no kind of its own; its number is the same on every Linux.
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected :PORT, HOST:PORT or [IPV6]:PORT".to_owned();
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let port = port.parse().map_err(|_| expected())?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(ipv6) => ipv6.parse::<Ipv6Addr>().map_err(|_| expected())?.to_string(),
            None if host.contains([':', '/', '[', ']', ' ']) => return Err(expected()),
            None => host.to_owned(),
        };
        Ok(Self { host: Some(host).filter(|host| !host.is_empty()), port })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.as_deref() {
            None => write!(f, ":{}", self.port),
            Some(ipv6) if ipv6.contains(':') => write!(f, "[{ipv6}]:{}", self.port),
            Some(host) => write!(f, "{host}:{}", self.port),
        }
    }
}

/// Scrapers are few; this holds a burst of probes.
const BACKLOG: i32 = 1024;
const EAFNOSUPPORT: i32 = 97;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in [":9542", "127.0.0.1:0", "[::1]:9542", "[::]:80", "localhost:65535"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "9542", "::1:9542", "a:", ":65536", "http://a:80", "[a]:80", "[::1]", "a b:1"]
        {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn no_host_means_both_families() {
        let listener = ":0".parse::<ListenAddress>().unwrap().bind().unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        if listener.local_addr().unwrap().is_ipv6() {
            tokio::net::TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.unwrap();
        } else {
            println!("not run: no IPv6 here");
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let first = "127.0.0.1:0".parse::<ListenAddress>().unwrap().bind().unwrap();
        let again = first.local_addr().unwrap().to_string().parse::<ListenAddress>().unwrap();
        let message = again.bind().unwrap_err().to_string();
        assert_eq!(message, format!("cannot listen on {again} (--web.listen-address)"));
    }
}
