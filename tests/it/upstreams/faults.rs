//! Everything a server can do wrong with a call, and what then is known of the world.

use serde_json::{Value, json};

use super::fake::{self, count, tool};
use super::{call, until_up};
use crate::support::{Daemon, until};

/// The same tool declared in each class of effects.
const CLASSES: [&str; 3] = ["once", "idempotent", "readonly"];

fn declared(name: &str, effect: &str, more: &str) -> String {
    format!("timeout = \"10s\"\n[upstream.tools.{name}]\neffect = \"{effect}\"\n{more}\n")
}

/// The state and effect of one call of `name` in each class, in the order of [`CLASSES`].
fn outcomes(name: &str, more: &str) -> Vec<(String, String, String)> {
    let outcome = |effect: &&str| {
        let (daemon, _) = fake::daemon("legacy", &declared(name, effect, more), &[tool(name, "Goes wrong.")]);
        let answer = call(&daemon, &format!("fake.{name}"), &json!({}));
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (word(&answer["state"]), word(&answer["effect"]), word(&answer["error"]["code"]))
    };
    CLASSES.iter().map(outcome).collect()
}

fn expect(all: &[(String, String, String)], expected: [(&str, &str, &str); 3]) {
    let all: Vec<_> = all.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    assert_eq!(all, expected);
}

#[test]
fn a_crash_in_the_middle_is_in_doubt_unless_again_is_harmless() {
    expect(
        &outcomes("crash", ""),
        [
            ("in_doubt", "unknown", "outcome-unknown"),
            ("failed", "unknown", "tool-failed"),
            ("failed", "none", "tool-failed"),
        ],
    );
}

#[test]
fn an_ambiguous_call_is_never_sent_again_and_a_person_says_what_happened() {
    let (mut daemon, folder) =
        fake::daemon("legacy", &declared("crash_once", "once", ""), &[tool("crash_once", "Crashes once.")]);
    let lost = daemon.cli(&["-o", "json", "call", "fake.crash_once"]).exits(10);
    assert!(lost.stderr.contains("outcome-unknown"), "{}", lost.stderr);
    assert_eq!(count(&folder, "calls"), 1);
    until(|| (count(&folder, "starts") >= 2).then_some(()));
    until_up(&daemon);
    daemon.kill();
    daemon.restart();
    until_up(&daemon);
    assert_eq!(count(&folder, "calls"), 1, "neither a restart of the server nor one of the daemon sends it again");
    let id = daemon.http("GET", "/v1/calls").send().json()["calls"][0]["id"].as_str().expect("an id").to_owned();
    daemon.cli(&["calls", "resolve", &id, "--as", "succeeded"]).exits(0);
    // A new request is a new call, and the server is well.
    assert_eq!(call(&daemon, "fake.crash_once", &json!({}))["state"], "succeeded");
    daemon.cli(&["audit", "verify"]).exits(0);
}

#[test]
fn what_may_be_repeated_is_asked_again_and_succeeds() {
    for effect in ["idempotent", "readonly"] {
        let (daemon, folder) =
            fake::daemon("legacy", &declared("crash_once", effect, ""), &[tool("crash_once", "Crashes once.")]);
        let answer = call(&daemon, "fake.crash_once", &json!({}));
        assert_eq!(answer["state"], "succeeded", "{effect}: {answer}");
        assert_eq!(count(&folder, "calls"), 2);
    }
}

#[test]
fn a_keyed_call_is_repeated_with_the_same_key() {
    let more = "dedupe_window = \"1h\"";
    let (daemon, folder) =
        fake::daemon("legacy", &declared("crash_once", "keyed", more), &[tool("crash_once", "Crashes once.")]);
    assert_eq!(call(&daemon, "fake.crash_once", &json!({}))["state"], "succeeded");
    let calls = std::fs::read_to_string(folder.join("calls")).expect("calls");
    let keys: Vec<Value> = calls
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).expect("JSON")["params"]["_meta"]["dev.toolctl/idempotency-key"].clone()
        })
        .collect();
    assert!(keys.len() == 2 && keys[0].is_string() && keys[0] == keys[1], "{keys:?}");
}

