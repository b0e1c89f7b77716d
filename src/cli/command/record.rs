//! One audit record for people and for programs. The leaf stays byte for byte what it is; here it is only
//! looked at.

use serde_json::{Value, json};

use crate::api::audit::Line;
use crate::cli::table::Cell;
use crate::cli::text::relative;
use crate::domain::audit::AuditRecord;
use crate::domain::time::Timestamp;

/// The header of [`cells`].
pub const HEADER: [&str; 7] = ["INDEX", "TIME", "TYPE", "ACTOR", "TOOL", "RESULT", "CALL"];

/// The record as a row.
pub fn cells(line: &Line, now: Timestamp) -> [Cell; 7] {
    let index = line.index.to_string();
    let Ok(record) = serde_json::from_str::<AuditRecord>(&line.leaf) else {
        let unread = "a record this version cannot read";
        return [index.into(), "".into(), unread.into(), "".into(), "".into(), "".into(), "".into()];
    };
    let at = record.at.to_string();
    let result = record.error.clone().or_else(|| record.state.clone()).unwrap_or_default();
    let verdict = record.approval.as_ref().and_then(|fact| {
        let own = if fact.self_approved { " (self)" } else { "" };
        fact.verdict.map(|verdict| format!("{verdict}{own}"))
    });
    [
        index.into(),
        Cell::two(relative(&at, now), at),
        record.kind.word().into(),
        record.actor.as_ref().map_or_else(String::new, ToString::to_string).into(),
        record.tool.as_ref().map_or_else(String::new, ToString::to_string).into(),
        verdict.unwrap_or(result).into(),
        record.call.map_or_else(String::new, |call| call.to_string()).into(),
    ]
}

/// The record as one JSON object, its hash beside it.
pub fn document(line: &Line) -> Value {
    let record = serde_json::from_str::<Value>(&line.leaf).unwrap_or_else(|_| Value::String(line.leaf.clone()));
    json!({ "index": line.index, "hash": line.hash, "record": record })
}
