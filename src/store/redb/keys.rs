//! API keys in redb: the principal a key stands for, and the HMAC by which the key is recognised. Never the
//! key.

use redb::{ReadTransaction, ReadableTable as _};
use serde::{Deserialize, Serialize};

use crate::domain::audit::AuditRecord;
use crate::domain::id::{GroupName, PrincipalId};
use crate::domain::principal::{Principal, PrincipalKind, Scope};
use crate::domain::time::Timestamp;
use crate::domain::tool::EffectClass;
use crate::pipeline::port::{KeyRecord, Keys, Unavailable, Wait};

use super::super::failpoint::Point;
use super::RedbStore;
use super::batch::Leaf;
use super::row;
use super::row_word::{self, CredentialRow};
use super::table::API_KEYS;

#[derive(Debug, Serialize, Deserialize)]
struct KeyRow<'a> {
    hash: [u8; 32],
    principal: &'a str,
    kind: u8,
    #[serde(borrow)]
    groups: Vec<&'a str>,
    may_self_approve: bool,
    #[serde(borrow)]
    credential: CredentialRow<'a>,
    #[serde(borrow)]
    tools: Vec<&'a str>,
    greatest_effect: Option<u8>,
    #[serde(borrow)]
    chain: Vec<&'a str>,
    created_at: i64,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    #[serde(borrow)]
    parent: Option<&'a str>,
}

impl Keys for RedbStore {
    fn all(&self) -> Wait<'_, Result<Vec<KeyRecord>, Unavailable>> {
        self.look(every_key)
    }

    fn put(&self, key: KeyRecord, record: AuditRecord) -> Wait<'_, Result<u64, Unavailable>> {
        Box::pin(async move {
            let (row, leaf) = (encode(&key)?, Leaf::of(&record));
            let write = self.writer.write(move |batch| {
                batch.mark(Point::KeysPut);
                batch.put_key(key, &row)?;
                batch.append(&leaf)
            });
            write.await
        })
    }
}

/// Every key that was not removed.
pub(super) fn every_key(txn: &ReadTransaction) -> Result<Vec<KeyRecord>, Unavailable> {
    let keys = txn.open_table(API_KEYS).map_err(Unavailable::new)?;
    let mut found = Vec::new();
    for row in keys.iter().map_err(Unavailable::new)? {
        let (id, row) = row.map_err(Unavailable::new)?;
        found.push(decode(id.value(), row.value())?);
    }
    Ok(found)
}

/// Writes a key.
pub(super) fn encode(key: &KeyRecord) -> Result<Vec<u8>, Unavailable> {
    let principal = &key.principal;
    row::encode(&KeyRow {
        hash: key.hash,
        principal: principal.id.as_str(),
        kind: row_word::principal_kind(principal.kind),
        groups: principal.groups.iter().map(GroupName::as_str).collect(),
        may_self_approve: principal.may_self_approve,
        credential: CredentialRow::of(&principal.credential),
        tools: principal.scope.tools.iter().map(String::as_str).collect(),
        greatest_effect: principal.scope.greatest_effect.map(row_word::effect_class),
        chain: principal.chain.iter().map(PrincipalId::as_str).collect(),
        created_at: key.created_at.micros(),
        expires_at: key.expires_at.map(Timestamp::micros),
        revoked_at: key.revoked_at.map(Timestamp::micros),
        parent: key.parent.as_ref().map(crate::domain::id::KeyId::as_str),
    })
}

fn decode(id: &str, bytes: &[u8]) -> Result<KeyRecord, Unavailable> {
    let row: KeyRow<'_> = row::decode(bytes)?;
    let greatest_effect =
        row.greatest_effect.map(|code| row_word::read::<EffectClass>(code, &row_word::EFFECT_CLASSES)).transpose()?;
    let principal = Principal {
        id: row_word::text(row.principal)?,
        kind: row_word::read::<PrincipalKind>(row.kind, &row_word::PRINCIPAL_KINDS)?,
        groups: row.groups.into_iter().map(row_word::text).collect::<Result<_, _>>()?,
        may_self_approve: row.may_self_approve,
        credential: row.credential.credential()?,
        scope: Scope { tools: row.tools.into_iter().map(str::to_owned).collect(), greatest_effect },
        chain: row.chain.into_iter().map(row_word::text).collect::<Result<_, _>>()?,
    };
    Ok(KeyRecord {
        id: row_word::text(id)?,
        hash: row.hash,
        principal,
        created_at: Timestamp::from_micros(row.created_at),
        expires_at: row.expires_at.map(Timestamp::from_micros),
        revoked_at: row.revoked_at.map(Timestamp::from_micros),
        parent: row.parent.map(row_word::text).transpose()?,
    })
}
