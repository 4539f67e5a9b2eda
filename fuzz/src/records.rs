//! What DNS, the web and keepers of lists say.

use super::{Reader, text};
use mxseal::{
    certificate::Certificate,
    facts::Tlsa,
    moment::Moment,
    mta::policy_map::PolicyMap,
    name::DnsName,
    policy::{
        caa::Caa,
        mta_sts::StsRecord,
        policy_list::{self, PolicyList},
        sts_policy::StsPolicy,
        tls_rpt::TlsRptRecord,
    },
};

pub const READERS: &[Reader] = &[
    ("caa", caa),
    ("certificate", certificate),
    ("name", name),
    ("pem", pem),
    ("policy_list", list),
    ("sts_policy", sts_policy),
    ("sts_record", sts_record),
    ("tls_rpt", tls_rpt),
    ("tlsa", tlsa),
];

pub fn name(bytes: &[u8]) {
    if let Ok(name) = text(bytes).parse::<DnsName>() {
        assert_eq!(name.to_string().parse::<DnsName>().as_ref(), Ok(&name), "what is printed is read");
    }
}

pub fn sts_record(bytes: &[u8]) {
    let _ = StsRecord::read(&text(bytes));
}

pub fn sts_policy(bytes: &[u8]) {
    if let Some(policy) = StsPolicy::read(bytes).value {
        assert_eq!(StsPolicy::read(policy.text().as_bytes()).value.as_ref(), Some(&policy), "what is printed is read");
    }
}

pub fn tls_rpt(bytes: &[u8]) {
    if let Some(record) = TlsRptRecord::read(&text(bytes)).value {
        assert_eq!(TlsRptRecord::read(&record.text()).value.as_ref(), Some(&record), "what is printed is read");
    }
}

pub fn tlsa(bytes: &[u8]) {
    if let Ok(tlsa) = text(bytes).parse::<Tlsa>() {
        let _ = (tlsa.lint(), tlsa.generic(), tlsa.is_usable());
        assert_eq!(tlsa.to_string().parse::<Tlsa>().ok().as_ref(), Some(&tlsa), "what is printed is read");
    }
}

pub fn caa(bytes: &[u8]) {
    if let Ok(caa) = text(bytes).parse::<Caa>() {
        assert_eq!(caa.to_string().parse::<Caa>().ok().as_ref(), Some(&caa), "what is printed is read");
    }
}

pub fn list(bytes: &[u8]) {
    let now = Moment(1_900_000_000);
    let _ = policy_list::moment(&text(bytes));
    if let Ok(list) = PolicyList::read(bytes) {
        let _ = (list.fit(now, None), PolicyMap::Postfix.of(&list, now), PolicyMap::Exim.of(&list, now));
    }
}

pub fn certificate(bytes: &[u8]) {
    let _ = Certificate::read(bytes);
}

pub fn pem(bytes: &[u8]) {
    let _ = Certificate::read_pem(bytes);
}
