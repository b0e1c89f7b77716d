//! How steps are taken: order, conditions, lists, failures, and what is printed.

use serde_json::json;

use super::{file, happened, run, step, ticket};
use crate::support::Daemon;

/// A call that fails for certain: there is no such customer.
const FAILS: &str =
    "[[step]]\nid = \"bad\"\ntool = \"create_ticket\"\nwith = { customer_id = 999, title = \"No such customer\" }\n";

#[test]
fn a_failed_step_stops_what_needs_it_and_nothing_else() {
    let daemon = Daemon::start();
    let text = format!(
        "name = \"w\"\n{FAILS}{}{}[[finally]]\nid = \"end\"\ntool = \"send_message\"\n\
         with = {{ channel = \"c\", message = \"{{{{ failure.step }}}} {{{{ steps.after.state }}}}\" }}\n",
        ticket("after", "After it", "needs = \"bad\""),
        ticket("beside", "Beside it", ""),
    );
    let path = file(&daemon, "w.toml", &text);
    for _ in 0..2 {
        let ending = run(&daemon, &path, &[], &["--run", "r"]).exits(3);
        let report = ending.json();
        let states: Vec<_> =
            report["steps"].as_array().expect("steps").iter().map(|step| step["state"].clone()).collect();
        assert_eq!(states, ["failed", "stopped", "succeeded", "succeeded"]);
        assert!(ending.error()["message"].as_str().expect("a text").starts_with("step `bad` failed: "));
    }
    assert_eq!(happened(&daemon, "send_message"), 1);
    let sent = daemon.cli(&["runs", "show", "r", "-o", "json"]).json();
    let calls = sent["calls"].as_array().expect("calls");
    let said = calls.iter().find(|call| call["tool"] == "send_message").expect("a message");
    assert_eq!(said["arguments"]["message"], "bad stopped");
}

#[test]
fn a_condition_skips_a_step_and_what_needs_it_unless_that_decides_for_itself() {
    let daemon = Daemon::start();
    let text = format!(
        "name = \"w\"\ninputs.go = {{ type = \"boolean\" }}\n{}{}{}",
        ticket("a", "Only if", "when = \"inputs.go\""),
        ticket("b", "After a", "needs = \"a\""),
        ticket("c", "Decides itself", "when = \"steps.a.state == 'skipped'\""),
    );
    let path = file(&daemon, "w.toml", &text);
    let states = |go: &str| {
        let report = run(&daemon, &path, &[go], &[]).json();
        ["a", "b", "c"].map(|id| step(&report, id)["state"].as_str().expect("a state").to_owned())
    };
    assert_eq!(states("go=true"), ["succeeded", "succeeded", "skipped"]);
    assert_eq!(states("go=false"), ["skipped", "skipped", "succeeded"]);
    assert_eq!(happened(&daemon, "create_ticket"), 3);
}

#[test]
fn a_list_is_called_item_by_item_and_stops_at_a_failure() {
    let daemon = Daemon::start();
    let text = "name = \"w\"\n[[step]]\nid = \"all\"\ntool = \"create_ticket\"\nfor_each = [1, 2, 999, 3, 3]\nmax_parallel = 1\n\
                with = { customer_id = \"{{ item }}\", title = \"Number {{ index }}\" }\n";
    let path = file(&daemon, "w.toml", text);
    let report = run(&daemon, &path, &[], &["--run", "r"]).exits(3).json();
    let calls = step(&report, "all")["calls"].as_array().expect("calls");
    let states: Vec<_> = calls.iter().map(|call| (&call["key"], &call["state"])).collect();
    assert_eq!(
        states,
        [
            (&json!("r/all/0"), &json!("succeeded")),
            (&json!("r/all/1"), &json!("succeeded")),
            (&json!("r/all/2"), &json!("failed"))
        ]
    );
}

#[test]
fn a_failure_without_an_effect_is_tried_again_and_replayed() {
    let daemon = Daemon::start();
    let text = format!("name = \"w\"\n{FAILS}retry = {{ attempts = 3, backoff = \"1ms\" }}\n");
    let path = file(&daemon, "w.toml", &text);
    for _ in 0..2 {
        run(&daemon, &path, &[], &["--run", "r"]).exits(3);
        let shown = daemon.cli(&["runs", "show", "r", "-o", "json"]).json();
        let calls = shown["calls"].as_array().expect("calls");
        let keys: Vec<_> = calls.iter().map(|call| call["idempotency_key"].clone()).collect();
        assert_eq!(keys, ["r/bad", "r/bad~2", "r/bad~3"]);
    }
}

#[test]
fn a_denied_step_can_go_on_when_policy_has_changed() {
    let daemon = Daemon::start();
    let denies = "@id(\"reads\")\npermit (principal, action in Toolctl::Action::\"readonly\", resource);\n";
    daemon.configure("policies/main.cedar", denies);
    daemon.cli(&["reload"]).exits(0);
    let path = file(&daemon, "w.toml", &format!("name = \"w\"\n{}", ticket("a", "Denied first", "")));
    let ending = run(&daemon, &path, &[], &["--run", "r"]).exits(5);
    assert_eq!(ending.error()["code"], "policy-denied");
    daemon.configure("policies/main.cedar", "@id(\"all\")\npermit (principal, action, resource);\n");
    daemon.cli(&["reload"]).exits(0);
    run(&daemon, &path, &[], &["--run", "r"]).exits(0);
}

