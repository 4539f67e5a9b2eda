//! Zones that are signed as they are asked (RFC 4035 §3.1): every answer with its RRSIG, every absence with its proof.

use super::table::{Signing, Table, absolute};
use crate::world;
use hickory_proto::{
    ProtoError,
    dnssec::{
        Algorithm, DigestType, DnssecSigner, SigningKey as _,
        crypto::EcdsaSigningKey,
        rdata::{DNSKEY, DNSSECRData, DS, NSEC, RRSIG},
    },
    rr::{
        DNSClass, Name, RData, Record, RecordSet, RecordType,
        rdata::{NS, SOA},
    },
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    str::FromStr as _,
    time::Duration,
};
use time::OffsetDateTime;

const ALGORITHM: Algorithm = Algorithm::ECDSAP256SHA256;
/// How long every record may be believed, in seconds.
const TTL: u32 = 60;
/// Signatures begin this long ago, for clocks that differ, and last so long.
const SKEW: Duration = Duration::from_secs(3600);
const LAST: Duration = Duration::from_secs(7 * 86_400);
const NAME_SERVER: &str = "ns.rehearsal.invalid.";

/// The one key that signs every zone.
pub(super) struct Key(PrivatePkcs8KeyDer<'static>);

impl Key {
    pub(super) fn new() -> Result<Self, ProtoError> {
        EcdsaSigningKey::generate_pkcs8(ALGORITHM).map(Self).map_err(|e| ProtoError::from(e.to_string()))
    }

    fn signer(&self, origin: &Name) -> Result<DnssecSigner, ProtoError> {
        let wrong = |e: hickory_proto::dnssec::DnsSecError| ProtoError::from(e.to_string());
        let key = EcdsaSigningKey::from_pkcs8(&self.0, ALGORITHM).map_err(wrong)?;
        let public = DNSKEY::from_key(&key.to_public_key().map_err(wrong)?);
        Ok(DnssecSigner::new(public, Box::new(key), origin.clone(), SKEW + LAST))
    }

    /// The DS of a zone with this key (RFC 4034 §5.1.4).
    fn ds(&self, origin: &Name) -> Result<DS, ProtoError> {
        let public = self.signer(origin)?.to_dnskey();
        let digest = public.to_digest(origin, DigestType::SHA256)?;
        Ok(DS::new(public.calculate_key_tag()?, ALGORITHM, DigestType::SHA256, digest.as_ref().to_vec()))
    }

    /// The root's key in zone-file form: what a validating resolver starts from.
    pub(super) fn anchor(&self) -> Result<String, ProtoError> {
        let key = self.signer(&Name::root())?.to_dnskey();
        Ok(format!(". IN DNSKEY {key}"))
    }
}

/// One zone.
pub(super) struct Zone {
    pub(super) origin: Name,
    pub(super) signing: Signing,
    signer: Option<DnssecSigner>,
    sets: BTreeMap<Name, BTreeMap<RecordType, RecordSet>>,
}

/// All zones of a table, the root first; their name server has an address where it may be asked.
pub(super) fn tree(table: &Table, key: &Key, servers: bool) -> Result<Vec<Zone>, ProtoError> {
    let mut root = Zone::new(Name::root(), Signing::Signed, key)?;
    if servers {
        root.add(&Name::from_str(NAME_SERVER)?, RData::A(Ipv4Addr::LOCALHOST.into()));
    }
    let mut zones = Vec::new();
    for (name, signing) in &table.zones {
        let origin = absolute(name)?;
        root.add(&origin, RData::NS(NS(Name::from_str(NAME_SERVER)?)));
        let mut ds = key.ds(&origin)?;
        if *signing == Signing::Bogus {
            ds = DS::new(ds.key_tag(), ALGORITHM, DigestType::SHA256, vec![0; 32]);
        }
        if *signing != Signing::Unsigned {
            root.add(&origin, RData::DNSSEC(DNSSECRData::DS(ds)));
        }
        zones.push(Zone::new(origin, *signing, key)?);
    }
    zones.insert(0, root);
    for (name, records) in &table.records {
        let name = absolute(name)?;
        for record in records {
            let data = record.data()?;
            if let Some(zone) = zone_of(&mut zones, &name) {
                zone.add(&name, data);
            }
        }
    }
    Ok(zones)
}

fn zone_of<'a>(zones: &'a mut [Zone], name: &Name) -> Option<&'a mut Zone> {
    zones.iter_mut().filter(|z| z.origin.zone_of(name)).max_by_key(|z| z.origin.num_labels())
}

