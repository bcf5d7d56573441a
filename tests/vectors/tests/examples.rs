//! The examples of `spec/messages.md` are messages, and it leaves no operation, effect or argument out.

use grantway_core::message::{self, OPERATIONS};
use grantway_core::moment::{Moment, UnixMillis};
use grantway_vectors::directory;
use serde_json::{Value, json};

fn text(name: &str) -> String {
    std::fs::read_to_string(directory().join("..").join(name)).unwrap()
}

/// What stands after `json` at the opening of a block, and the block.
fn examples() -> Vec<(String, String)> {
    let page = text("messages.md");
    let mut blocks = page.split("\n```");
    blocks.next();
    let mut examples = Vec::new();
    while let (Some(block), Some(_)) = (blocks.next(), blocks.next()) {
        let (info, body) = block.split_once('\n').unwrap();
        if let Some(kind) = info.strip_prefix("json ") {
            examples.push((kind.to_owned(), body.to_owned()));
        }
    }
    assert!(examples.len() > 50);
    examples
}

fn schema() -> Value {
    serde_json::from_str(&text("messages.schema.json")).unwrap()
}

#[test]
fn every_example_is_as_the_schema_says_and_is_read_by_the_reader() {
    let mut engine = None;
    for (kind, example) in examples() {
        let definition = match kind.split_once(' ') {
            Some(("ok", operation)) => format!("{operation}_ok"),
            Some(_) => panic!("{kind}"),
            None => kind.clone(),
        };
        let mut schema = schema();
        schema["$ref"] = json!(format!("#/$defs/{definition}"));
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let value: Value =
            serde_json::from_str(&example).unwrap_or_else(|error| panic!("{error}: {example}"));
        let errors: Vec<_> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{kind}: {errors:?}: {example}");
        let json = example.as_bytes();
        match kind.as_str() {
            "engine" => engine = Some(message::engine(json).unwrap()),
            "begin" => drop(message::begin(engine.as_ref().unwrap(), json).unwrap()),
            "reply" => drop(message::reply(json).unwrap()),
            "headers" => {
                let moment = Moment::new(UnixMillis(0), [1; 32]);
                let answer = message::headers(engine.as_ref().unwrap(), &moment, json).unwrap();
                assert_eq!(
                    serde_json::from_slice::<Value>(answer.expose()).unwrap(),
                    json!({ "ok": [["Authorization", "Bearer …"]] })
                );
            }
            _ => {}
        }
    }
}

#[test]
fn every_operation_effect_and_reply_has_an_example() {
    let examples = examples();
    let has = |kind: &str, start: &str| {
        examples.iter().any(|(of, example)| {
            let compact = serde_json::from_str::<Value>(example).unwrap().to_string();
            of == kind && compact.contains(start)
        })
    };
    for operation in OPERATIONS {
        assert!(has("begin", &format!("\"operation\":\"{operation}\"")), "{operation}");
        assert!(has(&format!("ok {operation}"), ""), "{operation}");
    }
    for kind in ["commit", "http", "identify", "read", "scan", "sleep"] {
        assert!(has("effect", &format!("{{\"{kind}\":")), "{kind}");
    }
    for kind in ["commit", "http", "identity", "read", "scan", "woke"] {
        assert!(has("reply", &format!("{{\"{kind}\":")), "{kind}");
    }
}

#[test]
fn the_page_names_every_argument_and_every_member() {
    let (page, schema) = (text("messages.md"), schema());
    let members = |definition: &str| -> Vec<String> {
        schema["$defs"][definition]["properties"].as_object().unwrap().keys().cloned().collect()
    };
    for operation in OPERATIONS {
        let name = format!("`{operation}`");
        let section = page.split("\n### ").find(|section| section.lines().next().unwrap().contains(&name));
        let section = section.unwrap_or_else(|| panic!("no section on {operation}"));
        for member in members(&format!("{operation}_arguments")) {
            assert!(section.contains(&format!("`{member}`")), "{operation}: {member}");
        }
    }
    for definition in [
        "engine",
        "gateway",
        "gateway_resource",
        "gateway_request",
        "signed_in",
        "caller",
        "connector",
        "identify",
        "http",
        "write",
        "failure",
    ] {
        for member in members(definition) {
            assert!(page.contains(&format!("`{member}`")), "{definition}: {member}");
        }
    }
}
