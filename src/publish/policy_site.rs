//! Sites for web servers that are here already: one path, one file as `text/plain`, nothing else. The file changes with the policy,
//! the site never does. Pure.

use super::WebServer;
use crate::name::DnsName;
use std::path::{Path, PathBuf};

/// Where a web server finds the policy of a domain below `dir`.
#[must_use]
pub fn policy_file(dir: &Path, domain: &DnsName) -> PathBuf {
    dir.join(format!("mta-sts.{domain}")).join(".well-known").join("mta-sts.txt")
}

/// The site that serves it. Key and chain are those of the web server's own ACME client, in certbot's place unless said otherwise;
/// Caddy gets its own.
#[must_use]
pub fn site(server: WebServer, domain: &DnsName, dir: &Path, certificate: Option<(&Path, &Path)>) -> String {
    let host = format!("mta-sts.{domain}");
    let root = dir.join(&host).display().to_string();
    let live = |file: &str| format!("/etc/letsencrypt/live/{host}/{file}");
    let (chain, key) = certificate.map_or_else(
        || (live("fullchain.pem"), live("privkey.pem")),
        |(chain, key)| (chain.display().to_string(), key.display().to_string()),
    );
    match server {
        WebServer::Nginx => format!(
            "server {{\n    listen 443 ssl;\n    listen [::]:443 ssl;\n    server_name {host};\n    ssl_certificate {chain};\n    ssl_certificate_key {key};\n    \
             location = /.well-known/mta-sts.txt {{\n        root {root};\n        types {{ }}\n        default_type text/plain;\n    }}\n    \
             location / {{\n        return 404;\n    }}\n}}\n"
        ),
        WebServer::Apache => format!(
            "<VirtualHost *:443>\n    ServerName {host}\n    SSLEngine on\n    SSLCertificateFile {chain}\n    SSLCertificateKeyFile {key}\n    \
             DocumentRoot {root}\n    <Directory {root}>\n        Options None\n        AllowOverride None\n        Require all denied\n        \
             <Files mta-sts.txt>\n            Require all granted\n            ForceType text/plain\n        </Files>\n    </Directory>\n</VirtualHost>\n"
        ),
        WebServer::Caddy => {
            let tls = certificate.map_or_else(String::new, |_| format!("    tls {chain} {key}\n"));
            format!(
                "{host} {{\n{tls}    handle /.well-known/mta-sts.txt {{\n        root * {root}\n        header Content-Type text/plain\n        \
                 file_server\n    }}\n    handle {{\n        respond 404\n    }}\n}}\n"
            )
        }
    }
}

/// Where a site is put on Debian, and what makes the server read it.
#[must_use]
pub fn put_in_place(server: WebServer, domain: &DnsName) -> (PathBuf, String) {
    let name = format!("mta-sts.{domain}");
    match server {
        WebServer::Nginx => (Path::new("/etc/nginx/sites-enabled").join(&name), "nginx -t && systemctl reload nginx".into()),
        WebServer::Apache => (
            Path::new("/etc/apache2/sites-available").join(format!("{name}.conf")),
            format!("a2enmod ssl && a2ensite {name} && apache2ctl -t && systemctl reload apache2"),
        ),
        WebServer::Caddy => {
            ("/etc/caddy/Caddyfile".into(), "caddy validate --config /etc/caddy/Caddyfile && systemctl reload caddy".into())
        }
    }
}
