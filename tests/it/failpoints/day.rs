//! The days of the matrix: one small story for each class of effects and each way a call can go, with the
//! writes it reaches. Every step can be repeated: done again it changes nothing.

/// One small story.
pub struct Day {
    /// What it is about.
    pub name: &'static str,
    /// What the folder holds before it.
    pub before: Before,
    /// The policies in force; none means the shipped ones.
    pub policy: Option<&'static str>,
    /// The settings while the fault waits; afterwards the usual ones count.
    pub settings: Option<&'static str>,
    /// What happens.
    pub steps: &'static [Step],
    /// What must have become of each key: the key, where it may stand, and what it does to the world.
    pub ends: &'static [(&'static str, &'static [&'static str], Option<&'static str>)],
    /// The writes it reaches beyond those of every start, by point and number.
    pub reaches: &'static [(&'static str, u32)],
}

/// What a folder holds before the day.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Nothing at all.
    Nothing,
    /// Keys of an agent and of a person who approves.
    People,
    /// Also a ticket that was made some time ago.
    Ticket,
    /// Also a call that was approved and not started when its daemon died.
    Ready,
    /// Also calls that were dispatched and never ended: tool and keys.
    Running(&'static str, &'static [&'static str]),
    /// People; the day happens in a process that is no daemon, and opens a call that runs outside the store.
    Outside,
}

/// One thing that a caller does.
#[derive(Clone, Copy)]
pub enum Step {
    /// The agent searches without a key.
    Search,
    /// The agent calls a tool that is not there.
    Stray,
    /// Somebody calls a tool with this key.
    Ask(Who, &'static str, &'static str, &'static str),
    /// Somebody approves (or not) the call of this key.
    Decide(Who, &'static str, bool),
    /// The agent takes the call of this key back.
    Cancel(&'static str),
    /// Waits until the call of this key ends or is in doubt.
    End(&'static str),
    /// The operator says what became of the call of this key.
    Resolve(&'static str, &'static str),
    /// The operator makes a key.
    MakeKey,
    /// The operator rotates it.
    RotateKey,
    /// The operator revokes it.
    RevokeKey,
    /// The operator changes the policies and loads them.
    Reload,
    /// The agent begins a run of a workflow.
    BeginRun,
    /// The agent says how it ended.
    EndRun,
    /// The daemon stops.
    Stop,
}

/// Who does it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The agent.
    Agent,
    /// The person who approves.
    Anna,
    /// The daemon's own user, who may approve for himself.
    Own,
}

/// Reads need people too.
const READS_WAIT: &str = r#"
@id("all")
permit (principal, action, resource);

@id("people")
@approval_group("approvers")
forbid (principal, action == Toolctl::Action::"search_customer", resource) unless { context.session.attended };
"#;

/// Nobody decides in time.
const SHORT: &str = r#"
@id("all")
permit (principal, action, resource);

@id("people")
@approval_group("approvers")
@approval_ttl("40ms")
forbid (principal, action in [Toolctl::Action::"high_risk"], resource) unless { context.session.attended };
"#;

/// What was approved is not allowed any more.
const READS_ONLY: &str = r#"
@id("reads")
permit (principal, action in Toolctl::Action::"readonly", resource);
"#;

const TICKET: &str = r#"{"customer_id": 1, "title": "Login broken"}"#;
const STATUS: &str = r#"{"customer_id": 2, "new_status": "Paused"}"#;
const CONFIRMED: &str = r#"{"customer_id": 2, "new_status": "Paused", "confirm": true}"#;
const DONE: &[&str] = &["succeeded"];
const PAUSED: Option<&str> = Some("customer 2 is Paused");
const MADE: Option<&str> = Some("ticket Login broken");

const PLAIN: Day =
    Day { name: "", before: Before::People, policy: None, settings: None, steps: &[], ends: &[], reaches: &[] };

/// The arguments that a tool is called with before the day.
pub fn arguments(tool: &str) -> &'static str {
    match tool {
        "create_ticket" => TICKET,
        "update_customer_status" => STATUS,
        _ => r#"{"query": "acme"}"#,
    }
}

/// Every day.
pub fn days() -> Vec<Day> {
    use Step::{
        Ask, BeginRun, Cancel, Decide, End, EndRun, MakeKey, Reload, Resolve, RevokeKey, RotateKey, Search, Stop, Stray,
    };
    use Who::{Agent, Anna, Own};
    vec![
        Day { name: "the first start", before: Before::Nothing, reaches: &[("import", 1)], ..PLAIN },
        Day {
            name: "reads",
            steps: &[Search, Ask(Agent, "k1", "search_customer", r#"{"query": "acme"}"#), Stray],
            ends: &[("k1", DONE, None)],
            reaches: &[("record", 1), ("open_settled", 1), ("record", 2)],
            ..PLAIN
        },
        Day {
            name: "once",
            steps: &[
                Ask(Agent, "k1", "create_ticket", TICKET),
                Ask(Agent, "k2", "send_message", r#"{"channel": "ops", "message": "Hello"}"#),
            ],
            ends: &[("k1", DONE, MADE), ("k2", DONE, Some("message Hello"))],
            reaches: &[("open_settled", 1), ("open_settled", 2)],
            ..PLAIN
        },
        Day {
            name: "once with a second person",
            steps: &[
                Ask(Agent, "k1", "update_customer_status", STATUS),
                Decide(Anna, "k1", true),
                Ask(Agent, "k2", "update_customer_status", r#"{"customer_id": 3, "new_status": "Gone"}"#),
                Decide(Anna, "k2", false),
            ],
            ends: &[("k1", DONE, PAUSED), ("k2", &["rejected"], None)],
            reaches: &[
                ("open_waiting", 1),
                ("decided", 1),
                ("settled_after_approval", 1),
                ("open_waiting", 2),
                ("decided", 2),
            ],
            ..PLAIN
        },
        Day {
            name: "once with the own approval",
            steps: &[
                Ask(Own, "k1", "update_customer_status", CONFIRMED),
                Ask(Own, "k2", "update_customer_status", r#"{"customer_id": 3, "new_status": "Gone"}"#),
                Decide(Own, "k2", true),
            ],
            ends: &[("k1", DONE, PAUSED), ("k2", DONE, Some("customer 3 is Gone"))],
            reaches: &[("open_confirmed", 1), ("open_waiting", 1), ("decided", 1), ("settled_after_approval", 1)],
            ..PLAIN
        },
        Day {
            name: "a read outside the store, with a second person",
            policy: Some(READS_WAIT),
            steps: &[Ask(Agent, "k1", "search_customer", r#"{"query": "acme"}"#), Decide(Anna, "k1", true)],
            ends: &[("k1", DONE, None)],
            reaches: &[("open_waiting", 1), ("decided", 1), ("dispatched", 1), ("finished", 1)],
            ..PLAIN
        },
        Day {
            name: "taken back",
            steps: &[Ask(Agent, "k1", "update_customer_status", STATUS), Cancel("k1")],
            ends: &[("k1", &["cancelled"], None)],
            reaches: &[("open_waiting", 1), ("closed", 1)],
            ..PLAIN
        },
        Day {
            name: "expired",
            policy: Some(SHORT),
            steps: &[Ask(Agent, "k1", "update_customer_status", STATUS), End("k1")],
            ends: &[("k1", &["expired"], None)],
            reaches: &[("open_waiting", 1), ("closed", 1)],
            ..PLAIN
        },
        Day {
            name: "stale",
            before: Before::Ready,
            policy: Some(READS_ONLY),
            steps: &[End("k1")],
            ends: &[("k1", &["stale"], None)],
            reaches: &[("closed", 1)],
            ..PLAIN
        },
        Day {
            name: "left ready",
            before: Before::Ready,
            steps: &[End("k1"), Ask(Agent, "k1", "update_customer_status", STATUS)],
            ends: &[("k1", DONE, PAUSED)],
            reaches: &[("settled_after_approval", 1)],
            ..PLAIN
        },
        Day {
            name: "left running, a read",
            before: Before::Running("search_customer", &["k1"]),
            steps: &[End("k1"), Ask(Agent, "k1", "search_customer", r#"{"query": "acme"}"#)],
            ends: &[("k1", DONE, None)],
            reaches: &[("lost", 1), ("dispatched", 1), ("finished", 1)],
            ..PLAIN
        },
        Day {
            name: "left running, once",
            before: Before::Running("create_ticket", &["k1", "k2"]),
            steps: &[End("k1"), Ask(Agent, "k1", "create_ticket", TICKET), End("k2")],
            ends: &[("k1", &["in_doubt"], None), ("k2", &["in_doubt"], None)],
            reaches: &[("lost", 1), ("lost", 2)],
            ..PLAIN
        },
        Day {
            name: "resolved",
            before: Before::Running("create_ticket", &["k1", "k2", "k3"]),
            steps: &[
                Resolve("k1", "succeeded"),
                Resolve("k2", "failed"),
                Resolve("k3", "rerun"),
                End("k3"),
                Ask(Agent, "k3", "create_ticket", TICKET),
            ],
            ends: &[("k1", DONE, None), ("k2", &["failed"], None), ("k3", DONE, MADE)],
            reaches: &[("resolved", 1), ("resolved", 2), ("resolved", 3), ("settled_after_approval", 1)],
            ..PLAIN
        },
        Day {
            name: "opened and dispatched outside the store",
            before: Before::Outside,
            steps: &[Ask(Agent, "k1", "create_ticket", TICKET), End("k1")],
            ends: &[("k1", &["succeeded", "in_doubt"], MADE)],
            reaches: &[("open_started", 1)],
            ..PLAIN
        },
        Day {
            name: "keys",
            steps: &[MakeKey, RotateKey, RevokeKey],
            reaches: &[("keys_put", 1), ("keys_put", 2), ("keys_put", 3)],
            ..PLAIN
        },
        Day { name: "a run", steps: &[BeginRun, EndRun], reaches: &[("run", 1), ("run", 2)], ..PLAIN },
        Day { name: "other policies", steps: &[Reload], reaches: &[("activate_policy", 2)], ..PLAIN },
        Day {
            name: "old results",
            before: Before::Ticket,
            settings: Some("[retention]\nresults = \"1ms\"\n"),
            steps: &[],
            ends: &[("k1", &["succeeded", "gone"], MADE)],
            reaches: &[("prune", 1)],
            ..PLAIN
        },
        Day { name: "a clean stop", steps: &[Stop], reaches: &[("record", 1)], ..PLAIN },
    ]
}
