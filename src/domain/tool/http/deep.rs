//! Objects in queries and forms, which know names and text alone: each member by itself, its name in brackets behind
//! that of the object, as `address[city]=Oslo`. It is what OpenAPI calls `deepObject`, and what Rack, PHP and `qs` read.

use serde_json::Value;

use super::super::template::{BadArgument, plain};
use super::encode::percent;

/// The pairs of an argument's value under `name`, ready for a query or a form: none for what is null or empty. Items
/// of a list of text stand behind `[]`, those of any other list behind their number.
///
/// # Errors
/// A member whose name would be read as a part of another place.
pub fn pairs(name: &str, argument: &str, value: &Value) -> Result<Vec<String>, BadArgument> {
    let mut all = Vec::new();
    add(name, argument, value, &mut all)?;
    Ok(all)
}

fn add(name: &str, argument: &str, value: &Value, all: &mut Vec<String>) -> Result<(), BadArgument> {
    match value {
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            all.push(format!("{}={}", percent(name), percent(&plain(argument, value)?)));
        }
        Value::Array(items) => {
            let flat = items.iter().all(|item| !item.is_array() && !item.is_object());
            for (place, item) in items.iter().enumerate() {
                let place = if flat { String::new() } else { place.to_string() };
                add(&format!("{name}[{place}]"), argument, item, all)?;
            }
        }
        Value::Object(members) => {
            for (member, value) in members {
                if member.is_empty() || member.contains(['[', ']']) {
                    let why = "must not have members without a name or with brackets in it, as their names stand in brackets here";
                    return Err(BadArgument::Place(argument.to_owned(), why));
                }
                add(&format!("{name}[{member}]"), argument, value, all)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(value: Value) -> String {
        pairs("a", "arg", &value).expect("pairs").join("&").replace("%5B", "[").replace("%5D", "]")
    }

    #[test]
    fn every_member_stands_by_itself() {
        for (value, expected) in [
            (json!("x y"), "a=x%20y"),
            (json!({"gte": 1, "lt": null, "ok": true}), "a[gte]=1&a[ok]=true"),
            (json!({"b": {"c&d": "e=f"}}), "a[b][c%26d]=e%3Df"),
            (json!(["x", 2]), "a[]=x&a[]=2"),
            (json!([{"b": 1}, {"b": ["x"]}]), "a[0][b]=1&a[1][b][]=x"),
            (json!({}), ""),
            (json!(null), ""),
        ] {
            assert_eq!(written(value.clone()), expected, "{value}");
        }
    }

    #[test]
    fn no_name_of_a_member_reaches_another_place() {
        for member in ["x][y", "[", "]", ""] {
            let value = json!({"b": {member: 1}});
            let refused = pairs("a", "arg", &value).expect_err("refused").to_string();
            assert!(refused.starts_with("the argument `arg` must not have members"), "{refused}");
        }
    }
}
