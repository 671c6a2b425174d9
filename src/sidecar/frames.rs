//! The memory of an answer's frames, used again and again.
//!
//! In: a filled buffer. Out: `Bytes` over it, for hyper to send; when the last of them is dropped the
//! buffer comes back. A frame in the making and one on its way are all that an answer ever holds,
//! and the kernel copies from memory that is still in the cache.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Where one answer's buffers lie between two frames.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frames {
    /// Empty, with the room of the last frame.
    spare: Arc<Mutex<Vec<u8>>>,
}

impl Frames {
    /// An empty buffer: one that was used before, if any has come back.
    pub(crate) fn take(&self) -> Vec<u8> {
        mem::take(&mut *self.spare())
    }

    /// Keeps a buffer for the next frame.
    pub(crate) fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut spare = self.spare();
        if spare.capacity() < buffer.capacity() {
            *spare = buffer;
        }
    }

    /// Bytes to send, whose memory comes back when they are dropped.
    pub(crate) fn lend(&self, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { buffer, frames: self.clone() })
    }

    fn spare(&self) -> MutexGuard<'_, Vec<u8>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Lent {
    buffer: Vec<u8>,
    frames: Frames,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.frames.give_back(mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_was_sent_is_the_memory_of_the_next() {
        let frames = Frames::default();
        let mut buffer = frames.take();
        buffer.extend_from_slice(&[b'x'; 1000]);
        let memory = buffer.as_ptr();
        let sent = frames.lend(buffer);
        let half = sent.slice(500..);
        drop(sent);
        assert_eq!(frames.take().capacity(), 0, "half of it is still on its way");
        assert_eq!(half, [b'x'; 500][..]);
        drop(half);
        let again = frames.take();
        assert_eq!((again.as_ptr(), again.len()), (memory, 0));
    }

    #[test]
    fn of_two_buffers_the_larger_is_kept() {
        let frames = Frames::default();
        frames.give_back(Vec::with_capacity(200));
        frames.give_back(Vec::with_capacity(100));
        assert!(frames.take().capacity() >= 200);
    }
}
