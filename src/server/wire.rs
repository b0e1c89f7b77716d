//! From the domain to the wire: the only place that knows both. Pure.

use hyper::StatusCode;

use crate::api;
use crate::api::problem::Problem;
use crate::domain::approval::{Approval, Decision, Requirement};
use crate::domain::call::{Call, CallState};
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::digest::Digest;
use crate::domain::outcome::{FailureKind, Outcome};
use crate::domain::principal::Principal;
use crate::pipeline::port::{Entry, KeyRecord};
use crate::pipeline::submission::{PolicyVerdict, Reply};
use crate::pipeline::{Dossier, Status, ToolView};

use super::respond;
use super::status::status;

/// The answer about a call: 200 when it ended (however it ended) or would run, 202 while it has not.
pub fn reply(reply: &Reply) -> respond::Reply {
    let (code, document) = match reply {
        Reply::Done { call: ended, replayed, audit } => (StatusCode::OK, call(ended, *replayed, *audit)),
        Reply::Pending { call: open, attached, audit } => (StatusCode::ACCEPTED, call(open, *attached, *audit)),
        Reply::DryRun { call: planned } => {
            let state = if planned.approval.is_some() { "would_wait" } else { "would_run" };
            (StatusCode::OK, api::calls::Call { state: state.to_owned(), ..call(planned, false, None) })
        }
    };
    let mut answer = respond::json(code, &document);
    about(&mut answer, reply);
    answer
}

/// Names the call, its record and whether it is a replay, in headers.
pub fn about(answer: &mut respond::Reply, reply: &Reply) {
    let headers = answer.headers_mut();
    let audit = match reply {
        Reply::Done { replayed, audit, .. } => {
            if *replayed {
                respond::put(headers, respond::REPLAYED, "true");
            }
            *audit
        }
        Reply::Pending { audit, .. } => *audit,
        Reply::DryRun { .. } => return,
    };
    respond::put(headers, respond::CALL, &reply.call().id.to_string());
    if let Some(index) = audit {
        headers.insert(respond::AUDIT, index.into());
    }
}

/// A call.
pub fn call(call: &Call, replayed: bool, audit: Option<u64>) -> api::calls::Call {
    let output = call.outcome().and_then(Outcome::output).map(crate::domain::json::Canonical::value);
    let error = failure(call).map(|denial| Problem::of(&denial, status(&denial).as_u16()));
    api::calls::Call {
        id: call.id.to_string(),
        tool: call.tool.to_string(),
        principal: call.principal.to_string(),
        state: call.state.word().to_owned(),
        arguments: call.arguments.value(),
        output,
        error,
        effect: call.effect_so_far(),
        replayed,
        idempotency_key: Some(call.key.to_string()),
        reason: call.reason.clone(),
        approval: call.approval.as_ref().map(|asked| approval(call, asked)),
        attempts: call.attempts,
        created_at: call.created_at.to_string(),
        changed_at: call.changed_at.to_string(),
        audit,
    }
}

/// How a call in doubt is settled. Whoever reads it may be an agent, who may not.
fn who_resolves(call: &Call) -> String {
    let command = format!("toolctl calls resolve {} --as succeeded|failed|rerun", call.id);
    format!("an administrator or one of its approvers looks at what it did, and says so: {command}")
}

/// Why a call that ended has no result, or nobody knows whether it has; none when it succeeded or goes on.
pub fn failure(call: &Call) -> Option<Denial> {
    let no = |stage, code, detail: String| Some(Denial::new(stage, code, detail));
    let because = |text: &Option<String>| text.as_ref().map_or(String::new(), |text| format!(": {text}"));
    let denial = match &call.state {
        CallState::AwaitingApproval | CallState::Ready | CallState::Running { .. } => None,
        CallState::InDoubt => no(
            Stage::Execution,
            Code::OutcomeUnknown,
            format!("`{}` was started, and nobody knows whether it happened", call.tool),
        )
        .map(|denial| denial.hint(who_resolves(call))),
        CallState::Closed(outcome) => match outcome {
            Outcome::Succeeded { .. } | Outcome::Settled { happened: true, .. } => None,
            Outcome::Failed { kind, message, .. } => {
                let code = match kind {
                    FailureKind::Failed => Code::ToolFailed,
                    FailureKind::NotFound => Code::ObjectNotFound,
                    FailureKind::Timeout => Code::ToolTimeout,
                    FailureKind::OutputInvalid => Code::OutputInvalid,
                    FailureKind::EgressForbidden => Code::EgressForbidden,
                };
                no(Stage::Execution, code, message.clone())
            }
            Outcome::Rejected { by, reason } => {
                no(Stage::Approval, Code::ApprovalRejected, format!("`{by}` said no{}", because(reason)))
            }
            Outcome::Expired => {
                no(Stage::Approval, Code::ApprovalExpired, "it was not approved and started in time".to_owned())
            }
            Outcome::Cancelled { by } => no(Stage::Execution, Code::Cancelled, format!("`{by}` took the call back")),
            Outcome::Stale { changed } => {
                no(Stage::Approval, Code::ApprovalStale, format!("what was approved is not what would run: {changed}"))
            }
            Outcome::Settled { by, happened: false, note } => no(
                Stage::Execution,
                Code::ToolFailed,
                format!("`{by}` looked and says it did not happen{}", because(note)),
            ),
        },
    };
    denial.map(|denial| denial.about(call.id).effect(call.effect_so_far()))
}

