//! The wire to resolvers: answers that carry their DNSSEC state.