impl Zone {
    fn new(origin: Name, signing: Signing, key: &Key) -> Result<Self, ProtoError> {
        let signer = if signing == Signing::Unsigned { None } else { Some(key.signer(&origin)?) };
        let server = Name::from_str(NAME_SERVER)?;
        let mut zone = Self { origin: origin.clone(), signing, signer, sets: BTreeMap::new() };
        zone.add(
            &origin,
            RData::SOA(SOA::new(server.clone(), Name::from_str("hostmaster.rehearsal.invalid.")?, 1, 3600, 600, 86_400, TTL)),
        );
        zone.add(&origin, RData::NS(NS(server)));
        if let Some(public) = zone.signer.as_ref().map(DnssecSigner::to_dnskey) {
            zone.add(&origin, RData::DNSSEC(DNSSECRData::DNSKEY(public)));
        }
        Ok(zone)
    }

    fn add(&mut self, name: &Name, data: RData) {
        let kind = data.record_type();
        let sets = self.sets.entry(name.clone()).or_default();
        sets.entry(kind).or_insert_with(|| RecordSet::with_ttl(name.clone(), kind, TTL)).add_rdata(data);
    }

    /// The records of one kind at a name.
    pub(super) fn get(&self, name: &Name, kind: RecordType) -> Option<&RecordSet> {
        self.sets.get(name)?.get(&kind)
    }

    /// Whether the name is there, also where it only has names below it (RFC 8020).
    pub(super) fn has(&self, name: &Name) -> bool {
        self.sets.keys().any(|owner| name.zone_of(owner))
    }

    /// A set with its signature.
    pub(super) fn signed(&self, set: &RecordSet) -> Result<Vec<Record>, ProtoError> {
        let mut records: Vec<Record> = set.records_without_rrsigs().cloned().collect();
        if let Some(signer) = &self.signer {
            let now = i64::try_from(world::now().before(SKEW).0).unwrap_or(0);
            let inception = OffsetDateTime::from_unix_timestamp(now).map_err(|e| ProtoError::from(e.to_string()))?;
            let signature = RRSIG::from_rrset(set, DNSClass::IN, inception, signer)?;
            records.push(Record::from_rdata(set.name().clone(), set.ttl(), RData::DNSSEC(DNSSECRData::RRSIG(signature))));
        }
        Ok(records)
    }

    /// What proves that the name has no record of the kind asked, or is not there at all: the SOA, and the NSEC records
    /// that leave no room for it and for a wildcard (RFC 4035 §3.1.3).
    pub(super) fn absence(&self, name: &Name) -> Result<Vec<Record>, ProtoError> {
        let mut records = match self.get(&self.origin, RecordType::SOA) {
            Some(soa) => self.signed(soa)?,
            None => Vec::new(),
        };
        if self.signer.is_none() {
            return Ok(records);
        }
        let mut owners = BTreeSet::from([self.before(name)]);
        if !self.has(name) {
            let mut closest = name.base_name();
            while !self.has(&closest) {
                closest = closest.base_name();
            }
            owners.insert(self.before(&Name::from_str("*")?.append_domain(&closest)?));
        }
        for owner in owners {
            records.extend(self.signed(&self.nsec(&owner))?);
        }
        Ok(records)
    }

    /// The owner at a name or, in canonical order, before it.
    fn before(&self, name: &Name) -> Name {
        self.sets.range(..=name.clone()).next_back().map_or_else(|| self.origin.clone(), |(owner, _)| owner.clone())
    }

    /// The NSEC of an owner: the types there, and the next owner (RFC 4034 §4.1).
    fn nsec(&self, owner: &Name) -> RecordSet {
        let next = self.sets.keys().find(|other| *other > owner).unwrap_or(&self.origin);
        let types = self.sets.get(owner).into_iter().flat_map(BTreeMap::keys).copied();
        let mut set = RecordSet::with_ttl(owner.clone(), RecordType::NSEC, TTL);
        set.add_rdata(RData::DNSSEC(DNSSECRData::NSEC(NSEC::new_cover_self(next.clone(), types))));
        set
    }
}
