//! Host bindings, generated from the WIT package: the imports once, each phase as a world of its own.

wasmtime::component::bindgen!({
    path: "../guest-sdk/wit",
    world: "imports",
    imports: { default: async | trappable },
});

macro_rules! phase {
    ($module:ident, $world:literal) => {
        pub(super) mod $module {
            wasmtime::component::bindgen!({
                path: "../guest-sdk/wit",
                world: $world,
                exports: { default: async },
                with: { "swap:hooks/types": super::swap::hooks::types },
            });
        }
    };
}

phase!(pre_start, "pre-start-hook");
phase!(health, "health-hook");
phase!(pre_swap, "pre-swap-hook");
phase!(post_swap, "post-swap-hook");
phase!(rollback, "rollback-hook");
phase!(finish, "finish-hook");
