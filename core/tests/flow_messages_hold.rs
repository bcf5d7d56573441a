//! Laws of the messages of a flow: parsers are total, what is written is read back, nothing unfit gets through.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use grantway_core::moment::UnixMillis;
use grantway_core::protocol::authorization::{
    AuthorizationAnswer, AuthorizationRequest, AuthorizationResponse, WrongIssuer,
};
use grantway_core::protocol::client_auth::{AuthMethod, ClientAuth};
use grantway_core::protocol::form::{self, Form};
use grantway_core::protocol::redirect_uri::RedirectUri;
use grantway_core::protocol::registration::{RegistrationError, RegistrationResponse};
use grantway_core::protocol::scopes::Scopes;
use grantway_core::protocol::token::{self, TOKEN_MAX_BYTES, TokenAnswer};
use grantway_core::protocol::url::{HttpUrl, PlainHttp};
use grantway_core::protocol::{id_token, retry_after, revocation};
use grantway_core::secret::Secret;
use proptest::prelude::*;

fn body_of(form: Form<'_>) -> String {
    String::from_utf8(form.into_body().expose().to_vec()).expect("a form body is ASCII")
}

fn pairs_of(text: &str) -> Vec<(String, String)> {
    form::pairs(text)
        .map(|pair| pair.map(|(name, value)| (name.into_owned(), value.into_owned())).expect("it is UTF-8"))
        .collect()
}

/// Any text, with the characters that mean something in forms, URLs and headers more often than chance.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-z&=+%:/?# \r\n]{0,40}", "(%[0-9a-fA-F]{2}|%|[a-z+]){0,12}"]
}

