//! The one writer of a process: calls that wait together share one transaction and one fsync.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use securemail_core::StoreError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{DbError, DbResult, OpenError, Opener, Reserve};

/// Calls that share one transaction at most.
const GROUP_MAX: usize = 512;
/// What may wait for the writer, in KiB: 64 MiB.
const WAITING_KIB_MAX: usize = 64 * 1024;
/// Idle time after which the WAL is emptied of what was erased.
const TIDY_AFTER: Duration = Duration::from_secs(1);
/// Time after which it is emptied even if the writer is never idle.
const TIDY_AT_LAST: Duration = Duration::from_secs(60);

/// What a call is about to the room that is left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Class {
    /// Takes something new; refused with `Full` while the reserve is in use.
    Admit,
    /// Writes down the outcome of something begun, or erases; may use the reserve.
    Settle,
    /// As `Settle`, and answers only when no trace is left in the WAL either.
    Scrub,
}

/// A handle on the writer. It ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    queue: Sender<Box<dyn Job>>,
    room: Arc<Semaphore>,
}

impl Writer {
    /// Starts the writer's thread.
    pub(crate) fn start(opener: &Opener, reserve: Reserve) -> Result<Self, OpenError> {
        let (queue, jobs) = mpsc::channel();
        let mut thread = Thread {
            db: opener.connect()?,
            jobs,
            reserve,
            untidy: None,
        };
        thread.reserve.is_held(&thread.db);
        thread::Builder::new()
            .name("securemail-writer".to_owned())
            .spawn(move || thread.serve())?;
        let room = Arc::new(Semaphore::new(WAITING_KIB_MAX));
        Ok(Self { queue, room })
    }

