//! Whom a definition trusts, and TLS over a connection.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::domain::digest::Digest;
use crate::domain::tool::command::Pinned;
use crate::domain::tool::http::Host;
use crate::transport::tls;

/// The certificates of this file alone.
///
/// # Errors
/// When it is not the file that the tool was defined with, or holds none.
pub fn trusting(ca: &Pinned) -> Result<Arc<ClientConfig>, String> {
    let path = ca.path.display();
    let bytes = fs::read(&ca.path).map_err(|error| format!("`{path}` cannot be read: {error}"))?;
    if Digest::plain(&bytes) != ca.digest {
        return Err(format!("`{path}` is not the file that the tool was defined with; `toolctl reload` takes it"));
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let bad = |error: &dyn std::fmt::Display| format!("`{path}` holds something that is no certificate: {error}");
        let certificate = certificate.map_err(|error| bad(&error))?;
        roots.add(certificate).map_err(|error| bad(&error))?;
    }
    if roots.is_empty() {
        return Err(format!("`{path}` holds no certificate"));
    }
    tls::trusting(roots)
}

/// Speaks TLS over a connection, with whoever can show a certificate for `host`.
///
/// # Errors
/// When nobody can.
pub async fn over(stream: TcpStream, config: Arc<ClientConfig>, host: &Host) -> io::Result<TlsStream<TcpStream>> {
    let name = match host {
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(io::Error::other)?,
        Host::Address(IpAddr::V4(address)) => ServerName::from(IpAddr::V4(*address)),
        Host::Address(IpAddr::V6(address)) => ServerName::from(IpAddr::V6(*address)),
    };
    TlsConnector::from(config).connect(name, stream).await
}
