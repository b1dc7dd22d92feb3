//! The arguments as clap reads them, and what the words of `swap app worker ./healthcheck` mean.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::completions;
use crate::compose::Options;
use crate::error::{Ended, Exit};
use crate::model::{
    Check, Failure, HookSpec, MOST_PROBE_RATE, Overrides, ProxyChoice, ServiceName, list_services, meant, probe_url,
    unknown_service,
};
use crate::session::{self, Targets};
use crate::text::{nearest, printable};
use crate::ui::Format;

/// Replaces the running container of a compose service behind nginx without a dropped request.
#[derive(Debug, Parser)]
#[command(
    name = "swap",
    version,
    override_usage = "swap [OPTIONS] SERVICE... [HEALTH-COMMAND]\n       swap [OPTIONS] SERVICE -- HEALTH-COMMAND [ARG...]\n       swap COMMAND ...",
    after_help = EXAMPLES,
    disable_help_subcommand = true
)]
pub struct Arguments {
    /// The services to swap; then, for one service, a line for the container's shell that tells whether it is healthy.
    #[arg(value_name = "SERVICE", add = completions::services())]
    pub words: Vec<String>,
    /// A health command and its arguments, run in the candidate.
    #[arg(last = true, value_name = "HEALTH-COMMAND")]
    pub health_command: Vec<String>,
    /// What else to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Flags of all commands.
    #[command(flatten)]
    pub flags: Flags,
}

const EXAMPLES: &str = "\
Examples:
  swap app                              replace the containers of the service app
  swap app ./healthcheck                ... when ./healthcheck succeeds in the new one
  swap app -- php check.php --deep      the same, a command with arguments
  swap --hooks hooks/app.wasm app       ask a team's WebAssembly hook what healthy means
  swap app worker                       both, all healthy before the first switch
  swap plan app                         what would be done, and why
  swap init app                         what compose file and nginx lack, as a diff
  swap doctor                           what is wrong, why it matters, what to change

Exit codes: 0 swapped, 1 internal error, 2 usage, 3 refused before any change, 4 rolled back and the old version
serves, 5 stuck and needs a person, 6 busy: another run holds the service.";

/// The commands beside the main job.
#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(after_help = "\
Examples:
  swap plan app                      what `swap app` would do
  swap plan app ./healthcheck        with a health command
  swap plan app worker               two services in one run
  swap plan --output json app        for scripts")]
    /// Print what `swap` would do, and why; change nothing.
    Plan {
        /// The services, then a health command.
        #[arg(value_name = "SERVICE", required = true, add = completions::services())]
        words: Vec<String>,
        /// A health command and its arguments.
        #[arg(last = true, value_name = "HEALTH-COMMAND")]
        health_command: Vec<String>,
    },
    #[command(after_help = "\
Examples:
  swap doctor                        all services that are prepared for a swap
  swap doctor app                    one service
  swap doctor --quiet                only warnings and errors
  swap doctor --output json          for scripts; exits 3 if there is an error")]
    /// Examine engine, compose, project, nginx, services, hooks and state folder: what is wrong, why, what to change.
    Doctor {
        /// The services; default: those with `x-swap`, and those that an nginx sends requests to.
        #[arg(add = completions::services())]
        services: Vec<ServiceName>,
    },
    #[command(after_help = "\
Examples:
  swap init app                      show the lines
  swap init app --write              write them; comments and formatting stay
  swap init app --proxy nginx        nginx runs in the service nginx
  swap init app --port 8000          nothing else tells the port")]
    /// Propose what compose file and nginx lack so that a service can be swapped, as a diff.
    Init {
        /// The service.
        #[arg(add = completions::services())]
        service: ServiceName,
        /// Write it: comments and formatting stay, nothing is overwritten.
        #[arg(long)]
        write: bool,
    },
    #[command(after_help = "\
Examples:
  swap status                        all services that run
  swap status app                    one of them
  swap status --output json          for scripts")]
    /// Tell what is live, what is unfinished and what to type.
    Status {
        /// The services; default: all that run.
        #[arg(add = completions::services())]
        services: Vec<ServiceName>,
    },
    #[command(after_help = "\
