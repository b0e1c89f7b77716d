//! `/v1/audit`: the log as JSON lines. Following it misses nothing and repeats nothing: a reader notes how
//! far the log has grown, reads to its end, and sleeps only if it has not grown since.

use std::io;
use std::sync::Arc;

use crate::api;
use crate::api::audit::{Head, ReadAudit};
use crate::domain::denial::{Code, Denial, Stage};
use crate::pipeline::port::{Log, LogFilter, Unavailable};
use crate::pipeline::submission::Answer;

use super::respond::{self, Lines};
use super::visit::{Visit, overloaded};
use super::{Limits, Shutdown, no, page, wire};

/// Records read at once.
const BATCH: usize = 512;

/// Reads records, and follows them if asked.
pub async fn read(visit: Visit, request: ReadAudit) -> respond::Reply {
    let Ok(slot) = Arc::clone(&visit.door.waiters).try_acquire_owned() else {
        return respond::problem(&overloaded("too many requests wait already"));
    };
    let filter = match filter(&request) {
        Ok(filter) => filter,
        Err(denial) => return respond::problem(&denial),
    };
    let presented = visit.presented;
    let Answer { quota, result } = visit.door.pipeline.log(presented.clone()).await;
    let span = match result {
        Ok(log) => Span::find(log, filter, &request).await.map_err(|error| unavailable(&error)),
        Err(denial) => Err(denial),
    };
    respond::answer_with(Answer { quota, result: span }, |span| {
        let (lines, reply) = respond::stream();
        let door = visit.door;
        tokio::spawn(async move {
            let may = || door.pipeline.may_still_read_log(&presented);
            span.write(&door.limits, &door.shutdown, lines, may).await;
            drop(slot);
        });
        reply
    })
}

fn filter(request: &ReadAudit) -> Result<LogFilter, Denial> {
    Ok(LogFilter {
        actor: page::parse("actor", request.actor.as_deref())?,
        tool: page::parse("tool", request.tool.as_deref())?,
        call: page::parse("call", request.call.as_deref())?,
        kind: request.kind.clone(),
        since: page::parse("since", request.since.as_deref())?,
        until: page::parse("until", request.until.as_deref())?,
    })
}

fn unavailable(error: &Unavailable) -> Denial {
    Denial::new(Stage::Store, Code::AuditUnavailable, "the log cannot be read").log(error.to_string())
}

/// Which part of the log to write.
struct Span {
    log: Arc<dyn Log>,
    filter: LogFilter,
    /// The next index to look at.
    from: u64,
    /// Where to end; none to follow.
    end: Option<u64>,
    /// How many lines to write at most.
    left: u64,
}

impl Span {
    async fn find(log: Arc<dyn Log>, filter: LogFilter, request: &ReadAudit) -> Result<Self, Unavailable> {
        let size = log.frontier().await?.size();
        let since = match filter.since {
            Some(time) => log.first_at(time).await?,
            None => 0,
        };
        let mut from = since.max(request.from.unwrap_or(0));
        if let Some(last) = request.last {
            from = start_of_last(log.as_ref(), &filter, from, size, last).await?;
        }
        let end = (!request.follow.unwrap_or(false)).then_some(size);
        Ok(Self { log, filter, from, end, left: request.limit.unwrap_or(u64::MAX) })
    }

    /// Writes what matches; a follower whose key is revoked meanwhile (`may` says no) sees nothing more.
    async fn write(mut self, limits: &Limits, shutdown: &Shutdown, mut lines: Lines, may: impl Fn() -> bool) {
        let mut growth = self.log.grown();
        loop {
            let grown = *growth.borrow_and_update();
            match self.write_to_end(&mut lines, grown).await {
                Ok(Wrote::AllThereIs) => {}
                Ok(Wrote::AllThatWasAsked) => return,
                Err(error) => {
                    tracing::warn!("{error}");
                    // An aborted body has no end mark, so the reader knows that something is missing.
                    return lines.abort(io::Error::other("the log cannot be read"));
                }
            }
            loop {
                tokio::select! {
                    () = shutdown.begun() => return,
                    changed = growth.changed() => match changed {
                        Ok(()) if may() => break,
                        Ok(()) | Err(_) => return,
                    },
                    () = tokio::time::sleep(limits.heartbeat) => {
                        if lines.send_data(respond::HEARTBEAT).await.is_err() {
                            return;
                        }
                    }
                }
            }
        }
    }

    /// Writes what matches up to the end of the log, which has at least `grown` records.
    async fn write_to_end(&mut self, lines: &mut Lines, grown: u64) -> Result<Wrote, Unavailable> {
        loop {
            let (entries, next) = self.log.query(self.filter.clone(), self.from, BATCH).await?;
            for entry in entries {
                if self.left == 0 || self.end.is_some_and(|end| entry.index >= end) {
                    return Ok(Wrote::AllThatWasAsked);
                }
                self.from = entry.index + 1;
                self.left -= 1;
                if lines.send_data(respond::line(&wire::line(entry))).await.is_err() {
                    return Ok(Wrote::AllThatWasAsked);
                }
            }
            if self.left == 0 {
                return Ok(Wrote::AllThatWasAsked);
            }
            match next {
                Some(next) => self.from = next,
                None if self.end.is_some() => return Ok(Wrote::AllThatWasAsked),
                None => {
                    self.from = self.from.max(grown);
                    return Ok(Wrote::AllThereIs);
                }
            }
        }
    }
}

enum Wrote {
    AllThereIs,
    AllThatWasAsked,
}

/// The index from which exactly the last `last` matching records before `size` follow. Looks back in windows
/// that double, so that it reads at most about twice of what it needs.
async fn start_of_last(log: &dyn Log, filter: &LogFilter, from: u64, size: u64, last: u64) -> Result<u64, Unavailable> {
    if last == 0 {
        return Ok(size);
    }
    if *filter == LogFilter::default() {
        return Ok(from.max(size.saturating_sub(last)));
    }
    let wanted = usize::try_from(last).unwrap_or(usize::MAX);
    let mut window = last.max(1_024);
    loop {
        let begin = from.max(size.saturating_sub(window));
        let mut places = Vec::new();
        let mut at = Some(begin);
        while let Some(begin) = at {
            let (entries, next) = log.query(filter.clone(), begin, BATCH).await?;
            places.extend(entries.iter().map(|entry| entry.index).filter(|index| *index < size));
            at = next.filter(|next| *next < size);
        }
        if let Some(place) = places.len().checked_sub(wanted) {
            return Ok(places.get(place).copied().unwrap_or(size));
        }
        if begin == from {
            return Ok(places.first().copied().unwrap_or(size));
        }
        window = window.saturating_mul(4);
    }
}

/// The size and root of the log.
pub async fn checkpoint(visit: Visit, _: api::endpoint::Nothing) -> Answer<Head> {
    let Answer { quota, result } = visit.door.pipeline.log(visit.presented).await;
    let log = match result {
        Ok(log) => log,
        Err(denial) => return Answer { quota, ..no(denial) },
    };
    let head = log.frontier().await.map_err(|error| unavailable(&error));
    let head = head.map(|tree| Head { size: tree.size(), root: tree.root().to_string() });
    Answer { quota, result: head }
}

/// Operations on the log.
pub fn routes() -> Vec<super::route::Route> {
    use super::route::{described, on};
    vec![described::<api::audit::Read, _>(read), on::<api::audit::Checkpoint, _>(checkpoint)]
}

#[cfg(test)]
mod tests;
