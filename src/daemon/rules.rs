//! Everything an operator declares, from the config folder to one [`Rulebook`]. Whatever is wrong is told
//! with its place, and nothing is put into force unless nothing is wrong.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::manifest;
use crate::domain::id::{ServerName, ToolName};
use crate::domain::tool::upstream::{Quarantine, Upstream};
use crate::domain::tool::{Catalog, Registered, Tool};
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
    own: Vec<Arc<Registered>>,
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
    let (catalog, quarantined, policies) = publish(&declared, before, pins, &sources(&plan.config)?)?;
    let schemas = Schemas::of(&catalog, before.map(|before| &before.schemas));
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
    let (catalog, quarantined, policies) = publish(declared, Some(before), pins, before.policies.files())?;
    let schemas = Schemas::of(&catalog, Some(&before.schemas));
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
/// What is in force as it is can be.
fn usable(tool: &Tool, before: Option<&Rulebook>) -> Result<(), String> {
    let tool = Arc::new(Registered::new(tool.clone()));
    let known = before.and_then(|before| before.catalog.get(tool.name.as_str()));
    if known.is_some_and(|known| known.digest == tool.digest) {
        return Ok(());
    }
    let catalog = Catalog::of([Arc::clone(&tool)]).map_err(|error| error.to_string())?;
    Schemas::compile(&catalog).map_err(|error| error.to_string())?;
    PolicySet::can_speak_of(&tool)
}

fn declared(plan: &Plan) -> Result<Declared, CannotStart> {
    let own = manifest::read_folder(&plan.tools).map_err(|(path, error)| CannotStart::file(&path, error))?;
    let own = manifest::load(&own)?;
    for warning in &own.warnings {
        tracing::warn!("{}: {warning}", warning.place());
    }
    let tools = own.tools.into_iter().filter(|manifest| manifest.enabled).map(|manifest| manifest.tool);
    let tools = desk::tools().into_iter().chain(tools).map(|tool| Arc::new(Registered::new(tool))).collect();
    let servers = own.upstreams.into_iter().filter(|manifest| manifest.enabled && plan.servers);
    let mut upstreams: Vec<Upstream> = servers.map(|manifest| manifest.upstream).collect();
    upstreams.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Declared { own: tools, upstreams })
}

/// The catalog, what is kept out of it, and the policies over both: a rule may name a tool that is quarantined.
fn publish(
    declared: &Declared,
    before: Option<&Rulebook>,
    pins: impl Fn(&ServerName) -> Known,
    policies: &[PolicySource],
) -> Result<(Catalog, BTreeMap<ToolName, Quarantine>, PolicySet), CannotStart> {
    let (mut callable, mut known) = (declared.own.clone(), declared.own.clone());
    let mut quarantined = BTreeMap::new();
    for upstream in &declared.upstreams {
        let pins = pins(&upstream.name).map_err(|(path, error)| CannotStart::file(&path, error))?;
        for listed in pins.listed(upstream, |tool| usable(tool, before)) {
            let tool = listed.tool.map(|tool| Arc::new(Registered::new(tool)));
            known.extend(tool.clone());
            match (listed.quarantine, tool) {
                (None, tool) => callable.extend(tool),
                (Some(why), _) => quarantined.extend(upstream.name_of(&listed.remote).ok().map(|name| (name, why))),
            }
        }
    }
    let catalog = |tools: Vec<_>| Catalog::of(tools).map_err(|error| CannotStart::Tools(error.to_string()));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Inputs;
    use super::*;
    use crate::config::Flags;
    use crate::config::paths::Paths;

    const RULES: &str = r#"
        @id("reads") permit (principal, action in Toolctl::Action::"readonly", resource);
        @id("acts") permit (principal, action in Toolctl::Action::"mutating", resource)
          when { context.input has amount && context.input.amount < 100 };
        @id("asks") @approval_group("approvers")
          forbid (principal, action in Toolctl::Action::"destructive", resource)
          unless { context.session.attended };
        @id("one") forbid (principal, action == Toolctl::Action::"tool_7", resource) when { context.input has own_7 && context.input.own_7 == "x" };
    "#;

    /// A config folder with this many tools, each with arguments and a file of its own.
    fn folder(tools: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let (files, policies) = (folder.path().join("tools"), folder.path().join("policies"));
        std::fs::create_dir_all(&files).and_then(|()| std::fs::create_dir_all(&policies)).expect("folders");
        std::fs::write(policies.join("main.cedar"), RULES).expect("written");
        for at in 0..tools {
            let effect = if at % 2 == 0 { "readonly" } else { "once" };
            let text = format!(
                "[tool]\nname = \"tool_{at}\"\ndescription = \"Number {at}.\"\neffect = \"{effect}\"\n[tool.arguments]\n\
                 own_{at} = {{ type = \"string\" }}\namount = {{ type = \"integer\" }}\n[tool.http]\n\
                 url = \"https://api.example.com/{at}\"\nmethod = \"POST\"\njson = \"arguments\"\n"
            );
            std::fs::write(files.join(format!("{at}.toml")), text).expect("written");
        }
        folder
    }

    fn loaded(folder: &Path, before: Option<&Rulebook>) -> Rulebook {
        let state = folder.join("state");
        let paths =
            Paths { socket: Paths::socket_in(&state), state, config: folder.to_owned(), cache: folder.join("cache") };
        let (flags, environment) = (Flags::default(), BTreeMap::new());
        let inputs = Inputs { flags, environment, config_file: None, env_file: None, paths };
        let plan = Plan::load(&inputs).expect("a plan");
        load(&plan, before, |_| Ok(Pins::default())).expect("rules").1
    }

    /// What this thread has worked, where the system says so; else the time that has passed.
    fn worked(since: std::time::Instant) -> Duration {
        let spent = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let spent = spent.and_then(|text| text.split(' ').next()?.parse().ok());
        spent.map_or_else(|| since.elapsed(), Duration::from_nanos)
    }

    #[test]
    fn the_work_grows_with_the_number_of_tools_and_not_with_its_square() {
        let (few, many) = (folder(150), folder(750));
        let begun = std::time::Instant::now();
        let cost = |folder: &Path, tools: usize| {
            let before = worked(begun);
            assert_eq!(loaded(folder, None).catalog.len(), tools + desk::tools().len());
            worked(begun) - before
        };
        let few = (0..2).map(|_| cost(few.path(), 150)).min().expect("two");
        let many = cost(many.path(), 750);
        assert!(many < few * 10, "five times the tools cost {many:?} and not about five times {few:?}");
    }

    #[test]
    fn what_has_not_changed_is_not_compiled_again() {
        let folder = folder(20);
        let first = loaded(folder.path(), None);
        assert_eq!(first.schemas.in_use(), 0, "nothing was called yet");
        let sent = serde_json::json!({"amount": 1});
        for name in ["tool_1", "tool_2"] {
            first.schemas.check(first.catalog.get(name).expect("there"), &sent).expect("fits");
        }
        let place = folder.path().join("tools/2.toml");
        let text = std::fs::read_to_string(&place).expect("there");
        std::fs::write(&place, text.replace("Number", "The number")).expect("written");
        let again = loaded(folder.path(), Some(&first));
        assert_eq!((first.schemas.in_use(), again.schemas.in_use()), (2, 1));
    }
}
