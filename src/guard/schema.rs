//! Are the arguments well-formed? Strict JSON, then the tool's JSON Schema with every violation at once,
//! then its defaults. What passes becomes [`Arguments`], the proof that nothing else can make.

mod defaults;
pub(in crate::guard) mod reference;
mod voice;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::domain::call::Call;
use crate::domain::denial::{Code, Denial, Stage, Violation};
use crate::domain::digest::Digest;
use crate::domain::id::ToolName;
use crate::domain::json::{self, Canonical, NotStrict, Reason};
use crate::domain::tool::{Catalog, Registered, Tool, ToolKind};

use defaults::Defaults;

/// Arguments that passed. They cannot be made outside this module:
///
/// ```compile_fail,E0451
/// # use toolctl::guard::schema::Arguments;
/// let forged = Arguments { effective: todo!(), value: todo!(), fingerprint: todo!(), effective_digest: todo!() };
/// ```
#[derive(Debug, Clone)]
pub struct Arguments {
    effective: Canonical,
    value: Arc<Value>,
    fingerprint: Digest,
    effective_digest: Digest,
}

impl Arguments {
    /// Canonical bytes of the arguments with defaults.
    pub const fn effective(&self) -> &Canonical {
        &self.effective
    }

    /// The arguments with defaults.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Digest of tool and arguments as sent: what makes two requests the same.
    pub const fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// Digest of tool definition and arguments with defaults: what an approval is for.
    pub const fn effective_digest(&self) -> Digest {
        self.effective_digest
    }
}

/// The schemas of a catalog. Each is compiled when it is first needed, as of a thousand tools few are ever called.
#[derive(Debug, Default)]
pub struct Schemas {
    tools: BTreeMap<ToolName, Arc<Entry>>,
}

#[derive(Debug)]
struct Entry {
    definition: Digest,
    compiled: OnceLock<Result<Compiled, BadSchema>>,
}

#[derive(Debug)]
struct Compiled {
    input: jsonschema::Validator,
    output: jsonschema::Validator,
    defaults: Option<Defaults>,
}

impl Compiled {
    fn of(tool: &Tool) -> Result<Self, BadSchema> {
        let bad = |side, why| BadSchema { tool: tool.name.clone(), side, why };
        let input = compile(&tool.input_schema, Formats::of(tool)).map_err(|why| bad("input", why))?;
        let output = compile(&tool.output_schema, Formats::Noted).map_err(|why| bad("output", why))?;
        Ok(Self { input, output, defaults: Defaults::of(&tool.input_schema) })
    }
}

/// The compiled schema of one tool's output, for whoever reads what a tool answered.
#[derive(Debug)]
pub struct OutputSchema {
    validator: jsonschema::Validator,
    schema: Value,
}

impl OutputSchema {
    /// Compiles it.
    ///
    /// # Errors
    /// Says why it is no JSON Schema.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        Ok(Self { validator: compile(schema, Formats::Noted)?, schema: schema.clone() })
    }

    /// Checks what a tool answered.
    ///
    /// # Errors
    /// Says what is wrong, for people; no secret value is in it.
    pub fn check(&self, output: &Value) -> Result<(), String> {
        must_answer(&self.validator, &self.schema, output)
    }
}

/// A tool whose schema is no JSON Schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {side} schema of `{tool}` is not a JSON Schema: {why}")]
pub struct BadSchema {
    /// The tool.
    pub tool: ToolName,
    /// `input` or `output`.
    pub side: &'static str,
    /// What is wrong.
    pub why: String,
}

impl Schemas {
    /// Takes the schemas of all tools (JSON Schema 2020-12) as they are, and what `before` has compiled of tools that
    /// have not changed. Whoever defines a tool has seen to it that they are schemas; one that is none lets no
    /// arguments pass. Nothing is ever fetched.
    pub fn of(catalog: &Catalog, before: Option<&Self>) -> Self {
        let entry = |tool: &Arc<Registered>| {
            let known = before.and_then(|before| before.tools.get(&tool.name));
            let known = known.filter(|entry| entry.definition == tool.digest).cloned();
            known.unwrap_or_else(|| Arc::new(Entry { definition: tool.digest, compiled: OnceLock::new() }))
        };
        Self { tools: catalog.iter().map(|tool| (tool.name.clone(), entry(tool))).collect() }
    }

    /// Compiles the schemas of all tools at once, of which nobody has seen to it that they are schemas.
    ///
    /// # Errors
    /// Names the first schema that is none, or that refers to another document.
    pub fn compile(catalog: &Catalog) -> Result<Self, BadSchema> {
        let schemas = Self::of(catalog, None);
        for tool in catalog.iter() {
            if let Some(Err(bad)) = schemas.compiled(tool) {
                return Err(bad.clone());
            }
        }
        Ok(schemas)
    }

