//! The wire to mail servers: the STARTTLS dialogue and a verifier that reports and goes on.
//!
//! One conversation is what a sender would say and no more (RFC 5321 §3, RFC 3207): greeting, EHLO, STARTTLS, EHLO,
//! MAIL, RCPT, RSET, QUIT. Never DATA: nothing is ever delivered. [`converse`] does not fail; what went wrong is in the
//! view, in words. Everything that the peer sends is bounded in length, number and time.

mod client_hello;
mod mail_access;
mod prompt;
mod reply;
mod session;
mod verifier;

pub use session::converse;
