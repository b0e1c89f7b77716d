//! The graph of a workflow as a picture: Mermaid for pages that draw it themselves, SVG for everything else. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::definition::{Section, Step, Workflow};

/// Size of a step in the picture, in pixels.
const WIDTH: usize = 190;
const HEIGHT: usize = 48;
/// Between two of them.
const GAP: usize = 40;

/// The graph in the language of Mermaid.
pub fn mermaid(workflow: &Workflow) -> String {
    let mut out = "flowchart TD\n".to_owned();
    for section in [Section::Step, Section::OnFailure, Section::Finally] {
        let steps: Vec<&Step> = workflow.steps.iter().filter(|step| step.section == section).collect();
        if steps.is_empty() {
            continue;
        }
        let (indent, is_whole) = if section == Section::Step { ("  ", true) } else { ("    ", false) };
        if !is_whole {
            let _ = writeln!(out, "  subgraph {}", section.word());
        }
        for step in &steps {
            let (open, close) = if step.approval { ("{{", "}}") } else { ("[", "]") };
            let _ = writeln!(out, "{indent}s_{}{open}\"{}\"{close}", step.id, label(step).join("<br/>"));
        }
        for step in &steps {
            for need in &step.needs {
                let _ = writeln!(out, "{indent}s_{need} --> s_{}", step.id);
            }
        }
        if !is_whole {
            let _ = writeln!(out, "  end");
        }
    }
    out
}

/// The graph as an SVG picture: a row for each distance from the start.
pub fn svg(workflow: &Workflow) -> String {
    let places = places(workflow);
    let columns = places.values().map(|(_, column)| column + 1).max().unwrap_or(1);
    let rows = places.values().map(|(row, _)| row + 1).max().unwrap_or(1);
    let (width, height) = (columns * (WIDTH + GAP) + GAP, rows * (HEIGHT + GAP) + GAP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<title>{}</title>\n<defs><marker id=\"end\" viewBox=\"0 0 8 8\" \
         refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\"/></marker></defs>\n",
        escape(&workflow.name)
    );
    let corner = |place: &(usize, usize)| (GAP + place.1 * (WIDTH + GAP), GAP + place.0 * (HEIGHT + GAP));
    for step in &workflow.steps {
        let Some((x, y)) = places.get(step.id.as_str()).map(corner) else { continue };
        for (from_x, from_y) in step.needs.iter().filter_map(|need| places.get(need.as_str()).map(corner)) {
            let _ = writeln!(
                out,
                "<path d=\"M{} {} L{} {}\" stroke=\"#555\" fill=\"none\" marker-end=\"url(#end)\"/>",
                from_x + WIDTH / 2,
                from_y + HEIGHT,
                x + WIDTH / 2,
                y
            );
        }
    }
    for step in &workflow.steps {
        let Some((x, y)) = places.get(step.id.as_str()).map(corner) else { continue };
        let fill = match (step.section, step.approval) {
            (_, true) => "#fff3cd",
            (Section::Step, false) => "#eef3fb",
            (Section::OnFailure, false) => "#fbeaea",
            (Section::Finally, false) => "#eeeeee",
        };
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\" fill=\"{fill}\" stroke=\"#555\"/>"
        );
        for (place, line) in label(step).iter().enumerate() {
            let weight = if place == 0 { " font-weight=\"bold\"" } else { "" };
            let _ = writeln!(
                out,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\"{weight}>{line}</text>",
                x + WIDTH / 2,
                y + 20 + place * 18
            );
        }
    }
    out.push_str("</svg>\n");
    out
}

/// Row and column of each step: as far down as the longest way to it, sections below one another.
fn places(workflow: &Workflow) -> BTreeMap<&str, (usize, usize)> {
    let mut places: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut first_row = 0;
    for section in [Section::Step, Section::OnFailure, Section::Finally] {
        let steps: Vec<&Step> = workflow.steps.iter().filter(|step| step.section == section).collect();
        let mut in_row: BTreeMap<usize, usize> = BTreeMap::new();
        let mut left = steps;
        while !left.is_empty() {
            let (ready, waiting): (Vec<_>, Vec<_>) =
                left.iter().copied().partition(|step| step.needs.iter().all(|need| places.contains_key(need.as_str())));
            if ready.is_empty() {
                break;
            }
            for step in ready {
                let above =
                    step.needs.iter().filter_map(|need| places.get(need.as_str())).map(|(row, _)| row + 1).max();
                let row = above.unwrap_or(first_row);
                let column = in_row.entry(row).or_default();
                places.insert(&step.id, (row, *column));
                *column += 1;
            }
            left = waiting;
        }
        first_row = places.values().map(|(row, _)| row + 1).max().unwrap_or_default();
    }
    places
}

/// What stands in a box: letters, digits and entities only.
fn label(step: &Step) -> Vec<String> {
    let mut second = escape(&step.tool);
    if step.for_each.is_some() {
        second.push_str(" ×n");
    }
    if step.when.is_some() {
        second.push_str(" ?");
    }
    vec![escape(&step.id), second]
}

fn escape(text: &str) -> String {
    text.chars()
        .map(|symbol| match symbol {
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '&' => "&amp;".to_owned(),
            '"' => "&quot;".to_owned(),
            symbol if symbol.is_control() => " ".to_owned(),
            symbol => symbol.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flow::load;

    fn sample() -> Workflow {
        let text = "name = \"w\"\n[[step]]\nid = \"a\"\ntool = \"t\"\n[[step]]\nid = \"b\"\ntool = \"x<y\"\nneeds = \"a\"\n\
                    for_each = [1]\n[[step]]\nid = \"c\"\ntool = \"t\"\nneeds = \"a\"\napproval = \"required\"\n\
                    [[finally]]\nid = \"d\"\ntool = \"t\"\nwhen = \"true\"\n";
        load::check("w.toml", text).0.expect("a workflow")
    }

    #[test]
    fn mermaid_draws_steps_and_what_they_need() {
        assert_eq!(
            mermaid(&sample()),
            "flowchart TD\n  s_a[\"a<br/>t\"]\n  s_b[\"b<br/>x&lt;y ×n\"]\n  s_c{{\"c<br/>t\"}}\n  s_a --> s_b\n  \
             s_a --> s_c\n  subgraph finally\n    s_d[\"d<br/>t ?\"]\n  end\n"
        );
    }

    #[test]
    fn the_picture_has_a_box_a_step_and_no_two_in_one_place() {
        let workflow = sample();
        let picture = svg(&workflow);
        assert_eq!((picture.matches("<rect").count(), picture.matches("marker-end").count()), (4, 2));
        assert!(!picture.contains("x<y"), "names are escaped");
        let places = places(&workflow);
        assert_eq!(places["a"], (0, 0));
        assert_eq!((places["b"], places["c"], places["d"]), ((1, 0), (1, 1), (2, 0)));
    }
}
