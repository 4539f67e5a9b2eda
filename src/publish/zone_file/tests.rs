//! Files as admins write them, before and after.

use super::*;
use crate::publish::TTL;

const FILE: &str = "; our zone\n$TTL 1h\n@\tIN SOA ns hostmaster (\n\t\t2026112107 ; serial\n\t\t1d 2h 4w 5m )\n\tNS ns\n  MX 10 mx\n\
                    ns 60 A 192.0.2.1\nmx A 192.0.2.2\n_smtp._tls TXT ( \"v=TLSRPTv1; \" ; two parts\n  \"rua=mailto:a@example.org\" )\n\
                    \tTXT kept\nother IN 300 TXT \"a;b(c\" ; odd\n";

/// Sunday 2026-11-22.
const NOW: Moment = Moment(1_795_312_800);

fn record(owner: &str, data: Data) -> Record {
    Record { owner: owner.parse().expect("a name"), ttl: TTL, data }
}

fn tlsa(data: &str) -> Tlsa {
    Tlsa { usage: 3, selector: 1, matching: 1, data: data.to_owned() }
}

fn txt(owner: &str, text: &str) -> Record {
    record(owner, Data::Txt(text.to_owned()))
}

fn after(file: &str, add: &[Record], remove: &[Record]) -> Result<String, String> {
    let exchange = Exchange { zone: "example.org".parse().expect("a name"), add: add.to_vec(), remove: remove.to_vec() };
    let (bytes, _) = edited(file.as_bytes(), &exchange, NOW).map_err(|e| e.to_string())?;
    Ok(String::from_utf8(bytes).expect("text"))
}

#[test]
fn only_lines_of_our_own_come_and_go() {
    let serial = |file: &str| file.replace("2026112107", "2026112200");
    let (report, new) =
        (txt("_smtp._tls.example.org", "v=TLSRPTv1; rua=mailto:a@example.org"), txt("_mta-sts.example.org", "v=STSv1; id=1;"));
    let line = "_mta-sts.example.org. 3600 IN TXT \"v=STSv1; id=1;\"\n";
    let gone = serial(FILE).replace(
        "_smtp._tls TXT ( \"v=TLSRPTv1; \" ; two parts\n  \"rua=mailto:a@example.org\" )\n\tTXT kept",
        "_smtp._tls.example.org.\tTXT kept",
    );
    for (what, add, remove, expected) in [
        ("one more", vec![new.clone()], vec![], serial(FILE) + line),
        ("there already", vec![report.clone()], vec![], FILE.to_owned()),
        ("one less, whose name another had", vec![], vec![report.clone()], gone.clone()),
        ("gone already", vec![], vec![txt("_smtp._tls.example.org", "v=TLSRPTv1;")], FILE.to_owned()),
        (
            "one for another",
            vec![txt("_smtp._tls.example.org", "v=TLSRPTv1; rua=b")],
            vec![report.clone()],
            gone + "_smtp._tls.example.org. 3600 IN TXT \"v=TLSRPTv1; rua=b\"\n",
        ),
        ("the TTL of its set", vec![txt("other.example.org", "x")], vec![], serial(FILE) + "other.example.org. 300 IN TXT \"x\"\n"),
    ] {
        assert_eq!(after(FILE, &add, &remove).as_deref(), Ok(expected.as_str()), "{what}");
    }
    let in_the_way = after(FILE, &[txt("_smtp._tls.example.org", "v=TLSRPTv1; rua=b")], &[]);
    assert!(in_the_way.as_ref().is_err_and(|e| e.contains("cannot stand beside")), "{in_the_way:?}");
    let alias = record("other.example.org", Data::Cname("mx.example.org".parse().expect("a name")));
    assert!(after(FILE, &[alias], &[]).is_err());
}

