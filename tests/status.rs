//! Laws: the statistics count to the byte; what is freed is free again; beside other processes both
//! statistics and check work, and find nothing that is not there; a process that was killed is said
//! to be dead, and what it left is no damage.

use sharena::{FindingKind, Liveness, Options, Segment, Severity};
use std::alloc::Layout;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What a process that this test starts does; its test is named so.
const ROLE: &str = "SHARENA_STATUS_ROLE";

struct Name(String);

impl Name {
    fn create(test: &str) -> (Name, Segment) {
        let name = Name(format!("status-{test}-{}", std::process::id()));
        let segment = Options::new().capacity(16 << 20).create(&name.0).unwrap();
        (name, segment)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = sharena::remove(&self.0);
    }
}

/// Another process that runs the test `child`, as `role`, and has said that it is ready.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    /// Kept open: a process that cannot write would not end well.
    _output: BufReader<ChildStdout>,
}

impl Process {
    fn start(role: &str, name: &Name) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(ROLE, format!("{role} {}", name.0))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = output.by_ref().lines().map_while(Result::ok);
        assert!(lines.any(|line| line.ends_with("ready")), "it ended before it was ready");
        Process { input: child.stdin.take(), child, _output: output }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it end as programs do.
    fn end(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (role, name) = role.split_once(' ').unwrap();
    let segment = Segment::open(name).unwrap();
    match role {
        "hold" => {
            let _private = (0..1000).map(|i| segment.own([i; 8]).unwrap()).collect::<Vec<_>>();
            let _large = segment.own_slice(200_000, |_| 1u8).unwrap();
            ready();
            wait_for_end();
        }
        "work" => {
            ready();
            let mut round = 0u64;
            loop {
                round += 1;
                let name = format!("{}", round % 61);
                let _ = segment.find_or_construct(&name, || round).unwrap();
                let block = segment
                    .allocate(Layout::from_size_align(16 + round as usize % 5000, 8).unwrap())
                    .unwrap();
                let run = segment.own_slice(150_000, |_| 0u8).unwrap();
                let _ = segment.destroy::<u64>(&name).unwrap();
                segment.deallocate(block).unwrap();
                drop(run);
            }
        }
        other => panic!("{other}"),
    }
}

fn ready() {
    println!("ready");
    std::io::stdout().flush().unwrap();
}

fn wait_for_end() {
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn numbers_add_up_to_the_byte() {
    let segment = Options::new().capacity(16 << 20).create_anonymous().unwrap();
    let first = segment.stats().unwrap();
    assert_eq!(first.capacity, 16 << 20);
    assert!(first.total >= first.capacity && first.total.is_multiple_of(65_536));
    assert_eq!((first.names.objects, first.names.arrays, first.lanes), (0, 1, 1));
    let blocks: Vec<_> = (0..1000)
        .map(|_| segment.allocate(Layout::from_size_align(64, 8).unwrap()).unwrap())
        .collect();
    let large = segment.allocate(Layout::from_size_align(300_000, 8).unwrap()).unwrap();
    let busy = segment.stats().unwrap();
    assert_eq!(busy.free + busy.used, busy.total);
    let class = busy.classes.iter().find(|class| class.block == 64).unwrap();
    assert_eq!((class.slabs, class.blocks.raw), (1, 1000));
    assert_eq!((busy.runs.raw.count, busy.runs.raw.bytes), (1, 5 << 16));
    let [me] = &busy.participants[..] else { panic!("{:?}", busy.participants) };
    assert_eq!(
        (me.pid, me.liveness, me.is_self, me.lanes),
        (std::process::id(), Liveness::Alive, true, 1)
    );
    let sum: u64 = busy.classes.iter().map(|class| class.block * class.blocks.private).sum();
    assert_eq!(me.private, sum + busy.runs.private.bytes);
    let units = busy.units;
    let all =
        units.free + units.decommitted + units.untouched + units.slabs + units.runs + units.other;
    assert_eq!(all << 16, busy.total);
    for block in blocks {
        segment.deallocate(block).unwrap();
    }
    segment.deallocate(large).unwrap();
    segment.trim().unwrap();
    let last = segment.stats().unwrap();
    assert_eq!((last.classes.len(), last.runs.raw.count), (1, 0), "{last}");
    // Trimmed, one block is in use: the table of names.
    assert_eq!(last.classes[0].blocks.published, 1);
    let in_use = 65_536 - last.classes[0].block * last.classes[0].blocks.free;
    assert_eq!(last.used, in_use, "{last}");
    assert!(segment.check().unwrap().is_clean());
    assert!(last.to_string().contains(&format!("{} free", last.free)), "{last}");
}

#[test]
fn beside_processes_at_work_nothing_false_is_found() {
    let (name, segment) = Name::create("at-work");
    let holder = Process::start("hold", &name);
    let workers: Vec<_> = (0..2).map(|_| Process::start("work", &name)).collect();
    for _ in 0..200 {
        let report = segment.check().unwrap();
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.looked.participants, 4);
        let stats = segment.stats().unwrap();
        assert_eq!(stats.free + stats.used, stats.total);
        let holding = stats.participants.iter().find(|one| one.pid == holder.pid()).unwrap();
        assert_eq!((holding.liveness, holding.lanes), (Liveness::Alive, 1));
        assert!(holding.private >= 1000 * 64 + 200_000, "{holding:?}");
    }
    // Killed in the middle of their work.
    workers.into_iter().for_each(Process::kill);
    holder.end();
    let report = segment.check().unwrap();
    assert_eq!(report.damages().count(), 0, "{report}");
    assert_eq!(
        report.leftovers().filter(|found| found.kind == FindingKind::DeadProcess).count(),
        2,
        "{report}"
    );
}

#[test]
fn what_ended_processes_had_is_free_to_the_byte() {
    let (name, segment) = Name::create("freed");
    segment.trim().unwrap();
    let fresh = segment.stats().unwrap();
    Process::start("hold", &name).end();
    segment.trim().unwrap();
    let now = segment.stats().unwrap();
    assert_eq!((now.free, now.used, now.participants.len()), (fresh.free, fresh.used, 1), "{now}");
    assert!(segment.check().unwrap().is_clean());
}

#[test]
fn a_killed_process_is_dead_and_what_it_left_is_no_damage() {
    let (name, segment) = Name::create("killed");
    let victim = Process::start("hold", &name);
    let pid = victim.pid();
    victim.kill();
    let stats = segment.stats().unwrap();
    let dead = stats.participants.iter().find(|one| one.pid == pid).unwrap();
    assert_eq!(dead.liveness, Liveness::Dead);
    assert!(dead.private >= 1000 * 64 + 200_000, "{dead:?}");
    let report = segment.check().unwrap();
    assert!(!report.is_clean());
    assert!(report.findings.iter().all(|found| found.severity == Severity::Leftover), "{report}");
    let found =
        report.findings.iter().find(|found| found.kind == FindingKind::DeadProcess).unwrap();
    assert!(found.text.contains(&pid.to_string()), "{found}");
}
