//! README, "Wire": `src/openapi.yaml` describes the whole public wire. Every path of it answers here, every answer
//! fits it, and every answer it names is met.

mod faults;

use std::collections::BTreeSet;

use brine::outcome::Outcome;
use hyper::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Brine, Builder, FIREFOX};

/// The file, with its anchors resolved.
struct Description {
    root: Value,
    /// Answers met: path, method, status.
    met: BTreeSet<(String, String, String)>,
}

impl Description {
    fn read(text: &str) -> Description {
        let mut yaml: serde_yaml_ng::Value = serde_yaml_ng::from_str(text).expect("YAML");
        yaml.apply_merge().expect("merge keys");
        Description {
            root: serde_json::to_value(yaml).expect("JSON"),
            met: BTreeSet::new(),
        }
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => {
                let pointer = reference.strip_prefix('#').expect("a local reference");
                let found = self.root.pointer(pointer);
                self.resolve(found.unwrap_or_else(|| panic!("{reference} leads nowhere")))
            }
            None => value,
        }
    }

    /// Checks an answer against the operation at `template`.
    fn check(&mut self, template: &str, method: &str, answer: &Answer) {
        let status = answer.status.as_u16().to_string();
        let place = format!("{method} {template} {status}");
        let operation = &self.root["paths"][template][method.to_lowercase()];
        assert!(operation.is_object(), "{place} is not described");
        let response = self.resolve(&operation["responses"][&status]);
        assert!(
            response.is_object(),
            "{place} is not described: {}",
            answer.text()
        );
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let header = self.resolve(header);
            match answer.headers.get(name.as_str()) {
                Some(value) => {
                    let value = json!(value.to_str().expect("ASCII"));
                    self.fits(&header["schema"], &value, &format!("{place} {name}"));
                }
                None => assert_ne!(header["required"], json!(true), "{place} lacks {name}"),
            }
        }
        // 304 and HEAD have no body, and keep the type of what they stand for.
        if !answer.body.is_empty() {
            let sent = answer.headers.get("content-type").expect("a type");
            let essence = sent
                .to_str()
                .expect("ASCII")
                .split(';')
                .next()
                .expect("one");
            let content = &response["content"][essence];
            assert!(content.is_object(), "{place} is not described as {essence}");
            if let Some(schema) = content.get("schema") {
                self.fits(schema, &answer.json(), &place);
            }
        } else if response.get("content").is_some() {
            panic!("{place} has no body");
        }
        self.met
            .insert((template.to_owned(), method.to_lowercase(), status));
    }

    /// Checks the body of a request that is to be understood.
    fn check_request(&self, template: &str, method: &str, body: &str) {
        let operation = &self.root["paths"][template][method.to_lowercase()];
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let body: Value = serde_json::from_str(body).expect("JSON");
        self.fits(schema, &body, &format!("{method} {template}, request"));
    }

    #[track_caller]
    fn fits(&self, schema: &Value, value: &Value, place: &str) {
        if let Err(reason) = self.fault(schema, value) {
            panic!("{place}: {reason}\n{value:#}");
        }
    }

    /// JSON Schema (draft 2020-12), as much of it as the file uses; a keyword not known here is a fault of the test.
    fn fault(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let schema = self.resolve(schema);
        for (keyword, wanted) in schema.as_object().ok_or("a schema is an object")? {
            let is_met = match keyword.as_str() {
                "description" => true,
                "type" => {
                    let names = wanted
                        .as_array()
                        .cloned()
                        .unwrap_or_else(|| vec![wanted.clone()]);
                    names
                        .iter()
                        .any(|name| is_of(name.as_str().expect("a name"), value))
                }
                "const" => value == wanted,
                "enum" => wanted.as_array().expect("a list").contains(value),
                "anyOf" => wanted
                    .as_array()
                    .expect("a list")
                    .iter()
                    .any(|one| self.fault(one, value).is_ok()),
                "required" => value.as_object().is_none_or(|value| {
                    let names = wanted.as_array().expect("a list").iter();
                    names
                        .into_iter()
                        .all(|name| value.contains_key(name.as_str().expect("a name")))
                }),
                "additionalProperties" => {
                    assert_eq!(wanted, false, "nothing else is used");
                    let known = schema["properties"].as_object().expect("properties");
                    value
                        .as_object()
                        .is_none_or(|value| value.keys().all(|key| known.contains_key(key)))
                }
                "properties" => {
                    for (name, schema) in wanted.as_object().expect("properties") {
                        if let Some(value) = value.get(name) {
                            self.fault(schema, value)
                                .map_err(|fault| format!("{name}: {fault}"))?;
                        }
                    }
                    true
                }
                "items" => {
                    for item in value.as_array().into_iter().flatten() {
                        self.fault(wanted, item)?;
                    }
                    true
                }
                "pattern" => value.as_str().is_none_or(|text| {
                    regex::Regex::new(wanted.as_str().expect("a pattern"))
                        .expect("a pattern")
                        .is_match(text)
                }),
                "minLength" => value
                    .as_str()
                    .is_none_or(|text| text.len() as u64 >= wanted.as_u64().expect("n")),
                "maxLength" => value
                    .as_str()
                    .is_none_or(|text| text.len() as u64 <= wanted.as_u64().expect("n")),
                "minItems" => value
                    .as_array()
                    .is_none_or(|list| list.len() as u64 >= wanted.as_u64().expect("n")),
                "maxItems" => value
                    .as_array()
                    .is_none_or(|list| list.len() as u64 <= wanted.as_u64().expect("n")),
                "maxProperties" => value
                    .as_object()
                    .is_none_or(|map| map.len() as u64 <= wanted.as_u64().expect("n")),
                "minimum" => value
                    .as_f64()
                    .is_none_or(|n| n >= wanted.as_f64().expect("n")),
                "maximum" => value
                    .as_f64()
                    .is_none_or(|n| n <= wanted.as_f64().expect("n")),
                other => panic!("the keyword {other} is not checked here"),
            };
            if !is_met {
                return Err(format!("{keyword} {wanted} is not met"));
            }
        }
        Ok(())
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        other => panic!("no type {other}"),
    }
}

