//! `swap init`: proposes what a stack lacks, and writes it when it is told to.

use super::arguments::Flags;
use crate::error::{Ended, Exit};
use crate::init::{self, Proposal, Typed};
use crate::model::{Failure, ServiceName};
use crate::ui::{self, Display, Format};

/// Prints the proposal as a diff, and writes it with `write`. Exits 3 if a part is left to people: then nothing is written,
/// because half of it would break a stack that works.
pub(super) async fn init(flags: &Flags, service: &ServiceName, write: bool, display: &Display) -> Result<Exit, Ended> {
    let (compose, project) = init::read(&flags.place()).await?;
    let exit = if project.services.contains_key(service) { Exit::Refused } else { Exit::Usage };
    let overrides = flags.overrides().map_err(|mistake| Ended { exit, ..mistake })?;
    let prepared = init::prepare(&compose, &project, service, &typed(flags), &overrides, display)
        .await
        .map_err(|failure| Ended::new(exit, failure))?;
    let proposal = &prepared.proposal;
    let complete = proposal.by_hand.is_empty();
    let diff = init::diff(proposal);
    if write && complete {
        prepared.write(&compose, &project).await.map_err(|failures| Ended { exit: Exit::Refused, failures })?;
    }
    if flags.output == Format::Json {
        print_json(proposal, &diff, write && complete);
        return Ok(if complete { Exit::Swapped } else { Exit::Refused });
    }
    ui::print(&diff.to_string());
    for note in &proposal.notes {
        display.say(&format!("note: {note}"));
    }
    let again = &proposal.again;
    if !complete {
        let mut failures = proposal.by_hand.clone();
        if !proposal.changes.is_empty() {
            failures.push(Failure::new("nothing is written: half of it would break a stack that works").hint(format!(
                "do what the lines above say together with the diff, or mend them and run `{again}` again"
            )));
        }
        return Err(Ended { exit: Exit::Refused, failures });
    }
    if proposal.changes.is_empty() {
        display.last(&format!("nothing to do: `{service}` is ready for `{} {service}`", compose.swap_line()));
        return Ok(Exit::Swapped);
    }
    let files = match proposal.changes.len() {
        1 => "1 file".to_owned(),
        several => format!("{several} files"),
    };
    let next = proposal.next.iter().map(|line| format!("\n  {line}")).collect::<String>();
    display.say(&match write {
        true => format!("{files} written; next:{next}"),
        false => format!("`{again} --write` writes {files}; then:{next}"),
    });
    Ok(Exit::Swapped)
}

/// Prints a proposal for a script. `written`: what it changes is written.
fn print_json(proposal: &Proposal, diff: &str, written: bool) {
    let changes: Vec<_> = proposal
        .changes
        .iter()
        .map(|change| serde_json::json!({ "file": change.path, "new": change.before.is_none(), "text": change.after }))
        .collect();
    let report = serde_json::json!({
        "v": 1,
        "complete": proposal.by_hand.is_empty(),
        "written": written && !changes.is_empty(),
        "changes": changes,
        "diff": diff,
        "notes": proposal.notes,
        "by_hand": proposal.by_hand,
        "next": proposal.next,
    });
    ui::print(&format!("{report}\n"));
}

/// Returns the flags that a proposal depends on, as they were typed.
fn typed(flags: &Flags) -> Typed {
    let proxy = flags.proxy.iter().map(|proxy| format!("--proxy {proxy}"));
    let port = flags.port.iter().map(|port| format!("--port {port}"));
    let upstream = flags.upstream.iter().map(|upstream| format!("--upstream {upstream}"));
    Typed { flags: proxy.chain(port).chain(upstream).collect() }
}
