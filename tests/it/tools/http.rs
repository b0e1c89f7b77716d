//! Requests as tools: what goes over the wire, what comes back, and everything a server can do wrong. Each server is a
//! closure, so that the test shows what it does.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::{call, daemon};
use crate::support::server::{answer, raw};
use crate::support::{Daemon, Heard, Server, until};

/// A tool `t` of this class at this server, with these lines in `[tool]` and these in `[tool.http]`.
fn tool(server: &Server, effect: &str, tool: &str, http: &str) -> String {
    let body = if http.contains("method") { "" } else { "method = \"POST\"\njson = \"arguments\"" };
    let url = if http.contains("url") { String::new() } else { format!("url = \"{}/do\"", server.url()) };
    format!(
        "[tool]\nname = \"t\"\ndescription = \"A test.\"\neffect = \"{effect}\"\ndestructive = false\nrisk = \"low\"\n\
         {tool}\n[tool.http]\n{url}\n{body}\nallow = [\"{}\"]\n{http}\n",
        server.place()
    )
}

/// A daemon with that tool.
fn asking(server: &Server, effect: &str, lines: (&str, &str)) -> Daemon {
    daemon(&[("t.toml", &tool(server, effect, lines.0, lines.1))])
}

/// State, effect and error code of an answer; a call that has none of its own says what its problem says.
fn ended(answer: &Value) -> (String, String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let code = [&answer["error"]["code"], &answer["code"]].into_iter().find(|code| code.is_string());
    (text(&answer["state"]), text(&answer["effect"]), code.map(text).unwrap_or_default())
}

#[track_caller]
fn is(answer: &Value, state: &str, effect: &str, code: &str) {
    assert_eq!(ended(answer), (state.to_owned(), effect.to_owned(), code.to_owned()), "{answer}");
}

fn message(answer: &Value) -> String {
    answer["error"]["detail"].as_str().or(answer["detail"].as_str()).unwrap_or_default().to_owned()
}

