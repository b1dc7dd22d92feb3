//! `swap hooks …`: for those who write hooks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::arguments::{Flags, HooksCommand};
use super::signals;
use crate::error::{Ended, Exit};
use crate::executor::interrupted;
use crate::hooks::scripted::{self, Scenario};
use crate::hooks::{self, Built, Engine};
use crate::model::{Failure, Phase, ServiceName};
use crate::session::ENDED_WITHIN;
use crate::site::{Looks, Site};
use crate::text::printable;
use crate::ui::{self, Display, Volume};

/// Runs a command for hook authors.
pub(super) async fn run(flags: &Flags, command: HooksCommand) -> Result<Exit, Ended> {
    match command {
        HooksCommand::Inspect { component } => inspect(&component),
        HooksCommand::Run { component, phase, service } => ask(flags, &component, &phase, &service).await,
        HooksCommand::New { folder } => new(&folder),
        HooksCommand::Build { folder, out } => build(&folder, out.as_deref()),
        HooksCommand::Test { component, scenario } => test(&component, &scenario),
    }
}

/// Makes a crate and says what to do with it.
fn new(folder: &Path) -> Result<Exit, Ended> {
    hooks::scaffold(folder)?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    ui::print(&format!(
        "made the hook `{name}` in {folder}: its code is src/lib.rs\n\n  \
         cd {folder}\n  \
         cargo test                                             natively, without WebAssembly\n  \
         swap hooks build                                       makes {name}.wasm\n  \
         swap hooks test {name}.wasm --scenario scenarios\n  \
         swap --hooks {name}.wasm SERVICE\n",
        folder = printable(&folder.to_string_lossy()),
    ));
    Ok(Exit::Swapped)
}

/// Builds a component and says what it is.
fn build(folder: &Path, out: Option<&Path>) -> Result<Exit, Ended> {
    let Built { file, inspection } = hooks::build(folder, out)?;
    ui::print(&format!("built       {}\n{inspection}\n", printable(&file.to_string_lossy())));
    Ok(Exit::Swapped)
}

/// Runs a component through scenarios and prints each call.
fn test(file: &Path, scenarios: &[PathBuf]) -> Result<Exit, Ended> {
    let engine = Arc::new(Engine::new(hooks::default_cache_folder().as_deref())?);
    if let Some(problem) = engine.cache_problem() {
        Display::new(ui::Format::Text, Volume::Normal).remark(&problem.what);
    }
    let scenarios = scripted::files(scenarios)?;
    let mut wrong = 0;
    for path in &scenarios {
        let report = Scenario::read(path)?.run(&engine, &file.to_string_lossy())?;
        if scenarios.len() > 1 {
            ui::print(&format!("=== {}\n", printable(&path.to_string_lossy())));
        }
        ui::print(&report.text);
        wrong += report.wrong;
    }
    Ok(if wrong == 0 { Exit::Swapped } else { Exit::NOT_AS_EXPECTED })
}

/// Shows what a component says about itself.
fn inspect(file: &Path) -> Result<Exit, Ended> {
    let inspection = hooks::inspect(&file.to_string_lossy())?;
    ui::print(&format!("{inspection}\n"));
    Ok(Exit::Swapped)
}

/// Asks one phase of a component about the running stack.
async fn ask(flags: &Flags, file: &Path, phase: &str, service: &ServiceName) -> Result<Exit, Ended> {
    let phase = Phase::ALL.into_iter().find(|known| known.name() == phase).ok_or_else(|| {
        let known: Vec<&str> = Phase::ALL.iter().map(|phase| phase.name()).collect();
        Ended::new(Exit::Usage, Failure::new(format!("phase `{phase}` not found (phases: {})", known.join(", "))))
    })?;
    let display = Display::new(flags.output, Volume::Verbose);
    let site = Site::open(&flags.place(), Looks::AtNoNginx, &display).await?;
    let mut settings = flags.overrides()?.over(site.settings(service), None);
    settings.hooks = vec![crate::model::HookSpec {
        file: file.to_string_lossy().into_owned(),
        config: flags.set.iter().cloned().collect(),
        allow: flags.allow.clone(),
    }];
    let mut wishes = signals::listen()?;
    site.end_left_commands(None, &display).await?;
    let answer = tokio::select! {
        answer = site.ask_hook(service, settings, phase, &display) => answer.map_err(Ended::from),
        signal = interrupted(&mut wishes) => {
            let failure = Failure::new(format!("{signal}: hook `{}` ({phase}) was given up", printable(&file.to_string_lossy())));
            Err(Ended::new(Exit::NOT_AS_EXPECTED, failure))
        }
    };
    // What it had begun ends first.
    for what in site.settle(ENDED_WITHIN).await {
        display.remark(&format!("{what} was given up and still runs"));
    }
    ui::print(&format!("{}\n", answer?));
    Ok(Exit::Swapped)
}
