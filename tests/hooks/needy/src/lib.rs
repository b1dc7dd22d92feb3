//! Can't do without a grant.

use swap_hook::{Context, Hook, Outcome};

struct Needy;

#[swap_hook::export(needs = "exec:nginx")]
impl Hook for Needy {
    fn pre_start(_: &Context) -> Outcome {
        Ok(())
    }
}