#[test]
fn records_are_known_in_every_dress() {
    let head = "@ SOA ns h 1 1 1 1 1\n";
    let tlsa = record("_25._tcp.mx.example.org", Data::Tlsa(tlsa("00ff")));
    let caa = record("mx.example.org", Data::Caa("0 issue \"ca.example\"".parse().expect("a record")));
    let alias = record("mta-sts.example.org", Data::Cname("mx.example.org".parse().expect("a name")));
    for (known, dress) in [
        (&tlsa, "_25._tcp.mx 60 IN TLSA 3 1 1 00FF\n"),
        (&tlsa, "_25._tcp.mx IN 60 tlsa 3 1 1 ( 00\n ff )\n"),
        (&tlsa, "$ORIGIN mx.example.org.\n_25._tcp TYPE52 \\# 5 03 01 01 00FF\n"),
        (&tlsa, "$ORIGIN mx\n_25._tcp TLSA 3 1 1 00ff\n"),
        (&caa, "MX.Example.ORG. CAA 0 ISSUE ca.example\n"),
        (&caa, "mx TYPE257 \\# 17 00056973737565 63612e6578616d706c65\n"),
        (&alias, "mta-sts CNAME mx\n"),
        (&alias, "mta-sts CNAME mx.example.org.\n"),
    ] {
        let file = format!("{head}{dress}");
        assert_eq!(after(&file, std::slice::from_ref(known), &[]).as_deref(), Ok(file.as_str()), "{dress}");
        let gone = after(&file, &[], std::slice::from_ref(known)).expect(dress);
        assert!(gone.starts_with("@ SOA ns h 2 1 1 1 1\n") && gone.lines().all(|l| l.starts_with('@') || l.starts_with('$')), "{gone}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_its_line() {
    let new = [txt("_mta-sts.example.org", "v=STSv1; id=1;")];
    for (file, says) in [
        ("@ SOA ns h 1 1 1 1 1\n$INCLUDE other\n", "line 2: $INCLUDE is not followed"),
        ("$generate 1-9 a$ A 192.0.2.$\n", "line 1: $GENERATE is not followed"),
        ("@ SOA ns h ( 1 1 1\n 1 1\n", "line 1: a parenthesis is opened and not closed"),
        ("@ SOA ns h 1 1 1 1 1\n\nx TXT a )\n", "line 3: a parenthesis is closed that was not opened"),
        ("x TXT \"a\nb\"\n", "line 1: a quotation mark is opened and not closed"),
        ("  TXT a\n", "line 1: a record without a name"),
        ("x 60 IN\n", "line 1: a record without a type"),
        ("x IN ??\n", "line 1: \"??\" is no record type"),
        ("x A 192.0.2.1\nx RRSIG A 8 2 1 1 1 1 x y z\n", "line 2: the file is signed"),
        ("x A 192.0.2.1\n", "it has no SOA record of example.org"),
        ("@ SOA ns h soon 1 1 1 1\n", "line 1: the serial number of the SOA record is none"),
        ("@ SOA ns h\n", "line 1: the SOA record has no serial number"),
        ("x TLSA 3 1\n", "line 1: a TLSA record that cannot be read"),
        ("x CAA 0\n", "line 1: a CAA record that cannot be read"),
        ("x TYPE52 \\# 1 0\n", "line 1: a TYPE52 record that cannot be read"),
        ("$TTL soon\n", "line 1: \"soon\" is no TTL"),
        ("x TXT \"a\\", "line 1: a backslash stands before the end of the line"),
        ("x TXT a\\\nb", "line 1: a backslash stands before the end of the line"),
    ] {
        let said = after(file, &new, &[]).expect_err(file);
        assert!(said.starts_with(says), "{file}: {said}");
    }
    assert!(after("x TXT a\\", &new, &[]).is_err());
}

#[test]
fn the_serial_follows_its_own_convention() {
    for (old, expected) in [
        (0, 1),
        (1, 2),
        (41, 42),
        (2_026_112_107, 2_026_112_200),
        (2_026_112_200, 2_026_112_201),
        (2_026_112_299, 2_026_112_300),
        (2_026_123_101, 2_026_123_102),
        (2_026_139_901, 2_026_139_902),
        (1_700_000_000, 1_795_312_800),
        (1_795_312_800, 1_795_312_801),
        (u32::MAX, 1),
    ] {
        assert_eq!(raised(old, NOW), expected, "{old}");
    }
}

#[test]
fn any_bytes_end_in_an_edit_or_a_refusal() {
    proptest::proptest!(|(file in "[\\x20-\\x7e\\n\\t]{0,200}", bytes in proptest::collection::vec(0_u8..=255, 0..200))| {
        let exchange = Exchange { zone: "example.org".parse().expect("a name"), add: vec![txt("a.example.org", "b")], remove: vec![] };
        let _ = edited(&bytes, &exchange, NOW);
        let whole = format!("@ SOA ns h 1 1 1 1 1\n{file}");
        if let Ok((once, _)) = edited(whole.as_bytes(), &exchange, NOW) {
            proptest::prop_assert_eq!(&edited(&once, &exchange, NOW).expect("it was read before").0, &once);
        }
    });
}
