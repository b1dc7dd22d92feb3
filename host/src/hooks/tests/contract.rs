//! What a well-behaved component may rely on.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::component::{component, core, plain, runner};
use super::world::{Kept, Small, context, load, on_disk, spec, tight};
use crate::hooks::{Engine, Health, Hook, HookCall, Hooks, Pending, Reply, expand, inspect};
use crate::model::{HookSpec, Phase};

#[tokio::test]
async fn every_phase_answers() {
    for phase in Phase::ALL {
        let hook = load(&plain(phase, "(i32.const 0)"), &[]).unwrap();
        assert_eq!(hook.phases(), [phase]);
        let reply = hook.call(phase, &context(), Arc::new(Small::default()), tight(), Kept::default().log()).await;
        let expected = if phase == Phase::Health { Reply::Healthy } else { Reply::Done };
        assert_eq!(reply, Ok(expected), "{phase}");
    }
}

#[tokio::test]
async fn a_hook_reads_its_context_and_logs() {
    // The first two words of the context are the run's id.
    let imports = r#"(import "swap:hooks/log@0.1.0" "info" (func $info (param i32 i32)))"#;
    let body = "(call $info (i32.load (local.get 0)) (i32.load offset=4 (local.get 0))) (i32.const 0)";
    let hook = load(&component(Phase::Finish, &core(Phase::Finish, imports, body, "")), &[]).unwrap();
    let kept = Kept::default();
    hook.call(Phase::Finish, &context(), Arc::new(Small::default()), tight(), kept.log()).await.unwrap();
    assert_eq!(kept.lines(), ["bad finish Info: 20260131-154502-9f3a"]);
}

#[tokio::test]
async fn what_concerns_the_candidate_is_granted_without_asking() {
    for target in ["candidate", "candidate:demo-app-2", "one-off"] {
        let hook = load(&runner(target), &[]).unwrap();
        let kept = Kept::default();
        let reply = hook.call(Phase::Health, &context(), Arc::new(Small::default()), tight(), kept.log()).await;
        assert_eq!(reply, Ok(Reply::Healthy), "{target}");
        assert_eq!(kept.lines(), [format!("bad health Deed: exec in {target}: true → exit 0")]);
    }
}

#[tokio::test]
async fn a_phase_that_is_not_there_is_said_so() {
    let hook = load(&plain(Phase::Finish, "(i32.const 0)"), &[]).unwrap();
    let reply = hook.call(Phase::Health, &context(), Arc::new(Small::default()), tight(), Kept::default().log()).await;
    assert_eq!(reply.unwrap_err().what, "hook `bad` (health) aborted: it does not implement this phase");
}

#[test]
fn a_component_is_compiled_once_and_only_a_private_folder_is_trusted() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
    let disk = on_disk("cached", &plain(Phase::Health, "(i32.const 0)"));
    let folder = disk.folder.path().join("cache");
    let files = || -> Vec<_> {
        let all = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| path.extension().is_some_and(|end| end == "cwasm")).collect()
    };
    let open = || Arc::new(Engine::new(Some(&folder)).unwrap());
    Hook::load(&open(), &spec(&disk, &[])).unwrap();
    let [file] = &files()[..] else { panic!("{:?}", files()) };
    let written = std::fs::metadata(file).unwrap().ino();
    Hook::load(&open(), &spec(&disk, &[])).unwrap();
    assert_eq!(std::fs::metadata(file).unwrap().ino(), written, "taken from the cache");

    // A file that others could have written is compiled anew, and replaced, not followed.
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o666)).unwrap();
    Hook::load(&open(), &spec(&disk, &[])).unwrap();
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let elsewhere = disk.folder.path().join("elsewhere");
    std::fs::rename(file, &elsewhere).unwrap();
    symlink(&elsewhere, file).unwrap();
    Hook::load(&open(), &spec(&disk, &[])).unwrap();
    assert!(std::fs::symlink_metadata(file).unwrap().is_file());
    // So is one that is broken.
    std::fs::write(file, b"broken").unwrap();
    Hook::load(&open(), &spec(&disk, &[])).unwrap();
    assert!(std::fs::metadata(file).unwrap().len() > 1000);

    assert_eq!(open().cache_problem(), None);
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let problem = open().cache_problem().unwrap().what.replace(disk.folder.path().to_str().unwrap(), "…");
    assert_eq!(problem, "not keeping compiled hooks in `…/cache`: others may use it (mode 0755)");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    let link = disk.folder.path().join("link");
    symlink(&folder, &link).unwrap();
    let linked = Engine::new(Some(&link)).unwrap();
    let problem = linked.cache_problem().unwrap().what.replace(disk.folder.path().to_str().unwrap(), "…");
    assert_eq!(problem, "not keeping compiled hooks in `…/link`: it is a symbolic link");
    Hook::load(&Arc::new(linked), &spec(&disk, &[])).expect("hooks work without a cache");
}

