//! The stream on which a server of yesterday says by itself that something changed (MCP 2025-11-25, "Listening for
//! messages from the server"). It is an offer: a server without one is looked at every minute all the same, so nothing
//! here ends a conversation, and nothing depends on it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use tokio::time::Instant;

use super::super::conversation::Outgoing;
use super::super::events::Events;
use super::Web;
use crate::tool::outbound::send;

/// The pause before a stream that ended is asked for again; each further one makes it twice as long …
const PAUSE: Duration = Duration::from_secs(1);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long a server may take to say whether it has such a stream.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

impl Web {
    /// Listens for as long as the server offers it. It is ended by being dropped.
    pub(super) async fn listen(&self) {
        let mut pause = PAUSE;
        loop {
            let since = Instant::now();
            match self.listen_once().await {
                // It has none, or none any more.
                Ok(false) => return,
                Ok(true) => {}
                Err(why) => tracing::debug!(server = self.name, "its stream of messages broke off: {why}"),
            }
            if since.elapsed() > LONGEST_PAUSE {
                pause = PAUSE;
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    /// One stream, from its beginning to its end; gives whether there was one.
    async fn listen_once(&self) -> Result<bool, String> {
        let head = self.head("GET")?.header("accept", "text/event-stream");
        let mut request = head.body(Full::new(Bytes::new())).map_err(|error| error.to_string())?;
        self.session_headers(&mut request)?;
        let asked = async {
            let line = self.outbound.connect(&self.reach.origin, &self.reach.reach).await;
            send(line.map_err(|refused| refused.to_string())?, request).await.map_err(|broken| broken.why)
        };
        let answer = tokio::time::timeout(ANSWERED_WITHIN, asked).await;
        let mut answer = answer.map_err(|_| format!("there was no answer within {ANSWERED_WITHIN:?}"))??;
        if answer.status.is_server_error() {
            return Err(format!("it answered {}", answer.status.as_u16()));
        }
        let kind = answer.header("content-type").unwrap_or_default().to_ascii_lowercase();
        if !answer.status.is_success() || !kind.starts_with("text/event-stream") {
            return Ok(false);
        }
        // What was said while nobody listened is not known.
        self.shared.list_changed.notify_one();
        let told = Outgoing::reply(String::new());
        let mut events = Events::new(self.most);
        while let Some(frame) = answer.body.frame().await {
            let Ok(bytes) = frame.map_err(|error| error.to_string())?.into_data() else { continue };
            let found = events.take(&bytes).map_err(|_| format!("it has more than {} bytes", self.most))?;
            for data in found {
                self.take(&told, &data);
            }
        }
        Ok(true)
    }
}
