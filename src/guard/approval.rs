//! Must a person agree? Who may decide, whether enough people ever could, and whether what they agreed to
//! still covers what would run. Requester, approver and narrator are three parties.

use std::collections::BTreeSet;

use crate::domain::approval::{Approval, Assurance, Decision, Evidence, Requirement, Verdict};
use crate::domain::call::Call;
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::digest::Digest;
use crate::domain::id::{GroupName, PrincipalId};
use crate::domain::principal::Principal;
use crate::domain::time::Timestamp;

use super::policy::Permit;

/// The best assurance a decision can have without approver keys.
pub const BEST_ASSURANCE: Assurance = Assurance::A0;

/// The proof that one person may decide about one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eligible {
    groups: BTreeSet<GroupName>,
    self_approved: bool,
}

/// Whether `reviewer` may decide about a call of `requester` (acting for `chain`) with these requirements: a
/// person, in a group that a rule names, and not on the requester's side unless an administrator allowed it.
///
/// # Errors
/// [`Code::NotAllowed`] with the reason.
pub fn eligible(
    reviewer: &Principal,
    requester: &PrincipalId,
    chain: &[PrincipalId],
    requirements: &[Requirement],
) -> Result<Eligible, Denial> {
    let no = |detail: String| Denial::new(Stage::Approval, Code::NotAllowed, detail);
    if !reviewer.is_human() {
        return Err(no(format!("only people approve, and `{}` is of kind `{}`", reviewer.id, reviewer.kind)));
    }
    let groups: BTreeSet<GroupName> =
        requirements.iter().map(|need| &need.group).filter(|group| reviewer.groups.contains(*group)).cloned().collect();
    if groups.is_empty() {
        let wanted: BTreeSet<&str> = requirements.iter().map(|need| need.group.as_str()).collect();
        let wanted = wanted.into_iter().collect::<Vec<_>>().join("`, `");
        return Err(no(format!("`{}` is not in the group that decides this: `{wanted}`", reviewer.id)));
    }
    let self_approved = reviewer.acts_for(requester) || chain.contains(&reviewer.id);
    if self_approved && !reviewer.may_self_approve {
        return Err(no(format!("`{}` may not decide about its own calls", reviewer.id))
            .hint("ask another member of the group, or let an administrator allow self-approval for this principal"));
    }
    Ok(Eligible { groups, self_approved })
}

impl Eligible {
    /// Whether it is the reviewer's own call, or one made on the reviewer's behalf.
    pub const fn is_own(&self) -> bool {
        self.self_approved
    }

    /// The decision of the person this was proved for.
    pub fn decision(
        &self,
        reviewer: &Principal,
        verdict: Verdict,
        binding: Digest,
        reason: Option<String>,
        at: Timestamp,
    ) -> Decision {
        Decision {
            by: reviewer.id.clone(),
            credential: reviewer.credential.clone(),
            groups: self.groups.clone(),
            verdict,
            reason,
            assurance: BEST_ASSURANCE,
            evidence: Evidence::Person,
            self_approved: self.self_approved,
            binding,
            at,
        }
    }
}

/// The requester's consent to its own call, typed in its client: the short digest of B. It is no person's
/// decision, is of no group and has the least assurance.
///
/// # Errors
/// When the call is not the requester's, no rule takes its consent, or something else was typed.
pub fn consent(
    requester: &Principal,
    call: &Call,
    approval: &Approval,
    typed: &str,
    at: Timestamp,
) -> Result<Decision, Denial> {
    let no = |code, detail: String| Err(Denial::new(Stage::Approval, code, detail).about(call.id));
    if requester.id != call.principal {
        return no(Code::NotAllowed, format!("only `{}` can consent to its own call", call.principal));
    }
    if !approval.requirements.iter().any(|need| need.consent) {
        return no(Code::NotAllowed, "no rule takes the caller's consent for this call: people must agree".to_owned());
    }
    if !approval.is_typed(typed) {
        return no(Code::ApprovalStale, "what was typed is not the digest of this call".to_owned());
    }
    Ok(Decision {
        by: requester.id.clone(),
        credential: requester.credential.clone(),
        groups: BTreeSet::new(),
        verdict: Verdict::Approve,
        reason: None,
        assurance: Assurance::A0,
        evidence: Evidence::ClientElicitation,
        self_approved: false,
        binding: approval.binding,
        at,
    })
}

