//! A stranger's host in one file: it holds no secret, and the same is planned from it as on the host.

use crate::lab::{
    authority::self_signed,
    dns::{Dns, Signed},
    household::{MX, MXSEAL},
    postfix::Postfix,
    process::copy_program,
};
use mxseal::certificate::KeyType;
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

/// No place but the one that is meant may hold it: each mark has a number behind it.
const MARK: &str = "s3cret";

/// A mail server with a marked secret in every place that may hold one.
struct Keeper {
    dns: Dns,
    dir: tempfile::TempDir,
    postfix: Postfix,
}

impl Keeper {
    fn new() -> Self {
        let dns = Dns::start(&[("example.test", "@ MX 10 mx\nmx A 127.0.0.1", Signed::No)]);
        let dir = tempfile::Builder::new().permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)).tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let old = self_signed(&[MX], KeyType::Rsa, false);
        write("old.pem", &old.chain);
        write("old.key", &format!("{MARK}01\n{}", old.key));
        write("virtual", &format!("plain.test {MARK}02@example.net\nuser@plain.test {MARK}03\n"));
        write("sni", &format!("other.test {} {}\n# {MARK}04\n", at("old.key"), at("old.pem")));
        write("sasl", &format!("[relay.test]:587 user:{MARK}05\n"));
        write("eab", "czNjcmV0MDYtczNjcmV0MDYtczNjcmV0MDYtczNjcmV0MDY\n");
        write("mxseal.toml", &format!("# {MARK}07\neab-kid = '{MARK}08'\neab-hmac-key-file = 'eab'\nemail = '{MARK}09@example.net'\n"));
        fs::create_dir(dir.path().join("accounts")).unwrap();
        write("accounts/one.json", &format!("{{\"key\": \"{MARK}10\"}}"));

        let postfix = Postfix::new(MX)
            .service("in", "smtpd", &format!("-o smtpd_tls_wrappermode=yes -o smtpd_sasl_path={MARK}11 -o {{ mark = {MARK}12 }}"))
            .main(&format!(
                "# {MARK}13\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\nsmtpd_tls_security_level = may\n\
                 smtp_sasl_password_maps = static:{MARK}14:{MARK}15\nvusers_password = {MARK}16\nvusers_user =\n  # {MARK}17\n  {MARK}18\n\
                 virtual_alias_maps = inline:{{ {{info@example.test = {MARK}19@example.net}}, a@example.test={MARK}20 }}\n\
                 virtual_alias_domains = $virtual_alias_maps texthash:{}\nrelay_domains = static:{MARK}21\n\
                 tls_server_sni_maps = texthash:{}\nmark22 = {MARK}22\nexport_environment = PATH MARK={MARK}23\n\
                 milter_macro_defaults = auth={MARK}24\nsmtpd_client_restrictions = check_client_access inline:{{x={MARK}25}}, permit\n",
                at("old.pem"),
                at("old.key"),
                at("virtual"),
                at("sni"),
            ))
            .master(&format!("vmail unix - n n - - pipe\n  flags=R user=nobody argv=/bin/false --password {MARK}26\n# {MARK}27\n"))
            .written();
        // A file system without such attributes holds no secret in one.
        let _ = xattr::set(postfix.etc().join("main.cf"), "user.mark", format!("{MARK}28").as_bytes());
        fs::write(postfix.dir().join("mail/inbox"), format!("Subject: {MARK}30\n")).unwrap();
        let mut this = Self { dns, dir, postfix };
        this.postfix.launch();
        fs::write(this.postfix.dir().join("spool/hold/1"), format!("Subject: {MARK}29\n")).unwrap();
        this
    }

    /// The program on this host.
    fn here(&self, words: &[&str]) -> Output {
        let (etc, resolver) = (self.postfix.etc(), self.dns.resolver.to_string());
        let mut command = Command::new(MXSEAL);
        command.args(words).args(["--json", "--mta", "postfix", "--resolver", &resolver]).arg("--mta-config").arg(etc);
        command.arg("--config").arg(self.dir.path().join("mxseal.toml")).arg("--state-dir").arg(self.dir.path());
        command.env("MXSEAL_MARK", format!("{MARK}31")).stdin(Stdio::null()).output().unwrap()
    }
}

