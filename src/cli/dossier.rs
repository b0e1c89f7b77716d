//! What an approver sees, made from the record and never by the agent that asks. Text of others is shown
//! escaped, long values with their length, head, tail and hash; what the requester says stands apart, marked.

use serde_json::Value;

use super::text::{escape_lines, escape_untrusted, foreign_letter, relative, span};
use super::ui::Tone;
use crate::api::approvals::{Approval, Dossier, Preview};
use crate::domain::approval::{Assurance, Evidence, Verdict};
use crate::domain::digest::Digest;
use crate::domain::time::Timestamp;

/// Values with more characters are shown by length, head, tail and hash.
const LONGEST: usize = 160;
const HEAD: usize = 80;
const TAIL: usize = 40;

/// Lays an approval out for a person. `paint` gives text its tone.
pub fn render(dossier: &Dossier, now: Timestamp, paint: impl Fn(Tone, &str) -> String) -> String {
    let call = &dossier.call;
    let requester = escape_untrusted(&call.principal);
    let mut out = String::new();
    let number = call.approval.as_ref().map_or_else(String::new, |approval| format!("#{}  ", approval.number));
    let heading = format!("{number}{}", escape_untrusted(&call.tool));
    out.push_str(&format!("{}  {}\n", paint(Tone::Strong, &heading), escape_untrusted(&dossier.title)));
    out.push_str(&format!("{}\n\n", indent(&escape_lines(dossier.description.trim()), "  ")));
    let mut fact = |name: &str, value: String| out.push_str(&format!("  {name:11}{value}\n"));
    fact("effect", format!("{}{}", dossier.effect_class.in_words(), extras(dossier)));
    let risk = dossier.risk.word();
    fact("risk", if risk == "high" { paint(Tone::Bad, risk) } else { risk.to_owned() });
    fact("asked by", format!("{requester}, {}", relative(&call.created_at, now)));
    fact("call", escape_untrusted(&call.id));
    out.push_str(&format!("\n  {}\n{}", paint(Tone::Strong, "arguments"), arguments(&call.arguments)));
    if !dossier.runs.is_empty() {
        out.push_str(&format!("\n  {}\n{}", paint(Tone::Strong, "runs"), runs(&dossier.runs)));
    }
    if let Some(preview) = &dossier.preview {
        let heading = format!("preview, as `{}` gave it when this was asked", escape_untrusted(&preview.tool));
        out.push_str(&format!("\n  {}\n{}", paint(Tone::Strong, &heading), previewed(preview)));
    }
    out.push_str(&difference(dossier, &requester, &paint));
    if let Some(approval) = &call.approval {
        out.push_str(&format!("\n{}", demands(approval, now, &paint)));
    }
    out.push_str(&format!(
        "  {:11}contents {} · tool {} · arguments {}\n",
        "digests",
        short(call.approval.as_ref().map_or("", |approval| &approval.digest)),
        short(&dossier.tool_digest),
        short(&dossier.effective_digest)
    ));
    if let Some(reason) = &call.reason {
        out.push_str(&format!("\n{}", boxed(reason, &requester, &paint)));
    }
    if let Some(why) = &dossier.you_may_not {
        out.push_str(&format!("\n  {} {}\n", paint(Tone::Care, "you may not decide:"), escape_untrusted(why)));
    }
    out
}

/// One value as JSON in which nothing can deceive; long ones by length, head, tail and hash.
pub fn value(value: &Value) -> String {
    let json = value.to_string();
    let length = json.chars().count();
    let mut shown = if length > LONGEST {
        let head: String = json.chars().take(HEAD).collect();
        let tail: String = json.chars().skip(length - TAIL).collect();
        let hash = Digest::plain(json.as_bytes()).short();
        format!("{} … {}  ({length} characters, sha256 {hash})", escape_untrusted(&head), escape_untrusted(&tail))
    } else {
        escape_untrusted(&json)
    };
    if let Some(letter) = foreign_letter(&json) {
        shown.push_str(&format!("  (mixes alphabets: `{letter}` is U+{:04X})", u32::from(letter)));
    }
    shown
}

/// What a preview says: its text line by line, everything else as arguments are shown.
fn previewed(preview: &Preview) -> String {
    let said = match (&preview.output, &preview.error) {
        (Some(output), _) => match output.get("text").and_then(Value::as_str) {
            Some(text) => format!("{}\n", indent(&escape_lines(text.trim_end()), "    ")),
            None => arguments(output),
        },
        (None, error) => format!("    none: {}\n", escape_untrusted(error.as_deref().unwrap_or("it gave nothing"))),
    };
    let fate = if preview.compared {
        "it must say the same when the call starts; if not, nothing runs"
    } else {
        "it is not looked at again before the call starts"
    };
    format!("{said}    ({fate})\n")
}

