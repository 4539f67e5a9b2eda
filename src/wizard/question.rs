//! Questions as values.

use crate::{
    certificate::Certificate,
    change::Edit,
    intent::{Existing, KeyTypes, Tell},
    mta::companion::{Companion, NOTHING},
    name::{DnsName, NotADnsName},
    publish::ServedBy,
    settings::Settings,
};
use std::path::PathBuf;

/// What can be asked. Each is also a flag and a key of `mxseal.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Id {
    /// Which of several mail servers.
    Mta,
    /// Which of several instances.
    MtaConfig,
    /// For which domains mail is received.
    Domain,
    /// Which MX name this host has.
    Mx,
    /// Which one key type, where the server cannot serve both.
    KeyType,
    /// What becomes of a certificate that another program keeps.
    Existing,
    /// The directory of the web server on port 80.
    Webroot,
    /// Whether the CA's terms are agreed to.
    AgreeTos,
    /// Where the CA may write.
    Email,
    /// Whether a service beside the mail server is switched to the same certificate.
    With,
    /// What senders are told once the proof stands.
    Tell,
    /// Who serves the policy that is begun.
    PolicyHost,
}

impl Id {
    /// The flag that answers it, as it is typed.
    #[must_use]
    pub const fn flag(self) -> &'static str {
        match self {
            Self::Mta => "--mta NAME",
            Self::MtaConfig => "--mta-config DIR",
            Self::Domain => "--domain DOMAIN",
            Self::Mx => "--mx HOST",
            Self::KeyType => "--key-type TYPE",
            Self::Existing => "--adopt or --take-over",
            Self::Webroot => "--webroot DIR",
            Self::AgreeTos => "--agree-tos",
            Self::Email => "--email ADDRESS or --no-email",
            Self::With => "--with SERVICE",
            Self::Tell => "--tell WHAT",
            Self::PolicyHost => "--policy-host HOW",
        }
    }

    /// Whether its answer changes what is to be looked at.
    #[must_use]
    pub const fn moves_the_look(self) -> bool {
        matches!(self, Self::Mta | Self::MtaConfig | Self::Domain | Self::Mx | Self::Webroot)
    }

    /// What `?` tells: what the answer is used for, and how to find it.
    const fn more(self) -> &'static str {
        match self {
            Self::Mta => {
                "mxseal works on the mail server that receives mail from the internet, on port 25. A second one that only sends, or \
                 that is not started, is left alone."
            }
            Self::MtaConfig => {
                "Several instances of the mail server are enabled (`postmulti -l` lists them). One run works on one of them: the one \
                 to which other servers deliver. Run mxseal again for another."
            }
            Self::Domain => {
                "The part behind the @ in the addresses that people write to. mxseal asks DNS which MX names these domains have; the \
                 certificate is made for those of them that are this host. Write several with spaces between them."
            }
            Self::Mx => {
                "The name in the MX record of your domain, by which other servers find this host: `dig MX example.org` shows it. They \
                 compare the certificate with this name, and the CA comes to port 80 of it. Behind NAT the name points at the \
                 router's address, which this host does not have, so that only you can tell. Write several with spaces between them."
            }
            Self::KeyType => {
                "Every sender speaks RSA; senders older than about 2014 speak nothing else. ECDSA is smaller and faster. Without a \
                 reason for the other take rsa."
            }
            Self::Existing => {
                "Another program on this host has a certificate for the MX name, and renews it. `adopt` serves that one: mxseal orders \
                 nothing, and puts each renewal before the mail server, with a proof. `take-over` orders one of our own, with both key \
                 types, which mxseal renews; the other program's files stay as they are, and you are told how to end its renewal."
            }
            Self::Webroot => {
                "The CA proves that the name is yours: it fetches http://NAME/.well-known/acme-challenge/... from port 80. Where a web \
                 server has that port, mxseal puts a small file into the directory that it serves, and takes it away again. nginx \
                 calls that directory `root`, Apache `DocumentRoot`. Or stop the web server for a minute and answer `again`: mxseal \
                 then listens there itself while the CA looks."
            }
            Self::AgreeTos => {
                "A certificate authority gives certificates to accounts that agree to its subscriber agreement. It is about keeping \
                 the private key private, and about giving true names. Without it there is no certificate. Open the address in a \
                 browser to read it."
            }
            Self::Email => {
                "The CA may write to this address when it must revoke a certificate, or changes its terms. It is not published. \
                 Let's Encrypt sends no reminders any more: `mxseal status` tells how long the certificate lasts. Leave it empty to \
                 give none."
            }
            Self::With => {
                "Mail programs of your users meet this service's certificate, and go by the name that they were set up with: where \
                 that is no name of the new certificate, they complain. Switched, it reads the new one in the same change: its \
                 configuration is checked, its ports are proved with those of the mail server, or everything is put back; each \
                 renewal is taken along, and `mxseal undo` puts it back too. `nothing` leaves it with the certificate that it has."
            }
            Self::Tell => {
                "tls-rpt asks senders for a daily report on how TLS went: it binds nobody. dane publishes the keys of this host in a \
                 signed zone: senders that know DANE then accept no others, so mxseal keeps them at every renewal. mta-sts says that \
                 the domain has a policy, and begins one in mode testing where there is none: senders then report what would fail, \
                 and deliver all the same. The records are printed for your zone once the proof stands; --publish lets mxseal put \
                 them there itself. A problem with them takes nothing back of what was proved. `mxseal dns` does the same at any \
                 later time."
            }
            Self::PolicyHost => {
                "Senders fetch the policy from https://mta-sts.DOMAIN/. `builtin` lets mxseal serve it on port 443, as nobody and with \
                 a certificate of its own. `snippet` writes it to a file, and prints a site for the web server that is here; `export` \
                 writes the file alone, `none` nothing: then somebody else serves the text. Only when it is served as senders fetch \
                 it does a record announce it. To begin no policy, go back with b and leave mta-sts out."
            }
        }
    }
}

