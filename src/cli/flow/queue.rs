//! Which steps can be decided about: those that need nothing more. It is kept up to date as steps end, so that an event
//! costs what it changes, however many steps the file has.

use std::collections::{BTreeMap, BTreeSet};

use super::definition::{Section, Step};

/// Steps in the order in which they can be taken. A step is named by its place in the file.
#[derive(Debug)]
pub struct Queue {
    places: Vec<Place>,
    /// Steps that are not decided about and need nothing more.
    ready: BTreeSet<(Section, usize)>,
}

/// One step among the others.
#[derive(Debug)]
struct Place {
    section: Section,
    needs: Vec<usize>,
    needed_by: Vec<usize>,
    /// How many of `needs` are not over.
    open: usize,
}

impl Queue {
    /// Steps of which none has been taken.
    pub fn of(steps: &[Step]) -> Self {
        let by_id: BTreeMap<&str, usize> =
            steps.iter().enumerate().map(|(place, step)| (step.id.as_str(), place)).collect();
        let mut places: Vec<Place> = steps
            .iter()
            .map(|step| {
                let needs: Vec<usize> = step.needs.iter().filter_map(|id| by_id.get(id.as_str()).copied()).collect();
                Place { section: step.section, open: needs.len(), needs, needed_by: Vec::new() }
            })
            .collect();
        let edges: Vec<(usize, usize)> = places
            .iter()
            .enumerate()
            .flat_map(|(place, step)| step.needs.iter().map(move |need| (*need, place)))
            .collect();
        for (need, place) in edges {
            if let Some(needed) = places.get_mut(need) {
                needed.needed_by.push(place);
            }
        }
        let free = places.iter().enumerate().filter(|(_, step)| step.open == 0);
        let ready = free.map(|(place, step)| (step.section, place)).collect();
        Self { places, ready }
    }

    /// Takes the first step of a section, in the order of the file, that needs nothing more.
    pub fn take(&mut self, section: Section) -> Option<usize> {
        let first = *self.ready.range((section, 0)..=(section, usize::MAX)).next()?;
        self.ready.remove(&first);
        Some(first.1)
    }

    /// Notes that a step is over: what needs it may need nothing more.
    pub fn over(&mut self, place: usize) {
        let needed_by = self.places.get_mut(place).map(|step| std::mem::take(&mut step.needed_by));
        for place in needed_by.unwrap_or_default() {
            let Some(step) = self.places.get_mut(place) else { continue };
            step.open = step.open.saturating_sub(1);
            if step.open == 0 {
                self.ready.insert((step.section, place));
            }
        }
    }

    /// What a step needs.
    pub fn needs(&self, place: usize) -> &[usize] {
        self.places.get(place).map_or(&[], |step| &step.needs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flow::load;

    #[test]
    fn a_step_is_taken_once_and_after_all_it_needs() {
        let step =
            |list: &str, id: &str, needs: &str| format!("[[{list}]]\nid = \"{id}\"\ntool = \"t\"\nneeds = [{needs}]\n");
        let text = format!(
            "name = \"w\"\n{}{}{}{}{}",
            step("step", "both", "\"a\", \"b\""),
            step("step", "a", ""),
            step("step", "b", "\"a\""),
            step("step", "beside", ""),
            step("finally", "end", ""),
        );
        let (workflow, faults) = load::check("w.toml", &text);
        assert_eq!(faults.violations(), []);
        let mut queue = Queue::of(&workflow.expect("a workflow").steps);
        assert_eq!([(); 3].map(|()| queue.take(Section::Step)), [Some(1), Some(3), None], "those that need nothing");
        queue.over(3);
        queue.over(1);
        queue.over(1);
        assert_eq!([(); 2].map(|()| queue.take(Section::Step)), [Some(2), None], "`both` needs one more");
        queue.over(2);
        assert_eq!([(); 2].map(|()| queue.take(Section::Step)), [Some(0), None]);
        assert_eq!((queue.needs(0), queue.needs(4)), (&[1, 2][..], &[][..]));
        assert_eq!([(); 2].map(|()| queue.take(Section::Finally)), [Some(4), None]);
    }
}
