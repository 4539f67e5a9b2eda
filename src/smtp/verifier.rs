//! A verifier that reports and goes on: whether the chain is trusted and whether the name is covered are two verdicts
//! of the view, and none of them ends the conversation. Only a handshake signature that does not fit the certificate
//! does: then the peer does not hold the key that it shows.

use crate::{
    certificate::{Certificate, KeyType},
    facts::Known,
    moment::Moment,
    name::DnsName,
    view::{Judged, Offer, Probe},
};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, NamedGroup, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use std::sync::{Arc, Mutex, PoisonError};

/// What the witness saw.
#[derive(Clone, Debug)]
pub(super) struct Testimony {
    pub(super) trusted: Known<Judged>,
    pub(super) named: Known<Judged>,
}

/// The verifier of one connection.
#[derive(Debug)]
pub(super) struct Witness {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    name: DnsName,
    only: Option<KeyType>,
    seen: Mutex<Option<Testimony>>,
}

impl Witness {
    /// A TLS client for the probe, and the witness of its handshake. Without `post_quantum` the hello is small.
    pub(super) fn client(probe: &Probe, roots: &Arc<RootCertStore>, post_quantum: bool) -> Result<(ClientConfig, Arc<Self>), Error> {
        let mut provider = aws_lc_rs::default_provider();
        let only = probe.offer.key_type();
        if !post_quantum {
            provider.kx_groups.retain(|group| group.name() != NamedGroup::X25519MLKEM768);
        }
        if let Some(key_type) = only {
            // In TLS 1.2 the suite names the key type; in TLS 1.3 the signature schemes do.
            provider.cipher_suites.retain(|suite| match suite {
                rustls::SupportedCipherSuite::Tls12(s) => s.sign.iter().any(|scheme| signs_with(*scheme, key_type)),
                rustls::SupportedCipherSuite::Tls13(_) => true,
            });
        }
        let provider = Arc::new(provider);
        let witness = Arc::new(Self {
            provider: Arc::clone(&provider),
            roots: Arc::clone(roots),
            name: probe.name.clone(),
            only,
            seen: Mutex::new(None),
        });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.enable_sni = probe.sni && probe.offer != Offer::Legacy;
        Ok((config, witness))
    }

