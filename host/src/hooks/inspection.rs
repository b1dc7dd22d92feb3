//! What a component says about itself, without running or compiling it.

use std::fmt;

use semver::Version;
use wasmparser::{ComponentInstance, ComponentTypeRef, Encoding, KnownCustom, Parser, Payload};

use super::grants::Grant;
use super::hook::{digest, read};
use crate::model::{Failure, Phase};
use crate::text::{printable, shortened};

/// The version of the WIT package that this swap has.
pub(super) const VERSION: Version = Version::new(0, 1, 0);
/// The interfaces that swap offers.
const OFFERED: [&str; 8] = ["types", "log", "config", "exec", "http", "inspect", "state", "metrics"];
/// The parts of WASI 0.2 that are there, inert or not.
const WASI: [&str; 6] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
/// What is compiled at most, so that neither memory nor patience ends first. A Python hook has 13,400 functions with 6.6 MB of
/// code, the largest of 427 KB.
const FUNCTIONS: u32 = 20_000;
const CODE: usize = 10 << 20;
const FUNCTION: usize = 512 << 10;
/// Bytes of what is declared: types, imports, exports, globals and the like.
const DECLARED: usize = 2 << 20;
/// Variables, each of which every instance of its module has.
const GLOBALS: u32 = 20_000;
/// Instances that the component makes of its parts when it is instantiated, counted as if each part were its costliest one.
const INSTANCES: u64 = 1000;
/// No name or grant is longer in messages, nor in what is shown.
const NAME: usize = 300;
/// So many names stand in a list.
const LISTED: usize = 20;
/// The custom section in which a hook names the grants that it can't do without, separated by white space.
const NEEDS: &str = "swap-hook:needs";
/// The custom section in which the SDK names itself: name, version.
const SDK: &str = "swap-hook:sdk";

/// What a component says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The phases that it exports, in the order of a run.
    pub phases: Vec<Phase>,
    /// The version of the WIT package that it was built against.
    pub version: Version,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// The grants that it says it can't do without.
    pub needs: Vec<Grant>,
    /// What it was built with, as far as it tells: `swap-hook 0.1.0`, `rustc 1.95.0`.
    pub built_with: Vec<String>,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest, as `sha256:…`.
    pub digest: String,
}

impl Inspection {
    /// Tells whether it imports one of swap's interfaces, as `metrics`.
    pub(super) fn asks_for(&self, interface: &str) -> bool {
        self.imports.iter().any(|name| own(name) == Some(interface))
    }
}

/// Inspects a file.
///
/// # Errors
/// It can't be read, or it is no hook that this swap could run; the message says why.
pub fn inspect(file: &str) -> Result<Inspection, Failure> {
    examine(file, &read(file)?)
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phases: Vec<&str> = self.phases.iter().map(|phase| phase.name()).collect();
        let imports: Vec<&str> =
            self.imports.iter().filter_map(|name| own(name)).filter(|name| *name != "types").collect();
        let needs: Vec<String> = self.needs.iter().map(Grant::to_string).collect();
        let list = |words: Vec<&str>| if words.is_empty() { "none".to_owned() } else { words.join(", ") };
        writeln!(f, "phases      {}", list(phases))?;
        writeln!(f, "imports     {}", list(imports))?;
        writeln!(f, "needs       {}", list(needs.iter().map(String::as_str).collect()))?;
        writeln!(f, "contract    swap:hooks {}", self.version)?;
        writeln!(f, "built with  {}", list(self.built_with.iter().map(String::as_str).collect()))?;
        writeln!(f, "size        {} bytes", self.size)?;
        write!(f, "digest      {}", self.digest)
    }
}

