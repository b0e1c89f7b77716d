//! Connections to other machines, for every tool that makes any. A name is resolved once, every address it gives is
//! judged, only a judged address is connected to, and the address that was really connected to is looked at again: so
//! a name that resolves differently the next time changes nothing. Redirects are not followed, proxies are not asked,
//! and a connection carries one request: a pooled one may be dead before it is used, and then nobody knows whether the
//! request arrived.
//!
//! [`Outbound::connect`] sends nothing, so whatever it refuses has certainly not happened. From then on a [`Line`] counts
//! what was written to it: [`Sent::nothing`] is the proof that the other side cannot have heard anything of a request.

mod exchange;
mod line;
mod tls;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::rustls::ClientConfig;

pub use self::exchange::{Answer, Broken, Unread, send};
pub use self::line::{Line, Sent};
use crate::domain::tool::http::{Host, Origin, Reach};
use crate::guard::address::{Forbidden, permit};
use crate::pipeline::port::Wait;
use crate::transport::tls::trusting_the_system;

/// The most addresses of one name that are tried.
const MOST_TRIED: usize = 4;
/// The most addresses of one name that are judged; a name with more is refused.
const MOST_ADDRESSES: usize = 64;

/// Why there is no connection. Whichever it is, nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The address is not one of the Internet's, and not listed.
    #[error("`{host}` is at the {what} address {address}, which the tool does not list under `allow`")]
    Forbidden {
        /// The host.
        host: Host,
        /// Where it is.
        address: IpAddr,
        /// What that is.
        what: Forbidden,
    },
    /// Nobody knows the name.
    #[error("the name `{host}` cannot be resolved: {why}")]
    Unresolved {
        /// The host.
        host: Host,
        /// Why.
        why: String,
    },
    /// Nobody listens there.
    #[error("`{host}` cannot be reached at port {port}: {why}")]
    Unreachable {
        /// The host.
        host: Host,
        /// The port.
        port: u16,
        /// Why.
        why: String,
    },
    /// It took too long.
    #[error("no connection to `{host}` was made within {limit:?}")]
    TooSlow {
        /// The host.
        host: Host,
        /// The limit.
        limit: Duration,
    },
    /// It is not who it should be, or speaks no TLS.
    #[error("no TLS with `{host}`: {why}")]
    Tls {
        /// The host.
        host: Host,
        /// Why.
        why: String,
    },
    /// Nothing says whom to trust.
    #[error("certificates cannot be checked: {0}")]
    Trust(String),
}

impl Refused {
    /// Whether another try may go better.
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Unresolved { .. } | Self::Unreachable { .. } | Self::TooSlow { .. } => true,
            Self::Forbidden { .. } | Self::Tls { .. } | Self::Trust(_) => false,
        }
    }
}

/// Gives the addresses of a name.
pub trait Resolver: Send + Sync {
    /// The addresses of `name`, in the order in which they are to be tried.
    fn resolve<'a>(&'a self, name: &'a str) -> Wait<'a, io::Result<Vec<IpAddr>>>;
}

/// The resolver of the system.
struct System;

impl Resolver for System {
    fn resolve<'a>(&'a self, name: &'a str) -> Wait<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).take(MOST_ADDRESSES + 1).collect())
        })
    }
}

/// Opens connections that were judged.
pub struct Outbound {
    resolver: Arc<dyn Resolver>,
    /// The system's certificates are read once.
    system: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl Default for Outbound {
    fn default() -> Self {
        Self::with_resolver(Arc::new(System))
    }
}

impl Outbound {
    /// Names are resolved by `resolver`, once for each connection.
    pub fn with_resolver(resolver: Arc<dyn Resolver>) -> Self {
        Self { resolver, system: OnceLock::new() }
    }

    /// Connects to `origin`, if `reach` lets it, and speaks TLS where that is asked for.
    ///
    /// # Errors
    /// Why there is no connection; nothing was sent.
    pub async fn connect(&self, origin: &Origin, reach: &Reach) -> Result<Line, Refused> {
        let limit = reach.connect_timeout();
        let too_slow = |_| Refused::TooSlow { host: origin.host.clone(), limit };
        timeout(limit, self.make(origin, reach)).await.map_err(too_slow)?
    }

    async fn make(&self, origin: &Origin, reach: &Reach) -> Result<Line, Refused> {
        let end = Instant::now() + reach.connect_timeout();
        let addresses = self.judged(origin, reach).await?;
        let stream = dial(origin, &addresses, end).await?;
        // What counts is where the connection is, not where it was meant to go.
        let unreachable = |error: io::Error| Refused::Unreachable {
            host: origin.host.clone(),
            port: origin.port,
            why: error.to_string(),
        };
        let peer = stream.peer_addr().map_err(unreachable)?;
        if !addresses.iter().any(|address| address.to_canonical() == peer.ip().to_canonical()) {
            return Err(unreachable(io::Error::other(format!("the connection leads to {}", peer.ip()))));
        }
        look(origin, reach, peer.ip())?;
        // Requests are small and wait for their answers.
        stream.set_nodelay(true).map_err(unreachable)?;
        if !origin.tls {
            return Ok(Line::plain(stream, peer));
        }
        let config = match &reach.ca {
            Some(ca) => tls::trusting(ca),
            None => self.system.get_or_init(trusting_the_system).clone(),
        };
        let config = config.map_err(Refused::Trust)?;
        let stream = tls::over(stream, config, &origin.host).await;
        let stream = stream.map_err(|error| Refused::Tls { host: origin.host.clone(), why: error.to_string() })?;
        Ok(Line::tls(stream, peer))
    }

    /// Where the host is, if nothing speaks against any of it: one forbidden address among several is one too many.
    async fn judged(&self, origin: &Origin, reach: &Reach) -> Result<Vec<IpAddr>, Refused> {
        let addresses = match &origin.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let unresolved = |why: String| Refused::Unresolved { host: origin.host.clone(), why };
                let found = self.resolver.resolve(name).await.map_err(|error| unresolved(error.to_string()))?;
                if found.is_empty() || found.len() > MOST_ADDRESSES {
                    return Err(unresolved(format!("it has {} addresses", found.len())));
                }
                found
            }
        };
        for address in &addresses {
            look(origin, reach, *address)?;
        }
        Ok(addresses)
    }
}

fn look(origin: &Origin, reach: &Reach, address: IpAddr) -> Result<(), Refused> {
    let forbidden = |what| Refused::Forbidden { host: origin.host.clone(), address, what };
    permit(&reach.allow, &origin.host, origin.port, address).map_err(forbidden)
}

/// The first address that answers; each has its share of the time that is left.
async fn dial(origin: &Origin, addresses: &[IpAddr], end: Instant) -> Result<TcpStream, Refused> {
    let tried = addresses.len().min(MOST_TRIED);
    let mut why = "it has no address".to_owned();
    for (place, address) in addresses.iter().take(tried).enumerate() {
        let left = end.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(tried - place).unwrap_or(1);
        match timeout_at(Instant::now() + share, TcpStream::connect(SocketAddr::new(*address, origin.port))).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => why = "nobody answers".to_owned(),
        }
    }
    Err(Refused::Unreachable { host: origin.host.clone(), port: origin.port, why })
}

#[cfg(test)]
mod tests;