#[test]
fn a_file_becomes_a_request_that_is_guarded_sent_and_recorded() {
    let server = Server::saying(201, &json!({"note": {"id": 7, "text": "hi & bye"}}));
    let arguments = "[tool.arguments]\ncustomer = { type = \"string\", required = true }\n\
                     text = { type = \"string\", required = true }\ntags = { type = \"array\", items = { type = \"string\" } }";
    let http = format!(
        "method = \"POST\"\nurl = \"{}/v1/customers/{{customer}}/notes\"\nquery = {{ tag = \"{{tags...}}\" }}\n\
         json = {{ text = \"{{text}}\" }}\nheaders = {{ X-Team = \"support\" }}\nauth = {{ bearer = \"env:THE_TOKEN\" }}\n\
         response = {{ output = \"/note\" }}",
        server.url()
    );
    let mut daemon = Daemon::prepared(&[], &[("THE_TOKEN", "s3cr3t-token")]);
    super::put(&daemon, &[("t.toml", &tool(&server, "keyed", arguments, &http))]);
    daemon.restart();
    let listed = daemon.cli(&["-o", "json", "tools", "show", "t"]).json();
    assert_eq!((&listed["source"], &listed["effect"]), (&json!("http"), &json!("keyed")));

    let answer = call(&daemon, "t", &json!({"customer": "a b", "text": "hi & bye", "tags": ["x", "y&z"]}));
    is(&answer, "succeeded", "done", "");
    assert_eq!(answer["output"], json!({"id": 7, "text": "hi & bye"}));
    let heard = server.heard();
    let [Heard { method, target, headers, body }] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!((method.as_str(), target.as_str()), ("POST", "/v1/customers/a%20b/notes?tag=x&tag=y%26z"));
    assert_eq!(body, r#"{"text":"hi & bye"}"#);
    for (name, value) in [
        ("authorization", "Bearer s3cr3t-token"),
        ("x-team", "support"),
        ("content-type", "application/json"),
        ("accept", "application/json"),
        ("accept-encoding", "identity"),
        ("connection", "close"),
        ("host", &server.place()),
    ] {
        assert_eq!(headers.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(headers["idempotency-key"].len(), 64, "a key of ours");
    assert_ne!(json!(headers["idempotency-key"]), answer["idempotency_key"], "the caller's key stays here");

    let id = answer["id"].as_str().expect("an id");
    let records = daemon.audit(&format!("call={id}"));
    let kinds: Vec<_> = records.iter().map(|record| record["type"].clone()).collect();
    assert_eq!(kinds, ["call.dispatched", "call.completed"]);
    assert_eq!(
        (&records[1]["detail"]["status"], &records[1]["detail"]["peer"]),
        (&json!("201"), &json!(server.place()))
    );
    assert!(!daemon.http("GET", "/v1/audit").send().lines().iter().any(|line| line.to_string().contains("s3cr3t")));
    daemon.cli(&["audit", "verify"]).exits(0);

    // What has no place in the address is told before anything is recorded or sent.
    let refused = call(&daemon, "t", &json!({"customer": "../admin", "text": "x"}));
    is(&refused, "", "none", "arguments-invalid");
    assert_eq!(refused["errors"][0]["path"], "/customer", "{refused}");
    assert_eq!(server.heard().len(), 1);
}

#[test]
fn an_approver_sees_the_request_and_no_secret() {
    let server = Server::saying(200, &json!({}));
    let text = tool(
        &server,
        "once",
        "arguments = { a = { type = \"integer\" } }",
        "auth = { header = \"X-Key\", secret = \"env:THE_KEY\" }",
    );
    let daemon = daemon(&[("t.toml", &text.replace("risk = \"low\"", "risk = \"high\""))]);
    let agent = daemon.agent("bot");
    daemon.cli(&["call", "t", "--a", "7", "--no-wait"]).key(&agent).exits(8);
    let dossier = daemon.http("GET", "/v1/approvals/1").send().json();
    let runs = dossier["runs"].as_array().expect("what would run").clone();
    assert_eq!(runs.first(), Some(&json!(format!("POST {}/do", server.url()))), "{dossier}");
    assert!(runs.contains(&json!("X-Key: ‹secret:env:THE_KEY›")), "{dossier}");
    assert_eq!(runs.last(), Some(&json!("{\"a\":7}")), "{dossier}");
    let shown = daemon.cli(&["-o", "table", "approvals", "show", "1"]).succeeds();
    assert!(shown.contains("\"X-Key: ‹secret:env:THE_KEY›\"\n") && shown.contains("    {\"a\":7}\n"), "{shown}");
    // The secret is not there: nothing is sent, and the message names the reference.
    let _told = daemon.cli(&["approve", "1", "--yes"]).ends();
    let ended_call = daemon.http("GET", "/v1/calls").send().json()["calls"][0].clone();
    is(&ended_call, "failed", "none", "tool-failed");
    assert!(message(&ended_call).contains("the secret `env:THE_KEY` is not set"), "{ended_call}");
    assert_eq!(server.heard(), []);
}

/// One thing that a server does, and how calls of the four classes end: readonly, idempotent, keyed, once.
type Row = (&'static str, fn(&Heard, &mut TcpStream), [(&'static str, &'static str, &'static str); 4]);

const NOTHING: [(&str, &str, &str); 4] = [("failed", "none", "tool-failed"); 4];
const UNKNOWN: [(&str, &str, &str); 4] = [
    ("failed", "none", "tool-failed"),
    ("failed", "unknown", "tool-failed"),
    ("in_doubt", "unknown", "outcome-unknown"),
    ("in_doubt", "unknown", "outcome-unknown"),
];
const SLOW: [(&str, &str, &str); 4] =
    [("failed", "none", "tool-timeout"), ("failed", "unknown", "tool-timeout"), UNKNOWN[2], UNKNOWN[3]];
const INVALID: [(&str, &str, &str); 4] = [
    ("failed", "none", "output-invalid"),
    ("failed", "done", "output-invalid"),
    ("failed", "done", "output-invalid"),
    ("failed", "done", "output-invalid"),
];
const FLOODED: [(&str, &str, &str); 4] =
    [("failed", "none", "output-invalid"), ("failed", "unknown", "output-invalid"), UNKNOWN[2], UNKNOWN[3]];

/// Longer than any limit on time here.
const FOR_EVER: Duration = Duration::from_secs(600);

const ROWS: [Row; 20] = [
    ("says nothing", |_, _| std::thread::sleep(FOR_EVER), SLOW),
    ("hangs up", |_, _| {}, UNKNOWN),
    ("says half a status", |_, stream| raw(stream, b"HTTP/1.1 20"), UNKNOWN),
    ("speaks something else", |_, stream| raw(stream, b"220 mail.example ESMTP\r\n"), UNKNOWN),
    ("refuses", |_, stream| answer(stream, 422, "{\"detail\":\"no\"}"), NOTHING),
    ("fails", |_, stream| answer(stream, 500, ""), UNKNOWN),
    ("is not there behind its gateway", |_, stream| answer(stream, 503, ""), UNKNOWN),
    ("is busy", |_, stream| raw(stream, b"HTTP/1.1 429 X\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n"), NOTHING),
    (
        "sends to the metadata of a cloud",
        |_, stream| raw(stream, b"HTTP/1.1 307 X\r\nLocation: http://169.254.169.254/x\r\nContent-Length: 0\r\n\r\n"),
        NOTHING,
    ),
    (
        "says that it was done elsewhere",
        |_, stream| raw(stream, b"HTTP/1.1 303 X\r\nLocation: http://169.254.169.254/x\r\nContent-Length: 0\r\n\r\n"),
        UNKNOWN,
    ),
    ("cuts its answer off", |_, stream| raw(stream, b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\n{\"id\""), UNKNOWN),
    (
        "cuts a chunk off",
        |_, stream| raw(stream, b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{\"id\""),
        UNKNOWN,
    ),
    (
        "says too short a length",
        |_, stream| raw(stream, b"HTTP/1.1 200 X\r\nContent-Length: 3\r\n\r\n{\"id\":7}"),
        INVALID,
    ),
    (
        "says no UTF-8",
        |_, stream| raw(stream, b"HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\n{\"id\":\"\xff\"}"),
        INVALID,
    ),
    ("says no JSON", |_, stream| answer(stream, 200, "<html>"), INVALID),
    ("says what was not declared", |_, stream| answer(stream, 200, "{\"id\":\"seven\"}"), INVALID),
    ("says a long answer", |_, stream| answer(stream, 200, &"x".repeat(100_000)), INVALID),
    (
        "never ends",
        |_, stream| {
            raw(stream, b"HTTP/1.1 200 X\r\n\r\n");
            while std::io::Write::write_all(stream, &[b' '; 4_096]).is_ok() {}
        },
        FLOODED,
    ),
    (
        "has endless headers",
        |_, stream| {
            raw(stream, b"HTTP/1.1 200 X\r\n");
            while std::io::Write::write_all(stream, b"X-More: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")
                .is_ok()
            {}
        },
        UNKNOWN,
    ),
    (
        "only ever says that it goes on",
        |_, stream| while std::io::Write::write_all(stream, b"HTTP/1.1 103 X\r\n\r\n").is_ok() {},
        SLOW,
    ),
];

#[test]
fn whatever_a_server_does_the_class_says_what_it_means() {
    const CLASSES: [&str; 4] = ["readonly", "idempotent", "keyed", "once"];
    let servers = ROWS.map(|(_, does, _)| Server::start(does));
    let mut text = String::new();
    for (row, (server, (.., expected))) in servers.iter().zip(&ROWS).enumerate() {
        // Only who is too slow is to be cut off, also where this machine is.
        let timeout = if *expected == SLOW { "1s" } else { "60s" };
        for class in CLASSES {
            let schema = format!(
                "timeout = \"{timeout}\"\noutput_limit = \"10 KiB\"\n\
                 output = {{ type = \"object\", properties = {{ id = {{ type = \"integer\" }} }} }}"
            );
            let one = tool(server, class, &schema, "");
            let one = one.replacen("[tool]", "[[tool]]", 1);
            text.push_str(&one.replacen("name = \"t\"", &format!("name = \"t{row}_{class}\""), 1));
        }
    }
    let mut daemon = Daemon::prepared(&["--env-file", ".env"], &[]);
    std::fs::write(daemon.dir().join(".env"), crate::support::daemon::UNHURRIED).expect("the env file");
    super::put(&daemon, &[("t.toml", &text)]);
    daemon.restart();
    std::thread::scope(|scope| {
        for (row, (what, _, expected)) in ROWS.iter().enumerate() {
            let daemon = &daemon;
            scope.spawn(move || {
                for (class, expected) in CLASSES.iter().zip(expected) {
                    let answer = call(daemon, &format!("t{row}_{class}"), &json!({}));
                    let told = ended(&answer);
                    let told = (told.0.as_str(), told.1.as_str(), told.2.as_str());
                    assert_eq!(told, *expected, "a server that {what}, {class}: {answer}");
                }
            });
        }
    });
    for (server, (what, ..)) in servers.iter().zip(&ROWS) {
        assert_eq!(server.heard().len(), 4, "a server that {what} is asked once by each");
    }
    daemon.cli(&["audit", "verify"]).exits(0);
}

#[test]
fn where_nobody_listens_nothing_has_happened() {
    let place = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        listener.local_addr().expect("an address").to_string()
    };
    for (url, code, why) in [
        (format!("http://{place}/do"), "tool-failed", "cannot be reached"),
        (format!("https://{place}/do"), "tool-failed", "cannot be reached"),
        ("http://localhost:9/do".to_owned(), "egress-forbidden", "is at the loopback address"),
        ("http://no-such-name.invalid/do".to_owned(), "tool-failed", "cannot be resolved"),
    ] {
        let text = format!(
            "[tool]\nname = \"t\"\ndescription = \"A test.\"\nrisk = \"low\"\ndestructive = false\n[tool.http]\n\
             method = \"POST\"\nurl = \"{url}\"\nallow = [\"{place}\"]\n"
        );
        let daemon = daemon(&[("t.toml", &text)]);
        let answer = call(&daemon, "t", &json!({}));
        is(&answer, "failed", "none", code);
        assert!(message(&answer).contains("`t` sent nothing: ") && message(&answer).contains(why), "{answer}");
    }
}

/// Answers the first requests with the first statuses and everything after them with 200.
fn wavering(statuses: &'static [u16]) -> Server {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    Server::start(move |_, stream| {
        let number = asked.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        match statuses.get(number) {
            Some(0) => {}
            Some(status) => answer(stream, *status, "{}"),
            None => answer(stream, 200, "{\"ok\":true}"),
        }
    })
}