/// Inspects bytes that come from a file.
pub(super) fn examine(file: &str, bytes: &[u8]) -> Result<Inspection, Failure> {
    let file = &printable(file);
    let hint = "build it with `swap hooks build`, or for the target wasm32-wasip2";
    if !bytes.starts_with(b"\0asm") {
        return Err(Failure::new(format!("`{file}` is not WebAssembly")).hint(hint));
    }
    let mut found = Found::default();
    found.read(bytes).map_err(|why| match why {
        Unfit::Core => Failure::new(format!("`{file}` is a core module, not a component")).hint(hint),
        Unfit::TooMuch(what) => Failure::new(format!("`{file}` has {what}, which is too much to compile"))
            .hint("build it for size, or with fewer libraries"),
        Unfit::Broken(why) => Failure::new(format!("`{file}` is not a valid component: {why}"))
            .hint("build it again, or fetch it again if it was cut off"),
    })?;
    let refuse = |why: String| Failure::new(why).hint("build it against the WIT package of this swap");
    found.imports.iter().try_for_each(|name| check_import(name)).map_err(refuse)?;
    let (phases, version) = phases(&found.exports).map_err(refuse)?;
    let needs = found.needs.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    Ok(Inspection {
        phases,
        version,
        imports: found.imports,
        needs,
        built_with: found.built_with,
        size: bytes.len() as u64,
        digest: digest(bytes),
    })
}

/// What stands in the file.
#[derive(Default)]
struct Found {
    imports: Vec<String>,
    exports: Vec<String>,
    needs: Vec<String>,
    built_with: Vec<String>,
    functions: u32,
    code: usize,
    declared: usize,
    globals: u32,
    /// How many instances the components make that are open here, the outermost first.
    open: Vec<u64>,
    /// The most that a component makes which is complete.
    costliest: u64,
}

enum Unfit {
    Core,
    TooMuch(String),
    Broken(String),
}

