//! Keys, policy and the daemon itself.

use std::time::Duration;

use crate::api;
use crate::api::admin::{
    Check, Checked, CreatedKey, Healthy, KeyInfo, KeyList, KeyRef, Me, NewKey, PolicyFile, PolicyText, Reloaded,
    Rotate, StatusReport, Stopping,
};
use crate::api::endpoint::Nothing;
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::id::KeyId;
use crate::domain::principal::PrincipalKind;
use crate::domain::time::parse_span;
use crate::guard::policy::PolicySource;
use crate::pipeline::submission::{self, Answer};

use super::decode::malformed;
use super::visit::Visit;
use super::{no, wire};

const DAY: Duration = Duration::from_secs(86_400);

/// Says that the daemon is there. Nobody is asked who they are.
pub async fn health(_: Visit, _: Nothing) -> Answer<Healthy> {
    Answer { quota: None, result: Ok(Healthy { ok: true, version: env!("CARGO_PKG_VERSION").to_owned() }) }
}

async fn status(visit: Visit, _: Nothing) -> Answer<StatusReport> {
    visit.door.pipeline.status(visit.presented).await.map(wire::status_report)
}

async fn whoami(visit: Visit, _: Nothing) -> Answer<Me> {
    visit.door.pipeline.whoami(visit.presented).await.map(wire::me)
}

async fn list_keys(visit: Visit, _: Nothing) -> Answer<KeyList> {
    let keys = visit.door.pipeline.keys(visit.presented).await;
    keys.map(|keys| KeyList { keys: keys.into_iter().map(wire::key).collect() })
}

async fn create_key(visit: Visit, request: NewKey) -> Answer<CreatedKey> {
    let expires_in = match span("expires_in", request.expires_in.as_deref(), 90 * DAY) {
        Ok(span) => (!span.is_zero()).then_some(span),
        Err(denial) => return no(denial),
    };
    let key = submission::NewKey {
        name: request.name,
        kind: request.kind.unwrap_or(PrincipalKind::Agent),
        groups: request.groups,
        scope: request.scope,
        expires_in,
        may_self_approve: request.allow_self_approval,
        from_current: request.from_current,
    };
    visit.door.pipeline.create_key(visit.presented, key).await.map(created)
}

async fn rotate_key(visit: Visit, request: Rotate) -> Answer<CreatedKey> {
    match (key_id(&request.id), span("overlap", request.overlap.as_deref(), DAY)) {
        (Ok(id), Ok(overlap)) => visit.door.pipeline.rotate_key(visit.presented, id, overlap).await.map(created),
        (Err(denial), _) | (_, Err(denial)) => no(denial),
    }
}

async fn revoke_key(visit: Visit, request: KeyRef) -> Answer<KeyInfo> {
    match key_id(&request.id) {
        Ok(id) => visit.door.pipeline.revoke_key(visit.presented, id).await.map(wire::key),
        Err(denial) => no(denial),
    }
}

async fn check_policy(visit: Visit, request: Check) -> Answer<Checked> {
    let arguments = match request.arguments {
        serde_json::Value::Null => serde_json::Value::Object(serde_json::Map::new()),
        given => given,
    };
    let verdict = visit.door.pipeline.check(visit.presented, &request.tool, arguments, request.principal).await;
    verdict.map(|verdict| wire::checked(&request.tool, verdict))
}

async fn show_policy(visit: Visit, _: Nothing) -> Answer<PolicyText> {
    let Answer { quota, result } = visit.door.pipeline.policies(visit.presented).await;
    let shown = result.and_then(|rules| {
        let file = |source: &PolicySource| PolicyFile { name: source.name.clone(), text: source.text.clone() };
        let no_schema = |why| Denial::new(Stage::Policy, Code::Internal, "these tools make no schema").log(why);
        Ok(PolicyText {
            digest: rules.policies.digest().to_string(),
            files: rules.policies.files().iter().map(file).collect(),
            schema: rules.policies.schema_text().map_err(no_schema)?,
        })
    });
    Answer { quota, result: shown }
}

async fn reload(visit: Visit, _: Nothing) -> Answer<Reloaded> {
    let Answer { quota, result } = visit.door.pipeline.reload(visit.presented.clone()).await;
    let changes = match result {
        Ok(changes) => changes,
        Err(denial) => return Answer { quota, ..no(denial) },
    };
    let status = visit.door.pipeline.status(visit.presented).await;
    status.map(|status| Reloaded { policy: status.policy, tools: status.tools, changes })
}

async fn stop(visit: Visit, _: Nothing) -> Answer<Stopping> {
    visit.door.pipeline.stop(visit.presented).await.map(|running| Stopping { running })
}

fn created((key, record): (String, crate::pipeline::port::KeyRecord)) -> CreatedKey {
    CreatedKey { key, info: wire::key(record) }
}

fn key_id(text: &str) -> Result<KeyId, Denial> {
    KeyId::parse_shown(text).map_err(|error| malformed(format!("`id`: {error}")))
}

fn span(name: &str, text: Option<&str>, default: Duration) -> Result<Duration, Denial> {
    let read = |text| parse_span(text).map_err(|error| malformed(format!("`{name}`: {error}")));
    text.map_or(Ok(default), read)
}

/// Operations on keys, policy and the daemon.
pub fn routes() -> Vec<super::route::Route> {
    use super::route::on;
    vec![
        on::<api::admin::Health, _>(health),
        on::<api::admin::Status, _>(status),
        on::<api::admin::Whoami, _>(whoami),
        on::<api::admin::ListKeys, _>(list_keys),
        on::<api::admin::CreateKey, _>(create_key),
        on::<api::admin::RotateKey, _>(rotate_key),
        on::<api::admin::RevokeKey, _>(revoke_key),
        on::<api::admin::CheckPolicy, _>(check_policy),
        on::<api::admin::ShowPolicy, _>(show_policy),
        on::<api::admin::Reload, _>(reload),
        on::<api::admin::Stop, _>(stop),
    ]
}
