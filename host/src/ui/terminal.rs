//! The live part of a terminal: the steps that run, why they wait, what their hooks say, and the steps to come.
//!
//! It stands below the lines that stay and is gone when the run is over.

use std::collections::VecDeque;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::facts::seconds;

/// So many of the last lines of a hook are seen while it speaks.
const WINDOW: usize = 3;

/// What is under way: a step of the plan, or its undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Going {
    /// The step of this index.
    Step(usize),
    /// The undo of the step of this index.
    Undo(usize),
}

impl Going {
    /// Tells whether both are steps, or both undos: only then they go beside one another.
    fn is_like(self, other: Going) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// The live part.
#[derive(Debug)]
pub(super) struct Terminal {
    all: MultiProgress,
    /// What is under way, in the order in which it began.
    going: Vec<(Going, ProgressBar)>,
    /// Why it waits.
    reason: Option<ProgressBar>,
    lines: VecDeque<ProgressBar>,
    /// All that was said in this step, to be folded when it ends.
    said: Vec<String>,
    to_come: VecDeque<(usize, ProgressBar)>,
    color: bool,
    ticks: bool,
}

impl Terminal {
    /// Makes the live part; nothing is drawn before a step begins.
    pub(super) fn new(target: ProgressDrawTarget, color: bool, ticks: bool) -> Self {
        Self {
            all: MultiProgress::with_draw_target(target),
            going: Vec::new(),
            reason: None,
            lines: VecDeque::new(),
            said: Vec::new(),
            to_come: VecDeque::new(),
            color,
            ticks,
        }
    }

    /// Writes a line that stays above the live part.
    pub(super) fn line(&self, text: &str) {
        let _ = self.all.println(text);
    }