/// Whether enough people could ever meet `requirements` for a call of `requester`; `people_in` lists the
/// members of a group who have a live credential.
///
/// # Errors
/// [`Code::ApprovalUnsatisfiable`] at once, instead of a request that hangs until it expires.
pub fn satisfiable(
    requirements: &[Requirement],
    requester: &Principal,
    people_in: impl Fn(&str) -> Vec<Principal>,
) -> Result<(), Denial> {
    // What the requester may consent to needs no people: its client may be asked, now or when it comes again.
    let takes_consent = |need: &Requirement| need.consent && need.assurance == Assurance::A0;
    for need in requirements.iter().filter(|need| !takes_consent(need)) {
        if need.assurance > BEST_ASSURANCE {
            return Err(unsatisfiable(need, "it asks for signed approvals, and no approver has a signing key"));
        }
        let people: BTreeSet<PrincipalId> = people_in(need.group.as_str())
            .into_iter()
            .filter(|person| eligible(person, &requester.id, &requester.chain, std::slice::from_ref(need)).is_ok())
            .map(|person| person.id)
            .collect();
        if people.len() < need.quorum as usize {
            return Err(unsatisfiable(need, &format!("it asks for {} and {} could decide", need.quorum, people.len())));
        }
    }
    Ok(())
}

fn unsatisfiable(need: &Requirement, why: &str) -> Denial {
    Denial::new(
        Stage::Approval,
        Code::ApprovalUnsatisfiable,
        format!("too few people of `{}` could ever approve this under `{}`: {why}", need.group, need.rule),
    )
    .hint(format!("an administrator can add one: toolctl keys create NAME --kind user --group {}", need.group))
    .rules(vec![need.rule.clone()])
}

/// Whether the approvals of `call` still cover what `permit`, decided anew, asks for; and whether each
/// approver still may decide, as `recall` finds them now.
///
/// # Errors
/// What changed, in words for the record.
pub fn still_covers(
    call: &Call,
    permit: &Permit,
    recall: impl Fn(&Decision) -> Option<Principal>,
) -> Result<(), String> {
    let Some(approval) = &call.approval else {
        return if permit.requirements().is_empty() {
            Ok(())
        } else {
            Err("policy now asks for people to agree".to_owned())
        };
    };
    for decision in &approval.decisions {
        let valid = recall(decision).is_some_and(|who| match decision.evidence {
            Evidence::Person => eligible(&who, &call.principal, &call.chain, &approval.requirements)
                .is_ok_and(|now| decision.groups.is_subset(&now.groups)),
            Evidence::ClientElicitation => who.id == call.principal,
        });
        if !valid {
            return Err(format!("`{}`, who approved it, may no longer do so", decision.by));
        }
    }
    if covers(approval, permit.requirements()) {
        Ok(())
    } else {
        Err("policy now asks for more or other people to agree".to_owned())
    }
}

