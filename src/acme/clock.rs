//! What time it is elsewhere. A certificate that seems expired is more often a clock that is off.

use crate::{facts::Known, moment::Moment};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::sync::Arc;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

/// Seconds that `now` is ahead (+) or behind (−) of an HTTP `Date` header (RFC 9110 §6.6.1); `None` where it is no date.
#[must_use]
pub fn clock_off(date: &str, now: Moment) -> Option<i64> {
    let there = OffsetDateTime::parse(date.trim(), &Rfc2822).ok()?.unix_timestamp();
    Some(i64::try_from(now.0).ok()?.saturating_sub(there))
}

/// The same as a fact, with where it was seen.
pub(super) fn seen(date: Option<&str>, now: Moment, host: &str) -> Known<i64> {
    match date.and_then(|d| clock_off(d, now)) {
        Some(off) => Known::seen(off, format!("the Date header of {host}")),
        None => Known::unknown(format!("{host} did not say what time it is")),
    }
}

/// TLS that believes anybody: good for asking the time after a certificate's dates did not fit, and for nothing else. The
/// answer is shown, never acted on.
pub(super) fn credulous(provider: Arc<CryptoProvider>) -> Result<ClientConfig, rustls::Error> {
    Ok(ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth())
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_compared() {
        for (date, now, want) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777, Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_877, Some(100)),
            (" Sun, 06 Nov 1994 08:49:37 GMT ", 784_025_377, Some(-86_400)),
            ("yesterday", 0, None),
            ("", 0, None),
        ] {
            assert_eq!(clock_off(date, Moment(now)), want, "{date}");
        }
    }
}
