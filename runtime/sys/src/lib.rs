//! The operating system, behind safe functions: the only room with `unsafe` code.
//!
//! # Implementation
//!
//! System calls go through rustix, which makes them without a C library; libc is used where rustix has no safe call. One
//! function is one system call unless its documentation says otherwise. Linux only.

pub mod directory;
pub mod epoll;
pub mod inotify;
pub mod interfaces;
pub mod ktls;
pub mod limits;
pub mod memory;
pub mod notify;
pub mod pipe;
pub mod poll;
pub mod random;
pub mod signals;
pub mod socket;
pub mod timer;
pub mod unix;
// Tests unwind.
#[cfg(all(panic = "abort", target_env = "gnu"))]
mod unwinding;
