//! The sandbox `files`: a command reaches what its file lists and nothing else, or it does not run.

use serde_json::{Value, json};

use super::{call, daemon, path};
use crate::support::Daemon;

/// A tool `t` that only reads, in a sandbox of these lines.
fn shut_in(sandbox: &str, script: &str) -> Daemon {
    let text = format!(
        "[tool]\nname = \"t\"\ndescription = \"A test.\"\neffect = \"readonly\"\n[tool.arguments]\n\
         path = {{ type = \"string\", default = \"\" }}\n[tool.command]\nprogram = \"./t.sh\"\narguments = [\"--\", \"{{path}}\"]\n\
         [tool.command.sandbox]\n{sandbox}\n"
    );
    daemon(&[("t.toml", &text), ("t.sh", &format!("#!/bin/sh\nshift\n{script}\n"))])
}

/// Whether this kernel keeps files in; where it does not, these tests show the refusal.
fn is_offered(answer: &Value) -> bool {
    let refused =
        answer["error"]["detail"].as_str().is_some_and(|why| why.contains("the sandbox `files` cannot be had here"));
    if refused {
        assert_eq!((&answer["state"], &answer["effect"]), (&json!("failed"), &json!("none")));
    }
    !refused
}

fn text(answer: &Value) -> String {
    answer["output"]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn only_listed_files_are_reached() {
    let outside = tempfile::tempdir().expect("a folder");
    std::fs::write(outside.path().join("file"), "content").expect("written");
    let place = json!({"path": outside.path().display().to_string()});
    let script = "cat \"$1/file\" 2>&1; echo x 2>&1 > \"$1/new\"; echo own > \"$HOME/f\" && cat \"$HOME/f\"; exit 0";
    let shut = |list: &str| shut_in(&list.replace("HERE", &outside.path().display().to_string()), script);

    let answer = call(&shut("read = []"), "t", &place);
    if !is_offered(&answer) {
        return;
    }
    let said = text(&answer);
    assert!(said.contains("Permission denied") && said.ends_with("own\n") && !said.contains("content"), "{said}");
    assert!(!outside.path().join("new").exists());

    let said = text(&call(&shut("read = [\"HERE\"]"), "t", &place));
    assert!(said.starts_with("content") && !outside.path().join("new").exists(), "{said}");

    let daemon = shut("write = [\"HERE\"]");
    let answer = call(&daemon, "t", &place);
    assert!(text(&answer).starts_with("content") && outside.path().join("new").exists(), "{answer}");
    let records = daemon.audit(&format!("call={}", answer["id"].as_str().expect("an id")));
    assert_eq!(records[0]["detail"]["sandbox"], "files");
}

#[test]
fn the_daemons_own_files_are_out_of_reach() {
    let daemon = shut_in("", "cat \"$1\" 2>&1; cat /proc/$PPID/maps 2>&1; exit 0");
    let pepper = daemon.state().join("pepper");
    let answer = call(&daemon, "t", &json!({"path": pepper.display().to_string()}));
    if is_offered(&answer) {
        let said = text(&answer);
        assert_eq!(said.matches("Permission denied").count(), 2, "{said}");
    }
}

#[test]
fn there_is_no_network_unless_it_is_listed_and_no_dangerous_call() {
    let Some(python) = python() else { return };
    let script = format!(
        "{python} -u - <<'END'\nimport ctypes, os, socket\nfor family in (socket.AF_INET, socket.AF_INET6):\n  try:\n    \
         socket.socket(family, socket.SOCK_DGRAM); print('open')\n  except PermissionError: print('closed')\n\
         libc = ctypes.CDLL(None, use_errno=True)\nprint(libc.unshare(0x10000000), libc.ptrace(0, 0, 0, 0))\n\
         os.system('echo fork works')\nEND"
    );
    let answer = call(&shut_in("network = []", &script), "t", &json!({}));
    if is_offered(&answer) {
        assert_eq!(text(&answer), "closed\nclosed\n-1 -1\nfork works\n", "{answer}");
    }
}

#[test]
fn only_listed_ports_are_reached() {
    let Some(python) = python() else { return };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = |listener: &std::net::TcpListener| listener.local_addr().expect("an address").port();
    let script = format!(
        "{python} - <<'END'\nimport socket\nfor port in ({}, {}):\n  try:\n    socket.create_connection(('127.0.0.1', port)); \
         print('reached')\n  except PermissionError: print('refused')\nEND",
        port(&listener),
        port(&other)
    );
    let answer = call(&shut_in(&format!("network = [{}]", port(&listener)), &script), "t", &json!({}));
    if is_offered(&answer) {
        assert_eq!(text(&answer), "reached\nrefused\n", "{answer}");
    }
}

#[test]
fn less_will_do_only_where_the_file_says_so() {
    let daemon = shut_in("best_effort = true", "echo ran");
    let answer = call(&daemon, "t", &json!({}));
    assert_eq!(text(&answer), "ran\n");
    let daemon = shut_in("read = [\"/no/such/place\"]", "echo ran > ran");
    let answer = call(&daemon, "t", &json!({}));
    assert_eq!((&answer["state"], &answer["effect"]), (&json!("failed"), &json!("none")), "{answer}");
    assert!(!path(&daemon, "ran").exists());
}

/// A Python inside what the sandbox lets read.
fn python() -> Option<&'static str> {
    ["/usr/bin/python3", "/usr/local/bin/python3"].into_iter().find(|path| std::path::Path::new(path).exists())
}
