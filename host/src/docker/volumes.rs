//! Volumes as marks on the engine that everybody who uses it sees: made, found and removed by their labels. They stay
//! empty.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::{ListVolumesOptionsBuilder, PruneVolumesOptionsBuilder, RemoveVolumeOptionsBuilder};

use super::{Docker, Fault, ask};
use crate::model::Failure;
use crate::text::printable;

/// How long others may prune volumes before a removal no longer waits for them.
const PRUNED_BY_OTHERS: Duration = Duration::from_secs(5);

/// The first version of the API in which pruning passes over volumes with a name unless it is told not to.
const PRUNES_ANONYMOUS: [u32; 2] = [1, 42];

/// A volume, as far as it is a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// Why there is no mark.
#[derive(Debug)]
pub enum NoMark {
    /// The engine answers that it makes none, as where a plugin allows no volumes.
    Refused(Failure),
    /// The engine does not answer.
    Unanswered(Failure),
}

impl Docker {
    /// Makes an empty volume with these labels; if the name is taken, returns the volume that has it, with its own labels.
    ///
    /// The engine does one or the other under its own lock: of many who ask at once, exactly one finds its labels in the
    /// answer (seen in races of 50 on engine 20.10). Costs 1–6 ms, and 0.2 ms where the name is taken.
    pub async fn mark(&self, name: &str, labels: &BTreeMap<String, String>) -> Result<Mark, NoMark> {
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            labels: Some(labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect()),
            ..Default::default()
        };
        let tried = || format!("making volume `{name}`");
        match ask(self.api.create_volume(request)).await {
            Ok(volume) => Ok(seen(volume)),
            Err(fault) if fault.status.is_none() => Err(NoMark::Unanswered(fault.when(tried()))),
            // Engines that are not Docker's refuse a name that is taken.
            Err(fault) => match self.marked(name).await {
                Ok(Some(mark)) => Ok(mark),
                _ => Err(NoMark::Refused(fault.when(tried()))),
            },
        }
    }

    /// Returns the volume of this name; `None` if there is none.
    pub async fn marked(&self, name: &str) -> Result<Option<Mark>, Failure> {
        match ask(self.api.inspect_volume(name)).await {
            Ok(volume) => Ok(Some(seen(volume))),
            Err(fault) if fault.is(404) => Ok(None),
            Err(fault) => Err(fault.when(format!("inspecting volume `{name}`"))),
        }
    }

    /// Returns the volumes with this label, sorted by name.
    pub async fn marks(&self, label: &str, value: &str) -> Result<Vec<Mark>, Failure> {
        let filters = HashMap::from([("label", vec![format!("{label}={value}")])]);
        let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
        let listed = ask(self.api.list_volumes(Some(options))).await;
        let listed = listed.map_err(|fault| fault.when(format!("listing the volumes with the label `{label}`")))?;
        let mut marks: Vec<Mark> = listed.volumes.into_iter().flatten().map(seen).collect();
        marks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(marks)
    }

    /// Removes the volumes with this label and no others; none is as good, so this may run twice.
    ///
    /// A volume has no id, so one that is removed by its name may be another's by now. To prune by a label looks and removes
    /// in one call, of which the engine runs one at a time.
    pub async fn unmark_all(&self, label: &str, value: &str) -> Result<(), Failure> {
        let mut filters = HashMap::from([("label", vec![format!("{label}={value}")])]);
        if self.prunes_anonymous_only() {
            filters.insert("all", vec!["true".to_owned()]);
        }
        let deadline = tokio::time::Instant::now() + PRUNED_BY_OTHERS;
        loop {
            let options = PruneVolumesOptionsBuilder::default().filters(&filters).build();
            match ask(self.api.prune_volumes(Some(options))).await {
                Ok(_) => return Ok(()),
                Err(fault) if fault.is(409) && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(Fault { status: None, message }) => {
                    return Err(Failure::new(format!("removing the volumes with the label `{label}`: {message}")));
                }
                // Where nobody may prune, or somebody does so for long: what is seen is removed by its name.
                Err(_) => break,
            }
        }
        for mark in self.marks(label, value).await? {
            self.unmark(&mark.name).await?;
        }
        Ok(())
    }

    /// Removes a volume by its name, which nobody else may ever use. One that is gone (404) is what was wanted, so this may
    /// run twice.
    pub async fn unmark(&self, name: &str) -> Result<(), Failure> {
        let options = RemoveVolumeOptionsBuilder::default().build();
        match ask(self.api.remove_volume(name, Some(options))).await {
            Ok(()) => Ok(()),
            Err(fault) if fault.is(404) => Ok(()),
            Err(fault) => Err(fault.when(format!("removing volume `{name}`"))),
        }
    }

    fn prunes_anonymous_only(&self) -> bool {
        let numbers: Vec<u32> = self.api_version().split('.').filter_map(|part| part.parse().ok()).collect();
        numbers.as_slice() >= PRUNES_ANONYMOUS.as_slice()
    }
}

fn seen(volume: bollard::models::Volume) -> Mark {
    Mark { name: printable(&volume.name), labels: volume.labels.into_iter().collect() }
}
