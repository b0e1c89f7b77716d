//! Servers of others under a running daemon: the rules follow what they list, and people agree to that.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::control::Reins;
use super::rules;
use crate::api::upstreams::{Pinned, State, Treated, Upstream as Shown, UpstreamTool};
use crate::domain::audit::{AuditRecord, RecordType};
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::digest::Digest;
use crate::domain::id::{ServerName, ToolName};
use crate::domain::principal::Principal;
use crate::domain::tool::Tool;
use crate::domain::tool::upstream::{Quarantine, Upstream};
use crate::pipeline::port::{Clock as _, Ledger as _};
use crate::tool::upstream::Health;
use crate::tool::upstream::pins::{Listed, NotCurrent};

impl Reins {
    /// Has the rules follow what servers list, for as long as anything can change.
    pub async fn follow(self: Arc<Self>, mut changes: watch::Receiver<u64>) {
        while changes.changed().await.is_ok() {
            if let Err(why) = self.refresh().await {
                // The executor holds each call against the list all the same.
                tracing::error!("the rules cannot follow what a server lists: {why}");
            }
        }
    }

    /// Builds the rules again from what is known of the servers; nothing is read but their pins.
    async fn refresh(&self) -> Result<(), String> {
        let _one_at_a_time = self.reloading.lock().await;
        let Some(path) = self.path() else { return Ok(()) };
        let (before, declared) = (path.rules(), self.declared());
        let pins = |server: &ServerName| self.upstreams.pins().of(server);
        let fresh = rules::again(&before, &declared, pins).map_err(|cannot| cannot.to_string())?;
        if fresh.catalog.digest() == before.catalog.digest() && fresh.quarantined == before.quarantined {
            return Ok(());
        }
        let definitions = super::definitions(&fresh);
        self.store.register_tools(definitions, self.clock.now()).await.map_err(|why| why.to_string())?;
        path.replace_rules(fresh);
        Ok(())
    }

    /// Every server, how it is and what it lists.
    pub(super) fn shown(&self) -> Vec<Shown> {
        self.declared().upstreams.iter().map(|upstream| self.show(upstream)).collect()
    }

    fn show(&self, upstream: &Upstream) -> Shown {
        let health = self.upstreams.health(&upstream.name);
        let (state, mut problem, server, protocol) = match health {
            None | Some(Health::Starting) => (State::Starting, None, None, None),
            Some(Health::Up { version, server }) => (State::Up, None, Some(server), Some(version.to_owned())),
            Some(Health::Down { why }) => (State::Down, Some(why), None, None),
        };
        let mut tools = Vec::new();
        match self.upstreams.pins().of(&upstream.name) {
            Ok(pins) => {
                let missing = upstream.declared.keys().filter(|tool| !pins.0.contains_key(*tool));
                let missing: Vec<String> = missing.map(|tool| format!("`{tool}`")).collect();
                if state == State::Up && !missing.is_empty() {
                    problem = Some(format!("its file declares {}, which it does not list", missing.join(", ")));
                }
                // What cannot be used was found out when the rules were made.
                let rules = self.path().map(|path| path.rules());
                let usable = |tool: &Tool| match rules.as_ref().and_then(|rules| rules.quarantined.get(&tool.name)) {
                    Some(Quarantine::Unusable(why)) => Err(why.clone()),
                    Some(Quarantine::New | Quarantine::Changed | Quarantine::Gone) | None => Ok(()),
                };
                tools.extend(pins.listed(upstream, usable).into_iter().map(|listed| tool(upstream, listed)));
            }
            Err((path, error)) => problem = Some(format!("`{}` cannot be used: {error}", path.display())),
        }
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        let (name, place) = (upstream.name.to_string(), upstream.reach.place());
        Shown { name, place, state, problem, server, protocol, tools }
    }

