//! What a shell offers at the tabulator key: commands, flags, the project's services, files of hooks; and the man pages.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate, PathCompleter};
use clap_complete::env::{CompleteEnv, Shells};

use super::arguments::Arguments;
use crate::compose::{self, Options};
use crate::error::{Ended, Exit};
use crate::model::Failure;
use crate::ui;

/// The variable by which a shell asks for candidates instead of running a command.
const VARIABLE: &str = "SWAP_COMPLETE";

/// Answers a shell that asks what could stand at the cursor, and ends the process then. Does nothing otherwise.
pub fn answer() {
    let here = std::env::current_dir().ok();
    match CompleteEnv::with_factory(Arguments::command).var(VARIABLE).try_complete(std::env::args_os(), here.as_deref())
    {
        Ok(false) => {}
        Ok(true) => std::process::exit(0),
        // A shell that no longer listens wants no answer and no word about it.
        Err(error) if error.kind() == clap::error::ErrorKind::Io => std::process::exit(0),
        Err(error) => error.exit(),
    }
}

/// Prints the lines by which a shell learns to ask.
pub(super) fn print(shell: &str) -> Result<Exit, Ended> {
    let mut script = Vec::new();
    Shells::builtins()
        .completer(shell)
        .ok_or_else(|| Failure::new(format!("no completions for the shell `{shell}` (shells: bash, zsh, fish)")))?
        .write_registration(VARIABLE, "swap", "swap", "swap", &mut script)
        .map_err(|error| Failure::new(format!("making the completions for {shell}: {error}")))?;
    ui::print(&String::from_utf8_lossy(&script));
    Ok(Exit::Swapped)
}

/// Writes a man page for each command into a folder.
pub(super) fn man(folder: &Path) -> Result<Exit, Ended> {
    let failed =
        |error: std::io::Error| Failure::new(format!("writing man pages into `{}`: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(Arguments::command(), folder).map_err(failed)?;
    Ok(Exit::Swapped)
}

/// Offers the services of the project of this folder, or of the files that `-f` names on the command line.
///
/// Only the files are read, because compose would take longer than a person waits for a completion.
pub(super) fn services() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let words: Vec<String> = std::env::args().collect();
        let files = words.windows(2).filter(|pair| matches!(pair[0].as_str(), "-f" | "--file"));
        let options = Options { files: files.map(|pair| pair[1].clone().into()).collect(), ..Options::default() };
        compose::services_in(&options).into_iter().map(CompletionCandidate::new).collect()
    })
}

/// Offers the files of components, and folders.
pub(super) fn hooks() -> ArgValueCompleter {
    let component = |path: &Path| path.extension().is_some_and(|ending| ending == "wasm");
    ArgValueCompleter::new(PathCompleter::file().filter(component))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_man_page() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(man(folder.path()).unwrap(), Exit::Swapped);
        let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(page("swap.1").contains("swap app worker"), "the examples are there");
        for command in Arguments::command().get_subcommands() {
            assert!(page(&format!("swap-{}.1", command.get_name())).contains("swap"), "{}", command.get_name());
        }
    }

    #[test]
    fn a_shell_that_is_not_known_is_told_which_are() {
        let ended = print("tcsh").unwrap_err();
        assert_eq!(ended.failures[0].what, "no completions for the shell `tcsh` (shells: bash, zsh, fish)");
    }
}