    /// How many tools have been called, or checked, so that their schemas are compiled.
    pub fn in_use(&self) -> usize {
        self.tools.values().filter(|entry| entry.compiled.get().is_some()).count()
    }

    /// Checks what a caller sent, read by [`json::parse`], and fills in the defaults.
    ///
    /// # Errors
    /// All violations at once, each with its place.
    pub fn check(&self, tool: &Registered, sent: &Value) -> Result<Arguments, Denial> {
        let compiled = self.compiled(tool).ok_or_else(|| {
            Denial::new(Stage::Arguments, Code::Internal, format!("the definition of `{}` has just changed", tool.name))
                .hint("send it again")
        })?;
        let compiled = compiled.map_err(|bad| {
            Denial::new(Stage::Arguments, Code::Internal, bad.to_string()).hint("whoever defines the tool can mend it")
        })?;
        if !sent.is_object() {
            let message = "must be an object with one member per argument".to_owned();
            return Err(invalid(tool, vec![Violation { path: String::new(), message }]));
        }
        must_fit(&compiled.input, tool, sent)?;
        let as_sent = Canonical::of(sent);
        let fingerprint = fingerprint(tool, sent, &as_sent);
        let mut value = sent.clone();
        let filled = compiled.defaults.as_ref().is_some_and(|defaults| defaults.apply(&mut value));
        let effective = if filled {
            must_fit(&compiled.input, tool, &value)?;
            Canonical::of(&value)
        } else {
            as_sent
        };
        // What has no place in what runs is told now, before anybody is asked or anything is recorded.
        if let Err(bad) = tool.action.runs(&value) {
            let path = bad.argument().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1")));
            return Err(invalid(tool, vec![Violation { path: path.unwrap_or_default(), message: bad.to_string() }]));
        }
        let effective_digest = effective_digest(tool, &effective);
        Ok(Arguments { effective, value: Arc::new(value), fingerprint, effective_digest })
    }

    /// Takes the arguments of a stored call for checked again, if nothing they depend on has changed.
    ///
    /// # Errors
    /// Says what changed.
    pub fn restore(&self, tool: &Registered, call: &Call) -> Result<Arguments, String> {
        let definition = || "the tool's definition".to_owned();
        if tool.name != call.tool || tool.digest != call.tool_digest {
            return Err(definition());
        }
        let compiled = self.compiled(tool).ok_or_else(definition)?.map_err(ToString::to_string)?;
        let value = call.arguments.value();
        if !compiled.input.is_valid(&value) {
            return Err("the tool's schema".to_owned());
        }
        if Canonical::of(&value) != call.arguments || effective_digest(tool, &call.arguments) != call.effective {
            return Err("the arguments".to_owned());
        }
        Ok(Arguments {
            effective: call.arguments.clone(),
            value: Arc::new(value),
            fingerprint: call.fingerprint,
            effective_digest: call.effective,
        })
    }

    /// Checks what a tool answered against what it declared.
    ///
    /// # Errors
    /// Says what is wrong, for people; no secret value is in it.
    pub fn check_output(&self, tool: &Registered, output: &Value) -> Result<Canonical, String> {
        let compiled = self.compiled(tool).ok_or_else(|| "the tool's definition has changed".to_owned())?;
        let compiled = compiled.map_err(ToString::to_string)?;
        must_answer(&compiled.output, &tool.output_schema, output)?;
        let canonical = Canonical::of(output);
        let (bytes, most) = (canonical.as_str().len(), tool.output_limit);
        if bytes > most {
            return Err(format!("the output has {bytes} bytes, more than the {most} that are kept"));
        }
        Ok(canonical)
    }

    /// What the schemas of this very definition compile to; none for another.
    fn compiled(&self, tool: &Registered) -> Option<Result<&Compiled, &BadSchema>> {
        let entry = self.tools.get(&tool.name).filter(|entry| entry.definition == tool.digest)?;
        Some(entry.compiled.get_or_init(|| Compiled::of(tool)).as_ref())
    }
}