#[test]
fn a_request_is_sent_again_only_where_that_is_harmless() {
    const RETRY: &str = "retry = { attempts = 3, wait = \"1ms\" }";
    // Class, what the server does first, what comes of it, and how often it was asked.
    /// The class, the statuses in turn, how the call ended, and how often it was sent.
    type Row<'a> = (&'a str, &'a [u16], (&'a str, &'a str, &'a str), usize);
    let rows: [Row<'_>; 11] = [
        ("readonly", &[503, 0], ("succeeded", "none", ""), 3),
        ("idempotent", &[502, 0], ("succeeded", "done", ""), 3),
        ("keyed", &[0, 504], ("succeeded", "done", ""), 3),
        ("once", &[429, 429], ("succeeded", "done", ""), 3),
        ("once", &[503], ("in_doubt", "unknown", "outcome-unknown"), 1),
        ("once", &[0], ("in_doubt", "unknown", "outcome-unknown"), 1),
        ("idempotent", &[500], ("failed", "unknown", "tool-failed"), 1),
        ("idempotent", &[422], ("failed", "none", "tool-failed"), 1),
        // A no to the second says nothing of the first.
        ("idempotent", &[0, 409], ("failed", "unknown", "tool-failed"), 2),
        ("keyed", &[0, 409], ("in_doubt", "unknown", "outcome-unknown"), 2),
        ("readonly", &[503, 503, 503, 503], ("failed", "none", "tool-failed"), 3),
    ];
    for (class, statuses, expected, asked) in rows {
        let server = wavering(statuses);
        let window = if class == "keyed" { "dedupe_window = \"1h\"" } else { "" };
        let daemon = asking(&server, class, (window, RETRY));
        let answer = call(&daemon, "t", &json!({}));
        is(&answer, expected.0, expected.1, expected.2);
        let heard = server.heard();
        assert_eq!(heard.len(), asked, "{class} {statuses:?}");
        let keys: std::collections::BTreeSet<_> =
            heard.iter().map(|heard| heard.headers.get("idempotency-key")).collect();
        assert_eq!(keys.len(), 1, "the same key each time");
    }
    // Without a window nobody knows how long the key is remembered.
    let server = wavering(&[503]);
    let daemon = asking(&server, "keyed", ("", RETRY));
    is(&call(&daemon, "t", &json!({})), "in_doubt", "unknown", "outcome-unknown");
    assert_eq!(server.heard().len(), 1);
}

