//! `ALLOWED_TOOLS`: a list on top of policy. What it does not name is neither called nor shown.

use std::collections::BTreeSet;

use crate::domain::id::{BadId, ToolName};

/// The tools that may be used at all; none means every tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowlist(pub Option<BTreeSet<ToolName>>);

impl Allowlist {
    /// Reads names between commas; blanks around them do not count.
    ///
    /// # Errors
    /// Names the first that is no tool name.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(str::parse).collect::<Result<_, _>>().map(|names| Self(Some(names)))
    }

    /// Whether it lets `tool` through.
    pub fn permits(&self, tool: &ToolName) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(tool))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_lets_nothing_through_and_no_list_everything() {
        let tool: ToolName = "search_customer".parse().unwrap();
        assert!(Allowlist::default().permits(&tool));
        assert!(Allowlist::parse(" create_ticket , search_customer,").unwrap().permits(&tool));
        assert!(!Allowlist::parse("").unwrap().permits(&tool));
        assert!(Allowlist::parse("a b").is_err());
    }
}
