//! `load`: puts an address of this machine under a mixed load and prints what the clients saw.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use scenarios::clients::Kind;
use scenarios::load::{Load, Mix, mixed};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

/// Puts a front door under load with clients that never retry, and counts every failure.
///
/// Ends after `--seconds`, or when its input is closed or it gets SIGTERM or SIGINT; then prints a report.
/// Exits 0 if nothing failed, 1 otherwise.
#[derive(Debug, Parser)]
struct Arguments {
    /// The address: of this machine only.
    #[arg(default_value = "127.0.0.1:8080")]
    target: SocketAddr,
    /// How long; without it until the input is closed or a signal comes.
    #[arg(long)]
    seconds: Option<f64>,
    /// Multiplies the number of clients of the default mix.
    #[arg(long, default_value_t = 1)]
    times: usize,
    /// Clients that GET on a kept connection.
    #[arg(long)]
    get: Option<usize>,
    /// Clients that POST on a kept connection.
    #[arg(long)]
    post: Option<usize>,
    /// Clients that GET on a new connection each time.
    #[arg(long)]
    new_get: Option<usize>,
    /// Clients that POST on a new connection each time.
    #[arg(long)]
    new_post: Option<usize>,
    /// Clients whose requests take two seconds.
    #[arg(long)]
    slow: Option<usize>,
    /// Clients that download 20 MB.
    #[arg(long)]
    download: Option<usize>,
    /// Connections that stay silent before their first request.
    #[arg(long)]
    silent: Option<usize>,
    /// Only the kinds that are named.
    #[arg(long)]
    only: bool,
    /// The longest think time, in milliseconds.
    #[arg(long, default_value_t = 40)]
    think: u64,
    /// The longest silence of silent connections, in milliseconds.
    #[arg(long, default_value_t = 2000)]
    silence: u64,
    /// How long one request may take, in seconds.
    #[arg(long, default_value_t = 60)]
    limit: u64,
    /// The path that tells the recorded ids; `none` where there is none.
    #[arg(long, default_value = "/ids")]
    ids: String,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn mix(&self) -> Mix {
        let named = [
            (Kind::Get, self.get),
            (Kind::Post, self.post),
            (Kind::NewGet, self.new_get),
            (Kind::NewPost, self.new_post),
            (Kind::Slow, self.slow),
            (Kind::Download, self.download),
            (Kind::Silent, self.silent),
        ];
        let usual = mixed();
        let count = |kind: Kind| if self.only { 0 } else { usual.get(&kind).copied().unwrap_or(0) * self.times };
        named.into_iter().map(|(kind, named)| (kind, named.unwrap_or_else(|| count(kind)))).collect()
    }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut load = Load::new(arguments.target)?.mix(arguments.mix());
    load.think = Duration::from_millis(arguments.think);
    load.silence = Duration::from_millis(arguments.silence);
    load.limit = Duration::from_secs(arguments.limit);
    load.paths.ids = Some(arguments.ids.clone()).filter(|path| path != "none");
    if let Some(seconds) = arguments.seconds {
        load.duration = Duration::try_from_secs_f64(seconds)?;
    }
    let running = load.start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            () = closed_input(), if arguments.seconds.is_none() => {}
            () = over(&running) => {}
        }
        anyhow::Ok(())
    })?;
    // The thread that reads the input may still wait in the kernel; nobody waits for it.
    runtime.shutdown_background();
    let report = running.stop()?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn closed_input() {
    let mut part = [0; 1024];
    let mut input = tokio::io::stdin();
    while matches!(input.read(&mut part).await, Ok(read) if read > 0) {}
}

async fn over(running: &scenarios::load::Running) {
    while !running.is_over() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