/// An object of members that token and registration endpoints send, with values of every type.
fn odd_object() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "access_token",
        "refresh_token",
        "token_type",
        "expires_in",
        "scope",
        "id_token",
        "error",
        "error_description",
        "client_id",
        "client_secret",
        "client_secret_expires_at",
        "token_endpoint_auth_method",
        "redirect_uris",
        "ok",
    ]);
    let value = prop_oneof![
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("text is JSON")),
        any::<i64>().prop_map(|number| number.to_string()),
        prop::sample::select(vec![
            "null",
            "true",
            "[]",
            "{}",
            "1e400",
            "-0.5",
            "[\"a\",null]",
            "\"Bearer\"",
            "\"at\"",
            "[\"a b\"]",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec((name, value), 0..8).prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

fn content_type() -> impl Strategy<Value = Option<&'static str>> {
    prop::sample::select(vec![
        None,
        Some("application/json"),
        Some("application/x-www-form-urlencoded"),
        Some("text/plain; charset=utf-8"),
        Some("tex\u{e9}/"),
    ])
}

/// What every token answer keeps to, whatever was sent.
fn check_answer(answer: &TokenAnswer) -> Result<(), TestCaseError> {
    if let TokenAnswer::Tokens(tokens) = answer {
        for token in [Some(&tokens.access_token), tokens.refresh_token.as_ref()].into_iter().flatten() {
            let text = token.expose();
            prop_assert!((1..=TOKEN_MAX_BYTES).contains(&text.len()));
            prop_assert!(text.bytes().all(|b| b.is_ascii_graphic()));
        }
        prop_assert_ne!(tokens.refresh_token.as_ref(), Some(&tokens.access_token));
        prop_assert!(tokens.scopes.as_ref().is_none_or(|scopes| !scopes.is_empty()));
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        text in text(),
        status in any::<u16>(),
        content_type in content_type(),
        now in any::<u64>(),
    ) {
        check_answer(&token::read(status, content_type, &bytes))?;
        check_answer(&token::read(status, content_type, text.as_bytes()))?;
        let _ = revocation::read(status, &bytes);
        let _ = RegistrationResponse::parse(&bytes);
        let _ = RegistrationError::read(&bytes);
        let _ = id_token::read(&Secret::new(text.as_str()), "i", "c");
        let _ = RedirectUri::new(text.as_str());
        let _ = AuthorizationResponse::parse(&text);
        let _ = retry_after::read(&text, UnixMillis(now));
        let _ = form::pairs(&text).count();
    }

    #[test]
    fn members_of_any_type_make_no_unfit_token(
        object in odd_object(),
        status in prop::sample::select(vec![200u16, 201, 302, 400, 401, 429, 500, 502, 503]),
        content_type in content_type(),
    ) {
        let answer = token::read(status, content_type, object.as_bytes());
        check_answer(&answer)?;
        prop_assert!(status < 300 || !matches!(answer, TokenAnswer::Tokens(_)));
        let _ = RegistrationResponse::parse(object.as_bytes());
        let _ = RegistrationError::read(object.as_bytes());
        let _ = revocation::read(status, object.as_bytes());
    }

    #[test]
    fn a_form_is_read_back_as_it_was_written(pairs in prop::collection::btree_map(text(), text(), 0..6)) {
        let mut form = Form::new();
        for (name, value) in &pairs {
            form.text(name, value.as_str()).expect("the names of a map are distinct");
            prop_assert!(form.text(name, "again").is_err());
        }
        let body = body_of(form);
        prop_assert!(body.bytes().all(|b| b.is_ascii_graphic()));
        prop_assert_eq!(pairs_of(&body).into_iter().collect::<BTreeMap<_, _>>(), pairs);
    }

    // atk:HDR-06
    #[test]
    fn basic_credentials_are_read_back_as_they_were_written(id in text(), secret in "(?s).{1,40}") {
        let secret = Secret::new(secret);
        let auth = ClientAuth {
            client_id: &id,
            method: AuthMethod::ClientSecretBasic,
            secret: Some(&secret),
            assertion: None,
        };
        let mut form = Form::new();
        let header = auth.apply(&mut form).expect("there is a secret").expect("basic has a header");
        let encoded = header.expose().strip_prefix("Basic ").expect("the scheme is Basic");
        let pair = String::from_utf8(BASE64_STANDARD.decode(encoded).expect("it is Base64")).expect("ASCII");
        let (given_id, given_secret) = pair.split_once(':').expect("a colon stands between them");
        let decoded = |part: &str| pairs_of(&format!("x={part}")).remove(0).1;
        prop_assert_eq!(decoded(given_id), id.as_str());
        prop_assert_eq!(decoded(given_secret), secret.expose());
        prop_assert_eq!(body_of(form), "");
    }

    // atk:URL-01
    #[test]
    fn an_authorization_url_says_what_was_asked_and_nothing_to_a_shell(
        client_id in text(),
        state in "[A-Za-z0-9_-]{22,60}",
        resource in prop::option::of(text()),
        scopes in prop::collection::btree_set("[!#-\\[\\]-~]{1,12}", 0..5),
        extra in prop::collection::btree_map("x[a-z$(]{0,6}", text(), 0..3),
    ) {
        let extra: Vec<_> = extra.into_iter().collect();
        let scopes = Scopes::from_tokens(scopes).expect("these are scopes");
        let redirect_uri = RedirectUri::new("http://127.0.0.1:33418/callback").expect("loopback");
        let endpoint = HttpUrl::parse("https://as.good/authorize?p=1", PlainHttp::Never).expect("https");
        let state = Secret::new(state);
        let request = AuthorizationRequest {
            endpoint: &endpoint,
            client_id: &client_id,
            redirect_uri: &redirect_uri,
            state: &state,
            code_challenge: "ch",
            resource: resource.as_deref(),
            scopes: &scopes,
            prompt_consent: false,
            extra: &extra,
        };
        let url = request.url().expect("no name is repeated");
        prop_assert!(url.bytes().all(|b| b.is_ascii_alphanumeric() || b":/?&=%.-_~".contains(&b)), "{}", url);

        let mut expected: Vec<(String, String)> = [
            ("p", "1"),
            ("response_type", "code"),
            ("client_id", &client_id),
            ("redirect_uri", redirect_uri.as_str()),
            ("state", state.expose()),
            ("code_challenge", "ch"),
            ("code_challenge_method", "S256"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        expected.extend(resource.clone().map(|resource| ("resource".to_owned(), resource)));
        expected.extend((!scopes.is_empty()).then(|| ("scope".to_owned(), scopes.to_string())));
        expected.extend(extra.clone());
        prop_assert_eq!(pairs_of(url.split_once('?').expect("it has a query").1), expected);
    }

    // atk:MIX-02
    #[test]
    fn a_callback_gives_back_exactly_what_the_issuer_wrote(
        code in "(?s).{1,30}",
        state in "(?s).{1,30}",
        iss in prop::option::of("(?s).{1,30}"),
        other_issuer in text(),
        order in Just(vec!["code", "state", "iss"]).prop_shuffle(),
        prefix in prop::sample::select(vec!["", "?", "/callback?", "https://gw.example/callback?"]),
    ) {
        let values = BTreeMap::from([("code", Some(&code)), ("state", Some(&state)), ("iss", iss.as_ref())]);
        let mut form = Form::new();
        for name in order {
            if let Some(value) = values[name] {
                form.text(name, value.as_str()).expect("each name comes once");
            }
        }
        let query = body_of(form);
        let parse = |query: &str| AuthorizationResponse::parse(&format!("{prefix}{query}"));

        let response = parse(&query).expect("it is whole");
        prop_assert_eq!(response.state().expose(), &state);
        let issuer = iss.as_deref().unwrap_or("https://as.good");
        prop_assert_eq!(response.answer_of(issuer, iss.is_some()), Ok(AuthorizationAnswer::Code(Secret::new(code))));

        if iss.as_ref().is_some_and(|iss| *iss != other_issuer) {
            let response = parse(&query).expect("it is whole");
            prop_assert_eq!(response.answer_of(&other_issuer, false), Err(WrongIssuer::Mismatch));
        }
        for name in ["code", "state"] {
            let forged = format!("{query}&{name}=x");
            prop_assert!(parse(&forged).is_err(), "{}", forged);
        }
    }

    #[test]
    fn json_and_form_answers_mean_the_same(
        access_token in "[!-~]{1,60}",
        refresh_token in prop::option::of("[!-~]{1,60}"),
        expires_in in prop::option::of(any::<u64>()),
        scope in "[a-z ]{0,30}",
    ) {
        let mut members = serde_json::Map::new();
        let mut form = Form::new();
        let digits = expires_in.map(|seconds| seconds.to_string());
        let pairs = [
            ("access_token", Some(&access_token)),
            ("refresh_token", refresh_token.as_ref()),
            ("expires_in", digits.as_ref()),
            ("scope", Some(&scope)),
        ];
        for (name, value) in pairs {
            if let Some(value) = value {
                members.insert(name.to_owned(), value.as_str().into());
                form.text(name, value.as_str()).expect("each name comes once");
            }
        }
        let json = serde_json::to_vec(&members).expect("texts are JSON");
        let form = body_of(form);
        let answer = token::read(200, Some("application/json"), &json);
        prop_assert!(matches!(answer, TokenAnswer::Tokens(_)), "{:?}", answer);
        prop_assert_eq!(token::read(200, Some(form::CONTENT_TYPE), form.as_bytes()), answer);
    }

    #[test]
    fn an_accepted_redirect_uri_is_https_or_loopback_and_has_a_path(
        text in "(http|https|HTTPS|javascript)://([a-z@:.\\\\]{0,8}|127\\.0\\.0\\.1|\\[::1\\]|localhost)(:[0-9]{1,5})?(/[a-z%?#. ]{0,8})?",
    ) {
        if let Ok(uri) = RedirectUri::new(text.as_str()) {
            prop_assert_eq!(uri.as_str(), &text);
            prop_assert!(uri.path().starts_with('/'));
            prop_assert!(text.starts_with("https://") || (text.starts_with("http://") && uri.is_loopback()));
            prop_assert!(!text.contains(['@', '#', '\\', ' ']));
        }
    }

    #[test]
    fn a_retry_time_is_neither_past_nor_more_than_a_day_ahead(
        value in prop_oneof!["[0-9]{1,25}", "(Mon|Tue), [0-9]{2} (Jan|Feb) [0-9]{4} [0-2][0-9]:[0-5][0-9]:00 GMT"],
        now in 0..u64::MAX / 2,
    ) {
        if let Some(at) = retry_after::read(&value, UnixMillis(now)) {
            prop_assert!((now..=now + 86_400_000).contains(&at.0));
        }
    }

    #[test]
    fn every_second_of_the_calendar_is_read_exactly(day in 0u64..200_000, second in 0u64..86_400) {
        let text = imf_fixdate(day, second);
        let at = UnixMillis((day * 86_400 + second) * 1000);
        let now = at.minus(60_000);
        prop_assert_eq!(retry_after::read(&text, now), Some(at), "{}", text);
    }
}

/// The date of a day since 1970, by walking the years and months.
fn imf_fixdate(day: u64, second: u64) -> String {
    const MONTHS: [(&str, u64); 12] = [
        ("Jan", 31),
        ("Feb", 28),
        ("Mar", 31),
        ("Apr", 30),
        ("May", 31),
        ("Jun", 30),
        ("Jul", 31),
        ("Aug", 31),
        ("Sep", 30),
        ("Oct", 31),
        ("Nov", 30),
        ("Dec", 31),
    ];
    let name = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][day as usize % 7];
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut left = day;
    for year in 1970.. {
        let leap = u64::from((year % 4 == 0 && year % 100 != 0) || year % 400 == 0);
        for (month, days) in MONTHS {
            let days = if month == "Feb" { days + leap } else { days };
            if left < days {
                return format!(
                    "{name}, {:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT",
                    left + 1
                );
            }
            left -= days;
        }
    }
    unreachable!("the years go on")
}
