//! The catalogue of findings: one id, one paragraph. It feeds `mxseal explain`, the man page and the tests.

/// What an id means.
#[derive(Clone, Copy, Debug)]
pub struct Topic {
    /// The id of a [`crate::finding::Finding`].
    pub id: &'static str,
    /// One line.
    pub title: &'static str,
    /// What it means for mail and what to do, in a few sentences.
    pub text: &'static str,
}

/// Every topic, by id.
pub const TOPICS: &[Topic] = &[
    Topic {
        id: "capability-gone",
        title: "A capability of the server is gone",
        text: "Before the change the server offered this extension in its reply to EHLO, and now it does not. Senders that rely on it return some mail. The change is put back.",
    },
    Topic {
        id: "chain-unknown",
        title: "The chain is not trusted here",
        text: "The server presents exactly what the CA issued, but no root that this host knows stands at its end. This is a warning and never a reason to go back: this host's list of roots may be old, or the CA may be a private one, to be named with --trust-anchor. Senders with the same roots cannot verify the host.",
    },
    Topic {
        id: "claim-broken",
        title: "The key is not what TLSA records promise",
        text: "TLSA records that were published name other keys than the one that is presented. DANE senders keep the mail until both agree (RFC 7672). Publish the record of the new key first, wait until caches have it, then change the key.",
    },
    Topic {
        id: "dialogue-broke",
        title: "The conversation ends early",
        text: "The server answered, and then the conversation ended before QUIT. Senders try again, so that mail arrives late or never. Its log says why.",
    },
    Topic {
        id: "dialogue-changed",
        title: "The server answers otherwise than before",
        text: "MAIL, RCPT, RSET or QUIT got another reply code than in the same conversation before the change. Mail that arrived before may be delayed or refused, so the change is put back. A temporary refusal that became an acceptance is no fault.",
    },
    Topic {
        id: "handshake-failed",
        title: "The TLS handshake fails",
        text: "The server begins TLS and cannot end the handshake: mostly a chain file that is missing, unreadable or without the key that belongs to it. Postfix notes this in its log alone. Opportunistic senders deliver in clear, verifying ones keep the mail.",
    },
    Topic {
        id: "key-type-dropped",
        title: "A key type is gone",
        text: "Clients that take certificates of this key type alone (mostly RSA) got TLS before and get none now. As a warning: the change was asked to leave this key type out.",
    },
    Topic {
        id: "legacy-tls-gone",
        title: "Old senders get no TLS any more",
        text: "A TLS 1.0 hello with old cipher suites was answered before the change and is refused now. On port 25 this protects nobody: an old sender that is refused delivers in clear on its next try.",
    },
    Topic {
        id: "name-not-covered",
        title: "The certificate does not cover the name",
        text: "The MX name is not among the names of the certificate that is presented. Senders that verify (MTA-STS, DANE-TA) do not deliver.",
    },
    Topic {
        id: "proof-impossible",
        title: "Nothing could be proved",
        text: "No listener answered that could show the new certificate, before the change or after. Start the mail server and run the command again.",
    },
    Topic {
        id: "proof-too-small",
        title: "Not enough was seen",
        text: "A proof takes at least twenty conversations with a listener whose certificate is new, and the same questions before and after for one that stays. Fewer were had.",
    },
    Topic {
        id: "starttls-gone",
        title: "STARTTLS is not offered",
        text: "The server does not offer STARTTLS. Everyone between sender and server can read the mail, and senders that must verify keep it.",
    },
    Topic {
        id: "starttls-refused",
        title: "STARTTLS is offered and refused",
        text: "The server offers STARTTLS and answers the command with an error: mostly a private key that does not belong to the certificate. Its log says which file.",
    },
    Topic {
        id: "undo-not-activated",
        title: "The files are put back, and no server has read them",
        text: "The mail server does not run, or its configuration was broken by something else, so the old settings were put back into the files and nothing was reloaded. What runs goes on with what it read last. Mend the configuration and reload.",
    },
    Topic {
        id: "wire-changed",
        title: "A listener changed that should not",
        text: "This listener was to stay as it was and presents another certificate. With Postfix a submission service that sets smtpd_tls_cert_file alone takes the certificate of main.cf as soon as that sets smtpd_tls_chain_files; an empty smtpd_tls_chain_files on the service keeps its own.",
    },
    Topic {
        id: "wire-exempt",
        title: "Our own address may be treated otherwise",
        text: "postscreen lets known addresses pass and tests strangers, who are then served by tlsproxy with settings of its own. What they are shown can only be seen from an address that is not exempt.",
    },
    Topic {
        id: "wire-not-ours",
        title: "Another certificate than ours is presented",
        text: "At least one conversation showed another certificate than the one that was installed: the server did not take its configuration again, a later setting overrides ours, or an SNI table keeps the old one. One such conversation is enough to fail a proof.",
    },
    Topic {
        id: "wire-refused",
        title: "The server turns us away",
        text: "The server greets with an error instead of 220. While it does so no mail arrives.",
    },
    Topic {
        id: "wire-renewed",
        title: "The server's own certificate was renewed since",
        text: "After an undo the server presents a certificate of its own that is newer than the one of the day of the change. Nothing is wrong: whoever keeps that certificate renewed it meanwhile.",
    },
    Topic {
        id: "wire-silent",
        title: "Nobody answers any more",
        text: "The port answered before the change and now takes no connection, or greets nobody. With Postfix a wrong value makes smtpd die at its start while the port stays open.",
    },
    Topic {
        id: "wire-silent-before",
        title: "Nobody answered before the change either",
        text: "This listener took no connection before the change and takes none after it. That is not blamed on the change; what it will present is unknown.",
    },
    Topic {
        id: "wire-tempfail",
        title: "Postmaster is answered with try again later",
        text: "RCPT for postmaster gets a temporary refusal before and after the change, as greylisting and postscreen's deep tests do with strangers. TLS is proved; acceptance of mail was not seen.",
    },
];

/// The topic of an id.
#[must_use]
pub fn topic(id: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|t| t.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_and_said_once() {
        assert!(TOPICS.is_sorted_by(|a, b| a.id < b.id));
        assert!(TOPICS.iter().all(|t| !t.title.ends_with('.') && t.text.ends_with('.')));
    }
}
