//! The ring of one producer and one consumer, for the models: its values are plain cells of theirs, by number.

use super::Fellow;
use crate::queue::raw_spsc::{End, Nothing, Position, RawSpsc, Refused};
pub use crate::queue::raw_spsc::{
    End as StreamEnd, Nothing as NoFront, Position as Place, Refused as NoRoom,
};
use std::rc::Rc;

/// A ring of `N` places.
pub struct Stream<const N: usize>(RawSpsc<usize, N>);

impl<const N: usize> Stream<N> {
    /// An empty one.
    pub fn new() -> Rc<Stream<N>> {
        Rc::new(Stream(RawSpsc::new()))
    }

    /// Takes the producer's end; `None`: one who lives has it.
    pub fn produce(&self, fellow: &Fellow) -> Option<End<N>> {
        self.0.produce(fellow).ok()
    }

    /// Takes the consumer's end; `None`: one who lives has it.
    pub fn consume(&self, fellow: &Fellow) -> Option<End<N>> {
        self.0.consume(fellow).ok()
    }

    /// Gives the producer's end back.
    pub fn stop_producing(&self, end: &End<N>) {
        self.0.stop_producing(end);
    }

    /// Gives the consumer's end back.
    pub fn stop_consuming(&self, end: &End<N>) {
        self.0.stop_consuming(end);
    }

    /// Pushes, waiting for room; `write` is given the place.
    pub fn push(
        &self,
        fellow: &Fellow,
        end: &mut End<N>,
        write: impl Fn(usize),
    ) -> Result<(), Refused> {
        self.0.push(fellow, end, None, |at| write(self.place(at)))
    }

    /// Pushes as many as there is room for, of `most`; `write` is given each place, and its number from 0.
    pub fn try_push(
        &self,
        end: &mut End<N>,
        most: u64,
        write: impl Fn(usize, u64),
    ) -> Result<u64, Refused> {
        self.0.try_push(end, most, |at, count| {
            let first = self.place(at);
            (0..count).for_each(|i| write((first + i as usize) % N, i));
        })
    }

    /// What is next, waiting for it.
    pub fn front(&self, fellow: &Fellow, end: &mut End<N>) -> Result<Position<N>, Nothing> {
        self.0.front(fellow, end, None)
    }

    /// The same, if there is something.
    pub fn try_front(&self, end: &mut End<N>) -> Result<Position<N>, Nothing> {
        self.0.try_front(end, 1).map(|(at, _)| at)
    }

    /// Says that it is given out; whether it was before.
    pub fn show(&self, front: Position<N>) -> bool {
        self.0.show(front)
    }

    /// Says that it is done.
    pub fn done(&self, end: &mut End<N>, front: Position<N>) {
        self.0.done(end, front, 1);
    }

    /// The place of a position.
    pub fn place(&self, at: Position<N>) -> usize {
        self.0.cells()[at.cell()]
    }

    /// Whether somebody has closed it.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Nothing can be pushed any more.
    pub fn close(&self) {
        self.0.close();
    }
}
