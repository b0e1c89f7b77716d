//! What the folders of rules looked like when they were loaded. Files count only from a reload on, so that nothing is
//! taken while it is being written; this lets `status` say that something there waits for one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Plan;

/// Files by path, each with when it was last changed and its length.
type Files = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

/// The files of rules as they were loaded.
pub struct Seen {
    tools: PathBuf,
    policies: PathBuf,
    files: Files,
}

impl Seen {
    /// Looks at the folders. What cannot be read is not there.
    pub fn of(plan: &Plan) -> Self {
        let (tools, policies) = (plan.tools.clone(), plan.config.join("policies"));
        let files = look(&tools, &policies);
        Self { tools, policies, files }
    }

    /// What is another now: the first of it, for people.
    pub fn waits(&self) -> Option<String> {
        let now = look(&self.tools, &self.policies);
        let here = self.files.iter().find(|(path, state)| now.get(*path) != Some(*state)).map(|(path, _)| path);
        let path = here.or_else(|| now.keys().find(|path| !self.files.contains_key(*path)))?;
        Some(format!("`{}` is another than when it was loaded: `toolctl reload` takes it", path.display()))
    }
}

fn look(tools: &Path, policies: &Path) -> Files {
    files(tools, "toml").chain(files(policies, "cedar")).collect()
}

fn files(folder: &Path, extension: &str) -> impl Iterator<Item = (PathBuf, (Option<SystemTime>, u64))> {
    let listing = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    listing.filter_map(move |entry| {
        let path = entry.path();
        let metadata =
            path.extension().filter(|found| *found == extension).and_then(|_| std::fs::metadata(&path).ok())?;
        Some((path, (metadata.modified().ok(), metadata.len())))
    })
}
