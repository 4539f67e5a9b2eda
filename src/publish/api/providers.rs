//! The companies: what they are called, what they ask for, what they cannot.

use super::credentials::{Credentials, Key, maybe, plain, secret};
use dns_update::{
    DnsUpdater, Error, Result,
    providers::{ovh::OvhEndpoint, route53::Route53Config},
};
use std::{fmt, time::Duration};

/// A company, or a server of one's own, that takes records over HTTP.
pub(super) struct Provider {
    /// What it is called in settings.
    pub(super) id: &'static str,
    /// What it calls itself.
    pub(super) name: &'static str,
    /// What it asks for.
    pub(super) keys: &'static [Key],
    /// Whether it takes TLSA records.
    pub(super) tlsa: bool,
    /// No record may be kept for less, in seconds.
    pub(super) ttl: u32,
    /// Begins a conversation, in which one request may take so long. Nothing is sent yet.
    pub(super) connect: fn(&Credentials, Option<Duration>) -> Result<DnsUpdater>,
}

impl PartialEq for Provider {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Provider {}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

/// Each one, by its id.
pub(super) const PROVIDERS: &[Provider] = &[
    Provider {
        id: "bunny",
        name: "Bunny",
        keys: &[secret("access-key")],
        tlsa: true,
        ttl: 60,
        connect: |c, limit| DnsUpdater::new_bunny(c.get("access-key"), limit),
    },
    Provider {
        id: "cloudflare",
        name: "Cloudflare",
        keys: &[secret("token")],
        tlsa: true,
        ttl: 60,
        connect: |c, limit| DnsUpdater::new_cloudflare(c.get("token"), limit),
    },
    Provider {
        id: "cloudns",
        name: "ClouDNS",
        keys: &[plain("auth-id"), secret("auth-password")],
        tlsa: true,
        ttl: 60,
        connect: |c, limit| DnsUpdater::new_cloudns(c.maybe("auth-id"), None::<&str>, c.get("auth-password"), limit),
    },
    Provider {
        id: "desec",
        name: "deSEC",
        keys: &[secret("token")],
        tlsa: true,
        ttl: 3600,
        connect: |c, limit| DnsUpdater::new_desec(c.get("token"), limit),
    },
    Provider {
        id: "digitalocean",
        name: "DigitalOcean",
        keys: &[secret("token")],
        tlsa: false,
        ttl: 30,
        connect: |c, limit| DnsUpdater::new_digitalocean(c.get("token"), limit),
    },
    Provider {
        id: "dnsimple",
        name: "DNSimple",
        keys: &[secret("token"), plain("account-id")],
        tlsa: true,
        ttl: 60,
        connect: |c, limit| DnsUpdater::new_dnsimple(c.get("token"), c.get("account-id"), limit),
    },
    Provider {
        id: "gandi",
        name: "Gandi",
        keys: &[secret("token")],
        tlsa: true,
        ttl: 300,
        connect: |c, limit| DnsUpdater::new_gandiv5(c.get("token"), limit),
    },
    Provider {
        id: "godaddy",
        name: "GoDaddy",
        keys: &[secret("api-key"), secret("api-secret")],
        tlsa: false,
        ttl: 600,
        connect: |c, limit| DnsUpdater::new_godaddy(c.get("api-key"), c.get("api-secret"), limit),
    },
    Provider {
        id: "hetzner",
        name: "Hetzner",
        keys: &[secret("token")],
        tlsa: true,
        ttl: 60,
        connect: |c, limit| DnsUpdater::new_hetzner(c.get("token"), limit),
    },
    Provider {
        id: "hostingde",
        name: "hosting.de",
        keys: &[secret("api-key")],
        tlsa: true,
        ttl: 60,
        connect: |c, limit| DnsUpdater::new_hostingde(c.get("api-key"), limit),
    },
    Provider {
        id: "infomaniak",
        name: "Infomaniak",
        keys: &[secret("token")],
        tlsa: true,
        ttl: 300,
        connect: |c, limit| DnsUpdater::new_infomaniak(c.get("token"), limit),
    },
    Provider {
        id: "inwx",
        name: "INWX",
        keys: &[plain("username"), secret("password")],
        tlsa: true,
        ttl: 300,
        connect: |c, limit| DnsUpdater::new_inwx(c.get("username"), c.get("password"), false, limit),
    },
    Provider {
        id: "ionos",
        name: "IONOS",
        keys: &[secret("api-key")],
        tlsa: false,
        ttl: 60,
        connect: |c, limit| DnsUpdater::new_ionos(c.get("api-key"), limit),
    },
    Provider {
        id: "linode",
        name: "Linode",
        keys: &[secret("token")],
        tlsa: false,
        ttl: 300,
        connect: |c, limit| DnsUpdater::new_linode(c.get("token"), limit),
    },
    Provider {
        id: "netcup",
        name: "netcup",
        keys: &[plain("customer-number"), secret("api-key"), secret("api-password")],
        tlsa: true,
        ttl: 60,
        connect: |c, limit| DnsUpdater::new_netcup(c.get("customer-number"), c.get("api-key"), c.get("api-password"), limit),
    },
    Provider {
        id: "ovh",
        name: "OVH",
        keys: &[secret("application-key"), secret("application-secret"), secret("consumer-key"), maybe(plain("endpoint"))],
        tlsa: true,
        ttl: 60,
        connect: |c, limit| {
            let endpoint: OvhEndpoint = c.maybe("endpoint").unwrap_or("ovh-eu").parse()?;
            DnsUpdater::new_ovh(c.get("application-key"), c.get("application-secret"), c.get("consumer-key"), endpoint, limit)
        },
    },
    Provider {
        id: "porkbun",
        name: "Porkbun",
        keys: &[secret("api-key"), secret("secret-api-key")],
        tlsa: true,
        ttl: 600,
        connect: |c, limit| DnsUpdater::new_porkbun(c.get("api-key"), c.get("secret-api-key"), limit),
    },
    Provider {
        id: "powerdns",
        name: "PowerDNS",
        keys: &[secret("api-key"), plain("endpoint"), maybe(plain("server"))],
        tlsa: true,
        ttl: 1,
        connect: |c, limit| {
            let endpoint = c.get("endpoint");
            if !is_private(endpoint) {
                let why = "its endpoint is neither https:// nor on this host, and would be sent the key in clear";
                return Err(Error::Client(why.to_owned()));
            }
            if let Some(set) = proxy(endpoint, |name| std::env::var_os(name).is_some()) {
                return Err(Error::Client(format!("{set} is set, and that proxy would be sent the key in clear: unset it")));
            }
            DnsUpdater::new_pdns(c.get("api-key"), Some(endpoint), c.maybe("server"), limit)
        },
    },
    Provider {
        id: "route53",
        name: "Route 53",
        keys: &[plain("access-key-id"), secret("secret-access-key"), maybe(secret("session-token")), maybe(plain("hosted-zone-id"))],
        tlsa: true,
        ttl: 1,
        connect: |c, _| {
            let some = |key| c.maybe(key).map(str::to_owned);
            DnsUpdater::new_route53(Route53Config {
                access_key_id: c.get("access-key-id").to_owned(),
                secret_access_key: c.get("secret-access-key").to_owned(),
                session_token: some("session-token"),
                region: None,
                hosted_zone_id: some("hosted-zone-id"),
                private_zone_only: None,
                endpoint: None,
            })
        },
    },
    Provider {
        id: "scaleway",
        name: "Scaleway",
        keys: &[secret("token")],
        tlsa: true,
        ttl: 60,
        connect: |c, limit| DnsUpdater::new_scaleway(c.get("token"), limit),
    },
    Provider {
        id: "vultr",
        name: "Vultr",
        keys: &[secret("api-key")],
        tlsa: false,
        ttl: 120,
        connect: |c, limit| DnsUpdater::new_vultr(c.get("api-key"), limit),
    },
];

/// Whether nobody on the way reads what is sent there.
fn is_private(endpoint: &str) -> bool {
    let Some(rest) = endpoint.strip_prefix("http://") else { return endpoint.starts_with("https://") };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(authority, |(host, _)| host);
    host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// The variable by which the HTTP client would take the way to a plain endpoint of this host through a proxy.
fn proxy(endpoint: &str, is_set: impl Fn(&str) -> bool) -> Option<&'static str> {
    let plain = endpoint.starts_with("http://");
    ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"].into_iter().find(|name| plain && is_set(name))
}

#[cfg(test)]
mod tests {
    use super::{super::credentials::asks, *};
    use crate::topics::topic;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    #[test]
    fn every_one_is_made_from_its_keys_and_explained() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("dns.toml");
        let explained = topic("dns-providers").expect("a topic").text;
        assert!(PROVIDERS.is_sorted_by(|a, b| a.id < b.id));
        for provider in PROVIDERS {
            let value = |key: &Key| match (provider.id, key.name) {
                ("ovh", "endpoint") => "ovh-ca",
                (_, "endpoint") => "http://127.0.0.1:8081",
                _ => "some-value-0123456789",
            };
            for needed_alone in [false, true] {
                let keys = provider.keys.iter().filter(|key| key.needed || !needed_alone);
                let text: String = keys.map(|key| format!("{} = '{}'\n", key.name, value(key))).collect();
                fs::write(&file, text).expect("a file");
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
                let credentials = Credentials::read(&file, provider.name, provider.keys).unwrap_or_else(|said| panic!("{said}"));
                if let Err(e) = (provider.connect)(&credentials, None) {
                    panic!("{}: {e}", provider.id);
                }
            }
            let entry = format!("{} ({}{})", provider.id, asks(provider.keys), if provider.tlsa { "" } else { "; no TLSA" });
            assert!(explained.contains(&entry), "mxseal explain dns-providers lacks: {entry}");
        }
    }

    #[test]
    fn a_key_goes_nowhere_in_clear() {
        for (endpoint, private) in [
            ("https://dns.example/", true),
            ("http://localhost:8081", true),
            ("http://127.0.0.1:8081/api/v1", true),
            ("http://127.1.2.3", true),
            ("http://[::1]:8081", true),
            ("http://[::1]", true),
            ("http://dns.example:8081", false),
            ("http://localhost.example", false),
            ("http://127.0.0.1@dns.example/", false),
            ("http://192.0.2.1:8081", false),
            ("ftp://localhost", false),
            ("localhost:8081", false),
        ] {
            assert_eq!(is_private(endpoint), private, "{endpoint}");
        }
        assert_eq!(proxy("http://127.0.0.1:8081", |_| false), None);
        assert_eq!(proxy("http://127.0.0.1:8081", |name| name == "all_proxy"), Some("all_proxy"));
        assert_eq!(proxy("https://dns.example", |_| true), None);
    }
}
