//! How a tool shows who calls (3.1.1 sections 4.8.27 and 4.8.30). A secret is never in the document nor asked for here:
//! each scheme becomes a reference to a variable of the daemon, and the operator is told which to set.

use std::collections::BTreeMap;

use serde_json::Value;

use super::document::Document;
use super::naming;
use super::problem::{Refused, Skip, Stop};
use super::words;
use crate::domain::tool::command::SecretRef;

/// One way to show who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(String),
    /// `Authorization: Basic …` (RFC 7617): references to the user's name and the password.
    Basic(String, String),
    /// A header of this name.
    Header(String, String),
    /// A parameter of the query.
    Query(String, String),
    /// A cookie.
    Cookie(String, String),
}

/// A secret that the operator has to set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Secret {
    /// Where the daemon looks for it, such as `env:SHOP_TOKEN`.
    pub reference: String,
    /// What it is, in words.
    pub what: String,
}

/// The schemes of a document, and what the operator said of them.
#[derive(Debug)]
pub struct Security<'a> {
    document: &'a Document,
    file: &'a str,
    said: &'a BTreeMap<String, SecretRef>,
    bearer: Option<&'a SecretRef>,
}

impl<'a> Security<'a> {
    /// `said` names references by scheme; `bearer` goes with every call, whatever the document says.
    ///
    /// # Errors
    /// When something is said of a scheme that the document does not have.
    pub fn new(
        document: &'a Document,
        file: &'a str,
        said: &'a BTreeMap<String, SecretRef>,
        bearer: Option<&'a SecretRef>,
    ) -> Result<Self, Refused> {
        let all = Self { document, file, said, bearer };
        let known: Vec<String> =
            all.schemes().and_then(Value::as_object).into_iter().flat_map(|all| all.keys().cloned()).collect();
        let of = |said: &String| said.strip_suffix(".user").unwrap_or(said).to_owned();
        match said.keys().map(of).find(|scheme| !known.contains(scheme)) {
            Some(scheme) => Err(Refused::NoScheme { scheme, known }),
            None => Ok(all),
        }
    }