Examples:
  swap history                       the last 20 runs of the project
  swap history app --limit 100       of one service
  swap history --output json         for scripts")]
    /// List the last runs, newest first.
    History {
        /// Only runs of this service.
        #[arg(add = completions::services())]
        service: Option<ServiceName>,
        /// So many at most.
        #[arg(long, value_name = "NUMBER", default_value_t = 20)]
        limit: usize,
    },
    #[command(after_help = "\
Examples:
  swap logs                          the last run; `swap history` lists the others
  swap logs --output json            its events once more, for scripts")]
    /// Tell a run as a story: what was done and why, what it waited for, what went wrong.
    Logs {
        /// The run's id, or the begin of it; default: the last run.
        run: Option<String>,
    },
    #[command(after_help = "\
Examples:
  swap report > report.html          the last run; one file that needs no network")]
    /// Print a run as a page for the browser: `swap report > report.html`.
    Report {
        /// The run's id, or the begin of it; default: the last run.
        run: Option<String>,
    },
    #[command(after_help = "\
Examples:
  swap resume app                    finish what `swap app` had begun, or unwind it")]
    /// Go on with a run that was killed.
    Resume {
        /// The service.
        #[arg(add = completions::services())]
        service: ServiceName,
    },
    #[command(after_help = "\
Examples:
  swap rollback app                  after a kill: unwind; else: the version before")]
    /// Unwind a run that was killed, or bring the version back that was replaced by what serves now.
    Rollback {
        /// The service.
        #[arg(add = completions::services())]
        service: ServiceName,
        /// Bring this version: an image by its name or the begin of its id, or what a run of `swap history` had brought.
        #[arg(long, value_name = "IMAGE|RUN")]
        to: Option<String>,
    },
    #[command(after_help = "\
Examples:
  swap bench app                     20 swaps under 200 requests per second
  swap bench app --swaps 5 --rate 50 --probe /up
  swap bench app --swaps 5 --baseline script --yes
                                     beside the plain shell way, which drops requests
  swap bench app --swaps 5 --output json
                                     for scripts; exits 4 if a request failed")]
    /// Measure what swaps cost users: swap an image to itself again and again under a load of this machine.
    Bench {
        /// The service.
        #[arg(add = completions::services())]
        service: ServiceName,
        /// How many swaps.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        swaps: u32,
        /// How many requests per second.
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
        rate: u32,
        /// Also measure another way: `script`, run two, stop the old one, reload nginx. It drops requests.
        #[arg(long, value_name = "WAY", value_parser = ["script"])]
        baseline: Option<String>,
        /// Don't ask before requests are dropped.
        #[arg(long)]
        yes: bool,
    },
    #[command(after_help = "\
Examples:
  source <(swap completions bash)    for this shell; put the line into ~/.bashrc
  swap completions fish > ~/.config/fish/completions/swap.fish")]
    /// Print what makes a shell complete commands, flags, services and hooks: `source <(swap completions bash)`.
    Completions {
        /// The shell.
        #[arg(value_parser = ["bash", "zsh", "fish"])]
        shell: String,
    },
    #[command(after_help = "\
Examples:
  swap man ~/.local/share/man/man1   then `man swap` and `man swap-plan`")]
    /// Write the man pages.
    Man {
        /// The folder to write them into.
        folder: PathBuf,
    },
    /// Make, examine and test hooks.
    Hooks {
        /// What to do with hooks.
        #[command(subcommand)]
        command: HooksCommand,
    },
}

