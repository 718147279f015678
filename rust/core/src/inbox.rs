//! Where a blocked thread hears of runs that ended: a queue of tokens with a bell.
//!
//! One inbox serves any number of runs: whoever watches a run names an inbox and a token, and when the run
//! settles the token is delivered, once. A thread that waits for one run, for all or for the next of many does
//! the same thing: it takes tokens.

use std::collections::VecDeque;
use std::time::Duration;

use crate::sync::{Condvar, Mutex};

#[derive(Debug, Default)]
pub struct Inbox {
    tokens: Mutex<VecDeque<u32>>,
    bell: Condvar,
}

impl Inbox {
    pub fn new() -> Self {
        Self { tokens: Mutex::new(VecDeque::new()), bell: Condvar::new() }
    }

    pub fn deliver(&self, token: u32) {
        self.tokens.lock().push_back(token);
        self.bell.notify_all();
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.lock().is_empty()
    }

    pub fn try_take(&self) -> Option<u32> {
        self.tokens.lock().pop_front()
    }

    /// The next token; `None` when `timeout` passed first, or when woken for nothing.
    pub fn take(&self, timeout: Option<Duration>) -> Option<u32> {
        let mut tokens = self.tokens.lock();
        if tokens.is_empty() {
            tokens = self.bell.wait(tokens, timeout);
        }
        tokens.pop_front()
    }

    /// Wakes whoever waits, with nothing to take.
    pub fn ring(&self) {
        drop(self.tokens.lock());
        self.bell.notify_all();
    }
}
