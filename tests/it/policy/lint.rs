//! Every way in which a policy file is refused, each with its message and place.

use toolctl::guard::policy::{PolicyProblem, PolicySet};

use super::{catalog, file};

fn refused(text: &str) -> Vec<PolicyProblem> {
    PolicySet::load(&[file(text)], &catalog()).expect_err(text).0
}

#[test]
fn every_problem_of_a_file_is_told_with_its_place() {
    let problems = refused(
        "permit (principal, action, resource);\n\
         @id(\"a\") @approval_qorum(\"2\")\n  permit (principal, action, resource);\n\
         @id(\"b\") permit (principal, action, resource);\n\
         @id(\"b\") permit (principal, action, resource);\n",
    );
    let told: Vec<String> = problems
        .iter()
        .map(|problem| {
            format!("{:?} {problem} / {}", problem.position().unwrap(), problem.hint.as_deref().unwrap_or("-"))
        })
        .collect();
    assert_eq!(
        told,
        [
            "(1, 1) a policy has no `@id` / put `@id(\"a-name\")` before it: decisions name it",
            "(2, 10) the annotation `@approval_qorum` is not known / did you mean `@approval_quorum`?",
        ]
    );
    let twice =
        refused("@id(\"b\") permit (principal, action, resource);\n@id(\"b\") permit (principal, action, resource);");
    assert_eq!(twice[0].position(), Some((2, 1)));
    assert_eq!(twice[0].message, "two policies have the id `b`");
}

#[test]
fn a_rule_that_begins_with_another_word_is_told_which_was_meant() {
    for (word, meant) in [("deny", Some("forbid")), ("reject", Some("forbid")), ("allow", Some("permit")), ("x", None)]
    {
        let problem = refused(&format!("@id(\"a\") {word} (principal, action, resource);")).remove(0);
        let hint = problem.hint.unwrap_or_default();
        match meant {
            Some(meant) => assert!(hint.starts_with(&format!("did you mean `{meant}`?")), "{word}: {hint}"),
            None => assert_eq!(hint, "effect must be either `permit` or `forbid`", "{word}"),
        }
    }
}

#[test]
fn annotations_that_would_not_be_kept_are_refused() {
    let attended = "forbid (principal, action, resource) unless { context.session.attended };";
    let cases = [
        ("@id(\"x y\") permit (principal, action, resource);", "`x y` is not the id of a policy"),
        (
            "@id(\"x\") @limit(\"n;q=1;w=60\") permit (principal, action, resource);",
            "`@limit` is not supported yet, so the limit would not be kept",
        ),
        ("@id(\"x\") @shadow(\"true\") permit (principal, action, resource);", "the annotation `@shadow` is not known"),
        (
            "@id(\"x\") @approval_group(\"approvers\") permit (principal, action, resource);",
            "`@approval_group` belongs on a `forbid … unless { context.session.attended }` only",
        ),
        (
            "@id(\"x\") @approval_quorum(\"2\") forbid (principal, action, resource);",
            "`@approval_quorum` belongs on a `forbid … unless { context.session.attended }` only",
        ),
        (
            "@id(\"x\") @approval_group(\"approvers\") forbid (principal, action, resource) when { !context.session.attended };",
            "`@approval_group` belongs on a `forbid … unless { context.session.attended }` only",
        ),
        (
            "@id(\"x\") forbid (principal, action, resource) when { !context.session.attended };",
            "a `forbid` that looks at `context.session.attended` must say who is asked",
        ),
        (
            &format!("@id(\"x\") {attended}"),
            "a `forbid` that looks at `context.session.attended` must say who is asked",
        ),
        (&format!("@id(\"x\") @approval_group(\"a b\") {attended}"), "`@approval_group` cannot be `a b`"),
        (
            &format!("@id(\"x\") @approval_group(\"a\") @approval_quorum(\"0\") {attended}"),
            "`@approval_quorum` cannot be `0`",
        ),
        (
            &format!("@id(\"x\") @approval_group(\"a\") @approval_quorum(\"101\") {attended}"),
            "`@approval_quorum` cannot be `101`",
        ),
        (
            &format!("@id(\"x\") @approval_group(\"a\") @approval_assurance(\"2\") {attended}"),
            "`@approval_assurance` cannot be `2`",
        ),
        (
            &format!("@id(\"x\") @approval_group(\"a\") @approval_ttl(\"soon\") {attended}"),
            "`@approval_ttl` cannot be `soon`",
        ),
        (
            "@id(\"x\") @approval_consent(\"caller\") permit (principal, action, resource);",
            "`@approval_consent` belongs on a `forbid … unless { context.session.attended }` only",
        ),
        (
            &format!("@id(\"x\") @approval_group(\"a\") @approval_consent(\"yes\") {attended}"),
            "`@approval_consent` cannot be `yes`",
        ),
        (
            &format!(
                "@id(\"x\") @approval_group(\"a\") @approval_consent(\"caller\") @approval_quorum(\"2\") {attended}"
            ),
            "`@approval_consent` goes round `@approval_quorum`: the caller's consent is one unsigned word",
        ),
        (
            &format!(
                "@id(\"x\") @approval_group(\"a\") @approval_consent(\"caller\") @approval_assurance(\"1\") {attended}"
            ),
            "`@approval_consent` goes round `@approval_assurance`: the caller's consent is one unsigned word",
        ),
        (
            "@id(\"x\") permit (principal == ?principal, action, resource);",
            "templates (`?principal`, `?resource`) are not supported",
        ),
    ];
    for (text, message) in cases {
        let problems = refused(text);
        assert_eq!(problems.iter().map(|p| p.message.as_str()).collect::<Vec<_>>(), [message], "{text}");
        assert!(problems[0].hint.is_some(), "{text}");
    }
}

#[test]
fn what_is_not_strictly_valid_is_refused() {
    let cases = [
        ("@id(\"x\") permit (principal, action, resource", "unexpected end of input"),
        ("@id(\"x\") permit (principal, action == Toolctl::Action::\"gone\", resource);", "unrecognized action"),
        ("@id(\"x\") permit (principal in Toolctl::Team::\"a\", action, resource);", "unrecognized entity type"),
        (
            "@id(\"x\") permit (principal, action == Toolctl::Action::\"create_ticket\", resource) when { context.input.count == \"3\" };",
            "not compatible",
        ),
        (
            "@id(\"x\") permit (principal, action == Toolctl::Action::\"create_ticket\", resource) when { context.input.free == {} };",
            "attribute",
        ),
        ("@id(\"x\") permit (principal, action, resource) when { context.input.count > 3 };", "attribute"),
        (
            "@id(\"x\") permit (principal, action, resource) when { Toolctl::Tool::\"create_ticket\".risk == \"low\" };",
            "level",
        ),
    ];
    for (text, expected) in cases {
        let problems = refused(text);
        assert!(problems.iter().any(|p| p.message.contains(expected)), "{text}\n{problems:?}");
        assert!(problems.iter().all(|p| p.span.is_some() && p.text == text), "{text}\n{problems:?}");
    }
}
