//! Flag, environment, file, default: the first that speaks is heard.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::domain::id::ToolName;
use crate::pipeline::opening::Deadlines;
use crate::pipeline::port::{Fatigue, Retention};

use super::file::{self, File, Span, Within};
use super::{
    Approval, Config, Demo, Invalid, Kept, Limits, Local, LocalUser, Mcp, Origin, Place, Server, Setting, Store, Tools,
};

/// What the command line said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--socket`
    pub socket: Option<PathBuf>,
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--allow-remote`
    pub allow_remote: bool,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--drain`
    pub drain: Option<Duration>,
}

/// Everything an operator said. It has no `Debug`: the environment holds keys.
#[derive(Clone, Default)]
pub struct Sources<'a> {
    /// `toolctl.toml` and its text, if there is one.
    pub file: Option<(&'a Path, &'a str)>,
    /// The environment, over the variables of an `.env` file where one was named.
    pub environment: BTreeMap<String, String>,
    /// The command line.
    pub flags: Flags,
}

impl Sources<'_> {
    /// An empty variable says nothing.
    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn typed<T: FromStr>(&self, name: &'static str, hint: &str) -> Result<Option<T>, Invalid> {
        let read = |text: &str| text.parse().map_err(|_| refuse(name, format!("`{text}` will not do"), hint));
        self.variable(name).map(read).transpose()
    }
}

