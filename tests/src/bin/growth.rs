//! `growth`: what swap's commands take as a project grows, with compose's own time beside it, and makes tables of it.
//! `scripts/growth` builds what it measures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use scenarios::images;
use scenarios::stack::{Builder, Stack, compose_tool};

/// What takes longer is ended, and told as longer than this.
const LIMIT: Duration = Duration::from_secs(60);
/// What one figure may take in all; after that its median is that of fewer rounds.
const FIGURE: Duration = Duration::from_secs(6);

/// How many services the compose file has; of these a handful runs.
const PROJECTS: [usize; 3] = [10, 100, 500];
/// How many `server` blocks nginx reads.
const SERVERS: [usize; 3] = [1, 1000, 5000];
/// How many hooks a service has, each of other bytes.
const HOOKS: [usize; 3] = [1, 10, 50];
/// How many services are swapped by one command.
const TOGETHER: [usize; 2] = [1, 5];
/// A process that takes a second and a half to end when it is asked to.
const SLOW_TO_STOP: &str = "command: [sh, -c, \"trap 'sleep 1.5; exit' TERM; ./serve & while :; do sleep 0.1; done\"]";
/// How long a candidate with a health command must stay healthy until it is switched to.
const CHECKS_STAY: Duration = Duration::from_millis(300);
/// How many containers a service has.
const REPLICAS: [usize; 3] = [1, 5, 10];

/// Measures swap as a project grows: medians of the wall time of whole commands.
#[derive(Debug, Parser)]
struct Arguments {
    /// A swap to measure, as `now=target/release/swap`; several take turns.
    #[arg(long = "swap", required = true, value_name = "NAME=PROGRAM")]
    swaps: Vec<Measured>,
    /// How often each command is run; fewer times where that takes long.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only what grows so: `services`, `servers`, `hooks`, `together`, `stops` or `replicas`; or `tools`.
    #[arg(long)]
    only: Option<String>,
}

/// A program that is measured.
#[derive(Debug, Clone)]
struct Measured {
    name: String,
    program: PathBuf,
}

impl FromStr for Measured {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, program) = text.split_once('=').ok_or("a swap is NAME=PROGRAM")?;
        // It is called in other folders.
        let program = fs::canonicalize(program).map_err(|error| format!("`{program}`: {error}"))?;
        Ok(Self { name: name.to_owned(), program })
    }
}

/// A row of a table: what grew, and what each command took.
#[derive(Debug, Default)]
struct Row {
    what: String,
    compose: Option<Duration>,
    /// By command and name of the program.
    took: BTreeMap<(String, String), Took>,
}

/// What a command took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Took {
    /// The median.
    Time(Duration),
    /// It was ended.
    TooLong,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let wanted = |axis: &str| arguments.only.as_deref().is_none_or(|only| only == axis);
    let reads = [["status"].as_slice(), &["doctor", "app"], &["plan", "app"]];
    let mut rows = Vec::new();
    for services in PROJECTS.into_iter().filter(|_| wanted("services")) {
        let stack = project(services).up();
        rows.push(arguments.row(&stack, &counted(services, "service"), &reads)?);
    }
    for servers in SERVERS.into_iter().filter(|_| wanted("servers")) {
        let stack = served(servers).up();
        rows.push(arguments.row(&stack, &counted(servers, "`server` block"), &reads)?);
    }
    print(&rows, &["status", "doctor app", "plan app"], &arguments.swaps);
    let mut rows = Vec::new();
    for hooks in HOOKS.into_iter().filter(|_| wanted("hooks")) {
        rows.extend(arguments.hooks(hooks)?);
    }
    print(&rows, &["plan app"], &arguments.swaps);
    if wanted("tools") {
        arguments.tools()?;
    }
    let mut rows = Vec::new();
    // Of one project, whose services could all call one another: how many are swapped is all that differs.
    let most = TOGETHER.into_iter().max().unwrap_or_default();
    for services in TOGETHER.into_iter().filter(|_| wanted("together")) {
        let names: Vec<String> = (0..services).map(app).collect();
        let stack = together(most, "").up();
        rows.push(arguments.swapped(&stack, &format!("{} in one command", counted(services, "service")), &names)?);
    }
    for services in TOGETHER.into_iter().filter(|_| wanted("stops")) {
        let names: Vec<String> = (0..services).map(app).collect();
        let stack = together(most, SLOW_TO_STOP).up();
        let what = format!("{} in one command, stops of 1.5 s", counted(services, "service"));
        rows.push(arguments.swapped(&stack, &what, &names)?);
    }
    for replicas in REPLICAS.into_iter().filter(|_| wanted("replicas")) {
        let stack = Stack::builder().scale("app", replicas).up();
        rows.push(arguments.swapped(
            &stack,
            &format!("{} of a service", counted(replicas, "container")),
            &["app".to_owned()],
        )?);
    }
    print(&rows, &["swap"], &arguments.swaps);
    Ok(())
}

