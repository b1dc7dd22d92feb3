//! Generated from the WIT package: the imports once, each phase as a world of its own, so that a hook exports only what
//! it has.

#![allow(missing_docs, reason = "generated; the WIT package documents them")]

wit_bindgen::generate!({ path: "wit", world: "imports" });

macro_rules! phase {
    ($phase:ident, $world:literal, $export:literal) => {
        pub mod $phase {
            wit_bindgen::generate!({
                path: "wit",
                world: $world,
                pub_export_macro: true,
                export_macro_name: $export,
                with: { "swap:hooks/types@0.1.0": crate::bindings::swap::hooks::types },
            });
        }
    };
}

phase!(pre_start, "pre-start-hook", "export_pre_start");
phase!(health, "health-hook", "export_health");
phase!(pre_swap, "pre-swap-hook", "export_pre_swap");
phase!(post_swap, "post-swap-hook", "export_post_swap");
phase!(rollback, "rollback-hook", "export_rollback");
phase!(finish, "finish-hook", "export_finish");