    /// Runs `work` in a transaction, and returns when that is on the disk. `work` may run more than
    /// once, the earlier runs without effect; if it fails, nothing of it is changed.
    pub(crate) async fn call<T, F>(&self, class: Class, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> DbResult<T> + Send + 'static,
    {
        self.call_sized(class, 0, work).await
    }

    /// As `call`, for work that holds `octets` in memory.
    pub(crate) async fn call_sized<T, F>(
        &self,
        class: Class,
        octets: usize,
        work: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> DbResult<T> + Send + 'static,
    {
        let kib = (octets / 1024).saturating_add(1).min(WAITING_KIB_MAX);
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(kib).await;
        let room = room.map_err(|closed| StoreError::Unavailable(Box::new(closed)))?;
        let (reply, answer) = oneshot::channel();
        let call = Call {
            class,
            work,
            result: None,
            reply,
            _room: room,
        };
        self.queue.send(Box::new(call)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// One call, whatever its type of result.
trait Job: Send {
    fn class(&self) -> Class;
    /// Runs the work. `Err` where the transaction cannot go on.
    fn run(&mut self, db: &Connection) -> Result<Ran, StoreError>;
    /// Answers with the result of the work; or with `failed`, where the transaction was.
    fn answer(self: Box<Self>, failed: Option<StoreError>);
}

/// How the work ended.
enum Ran {
    Changed,
    /// The caller gets an error of its own; the others go on.
    Refused,
}

struct Call<T, F> {
    class: Class,
    work: F,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    _room: OwnedSemaphorePermit,
}

impl<T, F> Job for Call<T, F>
where
    T: Send,
    F: Fn(&Connection) -> DbResult<T> + Send,
{
    fn class(&self) -> Class {
        self.class
    }

    fn run(&mut self, db: &Connection) -> Result<Ran, StoreError> {
        match (self.work)(db).map_err(StoreError::from) {
            Ok(value) => {
                self.result = Some(Ok(value));
                Ok(Ran::Changed)
            }
            Err(broken @ (StoreError::Full | StoreError::Unavailable(_))) => Err(broken),
            Err(refused) => {
                self.result = Some(Err(refused));
                Ok(Ran::Refused)
            }
        }
    }

    fn answer(self: Box<Self>, failed: Option<StoreError>) {
        let result = match failed {
            Some(error) => Err(error),
            None => self.result.unwrap_or_else(|| Err(gone())),
        };
        // A caller that went away does not need the answer.
        drop(self.reply.send(result));
    }
}

struct Thread {
    db: Connection,
    jobs: Receiver<Box<dyn Job>>,
    reserve: Reserve,
    /// Since when the WAL may hold what was erased.
    untidy: Option<Instant>,
}

impl Thread {
    fn serve(mut self) {
        while let Some(group) = self.next_group() {
            self.commit(group);
            if self
                .untidy
                .is_some_and(|since| since.elapsed() > TIDY_AT_LAST)
            {
                self.tidy();
            }
        }
        if self.untidy.is_some() {
            self.tidy();
        }
    }

    /// Waits for a call, and takes those that wait with it. `None` when all handles are gone.
    fn next_group(&mut self) -> Option<Vec<Box<dyn Job>>> {
        let first = loop {
            if self.untidy.is_none() {
                break self.jobs.recv().ok()?;
            }
            match self.jobs.recv_timeout(TIDY_AFTER) {
                Ok(job) => break job,
                Err(RecvTimeoutError::Timeout) => {
                    self.tidy();
                }
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        };
        let mut group = vec![first];
        group.extend(self.jobs.try_iter().take(GROUP_MAX.saturating_sub(1)));
        Some(group)
    }

    fn commit(&mut self, group: Vec<Box<dyn Job>>) {
        let group = self.admit(group);
        let failed = match group.as_slice() {
            [] => return,
            [_] => group,
            _ => match self.commit_together(group) {
                Ok(()) => return,
                Err(group) => group,
            },
        };
        // One that does not fit must not fail the others.
        for job in failed {
            self.commit_alone(job);
        }
    }

    /// Refuses what takes something new, while the reserve is in use.
    fn admit(&mut self, group: Vec<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        if self.reserve.is_held(&self.db) {
            return group;
        }
        let (refused, admitted) = group
            .into_iter()
            .partition::<Vec<_>, _>(|job| job.class() == Class::Admit);
        for job in refused {
            job.answer(Some(StoreError::Full));
        }
        admitted
    }

    fn commit_together(&mut self, mut group: Vec<Box<dyn Job>>) -> Result<(), Vec<Box<dyn Job>>> {
        match transact(&self.db, &mut group) {
            Ok(()) => {
                self.finish(group);
                Ok(())
            }
            Err(Failed::NotBegun(_)) => {
                for job in group {
                    job.answer(Some(busy()));
                }
                Ok(())
            }
            Err(Failed::Broken(_)) => Err(group),
        }
    }

    fn commit_alone(&mut self, mut job: Box<dyn Job>) {
        let one = std::slice::from_mut(&mut job);
        let mut outcome = transact(&self.db, one);
        if matches!(outcome, Err(Failed::Broken(StoreError::Full)))
            && one.iter().all(|job| job.class() != Class::Admit)
            && self.reserve.release(&self.db)
        {
            tracing::error!("the disk of the store is full; the reserve is in use, make room");
            outcome = transact(&self.db, one);
        }
        match outcome {
            Ok(()) => self.finish(vec![job]),
            Err(Failed::NotBegun(error) | Failed::Broken(error)) => job.answer(Some(error)),
        }
    }

    /// Answers what was committed; first empties the WAL, where a call waits for that.
    fn finish(&mut self, group: Vec<Box<dyn Job>>) {
        if group.iter().any(|job| job.class() != Class::Admit) {
            self.untidy.get_or_insert_with(Instant::now);
        }
        let scrub = group.iter().any(|job| job.class() == Class::Scrub);
        let clean = !scrub || self.tidy();
        for job in group {
            let failed = (!clean && job.class() == Class::Scrub).then(in_use);
            job.answer(failed);
        }
    }

    /// Empties the WAL, so that nothing erased stands in it. False where another process reads.
    fn tidy(&mut self) -> bool {
        let mut busy = empty_wal(&self.db);
        // What the WAL holds may need room in the database first.
        if matches!(busy, Err(StoreError::Full)) && self.reserve.release(&self.db) {
            busy = empty_wal(&self.db);
        }
        let clean = matches!(busy, Ok(0));
        self.untidy = if clean { None } else { Some(Instant::now()) };
        clean
    }
}

fn empty_wal(db: &Connection) -> Result<i64, StoreError> {
    let busy = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    busy.map_err(|error| DbError::from(error).into())
}

/// Why a transaction was not committed.
enum Failed {
    /// It could not begin: another process holds the database for long.
    NotBegun(StoreError),
    /// It was rolled back.
    Broken(StoreError),
}

/// Runs all of `group` in one transaction, each in a savepoint of its own.
fn transact(db: &Connection, group: &mut [Box<dyn Job>]) -> Result<(), Failed> {
    run_cached(db, "BEGIN IMMEDIATE").map_err(|error| Failed::NotBegun(error.into()))?;
    let result = run_all(db, group);
    if result.is_err() && !db.is_autocommit() {
        // SQLite may have rolled back by itself; then there is nothing to do.
        drop(db.execute_batch("ROLLBACK"));
    }
    result.map_err(|error| Failed::Broken(error.into()))
}

fn run_all(db: &Connection, group: &mut [Box<dyn Job>]) -> DbResult<()> {
    for job in group {
        run_cached(db, "SAVEPOINT one")?;
        match job.run(db).map_err(DbError::from)? {
            Ran::Changed => {}
            Ran::Refused => run_cached(db, "ROLLBACK TO one")?,
        }
        run_cached(db, "RELEASE one")?;
    }
    run_cached(db, "COMMIT")
}

fn run_cached(db: &Connection, sql: &str) -> DbResult<()> {
    db.prepare_cached(sql)?.execute([])?;
    Ok(())
}

fn gone() -> StoreError {
    StoreError::Unavailable("the writer of the store has ended; restart the process".into())
}

fn busy() -> StoreError {
    StoreError::Unavailable("another process holds the database; look for one that hangs".into())
}

fn in_use() -> StoreError {
    StoreError::Unavailable("another process reads; erased, but a trace may be left".into())
}
