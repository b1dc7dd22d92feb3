//! How a plan is printed: by `swap plan`, and step by step while it runs.

use std::fmt;
use std::time::Duration;

use humantime::format_duration;

use super::Plan;
use super::steps::Step;
use crate::model::{Check, Container, InjectedFile, OldVolumes, Place, list_commands};
use crate::text::{printable, short};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.services.iter().map(|service| service.name.as_str()).collect();
        writeln!(
            f,
            "plan for {} of project {}: {} steps",
            names.join(", "),
            printable(&self.project),
            self.steps.len()
        )?;
        for (index, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:>3}  {}", index + 1, printable(&step.to_string()))?;
        }
        for notice in &self.notices {
            writeln!(f, "note: {}", printable(notice))?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<11} ", self.verb())?;
        match self {
            Step::Tag { service, name, image, before: Some(before) } => write!(
                f,
                "{service}: {name} stands for {} instead of {} (compose creates by this name, now and at the next `up`)",
                short(image),
                short(before)
            ),
            Step::Tag { service, name, image, before: None } => {
                write!(f, "{service}: {name} stands for {} (compose creates by this name)", short(image))
            }
            Step::TagBack { service, name, before, .. } => match before {
                Some(before) => write!(f, "{service}: {name} stands for {} again", short(before)),
                None => write!(f, "{service}: nothing is called {name} again"),
            },
            Step::PreStart { service, hooks, .. } if hooks.is_empty() => {
                write!(f, "{service}: nothing to ask (hooks wait for a rollback)")
            }
            Step::PreStart { service, hooks, .. } => {
                write!(f, "{service}: ask {} (before anything is created)", hooks.join(", "))
            }
            Step::Adopt { service, front, live, .. } => {
                let (file, live) = (front.file(service), names(live));
                match front.is_obeyed() {
                    true => write!(f, "{service}: {file} names {live}, as nginx has it already"),
                    false => write!(f, "{service}: {file} names {live}, so that no reload finds what is not ready"),
                }
            }
            Step::Release { service, front } => match front.before {
                Some(_) => write!(f, "{service}: {} is again as it was", front.file(service)),
                None => write!(f, "{service}: remove {} again", front.file(service)),
            },
            Step::Create { service, count, beside, image, .. } => write!(
                f,
                "{service}: {} from {} ({}) beside {} (compose creates, so that compose owns)",
                candidates(*count),
                image.name,
                short(&image.id),
                beside.join(", ")
            ),
            Step::StopOld { service, old, grace, .. } => write!(
                f,
                "{service}: stop {}, {} (order: stop-first, two must never run: a gap begins)",
                names(old),
                grace_text(grace)
            ),
            Step::Init { service, commands, .. } => write!(
                f,
                "{service}: run {}, each in a container of its own beside what was created (pre_start)",
                list_commands(commands)
            ),
            Step::Inject { service, files } => {
                let files: Vec<String> = files.iter().map(InjectedFile::to_string).collect();
                write!(f, "{service}: put {} into what was created", files.join(", "))
            }
            Step::PostStart { service, commands, .. } if commands.is_empty() => {
                write!(f, "{service}: nothing to run (pre_stop waits for an unwinding)")
            }
            Step::PostStart { service, commands, .. } => {
                write!(f, "{service}: run {} in what was started (post_start)", list_commands(commands))
            }
            Step::PreStop { service, commands, .. } if commands.is_empty() => {
                write!(f, "{service}: nothing to run (post_start waits for an unwinding)")
            }
            Step::PreStop { service, old, commands, .. } => {
                write!(
                    f,
                    "{service}: run {} in {} (pre_stop, before it is stopped)",
                    list_commands(commands),
                    names(old)
                )
            }
            Step::Start { service, networks, unnamed, .. } => {
                write!(f, "{service}: start what was created, in {}", networks.join(", "))?;
                match &unnamed[..] {
                    [] => Ok(()),
                    _ if unnamed == networks => write!(f, ", not yet by the service's name"),
                    some => write!(f, ", in {} not yet by the service's name", some.join(", ")),
                }
            }
            Step::Announce { service, places, callers, .. } => write!(
                f,
                "{service}: connect the candidates again, as {}, for {}, and check once more (nobody calls what is not healthy)",
                called(places),
                callers.join(", "),
            ),
            Step::AwaitHealthy { service, checks, successes, stays, hooks, timeout, .. } => {
                let mut what: Vec<String> = checks.iter().map(Check::to_string).collect();
                what.extend(hooks.iter().map(|hook| format!("hook {hook}")));
                write!(f, "{service}: until {}", what.join(" and "))?;
                if *successes > 1 {
                    write!(f, ", {successes} times in a row")?;
                }
                if !stays.is_zero() {
                    write!(f, ", and stays so for {}", format_duration(*stays))?;
                }
                write!(f, ", at most {} (nothing unhealthy gets requests)", format_duration(*timeout))
            }
            Step::PreSwap { service, hooks } => {
                write!(f, "{service}: ask {} (last veto before the switch)", hooks.join(", "))
            }
            Step::Switch { service, front, from, .. } => write!(
                f,
                "{service}: {} names the candidates instead of {}, test, reload {}, confirm",
                front.file(service),
                names(from),
                front.proxy
            ),
            Step::PostSwap { service, hooks } => {
                write!(f, "{service}: ask {} (candidates live, old still runs)", hooks.join(", "))
            }
            Step::Watch { service, time, hooks } => {
                write!(f, "{service}: both run for {}", format_duration(*time))?;
                if !hooks.is_empty() {
                    write!(f, ", judged by {}", hooks.join(", "))?;
                }
                write!(f, " (a bad candidate is switched back)")
            }
            Step::Drain { service, from, timeout, .. } => write!(
                f,
                "{service}: until no nginx worker uses {}, at most {}",
                names(from),
                format_duration(*timeout)
            ),
            Step::Commit => write!(f, "from here the run only goes forward"),
            Step::Retire { service, old, grace, leftovers, volumes, old_volumes, unnamed, .. } => {
                write!(f, "{service}: ")?;
                if !unnamed.is_empty() {
                    write!(f, "take the service's names in {} from the old, ", unnamed.join(" and "))?;
                }
                write!(f, "stop and remove {}, {}", names(old), grace_text(grace))?;
                if !leftovers.is_empty() {
                    write!(f, ", and what does not run: {}", names(leftovers))?;
                }
                if !volumes.is_empty() && *old_volumes == OldVolumes::Remove {
                    write!(f, ", with their anonymous volumes")?;
                }
                write!(f, " (replaced by the candidates)")
            }
            Step::Rest { service, front } => match front.named(service) {
                Some(name) => write!(
                    f,
                    "{service}: {} names {name}, for the next start of nginx (no reload)",
                    front.file(service)
                ),
                None => write!(f, "{service}: {} is at rest", front.file(service)),
            },
            Step::Finish { service, hooks } => write!(f, "{service}: ask {} (swapped)", hooks.join(", ")),
            Step::Rollback { service, hooks } => write!(f, "{service}: ask {} (unwinding)", hooks.join(", ")),
            Step::RemoveCandidates { service, .. } => write!(f, "{service}: remove what was created"),
            Step::EndInit { service, .. } => write!(f, "{service}: remove the containers of pre_start"),
            Step::PreStopCandidates { service, commands, .. } => {
                write!(
                    f,
                    "{service}: run {} in what was started (pre_stop, before it is stopped)",
                    list_commands(commands)
                )
            }
            Step::PostStartOld { service, old, commands, .. } => {
                write!(
                    f,
                    "{service}: run {} in {} (post_start, as it serves again)",
                    list_commands(commands),
                    names(old)
                )
            }
            Step::StartOld { service, old, .. } => write!(f, "{service}: start {} again", names(old)),
            Step::StopCandidates { service, .. } => write!(f, "{service}: stop what was started"),
            Step::SwitchBack { service, front, to, .. } => {
                write!(f, "{service}: {} names {} again, test, reload, confirm", front.file(service), names(to))
            }
        }
    }
}

/// Returns the names of the containers, as `demo-app-1, demo-app-2`.
pub fn names(containers: &[Container]) -> String {
    let names: Vec<&str> = containers.iter().map(|container| container.name.as_str()).collect();
    names.join(", ")
}

fn candidates(count: usize) -> String {
    if count == 1 { "1 candidate".to_owned() } else { format!("{count} candidates") }
}

/// Returns the names that a service has in its networks, as "`app`, `shop` in demo_default".
fn called(places: &[Place]) -> String {
    let place = |place: &Place| {
        let names: Vec<String> = place.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        format!("{} in {}", names.join(", "), place.network)
    };
    places.iter().map(place).collect::<Vec<_>>().join(" and ")
}

fn grace_text(grace: &Option<Duration>) -> String {
    match grace {
        Some(grace) => format!("grace {}", format_duration(*grace)),
        None => "grace 10s".to_owned(),
    }
}
