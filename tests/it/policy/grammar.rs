//! Random rules from a small grammar, as text for Cedar and with a naive reading of their own.

use serde_json::Value;
use toolctl::domain::principal::Principal;
use toolctl::domain::tool::{EffectClass, Registered, Risk};

pub const KINDS: [&str; 3] = ["User", "Agent", "Service"];
pub const TEAMS: [&str; 3] = ["operators", "agents", "leads"];
pub const CLASSES: [&str; 6] = ["call", "readonly", "mutating", "destructive", "low_risk", "high_risk"];
pub const TOOLS: [&str; 4] = ["look", "push", "drop", "note"];

/// SplitMix64: small, and the same everywhere.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

#[derive(Debug)]
pub enum Who {
    Any,
    Is(&'static str),
    In(&'static str),
    IsIn(&'static str, &'static str),
    Eq(usize),
}

#[derive(Debug)]
pub enum Act {
    Any,
    Eq(&'static str),
    In(Vec<&'static str>),
}

#[derive(Debug)]
pub enum Condition {
    Attended,
    DryRun,
    HighRisk,
    Over(i64),
    Word(&'static str),
    Overflow,
    Text,
    InTeam(&'static str),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
}

#[derive(Debug)]
pub struct Rule {
    pub id: String,
    pub permit: bool,
    pub who: Who,
    pub act: Act,
    pub on: Option<&'static str>,
    pub when: Option<Condition>,
    pub unless: Option<Condition>,
    pub asks: Option<(&'static str, u32)>,
}

/// Everything an evaluation depends on.
pub struct Case<'a> {
    pub people: &'a [Principal],
    pub who: &'a Principal,
    pub tool: &'a Registered,
    pub sent: &'a Value,
    pub dry_run: bool,
}

impl Condition {
    pub fn random(dice: &mut Dice, depth: usize, attended: bool) -> Self {
        let deeper = |dice: &mut Dice| Box::new(Self::random(dice, depth - 1, attended));
        match dice.below(if depth == 0 { 8 } else { 12 }) {
            0 if attended => Self::Attended,
            0 | 1 => Self::DryRun,
            2 => Self::HighRisk,
            3 => Self::Over(dice.below(4) as i64),
            4 => Self::Word(dice.one(&["red", "blue"])),
            5 if dice.below(3) == 0 => Self::Overflow,
            5 | 6 => Self::Text,
            7 => Self::InTeam(dice.one(&TEAMS)),
            8 | 9 => Self::And(deeper(dice), deeper(dice)),
            10 => Self::Or(deeper(dice), deeper(dice)),
            _ => Self::Not(deeper(dice)),
        }
    }

    pub fn text(&self) -> String {
        match self {
            Self::Attended => "context.session.attended".into(),
            Self::DryRun => "context.session.dry_run".into(),
            Self::HighRisk => "resource.risk == \"high\"".into(),
            Self::Over(n) => format!("(context.input has n && context.input.n > {n})"),
            Self::Word(word) => format!("(context.input has word && context.input.word == \"{word}\")"),
            Self::Overflow => "(context.input has n && context.input.n * 9223372036854775807 > 5)".into(),
            Self::Text => "context.input_json like \"*blue*\"".into(),
            Self::InTeam(team) => format!("principal in Toolctl::Group::\"{team}\""),
            Self::And(a, b) => format!("({} && {})", a.text(), b.text()),
            Self::Or(a, b) => format!("({} || {})", a.text(), b.text()),
            Self::Not(a) => format!("!({})", a.text()),
        }
    }

    fn mentions_attended(&self) -> bool {
        match self {
            Self::Attended => true,
            Self::And(a, b) | Self::Or(a, b) => a.mentions_attended() || b.mentions_attended(),
            Self::Not(a) => a.mentions_attended(),
            _ => false,
        }
    }

    /// The oracle's reading. An error is an error only where it is reached.
    pub fn holds(&self, case: &Case<'_>, attended: bool) -> Result<bool, ()> {
        let n = case.sent.get("n").and_then(Value::as_i64);
        Ok(match self {
            Self::Attended => attended,
            Self::DryRun => case.dry_run,
            Self::HighRisk => case.tool.risk == Risk::High,
            Self::Over(least) => n.is_some_and(|n| n > *least),
            Self::Word(word) => case.sent.get("word").and_then(Value::as_str) == Some(word),
            Self::Overflow => match n {
                None => false,
                Some(n) => n.checked_mul(i64::MAX).ok_or(())? > 5,
            },
            Self::Text => case.sent.to_string().contains("blue"),
            Self::InTeam(team) => case.who.is_in(team),
            Self::And(a, b) => a.holds(case, attended)? && b.holds(case, attended)?,
            Self::Or(a, b) => a.holds(case, attended)? || b.holds(case, attended)?,
            Self::Not(a) => !a.holds(case, attended)?,
        })
    }
}

pub fn kind_of(principal: &Principal) -> &'static str {
    match principal.kind.word() {
        "user" => "User",
        "agent" => "Agent",
        _ => "Service",
    }
}

pub fn uid(principal: &Principal) -> String {
    format!("Toolctl::{}::\"{}\"", kind_of(principal), principal.id)
}

pub fn classes(tool: &Registered) -> Vec<&str> {
    let mut classes = vec!["call", tool.name.as_str()];
    classes.push(if tool.effect == EffectClass::ReadOnly { "readonly" } else { "mutating" });
    if tool.destructive {
        classes.push("destructive");
    }
    classes.push(match tool.risk {
        Risk::Low => "low_risk",
        Risk::Medium => "medium_risk",
        Risk::High => "high_risk",
    });
    classes
}

impl Rule {
    pub fn random(dice: &mut Dice, number: usize, people: usize) -> Self {
        let permit = dice.below(5) < 3;
        let who = match dice.below(7) {
            0 | 1 => Who::Any,
            2 => Who::Is(dice.one(&KINDS)),
            3 | 4 => Who::In(dice.one(&TEAMS)),
            5 => Who::IsIn(dice.one(&KINDS), dice.one(&TEAMS)),
            _ => Who::Eq(dice.below(people)),
        };
        let act = match dice.below(5) {
            0 | 1 => Act::Any,
            2 => Act::Eq(dice.one(&TOOLS)),
            3 => Act::In(vec![dice.one(&CLASSES)]),
            _ => Act::In(vec![dice.one(&CLASSES), dice.one(&TOOLS)]),
        };
        let on = (dice.below(6) == 0).then(|| dice.one(&TOOLS));
        let when = (dice.below(2) == 0).then(|| Condition::random(dice, 2, permit));
        let mut unless = (dice.below(2) == 0).then(|| Condition::random(dice, 2, true));
        if !permit && unless.is_some() && dice.below(2) == 0 {
            unless = Some(Condition::Attended);
        }
        let asks = (!permit && unless.as_ref().is_some_and(Condition::mentions_attended))
            .then(|| (dice.one(&["approvers", "leads"]), 1 + dice.below(3) as u32));
        Self { id: format!("r{number:02}"), permit, who, act, on, when, unless, asks }
    }

    pub fn text(&self, people: &[Principal]) -> String {
        let who = match &self.who {
            Who::Any => "principal".into(),
            Who::Is(kind) => format!("principal is Toolctl::{kind}"),
            Who::In(team) => format!("principal in Toolctl::Group::\"{team}\""),
            Who::IsIn(kind, team) => format!("principal is Toolctl::{kind} in Toolctl::Group::\"{team}\""),
            Who::Eq(place) => format!("principal == {}", uid(&people[*place])),
        };
        let act = match &self.act {
            Act::Any => "action".into(),
            Act::Eq(name) => format!("action == Toolctl::Action::\"{name}\""),
            Act::In(names) => {
                let names: Vec<String> = names.iter().map(|name| format!("Toolctl::Action::\"{name}\"")).collect();
                format!("action in [{}]", names.join(", "))
            }
        };
        let on = self.on.map_or("resource".into(), |name| format!("resource == Toolctl::Tool::\"{name}\""));
        let asks = self.asks.map_or(String::new(), |(group, quorum)| {
            format!("@approval_group(\"{group}\") @approval_quorum(\"{quorum}\") ")
        });
        let effect = if self.permit { "permit" } else { "forbid" };
        let when = self.when.as_ref().map_or(String::new(), |c| format!(" when {{ {} }}", c.text()));
        let unless = self.unless.as_ref().map_or(String::new(), |c| format!(" unless {{ {} }}", c.text()));
        format!("@id(\"{}\") {asks}{effect} ({who}, {act}, {on}){when}{unless};\n", self.id)
    }

    pub fn holds(&self, case: &Case<'_>, attended: bool) -> Result<bool, ()> {
        let who = match &self.who {
            Who::Any => true,
            Who::Is(kind) => kind_of(case.who) == *kind,
            Who::In(team) => case.who.is_in(team),
            Who::IsIn(kind, team) => kind_of(case.who) == *kind && case.who.is_in(team),
            Who::Eq(place) => case.people[*place].id == case.who.id,
        };
        let act = match &self.act {
            Act::Any => true,
            Act::Eq(name) => case.tool.name.as_str() == *name,
            Act::In(names) => names.iter().any(|name| classes(case.tool).contains(name)),
        };
        let on = self.on.is_none_or(|name| case.tool.name.as_str() == name);
        if !(who && act && on) {
            return Ok(false);
        }
        if !self.when.as_ref().map_or(Ok(true), |when| when.holds(case, attended))? {
            return Ok(false);
        }
        self.unless.as_ref().map_or(Ok(true), |unless| unless.holds(case, attended).map(|holds| !holds))
    }
}