    fn schemes(&self) -> Option<&'a Value> {
        self.document.root.get("components")?.get("securitySchemes")
    }

    /// The names of the schemes, whether an operation uses them or not.
    pub fn names(&self) -> Vec<&'a str> {
        self.schemes().and_then(Value::as_object).into_iter().flat_map(|all| all.keys().map(String::as_str)).collect()
    }

    /// How an operation shows who calls, and the secrets that this takes. Of several ways the first is taken that a tool
    /// has, and one with a single secret before one with a name and a password.
    ///
    /// # Errors
    /// When a tool has none of them.
    pub fn of(&self, operation: &Value) -> Result<(Vec<Auth>, Vec<Secret>), Stop> {
        if let Some(bearer) = self.bearer {
            let secret = Secret { reference: bearer.to_string(), what: "a bearer token".to_owned() };
            return Ok((vec![Auth::Bearer(bearer.to_string())], vec![secret]));
        }
        let ways = operation.get("security").or_else(|| self.document.root.get("security"));
        let Some(ways) = ways.and_then(Value::as_array) else { return Ok(Default::default()) };
        let mut possible = Vec::new();
        let mut why = None;
        let mut free = ways.is_empty();
        for way in ways.iter().filter_map(Value::as_object) {
            if way.is_empty() {
                free = true;
                continue;
            }
            let each: Result<Vec<_>, Stop> = way.keys().map(|scheme| self.scheme(scheme)).collect();
            match each {
                Ok(each) => possible.push(each),
                Err(stop @ (Stop::Elsewhere(_) | Stop::NoServer(_))) => return Err(stop),
                Err(stop) => why = why.or(Some(stop)),
            }
        }
        let secrets = |way: &Vec<(Auth, Vec<Secret>)>| way.iter().map(|(_, secrets)| secrets.len()).sum::<usize>();
        match (possible.into_iter().min_by_key(secrets), why) {
            (Some(way), _) => {
                let (auths, secrets): (Vec<Auth>, Vec<Vec<Secret>>) = way.into_iter().unzip();
                Ok((auths, secrets.concat()))
            }
            (None, Some(stop)) if !free => Err(stop),
            (None, _) => Ok(Default::default()),
        }
    }

    fn scheme(&self, name: &str) -> Result<(Auth, Vec<Secret>), Stop> {
        let none = |why: String| Stop::from(Skip::Security(why));
        let scheme = self.schemes().and_then(|all| all.get(name));
        let scheme =
            scheme.ok_or_else(|| none(format!("it needs the security scheme `{name}`, which is not described")))?;
        let scheme = self.document.follow(scheme)?;
        let text = |word: &str| scheme.get(word).and_then(Value::as_str).unwrap_or_default();
        let said = words::paragraph(text("description"), words::INSIDE);
        let secret = |ending: &str, what: String| {
            let key = if ending == "_USER" { format!("{name}.user") } else { name.to_owned() };
            let variable = format!("env:{}{ending}", naming::variable(self.file, name));
            let reference = self.said.get(&key).map_or(variable, ToString::to_string);
            let what = if said.is_empty() { what } else { format!("{what}: {said}") };
            Secret { reference, what }
        };
        let one = |auth: fn(String) -> Auth, what: String| {
            let secret = secret("", what);
            (auth(secret.reference.clone()), vec![secret])
        };
        let named = |auth: fn(String, String) -> Auth, what: &str| {
            let place = text("name");
            let secret = secret("", format!("{what} `{place}`"));
            (auth(place.to_owned(), secret.reference.clone()), vec![secret])
        };
        let unknown = |what: String| Err(none(format!("it needs `{name}` ({what}), which no tool has")));
        match (text("type"), text("scheme").to_ascii_lowercase().as_str(), text("in")) {
            ("http", "bearer", _) => Ok(one(Auth::Bearer, "a bearer token".to_owned())),
            ("http", "basic", _) => {
                let user = secret("_USER", "the name of a user".to_owned());
                let password = secret("_PASSWORD", "the user's password".to_owned());
                Ok((Auth::Basic(user.reference.clone(), password.reference.clone()), vec![user, password]))
            }
            ("oauth2" | "openIdConnect", _, _) => {
                Ok(one(Auth::Bearer, "an access token, which you get elsewhere".to_owned()))
            }
            ("apiKey", _, "header" | "cookie") if !naming::is_token(text("name")) => {
                unknown("a key without a name".to_owned())
            }
            ("apiKey", _, "query") if text("name").is_empty() => unknown("a key without a name".to_owned()),
            ("apiKey", _, "header") => Ok(named(Auth::Header, "the whole of the header")),
            ("apiKey", _, "query") => Ok(named(Auth::Query, "the query's parameter")),
            ("apiKey", _, "cookie") => Ok(named(Auth::Cookie, "the cookie")),
            ("http", scheme, _) => unknown(format!("http {scheme}")),
            (kind, _, _) => unknown(kind.to_owned()),
        }
    }
}

