//! The operating system, behind safe functions: the only room with unsafe code.
