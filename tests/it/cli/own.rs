//! `tools add, lint, test, enable, disable, remove, new, schema`: an operator's own tools from the command line.

use serde_json::{Value, json};

use super::{fails, with};
use crate::support::Daemon;

const HELLO: &str = "[tool]\nname = \"hello\" # the name\ndescription = \"Says hello.\"\neffect = \"readonly\"\n\n\
    [tool.arguments]\nwhom = { type = \"string\", required = true }\n\n[tool.command]\nprogram = \"echo\"\narguments = [\"hello\", \"{whom}\"]\n\
    output = \"lines\"\n\n[[tool.example]]\narguments = { whom = \"you\" }\noutput = { lines = [\"hello you\"] }\n";

fn file(daemon: &Daemon, name: &str, text: &str) -> String {
    let path = daemon.dir().join(name);
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

#[test]
fn a_tool_is_added_used_switched_and_removed() {
    let daemon = Daemon::start();
    let hello = file(&daemon, "hello.toml", HELLO);
    let cli = |args: &[&str]| daemon.cli(&with(&["-o", "table"], args));
    assert_eq!(cli(&["tools", "add", &hello]).succeeds(), "added hello\n");
    assert_eq!(daemon.cli(&["call", "hello", "--whom", "Ann"]).exits(0).json(), json!({"lines": ["hello Ann"]}));
    assert!(cli(&["tools", "list"]).succeeds().contains("hello"));
    let again = fails(daemon.cli(&["-o", "json", "tools", "add", &hello]), 12);
    assert_eq!(again["code"], "exists");

    assert_eq!(cli(&["tools", "disable", "hello"]).succeeds(), "disabled hello\n");
    let text = std::fs::read_to_string(daemon.dir().join("config/tools/hello.toml")).expect("the file");
    assert_eq!(text, HELLO.replacen("\"hello\" # the name", "\"hello\"\nenabled = false # the name", 1));
    assert_eq!(cli(&["tools", "disable", "hello"]).succeeds(), "hello is disabled already\n");
    cli(&["call", "hello", "--whom", "Ann"]).exits(2);
    assert_eq!(cli(&["tools", "enable", "hello"]).succeeds(), "enabled hello\n");
    cli(&["call", "hello", "--whom", "Ann"]).exits(0);

    assert_eq!(cli(&["tools", "remove", "hello"]).succeeds(), "removed hello\n");
    cli(&["call", "hello", "--whom", "Ann"]).exits(2);
    let error = fails(daemon.cli(&["-o", "json", "tools", "remove", "hello"]), 2);
    assert_eq!(error["code"], "tool-not-found");
}

#[test]
fn without_a_daemon_files_change_all_the_same() {
    let daemon = Daemon::prepared(&[], &[]);
    let hello = file(&daemon, "hello.toml", HELLO);
    let said = daemon.cli(&["-o", "table", "tools", "add", &hello]).succeeds();
    assert_eq!(said, "added hello; no daemon runs, so it counts from the next start\n");
    let error = fails(daemon.cli(&["-o", "json", "tools", "disable", "helo"]), 2);
    assert_eq!(error["hint"], "did you mean `hello`?");
}

#[test]
fn what_is_wrong_is_shown_in_its_line_and_never_added() {
    let daemon = Daemon::start();
    let bad = file(&daemon, "bad.toml", &HELLO.replace("{whom}", "{whome}"));
    let ending = daemon.cli(&["-o", "table", "tools", "lint", &bad]).exits(2);
    for expected in [
        "bad.toml:11:23",
        "arguments = [\"hello\", \"{whome}\"]",
        "the tool has no argument `whome`",
        "did you mean `whom`?",
        "1 problem in 1 file",
    ] {
        assert!(ending.stdout.contains(expected), "`{expected}` is not in:\n{}", ending.stdout);
    }
    let told: Value = daemon.cli(&["-o", "json", "tools", "lint", &bad]).exits(2).json();
    assert_eq!((&told["problems"][0]["line"], &told["problems"][0]["column"]), (&json!(11), &json!(23)));
    let error = fails(daemon.cli(&["-o", "json", "tools", "add", &bad]), 2);
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("tools-invalid"), &json!(format!("`{bad}` has one fault; nothing was added")))
    );
    let place =
        json!({"path": format!("{bad}:11:23"), "message": "the tool has no argument `whome`; did you mean `whom`?"});
    assert_eq!(error["errors"], json!([place]));
    assert!(!daemon.dir().join("config/tools/bad.toml").exists());
    let good = file(&daemon, "good.toml", HELLO);
    assert_eq!(daemon.cli(&["-o", "table", "tools", "lint", &good]).succeeds(), "1 tool in 1 file, nothing wrong\n");
}

