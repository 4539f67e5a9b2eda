//! The only room that prints: terminal text and JSON v1.
