//! The path as a whole, over the reference store.

mod consent;
mod faults;
mod panics;
mod previews;
mod runs;
pub(crate) mod world;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::port::*;
use super::submission::{Ballot, NewKey, Reply};
use crate::domain::approval::Verdict;
use crate::domain::call::{CallEvent, CallState, Resolution};
use crate::domain::denial::{Code, Denial};
use crate::domain::id::CallId;
use crate::domain::json::Canonical;
use crate::domain::outcome::{Effect, Outcome};
use crate::domain::principal::{PrincipalKind, Scope};
use crate::guard::policy::PolicySource;
use crate::store::MemoryStore;
use world::{Left, World, rulebook, who};

const RAISE: &str = "update_customer_status";

async fn world() -> World {
    World::over(Arc::new(MemoryStore::new())).await.unwrap()
}

fn status() -> serde_json::Value {
    json!({"customer_id": 1, "new_status": "Paused"})
}

fn ticket() -> serde_json::Value {
    json!({"customer_id": 1, "title": "Login broken"})
}

fn done(result: Result<Reply, Denial>) -> (String, bool) {
    match result {
        Ok(Reply::Done { call, replayed, .. }) => {
            let output = call.outcome().and_then(|outcome| outcome.output());
            (output.map_or_else(|| call.state.word().to_owned(), |output| output.as_str().to_owned()), replayed)
        }
        other => panic!("not done: {other:?}"),
    }
}

