//! A browser's tab on the admin listener: cookies kept and sent, forms filled in as they were served, no redirect followed.

use std::collections::BTreeMap;

use hyper::Method;
use url::form_urlencoded;

use super::{Answer, Brine};

/// A password that passes every rule.
pub const PASSWORD: &str = "tre røde bænke 4711";

/// One browser: its cookies, and where it claims to come from.
#[derive(Clone, Default)]
pub struct Tab {
    pub cookies: BTreeMap<String, String>,
    /// Further headers of every request.
    pub headers: Vec<(String, String)>,
}

impl Tab {
    pub fn new() -> Tab {
        Tab::default()
    }

    /// A browser behind the proxy at 127.0.0.1, with an address of its own.
    pub fn at(address: &str) -> Tab {
        Tab {
            headers: vec![("x-forwarded-for".into(), address.into())],
            ..Tab::default()
        }
    }

    pub async fn get(&mut self, brine: &Brine, path: &str) -> Answer {
        self.send(brine, Method::GET, path, &[], "").await
    }

    /// Asks the query API as the dashboard's script does.
    pub async fn query(&mut self, brine: &Brine, body: &str) -> Answer {
        let headers = [
            ("content-type", "application/json"),
            ("sec-fetch-site", "same-origin"),
        ];
        self.send(brine, Method::POST, "/api/v1/query", &headers, body)
            .await
    }

    /// Sends a form just as it is given.
    pub async fn post(&mut self, brine: &Brine, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("sec-fetch-site", "same-origin"),
        ];
        self.send(brine, Method::POST, path, &headers, &form.finish())
            .await
    }

    /// Opens a page, fills in its form and sends it.
    pub async fn fill(
        &mut self,
        brine: &Brine,
        page: &str,
        action: &str,
        fields: &[(&str, &str)],
    ) -> Answer {
        let proof = proof(&self.get(brine, page).await.text());
        let mut all = vec![("form", proof.as_str())];
        all.extend_from_slice(fields);
        self.post(brine, action, &all).await
    }

    /// Signs in; the answer says whether that worked.
    pub async fn sign_in(&mut self, brine: &Brine, name: &str, password: &str) -> Answer {
        let fields = [("name", name), ("password", password)];
        self.fill(brine, "/login", "/login", &fields).await
    }

    pub fn is_in(&self) -> bool {
        self.cookies.contains_key("brine_session")
    }

    async fn send(
        &mut self,
        brine: &Brine,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let jar: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let jar = jar.join("; ");
        let mut all = headers.to_vec();
        if !jar.is_empty() {
            all.push(("cookie", &jar));
        }
        for (name, value) in &self.headers {
            all.retain(|(other, _)| other != name);
            all.push((name, value));
        }
        let answer = brine
            .try_request(brine.admin, method, path, &all, body)
            .await
            .expect("an answer");
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().expect("ASCII");
            let (pair, rest) = cookie.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a value");
            match rest.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.into(), value.into()),
            };
        }
        answer
    }
}

/// Finds what a page's forms carry.
pub fn proof(page: &str) -> String {
    let rest = page.split_once("name=\"form\" value=\"");
    let proof = rest.and_then(|(_, rest)| rest.split_once('"'));
    proof
        .unwrap_or_else(|| panic!("no form in {page}"))
        .0
        .to_owned()
}

impl Brine {
    /// Returns the path of the set-up link that it printed.
    pub fn setup(&self) -> String {
        let printed = self.directory.join("printed");
        let started = std::time::Instant::now();
        loop {
            let text = std::fs::read_to_string(&printed).unwrap_or_default();
            if let Some(link) = text
                .lines()
                .rev()
                .find_map(|l| l.strip_prefix("set-up http://"))
            {
                return link[link.find('/').expect("a path")..].to_owned();
            }
            assert!(
                started.elapsed() < super::PATIENCE,
                "no set-up link: {text}"
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Adds a user by the command, with [`PASSWORD`].
    pub fn add_user(&self, name: &str, more: &[&str]) {
        let output = self.command_with(&[&["users", "add", name], more].concat(), PASSWORD);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
    }

    /// Runs a command beside it that prints one line, and returns that.
    pub fn told(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout)
            .expect("UTF-8")
            .trim_end()
            .to_owned()
    }
}