fn approval(call: &Call, approval: &Approval) -> api::approvals::Approval {
    api::approvals::Approval {
        id: call.id.approval().to_string(),
        number: approval.number,
        digest: approval.binding.to_string(),
        requirements: approval
            .requirements
            .iter()
            .map(|need| requirement(need, approval.agreed(need), approval.consented(need)))
            .collect(),
        decisions: approval.decisions.iter().map(decision).collect(),
        asked_at: approval.asked_at.to_string(),
        decide_by: approval.decide_by.to_string(),
        execute_within: approval.execute_within.as_secs(),
        execute_by: approval.execute_by().map(|time| time.to_string()),
        round: approval.round,
        nonce_digest: Digest::plain(&approval.nonce).to_string(),
    }
}

fn requirement(need: &Requirement, agreed: u32, consented: bool) -> api::approvals::Requirement {
    api::approvals::Requirement {
        rule: need.rule.clone(),
        group: need.group.to_string(),
        quorum: need.quorum,
        agreed,
        assurance: need.assurance,
        consent: need.consent,
        consented,
    }
}

fn decision(decision: &Decision) -> api::approvals::Decision {
    api::approvals::Decision {
        by: decision.by.to_string(),
        verdict: decision.verdict,
        reason: decision.reason.clone(),
        assurance: decision.assurance,
        evidence: decision.evidence,
        self_approved: decision.self_approved,
        at: decision.at.to_string(),
    }
}

/// What an approver needs to see. A tool that is gone leaves only its name.
pub fn dossier(dossier: &Dossier) -> api::approvals::Dossier {
    let tool = dossier.tool.as_deref();
    api::approvals::Dossier {
        title: tool.map_or_else(|| dossier.call.tool.to_string(), |tool| tool.title.clone()),
        description: tool.map_or_else(|| "this tool is gone".to_owned(), |tool| tool.description.clone()),
        risk: tool.map_or(crate::domain::tool::Risk::High, |tool| tool.risk),
        effect_class: dossier.call.effect,
        destructive: tool.is_none_or(|tool| tool.destructive),
        open_world: tool.is_none_or(|tool| tool.open_world),
        tool_digest: dossier.call.tool_digest.to_string(),
        effective_digest: dossier.call.effective.to_string(),
        preview: dossier.preview.as_ref().map(|preview| api::approvals::Preview {
            tool: preview.tool.to_string(),
            output: preview.said.as_ref().ok().map(crate::domain::json::Canonical::value),
            error: preview.said.as_ref().err().cloned(),
            digest: preview.digest().to_string(),
            compared: preview.binding && preview.said.is_ok(),
        }),
        // Arguments that fit nowhere were refused before the call existed.
        runs: tool.and_then(|tool| tool.action.runs(&dossier.call.arguments.value()).ok()).unwrap_or_default(),
        previous: dossier.previous.as_ref().map(|previous| previous.arguments.value()),
        you_may_not: dossier.you_may_not.clone(),
        call: call(&dossier.call, false, None),
    }
}

/// A tool.
pub fn tool(view: &ToolView) -> api::tools::Tool {
    let tool = &view.tool;
    api::tools::Tool {
        name: tool.name.to_string(),
        title: tool.title.clone(),
        description: tool.description.clone(),
        source: tool.kind().word().to_owned(),
        risk: tool.risk,
        effect: tool.effect,
        destructive: tool.destructive,
        open_world: tool.open_world,
        standing: view.standing,
        approvers: view.approvers.clone(),
        input_schema: tool.input_schema.clone(),
        output_schema: tool.output_schema.clone(),
        example: tool.example.clone(),
        tags: tool.extras.tags.clone(),
        timeout_ms: u64::try_from(tool.timeout.as_millis()).unwrap_or(u64::MAX),
        output_limit: tool.output_limit as u64,
        probe: tool.extras.probe.as_ref().map(ToString::to_string),
        preview: tool.extras.preview.as_ref().map(ToString::to_string),
        definition: view.open.then(|| tool.action.declared()).flatten(),
        digest: tool.digest.to_string(),
    }
}

