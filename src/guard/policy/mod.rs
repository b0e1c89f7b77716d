//! May they? The only place that calls Cedar: a pure function from a policy set and a request to a
//! [`Permit`] or a denial.
//!
//! Cedar says yes or no; "yes, once people agree" is a `forbid … unless { context.session.attended }`, so a
//! decision is up to two evaluations:
//!
//! ```text
//!  d0 = evaluate(attended: false)     any error → deny;  allow → permit
//!  d1 = evaluate(attended: true)      any error → deny;  deny  → deny
//!                                     allow → permit that requires what the forbids of d0 ask for
//! ```
//!
//! Any error denies, because Cedar skips a rule that errs: a `forbid` that overflows would not forbid.

mod alike;
mod allowlist;
mod explain;
mod load;
mod looks;
mod rule;
mod shape;
mod slice;
mod source;
mod vocabulary;

use std::collections::BTreeMap;

use cedar_policy::{Authorizer, Context, Decision, RestrictedExpression};

use crate::domain::approval::{Assurance, Requirement};
use crate::domain::audit::PolicyFact;
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::digest::Digest;
use crate::domain::id::{PrincipalId, ToolName};
use crate::domain::principal::Principal;
use crate::domain::time::Timestamp;
use crate::domain::tool::{Catalog, Registered};
use crate::guard::schema::Arguments;

pub use allowlist::Allowlist;
pub use explain::{Answer, Explanation, Standing, StandingAnswer};
pub use source::{PolicyProblem, PolicyProblems, PolicySource};
pub use vocabulary::GROUPS;

use rule::Rule;
use slice::{Pair, Pairs, Scopes, Subject};

/// The id under which a denial names the scope of the credential, which is no rule.
pub const CREDENTIAL_SCOPE: &str = "credential-scope";
/// The id under which a requirement names the caller, who asked for it beside the rules.
pub const CALLER_ASKS: &str = "caller-asks";

/// What is asked of the policies.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// For which tool.
    pub tool: &'a Registered,
    /// With which arguments.
    pub arguments: &'a Arguments,
    /// When.
    pub now: Timestamp,
    /// Nothing will run.
    pub dry_run: bool,
    /// Through which door: `rest`, `compat`, `mcp`, `replay` after an approval.
    pub transport: &'static str,
}

/// The proof that policy allows one principal to call one tool with certain arguments, once the people it
/// names agree. It cannot be made outside this module:
///
/// ```compile_fail,E0451
/// # use toolctl::guard::policy::Permit;
/// let forged = Permit { policy: todo!(), principal: todo!(), effective: todo!(), rules: vec![], requirements: vec![] };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    policy: Digest,
    principal: PrincipalId,
    effective: Digest,
    rules: Vec<String>,
    requirements: Vec<Requirement>,
}

impl Permit {
    /// Digest of the policy set it came from.
    pub const fn policy(&self) -> Digest {
        self.policy
    }

    /// Ids of the policies that decided.
    pub fn rules(&self) -> &[String] {
        &self.rules
    }

    /// Who must agree first; empty when nobody must.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// The same permit, but one of the approvers must agree too, as the caller asks. Nothing that the rules ask for
    /// goes: a permit can only be made stricter.
    ///
    /// # Errors
    /// When nobody can be named: then it is a no.
    pub fn asking_people(mut self) -> Result<Self, Denial> {
        let asked = default_requirement(CALLER_ASKS)
            .ok_or_else(|| Denial::new(Stage::Policy, Code::Internal, "nobody can be asked to approve this"))?;
        self.requirements.push(asked);
        self.requirements.sort();
        Ok(self)
    }

    /// What the log keeps of it.
    pub fn fact(&self) -> PolicyFact {
        PolicyFact { digest: self.policy, rules: self.rules.clone() }
    }

    /// Checks that it is for this principal and these arguments (whose digest covers the tool).
    ///
    /// # Errors
    /// When it is for others: a permit cannot be carried over.
    pub fn must_be_for(&self, principal: &Principal, arguments: &Arguments) -> Result<(), Denial> {
        if self.principal == principal.id && self.effective == arguments.effective_digest() {
            Ok(())
        } else {
            Err(Denial::new(Stage::Policy, Code::Internal, "the permit is for another request"))
        }
    }
}

