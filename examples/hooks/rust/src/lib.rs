//! The conformance hook in Rust, with the SDK; README.md beside this folder says what it does.

use std::time::Duration;

use swap_hook::exec::Command;
use swap_hook::{Context, Failure, Health, Hook, Outcome, Unhealthy, config, http, inspect, log, metrics, state};

/// The hook.
pub struct Conformance;

#[swap_hook::export]
impl Hook for Conformance {
    fn pre_start(context: &Context) -> Outcome {
        if !state::compare_and_set("prepared", None, Some(context.candidate.digest.as_bytes()))? {
            return Ok(());
        }
        match Command::new("one-off", ["prepare"]).run()?.code {
            0 => Ok(()),
            code => {
                state::delete("prepared")?;
                Err(Failure::new("prepare", format!("prepare exited with {code}")))
            }
        }
    }

    fn health(_: &Context) -> Health {
        let path = config::get("path").unwrap_or_else(|| "/up".to_owned());
        let url = format!("http://candidate{path}");
        let status = http::get(&url)?.status;
        let answered = format!("{url} answered {status}");
        match status {
            200 => Ok(()),
            410 => Err(Unhealthy::fatal(answered)),
            _ => Err(Unhealthy::NotYet {
                reason: answered,
                retry_after: Some(Duration::from_millis(100)),
                progress: None,
            }),
        }
    }

    fn pre_swap(_: &Context) -> Outcome {
        match inspect::state("candidate")?.restarts {
            0 => Ok(()),
            restarts => Err(Failure::new("restarts", format!("it was restarted {restarts} times"))),
        }
    }

    fn post_swap(_: &Context) -> Outcome {
        let seen = metrics::since_switch()?;
        match seen.failures {
            0 => Ok(()),
            failures => Err(Failure::new("failures", format!("{failures} of {} requests failed", seen.requests))),
        }
    }

    fn rollback(context: &Context) -> Outcome {
        log::warn(context.reason.as_deref().unwrap_or("no reason"));
        Ok(())
    }

    fn finish(context: &Context) -> Outcome {
        Command::new("service:db", ["announce"]).run()?;
        log::info(format!("{} now runs {}", context.service, context.candidate.name));
        Ok(())
    }
}
