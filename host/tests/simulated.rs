//! The engine in a simulated world, in which everything goes wrong at every point.
//!
//! `SWAP_SIM_RUNS` sets how many runs are drawn, `SWAP_SIM_SEED` repeats one of them and tells its story.

use std::time::Instant;

use swap::plan::Plan;

mod simulated {
    pub mod chance;
    pub mod family;
    pub mod foreign;
    pub mod lives;
    pub mod perform;
    pub mod record;
    pub mod world;
}

use simulated::chance::Chance;
use simulated::family::{Family, families};
use simulated::lives::{Story, Then};
use simulated::world::Rules;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn unchanged(_: &mut Plan) {}

fn story(family: &Family) -> Story<'_> {
    Story { family, then: Then::Either, rules: Rules::ALL, change: unchanged }
}

/// Returns the seed of the first run that goes wrong.
fn first_wrong(families: &[Family], rules: Rules, change: fn(&mut Plan), seeds: impl Iterator<Item = u64>) -> Option<u64> {
    let mut seeds = seeds;
    seeds.find(|seed| {
        let family = &families[*seed as usize % families.len()];
        let told = Story { rules, change, ..story(family) }.live(Chance::seeded(*seed), false, false);
        told.violation.is_some()
    })
}

fn tell(family: &Family, rules: Rules, change: fn(&mut Plan), seed: u64) -> String {
    let told = Story { rules, change, ..story(family) }.live(Chance::seeded(seed), true, false);
    format!("seed {seed}, {}: {:?}\n{}", family.name, told.violation, told.story.join("\n"))
}

#[test]
fn nothing_that_goes_wrong_takes_the_service_down() {
    let families = families();
    if let Some(seed) = number("SWAP_SIM_SEED") {
        return println!("{}", tell(&families[seed as usize % families.len()], Rules::ALL, unchanged, seed));
    }
    let runs = number("SWAP_SIM_RUNS").unwrap_or(20_000);
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let began = Instant::now();
    let wrong = std::thread::scope(|scope| {
        let families = &families;
        let part = |first| move || first_wrong(families, Rules::ALL, unchanged, (first..runs).step_by(threads as usize));
        let parts: Vec<_> = (0..threads).map(|first| scope.spawn(part(first))).collect();
        parts.into_iter().filter_map(|part| part.join().expect("a run panics")).min()
    });
    if let Some(seed) = wrong {
        panic!("{}", tell(&families[seed as usize % families.len()], Rules::ALL, unchanged, seed));
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{runs} runs in {seconds:.1} s: {:.0} a minute", runs as f64 / seconds * 60.0);
}
