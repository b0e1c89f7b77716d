//! Which operations are meant: globs over their ids and over `METHOD /path`, `*` standing for any characters, as for
//! the tools of a key.

use super::naming::Of;
use super::problem::Refused;
use crate::cli::text::nearest;
use crate::domain::principal::glob_matches;

/// Names offered when nothing fits.
const MOST_OFFERED: usize = 3;

/// What is meant.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only these; without any, all.
    pub include: Vec<String>,
    /// But not these.
    pub exclude: Vec<String>,
}

/// Whether an operation is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meant {
    /// It is not.
    No,
    /// A glob, or nothing in particular, fits it.
    Yes,
    /// It is named letter by letter.
    ByName,
}

impl Selection {
    /// Whether an operation is meant.
    pub fn means(&self, of: &Of<'_>) -> Meant {
        let fits = |glob: &String| {
            let glob = glob.trim();
            of.id.is_some_and(|id| glob_matches(glob, id)) || glob_matches(&method_first(glob), &place(of))
        };
        if self.exclude.iter().any(fits) {
            return Meant::No;
        }
        let fitting: Vec<&String> = self.include.iter().filter(|glob| fits(glob)).collect();
        match (self.include.is_empty(), fitting.is_empty()) {
            (true, _) => Meant::Yes,
            (false, true) => Meant::No,
            (false, false) if fitting.iter().any(|glob| !glob.contains('*')) => Meant::ByName,
            (false, false) => Meant::Yes,
        }
    }

    /// That nothing is meant, with what could have been.
    pub fn nothing(&self, all: &[Of<'_>]) -> Refused {
        if all.is_empty() {
            return Refused::Empty;
        }
        let mut names: Vec<String> =
            all.iter().flat_map(|of| of.id.map(ToOwned::to_owned).into_iter().chain([place(of)])).collect();
        let mut near = Vec::new();
        for glob in self.include.iter().cycle().take(MOST_OFFERED * self.include.len()) {
            let word = method_first(glob).replace('*', "");
            let found = nearest(&word, names.iter().map(String::as_str)).map(ToOwned::to_owned);
            names.retain(|name| Some(name) != found.as_ref());
            near.extend(found);
        }
        near.truncate(MOST_OFFERED);
        let globs = if self.include.is_empty() { &self.exclude } else { &self.include };
        Refused::NothingChosen { globs: globs.clone(), near }
    }
}

/// `GET /pets`
pub fn place(of: &Of<'_>) -> String {
    format!("{} {}", of.method, of.path)
}

/// Methods are upper case, however they are typed.
fn method_first(glob: &str) -> String {
    match glob.split_once(' ') {
        Some((method, path)) => format!("{} {path}", method.to_ascii_uppercase()),
        None => glob.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(id: &'a str, method: &'a str, path: &'a str) -> Of<'a> {
        Of { id: Some(id), method, path }
    }

    #[test]
    fn globs_fit_ids_and_places() {
        let pets = of("pets/list", "GET", "/pets");
        for (include, exclude, meant) in [
            (&[][..], &[][..], Meant::Yes),
            (&["pets/*"], &[], Meant::Yes),
            (&["pets/list"], &[], Meant::ByName),
            (&["get /pets"], &[], Meant::ByName),
            (&["GET *"], &[], Meant::Yes),
            (&["* /pets"], &[], Meant::Yes),
            (&["POST *"], &[], Meant::No),
            (&["pets"], &[], Meant::No),
            (&["*"], &["*/list"], Meant::No),
            (&["nothing", "*pets*"], &["DELETE *"], Meant::Yes),
        ] {
            let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            let selection = Selection { include: words(include), exclude: words(exclude) };
            assert_eq!(selection.means(&pets), meant, "{include:?} without {exclude:?}");
        }
    }

    #[test]
    fn near_names_are_offered() {
        let all = [of("listPets", "GET", "/pets"), of("showPet", "GET", "/pets/{id}"), of("x", "POST", "/shop/orders")];
        let selection = |glob: &str| Selection { include: vec![glob.to_owned()], exclude: Vec::new() };
        let refused = selection("listPet").nothing(&all);
        assert_eq!(refused.to_string(), "no operation of the document fits `listPet`");
        assert!(refused.hint().is_some_and(|hint| hint.starts_with("did you mean `listPets`")), "{refused:?}");
        let far = selection("zzz").nothing(&all);
        assert!(far.hint().is_some_and(|hint| hint.starts_with("globs are compared")), "{far:?}");
        assert_eq!(selection("x").nothing(&[]), Refused::Empty);
    }
}
