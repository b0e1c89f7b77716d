use super::*;
use crate::guard::quota::{Limiter, QuotaSettings};
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

fn counter() -> Random {
    let mut state = 1u32;
    Box::new(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
}

fn schemes() -> Schemes {
    let own = LocalUser { uid: 1000, groups: BTreeSet::from(["operators".parse().unwrap()]), may_self_approve: true };
    Schemes::new(
        Pepper::new([1; 32]),
        Some("demo-key"),
        vec![own],
        Vec::new(),
        Limiter::new(QuotaSettings { per_minute: 10, burst: 10, most_principals: 100 }),
        counter(),
    )
}

fn issue(schemes: &Schemes, name: &str, parent: Option<KeyId>) -> (String, KeyRecord) {
    let minted = schemes.mint(PrincipalKind::Agent);
    let principal = Principal {
        id: name.parse().unwrap(),
        kind: PrincipalKind::Agent,
        groups: BTreeSet::new(),
        may_self_approve: false,
        credential: Credential::Key(minted.id.clone()),
        scope: Scope::default(),
        chain: Vec::new(),
    };
    let record = KeyRecord {
        id: minted.id,
        hash: minted.hash,
        principal,
        created_at: NOW,
        expires_at: Some(NOW.plus(Duration::from_secs(60))),
        revoked_at: None,
        parent,
    };
    schemes.adopt(record.clone());
    (minted.text, record)
}

fn with_key(key: &str, uid: Option<u32>) -> Presented {
    Presented { key: Some(key.to_owned()), uid, peer: "test".into() }
}

#[test]
fn each_scheme_knows_its_own() {
    let schemes = schemes();
    let (text, _) = issue(&schemes, "agent:x", None);
    let who =
        |presented: &Presented| schemes.identify(presented, NOW).map(|who| who.id.to_string()).map_err(|no| no.code);
    assert_eq!(who(&with_key(&text, None)), Ok("agent:x".into()));
    assert_eq!(who(&with_key(&text, Some(1000))), Ok("agent:x".into()), "a key names the principal, not the uid");
    assert_eq!(who(&with_key("demo-key", None)), Ok("env".into()));
    assert_eq!(who(&Presented { key: None, uid: Some(1000), peer: "u".into() }), Ok("os:1000".into()));
    assert_eq!(who(&Presented { key: None, uid: Some(1001), peer: "u".into() }), Err(Code::Unauthenticated));
    assert_eq!(who(&Presented { key: None, uid: None, peer: "t".into() }), Err(Code::Unauthenticated));
}

#[test]
fn a_wrong_key_never_falls_back_to_the_uid_and_has_one_answer() {
    let schemes = schemes();
    let (text, record) = issue(&schemes, "agent:x", None);
    let mut denials = vec![
        schemes.identify(&with_key("nonsense", Some(1000)), NOW).unwrap_err(),
        schemes.identify(&with_key(&text.replace("tctl_a_", "tctl_u_"), None), NOW).unwrap_err(),
        schemes.identify(&with_key(&text, None), NOW.plus(Duration::from_secs(60))).unwrap_err(),
    ];
    schemes.adopt(KeyRecord { revoked_at: Some(NOW), ..record });
    denials.push(schemes.identify(&with_key(&text, None), NOW).unwrap_err());
    denials.dedup();
    assert_eq!(denials.len(), 1, "{denials:?}");
    assert_eq!(schemes.take_failures(), [("test".to_owned(), 4)]);
}

#[test]
fn a_key_dies_with_the_key_it_was_made_from() {
    let schemes = schemes();
    let (_, parent) = issue(&schemes, "agent:x", None);
    let (text, child) = issue(&schemes, "agent:y", Some(parent.id.clone()));
    assert!(schemes.recall(&Credential::Key(child.id.clone()), NOW).is_some());
    schemes.adopt(KeyRecord { revoked_at: Some(NOW), ..parent });
    assert!(schemes.identify(&with_key(&text, None), NOW).is_err());
    assert!(schemes.recall(&Credential::Key(child.id), NOW).is_none());
}

#[test]
fn failed_attempts_are_limited_per_peer_and_good_ones_are_not() {
    let schemes = schemes();
    let (text, _) = issue(&schemes, "agent:x", None);
    let codes: Vec<Code> = (0..12).map(|_| schemes.identify(&with_key("no", None), NOW).unwrap_err().code).collect();
    assert_eq!(codes.iter().filter(|code| **code == Code::Unauthenticated).count(), 10);
    assert_eq!(codes.last(), Some(&Code::RateLimited));
    let guess = schemes.identify(&with_key("demo-key", None), NOW).unwrap_err();
    assert_eq!(guess.code, Code::RateLimited, "even a right guess at the environment's key has to wait");
    assert!(schemes.identify(&with_key(&text, None), NOW).is_ok(), "a key that cannot be guessed has not");
    assert!(schemes.identify(&with_key("demo-key", None), NOW.plus(Duration::from_secs(60))).is_ok());
    let elsewhere = Presented { peer: "other".into(), ..with_key(&text, None) };
    assert!((0..100).all(|_| schemes.identify(&elsewhere, NOW).is_ok()));
}

#[test]
fn a_token_stands_for_whoever_it_was_lent_by_while_they_are_known() {
    let mut own = schemes();
    own.local.get_mut(&1000).unwrap().groups.extend(["approvers", "administrators"].map(|name| name.parse().unwrap()));
    let (schemes, peer) = (own, Credential::Peer(1000));
    let (_, record) = issue(&schemes, "agent:x", None);
    let agent = Credential::Key(record.id.clone());
    let who = |token: &str, uid| schemes.identify(&with_key(token, uid), NOW);
    let tokens = [&peer, &agent].map(|credential| schemes.lend(credential, NOW).expect("it is good"));
    let [of_peer, of_agent] = &tokens;
    let lent = who(of_peer, Some(1000)).expect("known");
    assert_eq!((lent.id.as_str(), &lent.credential), ("os:1000", &peer));
    assert_eq!(lent.groups.iter().map(GroupName::as_str).collect::<Vec<_>>(), ["operators"], "it approves nothing");
    assert!(!lent.may_self_approve && !lent.is_administrator());
    assert_eq!(who(of_agent, Some(1)).map(|who| who.id.to_string()), Ok("agent:x".to_owned()));
    assert!(who(of_agent, None).is_err(), "from elsewhere it is worth nothing");
    assert!(who(&format!("{of_agent}x"), Some(1)).is_err());
    assert_eq!(schemes.lend(&Credential::Peer(1001), NOW), None);

    schemes.adopt(KeyRecord { revoked_at: Some(NOW), ..record });
    assert!(who(of_agent, Some(1)).is_err(), "it dies with the key");
    assert_eq!(schemes.lend(&agent, NOW), None);
    schemes.take_back(of_peer);
    assert!(who(of_peer, Some(1000)).is_err());
}
