//! A server that does what a test says: this test program, started again. Its tools stand in a file, so that they can
//! change under the daemon; each has a way of its own to go wrong.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::kills;
use crate::support::Daemon;
use crate::support::daemon::UNHURRIED;

/// The folder of a server's files.
const FOLDER: &str = "FAKE_FOLDER";
/// How the server behaves as a whole.
const MANNER: &str = "FAKE_MANNER";
/// The secret that a server of the manner `secretive` is given, from the daemon's variable of the same name.
const THE_SECRET: &str = "THE_SECRET";

/// The command that starts it. The shell is what is pinned: a test program is large, and each start would read it.
pub fn command() -> Vec<String> {
    let program = std::env::current_exe().expect("this program").display().to_string();
    let own = ["--quiet", "--nocapture", "--ignored", "--exact", "upstreams::fake::serve"];
    let shell = ["sh", "-c", "exec \"$0\" \"$@\"", &program];
    shell.iter().chain(&own).map(|word| (*word).to_owned()).collect()
}

/// The `[[upstream]]` table of a server named `fake`, whose files are in `folder`.
pub fn manifest(folder: &Path, manner: &str, more: &str) -> String {
    let secret = if manner == "secretive" {
        format!(", {THE_SECRET} = {{ secret = \"env:{THE_SECRET}\" }}")
    } else {
        String::new()
    };
    format!(
        "[[upstream]]\nname = \"fake\"\ncommand = {:?}\nenvironment = {{ {FOLDER} = {:?}, {MANNER} = {manner:?}{secret} }}\n{more}\n",
        command(),
        folder.display().to_string(),
    )
}

/// Writes what the server lists.
pub fn lists(folder: &Path, tools: &Value) {
    // Whole or not at all: the server may be reading it.
    let file = tempfile::NamedTempFile::new_in(folder).expect("a file");
    std::fs::write(file.path(), tools.to_string()).expect("written");
    file.persist(folder.join("tools.json")).expect("in place");
}

/// A tool without arguments.
pub fn tool(name: &str, description: &str) -> Value {
    json!({"name": name, "description": description, "inputSchema": {"type": "object"}})
}

/// How often something was done.
pub fn count(folder: &Path, what: &str) -> usize {
    std::fs::read_to_string(folder.join(what)).unwrap_or_default().lines().count()
}

/// A daemon with the server `fake`, everything of which is trusted; and the server's folder.
pub fn daemon(manner: &str, more: &str, tools: &[Value]) -> (Daemon, PathBuf) {
    let (daemon, folder) = untrusted(manner, more, tools);
    trust(&daemon);
    (daemon, folder)
}

/// Agrees to everything that the server lists.
pub fn trust(daemon: &Daemon) {
    super::until_up(daemon);
    daemon.cli(&["tools", "trust", "fake", "--yes"]).exits(0);
}

/// From here on the server ends as soon as it is started.
pub fn is_gone(daemon: &Daemon, folder: &Path, more: &str) {
    daemon.configure("tools/fake.toml", &manifest(folder, "exits", more));
    daemon.cli(&["reload"]).exits(0);
    super::until(|| (super::server(daemon)["state"] == "down").then_some(()));
}

/// The same, nothing of which is trusted.
pub fn untrusted(manner: &str, more: &str, tools: &[Value]) -> (Daemon, PathBuf) {
    armed(&[], manner, more, tools)
}

/// The same, by a daemon with an environment of its own.
pub fn armed(environment: &[(&str, &str)], manner: &str, more: &str, tools: &[Value]) -> (Daemon, PathBuf) {
    let mut daemon = Daemon::prepared(&["--env-file", ".env"], environment);
    std::fs::write(daemon.dir().join(".env"), UNHURRIED).expect("the env file");
    let folder = daemon.dir().join("fake");
    std::fs::create_dir_all(&folder).expect("a folder");
    lists(&folder, &json!(tools));
    daemon.configure("tools/fake.toml", &manifest(&folder, manner, more));
    daemon.configure("policies/all.cedar", "@id(\"everything\")\npermit (principal, action, resource);\n");
    daemon.restart();
    (daemon, folder)
}

