//! `swap doctor`: what stands in the way of a swap, and what it would cost.

use super::arguments::Flags;
use crate::doctor::{self, Severity};
use crate::error::{Ended, Exit};
use crate::model::ServiceName;
use crate::ui::{self, Format};

/// Examines everything and prints the findings. Exits 3 if one of them is an error, as the swap would.
pub(super) async fn doctor(flags: &Flags, services: &[ServiceName]) -> Result<Exit, Ended> {
    let facts = doctor::examine(&flags.place(), services, &flags.overrides()?)
        .await
        .map_err(|failure| Ended::new(Exit::Usage, failure))?;
    let mut findings = doctor::findings(&facts);
    let errors = findings.iter().any(|finding| finding.severity == Severity::Error);
    let verdict = doctor::verdict(&facts, &findings);
    ui::print(&match flags.output {
        Format::Json => {
            let report = serde_json::json!({ "v": 1, "ready": !errors && facts.are_answered(), "verdict": verdict, "findings": findings });
            format!("{report}\n")
        }
        Format::Text => {
            if flags.quiet {
                findings.retain(|finding| finding.severity > Severity::Note);
            }
            format!("{}{verdict}\n", doctor::findings_text(&findings))
        }
    });
    Ok(if errors { Exit::Refused } else { Exit::Swapped })
}
