//! What a stub resolver needs of DNS: one question for the addresses of a host, and its answer.
//!
//! [`Query`] writes a question and reads the response that belongs to it, following aliases (CNAME) inside the answer
//! as a recursive server gives them. [`resolv_conf`] and [`hosts`] read the two files of the system that say whom to
//! ask, and what need not be asked.
//!
//! It never sends, waits, retries or caches: that is the caller's part, and so is choosing an unguessable id and port.
//! It asks for names as they are written and applies no search list. It does not validate DNSSEC.
//!
//! Messages: RFC 1035 section 4. Aliases: RFC 1034 section 3.6.2. EDNS(0): RFC 6891.

mod answer;
mod error;
mod host_name;
pub mod hosts;
mod name;
mod query;
pub mod resolv_conf;

pub use answer::{Answer, MAX_ADDRESSES, MAX_ALIASES};
pub use error::Error;
pub use host_name::{HostName, MAX_HOST_NAME_BYTES};
pub use query::{Edns, Family, MAX_QUERY_BYTES, MAX_UDP_RESPONSE_BYTES, Query};
