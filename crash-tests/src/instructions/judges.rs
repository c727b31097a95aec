//! Processes that verify what a death left: one for each image, so that whatever verifying does to
//! its process is a finding, too.

use anyhow::{Result, ensure};
use std::io::{Error, Read as _, Seek as _, Write as _};
use std::os::fd::FromRawFd as _;
use std::panic::{self, AssertUnwindSafe};

/// Seconds that verifying one image may take.
const PATIENCE: u32 = 60;

/// Verifies images, a few at the same time.
pub struct Judges<Death> {
    most: usize,
    at_work: Vec<Judge<Death>>,
}

struct Judge<Death> {
    process: libc::pid_t,
    /// What it has to say.
    report: std::fs::File,
    death: Death,
}

/// An image that was found wrong.
pub struct Wrong<Death> {
    pub death: Death,
    pub found: String,
}

impl<Death> Judges<Death> {
    /// At most so many at the same time.
    pub fn new(most: usize) -> Self {
        Judges { most, at_work: Vec::new() }
    }

    /// Has what a death leaves verified, by a process that has all memory of this one; says what is
    /// wrong with an earlier one.
    pub fn judge(
        &mut self,
        death: Death,
        verify: impl FnOnce() -> Result<()>,
    ) -> Result<Option<Wrong<Death>>> {
        let earlier = if self.at_work.len() == self.most { self.next()? } else { None };
        // SAFETY: makes a descriptor, which is ours.
        let mut report = unsafe {
            let fd = libc::memfd_create(c"report".as_ptr(), libc::MFD_CLOEXEC);
            ensure!(fd >= 0, "memfd_create: {}", Error::last_os_error());
            std::fs::File::from_raw_fd(fd)
        };
        // SAFETY: this process has one thread that does anything, so the child may do whatever it could.
        let process = unsafe { libc::fork() };
        if process == 0 {
            // SAFETY: the child dies with its parent, and of an alarm again.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::signal(libc::SIGALRM, libc::SIG_DFL);
                libc::alarm(PATIENCE);
            }
            let panicked = report.try_clone();
            panic::set_hook(Box::new(move |info| {
                if let Ok(mut report) = panicked.as_ref() {
                    let _ = writeln!(report, "{info}");
                }
            }));
            let verified = panic::catch_unwind(AssertUnwindSafe(verify));
            if let Ok(Err(error)) = &verified {
                let _ = write!(report, "{error:?}");
            }
            // SAFETY: ends the child, without running what its parent has left to run.
            unsafe { libc::_exit(i32::from(!matches!(verified, Ok(Ok(()))))) }
        }
        ensure!(process > 0, "fork: {}", Error::last_os_error());
        self.at_work.push(Judge { process, report, death });
        Ok(earlier)
    }

    /// Waits for the judge that has been at work longest; `None`: all is well.
    fn next(&mut self) -> Result<Option<Wrong<Death>>> {
        let mut judge = self.at_work.remove(0);
        let mut status = 0;
        // SAFETY: our child, which was not waited for yet.
        let waited = unsafe { libc::waitpid(judge.process, &mut status, 0) };
        ensure!(waited == judge.process, "waitpid: {}", Error::last_os_error());
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
            return Ok(None);
        }
        let mut found = String::new();
        judge.report.rewind()?;
        judge.report.read_to_string(&mut found)?;
        if libc::WIFSIGNALED(status) {
            let signal = libc::WTERMSIG(status);
            let late = if signal == libc::SIGALRM { " (it did not end)" } else { "" };
            found = format!("{found}verifying died of signal {signal}{late}");
        }
        Ok(Some(Wrong { death: judge.death, found }))
    }

    /// Waits for all; says what is wrong.
    pub fn end(&mut self) -> Result<Vec<Wrong<Death>>> {
        let mut wrong = Vec::new();
        while !self.at_work.is_empty() {
            wrong.extend(self.next()?);
        }
        Ok(wrong)
    }
}
