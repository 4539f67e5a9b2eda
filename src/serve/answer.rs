//! The one answer. Pure.

use crate::publish::fetch::PATH;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use http_body_util::Full;

/// What is answered to a request that came by TLS for `host`.
pub(super) fn answer(method: &Method, uri: &Uri, headers: &HeaderMap, host: &str, policy: Option<&Bytes>) -> Response<Full<Bytes>> {
    let only = |status| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response
    };
    // Where the target says whose it is, no header does (RFC 9112 §3.2.2).
    let named: Vec<&[u8]> = match uri.authority() {
        Some(target) => vec![target.as_str().as_bytes()],
        None => headers.get_all(header::HOST).iter().map(HeaderValue::as_bytes).collect(),
    };
    let other = |asked: &[u8]| {
        let asked = String::from_utf8_lossy(asked).to_ascii_lowercase();
        asked.split(':').next().map(|name| name.trim_end_matches('.')) != Some(host)
    };
    let Some(policy) = policy.filter(|_| !named.into_iter().any(other)) else { return only(StatusCode::MISDIRECTED_REQUEST) };
    if uri.path() != PATH {
        return only(StatusCode::NOT_FOUND);
    }
    let body = match *method {
        Method::GET => policy.clone(),
        Method::HEAD => Bytes::new(),
        _ => {
            let mut response = only(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
    };
    let mut response = Response::new(Full::from(body));
    // Some senders take nothing but this media type (RFC 8461 §3.2).
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(policy.len()));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_path_of_one_name_is_answered() {
        let policy = Bytes::from_static(b"version: STSv1\n");
        let host = "mta-sts.example.org";
        for (method, uri, asked, policy, status) in [
            (Method::GET, PATH, Some(host), Some(&policy), 200),
            (Method::HEAD, PATH, Some(host), Some(&policy), 200),
            (Method::GET, PATH, None, Some(&policy), 200),
            (Method::GET, PATH, Some("MTA-STS.example.org.:443"), Some(&policy), 200),
            (Method::GET, "/.well-known/mta-sts.txt?x=1", Some(host), Some(&policy), 200),
            (Method::GET, PATH, Some("mta-sts.example.net"), Some(&policy), 421),
            (Method::GET, PATH, Some(""), Some(&policy), 421),
            (Method::GET, "https://mta-sts.example.org/.well-known/mta-sts.txt", Some("other.example"), Some(&policy), 200),
            (Method::GET, "https://other.example/.well-known/mta-sts.txt", Some(host), Some(&policy), 421),
            (Method::GET, PATH, Some(host), None, 421),
            (Method::POST, PATH, Some(host), Some(&policy), 405),
            (Method::OPTIONS, PATH, Some(host), Some(&policy), 405),
            (Method::GET, "/", Some(host), Some(&policy), 404),
            (Method::GET, "/.well-known/mta-sts.txt/", Some(host), Some(&policy), 404),
            (Method::GET, "/.well-known/../.well-known/mta-sts.txt", Some(host), Some(&policy), 404),
            (Method::GET, "/.WELL-KNOWN/mta-sts.txt", Some(host), Some(&policy), 404),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(asked.map(|h| (header::HOST, h.parse().expect("a value"))));
            let response = answer(&method, &uri.parse().expect("a target"), &headers, host, policy);
            assert_eq!(response.status().as_u16(), status, "{method} {uri} {asked:?}");
            let media = response.headers().get(header::CONTENT_TYPE).map(|v| v.to_str().expect("text"));
            assert_eq!(media, (status == 200).then_some("text/plain"));
        }
        // Two names are no name.
        let headers: HeaderMap = [host, "other.example"].map(|h| (header::HOST, HeaderValue::from_static(h))).into_iter().collect();
        assert_eq!(answer(&Method::GET, &PATH.parse().expect("a target"), &headers, host, Some(&policy)).status().as_u16(), 421);
    }
}
