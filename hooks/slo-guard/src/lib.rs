//! Judges the watch: when the candidate fails more often, or is slower than before, it is switched back.
//!
//! | config | meaning | default |
//! |---|---|---|
//! | `errors` | failed requests in 1000 beyond those before the switch that are still fine | `10` |
//! | `p99` | the slowest p99, as `500ms` | none |
//! | `p99-percent` | the slowest p99 in percent of that before the switch | `200` |
//! | `least` | with fewer requests than this nothing is judged | `50` |

use swap_hook::metrics::{self, Measurement};
use swap_hook::{Context, Health, Hook, Unhealthy, config, log};

/// The hook.
pub struct SloGuard;

/// A p99 below this is never called slow: at such times, noise is twice of nothing.
const FAST_US: u64 = 20_000;

#[swap_hook::export]
impl Hook for SloGuard {
    fn health(context: &Context) -> Health {
        // Before the switch the front door knows nothing of the candidate.
        if context.stage != "live" {
            return Ok(());
        }
        let now = match metrics::since_switch() {
            Ok(now) => now,
            Err(error) => {
                log::debug(format!("nothing to judge: {error}"));
                return Ok(());
            }
        };
        if now.requests < config::parsed_or("least", 50)? {
            return Ok(());
        }
        judge(&now, metrics::before().ok().filter(|before| before.requests > 0).as_ref())
    }
}

fn judge(now: &Measurement, before: Option<&Measurement>) -> Health {
    let allowed = config::parsed_or("errors", 10)? + before.map_or(0, per_mille);
    let failing = per_mille(now);
    if failing > allowed {
        return Err(Unhealthy::fatal(format!(
            "{} of {} requests failed since the switch, {failing} in 1000; {allowed} are allowed",
            now.failures, now.requests
        )));
    }
    let mut slowest = u64::MAX;
    if let Some(limit) = config::duration("p99")? {
        slowest = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
    }
    if let Some(before) = before {
        let percent = config::parsed_or("p99-percent", 200)?;
        slowest = slowest.min((before.p99_us.saturating_mul(percent) / 100).max(FAST_US));
    }
    if now.p99_us > slowest {
        return Err(Unhealthy::fatal(format!(
            "p99 is {} ms since the switch; {} ms are allowed",
            now.p99_us / 1000,
            slowest / 1000
        )));
    }
    Ok(())
}

/// Returns the failed requests in 1000, rounded up.
fn per_mille(measured: &Measurement) -> u64 {
    measured.failures.saturating_mul(1000).div_ceil(measured.requests.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use swap_hook::testing::World;

    const FAST: Duration = Duration::from_millis(30);

    fn live() -> World {
        World::new().context(|context| context.stage = "live".into()).measured("before", 1000, 0, FAST)
    }

    #[test]
    fn a_candidate_like_before_is_fine() {
        assert_eq!(live().measured("since-switch", 400, 4, FAST * 2).health::<SloGuard>(), Ok(()));
    }

    #[test]
    fn one_that_fails_is_switched_back() {
        let health = live().measured("since-switch", 400, 20, FAST).health::<SloGuard>();
        let why = "20 of 400 requests failed since the switch, 50 in 1000; 10 are allowed";
        assert_eq!(health, Err(Unhealthy::fatal(why)));
    }

    #[test]
    fn failures_that_were_there_before_are_not_its_fault() {
        let world = World::new().context(|context| context.stage = "live".into()).measured("before", 1000, 50, FAST);
        assert_eq!(world.measured("since-switch", 400, 20, FAST).health::<SloGuard>(), Ok(()));
    }

    #[test]
    fn one_that_is_slow_is_switched_back() {
        let health = live().measured("since-switch", 400, 0, FAST * 3).health::<SloGuard>();
        assert_eq!(health, Err(Unhealthy::fatal("p99 is 90 ms since the switch; 60 ms are allowed")));
        let health = live().config("p99", "25ms").measured("since-switch", 400, 0, FAST).health::<SloGuard>();
        assert_eq!(health, Err(Unhealthy::fatal("p99 is 30 ms since the switch; 25 ms are allowed")));
    }

    #[test]
    fn too_few_requests_and_the_time_before_the_switch_are_not_judged() {
        assert_eq!(live().measured("since-switch", 40, 40, FAST).health::<SloGuard>(), Ok(()));
        assert_eq!(live().health::<SloGuard>(), Ok(()));
        assert_eq!(World::new().measured("since-switch", 400, 400, FAST).health::<SloGuard>(), Ok(()));
    }
}
