//! Servers of others in a few words, the same wherever they are shown.

use crate::api::upstreams::{State, Summary};

use super::context::Context;
use super::text::escape_untrusted;
use super::ui::Tone;

/// What somebody should know about a server; nothing when all is well.
pub fn told(server: &Summary) -> Vec<String> {
    let name = escape_untrusted(&server.name);
    let down = (server.state == State::Down).then(|| {
        let why = server.problem.as_deref().unwrap_or("nobody knows why");
        format!("the server `{name}` is down: {}", escape_untrusted(why))
    });
    let waiting = (server.quarantined > 0).then(|| {
        let (tools, wait) = if server.quarantined == 1 { ("tool", "waits") } else { ("tools", "wait") };
        format!("{} {tools} of `{name}` {wait} to be looked at: toolctl tools trust {name}", server.quarantined)
    });
    down.into_iter().chain(waiting).collect()
}

/// A server in one line.
pub fn line(cx: &Context, server: &Summary) -> String {
    let (name, mut text) = (escape_untrusted(&server.name), server.state.word().to_owned());
    text.push_str(&format!(", {} tools", server.tools));
    if server.quarantined > 0 {
        text.push_str(&format!(", {} wait: toolctl tools trust {name}", server.quarantined));
    }
    if let Some(problem) = &server.problem {
        text.push_str(&format!(": {}", escape_untrusted(problem)));
    }
    let is_well = server.state == State::Up && server.quarantined == 0;
    format!("{name} is {}", if is_well { text } else { cx.ui.paint(Tone::Care, &text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_or_is_down_is_told_with_what_to_type() {
        let well = Summary { name: "x".to_owned(), state: State::Up, problem: None, tools: 3, quarantined: 0 };
        assert_eq!(told(&well), Vec::<String>::new());
        let waiting = Summary { quarantined: 1, ..well.clone() };
        assert_eq!(told(&waiting), ["1 tool of `x` waits to be looked at: toolctl tools trust x"]);
        let down = Summary { state: State::Down, problem: Some("no\u{1b}[2J".to_owned()), quarantined: 2, ..well };
        assert_eq!(
            told(&down),
            ["the server `x` is down: no\\u{1b}[2J", "2 tools of `x` wait to be looked at: toolctl tools trust x"]
        );
    }
}
