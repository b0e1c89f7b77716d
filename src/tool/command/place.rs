//! Where a path that a caller sent really leads. Asked when a call comes, again when it is dispatched, and by the
//! process itself right before it becomes the program. Between that and the program's own look only a sandbox that
//! lists the folder keeps a link from being put there.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Whether `path` is in `root`, wherever its links lead. What is not there yet is where it would be made.
///
/// # Errors
/// Says where it leads, or what could not be looked at.
pub fn must_stay(path: &Path, root: &Path) -> Result<(), String> {
    let told = |path: &Path, error: std::io::Error| format!("`{}` cannot be looked at: {error}", path.display());
    let real_root = fs::canonicalize(root).map_err(|error| told(root, error))?;
    let real = nearest(path).map_err(|error| told(path, error))?;
    if real.starts_with(&real_root) {
        Ok(())
    } else {
        Err(format!("`{}` leads out of `{}`", path.display(), root.display()))
    }
}

/// The real path of the nearest of it that is there. A link to nothing is there, and leads nowhere.
fn nearest(path: &Path) -> std::io::Result<PathBuf> {
    let mut part = path;
    loop {
        match fs::canonicalize(part) {
            Ok(real) => return Ok(real),
            Err(error) if error.kind() == ErrorKind::NotFound && fs::symlink_metadata(part).is_err() => {
                part = part.parent().ok_or(error)?;
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_before_a_path_is_let_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("in")).expect("made");
        fs::create_dir(folder.path().join("out")).expect("made");
        fs::write(root.join("file"), "").expect("written");
        for (to, name) in [("in", "to-in"), ("../out", "to-out"), ("nothing", "to-nothing"), ("/", "to-everything")] {
            symlink(to, root.join(name)).expect("linked");
        }
        symlink(&root, folder.path().join("alias")).expect("linked");
        let asked = |path: &str| {
            must_stay(&root.join(path), &root).map_err(|why| why.replace(&root.display().to_string(), "ROOT"))
        };
        for path in ["", "file", "in", "to-in", "to-in/new/deep", "new"] {
            assert_eq!(asked(path), Ok(()), "{path}");
        }
        assert_eq!(asked("to-out/x"), Err("`ROOT/to-out/x` leads out of `ROOT`".to_owned()));
        assert!(asked("to-everything").is_err());
        assert!(asked("to-nothing").is_err_and(|why| why.contains("cannot be looked at")));
        assert!(asked("file/x").is_err(), "a file is no folder");
        let alias = folder.path().join("alias");
        assert_eq!(must_stay(&alias.join("in"), &alias), Ok(()), "the root itself may be a link");
        assert!(must_stay(&root.join("x"), &folder.path().join("gone")).is_err());
    }
}
