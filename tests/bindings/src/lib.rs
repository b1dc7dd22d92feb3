//! Holds the bindings that the SDK has to those that its WIT package makes.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_bindings_of_the_sdk_are_those_of_its_wit_package() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk/src/bindings");
        for name in ["imports", "pre-start", "health", "pre-swap", "post-swap", "rollback", "finish"] {
            let made =
                fs::read_to_string(Path::new(env!("OUT_DIR")).join(format!("{name}.rs"))).expect("what was made");
            let kept = sdk.join(format!("{name}.rs"));
            if std::env::var_os("UPDATE_EXPECT").is_some() {
                fs::create_dir_all(&sdk).expect("a folder");
                fs::write(&kept, &made).expect("writing bindings");
            }
            let same = fs::read_to_string(&kept).unwrap_or_default() == made;
            assert!(same, "{} is old: run this test with UPDATE_EXPECT=1", kept.display());
        }
    }
}
