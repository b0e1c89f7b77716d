//! What a request says about itself: its metadata, and what it names. Read in one pass, and what only the door
//! looks at (the revision, the client) apart from what is passed on.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::api::mcp::{Era, Fault, Version, meta};

use super::message::Request;
use super::params::Name;

/// What a request says about itself.
#[derive(Debug, Default)]
pub struct Envelope {
    /// `params._meta`, without the revision and the client.
    pub meta: Map<String, Value>,
    /// What the request is about, for methods that name something: the tool, prompt, resource or task.
    pub name: Option<String>,
    version: Option<Value>,
    capabilities: Option<Value>,
    client: Option<String>,
}

/// What a modern request says about itself, checked.
#[derive(Debug)]
pub struct Said {
    /// The revision.
    pub version: Version,
    /// What the client can do.
    pub capabilities: Map<String, Value>,
    /// Its name and version.
    pub client: Option<String>,
    /// [`Envelope::meta`].
    pub meta: Map<String, Value>,
    /// [`Envelope::name`].
    pub name: Option<String>,
}

impl Envelope {
    /// Reads `params._meta`; nothing when there is none.
    ///
    /// # Errors
    /// A `_meta` that is no object.
    pub fn of(request: &Request) -> Result<Self, Fault> {
        let envelope: Option<Self> = match request.params.get("_meta") {
            Some(meta) => serde_json::from_str(meta.get())
                .map_err(|error| Fault::invalid_meta(format!("`params._meta` is malformed: {error}")))?,
            None => None,
        };
        let member = match request.method.as_str() {
            "tools/call" | "prompts/get" => Some("name"),
            "resources/read" => Some("uri"),
            "tasks/get" | "tasks/update" | "tasks/cancel" => Some("taskId"),
            _ => None,
        };
        // Another kind of value is for the method to refuse.
        let name = member.and_then(|member| request.params.member(member).ok()?);
        Ok(Self { name, ..envelope.unwrap_or_default() })
    }

    /// Whether it is of the modern era, by itself or by what its header says.
    pub fn is_modern(&self, method: &str, header: Option<&str>) -> bool {
        self.version.is_some()
            || header.is_some_and(|header| header >= Version::V2026_07_28.word())
            || matches!(method, "server/discover" | "subscriptions/listen")
    }

    /// The version that a modern request must say, beside what its client can do. It is not yet judged.
    ///
    /// # Errors
    /// -32602, naming the member that is missing or malformed.
    pub fn must(&self) -> Result<&str, Fault> {
        let version = self.version.as_ref().and_then(Value::as_str);
        let version = version.ok_or_else(|| required(meta::VERSION, "a string"))?;
        match &self.capabilities {
            Some(Value::Object(_)) => Ok(version),
            _ => Err(required(meta::CLIENT_CAPABILITIES, "an object")),
        }
    }

    /// What every modern request says, in a revision that we speak.
    ///
    /// # Errors
    /// As [`Envelope::must`], and -32022.
    pub fn said(self) -> Result<Said, Fault> {
        let version = self.must()?;
        let known = version.parse().ok().filter(|version: &Version| version.era() == Era::Modern);
        let version = known.ok_or_else(|| Fault::unsupported_version(version))?;
        let Self { meta, name, capabilities, client, .. } = self;
        let capabilities = match capabilities {
            Some(Value::Object(capabilities)) => capabilities,
            _ => Map::new(),
        };
        Ok(Said { version, capabilities, client, meta, name })
    }
}

fn required(name: &str, what: &str) -> Fault {
    Fault::invalid_meta(format!("`params._meta[\"{name}\"]` must be {what}"))
}

/// A name and a version as clients write them; other kinds of values count as none.
#[derive(Deserialize)]
struct Info<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    version: Option<Cow<'a, str>>,
}

/// `NAME VERSION` of `clientInfo`, which is JSON text.
pub fn name_and_version(info: &RawValue) -> Option<String> {
    let Info { name, version } = serde_json::from_str(info.get()).ok()?;
    Some(match version {
        Some(version) => format!("{name} {version}"),
        None => name.into_owned(),
    })
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Envelope;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Envelope, A::Error> {
                let mut read = Envelope::default();
                while let Some(Name(name)) = members.next_key()? {
                    match name.as_ref() {
                        meta::VERSION => read.version = Some(members.next_value()?),
                        meta::CLIENT_CAPABILITIES => read.capabilities = Some(members.next_value()?),
                        meta::CLIENT_INFO => read.client = name_and_version(members.next_value::<&RawValue>()?),
                        _ => {
                            let value = members.next_value()?;
                            read.meta.insert(name.into_owned(), value);
                        }
                    }
                }
                Ok(read)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::params::Params;
    use super::*;

    fn read(method: &str, params: &Value) -> Result<Envelope, String> {
        let params = Params::of(&params.to_string());
        Envelope::of(&Request { id: "1".to_owned(), method: method.to_owned(), params }).map_err(|fault| fault.message)
    }

    #[test]
    fn what_only_the_door_looks_at_is_read_apart() {
        let said = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {"roots": {}},
            "io.modelcontextprotocol/clientInfo": {"name": "bot \"x\"", "version": "1", "title": [7]},
            "progressToken": 7,
        });
        let envelope =
            read("tools/call", &json!({"_meta": said, "name": "t\u{e9}", "arguments": {"name": 7}})).unwrap();
        assert_eq!(Value::Object(envelope.meta.clone()), json!({"progressToken": 7}));
        assert_eq!(envelope.name.as_deref(), Some("t\u{e9}"));
        let said = envelope.said().unwrap();
        assert_eq!((said.version, said.client.as_deref()), (Version::V2026_07_28, Some("bot \"x\" 1")));
        assert_eq!(Value::Object(said.capabilities), json!({"roots": {}}));
    }

    #[test]
    fn a_name_is_what_its_method_names() {
        let params = json!({"name": "n", "uri": "u", "taskId": "t"});
        let named = |method| read(method, &params).unwrap().name;
        let names = ["tools/call", "resources/read", "tasks/update", "tools/list"].map(named);
        assert_eq!(names, [Some("n"), Some("u"), Some("t"), None].map(|name| name.map(str::to_owned)));
        assert_eq!(read("tools/call", &json!({"name": 7})).unwrap().name, None, "for the method to refuse");
    }

    #[test]
    fn malformed_metadata_is_told_apart_from_none() {
        assert!(read("ping", &json!({"_meta": null})).unwrap().meta.is_empty());
        assert!(read("ping", &json!({"_meta": 7})).unwrap_err().contains("expected an object"));
        let strange = json!({"_meta": {"io.modelcontextprotocol/clientInfo": 7}});
        assert_eq!(read("ping", &strange).unwrap().client, None, "a label only");
        let missing = read("ping", &json!({})).unwrap().said().unwrap_err();
        assert_eq!((missing.status, missing.code), (400, -32_602));
    }
}
