//! P9: policy decisions equal a naive oracle, and a rule that errs never allows. Random policies are made
//! from a small grammar and judged three times: by a direct reading of the grammar, by Cedar over the whole
//! set with a schema-checked request, and by our `decide`, which slices, caches and trims.
//!
//! `TOOLCTL_P9_CASES` and `TOOLCTL_P9_SEED` change size and seed; both are printed.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, Policy, PolicyId, Request as CedarRequest, Schema,
};
use serde_json::{Value, json};
use toolctl::domain::denial::Code;
use toolctl::domain::principal::Principal;
use toolctl::domain::tool::{Catalog, EffectClass, Risk};
use toolctl::guard::policy::{PolicySet, PolicySource, Request};
use toolctl::guard::schema::Schemas;

use super::grammar::{Case, Dice, Rule, TOOLS, kind_of, uid};
use super::{NOW, principal, tool};

const REQUESTS_PER_SET: usize = 50;
/// One evaluation: whether it allows, the rules that decided, the rules that erred.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    allows: bool,
    rules: BTreeSet<String>,
    erred: BTreeSet<String>,
}

fn naive(rules: &[Rule], case: &Case<'_>, attended: bool) -> Said {
    let (mut permits, mut forbids, mut erred) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for rule in rules {
        match rule.holds(case, attended) {
            Err(()) => erred.insert(rule.id.clone()),
            Ok(true) if rule.permit => permits.insert(rule.id.clone()),
            Ok(true) => forbids.insert(rule.id.clone()),
            Ok(false) => false,
        };
    }
    let allows = forbids.is_empty() && !permits.is_empty();
    Said { allows, rules: if forbids.is_empty() { permits } else { forbids }, erred }
}

/// What `decide` should answer: a code, or who must agree (group, quorum, rule).
type Expected = Result<BTreeSet<(String, u32, String)>, Code>;

fn expected(rules: &[Rule], alone: &Said, attended: &Said) -> Expected {
    if !alone.erred.is_empty() {
        return Err(Code::PolicyEvaluationError);
    }
    if alone.allows {
        return Ok(BTreeSet::new());
    }
    if !attended.erred.is_empty() {
        return Err(Code::PolicyEvaluationError);
    }
    if !attended.allows {
        return Err(Code::PolicyDenied);
    }
    let asks = |rule: &Rule| {
        let (group, quorum) = rule.asks?;
        alone.rules.contains(&rule.id).then(|| (group.to_owned(), quorum, rule.id.clone()))
    };
    let asked: BTreeSet<_> = rules.iter().filter_map(asks).collect();
    if asked.is_empty() {
        let rule = attended.rules.first().unwrap().clone();
        return Ok([("approvers".to_owned(), 1, rule)].into());
    }
    Ok(asked)
}

/// Cedar itself, over the whole set, with request and entities checked against the schema.
struct Whole {
    schema: Schema,
    /// Checked requests and their entities: few differ, and checking costs most.
    made: BTreeMap<String, (CedarRequest, Entities)>,
}

impl Whole {
    fn ask(&mut self, policies: &cedar_policy::PolicySet, case: &Case<'_>, attended: bool) -> Said {
        let Self { schema, made } = self;
        let Case { who, tool, sent, dry_run, .. } = case;
        let key = format!("{} {} {sent} {dry_run} {attended}", who.id, tool.name);
        let (request, entities) =
            made.entry(key).or_insert_with(|| (request(case, attended, schema), entities(case, schema)));
        let response = Authorizer::new().is_authorized(request, policies, entities);
        let erred = response.diagnostics().errors().map(|error| match error {
            cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.policy_id().to_string(),
        });
        Said {
            allows: response.decision() == Decision::Allow,
            erred: erred.collect(),
            rules: response.diagnostics().reason().map(ToString::to_string).collect(),
        }
    }
}

