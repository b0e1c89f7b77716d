//! Lists: per revision, per caller, in pages, and who hears of changes.

use std::collections::HashMap;

use super::*;
use crate::domain::principal::PrincipalKind;
use crate::domain::tool::Catalog;
use crate::guard::policy::{PolicySet, PolicySource};
use crate::pipeline::tests::world::rulebook;
use crate::server::mcp::service::Change;

#[tokio::test]
async fn a_tool_is_described_in_the_words_of_each_revision() {
    let house = house().await;
    house.world.people.change("agent:x", |who| who.scope.tools = vec![RAISE.to_owned()]);
    let tool = house.list("agent:x", MODERN).await.pop().unwrap();
    let described = super::tool(RAISE);
    let mut input = described.input_schema.clone();
    input["properties"]["idempotency_key"] = tool["inputSchema"]["properties"]["idempotency_key"].clone();
    let whole = json!({
        "name": RAISE,
        "title": "Change a customer's status",
        "description": described.description,
        "inputSchema": input,
        "outputSchema": described.output_schema,
        "annotations": {
            "title": "Change a customer's status",
            "readOnlyHint": false,
            "destructiveHint": false,
            "idempotentHint": false,
            "openWorldHint": false,
        },
        "_meta": { "dev.toolctl/tool": {
            "effect": "once",
            "risk": "high",
            "standing": "needs_approval",
            "approvers": ["approvers"],
            "digest": described.digest().to_string(),
        } },
    });
    assert_eq!(tool, whole);
    let key = &tool["inputSchema"]["properties"]["idempotency_key"];
    assert_eq!((&key["type"], &key["maxLength"]), (&json!("string"), &json!(255)));

    let mut with_tasks = whole.clone();
    with_tasks["execution"] = json!({ "taskSupport": "optional" });
    for (version, expected) in [
        (Version::V2025_11_25, with_tasks),
        (Version::V2025_06_18, whole.clone()),
        (Version::V2025_03_26, without(whole.clone(), &["title", "outputSchema", "_meta"])),
        (Version::V2024_11_05, without(whole, &["title", "outputSchema", "_meta", "annotations"])),
    ] {
        assert_eq!(house.list("agent:x", version).await.pop().unwrap(), expected, "{version}");
    }
}

#[tokio::test]
async fn everybody_sees_what_it_may_call() {
    let house = house().await;
    house.world.people.add("agent:reader", PrincipalKind::Agent, &[]);
    assert_eq!(house.names("agent:reader").await, ["get_incident_impact", "search_customer"]);
    let agents = ["create_ticket", "get_incident_impact", "search_customer", "send_message", "toolctl_wait", RAISE];
    assert_eq!(house.names("agent:x").await, agents);
    let approvers = ["get_incident_impact", "search_customer", "toolctl_approvals_decide", "toolctl_approvals_list"];
    assert_eq!(house.names("user:anna").await, approvers);
    house.world.people.change("agent:x", |who| who.scope.tools = vec!["create_*".to_owned()]);
    assert_eq!(house.names("agent:x").await, ["create_ticket"], "not what was remembered of it");
    let unknown = house.ask("nobody", MODERN, "tools/list", "{}", Extra::default()).await;
    assert_eq!(unknown["error"]["code"], 401);
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let house = house().await;
    let mut rules = rulebook(PolicySource::shipped());
    let send = rules.catalog.get("search_customer").unwrap().tool.clone();
    let many = (0..1_000).map(|number| {
        let name = format!("tool_{number:04}").parse().unwrap();
        Tool { name, ..send.clone() }
    });
    rules.catalog = Catalog::new(many).unwrap();
    rules.policies = PolicySet::load(&[PolicySource::shipped()], &rules.catalog).unwrap();
    house.world.path.replace_rules(rules);
    let mut cursor = String::new();
    let mut sizes = Vec::new();
    let mut first = Vec::new();
    loop {
        let params = json!({ "cursor": cursor }).to_string();
        let answer = house.ask("agent:x", MODERN, "tools/list", &params, Extra::default()).await;
        let result = &answer["result"];
        assert_eq!((&result["ttlMs"], &result["cacheScope"]), (&json!(60_000), &json!("private")));
        let tools = result["tools"].as_array().unwrap();
        sizes.push(tools.len());
        first.push(tools[0]["name"].clone());
        match result["nextCursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((sizes, first), (vec![500, 500], vec![json!("tool_0000"), json!("tool_0500")]));
    for params in [r#"{"cursor":"tool_0500"}"#, r#"{"cursor":7}"#] {
        let refused = house.ask("agent:x", MODERN, "tools/list", params, Extra::default()).await;
        assert_eq!(refused["error"]["code"], -32_602, "{params}");
    }
}

#[tokio::test]
async fn a_follower_hears_only_of_what_it_sees() {
    let house = house().await;
    let mut follower = house.governed.follow(&who("agent:x"));
    let policy = |text: &str| rulebook(PolicySource { name: "p".to_owned(), text: text.to_owned() });
    let shipped = PolicySource::shipped().text;
    house.world.path.replace_rules(policy(&format!("{shipped}\n// the same in other words")));
    house
        .world
        .path
        .replace_rules(policy(r#"@id("read") permit (principal, action in Toolctl::Action::"readonly", resource);"#));
    assert_eq!(follower.next().await, Some(Change::Tools));
    assert_eq!(house.names("agent:x").await, ["get_incident_impact", "search_customer"]);
    house.world.people.remove("agent:x");
    house.world.path.replace_rules(policy(&shipped));
    assert_eq!(follower.next().await, None, "nobody knows it any more");
}

#[test]
fn a_key_is_offered_where_it_disturbs_nothing() {
    let tool = |schema: Value| Tool { input_schema: schema, ..super::tool("send_message") };
    let closed = |mut schema: Value| {
        schema["additionalProperties"] = json!(false);
        schema
    };
    let cases: HashMap<&str, (Value, bool)> = HashMap::from([
        ("open", (json!({"type": "object"}), false)),
        ("open by its word", (json!({"type": "object", "additionalProperties": true}), false)),
        ("closed", (json!({"type": "object", "additionalProperties": false}), true)),
        ("closed as a whole", (json!({"allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": false}), true)),
        ("opened by a part", (json!({"allOf": [{"additionalProperties": {}}], "unevaluatedProperties": false}), false)),
        ("own", (closed(json!({"properties": {"idempotency_key": {"type": "integer"}}})), false)),
        ("required by a part", (closed(json!({"allOf": [{"required": ["idempotency_key"]}]})), false)),
        ("counted", (closed(json!({"maxProperties": 2})), false)),
        ("named by a rule", (closed(json!({"propertyNames": {"pattern": "^x"}})), false)),
        ("open to a pattern", (closed(json!({"patternProperties": {"_key$": {}}})), false)),
    ]);
    for (case, (schema, offered)) in cases {
        assert_eq!(carrier::is_offered(&tool(schema)), offered, "{case}");
    }
}