#[test]
fn a_server_that_asks_for_more_time_than_there_is_is_left_alone() {
    // The last is longer than any clock can tell.
    for seconds in ["3600", "18446744073709551615"] {
        let refusal = format!("HTTP/1.1 503 X\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\n\r\n");
        let server = Server::start(move |_, stream| raw(stream, refusal.as_bytes()));
        let daemon = asking(&server, "readonly", ("", "retry = { attempts = 5, wait = \"1ms\" }"));
        let answer = call(&daemon, "t", &json!({}));
        is(&answer, "failed", "none", "tool-failed");
        assert!(message(&answer).contains(&format!("left alone for {seconds} s")), "{answer}");
        assert_eq!(server.heard().len(), 1);
    }
}

#[test]
fn statuses_mean_what_was_declared() {
    let server = Server::start(|heard, stream| {
        let status = heard.target.trim_start_matches("/s/").parse().expect("a status");
        answer(stream, status, r#"{"why":{"text":"because"}}"#);
    });
    let http = format!(
        "method = \"POST\"\nurl = \"{}/s/{{status}}\"\nresponse = {{ success = [200, 409], not_found = [404, 460], no_effect = [\"5xx\"], \
         temporary = [503], unknown = [400], error = \"/why/text\" }}",
        server.url()
    );
    let daemon = asking(&server, "once", ("arguments = { status = { type = \"integer\", required = true } }", &http));
    for (status, expected) in [
        (200, ("succeeded", "done", "")),
        (409, ("succeeded", "done", "")),
        (404, ("failed", "none", "object-not-found")),
        (460, ("failed", "none", "object-not-found")),
        (500, ("failed", "none", "tool-failed")),
        (503, ("failed", "none", "tool-failed")),
        (400, ("in_doubt", "unknown", "outcome-unknown")),
        (403, ("failed", "none", "tool-failed")),
        (408, ("in_doubt", "unknown", "outcome-unknown")),
    ] {
        let answer = call(&daemon, "t", &json!({"status": status}));
        is(&answer, expected.0, expected.1, expected.2);
        if expected.0 == "failed" {
            assert!(message(&answer).ends_with(": because"), "{answer}");
        }
    }
}

#[test]
fn what_the_probe_knows_of_a_lost_answer_nobody_is_asked() {
    for (happened, expected) in [(true, ("succeeded", "done", "")), (false, ("failed", "none", "tool-failed"))] {
        let server = Server::start(move |heard, stream| {
            if heard.method == "GET" {
                answer(stream, 200, &json!({"payments": {"found": happened}}).to_string());
            }
        });
        let pay = tool(
            &server,
            "once",
            "probe = \"paid\"\narguments = { order = { type = \"integer\", required = true } }",
            "",
        );
        let pay = pay.replacen("[tool]", "[[tool]]", 1);
        let paid = format!(
            "[[tool]]\nname = \"paid\"\ndescription = \"Says whether an order is paid.\"\neffect = \"readonly\"\n\
             [tool.arguments]\norder = {{ type = \"integer\", required = true }}\n[tool.http]\n\
             url = \"{}/orders/{{order}}\"\nallow = [\"{}\"]\nresponse = {{ output = {{ happened = \"/payments/found\" }} }}\n",
            server.url(),
            server.place()
        );
        let daemon = daemon(&[("shop.toml", &format!("{pay}{paid}"))]);
        let answer = call(&daemon, "t", &json!({"order": 7}));
        assert_eq!(answer["state"], expected.0, "{answer}");
        assert_eq!(answer["effect"], expected.1, "{answer}");
        assert_eq!(server.heard().last().map(|heard| heard.target.clone()), Some("/orders/7".to_owned()));
        daemon.cli(&["audit", "verify"]).exits(0);
    }
}

#[test]
fn a_call_in_doubt_is_told_everywhere_and_settled_by_a_person() {
    let server = Server::start(|_, _| {});
    let daemon = asking(&server, "once", ("", ""));
    let ending = daemon.cli(&["call", "t"]).exits(10);
    assert!(ending.stderr.contains("in doubt") || ending.stderr.contains("unknown"), "{}", ending.stderr);
    let id = daemon.http("GET", "/v1/calls").send().json()["calls"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(daemon.http("GET", "/v1/status").send().json()["in_doubt"], 1);
    daemon.cli(&["calls", "resolve", &id, "--as", "succeeded", "--note", "seen in the bank"]).exits(0);
    let settled = daemon.http("GET", &format!("/v1/calls/{id}")).send().json();
    assert_eq!((&settled["state"], &settled["effect"]), (&json!("succeeded"), &json!("done")), "{settled}");
    daemon.cli(&["audit", "verify"]).exits(0);
}

#[test]
fn secrets_that_come_back_are_taken_out() {
    let server = Server::start(|heard, stream| {
        let body = json!({"you_sent": heard.headers.get("authorization"), "detail": "no: bWU6czNjcjN0LXRva2Vu"});
        answer(stream, if heard.body.contains("good") { 200 } else { 401 }, &body.to_string());
    });
    let mut daemon = Daemon::prepared(&[], &[("THE_TOKEN", "s3cr3t-token")]);
    let arguments = "arguments = { how = { type = \"string\", required = true } }";
    let auth = "auth = { basic = { user = \"me\", password = \"env:THE_TOKEN\" } }";
    super::put(&daemon, &[("t.toml", &tool(&server, "once", arguments, auth))]);
    daemon.restart();
    for how in ["good", "bad"] {
        let answer = call(&daemon, "t", &json!({"how": how})).to_string();
        assert!(answer.contains("‹secret:env:THE_TOKEN›"), "{answer}");
        for form in ["s3cr3t", "czNjcjN0", "M2NyM3"] {
            assert!(!answer.contains(form), "{answer}");
        }
    }
    assert_eq!(server.heard()[0].headers["authorization"], "Basic bWU6czNjcjN0LXRva2Vu");
}

#[test]
fn proxies_of_the_environment_are_not_asked() {
    let (server, proxy) = (Server::saying(200, &json!({})), Server::saying(200, &json!({"proxy": true})));
    let url = proxy.url();
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"];
    let environment: Vec<(&str, &str)> = names.iter().map(|name| (*name, url.as_str())).collect();
    let mut daemon = Daemon::prepared(&[], &environment);
    super::put(&daemon, &[("t.toml", &tool(&server, "readonly", "", ""))]);
    daemon.restart();
    assert_eq!(call(&daemon, "t", &json!({}))["output"], json!({}));
    assert_eq!((server.heard().len(), proxy.heard().len()), (1, 0));
}

#[test]
fn what_the_command_line_offers_for_requests_works() {
    let server = Server::saying(200, &json!({"pong": true}));
    let text = tool(&server, "readonly", "", &format!("method = \"GET\"\nurl = \"{}/ping\"", server.url()));
    let daemon = daemon(&[]);
    let file = daemon.dir().join("ping.toml");
    std::fs::write(&file, format!("{text}[[tool.example]]\narguments = {{}}\noutput = {{ pong = true }}\n"))
        .expect("written");
    let path = file.display().to_string();
    daemon.cli(&["tools", "lint", &path]).exits(0);
    daemon.cli(&["tools", "add", &path]).exits(0);
    let tested = daemon.cli(&["-o", "json", "tools", "test", "t"]).exits(0).json();
    assert_eq!(tested["failed"], 0, "{tested}");
    assert_eq!(server.heard().len(), 1);
    let new = daemon.cli(&["tools", "new", "http"]).succeeds();
    std::fs::write(daemon.dir().join("new.toml"), new).expect("written");
    let linted = daemon.cli(&["-o", "json", "tools", "lint", &daemon.dir().join("new.toml").display().to_string()]);
    assert_eq!(linted.exits(0).json()["warnings"], json!([]));
    let bad = daemon.dir().join("bad.toml");
    std::fs::write(&bad, text.replace("/ping", "/{pong}")).expect("written");
    let refused = daemon.cli(&["-o", "json", "tools", "lint", &bad.display().to_string()]).exits(2).json();
    assert_eq!(refused["problems"][0]["message"], "the tool has no argument `pong`", "{refused}");
}

#[test]
fn certificates_that_were_replaced_after_an_approval_stop_the_call() {
    let server = Server::saying(200, &json!({}));
    let url = server.url().replace("http://", "https://");
    let text = tool(&server, "once", "", &format!("method = \"POST\"\nurl = \"{url}/do\"\nca = \"ours.pem\""));
    let files = [("t.toml", text.replace("risk = \"low\"", "risk = \"high\"")), ("ours.pem", "one".to_owned())];
    let daemon = daemon(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
    let (agent, anna) = (daemon.agent("bot"), daemon.approver("anna"));
    let asked = daemon.http("POST", "/v1/calls").key(&agent).json(&json!({"tool": "t", "arguments": {}})).send().json();
    super::put(&daemon, &[("ours.pem", "another")]);
    let body = json!({"decision": "approve", "digest": asked["approval"]["digest"]});
    let path = format!("/v1/approvals/{}/decisions", asked["approval"]["id"].as_str().expect("an id"));
    let _answered = daemon.http("POST", &path).key(&anna).json(&body).send();
    let path = format!("/v1/calls/{}?wait=30s", asked["id"].as_str().expect("an id"));
    let ended = until(|| Some(daemon.http("GET", &path).send().json()).filter(|call| call["state"] != "running"));
    is(&ended, "stale", "none", "approval-stale");
    assert!(message(&ended).contains("were replaced"), "{ended}");
    assert_eq!(server.heard(), []);
}
