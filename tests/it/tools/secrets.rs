//! Secrets as files: a program that takes a path instead of a value gets one, of a file that is in no folder.

use serde_json::{Value, json};

use super::{call, put};
use crate::support::Daemon;

const SECRET: &str = "hunter2-hunter2-hunter2";

/// A daemon with a tool `t` that is given the secret as a file.
fn given(lines: &str, script: &str) -> Daemon {
    let mut daemon = Daemon::prepared(&[], &[("THE_TOKEN", SECRET)]);
    let text = format!(
        "[tool]\nname = \"t\"\ndescription = \"A test.\"\neffect = \"readonly\"\n[tool.command]\nprogram = \"./t.sh\"\n\
         environment = {{ TOKEN = {{ secret = \"env:THE_TOKEN\", as = \"file\" }} }}\n{lines}\n"
    );
    put(&daemon, &[("t.toml", &text), ("t.sh", &format!("#!/bin/sh\n{script}\n"))]);
    daemon.restart();
    daemon
}

fn text(answer: &Value) -> String {
    answer["output"]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn a_secret_can_be_a_file_without_a_name() {
    let script = "echo \"$TOKEN\"; wc -c < \"$TOKEN\"; sh -c 'wc -c < \"$TOKEN\"'; cat \"$TOKEN\"; echo\n\
                  (echo x > \"$TOKEN\") 2>/dev/null; (echo x >> \"$TOKEN\") 2>/dev/null; wc -c < \"$TOKEN\"\n\
                  env | grep -c hunter2; stat -Lc '%a %h' \"$TOKEN\"; find \"$HOME\" \"$TMPDIR\" -type f | wc -l";
    for sandbox in ["", "sandbox = { read = [] }"] {
        let daemon = given(sandbox, script);
        let answer = call(&daemon, "t", &json!({}));
        if answer["error"]["detail"].as_str().is_some_and(|why| why.contains("cannot be had here")) {
            continue;
        }
        assert_eq!(text(&answer), "/dev/fd/3\n23\n23\n‹secret:TOKEN›\n23\n0\n400 0\n0\n", "{sandbox}");
    }
}

#[test]
fn approvers_see_that_it_is_a_file_and_not_what_is_in_it() {
    let daemon = given("", "exit 0");
    let shown = daemon.cli(&["-o", "json", "tools", "show", "t"]).json();
    assert_eq!(shown["definition"]["environment"]["TOKEN"], json!({"secret_file": "env:THE_TOKEN"}));
    let agent = daemon.agent("bot");
    let theirs = daemon.cli(&["-o", "json", "tools", "show", "t"]).key(&agent).json();
    assert_eq!(theirs["definition"], json!(null), "what runs it is for those who answer for it");
    let body = json!({"tool": "t", "arguments": {}, "approval": "required"});
    daemon.http("POST", "/v1/calls").key(&agent).json(&body).send().is(202);
    let dossier = daemon.http("GET", "/v1/approvals/1").send().json();
    assert_eq!(dossier["runs"][0], "TOKEN=‹path of a file with secret:env:THE_TOKEN›", "{dossier}");
}
