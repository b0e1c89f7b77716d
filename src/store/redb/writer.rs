//! The one thread that writes. Operations wait in a queue; it takes whatever waits into one transaction,
//! commits, and answers. An operation that comes alone is committed at once, and while one group is on its way to
//! the disk the next one gathers. Where many come at once the writer lets them gather a little longer: a commit
//! costs much the same for one operation as for fifty.
//!
//! An operation that its checks refuse drops out of its group with its answer. A storage error is another
//! matter, and so is a panic: whether the group is on disk is not known then, so nobody in it gets an answer
//! other than [`Unavailable`], and nothing is written any more until the next start reads what is true.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redb::{Durability, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use crate::pipeline::port::Unavailable;

use super::super::failpoint::{FailPoint, Side};
use super::Core;
use super::batch::{Batch, Gate, Published};

/// The most operations in one transaction.
const MOST_TOGETHER: usize = 512;

/// The most operations that may wait; more of them wait to enter the queue.
const LONGEST_QUEUE: usize = 4_096;

/// A group of at least so many says that more are coming: before the next one is begun, they gather.
const MANY: usize = 4;

/// They gather until for so long none came, but at most as long as the last commit took, and never longer than
/// [`LONGEST_GATHERING`].
const PAUSE: Duration = Duration::from_micros(100);
const LONGEST_GATHERING: Duration = Duration::from_millis(1);

/// The number of records from which on every commit also saves redb's allocator state ("quick repair").
///
/// After a kill redb has to find out which pages are in use: from the saved state in about 2 ms, else by
/// walking everything, which takes 1–3 s at a million records and 6.5 s at ten. Saving it costs a
/// second `fdatasync`: 1.6–1.9 times the latency of a commit alone, 15 % of the throughput of 64 callers. The
/// walk is only avoided if the *last* commit before the kill saved the state, so saving it now and then
/// does not help under load. Hence small stores, which repair quickly anyway, do without, and large ones
/// pay so as to be ready within a second.
pub(super) const QUICK_REPAIR_FROM: u64 = 200_000;

/// What an operation leaves to be done once its transaction is durable: answering. Each is given by the writer itself,
/// though every wake-up is a system call: handed on by whoever is woken first, they would wait for a caller who, say,
/// cannot go on because its client does not read.
type Answer = Box<dyn FnOnce() + Send>;
type Operation = Box<dyn for<'a, 'txn> FnOnce(&'a mut Batch<'txn>) -> Result<Answer, Unavailable> + Send>;

/// The sending side of the writer's queue. Dropping it ends the thread after what waits is written.
#[derive(Debug)]
pub(super) struct Writer {
    core: Arc<Core>,
    queue: Option<mpsc::Sender<Operation>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(core: &Arc<Core>, gate: Gate) -> std::io::Result<Self> {
        let (queue, operations) = mpsc::channel(LONGEST_QUEUE);
        let worker = Worker { core: Arc::clone(core), gate };
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(|| worker.run(operations))?;
        Ok(Self { core: Arc::clone(core), queue: Some(queue), thread: Some(thread) })
    }

    /// Runs an operation inside a transaction and waits until that is durable.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        operation: impl for<'a, 'txn> FnOnce(&'a mut Batch<'txn>) -> Result<T, Unavailable> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (sender, answer) = oneshot::channel();
        let operation: Operation = Box::new(move |batch| {
            let result = operation(batch).map_err(|error| batch.refuse(error))?;
            // Nobody may be waiting any more; what was written stays written.
            Ok(Box::new(move || drop(sender.send(result))))
        });
        let stopped = || self.core.refused.get().cloned().unwrap_or_else(|| Unavailable::new("the writer stopped"));
        let never = |_| Unavailable { maybe_written: false, ..stopped() };
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(operation).await.map_err(never)?;
        // It may have been in the group whose commit failed, and that may be on disk.
        answer.await.map_err(|_| stopped())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was already told to everybody who waited for it.
            drop(thread.join());
        }
    }
}

/// Lets a group grow while more keep coming, at most for `longest`.
fn gather(operations: &mut mpsc::Receiver<Operation>, group: &mut Vec<Operation>, longest: Duration) {
    let end = Instant::now() + longest.min(LONGEST_GATHERING);
    while group.len() < MOST_TOGETHER && Instant::now() < end {
        std::thread::sleep(PAUSE);
        let before = group.len();
        while group.len() < MOST_TOGETHER
            && let Ok(operation) = operations.try_recv()
        {
            group.push(operation);
        }
        if group.len() == before {
            return;
        }
    }
}

struct Worker {
    core: Arc<Core>,
    gate: Gate,
}