/// The denial for a document that [`json::parse`] did not let in. Numbers are not repeated: the place may
/// be a secret one.
pub fn not_strict(error: &NotStrict) -> Denial {
    let message = match &error.reason {
        Reason::InexactNumber(_) => "the number cannot be held exactly".to_owned(),
        reason @ (Reason::Grammar(_)
        | Reason::Encoding
        | Reason::Duplicate(_)
        | Reason::LoneSurrogate
        | Reason::TooDeep(_)
        | Reason::TooLong(_)) => reason.to_string(),
    };
    let hint = match &error.reason {
        Reason::Grammar(_) => "send one JSON document (RFC 8259)",
        Reason::Encoding => "send UTF-8",
        Reason::Duplicate(_) => "send each member once",
        Reason::LoneSurrogate => "send text that is valid Unicode",
        Reason::InexactNumber(_) => "send it as a string",
        Reason::TooDeep(_) => "nest it less deeply",
        Reason::TooLong(_) => "send less, or a reference to it",
    };
    if matches!(error.reason, Reason::TooLong(_)) {
        return Denial::new(Stage::Arguments, Code::PayloadTooLarge, format!("the arguments are {message}")).hint(hint);
    }
    let place = if error.path.is_empty() { String::new() } else { format!(" at `{}`", error.path) };
    let detail = format!("the arguments are not strict JSON: {message}{place} (byte {})", error.offset);
    Denial::new(Stage::Arguments, Code::ArgsNotCanonical, detail)
        .hint(hint)
        .violations(vec![Violation { path: error.path.clone(), message }])
}

/// What `format` does (JSON Schema 2020-12 section 7: either is right).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Formats {
    /// It is a note to whoever reads the schema.
    Noted,
    /// A value that has another form is refused.
    Checked,
}

impl Formats {
    /// What a command is given it cannot be trusted to look at: a host that is none may be an option of its program.
    fn of(tool: &Tool) -> Self {
        if tool.kind() == ToolKind::Command { Self::Checked } else { Self::Noted }
    }
}

fn compile(schema: &Value, formats: Formats) -> Result<jsonschema::Validator, String> {
    if let Some(target) = reference::leaving(schema) {
        return Err(format!("`$ref` to `{target}` leaves the schema; only `#…` may be referred to"));
    }
    let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).offline();
    options.should_validate_formats(formats == Formats::Checked).build(schema).map_err(|error| voice::no_schema(&error))
}

fn must_fit(schema: &jsonschema::Validator, tool: &Registered, value: &Value) -> Result<(), Denial> {
    if schema.is_valid(value) {
        return Ok(());
    }
    Err(invalid(tool, voice::violations(schema.iter_errors(value), &tool.input_schema)))
}

fn must_answer(validator: &jsonschema::Validator, schema: &Value, output: &Value) -> Result<(), String> {
    if validator.is_valid(output) {
        return Ok(());
    }
    let violations = voice::violations(validator.iter_errors(output), schema);
    Err(violations.iter().map(in_a_line).collect::<Vec<_>>().join("; "))
}

/// The denial for arguments that fit the schema and not the machine.
pub fn misfit(tool: &Tool, violation: Violation) -> Denial {
    invalid(tool, vec![violation])
}

fn invalid(tool: &Tool, violations: Vec<Violation>) -> Denial {
    let detail = match violations.as_slice() {
        [one] => format!("an argument of `{}` is wrong: {}", tool.name, in_a_line(one)),
        all => format!("{} arguments of `{}` are wrong", all.len(), tool.name),
    };
    Denial::new(Stage::Arguments, Code::ArgumentsInvalid, detail)
        .hint(format!("see `toolctl tools show {}`", tool.name))
        .violations(violations)
}

fn in_a_line(violation: &Violation) -> String {
    let place = if violation.path.is_empty() { "the whole" } else { &violation.path };
    format!("`{place}` {}", violation.message)
}

fn fingerprint(tool: &Tool, sent: &Value, as_sent: &Canonical) -> Digest {
    let of = |text: &str| Digest::of("toolctl/fp/v1", &[tool.name.as_str().as_bytes(), text.as_bytes()]);
    if tool.idempotency_ignore.is_empty() {
        return of(as_sent.as_str());
    }
    let mut compared = sent.clone();
    for pointer in &tool.idempotency_ignore {
        remove(&mut compared, pointer);
    }
    of(&json::canonical(&compared))
}

fn effective_digest(tool: &Registered, effective: &Canonical) -> Digest {
    Digest::of("toolctl/eff/v1", &[tool.name.as_str().as_bytes(), &tool.digest.0, effective.as_str().as_bytes()])
}

/// Removes the member that a JSON Pointer names, if it is there.
fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    if let Some(Value::Object(members)) = value.pointer_mut(parent) {
        members.remove(&name.replace("~1", "/").replace("~0", "~"));
    }
}

#[cfg(test)]
mod tests;
