//! What is remembered over a restart: the Plan and the identities, as small blobs on flash.
//!
//! A node that starts with its link down runs by what it knew before. [`seal`] turns a value into a blob, [`open`] a blob into
//! the value, and [`Slots`] keep two blobs of a kind such that one of them is whole at any time, wherever the power is cut.
//! [`Budget`] says when flash may be written again. A blob made on the desk ([`seal`] into a file) is the same as one in a slot.
//!
//! ```text
//! Remembered ──► postcard ──► pack ──► header, checksum ──► the slot that is older
//!  Plan, Process   bytes     repeats      the blob            plan-1.a │ plan-1.b
//! ```
//!
//! It decides nothing: what is worth remembering, and whether what was remembered may be run, is for who asks. Keys are in no
//! blob but that of [`Identities`], whose file is its owner's alone; tokens are in none.
//!
//! # Implementation
//!
//! A Plan of 1,000 services is some 55 KB on flash and takes about a millisecond to write or read, apart from the disk.
//! Nothing is held between two calls: a write reads the slots again, which is the one way to know what is in them.
//! Reading costs at most [`pack::MAX_RATIO`](MAX_RATIO) times the blob's size, however it was made.

mod blob;
mod budget;
mod checksum;
mod contents;
mod disk;
mod error;
mod pack;
mod process;
mod slots;

pub use blob::{Flaw, MAGIC, MAX_BLOB_BYTES, Meta, VERSION, kind, open, seal};
pub use budget::{Budget, MIN_INTERVAL, REFILL};
pub use contents::{Content, Identities, Moment, Remembered};
pub use disk::{Disk, OnDisk};
pub use error::Error;
pub use pack::MAX_RATIO;
pub use process::{LogForm, Process, Tcp};
pub use slots::{Recalled, Slots, Trouble, Why, Written};
