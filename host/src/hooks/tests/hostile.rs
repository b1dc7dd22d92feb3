//! Hostile and broken components: each is refused or ended in time, with a message that names hook and reason.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::component::{component, core, getter, plain, runner, wrap};
use super::world::{Kept, Small, context, engine, load, on_disk, spec, tight};
use crate::hooks::{Health, Hook, HookCall, Hooks, HttpResponse, Limits, Pending, Reply};
use crate::model::{Failure, Phase};

/// What is refused at load, and how.
fn refused(bytes: &[u8]) -> String {
    load(bytes, &[]).expect_err("refused").what
}

/// Calls a phase and checks that it ended in time.
async fn call(hook: &Hook, phase: Phase, world: Small, limits: Limits) -> Result<Reply, Failure> {
    let world = Arc::new(world);
    // On a machine that is busy with other things a call may be late once, through nobody's fault, but not every time.
    let mut lateness = Vec::new();
    for _ in 0..5 {
        let begin = Instant::now();
        let reply = hook.call(phase, &context(), world.clone(), limits, Kept::default().log()).await;
        let late = begin.elapsed().saturating_sub(limits.deadline);
        if late < Duration::from_millis(50) {
            return reply;
        }
        lateness.push(late);
    }
    panic!("late every time: {lateness:?}");
}

async fn aborted(bytes: &[u8]) -> String {
    let hook = load(bytes, &[]).expect("loads");
    call(&hook, Phase::Health, Small::default(), tight()).await.expect_err("aborted").what
}

#[test]
fn what_is_no_component_is_refused() {
    assert_eq!(refused(b"<?php echo 1;"), "hook `bad`: `…/bad.wasm` is not WebAssembly");
    assert_eq!(refused(b""), "hook `bad`: `…/bad.wasm` is not WebAssembly");
    assert_eq!(refused(b"\x7fELF compiled by a stranger"), "hook `bad`: `…/bad.wasm` is not WebAssembly");
    let module = wat::parse_str("(module)").unwrap();
    assert_eq!(refused(&module), "hook `bad`: `…/bad.wasm` is a core module, not a component");
}

#[test]
fn a_component_cut_off_anywhere_is_refused() {
    let whole = plain(Phase::Health, "(i32.const 0)");
    let expected = [
        "hook `bad`: `…/bad.wasm` is not WebAssembly",
        "hook `bad`: `…/bad.wasm` is not a valid component: unexpected end-of-file",
        "hook `bad`: `…/bad.wasm` is not a valid component: function section has non-zero count but code section is absent",
        "hook `bad`: it exports nothing, so no phase of swap:hooks",
    ];
    for length in 1..whole.len() {
        match load(&whole[..length], &[]) {
            Err(failure) => assert!(expected.contains(&failure.what.as_str()), "cut at {length}: {failure}"),
            // Cut between the last sections, which hold names that nobody needs.
            Ok(hook) => assert!(hook.phases() == [Phase::Health] && length > whole.len() / 2, "cut at {length}"),
        }
    }
    assert_eq!(
        refused(&whole[..whole.len() - 1]),
        "hook `bad`: `…/bad.wasm` is not a valid component: unexpected end-of-file"
    );
}

#[test]
fn a_component_with_a_flipped_byte_never_harms_the_loader() {
    let whole = plain(Phase::Health, "(i32.const 0)");
    for at in (0..whole.len()).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        // Some still load, as names and padding don't matter; none may panic.
        let _ = load(&bytes, &[]);
    }
}

/// A component of the lines, around nothing.
fn of(lines: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {lines})")).unwrap()
}

