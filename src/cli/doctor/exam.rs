//! What the checks look at: asked of the daemon once, so that a daemon that hangs costs one deadline and not one a
//! check.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::api::admin::{self, Healthy, KeyInfo, Me, StatusReport};
use crate::api::endpoint::{Endpoint, Nothing};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::init::key::{Standing, standing};
use crate::client::{Client, Secret, Sources, Target};
use crate::config::paths::Paths;
use crate::domain::denial::Code;
use crate::transport::private;

/// How long the daemon may take for one answer.
pub const PROBE: Duration = Duration::from_secs(3);
/// Stored keys asked about at most.
const MOST_KEYS: usize = 50;
/// Keys that may turn out to be dead before no more are asked about: the daemon counts failed attempts to be
/// recognised, and looking must not use them up.
const MOST_DEAD: usize = 3;

/// Everything that was found out beforehand.
pub struct Exam<'a> {
    /// The flags, and the way to ask more.
    pub cx: &'a Context,
    /// Where things live.
    pub paths: &'a Paths,
    /// Where the daemon is expected.
    pub target: Target,
    /// Whether it answers; needs no key.
    pub healthy: Result<Healthy, CliError>,
    /// Who we are to it.
    pub me: Result<Me, CliError>,
    /// How it is; only for those who may know.
    pub status: Option<StatusReport>,
    /// Its keys; only for those who may know.
    pub keys: Vec<KeyInfo>,
    /// The key we show, wherever it came from.
    own: Option<Secret>,
    /// How each stored key stands, by its file.
    pub stored: BTreeMap<PathBuf, Result<Standing, CliError>>,
}

impl<'a> Exam<'a> {
    /// Asks everything that more than one check needs.
    ///
    /// # Errors
    /// When there is no home folder, and after Ctrl-C; all else is for the checks to say.
    pub fn new(cx: &'a Context) -> Result<Self, CliError> {
        let (paths, target) = (cx.paths()?, cx.target()?);
        let healthy = match Client::new(&target, None) {
            Ok(client) => cx.run(client.send::<admin::Health>(&Nothing {}, PROBE))?.map_err(CliError::from),
            Err(error) => Err(error.into()),
        };
        let me = match &healthy {
            Ok(_) => asked(ask::<admin::Whoami>(cx))?,
            Err(error) => Err(error.clone()),
        };
        let (status, keys) = match &me {
            Ok(_) => (asked(ask::<admin::Status>(cx))?.ok(), asked(ask::<admin::ListKeys>(cx))?.ok()),
            Err(_) => (None, None),
        };
        let keys = keys.map(|list| list.keys).unwrap_or_default();
        let own = cx.key_sources()?.find().ok().flatten();
        let mut exam = Self { cx, paths, target, healthy, me, status, keys, own, stored: BTreeMap::new() };
        let mut dead = 0;
        for path in stored_keys(paths) {
            let known = match exam.known_already(&path) {
                Some(standing) => Ok(standing),
                None if dead >= MOST_DEAD => Err(not_asked()),
                None => {
                    let known = exam.look_at_key(&path)?;
                    dead += usize::from(matches!(known, Ok(Standing::Dead(_))));
                    known
                }
            };
            exam.stored.insert(path, known);
        }
        Ok(exam)
    }

    /// Whether the key in this file is the one we show.
    pub fn is_own(&self, path: &Path) -> bool {
        self.own.is_some() && read(path) == self.own
    }

    /// How a key stands whose answer we have: our own.
    fn known_already(&self, path: &Path) -> Option<Standing> {
        match &self.me {
            _ if !self.is_own(path) => None,
            Ok(me) => Some(Standing::Good(Box::new(me.clone()))),
            Err(error) if error.code == Code::Unauthenticated.slug() => Some(Standing::Dead(error.message.clone())),
            Err(_) => None,
        }
    }

    /// The folder of the store: the daemon's own word for it, where there is one.
    pub fn state(&self) -> PathBuf {
        self.status.as_ref().map_or_else(|| self.paths.state.clone(), |status| PathBuf::from(&status.data_dir))
    }

    /// Without a daemon, only whether the file is fit to hold a key.
    fn look_at_key(&self, path: &Path) -> Result<Result<Standing, CliError>, CliError> {
        match (&self.healthy, private::is_private(path)) {
            (Err(unreachable), Ok(true)) => Ok(Err(unreachable.clone())),
            _ => asked(standing(self.cx, path, PROBE)),
        }
    }
}

/// The key in a file that is fit to hold one.
fn read(path: &Path) -> Option<Secret> {
    Sources { named: Some(path.to_owned()), ..Sources::default() }.find().ok().flatten()
}

fn not_asked() -> CliError {
    let message =
        format!("not asked about: {MOST_DEAD} others are no longer good, and each one counts as a failed attempt");
    CliError::new(Exit::Failure, "not-asked", message).hint("mend those, then `toolctl doctor` again")
}

fn ask<E: Endpoint<Request = Nothing>>(cx: &Context) -> Result<E::Reply, CliError> {
    Ok(cx.try_send::<E>(&Nothing {}, PROBE)??)
}

/// Ctrl-C ends it all; every other error is something to be told.
fn asked<T>(answer: Result<T, CliError>) -> Result<Result<T, CliError>, CliError> {
    match answer {
        Err(error) if error.exit == Exit::Interrupted => Err(error),
        answer => Ok(answer),
    }
}

/// The files of all stored keys.
fn stored_keys(paths: &Paths) -> Vec<PathBuf> {
    let named = std::fs::read_dir(paths.config.join("keys")).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = named.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files.truncate(MOST_KEYS);
    let usual = paths.default_key();
    if usual.exists() {
        files.insert(0, usual);
    }
    files
}
