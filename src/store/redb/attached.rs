//! Further keys of calls: a request that waits for people already is not made twice, and the key it came with stands
//! for the call that waits. A row each, by principal and key, so that the keys of a run stand together; it goes once the
//! body of its call is gone. That a repeat finds its call is the business of [`super::index`]; these rows say it to people.

use redb::{ReadTransaction, ReadableTable as _};
use serde::{Deserialize, Serialize};

use crate::domain::call::Call;
use crate::domain::id::{CallId, IdempotencyKey, PrincipalId, RunId};
use crate::pipeline::port::{Attachment, Unavailable};

use super::desk::existing;
use super::row::{self, CallRow};
use super::table::{ATTACHED, CALLS};

/// The most rows that one listing reads.
const MOST_READ: usize = 100_000;

#[derive(Debug, Serialize, Deserialize)]
struct AttachedRow<'a> {
    call: [u8; 16],
    opener: &'a str,
}

/// Where a key of a principal stands.
pub(super) fn place(principal: &PrincipalId, key: &IdempotencyKey) -> String {
    format!("{principal}\n{key}")
}

/// The row of a key that stands for this call.
pub(super) fn encode(waiting: &Call) -> Result<Vec<u8>, Unavailable> {
    row::encode(&AttachedRow { call: waiting.id.bytes(), opener: waiting.key.as_str() })
}

/// Those of a principal that are about a run: its own keys, and others that stand for its calls.
pub(super) fn of_run(
    txn: &ReadTransaction,
    principal: &PrincipalId,
    run: &RunId,
) -> Result<Vec<Attachment>, Unavailable> {
    let Some(attached) = existing(txn, ATTACHED)? else { return Ok(Vec::new()) };
    let calls = txn.open_table(CALLS).map_err(Unavailable::new)?;
    // The line feed is followed by the vertical tab, and neither is in a name.
    let (start, end) = (format!("{principal}\n"), format!("{principal}\u{b}"));
    let mut found = Vec::new();
    for entry in attached.range(start.as_str()..end.as_str()).map_err(Unavailable::new)?.take(MOST_READ) {
        let (place, bytes) = entry.map_err(Unavailable::new)?;
        let AttachedRow { call, opener } = row::decode(bytes.value())?;
        let key = place.value().strip_prefix(&start).unwrap_or_default();
        if !run.has(key) && !run.has(opener) {
            continue;
        }
        let Some(body) = calls.get(&call).map_err(Unavailable::new)? else { continue };
        if matches!(row::decode(body.value())?, CallRow::Whole(_)) {
            let parse = |key: &str| key.parse::<IdempotencyKey>().map_err(Unavailable::new);
            found.push(Attachment { key: parse(key)?, opener: parse(opener)?, call: CallId::from_bytes(call) });
        }
    }
    Ok(found)
}

/// Places of keys whose calls have no body any more, at most `most`.
pub(super) fn loose(txn: &ReadTransaction, most: usize) -> Result<Vec<String>, Unavailable> {
    let Some(attached) = existing(txn, ATTACHED)? else { return Ok(Vec::new()) };
    let calls = txn.open_table(CALLS).map_err(Unavailable::new)?;
    let mut found = Vec::new();
    for entry in attached.iter().map_err(Unavailable::new)?.take(MOST_READ) {
        let (place, bytes) = entry.map_err(Unavailable::new)?;
        let AttachedRow { call, .. } = row::decode(bytes.value())?;
        let body = calls.get(&call).map_err(Unavailable::new)?;
        let is_whole = match &body {
            Some(body) => matches!(row::decode(body.value())?, CallRow::Whole(_)),
            None => false,
        };
        if !is_whole {
            found.push(place.value().to_owned());
            if found.len() >= most {
                break;
            }
        }
    }
    Ok(found)
}
