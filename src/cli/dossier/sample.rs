//! An approval with everything in it, for tests.

use serde_json::json;

use crate::api::approvals::{Approval, Dossier, Requirement};
use crate::api::calls::Call;
use crate::domain::approval::Assurance;
use crate::domain::outcome::Effect;
use crate::domain::tool::{EffectClass, Risk};

/// The approval.
pub fn dossier() -> Dossier {
    Dossier {
        call: Call {
            id: "call_01kb0".into(),
            tool: "update_customer_status".into(),
            principal: "agent:triage".into(),
            state: "awaiting_approval".into(),
            arguments: json!({"customer_id": 1, "new_status": "Suspended"}),
            output: None,
            error: None,
            effect: Effect::None,
            replayed: false,
            idempotency_key: Some("k1".into()),
            reason: Some("the customer asked".into()),
            approval: Some(Approval {
                id: "apr_01kb0".into(),
                number: 17,
                digest: format!("sha256:{}", "ab12cd34".repeat(8)),
                requirements: vec![Requirement {
                    rule: "high-risk".into(),
                    group: "approvers".into(),
                    quorum: 1,
                    agreed: 0,
                    assurance: Assurance::A0,
                    consent: false,
                    consented: false,
                }],
                decisions: Vec::new(),
                asked_at: "2026-11-23T11:58:00Z".into(),
                decide_by: "2026-11-23T12:58:00Z".into(),
                execute_within: 600,
                execute_by: None,
                round: 1,
                nonce_digest: "sha256:00".into(),
            }),
            attempts: 0,
            created_at: "2026-11-23T11:58:00Z".into(),
            changed_at: "2026-11-23T11:58:00Z".into(),
            audit: Some(3),
        },
        title: "Update customer status".into(),
        description: "Change the status of a customer.".into(),
        risk: Risk::High,
        effect_class: EffectClass::Once,
        destructive: false,
        open_world: false,
        tool_digest: format!("sha256:{}", "11223344".repeat(8)),
        effective_digest: format!("sha256:{}", "55667788".repeat(8)),
        previous: Some(json!({"customer_id": 1, "new_status": "Active"})),
        runs: Vec::new(),
        preview: None,
        you_may_not: None,
    }
}
