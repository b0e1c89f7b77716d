//! From a file to a workflow that has been read whole and makes sense by itself.

use std::path::Path;

use super::check;
use super::decode;
use super::definition::Workflow;
use super::tree;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::fault::Faults;
use crate::cli::ui::Ui;

/// Reads a file, and checks what can be checked without a daemon; there is no workflow when it is not even TOML or
/// YAML.
///
/// # Errors
/// Exit 1 when it cannot be read, or is not UTF-8.
pub fn file(path: &Path) -> Result<(Option<Workflow>, Faults), CliError> {
    let name = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|error| CliError::io(format_args!("cannot read `{name}`"), &error))?;
    Ok(check(&name, &text))
}

/// Reads a file that must make sense by itself.
///
/// # Errors
/// Exit 1 when it cannot be read, exit 2 with every fault.
pub fn sound(cx: &Context, path: &Path) -> Result<Workflow, CliError> {
    let (workflow, faults) = file(path)?;
    workflow.filter(|_| faults.found.is_empty()).ok_or_else(|| wrong(faults, &cx.ui))
}

/// The error that says everything that is wrong with a workflow.
pub fn wrong(faults: Faults, ui: &Ui) -> CliError {
    faults.error(ui, "workflow-invalid", "nothing ran")
}

/// Reads a text and checks what can be checked without a daemon.
pub fn check(name: &str, text: &str) -> (Option<Workflow>, Faults) {
    let mut faults = Faults::of(name, text);
    let node = match tree::read(name, text) {
        Ok(node) => node,
        Err(fault) => {
            faults.add(fault);
            return (None, faults);
        }
    };
    let mut workflow = decode::workflow(&node, &mut faults);
    check::workflow(&mut workflow, &mut faults);
    (Some(workflow), faults)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLES: [(&str, &str); 3] = [
        ("support.toml", include_str!("../../../examples/support.toml")),
        ("incident.toml", include_str!("../../../examples/incident.toml")),
        ("deploy.toml", include_str!("../../../examples/deploy.toml")),
    ];

    #[test]
    fn the_examples_have_no_faults_and_mean_the_same_as_yaml() {
        for (name, text) in EXAMPLES {
            let (workflow, faults) = check(name, text);
            assert_eq!(faults.violations(), [], "{name}");
            let workflow = workflow.expect("a workflow");
            let yaml = serde_saphyr::to_string(&workflow.document).expect("YAML");
            let (other, faults) = check("w.yaml", &yaml);
            assert_eq!(faults.violations(), [], "{name}");
            assert_eq!(other.expect("a workflow").digest(), workflow.digest(), "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Whatever is done to a file, it is read or its faults have places in it.
        #[test]
        fn no_file_breaks_the_reader(which in 0..3usize, cuts in proptest::collection::vec((0..4_000usize, 0..40usize, ".{0,12}"), 1..4), yaml: bool) {
            let (_, text) = EXAMPLES[which];
            let mut text = text.to_owned();
            for (start, length, put) in cuts {
                let start = (start % (text.len() + 1)..=text.len()).find(|at| text.is_char_boundary(*at)).expect("the end is one");
                let end = (start + length.min(text.len() - start)..=text.len()).find(|at| text.is_char_boundary(*at)).expect("the end is one");
                text.replace_range(start..end, &put);
            }
            let (workflow, faults) = check(if yaml { "w.yaml" } else { "w.toml" }, &text);
            prop_assert!(workflow.is_some() || !faults.found.is_empty());
            for fault in &faults.found {
                prop_assert!(fault.span.start <= text.len(), "{fault:?}");
            }
            faults.violations();
        }
    }
}
