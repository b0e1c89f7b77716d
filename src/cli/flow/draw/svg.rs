//! The graph as an SVG picture: a row for each distance from the start.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Answers, Drawn, Look, SECTIONS, Says, Section, Step, Workflow, drawn};

/// The least and the most that a step is wide, in pixels.
const WIDTHS: (usize, usize) = (190, 420);
/// What a letter takes of that, as no font is known here.
const LETTER: usize = 8;
/// From one line of text to the next.
const LINE: usize = 18;
/// Between two steps.
const GAP: usize = 40;

/// Sizes that all steps of a picture have.
struct Sizes {
    width: usize,
    height: usize,
}

/// Draws a workflow; with answers, what policy says to each step.
pub fn svg(workflow: &Workflow, answers: Option<&Answers>) -> String {
    let steps = drawn(workflow, answers);
    let longest = steps.iter().flat_map(|drawn| &drawn.lines).map(|line| line.chars().count()).max();
    let lines = steps.iter().map(|drawn| drawn.lines.len()).max().unwrap_or_default();
    let sizes = Sizes {
        width: (longest.unwrap_or_default() * LETTER + 2 * LINE).clamp(WIDTHS.0, WIDTHS.1),
        height: 12 + lines * LINE,
    };
    let places = places(workflow);
    let columns = places.values().map(|(_, column)| column + 1).max().unwrap_or(1);
    let rows = places.values().map(|(row, _)| row + 1).max().unwrap_or(1);
    let (width, height) = (columns * (sizes.width + GAP) + GAP, rows * (sizes.height + GAP) + GAP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<title>{}</title>\n<defs><marker id=\"end\" viewBox=\"0 0 8 8\" \
         refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\"/></marker></defs>\n",
        escape(&workflow.name)
    );
    let corner = |place: &(usize, usize)| (GAP + place.1 * (sizes.width + GAP), GAP + place.0 * (sizes.height + GAP));
    for step in &workflow.steps {
        let Some((x, y)) = places.get(step.id.as_str()).map(corner) else { continue };
        for (from_x, from_y) in step.needs.iter().filter_map(|need| places.get(need.as_str()).map(corner)) {
            let (from_x, from_y, x) = (from_x + sizes.width / 2, from_y + sizes.height, x + sizes.width / 2);
            let _ = writeln!(
                out,
                "<path d=\"M{from_x} {from_y} L{x} {y}\" stroke=\"#555\" fill=\"none\" marker-end=\"url(#end)\"/>"
            );
        }
    }
    for drawn in &steps {
        if let Some(at) = places.get(drawn.step.id.as_str()).map(corner) {
            step(&mut out, drawn, at, &sizes);
        }
    }
    out.push_str("</svg>\n");
    out
}

/// One step: its shape, and its lines in the middle of it.
fn step(out: &mut String, drawn: &Drawn<'_>, (x, y): (usize, usize), sizes: &Sizes) {
    let Sizes { width, height } = *sizes;
    let _ = writeln!(out, "<g><title>{}</title>", escape(&drawn.lines.join(": ")));
    let look = match (drawn.look, drawn.step.section) {
        (Look::Plain, Section::Step) => "fill=\"#eef3fb\" stroke=\"#555\"",
        (Look::Plain, Section::OnFailure) => "fill=\"#fbeaea\" stroke=\"#555\"",
        (Look::Plain, Section::Finally) => "fill=\"#eeeeee\" stroke=\"#555\"",
        (Look::Asks, _) => "fill=\"#fff3cd\" stroke=\"#555\"",
        (Look::Answered(Says::Allow), _) => "fill=\"#e6f4ea\" stroke=\"#2e7d32\"",
        (Look::Answered(Says::NeedsApproval), _) => "fill=\"#fff3cd\" stroke=\"#9a6700\"",
        (Look::Answered(Says::Deny), _) => "fill=\"#fbe3e4\" stroke=\"#b3261e\" stroke-width=\"3\"",
        (Look::Answered(Says::Depends), _) => "fill=\"#eef3fb\" stroke=\"#555\" stroke-dasharray=\"4 3\"",
        (Look::NotCalled, _) => "fill=\"#f4f4f4\" stroke=\"#999\"",
    };
    let _ = match drawn.look {
        Look::Asks | Look::Answered(Says::NeedsApproval) => {
            let (left, right, middle, bottom) = (x + 12, x + width - 12, y + height / 2, y + height);
            let end = x + width;
            writeln!(
                out,
                "<polygon points=\"{x},{middle} {left},{y} {right},{y} {end},{middle} {right},{bottom} {left},{bottom}\" {look}/>"
            )
        }
        Look::Plain | Look::Answered(Says::Allow | Says::Deny | Says::Depends) | Look::NotCalled => {
            writeln!(out, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"6\" {look}/>")
        }
    };
    for (place, line) in drawn.lines.iter().enumerate() {
        let weight = if place == 0 { " font-weight=\"bold\"" } else { "" };
        let (x, y) = (x + width / 2, y + 20 + place * LINE);
        let line = escape(&short(line, (width - 2 * LINE) / LETTER));
        let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\"{weight}>{line}</text>");
    }
    out.push_str("</g>\n");
}

/// The start of a text that is too long for its place; the whole of it is in the title.
fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Row and column of each step: as far down as the longest way to it, sections below one another.
fn places(workflow: &Workflow) -> BTreeMap<&str, (usize, usize)> {
    let mut places: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut first_row = 0;
    for section in SECTIONS {
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

/// Text as XML 1.0 (section 2.4) reads it as text; what no XML can hold is replaced.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for symbol in text.chars() {
        match symbol {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.push(char::REPLACEMENT_CHARACTER),
            symbol if symbol.is_control() => out.push(' '),
            symbol => out.push(symbol),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::{answers, sample};
    use super::*;

    #[test]
    fn the_picture_has_a_shape_a_step_and_no_two_in_one_place() {
        let workflow = sample();
        let picture = svg(&workflow, None);
        assert_eq!((picture.matches("<rect").count(), picture.matches("<polygon").count()), (3, 1));
        assert_eq!(picture.matches("marker-end").count(), 2);
        assert!(!picture.contains("x<y"), "names are escaped");
        let places = places(&workflow);
        assert_eq!(places["a"], (0, 0));
        assert_eq!((places["b"], places["c"], places["d"]), ((1, 0), (1, 1), (2, 0)));
    }

    #[test]
    fn answers_have_words_shapes_and_colours_and_nothing_in_them_is_markup() {
        let picture = svg(&sample(), Some(&answers()));
        for words in [">allow<", ">deny<", ">not called<", ">needs approval: 1 of &quot;]#lt;script&gt;\\u{202e}`<"] {
            assert!(picture.contains(words), "{words}\n{picture}");
        }
        assert_eq!((picture.matches("<rect").count(), picture.matches("<polygon").count()), (3, 1));
        assert_eq!((picture.matches("stroke-width").count(), picture.matches("<script").count()), (1, 0));
    }

    #[test]
    fn what_is_too_long_for_its_place_is_whole_in_the_title() {
        let mut answers = answers();
        let long = "needs approval: ".to_owned() + &"1 of somebody and ".repeat(10);
        answers.get_mut("c").expect("the step").words.clone_from(&long);
        let picture = svg(&sample(), Some(&answers));
        assert!(picture.contains(&format!("<title>c: t: {long}</title>")), "{picture}");
        let line = picture.lines().find(|line| line.starts_with("<text") && line.contains('…')).expect("a short line");
        assert!(line.len() < 140, "{line}");
    }
}
