//! One server, asked by itself: what it says, and not what another would say in its place.

use super::{
    Server,
    ask::{self, Wish},
    reading,
};
use crate::{facts::Answer, name::DnsName, record::Data, world::no_route};
use hickory_net::NetError;
use hickory_proto::{
    op::ResponseCode,
    rr::{Name, RData, RecordType},
};
use std::{net::SocketAddr, str::FromStr as _, sync::Arc};

/// A name server or resolver.
#[derive(Clone, Debug)]
pub struct One(pub(super) Arc<Server>);

/// Why it said nothing that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unheard {
    /// There is no way to its family of addresses.
    NoRoute,
    /// No answer, or one that says nothing.
    Silent(String),
}

impl One {
    /// A name server: what it vouches for does not count.
    #[must_use]
    pub fn authority(addr: SocketAddr) -> Self {
        Self(Arc::new(Server::new(addr, None)))
    }

    /// Its address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.0.addr
    }

    /// The serial number of a zone that it serves.
    ///
    /// # Errors
    /// When it does not answer, or does not serve the zone.
    pub async fn serial(&self, zone: &DnsName) -> Result<u32, Unheard> {
        let name = Name::from_str(&zone.absolute()).map_err(|e| Unheard::Silent(e.to_string()))?;
        let answer = ask::once(self.0.addr, &name, RecordType::SOA, Wish::Judgement).await.map_err(|e| unheard(&e))?;
        let soa = answer.answers.iter().find_map(|r| if let RData::SOA(soa) = &r.data { Some(soa.serial) } else { None });
        let none = || Unheard::Silent(format!("it does not serve {zone} ({})", answer.metadata.response_code));
        soa.filter(|_| answer.metadata.authoritative).ok_or_else(none)
    }

    /// The records of one name and type; *secure* is what a resolver vouches for and our own validation agrees to.
    ///
    /// # Errors
    /// When it does not answer, or with an error.
    pub async fn data(&self, owner: &DnsName, kind: &str) -> Result<Answer<Data>, Unheard> {
        let silent = |e: &dyn std::fmt::Display| Unheard::Silent(e.to_string());
        let name = Name::from_str(&owner.absolute()).map_err(|e| silent(&e))?;
        let kind = RecordType::from_str(kind).map_err(|e| silent(&e))?;
        let answer = ask::once(self.0.addr, &name, kind, Wish::Judgement).await.map_err(|e| unheard(&e))?;
        match answer.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {}
            code => return Err(Unheard::Silent(format!("it says {code} to {kind} of {owner}"))),
        }
        let security = ask::judge(&self.0, answer.metadata.authentic_data).await;
        let (answer, security, _) = self.0.agreed(answer, security, kind).await;
        reading::answer(&answer, owner, kind, security, |data| Ok(super::update::data(data))).map_err(Unheard::Silent)
    }
}

fn unheard(e: &NetError) -> Unheard {
    match e {
        NetError::Io(e) if no_route(e) => Unheard::NoRoute,
        e => Unheard::Silent(e.to_string()),
    }
}
