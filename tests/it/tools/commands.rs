//! Commands: what they are given, what they give back, and everything they can do wrong. Each program is a few
//! lines of shell, so that the test shows what it does.

use serde_json::{Value, json};

use super::{call, daemon, path, put};
use crate::support::{Daemon, until};

/// A tool `t` that runs `./t.sh`, with these lines in `[tool]` and these in `[tool.command]`.
fn tool(effect: &str, tool: &str, command: &str) -> String {
    format!(
        "[tool]\nname = \"t\"\ndescription = \"A test.\"\neffect = \"{effect}\"\ndestructive = false\nrisk = \"low\"\n\
         timeout = \"20s\"\n{tool}\n[tool.command]\nprogram = \"./t.sh\"\nlimits = {{ grace = \"200ms\" }}\n{command}\n"
    )
}

/// A daemon with the tool `t` and this script.
fn running(effect: &str, lines: (&str, &str), script: &str) -> Daemon {
    daemon(&[("t.toml", &tool(effect, lines.0, lines.1)), ("t.sh", &format!("#!/bin/sh\n{script}\n"))])
}

/// State, effect and error code of an answer; a call that has none of its own says what its problem says.
fn ended(answer: &Value) -> (String, String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let code = [&answer["error"]["code"], &answer["code"]].into_iter().find(|code| code.is_string());
    (text(&answer["state"]), text(&answer["effect"]), code.map(text).unwrap_or_default())
}

fn is(answer: &Value, state: &str, effect: &str, code: &str) {
    assert_eq!(ended(answer), (state.to_owned(), effect.to_owned(), code.to_owned()), "{answer}");
}

fn message(answer: &Value) -> String {
    answer["error"]["detail"].as_str().or(answer["detail"].as_str()).unwrap_or_default().to_owned()
}

#[test]
fn a_file_becomes_a_tool_that_is_listed_guarded_called_and_recorded() {
    let daemon = running(
        "once",
        (
            "arguments = { name = { type = \"string\", required = true } }",
            "arguments = [\"--\", \"{name}\"]\noutput = \"json\"",
        ),
        r#"printf '{"greeting":"hello %s"}' "$2""#,
    );
    let listed = daemon.cli(&["-o", "json", "tools", "show", "t"]).json();
    assert_eq!((&listed["source"], &listed["effect"]), (&json!("command"), &json!("once")));

    let answer = call(&daemon, "t", &json!({"name": "A; rm -rf /"}));
    assert_eq!(answer["output"], json!({"greeting": "hello A; rm -rf /"}), "{answer}");
    is(&answer, "succeeded", "done", "");

    let id = answer["id"].as_str().expect("an id");
    let records = daemon.audit(&format!("call={id}"));
    let kinds: Vec<_> = records.iter().map(|record| record["type"].clone()).collect();
    assert_eq!(kinds, ["call.dispatched", "call.completed"]);
    assert_eq!(records[1]["detail"]["sandbox"], "none");
    daemon.cli(&["audit", "verify"]).exits(0);
    assert_eq!(call(&daemon, "t", &json!({"nome": "x"}))["code"], "arguments-invalid");
    let output = daemon.cli(&["call", "t", "--name", "Ann"]).exits(0).json();
    assert_eq!(output, json!({"greeting": "hello Ann"}));
}

#[test]
fn its_surroundings_are_clean() {
    let daemon = running(
        "keyed",
        ("", "environment = { GREETING = \"hi\" }"),
        "env | sort; pwd; ls /proc/self/fd | tr '\\n' ' '; umask; cat",
    );
    let answer = call(&daemon, "t", &json!({}));
    let id = answer["id"].as_str().expect("an id");
    let text = answer["output"]["text"].as_str().expect("text").to_owned();
    let run = daemon.state().join("spool").join(format!("{id}.1"));
    let (start, end) = text.split_once("TOOLCTL_IDEMPOTENCY_KEY=").expect("a key for the other side");
    let home = run.join("home");
    assert_eq!(
        start,
        format!(
            "GREETING=hi\nHOME={}\nLANG=C.UTF-8\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
             PWD={}\nTMPDIR={}\nTOOLCTL_CALL_ID={id}\n",
            home.display(),
            home.display(),
            run.join("tmp").display()
        )
    );
    let (key, end) = end.split_once('\n').expect("a line");
    assert_eq!(key.len(), 64, "{key}");
    assert_eq!(end, format!("TZ=UTC\n{}\n0 1 2 3 0022\n", home.display()), "3 is the folder that ls reads");
    assert_ne!(answer["idempotency_key"], key, "the caller's key stays here");
    until(|| (!run.exists()).then_some(()));
}

