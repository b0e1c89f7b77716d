//! P6: the canonical form. No two different accepted documents share bytes; the bytes read back as the same
//! document; RFC 8785's own example. `TOOLCTL_P6_PAIRS` sets the number of pairs, which is printed with the
//! seed; `TOOLCTL_P6_SEED` repeats a run.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};
use toolctl::domain::json::{Canonical, Limits, canonical, parse};

fn read(text: &str) -> Result<Value, String> {
    parse(text.as_bytes(), Limits::default()).map_err(|error| error.to_string())
}

/// Equality as values, written without the canonical form: numbers by the decimal they stand for.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a == b,
            _ => a.as_f64() == b.as_f64(),
        },
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| same(value, other)))
        }
        (a, b) => a == b,
    }
}

/// Documents that lie close together, so that pairs often differ in one thing only.
fn document() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        (-3i64..4).prop_map(Value::from),
        prop::sample::select(vec![(1i64 << 53) - 1, 1 - (1i64 << 53), (1 << 53) - 2]).prop_map(Value::from),
        prop::sample::select(vec![
            0.5,
            -0.5,
            1e21,
            1e-7,
            5e-324,
            1.7976931348623157e308,
            0.1,
            0.2,
            0.30000000000000004,
            1e22
        ])
        .prop_map(|float| json!(float)),
        any::<f64>()
            .prop_filter("finite and not integral", |f| f.is_finite() && f.fract() != 0.0)
            .prop_map(|f| json!(f)),
    ];
    let word = prop_oneof![
        prop::sample::select(vec![
            "",
            "a",
            "b",
            "é",
            "e\u{301}",
            "\u{1f600}",
            "\u{fb33}",
            "\"",
            "\\",
            "/",
            "\u{0}",
            "\u{7f}",
            "\n",
            "1",
            "null",
            "a,b",
            "\u{2028}"
        ])
        .prop_map(str::to_owned),
        "\\PC{0,3}",
    ];
    let leaf =
        prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number, word.clone().prop_map(Value::from)];
    leaf.prop_recursive(3, 12, 3, move |inside| {
        prop_oneof![
            prop::collection::vec(inside.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((word.clone(), inside), 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Writes a document in some other way than the canonical one: members reversed, blanks, escapes.
fn spelled(value: &Value, odd: bool) -> String {
    let text = |text: &str| {
        let escape = |c: char| match c {
            c if odd && u32::from(c) < 0x1_0000 => format!("\\u{:04X}", u32::from(c)),
            '"' | '\\' => format!("\\{c}"),
            c if c < ' ' => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        };
        format!("\"{}\"", text.chars().map(escape).collect::<String>())
    };
    match value {
        Value::Array(items) => {
            format!("[ {}\n]", items.iter().map(|item| spelled(item, odd)).collect::<Vec<_>>().join(" ,"))
        }
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| format!("{} :\t{}", text(name), spelled(value, odd));
            let mut members: Vec<String> = members.iter().map(member).collect();
            members.reverse();
            format!("{{{}\r\n}}", members.join(", "))
        }
        Value::String(plain) => text(plain),
        Value::Number(number) if odd && number.is_i64() => format!("{number}.0"),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// Compares pairs of random documents under `form`. Every document meets those before it in its group, so
/// that n of them make n(n−1)/2 pairs; and each is looked up among all before it by its bytes.
fn compare(form: impl Fn(&Value) -> String, pairs: u64, seed: u64) -> Result<String, String> {
    const GROUP: usize = 8;
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let strategy = document();
    let mut seen: HashMap<String, Value> = HashMap::new();
    let (mut compared, mut differ, mut documents) = (0, 0, 0);
    while compared < pairs {
        let mut group: Vec<(Value, String)> = Vec::new();
        for _ in 0..GROUP {
            let value = strategy.new_tree(&mut runner).unwrap().current();
            let text = form(&value);
            round_trip(&form, &value, &text)?;
            for (other, other_text) in &group {
                if same(other, &value) != (*other_text == text) {
                    return Err(format!("{other} and {value} become {other_text} and {text}"));
                }
                differ += u64::from(*other_text != text);
                compared += 1;
            }
            if let Some(earlier) = seen.insert(text.clone(), value.clone()).filter(|earlier| !same(earlier, &value)) {
                return Err(format!("{earlier} and {value} share {text}"));
            }
            group.push((value, text));
            documents += 1;
        }
    }
    if differ <= compared / 2 || differ == compared {
        return Err(format!("of {compared} pairs {differ} differ: there must be both kinds"));
    }
    let distinct = seen.len();
    Ok(format!(
        "P6: {compared} pairs of {documents} documents ({distinct} distinct), {differ} pairs differ, seed {seed}"
    ))
}

/// The bytes are strict JSON for the same value, also to `serde_json`, and every other spelling leads to them.
fn round_trip(form: &impl Fn(&Value) -> String, value: &Value, text: &str) -> Result<(), String> {
    let back = read(text)?;
    if !same(&back, value) || form(&back) != text {
        return Err(format!("{value} becomes {text}, which reads back as {back}"));
    }
    for odd in [false, true] {
        let spelled = spelled(value, odd);
        let accepted = read(&spelled).map_err(|error| format!("{spelled}: {error}"))?;
        if form(&accepted) != text {
            return Err(format!("{spelled} becomes {}, not {text}", form(&accepted)));
        }
    }
    let plain: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if same(&plain, value) { Ok(()) } else { Err(format!("serde_json reads {text} as {plain}")) }
}

#[test]
fn documents_that_differ_never_share_canonical_bytes() {
    let (pairs, seed) = (setting("TOOLCTL_P6_PAIRS", 200_000), setting("TOOLCTL_P6_SEED", 6));
    let form = |value: &Value| {
        let text = canonical(value);
        assert_eq!(Canonical::of(value).as_str(), text);
        text
    };
    println!("{}", compare(form, pairs, seed).unwrap_or_else(|difference| panic!("seed {seed}: {difference}")));
}

#[test]
fn the_comparison_finds_forms_that_lose_something() {
    type Form = fn(&Value) -> String;
    let lossy: [(&str, Form); 4] = [
        ("composed accents", |value| canonical(value).replace("e\u{301}", "é")),
        ("no case", |value| canonical(value).to_lowercase()),
        ("rounded", |value| canonical(value).replace("0.30000000000000004", "0.3")),
        ("unsorted", Value::to_string),
    ];
    for (name, form) in lossy {
        assert!(compare(form, 20_000, 6).is_err(), "{name}");
    }
}

#[test]
fn what_is_accepted_is_json_and_plain_json_is_accepted() {
    proptest!(|(text in "[\\[\\]{}:,\"\\\\0-9.eE+\\-truefalsn u]{0,16}")| {
        let strict = read(&text);
        let plain = serde_json::from_str::<Value>(&text);
        if let Ok(strict) = &strict {
            let plain = plain.as_ref().expect("what we accept is JSON");
            prop_assert!(same(strict, plain), "{text}");
            let bytes = canonical(strict);
            prop_assert_eq!(canonical(&read(&bytes).unwrap()), bytes);
        }
        if let (Err(error), Ok(_)) = (&strict, &plain) {
            let two_meanings = ["stands twice", "held exactly", "surrogate"].iter().any(|why| error.contains(why));
            prop_assert!(two_meanings, "{text}: {error}");
        }
    });
}

#[test]
fn the_example_of_rfc_8785_comes_out_as_printed_there() {
    // Section 3.2.2 gives the input, 3.2.3 and 3.2.4 the output. Its numbers are not all exact, so they
    // are put in as the binary64 they stand for.
    let sample = json!({
        "numbers": [333_333_333.333_333_3, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u{20ac}$\u{f}\u{a}A'\u{42}\u{22}\u{5c}\\\"\u{2f}",
        "literals": [null, true, false]
    });
    assert_eq!(
        canonical(&sample),
        r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#
    );
    let strict = r#"{"numbers":[333333333.3333333,1E30,4.50,2e-3,0.000000000000000000000000001]}"#;
    assert_eq!(canonical(&read(strict).unwrap()), r#"{"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27]}"#);
    assert!(read("333333333.33333329").unwrap_err().contains("held exactly"));
}
