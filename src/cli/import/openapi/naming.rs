//! Names: of tools, of arguments, of files, of variables. They follow from the whole document and never from what is
//! chosen of it, so that the same operation has the same name in every import.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::manifest;
use crate::domain::digest::Digest;

/// Letters of a tool's name at most: models take no more, whatever we would.
const LONGEST_TOOL: usize = 64;
/// Letters of an argument's name at most, for the same reason.
const LONGEST_ARGUMENT: usize = 64;
/// Letters of a file's name at most, without its ending.
const LONGEST_FILE: usize = 40;

/// Words that titles of documents have in common.
const COMMON: &[&str] =
    &["a", "api", "apis", "http", "of", "official", "openapi", "public", "rest", "spec", "specification", "the", "web"];

/// What an operation is named after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Of<'a> {
    /// Its `operationId`, if it has one.
    pub id: Option<&'a str>,
    /// Its method, in upper case.
    pub method: &'a str,
    /// Its path.
    pub path: &'a str,
}

/// The name of each operation's tool, in order. An id that two operations share names neither of them: then, as
/// without one, method and path do.
pub fn tools(operations: &[Of<'_>], prefix: &str) -> Vec<String> {
    let by_id = |of: &Of<'_>| of.id.map(snake).filter(|name| !name.is_empty());
    let mut shared: BTreeMap<String, usize> = BTreeMap::new();
    for name in operations.iter().filter_map(by_id) {
        *shared.entry(name).or_default() += 1;
    }
    let mut taken = BTreeSet::new();
    let mut names = Vec::with_capacity(operations.len());
    for of in operations {
        let by_id = by_id(of).filter(|name| shared.get(name) == Some(&1));
        let by_path = || snake(&format!("{} {}", of.method.to_lowercase(), of.path));
        let prefixed = |name: String| if prefix.is_empty() { name } else { format!("{}_{name}", snake(prefix)) };
        let wanted =
            by_id.map(prefixed).filter(|name| !manifest::is_taken(name)).unwrap_or_else(|| prefixed(by_path()));
        let name = free(&short(&wanted, LONGEST_TOOL), &taken);
        taken.insert(name.clone());
        names.push(name);
    }
    names
}

/// The name of an argument: letters, digits, `_` and `-`, and another than those that are taken.
pub fn argument(wanted: &str, place: &str, taken: &BTreeSet<String>) -> String {
    let plain = argument_word(wanted);
    let name = if taken.contains(&plain) { format!("{place}_{plain}") } else { plain };
    free(&cut(&name, LONGEST_ARGUMENT), taken)
}

fn argument_word(wanted: &str) -> String {
    let mut name = String::with_capacity(wanted.len());
    for sign in wanted.chars() {
        match sign {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' => name.push(sign),
            _ if name.is_empty() || name.ends_with('_') => {}
            _ => name.push('_'),
        }
    }
    let name = name.trim_end_matches('_').trim_start_matches('-');
    if name.is_empty() { "value".to_owned() } else { name.to_owned() }
}

/// The name of the file, without its ending: from what the operator said, else from what tells the document's title
/// from others.
pub fn file(said: Option<&str>, title: &str) -> String {
    let name = said.map(snake).unwrap_or_else(|| {
        let title = title.replace(['\'', '’'], "").to_ascii_lowercase();
        let words = title.split(|sign: char| !sign.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let telling: Vec<&str> = words.clone().filter(|word| !COMMON.contains(word)).collect();
        if telling.is_empty() { words.collect::<Vec<_>>().join("_") } else { telling.join("_") }
    });
    let name = cut(&name, LONGEST_FILE);
    if name.is_empty() { "openapi".to_owned() } else { name }
}

/// The variable for a secret of an API, such as `SHOP_API_KEY`.
pub fn variable(file: &str, scheme: &str) -> String {
    format!("{file}_{}", snake(scheme)).to_uppercase()
}

/// Whether text can be the name of a header or a cookie: a token (RFC 9110 section 5.6.2).
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Lower case, words apart by `_`: `listPets`, `list-pets` and `pets/List` are read alike, and what is no ASCII letter
/// or digit stands between words.
pub fn snake(text: &str) -> String {
    let signs: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len() + 8);
    for (place, sign) in signs.iter().copied().enumerate() {
        if !sign.is_ascii_alphanumeric() {
            if !out.is_empty() && !out.ends_with('_') {
                out.push('_');
            }
            continue;
        }
        let before = place.checked_sub(1).and_then(|before| signs.get(before)).copied().unwrap_or('_');
        let after = signs.get(place + 1).copied().unwrap_or('_');
        // `listHTTPRoutes` is three words, `v1Pets` two, and `OAuth` none more than it looks.
        let begins = sign.is_ascii_uppercase()
            && (before.is_ascii_lowercase()
                || before.is_ascii_digit()
                || before.is_ascii_uppercase() && after.is_ascii_lowercase() && place > 1);
        if begins && !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
        out.push(sign.to_ascii_lowercase());
    }
    out.trim_end_matches('_').to_owned()
}

/// A name of at most `most` letters. What is cut gets an ending made from all of it, so that it stays the same
/// whatever else there is.
fn short(name: &str, most: usize) -> String {
    if name.len() <= most {
        return name.to_owned();
    }
    let ending = Digest::of("toolctl/openapi-name/v1", &[name.as_bytes()]).short();
    format!("{}_{ending}", cut(name, most.saturating_sub(1 + ending.len())))
}

fn cut(name: &str, most: usize) -> String {
    // All of it is ASCII.
    name.get(..most).unwrap_or(name).trim_end_matches('_').to_owned()
}

fn free(name: &str, taken: &BTreeSet<String>) -> String {
    let mut candidates = std::iter::once(name.to_owned()).chain((2_u32..).map(|number| format!("{name}_{number}")));
    candidates.find(|candidate| !taken.contains(candidate) && !manifest::is_taken(candidate)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(id: &'a str, method: &'a str, path: &'a str) -> Of<'a> {
        Of { id: (!id.is_empty()).then_some(id), method, path }
    }

    #[test]
    fn ids_become_words_apart_by_underscores() {
        for (id, name) in [
            ("listPets", "list_pets"),
            ("actions/add-labels", "actions_add_labels"),
            ("listCoreV1NamespacedPod", "list_core_v1_namespaced_pod"),
            ("getHTTPRoutes", "get_http_routes"),
            ("OAuth2", "oauth2"),
            ("compute.instances.list", "compute_instances_list"),
            ("  Får får_ får?", "f_r_f_r_f_r"),
            ("__x__", "x"),
        ] {
            assert_eq!(snake(id), name, "{id}");
        }
    }

    #[test]
    fn every_tool_has_a_name_of_its_own_that_stays_the_same() {
        let operations = [
            of("getPet", "GET", "/pets/{petId}"),
            of("", "GET", "/pets"),
            of("same", "POST", "/a"),
            of("same", "POST", "/b"),
            of("get_pet", "PUT", "/pets/{petId}"),
            of("create_ticket", "POST", "/tickets"),
            of("call", "POST", "/call"),
            of("", "POST", "/a-b"),
            of("", "POST", "/a/b"),
            of("東京", "GET", "/t"),
        ];
        assert_eq!(
            tools(&operations, ""),
            [
                "get_pets_pet_id",
                "get_pets",
                "post_a",
                "post_b",
                "put_pets_pet_id",
                "post_tickets",
                "post_call",
                "post_a_b",
                "post_a_b_2",
                "get_t",
            ]
        );
        let prefixed = tools(&operations[5..7], "Shop API");
        assert_eq!(prefixed, ["shop_api_create_ticket", "shop_api_call"]);
    }

    #[test]
    fn a_long_name_is_cut_and_stays_one_of_a_kind() {
        let long = |end: &str| format!("list{}{end}", "Repository".repeat(8));
        let (a, b) = (long("A"), long("B"));
        let names = tools(&[of(&a, "GET", "/a"), of(&b, "GET", "/b")], "");
        assert!(names.iter().all(|name| name.len() <= LONGEST_TOOL), "{names:?}");
        assert_ne!(names[0], names[1]);
        assert_eq!(tools(&[of(&b, "GET", "/b")], ""), names[1..]);
    }

    #[test]
    fn arguments_have_plain_names_and_never_the_same() {
        let mut taken = BTreeSet::new();
        let mut name = |wanted: &str, place: &str| {
            let name = argument(wanted, place, &taken);
            taken.insert(name.clone());
            name
        };
        assert_eq!(name("id", "path"), "id");
        assert_eq!(name("id", "query"), "query_id");
        assert_eq!(name("id", "body"), "body_id");
        assert_eq!(name("id", "query"), "query_id_2");
        assert_eq!(name("filter[name]", "query"), "filter_name");
        assert_eq!(name("$top", "query"), "top");
        assert_eq!(name("X-Request-Id", "header"), "X-Request-Id");
        assert_eq!(name("@", "query"), "value");
        assert_eq!(name("address.city", "query"), "address_city");
        assert_eq!(name(&"x".repeat(99), "query").len(), LONGEST_ARGUMENT);
    }

    #[test]
    fn files_and_variables_are_named_after_the_api() {
        for (title, name) in [
            ("GitHub v3 REST API", "github_v3"),
            ("The Jira Cloud platform REST API", "jira_cloud_platform"),
            ("Twilio - Api", "twilio"),
            ("REST API", "rest_api"),
        ] {
            assert_eq!(file(None, title), name);
        }
        assert_eq!(file(Some("github"), "GitHub v3 REST API"), "github");
        assert_eq!(file(None, "東京"), "openapi");
        assert_eq!(variable("shop", "bearerAuth"), "SHOP_BEARER_AUTH");
    }
}
