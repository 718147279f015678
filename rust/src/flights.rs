//! Single flight of runs with keys: who makes a result, and how the others wait for it.
//!
//! Who wants a result looks into the store, then asks to [`lead`]. A leader looks into the store once more, because
//! somebody may have ended between the two, and then makes the result. Everybody else waits until the leader has ended,
//! and looks again: the result is there, or nobody leads any more.
//!
//! Nobody waits for himself. A run that would wait for one that cannot go on before it has ended (one that it belongs
//! to, or that waits for it, however indirectly) makes the result itself. Between processes nobody sees who waits for
//! whom: there, who leads already waits only for what lies behind all that he leads, which makes no circle.
//!
//! | module | what it owns |
//! |---|---|
//! | `file` | the locks that tell other processes who leads |
//! | `party` | who leads and who waits, and who holds up whom |

mod file;
mod party;

use std::sync::Arc;
use std::time::Duration;

use oxtask_core::flights::Flights;
use oxtask_core::inbox::Inbox;
use oxtask_core::sync::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::waiting::{Edge, Waiting};
use crate::{boundary, runtime};
use file::{Files, place_of};
use party::Party;

/// How long one who waits does so before he looks whether he is waited for.
const LOOK: Duration = Duration::from_millis(50);
/// The pauses between two attempts to lock what another process has locked.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// The flights of this process, and the file that it shares with others.
#[derive(Default)]
pub(crate) struct Airspace {
    flights: Flights<Party>,
    pub(crate) files: Files,
}

/// The answer to who asks to lead.
pub(crate) enum Lead {
    /// Look into the store once more, then make the result; others wait until this is dropped.
    Leader(#[allow(dead_code)] Flight),
    /// Whoever led has ended: look into the store, and ask again if there is nothing.
    Followed,
}

/// A flight that its leader has not ended yet; nothing, for one who must not wait for another leader.
pub(crate) struct Flight(Option<Led>);

struct Led {
    generation: u64,
    key: String,
    /// Whether other processes see the flight.
    locked: bool,
}

impl Drop for Flight {
    fn drop(&mut self) {
        let Some(Led { generation, key, locked }) = self.0.take() else { return };
        let runtime = runtime::get();
        // In a forked child this is a copy: the flight is the parent's.
        if generation != runtime.generation {
            return;
        }
        if let Some(file) = runtime.airspace.files.opened().filter(|_| locked) {
            file.unlock(place_of(&key));
        }
        drop(runtime.airspace.flights.end(&key));
    }
}

/// Leads what is made under `key`, or waits until somebody who does has ended.
///
/// To be called in the context of the run that asks. A thread that waits gives its slots back meanwhile, and answers
/// signals.
pub(crate) fn lead(py: Python<'_>, key: &str) -> PyResult<Lead> {
    let airspace = &runtime::get().airspace;
    let me = Party::asking(py);
    match airspace.flights.begin(key, me.clone()) {
        Ok(()) => {
            let flight = Flight::begun(key);
            airspace.locked(py, flight, &me).map(Lead::Leader)
        }
        Err(leader) => airspace.follow(py, key, me, &leader),
    }
}

/// The same without waiting: `None` if somebody leads, who may be waited for.
pub(crate) fn try_lead(py: Python<'_>, key: &str) -> PyResult<Option<Flight>> {
    let airspace = &runtime::get().airspace;
    let me = Party::asking(py);
    if airspace.flights.begin(key, me.clone()).is_ok() {
        let mut flight = Flight::begun(key);
        if airspace.is_locked(py, &mut flight)? {
            return Ok(Some(flight));
        }
    }
    // Who asks again and again is seen by nobody as one who waits: he must hold up nobody else.
    let chain = me.chain(py);
    let leads =
        airspace.flights.led_by(|leader| chain.contains(leader)).iter().any(|led| led != key);
    let is_own = airspace.flights.leader(key).is_some_and(|leader| chain.contains(&leader));
    Ok((leads || is_own).then_some(Flight(None)))
}

impl Flight {
    fn begun(key: &str) -> Self {
        let generation = runtime::get().generation;
        Self(Some(Led { generation, key: key.to_owned(), locked: false }))
    }
}

impl Airspace {
    /// Waits for the end of a flight.
    fn follow(&self, py: Python<'_>, key: &str, me: Party, leader: &Party) -> PyResult<Lead> {
        let makes_it = Ok(Lead::Leader(Flight(None)));
        // Whoever leads on this thread goes on when this code returns.
        if leader.thread == me.thread {
            return makes_it;
        }
        let chain = me.chain(py);
        if chain.contains(leader) {
            return makes_it;
        }
        let inbox = Arc::new(Inbox::new());
        if let Err(ended) = self.flights.watch(key, (chain.clone(), Arc::clone(&inbox))) {
            drop(ended);
            return Ok(Lead::Followed);
        }
        let waited = Waiting::begin(py, Edge::none(), &[]).and_then(|waiting| {
            let waited = self.wait(py, key, &chain, &inbox);
            waiting.end(py);
            waited
        });
        if !matches!(waited, Ok(true)) {
            drop(self.flights.unwatch(key, &inbox));
        }
        if waited? { Ok(Lead::Followed) } else { makes_it }
    }