#[test]
fn what_is_too_much_to_compile_is_refused_before_it_is_compiled() {
    let too_much = |what: &str| format!("hook `bad`: `…/bad.wasm` has {what}, which is too much to compile");
    let functions = "(func)".repeat(20_001);
    assert_eq!(refused(&of(&format!("(core module {functions})"))), too_much("more than 20000 functions"));
    let large = "(drop (i64.const 0x7fffffffffffffff))".repeat(60_000);
    assert_eq!(refused(&of(&format!("(core module (func {large}))"))), too_much("a function of more than 512 KiB"));
    let code = format!("(func {})", "(drop (i64.const 0x7fffffffffffffff))".repeat(30_000)).repeat(32);
    assert_eq!(refused(&of(&format!("(core module {code})"))), too_much("more than 10 MiB of code"));
    let globals = "(global i32 (i32.const 0))".repeat(20_001);
    assert_eq!(refused(&of(&format!("(core module {globals})"))), too_much("more than 20000 globals"));
    let export = |number: usize| format!("(export \"{number:0>100}\" (func 0))");
    let exports: String = (0..21_000).map(export).collect();
    let declares = format!("(core module (func) {exports})");
    assert_eq!(refused(&of(&declares)), too_much("more than 2 MiB of declarations"));
    // Each instantiates the one before it twice.
    let mut nested = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for depth in 1..40 {
        let twice = format!("(instance (instantiate $c{}))", depth - 1).repeat(2);
        nested += &format!("(component $c{depth} {twice})");
    }
    nested += "(instance (instantiate $c39))";
    assert_eq!(refused(&of(&nested)), too_much("parts that make more than 1000 instances"));
    let given = "(component $c (import \"c\" (component $d)) (instance (instantiate $d)) (instance (instantiate $d)))";
    assert_eq!(
        refused(&of(given)),
        "hook `bad`: `…/bad.wasm` is not a valid component: it wants to be given a component"
    );
}

/// Returns the most memory that this process has had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    peak.unwrap()
}

#[test]
fn what_is_just_not_too_much_to_compile_takes_bounded_memory() {
    let line = "(local.set 1 (i32.add (local.get 1) (i32.const 77777777)))";
    let many = |count: usize, lines: usize| format!("(func (local i32 i32) {})", line.repeat(lines)).repeat(count);
    for (what, functions) in [("many small functions", many(19_000, 30)), ("few large functions", many(16, 40_000))] {
        let bytes = component(Phase::Health, &core(Phase::Health, "", "(i32.const 0)", &functions));
        drop(functions);
        // From here on the peak counts anew.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = peak_kib();
        let loaded = load(&bytes, &[]);
        let grown = (peak_kib() - before) >> 10;
        println!("{what}: {} KiB of component, {grown} MiB", bytes.len() >> 10);
        // On a machine that is busy the time for it may be over first.
        let late = loaded.err().map(|failure| failure.what);
        assert!(late.as_ref().is_none_or(|what| what.contains("to compile")), "{late:?}");
        assert!(grown < 300, "{what} took {grown} MiB");
    }
}

#[test]
fn what_a_component_calls_itself_and_others_is_short_in_messages() {
    let long = "n".repeat(90_000);
    let exporting = of(&format!("(instance $i) (export \"{long}\" (instance $i))"));
    let message = refused(&exporting);
    assert!(message.starts_with("hook `bad`: it exports no phase of swap:hooks (nnn"), "{message}");
    assert!(message.len() < 1000, "{} bytes", message.len());
    let importing = of(&format!("(import \"{long}\" (instance))"));
    assert!(refused(&importing).len() < 1000);
    let section = |data: &str| of(&format!("(@custom \"swap-hook:needs\" \"{data}\")"));
    for data in [long.clone(), format!("secret:{long}"), "exec:db ".repeat(30_000)] {
        let message = refused(&section(&data));
        assert!(message.len() < 1000, "{} bytes", message.len());
    }
}

#[test]
fn a_component_of_another_world_is_refused() {
    let other = wrap("package other:thing; world w { export run: func(); }", r#"(module (func (export "run")))"#);
    assert_eq!(refused(&other), "hook `bad`: it exports no phase of swap:hooks (run)");
    let wrong_type = wat::parse_str(
        r#"(component
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $h (export "check" (func $f)))
            (export "swap:hooks/health@0.1.0" (instance $h)))"#,
    )
    .unwrap();
    assert_eq!(
        refused(&wrong_type),
        "hook `bad`: it does not fit swap:hooks 0.1.0: `health`: expected 1-tuple, found 0-tuple"
    );
}