    /// What it saw; `None` where the handshake did not get to the certificate.
    pub(super) fn testimony(&self) -> Option<Testimony> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn judge(&self, leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>], now: UnixTime) -> Testimony {
        let read = Certificate::read(leaf).ok();
        let parsed = match ParsedCertificate::try_from(leaf) {
            Ok(parsed) => parsed,
            Err(e) => {
                let why = format!("the certificate is of a kind that cannot be verified ({e}; is it X.509 version 1?)");
                let named = read.map_or_else(|| Known::unknown(why.clone()), |c| self.named(&c));
                return Testimony { trusted: Known::seen(Judged::Bad(why), "handshake"), named };
            }
        };
        let algorithms = self.provider.signature_verification_algorithms.all;
        let trusted = match verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, rest, now, algorithms) {
            Ok(()) => Judged::Good,
            Err(e) => Judged::Bad(in_words(&e, read.as_ref(), rest.len())),
        };
        let named = match (ServerName::try_from(self.name.as_str()), read) {
            (Ok(name), _) if verify_server_name(&parsed, &name).is_ok() => Known::seen(Judged::Good, "handshake"),
            (Ok(_), Some(leaf)) => Known::seen(Judged::Bad(other_names(&leaf, &self.name)), "handshake"),
            (Err(_), Some(leaf)) => self.named(&leaf),
            (_, None) => Known::unknown("the certificate cannot be read"),
        };
        Testimony { trusted: Known::seen(trusted, "handshake"), named }
    }

    /// Our own reading, for names and certificates that rustls does not take.
    fn named(&self, leaf: &Certificate) -> Known<Judged> {
        let verdict = if leaf.covers(&self.name) { Judged::Good } else { Judged::Bad(other_names(leaf, &self.name)) };
        Known::seen(verdict, "handshake")
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.judge(leaf, rest, now));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        unless_forged(verify_tls12_signature(message, leaf, signed, &self.provider.signature_verification_algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        unless_forged(verify_tls13_signature(message, leaf, signed, &self.provider.signature_verification_algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.provider.signature_verification_algorithms.supported_schemes();
        if let Some(key_type) = self.only {
            schemes.retain(|scheme| signs_with(*scheme, key_type));
        }
        schemes
    }
}

/// A signature that cannot be checked (an X.509 v1 leaf, an odd algorithm) is no reason to end; a wrong one is.
fn unless_forged(verdict: Result<HandshakeSignatureValid, Error>) -> Result<HandshakeSignatureValid, Error> {
    match verdict {
        Err(Error::InvalidCertificate(CertificateError::BadSignature)) => verdict,
        _ => Ok(HandshakeSignatureValid::assertion()),
    }
}

fn signs_with(scheme: SignatureScheme, key_type: KeyType) -> bool {
    match scheme {
        SignatureScheme::RSA_PSS_SHA256
        | SignatureScheme::RSA_PSS_SHA384
        | SignatureScheme::RSA_PSS_SHA512
        | SignatureScheme::RSA_PKCS1_SHA256
        | SignatureScheme::RSA_PKCS1_SHA384
        | SignatureScheme::RSA_PKCS1_SHA512 => key_type == KeyType::Rsa,
        SignatureScheme::ECDSA_NISTP256_SHA256 | SignatureScheme::ECDSA_NISTP384_SHA384 | SignatureScheme::ECDSA_NISTP521_SHA512 => {
            key_type == KeyType::Ecdsa
        }
        _ => false,
    }
}

/// Why a chain is not trusted, in words for an admin.
fn in_words(error: &Error, leaf: Option<&Certificate>, sent_besides: usize) -> String {
    let issuer = leaf.map_or("an unknown CA", |l| l.issuer.as_str());
    let self_signed = leaf.is_some_and(|l| l.self_signed);
    let date = |t: UnixTime| Moment(t.as_secs());
    match error {
        Error::InvalidCertificate(reason) => match reason {
            // OpenSSL's `req -x509` makes a leaf that calls itself a CA.
            CertificateError::UnknownIssuer | CertificateError::Other(_) if self_signed => "it is self-signed: no CA vouches for it".into(),
            CertificateError::ExpiredContext { not_after, .. } => format!("it, or a certificate above it, expired at {}", date(*not_after)),
            CertificateError::Expired => "it, or a certificate above it, has expired".into(),
            CertificateError::NotValidYetContext { not_before, .. } => {
                format!("it is valid only from {}: is the clock of this host right?", date(*not_before))
            }
            CertificateError::NotValidYet => "it is not valid yet: is the clock of this host right?".into(),
            CertificateError::UnknownIssuer if sent_besides == 0 => {
                format!("it was issued by {issuer}, which is no root known here, and the server sends no intermediate certificate")
            }
            CertificateError::UnknownIssuer => format!("it was issued by {issuer}, and the chain ends in no root known here"),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "it was not issued for servers (extended key usage)".into()
            }
            CertificateError::Revoked => "it was revoked".into(),
            CertificateError::BadSignature => "a signature in the chain is wrong".into(),
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                "a certificate of a CA is used as the server's own".into()
            }
            other => format!("it was issued by {issuer} and does not verify: {other}"),
        },
        other => format!("it was issued by {issuer} and does not verify: {other}"),
    }
}

fn other_names(leaf: &Certificate, wanted: &DnsName) -> String {
    match leaf.names.as_slice() {
        [] => format!("it names no host, not {wanted}"),
        names if leaf.covers(wanted) => format!("it says {} in its common name alone, where senders do not look", names.join(", ")),
        names => format!("it covers {}, not {wanted}", names.iter().take(10).cloned().collect::<Vec<_>>().join(", ")),
    }
}
