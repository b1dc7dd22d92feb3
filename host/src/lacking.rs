//! Tests that need an engine, a compose tool or an nginx where there is none.

/// Fails the test that lacks something, because one that was passed over proves nothing; with `SWAP_TEST_NO_ENGINE=1` it is
/// passed over with a word about it.
#[track_caller]
pub(crate) fn without(what: &str) {
    let known = std::env::var("SWAP_TEST_NO_ENGINE").is_ok_and(|value| value == "1");
    assert!(known, "{what}\nhint: SWAP_TEST_NO_ENGINE=1 passes over the tests that need it");
    eprintln!("skipped: {what}");
}
