//! The caller's own consent: enough where a rule takes it, nothing anywhere else.

use std::time::Duration;

use super::super::Pipeline;
use super::super::submission::Reply;
use super::world::{World, rulebook, who};
use super::{RAISE, code, done, pending, status, world};
use crate::domain::approval::Verdict;
use crate::domain::audit::{AuditRecord, RecordType};
use crate::domain::denial::{Code, Denial};
use crate::domain::id::CallId;
use crate::domain::principal::PrincipalKind;
use crate::guard::policy::PolicySource;

/// Puts the shipped policy into force, changed.
async fn rules(world: &World, change: impl FnOnce(String) -> String) {
    let rules = rulebook(PolicySource { name: "p".into(), text: change(PolicySource::shipped().text) });
    let record = AuditRecord::new(RecordType::PolicyActivated, super::world::START);
    world.store.activate_policy(rules.policies.digest(), record).await.unwrap();
    world.path.replace_rules(rules);
}

/// What can harm waits for an approver, or for its caller's consent.
fn taking(text: String) -> String {
    text.replace("@approval_quorum(\"1\")", "@approval_quorum(\"1\") @approval_consent(\"caller\")")
}

async fn digest(world: &World, id: CallId) -> String {
    world.store.find(id).await.unwrap().unwrap().approval.unwrap().binding.short()
}

async fn consents(path: &std::sync::Arc<Pipeline>, name: &str, id: CallId, typed: &str) -> Result<Reply, Denial> {
    path.consent(who(name), id, typed, Duration::from_secs(30)).await.result
}

#[tokio::test]
async fn the_callers_consent_carries_its_call_where_a_rule_takes_it() {
    let world = world().await;
    rules(&world, taking).await;
    world.people.remove("user:anna");
    world.people.remove("user:bo");
    let id = pending(world.call(RAISE, status(), Some("k")).await);
    let typed = digest(&world, id).await;

    assert_eq!(code(consents(&world.path, "agent:x", id, "00000000").await), Code::ApprovalStale);
    assert_eq!(world.store.find(id).await.unwrap().unwrap().approval.unwrap().decisions, [], "nothing has changed");
    let output = r#"{"run":1,"tool":"update_customer_status"}"#;
    assert_eq!(done(consents(&world.path, "agent:x", id, &typed.to_uppercase()).await).0, output);
    assert_eq!(done(consents(&world.path, "agent:x", id, &typed).await), (output.to_owned(), true), "the same again");

    assert_eq!(
        world.story().await,
        ["approval.requested", "call.denied", "approval.decided", "call.dispatched", "call.completed"]
    );
    let decided = world.store.read(0, 100).await.unwrap().into_iter().find(|e| e.leaf.contains("approval.decided"));
    let fact = serde_json::from_str::<AuditRecord>(&decided.unwrap().leaf).unwrap().approval.unwrap();
    assert_eq!(
        serde_json::to_string(&(fact.evidence, fact.assurance, fact.groups, fact.self_approved)).unwrap(),
        r#"["client-elicitation","A0",[],false]"#
    );
    assert!(world.verify().await.verified);
}

#[tokio::test]
async fn nobody_but_the_caller_consents_and_no_other_rule_counts_it() {
    let world = world().await;
    let strict = pending(world.call(RAISE, status(), None).await);
    let typed = digest(&world, strict).await;
    assert_eq!(code(consents(&world.path, "agent:x", strict, &typed).await), Code::NotAllowed, "no rule takes it");

    let people = "@id(\"people-too\") @approval_group(\"approvers\")
        forbid (principal, action in Toolctl::Action::\"high_risk\", resource) unless { context.session.attended };";
    rules(&world, |text| taking(text) + people).await;
    world.people.add("agent:y", PrincipalKind::Agent, &["agents"]);
    let other = serde_json::json!({"customer_id": 2, "new_status": "Paused"});
    let id = pending(world.call(RAISE, other, None).await);
    let typed = digest(&world, id).await;
    assert_eq!(code(consents(&world.path, "user:anna", id, &typed).await), Code::NotAllowed);
    assert_eq!(code(consents(&world.path, "agent:y", id, &typed).await), Code::NotFound);

    let reply = world.path.consent(who("agent:x"), id, &typed, Duration::ZERO).await.result;
    assert_eq!(pending(reply), id, "the other rule still waits for a person");
    assert_eq!(world.runs(), 0);
    assert!(done(world.says("user:anna", Verdict::Approve, id).await).0.contains("\"run\":1"));
    assert!(world.verify().await.verified);
}

#[tokio::test]
async fn people_decide_as_ever_beside_the_consent() {
    let world = world().await;
    rules(&world, taking).await;
    let id = pending(world.call(RAISE, status(), None).await);
    let typed = digest(&world, id).await;
    done(world.says("user:anna", Verdict::Reject, id).await);
    assert_eq!(code(consents(&world.path, "agent:x", id, &typed).await), Code::ApprovalAlreadyDecided);

    let id = pending(world.call(RAISE, status(), None).await);
    assert!(done(world.says("user:bo", Verdict::Approve, id).await).0.contains("\"run\":1"));
    assert!(world.verify().await.verified);
}

#[tokio::test]
async fn consent_to_a_rule_that_takes_it_no_longer_is_stale() {
    let world = world().await;
    let people = "@id(\"people-too\") @approval_group(\"approvers\")
        forbid (principal, action in Toolctl::Action::\"high_risk\", resource) unless { context.session.attended };";
    rules(&world, |text| taking(text) + people).await;
    let id = pending(world.call(RAISE, status(), None).await);
    let typed = digest(&world, id).await;
    pending(world.path.consent(who("agent:x"), id, &typed, Duration::ZERO).await.result);
    rules(&world, |text| text.replace("approvers", "seniors") + people).await;
    assert_eq!(done(world.says("user:anna", Verdict::Approve, id).await).0, "stale");
    assert_eq!(world.runs(), 0);
    assert!(world.verify().await.verified);
}
