//! Processes that do what they are told: real ones, or attachments of this one that are hosted by a
//! thread each and know nothing of each other.

use super::actor::{self, Message, Told};
use super::script::THREADS;
use crate::common::{self, arg, hear, say};
use crate::life::{until, verdicts};
use serde::{Deserialize, Serialize};
use sharena::{Liveness, Segment};
use std::sync::mpsc;
use std::thread::JoinHandle;

pub enum Process {
    Here {
        messages: mpsc::Sender<Message>,
        told: mpsc::Receiver<(usize, Told)>,
        host: JoinHandle<()>,
    },
    Apart(Box<common::Process>),
}

/// As a process says it.
#[derive(Serialize, Deserialize)]
struct Said(usize, Told);

/// What a process of the test does.
pub fn child() {
    let segment = Segment::open(&arg(0)).unwrap();
    let messages = std::iter::from_fn(|| Some(serde_json::from_str(&hear()).unwrap()));
    let tell = |thread, told| say(serde_json::to_string(&Said(thread, told)).unwrap());
    actor::host(segment, THREADS, messages, tell);
}

impl Process {
    /// An attachment of this process.
    pub fn here(segment: Segment) -> Process {
        let (messages, todo) = mpsc::channel();
        let (answers, told) = mpsc::channel();
        let host = std::thread::spawn(move || {
            let tell = |thread, told| answers.send((thread, told)).expect("the test listens");
            actor::host(segment, THREADS, todo.into_iter(), tell);
        });
        Process::Here { messages, told, host }
    }

    /// A process of its own.
    pub fn apart(test: &str, name: &str) -> Process {
        Process::Apart(Box::new(common::Process::start(test, "actor", &[name])))
    }

    pub fn send(&mut self, message: Message) {
        match self {
            Process::Here { messages, .. } => messages.send(message).expect("it is hosted"),
            Process::Apart(process) => process.tell(serde_json::to_string(&message).unwrap()),
        }
    }

    /// The next answer of one of its threads.
    pub fn receive(&mut self) -> (usize, Told) {
        match self {
            Process::Here { told, .. } => told.recv().expect("it is hosted"),
            Process::Apart(process) => parse(&process.listen()).expect("a whole answer"),
        }
    }

    /// It leaves, and has left.
    pub fn end(mut self, forgets: bool) {
        self.send(Message::End { forgets });
        match self {
            Process::Here { messages, host, .. } => {
                drop(messages);
                host.join().unwrap();
            }
            Process::Apart(process) => process.finish(),
        }
    }

    /// Kills it, or (`is_dying`) waits for it to be killed, until the kernel calls it dead; what it had
    /// answered before.
    pub fn kill(self, is_dying: bool, segment: &Segment) -> Vec<(usize, Told)> {
        let Process::Apart(process) = self else { panic!("killed with the test") };
        let pid = process.id();
        let said = if is_dying { process.killed() } else { process.kill() };
        until("its death", || !verdicts(segment, pid).contains(&Liveness::Alive));
        // The last answer may have been cut off.
        said.iter().map_while(|said| parse(said)).collect()
    }
}

fn parse(said: &str) -> Option<(usize, Told)> {
    serde_json::from_str(said).ok().map(|Said(thread, told)| (thread, told))
}
