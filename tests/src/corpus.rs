//! Other people's projects: what `swap init` makes of them, and whether that is right.
//!
//! Nothing of them is kept here, only their names. What a project has on the machine where it runs, and not in its repository, is
//! made: certificates, files that are included, hosts. What the stand-in for its nginx does not know becomes a comment.

mod case;
mod dockerfile;
mod proof;
mod stage;
mod ways;

pub use case::{Case, Verdict, table_of, text_of};
pub use stage::Place;

use stage::Stage;

use crate::command::Ended;

/// Examines a case; returns it with the verdict that it gets.
pub fn examine(case: &Case, number: usize, place: &Place) -> Case {
    let (verdict, reason) = match judged(case, number, place) {
        Ok(told) => told,
        Err(error) => (Verdict::Unusable, format!("{error:#}")),
    };
    Case { verdict, reason: one_line(&reason), ..case.clone() }
}

fn judged(case: &Case, number: usize, place: &Place) -> anyhow::Result<(Verdict, String)> {
    let stage = Stage::set(case, number, place)?;
    stage.furnish()?;
    let before = proof::look(&stage)?;
    let ended = stage.init()?;
    stage.note("said", &format!("{}\n{}\nexit {}\n", ended.stdout, ended.stderr, ended.code))?;
    if ended.code != 0 {
        return Ok(refused(case, &before, &ended));
    }
    stage.make_image()?;
    let after = match proof::look(&stage) {
        Ok(after) => after,
        Err(error) => return Ok((Verdict::Wrong, format!("{error:#}"))),
    };
    let problems = proof::compare(case, &before, &after);
    Ok(match problems.is_empty() {
        true => (Verdict::Right, proof::summary(case, &before, &after)),
        false => (Verdict::Wrong, problems.join("; ")),
    })
}

/// Judges a refusal: it names a place, says what to do, and is true.
fn refused(case: &Case, before: &proof::Look, ended: &Ended) -> (Verdict, String) {
    let lines: Vec<&str> = ended.stderr.lines().collect();
    let errors: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].starts_with("error: ")).collect();
    let first = errors.first().map_or("it says nothing", |at| lines[*at].trim_start_matches("error: "));
    let has_hint = |at: &usize| {
        let next = lines[at + 1..].iter().take_while(|line| !line.starts_with("error: "));
        next.clone().any(|line| line.starts_with("hint: ") && line.contains('`'))
    };
    let is_placed = ended.stderr.contains(':') && (ended.stderr.contains('/') || ended.stderr.contains(".y"));
    // What was refused by the proof was a wrong proposal.
    let is_defect = ["please report", "refuses the new files", "panicked", "can't be made with the new files"]
        .iter()
        .any(|word| ended.stderr.contains(word));
    let is_untrue = ["no line of", "no service of the project looks like"].iter().any(|word| first.contains(word))
        && before.leads(case) > 0;
    let good = !errors.is_empty() && errors.iter().all(has_hint) && is_placed && !is_defect && !is_untrue;
    (if good { Verdict::RefusedWell } else { Verdict::RefusedBadly }, first.to_owned())
}

/// Returns a text as one line of the table, without what differs from run to run.
fn one_line(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = line.chars().take(160).collect();
    if cut.len() < line.len() { format!("{cut}…") } else { cut }
}
