//! Stored keys and who they are to the daemon: one key a client, made once and used again as long as it is good.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::api::admin::{self, KeyRef, Me, NewKey};
use crate::api::endpoint::Nothing;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::client::{Client, ClientError, Sources};
use crate::domain::denial::Code;
use crate::domain::principal::PrincipalKind;
use crate::transport::private;

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
    /// `made`, `reused`, `made anew` or `revoked`.
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

/// What has to be done for a client to have a key; found out before anything is changed.
#[derive(Debug, Clone)]
pub struct Wanted {
    name: String,
    path: PathBuf,
    standing: Standing,
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
        Ok(Self { name: name.to_owned(), path, standing })
    }

    /// What will be done, in words.
    pub fn plan(&self) -> String {
        let whose = principal(&self.name);
        match &self.standing {
            Standing::Missing => format!("a key for `{whose}` will be made and stored in {}", self.path.display()),
            Standing::Good(_) => format!("the stored key of `{whose}` is good and will be used"),
            Standing::Dead(why) => {
                format!("the stored key of `{whose}` is no longer good ({why}); a new one will be made")
            }
        }
    }

    /// Whether the key there is will do.
    pub fn is_there(&self) -> bool {
        matches!(self.standing, Standing::Good(_))
    }

    /// Makes the key, if it must be made.
    ///
    /// # Errors
    /// The daemon's own, and the disk's; then no key is left that nobody has.
    pub fn ensure(self, cx: &Context) -> Result<KeyFact, CliError> {
        let change = match self.standing {
            Standing::Good(me) => {
                let (id, principal) = (me.credential, me.principal);
                return Ok(KeyFact { name: self.name, id, principal, change: "reused", file: self.path });
            }
            Standing::Missing => "made",
            Standing::Dead(_) => "made anew",
        };
        let new = NewKey { name: self.name.clone(), kind: Some(PrincipalKind::Agent), ..NewKey::default() };
        let created = cx.send::<admin::CreateKey>(&new)?;
        let old = if change == "made" { Ok(()) } else { std::fs::remove_file(&self.path) };
        if let Err(error) = old.and_then(|()| private::write_new(&self.path, &format!("{}\n", created.key))) {
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

/// The principal of a client.
fn principal(name: &str) -> String {
    format!("agent:{name}")
}
