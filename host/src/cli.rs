//! The command line: what the operator asks for, and how each command ends.

mod arguments;
mod bench;
mod completions;
mod doctor;
mod history;
mod hooks;
mod init;
mod see;
mod signals;
mod swap;

pub use arguments::{Arguments, Command, Flags};
pub use completions::answer as answer_a_shell;

use crate::error::{Ended, Exit};
use crate::session::Load;
use crate::ui::{self, Display, Volume};

/// Runs the command that was asked for and tells how it ended.
pub async fn run(arguments: Arguments) -> Exit {
    let flags = &arguments.flags;
    let volume = match (flags.quiet, flags.verbose) {
        (true, _) => Volume::Quiet,
        (false, true) => Volume::Verbose,
        (false, false) => Volume::Normal,
    };
    let display = Display::new(flags.output, volume);
    if let Some(mistake) = arguments.mistake() {
        display.failure(&mistake);
        return Exit::Usage;
    }
    let ended = match arguments.command {
        None if arguments.words.is_empty() => {
            ui::complain(&format!("{}\n", <Arguments as clap::CommandFactory>::command().render_help()));
            return Exit::Usage;
        }
        None => swap::swap(flags, &arguments.words, &arguments.health_command, display.clone()).await,
        Some(Command::Plan { words, health_command }) => swap::plan(flags, &words, &health_command).await,
        Some(Command::Resume { service }) => swap::resume(flags, &service, display.clone()).await,
        Some(Command::Rollback { service, to }) => {
            swap::rollback(flags, &service, to.as_deref(), display.clone()).await
        }
        Some(Command::Doctor { services }) => doctor::doctor(flags, &services).await,
        Some(Command::Init { service, write }) => init::init(flags, &service, write, &display).await,
        Some(Command::Status { services }) => history::status(flags, &services).await,
        Some(Command::History { service, limit }) => history::history(flags, service.as_ref(), limit).await,
        Some(Command::Logs { run }) => see::logs(flags, run.as_deref()).await,
        Some(Command::Report { run }) => see::report(flags, run.as_deref()).await,
        Some(Command::Bench { service, swaps, rate, baseline, yes }) => {
            let load = Load { swaps, rate, baseline: baseline.is_some() };
            bench::bench(flags, &service, load, yes).await
        }
        Some(Command::Completions { shell }) => completions::print(&shell),
        Some(Command::Man { folder }) => completions::man(&folder),
        Some(Command::Hooks { command }) => hooks::run(flags, command).await,
    };
    match ended {
        Ok(exit) => exit,
        Err(Ended { exit, failures }) => {
            failures.iter().for_each(|failure| display.failure(failure));
            exit
        }
    }
}
