//! Arguments that are paths: inside their folder when the call comes, when it is dispatched and right before the
//! program starts, by their text and wherever links lead.

use serde_json::{Value, json};

use super::{call, daemon, path};
use crate::support::Daemon;

/// A folder with a file, a link that leaves it and one that does not; beside it a file nobody shall see.
fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("made");
    std::fs::write(data.join("file"), "content\n").expect("written");
    std::fs::write(folder.path().join("secret"), "secret\n").expect("written");
    std::os::unix::fs::symlink("../secret", data.join("out")).expect("linked");
    std::os::unix::fs::symlink("file", data.join("in")).expect("linked");
    folder
}

fn reading(data: &std::path::Path, risk: &str, more: &str, script: &str) -> Daemon {
    let text = format!(
        "[tool]\nname = \"t\"\ndescription = \"A test.\"\neffect = \"once\"\ndestructive = false\nrisk = \"{risk}\"\n\
         [tool.arguments]\nfile = {{ type = \"string\", required = true, path_under = \"{0}\" }}\n\
         more = {{ type = \"array\", items = {{ type = \"string\" }}, default = [], path_under = \"{0}\" }}\n\
         [tool.command]\nprogram = \"./t.sh\"\narguments = [\"--\", \"{{file}}\", \"{{more...}}\"]\n{more}\n",
        data.display()
    );
    daemon(&[("t.toml", &text), ("t.sh", &format!("#!/bin/sh\nshift\n{script}\n"))])
}

fn refused(answer: &Value, place: &str, why: &str) {
    assert_eq!((&answer["code"], &answer["effect"]), (&json!("arguments-invalid"), &json!("none")), "{answer}");
    assert_eq!(answer["errors"][0]["path"], place, "{answer}");
    assert!(answer["detail"].as_str().is_some_and(|detail| detail.contains(why)), "{answer}");
}

#[test]
fn a_path_does_not_leave_its_folder() {
    let folder = place();
    let data = folder.path().join("data");
    let daemon = reading(&data, "low", "", "cat \"$@\"");
    let at = |name: &str| format!("{}/{name}", data.display());
    for inside in ["file", "in"] {
        let answer = call(&daemon, "t", &json!({"file": at(inside), "more": [at("file")]}));
        assert_eq!(answer["output"]["text"], "content\ncontent\n", "{answer}");
    }
    for (outside, why) in [
        (at("../secret"), "must be a whole path inside"),
        (at("x/../../secret"), "must be a whole path inside"),
        ("/etc/passwd".to_owned(), "must be a whole path inside"),
        ("file".to_owned(), "must be a whole path inside"),
        (at("out"), "leads out of"),
        (at("nothing/../out"), "must be a whole path inside"),
    ] {
        refused(&call(&daemon, "t", &json!({"file": outside})), "/file", why);
        refused(&call(&daemon, "t", &json!({"file": at("file"), "more": [at("file"), outside]})), "/more", why);
    }
    assert_eq!(daemon.audit("kind=call.dispatched").len(), 2, "nothing else ran");
    let shown = daemon.cli(&["-o", "table", "tools", "show", "t"]).succeeds();
    assert!(shown.contains(&format!("file stays in {}", data.display())), "{shown}");
}

#[test]
fn a_link_that_was_put_there_while_people_thought_is_found() {
    let folder = place();
    let data = folder.path().join("data");
    let daemon = reading(&data, "high", "", "cat \"$@\" > \"$0.ran\"");
    let file = data.join("file");
    let asked = call(&daemon, "t", &json!({"file": file.display().to_string()}));
    std::fs::remove_file(&file).expect("removed");
    std::os::unix::fs::symlink("../secret", &file).expect("linked");
    daemon.cli(&["approve", "1", "--yes"]).ends();
    let ended =
        daemon.http("GET", &format!("/v1/calls/{}?wait=30s", asked["id"].as_str().expect("an id"))).send().json();
    assert_eq!((&ended["state"], &ended["effect"]), (&json!("stale"), &json!("none")), "{ended}");
    assert!(ended.to_string().contains("leads out of"), "{ended}");
    assert!(!path(&daemon, "t.sh.ran").exists());
}

#[test]
fn it_is_looked_at_again_right_before_the_program_starts() {
    let folder = place();
    let data = folder.path().join("data");
    // The program itself puts the link there, between its first start and its second.
    let script = "echo x >> \"$0.starts\"; ln -sfn ../secret \"$1\"; exit 75";
    let daemon = reading(&data, "low", "tempfail_exit = [75]\nretry = { wait = \"10ms\" }", script);
    let answer = call(&daemon, "t", &json!({"file": data.join("new").display().to_string()}));
    assert_eq!((&answer["state"], &answer["effect"]), (&json!("failed"), &json!("none")), "{answer}");
    assert!(
        answer["error"]["detail"]
            .as_str()
            .is_some_and(|why| why.contains("nothing ran") && why.contains("leads out of")),
        "{answer}"
    );
    assert_eq!(std::fs::read_to_string(path(&daemon, "t.sh.starts")).expect("starts"), "x\n");
}

/// The other kinds of holes: what JSON Schema says of them is checked before anything runs.
#[test]
fn every_kind_of_hole_takes_only_what_it_is_for() {
    let text = "[tool]\nname = \"t\"\ndescription = \"A test.\"\neffect = \"readonly\"\n[tool.arguments]\n\
                host = { type = \"string\", format = \"hostname\", default = \"db.example.com\" }\n\
                address = { type = \"string\", format = \"ipv4\", default = \"10.0.0.1\" }\n\
                size = { enum = [\"s\", \"m\"], default = \"s\" }\ncount = { type = \"integer\", minimum = 1, maximum = 9, default = 1 }\n\
                name = { type = \"string\", pattern = \"[a-z]+\", default = \"a\" }\n[tool.command]\nprogram = \"echo\"\n\
                arguments = [\"{host}\", \"{address}\", \"{size}\", \"{count}\", \"{name}\"]\n";
    let daemon = daemon(&[("t.toml", text)]);
    assert_eq!(call(&daemon, "t", &json!({}))["output"]["text"], "db.example.com 10.0.0.1 s 1 a\n");
    for (name, value) in [
        ("host", json!("-oProxyCommand=x")),
        ("host", json!("a b")),
        ("address", json!("10.0.0.256")),
        ("size", json!("l")),
        ("count", json!(10)),
        ("count", json!(1.5)),
        ("name", json!("a\nb")),
        ("name", json!("a1")),
    ] {
        refused(&call(&daemon, "t", &json!({name: value})), &format!("/{name}"), "`t` is wrong");
    }
}
