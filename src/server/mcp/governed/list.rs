//! `tools/list`: what policy lets this caller call, in the words of its revision.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

use crate::api::mcp::{Fault, Version};
use crate::domain::denial::Denial;
use crate::domain::digest::Digest;
use crate::domain::id::PrincipalId;
use crate::domain::principal::Principal;
use crate::domain::tool::Registered;
use crate::pipeline::ToolView;
use crate::pipeline::rulebook::Rulebook;

use super::super::exchange::Exchange;
use super::super::message::Request;
use super::super::service::{Body, MirroredParameter};
use super::definition::Definition;
use super::own::Own;
use super::{Governed, fault};

/// Tools on a page: nearly everybody gets all at once.
const PAGE: usize = 500;
/// For how long a list may be kept, in milliseconds.
const TTL_MS: u64 = 60_000;
/// The label of cursors under our seal.
const CURSOR: &str = "tools/list";

impl Governed {
    /// Answers `tools/list`.
    pub(super) async fn list(&self, request: &Request, exchange: &Exchange) -> Result<Body, Fault> {
        let after = self.cursor(request)?;
        let principal = self.pipeline.whoami(exchange.presented.clone()).await.result.map_err(|no| fault(&no))?;
        let texts = self.listing.of(&self.pipeline.rules());
        let views = texts.views(&principal, || self.pipeline.visible_tools(&exchange.presented));
        let views = views.map_err(|no| fault(&no))?;
        let own = Own::offered(&principal, &views, &texts.rules);
        let governed = views.iter().map(|view| (view.tool.name.as_str(), Item::Governed(view)));
        let items: BTreeMap<&str, Item<'_>> =
            governed.chain(own.iter().map(|own| (own.name(), Item::Own(*own)))).collect();
        let mut rest = items.iter().filter(|(name, _)| after.as_deref().is_none_or(|after| **name > after));
        let page: Vec<_> = rest.by_ref().take(PAGE).collect();
        let last = page.last().filter(|_| rest.next().is_some());
        let next = last.map(|(last, _)| format!(r#","nextCursor":"{}""#, self.seal.close(CURSOR, last)));
        let page: Vec<String> = page
            .iter()
            .map(|(_, item)| match item {
                Item::Governed(view) => texts.tool(view, exchange.version),
                Item::Own(own) => own.text(exchange.version),
            })
            .collect();
        let members = format!(r#""tools":[{}]{}"#, page.join(","), next.unwrap_or_default());
        Ok(Body::written(members).ttl_ms(TTL_MS))
    }

    /// The name after which the page starts; none for the first.
    fn cursor(&self, request: &Request) -> Result<Option<String>, Fault> {
        #[derive(Deserialize)]
        struct Params {
            cursor: Option<String>,
        }
        let Params { cursor } = request.params.read()?;
        match cursor.as_deref() {
            None | Some("") => Ok(None),
            Some(cursor) => {
                let after = self.seal.open(CURSOR, cursor);
                after.map(Some).ok_or_else(|| Fault::invalid_params("`cursor` is not one that this server gave"))
            }
        }
    }
}

/// A tool on the list.
enum Item<'a> {
    Governed(&'a ToolView),
    Own(Own),
}

/// The written definitions of the tools in force: what does not depend on the caller, written once.
#[derive(Default)]
pub struct Listing(Mutex<Option<Arc<Texts>>>);

impl Listing {
    /// The definitions of the tools in `rules`.
    pub(super) fn of(&self, rules: &Arc<Rulebook>) -> Arc<Texts> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(texts) = known.as_ref().filter(|texts| Arc::ptr_eq(&texts.rules, rules)) {
            return Arc::clone(texts);
        }
        let written = rules.catalog.iter().map(|tool| (tool.digest, Definition::of(tool))).collect();
        let texts = Arc::new(Texts { rules: Arc::clone(rules), written, callers: Mutex::default() });
        *known = Some(Arc::clone(&texts));
        texts
    }
}

/// See [`Listing`].
pub(super) struct Texts {
    rules: Arc<Rulebook>,
    /// By the digest of the tool, which covers all that is written.
    written: HashMap<Digest, Definition>,
    /// What callers see: nothing but the rules and the caller decide it.
    callers: Mutex<HashMap<PrincipalId, Known>>,
}

/// A caller and what it sees.
type Known = (Principal, Arc<Vec<ToolView>>);

/// The most callers remembered; then all are forgotten.
const MOST_CALLERS: usize = 64;

impl Texts {
    /// What a caller sees, from memory when this very caller was here before.
    fn views(
        &self,
        principal: &Principal,
        look: impl FnOnce() -> Result<Vec<ToolView>, Denial>,
    ) -> Result<Arc<Vec<ToolView>>, Denial> {
        let known = self.callers.lock().unwrap_or_else(PoisonError::into_inner).get(&principal.id).cloned();
        if let Some((_, views)) = known.filter(|(who, _)| who == principal) {
            return Ok(views);
        }
        let views = Arc::new(look()?);
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= MOST_CALLERS {
            callers.clear();
        }
        callers.insert(principal.id.clone(), (principal.clone(), Arc::clone(&views)));
        Ok(views)
    }

    /// The arguments of a tool that modern callers mirror in headers.
    pub(super) fn mirrored(&self, tool: &Registered) -> Vec<MirroredParameter> {
        self.written.get(&tool.digest).map(|definition| definition.mirrored().to_vec()).unwrap_or_default()
    }

    fn tool(&self, view: &ToolView, version: Version) -> String {
        match self.written.get(&view.tool.digest) {
            Some(definition) => definition.text(view, version),
            // The rules were replaced between the two looks.
            None => Definition::of(&view.tool).text(view, version),
        }
    }
}
