//! Generates the bindings. Here, because what builds shares no crates with what is built: swap's own stay as they are.

use std::path::Path;
use std::{env, fs};

use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_rust::{Opts, WithOption};

const PHASES: [&str; 6] = ["pre-start", "health", "pre-swap", "post-swap", "rollback", "finish"];

fn main() {
    let wit = Path::new("../../guest-sdk/wit");
    println!("cargo::rerun-if-changed={}", wit.display());
    let out = env::var("OUT_DIR").expect("cargo names the folder");
    let write = |name: &str, bindings: Vec<u8>| {
        fs::write(Path::new(&out).join(format!("{name}.rs")), bindings).expect("writing bindings");
    };
    write("imports", generated(wit, "imports", Opts::default()));
    for phase in PHASES {
        let types = WithOption::Path("crate::bindings::swap::hooks::types".to_owned());
        let options = Opts {
            pub_export_macro: true,
            export_macro_name: Some(format!("export_{}", phase.replace('-', "_"))),
            with: vec![("swap:hooks/types@0.1.0".to_owned(), types)],
            ..Opts::default()
        };
        write(phase, generated(wit, &format!("{phase}-hook"), options));
    }
}

/// Returns the bindings of a world of the WIT package.
fn generated(wit: &Path, world: &str, options: Opts) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit).expect("the WIT package");
    let world = resolve.select_world(&[package], Some(world)).expect("the world");
    let mut files = Files::default();
    let options = Opts { format: true, ..options };
    options.build().generate(&resolve, world, &mut files).expect("bindings");
    let (_, bindings) = files.iter().next().expect("one file");
    bindings.to_vec()
}
