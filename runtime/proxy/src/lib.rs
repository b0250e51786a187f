//! The data plane: accept, classify, pick an endpoint, relay.