impl Found {
    fn read(&mut self, bytes: &[u8]) -> Result<(), Unfit> {
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(|error| Unfit::Broken(error.message().to_owned()))?;
            self.count(&payload)?;
            self.take(payload)?;
        }
        Ok(())
    }

    /// Counts what must be kept in memory for a section, whatever it is.
    fn count(&mut self, payload: &Payload<'_>) -> Result<(), Unfit> {
        match payload {
            Payload::DataSection(_) | Payload::CustomSection(_) | Payload::CodeSectionStart { .. } => {}
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {}
            _ => self.declared += payload.as_section().map_or(0, |(_, range)| range.len()),
        }
        match self.declared > DECLARED {
            true => Err(Unfit::TooMuch(format!("more than {} MiB of declarations", DECLARED >> 20))),
            false => Ok(()),
        }
    }

    fn take(&mut self, payload: Payload<'_>) -> Result<(), Unfit> {
        let broken = |error: wasmparser::BinaryReaderError| Unfit::Broken(error.message().to_owned());
        // Sections of the component itself are at depth 1; core modules and components inside it are deeper.
        let depth = self.open.len();
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(Unfit::Core),
            Payload::Version { .. } => self.open.push(0),
            Payload::End(_) => self.costliest = self.open.pop().unwrap_or_default().max(self.costliest),
            Payload::InstanceSection(section) => self.makes(u64::from(section.count()))?,
            Payload::ComponentInstanceSection(section) => {
                for instance in section {
                    match instance.map_err(broken)? {
                        ComponentInstance::Instantiate { .. } => self.makes(1 + self.costliest)?,
                        ComponentInstance::FromExports(_) => self.makes(1)?,
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import.map_err(broken)?;
                    if matches!(import.ty, ComponentTypeRef::Component(_)) {
                        return Err(Unfit::Broken("it wants to be given a component".to_owned()));
                    }
                    if depth == 1 {
                        self.imports.push(shortened(&printable(import.name.name), NAME));
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    self.exports.push(shortened(&printable(export.map_err(broken)?.name.name), NAME));
                }
            }
            Payload::GlobalSection(section) => {
                self.globals = self.globals.saturating_add(section.count());
                if self.globals > GLOBALS {
                    return Err(Unfit::TooMuch(format!("more than {GLOBALS} globals")));
                }
            }
            Payload::CodeSectionStart { count, size, .. } => {
                self.functions = self.functions.saturating_add(count);
                self.code = self.code.saturating_add(size as usize);
                if self.functions > FUNCTIONS {
                    return Err(Unfit::TooMuch(format!("more than {FUNCTIONS} functions")));
                }
                if self.code > CODE {
                    return Err(Unfit::TooMuch(format!("more than {} MiB of code", CODE >> 20)));
                }
            }
            Payload::CodeSectionEntry(body) if body.range().len() > FUNCTION => {
                return Err(Unfit::TooMuch(format!("a function of more than {} KiB", FUNCTION >> 10)));
            }
            Payload::CustomSection(section) => match (section.name(), section.as_known()) {
                (NEEDS, _) => {
                    self.needs.extend(words(section.data()));
                    if self.needs.len() > LISTED {
                        return Err(Unfit::Broken(format!("it needs more than {LISTED} grants")));
                    }
                }
                (SDK, _) => self.tool(words(section.data()).collect::<Vec<_>>().join(" ")),
                (_, KnownCustom::Producers(fields)) => self.producers(fields),
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    /// Takes the compilers from a `producers` section. It is only information, so what can't be read is left out.
    fn producers(&mut self, fields: wasmparser::ProducersSectionReader<'_>) {
        for field in fields.into_iter().flatten().filter(|field| field.name == "processed-by") {
            for value in field.values.into_iter().flatten() {
                let version = value.version.split_whitespace().next().unwrap_or_default();
                self.tool(format!("{} {version}", value.name));
            }
        }
    }

    /// Notes that it was built with a tool.
    fn tool(&mut self, name: String) {
        let name = shortened(&printable(name.trim_end()), NAME);
        if self.built_with.len() < LISTED && !self.built_with.contains(&name) {
            self.built_with.push(name);
        }
    }

    /// Counts instances that the innermost open component makes.
    fn makes(&mut self, instances: u64) -> Result<(), Unfit> {
        let Some(makes) = self.open.last_mut() else { return Ok(()) };
        *makes = makes.saturating_add(instances);
        match *makes > INSTANCES {
            true => Err(Unfit::TooMuch(format!("parts that make more than {INSTANCES} instances"))),
            false => Ok(()),
        }
    }
}

/// Returns the words of a custom section, one more than are ever wanted.
fn words(data: &[u8]) -> impl Iterator<Item = String> {
    let words = data.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).take(LISTED + 1);
    words.map(|word| {
        let word = &word[..word.len().min(NAME)];
        shortened(&printable(&String::from_utf8_lossy(word)), NAME)
    })
}

/// Returns the interface's name if it is one of swap's package.
fn own(name: &str) -> Option<&str> {
    name.strip_prefix("swap:hooks/").map(|rest| rest.split_once('@').map_or(rest, |(interface, _)| interface))
}

/// Splits the name of one of swap's interfaces, `swap:hooks/health@0.1.0`, and checks that this swap has its version.
fn own_with_version(name: &str) -> Result<Option<(&str, Version)>, String> {
    let Some(interface) = own(name) else { return Ok(None) };
    let version = name.split_once('@').map_or("", |(_, version)| version);
    let version: Version = version.parse().map_err(|_| format!("`{name}` has no version"))?;
    if (version.major, version.minor) != (VERSION.major, VERSION.minor) {
        return Err(format!("it was made for swap:hooks {version}, this swap has {VERSION}"));
    }
    Ok(Some((interface, version)))
}

fn check_import(name: &str) -> Result<(), String> {
    match own_with_version(name)? {
        Some((interface, _)) if OFFERED.contains(&interface) => Ok(()),
        Some((_, version)) if version > VERSION => {
            Err(format!("it imports `{name}`, which is newer than this swap ({VERSION})"))
        }
        Some(_) => Err(format!("it imports `{name}`, which swap does not have")),
        None if WASI.iter().any(|prefix| name.starts_with(prefix)) => Ok(()),
        None => Err(format!("it imports `{name}`, which hooks can't have (they have swap:hooks and WASI 0.2)")),
    }
}

/// Returns the exported phases and the newest version among them.
fn phases(exports: &[String]) -> Result<(Vec<Phase>, Version), String> {
    let mut found = Vec::new();
    let mut newest = None;
    for name in exports {
        let Some((interface, version)) = own_with_version(name)? else { continue };
        let phase = Phase::ALL.into_iter().find(|phase| phase.name() == interface);
        found.push(phase.ok_or_else(|| format!("it exports `{name}`, which is no phase of this swap"))?);
        newest = newest.max(Some(version));
    }
    found.sort();
    match newest {
        Some(version) => Ok((found, version)),
        None if exports.is_empty() => Err("it exports nothing, so no phase of swap:hooks".to_owned()),
        None => {
            let more = if exports.len() > LISTED { ", …" } else { "" };
            let some: Vec<&str> = exports.iter().take(LISTED).map(String::as_str).collect();
            Err(format!("it exports no phase of swap:hooks ({}{more})", some.join(", ")))
        }
    }
}
