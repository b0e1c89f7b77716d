//! What we give a client to bring back (session ids, request states, task ids) is ours only if it carries our
//! seal: HMAC-SHA-256 (RFC 2104) under a key that outlives the daemon, so that a restart loses nothing, and
//! with a label, so that one kind can never stand in for another. Sealed is not secret: the payload is legible.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// The key. It has no `Debug`.
#[derive(Clone)]
pub struct Seal([u8; 32]);

impl Seal {
    /// Takes 32 secret bytes.
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// `payload` with our seal, as URL-safe text: `PAYLOAD.TAG`, both base64url (RFC 4648 section 5).
    pub fn close(&self, label: &str, payload: &impl Serialize) -> String {
        let body = BASE64.encode(serde_json::to_vec(payload).unwrap_or_default());
        let tag = BASE64.encode(self.tag(label, body.as_bytes()));
        format!("{body}.{tag}")
    }

    /// The payload, if the seal is ours and for this label. Compared in constant time.
    pub fn open<T: DeserializeOwned>(&self, label: &str, text: &str) -> Option<T> {
        let (body, tag) = text.split_once('.')?;
        let tag = BASE64.decode(tag).ok()?;
        let ours = self.tag(label, body.as_bytes());
        if !bool::from(ours.as_slice().ct_eq(&tag)) {
            return None;
        }
        serde_json::from_slice(&BASE64.decode(body).ok()?).ok()
    }

    /// 128 bits that only we can name for `bytes`, as 22 characters of base64url.
    pub fn mark(&self, label: &str, bytes: &[u8]) -> String {
        let tag = self.tag(label, bytes);
        BASE64.encode(tag.get(..16).unwrap_or(&tag))
    }

    fn tag(&self, label: &str, bytes: &[u8]) -> [u8; 32] {
        match Hmac::<Sha256>::new_from_slice(&self.0) {
            Ok(mut mac) => {
                mac.update(label.as_bytes());
                mac.update(&[0]);
                mac.update(bytes);
                mac.finalize().into_bytes().into()
            }
            // HMAC takes keys of every length.
            Err(_) => [0; 32],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_we_sealed_for_this_label_opens() {
        let (ours, other) = (Seal::new([1; 32]), Seal::new([2; 32]));
        let text = ours.close("session", &("anna", 7));
        assert_eq!(ours.open::<(String, u8)>("session", &text), Some(("anna".to_owned(), 7)));
        assert_eq!(ours.open::<(String, u8)>("state", &text), None, "another label");
        assert_eq!(other.open::<(String, u8)>("session", &text), None, "another key");
        for place in 0..text.len() {
            let mut forged = text.clone().into_bytes();
            forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(ours.open::<(String, u8)>("session", &forged), None, "{place}");
        }
    }
}