fn covers(approval: &Approval, needs: &[Requirement]) -> bool {
    approval.covers(&approval.requirements) && approval.covers(needs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::principal::{Credential, PrincipalKind, Scope};

    fn principal(id: &str, kind: PrincipalKind, groups: &[&str]) -> Principal {
        Principal {
            id: id.parse().unwrap(),
            kind,
            groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
            may_self_approve: false,
            credential: Credential::Peer(1),
            scope: Scope::default(),
            chain: Vec::new(),
        }
    }

    fn need(group: &str, quorum: u32) -> Requirement {
        Requirement {
            group: group.parse().unwrap(),
            quorum,
            assurance: Assurance::A0,
            rule: "r".into(),
            ttl: None,
            consent: false,
        }
    }

    #[test]
    fn only_people_of_the_group_on_nobodys_side_decide() {
        let agent = principal("agent:x", PrincipalKind::Agent, &["approvers"]);
        let anna = principal("user:anna", PrincipalKind::User, &["approvers"]);
        let bo = principal("user:bo", PrincipalKind::User, &["operators"]);
        let needs = [need("approvers", 1)];
        let ask = |who: &Principal, requester: &Principal, chain: &[PrincipalId]| {
            eligible(who, &requester.id, chain, &needs).map(|e| e.self_approved).map_err(|no| no.detail)
        };
        assert_eq!(ask(&anna, &bo, &[]), Ok(false));
        assert!(ask(&agent, &bo, &[]).unwrap_err().contains("only people"));
        assert!(ask(&bo, &anna, &[]).unwrap_err().contains("not in the group"));
        assert!(ask(&anna, &anna, &[]).unwrap_err().contains("own calls"));
        assert!(ask(&anna, &agent, std::slice::from_ref(&anna.id)).unwrap_err().contains("own calls"), "her own agent");
        let allowed = Principal { may_self_approve: true, ..anna.clone() };
        assert_eq!(ask(&allowed, &anna, &[]), Ok(true));
    }

    /// A call of `requester` that waits for these requirements.
    fn asking(requester: &Principal, requirements: Vec<Requirement>) -> Call {
        let at = Timestamp::from_micros(1_700_000_000_000_000);
        let arguments = crate::domain::json::Canonical::trusted("{}");
        let mut call = Call {
            id: crate::domain::id::CallId::from_bytes([1; 16]),
            tool: "t".parse().unwrap(),
            tool_digest: Digest::plain(b"t"),
            effect: crate::domain::tool::EffectClass::Once,
            principal: requester.id.clone(),
            credential: requester.credential.clone(),
            chain: Vec::new(),
            key: "k".parse().unwrap(),
            fingerprint: Digest::plain(b"f"),
            effective: Digest::plain(b"e"),
            arguments,
            salt: [2; 16],
            reason: None,
            created_at: at,
            changed_at: at,
            attempts: 0,
            approval: None,
            state: crate::domain::call::CallState::AwaitingApproval,
        };
        let hour = std::time::Duration::from_secs(3600);
        let mut approval = Approval {
            number: 1,
            nonce: [3; 16],
            requirements,
            asked_at: at,
            decide_by: at.plus(hour),
            execute_within: hour,
            round: 1,
            binding: Digest::plain(b""),
            preview: None,
            decisions: Vec::new(),
            approved_at: None,
        };
        approval.binding = approval.bind(&call);
        call.approval = Some(approval);
        call
    }

    #[test]
    fn consent_is_the_requesters_typed_digest_and_meets_only_rules_that_take_it() {
        let agent = principal("agent:x", PrincipalKind::Agent, &["approvers"]);
        let anna = principal("user:anna", PrincipalKind::User, &["approvers"]);
        let taking = Requirement { consent: true, rule: "takes".into(), ..need("approvers", 1) };
        let call = asking(&agent, vec![taking.clone(), need("approvers", 1)]);
        let approval = call.approval.as_ref().unwrap();
        let digest = approval.binding.short();
        let say = |who: &Principal, call: &Call, typed: &str| {
            consent(who, call, call.approval.as_ref().unwrap(), typed, call.created_at)
                .map_err(|no| (no.code, no.detail))
        };
        assert_eq!(say(&anna, &call, &digest).unwrap_err().0, Code::NotAllowed, "it is not her call");
        let strict = asking(&agent, vec![need("approvers", 1)]);
        let typed = strict.approval.as_ref().unwrap().binding.short();
        assert_eq!(say(&agent, &strict, &typed).unwrap_err().0, Code::NotAllowed, "no rule takes it");
        for wrong in ["", "yes", &digest[..7], &format!("{digest}0")] {
            assert_eq!(say(&agent, &call, wrong).unwrap_err().0, Code::ApprovalStale, "{wrong}");
        }
        let typed = format!(" {}-{} ", &digest[..4], digest[4..].to_uppercase());
        let given = say(&agent, &call, &typed).unwrap();
        assert_eq!((given.assurance, given.groups.len(), given.self_approved), (Assurance::A0, 0, false));

        let mut given_to = approval.clone();
        given_to.decisions.push(given);
        assert_eq!((given_to.agreed(&taking), given_to.consented(&taking)), (0, true), "nobody of the group agreed");
        assert!(!given_to.meets(&need("approvers", 1)), "the other rule wants a person");
        assert!(
            !given_to.covers(&[Requirement { rule: "newer".into(), ..taking.clone() }]),
            "it was not asked about this"
        );
        assert!(
            !given_to.covers(&[Requirement { assurance: Assurance::A1, ..taking.clone() }]),
            "nor is it a signature"
        );
        assert!(!given_to.covers(&[Requirement { consent: false, ..taking }]), "the rule takes none any more");
    }

    #[test]
    fn what_nobody_could_approve_is_refused_at_once() {
        let anna = principal("user:anna", PrincipalKind::User, &["approvers"]);
        let agent = principal("agent:x", PrincipalKind::Agent, &["agents"]);
        let people = |_: &str| vec![anna.clone(), anna.clone(), agent.clone()];
        assert!(satisfiable(&[need("approvers", 1)], &agent, people).is_ok());
        let no = satisfiable(&[need("approvers", 2)], &agent, people).unwrap_err();
        assert_eq!(no.code, Code::ApprovalUnsatisfiable, "one person with two keys is one person");
        assert!(satisfiable(&[need("approvers", 1)], &anna, people).is_err(), "she cannot approve herself");
        let signed = Requirement { assurance: Assurance::A1, ..need("approvers", 1) };
        assert!(satisfiable(&[signed], &agent, people).is_err());
        let consent = Requirement { consent: true, ..need("nobodies", 1) };
        assert!(satisfiable(&[consent], &agent, |_: &str| Vec::new()).is_ok(), "the caller may consent");
    }
}
