//! Writes hooks for swap: WebAssembly components that decide whether a new container may serve.
//!
//! ```
//! use swap_hook::{Context, Health, Hook, http};
//!
//! struct Ready;
//!
//! #[swap_hook::export]
//! impl Hook for Ready {
//!     fn health(_: &Context) -> Health {
//!         http::get("http://candidate/up")?.expect_status(200)?;
//!         Ok(())
//!     }
//! }
//!
//! // No Docker and no WebAssembly: the candidate answers 503 three times, then 200.
//! use swap_hook::testing::World;
//! let world = World::new().answers("http://candidate/up", [503, 503, 503, 200]);
//! let verdicts: Vec<bool> = (0..4).map(|_| world.health::<Ready>().is_ok()).collect();
//! assert_eq!(verdicts, [false, false, false, true]);
//! ```
//!
//! A hook is a type that implements [`Hook`]; [`export`] exports the methods that it has, and no others. What it may
//! do, and what it must be granted, is written in the WIT package, `wit/package.wit`.
//!
//! # Layout
//!
//! ```text
//! hook                                     the trait, what its methods answer
//! http exec state config inspect metrics   what swap does for a hook
//! log  time  json                          what it says, the clock, JSON
//! testing                                  a scripted world, on the machine of the author
//! bindings                                 generated from the WIT package
//! ```

#[doc(hidden)]
pub mod bindings;
pub mod config;
pub mod exec;
mod hook;
pub mod http;
pub mod inspect;
pub mod json;
pub mod log;
pub mod metrics;
pub mod state;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod time;

pub use bindings::swap::hooks::types::{Container, Context};
pub use hook::{Error, Failure, Health, Hook, Outcome, Unhealthy};
pub use swap_hook_macros::export;

#[doc(hidden)]
pub mod runtime {
    //! What the code that [`export`](crate::export) writes calls.

    use crate::bindings::swap::hooks::types;
    use crate::hook::{Hook, Unhealthy};
    use crate::{Context, Outcome};

    /// Answers a phase other than `health`.
    pub fn run(phase: fn(&Context) -> Outcome, context: &Context) -> Result<(), types::Failure> {
        report_panics();
        phase(context).map_err(|failure| types::Failure { code: failure.code, message: failure.message })
    }

    /// Answers `health`.
    pub fn check<H: Hook>(context: &Context) -> types::Verdict {
        report_panics();
        match H::health(context) {
            Ok(()) => types::Verdict::Healthy,
            Err(Unhealthy::NotYet { reason, retry_after, progress }) => types::Verdict::NotYet(types::NotYet {
                reason,
                retry_after_ms: retry_after.map(crate::time::milliseconds),
                progress,
            }),
            Err(Unhealthy::Fatal(reason)) => types::Verdict::Fatal(reason),
        }
    }

    /// Puts a panic's message on one line of standard error, where swap finds it. Natively the test says it.
    fn report_panics() {
        #[cfg(target_arch = "wasm32")]
        std::panic::set_hook(Box::new(|panic| {
            let message = panic.payload_as_str().unwrap_or("no message");
            match panic.location() {
                Some(at) => eprintln!("panicked at {}:{}: {message}", at.file(), at.line()),
                None => eprintln!("panicked at an unknown place: {message}"),
            }
        }));
    }
}

/// Exports phases of a type, and names what it needs. Written by [`export`].
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($hook:ty; $($phase:ident)*; $($needs:literal)?) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            $( $crate::__export_phase!($phase $hook); )*
            #[unsafe(link_section = "swap-hook:sdk")]
            #[used]
            static SDK: [u8; $crate::SDK.len()] = $crate::bytes($crate::SDK);
            $(
                #[unsafe(link_section = "swap-hook:needs")]
                #[used]
                static NEEDS: [u8; $needs.len()] = $crate::bytes($needs);
            )?
        };
    };
}

/// What the SDK writes into a component about itself.
#[doc(hidden)]
pub const SDK: &str = concat!("swap-hook ", env!("CARGO_PKG_VERSION"));

/// Returns the bytes of a text as an array, for a custom section.
#[doc(hidden)]
pub const fn bytes<const LENGTH: usize>(text: &str) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let mut at = 0;
    while at < LENGTH {
        bytes[at] = text.as_bytes()[at];
        at += 1;
    }
    bytes
}

/// Exports one phase of a type.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_phase {
    (health $hook:ty) => {
        struct ExportedHealth;
        impl $crate::bindings::health::exports::swap::hooks::health::Guest for ExportedHealth {
            fn check(context: $crate::Context) -> $crate::bindings::swap::hooks::types::Verdict {
                $crate::runtime::check::<$hook>(&context)
            }
        }
        $crate::bindings::health::export_health!(ExportedHealth with_types_in $crate::bindings::health);
    };
    (pre_start $hook:ty) => { $crate::__export_run!(pre_start, export_pre_start, ExportedPreStart, $hook); };
    (pre_swap $hook:ty) => { $crate::__export_run!(pre_swap, export_pre_swap, ExportedPreSwap, $hook); };
    (post_swap $hook:ty) => { $crate::__export_run!(post_swap, export_post_swap, ExportedPostSwap, $hook); };
    (rollback $hook:ty) => { $crate::__export_run!(rollback, export_rollback, ExportedRollback, $hook); };
    (finish $hook:ty) => { $crate::__export_run!(finish, export_finish, ExportedFinish, $hook); };
}

/// Exports one phase that answers done or failed.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_run {
    ($phase:ident, $export:ident, $exported:ident, $hook:ty) => {
        struct $exported;
        impl $crate::bindings::$phase::exports::swap::hooks::$phase::Guest for $exported {
            fn run(context: $crate::Context) -> Result<(), $crate::bindings::swap::hooks::types::Failure> {
                $crate::runtime::run(<$hook as $crate::Hook>::$phase, &context)
            }
        }
        $crate::bindings::$phase::$export!($exported with_types_in $crate::bindings::$phase);
    };
}
