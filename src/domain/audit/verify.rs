//! Re-derives everything from the leaves alone: hashes and root, that every leaf is canonical, that every
//! call walked a legal path, and that nothing which needed people ran without them. It does not trust
//! the daemon that wrote the log.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::super::approval::{Assurance, Evidence, Verdict};
use super::super::digest::Digest;
use super::super::id::{CallId, GroupName, PrincipalId};
use super::super::json::{self, Limits};
use super::super::merkle::{Frontier, leaf_hash};
use super::{ApprovalFact, AuditRecord, RecordType, RequirementFact};

/// Something in the log that cannot be as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Fault {
    /// Index of the record, counted from 0; none when it is about the log as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Report {
    /// How many records were read.
    pub records: u64,
    /// The root re-derived from them (RFC 6962), `sha256:` and hexadecimal digits.
    pub root: String,
    /// Whether nothing is wrong.
    pub verified: bool,
    /// The first faults, at most 100.
    pub faults: Vec<Fault>,
}

/// Reads leaves in order and collects faults.
#[derive(Debug, Default)]
pub struct Verifier {
    frontier: Frontier,
    open: BTreeMap<CallId, Track>,
    /// Calls that ended: nothing may happen to them any more.
    closed: HashSet<CallId>,
    faults: Vec<Fault>,
}

/// What is known of a call that has not ended.
#[derive(Debug, Clone, Default)]
struct Track {
    state: String,
    binding: Option<Digest>,
    requirements: Vec<RequirementFact>,
    /// Who asked, and on whose behalf.
    asking: Vec<PrincipalId>,
    votes: Vec<Vote>,
    /// The requester consented through its client, with this assurance.
    consent: Option<Assurance>,
    /// What the call's preview must still say when it runs.
    preview: Option<String>,
}

#[derive(Debug, Clone)]
struct Vote {
    by: PrincipalId,
    groups: Vec<GroupName>,
    assurance: Assurance,
}

const MOST_FAULTS: usize = 100;

impl Verifier {
    /// Takes the next leaf, and the hash that was stored with it if there is one.
    pub fn leaf(&mut self, leaf: &[u8], stored: Option<&Digest>) {
        let index = self.frontier.size();
        let hash = leaf_hash(leaf);
        self.frontier.push(hash);
        if stored.is_some_and(|stored| *stored != hash) {
            self.fault(Some(index), "the record is not the one that was written: its hash differs".to_owned());
        }
        match Self::read(leaf) {
            Ok(record) => {
                if let Err(what) = self.follow(&record) {
                    self.fault(Some(index), what);
                }
            }
            Err(what) => self.fault(Some(index), what),
        }
    }

    /// Compares with what the log claims to be, and reports.
    pub fn finish(mut self, size: u64, root: &Digest) -> Report {
        if self.frontier.size() != size {
            let found = self.frontier.size();
            self.fault(None, format!("the log claims {size} records and has {found}"));
        } else if self.frontier.root() != *root {
            self.fault(None, format!("the tree of the records has another root than the log claims ({root})"));
        }
        Report {
            records: self.frontier.size(),
            root: self.frontier.root().to_string(),
            verified: self.faults.is_empty(),
            faults: self.faults,
        }
    }

    fn fault(&mut self, index: Option<u64>, what: String) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(Fault { index, what });
        }
    }

    fn read(leaf: &[u8]) -> Result<AuditRecord, String> {
        let value = json::parse(leaf, Limits::default()).map_err(|error| format!("the record is {error}"))?;
        if json::canonical(&value).as_bytes() != leaf {
            return Err("the record is not in canonical form".to_owned());
        }
        serde_json::from_value(value).map_err(|error| format!("the record has another shape: {error}"))
    }

    /// Checks one step of a call against where it stood.
    fn follow(&mut self, record: &AuditRecord) -> Result<(), String> {
        let Some(call) = record.call else { return Ok(()) };
        let state = record.state.clone().unwrap_or_default();
        let known = self.open.remove(&call);
        let has_ended = if self.closed.contains(&call) { "closed" } else { "" };
        let before = known.as_ref().map_or(has_ended, |track| track.state.as_str());
        if !legal(record.kind, before, &state) {
            let before = if before.is_empty() { "not open" } else { before };
            return Err(format!("{} says `{state}` of {call}, which was {before}", record.kind.word()));
        }
        let mut track = known.unwrap_or_default();
        let result = track.take(record);
        if is_closed(&state) {
            self.closed.insert(call);
        } else {
            track.state = state;
            self.open.insert(call, track);
        }
        result
    }
}