impl Arguments {
    /// Measures commands that change nothing, the programs in turns, and `config` of compose as swap asks for it.
    fn row(&self, stack: &Stack, what: &str, commands: &[&[&str]]) -> Result<Row> {
        let mut row = Row { what: what.to_owned(), compose: Some(self.compose(stack)?), ..Row::default() };
        for command in commands {
            let figures = self.in_turns(|swap| call(stack, swap, command, &[]))?;
            row.took.extend(figures.into_iter().map(|(name, took)| ((command.join(" "), name), took)));
        }
        eprintln!("{what}: measured");
        Ok(row)
    }

    /// Measures a plan with so many hooks, when none of them was compiled before and when all were.
    fn hooks(&self, count: usize) -> Result<[Row; 2]> {
        let stack = Stack::up();
        many_hooks(&stack, count)?;
        stack.edit("docker-compose.yml", "health: ./healthcheck", "health: ./healthcheck\n      hooks: [ hooks ]");
        let compose = Some(self.compose(&stack)?);
        let turn = std::cell::Cell::new(0);
        let cold = self.in_turns(|swap| {
            turn.set(turn.get() + 1);
            let cache = stack.path(&format!("cache-{}", turn.get()));
            call(&stack, swap, &["plan", "app"], &[("XDG_CACHE_HOME", &cache)])
        })?;
        let warm = self.in_turns(|swap| {
            let cache = stack.path(&format!("cache-{}", swap.name));
            call(&stack, swap, &["plan", "app"], &[("XDG_CACHE_HOME", &cache)])
        })?;
        let row = |what: String, figures: BTreeMap<String, Took>| Row {
            what,
            compose,
            took: figures.into_iter().map(|(name, took)| (("plan app".to_owned(), name), took)).collect(),
        };
        eprintln!("{count} hooks: measured");
        Ok([
            row(format!("{}, none compiled before", counted(count, "hook")), cold),
            row(format!("{}, compiled before", counted(count, "hook")), warm),
        ])
    }

    /// Measures swaps of services to their own image.
    fn swapped(&self, stack: &Stack, what: &str, services: &[String]) -> Result<Row> {
        let words: Vec<&str> = services.iter().map(String::as_str).collect();
        let figures = self.in_turns(|swap| call(stack, swap, &words, &[]))?;
        eprintln!("{what}: measured");
        Ok(Row {
            what: what.to_owned(),
            compose: Some(self.compose(stack)?),
            took: figures.into_iter().map(|(name, took)| (("swap".to_owned(), name), took)).collect(),
        })
    }

    /// Measures what compose, the engine and nginx take for what a swap of one service has them do, without swap, in turns with
    /// whole swaps; and prints how much more a swap takes.
    fn tools(&self) -> Result<()> {
        let stack = together(1, "").up();
        let (mut alone, mut swapped) = (Vec::new(), BTreeMap::<String, Vec<Duration>>::new());
        for round in 0..=self.rounds {
            let took = tools_alone(&stack)?;
            if round > 0 {
                alone.push(took);
            }
            for swap in &self.swaps {
                // nginx was told by others: what that costs the next swap is no part of it.
                call(&stack, swap, &["app"], &[])?;
                let took = call(&stack, swap, &["app"], &[])?.context("a swap took too long")?;
                if round > 0 {
                    swapped.entry(swap.name.clone()).or_default().push(took);
                }
            }
        }
        let alone = median(alone);
        println!("| one service | s | above the tools |\n|---|--:|--:|");
        println!("| compose, engine and nginx alone | {:.3} | |", alone.as_secs_f64());
        for (name, times) in swapped {
            let took = median(times).as_secs_f64();
            println!("| `swap`, {name} | {took:.3} | {:.3} |", took - alone.as_secs_f64());
        }
        println!();
        Ok(())
    }