#[test]
fn people_see_a_line_a_step_and_programs_see_json_lines() {
    let daemon = Daemon::start();
    let text = format!(
        "name = \"w\"\n{}[outputs]\nid = \"{{{{ steps.a.output.ticket.id }}}}\"\n",
        ticket("a", "A ticket", "")
    );
    let path = file(&daemon, "w.toml", &text);
    let plain = daemon.cli(&["run", &path, "--run", "r"]).exits(0);
    assert_eq!((plain.stdout.as_str(), plain.stderr.as_str()), ("{\"id\":1}\n", "✔ a  create_ticket\n"));
    let again = daemon.cli(&["run", &path, "--run", "r"]).exits(0);
    assert_eq!((again.stdout.as_str(), again.stderr.as_str()), ("{\"id\":1}\n", "✔ a  create_ticket  done before\n"));
    assert_eq!(daemon.cli(&["run", &path, "--run", "r", "-q"]).succeeds(), "{\"id\":1}\n");
    let lines = daemon.cli(&["run", &path, "--run", "r2", "-o", "jsonl"]).succeeds();
    let events: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let named: Vec<_> = events.iter().map(|event| event["event"].as_str().expect("an event")).collect();
    assert_eq!(named, ["step_began", "call_ended", "step_over", "run_over"]);
    assert!(events.iter().all(|event| event["run"] == "r2"));
    assert_eq!(events[3]["outputs"], json!({"id": 2}));
}

#[test]
fn what_waits_is_told_once_and_a_run_says_in_a_pipe_how_it_stands() {
    let daemon = Daemon::start();
    let path =
        file(&daemon, "w.toml", &format!("name = \"w\"\n{}", ticket("a", "Asked for", "approval = \"required\"")));
    let ending = daemon.cli(&["run", &path, "--run", "r"]).exits(8);
    assert_eq!(
        ending.stderr,
        "⏸ a  create_ticket  waits for people (#1, 1 of approvers)\n\
         error[approval-pending]: run `r` stopped at `a`: `create_ticket` waits for people (#1, 1 of approvers)\n  \
         try:  toolctl approve '#1' --yes\n  try:  toolctl run --run r\n"
    );
    let shown = || daemon.cli(&["runs", "show", "r"]).succeeds();
    let listed = daemon.cli(&["runs", "list"]).succeeds();
    let lines = shown();
    let (first, calls) = lines.split_once('\n').expect("lines");
    assert_eq!(format!("{first}\n"), listed, "the run stands as in the list, before its calls");
    assert!(first.starts_with("r\tw\topen\t") && calls.starts_with("call_"), "{lines}");
    daemon.cli(&["approve", "1", "--yes"]).exits(0);
    daemon.cli(&["run", "--run", "r"]).exits(0);
    assert!(shown().starts_with("r\tw\tsucceeded\t"), "{}", shown());
    let objects = daemon.cli(&["runs", "show", "r", "-o", "jsonl"]).succeeds();
    let objects: Vec<serde_json::Value> =
        objects.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&objects[0]["run"], &objects[1]["tool"]), (&json!("r"), &json!("create_ticket")));
    let dry = ["call", "update_customer_status", "--customer-id", "1", "--new-status", "Gone", "--dry-run"];
    let ending = daemon.cli(&dry).exits(8);
    assert!(ending.stderr.contains("would wait for people (1 of approvers)"), "{}", ending.stderr);
}

