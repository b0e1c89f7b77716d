//! Identifiers, each a type of its own and parsed once. Calls and approvals are UUIDv7 (RFC 9562)
//! shown in the TypeID manner: a prefix and 26 characters of Crockford's base 32.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not the identifier it was read as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}")]
pub struct BadId {
    /// The input, cut to 80 characters.
    pub text: String,
    /// What it was to be, and how that looks.
    pub what: &'static str,
}

impl BadId {
    fn new(text: &str, what: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), what }
    }
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

fn write_base32(uuid: Uuid, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let bits = uuid.as_u128();
    for place in (0..26).rev() {
        let digit = (bits >> (place * 5)) & 31;
        let symbol = ALPHABET.get(digit as usize).copied().unwrap_or(b'?');
        fmt::Write::write_char(f, char::from(symbol))?;
    }
    Ok(())
}

fn read_base32(text: &str) -> Option<Uuid> {
    if text.len() != 26 {
        return None;
    }
    let mut bits: u128 = 0;
    for byte in text.bytes() {
        let digit = ALPHABET.iter().position(|symbol| *symbol == byte)?;
        if bits >> 123 != 0 {
            return None;
        }
        bits = (bits << 5) | digit as u128;
    }
    Some(Uuid::from_u128(bits))
}

/// Names one call: UUIDv7, so calls sort by the time they were accepted. Shown as `call_…`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(Uuid);

impl CallId {
    const WHAT: &'static str = "a call id (`call_` and 26 letters and digits)";

    /// Takes a UUID that the composition root made.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The 16 bytes, big-endian: their order is the order of acceptance.
    pub const fn bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// Reads back [`CallId::bytes`].
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The approval of this call: the same UUID under another prefix, as a call has at most one.
    pub const fn approval(self) -> ApprovalId {
        ApprovalId(self)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("call_")?;
        write_base32(self.0, f)
    }
}

impl FromStr for CallId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        text.strip_prefix("call_").and_then(read_base32).map(Self).ok_or_else(|| BadId::new(text, Self::WHAT))
    }
}

/// Names the approval of one call. Shown as `apr_…`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApprovalId(CallId);

impl ApprovalId {
    const WHAT: &'static str = "an approval id (`apr_` and 26 letters and digits)";

    /// The call this approval is for.
    pub const fn call(self) -> CallId {
        self.0
    }
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("apr_")?;
        write_base32(self.0.0, f)
    }
}

impl FromStr for ApprovalId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        text.strip_prefix("apr_")
            .and_then(read_base32)
            .map(|uuid| Self(CallId(uuid)))
            .ok_or_else(|| BadId::new(text, Self::WHAT))
    }
}

/// Any form in which a person or program may name an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalRef {
    /// The small number people use: `#17` or `17`.
    Number(u64),
    /// The full id: `apr_…`, `call_…` or a UUID in any usual form.
    Id(CallId),
}

impl FromStr for ApprovalRef {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let digits = text.strip_prefix('#').unwrap_or(text);
        // A UUID may have digits only, and is longer than every number.
        if digits.len() < 20
            && digits.bytes().all(|b| b.is_ascii_digit())
            && let Ok(number) = digits.parse()
        {
            return Ok(Self::Number(number));
        }
        if let Ok(id) = text.parse::<ApprovalId>() {
            return Ok(Self::Id(id.call()));
        }
        if let Ok(id) = text.parse::<CallId>() {
            return Ok(Self::Id(id));
        }
        Uuid::try_parse(text)
            .map(|uuid| Self::Id(CallId(uuid)))
            .map_err(|_| BadId::new(text, "an approval (`#17`, `apr_…`, `call_…` or a UUID)"))
    }
}

impl fmt::Display for ApprovalRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "#{number}"),
            Self::Id(call) => call.approval().fmt(f),
        }
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.into())) } else { Err(BadId::new(text, $what)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        serde_text!($name, id => serialize_str(id.as_str()));
    };
}

macro_rules! serde_text {
    ($name:ident, $id:ident => $serialize:ident($text:expr)) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $id = self;
                serializer.$serialize($text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

serde_text!(CallId, id => collect_str(id));
serde_text!(ApprovalId, id => collect_str(id));

fn word(text: &str, longest: usize, extra: &[u8]) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || extra.contains(&byte))
}

text_id!(
    /// A tool's name: 1–128 of letters, digits, `_`, `-` and `.`, starting with a letter or digit.
    ToolName,
    "a tool name (1–128 letters, digits, `_`, `-`, `.`, first a letter or digit)",
    |text| word(text, 128, b"_-.") && text.starts_with(|c: char| c.is_ascii_alphanumeric())
);

text_id!(
    /// A server of somebody else's, as its operator names it: 1–32 letters, digits, `_` and `-`, starting with a letter
    /// or digit. Its tools are named `server.tool`.
    ServerName,
    "the name of a server (1–32 letters, digits, `_` and `-`, first a letter or digit)",
    |text| word(text, 32, b"_-") && text.starts_with(|c: char| c.is_ascii_alphanumeric())
);

