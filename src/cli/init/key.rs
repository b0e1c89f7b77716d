//! Stored keys and who they are to the daemon: one key a client, made once and used again as long as it is good.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::api::admin::{self, CreatedKey, KeyInfo, KeyRef, Me, NewKey, Rotate};
use crate::api::endpoint::Nothing;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::client::{Client, ClientError, Sources};
use crate::domain::denial::Code;
use crate::domain::principal::PrincipalKind;
use crate::domain::time::Timestamp;
use crate::transport::private;

/// How long before its end a key is told about, and replaced by whoever sets its client up again. A key made for a
/// shorter time is told about in the last quarter of it.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// How a stored key stands with the daemon.
#[derive(Debug, Clone)]
pub enum Standing {
    /// There is none of this name.
    Missing,
    /// It is good, and this is who it is.
    Good(Box<Me>),
    /// The daemon knows it no more: expired, revoked, or of another daemon.
    Dead(String),
}

/// What became of a client's key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct KeyFact {
    /// Its name, for `--as`.
    pub name: String,
    /// `key_…`.
    pub id: String,
    /// Whose it is.
    pub principal: String,
    /// `made`, `reused`, `made anew`, `rotated` or `revoked`.
    pub change: &'static str,
    /// The private file with it.
    pub file: PathBuf,
}