#[test]
fn a_server_that_never_answers_is_given_up_in_time_and_told_so() {
    let hang = |effect: &str| {
        let more = format!("[upstream.tools.hang]\neffect = \"{effect}\"\ntimeout = \"1s\"\n");
        let (daemon, folder) = fake::daemon("legacy", &more, &[tool("hang", "Hangs."), tool("ok", "Works.")]);
        let answer = call(&daemon, "fake.hang", &json!({}));
        assert_eq!(call(&daemon, "fake.ok", &json!({}))["state"], "succeeded", "the conversation goes on");
        until(|| {
            let told = std::fs::read_to_string(folder.join("notifications")).unwrap_or_default();
            told.contains("notifications/cancelled").then_some(())
        });
        (answer["state"].clone(), answer["effect"].clone(), answer["error"]["code"].clone())
    };
    assert_eq!(hang("once"), (json!("in_doubt"), json!("unknown"), json!("outcome-unknown")));
    assert_eq!(hang("readonly"), (json!("failed"), json!("none"), json!("tool-timeout")));
}

#[test]
fn a_hundred_megabytes_are_read_past_and_the_next_call_is_answered() {
    let more = declared("flood", "readonly", "");
    let (daemon, _) = fake::daemon("legacy", &more, &[tool("flood", "Floods."), tool("ok", "Works.")]);
    let before = memory(&daemon);
    let answer = call(&daemon, "fake.flood", &json!({}));
    assert_eq!((&answer["state"], &answer["error"]["code"]), (&json!("failed"), &json!("output-invalid")), "{answer}");
    assert!(answer["error"]["detail"].as_str().expect("text").contains("more than"), "{answer}");
    assert!(memory(&daemon) < before + (32 << 10), "{} KiB before, {} after", before, memory(&daemon));
    assert_eq!(call(&daemon, "fake.ok", &json!({}))["state"], "succeeded");
    let once = declared("flood", "once", "");
    let (daemon, _) = fake::daemon("legacy", &once, &[tool("flood", "Floods.")]);
    assert_eq!(call(&daemon, "fake.flood", &json!({}))["state"], "in_doubt");
}

/// The most memory that the daemon ever had, in KiB.
fn memory(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

#[test]
fn what_is_no_message_is_read_past() {
    let tools = [tool("garbage", "Writes anything."), tool("twice", "Answers twice."), tool("ok", "Works.")];
    let (daemon, _) = fake::daemon("legacy", "", &tools);
    let text = |answer: &Value| answer["output"]["content"][0]["text"].clone();
    assert_eq!(text(&call(&daemon, "fake.garbage", &json!({}))), "at last");
    assert_eq!(text(&call(&daemon, "fake.twice", &json!({}))), "first");
    assert_eq!(text(&call(&daemon, "fake.ok", &json!({}))), "ok done", "the second answer is nobody's");
}

#[test]
fn an_answer_with_two_meanings_is_none() {
    expect(
        &outcomes("not_strict", ""),
        [
            ("in_doubt", "unknown", "outcome-unknown"),
            ("failed", "unknown", "output-invalid"),
            ("failed", "none", "output-invalid"),
        ],
    );
}

#[test]
fn a_server_that_asks_its_caller_is_answered_honestly() {
    let (daemon, _) = fake::daemon("legacy", "", &[tool("elicit", "Asks.")]);
    let answer = call(&daemon, "fake.elicit", &json!({}));
    let said = answer["output"]["content"][0]["text"].as_str().expect("text").to_owned();
    assert!(said.contains("`elicitation/create` is not offered"), "{said}");
    expect(
        &outcomes("asks", ""),
        [("failed", "unknown", "tool-failed"), ("failed", "unknown", "tool-failed"), ("failed", "none", "tool-failed")],
    );
}

#[test]
fn a_failure_is_passed_on_with_its_words() {
    let (daemon, _) = fake::daemon("legacy", "", &[tool("fails", "Fails.")]);
    let failed = daemon.cli(&["call", "fake.fails"]).exits(3);
    assert!(failed.stderr.contains("`fake.fails` failed: the disk is full"), "{}", failed.stderr);
}

#[test]
fn structured_output_is_the_output_and_keeps_its_word() {
    let schema = json!({"type": "object", "properties": {"arguments": {"type": "object"}}, "required": ["arguments"]});
    let with = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}, "outputSchema": schema});
    let (daemon, _) = fake::daemon("modern", "", &[with("structured"), with("breaks_word")]);
    let arguments = json!({"z": [1, 2.5, null], "a": "é\u{1b}"});
    assert_eq!(call(&daemon, "fake.structured", &arguments)["output"], json!({"arguments": arguments}));
    let broken = call(&daemon, "fake.breaks_word", &json!({}));
    assert_eq!((&broken["error"]["code"], &broken["effect"]), (&json!("output-invalid"), &json!("done")), "{broken}");
}
