//! Misbehaves in the phase that `in` names, in the way that `does` names.

use swap_hook::{Context, Error, Health, Hook, Outcome, config, exec::Command};

struct Awkward;

#[swap_hook::export]
impl Hook for Awkward {
    fn pre_start(_: &Context) -> Outcome {
        Ok(misbehave("pre-start")?)
    }

    fn health(_: &Context) -> Health {
        Ok(misbehave("health")?)
    }

    fn pre_swap(_: &Context) -> Outcome {
        Ok(misbehave("pre-swap")?)
    }

    fn post_swap(_: &Context) -> Outcome {
        Ok(misbehave("post-swap")?)
    }

    fn rollback(_: &Context) -> Outcome {
        Ok(misbehave("rollback")?)
    }
}

fn misbehave(phase: &str) -> Result<(), Error> {
    if config::get_or("in", "") != phase {
        return Ok(());
    }
    match config::get_or("does", "").as_str() {
        "loop" => loop {
            std::hint::spin_loop();
        },
        "panic" => panic!("nobody expected this"),
        "run" => {
            let line = config::get_or("line", "true");
            let ran = Command::new(&config::get_or("target", "candidate"), ["sh", "-c", &line]).run()?;
            ran.expect_success().map(drop)
        }
        "reach out" => Command::new("service:nginx", ["true"]).run().map(drop),
        other => panic!("`{other}` is unknown"),
    }
}
