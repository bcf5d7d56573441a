//! What holds of every page, whatever stands in its model.

use std::collections::BTreeSet;

use scraper::{ElementRef, Html, Selector};

use super::examples::Examples;
use super::html::STYLE;
use super::words::{machine_time, time};
use super::{DisplayName, MessagePage, Page};
use crate::downstream::config::GatewayConfig;
use crate::downstream::response::Response;
use crate::engine::{Engine, EngineConfig};
use crate::store::{Keyring, SealingKey};

/// What texts begin with that would be more than text: each of these, alone and behind what could end the place that it stands in.
const HOSTILE: [&str; 25] = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<math><mi xlink:href=\"javascript:alert(1)\">x</mi></math>",
    "<iframe srcdoc=\"<script>alert(1)</script>\">",
    "<a href=\"javascript:alert(1)\">x</a>",
    "<form action=https://evil.example method=post><button>Approve</button>",
    "<input name=form_token value=mine>",
    "<button formaction=https://evil.example>Approve</button>",
    "<meta http-equiv=refresh content=\"0;url=https://evil.example\">",
    "<base href=https://evil.example/>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<style>*{display:none}</style>",
    "<plaintext>",
    "<template><p>x</template>",
    "<!-- ",
    "<![CDATA[x]]>",
    "<?xml version=\"1.0\"?>",
    " onfocus=alert(1) autofocus x=",
    " style=display:none formaction=https://evil.example x=",
    "{{ page.form.form_token }}{% raw %}",
    "&lt;script&gt;alert(1)&lt;/script&gt;&#60;b&#x3e;&quot;",
    "javascript:alert(1)//\u{2028}'-alert(1)-'",
    "\u{202e}\u{0}\u{8}\r\nVerified by Acme\u{421}",
];

const ENDS: [&str; 8] = [
    "",
    "\"",
    "'",
    "\">",
    "'>",
    "--></title></style></script></main>",
    "</code></dd></dl></button></form>",
    "`>\\\"\\'>",
];

fn payloads() -> impl Iterator<Item = String> {
    ENDS.iter().flat_map(|end| HOSTILE.iter().map(move |hostile| format!("{end}{hostile}")))
}

fn parsed(html: &str) -> Html {
    Html::parse_document(html)
}

fn all<'a>(html: &'a Html, what: &str) -> Vec<ElementRef<'a>> {
    html.select(&Selector::parse(what).unwrap()).collect()
}

fn text(element: ElementRef<'_>) -> String {
    element.text().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every element in its order, with its attributes and what stands in them, other than what a form sends.
fn shape(html: &Html) -> Vec<String> {
    let attributes = |element: ElementRef<'_>| {
        let attributes = element.value().attrs().filter(|(name, _)| *name != "value");
        let attributes: BTreeSet<String> =
            attributes.map(|(name, value)| format!(" {name}={value}")).collect();
        let sent = element.attr("value").map_or("", |_| " value");
        format!("{}{sent}{}", element.value().name(), attributes.into_iter().collect::<String>())
    };
    all(html, "*").into_iter().map(attributes).collect()
}

#[test]
fn examples_are_the_same_every_time_and_named_apart() {
    let names: BTreeSet<_> = Page::examples().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), Page::examples().len());
    assert_eq!(Page::examples(), Page::examples());
    for (name, page) in Page::examples() {
        assert_eq!(page.html(), page.html(), "{name}");
    }
}

// atk:CON-12
//= spec/mcp-best-practices.md#consent-ui-requirements
//= type=test
//# The consent page MUST name the client, the oauth scopes asked for upstream and the registered redirect
//# URI, take its answer with protection against CSRF, and refuse to be framed (CON-03, B/S).
#[test]
fn two_hundred_hostile_texts_in_every_text_of_every_page_change_no_element_attribute_or_url() {
    assert_eq!(payloads().count(), 200);
    // A name that is doubtful brings a warning along; its counterpart has to be one as well.
    let [sound, doubtful] = ["harmless", "harm\u{200b}less"].map(|text| shapes(&|_| text.to_owned()));
    for payload in payloads() {
        let plain = if DisplayName::new(&payload).is_suspicious() { &doubtful } else { &sound };
        for (plain, hostile) in plain.iter().zip(shapes(&|_| payload.clone())) {
            assert_eq!(plain, &hostile, "{payload:?}");
        }
    }
}

/// Of each page with a text in all places: its name, its elements, its style.
fn shapes(text: &dyn Fn(&str) -> String) -> Vec<(&'static str, Vec<String>, String)> {
    let pages = Examples { text, url: &str::to_owned }.all().into_iter();
    let shape_of = |(name, page): (&'static str, Page)| {
        // The style is the most of a page, and would be read two hundred times.
        let page = parsed(&page.html().replacen(STYLE, "* {}", 1));
        (name, shape(&page), all(&page, "style").into_iter().map(self::text).collect())
    };
    pages.map(shape_of).collect()
}