#[test]
fn a_plan_is_drawn_with_what_policy_says_to_each_step() {
    let daemon = Daemon::start();
    let key = daemon.agent("bot");
    let text = format!(
        "name = \"w\"\ninputs.go = {{ type = \"boolean\" }}\n[[step]]\nid = \"reads\"\ntool = \"search_customer\"\nwith = {{ query = \"a\" }}\n\
         [[step]]\nid = \"asks\"\ntool = \"update_customer_status\"\nwith = {{ customer_id = 1, new_status = \"Gone\" }}\nneeds = \"reads\"\n{}{}",
        ticket("item", "One of two", "for_each = [1, 2]"),
        ticket("never", "Not now", "when = \"inputs.go\""),
    );
    let path = file(&daemon, "w.toml", &text);
    let draw = |form: &str, go: &str| {
        daemon.cli(&["workflow", "graph", &path, "--plan", "-i", go, "--format", form]).key(&key).succeeds()
    };
    let mermaid = draw("mermaid", "go=false");
    for line in [
        "s_reads[\"reads<br/>search_customer<br/>allow\"]:::allow",
        "s_asks{{\"asks<br/>update_customer_status<br/>needs approval: 1 of approvers\"}}:::people",
        "s_item[\"item<br/>create_ticket ×n<br/>allow\"]:::allow",
        "s_never(\"never<br/>create_ticket ?<br/>not called\"):::uncalled",
    ] {
        assert!(mermaid.contains(line), "{line}\n{mermaid}");
    }
    let svg = draw("svg", "go=true");
    assert!(svg.contains(">needs approval: 1 of approvers</text>") && !svg.contains("not called"), "{svg}");
    let reads = "@id(\"reads\")\npermit (principal, action in Toolctl::Action::\"readonly\", resource);\n";
    daemon.configure("policies/main.cedar", reads);
    daemon.cli(&["reload"]).exits(0);
    let mermaid = draw("mermaid", "go=true");
    assert!(mermaid.contains("s_asks[[\"asks<br/>update_customer_status<br/>deny\"]]:::deny"), "{mermaid}");
    assert_eq!(daemon.audit("kind=call.*"), Vec::<serde_json::Value>::new(), "nothing was called");

    daemon.cli(&["workflow", "graph", &path, "-i", "go=true"]).exits(2);
    daemon.cli(&["workflow", "graph", &path, "--plan"]).exits(2);
    Daemon::prepared(&[], &[]).cli(&["workflow", "graph", &path, "--plan", "-i", "go=true"]).exits(7);
}

#[test]
fn a_plan_says_what_policy_says_and_calls_nothing() {
    let daemon = Daemon::start();
    let key = daemon.agent("bot");
    daemon.approver("anna");
    let path = super::example("incident.toml");
    let plan = daemon.cli(&["run", &path, "--input", "incident=INC-1001", "--plan", "-o", "json"]).key(&key).json();
    let calls = plan["calls"].as_array().expect("calls");
    let said: Vec<_> = calls.iter().map(|call| (call["step"].as_str(), call["policy"].as_str())).collect();
    assert_eq!(
        said,
        [
            (Some("affected"), Some("allow")),
            (Some("tickets"), Some("allow")),
            (Some("announce"), Some("needs_approval"))
        ]
    );
    assert_eq!(calls[0]["arguments"], json!({"incident_id": "INC-1001"}));
    assert_eq!(calls[1]["arguments"]["customer_id"], "{{ item.id }}", "what is not known yet stands as it is written");
    assert_eq!(calls[2]["approvers"], json!(["1 of approvers"]));
    let table = daemon.cli(&["workflow", "plan", &path, "--input", "incident=INC-1001"]).key(&key).succeeds();
    assert!(table.contains("announce\tsend_message\tneeds approval\t1 of approvers\t"), "{table}");
    daemon.cli(&["run", &path, "--input", "incident=INC-1001", "--dry-run"]).key(&key).exits(8);
    assert_eq!(daemon.audit("kind=call.*"), Vec::<serde_json::Value>::new());

    daemon.configure(
        "policies/main.cedar",
        "@id(\"reads\")\npermit (principal, action in Toolctl::Action::\"readonly\", resource);\n",
    );
    daemon.cli(&["reload"]).exits(0);
    let text = format!("name = \"w\"\n{}", ticket("a", "A ticket", ""));
    let path = file(&daemon, "w.toml", &text);
    let plan = daemon.cli(&["run", &path, "--plan", "-o", "json"]).key(&key).json();
    assert_eq!(plan["calls"][0]["policy"], "deny");
    daemon.cli(&["run", &path, "--dry-run"]).key(&key).exits(5);
}

#[test]
fn a_workflow_is_drawn_without_a_daemon() {
    let daemon = Daemon::prepared(&[], &[]);
    let path = super::example("deploy.toml");
    let mermaid = daemon.cli(&["workflow", "graph", &path]).succeeds();
    assert!(mermaid.starts_with("flowchart TD\n") && mermaid.contains("s_canary --> s_everything"), "{mermaid}");
    let svg = daemon.cli(&["workflow", "graph", &path, "--format", "svg"]).succeeds();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    daemon.cli(&["workflow", "validate", "--offline", &path]).succeeds();
    daemon.cli(&["workflow", "validate", &path]).exits(7);
}

#[test]
fn ctrl_c_leaves_a_run_where_it_is() {
    let daemon = Daemon::unhurried();
    let inputs = ["customer=acme", "problem=Login is broken"];
    let waiting = run(&daemon, &super::example("support.toml"), &inputs, &["--run", "s1", "--wait", "50s"]).start();
    crate::support::until(|| {
        let found = daemon.cli(&["approvals", "list", "-o", "json"]).json();
        (found["approvals"].as_array()?.len() == 1).then_some(())
    });
    waiting.catches_interrupts().signal("INT");
    let ending = waiting.ends();
    assert_eq!((ending.code, &ending.error()["try"]), (Some(130), &json!(["toolctl run --run s1"])));
    daemon.cli(&["approve", "#1", "--yes"]).exits(0);
    daemon.cli(&["run", "--run", "s1"]).exits(0);
    assert_eq!(happened(&daemon, "create_ticket"), 1);
}