/// One question to the admin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What it is about.
    pub id: Id,
    /// Why it is asked: what could not be measured, as a sentence.
    pub why: String,
    /// The question itself.
    pub asks: String,
    /// What an empty line answers.
    pub default: Option<String>,
    /// The possible answers, where they can be counted.
    pub choices: Vec<String>,
}

impl Question {
    /// A question without a default.
    #[must_use]
    pub fn new(id: Id, why: impl Into<String>, asks: impl Into<String>) -> Self {
        Self { id, why: why.into(), asks: asks.into(), default: None, choices: Vec::new() }
    }

    /// With what an empty line answers.
    #[must_use]
    pub fn or(mut self, default: Option<impl ToString>) -> Self {
        self.default = default.map(|d| d.to_string());
        self
    }

    /// With the only possible answers.
    #[must_use]
    pub fn of(mut self, choices: impl IntoIterator<Item = impl ToString>) -> Self {
        self.choices = choices.into_iter().map(|c| c.to_string()).collect();
        self
    }

    /// Whether the CA's terms are agreed to; `at` is where they can be read.
    #[must_use]
    pub fn terms(at: &str) -> Self {
        Self::new(Id::AgreeTos, format!("The CA's terms of service: {at}"), "Do you agree to them?").or(Some("n")).of(["y", "n"])
    }

    /// Where the CA may write.
    #[must_use]
    pub fn email() -> Self {
        Self::new(Id::Email, "The CA can write to you when something is wrong with the certificate.", "E-mail address for the CA")
            .or(Some("none"))
    }

    /// Whether a service is switched; `presents` says what it presents now, `edits` what would change.
    #[must_use]
    pub fn with(service: &Companion, presents: &Certificate, edits: &[&Edit]) -> Self {
        let ports = service.ports.iter().map(|(port, _)| port.to_string()).collect::<Vec<_>>().join(", ");
        let known =
            if presents.self_signed { " (nobody can verify it)".to_owned() } else { format!(" (until {})", presents.not_after.day()) };
        let changes = edits.iter().map(|e| {
            let settings = e.settings.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(" and ");
            format!("{settings} in {}", e.path.display())
        });
        let why = format!(
            "{} presents the certificate that is replaced{known} on its ports ({ports}), and would keep it. Switched too, it reads the \
             new one; that changes {}.",
            service.title,
            changes.collect::<Vec<_>>().join(", ")
        );
        let choices = [service.id, NOTHING];
        Self::new(Id::With, why, format!("What to switch with the mail server ({})", choices.join(", "))).or(Some(NOTHING)).of(choices)
    }

    /// What senders are told; `possible` is what can be kept here, `policy` whether a policy is there or can be begun.
    #[must_use]
    pub fn tell(possible: &[Tell], policy: bool) -> Self {
        let names: Vec<&str> = possible.iter().map(|t| t.name()).collect();
        let usual: Vec<&str> = possible.iter().filter(|t| policy || **t != Tell::MtaSts).map(|t| t.name()).collect();
        let why = "Once the proof stands, records in DNS let senders verify this host and report to you.";
        Self::new(Id::Tell, why, format!("What to tell them ({}; or nothing)", names.join(", "))).or(Some(usual.join(" ")))
    }

