//! From one `[[upstream]]` table to what is declared of a server: how it is reached, what it may use, and what its
//! operator says of its tools. What it says of itself is none of this file's business.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use toml::Spanned;

use super::program::Programs;
use super::tool::{Desk, other, output_limit, repeats, timeout, varies};
use super::written::{DeclaredTable, UpstreamTable, VariableTable};
use super::{Problem, Source, UpstreamManifest};
use crate::domain::id::ServerName;
use crate::domain::tool::command::{NotASecretRef, SecretRef};
use crate::domain::tool::http::{self, Allowed, Host};
use crate::domain::tool::upstream::{Declared, Given, ProgramReach, Reach, Upstream, WebReach};
use crate::domain::tool::{EffectClass, Extras, RESERVED};
use crate::guard::address;

/// How long a server may take to be there when the file does not say: it may have to be downloaded first.
const START: Duration = Duration::from_secs(60);
/// The longest it may be allowed to take.
const LONGEST_START: Duration = Duration::from_secs(600);
/// Calls that a server is asked at once when the file does not say.
const CONCURRENCY: usize = 8;
/// The most that may be said.
const MOST_CONCURRENCY: usize = 256;
/// Headers that are ours to set.
const OUR_HEADERS: &[&str] = &[
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "transfer-encoding",
    "upgrade",
];

/// What became of a table.
#[derive(Debug, Default)]
pub struct Read {
    /// The server; none when something is wrong with it.
    pub manifest: Option<UpstreamManifest>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is probably not meant.
    pub warnings: Vec<Problem>,
}

/// Reads one table.
pub fn read(source: &Source, table: UpstreamTable, programs: &mut Programs) -> Read {
    let mut desk = Desk { source, programs, problems: Vec::new(), warnings: Vec::new() };
    let manifest = build(&mut desk, table);
    let manifest = manifest.filter(|_| desk.problems.is_empty());
    Read { manifest, problems: desk.problems, warnings: desk.warnings }
}

fn build(desk: &mut Desk<'_>, table: UpstreamTable) -> Option<UpstreamManifest> {
    let place = table.name.span();
    let name = match table.name.get_ref().parse::<ServerName>() {
        Ok(name) if name.as_str().starts_with(RESERVED) => {
            desk.wrong(place.clone(), format!("names that begin with `{RESERVED}` are toolctl's own"), None);
            None
        }
        Ok(name) => Some(name),
        Err(error) => {
            desk.wrong(place.clone(), error.to_string(), None);
            None
        }
    };
    let reach = reach(desk, &table);
    let start_timeout = table.start_timeout.as_ref().map_or(START, |span| span.get_ref().0);
    if let (true, Some(written)) = (start_timeout > LONGEST_START, &table.start_timeout) {
        desk.wrong(written.span(), "a server may take 10 minutes at most to start", None);
    }
    let concurrency = table.concurrency.as_ref().map_or(Some(CONCURRENCY), |written| {
        let number = usize::try_from(*written.get_ref()).ok();
        let number = number.filter(|number| (1..=MOST_CONCURRENCY).contains(number));
        if number.is_none() {
            desk.wrong(written.span(), format!("the concurrency is 1 to {MOST_CONCURRENCY}"), None);
        }
        number
    });
    let upstream = Upstream {
        timeout: timeout(desk, table.timeout.as_ref()),
        start_timeout,
        output_limit: output_limit(desk, table.output_limit.as_ref()),
        concurrency: concurrency.unwrap_or(CONCURRENCY),
        declared: table.tools.iter().map(|(tool, said)| (tool.get_ref().clone(), declared(desk, said))).collect(),
        include: table.include,
        exclude: table.exclude,
        reach: reach?,
        name: name?,
    };
    for tool in table.tools.keys().filter(|tool| !upstream.wants(tool.get_ref())) {
        let message = format!("`{}` is left out by `include` or `exclude`", tool.get_ref());
        desk.warn(tool.span(), message, None);
    }
    let switch = table.enabled.as_ref().map(Spanned::span);
    let enabled = table.enabled.is_none_or(Spanned::into_inner);
    Some(UpstreamManifest { upstream, enabled, file: desk.source.path.clone(), place, switch })
}

