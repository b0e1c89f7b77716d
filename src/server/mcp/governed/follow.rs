//! Tells a client when what it may see has changed: after a reload, and when its own groups or scope are
//! others; and only then.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::domain::denial::Code;
use crate::domain::digest::Digest;
use crate::domain::principal::Principal;
use crate::pipeline::port::{Presented, Wait};
use crate::pipeline::{Pipeline, ToolView};

use super::super::service::{Change, Changes};
use super::own::Own;

/// How often a follower looks whether its caller is still known.
const LOOK: Duration = Duration::from_secs(30);

/// Follows what one caller may see.
pub struct Follower {
    pipeline: Arc<Pipeline>,
    presented: Presented,
    edition: watch::Receiver<u64>,
    look: tokio::time::Interval,
    who: Option<Principal>,
    seen: Digest,
}

impl Follower {
    /// Follows from now on.
    pub fn new(pipeline: Arc<Pipeline>, presented: Presented) -> Self {
        // Subscribed before the first look: what changes in between is told.
        let edition = pipeline.rules_replaced();
        let who = pipeline.recognised(&presented).ok();
        let seen = seen(&pipeline, &presented, who.as_ref()).unwrap_or(Digest([0; 32]));
        let mut look = interval_at(Instant::now() + LOOK, LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { pipeline, presented, edition, look, who, seen }
    }

    async fn changed(&mut self) -> Option<Change> {
        loop {
            let replaced = tokio::select! {
                replaced = self.edition.changed() => { replaced.ok()?; true },
                _ = self.look.tick() => false,
            };
            let who = match self.pipeline.recognised(&self.presented) {
                Ok(who) => Some(who),
                Err(no) if no.code == Code::Unauthenticated => return None,
                Err(_) => continue,
            };
            // What policy says of a caller changes with the policies and with its groups and scope.
            if !replaced && who == self.who {
                continue;
            }
            self.who = who;
            let seen = seen(&self.pipeline, &self.presented, self.who.as_ref())?;
            if std::mem::replace(&mut self.seen, seen) != seen {
                return Some(Change::Tools);
            }
        }
    }
}

impl Changes for Follower {
    fn next(&mut self) -> Wait<'_, Option<Change>> {
        Box::pin(self.changed())
    }
}

/// One digest over what a caller is told of its tools; none for a caller nobody knows.
fn seen(pipeline: &Pipeline, presented: &Presented, who: Option<&Principal>) -> Option<Digest> {
    let views = pipeline.visible_tools(presented).ok()?;
    let own = Own::offered(who?, &views, &pipeline.rules());
    let said = |view: &ToolView| json!([view.tool.name, view.tool.digest.to_string(), view.standing, view.approvers]);
    let mut parts: Vec<String> = views.iter().map(|view| said(view).to_string()).collect();
    parts.extend(own.into_iter().map(|own| own.name().to_owned()));
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    Some(Digest::of("toolctl/mcp/seen/v1", &parts))
}
