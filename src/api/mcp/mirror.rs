//! Arguments that callers over HTTP also send as headers `Mcp-Param-NAME`, because a tool's schema says so
//! (`x-mcp-header`, MCP 2026-07-28): which these are, and how a value is written there. Both sides need it: the door
//! checks them, and a client of other servers sends them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

/// An argument that modern clients also send as the header `Mcp-Param-NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirroredParameter {
    /// The name in the header.
    pub header: String,
    /// Where it stands in the arguments: one member after the other.
    pub path: Vec<String>,
}

impl MirroredParameter {
    /// Those of a tool with this input schema: strings, integers and booleans that are reached by `properties`
    /// alone.
    pub fn of(schema: &Value) -> Vec<Self> {
        fn walk(schema: &Value, path: &mut Vec<String>, found: &mut Vec<MirroredParameter>) {
            let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
            for (name, property) in properties {
                path.push(name.clone());
                if let Some(header) = property.get("x-mcp-header").and_then(Value::as_str) {
                    found.push(MirroredParameter { header: header.to_owned(), path: path.clone() });
                }
                walk(property, path, found);
                path.pop();
            }
        }
        let mut found = Vec::new();
        walk(schema, &mut Vec::new(), &mut found);
        found
    }

    /// The argument, where it is there and not null.
    pub fn argument<'a>(&self, arguments: &'a Value) -> Option<&'a Value> {
        let found = self.path.iter().try_fold(arguments, |value, member| value.get(member));
        found.filter(|argument| !argument.is_null())
    }

    /// The name and the value of the header for these arguments; none where the argument is not there, or is nothing
    /// that a header mirrors.
    pub fn written(&self, arguments: &Value) -> Option<(String, String)> {
        let value = match self.argument(arguments)? {
            Value::String(text) => encoded(text),
            Value::Bool(truth) => truth.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some((format!("mcp-param-{}", self.header.to_ascii_lowercase()), value))
    }
}

/// Text as headers carry it (MCP 2026-07-28, "Header encoding").
pub fn encoded(text: &str) -> String {
    let plain = text.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) && !text.starts_with("=?");
    if plain { text.to_owned() } else { format!("=?base64?{}?=", BASE64.encode(text)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_no_header_can_hold_is_encoded() {
        assert_eq!(encoded("read_file"), "read_file");
        assert_eq!(encoded("läs fil"), "=?base64?bMOkcyBmaWw=?=");
        assert_eq!(encoded("=?x"), "=?base64?PT94?=");
    }

    #[test]
    fn arguments_are_mirrored_by_their_type_where_they_are() {
        let schema = json!({"properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "deep": {"properties": {"count": {"type": "integer", "x-mcp-header": "Count"}}},
            "dry": {"type": "boolean", "x-mcp-header": "Dry"},
            "list": {"type": "array", "x-mcp-header": "List"},
            "plain": {"type": "string"},
        }});
        let written = |arguments: Value| {
            let mut all: Vec<_> =
                MirroredParameter::of(&schema).iter().filter_map(|one| one.written(&arguments)).collect();
            all.sort();
            all
        };
        let pair = |name: &str, value: &str| (format!("mcp-param-{name}"), value.to_owned());
        assert_eq!(
            written(json!({"region": "eu nord", "deep": {"count": 42}, "dry": true, "list": [1], "plain": "x"})),
            [pair("count", "42"), pair("dry", "true"), pair("region", "=?base64?ZXUgbm9yZA==?=")]
        );
        assert_eq!(written(json!({"region": null, "deep": 1})), []);
    }
}
