//! Everything an operator declares, from the config folder to one [`Rulebook`]. Whatever is wrong is told
//! with its place, and nothing is put into force unless nothing is wrong.

use std::path::Path;
use std::sync::Arc;

use crate::config::manifest;
use crate::domain::tool::Catalog;
use crate::guard::policy::{Allowlist, PolicySet, PolicySource};
use crate::guard::quota::Quotas;
use crate::guard::schema::Schemas;
use crate::pipeline::rulebook::Rulebook;
use crate::tool::desk;

use super::{CannotStart, Plan};

/// Loads tools, policies and limits; `before` is what is in force now. Without a `policies` folder, or with an empty one, the shipped policy counts.
///
/// # Errors
/// Everything that is wrong with the policies, or a file that cannot be read.
pub fn load(plan: &Plan, before: Option<&Rulebook>) -> Result<Rulebook, CannotStart> {
    let mut tools = desk::tools();
    let own = manifest::read_folder(&plan.tools).map_err(|(path, error)| CannotStart::file(&path, error))?;
    let own = manifest::load(&own)?;
    for warning in &own.warnings {
        tracing::warn!("{}: {warning}", warning.place());
    }
    tools.extend(own.tools.into_iter().filter(|manifest| manifest.enabled).map(|manifest| manifest.tool));
    let catalog = Catalog::new(tools).map_err(|error| CannotStart::Tools(error.to_string()))?;
    let schemas = Schemas::compile(&catalog).map_err(|error| CannotStart::Tools(error.to_string()))?;
    let policies = PolicySet::load(&sources(&plan.config)?, &catalog).map_err(CannotStart::Policies)?;
    let quotas = match before {
        // What callers have used up stays used up, unless the limit itself is another.
        Some(before) if before.quotas.settings() == plan.quota => Arc::clone(&before.quotas),
        _ => Arc::new(Quotas::new(plan.quota)),
    };
    let allowlist = Allowlist(plan.allowed_tools.clone());
    Ok(Rulebook { catalog, schemas, policies, allowlist, quotas, settings: plan.settings })
}

fn sources(config: &Path) -> Result<Vec<PolicySource>, CannotStart> {
    let folder = config.join("policies");
    let listing = match std::fs::read_dir(&folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![PolicySource::shipped()]),
        Err(source) => return Err(CannotStart::file(&folder, source)),
    };
    let mut found = Vec::new();
    for entry in listing {
        let path = entry.map_err(|source| CannotStart::file(&folder, source))?.path();
        if path.extension().is_some_and(|extension| extension == "cedar") {
            let text = std::fs::read_to_string(&path).map_err(|source| CannotStart::file(&path, source))?;
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            found.push(PolicySource { name, text });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(if found.is_empty() { vec![PolicySource::shipped()] } else { found })
}
