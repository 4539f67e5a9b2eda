//! What a test of renewals looks at, and how the CA is made to want one.

use super::{host::Host, internet::Internet, setup::outcome};
use serde_json::Value;
use std::path::Path;

/// Where the mail server reads its certificate.
pub const LIVE: &str = "/etc/mxseal/live/mx1.example.test.pem";

/// Every key and chain that the mail server may read.
pub fn live(host: &Host) -> String {
    let mut files: Vec<_> =
        std::fs::read_dir(host.path("/etc/mxseal/live")).expect("live files").map(|e| e.expect("a file").path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read_to_string(file).unwrap_or_default()).collect()
}

/// What a sender sees: the serial, and the digest of the key.
pub fn served(internet: &Internet, options: &[&str]) -> (String, String) {
    let seen = internet.s_client(options);
    let pem = seen.split("-----BEGIN CERTIFICATE-----").nth(1).expect("a certificate").split("-----END").next().expect("its end");
    let pem = format!("-----BEGIN CERTIFICATE-----{pem}-----END CERTIFICATE-----\n");
    let leaf = mxseal::certificate::Certificate::read_pem(pem.as_bytes()).expect("a certificate").remove(0);
    (leaf.serial, leaf.spki.0)
}

/// From now on the CA wants each certificate of the host renewed; whoever has asked before asks again in hours.
pub fn hurry(internet: &Internet, host: &Host) {
    let pem = live(host);
    // A leaf comes first after its key.
    for after in pem.split("-----END PRIVATE KEY-----").skip(1) {
        let leaf = &after[after.find("-----BEGIN CERTIFICATE-----").expect("a leaf")..];
        let end = "-----END CERTIFICATE-----\n";
        internet.hurry(&leaf[..leaf.find(end).expect("its end") + end.len()]);
    }
}

/// As far as mxseal knows, the certificates are of long ago, and nobody has asked the CA when to renew them.
pub fn age(host: &Host) {
    let file = "/var/lib/mxseal/lineages/mx1.example.test.json";
    let mut lineage: Value = serde_json::from_str(&host.read(file)).expect("a lineage");
    for key in lineage["keys"].as_array_mut().expect("keys") {
        key["leaf"]["not_before"] = 1_000_000_000.into();
        key["window"] = Value::Null;
    }
    host.write(file, lineage.to_string());
}

/// Days go by for what a Store keeps of the keys of a lineage: since when they are seen and left, until when they are believed.
pub fn days_later(state: &Path, lineage: &str, days: u64) {
    fn earlier(value: &mut Value, name: &str, by: u64) {
        match value {
            Value::Object(all) => all.iter_mut().for_each(|(key, value)| match value.as_u64() {
                Some(at) if key == name => *value = (at - by).into(),
                _ => earlier(value, name, by),
            }),
            Value::Array(all) => all.iter_mut().for_each(|value| earlier(value, name, by)),
            _ => {}
        }
    }
    for (file, name) in [("watch/keys.json", "since"), ("claims.json", "until"), (&format!("lineages/{lineage}.json"), "left")] {
        let path = state.join(file);
        let mut kept: Value = serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("JSON");
        earlier(&mut kept, name, days * 86_400);
        std::fs::write(path, kept.to_string()).expect("written");
    }
}

/// What the unit said.
pub fn renewals(host: &Host) -> String {
    host.ok(&["journalctl", "--sync"]);
    host.ok(&["journalctl", "--no-pager", "--output=cat", "-u", "mxseal-renew"])
}

/// Runs `mxseal renew --json`; it must end with `code`.
pub fn renew(host: &Host, more: &[&str], code: i32) -> Value {
    outcome(&host.run(&[&["mxseal", "renew", "--json"], more].concat()), code)
}

/// The ids of its findings.
pub fn ids(done: &Value) -> Vec<&str> {
    done["findings"].as_array().expect("findings").iter().filter_map(|f| f["id"].as_str()).collect()
}