/// A tool as the original demo server lists it.
pub fn discovered(view: &ToolView) -> api::tools::DiscoveredTool {
    let tool = &view.tool;
    api::tools::DiscoveredTool {
        name: tool.name.to_string(),
        method: "POST".to_owned(),
        path: format!("/tools/{}", tool.name),
        description: tool.description.clone(),
        risk: tool.risk,
        supports_idempotency_key: !tool.is_read_only(),
        input_schema: tool.input_schema.clone(),
        output_schema: tool.output_schema.clone(),
    }
}

/// Who the caller is.
pub fn me(principal: Principal) -> api::admin::Me {
    api::admin::Me {
        principal: principal.id.to_string(),
        kind: principal.kind,
        groups: principal.groups.iter().map(ToString::to_string).collect(),
        credential: principal.credential.to_string(),
        may_self_approve: principal.may_self_approve,
        scope: principal.scope,
    }
}

/// A key without its secret.
pub fn key(record: KeyRecord) -> api::admin::KeyInfo {
    api::admin::KeyInfo {
        id: format!("key_{}", record.id),
        principal: record.principal.id.to_string(),
        kind: record.principal.kind,
        groups: record.principal.groups.iter().map(ToString::to_string).collect(),
        scope: record.principal.scope,
        may_self_approve: record.principal.may_self_approve,
        created_at: record.created_at.to_string(),
        expires_at: record.expires_at.map(|time| time.to_string()),
        revoked_at: record.revoked_at.map(|time| time.to_string()),
        parent: record.parent.map(|id| format!("key_{id}")),
    }
}

/// What policy would decide, with its reason in a sentence.
pub fn checked(tool: &str, verdict: PolicyVerdict) -> api::admin::Checked {
    use api::admin::PolicyAnswer;
    let who = &verdict.principal.id;
    let (answer, requirements, explanation) = match verdict.decision {
        Ok(needs) if needs.is_empty() => {
            (PolicyAnswer::Allow, needs, format!("`{who}` may call `{tool}`, and it runs at once"))
        }
        Ok(needs) => {
            let or = |need: &Requirement| if need.consent { ", or its own consent" } else { "" };
            let people: Vec<_> =
                needs.iter().map(|need| format!("{} of `{}`{}", need.quorum, need.group, or(need))).collect();
            let explanation = format!("`{who}` may call `{tool}` once people agree: {}", people.join(", "));
            (PolicyAnswer::NeedsApproval, needs, explanation)
        }
        Err(denial) => (PolicyAnswer::Deny, Vec::new(), denial.detail),
    };
    api::admin::Checked {
        principal: who.to_string(),
        tool: tool.to_owned(),
        answer,
        rules: verdict.rules,
        requirements: requirements.iter().map(|need| requirement(need, 0, false)).collect(),
        explanation,
        policy: verdict.policy.to_string(),
    }
}

/// How the daemon is.
pub fn status_report(status: Status) -> api::admin::StatusReport {
    api::admin::StatusReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: status.daemon.pid,
        started_at: status.daemon.started_at.to_string(),
        listeners: status.daemon.listeners,
        data_dir: status.daemon.data_dir,
        tools: status.tools,
        pending: status.pending,
        in_doubt: status.in_doubt,
        doubts: status.doubts.iter().map(doubt).collect(),
        running: status.running,
        detached: status.detached,
        records: status.records,
        root: status.root,
        policy: status.policy,
        store: status.store,
        notes: status.daemon.notes,
        upstreams: status.upstreams,
    }
}

fn doubt(call: &Call) -> api::admin::Doubt {
    api::admin::Doubt {
        call: call.id.to_string(),
        tool: call.tool.to_string(),
        principal: call.principal.to_string(),
        since: call.changed_at.to_string(),
        resolve: format!("toolctl calls resolve {} --as succeeded|failed|rerun", call.id),
    }
}

/// One record of the log.
pub fn line(entry: Entry) -> api::audit::Line {
    api::audit::Line { index: entry.index, hash: entry.hash.to_string(), leaf: entry.leaf }
}

#[cfg(test)]
mod tests;
