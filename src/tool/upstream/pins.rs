//! What people agreed to, on disk: for each server one file with each definition that was agreed to and the one that
//! was seen last. Listings and policy need no running server, and a server that changes while the daemon is down is
//! noticed as well.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::digest::Digest;
use crate::domain::id::{PrincipalId, ServerName, ToolName};
use crate::domain::time::Timestamp;
use crate::domain::tool::Tool;
use crate::domain::tool::upstream::{Definition, Quarantine, Upstream};

/// The form of the files.
const VERSION: u32 = 1;

/// What is known of the tools of one server, by their names there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins(pub BTreeMap<String, Pin>);

/// What is known of one tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pin {
    /// What somebody agreed to.
    pub trusted: Option<Trusted>,
    /// What the server listed last; none when that was not in its list.
    pub seen: Option<Definition>,
}

/// What somebody agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    /// The definition.
    pub definition: Definition,
    /// Who agreed.
    pub by: PrincipalId,
    /// When.
    pub at: Timestamp,
}

/// One tool of a server as it stands.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its name at the server.
    pub remote: String,
    /// What it is known by: its pin.
    pub pin: Pin,
    /// The tool: what somebody agreed to, or else what the server lists. None when that is unusable.
    pub tool: Option<Tool>,
    /// Why it is not in the catalog; none when it is.
    pub quarantine: Option<Quarantine>,
}

/// What agreeing to some digests would change.
#[derive(Debug, Clone)]
pub struct Agreement {
    /// The pins afterwards.
    pub pins: Pins,
    /// Each tool, with the digest agreed to before, if there was one, and the one agreed to now.
    pub tools: Vec<(ToolName, Option<Digest>, Digest)>,
}

/// A digest that is not that of anything a server lists now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotCurrent(pub Digest);

impl Pin {
    /// Why it is not to be called.
    fn quarantine(&self) -> Option<Quarantine> {
        match (&self.trusted, &self.seen) {
            (_, None) => Some(Quarantine::Gone),
            (None, Some(_)) => Some(Quarantine::New),
            (Some(trusted), Some(seen)) if trusted.definition.digest != seen.digest => Some(Quarantine::Changed),
            (Some(_), Some(_)) => None,
        }
    }
}

impl Pins {
    /// Every tool that `upstream` wants, as it stands. `usable` says why a tool cannot be published.
    pub fn listed(&self, upstream: &Upstream, usable: impl Fn(&Tool) -> Result<(), String>) -> Vec<Listed> {
        let wanted = self.0.iter().filter(|(remote, _)| upstream.wants(remote));
        wanted
            .filter_map(|(remote, pin)| {
                let definition = pin.trusted.as_ref().map(|trusted| &trusted.definition).or(pin.seen.as_ref())?;
                let made = upstream.tool(definition).and_then(|tool| usable(&tool).map(|()| tool));
                let (tool, quarantine) = match made {
                    Ok(tool) => (Some(tool), pin.quarantine()),
                    Err(why) => (None, Some(Quarantine::Unusable(why))),
                };
                Some(Listed { remote: remote.clone(), pin: pin.clone(), tool, quarantine })
            })
            .collect()
    }

    /// Takes what the server lists now; says whether that is something else than before.
    fn observe(&mut self, listed: &BTreeMap<String, Definition>) -> bool {
        let before = self.clone();
        for (name, pin) in &mut self.0 {
            if !listed.contains_key(name) {
                pin.seen = None;
            }
        }
        for (name, definition) in listed {
            self.0.entry(name.clone()).or_default().seen = Some(definition.clone());
        }
        // What nobody agreed to and the server does not list is nothing.
        self.0.retain(|_, pin| pin.trusted.is_some() || pin.seen.is_some());
        *self != before
    }

    /// What it would be for `by` to agree to the definitions of these digests.
    ///
    /// # Errors
    /// A digest that is not that of a definition which the server lists now.
    pub fn agree(
        &self,
        upstream: &Upstream,
        digests: &[Digest],
        by: &PrincipalId,
        at: Timestamp,
    ) -> Result<Agreement, NotCurrent> {
        let (mut pins, mut tools) = (self.clone(), Vec::new());
        for digest in digests {
            let found = pins.0.iter_mut().find_map(|(remote, pin)| {
                let name = upstream.name_of(remote).ok().filter(|_| upstream.wants(remote))?;
                let seen = pin.seen.clone().filter(|seen| seen.digest == *digest)?;
                Some((name, pin, seen))
            });
            let (name, pin, seen) = found.ok_or(NotCurrent(*digest))?;
            let before = pin.trusted.as_ref().map(|trusted| trusted.definition.digest);
            if before == Some(*digest) {
                continue;
            }
            pin.trusted = Some(Trusted { definition: seen, by: by.clone(), at });
            tools.push((name, before, *digest));
        }
        Ok(Agreement { pins, tools })
    }
}

/// The files of all servers.
pub struct PinFiles {
    folder: PathBuf,
    read: Mutex<BTreeMap<ServerName, Pins>>,
}

