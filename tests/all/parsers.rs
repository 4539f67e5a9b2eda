//! Whatever strangers write, reading it ends in peace: what is right is changed a little, thousands of times. A failure names its
//! seed and its input; `MXSEAL_SEED` begins with that one.

use mxseal::{
    certificate::{Certificate, Digest},
    facts::{ConfigFile, Tlsa, Version},
    image::{Image, Meta},
    moment::Moment,
    mta::{config::ConfigText, dialect::Dialect, policy_map::PolicyMap, profile::Profile},
    name::DnsName,
    policy::{
        caa::Caa,
        mta_sts::StsRecord,
        policy_list::{self, PolicyList},
        sts_policy::{MxPattern, StsPolicy},
        tls_rpt::{Rua, TlsRptRecord},
    },
};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

/// How often each parser is asked.
const ROUNDS: u64 = 1500;

/// A small generator (xorshift64*): the same numbers for the same seed, everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).expect("small")).expect("small")
    }
}

/// What parsers stumble over.
const TOKENS: &[&[u8]] = &[
    b"\0",
    b"\r\n",
    b"\n",
    b"\n ",
    b"\t",
    b"\"",
    b"\\",
    b"\\\n",
    b"{",
    b"}",
    b"(",
    b")",
    b"$",
    b"${",
    b"${run{x}}",
    b"#",
    b";",
    b":",
    b"=",
    b",",
    b"..",
    b"*",
    b"-",
    b"4294967296",
    b"18446744073709551616",
    b"-1",
    b"\xff\xfe",
    b"\xc3",
    b"\xe2\x80\xae",
    b"%n",
    b"0x",
    b"@",
    b"!",
    b"'",
    b".include /",
    b".ifdef A\n",
    b"begin acl\n",
];

fn changed(samples: &[&[u8]], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = samples[chance.below(samples.len())].to_vec();
    for _ in 0..=chance.below(6) {
        let (at, other) = (chance.below(bytes.len() + 1), chance.below(bytes.len() + 1));
        let (from, to) = (at.min(other), at.max(other).min(at.min(other) + 200));
        match chance.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            1 => drop(bytes.drain(from..to)),
            2 => {
                let piece = bytes[from..to].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => bytes.truncate(at),
            4 => {
                let sample = samples[chance.below(samples.len())];
                let cut = chance.below(sample.len() + 1);
                bytes.splice(at..at, sample[cut..].iter().copied());
            }
            _ => drop(bytes.splice(at..at, TOKENS[chance.below(TOKENS.len())].iter().copied())),
        }
        bytes.truncate(20_000);
    }
    bytes
}

fn in_peace(what: &str, samples: &[&[u8]], read: impl Fn(&[u8])) {
    let first = std::env::var("MXSEAL_SEED").ok().map(|s| s.parse().expect("MXSEAL_SEED is a number"));
    let begin = first.unwrap_or_else(|| u64::from(std::process::id()) << 20);
    samples.iter().for_each(|sample| read(sample));
    for seed in begin..begin + ROUNDS {
        // A generator of nothing but zeros stays there.
        let bytes = changed(samples, &mut Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1));
        let ended = catch_unwind(AssertUnwindSafe(|| read(&bytes)));
        assert!(ended.is_ok(), "{what}: MXSEAL_SEED={seed}: {:?}", String::from_utf8_lossy(&bytes));
    }
}

fn text(read: impl Fn(&str)) -> impl Fn(&[u8]) {
    move |bytes| read(&String::from_utf8_lossy(bytes))
}

#[test]
fn what_dns_and_the_web_say() {
    in_peace("a name", &[b"mx1.example.org", b"xn--bcher-kva.example.", b"_25._tcp.mx.example.org"], |bytes| {
        if let Ok(name) = String::from_utf8_lossy(bytes).parse::<DnsName>() {
            assert_eq!(name.to_string().parse::<DnsName>().as_ref(), Ok(&name));
        }
    });
    in_peace("an MTA-STS record", &[b"v=STSv1; id=20260101T000000;", b"v=STSv1;id=1;ext=\"a\";"], text(|t| drop(StsRecord::read(t))));
    in_peace("an MX pattern", &[b"*.example.org", b"mx.example.org"], text(|t| drop(t.parse::<MxPattern>())));
    let policy = b"version: STSv1\r\nmode: enforce\r\nmx: mx.example.org\r\nmx: *.example.net\r\nmax_age: 604800\r\n";
    in_peace("an MTA-STS policy", &[policy, b"version: STSv1\nmode: none\nmax_age: 0\n"], |bytes| {
        if let Some(policy) = StsPolicy::read(bytes).value {
            assert_eq!(StsPolicy::read(policy.text().as_bytes()).value.as_ref(), Some(&policy), "what is printed is read");
        }
    });
    in_peace("a TLSRPT record", &[b"v=TLSRPTv1; rua=mailto:a@example.org,https://r.example/x%2C;"], |bytes| {
        if let Some(record) = TlsRptRecord::read(&String::from_utf8_lossy(bytes)).value {
            assert_eq!(TlsRptRecord::read(&record.text()).value.as_ref(), Some(&record), "what is printed is read");
        }
    });
    in_peace("a report address", &[b"mailto:a%20b@example.org", b"https://[2001:db8::1]:443/x?y#z"], text(|t| drop(t.parse::<Rua>())));
    in_peace("a TLSA record", &[b"3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", b"2 0 2 0011"], |bytes| {
        if let Ok(tlsa) = String::from_utf8_lossy(bytes).parse::<Tlsa>() {
            let _ = (tlsa.lint(), tlsa.generic(), tlsa.is_usable());
            assert_eq!(tlsa.to_string().parse::<Tlsa>().ok().as_ref(), Some(&tlsa));
        }
    });
    let caa: &[&[u8]] = &[b"0 issue \"letsencrypt.org; validationmethods=http-01\"", b"128 iodef \"mailto:a@b\\\"\\007\""];
    in_peace("a CAA record", caa, |bytes| {
        if let Ok(caa) = String::from_utf8_lossy(bytes).parse::<Caa>() {
            assert_eq!(caa.to_string().parse::<Caa>().ok().as_ref(), Some(&caa));
        }
    });
}

