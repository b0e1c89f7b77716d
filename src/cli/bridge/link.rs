//! The daemon's end: connects, and connects again, for as long as the bridge lives. One task; what it finds
//! goes to the bridge in the order it happens.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::trouble::Trouble;
use crate::api::mcp::HELLO;
use crate::client::{Sources, Target};
use crate::transport::connect::{self, Unanswered};
use crate::transport::lines::{Line, Lines};

/// The longest message of a daemon, in bytes.
const LONGEST: usize = 64 << 20;

/// The first pause before another attempt; each is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long to leave a daemon alone that would not have us, whatever the client asks; each time twice as long,
/// as it counts how often a wrong key is shown. Another key is shown at once.
const REFUSED_PAUSE: Duration = Duration::from_secs(2);

/// The longest of these, and how long to leave one alone that has counted too many.
const LONGEST_REFUSED_PAUSE: Duration = Duration::from_secs(15);

/// How often to look for another key meanwhile.
const LOOK: Duration = Duration::from_secs(1);

/// What happened.
pub enum Event {
    /// There is a daemon: say this first, and then what you like. Dropping the sender hangs up.
    Up(Option<Bytes>, mpsc::UnboundedSender<Say>),
    /// It said this.
    Said(Line),
    /// There is none.
    Down(Trouble),
}

/// What the bridge says on a connection.
pub enum Say {
    /// This line.
    Line(Bytes),
    /// Nothing more, for this reason.
    Goodbye(Goodbye),
}

/// Why the bridge hangs up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goodbye {
    /// The daemon would not have us.
    Refused,
    /// It would not even look, as we or others were refused too often.
    Limited,
    /// The connection is of no use.
    Useless,
}

/// How a conversation ended.
enum End {
    /// The bridge hung up.
    Ours(Goodbye),
    /// The daemon, or the connection.
    Theirs,
}

/// Whom to connect to, and as whom.
pub struct Link {
    /// Where the daemon listens.
    pub target: Target,
    /// Where our key is; looked for at each connection, as a person may have made one meanwhile.
    pub sources: Sources,
    /// Where to tell what happens.
    pub events: mpsc::Sender<Event>,
    /// Asks for an attempt now.
    pub hurry: Arc<Notify>,
}

impl Link {
    /// Connects for ever; ends when nobody hears of it any more.
    pub async fn keep(self) {
        let (mut pause, mut refused_pause) = (FIRST_PAUSE, REFUSED_PAUSE);
        while !self.events.is_closed() {
            let began = Instant::now();
            let ended = match self.connect().await {
                Ok((hello, stream)) => self.converse(hello, stream).await,
                Err(trouble) => {
                    let _gone = self.events.send(Event::Down(trouble)).await;
                    None
                }
            };
            if let Some(End::Ours(goodbye @ (Goodbye::Refused | Goodbye::Limited))) = ended {
                let limited = goodbye == Goodbye::Limited;
                self.leave_alone(if limited { LONGEST_REFUSED_PAUSE } else { refused_pause }).await;
                refused_pause = (refused_pause * 2).min(LONGEST_REFUSED_PAUSE);
                continue;
            }
            if ended.is_some() && began.elapsed() > LONGEST_PAUSE {
                (pause, refused_pause) = (FIRST_PAUSE, REFUSED_PAUSE);
            }
            let rest = pause;
            pause = (rest * 2).min(LONGEST_PAUSE);
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = self.hurry.notified() => {}
            }
        }
    }

    /// Rests, unless there is another key to show.
    async fn leave_alone(&self, rest: Duration) {
        let find = || self.sources.find().ok().flatten().map(|key| key.reveal().to_owned());
        let (shown, end) = (find(), Instant::now() + rest);
        while Instant::now() < end && !self.events.is_closed() && find() == shown {
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn connect(&self) -> Result<(Option<Bytes>, connect::Duplex), Trouble> {
        let key = self.sources.find().map_err(|bad| Trouble::key(&bad))?;
        if key.is_none() && matches!(self.target, Target::Tcp(_)) {
            return Err(Trouble::no_key(&self.target));
        }
        let stream = connect::open(&self.target).await.map_err(|error| match error {
            Unanswered::Connect(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Trouble::not_running(&self.target),
                _ => Trouble::unreachable(&self.target, &error.to_string()),
            },
            Unanswered::PathTooLong { .. } | Unanswered::Broken(_) => {
                Trouble::unreachable(&self.target, &error.to_string())
            }
        })?;
        let hello = key.map(|key| {
            let params = json!({ "key": key.reveal() });
            json!({ "jsonrpc": "2.0", "method": HELLO, "params": params }).to_string().into()
        });
        Ok((hello, stream))
    }

    /// None when nobody hears of it any more.
    async fn converse(&self, hello: Option<Bytes>, stream: connect::Duplex) -> Option<End> {
        let (read, mut write) = tokio::io::split(stream);
        let (sender, mut lines) = mpsc::unbounded_channel::<Say>();
        self.events.send(Event::Up(hello, sender)).await.ok()?;
        let writing = async {
            let (mut batch, mut text) = (Vec::new(), Vec::new());
            while lines.recv_many(&mut batch, 32).await > 0 {
                for say in batch.drain(..) {
                    match say {
                        Say::Line(line) => {
                            text.extend_from_slice(&line);
                            text.push(b'\n');
                        }
                        Say::Goodbye(goodbye) => return goodbye,
                    }
                }
                if write.write_all(&text).await.is_err() {
                    // What it said before it went is still to be read.
                    return std::future::pending().await;
                }
                text.clear();
            }
            Goodbye::Useless
        };
        let reading = async {
            let mut heard = Lines::new(read, LONGEST);
            while let Ok(Some(line)) = heard.next_ended().await {
                if self.events.send(Event::Said(line)).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            goodbye = writing => Some(End::Ours(goodbye)),
            () = reading => {
                let lost = Trouble::lost(&self.target);
                self.events.send(Event::Down(lost)).await.ok()?;
                Some(End::Theirs)
            }
        }
    }
}
