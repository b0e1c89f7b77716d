//! Everything an operator declares and a reload may replace, as one value: tools, their schemas, policies
//! and the allowlist. A call sees one rulebook from its first guard to its permit.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::id::ToolName;
use crate::domain::principal::Principal;
use crate::domain::tool::upstream::Quarantine;
use crate::domain::tool::{Catalog, Registered};
use crate::guard::policy::{Allowlist, PolicySet};
use crate::guard::quota::Quotas;
use crate::guard::schema::Schemas;

use super::Settings;

/// The rules in force.
#[derive(Debug)]
pub struct Rulebook {
    /// The tools.
    pub catalog: Catalog,
    /// Tools of servers that are not in it, and why.
    pub quarantined: BTreeMap<ToolName, Quarantine>,
    /// Their compiled schemas.
    pub schemas: Schemas,
    /// The policies.
    pub policies: PolicySet,
    /// `ALLOWED_TOOLS`, on top of policy.
    pub allowlist: Allowlist,
    /// How fast each principal may be.
    pub quotas: Arc<Quotas>,
    /// Deadlines, retention, limits that spare people.
    pub settings: Settings,
}

impl Rulebook {
    /// Is there such a tool? What the caller's credential does not cover does not exist for it.
    ///
    /// # Errors
    /// [`Code::ToolNotFound`] with the nearest name, or [`Code::PolicyDenied`] for a tool that the allowlist
    /// leaves out.
    pub fn find(&self, name: &str, principal: &Principal) -> Result<Arc<Registered>, Denial> {
        let Some(tool) = self.catalog.get(name).filter(|tool| principal.scope.covers(tool)) else {
            return Err(self.unknown(name, principal));
        };
        if !self.allowlist.permits(&tool.name) {
            return Err(Denial::new(
                Stage::Policy,
                Code::PolicyDenied,
                format!("`{}` is not in the allowlist of this daemon", tool.name),
            )
            .hint("whoever runs the daemon can add it to ALLOWED_TOOLS")
            .rules(vec!["ALLOWED_TOOLS".to_owned()]));
        }
        Ok(Arc::clone(tool))
    }

    fn unknown(&self, name: &str, principal: &Principal) -> Denial {
        let shown: String = name.chars().take(80).collect();
        if let Some((name, why)) = self.quarantined.iter().find(|(known, _)| known.as_str() == name)
            && principal.scope.covers_name(name)
        {
            let (what, hint) = why.told(name.as_str());
            return Denial::new(Stage::Catalog, Code::ToolNotFound, what).hint(hint);
        }
        let denial = Denial::new(Stage::Catalog, Code::ToolNotFound, format!("there is no tool `{shown}`"));
        let visible = self
            .catalog
            .iter()
            .filter(|tool| principal.scope.covers(tool) && self.allowlist.permits(&tool.name))
            .map(|tool| tool.name.as_str());
        match nearest(&shown, visible) {
            Some(close) => denial.hint(format!("did you mean `{close}`? `toolctl tools list` shows them all")),
            None => denial.hint("`toolctl tools list` shows the tools you may use"),
        }
    }
}

/// The candidate most like `text`, if one is much like it.
pub fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(text, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
