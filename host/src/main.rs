//! The `swap` command.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use clap::Parser;
use swap::cli::{self, Arguments};
use swap::ui;

fn main() -> ExitCode {
    cli::answer_a_shell();
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            ui::complain(&format!("error: can't start the runtime: {error}\n"));
            return swap::error::Exit::Internal.into();
        }
    };
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(cli::run(arguments))));
    let exit = ended.unwrap_or_else(|_| {
        ui::complain(
            "error: internal: swap has a defect, see above; what it was doing is left as it is\n\
             hint: `swap status` tells what is live and what is unfinished; please report the lines above\n",
        );
        swap::error::Exit::Internal
    });
    // Children and connections that are still open must not hold the answer back.
    runtime.shutdown_background();
    exit.into()
}
