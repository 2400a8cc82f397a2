//! An allocator that counts, for tests of what must take no memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, every call counted. A test binary makes it its own:
/// `#[global_allocator] static ALLOCATOR: CountingAllocator = CountingAllocator;`
#[derive(Debug)]
pub struct CountingAllocator;

// SAFETY: every call goes to `System` with the arguments it came with; the counter is a thread-local without a destructor that
// itself never allocates.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `realloc`'s contract, and `pointer` came from `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller keeps `dealloc`'s contract, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn count() {
    CALLS.with(|calls| calls.set(calls.get() + 1));
}

/// How often `work` takes memory, takes more, or gives it back, on this thread: tests run side by side, and other threads may do as
/// they like.
///
/// # Panics
/// Where [`CountingAllocator`] is not this binary's allocator: then nothing would be counted.
pub fn allocator_calls_of(work: impl FnOnce()) -> u64 {
    let before = CALLS.with(Cell::get);
    drop(std::hint::black_box(Box::new(1_u64)));
    let one_box = CALLS.with(Cell::get);
    assert_eq!(one_box - before, 2, "`CountingAllocator` is not the global allocator");
    work();
    CALLS.with(Cell::get) - one_box
}