// atk:CON-12
#[test]
fn an_address_that_is_neither_a_path_of_ours_nor_https_becomes_no_link() {
    let wrong = [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "\tjavascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "blob:https://gw.example/x",
        "http://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "/\t/evil.example/",
        "/\n/evil.example/",
        "https:evil",
        "https://user:secret@evil.example/",
        "evil",
        "",
    ];
    for address in wrong.iter().map(|&address| address.to_owned()).chain(payloads().step_by(9)) {
        let pages = Examples { text: &str::to_owned, url: &|_: &str| address.clone() }.all();
        for (name, page) in pages {
            for (element, to) in addresses(&parsed(&page.html().replacen(STYLE, "", 1))) {
                // An empty action is the page itself.
                assert!(
                    element == "form" && to.is_empty(),
                    "{name}: {element} leads to {to:?} of {address:?}"
                );
            }
        }
    }
}

/// All that a click, a form, a refresh or the loading of a part leads to.
fn addresses(html: &Html) -> Vec<(String, String)> {
    const LEADING: [&str; 12] = [
        "href",
        "src",
        "srcset",
        "action",
        "formaction",
        "data",
        "poster",
        "background",
        "ping",
        "cite",
        "manifest",
        "xlink:href",
    ];
    let mut found = Vec::new();
    for element in all(html, "*") {
        let name = element.value().name().to_owned();
        found
            .extend(LEADING.iter().filter_map(|at| element.attr(at)).map(|to| (name.clone(), to.to_owned())));
        if element.attr("http-equiv").is_some() {
            let (_, to) = element.attr("content").unwrap().split_once("url=").unwrap();
            found.push((name, to.to_owned()));
        }
    }
    found
}

#[test]
fn pages_lead_to_paths_of_ours_and_load_nothing() {
    for (name, page) in Page::examples() {
        let html = page.html();
        let page = parsed(&html);
        assert!(page.errors.is_empty(), "{name}: {:?}", page.errors);
        for (element, to) in addresses(&page) {
            assert!(["a", "form", "meta"].contains(&element.as_str()), "{name}: {element} leads to {to}");
            assert!(to.starts_with('/') && !to.starts_with("//"), "{name}: {element} leads to {to}");
        }
        let forbidden =
            "script, link, img, iframe, object, embed, base, svg, audio, video, [style], [onclick], [target]";
        assert!(all(&page, forbidden).is_empty(), "{name}");
        assert!(!html.contains("url("), "{name}: the style loads something");
        assert!(!html.contains("@import"), "{name}: the style loads something");
    }
}

//= spec/mcp-best-practices.md#consent-ui-requirements
//= type=test
//# The consent page MUST name the client, the oauth scopes asked for upstream and the registered redirect
//# URI, take its answer with protection against CSRF, and refuse to be framed (CON-03, B/S).
#[test]
fn every_form_is_a_post_with_one_form_token() {
    let mut forms = 0;
    for (name, page) in Page::examples() {
        let page = parsed(&page.html());
        for form in all(&page, "form") {
            forms += 1;
            assert_eq!(form.attr("method"), Some("post"), "{name}");
            let tokens: Vec<_> = form.select(&Selector::parse("[name=form_token]").unwrap()).collect();
            assert_eq!(tokens.len(), 1, "{name}: {}", form.html());
            assert_eq!(tokens[0].attr("type"), Some("hidden"), "{name}");
            assert_eq!(tokens[0].attr("value"), Some("5JmT0c9rQ3u2f1Zt6m8YxA"), "{name}");
            assert_eq!(form.select(&Selector::parse("button").unwrap()).count(), 1, "{name}");
        }
        let outside = all(&page, "button, input").len();
        assert_eq!(
            all(&page, "form button, form input").len(),
            outside,
            "{name}: a control outside of a form"
        );
    }
    assert!(forms > 40, "{forms}");
}

#[test]
fn pages_have_a_language_a_title_landmarks_labels_and_headings_in_order() {
    for (name, page) in Page::examples() {
        let page = parsed(&page.html());
        let one = |what: &str| {
            let found = all(&page, what);
            assert_eq!(found.len(), 1, "{name}: {what}");
            found[0]
        };
        assert_eq!(one("html").attr("lang"), Some("en"));
        assert!(text(one("title")).ends_with(" – Acme Tools"), "{name}");
        one("main h1");
        one("header");
        one("meta[name=viewport]");
        let mut level = 0;
        for heading in all(&page, "h1, h2, h3, h4, h5, h6") {
            let next: u32 = heading.value().name()[1..].parse().unwrap();
            assert!(next <= level + 1, "{name}: {} under a heading of level {level}", heading.html());
            assert!(!text(heading).is_empty(), "{name}");
            level = next;
        }
        let mut ids = BTreeSet::new();
        for element in all(&page, "[id]") {
            assert!(ids.insert(element.attr("id").unwrap()), "{name}: two of {}", element.html());
        }
        for reference in ["aria-labelledby", "aria-describedby", "for"] {
            for element in all(&page, &format!("[{reference}]")) {
                assert!(ids.contains(element.attr(reference).unwrap()), "{name}: {}", element.html());
            }
        }
        for input in all(&page, "input:not([type=hidden]), select, textarea") {
            let label = format!("label[for=\"{}\"]", input.attr("id").unwrap());
            assert_eq!(all(&page, &label).len(), 1, "{name}: {}", input.html());
        }
        for button in all(&page, "button, a") {
            assert!(!text(button).is_empty(), "{name}: {}", button.html());
        }
    }
}

