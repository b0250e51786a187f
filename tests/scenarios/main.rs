//! What lictor does for the world: the real binary, real sockets, real peers. One behaviour a file,
//! each named for what is true if its tests pass.
