//! The whole policy of the example's team in one component: `swap --hooks hooks/app.wasm app`.
//!
//! Ready is what `/up` says, three times in a row. The front page is warm before users see it, and after the switch it must
//! come through the front door. While both versions run, more than 2 % of failed requests switch back. No configuration.

use std::time::Duration;

use swap_hook::{Context, Error, Failure, Health, Hook, Outcome, Unhealthy, http, log, metrics, time};

struct App;

#[swap_hook::export]
impl Hook for App {
    fn health(context: &Context) -> Health {
        for _ in 0..3 {
            http::get("http://candidate/up")?.expect_status(200)?;
        }
        if context.stage == "live" { watch() } else { Ok(()) }
    }

    fn pre_swap(_: &Context) -> Outcome {
        for _ in 0..5 {
            http::get("http://candidate/")?.expect_success()?;
        }
        Ok(())
    }

    fn post_swap(_: &Context) -> Outcome {
        let page = || http::get("http://front-door/")?.expect_success();
        time::retry(3, Duration::from_millis(100), page)
            .map_err(|error: Error| Failure::new("front-door", error.message))?;
        Ok(())
    }

    fn finish(context: &Context) -> Outcome {
        log::info(format!("{} now runs {}", context.service, context.candidate.name));
        Ok(())
    }
}

fn watch() -> Health {
    match metrics::since_switch() {
        Ok(seen) if seen.requests >= 50 && seen.failures * 50 > seen.requests => {
            Err(Unhealthy::fatal(format!("{} of {} requests failed", seen.failures, seen.requests)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swap_hook::testing::World;

    fn world() -> World {
        World::new().answers("http://candidate/up", [503, 200]).context(|context| context.stage = "live".into())
    }

    #[test]
    fn ready_is_what_up_says() {
        let world = world();
        assert!(world.health::<App>().is_err());
        assert_eq!(world.health::<App>(), Ok(()));
    }

    #[test]
    fn a_version_that_fails_is_switched_back() {
        let world = world().answers("http://candidate/up", [200]).measured("since-switch", 400, 20, Duration::ZERO);
        assert_eq!(world.health::<App>(), Err(Unhealthy::fatal("20 of 400 requests failed")));
    }

    #[test]
    fn the_front_door_must_answer() {
        let world = world().answers("http://front-door/", [502, 502, 200]);
        assert_eq!(world.post_swap::<App>(), Ok(()));
        let dead = World::new().answers("http://front-door/", [502]);
        assert_eq!(dead.post_swap::<App>(), Err(Failure::new("front-door", "http://front-door/ answered 502")));
    }
}
