//! Records in the words of the library, there and back.

use crate::{
    policy::{caa::Caa, dane::Tlsa},
    record::Data,
};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use dns_update::{CAARecord, DnsRecord, DnsRecordType, KeyValue, TLSARecord, TlsaCertUsage, TlsaMatching, TlsaSelector};

/// Every type that may stand where an alias is wanted.
pub(super) const ALL: &[DnsRecordType] = &[
    DnsRecordType::CNAME,
    DnsRecordType::A,
    DnsRecordType::AAAA,
    DnsRecordType::MX,
    DnsRecordType::TXT,
    DnsRecordType::CAA,
    DnsRecordType::TLSA,
];

/// The type of what we write.
pub(super) const fn kind(data: &Data) -> DnsRecordType {
    match data {
        Data::Cname(_) => DnsRecordType::CNAME,
        Data::Txt(_) => DnsRecordType::TXT,
        Data::Tlsa(_) => DnsRecordType::TLSA,
        Data::Caa(_) => DnsRecordType::CAA,
    }
}

/// For the library; `None` for what it has no words for.
pub(super) fn written(data: &Data) -> Option<DnsRecord> {
    Some(match data {
        Data::Cname(target) => DnsRecord::CNAME(target.absolute()),
        Data::Txt(text) => DnsRecord::TXT(text.clone()),
        Data::Tlsa(tlsa) => DnsRecord::TLSA(TLSARecord {
            cert_usage: match tlsa.usage {
                0 => TlsaCertUsage::PkixTa,
                1 => TlsaCertUsage::PkixEe,
                2 => TlsaCertUsage::DaneTa,
                3 => TlsaCertUsage::DaneEe,
                _ => return None,
            },
            selector: match tlsa.selector {
                0 => TlsaSelector::Full,
                1 => TlsaSelector::Spki,
                _ => return None,
            },
            matching: match tlsa.matching {
                0 => TlsaMatching::Raw,
                1 => TlsaMatching::Sha256,
                2 => TlsaMatching::Sha512,
                _ => return None,
            },
            cert_data: HEXLOWER_PERMISSIVE.decode(tlsa.data.as_bytes()).ok()?,
        }),
        Data::Caa(caa) => DnsRecord::CAA(written_caa(caa)?),
    })
}

fn written_caa(caa: &Caa) -> Option<CAARecord> {
    let mut parts = caa.value.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty()).map(str::to_owned);
    let option = |part: &str| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        KeyValue { key: key.trim().to_owned(), value: value.trim().to_owned() }
    };
    let options = parts.filter(|part| !part.is_empty()).map(option).collect();
    let issuer_critical = match caa.flags {
        0 => false,
        128 => true,
        _ => return None,
    };
    Some(match caa.tag.as_str() {
        "issue" => CAARecord::Issue { issuer_critical, name, options },
        "issuewild" => CAARecord::IssueWild { issuer_critical, name, options },
        "iodef" => CAARecord::Iodef { issuer_critical, url: caa.value.clone() },
        _ => return None,
    })
}

/// What was listed; `None` where it is of a type that we never write.
pub(super) fn read(listed: &DnsRecord) -> Option<Data> {
    match listed {
        DnsRecord::CNAME(target) => target.trim_end_matches('.').parse().ok().map(Data::Cname),
        DnsRecord::TXT(text) => Some(Data::Txt(text.clone())),
        DnsRecord::TLSA(tlsa) => Some(Data::Tlsa(Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: HEXLOWER.encode(&tlsa.cert_data),
        })),
        DnsRecord::CAA(caa) => {
            let (flags, tag, value) = caa.clone().decompose();
            Some(Data::Caa(Caa { flags, tag, value }))
        }
        DnsRecord::A(_) | DnsRecord::AAAA(_) | DnsRecord::NS(_) | DnsRecord::MX(_) | DnsRecord::SRV(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_publish_comes_back_as_it_was() {
        let tlsa = Tlsa { usage: 3, selector: 1, matching: 1, data: "0b".repeat(32) };
        for data in [
            Data::Cname("mx.example.org".parse().expect("a name")),
            Data::Txt("v=TLSRPTv1; rua=mailto:\"a\"@example.org".into()),
            Data::Tlsa(tlsa.clone()),
            Data::Caa(Caa::issue("ca.example", &[])),
            Data::Caa(Caa::issue("ca.example", &["http-01", "dns-01"])),
            Data::Caa("128 iodef \"mailto:a@example.org\"".parse().expect("a record")),
        ] {
            let written = written(&data).expect("words");
            assert_eq!(written.as_type(), kind(&data));
            assert_eq!(read(&written), Some(data));
        }
        assert_eq!(written(&Data::Tlsa(Tlsa { usage: 9, ..tlsa })), None);
        assert_eq!(written(&Data::Caa("0 contactemail \"a@example.org\"".parse().expect("a record"))), None);
        assert_eq!(read(&DnsRecord::A([192, 0, 2, 1].into())), None);
    }
}
