//! What the standard library wants of an unwinder, for a binary that never unwinds.
//!
//! A panic of a release aborts, and the tables that an unwinder reads are left out (`lictor/build.rs`). Yet std, which is built
//! for programs that unwind, calls one, and brings along what finds names and lines for a backtrace, which in a stripped binary
//! there are none of. With these functions in its place the linker finds that nobody needs all that: the binary is 190,000
//! bytes smaller, and libgcc_s is not loaded, 36 KiB of memory. With musl std is built without it (`targets/build`).
//!
//! Interface: Itanium C++ ABI, Exception Handling, section 1 (<https://itanium-cxx-abi.github.io/cxx-abi/abi-eh.html>), and
//! gcc's `unwind.h`.

use core::ffi::{c_int, c_void};

/// Walks over the stack: has no frame to show.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_show: *const c_void, _argument: *mut c_void) -> c_int {
    const END_OF_STACK: c_int = 5;
    END_OF_STACK
}

/// What only an exception under way would call.
macro_rules! nobody_calls {
    ($($name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($(_: $argument),*) $(-> $result)? {
            std::process::abort()
        }
    )*};
}

nobody_calls! {
    _Unwind_Resume(*mut c_void) -> !;
    _Unwind_GetIPInfo(*mut c_void, *mut c_int) -> usize;
    _Unwind_GetLanguageSpecificData(*mut c_void) -> *mut c_void;
    _Unwind_GetRegionStart(*mut c_void) -> usize;
    _Unwind_GetTextRelBase(*mut c_void) -> usize;
    _Unwind_GetDataRelBase(*mut c_void) -> usize;
    _Unwind_SetGR(*mut c_void, c_int, usize);
    _Unwind_SetIP(*mut c_void, usize);
}
