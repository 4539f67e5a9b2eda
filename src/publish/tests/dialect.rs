//! A sheet becomes text, in the words of each tool.

use super::*;
use crate::publish::dialect::Dialect;

/// One record of each kind, two of them in place of others.
fn one_of_each() -> Vec<Wanted> {
    let at = |owner: &str, data, state| Wanted {
        owner: name(owner),
        data,
        need: Need::Required,
        state,
        why: "because".into(),
        whereabouts: Some(Whereabouts { owner: name(owner), zone: name("example.org") }),
    };
    let old = || State::instead(&["v=STSv1; id=old".into()], |_| true);
    vec![
        at("_mta-sts.example.org", Data::Txt("v=STSv1; id=new;".into()), old()),
        at("_25._tcp.mx.example.org", Data::Tlsa(Tlsa { usage: 3, selector: 1, matching: 1, data: "ab".repeat(32) }), State::Missing),
        at("mta-sts.example.org", Data::Cname(name("mx.example.org")), State::Missing),
        at("mx.example.org", Data::Caa(Caa::issue("ca.example", &["http-01"])), State::Missing),
    ]
}

#[test]
fn each_dialect_says_the_same() {
    let hex = "ab".repeat(32);
    let because = |mark: &str| format!("{mark} required: because\n");
    let zone = |tlsa: &str, caa: &str| {
        format!(
            "{b}; in place of: TXT \"v=STSv1; id=old\"\n_mta-sts.example.org. 3600 IN TXT \"v=STSv1; id=new;\"\n\
             {b}_25._tcp.mx.example.org. 3600 IN {tlsa}\n{b}mta-sts.example.org. 3600 IN CNAME mx.example.org.\n\
             {b}mx.example.org. 3600 IN {caa}\n",
            b = because(";")
        )
    };
    let caa: Vec<u8> = [b"\0\x05issue".as_slice(), b"ca.example; validationmethods=http-01"].concat();
    let all = one_of_each();
    let all: Vec<&Wanted> = all.iter().collect();
    let text = |dialect: Dialect| dialect.text(&all);
    assert_eq!(text(Dialect::Zone), zone(&format!("TLSA 3 1 1 {hex}"), "CAA 0 issue \"ca.example; validationmethods=http-01\""));
    let numbers = (format!("TYPE52 \\# 35 030101{hex}"), format!("TYPE257 \\# {} {}", caa.len(), data_encoding::HEXLOWER.encode(&caa)));
    assert_eq!(text(Dialect::Generic), zone(&numbers.0, &numbers.1));
    assert_eq!(
        text(Dialect::Nsupdate),
        format!(
            "zone example.org.\nprereq yxrrset _mta-sts.example.org. IN TXT \"v=STSv1; id=old\"\n\
             prereq nxrrset _25._tcp.mx.example.org. IN CNAME\nprereq nxdomain mta-sts.example.org.\n\
             prereq nxrrset mx.example.org. IN CNAME\nupdate delete _mta-sts.example.org. TXT \"v=STSv1; id=old\"\n\
             {b}; in place of: TXT \"v=STSv1; id=old\"\nupdate add _mta-sts.example.org. 3600 TXT \"v=STSv1; id=new;\"\n\
             {b}update add _25._tcp.mx.example.org. 3600 TLSA 3 1 1 {hex}\n\
             {b}update add mta-sts.example.org. 3600 CNAME mx.example.org.\n\
             {b}update add mx.example.org. 3600 CAA 0 issue \"ca.example; validationmethods=http-01\"\nsend\n",
            b = because(";")
        )
    );
    let panel = text(Dialect::Panel);
    assert!(
        panel.starts_with("Zone example.org\n\n  Name        _mta-sts\n  Type        TXT\n  Value       v=STSv1; id=new;\n"),
        "{panel}"
    );
    assert!(panel.contains(&format!("  Usage       3\n  Selector    1\n  Matching    1\n  Data        {hex}\n")), "{panel}");
    let terraform = text(Dialect::Terraform);
    let line = "{ zone = \"example.org\", name = \"_mta-sts\", type = \"TXT\", ttl = 3600, value = \"v=STSv1; id=new;\" },";
    assert!(terraform.contains(line), "{terraform}");
    let dnscontrol = text(Dialect::Dnscontrol);
    for line in [
        "  TXT(\"_mta-sts\", \"v=STSv1; id=new;\", TTL(3600)),\n",
        "  CNAME(\"mta-sts\", \"mx.example.org.\", TTL(3600)),\n",
        "  CAA(\"mx\", \"issue\", \"ca.example; validationmethods=http-01\", TTL(3600)),\n",
    ] {
        assert!(dnscontrol.contains(line), "{dnscontrol}");
    }
    let octodns = text(Dialect::Octodns);
    for part in ["'_mta-sts':\n", "    values:\n      - 'v=STSv1\\; id=new\\;'\n", "    value: 'mx.example.org.'\n"] {
        assert!(octodns.contains(part), "{octodns}");
    }
    for dialect in [Dialect::Zone, Dialect::Nsupdate, Dialect::Terraform, Dialect::Octodns] {
        assert_eq!(dialect.text(&[]), "");
    }
}

#[test]
fn what_the_network_said_stays_in_its_comment() {
    let mut wanted = one_of_each().swap_remove(0);
    wanted.why = "it said\nupdate delete example.org. A\r".into();
    wanted.state = State::instead(&["x\"\nupdate delete example.org. A".into()], |_| true);
    for dialect in [Dialect::Zone, Dialect::Generic, Dialect::Nsupdate, Dialect::Panel, Dialect::Terraform, Dialect::Dnscontrol] {
        let text = dialect.text(&[&wanted]);
        assert!(!text.lines().any(|l| l.starts_with("update delete example.org")), "{dialect:?}: {text}");
    }
}
