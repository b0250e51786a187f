//! The operating system, behind safe functions: the only room with `unsafe` code.
//!
//! # Implementation
//!
//! System calls go through rustix, which makes them without a C library; libc is used where rustix has no safe call. One
//! function is one system call unless its documentation says otherwise. Linux only.

pub mod epoll;
pub mod pipe;
pub mod socket;
pub mod timer;
