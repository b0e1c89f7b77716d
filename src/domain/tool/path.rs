//! Arguments that are paths inside a folder of the operator's choice. What can be told from the text is told here;
//! where links lead, only the machine knows, and it is asked before a call is accepted and right before it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::template::BadArgument;

/// The keyword by which a schema says that a property is a path inside a folder.
pub const KEYWORD: &str = "x-path-under";

/// The paths that a schema of arguments declares, each with its folder.
pub fn declared(input: &Value) -> BTreeMap<String, PathBuf> {
    let properties = input.get("properties").and_then(Value::as_object).into_iter().flatten();
    let roots = properties.filter_map(|(name, property)| {
        let root = property.get(KEYWORD).or_else(|| property.get("items")?.get(KEYWORD))?;
        Some((name.clone(), PathBuf::from(root.as_str()?)))
    });
    roots.collect()
}

/// Each path that a caller sent, with its argument and the folder that it must not leave.
pub fn inside<'a>(
    paths: &'a BTreeMap<String, PathBuf>,
    arguments: &'a Value,
) -> impl Iterator<Item = (&'a str, &'a str, &'a Path)> {
    let each = |value: &'a Value| match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>(),
        value => value.as_str().into_iter().collect(),
    };
    let sent = paths.iter().filter_map(|(name, root)| Some((name, root, arguments.get(name)?)));
    sent.flat_map(move |(name, root, value)| {
        each(value).into_iter().map(move |path| (name.as_str(), path, root.as_path()))
    })
}

/// Whether a path, by its text, is in its folder.
///
/// # Errors
/// Names the argument and the folder.
pub fn must_stay(name: &str, path: &str, root: &Path) -> Result<(), BadArgument> {
    // `Path` drops `.` inside a path silently, and a program may not.
    let plain = !path.split('/').any(|part| matches!(part, "." | ".."));
    if plain && Path::new(path).starts_with(root) {
        Ok(())
    } else {
        Err(BadArgument::Outside(name.to_owned(), root.display().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_stays_in_its_folder_by_its_text() {
        let stays = |path| must_stay("file", path, Path::new("/srv/data")).is_ok();
        for path in ["/srv/data", "/srv/data/", "/srv/data/a", "/srv/data//a/..b/c..", "/srv/data/.hidden"] {
            assert!(stays(path), "{path}");
        }
        for path in [
            "",
            "a",
            "data/a",
            "/srv/database",
            "/srv/data/../x",
            "/srv/data/a/..",
            "/srv/./data/a",
            "/srv",
            "//x/srv/data",
        ] {
            assert!(!stays(path), "{path}");
        }
    }

    #[test]
    fn paths_are_found_alone_and_in_lists() {
        let schema = json!({"properties": {
            "one": {"type": "string", "x-path-under": "/a"},
            "many": {"type": "array", "items": {"type": "string", "x-path-under": "/b"}},
            "other": {"type": "string"},
        }});
        let paths = declared(&schema);
        let arguments = json!({"one": "/a/x", "many": ["/b/y", "/b/z"], "other": "/etc"});
        let found: Vec<_> =
            inside(&paths, &arguments).map(|(name, path, root)| (name, path, root.display().to_string())).collect();
        assert_eq!(
            found,
            [("many", "/b/y", "/b".to_owned()), ("many", "/b/z", "/b".to_owned()), ("one", "/a/x", "/a".to_owned())]
        );
    }
}
