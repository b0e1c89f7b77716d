//! Everything an operator declares, from the config folder to one [`Rulebook`]. Whatever is wrong is told
//! with its place, and nothing is put into force unless nothing is wrong.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::manifest;
use crate::domain::id::{ServerName, ToolName};
use crate::domain::tool::upstream::{Quarantine, Upstream};
use crate::domain::tool::{Catalog, Tool};
use crate::guard::policy::{Allowlist, PolicySet, PolicySource};
use crate::guard::quota::Quotas;
use crate::guard::schema::Schemas;
use crate::pipeline::rulebook::Rulebook;
use crate::tool::desk;
use crate::tool::upstream::pins::Pins;

use super::{CannotStart, Plan};

/// What people agreed to, of a server.
type Known = Result<Pins, (PathBuf, io::Error)>;

/// What the files of tools declare.
#[derive(Debug, Default)]
pub struct Declared {
    /// Tools that are known as they are.
    own: Vec<Tool>,
    /// Servers, whose tools are what somebody agreed to.
    pub upstreams: Vec<Upstream>,
}

/// Loads tools, policies and limits; `before` is what is in force now, and `pins` what people agreed to of servers.
/// Without a `policies` folder, or with an empty one, the shipped policy counts.
///
/// # Errors
/// Everything that is wrong with the policies, or a file that cannot be read.
pub fn load(
    plan: &Plan,
    before: Option<&Rulebook>,
    pins: impl Fn(&ServerName) -> Known,
) -> Result<(Declared, Rulebook), CannotStart> {
    let declared = declared(plan)?;
    let (catalog, quarantined, policies) = publish(&declared, pins, &sources(&plan.config)?)?;
    let schemas = Schemas::compile(&catalog).map_err(|error| CannotStart::Tools(error.to_string()))?;
    let quotas = match before {
        // What callers have used up stays used up, unless the limit itself is another.
        Some(before) if before.quotas.settings() == plan.quota => Arc::clone(&before.quotas),
        _ => Arc::new(Quotas::new(plan.quota)),
    };
    let allowlist = Allowlist(plan.allowed_tools.clone());
    let rules = Rulebook { catalog, quarantined, schemas, policies, allowlist, quotas, settings: plan.settings };
    Ok((declared, rules))
}

/// The rules of `before` with what is known of the servers now: no file of the operator's is read.
///
/// # Errors
/// When the policies do not fit the tools any more.
pub fn again(
    before: &Rulebook,
    declared: &Declared,
    pins: impl Fn(&ServerName) -> Known,
) -> Result<Rulebook, CannotStart> {
    let (catalog, quarantined, policies) = publish(declared, pins, before.policies.files())?;
    let schemas = Schemas::compile(&catalog).map_err(|error| CannotStart::Tools(error.to_string()))?;
    Ok(Rulebook {
        catalog,
        quarantined,
        schemas,
        policies,
        allowlist: before.allowlist.clone(),
        quotas: Arc::clone(&before.quotas),
        settings: before.settings,
    })
}

/// Whether a tool that a server defines can be published: nothing that a server says may keep the rules from loading.
fn usable(tool: &Tool) -> Result<(), String> {
    let catalog = Catalog::new([tool.clone()]).map_err(|error| error.to_string())?;
    Schemas::compile(&catalog).map_err(|error| error.to_string())?;
    PolicySet::load(&[], &catalog).map(drop).map_err(|problems| problems.to_string())
}

fn declared(plan: &Plan) -> Result<Declared, CannotStart> {
    let own = manifest::read_folder(&plan.tools).map_err(|(path, error)| CannotStart::file(&path, error))?;
    let own = manifest::load(&own)?;
    for warning in &own.warnings {
        tracing::warn!("{}: {warning}", warning.place());
    }
    let mut tools = desk::tools();
    tools.extend(own.tools.into_iter().filter(|manifest| manifest.enabled).map(|manifest| manifest.tool));
    let servers = own.upstreams.into_iter().filter(|manifest| manifest.enabled && plan.servers);
    let mut upstreams: Vec<Upstream> = servers.map(|manifest| manifest.upstream).collect();
    upstreams.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Declared { own: tools, upstreams })
}

/// The catalog, what is kept out of it, and the policies over both: a rule may name a tool that is quarantined.
fn publish(
    declared: &Declared,
    pins: impl Fn(&ServerName) -> Known,
    policies: &[PolicySource],
) -> Result<(Catalog, BTreeMap<ToolName, Quarantine>, PolicySet), CannotStart> {
    let (mut callable, mut known) = (declared.own.clone(), declared.own.clone());
    let mut quarantined = BTreeMap::new();
    for upstream in &declared.upstreams {
        let pins = pins(&upstream.name).map_err(|(path, error)| CannotStart::file(&path, error))?;
        for listed in pins.listed(upstream, usable) {
            known.extend(listed.tool.clone());
            match (listed.quarantine, listed.tool) {
                (None, tool) => callable.extend(tool),
                (Some(why), _) => quarantined.extend(upstream.name_of(&listed.remote).ok().map(|name| (name, why))),
            }
        }
    }
    let catalog = |tools: Vec<Tool>| Catalog::new(tools).map_err(|error| CannotStart::Tools(error.to_string()));
    let policies = PolicySet::load(policies, &catalog(known)?).map_err(CannotStart::Policies)?;
    Ok((catalog(callable)?, quarantined, policies))
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
