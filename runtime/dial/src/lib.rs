//! Names to addresses, addresses to connected sockets.