#[test]
fn imports_that_cannot_be_had_are_refused_by_name() {
    let importing = |name: &str| {
        wat::parse_str(format!(
            r#"(component
                (import "{name}" (instance (export "f" (func))))
                (instance $h)
                (export "swap:hooks/finish@0.1.0" (instance $h)))"#
        ))
        .unwrap()
    };
    for (name, why) in [
        ("swap:hooks/shell@0.1.0", "it imports `swap:hooks/shell@0.1.0`, which swap does not have"),
        ("swap:hooks/shell@0.1.7", "it imports `swap:hooks/shell@0.1.7`, which is newer than this swap (0.1.0)"),
        ("swap:hooks/log@0.2.0", "it was made for swap:hooks 0.2.0, this swap has 0.1.0"),
        ("swap:hooks/log@1.0.0", "it was made for swap:hooks 1.0.0, this swap has 0.1.0"),
        (
            "wasi:http/outgoing-handler@0.2.0",
            "it imports `wasi:http/outgoing-handler@0.2.0`, which hooks can't have (they have swap:hooks and WASI 0.2)",
        ),
        (
            "evil:docker/socket",
            "it imports `evil:docker/socket`, which hooks can't have (they have swap:hooks and WASI 0.2)",
        ),
    ] {
        assert_eq!(refused(&importing(name)), format!("hook `bad`: {why}"));
    }
    // The interface is there, the function is not: a newer patch version.
    let message = refused(&importing("swap:hooks/log@0.1.9"));
    assert_eq!(
        message,
        "hook `bad`: it does not fit swap:hooks 0.1.0: component imports instance `swap:hooks/log@0.1.9`, but a matching \
         implementation was not found in the linker: instance export `f` has the wrong type: function implementation is \
         missing"
    );
}