/// Asks the daemon who the stored key in this file is.
///
/// # Errors
/// When the file cannot be used as a key, and exit 7 without a daemon.
pub fn standing(cx: &Context, path: &Path, deadline: Duration) -> Result<Standing, CliError> {
    if !path.exists() {
        return Ok(Standing::Missing);
    }
    let key = Sources { named: Some(path.to_owned()), ..Sources::default() }.find()?;
    let client = Client::new(&cx.target()?, key.as_ref())?;
    match cx.run(client.send::<admin::Whoami>(&Nothing {}, deadline))? {
        Ok(me) => Ok(Standing::Good(Box::new(me))),
        Err(ClientError::Problem(problem)) if problem.known_code() == Some(Code::Unauthenticated) => {
            Ok(Standing::Dead(problem.detail))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a key that is good will soon not be.
pub fn ends_soon(info: &KeyInfo, now: Timestamp) -> bool {
    let time = |text: Option<&str>| text.and_then(|at| at.parse::<Timestamp>().ok());
    match (time(Some(&info.created_at)), time(info.expires_at.as_deref())) {
        (Some(start), Some(end)) => end <= now.plus(SOON.min(end.since(start) / 4)),
        _ => false,
    }
}

/// What has to be done for a client to have a key; found out before anything is changed.
#[derive(Debug, Clone)]
pub struct Wanted {
    name: String,
    path: PathBuf,
    standing: Standing,
    ends_soon: bool,
}

impl Wanted {
    /// Looks at the key stored under this name.
    ///
    /// # Errors
    /// Exit 7 without a daemon, exit 12 when the key is somebody else's.
    pub fn find(cx: &Context, name: &str) -> Result<Self, CliError> {
        // Also says whether there is a daemon when no key has to be looked at.
        cx.send::<admin::Whoami>(&Nothing {})?;
        let path = cx.stored_key(name)?;
        let standing = standing(cx, &path, cx.deadline())?;
        if let Standing::Good(me) = &standing
            && me.principal != principal(name)
        {
            let message = format!("the stored key `{name}` is `{}`'s, not `{}`'s", me.principal, principal(name));
            return Err(CliError::new(Exit::Conflict, "key-taken", message)
                .hint(format!("an agent gets a key of its own; move `{}` to another name", path.display())));
        }
        let ends_soon = match &standing {
            Standing::Good(me) => {
                // Who may not list keys cannot rotate one either.
                let keys = cx.try_send::<admin::ListKeys>(&Nothing {}, cx.deadline())?.map(|list| list.keys);
                let known = keys.unwrap_or_default().into_iter().find(|info| info.id == me.credential);
                known.is_some_and(|info| ends_soon(&info, cx.now()))
            }
            Standing::Missing | Standing::Dead(_) => false,
        };
        Ok(Self { name: name.to_owned(), path, standing, ends_soon })
    }

    /// What will be done, in words.
    pub fn plan(&self) -> String {
        let whose = principal(&self.name);
        match &self.standing {
            Standing::Missing => format!("a key for `{whose}` will be made and stored in {}", self.path.display()),
            Standing::Good(_) if self.ends_soon => {
                format!("the stored key of `{whose}` ends soon; a new one will take its place")
            }
            Standing::Good(_) => format!("the stored key of `{whose}` is good and will be used"),
            Standing::Dead(why) => {
                format!("the stored key of `{whose}` is no longer good ({why}); a new one will be made")
            }
        }
    }

    /// Whether the key there is will do.
    pub fn will_do(&self) -> bool {
        matches!(self.standing, Standing::Good(_)) && !self.ends_soon
    }

    /// Makes the key, if it must be made.
    ///
    /// # Errors
    /// The daemon's own, and the disk's; then no key is left that nobody has.
    pub fn ensure(self, cx: &Context) -> Result<KeyFact, CliError> {
        let (change, created) = match self.standing {
            Standing::Good(me) if self.ends_soon => {
                ("rotated", cx.send::<admin::RotateKey>(&Rotate { id: me.credential, overlap: None })?)
            }
            Standing::Good(me) => {
                let (id, principal) = (me.credential, me.principal);
                return Ok(KeyFact { name: self.name, id, principal, change: "reused", file: self.path });
            }
            Standing::Missing => ("made", create(cx, &self.name)?),
            Standing::Dead(_) => ("made anew", create(cx, &self.name)?),
        };
        if let Err(error) = store(&self.path, &created.key) {
            // Its secret is lost, so it must not stay good.
            cx.send::<admin::RevokeKey>(&KeyRef { id: created.info.id })?;
            return Err(CliError::io(format!("cannot store the key in `{}`", self.path.display()), &error));
        }
        let (id, principal) = (created.info.id, created.info.principal);
        Ok(KeyFact { name: self.name, id, principal, change, file: self.path })
    }

    /// Revokes the key and removes it from its place; none when there was no key.
    ///
    /// # Errors
    /// The daemon's own, and the disk's.
    pub fn revoke(self, cx: &Context) -> Result<Option<KeyFact>, CliError> {
        let (id, principal) = match self.standing {
            Standing::Missing => return Ok(None),
            Standing::Dead(_) => (String::new(), principal(&self.name)),
            Standing::Good(me) => {
                let info = cx.send::<admin::RevokeKey>(&KeyRef { id: me.credential })?;
                (info.id, info.principal)
            }
        };
        std::fs::remove_file(&self.path)
            .map_err(|error| CliError::io(format!("cannot remove `{}`", self.path.display()), &error))?;
        Ok(Some(KeyFact { name: self.name, id, principal, change: "revoked", file: self.path }))
    }
}

fn create(cx: &Context, name: &str) -> Result<CreatedKey, CliError> {
    let new = NewKey { name: name.to_owned(), kind: Some(PrincipalKind::Agent), ..NewKey::default() };
    cx.send::<admin::CreateKey>(&new)
}

/// Puts a key in its place in one step; one that was there is good until then.
fn store(path: &Path, key: &str) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = path.with_file_name(format!(".{name}.{}", std::process::id()));
    private::write_new(&fresh, &format!("{key}\n"))?;
    std::fs::rename(&fresh, path).inspect_err(|_| drop(std::fs::remove_file(&fresh)))
}

/// The principal of a client.
fn principal(name: &str) -> String {
    format!("agent:{name}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::command::script::play;
    use crate::cli::ui::Seen;

    fn info(created: &str, expires: &str) -> Value {
        json!({
            "id": "key_1", "principal": "agent:cursor", "kind": "agent", "groups": ["agents"], "scope": {"tools": []},
            "may_self_approve": false, "created_at": created, "expires_at": expires
        })
    }

    fn me() -> Me {
        let me = json!({
            "principal": "agent:cursor", "kind": "agent", "groups": ["agents"], "credential": "key_0",
            "may_self_approve": false, "scope": {"tools": []}
        });
        serde_json::from_value(me).expect("a principal")
    }

    #[test]
    fn the_end_of_a_key_is_soon_by_the_measure_of_its_life() {
        let soon = |created: &str, now: &str| {
            let info = serde_json::from_value(info(created, "2026-12-31T00:00:00Z")).expect("a key");
            ends_soon(&info, now.parse().expect("a time"))
        };
        assert!(!soon("2026-10-02T00:00:00Z", "2026-12-16T00:00:00Z"));
        assert!(soon("2026-10-02T00:00:00Z", "2026-12-18T00:00:00Z"));
        assert!(!soon("2026-12-30T00:00:00Z", "2026-12-30T12:00:00Z"));
        assert!(soon("2026-12-30T00:00:00Z", "2026-12-30T19:00:00Z"));
    }

    #[test]
    fn a_key_that_ends_soon_is_rotated_in_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys").join("cursor");
        private::write_new(&path, "tctl_old\n").expect("written");
        let standing = Standing::Good(Box::new(me()));
        let wanted = Wanted { name: "cursor".into(), path: path.clone(), standing, ends_soon: true };
        assert!(!wanted.will_do());
        let answer = json!({"key": "tctl_new", "info": info("2026-11-23T00:00:00Z", "2026-12-31T00:00:00Z")});
        let played = play(Seen::default(), vec![Some((200, answer))], |cx| wanted.ensure(cx));
        assert_eq!(played.asked.len(), 1);
        assert!(played.asked[0].starts_with("POST /v1/keys/key_0/rotate"), "{:?}", played.asked);
        assert_eq!(played.result.expect("rotated").change, "rotated");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "tctl_new\n");
        assert!(private::is_private(&path).expect("looked at"));
        assert_eq!(std::fs::read_dir(path.parent().expect("a folder")).expect("read").count(), 1);
    }
}
