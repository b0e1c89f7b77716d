//! What a read-only tool of the operator's is asked about somebody's call: its probe, whether it happened, and its
//! preview, what it would do. The operator declared both with the tool, so they are nobody's calls: they need no
//! policy, and what they say is told by the record of the call that they are about.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::domain::call::{Call, CallState};
use crate::domain::denial::Denial;
use crate::domain::outcome::Outcome;
use crate::domain::preview::{LONGEST, Preview};
use crate::domain::tool::{EffectClass, Registered};
use crate::guard::schema::misfit;

use super::Pipeline;
use super::cleared::Cleared;
use super::port::Draw;

impl Pipeline {
    /// Asks `helper`, which only reads, about `call`; gives what it answered.
    pub(super) async fn ask(&self, call: &Call, helper: &Arc<Registered>) -> Result<Outcome, Denial> {
        let arguments = self.rules().schemas.check(helper, &question(call, &helper.input_schema))?;
        let executor = self.ports.executors.of(helper.kind());
        executor.fits(helper, arguments.value()).await.map_err(|no| misfit(helper, no))?;
        let Draw { id, salt, .. } = self.ports.chance.draw(self.ports.clock.now());
        let asked = Call {
            id,
            salt,
            tool: helper.name.clone(),
            tool_digest: helper.digest,
            effect: EffectClass::ReadOnly,
            arguments: arguments.effective().clone(),
            effective: arguments.effective_digest(),
            fingerprint: arguments.fingerprint(),
            approval: None,
            attempts: 0,
            state: CallState::Ready,
            ..call.clone()
        };
        let cleared = Cleared::read_only(asked, helper)?;
        let outcome = self.run(&cleared).await.ending.of_read();
        self.ports.executors.settled(id);
        Ok(outcome)
    }

    /// What the preview of the call's tool says now; none when it has none.
    pub(super) async fn preview(&self, call: &Call) -> Option<Preview> {
        let rules = self.rules();
        let tool = rules.catalog.get(call.tool.as_str()).filter(|tool| tool.digest == call.tool_digest)?;
        let name = tool.extras.preview.clone()?;
        let said = match rules.catalog.get(name.as_str()) {
            Some(helper) => self.ask(call, helper).await.map_err(|denial| denial.detail).and_then(answer),
            None => Err(format!("there is no tool `{name}`")),
        };
        Some(Preview { tool: name, said, binding: !tool.extras.preview_varies })
    }

    /// Whether the preview still says what people agreed to, where it must; and what the record says of it.
    ///
    /// # Errors
    /// What changed.
    pub(super) async fn preview_holds(&self, call: &Call) -> Result<Vec<(&'static str, String)>, String> {
        let seen = call.approval.as_ref().and_then(|approval| approval.preview.as_ref());
        let Some(seen) = seen.filter(|seen| seen.binding && seen.said.is_ok()) else { return Ok(Vec::new()) };
        let now = self.preview(call).await.ok_or("the preview that people saw is gone")?;
        match &now.said {
            Ok(_) if now.said == seen.said => Ok(vec![seen.fact(&call.salt)]),
            Ok(_) => Err(format!("what it would do has changed, as `{}` says", now.tool)),
            Err(why) => Err(format!("its preview `{}` gives nothing any more: {why}", now.tool)),
        }
    }
}

/// What a preview answered, if people can be shown it.
fn answer(outcome: Outcome) -> Result<crate::domain::json::Canonical, String> {
    match outcome {
        Outcome::Succeeded { output } if output.as_str().len() > LONGEST => {
            Err(format!("it has {} bytes; at most {LONGEST} are shown", output.as_str().len()))
        }
        Outcome::Succeeded { output } => Ok(output),
        Outcome::Failed { message, .. } => Err(message),
        Outcome::Rejected { .. }
        | Outcome::Expired
        | Outcome::Cancelled { .. }
        | Outcome::Stale { .. }
        | Outcome::Settled { .. } => Err("it gave nothing".to_owned()),
    }
}

/// Of the call's arguments, its id and its start, those that the tool which is asked has arguments for.
fn question(call: &Call, schema: &Value) -> Value {
    let Value::Object(mut known) = call.arguments.value() else { return Value::Object(Map::new()) };
    known.insert("call_id".to_owned(), Value::String(call.id.to_string()));
    known.insert("started_at".to_owned(), Value::String(call.created_at.to_string()));
    let asks = schema.get("properties").and_then(Value::as_object);
    known.retain(|name, _| asks.is_some_and(|asks| asks.contains_key(name)));
    Value::Object(known)
}