#[test]
fn what_keepers_of_lists_write() {
    let list = br#"{"timestamp":"2030-01-01T00:00:00+00:00","expires":"2030-02-01T00:00:00Z","version":"0.1","author":"x",
        "policy-aliases":{"a":{"mode":"testing","mxs":["mx.example.org"]}},
        "policies":{"example.org":{"policy-alias":"a"},"example.net":{"mode":"enforce","mxs":[".example.net"]}}}"#;
    in_peace("a policy list", &[list], |bytes| {
        if let Ok(list) = PolicyList::read(bytes) {
            let now = Moment(1_900_000_000);
            let _ = (list.fit(now, None), PolicyMap::Postfix.of(&list, now), PolicyMap::Exim.of(&list, now));
        }
    });
    in_peace(
        "a time",
        &[b"2030-01-01T00:00:00+00:00", b"2020-06-03T10:25:12-07:00"],
        text(|t| assert_eq!(policy_list::moment(t), policy_list::moment(t))),
    );
}

#[test]
fn what_peers_present() {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["mx.example.org".to_owned(), "192.0.2.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    in_peace("a certificate", &[certificate.der()], |bytes| drop(Certificate::read(bytes)));
    in_peace("a chain", &[certificate.pem().as_bytes(), key.serialize_pem().as_bytes()], |bytes| drop(Certificate::read_pem(bytes)));
}

#[test]
fn what_admins_write() {
    let exim: &[u8] =
        b"MACRO = x\nprimary_hostname = mx.example.org\ndaemon_smtp_ports = 25 : 465\n.ifdef MACRO\ntls_certificate = \\\n  /etc/x.pem\n\
                        .endif\nhostlist a = *\nbegin acl\ncheck:\n  accept\n";
    let smtpd: &[u8] =
        b"pki mx cert \"/etc/a.pem\"\npki mx key \"/etc/a.key\"\ntable x { a, b }\nlisten on eth0 port 25 tls pki mx \\\n  auth-optional\n\
                         action \"l\" maildir\nmatch for any action \"l\"\n";
    let cf: &[u8] = b"V10/Berkeley\nO ServerCertFile=/etc/mail/a.pem\nO DaemonPortOptions=Name=MTA, Addr=0.0.0.0\nDj$w.$m\nCwlocalhost\n#\nSlocal\nR$*\t$1\n";
    let main: &[u8] = b"myhostname = mx.example.org\nsmtpd_tls_chain_files =\n  /etc/a.pem,\n# c\n  /etc/b.pem\nx = ${y?{a}:{b}}\ny = $x\n";
    let master: &[u8] = b"smtp inet n - y - - smtpd\n  -o { a = b c }\n  -o x=y\n";
    for (what, dialect, files) in [
        ("Exim's file", Dialect::Exim, vec![("exim.conf", exim)]),
        ("smtpd.conf", Dialect::SmtpdConf, vec![("smtpd.conf", smtpd)]),
        ("sendmail.cf", Dialect::SendmailCf, vec![("sendmail.cf", cf)]),
        ("main.cf", Dialect::PostfixCf, vec![("main.cf", main), ("master.cf", master)]),
    ] {
        for changing in 0..files.len() {
            in_peace(what, &[files[changing].1], |bytes| {
                let file = |(n, (name, text)): (usize, &(&str, &[u8]))| file(name, if n == changing { bytes } else { text });
                let all: Vec<ConfigFile> = files.iter().enumerate().map(file).collect();
                let _ = dialect.missing(&all, &BTreeMap::new());
                let _ = dialect.understand(&Version(vec![4, 96]), &all, &BTreeMap::new());
                let _ = dialect.edit(Path::new(files[changing].0), bytes, &[]).map(|(edited, _)| assert_eq!(edited, bytes, "no wish"));
                let _ = dialect.harmless(&[(files[changing].0.into(), bytes.to_vec())]);
            });
        }
    }
    let profile = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("mta-profiles/postfix.toml")).unwrap();
    in_peace("a profile", &[&profile], text(|t| drop(Profile::read(t, "x.toml"))));
}

fn file(name: &str, bytes: &[u8]) -> ConfigFile {
    let meta = Meta { uid: 0, gid: 0, mode: 0o644, xattrs: BTreeMap::new() };
    let image = Image { digest: Digest::of(bytes), meta };
    ConfigFile { path: name.into(), real: name.into(), image, text: ConfigText::of(bytes.to_vec()) }
}
