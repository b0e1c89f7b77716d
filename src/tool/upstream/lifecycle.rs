//! How a conversation begins: with servers of both eras, without knowing which one it is. `server/discover` is asked
//! first, `initialize` when that is not known or takes long, and whichever answers first counts.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::conversation::{Asked, Broken, Conversation};
use super::message::{self, Answer};
use crate::api::mcp::{Era, Version, meta, server_info};
use crate::domain::tool::upstream::Definition;

/// How long a server may take to say that it is of today before it is asked whether it is of yesterday.
const PROBE: Duration = Duration::from_secs(5);
/// The most tools of one server.
const MOST_TOOLS: usize = 2_000;
/// The most pages of its list.
const MOST_PAGES: usize = 200;
/// The longest of what a server says of itself, in characters.
const LONGEST_NAME: usize = 100;

/// What was settled with a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The revision both speak.
    pub version: Version,
    /// Its name and version, as it says.
    pub server: String,
    /// It offers tools.
    has_tools: bool,
    /// It says when its list changes, to those who ask it to.
    tells_changes: bool,
}

/// Begins a conversation.
///
/// # Errors
/// Says why no revision could be settled on.
pub async fn begin(talk: &Conversation) -> Result<Settled, String> {
    let meta = message::metadata(Version::V2026_07_28, None, None).unwrap_or_default();
    let discover = talk.ask("server/discover", &meta);
    tokio::pin!(discover);
    let mut is_open = false;
    match tokio::time::timeout(PROBE, &mut discover).await {
        Ok(Ok(answer)) => {
            if let Some(settled) = modern(&answer) {
                return Ok(settled);
            }
        }
        Ok(Err(broken)) => return Err(broken.why().to_owned()),
        Err(_) => is_open = true,
    }
    let params =
        format!(r#""protocolVersion":"{}","capabilities":{{}},"clientInfo":{}"#, Version::NEWEST_LEGACY, server_info());
    let initialize = talk.ask("initialize", &params);
    tokio::pin!(initialize);
    let mut refused = None;
    loop {
        tokio::select! {
            answer = &mut initialize, if refused.is_none() => match legacy(answer) {
                Ok(settled) => {
                    talk.tell("notifications/initialized", "").await;
                    return Ok(settled);
                }
                Err(why) if is_open => refused = Some(why),
                Err(why) => return Err(why),
            },
            answer = &mut discover, if is_open => {
                is_open = false;
                match (answer.ok().as_ref().and_then(modern), refused.take()) {
                    (Some(settled), _) => return Ok(settled),
                    (None, Some(why)) => return Err(why),
                    (None, None) => {}
                }
            }
        }
    }
}

/// What a server of today settles on; none when it is not one.
fn modern(answer: &Answer) -> Option<Settled> {
    let Answer::Result(found) = answer else { return None };
    let speaks = found.get("supportedVersions")?.as_array()?;
    let modern = Version::V2026_07_28;
    speaks.iter().any(|version| version == modern.word()).then(|| settled(modern, found))
}

fn legacy(answer: Result<Answer, Broken>) -> Result<Settled, String> {
    match answer {
        Ok(Answer::Result(found)) => {
            let said = found.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
            let known = said.parse().ok().filter(|version: &Version| version.era() == Era::Legacy);
            let known = known.ok_or_else(|| {
                let said: String = said.chars().take(40).collect();
                format!("it speaks the revision `{said}` of MCP, which toolctl does not know")
            })?;
            Ok(settled(known, &found))
        }
        Ok(Answer::Fault { code, message }) => Err(format!("it refuses to begin: {message} ({code})")),
        Ok(Answer::Unreadable(why)) => Err(format!("its first answer cannot be read: {why}")),
        Err(broken) => Err(broken.why().to_owned()),
    }
}

fn settled(version: Version, found: &Value) -> Settled {
    let info = found.get("serverInfo").or_else(|| found.get("_meta").and_then(|said| said.get(meta::SERVER_INFO)));
    let word = |name: &str| {
        let word = info.and_then(|info| info.get(name)).and_then(Value::as_str).unwrap_or_default();
        word.chars().take(LONGEST_NAME).collect::<String>()
    };
    let tools = found.get("capabilities").and_then(|capabilities| capabilities.get("tools"));
    Settled {
        version,
        server: format!("{} {}", word("name"), word("version")).trim().to_owned(),
        has_tools: tools.is_some(),
        tells_changes: tools.and_then(|tools| tools.get("listChanged")) == Some(&json!(true)),
    }
}

/// Asks a server of today to say when its list changes. Its answers come as notifications, for as long as the
/// conversation lasts; others say so by themselves.
pub async fn subscribe(talk: &Conversation, settled: &Settled) -> Option<Asked> {
    if settled.version.era() == Era::Legacy || !settled.tells_changes {
        return None;
    }
    let meta = message::metadata(settled.version, None, None).unwrap_or_default();
    let params = format!(r#""notifications":{{"toolsListChanged":true}},{meta}"#);
    // Its answer would be the end of it: it is kept for as long as the conversation, and not waited for.
    talk.begin("subscriptions/listen", None, &params).await.ok()
}

/// Every tool that the server lists, by its name there.
///
/// # Errors
/// Says why the list cannot be taken: then nothing of it is.
pub async fn list(talk: &Conversation, settled: &Settled) -> Result<BTreeMap<String, Definition>, String> {
    let mut all = BTreeMap::new();
    let mut cursor: Option<String> = None;
    if !settled.has_tools {
        return Ok(all);
    }
    for _ in 0..MOST_PAGES {
        let page = cursor.map(|cursor| format!(r#""cursor":{}"#, Value::String(cursor)));
        let members = [page, message::metadata(settled.version, None, None)];
        let params = members.into_iter().flatten().collect::<Vec<_>>().join(",");
        let mut page = match talk.ask("tools/list", &params).await {
            Ok(Answer::Result(page)) => page,
            Ok(Answer::Fault { code, message }) => {
                return Err(format!("it does not list its tools: {message} ({code})"));
            }
            Ok(Answer::Unreadable(why)) => return Err(format!("its list of tools cannot be read: {why}")),
            Err(broken) => return Err(broken.why().to_owned()),
        };
        let tools = page.get_mut("tools").map(Value::take);
        let Some(Value::Array(tools)) = tools else { return Err("its list of tools is no list".to_owned()) };
        for tool in &tools {
            let definition = Definition::of(tool).map_err(|why| format!("its list of tools holds {why}"))?;
            let name = definition.name.clone();
            if all.insert(name.clone(), definition).is_some() {
                let shown: String = name.chars().take(80).collect();
                return Err(format!("its list of tools holds `{shown}` twice"));
            }
        }
        if all.len() > MOST_TOOLS {
            return Err(format!("it lists more than {MOST_TOOLS} tools"));
        }
        match page.get("nextCursor").and_then(Value::as_str) {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(all),
        }
    }
    Err(format!("its list of tools has more than {MOST_PAGES} pages"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_settled_on_or_the_reason_is_told() {
        let found = |supported: Value| {
            let result = json!({"supportedVersions": supported, "capabilities": {"tools": {"listChanged": true}},
                "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "x", "version": "1"}}});
            modern(&Answer::Result(result))
        };
        let settled = found(json!(["2026-07-28", "2025-11-25"])).unwrap();
        assert_eq!((settled.version, settled.server.as_str()), (Version::V2026_07_28, "x 1"));
        assert!(settled.tells_changes && settled.has_tools);
        assert_eq!(found(json!(["2025-11-25"])), None);
        let old = |version: &str| legacy(Ok(Answer::Result(json!({"protocolVersion": version, "capabilities": {}}))));
        assert_eq!(
            old("2025-06-18").map(|settled| (settled.version, settled.has_tools)),
            Ok((Version::V2025_06_18, false))
        );
        assert!(old("1999-01-01").unwrap_err().contains("`1999-01-01`"));
        let fault = Answer::Fault { code: -32_600, message: "no".to_owned() };
        assert_eq!(legacy(Ok(fault)), Err("it refuses to begin: no (-32600)".to_owned()));
    }
}
