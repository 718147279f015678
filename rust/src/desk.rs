//! What a thread knows of itself while it runs bodies: its seat, and the slots that it holds.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::runtime;
use crate::seat::{self, Seat};
use crate::workers::RunPool;

/// Runs that one thread runs inside each other's waits, before another thread takes over.
const MAX_NESTED: u32 = 32;

struct Desk {
    seat: Arc<Seat>,
    /// The pool whose worker this thread is, with a slot unless [`Seat`] says otherwise.
    own: Option<RunPool>,
    /// Pools of which this thread holds a slot for a run within another.
    taken: Vec<RunPool>,
    /// Runs that are under way on this thread, one in the wait of the other.
    nested: u32,
    /// Whether this thread waits, and holds none of its slots.
    away: bool,
}

impl Desk {
    fn new(own: Option<RunPool>) -> Self {
        let seat = Arc::new(Seat::new(own.is_some()));
        seat::add(&seat);
        Self { seat, own, taken: Vec::new(), nested: 0, away: false }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        seat::remove(&self.seat);
    }
}

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
    static ALARMS: Cell<u32> = const { Cell::new(0) };
    static DESK: RefCell<Option<Desk>> = const { RefCell::new(None) };
}

/// Whether a pool belongs to this process: the locks of a parent's may be held for ever.
fn is_ours(pool: &RunPool) -> bool {
    pool.tag() == runtime::get().generation
}

/// Sits down as a worker of `pool`, which takes its slots itself.
pub(crate) fn sit_down(pool: &RunPool) -> Arc<Seat> {
    IS_WORKER.set(true);
    let desk = Desk::new(Some(Arc::clone(pool)));
    let seat = Arc::clone(&desk.seat);
    DESK.set(Some(desk));
    seat
}

/// Whether this thread holds a slot of `pool`.
pub(crate) fn holds_slot(pool: &RunPool) -> bool {
    let is_it = |held: &RunPool| Arc::ptr_eq(held, pool) && is_ours(held);
    DESK.with_borrow(|desk| {
        desk.as_ref().filter(|desk| !desk.away).is_some_and(|desk| {
            desk.taken.iter().any(is_it)
                || desk.own.as_ref().is_some_and(|own| is_it(own) && desk.seat.holds_slot())
        })
    })
}

/// Runs `body` while this thread holds a slot of `pool`, which the caller took, or, with `None`, one that it holds already.
pub(crate) fn holding<T>(pool: Option<&RunPool>, body: impl FnOnce(&Arc<Seat>) -> T) -> T {
    let seat = DESK.with_borrow_mut(|desk| {
        let desk = desk.get_or_insert_with(|| Desk::new(None));
        desk.nested += 1;
        desk.taken.extend(pool.map(Arc::clone));
        Arc::clone(&desk.seat)
    });
    let result = body(&seat);
    let over = DESK.with_borrow_mut(|desk| {
        let desk = desk.as_mut()?;
        desk.nested -= 1;
        pool.and_then(|_| desk.taken.pop())
    });
    drop(over);
    result
}

/// The slots that a thread gave back to wait for runs.
pub(crate) struct Away {
    seat: Arc<Seat>,
    own: Option<RunPool>,
    taken: Vec<RunPool>,
}

/// Gives back all slots that this thread holds.
pub(crate) fn yield_slots() -> Option<Away> {
    let away = DESK.with_borrow_mut(|desk| {
        let desk = desk.as_mut().filter(|desk| !desk.away)?;
        let own = desk.own.as_ref().filter(|own| is_ours(own) && desk.seat.yields_slot(own));
        let taken: Vec<_> =
            desk.taken.iter().filter(|pool| is_ours(pool)).map(Arc::clone).collect();
        if own.is_none() && taken.is_empty() {
            return None;
        }
        desk.away = true;
        Some(Away { seat: Arc::clone(&desk.seat), own: own.map(Arc::clone), taken })
    })?;
    for pool in away.own.iter().chain(&away.taken) {
        pool.release_slot();
    }
    Some(away)
}

impl Away {
    /// Takes the slots again, but for that of a run that was taken away meanwhile. Blocks; called detached.
    pub(crate) fn reclaim(self) {
        let own = self.own.map(|pool| (pool, true));
        let mut slots: Vec<_> =
            self.taken.into_iter().map(|pool| (pool, false)).chain(own).collect();
        // In one order for all threads: nobody waits for a slot of who waits for his.
        slots.sort_by_key(|(pool, _)| Arc::as_ptr(pool).addr());
        for (pool, is_own) in slots {
            pool.claim_slot(None);
            if is_own && !self.seat.resumes(&pool) {
                pool.release_slot();
            }
        }
        DESK.with_borrow_mut(|desk| {
            if let Some(desk) = desk {
                desk.away = false;
            }
        });
    }
}

/// Whether this thread is in a body of the user.
pub(crate) fn in_body() -> bool {
    DESK.with_borrow(|desk| desk.as_ref().is_some_and(|desk| desk.seat.is_in_body()))
}

/// Whether this thread may run one more run within a wait.
pub(crate) fn may_nest() -> bool {
    DESK.with_borrow(|desk| desk.as_ref().is_none_or(|desk| desk.nested < MAX_NESTED))
}

/// Whether this thread is a worker of ours.
pub(crate) fn is_worker() -> bool {
    IS_WORKER.get()
}

/// Counts the alarms that are set on this thread.
pub(crate) fn alarm_set() {
    ALARMS.set(ALARMS.get() + 1);
}

pub(crate) fn alarm_over() {
    ALARMS.set(ALARMS.get().saturating_sub(1));
}

/// Whether somebody may inject an exception into this thread.
pub(crate) fn is_injectable() -> bool {
    ALARMS.get() > 0 || in_body()
}