/// The commands for those who write hooks.
#[derive(Debug, Subcommand)]
pub enum HooksCommand {
    #[command(after_help = "\
Examples:
  swap hooks new ready               the folder `ready` with a hook, its tests and a scenario")]
    /// Make a new hook crate that builds and tests at once.
    New {
        /// The folder to make; its last part is the hook's name.
        folder: PathBuf,
    },
    #[command(after_help = "\
Examples:
  swap hooks build ready             makes ready/ready.wasm
  swap hooks build ready --out hooks/ready.wasm")]
    /// Build a hook crate to a component.
    Build {
        /// The folder of the crate.
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// Where to put the component; default: `<name>.wasm` in the crate's folder.
        #[arg(long, short)]
        out: Option<PathBuf>,
    },
    #[command(after_help = "\
Examples:
  swap hooks inspect hooks/app.wasm   what it is asked, what it needs, its digest")]
    /// Show phases, imports, needed grants, size and digest of a component.
    Inspect {
        /// The component.
        #[arg(value_name = "FILE", add = completions::hooks())]
        component: PathBuf,
    },
    #[command(after_help = "\
Examples:
  swap hooks test ready/ready.wasm --scenario ready/scenarios")]
    /// Run a component against a scripted world, without Docker. Exits 1 if an answer is not the expected one.
    Test {
        /// The component.
        #[arg(value_name = "FILE", add = completions::hooks())]
        component: PathBuf,
        /// A scenario, a YAML file, or a folder of them; may be repeated.
        #[arg(long, required = true)]
        scenario: Vec<PathBuf>,
    },
    #[command(after_help = "\
Examples:
  swap hooks run hooks/app.wasm app   is the running container healthy?
  swap hooks run hooks/app.wasm app --phase post-swap")]
    /// Ask one phase of a component about the running stack; change nothing else.
    Run {
        /// The component.
        #[arg(value_name = "FILE", add = completions::hooks())]
        component: PathBuf,
        /// The phase.
        #[arg(long, default_value = "health")]
        phase: String,
        /// The service whose running container is taken as the candidate.
        #[arg(add = completions::services())]
        service: ServiceName,
    },
}

/// The flags of all commands.
#[derive(Debug, Args)]
pub struct Flags {
    /// A compose file, as for compose; may be repeated.
    #[arg(short, long = "file", global = true, value_name = "FILE", help_heading = "Compose")]
    pub file: Vec<PathBuf>,
    /// The compose project's name.
    #[arg(short, long, global = true, value_name = "NAME", help_heading = "Compose")]
    pub project_name: Option<String>,
    /// The folder that paths in the compose file are relative to.
    #[arg(long, global = true, value_name = "DIR", help_heading = "Compose")]
    pub project_directory: Option<PathBuf>,
    /// A compose profile; may be repeated.
    #[arg(long, global = true, value_name = "NAME", help_heading = "Compose")]
    pub profile: Vec<String>,
    /// A file of variables for the compose file.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Compose")]
    pub env_file: Vec<PathBuf>,
    /// The docker CLI's context that names the engine; default: DOCKER_HOST, then the current context.
    #[arg(short, long, global = true, value_name = "NAME", help_heading = "Compose")]
    pub context: Option<String>,

    /// A hook: a component, a folder of them or a glob; may be repeated.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Swap", add = completions::hooks())]
    pub hooks: Vec<String>,
    /// A grant for the hooks of --hooks, as `exec:db` or `http:hooks.example.com:443`; may be repeated.
    #[arg(long, global = true, value_name = "GRANT", help_heading = "Swap")]
    pub allow: Vec<String>,
    /// Configuration for the hooks of --hooks; may be repeated.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_value, help_heading = "Swap")]
    pub set: Vec<(String, String)>,
    /// The port that nginx talks to.
    #[arg(long, global = true, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Swap")]
    pub port: Option<u16>,
    /// Where nginx runs: SERVICE, PROJECT/SERVICE, container:NAME, `host` for this machine, `none` for a worker.
    #[arg(long, global = true, value_name = "NGINX", help_heading = "Swap")]
    pub proxy: Option<String>,
    /// What the upstream and its file are called, where projects share an nginx [default: as the service].
    #[arg(long, global = true, value_name = "NAME", help_heading = "Swap")]
    pub upstream: Option<ServiceName>,
    /// How long a candidate may take to become healthy [default: 60s].
    #[arg(long, global = true, value_name = "TIME", value_parser = some_time, help_heading = "Swap")]
    pub timeout: Option<Duration>,
    /// How long requests that are under way may go on at the old container [default: 30s].
    #[arg(long, global = true, value_name = "TIME", value_parser = duration, help_heading = "Swap")]
    pub drain: Option<Duration>,
    /// How long both run after the switch, and a bad candidate is switched back [default: 0s].
    #[arg(long, global = true, value_name = "TIME", value_parser = duration, help_heading = "Swap")]
    pub watch: Option<Duration>,
    /// Ask for a path, or a URL, through the front door all through the run and count what fails.
    #[arg(long, global = true, value_name = "URL", value_parser = probe_url, help_heading = "Swap")]
    pub probe: Option<String>,
    /// How many requests per second the probe sends, 1 to 1000 [default: 50].
    #[arg(long, global = true, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_PROBE_RATE)), help_heading = "Swap")]
    pub probe_rate: Option<u32>,
    /// Stop the old container before the new one starts: for what must never run twice.
    #[arg(long, global = true, help_heading = "Swap")]
    pub stop_first: bool,
    /// Wait so long for another run that holds the service.
    #[arg(long, global = true, value_name = "TIME", value_parser = duration, help_heading = "Swap")]
    pub wait: Option<Duration>,