/// Sends requests and holds the answers against the description.
struct Caller<'a> {
    brine: &'a Brine,
    description: Description,
}

const WEBSITE: &str = "94db1cb1-74f4-4a40-ad6c-962362670409";
const JSON: (&str, &str) = ("content-type", "application/json");
const AGENT: (&str, &str) = ("user-agent", FIREFOX);
const ORIGIN: (&str, &str) = ("origin", "https://portal.example.test");

impl Caller<'_> {
    /// Sends to `path`, which is described at `template`.
    async fn at(
        &mut self,
        template: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let name = method.to_string();
        let answer = self.brine.request(method, path, headers, body).await;
        self.description.check(template, &name, &answer);
        answer
    }

    async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let template = path.split('?').next().expect("a path").to_owned();
        self.at(&template, Method::GET, path, headers, "").await
    }

    /// A request that is to be understood.
    async fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.description.check_request(path, "POST", body);
        self.bad(path, headers, body).await
    }

    /// Any other.
    async fn bad(&mut self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.at(
            path,
            Method::POST,
            path,
            &[&[JSON, AGENT], headers].concat(),
            body,
        )
        .await
    }
}

/// With the wires of other clients on.
fn wires(builder: Builder) -> Builder {
    builder
        .replace("id = \"android\"", "id = \"android\"\nmatomo_id = \"7\"")
        .replace("matomo_id = \"\"", "matomo_id = \"6\"")
        .replace("umami_id = \"\"", &format!("umami_id = \"{WEBSITE}\""))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_of_the_description_answers_and_every_answer_fits_it() {
    let brine = wires(Builder::new())
        .set("LIMITS__ADDRESS_PER_MINUTE", "60")
        .set("LIMITS__ADDRESS_BURST", "60")
        .set("LIMITS__CONSENT_PER_MINUTE", "60")
        .set("LIMITS__RIGHTS_PER_MINUTE", "60")
        .set("SERVER__MAX_BATCH_BYTES", "65536")
        .start();
    let text = brine
        .request(Method::GET, "/openapi.yaml", &[], "")
        .await
        .text();
    let mut caller = Caller {
        description: Description::read(&text),
        brine: &brine,
    };
    assert_eq!(caller.description.root["openapi"], "3.1.1");
    let codes: Vec<&str> = Outcome::ALL.iter().map(|outcome| outcome.code()).collect();
    assert_eq!(
        caller.description.root["components"]["schemas"]["Outcome"]["enum"],
        json!(codes)
    );

    consent(&mut caller).await;
    events(&mut caller).await;
    batches(&mut caller).await;
    other_wires(&mut caller).await;
    subject(&mut caller).await;
    pages(&mut caller).await;
    // Last, because nothing is answered after it: each limit is met.
    limits(&mut caller).await;

    let description = faults::meet(caller.description).await;
    let described = operations(&description.root);
    let missing: Vec<_> = described.difference(&description.met).collect();
    assert!(
        missing.is_empty(),
        "described, and never answered: {missing:?}"
    );
}

/// The router and the file name the same paths.
#[test]
fn no_path_of_the_router_is_left_out_of_the_description() {
    let root = Description::read(brine::route::OPENAPI).root;
    let read = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        std::fs::read_to_string(path).expect("the router")
    };
    let source = read("src/route.rs") + &read("src/route/apps.rs");
    let literal = regex::Regex::new(r#""(/[a-z.\-_/]{3,})""#).expect("a pattern");
    let paths: BTreeSet<&str> = literal
        .captures_iter(&source)
        .map(|found| found.get(1).expect("one").as_str())
        .collect();
    assert!(paths.contains("/api/event") && paths.len() > 6, "{paths:?}");
    for path in paths {
        assert!(root["paths"].get(path).is_some(), "{path} is not described");
    }
}

fn operations(root: &Value) -> BTreeSet<(String, String, String)> {
    let mut all = BTreeSet::new();
    for (path, methods) in root["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            for status in operation["responses"]
                .as_object()
                .expect("responses")
                .keys()
            {
                all.insert((path.clone(), method.clone(), status.clone()));
            }
        }
    }
    all
}