#[test]
fn each_fault_of_a_file_stands_by_itself_with_its_lines_and_its_hint() {
    let daemon = Daemon::prepared(&[], &[]);
    let text = HELLO.replace("effect", "efect").replace("\"string\"", "\"strin\"").replace("\"echo\"", "\"./echo.sh\"");
    let bad = file(&daemon, "bad.toml", &text);
    let told = daemon.cli(&["tools", "add", &bad]).exits(2);
    let blocks: Vec<&str> = told.stderr.split("\n\n").collect();
    for (block, place, message, hint) in [
        (0, "bad.toml:4:1]", "unknown field `efect`", "did you mean `effect`?"),
        (1, "bad.toml:7:17]", "there is no type `strin`", "did you mean `string`?"),
        (2, "bad.toml:10:11]", "there is no file `", "config/tools`: give the whole path"),
    ] {
        let shown = blocks[block];
        assert!([place, message, hint].iter().all(|part| shown.contains(part)), "{block}: {shown}");
    }
    assert!(!told.stderr.contains("config/tools/bad.toml"), "the copy is not what was named: {}", told.stderr);
    assert!(told.stderr.ends_with("bad.toml` has 3 faults; nothing was added\n"), "{}", told.stderr);
    // What was wrong before is told of the file that it is in.
    daemon.configure("tools/old.toml", "[tool]\n");
    let good = file(&daemon, "good.toml", HELLO);
    let error = fails(daemon.cli(&["-o", "json", "tools", "add", &good]), 2);
    assert!(
        error["message"].as_str().is_some_and(|said| said.contains("config/tools/old.toml` has one fault")),
        "{error}"
    );
    std::fs::remove_file(daemon.dir().join("config/tools/old.toml")).expect("removed");
    let (code, said) = {
        daemon.configure("tools/bad.toml", &text);
        daemon.refuses()
    };
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("bad.toml:4:1: unknown field `efect`; did you mean `effect`?\n"), "{said}");
    assert!(said.contains("the files of tools have 3 faults\n"), "{said}");
}

#[test]
fn examples_are_run_on_a_daemon_of_their_own() {
    let daemon = Daemon::prepared(&[], &[]);
    daemon.configure("tools/hello.toml", HELLO);
    assert_eq!(daemon.cli(&["-o", "table", "tools", "test", "hello"]).succeeds(), "passed  example 1\n");
    daemon.configure("tools/hello.toml", &HELLO.replace("hello you", "hello yo"));
    let ending = daemon.cli(&["-o", "table", "tools", "test", "hello"]).exits(3);
    assert!(ending.stdout.starts_with("failed  example 1: it answered"), "{}", ending.stdout);
    daemon.configure("tools/hello.toml", &HELLO.replace("readonly", "once"));
    let ending = daemon.cli(&["-o", "table", "tools", "test", "hello"]).exits(0);
    assert!(ending.stdout.contains("has an effect, so nothing was run"), "{}", ending.stdout);
    assert_eq!(daemon.cli(&["-o", "table", "tools", "test", "hello", "--run"]).succeeds(), "passed  example 1\n");
    assert!(!daemon.state().exists(), "the test leaves nothing");
}

