//! An OpenAPI document as it was read, and the way from a `$ref` to what it names. It is kept as the JSON it is and
//! not read into types: real documents break the specification in many small ways, and only what a tool is made of
//! has to be right. Nothing outside the document is ever opened.

use serde_json::Value;

use super::problem::{Refused, Skip, Stop};

/// Bytes of a document at most: 32 MiB.
pub const MOST_BYTES: usize = 32 << 20;
/// References followed in a row before it is a circle.
const LONGEST_CHAIN: usize = 32;
/// Values, and levels of them, that a YAML document may have. Aliases count as what they stand for.
const MOST_NODES: usize = 4_000_000;
const DEEPEST: usize = 128;

/// What the words of a schema mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAPI 3.0: a dialect of its own (3.0.4 section 4.7.24).
    Own,
    /// OpenAPI 3.1 and later: JSON Schema 2020-12.
    JsonSchema,
}

/// A document.
#[derive(Debug)]
pub struct Document {
    /// All of it.
    pub root: Value,
    /// What the words of its schemas mean.
    pub dialect: Dialect,
}

impl Document {
    /// Reads a document: JSON when it begins as such, else YAML.
    ///
    /// # Errors
    /// When it is too long, cannot be read, or is no OpenAPI 3.
    pub fn read(bytes: &[u8]) -> Result<Self, Refused> {
        if bytes.len() > MOST_BYTES {
            return Err(Refused::TooLong(MOST_BYTES >> 20));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let root = if bytes.trim_ascii_start().starts_with(b"{") { json(bytes)? } else { yaml(bytes)? };
        if !root.is_object() {
            return Err(Refused::NotOpenApi("it is no object"));
        }
        // Some write the version as a number.
        let version = |name: &str| match root.get(name) {
            Some(Value::String(version)) => Some(version.clone()),
            Some(Value::Number(version)) => Some(version.to_string()),
            _ => None,
        };
        if let Some(version) = version("swagger") {
            return Err(Refused::Swagger(version));
        }
        let version = version("openapi").ok_or(Refused::NotOpenApi("it has no member `openapi`"))?;
        let mut parts = version.split('.');
        let dialect = match (parts.next(), parts.next()) {
            (Some("3"), Some("0")) => Dialect::Own,
            // What later ones add is left out and told where an operation needs it.
            (Some("3"), Some(minor)) if minor.parse::<u8>().is_ok() => Dialect::JsonSchema,
            _ => return Err(Refused::Version(version)),
        };
        if !root.get("paths").is_some_and(Value::is_object) {
            let why =
                if root.get("webhooks").is_some() { "it has no `paths`, only webhooks" } else { "it has no `paths`" };
            return Err(Refused::NotOpenApi(why));
        }
        Ok(Self { root, dialect })
    }

    /// Text of `info`, such as its `title`.
    pub fn info(&self, name: &str) -> &str {
        self.root.get("info").and_then(|info| info.get(name)).and_then(Value::as_str).unwrap_or_default().trim()
    }

    /// What a value is, or what the value refers to: a Reference Object (3.1.1 section 4.8.23) is followed.
    ///
    /// # Errors
    /// When a reference leaves the document, leads nowhere or back to itself.
    pub fn follow<'a>(&'a self, value: &'a Value) -> Result<&'a Value, Stop> {
        let mut here = value;
        for _ in 0..LONGEST_CHAIN {
            match here.get("$ref").and_then(Value::as_str) {
                Some(reference) => here = self.at(reference)?,
                None => return Ok(here),
            }
        }
        let reference = value.get("$ref").and_then(Value::as_str).unwrap_or_default();
        Err(Skip::Reference(format!("the `$ref` to `{reference}` leads back to itself")).into())
    }

    /// What a reference names: a JSON Pointer (RFC 6901 section 6) behind `#`.
    ///
    /// # Errors
    /// When it leaves the document or leads nowhere.
    pub fn at(&self, reference: &str) -> Result<&Value, Stop> {
        let Some(pointer) = reference.strip_prefix('#') else { return Err(Stop::Elsewhere(reference.to_owned())) };
        let nowhere = || Stop::from(Skip::Reference(format!("the `$ref` to `{reference}` leads nowhere")));
        // Most are written as they are; some percent-encoded, as in an address.
        let exact = self.root.pointer(pointer);
        exact.or_else(|| self.root.pointer(&unescape(pointer)?)).ok_or_else(nowhere)
    }
}

fn json(bytes: &[u8]) -> Result<Value, Refused> {
    serde_json::from_slice(bytes).map_err(|error| Refused::Unreadable { language: "JSON", why: error.to_string() })
}

fn yaml(bytes: &[u8]) -> Result<Value, Refused> {
    let unreadable = |why: String| Refused::Unreadable { language: "YAML", why };
    let text = std::str::from_utf8(bytes)
        .map_err(|error| unreadable(format!("it is not UTF-8 (at byte {})", error.valid_up_to())))?;
    let budget = serde_saphyr::budget! {
        max_depth: DEEPEST,
        max_nodes: MOST_NODES,
        max_events: MOST_NODES * 2,
    };
    // As YAML 1.2 has it: `on`, `yes` and `no` are words, as values of enumerations often are.
    let options = serde_saphyr::options! { budget: budget, strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let said = error.without_snippet().to_string();
        unreadable(said.lines().next().unwrap_or_default().to_owned())
    })
}

