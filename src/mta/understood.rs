//! What a mail server's files say, in the words of the facts.

use crate::{
    facts::{Known, Service},
    name::DnsName,
};

/// What the files say, with what the server's tools said of the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Understood {
    /// The network services, with the effective TLS settings of each.
    pub services: Vec<Service>,
    /// The server's own host name.
    pub hostname: Known<DnsName>,
    /// The domains for which it accepts mail, as far as the files write them down.
    pub receives_for: Known<Vec<DnsName>>,
}