#[test]
fn a_compiled_component_of_which_a_bit_is_wrong_is_compiled_again() {
    let disk = on_disk("cached", &plain(Phase::Health, "(i32.const 0)"));
    let folder = disk.folder.path().join("cache");
    let load = || Hook::load(&Arc::new(Engine::new(Some(&folder)).unwrap()), &spec(&disk, &[])).unwrap();
    load();
    let all = || std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let file = all().find(|path| path.extension().is_some_and(|ending| ending == "cwasm")).unwrap();
    let whole = std::fs::read(&file).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 60) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(&file, &flipped).unwrap();
        load();
        assert!(std::fs::read(&file).unwrap() != flipped, "the flipped bit at {at} is still there");
    }
    // Without its sum nobody knows.
    all().filter(|path| *path != file).for_each(|sum| std::fs::remove_file(sum).unwrap());
    std::fs::write(&file, b"anything").unwrap();
    load();
    assert!(std::fs::read(&file).unwrap().len() > 1000);
}

#[test]
fn what_nobody_uses_leaves_the_cache() {
    use std::time::{Duration, SystemTime};
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let load = |name: &str, body: &str| {
        let disk = on_disk(name, &plain(Phase::Health, body));
        Hook::load(&Arc::new(Engine::new(Some(&cache)).unwrap()), &spec(&disk, &[])).unwrap();
    };
    let count = || std::fs::read_dir(&cache).unwrap().count();
    load("old", "(i32.const 0)");
    assert_eq!(count(), 2, "the code and its sum");
    let age = |days: u64| {
        for entry in std::fs::read_dir(&cache).unwrap() {
            let before = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
            std::fs::File::open(entry.unwrap().path()).unwrap().set_modified(before).unwrap();
        }
    };
    age(31);
    load("new", "(i32.const 4)");
    assert_eq!(count(), 2, "the old one is gone, with its sum");
    // What is used is not old.
    age(31);
    load("new", "(i32.const 4)");
    load("other", "(i32.const 8)");
    assert_eq!(count(), 4);
    // There is room for so much only.
    let large = cache.join("0000-0000000000000000.cwasm");
    std::fs::File::create(&large).unwrap().set_len(600 << 20).unwrap();
    age(1);
    load("last", "(i32.const 12)");
    assert!(!large.exists());
}

#[test]
fn a_folder_that_cannot_be_had_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let problem = |cache: &str| {
        let engine = Engine::new(Some(&folder.path().join(cache))).unwrap();
        let what = engine.cache_problem().unwrap().what.replace(folder.path().to_str().unwrap(), "…");
        let disk = on_disk("hook", &plain(Phase::Health, "(i32.const 0)"));
        Hook::load(&Arc::new(engine), &spec(&disk, &[])).expect("hooks work without a cache");
        what
    };
    assert_eq!(problem("file"), "not keeping compiled hooks in `…/file`: it is not a folder");
    assert_eq!(problem("file/cache"), "not keeping compiled hooks in `…/file/cache`: File exists (os error 17)");
    std::fs::create_dir(folder.path().join("closed")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o500);
    std::fs::set_permissions(folder.path().join("closed"), mode).unwrap();
    assert_eq!(problem("closed"), "not keeping compiled hooks in `…/closed`: nothing may be written there (mode 0500)");
}

