//! Pages of memory.

use std::mem::MaybeUninit;

/// Memory below this is not worth a request.
const MIN_BYTES: usize = 1 << 20;

/// Asks the system to hold `memory`, which nothing has been written to yet, in large pages: the weights go by once a chunk of
/// tokens, and looking up small pages costs 3 to 5 % of that with AMX. A request that is refused changes nothing.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) fn prefer_large<T>(memory: &mut [MaybeUninit<T>]) {
    const PAGE: usize = 4096;
    let range = memory.as_mut_ptr_range();
    let start = (range.start as usize).next_multiple_of(PAGE);
    let end = range.end as usize / PAGE * PAGE;
    if end.saturating_sub(start) >= MIN_BYTES {
        // SAFETY: whole pages inside memory that is ours; the advice changes no content.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    }
}

/// Elsewhere the system decides.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub(crate) fn prefer_large<T>(_: &mut [MaybeUninit<T>]) {}
