//! Components made by hand: a core module as text, wrapped by the WIT package.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::model::Phase;

/// A core module around the body of one phase's function. The body has the context's address as local 0, memory from
/// 1024 on for its data, and returns the address of the answer; 0 is `healthy`, and `ok` for the other phases.
pub(super) fn core(phase: Phase, imports: &str, body: &str, data: &str) -> String {
    let function = if phase == Phase::Health { "check" } else { "run" };
    format!(
        r#"(module
            {imports}
            (memory (export "memory") 2)
            (table $table 1 funcref)
            (global $top (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
                (global.set $top (i32.add (local.get $at) (local.get 3)))
                (block $fits
                    (br_if $fits (i32.le_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))))
                    (drop (memory.grow (i32.add (i32.const 1) (i32.div_u (local.get 3) (i32.const 65536))))))
                (local.get $at))
            (func $phase (export "swap:hooks/{phase}@0.1.0#{function}") (param i32) (result i32)
                {body})
            {data})"#
    )
}

/// Wraps a core module into a component that exports one phase.
pub(super) fn component(phase: Phase, core: &str) -> Vec<u8> {
    let world = format!(
        "package test:hook; world made {{ include swap:hooks/imports@0.1.0; export swap:hooks/{phase}@0.1.0; }}"
    );
    wrap(&world, core)
}

/// Wraps a core module into a component of the only world in `wit`, beside which the WIT package stands.
pub(super) fn wrap(wit: &str, core: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../guest-sdk/wit")).expect("the WIT package");
    let package = resolve.push_str("made.wit", wit).expect("a world");
    let world = resolve.select_world(&[package], None).expect("the only world");
    let mut module = wat::parse_str(core).expect("a core module");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
    ComponentEncoder::default().module(&module).expect("a module").encode().expect("a component")
}

/// A component whose phase has this body and imports nothing.
pub(super) fn plain(phase: Phase, body: &str) -> Vec<u8> {
    component(phase, &core(phase, "", body, ""))
}

/// A health component that sends `GET` of a URL, following up to 10 redirects, and answers `healthy` if that brought any
/// answer, and `fatal` with the message of the error otherwise.
pub(super) fn getter(url: &str) -> Vec<u8> {
    let imports = r#"(import "swap:hooks/http@0.1.0" "send"
        (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i32)))"#;
    // The answer at 2048: whether it is an error at 0; of an error, the message at 16 and 20 (8 aligned payload).
    let body = format!(
        r#"(call $send (i32.const 1024) (i32.const 3) (i32.const 1040) (i32.const {length})
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 0) (i64.const 0) (i32.const 10) (i32.const 2048))
            {FATAL_ON_ERROR}"#,
        length = url.len()
    );
    let data = format!(r#"(data (i32.const 1024) "GET") (data (i32.const 1040) "{url}")"#);
    component(Phase::Health, &core(Phase::Health, imports, &body, &data))
}

/// A health component that runs `true` in a target.
pub(super) fn runner(target: &str) -> Vec<u8> {
    let imports = r#"(import "swap:hooks/exec@0.1.0" "run" (func $run (param i32 i32)))"#;
    // The command at 1536: target, argv, all else empty; argv's only word at 1600.
    let body = format!(
        r#"(i32.store (i32.const 1536) (i32.const 1024)) (i32.store (i32.const 1540) (i32.const {length}))
            (i32.store (i32.const 1544) (i32.const 1600)) (i32.store (i32.const 1548) (i32.const 1))
            (i32.store (i32.const 1600) (i32.const 1100)) (i32.store (i32.const 1604) (i32.const 4))
            (call $run (i32.const 1536) (i32.const 2048))
            (if (result i32) (i32.load8_u (i32.const 2048))
                (then
                    (i32.store (i32.const 3072) (i32.const 2))
                    (i32.store (i32.const 3080) (i32.load (i32.const 2060)))
                    (i32.store (i32.const 3084) (i32.load (i32.const 2064)))
                    (i32.const 3072))
                (else (i32.const 0)))"#,
        length = target.len()
    );
    let data = format!(r#"(data (i32.const 1024) "{target}") (data (i32.const 1100) "true")"#);
    component(Phase::Health, &core(Phase::Health, imports, &body, &data))
}

/// Turns an error at 2048, whose result has an alignment of 8, into a fatal verdict at 3072.
const FATAL_ON_ERROR: &str = r#"(if (result i32) (i32.load8_u (i32.const 2048))
    (then
        (i32.store (i32.const 3072) (i32.const 2))
        (i32.store (i32.const 3080) (i32.load (i32.const 2064)))
        (i32.store (i32.const 3084) (i32.load (i32.const 2068)))
        (i32.const 3072))
    (else (i32.const 0)))"#;