fn request(case: &Case<'_>, attended: bool, schema: &Schema) -> CedarRequest {
    let tool = case.tool.name.as_str();
    let action: EntityUid = format!("Toolctl::Action::\"{tool}\"").parse().unwrap();
    let now = json!({"__extn": {"fn": "datetime", "arg": "2026-11-23T08:00:00.123Z"}});
    let session = json!({"attended": attended, "dry_run": case.dry_run, "now": now, "transport": "mcp"});
    let context = json!({"input": case.sent, "input_json": case.sent.to_string(), "session": session});
    let context = Context::from_json_value(context, Some((schema, &action))).unwrap();
    let resource = format!("Toolctl::Tool::\"{tool}\"").parse().unwrap();
    CedarRequest::new(uid(case.who).parse().unwrap(), action, resource, context, Some(schema)).unwrap()
}

fn entities(case: &Case<'_>, schema: &Schema) -> Entities {
    let groups: Vec<Value> =
        case.who.groups.iter().map(|g| json!({"type": "Toolctl::Group", "id": g.as_str()})).collect();
    let entities = json!([
        {"uid": {"type": format!("Toolctl::{}", kind_of(case.who)), "id": case.who.id.as_str()}, "attrs": {}, "parents": groups},
        {"uid": {"type": "Toolctl::Tool", "id": case.tool.name.as_str()}, "parents": [],
         "attrs": {"risk": case.tool.risk.word(), "effect": case.tool.effect.word(), "source": "built in"}},
    ]);
    Entities::from_json_value(entities, Some(schema)).unwrap()
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// How often each answer came: allowed, asked people, denied, erred.
type Tally = [usize; 4];

struct Bench {
    catalog: Catalog,
    schemas: Schemas,
    people: [Principal; 5],
}

impl Bench {
    fn new() -> Self {
        let n =
            || json!({"type": "object", "properties": {"n": {"type": "integer"}, "word": {"enum": ["red", "blue"]}}});
        let word = json!({"type": "object", "properties": {"word": {"type": "string"}}});
        let catalog = Catalog::new([
            tool("look", EffectClass::ReadOnly, Risk::Low, false, n()),
            tool("push", EffectClass::Once, Risk::High, false, n()),
            tool("drop", EffectClass::Idempotent, Risk::Medium, true, n()),
            tool("note", EffectClass::Once, Risk::Low, false, word),
        ])
        .unwrap();
        let people = [
            principal("user:anna", &["operators", "leads"]),
            principal("user:bo", &[]),
            principal("agent:triage", &["agents"]),
            principal("agent:stray", &[]),
            principal("service:ci", &["operators"]),
        ];
        Self { schemas: Schemas::compile(&catalog).unwrap(), catalog, people }
    }

    /// Makes policies and requests from a seed and compares the three readings. `lose` leaves the last rule
    /// out of what is loaded: a mistake that must be found.
    fn run(&self, seed: u64, cases: usize, lose: bool) -> Result<Tally, String> {
        let mut dice = Dice(seed);
        let mut whole = None;
        let mut tally = Tally::default();
        for set in 0..cases.div_ceil(REQUESTS_PER_SET) {
            let count = 1 + dice.below(12);
            let rules: Vec<Rule> = (0..count).map(|n| Rule::random(&mut dice, n, self.people.len())).collect();
            let texts: Vec<String> = rules.iter().map(|rule| rule.text(&self.people)).collect();
            let loaded = texts[..count - usize::from(lose)].concat();
            let file = PolicySource { name: "random".into(), text: loaded };
            let told = |what: String| format!("seed {seed}, set {set}: {what}\n{}", texts.concat());
            let policies = PolicySet::load(&[file], &self.catalog).map_err(|problems| told(problems.to_string()))?;
            let all = rules.iter().zip(&texts);
            let all = all.map(|(rule, text)| Policy::parse(Some(PolicyId::new(&rule.id)), text).unwrap());
            let all = cedar_policy::PolicySet::from_policies(all).unwrap();
            let whole = whole.get_or_insert_with(|| Whole {
                schema: Schema::from_cedarschema_str(&policies.schema_text().unwrap()).unwrap().0,
                made: BTreeMap::new(),
            });
            for _ in 0..REQUESTS_PER_SET {
                let sent = sent(&mut dice);
                let tool =
                    self.catalog.get(if sent.get("n").is_some() { dice.one(&TOOLS[..3]) } else { dice.one(&TOOLS) });
                let (who, tool) = (&self.people[dice.below(self.people.len())], tool.unwrap());
                let case = Case { people: &self.people, who, tool, sent: &sent, dry_run: dice.below(4) == 0 };
                let place = self.compare(&rules, &case, &policies, &mut |attended| whole.ask(&all, &case, attended));
                let place = place.map_err(|what| {
                    told(format!("{} {} {sent} dry run {}: {what}", who.id, tool.name, case.dry_run))
                })?;
                tally[place] += 1;
            }
        }
        Ok(tally)
    }

    fn compare(
        &self,
        rules: &[Rule],
        case: &Case<'_>,
        policies: &PolicySet,
        cedar: &mut dyn FnMut(bool) -> Said,
    ) -> Result<usize, String> {
        let (alone, attended) = (naive(rules, case, false), naive(rules, case, true));
        let same = |whole: Said, naive: &Said| {
            if whole == *naive { Ok(()) } else { Err(format!("Cedar says {whole:?}, the oracle {naive:?}")) }
        };
        same(cedar(false), &alone)?;
        if !alone.allows {
            same(cedar(true), &attended)?;
        }
        let arguments = self.schemas.check(case.tool, case.sent).unwrap();
        let (principal, tool, dry_run) = (case.who, case.tool, case.dry_run);
        let request = Request { principal, tool, arguments: &arguments, now: NOW, dry_run, transport: "mcp" };
        let decided: Expected = match policies.decide(&request) {
            Ok(permit) => {
                Ok(permit.requirements().iter().map(|n| (n.group.to_string(), n.quorum, n.rule.clone())).collect())
            }
            Err(denial) => Err(denial.code),
        };
        let expected = expected(rules, &alone, &attended);
        if decided != expected {
            return Err(format!("decided {decided:?}, the oracle {expected:?}"));
        }
        if decided.is_ok() && !policies.standing(principal, tool).is_visible() {
            return Err("allowed, but not visible".into());
        }
        let clean = alone.erred.is_empty() && attended.erred.is_empty();
        if policies.decide_attended(&request).is_ok() != (attended.allows && clean) {
            return Err(format!("decided otherwise once people agreed; the oracle {attended:?}"));
        }
        Ok(match decided {
            Ok(needs) if needs.is_empty() => 0,
            Ok(_) => 1,
            Err(Code::PolicyEvaluationError) => 3,
            Err(_) => 2,
        })
    }
}

fn sent(dice: &mut Dice) -> Value {
    let mut sent = json!({});
    if dice.below(2) == 0 {
        sent["n"] = json!(dice.below(6) as i64 - 1);
    }
    if dice.below(2) == 0 {
        sent["word"] = json!(dice.one(&["red", "blue"]));
    }
    sent
}

#[test]
fn decisions_equal_a_naive_oracle_and_errors_never_allow() {
    let (cases, seed) = (setting("TOOLCTL_P9_CASES", 20_000) as usize, setting("TOOLCTL_P9_SEED", 9));
    let half = |seed| std::thread::spawn(move || Bench::new().run(seed, cases.div_ceil(2), false));
    let halves = [half(seed), half(seed ^ u64::MAX)].map(|half| half.join().unwrap());
    let mut tally = Tally::default();
    for half in halves {
        let half = half.unwrap_or_else(|difference| panic!("{difference}"));
        tally.iter_mut().zip(half).for_each(|(sum, count)| *sum += count);
    }
    let [allowed, asked, denied, erred] = tally;
    println!("P9: {cases} cases, seed {seed}: {allowed} allowed, {asked} asked people, {denied} denied, {erred} erred");
    assert!(tally.iter().all(|count| *count > cases / 200), "the grammar reaches every answer");
}

#[test]
fn the_comparison_finds_a_rule_that_was_lost() {
    let bench = Bench::new();
    let found = (0..10).filter(|seed| bench.run(*seed, 4 * REQUESTS_PER_SET, true).is_err()).count();
    assert!(found >= 8, "found in {found} of 10 runs");
}
