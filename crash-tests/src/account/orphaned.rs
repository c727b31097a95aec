//! The account of a copy of a segment, in which everybody is dead who was attached.

use super::{Account, Fresh, Outcome, is_like, is_sound, recover, workload};
use crate::operations::Operation;
use crate::stage::Stage;
use anyhow::{Context, Result, ensure};
use sharena::Options;

impl Account<'_> {
    /// What it is the account of.
    pub fn operation(&self) -> &Operation {
        self.operation
    }

    /// As [`settle`](Account::settle), on the copy, which stands alone: what survivors held privately
    /// and looked at is nobody's there, and comes back.
    pub fn settle_copy(
        &self,
        copy: &Stage<'_>,
        is_through: bool,
        fresh: &Fresh,
    ) -> Result<Outcome> {
        let segment = Options::new()
            .recover_at_open(false)
            .open_at(copy.path())
            .context("open it afterwards")?;
        let report = segment.check()?;
        ensure!(report.damages().next().is_none(), "before recovery: {report}");
        recover(&segment, false)?;
        is_sound(&segment).context("after recovery")?;
        let found = self.take_stock(&segment)?;
        let outcome = self.outcome(&found.things, is_through)?;
        found.give_back(&segment, copy)?;
        if let Some(keepsakes) = &self.keepsakes {
            let but_names = self.operation.takes_all_names;
            keepsakes.give_back_in(&segment, but_names).context("of others")?;
        }
        is_like(fresh, &segment).context("after all was given back")?;
        workload::run(&segment).context("the second workload")?;
        is_like(fresh, &segment).context("after the second workload")?;
        Ok(outcome)
    }
}
