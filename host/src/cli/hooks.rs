//! `swap hooks …`: for those who write hooks.

use std::io::Write;
use std::path::Path;

use super::arguments::{Flags, HooksCommand};
use crate::error::{Ended, Exit};
use crate::hooks;
use crate::live::Site;
use crate::model::{Failure, Phase, ServiceName};
use crate::ui::{Display, Volume};

/// Runs a command for hook authors.
pub async fn run(flags: &Flags, command: HooksCommand) -> Result<Exit, Ended> {
    match command {
        HooksCommand::Inspect { component } => inspect(&component),
        HooksCommand::Run { component, phase, service } => ask(flags, &component, &phase, &service).await,
        other => Err(Failure::new(format!("not there yet: {other:?}")).into()),
    }
}

/// Shows what a component says about itself.
fn inspect(file: &Path) -> Result<Exit, Ended> {
    let inspection = hooks::inspect(&file.to_string_lossy())?;
    let _ = writeln!(std::io::stdout(), "{inspection}");
    Ok(Exit::Swapped)
}

/// Asks one phase of a component about the running stack.
async fn ask(flags: &Flags, file: &Path, phase: &str, service: &ServiceName) -> Result<Exit, Ended> {
    let phase = Phase::ALL.into_iter().find(|known| known.name() == phase).ok_or_else(|| {
        let known: Vec<&str> = Phase::ALL.iter().map(|phase| phase.name()).collect();
        Ended::new(Exit::Usage, Failure::new(format!("phase `{phase}` not found (phases: {})", known.join(", "))))
    })?;
    let display = Display::new(flags.output, Volume::Verbose);
    let site = Site::open(&flags.place(), &display).await?;
    let mut settings = super::arguments::overridden(site.settings(service), flags, None)
        .map_err(|failure| Ended::new(Exit::Usage, failure))?;
    settings.hooks = vec![crate::model::HookSpec {
        file: file.to_string_lossy().into_owned(),
        config: flags.set.iter().cloned().collect(),
        allow: flags.allow.clone(),
    }];
    let answer = site.ask_hook(service, settings, phase, &display).await?;
    let _ = writeln!(std::io::stdout(), "{answer}");
    Ok(Exit::Swapped)
}
