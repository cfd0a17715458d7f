// SPDX-License-Identifier: BSD-2-Clause
//! An instance is taken out of its host and put back from its image, in no time at all.
//!
//! Between the two, the host hands out numbers as if others had been busy, so that nothing in the
//! instance has the host ids, handles or addresses it had. If an image holds all that later
//! behaviour depends on, nobody can tell: the trace of a run in which this was done after every
//! event equals that of a run in which it never was.

use super::World;

/// Processes that come and go on the host meanwhile.
const STRANGERS: u32 = 7;

impl World {
    /// Takes the instance `path`, with all below it, through its image. Nothing happens where it is
    /// on no host.
    ///
    /// # Errors
    /// What the host said where it could not be done.
    pub fn transplant(&mut self, path: &str) -> Result<(), String> {
        let Some((host, Some(instance))) = self.find(path) else {
            return Ok(());
        };
        let machine = self.hosts.get_mut(host).ok_or("no such host")?;
        let (parent, name) = machine.parent_of(path).map_err(|e| e.to_string())?;
        let said = |what: &str, why: String| format!("{path}: {what}: {why}");
        machine
            .join
            .suspend(&mut machine.kern, instance)
            .map_err(|e| said("suspend", e.errno().to_string()))?;
        let image = machine
            .join
            .capture(&mut machine.kern, instance)
            .map_err(|e| said("capture", format!("{e:?}")))?;
        machine
            .release(instance)
            .map_err(|e| said("release", e.errno().to_string()))?;
        machine.kern.populate(STRANGERS);
        let restored = machine
            .join
            .restore(&mut machine.kern, parent, Some(name), &image)
            .map_err(|e| said("restore", format!("{e:?}")))?;
        machine.rewire();
        machine
            .join
            .resume(&mut machine.kern, restored)
            .map_err(|e| said("resume", e.errno().to_string()))?;
        self.settle(host);
        Ok(())
    }
}
