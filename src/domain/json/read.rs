//! The strict reader (RFC 8259, narrowed by I-JSON, RFC 7493): UTF-8, bounded size and depth, no member
//! twice, no lone surrogate, no number that binary64 would change. Every refusal names the place.

use std::fmt;

use serde_json::{Map, Value};

use super::number;

/// How large a document may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the whole document.
    pub bytes: usize,
    /// Arrays and objects inside one another.
    pub depth: usize,
}

impl Default for Limits {
    /// 1 MiB and 64 levels.
    fn default() -> Self {
        Self { bytes: 1 << 20, depth: 64 }
    }
}

/// A document that is not let in, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{}", Place(.path, *.offset))]
pub struct NotStrict {
    /// What is wrong.
    pub reason: Reason,
    /// JSON Pointer (RFC 6901) of the value at fault, empty for the whole document.
    pub path: String,
    /// Byte offset at which reading stopped.
    pub offset: usize,
}

struct Place<'a>(&'a str, usize);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            write!(f, " (at byte {})", self.1)
        } else {
            write!(f, " (at `{}`, byte {})", self.0, self.1)
        }
    }
}

/// Why a document is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Not the grammar of RFC 8259.
    #[error("not JSON: expected {0}")]
    Grammar(&'static str),
    /// Bytes that are no UTF-8.
    #[error("not UTF-8")]
    Encoding,
    /// A member that stands twice in one object.
    #[error("the member `{0}` stands twice")]
    Duplicate(String),
    /// Half of a surrogate pair.
    #[error("a lone surrogate is no character")]
    LoneSurrogate,
    /// A number that would change when stored as binary64.
    #[error("the number `{0}` cannot be held exactly; send it as a string")]
    InexactNumber(String),
    /// More levels than the limit.
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
    /// More bytes than the limit.
    #[error("longer than {0} bytes")]
    TooLong(usize),
}

/// Reads one JSON document strictly.
///
/// # Errors
/// The first violation, with its path and byte offset.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Value, NotStrict> {
    let fail = |reason, offset| NotStrict { reason, path: String::new(), offset };
    if bytes.len() > limits.bytes {
        return Err(fail(Reason::TooLong(limits.bytes), limits.bytes));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| fail(Reason::Encoding, error.valid_up_to()))?;
    let mut reader = Reader { text, at: 0, path: Vec::new(), deepest: limits.depth };
    reader.space();
    let value = reader.value()?;
    reader.space();
    if reader.at < text.len() {
        return Err(reader.grammar("the end of the document"));
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    path: Vec<Step>,
    deepest: usize,
}

