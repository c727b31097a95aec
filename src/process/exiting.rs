//! Whether a process is on its way out, so that none of its instructions will run again.
//!
//! The kernel takes a killed process' memory down before it lets go of its files and their locks: with a
//! gibibyte that takes a tenth of a second, in which its participant's lock is still held. But all its tasks
//! are marked as exiting before that. `/proc/<pid>/task/*/stat` shows the mark, and who reads it twice, with
//! the same set of tasks both times, knows that there is no other: an exiting task makes no new one.
//!
//! That does not look at a process' *state*: one whose first thread has ended shows as a zombie while its
//! other threads run. Nor does it see a child that runs in the same memory (vfork). So it decides about
//! locks, which are for code that runs in the process, and about no memory.

use crate::process::participant::ParticipantRecord;
use crate::sync::Relaxed;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The mark, in the ninth field of a `stat` file.
const PF_EXITING: u64 = 4;

/// Whether every task of the participant that `record` describes is exiting. False if it cannot be told:
/// from another pid namespace, or where /proc is another's or hidden. `own` is the record of who asks.
pub fn is_exiting(record: &ParticipantRecord, own: &ParticipantRecord) -> bool {
    // Relaxed: the words of both were read with Acquire before.
    let namespace = record.pid_namespace.load(Relaxed);
    if namespace == 0 || namespace != own.pid_namespace.load(Relaxed) {
        return false;
    }
    let is_own_proc = || {
        let own_pid = own.pid.load(Relaxed).to_string();
        fs::read_link("/proc/self").is_ok_and(|to| to.as_os_str() == own_pid.as_str())
    };
    let (pid, start) = (record.pid.load(Relaxed), record.start.load(Relaxed));
    start != 0 && are_all_exiting(pid, start) && is_own_proc()
}

fn are_all_exiting(pid: u64, start: u64) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    let look = || {
        // Of a time namespace other than ours the start shows another time: then it is not that process,
        // as far as we can tell.
        let (_, started) = flags_and_start(&process.join("stat"))?;
        (started == start).then_some(())?;
        let mut tasks = BTreeSet::new();
        for task in fs::read_dir(process.join("task")).ok()? {
            let task = task.ok()?;
            let (flags, _) = flags_and_start(&task.path().join("stat"))?;
            (flags & PF_EXITING != 0).then_some(())?;
            tasks.insert(task.file_name());
        }
        (!tasks.is_empty()).then_some(tasks)
    };
    look().is_some_and(|first| look() == Some(first))
}

/// Fields 9 and 22 of a `stat` file.
fn flags_and_start(path: &Path) -> Option<(u64, u64)> {
    let stat = fs::read(path).ok()?;
    // The second field is the program's name in parentheses and may contain anything.
    let after = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let rest = std::str::from_utf8(stat.get(after..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace().skip(9 - 3);
    let flags = fields.next()?.parse().ok()?;
    let start = fields.nth(22 - 10)?.parse().ok()?;
    Some((flags, start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::liveness::Identity;
    use std::process::{Command, Stdio};

    fn described(pid: u64) -> ParticipantRecord {
        // SAFETY: atomics of integers; zero is a value of each.
        let record: ParticipantRecord = unsafe { std::mem::zeroed() };
        Identity::own().describe(&record);
        if pid != 0 {
            let stat = format!("/proc/{pid}/stat");
            let (_, start) = flags_and_start(Path::new(&stat)).unwrap();
            record.pid.store(pid, Relaxed);
            record.start.store(start, Relaxed);
        }
        record
    }

    #[test]
    fn who_lives_is_not_exiting_and_a_zombie_is() {
        let own = described(0);
        assert!(!is_exiting(&own, &own), "this process lives");
        let mut child = Command::new("sleep").arg("100").stdin(Stdio::null()).spawn().unwrap();
        let record = described(child.id().into());
        assert!(!is_exiting(&record, &own));
        child.kill().unwrap();
        // It is no earlier than the kernel gets to it, and until it is waited for it stays to be seen.
        let mut looks = 0;
        while !is_exiting(&record, &own) {
            looks += 1;
            assert!(looks < 20_000, "a killed process is not seen to exit");
            std::thread::sleep(std::time::Duration::from_micros(500));
        }
        record.start.fetch_add(1, Relaxed);
        assert!(!is_exiting(&record, &own), "another process of that number");
        record.start.fetch_sub(1, Relaxed);
        record.pid_namespace.fetch_add(1, Relaxed);
        assert!(!is_exiting(&record, &own), "a number of another namespace");
        child.wait().unwrap();
        assert!(!is_exiting(&record, &own), "who is not there cannot be told");
    }

    /// A process whose first thread has ended shows as a zombie.
    #[test]
    fn a_process_whose_first_thread_has_ended_lives() {
        // SAFETY: the child makes system calls and no others: it has a second task in the same memory
        // that sleeps, and its first one ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            extern "C" fn asleep(_: *mut libc::c_void) -> *mut libc::c_void {
                // SAFETY: waits for a signal that kills it.
                unsafe { libc::pause() };
                std::ptr::null_mut()
            }
            let mut thread = 0;
            // SAFETY: a thread with nothing to share; then this one alone ends.
            unsafe {
                libc::pthread_create(
                    &raw mut thread,
                    std::ptr::null(),
                    asleep,
                    std::ptr::null_mut(),
                );
                libc::syscall(libc::SYS_exit, 0);
            }
        }
        let stat = format!("/proc/{child}/stat");
        let is_zombie = || fs::read_to_string(&stat).unwrap().contains(") Z ");
        let mut looks = 0;
        while !is_zombie() {
            looks += 1;
            assert!(looks < 20_000, "the first thread has not ended");
            std::thread::sleep(std::time::Duration::from_micros(500));
        }
        let (record, own) = (described(child as u64), described(0));
        assert!(!is_exiting(&record, &own), "one of its threads runs");
        // SAFETY: our child, which we wait for.
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
    }
}
