//! A CA behind a bad line.
