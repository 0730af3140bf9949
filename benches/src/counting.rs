//! An allocator that counts, while it is told to.
#![allow(unsafe_code)] // an allocator cannot be had without

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static BYTES: AtomicIsize = AtomicIsize::new(0);

// SAFETY: all is left to the system's allocator; what is added does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(at, layout) }
    }

    // The next two as the system has them: by default they would copy, and clear what is clear.

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

fn count(bytes: isize) {
    if IS_COUNTING.load(Ordering::Relaxed) {
        BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Bytes that `make` has allocated and not freed when it returns.
pub(crate) fn held_by<T>(make: impl FnOnce() -> T) -> (T, usize) {
    start();
    let made = make();
    (made, stop())
}

/// As [`held_by`], for what is made by waiting.
pub(crate) async fn held_by_async<T>(make: impl AsyncFnOnce() -> T) -> (T, usize) {
    start();
    let made = make().await;
    (made, stop())
}

/// Within either of them: what is held by now.
pub(crate) fn held() -> usize {
    BYTES.load(Ordering::SeqCst).max(0) as usize
}

fn start() {
    BYTES.store(0, Ordering::SeqCst);
    IS_COUNTING.store(true, Ordering::SeqCst);
}

fn stop() -> usize {
    IS_COUNTING.store(false, Ordering::SeqCst);
    held()
}