fn reach(desk: &mut Desk<'_>, table: &UpstreamTable) -> Option<Reach> {
    match (&table.command, &table.url) {
        (Some(command), None) => {
            let of_web = [
                table.auth.as_ref().map(|auth| (auth.span(), "auth")),
                table.headers.keys().next().map(|header| (header.span(), "headers")),
                table.allow.first().map(|address| (address.span(), "allow")),
            ];
            for (span, word) in of_web.into_iter().flatten() {
                desk.wrong(span, format!("`{word}` is for servers with a `url`"), None);
            }
            program(desk, table, command).map(Reach::Program)
        }
        (None, Some(url)) => {
            let of_programs = [
                table.folder.as_ref().map(|folder| (folder.span(), "folder")),
                table.environment.keys().next().map(|variable| (variable.span(), "environment")),
            ];
            for (span, word) in of_programs.into_iter().flatten() {
                desk.wrong(span, format!("`{word}` is for servers with a `command`"), None);
            }
            web(desk, table, url).map(Reach::Web)
        }
        (Some(_), Some(url)) => {
            desk.wrong(url.span(), "a server has a `command` or a `url`, not both", None);
            None
        }
        (None, None) => {
            let hint =
                "say how it is reached: command = [\"program\", \"argument\"], or url = \"https://…\"".to_owned();
            desk.wrong(table.name.span(), "nothing says how this server is reached", Some(hint));
            None
        }
    }
}

fn program(
    desk: &mut Desk<'_>,
    table: &UpstreamTable,
    command: &Spanned<Vec<Spanned<String>>>,
) -> Option<ProgramReach> {
    let Some((first, arguments)) = command.get_ref().split_first() else {
        desk.wrong(command.span(), "the command is empty", Some("its first element is the program".to_owned()));
        return None;
    };
    let own = desk.source.path.parent().unwrap_or(std::path::Path::new("/")).to_owned();
    let program = match desk.programs.find(first.get_ref(), &own) {
        Ok(program) => Some(program),
        Err(why) => {
            desk.wrong(first.span(), why, Some("give the whole path of a program".to_owned()));
            None
        }
    };
    for argument in arguments.iter().filter(|argument| argument.get_ref().contains('\0')) {
        desk.wrong(argument.span(), "an argument cannot hold a NUL", None);
    }
    let folder = table.folder.as_ref().map(|written| {
        let path = PathBuf::from(written.get_ref());
        if !path.is_absolute() {
            desk.wrong(written.span(), format!("`{}` is not an absolute path", written.get_ref()), None);
        }
        path
    });
    let mut environment = BTreeMap::new();
    for (name, value) in &table.environment {
        let word = name.get_ref();
        let fits = !word.is_empty()
            && !word.starts_with(|sign: char| sign.is_ascii_digit())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !fits {
            desk.wrong(name.span(), format!("`{word}` is no name of a variable"), None);
        } else if word.starts_with("TOOLCTL_") {
            desk.wrong(name.span(), "variables that begin with `TOOLCTL_` are toolctl's own", None);
        } else if let Some(value) = given(desk, value) {
            environment.insert(word.clone(), value);
        }
    }
    let arguments = arguments.iter().map(|argument| argument.get_ref().clone()).collect();
    Some(ProgramReach { program: program?, arguments, folder, environment })
}

