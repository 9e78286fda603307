//! README, "Wire": `src/openapi.yaml` describes the whole public wire. Every path of it answers here, every answer
//! fits it, and every answer it names is met.

mod beacons;
mod description;
mod faults;
mod other_wires;
mod pages;
mod visitors;

use std::collections::BTreeSet;

use brine::outcome::Outcome;
use hyper::Method;
use serde_json::json;

use self::description::{Description, operations};
use crate::support::{Answer, Brine, Builder, FIREFOX};

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

    visitors::consent(&mut caller).await;
    beacons::events(&mut caller).await;
    beacons::batches(&mut caller).await;
    other_wires::other_wires(&mut caller).await;
    visitors::subject(&mut caller).await;
    pages::pages(&mut caller).await;
    // Last, because nothing is answered after it: each limit is met.
    pages::limits(&mut caller).await;

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

async fn app_token(caller: &mut Caller<'_>, site: &str) -> String {
    let grant = format!(r#"{{"site":"{site}","choice":"grant","source":"app"}}"#);
    let answer = caller.post("/api/consent", &[], &grant).await;
    answer.json()["token"].as_str().expect("a token").to_owned()
}
