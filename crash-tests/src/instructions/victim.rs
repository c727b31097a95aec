//! A process that is led through an operation one machine instruction at a time.

use anyhow::{Context, Result, bail, ensure};
use libc::{c_int, c_void, pid_t};
use std::io::Error;

/// Seconds that an instruction (a system call, at worst) may take.
const PATIENCE: u32 = 20;

/// What one step was.
pub enum Step {
    /// The instruction at this address was executed; page faults of the process until now.
    Done { address: u64, faults: u64 },
    /// The operation is over, or the thread that performed it has ended.
    Over,
}

/// A child of this process. The thread that called [`begin`] is traced and stands still but within
/// [`step`](Victim::step); others should wait for it. Killed when dropped.
pub struct Victim {
    process: pid_t,
    thread: pid_t,
    /// Where the thread stands.
    at: u64,
}

/// Called by the child, on the thread that is to perform the operation, right before it.
#[inline(never)]
pub fn begin() {
    // SAFETY: asks to be traced by our parent, and touches no memory.
    if unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) } != 0 {
        panic!("cannot be traced: {}", Error::last_os_error());
    }
    // SAFETY: the tracer is told, and goes on behind it.
    unsafe { core::arch::asm!("int3") };
}

/// Called by the child right after the operation. The thread that performed it is stopped at its
/// entry; any other waits here until that one has ended.
#[inline(never)]
pub extern "C" fn end() -> ! {
    loop {
        // SAFETY: sleeps.
        unsafe { libc::pause() };
    }
}

impl Victim {
    /// Starts a child that does `work`, which calls [`begin`], and leads it to there. This process
    /// has no other child and one thread.
    pub fn start(work: impl FnOnce()) -> Result<Victim> {
        // SAFETY: this process has one thread that does anything, so the child may do whatever it could.
        let process = unsafe { libc::fork() };
        if process == 0 {
            // SAFETY: the child dies with its parent.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // SAFETY: ends the child, without running what its parent has left to run.
            unsafe { libc::_exit(1) }
        }
        ensure!(process > 0, "fork: {}", Error::last_os_error());
        let mut victim = Victim { process, thread: process, at: 0 };
        let (thread, status, _) = wait(-1)?;
        ensure!(is_trap(status), "the victim ended before its operation ({status:#x})");
        victim.thread = thread;
        victim.at = victim.instruction()?;
        Ok(victim)
    }

    /// Executes one instruction; of a repeated string instruction one repetition.
    pub fn step(&mut self) -> Result<Step> {
        let executed = self.at;
        if executed == end as *const () as u64 {
            return Ok(Step::Over);
        }
        self.request(libc::PTRACE_SINGLESTEP)?;
        let (_, status, faults) = wait(self.thread).with_context(|| format!("at {executed:#x}"))?;
        if libc::WIFEXITED(status) && self.thread != self.process {
            return Ok(Step::Over);
        }
        if !is_trap(status) {
            bail!("the victim got or died of a signal at {executed:#x} (status {status:#x})");
        }
        self.at = self.instruction()?;
        Ok(Step::Done { address: executed, faults })
    }

    fn request(&self, what: libc::c_uint) -> Result<()> {
        // SAFETY: a request about a thread that we trace; no memory of ours is involved.
        let done = unsafe {
            libc::ptrace(
                what,
                self.thread,
                std::ptr::null_mut::<c_void>(),
                std::ptr::null_mut::<c_void>(),
            )
        };
        ensure!(done == 0, "ptrace: {}", Error::last_os_error());
        Ok(())
    }

    /// Where the thread stands.
    fn instruction(&self) -> Result<u64> {
        let at = std::mem::offset_of!(libc::user, regs)
            + std::mem::offset_of!(libc::user_regs_struct, rip);
        // SAFETY: errno is this thread's; the request reads a word of a thread that we trace.
        let (rip, errno) = unsafe {
            *libc::__errno_location() = 0;
            let rip = libc::ptrace(libc::PTRACE_PEEKUSER, self.thread, at, 0);
            (rip, *libc::__errno_location())
        };
        ensure!(errno == 0, "ptrace: {}", Error::last_os_error());
        Ok(rip as u64)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // SAFETY: our child, which was not waited for yet.
        unsafe {
            libc::kill(self.process, libc::SIGKILL);
            let mut status = 0;
            if self.thread != self.process {
                libc::waitpid(self.thread, &mut status, libc::__WALL);
            }
            libc::waitpid(self.process, &mut status, libc::__WALL);
        }
    }
}

fn is_trap(status: c_int) -> bool {
    libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGTRAP
}

/// Waits until a child or thread of one (-1: any) has stopped or ended, but not for ever: who it was,
/// its status, the page faults of its process.
fn wait(whom: pid_t) -> Result<(pid_t, c_int, u64)> {
    let mut status = 0;
    // SAFETY: zero is a value of it; the timer's signal does nothing but interrupt the wait, see
    // `interruptible`.
    let (thread, used) = unsafe {
        let mut used: libc::rusage = std::mem::zeroed();
        libc::alarm(PATIENCE);
        let thread = libc::wait4(whom, &mut status, libc::__WALL, &mut used);
        libc::alarm(0);
        (thread, used)
    };
    ensure!(thread > 0, "the victim does not get on: {}", Error::last_os_error());
    Ok((thread, status, (used.ru_minflt + used.ru_majflt) as u64))
}

/// Lets an alarm interrupt a system call instead of killing this process.
pub fn interruptible() {
    extern "C" fn nothing(_signal: c_int) {}
    // SAFETY: a zeroed sigaction is one without flags, so that calls are not restarted; the handler
    // does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut());
    }
}
