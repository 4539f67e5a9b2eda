//! Flags, world, command, exit code; nothing else.

fn main() {}
