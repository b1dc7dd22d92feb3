//! Generated from the WIT package: the imports once, each phase as a world of its own, so that a hook exports only what
//! it has. They are generated beforehand, by a test of swap, because to generate them takes a minute and dozens of crates.

#![allow(missing_docs, reason = "generated; the WIT package documents them")]
#![allow(clippy::all, reason = "generated")]

include!("bindings/imports.rs");

pub mod pre_start {
    include!("bindings/pre-start.rs");
}

pub mod health {
    include!("bindings/health.rs");
}

pub mod pre_swap {
    include!("bindings/pre-swap.rs");
}

pub mod post_swap {
    include!("bindings/post-swap.rs");
}

pub mod rollback {
    include!("bindings/rollback.rs");
}

pub mod finish {
    include!("bindings/finish.rs");
}