/// The first that speaks.
fn first<T>(
    flag: Option<(&'static str, T)>,
    variable: Option<(&'static str, T)>,
    file: Option<T>,
    default: T,
) -> Setting<T> {
    match (flag, variable, file) {
        (Some((name, value)), _, _) => Setting { value, origin: Origin::Flag(name) },
        (None, Some((name, value)), _) => Setting { value, origin: Origin::Environment(name) },
        (None, None, Some(value)) => Setting { value, origin: Origin::File },
        (None, None, None) => Setting { value: default, origin: Origin::Default },
    }
}

fn from_file<T>(file: Option<T>, default: T) -> Setting<T> {
    first(None, None, file, default)
}

fn refuse(name: &'static str, message: String, hint: &str) -> Invalid {
    Invalid { place: Place::Named(name), message, hint: Some(hint.to_owned()) }
}

/// Merges everything an operator said.
pub fn merge(sources: &Sources<'_>) -> Result<Config, Invalid> {
    let file = match sources.file {
        Some((path, text)) => file::read(path, text)?,
        None => File::default(),
    };
    Ok(Config {
        server: server(sources, file.server)?,
        limits: limits(sources, &file.limits)?,
        approval: approval(&file.approval),
        mcp: mcp(sources, file.mcp)?,
        retention: retention(sources, &file.retention)?,
        store: Store { data_dir: data_dir(sources, file.store) },
        tools: Tools {
            folder: from_file(file.tools.folder.map(Some), None),
            servers: from_file(file.tools.servers, true),
        },
        local: local(sources, &file.local, file.local_user)?,
        demo: demo(sources)?,
    })
}

fn server(sources: &Sources<'_>, file: file::Server) -> Result<Server, Invalid> {
    let flags = &sources.flags;
    let socket = first(
        flags.socket.clone().map(|path| ("--socket", Some(path))),
        sources.variable("TOOLCTL_SOCKET").map(|path| ("TOOLCTL_SOCKET", Some(path.into()))),
        file.socket.map(Some),
        None,
    );
    let variable = sources.typed("TOOLCTL_LISTEN", "name an address and a port, for example `127.0.0.1:8000`")?;
    let written = file.listen.as_ref().map(|listen| *listen.get_ref());
    let listen = first(
        flags.listen.map(|address| ("--listen", Some(address))),
        variable.map(|address| ("TOOLCTL_LISTEN", Some(address))),
        written.map(Some),
        None,
    );
    let allow_remote = first(flags.allow_remote.then_some(("--allow-remote", true)), None, file.allow_remote, false);
    if let Some(address) = listen.value.filter(|address| !address.ip().is_loopback() && !allow_remote.value) {
        let place = match (&listen.origin, sources.file, &file.listen) {
            (Origin::Flag(name) | Origin::Environment(name), _, _) => Place::Named(name),
            (_, Some((path, text)), Some(written)) => Place::in_text(path, text, written.span()),
            _ => Place::Named("listen"),
        };
        return Err(Invalid {
            place,
            message: format!("`{address}` can be reached from other machines"),
            hint: Some(
                "listen on 127.0.0.1, or say --allow-remote (`allow_remote = true`) if that is meant".to_owned(),
            ),
        });
    }
    Ok(Server {
        socket,
        listen,
        allow_remote,
        drain: first(
            flags.drain.map(|drain| ("--drain", drain)),
            None,
            file.drain.map(|drain| drain.0),
            Duration::from_secs(30),
        ),
        allowed_hosts: from_file(file.allowed_hosts, Vec::new()),
        most_connections: from_file(file.most_connections.map(|most| most.0 as usize), 1_024),
    })
}

fn limits(sources: &Sources<'_>, file: &file::Limits) -> Result<Limits, Invalid> {
    const NAME: &str = "RATE_LIMIT_PER_MIN";
    let hint = "give a whole number of requests per minute, for example `600`";
    let rate = sources.typed::<i64>(NAME, hint)?.map(Within::<1_000_000>::new).transpose();
    let rate = rate.map_err(|message| refuse(NAME, message, hint))?;
    let rate_per_minute = first(None, rate.map(|rate| (NAME, rate.0)), file.rate_per_minute.map(|rate| rate.0), 600);
    // Whoever allows 5 a minute does not mean 100 at once.
    let burst = from_file(file.burst.map(|burst| burst.0), rate_per_minute.value.min(100));
    Ok(Limits {
        rate_per_minute,
        burst,
        failed_attempts_per_minute: from_file(file.failed_attempts_per_minute.map(|most| most.0), 10),
        pending_per_principal: from_file(
            file.pending_per_principal.map(|most| most.0 as usize),
            Fatigue::default().most_pending,
        ),
    })
}

fn approval(file: &file::Approval) -> Approval {
    let usual = Deadlines::default();
    Approval {
        decide_by: from_file(file.decide_by.map(|span| span.0), usual.decide),
        execute_within: from_file(file.execute_within.map(|span| span.0), usual.execute),
    }
}

fn mcp(sources: &Sources<'_>, file: file::Mcp) -> Result<Mcp, Invalid> {
    const LONGEST: Duration = Duration::from_secs(25);
    if let Some(hold) = file.hold.as_ref().filter(|hold| hold.get_ref().0 > LONGEST) {
        return Err(Invalid {
            place: place(sources, hold.span()),
            message: "`hold` is longer than 25s: clients would give up first".to_owned(),
            hint: Some("their model can go on waiting with the tool `toolctl_wait`".to_owned()),
        });
    }
    Ok(Mcp { hold: from_file(file.hold.map(|hold| hold.get_ref().0), Duration::from_secs(20)) })
}

fn retention(sources: &Sources<'_>, file: &file::Retention) -> Result<Kept, Invalid> {
    let usual = Retention::default();
    let span = |written: &Option<toml::Spanned<Span>>| written.as_ref().map(|span| span.get_ref().0);
    let kept = Kept {
        results: from_file(span(&file.results), usual.bodies),
        tombstones: from_file(span(&file.tombstones), usual.tombstones),
    };
    if kept.tombstones.value > kept.results.value {
        return Ok(kept);
    }
    let written = file.tombstones.as_ref().or(file.results.as_ref()).map_or(0..0, toml::Spanned::span);
    Err(Invalid {
        place: place(sources, written),
        message: "`tombstones` is not longer than `results`: a key whose result is gone could run again".to_owned(),
        hint: Some("make `tombstones` longer, for example 90 days more than `results`".to_owned()),
    })
}

fn data_dir(sources: &Sources<'_>, file: file::Store) -> Setting<Option<PathBuf>> {
    first(
        sources.flags.data_dir.clone().map(|path| ("--data-dir", Some(path))),
        sources.variable("TOOLCTL_DATA_DIR").map(|path| ("TOOLCTL_DATA_DIR", Some(path.into()))),
        file.data_dir.map(Some),
        None,
    )
}

fn local(sources: &Sources<'_>, file: &file::Local, users: Vec<file::LocalUser>) -> Result<Local, Invalid> {
    let mut seen: BTreeMap<u32, LocalUser> = BTreeMap::new();
    for user in users {
        let refuse = |span, message, hint: &str| {
            Err(Invalid { place: place(sources, span), message, hint: Some(hint.to_owned()) })
        };
        let uid = *user.uid.get_ref();
        if user.groups.get_ref().is_empty() {
            let hint = "name at least one, for example `groups = [\"operators\"]`";
            return refuse(user.groups.span(), format!("the user `{uid}` is in no group"), hint);
        }
        let span = user.uid.span();
        let groups = user.groups.into_inner();
        let one = LocalUser { uid, groups, allow_self_approval: user.allow_self_approval };
        if seen.insert(uid, one).is_some() {
            return refuse(span, format!("the user `{uid}` stands twice"), "put all its groups into one entry");
        }
    }
    Ok(Local { allow_self_approval: from_file(file.allow_self_approval, true), users: seen.into_values().collect() })
}

fn demo(sources: &Sources<'_>) -> Result<Demo, Invalid> {
    const TOOLS: &str = "ALLOWED_TOOLS";
    let read = |name: &str| {
        name.parse::<ToolName>()
            .map_err(|error| refuse(TOOLS, error.to_string(), "list tools by name, separated by commas"))
    };
    let names = sources.variable(TOOLS).map(|list| {
        list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(read).collect::<Result<Vec<_>, _>>()
    });
    Ok(Demo { api_key: sources.variable("API_KEY").map(str::to_owned), allowed_tools: names.transpose()? })
}

fn place(sources: &Sources<'_>, span: std::ops::Range<usize>) -> Place {
    match sources.file {
        Some((path, text)) => Place::in_text(path, text, span),
        None => Place::Named("toolctl.toml"),
    }
}
