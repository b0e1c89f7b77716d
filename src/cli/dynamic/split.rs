//! Flags of `call` and of toolctl may stand before or after the tool's name. This tells ours from the tool's
//! among what follows the name, before either is parsed.

use std::collections::BTreeSet;

use clap::{Arg, ArgAction, Command};

/// Our flags, as far as telling them apart needs.
#[derive(Debug, Default)]
pub struct Ours {
    /// Long flag → how many values follow.
    longs: Vec<(String, usize)>,
    shorts: Vec<(char, usize)>,
}

impl Ours {
    /// The flags of some commands.
    pub fn of(commands: &[&Command]) -> Self {
        let mut ours = Self::default();
        for argument in commands.iter().flat_map(|command| command.get_arguments()) {
            let values = values_of(argument);
            ours.longs.extend(argument.get_long().map(|long| (long.to_owned(), values)));
            ours.shorts.extend(argument.get_short().map(|short| (short, values)));
        }
        ours
    }

    /// The names no property may have as its flag.
    pub fn reserved(&self) -> BTreeSet<String> {
        self.longs.iter().map(|(long, _)| long.clone()).chain(["help".to_owned()]).collect()
    }

    /// Parts `rest` into our flags with their values, and the tool's.
    pub fn split(&self, rest: &[String]) -> (Vec<String>, Vec<String>) {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                theirs.push(word.clone());
                theirs.extend(words.by_ref().cloned());
            } else if let Some(values) = self.follows(word) {
                ours.push(word.clone());
                ours.extend(words.by_ref().take(values).cloned());
            } else {
                theirs.push(word.clone());
            }
        }
        (ours, theirs)
    }

    /// How many values follow, when the word is one of our flags.
    fn follows(&self, word: &str) -> Option<usize> {
        if let Some(long) = word.strip_prefix("--") {
            let (name, joined) = long.split_once('=').map_or((long, false), |(name, _)| (name, true));
            let (_, values) = self.longs.iter().find(|(long, _)| long == name)?;
            return Some(if joined { 0 } else { *values });
        }
        let mut letters = word.strip_prefix('-')?.chars();
        let mut follows = None;
        while let Some(letter) = letters.next() {
            let (_, values) = self.shorts.iter().find(|(short, _)| *short == letter)?;
            if *values > 0 {
                return Some(if letters.as_str().is_empty() { *values } else { 0 });
            }
            follows = Some(0);
        }
        follows
    }
}

fn values_of(argument: &Arg) -> usize {
    match argument.get_action() {
        ArgAction::Set | ArgAction::Append => argument.get_num_args().map_or(1, |range| range.min_values()),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use clap::Args as _;

    use super::*;
    use crate::cli::args::{CallFlags, Globals};

    #[test]
    fn ours_are_told_from_the_tools() {
        let globals = Globals::augment_args(Command::new("g"));
        let call = CallFlags::augment_args(Command::new("c"));
        let ours = Ours::of(&[&globals, &call]);
        for (line, expected_ours, expected_theirs) in [
            ("--customer-id 42 -o json", "-o json", "--customer-id 42"),
            ("-ojson --wait=5s a=1", "-ojson --wait=5s", "a=1"),
            ("--socket /s --x --no-wait", "--socket /s --no-wait", "--x"),
            ("-qy -vv -5 -x", "-qy -vv", "-5 -x"),
            ("--arg reason because b=2", "--arg reason because", "b=2"),
            ("a -- -o json", "", "a -- -o json"),
            ("--title=-o -h", "", "--title=-o -h"),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let (mine, theirs) = ours.split(&words);
            assert_eq!(
                (mine.join(" ").as_str(), theirs.join(" ").as_str()),
                (expected_ours, expected_theirs),
                "{line}"
            );
        }
        assert!(ours.reserved().contains("reason") && ours.reserved().contains("help"));
    }
}
