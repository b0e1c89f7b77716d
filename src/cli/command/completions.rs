//! `completions`: the line that makes a shell ask the installed program what comes next. What is shipped in
//! `completions/` is the same line: a frozen script would not match the next version.

use crate::cli::args::{CompletionsArgs, Shell};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};

/// Prints the line.
///
/// # Errors
/// When stdout is gone.
pub fn run(cx: &Context, args: &CompletionsArgs) -> Result<Exit, CliError> {
    cx.ui.out(shim(args.shell))?;
    Ok(Exit::Done)
}

const fn shim(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => "source <(COMPLETE=bash toolctl)\n",
        // Loaded from `fpath`, the function itself is asked at once; sourced, the line is all there is.
        Shell::Zsh => {
            "#compdef toolctl\nsource <(COMPLETE=zsh toolctl)\n\
             if [ \"$funcstack[1]\" = \"_toolctl\" ]; then _clap_dynamic_completer_toolctl; fi\n"
        }
        Shell::Fish => "COMPLETE=fish toolctl | source\n",
        Shell::Elvish => "eval (E:COMPLETE=elvish toolctl | slurp)\n",
        Shell::Powershell => {
            "$env:COMPLETE = \"powershell\"; toolctl | Out-String | Invoke-Expression; Remove-Item Env:\\COMPLETE\n"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command::man::golden;

    #[test]
    fn the_shipped_completions_are_current() {
        golden("completions/toolctl.bash", shim(Shell::Bash).as_bytes());
        golden("completions/_toolctl", shim(Shell::Zsh).as_bytes());
        golden("completions/toolctl.fish", shim(Shell::Fish).as_bytes());
    }
}
