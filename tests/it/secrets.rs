//! P16: planted secrets never show. Twenty of them, of every shape and by every way in, go to a program that prints
//! them in nine encodings, on both streams, in its output and in its failures; the keys of callers and the daemon's
//! pepper are looked for as well. Nothing of them may be in an answer, on a client's stderr, in the daemon's log at its
//! most talkative, in the audit log and its export, in the store, in what runs leave on disk, or on any command line.
//! `TOOLCTL_P16_CANARIES` sets how many.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::daemon::UNHURRIED;
use crate::support::{Daemon, store, until};

/// A secret with the name of the variable that says it.
struct Canary {
    name: String,
    value: String,
}

/// Values that look like what people have: tokens, passwords, keys with lines, words of other alphabets.
fn canaries() -> Vec<Canary> {
    let many = std::env::var("TOOLCTL_P16_CANARIES").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let mut draw = Draw(0x9e37_79b9_7f4a_7c15);
    (0..many)
        .map(|number: usize| {
            let body: String = (0..24).map(|_| draw.sign()).collect();
            let value = match number % 5 {
                0 => format!("tok_{body}"),
                1 => format!("pa ss/\"{body}\\+=&?"),
                2 => format!("-----BEGIN KEY-----\n{body}\n{}\n-----END KEY-----", body.to_uppercase()),
                3 => format!("пароль-{body}-ключ"),
                _ => format!("{body}🔑'{{}}$(x)`"),
            };
            Canary { name: format!("CANARY_{number}"), value }
        })
        .collect()
}

/// A fixed sequence of letters and digits.
struct Draw(u64);

impl Draw {
    fn sign(&mut self) -> char {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        char::from_digit((self.0 >> 20) as u32 % 36, 36).unwrap_or('x')
    }
}

const ENCODINGS: [&str; 9] = ["plain", "base64", "base64url", "hex", "percent", "json", "reversed", "chunks", "utf16"];

/// What a program prints that encodes a secret, with something before and behind it.
fn encoded(encoding: &str, value: &str) -> Vec<u8> {
    match encoding {
        "base64" => STANDARD.encode(value).into_bytes(),
        "base64url" => URL_SAFE_NO_PAD.encode(value).into_bytes(),
        "hex" => value.bytes().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes(),
        "percent" => value
            .bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect::<String>()
            .into_bytes(),
        "json" => {
            let quoted = Value::String(value.to_owned()).to_string();
            quoted.trim_start_matches('"').strip_suffix('"').expect("quoted").as_bytes().to_vec()
        }
        "reversed" => value.chars().rev().collect::<String>().into_bytes(),
        "utf16" => value.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        _ => value.as_bytes().to_vec(),
    }
}

