//! What an answer to the question for a document means, and how long a document may be used.

use crate::error::{Code, Failure};
use crate::limits::Limits;
use crate::moment::UnixMillis;
use crate::operation::{HttpFault, HttpResponse};
use crate::protocol::json::is_json_content_type;

/// What one place of several had.
#[derive(Debug)]
pub(super) enum Fetched {
    /// Nothing: the next place is asked.
    Absent(u16),
    /// Something that calls itself JSON.
    Document(HttpResponse),
    /// Nobody knows: the next place is asked, but this one may have had a document.
    Unavailable(Option<u16>),
    /// Something no honest server sends: nothing else is asked.
    Wrong(Failure),
}

/// `invalid` is what a document that cannot be read is called.
pub(super) fn classify(answer: Result<HttpResponse, HttpFault>, invalid: Code) -> Fetched {
    let response = match answer {
        Ok(response) => response,
        Err(HttpFault::AddressRefused { .. }) => return Fetched::Wrong(Code::AddressRefused.into()),
        Err(HttpFault::Encoded) => {
            return Fetched::Wrong(
                Failure::new(invalid).because("the body is encoded though that was not accepted"),
            );
        }
        // atk:NET-09
        Err(HttpFault::TooLarge) => return Fetched::Wrong(Code::ResponseTooLarge.into()),
        Err(HttpFault::NotSent | HttpFault::Unknown) => return Fetched::Unavailable(None),
    };
    match response.status {
        // atk:HDR-07: a page that is no JSON is a server that knows nothing of this URL.
        200 if response.header("content-type").is_some_and(is_json_content_type) => {
            Fetched::Document(response)
        }
        //= spec/mcp-best-practices.md#server-side-request-forgery-ssrf
        //# Redirects SHOULD NOT be followed on their own, since every hop would need the whole check
        //# (NET-04, U).
        // atk:NET-05
        300..=399 => Fetched::Wrong(Code::Redirected.into()),
        // atk:MIX-12: a server in trouble is not a server without a document.
        status @ (408 | 425 | 429 | 500..) => Fetched::Unavailable(Some(status)),
        //= spec/derived.md#net-13
        //# Status and body of a failed fetch MUST NOT be handed on to the MCP server (NET-13, U, derived).
        status => Fetched::Absent(status),
    }
}

/// Until when a document may be used without asking again (RFC 9111 §5.2.2).
pub(crate) fn fresh_until(response: &HttpResponse, now: UnixMillis, limits: &Limits) -> UnixMillis {
    let mut age_ms = limits.metadata_default_age_ms;
    for directive in response.all("cache-control").flat_map(|field| field.split(',')) {
        let directive = directive.trim().to_ascii_lowercase();
        if matches!(directive.as_str(), "no-store" | "no-cache") {
            return now;
        }
        if let Some(seconds) = directive.strip_prefix("max-age=") {
            // What is no number is no promise of freshness.
            let seconds = seconds.trim_matches('"').parse::<u64>().unwrap_or(0);
            age_ms = seconds.saturating_mul(1_000);
        }
    }
    // atk:NET-15
    now.plus(age_ms.min(limits.metadata_max_age_ms))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::operation::Peer;
    use crate::secret::SecretBytes;

    fn response(status: u16, headers: &[(&str, &str)]) -> HttpResponse {
        HttpResponse {
            status,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: SecretBytes::default(),
            truncated: false,
            peer: Peer::Address(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1))),
        }
    }

    fn class(answer: Result<HttpResponse, HttpFault>) -> String {
        match classify(answer, Code::IssuerMetadataInvalid) {
            Fetched::Absent(status) => format!("absent {status}"),
            Fetched::Document(_) => "document".to_owned(),
            Fetched::Unavailable(status) => format!("unavailable {status:?}"),
            Fetched::Wrong(failure) => failure.slug().to_owned(),
        }
    }

    // atk:MIX-12, atk:HDR-07
    #[test]
    fn each_answer_is_absent_unavailable_wrong_or_a_document() {
        let json = [("content-type", "application/json; charset=utf-8")];
        assert_eq!(class(Ok(response(200, &json))), "document");
        assert_eq!(class(Ok(response(200, &[("content-type", "text/html")]))), "absent 200");
        assert_eq!(class(Ok(response(200, &[]))), "absent 200");
        for status in [401, 403, 404, 405, 410, 400, 406, 204] {
            assert_eq!(class(Ok(response(status, &json))), format!("absent {status}"));
        }
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert_eq!(class(Ok(response(status, &json))), format!("unavailable Some({status})"));
        }
        for status in [301, 302, 303, 304, 307, 308] {
            assert_eq!(class(Ok(response(status, &json))), "peer_misbehaved.redirected");
        }
        for (fault, expected) in [
            (HttpFault::AddressRefused { sent: false }, "peer_misbehaved.address_refused"),
            (HttpFault::AddressRefused { sent: true }, "peer_misbehaved.address_refused"),
            (HttpFault::Encoded, "peer_misbehaved.issuer_metadata_invalid"),
            (HttpFault::NotSent, "unavailable None"),
            (HttpFault::TooLarge, "peer_misbehaved.response_too_large"),
            (HttpFault::Unknown, "unavailable None"),
        ] {
            assert_eq!(class(Err(fault)), expected, "{fault:?}");
        }
    }

    // atk:NET-15
    #[test]
    fn freshness_is_what_the_server_says_but_never_more_than_a_day() {
        let limits = Limits::default();
        let lasts = |fields: &[&str]| {
            let headers: Vec<_> = fields.iter().map(|field| ("Cache-Control", *field)).collect();
            UnixMillis(1_000).until(fresh_until(&response(200, &headers), UnixMillis(1_000), &limits))
        };
        assert_eq!(lasts(&[]), limits.metadata_default_age_ms);
        assert_eq!(lasts(&["public"]), limits.metadata_default_age_ms);
        assert_eq!(lasts(&["public, max-age=60"]), 60_000);
        assert_eq!(lasts(&["Max-Age=\"60\""]), 60_000);
        assert_eq!(lasts(&["public", "max-age=60"]), 60_000);
        assert_eq!(lasts(&["max-age=999999999"]), limits.metadata_max_age_ms);
        assert_eq!(lasts(&["max-age=99999999999999999999"]), 0);
        for never in ["no-store", "no-cache, max-age=60", "max-age=60, No-Store", "max-age=0", "max-age=-1"] {
            assert_eq!(lasts(&[never]), 0, "{never}");
        }
    }
}
