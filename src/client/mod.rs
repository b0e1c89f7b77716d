//! L4, the other end of the wire contract: sends operations to a daemon. It retries nothing by itself; it
//! says exactly whether anything was sent, so that its caller can decide.

mod fetch;
mod key;
mod lines;
mod request;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use serde::de::DeserializeOwned;

pub use crate::transport::connect::Target;
pub use fetch::{NotFetched, fetch};
pub use key::{BadKey, Secret, Sources};
pub use lines::Lines;

use crate::api::endpoint::Endpoint;
use crate::api::problem::Problem;
use crate::transport::connect::{CONNECT_TIMEOUT, Connector, Unanswered};

/// The longest answer that is read, in bytes; streams are bounded by line instead.
const LONGEST_REPLY: usize = 64 << 20;

/// Why an operation has no reply.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there; nothing was sent.
    #[error("no daemon at {target}")]
    NotRunning {
        /// Where nobody listens.
        target: String,
    },
    /// The target cannot be reached or is malformed; nothing was sent.
    #[error("cannot reach {target}: {reason}")]
    Unreachable {
        /// Where.
        target: String,
        /// Why.
        reason: String,
    },
    /// No answer within our deadline; the request was sent, so it may have been carried out.
    #[error("no answer from {target} within {}s", .after.as_secs_f32())]
    Timeout {
        /// From whom.
        target: String,
        /// The deadline.
        after: Duration,
    },
    /// The connection broke after something was sent: it may have been carried out.
    #[error("the connection to {target} broke: {reason}")]
    Broken {
        /// To whom.
        target: String,
        /// How.
        reason: String,
    },
    /// The daemon said no.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// The answer is not what the contract says: client and daemon differ in version.
    #[error("the answer of {target} is not understood: {reason}")]
    Foreign {
        /// Of whom.
        target: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Talks to one daemon as one principal.
#[derive(Debug)]
pub struct Client {
    connector: Connector,
    target: String,
    authorization: Option<HeaderValue>,
}

impl Client {
    /// Makes a client; nothing is connected until the first operation.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] for a socket path that is too long.
    pub fn new(target: &Target, key: Option<&Secret>) -> Result<Self, ClientError> {
        let name = target.to_string();
        let unreachable = |reason: String| ClientError::Unreachable { target: name.clone(), reason };
        let connector = Connector::new(target).map_err(|error| unreachable(error.to_string()))?;
        let authorization = match key {
            None => None,
            Some(key) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", key.reveal()))
                    .map_err(|_| unreachable("the key cannot stand in a header".to_owned()))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self { connector, target: name, authorization })
    }

    /// Whom this client talks to.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Carries out one operation within `deadline`.
    ///
    /// # Errors
    /// [`ClientError`]; only `Timeout` and `Broken` leave open whether it was carried out.
    pub async fn send<E: Endpoint>(&self, request: &E::Request, deadline: Duration) -> Result<E::Reply, ClientError> {
        let exchange = async {
            let response = self.exchange::<E>(request).await?;
            let body = self.body(response).await?;
            self.read(&body)
        };
        match tokio::time::timeout(deadline, exchange).await {
            Ok(reply) => reply,
            Err(_) => Err(ClientError::Timeout { target: self.target.clone(), after: deadline }),
        }
    }

    /// Opens a stream of JSON lines; `deadline` counts until it starts, not for how long it runs.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stream<E: Endpoint>(
        &self,
        request: &E::Request,
        deadline: Duration,
    ) -> Result<Lines<E::Reply>, ClientError> {
        match tokio::time::timeout(deadline, self.exchange::<E>(request)).await {
            Ok(response) => Ok(Lines::new(response?.into_body(), self.target.clone())),
            Err(_) => Err(ClientError::Timeout { target: self.target.clone(), after: deadline }),
        }
    }

    async fn exchange<E: Endpoint>(&self, request: &E::Request) -> Result<Response<Incoming>, ClientError> {
        let parts = request::encode::<E>(request).map_err(|reason| self.foreign(reason))?;
        let mut builder = hyper::Request::builder()
            .method(parts.method.token())
            .uri(parts.path)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("toolctl/", env!("CARGO_PKG_VERSION")));
        if let Some(value) = &self.authorization {
            builder = builder.header(AUTHORIZATION, value);
        }
        if parts.body.is_some() {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        let request =
            builder.body(Full::new(parts.body.unwrap_or_default())).map_err(|error| self.foreign(error.to_string()))?;
        let response = self.connector.send(request).await.map_err(|error| self.unanswered(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = self.body(response).await?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
            Err(_) => Err(self.foreign(format!("it says {status} without a problem"))),
        }
    }

    async fn body(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        match Limited::new(response.into_body(), LONGEST_REPLY).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) => Err(ClientError::Broken { target: self.target.clone(), reason: error.to_string() }),
        }
    }

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| self.foreign(error.to_string()))
    }

    fn foreign(&self, reason: String) -> ClientError {
        ClientError::Foreign { target: self.target.clone(), reason }
    }

    fn unanswered(&self, error: Unanswered) -> ClientError {
        let target = self.target.clone();
        match error {
            Unanswered::Connect(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning { target },
                io::ErrorKind::TimedOut => ClientError::Unreachable {
                    target,
                    reason: format!("no connection within {}s", CONNECT_TIMEOUT.as_secs()),
                },
                _ => ClientError::Unreachable { target, reason: error.to_string() },
            },
            Unanswered::PathTooLong { .. } => ClientError::Unreachable { target, reason: error.to_string() },
            Unanswered::Broken(reason) => ClientError::Broken { target, reason },
        }
    }
}

#[cfg(test)]
mod tests;