/// A program that prints, for each of its variables with a secret, what the test has prepared for it: in halves where
/// chunks are the point. It checks that it was given the secrets at all.
const TELL: &str = r#"#!/bin/sh
cd "$1" || exit 9
n=0
while [ -e "value.$n" ]; do
  eval "given=\"\$CANARY_$n\""
  case "$given" in /dev/fd/*) given="$(cat "$given"; echo .)"; given="${given%.}" ;; esac
  [ "$given." = "$(cat "value.$n"; echo .)" ] || exit 8
  if [ "$2" = chunks ]; then
    head -c 9 "plain.$n"; sleep 0.01; tail -c +10 "plain.$n"; head -c 9 "plain.$n" >&2; sleep 0.01; tail -c +10 "plain.$n" >&2
  else
    cat "$2.$n"; cat "$2.$n" >&2
  fi
  echo; echo >&2
  n=$((n+1))
done
exit "$3"
"#;

fn manifest(canaries: &[Canary], folder: &Path) -> String {
    let reference = |number: usize, canary: &Canary| match number % 4 {
        0 => format!("{{ secret = \"env:{}\" }}", canary.name),
        1 => format!("{{ secret = \"file:{}\" }}", folder.join(&canary.name).display()),
        2 => format!("{{ secret = \"credential:{}\" }}", canary.name),
        _ => format!("{{ secret = \"env:{}\", as = \"file\" }}", canary.name),
    };
    let variables: Vec<String> = canaries
        .iter()
        .enumerate()
        .map(|(number, canary)| format!("{} = {}", canary.name, reference(number, canary)))
        .collect();
    let tool = |name: &str, output: &str| {
        format!(
            "[[tool]]\nname = \"{name}\"\ndescription = \"Tells.\"\neffect = \"once\"\ndestructive = false\nrisk = \"low\"\n\
             [tool.arguments]\nhow = {{ type = \"string\", required = true }}\nstatus = {{ type = \"integer\", default = 0 }}\n\
             [tool.command]\nprogram = \"./tell.sh\"\narguments = [\"{}\", \"{{how}}\", \"{{status}}\"]\noutput = \"{output}\"\n\
             [tool.command.environment]\n{}\n",
            folder.display(),
            variables.join("\n")
        )
    };
    format!("{}{}", tool("tell", "text"), tool("tell_lines", "lines"))
}

#[test]
fn planted_secrets_never_show() {
    let canaries = canaries();
    let outside = tempfile::tempdir().expect("a folder");
    let folder = outside.path();
    let credentials = folder.join("credentials");
    std::fs::create_dir(&credentials).expect("made");
    for (number, canary) in canaries.iter().enumerate() {
        // A reader of secrets takes one line break at the end of a file for the file's.
        std::fs::write(folder.join(&canary.name), format!("{}\n", canary.value)).expect("written");
        std::fs::write(credentials.join(&canary.name), &canary.value).expect("written");
        std::fs::write(folder.join(format!("value.{number}")), &canary.value).expect("written");
        for encoding in ENCODINGS {
            std::fs::write(folder.join(format!("{encoding}.{number}")), encoded(encoding, &canary.value))
                .expect("written");
        }
    }
    let mut environment: Vec<(&str, &str)> =
        canaries.iter().map(|canary| (canary.name.as_str(), canary.value.as_str())).collect();
    environment.push(("CREDENTIALS_DIRECTORY", credentials.to_str().expect("UTF-8")));
    let mut daemon = Daemon::prepared(&["-vvv", "--env-file", ".env"], &environment);
    std::fs::write(daemon.dir().join(".env"), UNHURRIED).expect("the env file");
    super::tools::put(&daemon, &[("tell.toml", &manifest(&canaries, folder)), ("tell.sh", TELL)]);
    daemon.restart();

    let watch = CommandLines::watch();
    let mut sinks: Vec<(String, Vec<u8>)> = Vec::new();
    let mut told = |name: String, bytes: Vec<u8>| sinks.push((name, bytes));
    let agent = daemon.agent("bot");
    for encoding in ENCODINGS {
        for (tool, status) in [("tell", 0), ("tell_lines", 0), ("tell", 1)] {
            let arguments = json!({"how": encoding, "status": status});
            let answer = daemon
                .http("POST", "/v1/calls")
                .key(&agent)
                .json(&json!({"tool": tool, "arguments": arguments}))
                .send();
            let document = answer.json();
            let place = format!("{encoding}, {tool}, {status}");
            if tool == "tell" {
                // It was there to be found.
                let text = document["output"]["text"]
                    .as_str()
                    .or(document["output"]["stdout"].as_str())
                    .unwrap_or_else(|| panic!("{place}: {document}"));
                assert_eq!(text.matches("‹secret:CANARY_").count(), canaries.len(), "{place}: {text}");
            }
            told(format!("the answer, {place}"), answer.body);
            let id = document["id"].as_str().expect("an id").to_owned();
            let shown = daemon.cli(&["-vvv", "-o", "table", "calls", "show", &id]).ends();
            told(format!("calls show, {place}"), [shown.stdout, shown.stderr].concat().into_bytes());
        }
        let ending = daemon.cli(&["-vvv", "call", "tell", "--how", encoding, "--status", "1"]).key(&agent).exits(3);
        told(format!("the client, {encoding}"), [ending.stdout, ending.stderr].concat().into_bytes());
    }
    // A secret that cannot be read, a key that is wrong, a key in a file, and a key that is shown where none belongs.
    std::fs::remove_file(folder.join(&canaries[1].name)).expect("removed");
    let refused = daemon.cli(&["-vvv", "call", "tell", "--how", "plain"]).key(&agent).ends();
    assert!(refused.stderr.contains("cannot be read"), "{}", refused.stderr);
    told("a missing secret".to_owned(), [refused.stdout, refused.stderr].concat().into_bytes());
    let wrong = format!("{}x", &agent[..agent.len() - 1]);
    let refused = daemon.cli(&["-vvv", "whoami"]).key(&wrong).exits(4);
    told("a wrong key".to_owned(), [refused.stdout, refused.stderr].concat().into_bytes());
    let file = daemon.dir().join("agent.key");
    std::fs::write(&file, format!("{agent}\n")).expect("written");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("private");
    let known = daemon.cli(&["-vvv", "whoami"]).env("TOOLCTL_KEY_FILE", file.to_str().expect("UTF-8")).exits(0);
    told("a key from a file".to_owned(), [known.stdout, known.stderr].concat().into_bytes());
    told("a tool as it is shown".to_owned(), daemon.http("GET", "/v1/tools/tell").send().body);
    told("the policies".to_owned(), daemon.http("GET", "/v1/policy").send().body);
    told("status".to_owned(), daemon.http("GET", "/v1/status").send().body);

    let export = daemon.dir().join("export.jsonl");
    daemon.cli(&["audit", "export", "--out", export.to_str().expect("UTF-8")]).exits(0);
    told("the export".to_owned(), std::fs::read(&export).expect("the export"));
    told("the audit log".to_owned(), daemon.http("GET", "/v1/audit").send().body);
    let spool = daemon.state().join("spool");
    let runs = || {
        std::fs::read_dir(&spool)
            .expect("the spool")
            .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir()))
            .count()
    };
    until(|| (runs() == 0).then_some(()));
    assert_eq!(daemon.terminate(), Some(0));
    told("the daemon's log".to_owned(), daemon.log().into_bytes());
    assert!(daemon.log().len() > 100, "it said something at all");
    told("the store".to_owned(), std::fs::read(store::file(&daemon)).expect("the store"));
    told("command lines".to_owned(), watch.seen().join("\n").into_bytes());

    let pepper = std::fs::read(daemon.state().join("pepper")).expect("the pepper");
    let secret_of = |key: &str| key.split('_').nth(3).expect("the secret part").to_owned();
    let mut needles: Vec<(String, Vec<u8>)> = vec![
        ("the agent's key".to_owned(), secret_of(&agent).into_bytes()),
        ("the pepper".to_owned(), pepper.trim_ascii().to_vec()),
        (
            "the pepper in hexadecimal".to_owned(),
            pepper.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes(),
        ),
        ("the pepper in base64".to_owned(), STANDARD.encode(&pepper).trim_end_matches('=').as_bytes().to_vec()),
    ];
    for canary in &canaries {
        for encoding in ENCODINGS {
            needles.push((format!("{} in {encoding}", canary.name), encoded(encoding, &canary.value)));
        }
        // A line of a value of many is a secret too.
        needles.extend(
            canary
                .value
                .lines()
                .filter(|line| line.len() > 20)
                .map(|line| (canary.name.clone(), line.as_bytes().to_vec())),
        );
    }
    let finder = aho_corasick::AhoCorasick::new(needles.iter().map(|(_, needle)| needle)).expect("a finder");
    let named = |place: usize| &needles.get(place).expect("a needle").0;
    let found: BTreeSet<String> = sinks
        .iter()
        .flat_map(|(sink, bytes)| {
            let shown = finder.find_overlapping_iter(bytes).map(|found| found.pattern().as_usize());
            shown.map(|needle| format!("{} is in {sink}", named(needle))).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(found, BTreeSet::new());
}

/// Every command line of this machine while it is watched.
struct CommandLines {
    stop: Arc<AtomicBool>,
    watcher: std::thread::JoinHandle<BTreeSet<String>>,
}

impl CommandLines {
    fn watch() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&stop);
        let watcher = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !over.load(Ordering::Relaxed) {
                for process in std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
                    let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
                    seen.insert(String::from_utf8_lossy(&line).into_owned());
                }
                // As often as it takes to see most processes, and rarely enough to let them run.
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            seen
        });
        Self { stop, watcher }
    }

    fn seen(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.watcher.join().expect("the watcher");
        assert!(seen.iter().any(|line| line.contains("__shim")), "it saw shims");
        seen.into_iter().collect()
    }
}
