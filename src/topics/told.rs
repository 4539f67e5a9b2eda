//! What the world is told, and is not: records, policies, reports.

use super::Topic;

pub(super) const TOPICS: &[Topic] = &[
    Topic {
        id: "dns-not-ours",
        title: "The domain's mail goes to other hosts",
        text: "None of the domain's MX names is known to be this host's, so no record is proposed for it: what is published about an MX host must be kept by that host. Behind NAT a host cannot see that a name is its own; --mx says so.",
        see: "dig MX example.org\nmxseal survey",
        reference: "mxseal-dns(8) --mx; RFC 5321 section 5.1",
    },
    Topic {
        id: "dns-unknown",
        title: "What DNS says could not be learnt",
        text: "No resolver answered, or what it answered could not be read. Nothing is proposed at a name whose content is unknown, because it might stand against what is published there.",
        see: "dig TXT _mta-sts.example.org\ndig TLSA _25._tcp.mx.example.org",
        reference: "mxseal-dns(8) --resolver",
    },
    Topic {
        id: "mta-sts-not-served",
        title: "No MTA-STS policy can be fetched",
        text: "Senders that verify fetch the policy from https://mta-sts.DOMAIN/.well-known/mta-sts.txt: over TLS that verifies for that name, with status 200, as text/plain, and they follow no redirect. Where it cannot be fetched they deliver as if there were none, or by the one that they still remember. The file comes before the TXT record that announces it, so no record is proposed until every address serves it.",
        see: "curl -v https://mta-sts.example.org/.well-known/mta-sts.txt\nmxseal policy show",
        reference: "RFC 8461 section 3.3; RFC 8461 section 8.1",
    },
    Topic {
        id: "mta-sts-policy-wrong",
        title: "The MTA-STS policy is refused",
        text: "Some sender at least cannot read what is served, and treats the domain as one without a policy. Names and words are in lower case, each line is a name, a colon and a value, and there are no comments and no empty lines.",
        see: "curl https://mta-sts.example.org/.well-known/mta-sts.txt\nmxseal policy show",
        reference: "RFC 8461 section 3.2",
    },
    Topic {
        id: "mta-sts-uncovered",
        title: "The MTA-STS policy leaves out an MX host",
        text: "In mode enforce senders do not deliver to a host that the policy does not name, whatever certificate it has; in mode testing they report it. A new MX host enters the policy before it enters DNS, and leaves it after. An asterisk stands for exactly one label.",
        see: "dig MX example.org\nmxseal policy show",
        reference: "RFC 8461 section 4.1; RFC 8461 section 8.4",
    },
    Topic {
        id: "tlsa-in-vain",
        title: "TLSA records in a zone that is not signed",
        text: "DANE rests on DNSSEC: senders pass over TLSA records that are not signed. Postfix 3.6 and later may enforce them all the same, so a record that does not match is no small thing. Sign the zone, or withdraw the records.",
        see: "dig +dnssec TLSA _25._tcp.mx.example.org",
        reference: "RFC 7672 section 2.2; postconf(5) smtp_tls_dane_insecure_mx_policy",
    },
    Topic {
        id: "tlsa-not-proposed",
        title: "No TLSA record is proposed",
        text: "A TLSA record is a promise that senders hold the host to, so it is proposed only where it can be kept and is of use: the zone of the MX name is signed, every address of the name is this host's, and the key is proved on the wire. The reason stands beside this.",
        see: "delv mx.example.org A\nmxseal status",
        reference: "RFC 7672 section 2.2; RFC 7671 section 8",
    },
    Topic {
        id: "tlsa-useless",
        title: "A TLSA record that no sender can use",
        text: "Usage 0 and 1, unknown numbers, data of the wrong length, or the SHA-256 of nothing (which scripts publish that could not read the key). Beside others such a record is passed over. Where there is no other, senders insist on TLS with whoever answers, or find that nothing matches and defer the mail. It is not removed by mxseal, which did not put it there.",
        see: "dig TLSA _25._tcp.mx.example.org",
        reference: "RFC 7672 section 3.1; RFC 6698 section 2.1",
    },
    Topic {
        id: "tlsrpt-same-way",
        title: "TLS reports come through the host they are about",
        text: "Reports are mailed to an address of the very domain whose mail hosts they are about. Reporters should deliver them although TLS fails, but not all do. A second place, a mailbox elsewhere or an HTTPS address, hears of the failures too.",
        see: "dig TXT _smtp._tls.example.org",
        reference: "RFC 8460 section 3; mxseal-dns(8) --rua",
    },
    Topic {
        id: "tlsrpt-undeliverable",
        title: "TLS reports cannot be delivered",
        text: "The domain of a report address has no MX record, so reports are lost and nobody learns that senders fail. Unlike DMARC, no record of consent is needed where reports go to another domain.",
        see: "dig TXT _smtp._tls.example.org\ndig MX example.net",
        reference: "RFC 8460 section 3; mxseal-dns(8) --rua",
    },
];