    /// Waits for a token; false if that would be for ever.
    fn wait(&self, py: Python<'_>, key: &str, chain: &[Party], inbox: &Inbox) -> PyResult<bool> {
        loop {
            // Looked at after this one has begun to watch: of two who wait for each other, one sees both.
            if let Some(leader) = self.flights.leader(key)
                && inbox.is_empty()
                && party::is_held_up(py, &self.flights, &leader, chain)
            {
                return Ok(false);
            }
            if boundary::wait(py, Some(LOOK), |slice| inbox.take(slice))?.is_some() {
                return Ok(true);
            }
        }
    }

    /// Locks a flight that was begun, waiting for other processes if that is safe.
    fn locked(&self, py: Python<'_>, mut flight: Flight, me: &Party) -> PyResult<Flight> {
        if self.is_locked(py, &mut flight)? {
            return Ok(flight);
        }
        let Some(Led { key, .. }) = &flight.0 else { return Ok(flight) };
        let (place, chain) = (place_of(key), me.chain(py));
        let led =
            self.flights.led_by(|leader| chain.contains(leader) || leader.thread == me.thread);
        if led.iter().any(|other| other != key && place_of(other) > place) {
            return Ok(flight);
        }
        let waiting = Waiting::begin(py, Edge::none(), &[])?;
        let mut pause = SHORTEST_PAUSE;
        let locked = loop {
            let slept = boundary::wait(py, None, |slice| {
                std::thread::park_timeout(slice.map_or(pause, |slice| slice.min(pause)));
                Some(())
            });
            let locked = slept
                .and_then(|_| py.check_signals())
                .and_then(|()| self.is_locked(py, &mut flight));
            if !matches!(locked, Ok(false)) {
                break locked;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        waiting.end(py);
        locked.map(|_| flight)
    }

    /// Locks a flight, if no other process leads the same.
    fn is_locked(&self, py: Python<'_>, flight: &mut Flight) -> PyResult<bool> {
        let Some(led) = &mut flight.0 else { return Ok(true) };
        let Some(file) = self.files.get(py)? else { return Ok(true) };
        led.locked = file.try_lock(place_of(&led.key));
        Ok(led.locked)
    }
}

/// A flight, for runs that Python carries out.
#[pyclass(frozen, name = "Flight", module = "oxtask._core")]
pub(crate) struct PyFlight(Mutex<Option<Flight>>);

#[pymethods]
impl PyFlight {
    /// Ends the flight: those who wait go on. Nothing happens when it has ended.
    fn end(&self) {
        let flight = self.0.lock().take();
        drop(flight);
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) {
        self.end();
    }
}

/// Leads what is made under `key`; `None` if somebody else has led it until now, or, without `wait`, still does.
#[pyfunction]
#[pyo3(signature = (key, wait=true))]
pub(crate) fn lead_flight(py: Python<'_>, key: &str, wait: bool) -> PyResult<Option<PyFlight>> {
    let flight = if wait {
        match lead(py, key)? {
            Lead::Leader(flight) => Some(flight),
            Lead::Followed => None,
        }
    } else {
        try_lead(py, key)?
    };
    Ok(flight.map(|flight| PyFlight(Mutex::new(Some(flight)))))
}