/// What would run, an argument a line, so that none can pass for two. An object that is written as we would write it
/// needs no quotes to be told from text.
fn runs(words: &[String]) -> String {
    let shown = |word: &String| {
        let object = serde_json::from_str::<Value>(word).ok().filter(|value| value.is_object());
        let written = object.as_ref().map(Value::to_string);
        object.filter(|_| written.as_ref() == Some(word)).unwrap_or_else(|| Value::String(word.clone()))
    };
    words.iter().map(|word| format!("    {}\n", value(&shown(word)))).collect()
}

fn extras(dossier: &Dossier) -> &'static str {
    match (dossier.destructive, dossier.open_world) {
        (true, true) => "; may destroy something, reaches beyond this machine",
        (true, false) => "; may destroy something",
        (false, true) => "; reaches beyond this machine",
        (false, false) => "",
    }
}

fn arguments(arguments: &Value) -> String {
    let leaves = leaves(arguments);
    if leaves.is_empty() {
        return "    none\n".to_owned();
    }
    let widest = leaves.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default().min(40);
    leaves.iter().map(|(name, leaf)| format!("    {name:widest$}  {:7}  {}\n", kind(leaf), value(leaf))).collect()
}

/// Every value that holds no others, by a path that no other value can have: names that are not plain words
/// stand quoted in brackets, so that `{"a.b": 1, "a": {"b": 2}}` shows both.
fn leaves(root: &Value) -> Vec<(String, &Value)> {
    fn walk<'a>(path: String, value: &'a Value, into: &mut Vec<(String, &'a Value)>) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                for (name, member) in members {
                    walk(join(&path, name), member, into);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                for (place, item) in items.iter().enumerate() {
                    walk(format!("{path}[{place}]"), item, into);
                }
            }
            leaf => into.push((path, leaf)),
        }
    }
    let mut into = Vec::new();
    match root {
        Value::Object(members) if members.is_empty() => {}
        root => walk(String::new(), root, &mut into),
    }
    into
}

