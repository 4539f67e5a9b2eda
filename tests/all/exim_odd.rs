//! Exim hosts that their admins made in ways of their own: most are changed and proved, a second setup finds nothing to do, and
//! undo gives every byte back; the rest is refused with its place. None is broken.

use crate::{
    exim::configuration,
    lab::{
        host::{Host, Server, differences, text},
        internet::{Internet, Sender},
        process::wait_for,
        setup::{VERIFIED, setup},
    },
};
use serde_json::Value;
use std::{panic::AssertUnwindSafe, time::Duration};

/// One odd host.
struct Row {
    what: &'static str,
    /// Lines before those of the first file.
    main: &'static str,
    /// What else is odd about it, as a shell script in its configuration directory.
    bend: &'static str,
    /// Where strangers shall be able to verify it.
    ours: &'static [&'static str],
    /// Words of the sentence with which it is refused.
    refused: Option<&'static str>,
}

const ROW: Row = Row { what: "", main: "", bend: "", ours: &["198.18.0.25:25", "[fd00::25]:25"], refused: None };

/// Key and certificate of the host's own, in one file and in two.
const OLD: &str = "cat /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem >old.pem
cp /etc/ssl/private/ssl-cert-snakeoil.key old.key; cp /etc/ssl/certs/ssl-cert-snakeoil.pem old.crt
chown root:Debian-exim old.*; chmod 640 old.*\n";

/// The certificate that is presented, or nothing.
fn leaf(internet: &Internet) -> Option<String> {
    let seen = internet.s_client(&[]);
    let pem = seen.split("-----BEGIN CERTIFICATE-----").nth(1)?.split("-----END").next()?;
    let pem = format!("-----BEGIN CERTIFICATE-----{pem}-----END CERTIFICATE-----\n");
    // One that Exim makes up is another one each time.
    Some(mxseal::certificate::Certificate::read_pem(pem.as_bytes()).expect("a certificate").remove(0).serial)
}

/// What Exim itself says of its configuration.
fn understood(host: &Host) -> String {
    host.ok(&["exim4", "-bV"]);
    host.ok(&["exim4", "-bP", "tls_certificate", "tls_privatekey", "tls_advertise_hosts", "daemon_smtp_ports", "message_size_limit"])
}

fn ended(output: &std::process::Output, code: i32) -> Result<Value, String> {
    let said = format!("{}{}", text(output), String::from_utf8_lossy(&output.stderr));
    if output.status.code() != Some(code) {
        return Err(format!("ended with {:?} instead of {code}: {said}", output.status.code()));
    }
    serde_json::from_str(&text(output)).map_err(|e| format!("not one JSON document ({e}): {said}"))
}

fn there_and_back(internet: &Internet, host: &Host, sender: &Sender, file: &str, row: &Row) -> Result<(), String> {
    host.ok(&["sh", "-c", "rm -rf /etc/exim4; cp -a /root/exim4 /etc/exim4; cp /root/default /etc/default/exim4"]);
    let before = if host.path(file).exists() { host.read(file) } else { String::new() };
    host.write(file, format!("{}{before}", row.main));
    host.ok(&["sh", "-c", &format!("set -e; cd /etc/exim4; {}", row.bend)]);
    // What does not even start is met as it lies there.
    let starts = host.run(&["sh", "-c", "update-exim4.conf && exim4 -bV"]).status.success();
    if starts {
        host.ok(&["systemctl", "restart", "exim4"]);
        wait_for("port 25", Duration::from_secs(20), || text(&host.run(&["ss", "-Hltn", "sport", "=", ":25"])).contains(":25"));
    }
    let (before, served, says) = (configuration(host), leaf(internet), starts.then(|| understood(host)));
    let whole = |at: &str| {
        let different = differences(&before, &configuration(host));
        if !different.is_empty() || leaf(internet) != served || says.as_ref().is_some_and(|says| *says != understood(host)) {
            return Err(format!("{at}: the host is not as before: {different:?}"));
        }
        let log = sender.send("root@example.test");
        if log.contains("status=sent") { Ok(()) } else { Err(format!("{at}: mail is not accepted: {log}")) }
    };
    if let Some(words) = row.refused {
        let done = host.run(&[&["mxseal", "setup", "--json"], crate::lab::setup::ANSWERS].concat());
        let said = text(&done);
        if done.status.code() == Some(0) || !said.contains(words) {
            return Err(format!("no {words:?} in {said}"));
        }
        return whole("refused");
    }
    let done = ended(&setup(host, &[]), 0)?;
    if done["outcome"] != "proved" {
        return Err(format!("{done:#}"));
    }
    for at in row.ours {
        for key in ["ECDSA", "RSA"] {
            let cipher = format!("ECDHE-{key}-AES128-GCM-SHA256");
            let seen = internet.s_client(&["-connect", at, "-tls1_2", "-cipher", &cipher, "-servername", "mx1.example.test"]);
            if !seen.contains(VERIFIED) {
                return Err(format!("{key} at {at}: {seen}"));
            }
        }
    }
    let again = ended(&setup(host, &[]), 0)?;
    if again["outcome"] != "nothing-to-do" {
        return Err(format!("a second setup: {again:#}"));
    }
    ended(&host.run(&["mxseal", "undo", "--json", "--non-interactive", "--yes"]), 0)?;
    whole("after undo")
}