impl Track {
    fn take(&mut self, record: &AuditRecord) -> Result<(), String> {
        let fact = record.approval.as_ref();
        if let Some(fact) = fact.filter(|fact| !fact.requirements.is_empty()) {
            self.binding = Some(fact.binding);
            self.requirements.clone_from(&fact.requirements);
            self.votes.clear();
            self.consent = None;
            self.preview = record.detail.get("preview").cloned();
        }
        if record.kind == RecordType::ApprovalRequested {
            self.asking = record.actor.iter().chain(&record.chain).cloned().collect();
        }
        match record.kind {
            RecordType::ApprovalDecided => self.vote(record, fact),
            RecordType::CallDispatched => self.ran(record),
            // Dispatch and end shared a transaction, unless the call was running before.
            RecordType::CallCompleted if self.state != "running" && self.state != "in_doubt" => self.ran(record),
            // A start that was lost may itself have changed what the preview looks at.
            RecordType::CallRecovered => {
                self.preview = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn vote(&mut self, record: &AuditRecord, fact: Option<&ApprovalFact>) -> Result<(), String> {
        let (Some(fact), Some(by)) = (fact, record.actor.as_ref()) else {
            return Err("a decision without its author or binding".to_owned());
        };
        if self.binding != Some(fact.binding) {
            return Err("a decision about other contents than were asked about".to_owned());
        }
        if fact.evidence == Some(Evidence::ClientElicitation) {
            return self.consented(by, fact);
        }
        if self.asking.contains(by) && !fact.self_approved {
            return Err(format!("`{by}` decided about its own call, and the record does not say so"));
        }
        if fact.verdict == Some(Verdict::Approve) {
            let assurance = fact.assurance.unwrap_or(Assurance::A0);
            self.votes.push(Vote { by: by.clone(), groups: fact.groups.clone(), assurance });
        }
        Ok(())
    }

    /// A client's word counts only as the requester's own consent, and only where a rule takes that.
    fn consented(&mut self, by: &PrincipalId, fact: &ApprovalFact) -> Result<(), String> {
        if self.asking.first() != Some(by) {
            return Err(format!("`{by}` consented to a call that is not its own"));
        }
        if !self.requirements.iter().any(|need| need.consent) {
            return Err(format!("`{by}` consented to its own call, and no rule takes that"));
        }
        if fact.verdict != Some(Verdict::Approve) || fact.self_approved || !fact.groups.is_empty() {
            return Err(format!("the consent of `{by}` is recorded as if it were a person's decision"));
        }
        self.consent = Some(fact.assurance.unwrap_or(Assurance::A0));
        Ok(())
    }

    fn ran(&self, record: &AuditRecord) -> Result<(), String> {
        if self.requirements.is_empty() {
            return Ok(());
        }
        if record.approval.as_ref().map(|fact| fact.binding) != self.binding {
            return Err("the call ran on another approval than was asked for".to_owned());
        }
        if self.preview.is_some() && record.detail.get("preview") != self.preview.as_ref() {
            return Err("the call ran although its preview was not seen to say what people agreed to".to_owned());
        }
        for need in &self.requirements {
            let people: BTreeSet<_> = self
                .votes
                .iter()
                .filter(|vote| vote.assurance >= need.assurance && vote.groups.contains(&need.group))
                .map(|vote| &vote.by)
                .collect();
            let consented = need.consent && self.consent.is_some_and(|given| given >= need.assurance);
            if people.len() < need.quorum as usize && !consented {
                return Err(format!(
                    "the call ran without the {} of `{}` that `{}` asks for",
                    need.quorum, need.group, need.rule
                ));
            }
        }
        Ok(())
    }
}

fn is_closed(state: &str) -> bool {
    matches!(state, "succeeded" | "failed" | "rejected" | "expired" | "cancelled" | "stale")
}

/// The legal steps: kind of record, state before (empty: not heard of; `closed`: it ended), state after.
fn legal(kind: RecordType, before: &str, after: &str) -> bool {
    match kind {
        RecordType::ApprovalRequested => before.is_empty() && after == "awaiting_approval",
        RecordType::ApprovalAttached => before == "awaiting_approval" && after == before,
        RecordType::ApprovalDecided => {
            before == "awaiting_approval" && matches!(after, "awaiting_approval" | "ready" | "rejected")
        }
        RecordType::CallDispatched => matches!(before, "" | "ready") && after == "running",
        RecordType::CallCompleted => {
            matches!(before, "" | "ready" | "running" | "in_doubt") && matches!(after, "succeeded" | "failed")
        }
        RecordType::CallClosed => {
            matches!(before, "awaiting_approval" | "ready") && matches!(after, "expired" | "cancelled" | "stale")
        }
        RecordType::CallRecovered => before == "running" && after == "ready",
        RecordType::CallInDoubt => before == "running" && after == "in_doubt",
        RecordType::CallResolved => {
            before == "in_doubt" && matches!(after, "succeeded" | "failed" | "ready" | "awaiting_approval")
        }
        RecordType::CallDenied
        | RecordType::PolicyActivated
        | RecordType::ToolRegistered
        | RecordType::ToolChanged
        | RecordType::ToolRemoved
        | RecordType::KeyCreated
        | RecordType::KeyRevoked
        | RecordType::AuthFailed
        | RecordType::LimitExceeded
        | RecordType::DeskImported
        | RecordType::RunBegun
        | RecordType::RunEnded
        | RecordType::RunDetached
        | RecordType::RunReleased
        | RecordType::DaemonStarted
        | RecordType::DaemonStopped
        | RecordType::LogPruned => true,
    }
}
