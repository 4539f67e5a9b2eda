//! What the wire says, judged: views become findings, expectations become a proof.
