//! `openapi.yaml`, read: which operations it names, and whether an answer or a request is as one of them says.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::Answer;

/// The file, with its anchors resolved.
pub(super) struct Description {
    pub(super) root: Value,
    /// Answers met: path, method, status.
    pub(super) met: BTreeSet<(String, String, String)>,
}

impl Description {
    pub(super) fn read(text: &str) -> Description {
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
    pub(super) fn check(&mut self, template: &str, method: &str, answer: &Answer) {
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
    pub(super) fn check_request(&self, template: &str, method: &str, body: &str) {
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

pub(super) fn operations(root: &Value) -> BTreeSet<(String, String, String)> {
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