#[test]
fn it_reads_its_arguments_as_json_and_need_not() {
    let lines =
        ("arguments = { text = { type = \"string\", required = true } }", "stdin = \"json\"\noutput = \"json\"");
    let daemon = running("once", lines, "cat");
    let text = "a\u{1b}[0m \u{0} \u{1f600}\n".repeat(1_000);
    assert_eq!(call(&daemon, "t", &json!({"text": text}))["output"], json!({"text": text}));
    put(&daemon, &[("t.sh", "#!/bin/sh\necho '{}'\n")]);
    daemon.cli(&["reload"]).exits(0);
    let answer = call(&daemon, "t", &json!({"text": "x".repeat(900_000)}));
    is(&answer, "succeeded", "done", "");
}

#[test]
fn a_value_that_looks_like_an_option_is_refused_and_nothing_runs() {
    let lines = ("arguments = { name = { type = \"string\", required = true } }", "arguments = [\"{name}\"]");
    let daemon = running("once", lines, "echo ran > \"$1\"");
    let answer = call(&daemon, "t", &json!({"name": "--force"}));
    assert_eq!((&answer["code"], &answer["effect"]), (&json!("arguments-invalid"), &json!("none")), "{answer}");
    assert_eq!(answer["errors"][0]["path"], "/name", "{answer}");
    assert!(message(&answer).contains("`name` must not begin with `-`"), "{answer}");
    assert_eq!(daemon.http("GET", "/v1/calls").send().json()["calls"], json!([]), "nobody is asked about it");
}