/// All rows, one after the other on one host; every failure is told.
fn run(server: Server, file: &str, rows: &[Row]) {
    let internet = Internet::start();
    let host = internet.mail_host_with(server);
    let sender = internet.sender("may");
    host.ok(&[
        "sh",
        "-c",
        &format!("cd /etc/exim4; {OLD} cp -a /etc/exim4 /root/exim4; touch /etc/default/exim4; cp /etc/default/exim4 /root/default"),
    ]);
    let mut failed = Vec::new();
    for row in rows {
        let began = std::time::Instant::now();
        match std::panic::catch_unwind(AssertUnwindSafe(|| there_and_back(&internet, &host, &sender, file, row))) {
            Ok(Ok(())) => eprintln!("{}: done in {:.1?}", row.what, began.elapsed()),
            Ok(Err(why)) => failed.push(format!("== {}: {why}", row.what)),
            Err(_) => failed.push(format!("== {}: the lab failed, see above", row.what)),
        }
    }
    assert!(failed.is_empty(), "{} of {} odd hosts:\n{}", failed.len(), rows.len(), failed.join("\n"));
}

#[test]
fn a_file_of_ones_own() {
    run(
        Server::EximOwn,
        "/etc/exim4/exim4.conf",
        &[
            Row {
                what: "a macro is defined twice",
                main: "DIR = /etc/exim4\nCERT = DIR/nowhere\nCERT == DIR/old.pem\ntls_certificate = CERT\n",
                ..ROW
            },
            Row {
                what: "TLS is in a file that is included, under a condition",
                main: ".ifdef _HAVE_TLS\n.include_if_exists /etc/exim4/none\n.include /etc/exim4/tls.conf\n.endif\n",
                bend: "printf 'tls_certificate = /etc/exim4/old.crt\ntls_privatekey = /etc/exim4/old.key\n' >tls.conf",
                ..ROW
            },
            Row {
                what: "the last line has no end",
                main: "tls_certificate = /etc/exim4/old.pem\n",
                bend: "truncate -s -1 exim4.conf",
                ..ROW
            },
            Row { what: "CRLF", main: "tls_certificate = /etc/exim4/old.pem\n", bend: "sed -i 's/$/\\r/' exim4.conf", ..ROW },
            Row {
                what: "values go over lines, and the list holds two files",
                main: "tls_certificate = /etc/exim4/old.crt : \\\n# between\n   /etc/exim4/old.crt\n  tls_privatekey=\\\n   /etc/exim4/old.key : /etc/exim4/old.key\n",
                ..ROW
            },
            Row { what: "nobody is offered TLS", main: "tls_advertise_hosts =\n", ..ROW },
            Row {
                what: "its own process says where it listens",
                bend: "echo \"SMTPLISTENEROPTIONS='-oX 25:587 -oP /run/exim4/exim.pid'\" >>/etc/default/exim4",
                ours: &["198.18.0.25:25", "198.18.0.25:587"],
                ..ROW
            },
            Row {
                what: "the certificate depends on the name",
                main: "tls_certificate = ${if eq{$tls_in_sni}{mx1.example.test}{/etc/exim4/old.pem}{/etc/exim4/old.pem}}\n",
                refused: Some("exim4.conf:1"),
                ..ROW
            },
            Row {
                what: "an option is set under two conditions",
                main: ".ifdef NOBODY_DEFINES_THIS\ntls_certificate = /nowhere\n.else\ntls_certificate = /etc/exim4/old.pem\n.endif\n",
                refused: Some("exim4.conf:4"),
                ..ROW
            },
            Row {
                what: "somebody's hook has appended to the last section",
                bend: "printf 'tls_certificate = /etc/exim4/old.pem\n' >>exim4.conf",
                refused: Some("exim4.conf"),
                ..ROW
            },
            // The last one: nobody knows how to stop it.
            Row {
                what: "its process keeps no file with its id",
                bend: "echo \"SMTPLISTENEROPTIONS='-oX 25'\" >>/etc/default/exim4",
                refused: Some("-oP /run/exim4/exim.pid"),
                ..ROW
            },
        ],
    );
}

#[test]
fn debians_in_one_file() {
    run(
        Server::Exim,
        "/etc/exim4/exim4.conf.localmacros",
        &[
            Row {
                what: "no is yes",
                main: "MAIN_TLS_ENABLE = no\n",
                bend: "cp old.crt exim.crt; cp old.key exim.key; chown root:Debian-exim exim.*",
                ..ROW
            },
            Row { what: "both in one file already", main: "MAIN_TLS_ENABLE = true\nMAIN_TLS_CERTKEY = /etc/exim4/old.pem\n", ..ROW },
            Row {
                what: "a file each, and nobody is offered TLS",
                main: "MAIN_TLS_ENABLE = 1\nMAIN_TLS_CERTIFICATE = /etc/exim4/old.crt\nMAIN_TLS_PRIVATEKEY = /etc/exim4/old.key\nMAIN_TLS_ADVERTISE_HOSTS =\n",
                ..ROW
            },
        ],
    );
}

#[test]
fn debians_in_many_files() {
    run(
        Server::EximSplit,
        "/etc/exim4/conf.d/main/000_localmacros",
        &[
            Row { what: "macros in a file of their own", main: "MAIN_TLS_ENABLE = yes\nMAIN_TLS_CERTKEY = /etc/exim4/old.pem\n", ..ROW },
            Row {
                what: "options in a late file, without the macros",
                bend: "rm conf.d/main/000_localmacros; printf 'tls_certificate = /etc/exim4/old.crt\ntls_privatekey = /etc/exim4/old.key\n' >conf.d/main/99_tls",
                ..ROW
            },
        ],
    );
}