    /// Lines for people, or one JSON object a line.
    #[arg(long, global = true, value_enum, default_value_t, help_heading = "Output")]
    pub output: Format,
    /// Only failures and the last line.
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,
    /// Also why a step waits, and what hooks and commands print.
    #[arg(short, long, global = true, help_heading = "Output")]
    pub verbose: bool,
}

impl Arguments {
    /// Returns what is wrong with flags that are right each by itself.
    pub fn mistake(&self) -> Option<Failure> {
        let flags = &self.flags;
        let of_hooks = if flags.allow.is_empty() { "--set" } else { "--allow" };
        let idle = flags.hooks.is_empty() && !(flags.allow.is_empty() && flags.set.is_empty());
        (idle && !matches!(self.command, Some(Command::Hooks { .. }))).then(|| {
            Failure::new(format!("`{of_hooks}` is for the hooks of `--hooks`, and none is named"))
                .hint("for the hooks of the compose file write `allow:` and `config:` beside them, in `x-swap`")
        })
    }
}

impl Flags {
    /// Returns which compose project on which engine the flags name.
    pub fn place(&self) -> Options {
        Options {
            files: self.file.clone(),
            project_name: self.project_name.clone(),
            project_directory: self.project_directory.clone(),
            profiles: self.profile.clone(),
            env_files: self.env_file.clone(),
            context: self.context.clone(),
            ..Options::default()
        }
    }

    /// Returns what the flags lay over the settings of the compose file; fails where one can't be understood.
    pub fn overrides(&self) -> Result<Overrides, Ended> {
        let proxy = match self.proxy.as_deref() {
            None | Some("none") => None,
            Some(name) => Some(ProxyChoice::parse(name).map_err(|mistake| {
                let failure = Failure::new(format!("`--proxy {}`: {mistake}", printable(name)))
                    .hint("write SERVICE, PROJECT/SERVICE, container:NAME, host or none");
                Ended::new(Exit::Usage, failure)
            })?),
        };
        let config: BTreeMap<String, String> = self.set.iter().cloned().collect();
        let hook = |file: &String| HookSpec { file: file.clone(), config: config.clone(), allow: self.allow.clone() };
        Ok(Overrides {
            port: self.port,
            proxy,
            no_proxy: self.proxy.as_deref() == Some("none"),
            upstream: self.upstream.clone(),
            timeout: self.timeout,
            drain: self.drain,
            watch: self.watch,
            probe: self.probe.clone(),
            probe_rate: self.probe_rate,
            stop_first: self.stop_first,
            hooks: self.hooks.iter().map(hook).collect(),
        })
    }