    /// Agrees to definitions: first the record of it, then the pins, then the rules. What the rules would not take is
    /// not agreed to.
    pub(super) async fn agree(
        &self,
        by: &Principal,
        server: &str,
        digests: Vec<Digest>,
    ) -> Result<Vec<ToolName>, Denial> {
        let _one_at_a_time = self.reloading.lock().await;
        let declared = self.declared();
        let upstream = declared.upstreams.iter().find(|upstream| upstream.name.as_str() == server);
        let (Some(upstream), Some(path)) = (upstream, self.path()) else { return Err(no_server(server, &declared)) };
        let now = self.clock.now();
        let pins = self.upstreams.pins().of(&upstream.name).map_err(|why| unusable(&why))?;
        let agreed = pins.agree(upstream, &digests, &by.id, now).map_err(|why| not_current(server, Some(why)))?;
        if agreed.tools.is_empty() {
            return Ok(Vec::new());
        }
        let proposed = |name: &ServerName| {
            if *name == upstream.name { Ok(agreed.pins.clone()) } else { self.upstreams.pins().of(name) }
        };
        let fresh = rules::again(&path.rules(), &declared, proposed).map_err(|cannot| {
            let detail = format!("nothing was agreed to, as the rules would not load: {cannot}");
            Denial::new(Stage::Policy, Code::RequestMalformed, detail).hint(cannot.hint())
        })?;
        let records = agreed.tools.iter().map(|(tool, before, digest)| {
            let kind = if before.is_some() { RecordType::ToolChanged } else { RecordType::ToolRegistered };
            let record = AuditRecord::new(kind, now).detail("server", server).detail("definition", digest.to_string());
            let mut record = match before {
                Some(before) => record.detail("before", before.to_string()),
                None => record,
            };
            record = record.detail("trusted", "true");
            record.tool = Some(tool.clone());
            record.actor = Some(by.id.clone());
            record.credential = Some(by.credential.to_string());
            record
        });
        self.store.record(records.collect()).await.map_err(|why| unavailable(&why))?;
        if !self.upstreams.pins().put(&upstream.name, &agreed).map_err(|why| unusable(&why))? {
            return Err(not_current(server, None));
        }
        let definitions = super::definitions(&fresh);
        self.store.register_tools(definitions, now).await.map_err(|why| unavailable(&why))?;
        path.replace_rules(fresh);
        Ok(agreed.tools.into_iter().map(|(tool, ..)| tool).collect())
    }
}

fn tool(upstream: &Upstream, listed: Listed) -> UpstreamTool {
    let (state, problem) = match listed.quarantine {
        None => (Pinned::Trusted, None),
        Some(Quarantine::New) => (Pinned::New, None),
        Some(Quarantine::Changed) => (Pinned::Changed, None),
        Some(Quarantine::Gone) => (Pinned::Gone, None),
        Some(Quarantine::Unusable(why)) => (Pinned::Unusable, Some(why)),
    };
    let (trusted, seen) = (listed.pin.trusted, listed.pin.seen);
    UpstreamTool {
        name: format!("{}.{}", upstream.name, listed.remote),
        state,
        problem,
        digest: seen.as_ref().map(|seen| seen.digest.to_string()),
        seen: seen.map(|seen| seen.text.value()),
        treated: listed.tool.as_ref().map(|tool| Treated {
            effect: tool.effect,
            destructive: tool.destructive,
            open_world: tool.open_world,
            risk: tool.risk,
        }),
        trusted_by: trusted.as_ref().map(|trusted| trusted.by.to_string()),
        trusted_at: trusted.as_ref().map(|trusted| trusted.at.to_string()),
        trusted: trusted.map(|trusted| trusted.definition.text.value()),
    }
}

fn no_server(server: &str, declared: &rules::Declared) -> Denial {
    let shown: String = server.chars().take(80).collect();
    let denial = Denial::new(Stage::Catalog, Code::NotFound, format!("there is no server `{shown}`"));
    let names = declared.upstreams.iter().map(|upstream| upstream.name.as_str());
    match crate::pipeline::rulebook::nearest(&shown, names) {
        Some(near) => denial.hint(format!("did you mean `{near}`?")),
        None => denial.hint("servers are declared with [[upstream]] in a file of tools"),
    }
}

fn not_current(server: &str, digest: Option<NotCurrent>) -> Denial {
    let what = digest.map_or_else(|| "something of it".to_owned(), |NotCurrent(digest)| format!("`{digest}`"));
    let detail = format!("{what} is not what `{server}` lists now: nothing was agreed to");
    Denial::new(Stage::Approval, Code::ApprovalStale, detail)
        .hint(format!("look again and agree anew: toolctl tools trust {server}"))
}

fn unusable((path, error): &(PathBuf, io::Error)) -> Denial {
    Denial::new(Stage::Store, Code::Internal, "what people agreed to cannot be read or written")
        .hint("whoever runs the daemon should look at its log and its disk")
        .log(format!("{}: {error}", path.display()))
}

fn unavailable(why: &crate::pipeline::port::Unavailable) -> Denial {
    Denial::new(Stage::Store, Code::AuditUnavailable, "no record can be written, so nothing was agreed to")
        .hint("whoever runs the daemon should look at its log and its disk")
        .log(why.why.clone())
}