impl Worker {
    fn run(mut self, mut operations: mpsc::Receiver<Operation>) {
        let mut group = Vec::with_capacity(MOST_TOGETHER);
        let (mut last, mut took) = (0, Duration::ZERO);
        while operations.blocking_recv_many(&mut group, MOST_TOGETHER) > 0 {
            if last >= MANY {
                gather(&mut operations, &mut group, took);
            }
            last = group.len();
            let begun = Instant::now();
            match self.commit(&mut group) {
                Ok(answers) => {
                    took = begun.elapsed();
                    answers.into_iter().for_each(|answer| answer());
                }
                // Those who wait are told as their answers are dropped with the queue.
                Err(_) => return,
            }
        }
        if let Err(error) = self.write_index() {
            self.core.refuse(error);
        }
    }

    /// One transaction. A panic in it is one more storage error: what is on disk is not known either. The
    /// answers are held outside of it, so that whoever waits for one finds the store refused.
    fn commit(&mut self, operations: &mut Vec<Operation>) -> Result<Vec<Answer>, Unavailable> {
        let mut answers = Vec::with_capacity(operations.len());
        let ended = catch_unwind(AssertUnwindSafe(|| self.transact(operations.drain(..), &mut answers)));
        let ended =
            ended.unwrap_or_else(|_| Err(Unavailable::new("the writer failed in an unforeseen way").maybe_written()));
        ended.map_err(|error| self.core.refuse(error))?;
        Ok(answers)
    }

    fn transact(
        &mut self,
        operations: impl Iterator<Item = Operation>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), Unavailable> {
        let txn = self.begin()?;
        let mut batch = Batch::new(&self.core, &mut self.gate, &txn);
        for operation in operations {
            answers.push(operation(&mut batch)?);
        }
        let strike = |armed: Option<FailPoint>, side| armed.map_or(Ok(()), |armed| armed.strike(side));
        let struck = batch.struck();
        if let Some(published) = batch.finish()? {
            strike(struck, Side::Before)?;
            txn.commit().map_err(|error| Unavailable::new(error).maybe_written())?;
            strike(struck, Side::After).map_err(Unavailable::maybe_written)?;
            self.publish(published);
        }
        Ok(())
    }

    fn begin(&self) -> Result<WriteTransaction, Unavailable> {
        let mut txn = self.core.db.begin_write().map_err(Unavailable::new)?;
        txn.set_durability(Durability::Immediate).map_err(Unavailable::new)?;
        txn.set_quick_repair(self.gate.state.frontier.size() >= self.core.quick_repair_from);
        Ok(txn)
    }

    /// Lets others see what is durable now.
    fn publish(&self, published: Published) {
        let size = self.gate.state.frontier.size();
        let mut index = self.core.index.write().unwrap_or_else(PoisonError::into_inner);
        // In this order: a key whose tombstone went may have been used again in the same transaction.
        published.lost.iter().for_each(|key| index.remove(key));
        published.keys.into_iter().for_each(|(key, call)| index.insert(key, call));
        if let Some(slice) = &published.slice {
            index.written(slice);
        }
        index.freeze_if_full(size);
        drop(index);
        if !published.calls.is_empty() {
            let mut standing = self.core.standing.lock().unwrap_or_else(PoisonError::into_inner);
            for (before, after) in &published.calls {
                standing.follow(before.as_ref(), after);
            }
        }
        self.core.grown.send_replace(size);
    }

    /// Writes what is left of the key index, so that the next start has nothing to read again.
    fn write_index(&mut self) -> Result<(), Unavailable> {
        loop {
            let mut index = self.core.index.write().unwrap_or_else(PoisonError::into_inner);
            index.freeze(self.gate.state.frontier.size());
            let is_done = index.slice(0).is_none();
            drop(index);
            if is_done {
                return Ok(());
            }
            let txn = self.begin()?;
            let published = Batch::new(&self.core, &mut self.gate, &txn).seal(usize::MAX)?;
            txn.commit().map_err(Unavailable::new)?;
            self.publish(published);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation() -> Operation {
        Box::new(|_| Ok(Box::new(|| ())))
    }

    #[test]
    fn what_has_come_is_gathered_and_no_more_than_fits() {
        let (queue, mut operations) = mpsc::channel(LONGEST_QUEUE);
        let mut group = vec![operation()];
        gather(&mut operations, &mut group, LONGEST_GATHERING);
        assert_eq!(group.len(), 1, "nothing came");
        for _ in 0..MOST_TOGETHER {
            queue.try_send(operation()).expect("room");
        }
        gather(&mut operations, &mut group, Duration::ZERO);
        assert_eq!(group.len(), 1, "there was no time");
        // On a busy machine the time may be over before it begins.
        for _ in 0..100 {
            gather(&mut operations, &mut group, LONGEST_GATHERING);
        }
        assert_eq!((group.len(), operations.len()), (MOST_TOGETHER, 1));
    }
}