    /// Returns what a session is to know of the flags; fails where one can't be understood.
    pub fn session(&self) -> Result<session::Options, Ended> {
        Ok(session::Options { wait: self.wait.unwrap_or_default(), overrides: self.overrides()? })
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text).map_err(|_| match text.parse::<f64>() {
        Ok(_) => format!("`{text}` has no unit: write `{text}s` for seconds"),
        Err(_) => format!("`{text}` is not a duration; durations are written as `5s`, `1m30s` or `500ms`"),
    })
}

fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("nothing gets healthy in no time".to_owned()),
        time => Ok(time),
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Returns what the words mean: leading words that name services are the services, what follows is a health command.
///
/// One argument is a line for the container's shell, several are a command and its arguments.
pub(super) fn targets(words: &[String], command: &[String], known: &[ServiceName]) -> Result<Targets, Failure> {
    let mut services: Vec<ServiceName> = Vec::new();
    let leading = words.iter().take_while(|word| known.iter().any(|name| name.as_str() == *word));
    for name in leading.clone().filter_map(|word| word.parse().ok()) {
        if !services.contains(&name) {
            services.push(name);
        }
    }
    let rest = &words[leading.count()..];
    if services.is_empty() {
        return Err(match words.first() {
            Some(word) => {
                let failure = unknown_service(word, known);
                // A command that is not one is taken for a service.
                match meant_command(word).filter(|_| meant(word, known).is_empty()) {
                    Some(command) => Failure {
                        what: format!("{}; did you mean the command `swap {command}`?", failure.what),
                        ..failure
                    },
                    None => failure,
                }
            }
            None => {
                Failure::new("no service is named").hint(format!("swap SERVICE (services: {})", list_services(known)))
            }
        });
    }
    let argv: Vec<String> = rest.iter().chain(command).cloned().collect();
    if !rest.is_empty() && !command.is_empty() {
        return Err(Failure::new(format!("`{}` is not a service, and a health command follows `--`", rest.join(" ")))
            .hint(format!("services: {}", list_services(known))));
    }
    if !argv.is_empty() && services.len() > 1 {
        return Err(Failure::new(format!(
            "the health command `{}` is for one service, but {} are named{}",
            argv.join(" "),
            services.len(),
            meant(&argv[0], known)
        ))
        .hint("write `health:` under `x-swap:` of each service"));
    }
    let health = match argv.as_slice() {
        [] => None,
        [line] => Some(Check::Shell(line.clone())),
        _ => Some(Check::Command(argv)),
    };
    Ok(Targets { services, health })
}