#[tokio::test]
async fn several_hooks_agree_in_order_and_in_reverse() {
    let imports = r#"(import "swap:hooks/config@0.1.0" "get" (func $get (param i32 i32 i32)))
        (import "swap:hooks/log@0.1.0" "info" (func $info (param i32 i32)))"#;
    // Logs its config's `key`.
    let body = "(call $get (i32.const 1024) (i32.const 3) (i32.const 2048))
        (call $info (i32.load (i32.const 2052)) (i32.load (i32.const 2056))) (i32.const 0)";
    let data = r#"(data (i32.const 1024) "key")"#;
    let disk = on_disk("first", &component(Phase::Rollback, &core(Phase::Rollback, imports, body, data)));
    let mut specs = vec![spec(&disk, &[]), spec(&disk, &[])];
    specs[1].config.insert("key".to_owned(), "other".to_owned());
    let hooks = Hooks::load(&super::world::engine(), &specs).unwrap();
    assert_eq!(hooks.iter().map(Hook::name).collect::<Vec<_>>(), ["first", "first-2"]);
    let kept = Kept::default();
    let world: Arc<dyn crate::hooks::Capabilities> = Arc::new(Small::default());
    let context = context();
    let asked = HookCall { context: &context, capabilities: world, limits: tight(), log: kept.log() };
    assert_eq!(hooks.tell_all(Phase::Rollback, &asked).await, []);
    hooks.in_order(Phase::Rollback, &asked).await.unwrap();
    assert_eq!(
        kept.lines(),
        [
            "first-2 rollback Info: other",
            "first rollback Info: value",
            "first rollback Info: value",
            "first-2 rollback Info: other"
        ]
    );
    assert_eq!(hooks.health(&asked, &Pending::default()).await, Health::Healthy);
}

#[test]
fn many_hooks_are_loaded_in_order_and_the_first_that_can_not_be_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let good = plain(Phase::Health, "(i32.const 0)");
    let named = |number: usize, bytes: &[u8]| {
        let path = folder.path().join(format!("hook-{number:02}.wasm"));
        std::fs::write(&path, bytes).unwrap();
        HookSpec { file: path.display().to_string(), config: BTreeMap::new(), allow: Vec::new() }
    };
    let mut specs: Vec<HookSpec> = (0..20).map(|number| named(number, &good)).collect();
    let hooks = Hooks::load(&super::world::engine(), &specs).unwrap();
    let names: Vec<String> = (0..20).map(|number| format!("hook-{number:02}")).collect();
    assert_eq!(hooks.iter().map(Hook::name).collect::<Vec<_>>(), names);
    for number in [7, 8, 15] {
        specs[number] = named(number, b"no component");
    }
    let failure = Hooks::load(&super::world::engine(), &specs).unwrap_err();
    assert!(failure.what.starts_with("hook `hook-07`: "), "{failure}");
}

#[tokio::test]
async fn all_hooks_are_told_of_the_end_though_one_fails() {
    let bad = on_disk("bad", &plain(Phase::Finish, "unreachable"));
    let imports = r#"(import "swap:hooks/log@0.1.0" "info" (func $info (param i32 i32)))"#;
    let body = "(call $info (i32.const 1024) (i32.const 4)) (i32.const 0)";
    let data = r#"(data (i32.const 1024) "told")"#;
    let good = on_disk("good", &component(Phase::Finish, &core(Phase::Finish, imports, body, data)));
    let hooks = Hooks::load(&super::world::engine(), &[spec(&bad, &[]), spec(&good, &[])]).unwrap();
    let (kept, context) = (Kept::default(), context());
    let world: Arc<dyn crate::hooks::Capabilities> = Arc::new(Small::default());
    let asked = HookCall { context: &context, capabilities: world, limits: tight(), log: kept.log() };
    let failures = hooks.tell_all(Phase::Finish, &asked).await;
    let texts: Vec<&str> = failures.iter().map(|(_, failure)| failure.what.as_str()).collect();
    assert_eq!(texts, ["hook `bad` (finish) aborted: wasm trap: wasm `unreachable` instruction executed"]);
    assert_eq!(kept.lines(), ["good finish Info: told"]);
}

