//! Endings, and what they mean: a table a person can check against the promises.

use super::*;

fn reading(effect: EffectClass, form: Form) -> Reading {
    Reading {
        name: "restart".to_owned(),
        effect,
        form,
        exits: Exits { success: vec![0], no_effect: vec![3], temporary: vec![75], retry: None },
        schema: json!({"type": "object"}),
        most_output: 1_000,
        timeout_ms: 2_000,
    }
}

fn end(fate: Fate, cut: Option<Cut>) -> End {
    End { fate, cut, survivors: false, attempts: 1, sandbox: "none".to_owned(), stdout_bytes: 0, stderr_bytes: 0 }
}

/// The ending in a line: `succeeded OUTPUT`, `failed EFFECT: MESSAGE` or `in doubt: WHY`.
fn line(ran: Ran) -> String {
    match ran.ending {
        Ending::InDoubt { why } => format!("in doubt: {why}"),
        Ending::Known(Outcome::Failed { kind, message, effect, .. }) => format!("{kind:?} {effect}: {message}"),
        Ending::Known(outcome) => format!("{} {}", outcome.word(), outcome.output().expect("an output").as_str()),
    }
}

#[test]
fn every_end_is_told_by_what_the_tool_declared() {
    use EffectClass::{Idempotent, Keyed, Once, ReadOnly};
    let exited = |status| end(Fate::Exited(status), None);
    let slow = end(Fate::Killed(15), Some(Cut::Timeout));
    let polite = end(Fate::Exited(0), Some(Cut::Timeout));
    let flood = end(Fate::Killed(9), Some(Cut::Flood));
    let crash = end(Fate::Killed(11), None);
    let refused = end(Fate::NotStarted("`/bin/x` was replaced".to_owned()), None);
    let too_slow = "`restart` did not end within 2s and was ended";
    let flooded = "`restart` was ended as it wrote more than it may: 0 bytes to stdout (of 1000), 0 to stderr";
    for (effect, end, expected) in [
        (Once, exited(0), "succeeded {\"text\":\"out\"}".to_owned()),
        (Once, exited(1), "Failed unknown: `restart` ended with status 1: no such unit".to_owned()),
        (ReadOnly, exited(1), "Failed none: `restart` ended with status 1: no such unit".to_owned()),
        (
            Once,
            exited(3),
            "Failed none: `restart` ended with status 3, which means that nothing happened: no such unit".to_owned(),
        ),
        (
            Keyed,
            exited(75),
            "Failed none: `restart` ended with status 75, which means: not now, and nothing happened: no such unit"
                .to_owned(),
        ),
        (
            Once,
            End { attempts: 3, ..exited(75) },
            "Failed none: `restart` ended with status 75, which means: not now, and nothing happened (3 attempts): no such unit"
                .to_owned(),
        ),
        (Once, slow.clone(), format!("in doubt: {too_slow}")),
        (Once, polite, format!("in doubt: {too_slow}")),
        (Keyed, slow.clone(), format!("in doubt: {too_slow}")),
        (Idempotent, slow.clone(), format!("Timeout unknown: {too_slow}")),
        (ReadOnly, slow, format!("Timeout none: {too_slow}")),
        (Once, flood.clone(), format!("in doubt: {flooded}")),
        (ReadOnly, flood, format!("OutputInvalid none: {flooded}")),
        (Once, crash.clone(), "in doubt: `restart` was ended by SIGSEGV: no such unit".to_owned()),
        (Idempotent, crash, "Failed unknown: `restart` was ended by SIGSEGV: no such unit".to_owned()),
        (Once, refused, "Failed none: nothing ran: `/bin/x` was replaced".to_owned()),
    ] {
        let ran = reading(effect, Form::Text).read(&end, b"out", b"warning\nno such unit\n");
        assert_eq!(line(ran), expected, "{effect} {end:?}");
    }
    let lost = reading(Once, Form::Text).lost("its shim was killed");
    assert_eq!(line(lost), "in doubt: nobody saw how `restart` ended: its shim was killed");
}

#[test]
fn output_is_read_as_it_was_declared() {
    let done = end(Fate::Exited(0), None);
    let read = |form, stdout: &[u8]| line(reading(EffectClass::Once, form).read(&done, stdout, b""));
    assert_eq!(read(Form::Text, b"a\x1b[0m\x00\n"), "succeeded {\"text\":\"a\\u001b[0m\\u0000\\n\"}");
    assert_eq!(read(Form::Text, b"a\xff"), "succeeded {\"base64\":\"Yf8=\",\"text\":\"a\u{fffd}\"}");
    assert_eq!(read(Form::Lines, b"a\n\nb"), "succeeded {\"lines\":[\"a\",\"\",\"b\"]}");
    assert_eq!(read(Form::Json, b" {\"a\": 1}\n"), "succeeded {\"a\":1}");
    assert_eq!(read(Form::Json, b"[1]"), "succeeded {\"result\":[1]}");
    for (form, stdout) in
        [(Form::Json, &b"{\"a\":1}{"[..]), (Form::Json, b"{\"a\":\"\xff\"}"), (Form::Json, b""), (Form::Lines, b"\xff")]
    {
        let said = read(form, stdout);
        assert!(said.starts_with("OutputInvalid done: `restart` succeeded, but its output is not what"), "{said}");
    }
}

#[test]
fn output_that_does_not_fit_its_schema_is_no_result_and_its_effect_is_done() {
    let mut reading = reading(EffectClass::Once, Form::Json);
    reading.schema = json!({"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}});
    let said = line(reading.read(&end(Fate::Exited(0), None), b"{\"id\":\"seven\"}", b""));
    assert_eq!(
        said,
        "OutputInvalid done: `restart` succeeded, but its output is not what it declared: `/id` must be an integer, not a string"
    );
}

#[test]
fn how_it_was_kept_in_is_said_for_the_record() {
    let end = End { survivors: true, sandbox: "files".to_owned(), ..end(Fate::Exited(0), None) };
    let facts = reading(EffectClass::Once, Form::Text).read(&end, b"", b"").facts;
    assert_eq!(facts.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["sandbox", "survivors"]);
}
