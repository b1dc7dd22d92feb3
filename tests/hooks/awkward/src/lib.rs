//! Misbehaves in the phase that `in` names, in the way that `does` names.

use std::hint::black_box;
use std::time::Duration;

use swap_hook::http::{self, Request};
use swap_hook::{Context, Error, Health, Hook, Outcome, config, exec::Command, log, state};

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
        "nest" => {
            black_box(nest(black_box(1)));
            Ok(())
        }
        "exit" => std::process::exit(3),
        "sleep" => {
            std::thread::sleep(Duration::from_secs(1_000_000));
            Ok(())
        }
        "grow" => {
            let mut all = Vec::new();
            loop {
                all.push(black_box(vec![1_u8; 1 << 20]));
            }
        }
        "fill" => {
            let mut block = vec![0_u8; 30 << 20];
            loop {
                black_box(&mut block).fill(1);
            }
        }
        "hold" => {
            let mib: usize = config::parsed_or("mib", 30)?;
            let block = black_box(vec![1_u8; mib << 20]);
            std::thread::sleep(Duration::from_secs(2));
            black_box(block);
            Ok(())
        }
        "print" => loop {
            println!("{}", "x".repeat(100));
        },
        "empty lines" => loop {
            log::info("\n".repeat(1 << 16));
        },
        "one line" => {
            log::info("x".repeat(8 << 20));
            Ok(())
        }
        "ask again" => Err(Error { code: "failed".into(), message: "m".repeat(1 << 20) }),
        "tell" => Err(tell(&config::secret("TOKEN")?)),
        "tell and panic" => panic!("{}", config::secret("TOKEN")?),
        "url" => http::get(&format!("http://candidate/{}", "x".repeat(8 << 20))).map(drop),
        "host" => http::get(&format!("http://{}com:81/", "abcde.".repeat(40))).map(drop),
        "headers" => {
            let one = || Request::new("GET", "http://candidate/").header("h", &"x".repeat(60_000));
            let answers = http::send_all((0..250).map(|_| one()).collect(), 64);
            answers.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
        }
        "bodies" => {
            let one = || Request::new("POST", "http://candidate/").body(vec![1; 64_000]);
            let answers = http::send_all((0..200).map(|_| one()).collect(), 64);
            answers.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
        }
        "redirects" => {
            let answer = Request::new("GET", "http://candidate/again").redirects(u32::MAX).send()?;
            Err(Error::new(format!("the answer is {}", answer.status)))
        }
        "store" => {
            for number in 0.. {
                state::set(&format!("{number}"), vec![1; 64 << 10])?;
            }
            Ok(())
        }
        "run" => {
            let line = config::get_or("line", "true");
            let ran = Command::new(&config::get_or("target", "candidate"), ["sh", "-c", &line]).run()?;
            ran.expect_success().map(drop)
        }
        "reach out" => Command::new("service:nginx", ["true"]).run().map(drop),
        other => panic!("`{other}` is unknown"),
    }
}

/// Says a secret in all ways that there are. Returns one more.
fn tell(secret: &str) -> Error {
    let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    println!("{secret}");
    eprintln!("{}", secret.replace('\n', "\r\n"));
    // In parts, and with so much before it that a line is cut in its midst.
    let (first, second) = secret.split_at(secret.len() / 3);
    print!("{first}");
    println!("{second}");
    for before in [4080, 4090, 8180, 8190] {
        log::info("x".repeat(before) + secret);
        print!("{}", "y".repeat(before) + secret);
        let _ = Command::new("candidate", ["printf", "%s%s\\n", &"z".repeat(before), secret]).show().run();
    }
    log::debug(&percent);
    log::warn(percent.to_lowercase());
    log::error(format!("{secret:?}"));
    for target in ["candidate", "one-off", "service:nginx"] {
        let echo = Command::shell(target, "echo \"$TOKEN\"; echo \"$TOKEN\" >&2; exit 3").environment("TOKEN", secret);
        let _ = echo.show().run();
        let _ = Command::new(target, ["echo", secret]).show().run();
        let _ = Command::new(target, [secret]).run();
        let _ = Command::new(secret, [target]).run();
    }
    let line = secret.lines().next().unwrap_or_default();
    for url in [format!("http://candidate/{percent}"), format!("http://{line}/"), format!("{line}://candidate/")] {
        let _ = http::get(&url);
        let _ = Request::new(line, &url).header("authorization", line).body(secret).send();
    }
    let _ = state::set("token", secret);
    let _ = state::set("token", &percent);
    let _ = state::set(line, "value");
    let _ = state::keys(secret);
    Error { code: secret.to_owned(), message: format!("{secret}, {percent}") }
}

/// Calls itself for ever, in a way that the compiler can't turn into a loop.
fn nest(depth: u64) -> u64 {
    if depth == 0 {
        return 0;
    }
    let block = black_box([depth; 64]);
    nest(depth + 1) + block[63]
}
