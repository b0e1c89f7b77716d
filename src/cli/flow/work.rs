//! The calls of one step, with their keys. A key is all that joins a call to its run, so it must come out the same
//! whenever the run is started again: it is made of names and places, never of time or chance.

use std::collections::BTreeSet;

use minijinja::Value as Dynamic;
use serde_json::Value;

use super::caller::Wanted;
use super::definition::{MOST_ITEMS, Step};
use super::scope::Scope;
use super::template::{Ready, Shape};
use crate::api::calls::{Ask, NewCall};
use crate::api::tools::Tool;
use crate::domain::digest::Digest;
use crate::domain::tool::EffectClass;

/// The longest key, with room for the number of an attempt.
const LONGEST_KEY: usize = 250;
/// The most that the arguments of one step's calls take, in bytes of JSON: they are all made before the first is sent.
const MOST_ARGUMENTS: usize = 64 << 20;

/// Whether calling the tool again is harmless, whatever the first call did.
pub fn is_harmless(tool: &Tool) -> bool {
    matches!(tool.effect, EffectClass::ReadOnly | EffectClass::Idempotent)
}

/// The calls of a step; none when its condition does not hold.
///
/// # Errors
/// In words, when an expression has no value, or not the one it must have. Nothing has been sent then.
pub fn of(step: &Step, scope: &Scope, is_harmless: bool) -> Result<Option<Vec<Wanted>>, String> {
    let whole = scope.value(Some(&step.id));
    let (run, workflow) = (scope.run_of(&step.id), &scope.workflow);
    if let Some(when) = &step.when
        && !when.holds(&whole)?
    {
        return Ok(None);
    }
    // Compiled once, however long the list is.
    let with = step.with.ready()?;
    let about = step.idempotency.as_ref().map(Shape::ready).transpose()?;
    let why = step.reason.as_ref().map(Shape::ready).transpose()?;
    let make = |scope_of_item: &Dynamic, place: Option<usize>| -> Result<Wanted, String> {
        let (key, is_of_run) = key(step, about.as_ref(), workflow, run, scope_of_item, place)?;
        let reason = why.as_ref().map(|why| why.value(scope_of_item)).transpose()?;
        let call = NewCall {
            tool: step.tool.clone(),
            arguments: with.value(scope_of_item)?,
            idempotency_key: Some(key),
            dry_run: false,
            reason: Some(match reason {
                None | Some(Value::Null) => format!("step `{}` of run `{run}` of `{workflow}`", step.id),
                Some(Value::String(text)) => text,
                Some(other) => other.to_string(),
            }),
            wait: None,
            approval: step.approval.then_some(Ask::Required),
        };
        Ok(Wanted { call, is_of_run, retry: step.retry, timeout: Wanted::timeout(step.timeout), is_harmless })
    };
    let Some(list) = &step.for_each else { return Ok(Some(vec![make(&whole, None)?])) };
    let Value::Array(items) = list.value(&whole)? else {
        return Err("`for_each` gives no list".to_owned());
    };
    if items.len() > MOST_ITEMS {
        return Err(format!("`for_each` gives {} items; at most {MOST_ITEMS} are taken", items.len()));
    }
    let mut wanted = Vec::with_capacity(items.len());
    let mut keys = BTreeSet::new();
    let mut bytes = 0;
    for (place, scope) in scope.of_items(&step.id, &items) {
        let call = make(&scope, Some(place)).map_err(|why| format!("item {place}: {why}"))?;
        // The run's own keys have the place of the item in them.
        if !call.is_of_run && !keys.insert(call.key().to_owned()) {
            return Err(format!("item {place}: `idempotency` gives `{}` for two items", call.key()));
        }
        bytes += size(&call.call.arguments);
        if bytes > MOST_ARGUMENTS {
            return Err(format!("the arguments of its calls are more than {MOST_ARGUMENTS} bytes at item {place}"));
        }
        wanted.push(call);
    }
    Ok(Some(wanted))
}

/// About how much a value takes, in bytes of JSON.
pub fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 8,
        Value::Array(items) => items.iter().map(size).sum::<usize>() + 8,
        Value::Object(members) => members.iter().map(|(name, item)| name.len() + 8 + size(item)).sum::<usize>() + 8,
    }
}

/// The key of a call: `RUN/STEP` or `RUN/STEP/ITEM`; `once:WORKFLOW/STEP/…` when the step says what the call is
/// about. Also says whether it is the run's own.
fn key(
    step: &Step,
    about: Option<&Ready<'_>>,
    workflow: &str,
    run: &str,
    scope: &Dynamic,
    place: Option<usize>,
) -> Result<(String, bool), String> {
    let Some(about) = about else {
        let item = place.map(|place| format!("/{place}")).unwrap_or_default();
        return Ok((format!("{run}/{}{item}", step.id), true));
    };
    let about = match about.value(scope)? {
        Value::String(text) => text,
        other => other.to_string(),
    };
    if about.is_empty() {
        return Err("`idempotency` gives an empty text".to_owned());
    }
    let key = format!("once:{workflow}/{}/{}", step.id, visible(&about));
    if key.len() <= LONGEST_KEY {
        return Ok((key, false));
    }
    Ok((format!("once:{workflow}/{}/{}", step.id, Digest::plain(about.as_bytes()).hex()), false))
}

/// Text with what a key cannot hold percent-encoded, so that two texts never become one.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if (0x21..=0x7e).contains(&byte) && byte != b'%' && byte != b'~' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::super::load;
    use super::super::record::Plan;
    use super::*;

    fn calls(step: &str, inputs: Value) -> Result<usize, String> {
        let text =
            format!("name = \"w\"\n[inputs.list]\ntype = \"array\"\n[[step]]\nid = \"a\"\ntool = \"t\"\n{step}\n");
        let (workflow, faults) = load::check("w.toml", &text);
        assert_eq!(faults.violations(), []);
        let workflow = workflow.expect("a workflow");
        let inputs: Map<String, Value> = inputs.as_object().expect("an object").clone();
        let plan = Plan { workflow: Value::Null, inputs, done_by: std::collections::BTreeMap::new() };
        let made = of(&workflow.steps[0], &Scope::new("r", "w", &plan), false)?;
        Ok(made.map_or(0, |made| made.len()))
    }

    #[test]
    fn a_list_makes_no_more_calls_than_can_be_kept() {
        let each = |with: &str| format!("for_each = \"{{{{ inputs.list }}}}\"\nwith = {{ x = \"{with}\" }}");
        let list = |items: usize| json!({"list": vec![json!("y".repeat(1_000)); items]});
        assert_eq!(calls(&each("{{ item }}"), list(1_000)), Ok(1_000));
        let said = calls(&each("{{ inputs.list }}"), list(1_000)).expect_err("a thousand times a megabyte");
        assert!(said.starts_with("the arguments of its calls are more than 67108864 bytes at item 6"), "{said}");
        let said = calls(&each("{{ index }}"), list(MOST_ITEMS + 1)).expect_err("too many");
        assert!(said.starts_with("`for_each` gives 100001 items"), "{said}");
    }
}
