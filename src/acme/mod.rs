//! The wire to a CA: account, order, challenges (RFC 8555). Every errand is keyed before the call, so that a kill repeats and never doubles.