/// The policies in force, for one catalog.
#[derive(Debug)]
pub struct PolicySet {
    digest: Digest,
    files: Vec<PolicySource>,
    rules: Vec<Rule>,
    subjects: BTreeMap<ToolName, Subject>,
    pairs: Pairs,
    authorizer: Authorizer,
}

/// What one evaluation said, when no rule erred.
struct Evaluation {
    allows: bool,
    rules: Vec<String>,
}

/// An allowed request: by which rules, and once whom agreed.
struct Verdict {
    rules: Vec<String>,
    requirements: Vec<Requirement>,
}

impl PolicySet {
    /// Reads policies for the tools of a catalog: parse, lint, strict validation.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place in its file.
    pub fn load(files: &[PolicySource], catalog: &Catalog) -> Result<Self, PolicyProblems> {
        let of_tools = |message: String| {
            let file = PolicySource { name: "tools".to_owned(), text: String::new() };
            PolicyProblems(vec![PolicyProblem::new(&file, None, message)])
        };
        let (rules, of_files) = load::read(files)?;
        let scopes = Scopes::of(&rules);
        let mut subjects = BTreeMap::new();
        for tool in catalog.iter() {
            let subject = Subject::new(tool, &rules, &scopes)
                .filter(|_| !GROUPS.contains(&tool.name.as_str()))
                .ok_or_else(|| of_tools(no_word(&tool.name)))?;
            subjects.insert(tool.name.clone(), subject);
        }
        let schema = vocabulary::schema(alike::sorts(&rules, &subjects).into_iter()).map_err(of_tools)?;
        let mut problems = load::validate(&rules, &of_files, schema);
        if !problems.is_empty() {
            // Told of the tools as they are: it may be a name that is wrong, and the nearest one that is missed.
            let whole = vocabulary::schema(subjects.values().map(Subject::word)).map_err(of_tools)?;
            let told = load::validate(&rules, &of_files, whole);
            problems = if told.is_empty() { problems } else { told };
            return Err(PolicyProblems(problems));
        }
        let digest = source::digest(files);
        let (pairs, authorizer) = (Pairs::default(), Authorizer::new());
        Ok(Self { digest, files: files.to_vec(), rules, subjects, pairs, authorizer })
    }

    /// Whether rules can speak of a tool, whatever they look at.
    ///
    /// # Errors
    /// Says why not.
    pub fn can_speak_of(tool: &Registered) -> Result<(), String> {
        let subject = Subject::new(tool, &[], &Scopes::default()).ok_or_else(|| no_word(&tool.name))?;
        vocabulary::schema(std::iter::once(subject.word())).map(drop)
    }

    /// Digest of all files, over their sorted names and texts.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The files it was read from.
    pub fn files(&self) -> &[PolicySource] {
        &self.files
    }

    /// The Cedar schema made from the tools, for people who write rules.
    ///
    /// # Errors
    /// Says why there is none for these tools.
    pub fn schema_text(&self) -> Result<String, String> {
        vocabulary::text(self.subjects.values().map(Subject::word))
    }

    /// Groups that a rule may ask: their people are approvers.
    pub fn approving_groups(&self) -> impl Iterator<Item = &str> {
        let asked = self.rules.iter().filter_map(|rule| rule.asks.as_ref());
        // Where a rule wants somebody and names nobody, these are asked.
        asked.map(|need| need.group.as_str()).chain([Principal::APPROVERS])
    }

    /// Decides about a request nobody has agreed to yet.
    ///
    /// # Errors
    /// The denial, with the rules that decided.
    pub fn decide(&self, request: &Request<'_>) -> Result<Permit, Denial> {
        self.judge(request).map(|verdict| self.permit(request, verdict))
    }

    /// Decides again about a request that people agreed to, as rules may have changed while they thought.
    /// The permit requires what the rules ask for now; whether that was given is for the caller to compare.
    ///
    /// # Errors
    /// The denial, with the rules that decided.
    pub fn decide_attended(&self, request: &Request<'_>) -> Result<Permit, Denial> {
        let (pair, subject) = self.pair(request.principal, request.tool)?;
        let alone = self.evaluate(request, &pair, subject, false)?;
        let attended = self.evaluate(request, &pair, subject, true)?;
        let verdict = if alone.allows && attended.allows {
            Verdict { rules: attended.rules, requirements: Vec::new() }
        } else {
            self.once_people_agree(request.principal, request.tool, alone, attended)?
        };
        Ok(self.permit(request, verdict))
    }