    /// Who serves the policy of these domains, which have none; `usual` is what the ports of this host allow.
    #[must_use]
    pub fn policy_host(domains: &[&DnsName], usual: ServedBy) -> Self {
        let all = domains.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let why = format!("An MTA-STS policy in mode testing is begun for {all}, and somebody has to serve it.");
        let names = ServedBy::ALL.map(ServedBy::name);
        Self::new(Id::PolicyHost, why, format!("Who serves it ({})", names.join(", "))).or(Some(usual.name())).of(names)
    }

    /// What `?` tells.
    #[must_use]
    pub fn more(&self) -> String {
        let flag = format!("{} The flag for this question is {}.", self.id.more(), self.id.flag());
        if self.choices.is_empty() { flag } else { format!("{flag} Possible answers: {}.", self.choices.join(", ")) }
    }

    /// The same question with another default: what was answered before.
    #[must_use]
    pub fn again(self, answered: Option<&String>) -> Self {
        let default = answered.cloned().or_else(|| self.default.clone());
        Self { default, ..self }
    }

    /// Takes an answer into the settings.
    ///
    /// # Errors
    /// Why it cannot be an answer, as a sentence for whoever typed it.
    pub fn answer(&self, text: &str, settings: &mut Settings) -> Result<(), String> {
        let text = text.trim();
        if !self.choices.is_empty() && !self.choices.iter().any(|c| c.eq_ignore_ascii_case(text)) && self.id != Id::AgreeTos {
            return Err(format!("{text:?} is none of them; type one of: {}", self.choices.join(", ")));
        }
        match self.id {
            Id::Mta => settings.mta = Some(text.to_lowercase()),
            Id::MtaConfig => settings.mta_config = Some(PathBuf::from(text)),
            Id::Domain => settings.domain = names(text)?,
            Id::Mx => settings.mx = names(text)?,
            Id::KeyType => {
                settings.key_type = Some(if text.eq_ignore_ascii_case("ecdsa") { KeyTypes::Ecdsa } else { KeyTypes::Rsa });
            }
            Id::Existing => {
                settings.existing = Some(if text.eq_ignore_ascii_case("adopt") { Existing::Adopt } else { Existing::TakeOver });
            }
            Id::Webroot if text == "again" => settings.webroot = None,
            Id::Webroot => {
                let dir = PathBuf::from(text);
                if !dir.is_absolute() || !dir.is_dir() {
                    return Err(format!("{text:?} is no directory on this host; write it from the root, such as /var/www/html"));
                }
                settings.webroot = Some(dir);
            }
            Id::AgreeTos => match text.to_ascii_lowercase().as_str() {
                "y" | "yes" => settings.agree_tos = true,
                "n" | "no" => settings.agree_tos = false,
                _ => return Err("please type y or n".to_owned()),
            },
            Id::Email => {
                let none = text.is_empty() || text.eq_ignore_ascii_case("none");
                settings.email = Some(if none { String::new() } else { mail_address(text)? });
            }
            Id::With => settings.with = vec![text.to_lowercase()],
            Id::Tell => {
                let words = text.split([' ', ',']).filter(|word| !word.is_empty());
                let tell = words.map(str::parse).collect::<Result<Vec<Tell>, _>>()?;
                if tell.is_empty() || (tell.len() > 1 && tell.contains(&Tell::Nothing)) {
                    return Err("please type some of tls-rpt, dane and mta-sts, or nothing".to_owned());
                }
                settings.tell = tell;
            }
            Id::PolicyHost => {
                let known = ServedBy::ALL.into_iter().find(|by| text.eq_ignore_ascii_case(by.name()));
                settings.policy_host = Some(known.ok_or("please type builtin, snippet, export or none")?);
            }
        }
        Ok(())
    }
}

/// A mail address: whatever else it is, it has a domain (RFC 5321 §4.1.2).
///
/// # Errors
/// When it is none, as a sentence.
pub fn mail_address(text: &str) -> Result<String, String> {
    let is_one = text.rsplit_once('@').is_some_and(|(local, at)| !local.is_empty() && at.parse::<DnsName>().is_ok());
    if is_one { Ok(text.to_owned()) } else { Err(format!("{text:?}: this is no mail address")) }
}