/// The server itself: no test, but what this program is when a daemon starts it.
#[test]
#[ignore = "this is a server: the daemons of other tests start it"]
fn serve() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let manner = std::env::var(MANNER).unwrap_or_default();
    note(&folder, "starts", "");
    if manner == "exits" {
        writeln!(std::io::stderr(), "there is no license for this machine").expect("stderr");
        std::process::exit(3);
    }
    let mut asked = std::io::stdin().lock().lines();
    while let Some(line) = asked.next().transpose().expect("a line") {
        let message: Value = serde_json::from_str(&line).expect("JSON");
        let (id, method) = (message["id"].clone(), message["method"].as_str().unwrap_or_default());
        if id.is_null() {
            note(&folder, "notifications", &line);
            continue;
        }
        match method {
            "server/discover" if manner == "modern" => answer(
                &id,
                &json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0, "cacheScope": "private",
                    "capabilities": {"tools": {"listChanged": true}}}),
            ),
            "server/discover" if manner == "mute" => {}
            "initialize" => answer(
                &id,
                &json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {"listChanged": true}},
                    "serverInfo": {"name": "fake", "version": "1"}}),
            ),
            "tools/list" => {
                note(&folder, "lists", "");
                let text = std::fs::read_to_string(folder.join("tools.json")).expect("a list");
                let tools: Value = serde_json::from_str(&text).expect("JSON");
                answer(&id, &json!({"resultType": "complete", "tools": tools}));
            }
            "tools/call" => {
                note(&folder, "calls", &line);
                let name = message["params"]["name"].as_str().expect("a name").to_owned();
                acts(&folder, &id, &name, &message["params"], &mut asked);
            }
            "subscriptions/listen" => note(&folder, "subscriptions", &line),
            _ => say(&json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no such method"}})
                .to_string()),
        }
    }
    note(&folder, "ends", "");
}

/// What each tool does. Every call has left a mark before; what has an effect that is counted leaves one for that too.
fn acts(
    folder: &Path,
    id: &Value,
    name: &str,
    params: &Value,
    asked: &mut impl Iterator<Item = std::io::Result<String>>,
) {
    let text = |text: &str| json!({"content": [{"type": "text", "text": text}]});
    match name {
        "crash" => std::process::exit(9),
        // Only the first time, as a server may that was about to be restarted.
        "crash_once" if count(folder, "calls") == 1 => std::process::exit(9),
        "hang" if !folder.join("answers").exists() => {}
        "twice" => {
            answer(id, &text("first"));
            answer(id, &text("second"));
        }
        "flood" => {
            let block = "x".repeat(1 << 20);
            let mut out = std::io::stdout().lock();
            write!(out, r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":""#)
                .expect("stdout");
            for _ in 0..100 {
                write!(out, "{block}").expect("stdout");
            }
            writeln!(out, "\"}}]}}}}").expect("stdout");
        }
        "garbage" => {
            let mut out = std::io::stdout().lock();
            out.write_all(b"loading plugins\n\xff\xfe\x00\n{\"jsonrpc\":\"2.0\"\n[]\n\n").expect("stdout");
            write!(out, "{{\"jsonrpc\":\"2.0\",").and_then(|()| out.flush()).expect("stdout");
            std::thread::sleep(std::time::Duration::from_millis(20));
            writeln!(out, "\"id\":{id},\"result\":{}}}", text("at last")).expect("stdout");
        }
        "not_strict" => say(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[],"content":[]}}}}"#)),
        "elicit" => {
            say(&json!({"jsonrpc": "2.0", "id": "e-1", "method": "elicitation/create", "params": {
                "message": "Which one?", "requestedSchema": {"type": "object", "properties": {"x": {"type": "string"}}}}}).to_string());
            let said = asked.next().expect("an answer").expect("a line");
            let said: Value = serde_json::from_str(&said).expect("JSON");
            answer(id, &text(said["error"]["message"].as_str().expect("an error")));
        }
        "asks" => answer(
            id,
            &json!({"resultType": "input_required", "inputRequests": {"x": {"method": "elicitation/create"}}}),
        ),
        "picture" => answer(
            id,
            &json!({"content": [
            {"type": "text", "text": "a picture"}, {"type": "image", "data": "aGk=", "mimeType": "image/png"}, {"type": "of-tomorrow", "x": 1}]}),
        ),
        "tells" => {
            say(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}).to_string());
            answer(id, &text("told"));
        }
        "fails" => answer(id, &json!({"content": [{"type": "text", "text": "the disk is full"}], "isError": true})),
        "structured" => answer(id, &json!({"content": [], "structuredContent": {"arguments": params["arguments"]}})),
        "breaks_word" => {
            note(folder, "effects", "");
            answer(id, &json!({"content": [], "structuredContent": {"other": 1}}));
        }
        "acts" => {
            note(folder, "effects", "");
            answer(id, &text("acted"));
        }
        "says_secret" => {
            note(folder, "effects", "");
            answer(id, &text(&std::env::var(THE_SECRET).expect("a secret")));
        }
        "looked" => answer(id, &kills::looked(folder, params)),
        work if work.ends_with("_work") => kills::work(folder, id, params),
        _ => answer(id, &text(&format!("{name} done"))),
    }
}

/// Answers a request.
pub fn answer(id: &Value, result: &Value) {
    say(&json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string());
}

/// Past the capture of the test harness, which only knows `print!`.
fn say(line: &str) {
    writeln!(std::io::stdout().lock(), "{line}").expect("stdout");
}

/// Leaves a line in one of the server's files.
pub fn note(folder: &Path, what: &str, line: &str) {
    let file = std::fs::OpenOptions::new().append(true).create(true).open(folder.join(what));
    writeln!(file.expect("a file"), "{line}").expect("noted");
}