fn pending(result: Result<Reply, Denial>) -> CallId {
    match result {
        Ok(Reply::Pending { call, .. }) => call.id,
        other => panic!("not pending: {other:?}"),
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, Denial>) -> Code {
    result.expect_err("a denial").code
}

#[tokio::test]
async fn a_call_runs_once_and_is_replayed_to_the_byte() {
    let world = world().await;
    let first = done(world.call("create_ticket", ticket(), Some("k1")).await);
    assert_eq!(first, (r#"{"run":1,"tool":"create_ticket"}"#.to_owned(), false));
    assert_eq!(done(world.call("create_ticket", ticket(), Some("k1")).await), (first.0, true));
    let other = json!({"customer_id": 2, "title": "Login broken"});
    assert_eq!(code(world.call("create_ticket", other, Some("k1")).await), Code::IdempotencyKeyReused);
    assert_eq!(
        code(world.call("send_message", json!({"channel": "a", "message": "b"}), Some("k1")).await),
        Code::IdempotencyKeyReused
    );
    assert_eq!(world.runs(), 1);
    assert_eq!(world.story().await, ["call.dispatched", "call.completed", "call.denied", "call.denied"]);
    assert!(world.verify().await.verified);
}

#[tokio::test]
async fn a_no_before_the_call_does_not_use_the_key() {
    let world = world().await;
    assert_eq!(code(world.call("create_ticket", json!({"title": "x"}), Some("k1")).await), Code::ArgumentsInvalid);
    assert_eq!(code(world.call("create_tickets", ticket(), Some("k1")).await), Code::ToolNotFound);
    assert!(!done(world.call("create_ticket", ticket(), Some("k1")).await).1);
}

#[tokio::test]
async fn what_needs_people_waits_for_them_and_then_runs() {
    let world = world().await;
    let id = pending(world.call(RAISE, status(), Some("k1")).await);
    assert_eq!(pending(world.call(RAISE, status(), Some("k1")).await), id, "the same key attaches");
    assert_eq!(pending(world.call(RAISE, status(), None).await), id, "so does the same request");
    assert_eq!(code(world.says("agent:x", Verdict::Approve, id).await), Code::NotAllowed);
    assert_eq!(world.runs(), 0);
    assert_eq!(
        done(world.says("user:anna", Verdict::Approve, id).await).0,
        r#"{"run":1,"tool":"update_customer_status"}"#
    );
    let again = done(world.says("user:anna", Verdict::Approve, id).await).0;
    assert_eq!(again, r#"{"run":1,"tool":"update_customer_status"}"#, "the same again is no error");
    assert_eq!(code(world.says("user:bo", Verdict::Reject, id).await), Code::ApprovalAlreadyDecided);
    assert_eq!(
        done(world.call(RAISE, status(), Some("k1")).await),
        (r#"{"run":1,"tool":"update_customer_status"}"#.to_owned(), true)
    );
    let story = ["approval.requested", "approval.attached", "call.denied", "approval.decided"];
    assert_eq!(world.story().await[..4], story);
    assert!(world.verify().await.verified);
}

#[tokio::test]
async fn a_waiting_caller_gets_the_outcome() {
    let world = Arc::new(world().await);
    let mut asked = World::asked(RAISE, status(), None);
    asked.wait = Duration::from_secs(30);
    let mut followed = world.path.approvals_changed();
    let caller = tokio::spawn({
        let world = world.clone();
        async move { world.submit(asked).await.result }
    });
    let id = followed.recv().await.unwrap();
    world.says("user:anna", Verdict::Approve, id).await.unwrap();
    assert_eq!(done(caller.await.unwrap()).0, r#"{"run":1,"tool":"update_customer_status"}"#);
}

#[tokio::test]
async fn one_no_is_final_and_three_open_the_circuit() {
    let world = world().await;
    for customer in 1..=3 {
        let arguments = json!({"customer_id": customer, "new_status": "Paused"});
        let id = pending(world.call(RAISE, arguments.clone(), Some(&format!("k{customer}"))).await);
        let Ok(Reply::Done { call, .. }) = world.says("user:bo", Verdict::Reject, id).await else { panic!("not done") };
        assert_eq!((call.state.word(), call.effect_so_far()), ("rejected", Effect::None));
        assert_eq!(code(world.says("user:anna", Verdict::Approve, id).await), Code::ApprovalAlreadyDecided);
    }
    let again = json!({"customer_id": 4, "new_status": "Paused"});
    let denial = world.call(RAISE, again.clone(), None).await.unwrap_err();
    assert_eq!((denial.code, denial.retry_after), (Code::CircuitOpen, Some(Duration::from_secs(900))));
    world.later(900);
    pending(world.call(RAISE, again, None).await);
    assert_eq!(world.runs(), 0);
}

#[tokio::test]
async fn nobody_deciding_in_time_is_a_no() {
    let world = world().await;
    let id = pending(world.call(RAISE, status(), None).await);
    world.later(3_599);
    let next = world.path.expire(world.clock.now()).await.unwrap();
    assert_eq!(next.map(|at| at.since(world.clock.now())), Some(Duration::from_secs(1)));
    world.later(1);
    assert_eq!(code(world.says("user:anna", Verdict::Approve, id).await), Code::ApprovalExpired, "before the sweep");
    world.path.expire(world.clock.now()).await.unwrap();
    assert_eq!(world.story().await.last(), Some(&"call.closed"));
    assert_eq!(code(world.says("user:anna", Verdict::Approve, id).await), Code::ApprovalExpired, "and after it");
    assert_eq!(world.runs(), 0);
}

/// Everything that may change between a yes and the run, each of which must keep the call from running.
#[tokio::test]
async fn what_changed_since_the_yes_makes_it_stale() {
    type Change = fn(&World);
    let changes: [(&str, Change); 5] = [
        ("the requester is gone", |world| world.people.remove("agent:x")),
        ("the approver left the group", |world| world.people.change("user:anna", |who| who.groups.clear())),
        ("the approver is gone", |world| world.people.remove("user:anna")),
        ("policy forbids it now", |world| {
            let text = "@id(\"reads\") permit (principal, action in Toolctl::Action::\"readonly\", resource);";
            world.path.replace_rules(rulebook(PolicySource { name: "p".into(), text: text.into() }));
        }),
        ("policy asks for two now", |world| {
            let text = PolicySource::shipped().text.replace("@approval_quorum(\"1\")", "@approval_quorum(\"2\")");
            world.path.replace_rules(rulebook(PolicySource { name: "p".into(), text }));
        }),
    ];
    for (what, change) in changes {
        let world = world().await;
        let id = pending(world.call(RAISE, status(), None).await);
        let eligible = super::decide::may_decide(
            &world.people.people_in("approvers", world.clock.now()).remove(0),
            &world.store.find(id).await.unwrap().unwrap(),
        );
        let call = world.store.find(id).await.unwrap().unwrap();
        let anna = world.people.identify(&who("user:anna"), world.clock.now()).unwrap();
        let binding = call.approval.as_ref().unwrap().binding;
        let decision = eligible.unwrap().decision(&anna, Verdict::Approve, binding, None, world.clock.now());
        let decided = world.store.advance(id, CallEvent::Decided(decision), Conditions::default(), world.clock.now());
        assert!(matches!(decided.await.unwrap(), Advanced::Done(recorded) if recorded.call.state == CallState::Ready));
        change(&world);
        let digest = world.path.rules().policies.digest();
        let record = crate::domain::audit::AuditRecord::new(
            crate::domain::audit::RecordType::PolicyActivated,
            world.clock.now(),
        );
        world.store.activate_policy(digest, record).await.unwrap();
        world.path.run_ready(id).await.unwrap();
        let call = world.store.find(id).await.unwrap().unwrap();
        assert_eq!((call.state.word(), world.runs()), ("stale", 0), "{what}");
        assert!(world.verify().await.verified, "{what}");
    }
}

#[tokio::test]
async fn a_dry_run_runs_nothing_and_uses_nothing() {
    let world = world().await;
    let mut asked = World::asked(RAISE, status(), Some("k1"));
    asked.dry_run = true;
    let Ok(Reply::DryRun { call }) = world.submit(asked).await.result else { panic!("no dry run") };
    assert_eq!(call.state, CallState::AwaitingApproval);
    assert_eq!((world.runs(), world.story().await.len()), (0, 0));
    pending(world.call(RAISE, json!({"customer_id": 2, "new_status": "Paused"}), Some("k1")).await);
}

#[tokio::test]
async fn a_read_leaves_one_record_and_with_a_key_a_result_to_replay() {
    let world = world().await;
    let search = json!({"query": "acme"});
    done(world.call("search_customer", search.clone(), None).await);
    assert_eq!(world.story().await, ["call.completed"]);
    let first = done(world.call("search_customer", search.clone(), Some("k")).await);
    assert_eq!(done(world.call("search_customer", search, Some("k")).await), (first.0, true));
    assert_eq!(code(world.call("search_customer", json!({"query": "b"}), Some("k")).await), Code::IdempotencyKeyReused);
    assert_eq!(world.story().await, ["call.completed", "call.completed", "call.denied"]);
    assert!(world.verify().await.verified);
}

#[tokio::test]
async fn what_nobody_could_approve_is_refused_at_once() {
    let world = world().await;
    world.people.remove("user:anna");
    world.people.remove("user:bo");
    assert_eq!(code(world.call(RAISE, status(), None).await), Code::ApprovalUnsatisfiable);
}

#[tokio::test]
async fn what_a_run_has_left_is_adopted_and_what_never_started_starts() {
    let output = Canonical::trusted(r#"{"adopted":true}"#);
    let succeeded = || Outcome::Succeeded { output: output.clone() };
    for (left, runs, expected) in [
        (Left::Ended(succeeded()), 0, output.as_str()),
        (Left::Running(succeeded()), 0, output.as_str()),
        (Left::NotStarted, 1, r#"{"run":1,"tool":"create_ticket"}"#),
    ] {
        let world = world().await;
        let opened = world.abandon(&World::asked("create_ticket", ticket(), Some("k1"))).await;
        *world.tools.left.lock().unwrap() = Some(left);
        let again = World::again(world.store.clone(), world.people, world.tools, world.clock).await.unwrap();
        let found = again.path.recover().await.unwrap();
        assert_eq!((found.restarted, found.adopted, found.in_doubt), (runs, 1 - runs, 0));
        again.path.show(who("agent:x"), opened, Duration::from_secs(30)).await.result.unwrap();
        let replayed = done(again.call("create_ticket", ticket(), Some("k1")).await);
        assert_eq!((replayed.0.as_str(), again.runs()), (expected, runs));
        assert!(again.verify().await.verified);
    }
}

#[tokio::test]
async fn a_run_that_does_not_know_leaves_doubt_until_its_end_is_found() {
    let world = world().await;
    world.tools.doubts.store(true, std::sync::atomic::Ordering::SeqCst);
    let opened = pending(world.call("create_ticket", ticket(), Some("k1")).await);
    assert_eq!(world.store.find(opened).await.unwrap().unwrap().state, CallState::InDoubt);
    assert_eq!(world.story().await, ["call.dispatched", "call.in_doubt"]);
    let output = Canonical::trusted("{}");
    *world.tools.left.lock().unwrap() = Some(Left::Ended(Outcome::Succeeded { output }));
    let again = World::again(world.store.clone(), world.people, world.tools, world.clock).await.unwrap();
    assert_eq!(again.path.recover().await.unwrap().in_doubt, 0);
    assert_eq!(done(again.call("create_ticket", ticket(), Some("k1")).await), ("{}".to_owned(), true));
    assert_eq!(again.runs(), 1);
    assert!(again.verify().await.verified);
}

#[tokio::test]
async fn a_restart_leaves_lost_calls_in_doubt_and_never_runs_them_again() {
    let world = world().await;
    // A dispatch whose runner never came back: the daemon was killed in between.
    let mut asked = World::asked("create_ticket", ticket(), Some("k1"));
    asked.wait = Duration::ZERO;
    let opened = world.abandon(&asked).await;
    let again = World::again(world.store.clone(), world.people, world.tools, world.clock).await.unwrap();
    let found = again.path.recover().await.unwrap();
    assert_eq!((found.restarted, found.in_doubt), (0, 1));
    assert_eq!(pending(again.call("create_ticket", ticket(), Some("k1")).await), opened);
    assert_eq!(again.runs(), 0);
    assert_eq!(again.store.counts().await.unwrap().in_doubt, 1);

    // A stranger may not say what happened; somebody responsible may, and the caller learns it.
    let resolve = |name, how| again.path.resolve(who(name), opened, how, Some("looked".into()));
    assert_eq!(code(resolve("agent:x", Resolution::Failed).await.result), Code::NotAllowed);
    again.people.add("user:root", crate::domain::principal::PrincipalKind::User, &["administrators"]);
    let rerun = resolve("user:root", Resolution::Rerun).await.result.unwrap();
    again.path.show(who("agent:x"), rerun.call().id, Duration::from_secs(30)).await.result.unwrap();
    assert_eq!(done(again.call("create_ticket", ticket(), Some("k1")).await).0, r#"{"run":1,"tool":"create_ticket"}"#);
    assert_eq!(again.runs(), 1);
    assert!(again.verify().await.verified);
}

impl World {
    /// Opens and dispatches a call as [`super::Pipeline::submit`] does, and then loses it.
    async fn abandon(&self, asked: &super::Submission) -> CallId {
        let now = self.clock.now();
        let principal = self.people.identify(&asked.presented, now).unwrap();
        let rules = self.path.rules();
        let tool = rules.find(&asked.tool, &principal).unwrap();
        let arguments = rules.schemas.check(&tool, &asked.arguments).unwrap();
        let case = super::Case { principal: &principal, tool: &tool, arguments: &arguments, asked, now };
        let permit = rules.policies.decide(&case.request()).unwrap();
        let seed = self.path.seed(asked, None, now);
        let (start, _) = self.path.start(&case, &permit);
        let (deadlines, fatigue) = (self.path.rules().settings.deadlines, self.path.rules().settings.fatigue);
        let terms = super::Terms { start, deadlines, fatigue };
        let opening = super::Opening::new(seed, &principal, &tool, &arguments, &permit, terms, now).unwrap();
        match self.store.open(opening).await.unwrap() {
            Opened::Started(recorded) => recorded.call.id,
            other => panic!("not started: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_key_revoked_while_it_is_rotated_stays_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let store = crate::store::redb::RedbStore::open(&folder.path().join("s")).unwrap();
    let world = World::over(Arc::new(store)).await.unwrap();
    world.people.add("user:root", PrincipalKind::User, &["administrators"]);
    let wanted = NewKey {
        name: "triage".to_owned(),
        kind: PrincipalKind::Agent,
        groups: None,
        scope: Scope::default(),
        expires_in: None,
        may_self_approve: false,
        from_current: false,
    };
    let (_, key) = world.path.create_key(who("user:root"), wanted).await.result.unwrap();

    let (rotated, revoked) = tokio::join!(
        world.path.rotate_key(who("user:root"), key.id.clone(), Duration::from_secs(60)),
        world.path.revoke_key(who("user:root"), key.id.clone()),
    );

    assert!(rotated.result.is_ok() && revoked.result.is_ok());
    let stored = world.store.all().await.unwrap();
    for keys in [stored, world.people.keys()] {
        let old = keys.iter().find(|known| known.id == key.id).unwrap();
        assert!(old.revoked_at.is_some(), "the rotation must not bring back what it read before");
    }
}

#[tokio::test]
async fn tools_that_do_not_exist_cannot_be_asked_for_without_limit() {
    let world = world().await;
    let burst = world.path.rules().quotas.settings().burst as usize;
    for _ in 0..burst {
        assert_eq!(code(world.call("nothing", json!({}), None).await), Code::ToolNotFound);
    }
    assert_eq!(code(world.call("nothing", json!({}), None).await), Code::RateLimited);
    assert_eq!(world.story().await.len(), burst, "the log does not grow with it");
}

#[tokio::test]
async fn what_waits_is_listed_however_much_of_others_stands_before_it() {
    let world = world().await;
    world.people.add("agent:y", PrincipalKind::Agent, &["agents"]);
    for status in ["a1", "a2", "a3", "a4", "a5"] {
        pending(world.call(RAISE, json!({"customer_id": 1, "new_status": status}), None).await);
    }
    let asked = super::Submission { presented: who("agent:y"), ..World::asked(RAISE, status(), None) };
    let mine = pending(world.submit(asked).await.result);

    let listed = world.path.pending(who("agent:y"), 0, 2).await.result.unwrap();

    assert_eq!(listed.iter().map(|dossier| dossier.call.id).collect::<Vec<_>>(), [mine]);
    assert_eq!(world.path.pending(who("user:anna"), 1, 3).await.result.unwrap().len(), 3);
}

#[tokio::test]
async fn an_answer_is_replayed_even_when_nobody_could_approve_it_any_more() {
    let world = world().await;
    let id = pending(world.call(RAISE, status(), Some("k")).await);
    let (first, _) = done(world.says("user:anna", Verdict::Approve, id).await);
    world.people.remove("user:anna");
    world.people.remove("user:bo");

    assert_eq!(done(world.call(RAISE, status(), Some("k")).await), (first, true));
    assert_eq!(code(world.call(RAISE, status(), Some("new")).await), Code::ApprovalUnsatisfiable);
    assert_eq!(world.runs(), 1);
}

#[tokio::test]
async fn the_reason_of_a_decision_has_a_limit_too() {
    let world = world().await;
    let id = pending(world.call(RAISE, status(), None).await);
    let ballot = Ballot { reason: Some("x".repeat(3_000)), ..World::ballot("user:anna", Verdict::Reject, id) };
    assert_eq!(code(world.path.decide(ballot).await.result), Code::RequestMalformed);
}

#[tokio::test]
async fn who_may_only_look_cannot_take_a_call_back() {
    let world = world().await;
    world.people.add("agent:audit", PrincipalKind::Agent, &["auditors"]);
    let id = pending(world.call(RAISE, status(), None).await);
    assert!(world.path.show(who("agent:audit"), id, Duration::ZERO).await.result.is_ok());
    assert_eq!(code(world.path.cancel(who("agent:audit"), id).await.result), Code::NotAllowed);
    assert_eq!(done(world.path.cancel(who("agent:x"), id).await.result).0, "cancelled");
}

#[tokio::test]
async fn a_caller_can_ask_for_people_and_only_for_more_of_them() {
    let world = world().await;
    let asking =
        |tool: &str, arguments, key| super::Submission { ask_people: true, ..World::asked(tool, arguments, key) };
    let id = pending(world.submit(asking("create_ticket", ticket(), Some("k1"))).await.result);
    assert_eq!(world.runs(), 0, "policy alone would have let it run");
    let call = world.store.find(id).await.unwrap().unwrap();
    let needs: Vec<_> = call.approval.iter().flat_map(|approval| &approval.requirements).collect();
    assert_eq!(needs.iter().map(|need| need.rule.as_str()).collect::<Vec<_>>(), ["caller-asks"]);
    done(world.says("user:anna", Verdict::Approve, id).await);
    assert!(done(world.submit(asking("create_ticket", ticket(), Some("k1"))).await.result).1);
    assert_eq!(world.runs(), 1);
    // What policy asks for stays, and a request for which fewer people are asked is another one.
    let plain = pending(world.call(RAISE, status(), Some("k2")).await);
    let more = pending(world.submit(asking(RAISE, status(), Some("k3"))).await.result);
    assert_ne!(plain, more);
    let call = world.store.find(more).await.unwrap().unwrap();
    let rules: Vec<_> =
        call.approval.iter().flat_map(|approval| &approval.requirements).map(|need| &need.rule).collect();
    assert_eq!(rules, ["caller-asks", "people-approve-what-can-harm"]);
    assert!(world.verify().await.verified);
}
