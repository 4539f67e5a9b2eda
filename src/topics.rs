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
        id: "boot-unit",
        title: "Nobody settles an interrupted change at boot",
        text: "A change takes seconds, and a power cut within them leaves files that no wire has proved. Whoever kills mxseal is outlived by its guard; after a power cut it is the unit mxseal-recover.service that puts the files back, before the mail server starts. It comes with the first change, does nothing unless a change is open, and goes when nothing of mxseal stands any more. Without systemd let the boot run `mxseal recover` before the mail server.",
    },
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
        id: "client-certificate",
        title: "The server's certificate is also a client's",
        text: "Postfix presents the same certificate when it delivers to other servers. Public CAs no longer certify for that use, so nothing of ours can replace it there: the old file stays named for it and expires one day. Hardly any receiver asks for a client certificate; empty the setting unless a relay of yours does.",
    },
    Topic {
        id: "client-floor",
        title: "Mail programs may use old protocols",
        text: "A service for users' mail programs admits protocols older than TLS 1.2 (RFC 8996). Unlike on port 25, a program that is refused does not fall back to clear text. It is shown with the command and never changed unasked.",
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
        id: "encrypt-on-mx",
        title: "The MX takes mail in TLS only",
        text: "A public MX that enforces TLS refuses senders without STARTTLS, which RFC 3207 section 4 forbids. It was set so by the admin and is kept; `smtpd_tls_security_level = may` takes mail from everybody.",
    },
    Topic {
        id: "good-already",
        title: "The host is good already",
        text: "Every MX listener presents, with a name sent and without, a certificate that senders can verify, that covers every MX name of this host and is not due. Somebody else keeps it, so nothing is ordered and no file is touched. Once it is due and was not renewed, setup plans again. `--key-type` with a type that is not served plans at once.",
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
        id: "key-type-unpublished",
        title: "A key type is left out because of TLSA",
        text: "TLSA records are published and name keys of one type alone. A DANE sender that is served another key does not deliver (RFC 7672), so only the published type is certified. Publish a `3 1 1` record of a key of the other type first to serve both.",
    },
    Topic {
        id: "key-type-would-drop",
        title: "A key type would be dropped",
        text: "The server presents more key types today than it could after the change: because it serves one certificate from one file, or because TLSA records name no key of that type. Clients that speak only the dropped type would get no TLS at all, so nothing is done until one is chosen with --key-type, or the record that is shown is published.",
    },
    Topic {
        id: "legacy-shadowed",
        title: "An older setting is ignored from now on",
        text: "`smtpd_tls_chain_files` beats the settings that name certificate and key files one by one; Exim's `MAIN_TLS_CERTKEY` beats the two other macros. They are kept as they are, so that undo finds them, and have no effect meanwhile.",
    },
    Topic {
        id: "legacy-tls-gone",
        title: "Old senders get no TLS any more",
        text: "A TLS 1.0 hello with old cipher suites was answered before the change and is refused now. On port 25 this protects nobody: an old sender that is refused delivers in clear on its next try.",
    },
    Topic {
        id: "name-left-out",
        title: "A name of the present certificate is left out",
        text: "The publicly trusted certificate in use holds a name that does not point at this host, is behind NAT, or is a wildcard: it cannot be validated over port 80 here. Services for users' mail programs that present that certificate keep it, so that no program sees a wrong name.",
    },
    Topic {
        id: "name-not-covered",
        title: "The certificate does not cover the name",
        text: "The MX name is not among the names of the certificate that is presented. Senders that verify (MTA-STS, DANE-TA) do not deliver.",
    },
    Topic {
        id: "outside-unknown",
        title: "What senders elsewhere see is unknown",
        text: "Every conversation of the proof came from this host. Firewalls, NAT, load balancers and filters that change SMTP stand between it and the world, and postscreen may treat strangers otherwise. Run the command that is shown on another host; it says `Verification: OK`.",
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
        id: "service-keeps-certificate",
        title: "A service keeps its certificate",
        text: "This service has a certificate of its own. Once the whole server has `smtpd_tls_chain_files`, Postfix would silently present the new certificate there too; an override of the service prevents that, and the proof looks whether it did.",
    },
    Topic {
        id: "settings-not-kept",
        title: "The answers are not kept",
        text: "After a proved setup, what it was told is written into mxseal.toml, so that the next run needs no flag. That file could not be written, or is damaged. Nothing follows for mail.",
    },
    Topic {
        id: "sni-keeps-certificate",
        title: "A table by name keeps an old certificate",
        text: "`tls_server_sni_maps` holds an entry for an MX name, or the wire shows another certificate to senders that send it. Postfix would go on presenting that entry, whatever `smtpd_tls_chain_files` says, so nothing is ordered. Remove the entry (our certificate holds every name), rebuild the table with `postmap -F`, reload, and run setup again.",
    },
    Topic {
        id: "sni-map",
        title: "A table of certificates by name is in use",
        text: "`tls_server_sni_maps` chooses a certificate by the name that a sender sends. No entry for an MX name of this host is known, so it stays as it is, and the proof looks with the name sent and without.",
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
        id: "tlsa-unknown",
        title: "TLSA records could not be looked up",
        text: "Where TLSA records exist, a new key makes DANE senders defer their mail (RFC 7672). As long as nobody can say whether they exist, nothing is ordered. Repair DNS on this host, or name a validating resolver with --resolver.",
    },
    Topic {
        id: "tlsa-would-break",
        title: "The new certificate would contradict TLSA",
        text: "TLSA records are published for this MX name, and none of them names a key that could be kept: a certificate for another key would make every DANE sender defer. Publish the `3 1 1` record that is shown beside the old ones, wait for their TTL, and run again: the key that it names is then kept.",
    },
    Topic {
        id: "tlsproxy-own-certificate",
        title: "Postscreen shows another certificate",
        text: "Behind postscreen, tlsproxy speaks TLS with strangers while smtpd does with known senders. With a setting of its own, tlsproxy keeps its old certificate when smtpd gets a new one. It is made to follow.",
    },
    Topic {
        id: "undo-conflict",
        title: "A setting was changed since",
        text: "Undo gives a setting its former bytes only where it is as the change left it. This one was edited since: the edit stays, and so does the certificate file that it may name. Set it by hand if it should be as it was.",
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
        id: "wire-not-former",
        title: "The certificate of a change that was taken back is still served",
        text: "After an undo or a roll-back a connection was still answered with the certificate that the change had brought. A process of the mail server goes on with what it read before; a reload or restart of the server ends it.",
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