/// Returns the command whose name is near.
fn meant_command(word: &str) -> Option<String> {
    let command = <Arguments as clap::CommandFactory>::command();
    nearest(word, command.get_subcommands().map(clap::Command::get_name)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &[&str], command: &[&str]) -> String {
        let known: Vec<ServiceName> = ["app", "worker", "nginx"].iter().map(|name| name.parse().unwrap()).collect();
        let own = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
        match targets(&own(line), &own(command), &known) {
            Ok(targets) => format!("{} | {:?}", list_services(&targets.services), targets.health),
            Err(failure) => crate::ui::failure_text(&failure),
        }
    }

    #[test]
    fn leading_services_are_swapped_and_what_follows_is_the_health_command() {
        assert_eq!(check(&["app"], &[]), "app | None");
        assert_eq!(check(&["app", "worker", "app"], &[]), "app, worker | None");
        assert_eq!(check(&["app", "./healthcheck"], &[]), r#"app | Some(Shell("./healthcheck"))"#);
        assert_eq!(check(&["app", "./healthcheck --deep"], &[]), r#"app | Some(Shell("./healthcheck --deep"))"#);
        assert_eq!(check(&["app", "php", "check.php"], &[]), r#"app | Some(Command(["php", "check.php"]))"#);
        assert_eq!(check(&["app"], &["php", "-v"]), r#"app | Some(Command(["php", "-v"]))"#);
        assert_eq!(check(&["app"], &["worker"]), r#"app | Some(Shell("worker"))"#);
    }

    #[test]
    fn a_word_that_is_no_service_says_what_it_may_have_meant() {
        assert_eq!(
            check(&["ap"], &[]),
            "error: service `ap` not found (services: app, worker, nginx); did you mean the service `app`?\n"
        );
        assert_eq!(check(&["database"], &[]), "error: service `database` not found (services: app, worker, nginx)\n");
        assert_eq!(check(&[], &[]), "error: no service is named\nhint: swap SERVICE (services: app, worker, nginx)\n");
        assert_eq!(
            check(&["app", "worker", "ngnix"], &[]),
            "error: the health command `ngnix` is for one service, but 2 are named; did you mean the service `nginx`?\n\
             hint: write `health:` under `x-swap:` of each service\n"
        );
    }

    #[test]
    fn a_command_that_is_mistyped_says_what_was_meant() {
        assert_eq!(
            check(&["docter"], &[]),
            "error: service `docter` not found (services: app, worker, nginx); did you mean the command `swap doctor`?\n"
        );
        let flag = Arguments::try_parse_from(["swap", "app", "--wach", "5s"]).unwrap_err().to_string();
        assert_eq!(
            flag,
            "error: unexpected argument '--wach' found\n\n  tip: a similar argument exists: '--watch'\n  \
             tip: to pass '--wach' as a value, use '-- --wach'\n\n\
             Usage: swap [OPTIONS] SERVICE... [HEALTH-COMMAND]\n       \
             swap [OPTIONS] SERVICE -- HEALTH-COMMAND [ARG...]\n       swap COMMAND ...\n\n\
             For more information, try '--help'.\n"
        );
        let inner = Arguments::try_parse_from(["swap", "hooks", "inspct"]).unwrap_err().to_string();
        assert_eq!(
            inner,
            "error: unrecognized subcommand 'inspct'\n\n  tip: a similar subcommand exists: 'inspect'\n\n\
             Usage: swap hooks [OPTIONS] <COMMAND>\n\nFor more information, try '--help'.\n"
        );
    }

    #[test]
    fn a_value_that_can_t_be_meant_is_refused() {
        let told = |line: &[&str]| match Arguments::try_parse_from(["swap", "app"].iter().chain(line)) {
            Ok(arguments) => {
                arguments.mistake().map_or("fine\n".to_owned(), |mistake| crate::ui::failure_text(&mistake))
            }
            Err(error) => error.to_string().lines().take(1).map(|line| format!("{line}\n")).collect(),
        };
        for (line, expected) in [
            (
                &["--timeout", "0s"][..],
                "error: invalid value '0s' for '--timeout <TIME>': nothing gets healthy in no time\n",
            ),
            (
                &["--watch", "5"],
                "error: invalid value '5' for '--watch <TIME>': `5` has no unit: write `5s` for seconds\n",
            ),
            (&["--watch", "0", "--drain", "0s"], "fine\n"),
            (&["--port", "0"], "error: invalid value '0' for '--port <PORT>': 0 is not in 1..=65535\n"),
            (&["--probe", "/up"], "fine\n"),
            (&["--probe", "https://shop.example.com/up"], "fine\n"),
            (
                &["--probe", "htp://x"],
                "error: invalid value 'htp://x' for '--probe <URL>': `htp://x` is neither a path as `/up` nor a URL as \
                 `http://localhost:8080/`\n",
            ),
            (
                &["--probe", "http://"],
                "error: invalid value 'http://' for '--probe <URL>': `http://` is neither a path as `/up` nor a URL as \
                 `http://localhost:8080/`\n",
            ),
            (&["--hooks", "a.wasm", "--allow", "exec:db", "--set", "a=b"], "fine\n"),
            (
                &["--allow", "exec:db"],
                "error: `--allow` is for the hooks of `--hooks`, and none is named\n\
                 hint: for the hooks of the compose file write `allow:` and `config:` beside them, in `x-swap`\n",
            ),
            (
                &["--set", "a=b"],
                "error: `--set` is for the hooks of `--hooks`, and none is named\n\
                 hint: for the hooks of the compose file write `allow:` and `config:` beside them, in `x-swap`\n",
            ),
        ] {
            assert_eq!(told(line), expected, "{line:?}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