/// Names with spaces or commas between them.
fn names(text: &str) -> Result<Vec<DnsName>, String> {
    let words = text.split([' ', ',', '\t']).filter(|w| !w.is_empty());
    let all = words.map(|w| w.parse().map_err(|e: NotADnsName| e.to_string())).collect::<Result<Vec<DnsName>, String>>()?;
    match all.iter().find(|n| !n.as_str().contains('.')) {
        _ if all.is_empty() => Err("write a name, such as mx.example.org".to_owned()),
        Some(short) => Err(format!("{short} has no dot; write the whole name, such as mx.example.org")),
        None => Ok(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(id: Id) -> Question {
        let question = Question::new(id, "", "");
        match id {
            Id::Mta => question.of(["postfix", "exim-debian"]),
            Id::MtaConfig => question.of(["/etc/postfix", "/etc/postfix-in"]),
            Id::KeyType => question.of(["ecdsa", "rsa"]),
            Id::With => question.of(["dovecot", "nothing"]),
            _ => question,
        }
    }

    #[test]
    fn answers_become_settings() {
        let mail = |text: &str| Settings { email: Some(text.into()), ..Settings::default() };
        let name = |text: &str| text.parse::<DnsName>().unwrap();
        for (id, text, wanted) in [
            (Id::Mta, "Postfix", Settings { mta: Some("postfix".into()), ..Settings::default() }),
            (Id::MtaConfig, "/etc/postfix-in", Settings { mta_config: Some("/etc/postfix-in".into()), ..Settings::default() }),
            (
                Id::Domain,
                "example.org, example.net",
                Settings { domain: vec![name("example.org"), name("example.net")], ..Settings::default() },
            ),
            (Id::Mx, " MX1.example.org. ", Settings { mx: vec![name("mx1.example.org")], ..Settings::default() }),
            (Id::KeyType, "rsa", Settings { key_type: Some(KeyTypes::Rsa), ..Settings::default() }),
            (Id::With, "Dovecot", Settings { with: vec!["dovecot".into()], ..Settings::default() }),
            (Id::With, "nothing", Settings { with: vec!["nothing".into()], ..Settings::default() }),
            (Id::Webroot, "/", Settings { webroot: Some("/".into()), ..Settings::default() }),
            (Id::Webroot, "again", Settings::default()),
            (Id::AgreeTos, "Yes", Settings { agree_tos: true, ..Settings::default() }),
            (Id::AgreeTos, "n", Settings::default()),
            (Id::Tell, "dane, TLS-RPT", Settings { tell: vec![Tell::Dane, Tell::TlsRpt], ..Settings::default() }),
            (Id::PolicyHost, "Builtin", Settings { policy_host: Some(ServedBy::Builtin), ..Settings::default() }),
            (Id::Tell, "nothing", Settings { tell: vec![Tell::Nothing], ..Settings::default() }),
            (Id::Email, "none", mail("")),
            (Id::Email, "", mail("")),
            (Id::Email, "postmaster@example.org", mail("postmaster@example.org")),
        ] {
            let mut settings = Settings::default();
            assert_eq!(question(id).answer(text, &mut settings), Ok(()), "{text}");
            assert_eq!(settings, wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_answer_says_why_and_changes_nothing() {
        for (id, text, why) in [
            (Id::Mta, "qmail", "postfix, exim-debian"),
            (Id::MtaConfig, "/etc/exim4", "/etc/postfix-in"),
            (Id::Domain, "", "mx.example.org"),
            (Id::Mx, "mx1", "no dot"),
            (Id::Mx, "mx1.example.org two words", "no dot"),
            (Id::Mx, "a_b$.example", "not a DNS name"),
            (Id::KeyType, "dsa", "ecdsa, rsa"),
            (Id::With, "y", "dovecot, nothing"),
            (Id::Webroot, "/nowhere/at/all", "no directory"),
            (Id::Webroot, "var", "from the root"),
            (Id::AgreeTos, "perhaps", "y or n"),
            (Id::Email, "postmaster", "no mail address"),
            (Id::PolicyHost, "nginx", "snippet"),
            (Id::Tell, "everything", "tls-rpt, dane and mta-sts"),
            (Id::Tell, "nothing dane", "or nothing"),
            (Id::Tell, " ", "or nothing"),
        ] {
            let mut settings = Settings::default();
            let said = question(id).answer(text, &mut settings).expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
            assert_eq!(settings, Settings::default(), "{text}");
        }
    }
}