fn engine() -> std::sync::Arc<Engine> {
    let bytes = |seed: u8| std::array::from_fn(|at| (at as u8).wrapping_mul(7).wrapping_add(seed));
    let config = EngineConfig {
        base_url: Some("https://gw.example".to_owned()),
        gateway: Some(GatewayConfig::new("/mcp")),
        ..EngineConfig::new("t")
    };
    Engine::new(config, Keyring::new(SealingKey::new(1, bytes(1)), bytes(2)).unwrap()).unwrap()
}

// atk:CON-11
//= spec/oauth21.md#7-10
//= type=test
//# Login, consent and error pages MUST refuse to stand in another page, by CSP `frame-ancestors` and by
//# `X-Frame-Options` (AS-12, S).
//= spec/mcp-best-practices.md#consent-ui-requirements
//= type=test
//# The consent page MUST name the client, the oauth scopes asked for upstream and the registered redirect
//# URI, take its answer with protection against CSRF, and refuse to be framed (CON-03, B/S).
#[test]
fn every_page_refuses_frames_scripts_and_whatever_is_elsewhere() {
    let engine = engine();
    for (name, page) in Page::examples() {
        let response = Response::page(&engine, 400, page.clone());
        let header = |name: &str| response.header(name).unwrap_or_default().to_owned();
        assert_eq!(header("Content-Type"), "text/html; charset=utf-8", "{name}");
        assert_eq!(header("X-Frame-Options"), "DENY", "{name}");
        assert_eq!(header("X-Content-Type-Options"), "nosniff", "{name}");
        assert_eq!(header("Referrer-Policy"), "same-origin", "{name}");
        assert_eq!(header("Cross-Origin-Opener-Policy"), "same-origin", "{name}");
        assert_eq!(header("Cache-Control"), "no-store", "{name}");
        assert_eq!(header("Strict-Transport-Security"), "max-age=31536000", "{name}");
        assert_eq!(response.header("Access-Control-Allow-Origin"), None, "{name}");
        assert_eq!(response.body.expose(), page.html().as_bytes(), "{name}");
        let policy = header("Content-Security-Policy");
        let directives: Vec<_> = policy.split("; ").collect();
        let style = style_hash(&page.html());
        assert_eq!(
            directives,
            ["default-src 'none'", style.as_str(), "base-uri 'none'", "frame-ancestors 'none'"],
            "{name}"
        );
        assert_eq!(response.page, Some(page));
    }
}

/// The directive that lets the one style of a page stand, and no other.
fn style_hash(html: &str) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    let page = parsed(html);
    let styles = all(&page, "style");
    assert_eq!(styles.len(), 1);
    let hash = sha2::Sha256::digest(styles[0].text().collect::<String>());
    format!("style-src 'sha256-{}'", base64::prelude::BASE64_STANDARD.encode(hash))
}

fn approval(name: &str) -> (super::ApprovePage, String) {
    let found = Page::examples().into_iter().find(|(have, _)| *have == name);
    let Some((_, Page::Approve(page))) = found else { panic!("there is no approval `{name}`") };
    let html = Page::Approve(page.clone()).html();
    (*page, text(all(&parsed(&html), "main")[0]))
}

//= spec/mcp-best-practices.md#consent-ui-requirements
//= type=test
//# The consent page MUST name the client, the oauth scopes asked for upstream and the registered redirect
//# URI, take its answer with protection against CSRF, and refuse to be framed (CON-03, B/S).
//= spec/mcp-2026-07-28.md#sec-localhost-redirect-uri-risks
//= type=test
//# The approval page MUST show plainly the host that the client is answered at, and SHOULD warn where that is
//# the person's own machine and name the host of the client's document (CON-04, S).
#[test]
fn the_approval_names_the_client_its_hosts_the_person_and_all_that_is_asked_for() {
    let (page, text) = approval("approve");
    let asked = page.scopes.iter().chain(page.staged.iter().flat_map(|service| &service.scopes));
    for shown in [
        page.client.name.as_str(),
        page.client.document_host.as_deref().unwrap(),
        &page.client.redirect_host,
        &page.client.redirect_uri,
        page.identity.id.as_str(),
        &page.resource,
        page.staged[0].name.as_str(),
        &page.staged[0].host,
        page.staged[0].account.as_ref().unwrap().as_str(),
    ]
    .into_iter()
    .chain(asked.map(String::as_str))
    {
        assert!(text.contains(shown), "{shown} is not in: {text}");
    }
    assert!(text.contains("Known to this site"));
    assert!(!text.contains("Look twice"));
    assert!(text.find("Approve Deny").is_some());
}

