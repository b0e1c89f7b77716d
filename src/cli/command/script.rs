//! A daemon that follows a script, for tests: every answer is written down, and every question is kept.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::cli::args::Globals;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::ui::paper::Paper;
use crate::cli::ui::{Seen, Ui};

/// A status and a body; no answer at all means: read the question and hang up.
pub type Answer = Option<(u16, Value)>;

struct Script {
    address: String,
    daemon: JoinHandle<Vec<String>>,
}

impl Script {
    /// Answers as many questions as there are answers, one connection each.
    fn new(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let daemon = thread::spawn(move || {
            let mut asked = Vec::new();
            for answer in answers {
                let (stream, _) = listener.accept().expect("a connection");
                asked.push(serve(stream, answer));
            }
            asked
        });
        Self { address, daemon }
    }
}

/// One question, as `METHOD PATH BODY`.
fn serve(mut stream: TcpStream, answer: Answer) -> String {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).expect("a question");
        bytes.extend_from_slice(&part[..read]);
        let text = String::from_utf8(bytes.clone()).expect("UTF-8");
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().expect("a length")) {
                break (head.to_owned(), body.to_owned());
            }
        }
    };
    if let Some((status, value)) = answer {
        // Text is sent as it is: lines of a stream.
        let body = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let length = body.len();
        write!(stream, "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
            .expect("an answer");
    }
    let first = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1");
    format!("{first} {body}").trim_end().to_owned()
}

/// What a command did.
pub struct Played<T> {
    /// Its result.
    pub result: Result<T, CliError>,
    /// Its stdout.
    pub out: String,
    /// Its stderr.
    pub err: String,
    /// What it asked the daemon.
    pub asked: Vec<String>,
}

/// Runs a command against the script, which must be played to its end.
pub fn play<T>(seen: Seen, answers: Vec<Answer>, command: impl FnOnce(&Context) -> Result<T, CliError>) -> Played<T> {
    let script = Script::new(answers);
    let (out, err) = (Paper::default(), Paper::default());
    let ui = Ui::to(Box::new(out.clone()), Box::new(err.clone()), None, seen, false, 0);
    let globals = Globals { socket: Some(script.address), ..Globals::default() };
    let result = command(&Context::printing_to(globals, ui));
    let asked = script.daemon.join().expect("the script was played to its end");
    Played { result, out: out.text(), err: err.text(), asked }
}