fn web(desk: &mut Desk<'_>, table: &UpstreamTable, url: &Spanned<String>) -> Option<WebReach> {
    let web = match WebReach::at(url.get_ref()) {
        Ok(web) => Some(web),
        Err(why) => {
            let hint = "write https://host/path; a key belongs into `auth` or `headers`, never into the URL".to_owned();
            desk.wrong(url.span(), format!("`{}` is no URL of a server: {why}", url.get_ref()), Some(hint));
            None
        }
    };
    let mut headers = BTreeMap::new();
    for (name, value) in &table.headers {
        let word = name.get_ref().to_ascii_lowercase();
        if HeaderName::try_from(&word).is_err() {
            desk.wrong(name.span(), format!("`{}` is no name of a header", name.get_ref()), None);
        } else if OUR_HEADERS.contains(&word.as_str()) {
            desk.wrong(name.span(), format!("the header `{word}` is set by toolctl"), None);
        } else if word == "authorization" && table.auth.is_some() {
            desk.wrong(name.span(), "`auth` sets this header already", None);
        } else if let Some(given) = given(desk, value) {
            if let Given::Text(text) = &given
                && HeaderValue::from_str(text).is_err()
            {
                desk.wrong(value.span(), "a header cannot hold this", None);
            }
            headers.insert(word, given);
        }
    }
    let bearer = table.auth.as_ref().and_then(|auth| secret(desk, &auth.get_ref().bearer));
    let mut allow = Vec::new();
    for written in &table.allow {
        match written.get_ref().parse::<Allowed>() {
            Ok(allowed) => allow.push(allowed),
            Err(error) => desk.wrong(written.span(), error.to_string(), None),
        }
    }
    let web = web?;
    private(desk, url, &web, &allow, !headers.is_empty() || bearer.is_some());
    let reach = http::Reach { allow, ..http::Reach::default() };
    Some(WebReach { headers, bearer, reach, ..web })
}

/// What can be told of the target before anything is resolved.
fn private(desk: &mut Desk<'_>, url: &Spanned<String>, web: &WebReach, allow: &[Allowed], has_secrets: bool) {
    let (host, port) = (&web.origin.host, web.origin.port);
    let mut here = false;
    if let Host::Address(address) = host {
        here = address.is_loopback();
        if let Err(what) = address::permit(allow, host, port, *address) {
            let hint = format!("list it if it is meant: allow = [\"{host}:{port}\"]");
            desk.wrong(url.span(), format!("`{host}` is a {what} address"), Some(hint));
        }
    }
    if has_secrets && !web.origin.tls && !here {
        let hint = "say https".to_owned();
        desk.warn(url.span(), "its secrets go over the network for everybody to read", Some(hint));
    }
}

fn given(desk: &mut Desk<'_>, written: &Spanned<VariableTable>) -> Option<Given> {
    match written.get_ref() {
        VariableTable::Text(text) if text.contains('\0') => {
            desk.wrong(written.span(), "it cannot hold a NUL", None);
            None
        }
        VariableTable::Text(text) => Some(Given::Text(text.clone())),
        VariableTable::Secret(written) => secret(desk, &written.secret).map(Given::Secret),
    }
}

fn secret(desk: &mut Desk<'_>, written: &Spanned<String>) -> Option<SecretRef> {
    let read = written.get_ref().parse();
    read.map_err(|error: NotASecretRef| desk.wrong(written.span(), error.to_string(), None)).ok()
}

fn declared(desk: &mut Desk<'_>, written: &Spanned<DeclaredTable>) -> Declared {
    let table = written.get_ref();
    let effect = table.effect.unwrap_or(EffectClass::Once);
    if let (EffectClass::ReadOnly, Some(said)) = (effect, &table.destructive)
        && *said.get_ref()
    {
        let hint = "say destructive = false, or another effect".to_owned();
        desk.wrong(said.span(), "a tool that only reads destroys nothing", Some(hint));
    }
    repeats(desk, effect, table.dedupe_window.as_ref(), &table.idempotency_ignore);
    let preview = other(desk, table.preview.as_ref());
    Declared {
        effect: table.effect,
        destructive: table.destructive.as_ref().map(|said| *said.get_ref()),
        open_world: table.open_world,
        risk: table.risk,
        timeout: table.timeout.as_ref().map(|span| timeout(desk, Some(span))),
        output_limit: table.output_limit.as_ref().map(|size| output_limit(desk, Some(size))),
        idempotency_ignore: table.idempotency_ignore.iter().map(|pointer| pointer.get_ref().clone()).collect(),
        extras: Extras {
            dedupe_window: table.dedupe_window.as_ref().map(|window| window.get_ref().0),
            probe: other(desk, table.probe.as_ref()),
            preview_varies: varies(desk, preview.as_ref(), table.preview_varies.as_ref()),
            preview,
            tags: table.tags.clone(),
        },
    }
}