//= spec/mcp-2026-07-28.md#sec-localhost-redirect-uri-risks
//= type=test
//# The approval page MUST show plainly the host that the client is answered at, and SHOULD warn where that is
//# the person's own machine and name the host of the client's document (CON-04, S).
// atk:CON-10
#[test]
fn the_approval_warns_in_words_of_each_thing_to_be_wary_of_and_of_no_other() {
    let (calm, _) = approval("approve");
    let warnings =
        ["Nobody has checked", "Its name may mislead", "It answers on this computer", "which any app"];
    for wary in 0..16_u8 {
        let on = |at: u8| wary & (1 << at) != 0;
        let mut page = calm.clone();
        page.client.verified = !on(0);
        page.client.name = DisplayName::new(if on(1) { "\u{421}laude" } else { "Claude" });
        page.client.loopback = on(2);
        page.client.private_scheme = on(3);
        let html = Page::Approve(Box::new(page)).html();
        let text = text(all(&parsed(&html), "main")[0]);
        for (at, warning) in (0..).zip(warnings) {
            assert_eq!(text.contains(warning), on(at), "{warning} for {wary:04b}: {text}");
        }
        assert_eq!(text.contains("Look twice"), wary != 0);
    }
}

#[test]
fn a_client_that_registered_itself_is_said_to_be_nobodys() {
    let (_, text) = approval("approve-doubtful");
    assert!(text.contains("Nobody: it registered itself"), "{text}");
}

#[test]
fn a_form_about_somebody_elses_connection_says_whose_byte_for_byte() {
    let raw = "spiffe://acme/agent\u{200b}/".to_owned() + &"x".repeat(200);
    let id = |text: &str| if text == "support" { raw.clone() } else { text.to_owned() };
    let pages = Examples { text: &id, url: &str::to_owned }.all();
    let (_, page) = pages.into_iter().find(|(name, _)| *name == "connections").unwrap();
    let page = parsed(&page.html());
    let sent = |name: &str| -> BTreeSet<String> {
        let inputs = all(&page, &format!("form input[name={name}]")).into_iter();
        inputs.map(|input| input.attr("value").unwrap().to_owned()).collect()
    };
    assert_eq!(sent("owner"), BTreeSet::from([raw.clone()]));
    assert_eq!(sent("owner_kind"), BTreeSet::from(["team".to_owned()]));
    assert_eq!(sent("accept"), BTreeSet::from(["true".to_owned(), "false".to_owned()]));
}

#[test]
fn a_message_without_a_usable_link_has_none() {
    let (_, page) = Page::examples().into_iter().find(|(name, _)| *name == "message").unwrap();
    let Page::Message(page) = page else { panic!("not a message") };
    let link = |url: &str| {
        let link = page.link.clone().map(|link| super::Link { url: url.to_owned(), ..link });
        let html = Page::Message(Box::new(MessagePage { link, ..(*page).clone() })).html();
        all(&parsed(&html), "a").len()
    };
    assert_eq!(link("/connections"), 1);
    assert_eq!(link("https://docs.example/a?b=c"), 1);
    assert_eq!(link("javascript:alert(1)"), 0);
    assert_eq!(link("http://docs.example/"), 0);
}

#[test]
fn times_are_dates_of_the_calendar_in_utc() {
    for (millis, machine, people) in [
        (0, "1970-01-01T00:00:00Z", "1 January 1970, 00:00 UTC"),
        (951_782_399_999, "2000-02-28T23:59:59Z", "28 February 2000, 23:59 UTC"),
        (951_782_400_000, "2000-02-29T00:00:00Z", "29 February 2000, 00:00 UTC"),
        (1_709_251_199_000, "2024-02-29T23:59:59Z", "29 February 2024, 23:59 UTC"),
        (1_795_228_547_000, "2026-11-21T02:35:47Z", "21 November 2026, 02:35 UTC"),
        (4_107_542_400_000, "2100-03-01T00:00:00Z", "1 March 2100, 00:00 UTC"),
        (u64::MAX, "9999-12-31T23:59:59Z", "31 December 9999, 23:59 UTC"),
    ] {
        assert_eq!((machine_time(&millis).as_str(), time(&millis).as_str()), (machine, people));
    }
}