/// `mxseal plan` as nobody, in another place, with the facts on standard input.
fn elsewhere(program: &Path, facts: &str, more: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(["plan", "--json", "--facts", "-"]).args(more).current_dir("/").uid(65534).gid(65534);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that refuses early reads nothing.
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), facts.as_bytes());
    child.wait_with_output().unwrap()
}

fn document(output: &Output, code: i32) -> Value {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"))
}

#[test]
fn one_file_is_enough_and_tells_no_secret() {
    let host = Keeper::new();
    // The build may lie where nobody else may look.
    let program = host.dir.path().join("mxseal");
    copy_program(MXSEAL, &program);
    let surveyed = host.here(&["survey"]);
    let text = String::from_utf8(surveyed.stdout.clone()).unwrap();
    let facts = document(&surveyed, 0);
    assert!(facts["server"]["seen"]["value"]["files"].as_array().is_some_and(|f| f.len() == 2), "{facts:#}");
    assert!(facts["views"].as_array().is_some_and(|v| !v.is_empty()), "what is served is part of it");
    let around = text.find(MARK).map(|at| text[at.saturating_sub(300)..].chars().take(400).collect::<String>());
    assert_eq!(around, None);
    let raw = |s: &str| !text.contains(s);
    assert!(raw("PRIVATE KEY") && raw("czNjcmV0") && raw("user.mark") && raw("info@example.test"), "{text}");

    let planned = document(&host.here(&["setup", "--dry-run"]), 0);
    let there = document(&elsewhere(&program, &text, &["--config", &host.dir.path().join("mxseal.toml").display().to_string()]), 0);
    assert_eq!((&planned["outcome"], &there["outcome"]), (&json!("planned"), &json!("planned")), "{there:#}");
    for part in ["next", "names", "files", "settings"] {
        assert_eq!(planned["plan"][part], there["plan"][part], "{part}");
    }
    assert_eq!(planned["findings"], there["findings"]);
    let added = |plan: &Value| {
        let diff = plan["plan"]["diff"].as_str().unwrap_or_default();
        diff.lines().filter(|l| l.starts_with('+')).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(added(&planned), added(&there));
    assert!(added(&there).iter().any(|l| l.contains("smtpd_tls_chain_files")), "{there:#}");
    let held = document(&elsewhere(&program, &text, &["--mx", "mx2.example.test"]), 1);
    assert_eq!(
        (&held["outcome"], &held["findings"][0]["id"]),
        (&json!("held"), &json!("tlsa-unknown")),
        "it was not asked there: {held:#}"
    );

    // What is no survey, or another version's, says so.
    let with = |change: &dyn Fn(&mut Value)| {
        let mut other = facts.clone();
        change(&mut other);
        other.to_string()
    };
    let failed = host.here(&["survey", "--trust-anchor", "/nowhere"]);
    for (what, text, words) in [
        ("newer", with(&|f| f["version"] = 99.into()), &["newer", "99"][..]),
        ("older", with(&|f| f["version"] = 0.into()), &["older", "0"]),
        ("damaged", with(&|f| f["host"] = 1.into()), &["damaged", "host"]),
        ("half", text[..text.len() / 2].to_owned(), &["no JSON", "line"]),
        ("nothing", String::new(), &["no JSON"]),
        ("a plan", there.to_string(), &["no survey", "survey --json"]),
        ("a failed survey", String::from_utf8(failed.stdout).unwrap(), &["failed there"]),
    ] {
        let refused = document(&elsewhere(&program, &text, &[]), 2);
        let said = refused["error"].as_str().unwrap_or_default();
        assert!(words.iter().all(|w| said.contains(w)), "{what}: {said}");
        assert_eq!(refused["topic"], "facts-unusable", "{what}");
    }
}