impl Auth {
    /// Whether it sends a header, or a parameter of the query, of this name itself.
    pub fn sends(&self, place: &str, name: &str) -> bool {
        match (self, place) {
            (Self::Header(own, _), "header") => own.eq_ignore_ascii_case(name),
            (Self::Query(own, _), "query") => own == name,
            (Self::Bearer(_) | Self::Basic(..) | Self::Header(..) | Self::Query(..) | Self::Cookie(..), _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::document::Dialect;
    use super::*;

    fn document(security: Value) -> Document {
        let schemes = json!({
            "token": {"type": "http", "scheme": "Bearer", "description": "Make one\nunder <b>Settings</b>."},
            "login": {"type": "http", "scheme": "basic"}, "digest": {"type": "http", "scheme": "digest"},
            "oauth": {"type": "oauth2", "flows": {}}, "oidc": {"type": "openIdConnect"}, "tls": {"type": "mutualTLS"},
            "key": {"type": "apiKey", "in": "header", "name": "X-Key"}, "url": {"type": "apiKey", "in": "query", "name": "k"},
            "session": {"type": "apiKey", "in": "cookie", "name": "sid"}, "again": {"$ref": "#/components/securitySchemes/token"},
        });
        Document {
            root: json!({"security": security, "components": {"securitySchemes": schemes}}),
            dialect: Dialect::Own,
        }
    }

    fn of(security: Value) -> Result<Vec<Auth>, Stop> {
        let document = document(security);
        let said = BTreeMap::from([("key".to_owned(), SecretRef::Environment("MINE".into()))]);
        let security = Security::new(&document, "shop", &said, None).expect("known schemes");
        security.of(&json!({})).map(|(auths, _)| auths)
    }

    #[test]
    fn every_scheme_becomes_a_reference() {
        let env = |name: &str| format!("env:SHOP_{name}");
        for (security, auths) in [
            (json!([]), vec![]),
            (json!([{}]), vec![]),
            (json!([{"token": []}]), vec![Auth::Bearer(env("TOKEN"))]),
            (json!([{"again": []}]), vec![Auth::Bearer(env("AGAIN"))]),
            (json!([{"oauth": ["read"]}]), vec![Auth::Bearer(env("OAUTH"))]),
            (json!([{"oidc": []}]), vec![Auth::Bearer(env("OIDC"))]),
            (json!([{"login": []}]), vec![Auth::Basic(env("LOGIN_USER"), env("LOGIN_PASSWORD"))]),
            (json!([{"login": []}, {"token": []}]), vec![Auth::Bearer(env("TOKEN"))]),
            (json!([{"tls": []}, {"url": []}]), vec![Auth::Query("k".into(), env("URL"))]),
            (json!([{"session": []}]), vec![Auth::Cookie("sid".into(), env("SESSION"))]),
            (json!([{"tls": []}, {}]), vec![]),
            (
                json!([{"key": [], "token": []}]),
                vec![Auth::Header("X-Key".into(), "env:MINE".into()), Auth::Bearer(env("TOKEN"))],
            ),
        ] {
            assert_eq!(of(security.clone()), Ok(auths), "{security}");
        }
    }

    #[test]
    fn what_no_tool_has_costs_the_operation_alone() {
        for (security, why) in [
            (json!([{"digest": []}]), "it needs `digest` (http digest), which no tool has"),
            (json!([{"tls": []}]), "it needs `tls` (mutualTLS), which no tool has"),
            (json!([{"gone": []}]), "it needs the security scheme `gone`, which is not described"),
        ] {
            assert_eq!(of(security), Err(Stop::Skip(Skip::Security(why.into()))));
        }
    }

    #[test]
    fn the_operator_has_the_last_word() {
        let document = document(json!([{"login": []}]));
        let (said, reference) = (BTreeMap::new(), SecretRef::Environment("GH".into()));
        let security = Security::new(&document, "shop", &said, Some(&reference)).expect("good");
        let (auths, secrets) = security.of(&json!({"security": []})).expect("a bearer token");
        assert_eq!((auths, secrets.len()), (vec![Auth::Bearer("env:GH".into())], 1));
        let said = BTreeMap::from([("tokn".to_owned(), reference)]);
        let refused = Security::new(&document, "shop", &said, None).expect_err("no such scheme");
        assert!(refused.hint().is_some_and(|hint| hint.contains("`token`")), "{refused:?}");
    }

    #[test]
    fn secrets_are_described_for_who_sets_them() {
        let document = document(json!([{"token": []}]));
        let said = BTreeMap::new();
        let security = Security::new(&document, "shop", &said, None).expect("good");
        let (_, secrets) = security.of(&json!({})).expect("a token");
        let what = "a bearer token: Make one under Settings .".to_owned();
        assert_eq!(secrets, [Secret { reference: "env:SHOP_TOKEN".into(), what }]);
    }
}
