//! One try: a connection, a request, an answer, within what is left of the time.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use tokio::time::{Instant, timeout_at};

use crate::domain::outcome::FailureKind;
use crate::domain::tool::http::{Reach, Request};
use crate::tool::outbound::{Answer, Outbound, Refused, Unread, send};

/// What is sent, and its limits.
pub struct Job<'a> {
    /// The request.
    pub request: &'a Request,
    /// What it may connect to.
    pub reach: &'a Reach,
    /// The longest body that is read.
    pub most: usize,
    /// When it is given up.
    pub deadline: Instant,
}

/// What a try came to.
#[derive(Debug)]
pub enum Met {
    /// The other side cannot have heard of it.
    Unsent {
        /// Why not.
        why: String,
        /// What kind of failure that is.
        kind: FailureKind,
        /// Whether another try may go better.
        again: bool,
    },
    /// It may have been heard, and there is no answer.
    Lost {
        /// What happened.
        why: String,
        /// What kind of failure that is.
        kind: FailureKind,
    },
    /// There is an answer.
    Answered {
        /// Its status.
        status: u16,
        /// Its body, or why there is none.
        body: Result<Vec<u8>, Cut>,
        /// How the body is encoded, if it is.
        encoding: Option<String>,
        /// Where it would send us.
        location: Option<String>,
        /// `Retry-After`, and `Date`, which that may be counted from.
        retry_after: Option<(String, Option<String>)>,
    },
}

/// Why a body was not read to its end.
#[derive(Debug)]
pub enum Cut {
    /// It is too long, or broke off.
    Unread(Unread),
    /// The time was up.
    TooSlow,
}

impl Job<'_> {
    /// Tries once; also gives where the connection led.
    pub async fn attempt(&self, outbound: &Outbound) -> (Met, Option<SocketAddr>) {
        let line = match timeout_at(self.deadline, outbound.connect(&self.request.origin, self.reach)).await {
            Ok(Ok(line)) => line,
            Ok(Err(refused)) => {
                let (again, kind) = (refused.may_pass(), kind(&refused));
                return (Met::Unsent { why: refused.to_string(), kind, again }, None);
            }
            Err(_) => {
                let why = format!("no connection to `{}` was made in time", self.request.origin.host);
                return (Met::Unsent { why, kind: FailureKind::Timeout, again: false }, None);
            }
        };
        let (peer, sent) = (line.peer(), line.sent());
        let request = match self.message() {
            Ok(request) => request,
            Err(error) => {
                let why = format!("no request can be made of it: {error}");
                return (Met::Unsent { why, kind: FailureKind::Failed, again: false }, Some(peer));
            }
        };
        let met = match timeout_at(self.deadline, send(line, request)).await {
            Ok(Ok(answer)) => self.answered(answer).await,
            Ok(Err(broken)) if broken.unsent => Met::Unsent { why: broken.why, kind: FailureKind::Failed, again: true },
            Ok(Err(broken)) => Met::Lost { why: broken.why, kind: FailureKind::Failed },
            Err(_) if sent.nothing() => {
                Met::Unsent { why: "it could not be sent in time".to_owned(), kind: FailureKind::Timeout, again: false }
            }
            Err(_) => Met::Lost { why: "no answer came in time".to_owned(), kind: FailureKind::Timeout },
        };
        (met, Some(peer))
    }

    fn message(&self) -> Result<hyper::Request<Full<Bytes>>, hyper::http::Error> {
        let request = self.request;
        let mut message = hyper::Request::builder()
            .method(request.method.word())
            .uri(&request.target)
            .header("Host", request.origin.authority())
            .header("Connection", "close")
            .header("Accept-Encoding", "identity");
        for (name, value) in &request.headers {
            message = message.header(name, value);
        }
        message.body(Full::new(Bytes::from(request.body.clone().unwrap_or_default())))
    }

    async fn answered(&self, answer: Answer) -> Met {
        let text = |name: &str| answer.header(name).map(ToOwned::to_owned);
        let status = answer.status.as_u16();
        let encoding = text("content-encoding").filter(|encoding| !encoding.eq_ignore_ascii_case("identity"));
        let location = text("location");
        let retry_after = text("retry-after").map(|after| (after, text("date")));
        let body = match timeout_at(self.deadline, answer.read(self.most)).await {
            Ok(body) => body.map_err(Cut::Unread),
            Err(_) => Err(Cut::TooSlow),
        };
        Met::Answered { status, body, encoding, location, retry_after }
    }
}

/// What kind of failure it is to have no connection.
const fn kind(refused: &Refused) -> FailureKind {
    match refused {
        Refused::Forbidden { .. } => FailureKind::EgressForbidden,
        Refused::Unresolved { .. }
        | Refused::Unreachable { .. }
        | Refused::TooSlow { .. }
        | Refused::Tls { .. }
        | Refused::Trust(_) => FailureKind::Failed,
    }
}
