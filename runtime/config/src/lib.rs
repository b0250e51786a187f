//! The local file: HCL, JSON and YAML to Settings.
//!
//! # Implementation
//!
//! Every parser gives one tree, [`Value`], with the place of every key, so that whatever turns out
//! wrong later is named by file, line, column and key.

mod cursor;
mod error;
mod hcl;
mod json;
mod lexer;
mod value;
mod yaml;

pub use cursor::MAX_DEPTH;
pub use error::{Error, Errors, MAX_ERRORS, Note, SyntaxError};
pub use hcl::parse_hcl;
pub use json::parse_json;
pub use value::{Data, Entry, Object, Span, Value};
pub use yaml::parse_yaml;