    fn compose(&self, stack: &Stack) -> Result<Duration> {
        let tool = compose_tool();
        let (program, rest) = tool.split_first().context("no compose tool")?;
        let mut times = Vec::new();
        for _ in 0..self.rounds {
            let mut command = Command::new(program);
            command.args(rest).args(["--profile", "*", "config"]).current_dir(stack.path("."));
            let begun = Instant::now();
            ensure!(
                command.stdout(Stdio::null()).stderr(Stdio::null()).status()?.success(),
                "compose reads no project"
            );
            times.push(begun.elapsed());
        }
        Ok(median(times))
    }

    /// Lets the programs do something in turns, so that what else the machine does meets all of them. The first time of each
    /// does not count.
    fn in_turns(&self, mut once: impl FnMut(&Measured) -> Result<Option<Duration>>) -> Result<BTreeMap<String, Took>> {
        let mut times: BTreeMap<String, Vec<Option<Duration>>> = BTreeMap::new();
        for round in 0..=self.rounds {
            for swap in &self.swaps {
                let times = times.entry(swap.name.clone()).or_default();
                if times.iter().map(|time| time.unwrap_or(LIMIT)).sum::<Duration>() >= FIGURE {
                    continue;
                }
                let time = once(swap)?;
                // The first time does not count, unless it takes so long that it stays the only one.
                if round > 0 || time.is_none_or(|time| time >= FIGURE) {
                    times.push(time);
                }
            }
        }
        let took = |times: Vec<Option<Duration>>| {
            let whole: Option<Vec<Duration>> = times.into_iter().collect();
            whole.map_or(Took::TooLong, |whole| Took::Time(median(whole)))
        };
        Ok(times.into_iter().map(|(name, times)| (name, took(times))).collect())
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn app(number: usize) -> String {
    if number == 0 { "app".to_owned() } else { format!("app{number}") }
}

/// A stack whose compose file has so many services, of which nginx and four others run.
fn project(services: usize) -> Builder {
    let mut more = String::new();
    for number in 2..services {
        let profile = if number < 5 { "" } else { "    profiles: [ idle ]\n" };
        let _ = write!(
            more,
            "\n  app{number}:\n    image: [project]-app\n    stop_grace_period: 2s\n    environment: {{ NUMBER: \"{number}\" }}\n{profile}"
        );
    }
    Stack::builder().compose("\nvolumes:\n", &format!("{more}\nvolumes:\n"))
}

/// A stack whose nginx has so many `server` blocks, all of them before the application.
fn served(servers: usize) -> Builder {
    let mut more = "    server_names_hash_max_size 32768;\n    include /etc/nginx/swap/*.conf;\n".to_owned();
    for number in 1..servers {
        let _ = write!(
            more,
            "    server {{\n        listen 80;\n        server_name s{number}.example.com;\n        location / {{ proxy_pass \
             http://app; }}\n        location /static/ {{ root /srv/s{number}; expires 1h; }}\n    }}\n"
        );
    }
    Stack::builder().nginx("    include /etc/nginx/swap/*.conf;\n", &more)
}

/// A stack with so many services that are swapped by one command.
///
/// `line` stands at each of them.
fn together(services: usize, line: &str) -> Builder {
    let (mut more, mut servers) = (String::new(), String::new());
    for number in 1..services {
        let name = app(number);
        let _ = write!(
            more,
            "\n  {name}:\n    image: [project]-app\n    stop_grace_period: 10s\n    x-swap: {{ health: ./healthcheck }}\n    {line}\n"
        );
        let _ = writeln!(servers, "        location /{name}/ {{ proxy_pass http://{name}/; }}");
    }
    let builder = if line.is_empty() { Stack::builder() } else { Stack::builder().app_line(line) };
    let depends = (1..services).map(|number| format!("      - {}\n", app(number))).collect::<String>();
    builder
        .compose("      - app\n", &format!("      - app\n{depends}"))
        .compose("\nvolumes:\n", &format!("{more}\nvolumes:\n"))
        .nginx("        location / {\n", &format!("{servers}        location / {{\n"))
}

/// Puts so many hooks into the stack's folder `hooks`, the same one each time with other bytes at its end.
fn many_hooks(stack: &Stack, count: usize) -> Result<()> {
    let component = fs::read(images::hook("http-health")?)?;
    fs::create_dir_all(stack.path("hooks"))?;
    for number in 0..count {
        let (name, data) = ("growth", format!("{:08}{}", number, fastrand::u64(..)));
        // A section that no tool reads: its id, its length, the length of its name, its name, its data.
        let length = u8::try_from(1 + name.len() + data.len())?;
        ensure!(length < 128, "the section is too long");
        let mut bytes = component.clone();
        bytes.extend([0, length, u8::try_from(name.len())?]);
        bytes.extend(name.bytes().chain(data.bytes()));
        fs::write(stack.path(&format!("hooks/hook-{number:02}.wasm")), bytes)?;
    }
    Ok(())
}

/// Does by the tools alone what a swap of the service `app` has them do: compose reads the project and creates a container, the
/// engine starts it, its health command agrees twice, nginx tests its files and reads them, and its former workers are waited for, the
/// engine stops the former container and removes it. The engine is asked by its API, so that no other program's start counts.
fn tools_alone(stack: &Stack) -> Result<Duration> {
    let former = stack.containers("app").remove(0);
    let nginx = stack.containers("nginx").remove(0);
    let tool = compose_tool();
    let compose = |words: &[&str]| -> Result<()> {
        let mut command = Command::new(&tool[0]);
        command.args(&tool[1..]).args(words).current_dir(stack.path(".")).stdin(Stdio::null());
        ensure!(command.stdout(Stdio::null()).stderr(Stdio::null()).status()?.success(), "compose {words:?} failed");
        Ok(())
    };
    let begun = Instant::now();
    compose(&["config", "--format", "json"])?;
    compose(&["up", "--no-start", "--no-recreate", "--no-build", "--no-deps", "--scale", "app=2", "app"])?;
    let mut took = begun.elapsed();
    // To ask who is new is no part of it.
    let candidate = stack.containers("app").into_iter().find(|container| container.id != former.id);
    let candidate = candidate.context("compose has created nothing")?;
    let begun = Instant::now();
    engine("POST", &format!("/containers/{}/start", candidate.id))?;
    while exec(&candidate.id, &["./healthcheck"])? != 0 {
        ensure!(begun.elapsed() < LIMIT, "the candidate does not get healthy");
    }
    // And stays so: swap looks twice.
    sleep(CHECKS_STAY);
    ensure!(exec(&candidate.id, &["./healthcheck"])? == 0, "the candidate does not stay healthy");
    // nginx's former workers take a tenth of a second to leave when nobody uses them.
    let workers = "grep -l '^nginx: worker process' /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3";
    let script = format!(
        "nginx -t 2>/dev/null || exit 1; old=$({workers}); nginx -s reload; \
         for pid in $old; do while [ -e /proc/$pid ] && ! grep -q '^State:.Z' /proc/$pid/status 2>/dev/null; do sleep 0.004; done; done"
    );
    ensure!(exec(&nginx.id, &["sh", "-c", &script])? == 0, "nginx does not reload");
    engine("POST", &format!("/containers/{}/stop", former.id))?;
    engine("DELETE", &format!("/containers/{}", former.id))?;
    took += begun.elapsed();
    Ok(took)
}

/// Runs a command in a container and returns its exit code.
fn exec(container: &str, words: &[&str]) -> Result<i64> {
    let created =
        ask("POST", &format!("/containers/{container}/exec"), &serde_json::json!({ "Cmd": words }).to_string())?;
    let id = created["Id"].as_str().context("an exec without an id")?.to_owned();
    ask("POST", &format!("/exec/{id}/start"), "{\"Detach\":false,\"Tty\":false}")?;
    // Its output has ended then; the engine learns of its end a moment later.
    let begun = Instant::now();
    loop {
        match ask("GET", &format!("/exec/{id}/json"), "")?["ExitCode"].as_i64() {
            Some(code) => return Ok(code),
            None => ensure!(begun.elapsed() < LIMIT, "an exec that does not end"),
        }
        sleep(Duration::from_millis(1));
    }
}

fn engine(method: &str, path: &str) -> Result<()> {
    ask(method, path, "").map(drop)
}

/// Asks the engine at its usual socket. An answer that is no JSON is null.
fn ask(method: &str, path: &str, body: &str) -> Result<serde_json::Value> {
    let mut socket = UnixStream::connect("/var/run/docker.sock").context("the engine's socket")?;
    write!(
        socket,
        "{method} /v1.41{path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, rest) = answer.split_once("\r\n\r\n").context("half an answer")?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok()).context("no status")?;
    ensure!(code < 400, "{method} {path}: {head}\n{rest}");
    let json = rest.find('{').and_then(|begin| rest.rfind('}').map(|end| &rest[begin..=end]));
    Ok(json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default())
}

/// Runs a command of swap; `None`: it was ended because it took too long.
fn call(stack: &Stack, swap: &Measured, words: &[&str], environment: &[(&str, &Path)]) -> Result<Option<Duration>> {
    let begun = Instant::now();
    let mut command = Command::new(&swap.program);
    command.args(words).current_dir(stack.path(".")).env("SWAP_STATE_DIR", stack.state()).env("TERM", "dumb");
    let log = stack.path("growth.log");
    let (out, err) = (fs::File::create(&log)?, fs::OpenOptions::new().append(true).open(&log)?);
    let mut child = command.envs(environment.iter().copied()).stdin(Stdio::null()).stdout(out).stderr(err).spawn()?;
    let code = loop {
        if let Some(status) = child.try_wait()? {
            break status.code();
        }
        if begun.elapsed() > LIMIT {
            end(&mut child);
            return Ok(None);
        }
        sleep(Duration::from_millis(1));
    };
    let took = begun.elapsed();
    // A doctor may find what he likes.
    let good = code == Some(0) || code == Some(3) && words.first() == Some(&"doctor");
    ensure!(good, "`{} {}` exited {code:?}\n{}", swap.name, words.join(" "), fs::read_to_string(&log)?);
    Ok(Some(took))
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn print(rows: &[Row], commands: &[&str], swaps: &[Measured]) {
    if !rows.is_empty() {
        let names: Vec<&str> = swaps.iter().map(|swap| swap.name.as_str()).collect();
        println!("{}", table(rows, commands, &names));
    }
}

/// Returns the rows in Markdown, each figure in seconds.
fn table(rows: &[Row], commands: &[&str], swaps: &[&str]) -> String {
    let columns: Vec<(String, String)> = commands
        .iter()
        .flat_map(|command| swaps.iter().map(|name| ((*command).to_owned(), (*name).to_owned())))
        .collect();
    let title = |(command, name): &(String, String)| match swaps {
        [_] => format!(" `{command}` |"),
        _ => format!(" `{command}`, {name} |"),
    };
    let mut text = format!("| | `compose config` |{}\n", columns.iter().map(title).collect::<String>());
    let _ = writeln!(text, "|---|--:|{}", "--:|".repeat(columns.len()));
    for row in rows {
        let compose = row.compose.map_or_else(|| "-".to_owned(), seconds);
        let cell = |column: &(String, String)| match row.took.get(column) {
            Some(Took::Time(time)) => format!(" {} |", seconds(*time)),
            Some(Took::TooLong) => format!(" more than {} |", LIMIT.as_secs()),
            None => " - |".to_owned(),
        };
        let _ = writeln!(text, "| {} | {compose} |{}", row.what, columns.iter().map(cell).collect::<String>());
    }
    text
}

fn seconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_tells_each_command_of_each_program_beside_compose() {
        let key = |name: &str| ("status".to_owned(), name.to_owned());
        let time = |ms| Took::Time(Duration::from_millis(ms));
        let row = Row {
            what: "10 services".to_owned(),
            compose: Some(Duration::from_millis(120)),
            took: BTreeMap::from([(key("before"), Took::TooLong), (key("now"), time(340))]),
        };
        let expected = "\
| | `compose config` | `status`, before | `status`, now |
|---|--:|--:|--:|
| 10 services | 0.12 | more than 60 | 0.34 |
";
        assert_eq!(table(&[row], &["status"], &["before", "now"]), expected);
    }

    #[test]
    fn the_middle_one_counts() {
        let times = [5, 1, 900].map(Duration::from_millis);
        assert_eq!(median(times.to_vec()), Duration::from_millis(5));
    }
}
