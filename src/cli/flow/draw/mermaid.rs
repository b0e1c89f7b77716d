//! The graph in the language of Mermaid.

use std::fmt::Write as _;

use super::{Answers, Drawn, Look, SECTIONS, Says, Section, Workflow, drawn};

/// How the answers of policy look; whatever page draws it chooses the rest.
const CLASSES: [(&str, &str); 5] = [
    ("allow", "fill:#e6f4ea,stroke:#2e7d32,color:#111"),
    ("people", "fill:#fff3cd,stroke:#9a6700,color:#111"),
    ("deny", "fill:#fbe3e4,stroke:#b3261e,stroke-width:3px,color:#111"),
    ("depends", "fill:#eef3fb,stroke:#555,stroke-dasharray:4 3,color:#111"),
    ("uncalled", "fill:#f4f4f4,stroke:#999,color:#555"),
];

/// Draws a workflow; with answers, what policy says to each step.
pub fn mermaid(workflow: &Workflow, answers: Option<&Answers>) -> String {
    let mut out = "flowchart TD\n".to_owned();
    let steps = drawn(workflow, answers);
    for section in SECTIONS {
        let steps: Vec<&Drawn<'_>> = steps.iter().filter(|drawn| drawn.step.section == section).collect();
        if steps.is_empty() {
            continue;
        }
        let (indent, is_whole) = if section == Section::Step { ("  ", true) } else { ("    ", false) };
        if !is_whole {
            let _ = writeln!(out, "  subgraph {}", section.word());
        }
        for Drawn { step, look, lines } in &steps {
            let (open, close, class) = shape(*look);
            let lines: Vec<String> = lines.iter().map(|line| escape(line)).collect();
            let _ = writeln!(out, "{indent}s_{}{open}\"{}\"{close}{class}", step.id, lines.join("<br/>"));
        }
        for Drawn { step, .. } in &steps {
            for need in &step.needs {
                let _ = writeln!(out, "{indent}s_{need} --> s_{}", step.id);
            }
        }
        if !is_whole {
            let _ = writeln!(out, "  end");
        }
    }
    if answers.is_some() {
        for (name, style) in CLASSES {
            let _ = writeln!(out, "  classDef {name} {style}");
        }
    }
    out
}

/// What stands before and after the text of a step.
const fn shape(look: Look) -> (&'static str, &'static str, &'static str) {
    match look {
        Look::Plain => ("[", "]", ""),
        Look::Asks => ("{{", "}}", ""),
        Look::Answered(Says::Allow) => ("[", "]", ":::allow"),
        Look::Answered(Says::NeedsApproval) => ("{{", "}}", ":::people"),
        Look::Answered(Says::Deny) => ("[[", "]]", ":::deny"),
        Look::Answered(Says::Depends) => ("([", "])", ":::depends"),
        Look::NotCalled => ("(", ")", ":::uncalled"),
    }
}

/// Text as Mermaid reads it as text: everything that could mean something to it, or to the page around it, stands as the
/// number of its character.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for symbol in text.chars() {
        if symbol.is_alphanumeric() || " _-.,:/?×…".contains(symbol) {
            out.push(symbol);
        } else {
            let _ = write!(out, "#{};", u32::from(symbol));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answers, sample};
    use super::*;

    #[test]
    fn steps_and_what_they_need_are_drawn() {
        assert_eq!(
            mermaid(&sample(), None),
            "flowchart TD\n  s_a[\"a<br/>t\"]\n  s_b[\"b<br/>x#60;y ×n\"]\n  s_c{{\"c<br/>t\"}}\n  s_a --> s_b\n  \
             s_a --> s_c\n  subgraph finally\n    s_d[\"d<br/>t ?\"]\n  end\n"
        );
    }

    #[test]
    fn answers_have_words_shapes_and_colours_and_nothing_in_them_is_markup() {
        let picture = mermaid(&sample(), Some(&answers()));
        let steps: Vec<&str> = picture.lines().filter(|line| line.contains(":::")).map(str::trim).collect();
        assert_eq!(
            steps,
            [
                "s_a[\"a<br/>t<br/>allow\"]:::allow",
                "s_b[[\"b<br/>x#60;y ×n<br/>deny\"]]:::deny",
                "s_c{{\"c<br/>t<br/>needs approval: 1 of #34;#93;#35;lt#59;script#62;#92;u#123;202e#125;#96;\"}}:::people",
                "s_d(\"d<br/>t ?<br/>not called\"):::uncalled",
            ]
        );
        assert_eq!(picture.matches("classDef").count(), CLASSES.len());
    }
}
