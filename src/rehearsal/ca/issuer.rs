//! The keys and certificates of the made-up CA: a root, an intermediate that issues, and a root of its API.

use super::request::{Problem, random};
use crate::world;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use std::time::Duration;
use time::OffsetDateTime;

/// How long a certificate is good.
pub(super) const LIFE: Duration = Duration::from_secs(90 * 86_400);
/// Certificates are dated back, for clocks that differ, as CAs do.
const BACK: Duration = Duration::from_secs(3600);

type Authority = CertifiedIssuer<'static, KeyPair>;

/// What signs.
pub(super) struct Issuer {
    pub(super) root: Authority,
    intermediate: Authority,
}

impl Issuer {
    pub(super) fn new() -> Result<Self, rcgen::Error> {
        let root = authority("Rehearsal root", 1)?;
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;
        let intermediate = CertifiedIssuer::signed_by(authority("Rehearsal intermediate", 0)?, KeyPair::generate()?, &root)?;
        Ok(Self { root, intermediate })
    }

    /// A chain for what a request (DER) asks, leaf first, as PEM: exactly `names`, whatever else the request says. The key
    /// is another one where `wrong_key` says so.
    pub(super) fn issue(&self, request: &[u8], names: &[String], wrong_key: bool) -> Result<String, Problem> {
        let bad = |e: rcgen::Error| Problem::new(400, "badCSR", format!("the request cannot be certified: {e}"));
        let mut request = CertificateSigningRequestParams::from_der(&request.into()).map_err(bad)?;
        let mut asked: Vec<String> = request.params.subject_alt_names.iter().map(text).collect();
        asked.sort();
        if asked != names {
            let (asked, names) = (asked.join(", "), names.join(", "));
            return Err(Problem::new(400, "badCSR", format!("the request is for {asked}, the order for {names}")));
        }
        let mut params = CertificateParams::new(names).map_err(bad)?;
        params.distinguished_name = DistinguishedName::new();
        params.serial_number = Some(SerialNumber::from_slice(&random()));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) = span(LIFE).map_err(bad)?;
        let leaf = if wrong_key {
            params.signed_by(&KeyPair::generate().map_err(bad)?, &self.intermediate)
        } else {
            request.params = params;
            request.signed_by(&self.intermediate)
        };
        Ok(leaf.map_err(bad)?.pem() + &self.intermediate.pem())
    }
}

/// A certificate for 127.0.0.1, its key and its root.
pub(super) fn of_the_api() -> Result<(rcgen::Certificate, KeyPair, Authority), rcgen::Error> {
    let root = CertifiedIssuer::self_signed(authority("Rehearsal API root", 0)?, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
    (params.not_before, params.not_after) = span(LIFE)?;
    let leaf = params.signed_by(&key, &root)?;
    Ok((leaf, key, root))
}

fn authority(name: &str, below: u8) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = span(LIFE * 4)?;
    Ok(params)
}

fn span(life: Duration) -> Result<(OffsetDateTime, OffsetDateTime), rcgen::Error> {
    let from = i64::try_from(world::now().before(BACK).0).unwrap_or(0);
    let from = OffsetDateTime::from_unix_timestamp(from).map_err(|_| rcgen::Error::Time)?;
    Ok((from, from + life))
}

fn text(name: &SanType) -> String {
    match name {
        SanType::DnsName(name) => name.as_str().to_ascii_lowercase(),
        other => format!("{other:?}"),
    }
}