#[test]
fn a_phase_of_a_newer_swap_is_refused() {
    let newer =
        wat::parse_str(r#"(component (instance $h) (export "swap:hooks/mid-swap@0.1.3" (instance $h)))"#).unwrap();
    assert_eq!(refused(&newer), "hook `bad`: it exports `swap:hooks/mid-swap@0.1.3`, which is no phase of this swap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_loop_ends_in_every_phase() {
    for phase in Phase::ALL {
        let hook = load(&plain(phase, "(loop (br 0)) (i32.const 0)"), &[]).unwrap();
        let failure = call(&hook, phase, Small::default(), tight()).await.unwrap_err();
        assert_eq!(failure.what, format!("hook `bad` ({phase}) aborted: no answer within 300ms"));
    }
}

#[tokio::test]
async fn an_endless_loop_ends_at_instantiation_too() {
    let core = core(Phase::Health, "", "(i32.const 0)", "(func $begin (loop (br 0))) (start $begin)");
    assert_eq!(aborted(&component(Phase::Health, &core)).await, "hook `bad` (health) aborted: no answer within 300ms");
}

#[tokio::test]
async fn computing_has_its_own_limit() {
    let hook = load(&plain(Phase::Health, "(loop (br 0)) (i32.const 0)"), &[]).unwrap();
    let limits = Limits { cpu: Duration::from_millis(50), deadline: Duration::from_secs(20), ..tight() };
    let begin = Instant::now();
    let failure = call(&hook, Phase::Health, Small::default(), limits).await.unwrap_err();
    assert_eq!(failure.what, "hook `bad` (health) aborted: it computed for more than 50ms");
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_memory_bomb_is_named() {
    let body = "(loop (drop (memory.grow (i32.const 16))) (br 0)) (i32.const 0)";
    assert_eq!(
        aborted(&plain(Phase::Health, body)).await,
        "hook `bad` (health) aborted: it needs more than 16 MiB of memory, with what swap holds for it"
    );
    let at_once = plain(Phase::Health, "(drop (memory.grow (i32.const 60000))) (i32.const 0)");
    assert_eq!(
        aborted(&at_once).await,
        "hook `bad` (health) aborted: it needs more than 16 MiB of memory, with what swap holds for it"
    );
}

#[tokio::test]
async fn a_table_bomb_is_named() {
    let body = "(drop (table.grow $table (ref.null func) (i32.const 100000000))) (i32.const 0)";
    assert_eq!(
        aborted(&plain(Phase::Health, body)).await,
        "hook `bad` (health) aborted: it needs tables of more than 200000 entries"
    );
}

#[tokio::test]
async fn deep_recursion_is_named() {
    assert_eq!(
        aborted(&plain(Phase::Health, "(call $phase (local.get 0))")).await,
        "hook `bad` (health) aborted: its calls are nested too deep (the stack has 512 KiB)"
    );
}

#[tokio::test]
async fn a_trap_is_named() {
    assert_eq!(
        aborted(&plain(Phase::Health, "unreachable")).await,
        "hook `bad` (health) aborted: wasm trap: wasm `unreachable` instruction executed"
    );
    assert_eq!(
        aborted(&plain(Phase::Health, "(i32.div_u (i32.const 1) (i32.const 0))")).await,
        "hook `bad` (health) aborted: wasm trap: integer divide by zero"
    );
}

#[tokio::test]
async fn a_log_flood_is_ended() {
    let imports = r#"(import "swap:hooks/log@0.1.0" "info" (func $info (param i32 i32)))"#;
    let body = "(loop (call $info (i32.const 1024) (i32.const 100)) (br 0)) (i32.const 0)";
    let flood = component(Phase::Health, &core(Phase::Health, imports, body, r#"(data (i32.const 1024) "\1b[2J")"#));
    let hook = load(&flood, &[]).unwrap();
    let kept = Kept::default();
    let failure =
        hook.call(Phase::Health, &context(), Arc::new(Small::default()), tight(), kept.log()).await.unwrap_err();
    assert_eq!(failure.what, "hook `bad` (health) aborted: it logged more than 64 KiB");
    assert!(kept.lines().iter().all(|line| !line.contains('\u{1b}')), "no line moves the cursor");
    assert!(kept.lines().len() < 1000);
    assert_eq!(failure.tail.len(), 20);
}

#[tokio::test]
async fn a_lie_about_the_answer_is_ended() {
    // An answer outside of the memory, a verdict that does not exist, a message of 4 GB, a message that is not text.
    for (body, why) in [
        ("(i32.const -8)", "pointer out of bounds of memory"),
        ("(i32.store8 (i32.const 0) (i32.const 7)) (i32.const 0)", "unexpected discriminant: 7"),
        (
            "(i32.store (i32.const 0) (i32.const 2)) (i32.store (i32.const 12) (i32.const -1)) (i32.const 0)",
            "string pointer/length out of bounds of memory",
        ),
        (
            "(i32.store (i32.const 0) (i32.const 2)) (i32.store (i32.const 8) (i32.const 64))
             (i32.store (i32.const 12) (i32.const 1)) (i32.store (i32.const 64) (i32.const 255)) (i32.const 0)",
            "invalid utf-8 sequence of 1 bytes from index 0",
        ),
    ] {
        let message = aborted(&plain(Phase::Health, body)).await;
        assert_eq!(message, format!("hook `bad` (health) aborted: {why}"));
    }
}

#[tokio::test]
async fn all_that_a_hook_says_in_a_run_is_limited() {
    let imports = r#"(import "swap:hooks/log@0.1.0" "info" (func $info (param i32 i32)))"#;
    let body = "(call $info (i32.const 0) (i32.const 60000)) (i32.const 0)";
    let hook = load(&component(Phase::Health, &core(Phase::Health, imports, body, "")), &[]).unwrap();
    let kept = Kept::default();
    let limits = Limits { log_of_run: 1 << 20, ..tight() };
    for _ in 0..30 {
        let reply = hook.call(Phase::Health, &context(), Arc::new(Small::default()), limits, kept.log()).await;
        assert_eq!(reply, Ok(Reply::Healthy), "what is not shown is no failure");
    }
    let lines = kept.lines();
    let said: usize = lines.iter().map(String::len).sum();
    assert!(said < (1 << 20) + 100_000, "{said}");
    let last = "bad health Warn: it has logged more than 1 MiB in this run; what it says further is not shown";
    assert_eq!(lines.last().map(String::as_str), Some(last));
    assert_eq!(lines.iter().filter(|line| *line == last).count(), 1);
}

#[tokio::test]
async fn nobody_is_asked_again_at_once() {
    let body = "(i32.store (i32.const 0) (i32.const 1)) (i32.store (i32.const 16) (i32.const 1)) (i32.const 0)";
    let hook = load(&plain(Phase::Health, body), &[]).unwrap();
    let reply = call(&hook, Phase::Health, Small::default(), tight()).await;
    let Ok(Reply::NotYet { retry_after, .. }) = reply else { panic!("{reply:?}") };
    assert_eq!(retry_after, Some(Duration::from_millis(50)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_hooks_together_have_a_limit() {
    // Has most of what there is, and waits.
    let imports = r#"(import "swap:hooks/http@0.1.0" "send"
        (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i32)))"#;
    let all = crate::hooks::limits::ALL;
    let pages = (all >> 16) * 2 / 3;
    let body = format!(
        r#"(drop (memory.grow (i32.const {pages})))
            (call $send (i32.const 1024) (i32.const 3) (i32.const 1040) (i32.const 17)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 0) (i64.const 0) (i32.const 10) (i32.const 2048)) (i32.const 0)"#
    );
    let data = r#"(data (i32.const 1024) "GET") (data (i32.const 1040) "http://candidate/")"#;
    let hook = load(&component(Phase::Health, &core(Phase::Health, imports, &body, data)), &[]).unwrap();
    let limits = Limits { memory: all, deadline: Duration::from_secs(20), ..Limits::default() };
    let world = Arc::new(Small::default());
    let context = context();
    let ask = || hook.call(Phase::Health, &context, world.clone(), limits, Kept::default().log());
    // The first holds what it has until it is dropped.
    let (first, second) = (ask(), ask());
    tokio::select! {
        reply = first => panic!("{reply:?}"),
        reply = async { tokio::time::sleep(Duration::from_millis(200)).await; second.await } => {
            let all = all >> 20;
            assert_eq!(
                reply.unwrap_err().what,
                format!("hook `bad` (health) aborted: all hooks together need more than {all} MiB of memory")
            );
        }
    }
    // What a call had is there again.
    let reply = tokio::time::timeout(Duration::from_secs(1), ask()).await;
    assert!(reply.is_err(), "it waits for its answer, not for memory: {reply:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deadline_ends_a_hook_that_fills_its_memory() {
    let pages = (Limits::default().memory >> 16) - 10;
    let body = format!(
        "(drop (memory.grow (i32.const {pages})))
         (loop $again (br_if $again (i32.eqz (i32.const 0)))) (i32.const 0)"
    );
    // Waits until just before the deadline, then fills all of its memory at once.
    let body = body.replace(
        "(br_if $again (i32.eqz (i32.const 0)))",
        &format!(
            "(local.set 1 (i32.add (local.get 1) (i32.const 1)))
             (br_if $again (i32.lt_u (local.get 1) (i32.const 200000000)))
             (memory.fill (i32.const 65536) (i32.const 1) (i32.const {}))
             (br $again)",
            (pages - 2) << 16
        ),
    );
    let hook = load(&plain(Phase::Health, &format!("(local i32) {body}")), &[]).unwrap();
    let limits = Limits { memory: Limits::default().memory, ..tight() };
    let failure = call(&hook, Phase::Health, Small::default(), limits).await.unwrap_err();
    assert_eq!(failure.what, "hook `bad` (health) aborted: no answer within 300ms");
}

#[tokio::test]
async fn an_enormous_message_is_cut() {
    // 1 MiB of NUL.
    let body = "(drop (memory.grow (i32.const 30))) (i32.store (i32.const 0) (i32.const 2))
        (i32.store (i32.const 8) (i32.const 131072)) (i32.store (i32.const 12) (i32.const 1048576)) (i32.const 0)";
    let hook = load(&plain(Phase::Health, body), &[]).unwrap();
    let reply = call(&hook, Phase::Health, Small::default(), tight()).await;
    let Ok(Reply::Fatal(failure)) = reply else { panic!("{reply:?}") };
    assert!(failure.what.len() < 20_000, "{}", failure.what.len());
}

#[tokio::test]
async fn commands_out_of_grant_are_refused_with_the_line_that_grants_them() {
    for (target, grant, place) in [
        ("live", "exec:live", "the live container"),
        ("live:demo-app-1", "exec:live", "the live container"),
        ("service:db", "exec:db", "the service `db`"),
        ("service:live", "exec:service:live", "the service `live`"),
    ] {
        let hook = load(&runner(target), &[]).unwrap();
        let Ok(Reply::Fatal(failure)) = call(&hook, Phase::Health, Small::default(), tight()).await else { panic!() };
        let cure = format!("allow it with `allow: [ \"{grant}\" ]` beside the hook in `x-swap`, or `--allow {grant}`");
        assert_eq!(failure.what, format!("hook `bad` (health) is fatal: to run a command in {place} is not granted"));
        assert_eq!(failure.hint, Some(cure));
        let granted = load(&runner(target), &[grant]).unwrap();
        assert_eq!(call(&granted, Phase::Health, Small::default(), tight()).await, Ok(Reply::Healthy));
    }
}

#[tokio::test]
async fn requests_out_of_grant_are_refused_with_the_line_that_grants_them() {
    let answering =
        || Small { answer: Some(HttpResponse { status: 200, ..HttpResponse::default() }), ..Small::default() };
    for url in
        ["http://candidate/up", "http://candidate:8080/up", "http://demo-app-2.candidate/", "https://front-door/"]
    {
        let hook = load(&getter(url), &[]).unwrap();
        assert_eq!(call(&hook, Phase::Health, answering(), tight()).await, Ok(Reply::Healthy), "{url}");
    }
    for (url, grant) in [
        ("http://live/up", "http:live"),
        ("http://demo-app-1.live/up", "http:live"),
        ("https://example.com/", "http:example.com:443"),
        ("http://EXAMPLE.com:8080/", "http:example.com:8080"),
        ("http://169.254.169.254/latest/meta-data", "http:169.254.169.254:80"),
        ("http://0x7f.1/", "http:127.0.0.1:80"),
        ("http://[::1]:2375/", "http:[::1]:2375"),
        ("http://candidate.evil.com/", "http:candidate.evil.com:80"),
    ] {
        let hook = load(&getter(url), &[]).unwrap();
        let Ok(Reply::Fatal(failure)) = call(&hook, Phase::Health, answering(), tight()).await else { panic!("{url}") };
        let cure = format!("allow it with `allow: [ \"{grant}\" ]` beside the hook in `x-swap`, or `--allow {grant}`");
        assert_eq!(failure.hint, Some(cure), "{url}");
        let granted = load(&getter(url), &[grant]).unwrap();
        assert_eq!(call(&granted, Phase::Health, answering(), tight()).await, Ok(Reply::Healthy), "{url}");
    }
    for (url, why) in [
        ("file:///etc/passwd", "`file:///etc/passwd` is neither http nor https"),
        ("http://other.candidate/", "no container `candidate:other` in this run"),
        ("http://user:secret@candidate/", "a URL with a password; send an `authorization` header"),
        ("up", "`up` is not a URL"),
    ] {
        let hook = load(&getter(url), &[]).unwrap();
        let Ok(Reply::Fatal(failure)) = call(&hook, Phase::Health, answering(), tight()).await else { panic!("{url}") };
        assert_eq!(failure.what, format!("hook `bad` (health) is fatal: {why}"));
    }
}

#[tokio::test]
async fn redirects_are_checked_again() {
    let redirecting = |to: &str| Small {
        answer: Some(HttpResponse {
            status: 302,
            headers: vec![("location".to_owned(), to.to_owned())],
            ..HttpResponse::default()
        }),
        ..Small::default()
    };
    let hook = load(&getter("http://candidate/up"), &[]).unwrap();
    assert_eq!(call(&hook, Phase::Health, redirecting("/end"), tight()).await, Ok(Reply::Healthy));
    let Ok(Reply::Fatal(failure)) = call(&hook, Phase::Health, redirecting("http://db:5984/end"), tight()).await else {
        panic!()
    };
    assert_eq!(failure.what, "hook `bad` (health) is fatal: to send a request to `db:5984` is not granted");
    assert_eq!(
        failure.hint.as_deref(),
        Some("allow it with `allow: [ \"http:db:5984\" ]` beside the hook in `x-swap`, or `--allow http:db:5984`")
    );
    let granted = load(&getter("http://candidate/up"), &["http:db:5984"]).unwrap();
    assert_eq!(call(&granted, Phase::Health, redirecting("http://db:5984/end"), tight()).await, Ok(Reply::Healthy));
    let file = call(&hook, Phase::Health, redirecting("file:///etc/passwd"), tight()).await;
    assert!(matches!(file, Ok(Reply::Fatal(_))));
    // One that turns in a circle ends with the redirect itself as the answer.
    assert_eq!(call(&hook, Phase::Health, redirecting("/up"), tight()).await, Ok(Reply::Healthy));
}

#[tokio::test]
async fn an_enormous_body_is_cut() {
    let enormous = HttpResponse { status: 200, body: vec![0; 64 << 20], ..HttpResponse::default() };
    let hook = load(&getter("http://candidate/"), &[]).unwrap();
    let world = Small { answer: Some(enormous), ..Small::default() };
    let limits = Limits { deadline: Duration::from_secs(5), ..tight() };
    assert_eq!(call(&hook, Phase::Health, world, limits).await, Ok(Reply::Healthy));
}

#[tokio::test]
async fn the_deadline_ends_a_request_that_runs() {
    let hook = load(&getter("http://candidate/"), &[]).unwrap();
    let world = Small::default();
    let dropped = world.dropped.clone();
    let failure = call(&hook, Phase::Health, world, tight()).await.unwrap_err();
    assert_eq!(failure.what, "hook `bad` (health) aborted: no answer within 300ms");
    assert!(*dropped.lock().unwrap(), "the request was ended");
}

#[tokio::test]
async fn the_first_fatal_verdict_counts_and_who_hangs_is_named() {
    let hangs = on_disk("hangs", &getter("http://candidate/"));
    let body = "(i32.store (i32.const 0) (i32.const 2)) (i32.const 0)";
    let never = on_disk("never", &plain(Phase::Health, body));
    let hooks = Hooks::load(&engine(), &[spec(&hangs, &[]), spec(&never, &[])]).unwrap();
    let world = Arc::new(Small::default());
    let (begun, ended) = (world.begun.clone(), world.dropped.clone());
    let (context, pending) = (context(), Pending::default());
    let limits = Limits { deadline: Duration::from_secs(60), ..tight() };
    let asked = HookCall { context: &context, capabilities: world, limits, log: Kept::default().log() };
    let begin = Instant::now();
    let Health::Fatal(failure) = hooks.health(&asked, &pending).await else { panic!() };
    assert_eq!(failure.what, "hook `never` (health) is fatal: ");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(pending.said().as_deref(), Some("hook `hangs` (health) has not answered for 0s"));
    // Where the verdict came first, the other has begun nothing.
    assert_eq!(*begun.lock().unwrap(), *ended.lock().unwrap(), "what the other had begun is ended");
}

#[tokio::test]
async fn one_hook_that_loops_does_not_hold_up_another() {
    let looping = load(&plain(Phase::Health, "(loop (br 0)) (i32.const 0)"), &[]).unwrap();
    let fine = load(&plain(Phase::Health, "(i32.const 0)"), &[]).unwrap();
    let begin = Instant::now();
    let quick = async {
        let reply = call(&fine, Phase::Health, Small::default(), tight()).await;
        (reply, begin.elapsed())
    };
    let (endless, (reply, took)) = tokio::join!(call(&looping, Phase::Health, Small::default(), tight()), quick);
    assert!(endless.is_err());
    assert_eq!(reply, Ok(Reply::Healthy));
    assert!(took < Duration::from_millis(300), "{took:?}");
}
