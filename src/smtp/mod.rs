//! The wire to mail servers: the STARTTLS dialogue and a verifier that reports and goes on.
