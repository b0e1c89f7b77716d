//! The tables, their keys, and the one row that every commit rewrites. Values are opaque bytes to redb, so
//! that its own encodings may change without changing ours.

use redb::TableDefinition;
use serde::{Deserialize, Serialize};

use crate::domain::digest::Digest;
use crate::domain::id::{CallId, PrincipalId, ToolName};
use crate::domain::merkle::Frontier;
use crate::pipeline::port::{Entry, Unavailable};

use super::row::{self, VERSION};

/// A call id as a key.
pub(super) type Id = [u8; 16];
/// A table keyed by 16 bytes.
pub(super) type ById = TableDefinition<'static, &'static Id, &'static [u8]>;
/// A table keyed by a number.
pub(super) type ByNumber = TableDefinition<'static, u64, &'static [u8]>;
/// A table keyed by a text.
pub(super) type ByName = TableDefinition<'static, &'static str, &'static [u8]>;

/// The format version and the [`State`].
pub(super) const META: ByName = TableDefinition::new("meta");
/// Calls by id: UUIDv7, so new rows go to the right edge.
pub(super) const CALLS: ById = TableDefinition::new("calls");
/// Records by index: version byte, leaf hash, leaf.
pub(super) const AUDIT: ByNumber = TableDefinition::new("audit");
/// Ids of calls that have not ended.
pub(super) const LIVE: ById = TableDefinition::new("live");
/// Call ids by approval number.
pub(super) const NUMBERS: ByNumber = TableDefinition::new("numbers");
/// Call ids by the first half of the key digest. See [`super::index`].
pub(super) const KEY_INDEX: ById = TableDefinition::new("key_index");
/// Further keys of calls by principal and key, a line feed between them. See [`super::attached`].
pub(super) const ATTACHED: ByName = TableDefinition::new("attached");
/// API keys by handle.
pub(super) const API_KEYS: ByName = TableDefinition::new("api_keys");
/// Runs of workflows by principal and id, a line feed between them.
pub(super) const RUNS: ByName = TableDefinition::new("runs");
/// Times of the last rejections by principal and tool.
pub(super) const REJECTIONS: ById = TableDefinition::new("rejections");
/// Id of the newest approved and succeeded call by principal and tool.
pub(super) const LAST_APPROVED: ById = TableDefinition::new("last_approved");

/// Where the format version stands in [`META`]: one byte, read before anything else.
pub(super) const FORMAT: &str = "format";
/// Where the tools of the last start stand in [`META`].
pub(super) const TOOLS: &str = "tools";
/// Where the [`State`] stands in [`META`].
pub(super) const STATE: &str = "state";

/// What every commit rewrites.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The right edge of the tree over the records.
    pub(super) frontier: Frontier,
    /// The last approval number.
    pub(super) numbers: u64,
    /// The last start of a daemon.
    pub(super) epoch: u64,
    /// Digest of the policy set in force.
    pub(super) policy: Option<Digest>,
    /// Keys of calls whose first record has a smaller index are in [`KEY_INDEX`].
    pub(super) indexed: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct StateRow {
    size: u64,
    peaks: Vec<[u8; 32]>,
    numbers: u64,
    epoch: u64,
    policy: Option<[u8; 32]>,
    indexed: u64,
}

impl State {
    pub(super) fn encode(&self) -> Result<Vec<u8>, Unavailable> {
        row::encode(&StateRow {
            size: self.frontier.size(),
            peaks: self.frontier.peaks().iter().map(|peak| peak.0).collect(),
            numbers: self.numbers,
            epoch: self.epoch,
            policy: self.policy.map(|policy| policy.0),
            indexed: self.indexed,
        })
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Unavailable> {
        let row: StateRow = row::decode(bytes)?;
        let frontier = Frontier::from_parts(row.size, row.peaks.into_iter().map(Digest).collect())
            .ok_or_else(|| Unavailable::new("the edge of the log's tree does not fit its size"))?;
        let policy = row.policy.map(Digest);
        Ok(Self { frontier, numbers: row.numbers, epoch: row.epoch, policy, indexed: row.indexed })
    }
}

/// A record as a row.
pub(super) fn encode_leaf(leaf: &str, hash: &Digest) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(33 + leaf.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&hash.0);
    bytes.extend_from_slice(leaf.as_bytes());
    bytes
}

/// The hash and the leaf of a record's row as they stand there, whatever they are.
pub(super) fn raw_leaf(bytes: &[u8]) -> (Option<Digest>, &[u8]) {
    match bytes.split_first().and_then(|(_, rest)| rest.split_first_chunk::<32>()) {
        Some((hash, leaf)) => (Some(Digest(*hash)), leaf),
        None => (None, bytes),
    }
}

/// The hash and the leaf of a record's row.
pub(super) fn split_leaf(bytes: &[u8]) -> Result<(Digest, &str), Unavailable> {
    let damaged = || Unavailable::new("a record is damaged");
    let (&version, rest) = bytes.split_first().ok_or_else(damaged)?;
    let (hash, leaf) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
    if version != VERSION {
        return Err(Unavailable::new(format!("a record has version {version}, newer than this program")));
    }
    Ok((Digest(*hash), std::str::from_utf8(leaf).map_err(|_| damaged())?))
}

/// The record of a row.
pub(super) fn entry(index: u64, bytes: &[u8]) -> Result<Entry, Unavailable> {
    let (hash, leaf) = split_leaf(bytes)?;
    Ok(Entry { index, hash, leaf: leaf.to_owned() })
}

/// A call id out of a value.
pub(super) fn id_of(bytes: &[u8]) -> Result<CallId, Unavailable> {
    let bytes = bytes.try_into().map_err(|_| Unavailable::new("a call id on disk is not 16 bytes long"))?;
    Ok(CallId::from_bytes(bytes))
}

/// The first half of a digest, as a key.
pub(super) fn half(digest: &Digest) -> Id {
    let mut half = [0; 16];
    half.iter_mut().zip(digest.0).for_each(|(to, from)| *to = from);
    half
}

/// The key of what is kept for each principal and tool.
pub(super) fn pair(principal: &PrincipalId, tool: &ToolName) -> Id {
    half(&Digest::of("toolctl/pair/v1", &[principal.as_str().as_bytes(), tool.as_str().as_bytes()]))
}