#[test]
fn the_file_to_begin_with_is_right_and_editors_get_a_schema() {
    let daemon = Daemon::prepared(&[], &[]);
    let begin = daemon.cli(&["tools", "new", "command"]).succeeds();
    let begin = file(&daemon, "begin.toml", &begin);
    assert_eq!(daemon.cli(&["-o", "table", "tools", "lint", &begin]).succeeds(), "1 tool in 1 file, nothing wrong\n");
    let schema = daemon.cli(&["tools", "schema"]).succeeds();
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn tools_are_found_by_tags_and_shown_with_what_was_declared() {
    let daemon = Daemon::prepared(&[], &[]);
    let text = HELLO.replace("effect =", "tags = [\"greeting\", \"people\"]\ntimeout = \"90s\"\neffect =");
    let more = "limits = { memory = \"64 MiB\" }\n\n[tool.command.sandbox]\nread = [\"/srv\"]\nbest_effort = true\n";
    daemon.configure("tools/hello.toml", &text.replace("output = \"lines\"\n", &format!("output = \"lines\"\n{more}")));
    let mut daemon = daemon;
    daemon.restart();
    let found = daemon.cli(&["tools", "search", "greeting"]).succeeds();
    assert!(found.lines().count() == 1 && found.starts_with("hello\t"), "{found}");
    let shown = daemon.cli(&["-o", "table", "tools", "show", "hello"]).succeeds();
    for expected in [
        "toolctl call hello --whom you",
        "timeout    1m 30s",
        "tags       greeting, people",
        "/echo (sha256:",
        "arguments  [\"hello\", \"{whom}\"]",
        "64 MiB of memory",
        "sandbox    files; reads /srv; no network; as far as the kernel can",
        "digest     sha256:",
    ] {
        assert!(shown.contains(expected), "`{expected}` is not in:\n{shown}");
    }
    let agent = daemon.agent("bot");
    let theirs = daemon.cli(&["-o", "table", "tools", "show", "hello"]).key(&agent).succeeds();
    assert!(theirs.contains("timeout  1m 30s") && !theirs.contains("/echo"), "{theirs}");
}

#[test]
fn what_cannot_be_changed_here_is_told_and_left_as_it_is() {
    let daemon = Daemon::prepared(&[], &[]);
    let table =
        |name: &str| format!("[[tool]]\nname = \"{name}\"\ndescription = \"x\"\n[tool.command]\nprogram = \"true\"\n");
    daemon.configure("tools/two.toml", &format!("{}{}", table("one"), table("two")));
    let error = fails(daemon.cli(&["-o", "json", "tools", "remove", "one"]), 12);
    assert_eq!(error["code"], "shared-file");
    assert!(error.to_string().contains("toolctl tools disable one"), "{error}");
    for command in ["remove", "enable", "disable", "test"] {
        let error = fails(daemon.cli(&["-o", "json", "tools", command, "onne"]), 2);
        assert_eq!(
            (&error["code"], &error["hint"]),
            (&json!("tool-not-found"), &json!("did you mean `one`?")),
            "{command}"
        );
        let error = fails(daemon.cli(&["-o", "json", "tools", command, "create_ticket"]), 2);
        assert_eq!(error["code"], "tool-not-found", "{command}: what is built in has no file");
    }
    let error = fails(daemon.cli(&["-o", "json", "tools", "test", "one"]), 2);
    assert!(error["message"].as_str().is_some_and(|said| said.contains("has no examples")), "{error}");
    // A probe that others need stays, and so does the file.
    let probed = format!(
        "{}probe = \"look\"\n[tool.command]\nprogram = \"true\"\n",
        "[tool]\nname = \"pay\"\ndescription = \"x\"\n"
    );
    daemon.configure("tools/two.toml", &probed);
    daemon.configure("tools/look.toml", &table("look").replace("\"x\"\n", "\"x\"\neffect = \"readonly\"\n"));
    let mut daemon = daemon;
    daemon.restart();
    let error = daemon.cli(&["-o", "json", "tools", "remove", "look"]).ends();
    assert_ne!(error.code, Some(0), "{error:?}");
    assert!(error.stderr.contains("there is no tool `look` to be the probe of `pay`"), "{error:?}");
    assert!(daemon.dir().join("config/tools/look.toml").exists(), "the change was taken back");
    daemon.cli(&["call", "look"]).exits(0);
}
