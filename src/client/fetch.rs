//! Fetching one document from an address that a person named: no daemon is asked, nothing is followed, and what comes
//! back has a limit and a deadline. Unlike a tool it may go anywhere, as documents are often served by what runs on this
//! machine.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST, LOCATION, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::transport::tls;

/// Why there is no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFetched {
    /// Not an address of this kind.
    #[error("`{0}` is no address of the Web")]
    Address(String),
    /// Nobody answers there.
    #[error("`{url}` cannot be reached: {why}")]
    Unreachable {
        /// The address.
        url: String,
        /// Why.
        why: String,
    },
    /// Nothing came in time.
    #[error("`{url}` did not answer within {}s", .limit.as_secs())]
    TooSlow {
        /// The address.
        url: String,
        /// The deadline.
        limit: Duration,
    },
    /// Another answer than the document.
    #[error("`{url}` answers {status}")]
    Status {
        /// The address.
        url: String,
        /// The status.
        status: u16,
        /// Where it sends whoever asks.
        elsewhere: Option<String>,
    },
    /// More than the limit.
    #[error("`{url}` has more than {most} bytes")]
    TooLong {
        /// The address.
        url: String,
        /// The limit.
        most: usize,
    },
}

impl NotFetched {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Address(_) => Some("write http:// or https://, a host and a path".to_owned()),
            Self::Status { elsewhere: Some(there), .. } => Some(format!("give the address that it points to: {there}")),
            Self::Status { elsewhere: None, .. } | Self::Unreachable { .. } | Self::TooSlow { .. } => {
                Some("fetch it in your own way and give the file, or `-` for stdin".to_owned())
            }
            Self::TooLong { .. } => Some("take the parts out of it that you need, and give the file".to_owned()),
        }
    }
}

/// Fetches what is at `url`: at most `most` bytes, within `limit`.
///
/// # Errors
/// Why there is no document.
pub async fn fetch(url: &str, most: usize, limit: Duration) -> Result<Vec<u8>, NotFetched> {
    let slow = |_| NotFetched::TooSlow { url: url.to_owned(), limit };
    tokio::time::timeout(limit, get(url, most)).await.map_err(slow)?
}

async fn get(url: &str, most: usize) -> Result<Vec<u8>, NotFetched> {
    let bad = || NotFetched::Address(url.to_owned());
    let unreachable = |why: String| NotFetched::Unreachable { url: url.to_owned(), why };
    let uri: Uri = url.split('#').next().unwrap_or_default().parse().map_err(|_| bad())?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(bad()),
    };
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(bad)?.trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let stream = TcpStream::connect((host.as_str(), port)).await.map_err(|error| unreachable(error.to_string()))?;
    if !tls {
        return ask(TokioIo::new(stream), &uri, url, most).await;
    }
    let connector = TlsConnector::from(tls::trusting_the_system().map_err(&unreachable)?);
    let name = ServerName::try_from(host).map_err(|_| bad())?;
    let stream = connector.connect(name, stream).await.map_err(|error| unreachable(error.to_string()))?;
    ask(TokioIo::new(stream), &uri, url, most).await
}

async fn ask<S>(stream: S, uri: &Uri, url: &str, most: usize) -> Result<Vec<u8>, NotFetched>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let unreachable = |error: hyper::Error| NotFetched::Unreachable { url: url.to_owned(), why: error.to_string() };
    let (mut sender, connection) = http1::handshake(stream).await.map_err(unreachable)?;
    // It ends with the answer, or with us.
    let _driver = tokio::spawn(connection);
    let authority =
        uri.authority().map(|authority| authority.as_str().rsplit('@').next().unwrap_or_default().to_owned());
    let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, authority.unwrap_or_default())
        .header(USER_AGENT, concat!("toolctl/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/json, application/yaml;q=0.9, */*;q=0.5")
        .body(Empty::<Bytes>::new())
        .map_err(|_| NotFetched::Address(url.to_owned()))?;
    let answer = sender.send_request(request).await.map_err(unreachable)?;
    if answer.status() != StatusCode::OK {
        let elsewhere = answer.headers().get(LOCATION).and_then(|there| there.to_str().ok()).map(ToOwned::to_owned);
        return Err(NotFetched::Status { url: url.to_owned(), status: answer.status().as_u16(), elsewhere });
    }
    match Limited::new(answer.into_body(), most).collect().await {
        Ok(body) => Ok(body.to_bytes().to_vec()),
        Err(error) if error.is::<LengthLimitError>() => Err(NotFetched::TooLong { url: url.to_owned(), most }),
        Err(error) => {
            let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            Err(NotFetched::Unreachable { url: url.to_owned(), why })
        }
    }
}