async fn consent(caller: &mut Caller<'_>) {
    let path = "/api/consent";
    let grant = r#"{"site":"portal","choice":"grant","purposes":["measurement"],"source":"test"}"#;
    let answer = caller.post(path, &[ORIGIN], grant).await;
    let token = answer.json()["token"].as_str().expect("a token").to_owned();
    caller
        .post(path, &[ORIGIN], r#"{"site":"portal","choice":"deny"}"#)
        .await;
    let with = |choice: &str, more: &str| {
        format!(r#"{{"site":"portal","choice":"{choice}","token":"{token}"{more}}}"#)
    };
    caller.post(path, &[ORIGIN], &with("status", "")).await;
    caller
        .post(
            path,
            &[ORIGIN],
            r#"{"site":"portal","choice":"grant","policy":999}"#,
        )
        .await
        .expect(409, "consent.lapsed");
    caller
        .post(path, &[ORIGIN], &with("withdraw", ""))
        .await
        .expect(204, "accepted");
    caller
        .post(path, &[ORIGIN], &with("withdraw", r#","erase":true"#))
        .await;
    caller
        .bad(path, &[ORIGIN], r#"{"site":"portal"}"#)
        .await
        .expect(400, "beacon.malformed");
    caller
        .post(path, &[ORIGIN], r#"{"site":"nobody","choice":"deny"}"#)
        .await
        .expect(404, "site.unknown");
    caller
        .post(path, &[("origin", "https://elsewhere.test")], grant)
        .await
        .expect(403, "site.origin");
    caller
        .bad(path, &[ORIGIN], &"x".repeat(100_000))
        .await
        .expect(413, "beacon.too_large");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    caller
        .at(path, Method::POST, path, &form, "a=b")
        .await
        .expect(415, "beacon.media_type");
    caller.at(path, Method::OPTIONS, path, &[ORIGIN], "").await;
}

async fn events(caller: &mut Caller<'_>) {
    let path = "/api/event";
    let token = caller.brine.consent("portal").await;
    let event = |more: &str| {
        format!(
            r#"{{"n":"pageview","u":"https://portal.example.test/a","d":"portal","c":"{token}"{more}}}"#
        )
    };
    let full = r#","r":"https://news.example.org/","p":{"plan":"pro","n":3},"$":{"amount":"9.50","currency":"EUR"},"i":true,
        "e":900,"sd":40,"w":1200,"id":"one","s":{"id":"v","started":1795258800000},"rv":"2-7","rc":true,"wv":{"lcp":812.5}"#;
    let answer = caller.post(path, &[], &event(full)).await;
    assert!(
        answer.headers.contains_key("brine-receipt"),
        "{:?}",
        answer.headers
    );
    caller
        .post(
            path,
            &[],
            &event("").replace(&token, &token.replace(&token[10..14], "AAAA")),
        )
        .await;
    caller
        .bad(path, &[], "{}")
        .await
        .expect(400, "beacon.malformed");
    caller
        .post(path, &[("origin", "https://elsewhere.test")], &event(""))
        .await
        .expect(403, "site.origin");
    caller
        .post(path, &[], &event("").replace("\"portal\"", "\"nobody\""))
        .await
        .expect(404, "site.unknown");
    caller
        .bad(path, &[], &"x".repeat(100_000))
        .await
        .expect(413, "beacon.too_large");
    caller
        .at(
            path,
            Method::POST,
            path,
            &[("content-type", "image/png")],
            "x",
        )
        .await
        .expect(415, "beacon.media_type");
    caller.at(path, Method::OPTIONS, path, &[ORIGIN], "").await;

    let pixel = "/pixel.gif?d=portal&u=https%3A%2F%2Fportal.example.test%2F";
    let cookie = format!("brine_consent={token}");
    caller
        .get(pixel, &[AGENT, ("cookie", &cookie)])
        .await
        .expect(202, "accepted");
    caller
        .get(pixel, &[AGENT])
        .await
        .expect(204, "consent.missing");
    caller
        .get(
            "/pixel.gif?d=portal&u=nowhere",
            &[AGENT, ("cookie", &cookie)],
        )
        .await
        .expect(400, "beacon.url");
    caller
        .get(
            "/pixel.gif?d=nobody&u=https%3A%2F%2Fx.test%2F",
            &[AGENT, ("cookie", &cookie)],
        )
        .await
        .expect(404, "site.unknown");
    caller.brine.wait_drained().await;
}

async fn batches(caller: &mut Caller<'_>) {
    let path = "/api/events";
    let grant = r#"{"site":"windows","choice":"grant","source":"app"}"#;
    let answer = caller.post("/api/consent", &[], grant).await;
    let token = answer.json()["token"].as_str().expect("a token").to_owned();
    let batch = |events: &str| {
        format!(
            r#"{{"site":"windows","consent":"{token}","sent_at":1795258800000,"receipts":true,
            "device":{{"platform":"windows","app_version":"4.2.1","os":"Windows 11","mac":"00:1b:44:11:3a:b7"}},"events":[{events}]}}"#
        )
    };
    let one = r#"{"id":"a","ts":1795258799000,"screen":"/orders","visit":{"id":"v","started":1795258790000}}"#;
    let old = r#"{"id":"b","ts":1,"screen":"/orders"}"#;
    let sent = caller.post(path, &[], &batch(one)).await;
    assert_eq!(
        sent.json()["receipts"].as_array().map(Vec::len),
        Some(1),
        "{}",
        sent.text()
    );
    caller
        .post(path, &[], &batch(one))
        .await
        .expect(202, "accepted");
    let mixed = batch(&format!(
        r#"{{"id":"c","name":"Export","props":{{"n":1}}}},{old}"#
    ));
    caller
        .post(path, &[], &mixed)
        .await
        .expect(200, "batch.mixed");
    let without = batch(one).replace(&format!(r#""consent":"{token}","#), "");
    caller
        .post(path, &[], &without)
        .await
        .expect(204, "consent.missing");
    caller
        .bad(path, &[], r#"{"site":"windows"}"#)
        .await
        .expect(400, "beacon.malformed");
    let whose = batch(one).replace(
        r#""events""#,
        r#""visitor":{"address":"203.0.113.9"},"events""#,
    );
    caller.post(path, &[], &whose).await.expect(403, "site.key");
    caller
        .post(
            path,
            &[],
            &batch(one).replace("\"windows\",\"c", "\"nobody\",\"c"),
        )
        .await
        .expect(404, "site.unknown");
    caller
        .bad(path, &[], &"x".repeat(100_000))
        .await
        .expect(413, "beacon.too_large");
    caller
        .at(
            path,
            Method::POST,
            path,
            &[("content-type", "image/png")],
            "x",
        )
        .await
        .expect(415, "beacon.media_type");
    caller.at(path, Method::OPTIONS, path, &[ORIGIN], "").await;
}

async fn other_wires(caller: &mut Caller<'_>) {
    let token = caller.brine.consent("portal").await;
    let packed = ("content-encoding", "br");
    for path in ["/matomo.php", "/piwik.php"] {
        let view = format!("{path}?idsite=7&rec=1&url=app%3A%2F%2Fandroid%2Fa");
        caller.at(path, Method::GET, &view, &[AGENT], "").await;
        caller
            .at(
                path,
                Method::GET,
                &format!("{view}&send_image=0"),
                &[AGENT],
                "",
            )
            .await;
        caller
            .at(path, Method::GET, &view.replace("=7", "=8"), &[AGENT], "")
            .await
            .expect(404, "site.unknown");
        caller.at(path, Method::POST, &view, &[AGENT], "").await;
        caller
            .at(
                path,
                Method::POST,
                &format!("{view}&send_image=0"),
                &[AGENT],
                "",
            )
            .await;
        let bulk = r#"{"requests":["?idsite=7&rec=1&url=app%3A%2F%2Fandroid%2Fa"]}"#;
        caller
            .at(path, Method::POST, path, &[JSON, AGENT], bulk)
            .await;
        caller
            .at(
                path,
                Method::POST,
                path,
                &[JSON, AGENT],
                r#"{"requests":[]}"#,
            )
            .await
            .expect(400, "beacon.malformed");
        caller
            .at(path, Method::POST, &view.replace("=7", "=8"), &[AGENT], "")
            .await
            .expect(404, "site.unknown");
        caller
            .at(
                path,
                Method::POST,
                path,
                &[AGENT, JSON],
                &"x".repeat(100_000),
            )
            .await
            .expect(413, "beacon.too_large");
        caller
            .at(path, Method::POST, path, &[AGENT, JSON, packed], "x")
            .await
            .expect(415, "beacon.encoding");
        let elsewhere = [AGENT, ("origin", "https://elsewhere.test")];
        for method in [Method::GET, Method::POST] {
            let view = view.replace("=7", "=6");
            caller.at(path, method, &view, &elsewhere, "").await;
        }
    }
    let path = "/api/send";
    let payload = |website: &str| {
        format!(
            r#"{{"type":"event","payload":{{"website":"{website}","hostname":"portal.example.test","url":"/a","consent":"{token}"}}}}"#
        )
    };
    caller
        .at(path, Method::POST, path, &[JSON, AGENT], &payload(WEBSITE))
        .await;
    caller
        .at(path, Method::POST, path, &[JSON, AGENT], "{}")
        .await
        .expect(400, "beacon.malformed");
    caller
        .at(path, Method::POST, path, &[JSON, AGENT], &payload("nobody"))
        .await
        .expect(404, "site.unknown");
    let elsewhere = [JSON, AGENT, ("origin", "https://elsewhere.test")];
    caller
        .at(path, Method::POST, path, &elsewhere, &payload(WEBSITE))
        .await
        .expect(403, "site.origin");
    caller
        .at(
            path,
            Method::POST,
            path,
            &[JSON, AGENT],
            &"x".repeat(100_000),
        )
        .await
        .expect(413, "beacon.too_large");
    caller
        .at(path, Method::POST, path, &[JSON, AGENT, packed], "x")
        .await
        .expect(415, "beacon.encoding");
    caller.at(path, Method::OPTIONS, path, &[ORIGIN], "").await;
}

async fn subject(caller: &mut Caller<'_>) {
    let path = "/api/subject";
    let token = caller.brine.consent("portal").await;
    let event = format!(
        r#"{{"n":"a","u":"https://portal.example.test/a","d":"portal","c":"{token}","p":{{"k":"v"}},"rc":true}}"#
    );
    let answer = caller.post("/api/event", &[], &event).await;
    let receipt = answer.headers["brine-receipt"]
        .to_str()
        .expect("ASCII")
        .split(' ')
        .next()
        .expect("one")
        .to_owned();
    caller.brine.wait_drained().await;
    let ask = |action: &str, more: &str| {
        format!(r#"{{"site":"portal","action":"{action}","token":"{token}"{more}}}"#)
    };
    let seen = caller
        .post(
            path,
            &[ORIGIN],
            &ask("see", &format!(r#","receipts":["{receipt}"]"#)),
        )
        .await;
    assert_eq!(seen.json()["rows"], 1, "{}", seen.text());
    caller.post(path, &[], &ask("restrict", "")).await;
    caller.post(path, &[], &ask("unrestrict", "")).await;
    caller
        .post(
            path,
            &[],
            &ask("correct", r#","property":"k","from":"v","to":"w""#),
        )
        .await;
    let bearer = format!("Bearer {token}");
    caller
        .get("/api/subject?site=portal", &[("authorization", &bearer)])
        .await;
    let erased = caller
        .at(
            path,
            Method::DELETE,
            "/api/subject?site=portal",
            &[("authorization", &bearer)],
            "",
        )
        .await;
    let request = erased.json()["request"]
        .as_str()
        .expect("a number")
        .to_owned();
    caller
        .post(
            path,
            &[],
            &format!(r#"{{"site":"portal","action":"status","request":"{request}"}}"#),
        )
        .await;
    caller
        .bad(path, &[], r#"{"x":1}"#)
        .await
        .expect(400, "beacon.malformed");
    caller
        .post(path, &[], &ask("see", "").replace("portal", "nobody"))
        .await
        .expect(404, "site.unknown");
    caller
        .post(
            path,
            &[("origin", "https://elsewhere.test")],
            &ask("see", ""),
        )
        .await
        .expect(403, "site.origin");
    caller
        .bad(path, &[], &"x".repeat(100_000))
        .await
        .expect(413, "beacon.too_large");
    caller
        .at(
            path,
            Method::POST,
            path,
            &[("content-type", "image/png")],
            "x",
        )
        .await
        .expect(415, "beacon.media_type");
    caller.at(path, Method::OPTIONS, path, &[ORIGIN], "").await;
    for method in [Method::GET, Method::DELETE] {
        caller
            .at(path, method.clone(), "/api/subject", &[], "")
            .await
            .expect(404, "site.unknown");
        caller
            .at(path, method.clone(), "/api/subject?site=portal", &[], "")
            .await
            .expect(400, "beacon.malformed");
        let elsewhere = [
            ("origin", "https://elsewhere.test"),
            ("authorization", &bearer),
        ];
        caller
            .at(path, method, "/api/subject?site=portal", &elsewhere, "")
            .await
            .expect(403, "site.origin");
    }
}

async fn pages(caller: &mut Caller<'_>) {
    for (template, path) in [
        ("/brine.js", "/brine.js"),
        ("/brine/{script}.js", "/brine/banner.js"),
        ("/policy", "/policy?site=portal&lang=da"),
        ("/policy.json", "/policy.json?site=portal"),
        ("/policy/versions", "/policy/versions"),
        ("/policy/{version}", "/policy/1?site=portal"),
        ("/my-data", "/my-data"),
        ("/.well-known/gpc.json", "/.well-known/gpc.json"),
    ] {
        let answer = caller.at(template, Method::GET, path, &[], "").await;
        let operation = &caller.description.root["paths"][template]["get"];
        if operation["responses"]["304"].is_null() {
            continue;
        }
        let tag = answer
            .headers
            .get("etag")
            .unwrap_or_else(|| panic!("{path} has no tag"));
        let known = [("if-none-match", tag.to_str().expect("ASCII"))];
        caller.at(template, Method::GET, path, &known, "").await;
    }
    caller
        .get("/policy", &[("accept", "application/json")])
        .await;
    for (template, path) in [
        ("/brine/{script}.js", "/brine/nothing.js"),
        ("/policy", "/policy?site=nobody"),
        ("/policy.json", "/policy.json?site=nobody"),
        ("/policy/versions", "/policy/versions?site=nobody"),
        ("/policy/{version}", "/policy/99?site=portal"),
    ] {
        caller.at(template, Method::GET, path, &[], "").await;
    }
    for path in ["/openapi.yaml", "/health", "/ready"] {
        caller.get(path, &[]).await;
    }
}

/// Asks until each limit is reached.
async fn limits(caller: &mut Caller<'_>) {
    let windows = app_token(caller, "windows").await;
    let android = app_token(caller, "android").await;
    let from = [JSON, AGENT, ("x-forwarded-for", "203.0.113.9")];
    for (method, path, body) in [
        (Method::POST, "/api/subject", "[]"),
        (Method::GET, "/api/subject?site=portal", ""),
        (Method::DELETE, "/api/subject?site=portal", ""),
        (
            Method::POST,
            "/api/consent",
            r#"{"site":"portal","choice":"deny"}"#,
        ),
        (Method::POST, "/api/events", "batch"),
        (Method::POST, "/api/send", "umami"),
        (Method::GET, "/matomo.php", "matomo"),
        (Method::POST, "/matomo.php", "matomo"),
        (Method::GET, "/piwik.php", "matomo"),
        (Method::POST, "/piwik.php", "matomo"),
        (Method::POST, "/api/event", "event"),
        (Method::GET, "/pixel.gif", "event"),
    ] {
        let template = path.split('?').next().expect("a path");
        let token = caller.brine.consent("portal").await;
        let cookie = format!("brine_consent={token}");
        let event =
            format!(r#"{{"n":"a","u":"https://portal.example.test/","d":"portal","c":"{token}"}}"#);
        let query = "/pixel.gif?d=portal&u=https%3A%2F%2Fportal.example.test%2F";
        let view =
            format!("{path}?idsite=7&rec=1&url=app%3A%2F%2Fandroid%2Fa&brine_consent={android}");
        let batch =
            format!(r#"{{"site":"windows","consent":"{windows}","events":[{{"screen":"/a"}}]}}"#);
        let umami = format!(
            r#"{{"type":"event","payload":{{"website":"{WEBSITE}","hostname":"portal.example.test","url":"/a","consent":"{token}"}}}}"#
        );
        let (path, body) = match body {
            "event" if method == Method::POST => (path, event.as_str()),
            "event" => (query, ""),
            "batch" => (path, batch.as_str()),
            "umami" => (path, umami.as_str()),
            "matomo" => (view.as_str(), ""),
            _ => (path, body),
        };
        let headers = [&from[..], &[("cookie", &cookie)]].concat();
        let mut is_limited = false;
        for _ in 0..200 {
            let body = if method == Method::POST { body } else { "" };
            let answer = caller
                .at(template, method.clone(), path, &headers, body)
                .await;
            is_limited = answer.status == 429;
            if is_limited {
                break;
            }
        }
        assert!(is_limited, "{method} {path} has no limit");
    }
}

async fn app_token(caller: &mut Caller<'_>, site: &str) -> String {
    let grant = format!(r#"{{"site":"{site}","choice":"grant","source":"app"}}"#);
    let answer = caller.post("/api/consent", &[], &grant).await;
    answer.json()["token"].as_str().expect("a token").to_owned()
}
