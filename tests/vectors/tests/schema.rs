//! The JSON Schema says what the engine writes and what it reads: no more, no less.

use std::collections::BTreeSet;

use grantway_core::error::Code;
use grantway_core::limits::Limits;
use grantway_core::message;
use grantway_vectors::{directory, stored};
use jsonschema::Validator;
use serde_json::{Value, json};

/// The definitions that messages are held against.
const ENTRIES: [&str; 8] =
    ["begin", "engine", "effect", "reply", "outcome", "headers", "headers_answer", "vector"];

fn schema() -> Value {
    let path = directory().join("../messages.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The schema of one of its definitions.
fn definition(name: &str) -> Validator {
    let mut schema = schema();
    assert!(schema["$defs"].get(name).is_some(), "{name}");
    schema["$ref"] = json!(format!("#/$defs/{name}"));
    jsonschema::draft202012::new(&schema).unwrap()
}

fn check(validator: &Validator, message: &Value, place: &str) {
    let errors: Vec<_> =
        validator.iter_errors(message).map(|e| format!("{} at {}", e, e.instance_path())).collect();
    assert!(errors.is_empty(), "{place}: {errors:#?}");
}

fn vectors() -> Vec<Value> {
    stored().iter().map(|vector| serde_json::from_str(&vector.text()).unwrap()).collect()
}

#[test]
fn the_schema_is_one_and_every_definition_is_used() {
    let schema = schema();
    assert!(jsonschema::draft202012::meta::is_valid(&schema));
    let text = schema.to_string();
    for name in schema["$defs"].as_object().unwrap().keys() {
        let entry = ENTRIES.contains(&name.as_str());
        let result =
            name.strip_suffix("_ok").is_some_and(|operation| message::OPERATIONS.contains(&operation));
        assert!(entry || result || text.contains(&format!("\"#/$defs/{name}\"")), "{name}");
    }
    for operation in message::OPERATIONS {
        assert!(text.contains(&format!("\"#/$defs/{operation}_arguments\"")), "{operation}");
    }
}

#[test]
fn every_recorded_message_is_as_the_schema_says() {
    let vector_schema = definition("vector");
    for vector in vectors() {
        let name = vector["name"].as_str().unwrap();
        check(&vector_schema, &vector, name);
        let outcome = &vector["steps"].as_array().unwrap().last().unwrap()["outcome"];
        if let Some(ok) = outcome.get("ok") {
            let operation = vector["begin"]["operation"].as_str().unwrap();
            check(&definition(&format!("{operation}_ok")), ok, name);
        }
    }
}

/// The same message with something else wherever something can be: members taken out, added, and of every other type.
fn variants(message: &Value) -> Vec<Value> {
    let mut variants = vec![message.clone()];
    variants.extend([json!(null), json!(true), json!(7), json!(-1), json!(1.5), json!("text"), json!({})]);
    // LIMIT: within arguments, the reader's library also takes a list of a struct's members in order. Nobody is told so.
    variants.extend((!message.is_object()).then(|| json!([])));
    match message {
        Value::Object(members) => {
            for (name, value) in members {
                let mut less = members.clone();
                less.remove(name);
                variants.push(Value::Object(less));
                for variant in self::variants(value) {
                    let mut changed = members.clone();
                    changed.insert(name.clone(), variant);
                    variants.push(Value::Object(changed));
                }
            }
            let mut more = members.clone();
            more.insert("unheard_of".to_owned(), json!(1));
            variants.push(Value::Object(more));
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                for variant in self::variants(item) {
                    let mut changed = items.clone();
                    changed[at] = variant;
                    variants.push(Value::Array(changed));
                }
            }
            let mut longer = items.clone();
            longer.extend(items.first().cloned());
            variants.push(Value::Array(longer));
        }
        _ => {}
    }
    variants
}

/// Where reader and schema do not agree.
fn disagreements<E: std::fmt::Display>(
    definition_name: &str,
    messages: &BTreeSet<String>,
    read: impl Fn(&[u8]) -> Result<(), E>,
) -> Vec<String> {
    let validator = definition(definition_name);
    let (mut seen, mut accepted, mut found) = (BTreeSet::new(), 0, Vec::new());
    for message in messages {
        for variant in variants(&serde_json::from_str(message).unwrap()) {
            let text = variant.to_string();
            if !seen.insert(text.clone()) {
                continue;
            }
            let result = read(text.as_bytes());
            accepted += u32::from(result.is_ok());
            if validator.is_valid(&variant) != result.is_ok() {
                let said = result.map_or_else(|error| error.to_string(), |()| "accepted".to_owned());
                found.push(format!("reader: {said}: {text}"));
            }
        }
    }
    assert!(accepted > 0 && seen.len() > 10 * messages.len(), "{accepted} of {}", seen.len());
    found
}

/// These parts of all vectors; of those that differ in texts and numbers only, one.
fn parts(of: impl Fn(&Value) -> Vec<Value>) -> BTreeSet<String> {
    let mut shapes = BTreeSet::new();
    let all = vectors();
    let parts = all.iter().flat_map(|vector| of(vector).into_iter().map(|part| part.to_string()));
    parts.filter(|part| shapes.insert(shape(part))).collect()
}

#[test]
fn the_reader_of_replies_takes_what_the_schema_allows_and_nothing_else() {
    let replies = parts(|vector| {
        let steps = vector["steps"].as_array().unwrap();
        steps.iter().map(|step| step["reply"].clone()).collect()
    });
    let found = disagreements("reply", &replies, |json| message::reply(json).map(drop));
    assert!(found.is_empty(), "{}: {found:#?}", found.len());
}

/// The message with its texts and numbers taken out.
fn shape(message: &str) -> String {
    fn blank(value: &mut Value) {
        match value {
            Value::String(text) => text.clear(),
            Value::Number(_) => *value = json!(0),
            Value::Array(items) => {
                items.iter_mut().for_each(blank);
                items.dedup();
            }
            Value::Object(members) => members.values_mut().for_each(blank),
            Value::Null | Value::Bool(_) => {}
        }
    }
    let mut value = serde_json::from_str(message).unwrap();
    blank(&mut value);
    value.to_string()
}

#[test]
fn the_reader_of_requests_takes_what_the_schema_allows_and_nothing_else() {
    let engine = message::engine(parts(|v| vec![v["engine"].clone()]).first().unwrap().as_bytes()).unwrap();
    // The name of the operation is a member here, so that one of each remains.
    let requests = parts(|vector| {
        let begin = &vector["begin"];
        vec![json!({ begin["operation"].as_str().unwrap(): begin["arguments"] })]
    });
    let request = |part: &String| {
        let part: Value = serde_json::from_str(part).unwrap();
        let (operation, arguments) = part.as_object().unwrap().iter().next().unwrap();
        json!({ "operation": operation, "arguments": arguments }).to_string()
    };
    let requests = requests.iter().map(request).collect();
    let found = disagreements("begin", &requests, |json| message::begin(&engine, json).map(drop));
    assert!(found.is_empty(), "{}: {found:#?}", found.len());
}

#[test]
fn the_reader_of_configurations_takes_what_the_schema_allows_and_nothing_else() {
    let limits = |value: Value| {
        let names = limit_names().into_iter().map(|name| (name, value.clone()));
        Value::Object(names.collect())
    };
    let mut configurations = parts(|vector| vec![vector["engine"].clone()]);
    let mut whole: Value = serde_json::from_str(configurations.first().unwrap()).unwrap();
    whole["limits"] = limits(json!(3));
    whole["client_metadata_url"] = json!("https://gw.good/client.json");
    whole["danger_loopback_http"] = json!(true);
    whole["egress_enforced"] = json!(true);
    whole["profile"] = json!("strict");
    configurations.insert(whole.to_string());
    let found = disagreements("engine", &configurations, |json| match message::engine(json) {
        // What a value comes to is beyond the schema.
        Err(message::EngineError::Config(_) | message::EngineError::Keyring(_)) | Ok(_) => Ok(()),
        Err(error) => Err(error),
    });
    assert!(found.is_empty(), "{}: {found:#?}", found.len());
}

fn limit_names() -> Vec<String> {
    let text = format!("{:?}", Limits::default());
    let members = text.trim_start_matches("Limits { ").trim_end_matches(" }").split(", ");
    members.map(|member| member.split(':').next().unwrap().to_owned()).collect()
}

#[test]
fn the_schema_knows_every_limit_and_every_slug() {
    let schema = schema();
    let known: Vec<_> =
        schema["$defs"]["limits"]["properties"].as_object().unwrap().keys().cloned().collect();
    let mut names = limit_names();
    names.sort();
    assert_eq!(known, names);
    let slug = definition("slug");
    for code in Code::ALL {
        check(&slug, &json!(code.slug()), code.slug());
    }
}

#[test]
fn the_schema_knows_every_event() {
    let path = directory().join("../../core/src/event.rs");
    let code = std::fs::read_to_string(path).unwrap();
    let code = code.split_once("pub enum What {").unwrap().1.split_once("\n}").unwrap().0;
    let names = code.lines().filter_map(|line| {
        let name = line.strip_prefix("    ")?.trim_end_matches([',', '{', ' ']);
        let is_name = name.starts_with(|c: char| c.is_ascii_uppercase());
        (is_name && name.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(name)
    });
    let snake = |name: &str| {
        let mut snake = String::new();
        for letter in name.chars() {
            snake.extend((letter.is_ascii_uppercase() && !snake.is_empty()).then_some('_'));
            snake.push(letter.to_ascii_lowercase());
        }
        snake
    };
    let names: BTreeSet<_> = names.map(snake).collect();
    let what = &schema()["$defs"]["what"]["anyOf"];
    let mut known = BTreeSet::new();
    for event in what.as_array().unwrap() {
        let names = event["enum"].as_array().into_iter().flatten();
        known.extend(names.map(|name| name.as_str().unwrap().to_owned()));
        known.extend(event["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
    }
    assert_eq!(known, names);
    assert!(names.len() > 30);
}

#[test]
fn headers_are_given_for_what_the_credential_is_for_and_for_nothing_else() {
    let vector =
        stored().into_iter().find(|vector| vector.name == "resolve_draws_on_account_and_secret").unwrap();
    let engine = message::engine(vector.engine.get().as_bytes()).unwrap();
    let outcome = vector.steps.last().unwrap().outcome.as_ref().unwrap();
    let outcome: Value = serde_json::from_str(outcome.get()).unwrap();
    let moment = vector.steps[0].moment.moment();
    let ask = |url: &str| {
        let request = json!({ "resolution": outcome["ok"]["ready"], "method": "POST", "url": url });
        check(&definition("headers"), &request, url);
        let answer = message::headers(&engine, &moment, request.to_string().as_bytes()).unwrap();
        let answer = serde_json::from_slice(answer.expose()).unwrap();
        check(&definition("headers_answer"), &answer, url);
        answer
    };
    let names = |answer: &Value| -> Vec<String> {
        answer["ok"].as_array().unwrap().iter().map(|pair| pair[0].as_str().unwrap().to_owned()).collect()
    };
    for url in ["https://mcp.good/mcp", "https://mcp.good/mcp/below?x=1"] {
        assert_eq!(names(&ask(url)), ["Authorization", "X-Client"], "{url}");
    }
    // atk:AUD-06
    for url in [
        "https://mcp.good/other",
        "https://mcp.good/mcp/../other",
        "https://mcp.good.evil.example/mcp",
        "https://mcp.good:8443/mcp",
        "http://mcp.good/mcp",
        "https://user@mcp.good/mcp",
    ] {
        assert_eq!(ask(url)["failure"]["slug"], "config.url_not_covered", "{url}");
    }
}
