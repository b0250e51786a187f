//! What the proxy does, as pure data and pure functions.