enum Step {
    Member(String),
    Item(usize),
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Result<Value, NotStrict> {
        match self.peek() {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.grammar("a value")),
        }
    }

    fn object(&mut self) -> Result<Value, NotStrict> {
        self.deeper()?;
        self.at += 1;
        let mut members = Map::new();
        self.space();
        if self.skip(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.grammar("a member name in quotes"));
            }
            let name = self.string()?;
            self.space();
            if !self.skip(b':') {
                return Err(self.grammar("`:`"));
            }
            self.space();
            if members.contains_key(&name) {
                return Err(self.fail(Reason::Duplicate(name)));
            }
            self.path.push(Step::Member(name));
            let value = self.value()?;
            if let Some(Step::Member(name)) = self.path.pop() {
                members.insert(name, value);
            }
            self.space();
            if self.skip(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.skip(b',') {
                return Err(self.grammar("`,` or `}`"));
            }
        }
    }

    fn array(&mut self) -> Result<Value, NotStrict> {
        self.deeper()?;
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.skip(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            self.space();
            self.path.push(Step::Item(items.len()));
            items.push(self.value()?);
            self.path.pop();
            self.space();
            if self.skip(b']') {
                return Ok(Value::Array(items));
            }
            if !self.skip(b',') {
                return Err(self.grammar("`,` or `]`"));
            }
        }
    }

    /// INVARIANT: `path` has one step per open array or object, so it is also the depth.
    fn deeper(&self) -> Result<(), NotStrict> {
        if self.path.len() >= self.deepest { Err(self.fail(Reason::TooDeep(self.deepest))) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<String, NotStrict> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = self.rest();
            let Some(stop) = rest.bytes().position(|b| b == b'"' || b == b'\\' || b < 0x20) else {
                return Err(self.grammar("`\"` to close the string"));
            };
            let (plain, tail) = rest.split_at(stop);
            out.push_str(plain);
            self.at += stop;
            match tail.bytes().next() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                _ => return Err(self.grammar("an escape instead of a bare control character")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, NotStrict> {
        let symbol = self.rest().as_bytes().get(1).copied();
        let plain = match symbol {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.grammar("an escape of JSON")),
        };
        self.at += 2;
        Ok(plain)
    }

    fn unicode(&mut self) -> Result<char, NotStrict> {
        let first = self.hex()?;
        if let Some(plain) = char::from_u32(first) {
            return Ok(plain);
        }
        let low = if first < 0xdc00 && self.rest().starts_with("\\u") { self.hex()? } else { 0 };
        if !(0xdc00..0xe000).contains(&low) {
            return Err(self.fail(Reason::LoneSurrogate));
        }
        let scalar = 0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00);
        char::from_u32(scalar).ok_or_else(|| self.fail(Reason::LoneSurrogate))
    }

    /// Reads `\uXXXX` at the cursor.
    fn hex(&mut self) -> Result<u32, NotStrict> {
        let digits = self.rest().get(2..6).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let value = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let value = value.ok_or_else(|| self.grammar("four hexadecimal digits"))?;
        self.at += 6;
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, NotStrict> {
        let token_start = self.at;
        self.skip(b'-');
        if !self.skip(b'0') && self.digits() == 0 {
            return Err(self.grammar("a digit"));
        }
        if self.skip(b'.') && self.digits() == 0 {
            return Err(self.grammar("a digit"));
        }
        if self.skip(b'e') || self.skip(b'E') {
            let _sign = self.skip(b'+') || self.skip(b'-');
            if self.digits() == 0 {
                return Err(self.grammar("a digit"));
            }
        }
        let token = self.text.get(token_start..self.at).unwrap_or_default();
        match number::exact(token) {
            Some(number) => Ok(Value::Number(number)),
            None => Err(self.fail(Reason::InexactNumber(token.chars().take(80).collect()))),
        }
    }

    fn digits(&mut self) -> usize {
        let count = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        self.at += count;
        count
    }

    fn word(&mut self, word: &'static str, value: Value) -> Result<Value, NotStrict> {
        if !self.rest().starts_with(word) {
            return Err(self.grammar("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn space(&mut self) {
        let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.rest().as_bytes().iter().take_while(|b| blank(b)).count();
    }

    fn skip(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn grammar(&self, expected: &'static str) -> NotStrict {
        self.fail(Reason::Grammar(expected))
    }

    fn fail(&self, reason: Reason) -> NotStrict {
        let mut path = String::new();
        for step in &self.path {
            path.push('/');
            match step {
                Step::Member(name) => path.push_str(&name.replace('~', "~0").replace('/', "~1")),
                Step::Item(place) => path.push_str(&place.to_string()),
            }
        }
        NotStrict { reason, path, offset: self.at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (Reason, String) {
        let error = parse(text.as_bytes(), Limits::default()).expect_err(text);
        (error.reason, error.path)
    }

    #[test]
    fn what_has_two_meanings_is_refused_with_its_place() {
        assert_eq!(refused(r#"{"a":1,"a":2}"#), (Reason::Duplicate("a".into()), String::new()));
        assert_eq!(refused(r#"{"a":[{"b":1,"\u0062":2}]}"#), (Reason::Duplicate("b".into()), "/a/0".into()));
        assert_eq!(
            refused(r#"{"x":{"y~/":9007199254740993}}"#),
            (Reason::InexactNumber("9007199254740993".into()), "/x/y~0~1".into())
        );
        assert_eq!(refused(r#"["\ud800"]"#), (Reason::LoneSurrogate, "/0".into()));
        assert_eq!(refused(r#"["\ud800\ud800"]"#), (Reason::LoneSurrogate, "/0".into()));
        assert_eq!(refused(r#"["\udc00"]"#), (Reason::LoneSurrogate, "/0".into()));
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(64).as_bytes(), Limits::default()).is_ok());
        assert_eq!(refused(&nested(65)).0, Reason::TooDeep(64));
        assert_eq!(refused(&"[".repeat(100_000)).0, Reason::TooDeep(64));
        assert_eq!(refused(&" ".repeat((1 << 20) + 1)).0, Reason::TooLong(1 << 20));
    }

    #[test]
    fn the_grammar_is_that_of_rfc_8259() {
        for good in ["0", "-0.5e-3", "\"\\u00e9\\ud83d\\ude00\\/\"", " [ 1 , {} ] ", "true", "null"] {
            let strict = parse(good.as_bytes(), Limits::default()).expect(good);
            assert_eq!(strict, serde_json::from_str::<Value>(good).expect(good));
        }
        for bad in [
            "",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "\"\n\"",
            "\"\\x\"",
            "nul",
            "truE",
            "[1 2]",
            "1 2",
            "\"",
            "{\"a\"}",
            "NaN",
            "\u{feff}1",
            "'a'",
            "\"\\u00g0\"",
        ] {
            assert!(parse(bad.as_bytes(), Limits::default()).is_err(), "{bad:?}");
        }
        let error = parse(b"\"\xff\"", Limits::default()).expect_err("not UTF-8");
        assert_eq!((error.reason, error.offset), (Reason::Encoding, 1));
    }
}
