//! Runs a command in a one-off container of the new image before the candidate is created, once for each image.
//!
//! | config | meaning | default |
//! |---|---|---|
//! | `command` | the line for the shell of the new image | required |
//! | `rollback` | the line that undoes it if the run is unwound, also in the new image | none: nothing is undone |
//! | `timeout` | how long each may take | until the phase's end |
//!
//! The store remembers by image digest what was done and what was begun, so that a migration is not run twice, also
//! after a crash. One that was begun and not finished is run again: a migration must stand that.
//!
//! `rollback` is for what only the new version uses: the old version serves on while it runs, and must not lose a
//! column or a table that it reads. A migration that only adds needs none.

use swap_hook::exec::Command;
use swap_hook::{Context, Failure, Hook, Outcome, config, log, state};

/// The hook.
pub struct Migrate;

const DONE: &[u8] = b"done";
const LOCK: &str = "lock";

#[swap_hook::export]
impl Hook for Migrate {
    fn pre_start(context: &Context) -> Outcome {
        let command = config::required("command")?;
        let key = key(context);
        if state::get(&key)?.as_deref() == Some(DONE) {
            log::info(format!("{} was migrated before", context.candidate.image));
            return Ok(());
        }
        lock(context)?;
        let result = migrate(context, &key, &command);
        unlock(context)?;
        result
    }

    fn rollback(context: &Context) -> Outcome {
        let key = key(context);
        // Only what this run did is undone: the live container may rely on what another run did.
        if state::get_text(&begun(context))?.is_none() {
            return Ok(());
        }
        if let Some(line) = config::get("rollback") {
            run(&line, "rollback-failed")?;
            state::delete(&key)?;
        }
        state::delete(&begun(context))?;
        unlock(context)
    }

    fn finish(context: &Context) -> Outcome {
        Ok(state::delete(&begun(context))?)
    }
}

fn migrate(context: &Context, key: &str, command: &str) -> Outcome {
    state::set(&begun(context), key)?;
    run(command, "migration-failed")?;
    state::set(key, DONE)?;
    Ok(())
}

fn run(line: &str, code: &str) -> Outcome {
    let mut command = Command::shell("one-off", line).show();
    if let Some(timeout) = config::duration("timeout")? {
        command = command.timeout(timeout);
    }
    let result = command.run().and_then(|output| output.expect_success());
    result.map(|_| ()).map_err(|error| Failure::new(code, format!("`{line}`: {error}")))
}

fn key(context: &Context) -> String {
    format!("image/{}", context.candidate.digest)
}

/// What this run did is remembered until it ends.
fn begun(context: &Context) -> String {
    format!("run/{}", context.run)
}

/// swap lets one run at a time hold a service, so a lock of another run is one that a crash left.
fn lock(context: &Context) -> Outcome {
    let held = state::get(LOCK)?;
    if let Some(run) = held.as_deref().map(String::from_utf8_lossy).filter(|run| *run != context.run) {
        log::warn(format!("run {run} was cut off while it migrated"));
    }
    if state::compare_and_set(LOCK, held.as_deref(), Some(context.run.as_bytes()))? {
        Ok(())
    } else {
        Err(Failure::new("locked", "another run migrates at this moment"))
    }
}

fn unlock(context: &Context) -> Outcome {
    state::compare_and_set(LOCK, Some(context.run.as_bytes()), None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use swap_hook::testing::World;

    const COMMAND: &str = "one-off sh -c php migrate.php";
    const KEY: &str = "image/sha256:2222";

    fn world() -> World {
        World::new().config("command", "php migrate.php").config("rollback", "php migrate.php --down")
    }

    #[test]
    fn an_image_is_migrated_once() {
        let world = world().command(COMMAND, 0, "added a column");
        assert_eq!(world.pre_start::<Migrate>(), Ok(()));
        assert_eq!(world.finish::<Migrate>(), Ok(()));
        assert_eq!(world.pre_start::<Migrate>(), Ok(()));
        assert_eq!(world.deeds(), ["exec one-off sh -c php migrate.php"]);
        assert_eq!(world.lines(), ["info: demo-app was migrated before"]);
        assert_eq!((world.stored("lock"), world.stored(KEY).as_deref()), (None, Some("done")));
    }

    #[test]
    fn a_failed_migration_is_told_and_tried_again() {
        let world = world().command(COMMAND, 1, "no such table\n").command(COMMAND, 0, "");
        let failure = world.pre_start::<Migrate>().unwrap_err();
        assert_eq!(failure, Failure::new("migration-failed", "`php migrate.php`: exit 1: no such table"));
        assert_eq!(world.stored("lock"), None);
        assert_eq!(world.pre_start::<Migrate>(), Ok(()));
    }

    #[test]
    fn rollback_undoes_what_this_run_did_and_is_safe_to_repeat() {
        let world = world().command(COMMAND, 0, "").command("one-off sh -c php migrate.php --down", 0, "");
        world.pre_start::<Migrate>().unwrap();
        world.rollback::<Migrate>().unwrap();
        world.rollback::<Migrate>().unwrap();
        assert_eq!(world.deeds(), ["exec one-off sh -c php migrate.php", "exec one-off sh -c php migrate.php --down"]);
        assert_eq!(world.stored(KEY), None);
    }

    #[test]
    fn rollback_leaves_alone_what_another_run_did() {
        let world = world().state(KEY, "done");
        world.pre_start::<Migrate>().unwrap();
        world.rollback::<Migrate>().unwrap();
        assert_eq!(world.deeds(), [""; 0]);
        assert_eq!(world.stored(KEY).as_deref(), Some("done"));
    }

    #[test]
    fn a_lock_that_a_crash_left_is_taken_over() {
        let world = world().state("lock", "20251231-235959-dead").command(COMMAND, 0, "");
        world.pre_start::<Migrate>().unwrap();
        assert_eq!(world.lines(), ["warn: run 20251231-235959-dead was cut off while it migrated"]);
    }

    #[test]
    fn without_a_command_there_is_nothing_to_do() {
        assert_eq!(World::new().pre_start::<Migrate>().unwrap_err().message, "config needs the key `command`");
    }
}