    /// Shows the steps to come, each with its index in the plan.
    pub(super) fn plan<'a>(&mut self, steps: impl Iterator<Item = (usize, &'a str)>) {
        for (index, text) in steps {
            let bar = self.bar("  · {wide_msg:.dim}", "  · {wide_msg}");
            self.to_come.push_back((index, self.all.add(bar)));
            if let Some((_, bar)) = self.to_come.back() {
                bar.set_message(text.to_owned());
            }
        }
    }

    /// Shows that a step runs, or an undo, before which no step is to come any more. Returns what is to be kept of what ended
    /// without a word.
    pub(super) fn begin(&mut self, going: Going, text: &str) -> Vec<String> {
        let beside = self.going.iter().all(|(other, _)| other.is_like(going) && *other != going);
        let kept = if beside { Vec::new() } else { self.end_all() };
        while let Some((of, bar)) = self.to_come.pop_front() {
            if matches!(going, Going::Step(index) if of > index) {
                self.to_come.push_front((of, bar));
                break;
            }
            self.all.remove(&bar);
        }
        let bar = self.bar("  {spinner:.cyan} {wide_msg} {took:.dim}", "  {spinner} {wide_msg} {took}");
        let bar = self.all.insert(self.going.len(), bar);
        bar.set_message(text.to_owned());
        if self.ticks {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        bar.tick();
        self.going.push((going, bar));
        kept
    }

    /// Shows why the step waits, in place of the reason before.
    pub(super) fn waits(&mut self, why: &str) {
        if self.reason.is_none() && !self.going.is_empty() {
            let bar = self.bar("      {wide_msg:.yellow}", "      {wide_msg}");
            self.reason = Some(self.all.insert(self.going.len(), bar));
        }
        if let Some(reason) = &self.reason {
            reason.set_message(why.to_owned());
        }
    }

    /// Shows a line of a hook or a command; the last few are seen.
    pub(super) fn says(&mut self, line: &str) {
        if self.going.is_empty() {
            return self.line(&format!("    {line}"));
        }
        self.said.push(line.to_owned());
        let bar = self.bar("    │ {wide_msg:.dim}", "    │ {wide_msg}");
        let place = self.going.len() + usize::from(self.reason.is_some()) + self.lines.len();
        let bar = self.all.insert(place, bar);
        bar.set_message(line.to_owned());
        self.lines.push_back(bar);
        if self.lines.len() > WINDOW
            && let Some(first) = self.lines.pop_front()
        {
            self.all.remove(&first);
        }
    }

    /// Ends a step, or an undo. Returns what hooks said: all of it if it is short, else its last lines and how many there were.
    pub(super) fn end(&mut self, going: Going) -> Vec<String> {
        if let Some(index) = self.going.iter().position(|(other, _)| *other == going) {
            self.all.remove(&self.going.remove(index).1);
        }
        self.fold()
    }

    /// Ends all that is under way.
    pub(super) fn end_all(&mut self) -> Vec<String> {
        self.going.drain(..).for_each(|(_, bar)| self.all.remove(&bar));
        self.fold()
    }

    fn fold(&mut self) -> Vec<String> {
        let bars = self.reason.take().into_iter().chain(self.lines.drain(..));
        for bar in bars {
            self.all.remove(&bar);
        }
        let said = std::mem::take(&mut self.said);
        let hidden = said.len().saturating_sub(WINDOW);
        let mut kept: Vec<String> = said.into_iter().skip(hidden).map(|line| format!("    │ {line}")).collect();
        if hidden > 0 {
            kept.insert(0, format!("    │ … {hidden} lines before these: `swap logs`"));
        }
        kept
    }

    /// Takes the live part away.
    pub(super) fn close(&mut self) -> Vec<String> {
        let kept = self.end_all();
        self.to_come.drain(..).for_each(|(_, bar)| self.all.remove(&bar));
        // What was removed is still on the screen until something is drawn again.
        let _ = self.all.clear();
        kept
    }

    /// Returns the sign before a step that is over.
    pub(super) fn sign(&self, good: bool) -> &'static str {
        match (good, self.color) {
            (true, true) => "\u{1b}[32m✓\u{1b}[0m",
            (true, false) => "✓",
            (false, true) => "\u{1b}[31m✗\u{1b}[0m",
            (false, false) => "✗",
        }
    }

    fn bar(&self, colored: &str, plain: &str) -> ProgressBar {
        let template = if self.color { colored } else { plain };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
        let took = |state: &ProgressState, text: &mut dyn std::fmt::Write| {
            let _ = text.write_str(&seconds(i64::try_from(state.elapsed().as_millis()).unwrap_or(i64::MAX)));
        };
        let style = style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ").with_key("took", took);
        ProgressBar::new_spinner().with_style(style)
    }
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;

    /// Returns what the terminal shows, without times.
    fn shown(term: &InMemoryTerm) -> String {
        let lines = term.contents();
        let lines = lines.lines().map(|line| match line.trim_end().strip_suffix(" s") {
            Some(rest) => rest.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').to_owned(),
            None => line.trim_end().to_owned(),
        });
        let still = |line: String| line.replace(|c: char| "⠙⠹⠸⠼⠴⠦⠧⠇⠏".contains(c), "⠋");
        let lines = lines.map(still);
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_step_shows_why_it_waits_and_what_is_said_above_what_is_to_come() {
        let term = InMemoryTerm::new(20, 60);
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(term.clone()), 255);
        let mut terminal = Terminal::new(target, false, false);
        let step = std::thread::sleep;
        terminal.line("swap app (project demo, run r)");
        terminal.plan(
            [
                (0, "create      app"),
                (1, "healthy     app"),
                (2, "switch      app: a text that is too long for this terminal"),
            ]
            .into_iter(),
        );
        terminal.begin(Going::Step(1), "healthy     app: until GET /up");
        terminal.waits("not yet: GET /up answered 503, attempt 1");
        terminal.waits("not yet: GET /up answered 503, attempt 2");
        (1..=5).for_each(|number| terminal.says(&format!("judge (health): line {number}")));
        // The library draws no faster than a screen can show.
        step(Duration::from_millis(30));
        terminal.waits("not yet: GET /up answered 503, attempt 7");
        assert_eq!(
            shown(&term),
            "swap app (project demo, run r)\n  ⠋ healthy     app: until GET /up\n\
             \u{20}     not yet: GET /up answered 503, attempt 7\n    │ judge (health): line 3\n\
             \u{20}   │ judge (health): line 4\n    │ judge (health): line 5\n\
             \u{20} · switch      app: a text that is too long for this termin"
        );
        let kept = terminal.end(Going::Step(1));
        assert_eq!(kept[..2], ["    │ … 2 lines before these: `swap logs`", "    │ judge (health): line 3"]);
        kept.iter().for_each(|line| terminal.line(line));
        terminal.begin(Going::Undo(0), "remove      app: remove what was created");
        step(Duration::from_millis(30));
        terminal.waits("soon");
        assert!(terminal.close().is_empty());
        assert_eq!(
            shown(&term),
            "swap app (project demo, run r)\n    │ … 2 lines before these: `swap logs`\n    │ judge (health): line 3\n    │ judge (health): line 4\n    │ judge (health): line 5"
        );
    }

    #[test]
    fn steps_that_go_beside_one_another_end_one_by_one() {
        let term = InMemoryTerm::new(20, 60);
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(term.clone()), 255);
        let mut terminal = Terminal::new(target, false, false);
        terminal.plan([(0, "healthy     app"), (1, "healthy     web"), (2, "switch      app")].into_iter());
        terminal.begin(Going::Step(0), "healthy     app: until GET /up");
        terminal.begin(Going::Step(1), "healthy     web: until GET /up");
        std::thread::sleep(Duration::from_millis(30));
        terminal.waits("web: not yet");
        assert_eq!(
            shown(&term),
            "  ⠋ healthy     app: until GET /up\n  ⠋ healthy     web: until GET /up\n      web: not yet\n  · switch      app"
        );
        terminal.end(Going::Step(0));
        std::thread::sleep(Duration::from_millis(30));
        terminal.waits("web: not yet, attempt 2");
        assert_eq!(
            shown(&term),
            "  ⠋ healthy     web: until GET /up\n      web: not yet, attempt 2\n  · switch      app"
        );
        // Nobody has told how the other one ended.
        terminal.begin(Going::Undo(1), "stop        web: stop what was started");
        std::thread::sleep(Duration::from_millis(30));
        terminal.waits("soon");
        assert_eq!(shown(&term), "  ⠋ stop        web: stop what was started\n      soon");
    }
}
