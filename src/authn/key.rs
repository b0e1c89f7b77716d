//! The form of API keys: `tctl_<kind>_<id>_<secret>_<crc32>`. The prefix lets scanners find leaked keys,
//! the checksum tells a typing error from a wrong key without asking the store, and the id finds the record.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::domain::id::KeyId;
use crate::domain::principal::PrincipalKind;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID_LENGTH: usize = 12;
/// 43 digits of base 62 hold 256 bits.
const SECRET_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;
/// How tokens start: in no other way does a key.
const TOKEN: &str = crate::pipeline::port::LENT;

/// The HMAC key under which key hashes are stored: it lives outside the store, so that a stolen store
/// cannot confirm a leaked key.
#[derive(Clone)]
pub struct Pepper([u8; 32]);

impl Pepper {
    /// Takes 32 random bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// HMAC-SHA-256 (RFC 2104) of the whole key.
    pub fn hash(&self, text: &str) -> [u8; 32] {
        match Hmac::<Sha256>::new_from_slice(&self.0) {
            Ok(mut mac) => {
                mac.update(text.as_bytes());
                mac.finalize().into_bytes().into()
            }
            // HMAC takes keys of every length.
            Err(_) => [0; 32],
        }
    }

    /// Whether `text` has this hash, in constant time.
    pub fn matches(&self, text: &str, hash: &[u8; 32]) -> bool {
        self.hash(text).ct_eq(hash).into()
    }
}

/// The public part of a well-formed key: its handle.
pub fn handle(text: &str) -> Option<KeyId> {
    let (body, checksum) = text.rsplit_once('_')?;
    let rest = body.strip_prefix("tctl_")?;
    let mut parts = rest.split('_');
    let (kind, id, secret) = (parts.next()?, parts.next()?, parts.next()?);
    let shape = parts.next().is_none()
        && matches!(kind, "u" | "a" | "s")
        && secret.len() == SECRET_LENGTH
        && secret.bytes().all(|byte| ALPHABET.contains(&byte))
        && checksum == self::checksum(body);
    if shape { id.parse().ok() } else { None }
}

/// Makes a key from random bytes: handle and whole text. `random` gives the next random byte.
pub fn make(kind: PrincipalKind, mut random: impl FnMut() -> u8) -> Option<(KeyId, String)> {
    let kind = match kind {
        PrincipalKind::User => 'u',
        PrincipalKind::Agent => 'a',
        PrincipalKind::Service => 's',
    };
    let id = digits(ID_LENGTH, &mut random);
    let body = format!("tctl_{kind}_{id}_{}", digits(SECRET_LENGTH, &mut random));
    let text = format!("{body}_{}", checksum(&body));
    Some((id.parse().ok()?, text))
}

/// Makes a token, which stands for a credential while this process lives and is no key: 256 bits and nothing to
/// find a record by. `random` gives the next random byte.
pub fn token(random: impl FnMut() -> u8) -> String {
    format!("{TOKEN}{}", digits(SECRET_LENGTH, random))
}

/// Whether `text` looks like a token.
pub fn is_token(text: &str) -> bool {
    text.starts_with(TOKEN)
}

/// So many random digits of base 62.
fn digits(count: usize, mut random: impl FnMut() -> u8) -> String {
    let mut text = String::with_capacity(count);
    while text.len() < count {
        // 248 is the largest multiple of 62 below 256: bytes above it would favour the first digits.
        let byte = random();
        if let Some(digit) = ALPHABET.get(usize::from(byte % 62)).filter(|_| byte < 248) {
            text.push(char::from(*digit));
        }
    }
    text
}

/// CRC-32 (ISO-HDLC) of everything before it, as six digits of base 62.
fn checksum(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut digits = [b'0'; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET.get((rest % 62) as usize).copied().unwrap_or(b'0');
        rest /= 62;
    }
    String::from_utf8_lossy(&digits).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (KeyId, String) {
        let mut next = 0u8;
        make(PrincipalKind::Agent, || {
            next = next.wrapping_mul(73).wrapping_add(41);
            next
        })
        .expect("a key")
    }

    #[test]
    fn a_key_names_its_handle_and_nothing_altered_does() {
        let (id, text) = sample();
        assert!(text.starts_with("tctl_a_"), "{text}");
        assert_eq!(handle(&text), Some(id));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
            let altered = String::from_utf8(bytes).expect("ASCII");
            assert_eq!(handle(&altered), None, "altered at {at}");
        }
        for bad in ["", "tctl", "tctl_a", &text[..text.len() - 1], &format!("{text}0"), &text.to_lowercase()] {
            assert_eq!(handle(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_the_whole_key_under_the_same_pepper_matches() {
        let (_, text) = sample();
        let pepper = Pepper::new([7; 32]);
        let hash = pepper.hash(&text);
        assert!(pepper.matches(&text, &hash));
        assert!(!pepper.matches(&text[1..], &hash));
        assert!(!Pepper::new([8; 32]).matches(&text, &hash));
    }
}