#[tokio::test]
async fn health_hooks_must_all_agree() {
    let healthy = on_disk("healthy", &plain(Phase::Health, "(i32.const 0)"));
    let waiting = |name: &str, wait: u32| {
        let body = format!(
            "(i32.store (i32.const 0) (i32.const 1)) (i32.store (i32.const 8) (i32.const 1024))
             (i32.store (i32.const 12) (i32.const 4)) (i32.store (i32.const 16) (i32.const 1))
             (i64.store (i32.const 24) (i64.const {wait})) (i32.store8 (i32.const 32) (i32.const 1))
             (i32.store8 (i32.const 33) (i32.const 40)) (i32.const 0)"
        );
        on_disk(name, &component(Phase::Health, &core(Phase::Health, "", &body, r#"(data (i32.const 1024) "cold")"#)))
    };
    let (short, long) = (waiting("short", 50), waiting("long", 2000));
    let specs = [spec(&healthy, &[]), spec(&short, &[]), spec(&long, &[])];
    let hooks = Hooks::load(&super::world::engine(), &specs).unwrap();
    let world: Arc<dyn crate::hooks::Capabilities> = Arc::new(Small::default());
    let context = context();
    let asked = HookCall { context: &context, capabilities: world, limits: tight(), log: Kept::default().log() };
    let health = hooks.health(&asked, &Pending::default()).await;
    let Health::NotYet { retry_after, progress, failure } = health else { panic!("{health:?}") };
    assert_eq!(retry_after, Some(std::time::Duration::from_secs(2)));
    assert_eq!(progress, Some(40));
    assert_eq!(failure.what, "hook `short` (health): cold");
}

#[test]
fn folders_and_globs_name_components() {
    let disk = on_disk("b", &plain(Phase::Health, "(i32.const 0)"));
    let base = disk.folder.path();
    std::fs::write(base.join("a.wasm"), b"").unwrap();
    std::fs::write(base.join("readme.md"), b"").unwrap();
    let of = |file: &str| crate::model::HookSpec { file: file.to_owned(), ..spec(&disk, &["exec:db"]) };
    let names = |file: &str| -> Result<Vec<String>, String> {
        let specs = expand(base, &[of(file)]).map_err(|failure| failure.what)?;
        assert!(specs.iter().all(|spec| spec.allow == ["exec:db"]));
        Ok(specs.iter().map(|spec| spec.name().to_owned()).collect())
    };
    assert_eq!(names("."), Ok(vec!["a".into(), "b".into()]));
    assert_eq!(names("*.wasm"), Ok(vec!["a".into(), "b".into()]));
    assert_eq!(names("b.wasm"), Ok(vec!["b".into()]));
    assert_eq!(names("x*.wasm"), Err("hooks `x*.wasm`: no component there".into()));
}

#[test]
fn inspection_tells_what_a_component_says() {
    let bytes = runner("candidate");
    let disk = on_disk("exec", &bytes);
    let inspection = inspect(disk.file.to_str().unwrap()).unwrap();
    let expected = format!(
        "phases      health\nimports     exec\nneeds       none\ncontract    swap:hooks 0.1.0\n\
         built with  wit-component {}\nsize        {} bytes\ndigest      {}",
        inspection.built_with[0].trim_start_matches("wit-component "),
        bytes.len(),
        inspection.digest
    );
    assert_eq!(inspection.to_string(), expected);
}

#[test]
fn the_reference_is_the_wit_package() {
    let page = include_str!("../../../../docs/hooks-reference.md");
    for file in [
        include_str!("../../../../guest-sdk/wit/package.wit"),
        include_str!("../../../../guest-sdk/wit/types.wit"),
        include_str!("../../../../guest-sdk/wit/phases.wit"),
        include_str!("../../../../guest-sdk/wit/imports.wit"),
    ] {
        assert!(page.contains(file.trim_end()), "copy guest-sdk/wit into docs/hooks-reference.md");
    }
}