#[test]
fn a_program_that_is_gone_replaced_or_not_executable_does_not_run() {
    let daemon = running("once", ("", ""), "echo ran");
    std::fs::write(path(&daemon, "t.sh"), "#!/bin/sh\necho something else\n").expect("written");
    let answer = call(&daemon, "t", &json!({}));
    is(&answer, "failed", "none", "tool-failed");
    assert!(message(&answer).contains("is not the file that the tool was defined with"), "{answer}");
    daemon.cli(&["reload"]).exits(0);
    is(&call(&daemon, "t", &json!({})), "succeeded", "done", "");

    std::fs::set_permissions(path(&daemon, "t.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("set");
    let answer = call(&daemon, "t", &json!({}));
    is(&answer, "failed", "none", "tool-failed");
    assert!(message(&answer).contains("cannot be run"), "{answer}");

    std::fs::remove_file(path(&daemon, "t.sh")).expect("removed");
    let answer = call(&daemon, "t", &json!({}));
    is(&answer, "failed", "none", "tool-failed");
    assert!(message(&answer).contains("cannot be read"), "{answer}");
}

#[test]
fn what_was_replaced_after_the_approval_was_asked_for_never_runs() {
    let daemon = running("once", ("", ""), "echo ran > \"$0.ran\"");
    put(&daemon, &[("t.toml", &tool("once", "", "").replace("risk = \"low\"", "risk = \"high\""))]);
    daemon.cli(&["reload"]).exits(0);
    let (agent, anna) = (daemon.agent("bot"), daemon.approver("anna"));
    let ask = |key: &str| {
        let body = json!({"tool": "t", "arguments": {}, "idempotency_key": key});
        daemon.http("POST", "/v1/calls").key(&agent).json(&body).send().json()
    };
    let approve = |call: &Value| {
        let approval = &call["approval"];
        let body = json!({"decision": "approve", "digest": approval["digest"]});
        let url = format!("/v1/approvals/{}/decisions", approval["id"].as_str().expect("an id"));
        let _answered = daemon.http("POST", &url).key(&anna).json(&body).send();
        let url = format!("/v1/calls/{}?wait=30s", call["id"].as_str().expect("an id"));
        daemon.http("GET", &url).send().json()
    };
    // The program is another, and nobody has told the daemon.
    let asked = ask("k1");
    put(&daemon, &[("t.sh", "#!/bin/sh\necho worse > \"$0.ran\"\n")]);
    let ended = approve(&asked);
    is(&ended, "stale", "none", "approval-stale");
    assert!(message(&ended).contains("was replaced"), "{ended}");
    // The definition is another, by the ordinary way of changing it.
    daemon.cli(&["reload"]).exits(0);
    let asked = ask("k2");
    put(&daemon, &[("t.sh", "#!/bin/sh\necho still worse > \"$0.ran\"\n")]);
    daemon.cli(&["reload"]).exits(0);
    is(&approve(&asked), "stale", "none", "approval-stale");
    assert!(!path(&daemon, "t.sh.ran").exists(), "nothing ran");
    is(&approve(&ask("k3")), "succeeded", "done", "");
    assert!(path(&daemon, "t.sh.ran").exists());
}

#[test]
fn a_command_that_does_not_end_is_ended_and_its_class_says_what_that_means() {
    let slow = |effect, script: &str| {
        let daemon = running(effect, ("", ""), script);
        put(&daemon, &[("t.toml", &tool(effect, "", "").replace("\"20s\"", "\"300ms\""))]);
        daemon.cli(&["reload"]).exits(0);
        daemon
    };
    let daemon = slow("readonly", "sleep 600");
    is(&call(&daemon, "t", &json!({})), "failed", "none", "tool-timeout");
    let daemon = slow("idempotent", "trap '' TERM; sleep 600 & wait; sleep 600");
    is(&call(&daemon, "t", &json!({})), "failed", "unknown", "tool-timeout");
    let daemon = slow("once", "trap 'exit 0' TERM; sleep 600 & wait");
    is(&call(&daemon, "t", &json!({})), "in_doubt", "unknown", "outcome-unknown");
    let doubt = daemon.audit("kind=call.in_doubt").pop().expect("a record");
    assert_eq!(doubt["detail"]["why"], "`t` did not end within 300ms and was ended");
    daemon.cli(&["call", "t"]).exits(10);
    daemon.cli(&["audit", "verify"]).exits(0);
}

#[test]
fn whatever_it_leaves_behind_ends_with_it() {
    let daemon = running(
        "once",
        ("", ""),
        "for n in 1 2 3; do (setsid sh -c 'echo $$; trap \"\" TERM HUP; exec sleep 600' &) ; done; sleep 0.3",
    );
    let answer = call(&daemon, "t", &json!({}));
    is(&answer, "succeeded", "done", "");
    let pids: Vec<_> = answer["output"]["text"].as_str().expect("text").split_whitespace().collect();
    assert_eq!(pids.len(), 3, "{answer}");
    for pid in pids {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{pid} lives on");
    }
    assert_eq!(answer["effect"], "done");
}

#[test]
fn a_flood_is_stopped_and_only_its_beginning_and_end_are_kept() {
    let daemon = running("readonly", ("output_limit = \"10 KiB\"", ""), "yes");
    let answer = call(&daemon, "t", &json!({}));
    is(&answer, "failed", "none", "output-invalid");
    let daemon = running("once", ("output_limit = \"10 KiB\"", ""), "yes >&2");
    is(&call(&daemon, "t", &json!({})), "in_doubt", "unknown", "outcome-unknown");
}

#[test]
fn a_death_by_signal_leaves_doubt_only_where_again_may_harm() {
    for (effect, expected) in
        [("once", ("in_doubt", "unknown", "outcome-unknown")), ("readonly", ("failed", "none", "tool-failed"))]
    {
        let daemon = running(effect, ("", ""), "kill -SEGV $$");
        is(&call(&daemon, "t", &json!({})), expected.0, expected.1, expected.2);
    }
}

#[test]
fn exit_statuses_mean_what_was_declared_and_stderr_says_why() {
    let lines = (
        "arguments = { with = { type = \"integer\", required = true } }",
        "arguments = [\"{with}\"]\nno_effect_exit = [3]\ntempfail_exit = [75]\nsuccess_exit = [0, 4]",
    );
    let daemon = running("once", lines, "echo out; echo \"it is $1\" >&2; exit $1");
    for (status, state, effect) in [
        (0, "succeeded", "done"),
        (4, "succeeded", "done"),
        (3, "failed", "none"),
        (75, "failed", "none"),
        (1, "failed", "unknown"),
    ] {
        let answer = call(&daemon, "t", &json!({"with": status}));
        is(&answer, state, effect, if state == "failed" { "tool-failed" } else { "" });
        if state == "failed" {
            let output = json!({"exit_status": status, "stdout": "out\n", "stderr": format!("it is {status}\n")});
            assert_eq!(answer["output"], output, "{answer}");
            assert!(message(&answer).ends_with(&format!("it is {status}")), "{answer}");
        }
    }
}

#[test]
fn output_that_is_not_what_was_declared_is_no_result_and_is_never_tried_again() {
    let schema = "output = { type = \"object\", required = [\"id\"], properties = { id = { type = \"integer\" } } }";
    for script in
        ["printf '{\"id\":\"seven\"}'", "printf '{\"id\":'", "printf '\\377'", "printf '{\"id\":9007199254740993}'"]
    {
        let daemon = running("idempotent", (schema, "output = \"json\""), &format!("echo x >> \"$0.runs\"; {script}"));
        is(&call(&daemon, "t", &json!({})), "failed", "done", "output-invalid");
        assert_eq!(std::fs::read_to_string(path(&daemon, "t.sh.runs")).expect("runs"), "x\n", "once");
    }
}

#[test]
fn secrets_reach_the_program_and_nothing_else() {
    let secret = "hunter2-hunter2-hunter2";
    let mut daemon = Daemon::prepared(&[], &[("THE_TOKEN", secret)]);
    let command = "environment = { TOKEN = { secret = \"env:THE_TOKEN\" } }";
    let script = "#!/bin/sh\nprintf '%s' \"$TOKEN\" | wc -c; echo \"$TOKEN\"; printf '%s' \"x$TOKEN\" | base64; tr '\\0' ' ' < /proc/$$/cmdline\n";
    put(&daemon, &[("t.toml", &tool("once", "", command)), ("t.sh", script)]);
    daemon.restart();
    let answer = call(&daemon, "t", &json!({}));
    let text = answer["output"]["text"].as_str().expect("text");
    assert!(text.starts_with("23\n‹secret:TOKEN›\n") && text.matches("‹secret:TOKEN›").count() == 2, "{text}");
    assert!(!answer.to_string().contains(secret));
    daemon.terminate();
    let store = std::fs::read(daemon.state().join("store.redb")).expect("the store");
    assert!(!store.windows(secret.len()).any(|window| window == secret.as_bytes()), "the store holds the secret");
    daemon.unarm();
    daemon.restart();
    let answer = call(&daemon, "t", &json!({}));
    is(&answer, "failed", "none", "tool-failed");
    assert!(message(&answer).contains("`env:THE_TOKEN` is not set"), "{answer}");
}

#[test]
fn limits_hold() {
    let lines = |limits: &str| {
        tool("readonly", "", "output = \"lines\"")
            .replace("limits = { grace = \"200ms\" }", &format!("limits = {{ {limits} }}"))
    };
    let script = "#!/bin/sh\nulimit -n; ulimit -f; ulimit -v; ulimit -c; grep NoNewPrivs /proc/self/status\n";
    let daemon =
        daemon(&[("t.toml", &lines("files = 32, file_size = \"1 MiB\", memory = \"256 MiB\"")), ("t.sh", script)]);
    let answer = call(&daemon, "t", &json!({}));
    assert_eq!(answer["output"]["lines"], json!(["32", "2048", "262144", "0", "NoNewPrivs:\t1"]), "{answer}");
}

#[test]
fn what_only_reads_ends_with_its_daemon() {
    let mut daemon = running("readonly", ("", ""), "echo $$ > \"$0.pid\"; exec sleep 600");
    let door = daemon.door();
    std::thread::spawn(move || {
        // The daemon is killed while this waits.
        let _gone = door.http("POST", "/v1/calls").json(&json!({"tool": "t", "arguments": {}})).try_send();
    });
    let pid = until(|| std::fs::read_to_string(path(&daemon, "t.sh.pid")).ok().filter(|text| text.ends_with('\n')));
    daemon.kill();
    until(|| (!std::path::Path::new(&format!("/proc/{}", pid.trim())).exists()).then_some(()));
    daemon.restart();
    let spool = daemon.state().join("spool");
    let runs = || {
        std::fs::read_dir(&spool)
            .expect("the spool")
            .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir()))
            .count()
    };
    assert_eq!(runs(), 0, "nobody will ask for it");
}
