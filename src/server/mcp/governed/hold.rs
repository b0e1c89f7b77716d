//! Waiting a short while on a request, so that what people decide quickly looks synchronous. The client hears
//! that it goes on, when it asked to; and who hangs up is waited for no longer.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::domain::id::CallId;
use crate::pipeline::submission::{Answer, Reply};

use super::super::exchange::Exchange;
use super::Governed;

/// The longest that a request is held: clients give up after 60 s, some sooner.
pub const LONGEST: Duration = Duration::from_secs(25);
/// How often the client is told that it goes on.
pub const TELL: Duration = Duration::from_millis(2_500);

impl Governed {
    /// Waits up to `wait`, at most [`LONGEST`], for the end of a call and says how it then stands.
    pub(super) async fn hold(&self, exchange: &Exchange, id: CallId, wait: Duration) -> Answer<Reply> {
        let wait = wait.min(LONGEST);
        let show = |wait| self.pipeline.show(exchange.presented.clone(), id, wait);
        let shown = show(wait);
        tokio::pin!(shown);
        let begun = Instant::now();
        let mut tell = interval_at(begun + TELL, TELL);
        tell.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                answer = &mut shown => return answer,
                () = exchange.gone.begun() => return show(Duration::ZERO).await,
                _ = tell.tick() => {
                    let passed = begun.elapsed().as_secs_f64().floor();
                    exchange.progress(passed, Some(wait.as_secs_f64()), &format!("waiting for {id}")).await;
                }
            }
        }
    }
}
