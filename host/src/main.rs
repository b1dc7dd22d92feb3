//! The `swap` command.

use std::process::ExitCode;

use clap::Parser;
use swap::cli::{self, Arguments};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: can't start the runtime: {error}");
            return swap::error::Exit::Internal.into();
        }
    };
    let exit = runtime.block_on(cli::run(arguments));
    // Children and connections that are still open must not hold the answer back.
    runtime.shutdown_background();
    exit.into()
}