fn join(path: &str, name: &str) -> String {
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    match (plain, path.is_empty()) {
        (true, true) => name.to_owned(),
        (true, false) => format!("{path}.{name}"),
        (false, _) => format!("{path}[{}]", value(&Value::String(name.to_owned()))),
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

fn difference(dossier: &Dossier, requester: &str, paint: &impl Fn(Tone, &str) -> String) -> String {
    let Some(previous) = &dossier.previous else {
        return format!(
            "\n  {}\n",
            paint(Tone::Care, &format!("no earlier call of this tool by {requester} was approved"))
        );
    };
    let (old, new) = (leaves(previous), leaves(&dossier.call.arguments));
    let mut lines = String::new();
    for (name, value_now) in &new {
        match old.iter().find(|(other, _)| other == name) {
            Some((_, before)) if before == value_now => {}
            Some((_, before)) => lines.push_str(&format!("    ~ {name}: {} → {}\n", value(before), value(value_now))),
            None => lines.push_str(&format!("    + {name}: {}\n", value(value_now))),
        }
    }
    for (name, before) in old.iter().filter(|(name, _)| !new.iter().any(|(other, _)| other == name)) {
        lines.push_str(&format!("    - {name}: {}\n", value(before)));
    }
    let heading = format!("compared with the last approved call by {requester}");
    let lines = if lines.is_empty() { "    the same arguments\n".to_owned() } else { lines };
    format!("\n  {}\n{lines}", paint(Tone::Strong, &heading))
}

fn demands(approval: &Approval, now: Timestamp, paint: &impl Fn(Tone, &str) -> String) -> String {
    let mut out = String::new();
    for need in &approval.requirements {
        let signed = if need.assurance == Assurance::A1 { ", signed" } else { "" };
        let consent = match (need.consent, need.consented) {
            (false, _) => "",
            (true, false) => ", or the caller's consent",
            (true, true) => ", or the caller's consent, which was given",
        };
        out.push_str(&format!(
            "  {:11}`{}`: {} of {}{signed}{consent}; {} agreed\n",
            "rule",
            escape_untrusted(&need.rule),
            need.quorum,
            escape_untrusted(&need.group),
            need.agreed
        ));
    }
    for decision in &approval.decisions {
        let (said, tone) = match (decision.verdict, decision.evidence) {
            (Verdict::Approve, Evidence::Person) => ("agreed", Tone::Good),
            (Verdict::Approve, Evidence::ClientElicitation) => ("consented, as its client says", Tone::Good),
            (Verdict::Reject, _) => ("said no", Tone::Bad),
        };
        let own = if decision.self_approved { " (its own call)" } else { "" };
        let reason = decision.reason.as_deref().map_or_else(String::new, |r| format!(": {}", escape_untrusted(r)));
        let at = relative(&decision.at, now);
        out.push_str(&format!(
            "  {:11}{} {}{own}, {at}{reason}\n",
            "",
            escape_untrusted(&decision.by),
            paint(tone, said)
        ));
    }
    out.push_str(&format!(
        "  {:11}{} ({}), then to start within {}\n",
        "decide by",
        escape_untrusted(&approval.decide_by),
        relative(&approval.decide_by, now),
        span(std::time::Duration::from_secs(approval.execute_within))
    ));
    out
}

fn boxed(reason: &str, requester: &str, paint: &impl Fn(Tone, &str) -> String) -> String {
    let mut out = format!("  {}\n", paint(Tone::Care, &format!("┌ what {requester} says; nobody has checked it")));
    for line in escape_lines(reason).lines() {
        out.push_str(&format!("  {} {line}\n", paint(Tone::Care, "│")));
    }
    out.push_str(&format!("  {}\n", paint(Tone::Care, "└")));
    out
}

fn indent(text: &str, by: &str) -> String {
    text.lines().map(|line| format!("{by}{line}")).collect::<Vec<_>>().join("\n")
}

/// The first eight digits of a digest.
fn short(digest: &str) -> String {
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    escape_untrusted(&digits.chars().take(8).collect::<String>())
}

#[cfg(test)]
pub mod sample;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(dossier: &Dossier) -> String {
        render(dossier, "2026-11-23T12:00:00Z".parse().expect("a time"), |_, text| text.to_owned())
    }

    #[test]
    fn an_approver_sees_everything_that_is_agreed_to() {
        assert_eq!(
            shown(&sample::dossier()),
            "#17  update_customer_status  Update customer status\n  Change the status of a customer.\n\n\
             \x20 effect     changes something and must happen only once\n  risk       high\n\
             \x20 asked by   agent:triage, 2m ago\n  call       call_01kb0\n\n\
             \x20 arguments\n    customer_id  number   1\n    new_status   text     \"Suspended\"\n\n\
             \x20 compared with the last approved call by agent:triage\n    ~ new_status: \"Active\" → \"Suspended\"\n\n\
             \x20 rule       `high-risk`: 1 of approvers; 0 agreed\n\
             \x20 decide by  2026-11-23T12:58:00Z (in 58m), then to start within 10m\n\
             \x20 digests    contents ab12cd34 · tool 11223344 · arguments 55667788\n\n\
             \x20 ┌ what agent:triage says; nobody has checked it\n  │ the customer asked\n  └\n"
        );
    }

    #[test]
    fn consent_is_told_apart_from_people() {
        let mut dossier = sample::dossier();
        let approval = dossier.call.approval.as_mut().expect("an approval");
        approval.requirements[0].consent = true;
        let asked = shown(&dossier);
        assert!(asked.contains("`high-risk`: 1 of approvers, or the caller's consent; 0 agreed\n"), "{asked}");
        let approval = dossier.call.approval.as_mut().expect("an approval");
        approval.requirements[0].consented = true;
        approval.decisions.push(crate::api::approvals::Decision {
            by: "agent:triage".into(),
            verdict: Verdict::Approve,
            reason: None,
            assurance: Assurance::A0,
            evidence: Evidence::ClientElicitation,
            self_approved: false,
            at: "2026-11-23T11:59:00Z".into(),
        });
        let given = shown(&dossier);
        assert!(given.contains("or the caller's consent, which was given; 0 agreed\n"), "{given}");
        assert!(given.contains("agent:triage consented, as its client says, 1m ago\n"), "{given}");
    }

    #[test]
    fn nothing_deceptive_stays_as_it_was_written() {
        let mut dossier = sample::dossier();
        dossier.title = "Read\u{1b}[2K\rharmless".into();
        dossier.previous = None;
        dossier.you_may_not = Some("you asked\u{7}".into());
        dossier.call.reason = Some("fine\n└\n  risk       low\u{1b}[1A".into());
        dossier.call.arguments = json!({
            "a\nrisk       low": 1,
            "a.b": 1,
            "a": {"b": 2},
            "path": "safe\u{202e}gpj.exe",
            "tag": "x\u{e0061}\u{200b}",
            "site": "p\u{430}ypal.com",
            "long": "A".repeat(500) + "rm -rf /",
            "deep": {"list": [{"x": null}, []]},
        });
        let text = shown(&dossier);
        for part in [
            "Read\\u{1b}[2K\\rharmless",
            "a\\nrisk       low",
            "\"safe\\u{202e}gpj.exe\"",
            "\"x\\u{e0061}\\u{200b}\"",
            "(mixes alphabets: `\u{430}` is U+0430)",
            "(510 characters, sha256 ",
            "rm -rf /\"",
            "deep.list[0].x",
            "deep.list[1]",
            "  │ └\n  │   risk       low\\u{1b}[1A\n  └\n",
            "no earlier call of this tool by agent:triage was approved",
            "you may not decide: you asked\\u{7}",
        ] {
            assert!(text.contains(part), "{part}\n---\n{text}");
        }
        assert!(!text.chars().any(|c| c != '\n' && c.is_control()), "{text}");
    }
}