    fn judge(&self, request: &Request<'_>) -> Result<Verdict, Denial> {
        let (pair, subject) = self.pair(request.principal, request.tool)?;
        let alone = self.evaluate(request, &pair, subject, false)?;
        if alone.allows {
            return Ok(Verdict { rules: alone.rules, requirements: Vec::new() });
        }
        let attended = self.evaluate(request, &pair, subject, true)?;
        self.once_people_agree(request.principal, request.tool, alone, attended)
    }

    fn once_people_agree(
        &self,
        principal: &Principal,
        tool: &Registered,
        alone: Evaluation,
        attended: Evaluation,
    ) -> Result<Verdict, Denial> {
        if !attended.allows {
            return Err(denied(principal, tool, attended.rules));
        }
        let mut requirements: Vec<Requirement> =
            alone.rules.iter().filter_map(|id| self.rule(id)?.asks.clone()).collect();
        if requirements.is_empty() {
            // No forbid asked: the permit itself holds only when people attend. Somebody must be asked.
            requirements = attended.rules.first().and_then(|rule| default_requirement(rule)).into_iter().collect();
        }
        if requirements.is_empty() {
            return Err(denied(principal, tool, alone.rules));
        }
        requirements.sort();
        requirements.dedup();
        let mut rules = alone.rules;
        rules.extend(attended.rules);
        Ok(Verdict { rules, requirements })
    }

    fn permit(&self, request: &Request<'_>, verdict: Verdict) -> Permit {
        Permit {
            policy: self.digest,
            principal: request.principal.id.clone(),
            effective: request.arguments.effective_digest(),
            rules: verdict.rules,
            requirements: verdict.requirements,
        }
    }

    /// Looks up what is prepared for a principal and a tool, when its credential covers the tool.
    fn pair(&self, principal: &Principal, tool: &Registered) -> Result<(std::sync::Arc<Pair>, &Subject), Denial> {
        if !principal.scope.covers(tool) {
            let detail = format!("`{}` is outside the scope of the credential of `{}`", tool.name, principal.id);
            return Err(Denial::new(Stage::Policy, Code::PolicyDenied, detail)
                .hint("use a key with a wider scope: `toolctl whoami` shows the scope of this one")
                .rules(vec![CREDENTIAL_SCOPE.to_owned()]));
        }
        let subject = self.subjects.get(&tool.name).filter(|subject| subject.is(tool));
        let pair = subject.and_then(|subject| self.pairs.of(principal, tool, subject, &self.rules));
        subject.and_then(|subject| Some((pair?, subject))).ok_or_else(|| {
            let detail = format!("the policies in force were not loaded for this definition of `{}`", tool.name);
            evaluation_error(detail, Vec::new(), None)
        })
    }

    /// Asks Cedar once.
    ///
    /// # Errors
    /// When the arguments cannot be shown to the rules, or any rule errs.
    fn evaluate(
        &self,
        request: &Request<'_>,
        pair: &Pair,
        subject: &Subject,
        attended: bool,
    ) -> Result<Evaluation, Denial> {
        let context = context(request, pair, subject, attended)?;
        self.ask(pair, subject, context).map_err(|(rules, log)| {
            let (who, tool) = (&request.principal.id, &request.tool.name);
            let detail = format!("`{tool}` is denied for `{who}`, as {} could not be evaluated", named(&rules));
            evaluation_error(detail, rules, Some(log))
        })
    }