text_id!(
    /// Who is calling: a kind and a name such as `user:anna`, `agent:triage` or `os:1000`, or `env`.
    PrincipalId,
    "a principal (1–128 letters, digits and `_-.:@+`)",
    |text| word(text, 128, b"_-.:@+")
);

text_id!(
    /// A group of principals, as policies name it: 1–64 letters, digits, `_` and `-`.
    GroupName,
    "a group (1–64 letters, digits, `_` and `-`)",
    |text| word(text, 64, b"_-")
);

text_id!(
    /// The public handle of an API key: 12 letters and digits, shown as `key_…`.
    KeyId,
    "a key id (12 letters and digits)",
    |text| text.len() == 12 && word(text, 12, b"")
);

text_id!(
    /// An idempotency key: 1–255 visible ASCII characters, case-sensitive.
    IdempotencyKey,
    "an idempotency key (1–255 visible ASCII characters)",
    |text| (1..=255).contains(&text.len()) && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
);

text_id!(
    /// A run of a workflow: 1–100 letters, digits, `_`, `-`, `.` and `+`. The keys of its calls start with it and a
    /// slash.
    RunId,
    "a run (1–100 letters, digits and `_-.+`)",
    |text| word(text, 100, b"_-.+")
);

impl KeyId {
    /// Reads the shown form `key_…` or the bare handle.
    ///
    /// # Errors
    /// Names the text when it is neither.
    pub fn parse_shown(text: &str) -> Result<Self, BadId> {
        text.strip_prefix("key_").unwrap_or(text).parse()
    }
}

impl RunId {
    /// Whether a call with this key is one of the run's.
    pub fn has(&self, key: &str) -> bool {
        key.strip_prefix(self.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl PrincipalId {
    /// The principal of a local user: `os:<uid>`.
    pub fn of_uid(uid: u32) -> Self {
        Self(format!("os:{uid}").into())
    }

    /// The principal of `API_KEY`: `env`.
    pub fn environment() -> Self {
        Self("env".into())
    }
}

impl From<CallId> for IdempotencyKey {
    /// The key of a call whose caller gave none: its id, 31 visible ASCII characters.
    fn from(id: CallId) -> Self {
        Self(id.to_string().into())
    }
}

impl IdempotencyKey {
    /// Reads the HTTP field: bare, or the quoted string of draft-ietf-httpapi-idempotency-key-header
    /// (RFC 8941 section 3.3.3: `\"` and `\\` are the only escapes).
    ///
    /// # Errors
    /// Names the text when it is neither.
    pub fn from_header(text: &str) -> Result<Self, BadId> {
        let Some(quoted) = text.strip_prefix('"') else { return text.parse() };
        let refuse = || BadId::new(text, "an idempotency key (its closing quote or an escape is wrong)");
        let inner = quoted.strip_suffix('"').ok_or_else(refuse)?;
        let mut plain = String::with_capacity(inner.len());
        let mut rest = inner.chars();
        while let Some(symbol) = rest.next() {
            match symbol {
                '\\' => match rest.next() {
                    Some(escaped @ ('"' | '\\')) => plain.push(escaped),
                    _ => return Err(refuse()),
                },
                '"' => return Err(refuse()),
                other => plain.push(other),
            }
        }
        plain.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_sort_like_their_uuids() {
        let first = CallId::new(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001));
        let later = CallId::new(Uuid::from_u128(0x0192_0000_0001_7000_8000_0000_0000_0000));
        assert_eq!(first.to_string().parse(), Ok(first));
        assert!(first.to_string() < later.to_string() && first < later);
        assert_eq!(first.approval().to_string().parse::<ApprovalId>().map(ApprovalId::call), Ok(first));
        assert!("call_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<CallId>().is_err(), "more than 128 bits");
    }

    #[test]
    fn an_approval_is_named_in_every_form() {
        let call = CallId::new(Uuid::from_u128(7));
        for text in ["#17", "17"] {
            assert_eq!(text.parse(), Ok(ApprovalRef::Number(17)));
        }
        let uuid = Uuid::from_u128(7);
        for text in [call.to_string(), call.approval().to_string(), uuid.to_string(), uuid.simple().to_string()] {
            assert_eq!(text.parse(), Ok(ApprovalRef::Id(call)), "{text}");
        }
        assert!("seventeen".parse::<ApprovalRef>().is_err());
    }

    #[test]
    fn idempotency_keys_come_bare_or_quoted() {
        let read = |text| IdempotencyKey::from_header(text).map(|key| key.as_str().to_owned());
        assert_eq!(read("abc"), Ok("abc".to_owned()));
        assert_eq!(read(r#""a\"b""#), Ok(r#"a"b"#.to_owned()));
        for bad in ["", "\"abc", "\"a\\x\"", "a b", "ä", "\"\""] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
