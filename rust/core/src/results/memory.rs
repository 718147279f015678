//! Records lately used, as bytes: nobody shares objects with anybody.
//!
//! Bounded by number and by bytes. What was not used since the hand of the clock last came by goes first. Where there is
//! no room, one record of [`ADMITTED`] is taken: else a walk through more records than there is room for would find
//! none of them the next time, and pay for taking each. A lock is only tried: who does not get it goes to the disk.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::envelope::Layout;
use crate::sync::Mutex;

/// A verified record.
#[derive(Debug, Clone)]
pub struct Sealed {
    pub bytes: Arc<[u8]>,
    pub layout: Arc<Layout>,
}

impl Sealed {
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.layout.payload.clone()]
    }

    pub fn metadata(&self) -> &[u8] {
        &self.bytes[self.layout.metadata.clone()]
    }

    fn key(&self) -> &[u8] {
        &self.bytes[self.layout.key.clone()]
    }
}

const SHARDS: usize = 16;
const ADMITTED: u32 = 8;
/// What a record takes besides its bytes, about.
const OVERHEAD: usize = 220;

/// Ids are hashes already.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_i64(&mut self, id: i64) {
        self.0 = id.cast_unsigned();
    }
}

struct Entry {
    id: i64,
    generation: u32,
    record: Sealed,
    /// When the use was last written down, in milliseconds.
    noted: u64,
    is_used: bool,
}

#[derive(Default)]
struct Shard {
    places: HashMap<i64, usize, BuildHasherDefault<Same>>,
    entries: Vec<Entry>,
    bytes: usize,
    hand: usize,
    /// Records that came when there was no room.
    late: u32,
}

pub(crate) struct Memory {
    shards: [Mutex<Shard>; SHARDS],
    max_records: usize,
    max_bytes: usize,
}

/// A use is written down again after so many milliseconds.
pub(crate) const RESOLUTION: u64 = 60_000;

impl Memory {
    pub(crate) fn new(max_records: usize, max_bytes: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::new(Shard::default())),
            max_records: max_records / SHARDS,
            max_bytes: max_bytes / SHARDS,
        }
    }

    fn shard(&self, id: i64) -> &Mutex<Shard> {
        // Not the bits that the hash map or the slot of a generation goes by.
        &self.shards[usize::try_from(id.cast_unsigned() >> 40).unwrap_or(0) % SHARDS]
    }

    /// A record of that generation, and whether its use is to be written down.
    #[inline]
    pub(crate) fn get(
        &self,
        id: i64,
        key: &str,
        generation: u32,
        time: u64,
    ) -> Option<(Sealed, bool)> {
        let mut shard = self.shard(id).try_lock()?;
        let place = *shard.places.get(&id)?;
        let entry = shard.entries.get_mut(place)?;
        if entry.generation != generation || entry.record.key() != key.as_bytes() {
            return None;
        }
        entry.is_used = true;
        let is_due = time.saturating_sub(entry.noted) >= RESOLUTION;
        if is_due {
            entry.noted = time;
        }
        Some((entry.record.clone(), is_due))
    }

    pub(crate) fn put(&self, id: i64, generation: u32, record: Sealed, time: u64) {
        let size = size_of(&record);
        if size > self.max_bytes / 4 || self.max_records == 0 {
            return self.remove(id);
        }
        let Some(mut shard) = self.shard(id).try_lock() else { return };
        let shard = &mut *shard;
        if let Some(&place) = shard.places.get(&id) {
            shard.drop_at(place);
        }
        let lacks_room = |shard: &Shard| {
            shard.bytes + size > self.max_bytes || shard.entries.len() >= self.max_records
        };
        if lacks_room(shard) {
            shard.late = shard.late.wrapping_add(1);
            if shard.late % ADMITTED != 0 {
                return;
            }
        }
        while lacks_room(shard) {
            shard.make_room();
        }
        shard.places.insert(id, shard.entries.len());
        shard.bytes += size;
        shard.entries.push(Entry { id, generation, record, noted: time, is_used: false });
    }

    pub(crate) fn remove(&self, id: i64) {
        let Some(mut shard) = self.shard(id).try_lock() else { return };
        if let Some(&place) = shard.places.get(&id) {
            shard.drop_at(place);
        }
    }

    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            if let Some(mut shard) = shard.try_lock() {
                *shard = Shard::default();
            }
        }
    }

    /// How many records there are, and their bytes.
    pub(crate) fn size(&self) -> (usize, usize) {
        let shards = self.shards.iter().filter_map(Mutex::try_lock);
        shards.fold((0, 0), |sum, shard| (sum.0 + shard.entries.len(), sum.1 + shard.bytes))
    }
}

fn size_of(record: &Sealed) -> usize {
    record.bytes.len() + OVERHEAD
}

impl Shard {
    fn make_room(&mut self) {
        loop {
            if self.hand >= self.entries.len() {
                self.hand = 0;
            }
            let Some(entry) = self.entries.get_mut(self.hand) else { return };
            if !std::mem::take(&mut entry.is_used) {
                return self.drop_at(self.hand);
            }
            self.hand += 1;
        }
    }

    fn drop_at(&mut self, place: usize) {
        let gone = self.entries.swap_remove(place);
        self.places.remove(&gone.id);
        self.bytes -= size_of(&gone.record);
        if let Some(moved) = self.entries.get(place) {
            self.places.insert(moved.id, place);
        }
    }
}