    /// Asks Cedar. The error holds the rules that erred, and what happened, for the log.
    fn ask(&self, pair: &Pair, subject: &Subject, context: Context) -> Result<Evaluation, (Vec<String>, String)> {
        let (action, resource) = (subject.action.clone(), subject.resource.clone());
        // No schema here: the context was made by the types the rules were validated against.
        let request = cedar_policy::Request::new(pair.principal.clone(), action, resource, context, None)
            .map_err(|error| (Vec::new(), error.to_string()))?;
        let response = self.authorizer.is_authorized(&request, &pair.slice.policies, &pair.entities);
        let mut erred: Vec<(String, String)> = response
            .diagnostics()
            .errors()
            .map(|error| match error {
                cedar_policy::AuthorizationError::PolicyEvaluationError(error) => {
                    (error.policy_id().to_string(), error.to_string())
                }
            })
            .collect();
        if !erred.is_empty() {
            erred.sort();
            let (rules, told): (Vec<String>, Vec<String>) = erred.into_iter().unzip();
            return Err((rules, told.join("; ")));
        }
        let mut rules: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        rules.sort_unstable();
        Ok(Evaluation { allows: response.decision() == Decision::Allow, rules })
    }

    /// INVARIANT: `rules` is in the order of their ids.
    fn rule(&self, id: &str) -> Option<&Rule> {
        let place = self.rules.binary_search_by(|rule| rule.id.as_str().cmp(id)).ok()?;
        self.rules.get(place)
    }
}

/// What the rules of a slice look at, and no more.
fn context(request: &Request<'_>, pair: &Pair, subject: &Subject, attended: bool) -> Result<Context, Denial> {
    let looks = pair.slice.looks;
    let mut session = vec![("attended".to_owned(), RestrictedExpression::new_bool(attended))];
    if looks.dry_run {
        session.push(("dry_run".to_owned(), RestrictedExpression::new_bool(request.dry_run)));
    }
    if looks.now {
        session.push(("now".to_owned(), RestrictedExpression::new_datetime(in_milliseconds(request.now))));
    }
    if looks.transport {
        session.push(("transport".to_owned(), RestrictedExpression::new_string(request.transport.to_owned())));
    }
    let unfit = |detail: String, log: Option<String>| evaluation_error(detail, Vec::new(), log);
    let session = RestrictedExpression::new_record(session)
        .map_err(|error| unfit("the session cannot be shown to the rules".to_owned(), Some(error.to_string())))?;
    let mut members = vec![("session".to_owned(), session)];
    if looks.input {
        let input = subject.input.read(request.arguments.value()).map_err(|untypable| {
            unfit(format!("a rule looks at the arguments, and `{}` cannot be judged by rules", untypable.0), None)
        })?;
        members.push(("input".to_owned(), input));
    }
    if looks.input_json {
        let text = request.arguments.effective().as_str().to_owned();
        members.push(("input_json".to_owned(), RestrictedExpression::new_string(text)));
    }
    Context::from_pairs(members)
        .map_err(|error| unfit("the arguments cannot be shown to the rules".to_owned(), Some(error.to_string())))
}

/// The form Cedar reads; what it cannot read makes an error, and that a denial.
fn in_milliseconds(now: Timestamp) -> String {
    match jiff::Timestamp::from_microsecond(now.micros()) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => now.to_string(),
    }
}

fn no_word(name: &ToolName) -> String {
    format!("a tool may not be named `{name}`: rules use this name for a group of tools")
}

fn default_requirement(rule: &str) -> Option<Requirement> {
    let group = Principal::APPROVERS.parse().ok()?;
    let rule = rule.to_owned();
    Some(Requirement { group, quorum: 1, assurance: Assurance::A0, rule, ttl: None, consent: false })
}

fn denied(principal: &Principal, tool: &Registered, rules: Vec<String>) -> Denial {
    let (who, tool) = (&principal.id, &tool.name);
    let detail = if rules.is_empty() {
        format!("no policy permits `{who}` to call `{tool}`")
    } else {
        format!("`{tool}` is denied for `{who}` by {}", named(&rules))
    };
    Denial::new(Stage::Policy, Code::PolicyDenied, detail)
        .hint(format!(
            "`toolctl policy check {tool}` says what would be allowed; `toolctl policy show` shows the rules"
        ))
        .rules(rules)
}

fn evaluation_error(detail: String, rules: Vec<String>, log: Option<String>) -> Denial {
    let denial = Denial::new(Stage::Policy, Code::PolicyEvaluationError, detail)
        .hint("errors mean no; ask an operator to look at the rule and the log")
        .rules(rules);
    match log {
        Some(log) => denial.log(log),
        None => denial,
    }
}

fn named(rules: &[String]) -> String {
    if rules.is_empty() { "a rule".to_owned() } else { format!("`{}`", rules.join("`, `")) }
}
