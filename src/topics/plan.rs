//! What a plan says of a host, and why it holds back.

use super::Topic;

pub(super) const TOPICS: &[Topic] = &[
    Topic {
        id: "client-certificate",
        title: "The server's certificate is also a client's",
        text: "Postfix presents the same certificate when it delivers to other servers. Public CAs no longer certify for that use, so nothing of ours can replace it there: the old file stays named for it and expires one day. Hardly any receiver asks for a client certificate; empty the setting unless a relay of yours does.",
        see: "postconf smtp_tls_cert_file smtp_tls_chain_files",
        reference: "postconf(5) smtp_tls_chain_files",
    },
    Topic {
        id: "client-floor",
        title: "Mail programs may use old protocols",
        text: "A service for users' mail programs admits protocols older than TLS 1.2 (RFC 8996). Unlike on port 25, a program that is refused does not fall back to clear text. It is shown with the command and never changed unasked.",
        see: "openssl s_client -starttls smtp -connect mx.example.org:587 -tls1_1 </dev/null",
        reference: "RFC 8996; RFC 8314 section 4.1; postconf(5) smtpd_tls_mandatory_protocols",
    },
    Topic {
        id: "encrypt-on-mx",
        title: "The MX takes mail in TLS only",
        text: "A public MX that enforces TLS refuses senders without STARTTLS, which RFC 3207 section 4 forbids. It was set so by the admin and is kept; `smtpd_tls_security_level = may` takes mail from everybody.",
        see: "postconf smtpd_tls_security_level smtpd_enforce_tls\npostconf -P | grep tls_security_level",
        reference: "RFC 3207 section 4; postconf(5) smtpd_tls_security_level",
    },
    Topic {
        id: "good-already",
        title: "The host is good already",
        text: "Every MX listener presents, with a name sent and without, a certificate that senders can verify, that covers every MX name of this host and is not due. Somebody else keeps it, so nothing is ordered and no file is touched. Once it is due and was not renewed, setup plans again. `--key-type` with a type that is not served plans at once.",
        see: "openssl s_client -starttls smtp -connect mx.example.org:25 -servername mx.example.org -verify_hostname mx.example.org </dev/null",
        reference: "RFC 8461 section 4.2; postconf(5) smtpd_tls_chain_files",
    },
    Topic {
        id: "key-type-unpublished",
        title: "A key type is left out because of TLSA",
        text: "TLSA records are published and name keys of one type alone. A DANE sender that is served another key does not deliver (RFC 7672), so only the published type is certified. Publish a `3 1 1` record of a key of the other type first to serve both.",
        see: "dig +dnssec TLSA _25._tcp.mx.example.org",
        reference: "RFC 7672 section 3.1.1",
    },
    Topic {
        id: "key-type-would-drop",
        title: "A key type would be dropped",
        text: "The server presents more key types today than it could after the change: because it serves one certificate from one file, or because TLSA records name no key of that type. Clients that speak only the dropped type would get no TLS at all, so nothing is done until one is chosen with --key-type, or the record that is shown is published.",
        see: "openssl s_client -starttls smtp -connect mx.example.org:25 -tls1_2 -cipher aRSA </dev/null\nopenssl s_client -starttls smtp -connect mx.example.org:25 -tls1_2 -cipher aECDSA </dev/null",
        reference: "RFC 7672 section 3.1.1; postconf(5) smtpd_tls_chain_files",
    },
    Topic {
        id: "legacy-shadowed",
        title: "An older setting is ignored from now on",
        text: "`smtpd_tls_chain_files` beats the settings that name certificate and key files one by one; Exim's `MAIN_TLS_CERTKEY` beats the two other macros. They are kept as they are, so that undo finds them, and have no effect meanwhile.",
        see: "postconf -n | grep _tls_",
        reference: "postconf(5) smtpd_tls_chain_files",
    },
    Topic {
        id: "name-left-out",
        title: "A name of the present certificate is left out",
        text: "The publicly trusted certificate in use holds a name that does not point at this host, is behind NAT, or is a wildcard: it cannot be validated over port 80 here. Services for users' mail programs that present that certificate keep it, so that no program sees a wrong name.",
        see: "dig A mail.example.org\ndig AAAA mail.example.org",
        reference: "RFC 8555 section 8.3; RFC 6125 section 6.4",
    },
    Topic {
        id: "service-keeps-certificate",
        title: "A service keeps its certificate",
        text: "This service has a certificate of its own. Once the whole server has `smtpd_tls_chain_files`, Postfix would silently present the new certificate there too; an override of the service prevents that, and the proof looks whether it did.",
        see: "postconf -P | grep _tls_\nopenssl s_client -starttls smtp -connect mx.example.org:587 </dev/null",
        reference: "postconf(5) smtpd_tls_chain_files; master(5)",
    },
    Topic {
        id: "sni-keeps-certificate",
        title: "A table by name keeps an old certificate",
        text: "`tls_server_sni_maps` holds an entry for an MX name, or the wire shows another certificate to senders that send it. Postfix would go on presenting that entry, whatever `smtpd_tls_chain_files` says, so nothing is ordered. Remove the entry (our certificate holds every name), rebuild the table with `postmap -F`, reload, and run setup again.",
        see: "postconf tls_server_sni_maps\nopenssl s_client -starttls smtp -connect mx.example.org:25 -servername mx.example.org -verify_hostname mx.example.org </dev/null",
        reference: "postconf(5) tls_server_sni_maps; RFC 6066 section 3",
    },
    Topic {
        id: "sni-map",
        title: "A table of certificates by name is in use",
        text: "`tls_server_sni_maps` chooses a certificate by the name that a sender sends. No entry for an MX name of this host is known, so it stays as it is, and the proof looks with the name sent and without.",
        see: "postconf tls_server_sni_maps\nopenssl s_client -starttls smtp -connect mx.example.org:25 -servername mx.example.org -verify_hostname mx.example.org </dev/null",
        reference: "postconf(5) tls_server_sni_maps",
    },
    Topic {
        id: "tlsa-unknown",
        title: "TLSA records could not be looked up",
        text: "Where TLSA records exist, a new key makes DANE senders defer their mail (RFC 7672). As long as nobody can say whether they exist, nothing is ordered. Repair DNS on this host, or name a validating resolver with --resolver.",
        see: "dig +dnssec TLSA _25._tcp.mx.example.org",
        reference: "RFC 7672 section 2.1; RFC 4035 section 4.3",
    },
    Topic {
        id: "tlsa-would-break",
        title: "The new certificate would contradict TLSA",
        text: "TLSA records are published for this MX name, and none of them names a key that could be kept: a certificate for another key would make every DANE sender defer. Publish the `3 1 1` record that is shown beside the old ones, wait for their TTL, and run again: the key that it names is then kept.",
        see: "dig +dnssec TLSA _25._tcp.mx.example.org",
        reference: "RFC 7672 sections 3.1.1 and 8.1",
    },
    Topic {
        id: "tlsproxy-own-certificate",
        title: "Postscreen shows another certificate",
        text: "Behind postscreen, tlsproxy speaks TLS with strangers while smtpd does with known senders. With a setting of its own, tlsproxy keeps its old certificate when smtpd gets a new one. It is made to follow.",
        see: "postconf -n | grep ^tlsproxy_tls_",
        reference: "postconf(5) tlsproxy_tls_chain_files; tlsproxy(8)",
    },
];