impl PinFiles {
    /// Keeps them in `folder`, which is made with the first of them.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, read: Mutex::default() }
    }

    /// What is known of a server.
    ///
    /// # Errors
    /// When its file cannot be read or is damaged: then nothing may be taken for agreed to.
    pub fn of(&self, server: &ServerName) -> Result<Pins, (PathBuf, io::Error)> {
        self.load(&mut self.lock(), server).cloned()
    }

    /// Takes what a server lists now, and writes it down if it is something else than before. Says whether it is.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn observe(
        &self,
        server: &ServerName,
        listed: &BTreeMap<String, Definition>,
    ) -> Result<bool, (PathBuf, io::Error)> {
        let mut read = self.lock();
        let mut pins = self.load(&mut read, server)?.clone();
        if !pins.observe(listed) {
            return Ok(false);
        }
        self.write(server, &pins)?;
        read.insert(server.clone(), pins);
        Ok(true)
    }

    /// Puts an agreement into force, if the server still lists what was agreed to; says whether it did.
    ///
    /// # Errors
    /// When the file cannot be written: then nothing has changed.
    pub fn put(&self, server: &ServerName, agreed: &Agreement) -> Result<bool, (PathBuf, io::Error)> {
        let mut read = self.lock();
        let now = self.load(&mut read, server)?;
        let seen = |pins: &Pins, digest: Digest| {
            pins.0.values().any(|pin| pin.seen.as_ref().is_some_and(|seen| seen.digest == digest))
        };
        if agreed.tools.iter().any(|(.., digest)| !seen(now, *digest)) {
            return Ok(false);
        }
        // What was seen meanwhile stays seen.
        let mut pins = now.clone();
        for (remote, pin) in &agreed.pins.0 {
            pins.0.entry(remote.clone()).or_default().trusted.clone_from(&pin.trusted);
        }
        self.write(server, &pins)?;
        read.insert(server.clone(), pins);
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServerName, Pins>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load<'a>(
        &self,
        read: &'a mut BTreeMap<ServerName, Pins>,
        server: &ServerName,
    ) -> Result<&'a Pins, (PathBuf, io::Error)> {
        if !read.contains_key(server) {
            let path = self.path(server);
            let pins = from_file(&path).map_err(|error| (path, error))?;
            read.insert(server.clone(), pins);
        }
        Ok(read.entry(server.clone()).or_default())
    }

    fn path(&self, server: &ServerName) -> PathBuf {
        self.folder.join(format!("{server}.json"))
    }

    /// Whole or not at all, and durable before anything relies on it.
    fn write(&self, server: &ServerName, pins: &Pins) -> Result<(), (PathBuf, io::Error)> {
        let path = self.path(server);
        let written = || -> io::Result<()> {
            fs::create_dir_all(&self.folder)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            file.write_all(to_text(pins).as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            // Where folders cannot be opened there is nothing to be made durable.
            fs::File::open(&self.folder).map_or(Ok(()), |folder| folder.sync_all())
        };
        written().map_err(|error| (path, error))
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    tools: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trusted: Option<Agreed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<Value>,
}

#[derive(Serialize, Deserialize)]
struct Agreed {
    by: PrincipalId,
    at: Timestamp,
    digest: Digest,
    definition: Value,
}

fn to_text(pins: &Pins) -> String {
    let tools = pins.0.iter().map(|(name, pin)| {
        let trusted = pin.trusted.as_ref().map(|trusted| Agreed {
            by: trusted.by.clone(),
            at: trusted.at,
            digest: trusted.definition.digest,
            definition: trusted.definition.text.value(),
        });
        (name.clone(), Entry { trusted, seen: pin.seen.as_ref().map(|seen| seen.text.value()) })
    });
    let document = Document { version: VERSION, tools: tools.collect() };
    // INVARIANT: every member is text, a number, or JSON.
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

fn from_file(path: &Path) -> io::Result<Pins> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Pins::default()),
        Err(error) => return Err(error),
    };
    let damaged = |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("it is damaged: {why}"));
    let document: Document = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    if document.version != VERSION {
        return Err(damaged(format!("it is of version {}", document.version)));
    }
    let mut pins = Pins::default();
    for (name, entry) in document.tools {
        let trusted = match entry.trusted {
            Some(agreed) => {
                let definition = Definition::of(&agreed.definition).map_err(damaged)?;
                if definition.digest != agreed.digest {
                    return Err(damaged(format!("what was agreed to of `{name}` is not what stands there")));
                }
                Some(Trusted { definition, by: agreed.by, at: agreed.at })
            }
            None => None,
        };
        let seen = entry.seen.map(|seen| Definition::of(&seen)).transpose().map_err(damaged)?;
        pins.0.insert(name, Pin { trusted, seen });
    }
    Ok(pins)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::tool::upstream::{Reach, WebReach};

    fn upstream() -> Upstream {
        Upstream {
            name: "s".parse().unwrap(),
            reach: Reach::Web(WebReach::at("https://x.example").unwrap()),
            timeout: std::time::Duration::from_secs(1),
            start_timeout: std::time::Duration::from_secs(1),
            output_limit: 1,
            concurrency: 1,
            include: Vec::new(),
            exclude: vec!["hidden".to_owned()],
            declared: BTreeMap::new(),
        }
    }

    fn list(tools: &[(&str, &str)]) -> BTreeMap<String, Definition> {
        let define = |name: &str, description: &str| {
            let listed = json!({"name": name, "description": description, "inputSchema": {"type": "object"}});
            (name.to_owned(), Definition::of(&listed).unwrap())
        };
        tools.iter().map(|(name, description)| define(name, description)).collect()
    }

    fn standing(pins: &Pins) -> Vec<(String, &'static str)> {
        let listed = pins.listed(&upstream(), |_| Ok(()));
        listed.into_iter().map(|one| (one.remote, one.quarantine.map_or("trusted", |why| why.word()))).collect()
    }

    #[test]
    fn nothing_counts_before_somebody_agreed_and_nothing_after_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let server: ServerName = "s".parse().unwrap();
        let files = PinFiles::new(folder.path().join("pins"));
        let first = list(&[("a", "A."), ("b", "B."), ("hidden", "H.")]);
        assert!(files.observe(&server, &first).unwrap());
        assert!(!files.observe(&server, &first).unwrap(), "the same again is no change");
        let pins = files.of(&server).unwrap();
        assert_eq!(standing(&pins), [("a".to_owned(), "new"), ("b".to_owned(), "new")]);

        let by: PrincipalId = "os:0".parse().unwrap();
        let digests = [first["a"].digest, first["b"].digest];
        let agreed = pins.agree(&upstream(), &digests, &by, Timestamp::EPOCH).unwrap();
        assert_eq!(agreed.tools.len(), 2);
        assert!(files.put(&server, &agreed).unwrap());
        assert_eq!(standing(&files.of(&server).unwrap()), [("a".to_owned(), "trusted"), ("b".to_owned(), "trusted")]);

        assert!(files.observe(&server, &list(&[("a", "Another.")])).unwrap());
        // What the next daemon reads is the same.
        let pins = PinFiles::new(folder.path().join("pins")).of(&server).unwrap();
        assert_eq!(pins, files.of(&server).unwrap());
        assert_eq!(standing(&pins), [("a".to_owned(), "changed"), ("b".to_owned(), "gone")]);
        files.observe(&server, &first).unwrap();
        assert_eq!(standing(&files.of(&server).unwrap()), [("a".to_owned(), "trusted"), ("b".to_owned(), "trusted")]);
    }

    #[test]
    fn only_what_is_listed_now_can_be_agreed_to() {
        let folder = tempfile::tempdir().unwrap();
        let server: ServerName = "s".parse().unwrap();
        let files = PinFiles::new(folder.path().to_owned());
        let (first, second) = (list(&[("a", "1"), ("hidden", "H")]), list(&[("a", "2")]));
        files.observe(&server, &first).unwrap();
        let by: PrincipalId = "os:0".parse().unwrap();
        let pins = files.of(&server).unwrap();
        let agree = |digest| pins.agree(&upstream(), &[digest], &by, Timestamp::EPOCH).map(|agreed| agreed.tools.len());
        assert_eq!(agree(first["a"].digest), Ok(1));
        assert_eq!(agree(second["a"].digest), Err(NotCurrent(second["a"].digest)));
        assert_eq!(agree(first["hidden"].digest), Err(NotCurrent(first["hidden"].digest)), "it is left out");
        let agreed = pins.agree(&upstream(), &[first["a"].digest], &by, Timestamp::EPOCH).unwrap();
        files.observe(&server, &second).unwrap();
        assert!(!files.put(&server, &agreed).unwrap(), "it changed between the look and the word");
        assert_eq!(standing(&files.of(&server).unwrap()), [("a".to_owned(), "new")]);
    }

    #[test]
    fn a_file_that_was_tampered_with_is_trusted_in_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let server: ServerName = "s".parse().unwrap();
        let files = PinFiles::new(folder.path().to_owned());
        let listed = list(&[("a", "Reads.")]);
        files.observe(&server, &listed).unwrap();
        let by: PrincipalId = "os:0".parse().unwrap();
        let agreed = files.of(&server).unwrap().agree(&upstream(), &[listed["a"].digest], &by, Timestamp::EPOCH);
        files.put(&server, &agreed.unwrap()).unwrap();
        let path = folder.path().join("s.json");
        let text = fs::read_to_string(&path).unwrap().replacen("Reads.", "Writes.", 1);
        fs::write(&path, text).unwrap();
        let (_, error) = PinFiles::new(folder.path().to_owned()).of(&server).unwrap_err();
        assert_eq!(error.to_string(), "it is damaged: what was agreed to of `a` is not what stands there");
    }
}
