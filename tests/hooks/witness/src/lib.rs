//! Tells what it sees of the contract, one line each, so that a swap and a scenario can be compared.

use std::time::Duration;

use swap_hook::exec::Command;
use swap_hook::http::{self, Request};
use swap_hook::{Context, Error, Failure, Health, Hook, Outcome, Unhealthy, config, inspect, log, state};

struct Witness;

#[swap_hook::export]
impl Hook for Witness {
    fn pre_start(context: &Context) -> Outcome {
        log::debug("nobody asked for this");
        log::info("this is shown");
        log::warn("this is marked");
        log::error("this too");
        println!("printed");
        tell("first", about(context));
        tell(
            "image",
            format!("named {}, digest {}", !context.candidate.image.is_empty(), &context.candidate.digest[..7]),
        );
        let alike = context.live.iter().all(|live| live.image == context.candidate.image && !live.digest.is_empty());
        tell("live", format!("{} named as the candidate: {alike}", context.live.len()));
        tell("operator", &context.operator);
        tell("no candidate", error(Command::new("candidate", ["true"]).run()));
        tell("not granted", error(Command::new("live", ["true"]).run()));
        keys();
        limits();
        Ok(())
    }

    fn health(context: &Context) -> Health {
        let elapsed = Duration::from_millis(context.elapsed_ms);
        match context.attempt {
            1 => {
                tell("first", about(context));
                tell("asked at once", elapsed < Duration::from_millis(100));
                let retry_after = Some(Duration::from_millis(200));
                Err(Unhealthy::NotYet { reason: "asked for the first time".into(), retry_after, progress: Some(50) })
            }
            2 => {
                tell("asked again after what was wanted", elapsed >= Duration::from_millis(200));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn pre_swap(context: &Context) -> Outcome {
        tell("first", about(context));
        let mib = 5 << 20;
        for target in ["candidate", "one-off"] {
            let long = Command::shell(target, &format!("head -c {mib} /dev/zero | tr '\\0' x; exit 3")).run();
            tell(
                target,
                long.map(|output| {
                    let whole = output.stdout.bytes().all(|byte| byte == b'x');
                    format!(
                        "exit {}, {} bytes, from the beginning: {whole}, cut: {}",
                        output.code,
                        output.stdout.len(),
                        output.truncated
                    )
                })
                .unwrap_or_else(|error| error.message),
            );
            // The second is no text.
            for line in ["echo out; echo err >&2", r"printf 'a\377b'"] {
                let short = Command::shell(target, line).run();
                tell(target, short.map(|output| format!("{output:?}")).unwrap_or_else(|error| error.message));
            }
            tell(
                "no such program",
                error(Command::new(target, ["no-such-program"]).run()).split(':').next().unwrap_or_default(),
            );
            let late = Command::new(target, ["sleep", "60"]).timeout(Duration::from_millis(300)).run();
            tell("too late", error(late));
        }
        let large = http::get("http://candidate/download?mb=5");
        tell(
            "large answer",
            large
                .map(|answer| format!("{}, {} bytes, cut: {}", answer.status, answer.body.len(), answer.truncated))
                .unwrap_or_else(|error| error.message),
        );
        let nowhere = http::get("http://candidate/nowhere").map(|answer| answer.status.to_string());
        tell("no such page", nowhere.unwrap_or_else(|error| error.message));
        let state = inspect::state("candidate").map(|state| state.status);
        tell("state", state.unwrap_or_else(|error| error.message));
        Err(Failure::new("enough", "this is how it ends"))
    }

    fn rollback(context: &Context) -> Outcome {
        tell("first", about(context));
        let kept = state::get_text("kept")?.unwrap_or_default();
        tell("kept", kept);
        Ok(())
    }
}

fn tell(what: &str, seen: impl ToString) {
    log::info(format!("{what}: {}", seen.to_string()));
}

fn about(context: &Context) -> String {
    format!(
        "{} of a {}, attempt {}, candidates {}, created {}, live {}, in time {}, reason {:?}",
        context.phase,
        context.stage,
        context.attempt,
        context.candidates.len(),
        !context.candidate.id.is_empty(),
        context.live.len(),
        (100..=300_000).contains(&context.remaining_ms),
        context.reason
    )
}

fn error<T>(result: Result<T, Error>) -> String {
    result.map_or_else(|error| format!("{}: {}", error.code, error.message), |_| "done".to_owned())
}

/// What the store takes.
fn keys() {
    for length in [0, 1, 100, 101, 256, 257] {
        tell(&format!("key of {length}"), error(state::set(&"k".repeat(length), "v")));
    }
    for length in [64 << 10, (64 << 10) + 1] {
        tell(&format!("value of {length}"), error(state::set("large", vec![255; length])));
    }
    let kept = state::get("large").ok().flatten().unwrap_or_default();
    tell("kept bytes", kept.len() == 64 << 10 && kept.iter().all(|byte| *byte == 255));
    tell("keys", error(state::keys("k").map(|keys| tell("keys", keys.len()))));
    tell("wrong guess", format!("{:?}", state::compare_and_set("large", Some(b"other"), None)));
    for key in state::keys("").unwrap_or_default() {
        let _ = state::delete(&key);
    }
    for number in 0..1000 {
        if let Err(error) = state::set(&number.to_string(), "v") {
            tell("store", error);
            break;
        }
    }
    tell("key 1001", error(state::set("one more", "v")));
    tell("key that is there", error(state::set("7", "other")));
    for number in 0..1000 {
        let _ = state::delete(&number.to_string());
    }
    tell("kept", error(state::set("kept", "since the beginning")));
    if config::get("secret").is_some() {
        tell("secret", error(config::secret("TOKEN")));
        let token = config::secret("TOKEN").unwrap_or_default();
        tell("secret value", error(state::set("token", token.as_str())));
        tell("secret key", error(state::set(&token, "v")));
        tell("shown", &token);
        tell("unknown secret", error(config::secret("OTHER")).split(':').next().unwrap_or_default());
    }
}

/// What is too long, and what makes no sense.
fn limits() {
    let long = |length: usize| "x".repeat(length);
    let get = |url: &str| Request::new("GET", url);
    let mut many = get("http://candidate/");
    for number in 0..101 {
        many = many.header(&format!("h{number}"), "v");
    }
    let requests = [
        ("URL", get(&format!("http://candidate/{}", long(16 << 10)))),
        ("host", get(&format!("http://{}/", format!("{}.", long(60)).repeat(5)))),
        ("method", Request::new(&long(33), "http://candidate/")),
        ("headers", get("http://candidate/").header("h", &long(64 << 10))),
        ("many headers", many),
        ("header", get("http://candidate/").header("h", "a\r\nb: c")),
        ("no URL", get("here")),
        ("scheme", get("file:///etc/passwd")),
        ("password", get("http://me:word@candidate/")),
        ("port of the front door", get("http://front-door:2375/")),
    ];
    for (what, request) in requests {
        tell(what, error(request.send()));
    }
    tell("command", error(Command::new("one-off", ["echo".to_owned(), long(128 << 10)]).run()));
    tell("environment", error(Command::new("one-off", ["env"]).environment("A=B", "c").run()));
    tell("NUL", error(Command::new("one-off", ["echo", "a\0b"]).run()));
    tell("no command", error(Command::new("one-off", [""]).run()));
    tell("target", error(Command::new("the moon", ["true"]).run()));
    tell("service", error(Command::new(&format!("service:{}", long(300)), ["true"]).run()));
}