/// Undoes percent-encoding (RFC 3986 section 2.1); none when it is broken.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_languages_and_every_three_are_read() {
        for (text, dialect) in [
            (r#"{"openapi": "3.0.3", "paths": {}}"#, Dialect::Own),
            ("\u{feff}  {\"openapi\": \"3.1.0\", \"paths\": {}}", Dialect::JsonSchema),
            ("openapi: 3.0.1\npaths: {}\n", Dialect::Own),
            ("# a comment\nopenapi: 3.1\npaths: {}\n", Dialect::JsonSchema),
            ("openapi: '3.2.0'\npaths: {}\n", Dialect::JsonSchema),
        ] {
            assert_eq!(Document::read(text.as_bytes()).expect(text).dialect, dialect, "{text}");
        }
        let yaml = "openapi: 3.0.0\npaths:\n  /a:\n    get: &a\n      responses:\n        200: {x: [on, No, ~, 1.5, 0x10]}\n    post: *a\n";
        let read = Document::read(yaml.as_bytes()).expect("read");
        assert_eq!(read.root["paths"]["/a"]["post"]["responses"]["200"]["x"], json!(["on", "No", null, 1.5, 16]));
    }

    #[test]
    fn what_is_no_such_document_is_refused_and_told() {
        for (text, why) in [
            ("", "this is no OpenAPI document: it is no object"),
            ("hello", "this is no OpenAPI document: it is no object"),
            (
                "{\"openapi\": \"3.0.0\"",
                "this is not JSON that can be read: EOF while parsing an object at line 1 column 19",
            ),
            ("a: [1\nb", "this is not YAML that can be read: "),
            ("a: 1\na: 2\n", "this is not YAML that can be read: "),
            ("{}", "this is no OpenAPI document: it has no member `openapi`"),
            ("swagger: '2.0'\n", "this document is Swagger 2.0, and only OpenAPI 3 is read"),
            ("swagger: 2.0\n", "this document is Swagger 2.0, and only OpenAPI 3 is read"),
            ("openapi: 4.0.0\n", "this document is OpenAPI 4.0.0, and only 3.0 and 3.1 are read"),
            ("openapi: 3.0.0\n", "this is no OpenAPI document: it has no `paths`"),
            ("openapi: 3.1.0\nwebhooks: {}\n", "this is no OpenAPI document: it has no `paths`, only webhooks"),
        ] {
            let refused = Document::read(text.as_bytes()).expect_err(text).to_string();
            assert!(refused.starts_with(why), "{text:?}: {refused}");
        }
        let refused = Document::read(b"openapi: \xff").expect_err("no UTF-8").to_string();
        assert_eq!(refused, "this is not YAML that can be read: it is not UTF-8 (at byte 9)");
        let long = vec![b' '; MOST_BYTES + 1];
        assert_eq!(Document::read(&long).expect_err("too long").to_string(), "the document has more than 32 MiB");
        let hint = Document::read(b"swagger: '2.0'").expect_err("Swagger").hint();
        assert_eq!(hint.as_deref(), Some("convert it first, for example with the program swagger2openapi"));
    }

    #[test]
    fn aliases_cannot_make_a_document_grow_without_end() {
        let mut bomb = String::from("openapi: 3.0.0\npaths: {}\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let items = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert!(matches!(Document::read(bomb.as_bytes()), Err(Refused::Unreadable { language: "YAML", .. })));
    }

    #[test]
    fn references_are_followed_inside_the_document_only() {
        let document = Document {
            root: json!({
                "a b": {"$ref": "#/c~1d"}, "c/d": {"x": 1}, "here": {"$ref": "#/a%20b"},
                "out": {"$ref": "other.yaml#/x"}, "far": {"$ref": "https://example.com/x.json"},
                "gone": {"$ref": "#/nothing"}, "ring": {"$ref": "#/gnir"}, "gnir": {"$ref": "#/ring"},
            }),
            dialect: Dialect::Own,
        };
        let follow = |name: &str| document.follow(&document.root[name]);
        assert_eq!(follow("here"), Ok(&json!({"x": 1})));
        assert_eq!(follow("out"), Err(Stop::Elsewhere("other.yaml#/x".into())));
        assert_eq!(follow("far"), Err(Stop::Elsewhere("https://example.com/x.json".into())));
        let reference = |why: &str| Err(Stop::Skip(Skip::Reference(why.into())));
        assert_eq!(follow("gone"), reference("the `$ref` to `#/nothing` leads nowhere"));
        assert_eq!(follow("ring"), reference("the `$ref` to `#/gnir` leads back to itself"));
    }
}
