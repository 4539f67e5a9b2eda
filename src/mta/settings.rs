//! The settings that are our business, by name.

/// The settings whose defaults differ between versions and hosts: asked of `postconf -d`.
pub(super) const ASKS: &[&str] = &[
    "compatibility_level",
    "inet_interfaces",
    "inet_protocols",
    "mydestination",
    "mydomain",
    "myhostname",
    "mynetworks",
    "relay_domains",
    "smtpd_service_name",
    "smtp_tls_cert_file",
    "smtp_tls_chain_files",
    "tlsproxy_service_name",
    "virtual_alias_domains",
    "virtual_alias_maps",
    "virtual_mailbox_domains",
    "virtual_mailbox_maps",
    "postscreen_enforce_tls",
    "postscreen_tls_security_level",
    "postscreen_use_tls",
    "smtpd_enforce_tls",
    "smtpd_tls_auth_only",
    "smtpd_tls_cert_file",
    "smtpd_tls_chain_files",
    "smtpd_tls_ciphers",
    "smtpd_tls_dcert_file",
    "smtpd_tls_dkey_file",
    "smtpd_tls_eccert_file",
    "smtpd_tls_eckey_file",
    "smtpd_tls_exclude_ciphers",
    "smtpd_tls_key_file",
    "smtpd_tls_loglevel",
    "smtpd_tls_mandatory_ciphers",
    "smtpd_tls_mandatory_exclude_ciphers",
    "smtpd_tls_mandatory_protocols",
    "smtpd_tls_protocols",
    "smtpd_tls_security_level",
    "smtpd_tls_wrappermode",
    "smtpd_use_tls",
    "tls_server_sni_maps",
    "tlsproxy_enforce_tls",
    "tlsproxy_tls_cert_file",
    "tlsproxy_tls_chain_files",
    "tlsproxy_tls_dcert_file",
    "tlsproxy_tls_dkey_file",
    "tlsproxy_tls_eccert_file",
    "tlsproxy_tls_eckey_file",
    "tlsproxy_tls_key_file",
    "tlsproxy_tls_mandatory_protocols",
    "tlsproxy_tls_protocols",
    "tlsproxy_tls_security_level",
    "tlsproxy_use_tls",
];

/// The macros that decide about TLS.
pub(super) const MACROS: &[&str] = &["MAIN_TLS_ENABLE", "MAIN_TLS_CERTKEY", "MAIN_TLS_CERTIFICATE", "MAIN_TLS_PRIVATEKEY"];

/// Settings beside those that a dialect asks for that a reader of facts needs: how names and files are built, never a secret.
const ALSO: &[&str] = &[
    "config_directory",
    "data_directory",
    "dc_local_interfaces",
    "dc_other_hostnames",
    "dc_use_split_config",
    "mail_owner",
    "multi_instance_directories",
    "multi_instance_enable",
    "myorigin",
    "postscreen_access_list",
    "postscreen_greet_action",
    "queue_directory",
    "smtp_tls_key_file",
    "smtp_tls_security_level",
    "syslog_name",
];

/// Whether a setting is our business: its value may leave the host.
pub(super) fn is_ours(name: &str) -> bool {
    ASKS.contains(&name) || ALSO.contains(&name) || MACROS.contains(&name)
}
