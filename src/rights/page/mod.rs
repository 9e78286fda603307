//! `/my-data`: where a visitor reads and uses their rights.
//!
//! Comes in: a request's head. Goes out: the page in English or Danish, its script and its style. The page needs no
//! account and no cookie: token and receipts come in the part of the address behind `#`, which browsers send to
//! nobody, or are pasted; the script sends them in request bodies to this collector alone. Nothing is rendered from
//! what a client sent, but for the site and the language, which are chosen from lists.

mod texts;

use std::fmt::Write as _;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, ETAG, HOST,
    HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use url::form_urlencoded;

use self::texts::TEXTS;
use crate::config::Sites;
use crate::policy::fields::FIELDS;
use crate::policy::language::Language;
use crate::route::{Reply, header, typed};

/// The page loads its own script and style and asks its own collector; nothing else, from nowhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = concat!(
    include_str!("../../../dashboards/web/ground.css"),
    include_str!("my-data.css"),
);

/// Tells whether a path is the page's, or of one of its files.
pub fn owns(path: &str) -> bool {
    matches!(path, "/my-data" | "/my-data.js" | "/my-data.css")
}

/// Answers a path that is [`owns`]ed.
pub fn answer(sites: &Sites, head: &Parts) -> Reply {
    match head.uri.path() {
        "/my-data.js" => file(
            head,
            "text/javascript; charset=utf-8",
            include_str!("my-data.js"),
        ),
        "/my-data.css" => file(head, "text/css; charset=utf-8", STYLE),
        _ => page(sites, head),
    }
}

fn page(sites: &Sites, head: &Parts) -> Reply {
    let query = head.uri.query().unwrap_or_default();
    let value = |wanted: &str| {
        form_urlencoded::parse(query.as_bytes())
            .find_map(|(key, value)| (key == wanted).then(|| value.into_owned()))
    };
    let language = value("lang")
        .and_then(|tag| Language::named(&tag))
        .or_else(|| Language::accepted(header(head, &ACCEPT_LANGUAGE).unwrap_or_default()))
        .unwrap_or_default();
    // A page on the site's own host need not say which site it is.
    let host = header(head, &HOST).map(|host| host.split(':').next().unwrap_or(host));
    let own = host.and_then(|host| sites.find(host));
    let site = value("site")
        .as_deref()
        .and_then(|name| sites.find(name))
        .or(own)
        .map(|site| site.id.as_str());
    let body = render(sites, site, own.map(|own| own.scope.as_str()), language);
    let mut reply = typed(
        StatusCode::OK,
        "text/html; charset=utf-8",
        Bytes::from(body),
    );
    let headers = reply.headers_mut();
    let set = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (VARY, "accept-language"),
    ];
    for (name, value) in set {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    reply
}

fn file(head: &Parts, media_type: &'static str, text: &'static str) -> Reply {
    let tag = format!("\"{}\"", &blake3::hash(text.as_bytes()).to_hex()[..16]);
    let is_known = header(head, &IF_NONE_MATCH) == Some(tag.as_str());
    let (status, body) = match is_known {
        true => (StatusCode::NOT_MODIFIED, Bytes::new()),
        false => (StatusCode::OK, Bytes::from_static(text.as_bytes())),
    };
    let mut reply = typed(status, media_type, body);
    let headers = reply.headers_mut();
    // Hexadecimal digits in quotes are a valid value.
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

/// Puts words, sites and language into the page. What this host keeps for its own pages is of scope `own`; what the
/// page keeps for any other scope stands apart, so that no site's key is sent with another's.
fn render(sites: &Sites, site: Option<&str>, own: Option<&str>, language: Language) -> String {
    let mut options = String::new();
    for one in sites.iter() {
        let selected = if Some(one.id.as_str()) == site {
            " selected"
        } else {
            ""
        };
        let name = one.domains.first().map_or(one.id.as_str(), String::as_str);
        // Ids and domains hold no character that means something in HTML.
        write!(
            options,
            "<option value=\"{}\" data-scope=\"{}\"{selected}>{name}</option>",
            one.id, one.scope
        )
        .unwrap_or_default();
    }
    // What a column holds is said in the words of the policy, and in its order; our own come last and win.
    let fields = || FIELDS.iter().filter(|field| field.table == "events");
    let mut words: serde_json::Map<String, serde_json::Value> = fields()
        .map(|field| {
            let key = format!("field_{}", field.column);
            (key, field.text(language).into())
        })
        .chain(
            TEXTS
                .iter()
                .map(|text| (text.key.to_owned(), text.of(language).into())),
        )
        .collect();
    let order: Vec<&str> = fields().map(|field| field.column).collect();
    words.insert("columns".into(), order.into());
    // "<" cannot end the element early.
    let words = serde_json::Value::Object(words)
        .to_string()
        .replace('<', "\\u003c");
    let mut html = include_str!("my-data.html").to_owned();
    for text in TEXTS {
        html = html.replace(&format!("{{{}}}", text.key), text.of(language));
    }
    html.replace("{lang}", language.tag())
        .replace("{site}", site.unwrap_or_default())
        .replace("{own}", own.unwrap_or_default())
        .replace("{sites}", &options)
        .replace("{words}", &words)
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;
    use crate::config::load;

    fn ask(uri: &str, language: &str) -> (Reply, String) {
        let sites = load::from_text(crate::config::REFERENCE, "test", &Default::default())
            .unwrap()
            .1
            .sites;
        let request = Request::get(uri).header("accept-language", language);
        let head = request.body(()).unwrap().into_parts().0;
        let site = head
            .uri
            .query()
            .and_then(|query| query.strip_prefix("site="));
        let tag = Language::accepted(language).unwrap_or_default();
        (page(&sites, &head), render(&sites, site, None, tag))
    }

    #[test]
    fn every_word_of_the_page_is_there_in_both_languages() {
        for language in ["en", "da"] {
            let (reply, html) = ask("/my-data?site=portal", language);
            assert_eq!(reply.headers()[CONTENT_LANGUAGE], language);
            assert!(html.contains(&format!("<html lang=\"{language}\"")));
            let body = html.split("application/json").next().unwrap();
            assert!(!body.contains('{'), "{body}");
        }
        for text in TEXTS {
            assert!(!text.en.is_empty() && !text.da.is_empty(), "{}", text.key);
            let placeholders = |text: &str| {
                let mut found: Vec<String> = text
                    .split('%')
                    .skip(1)
                    .step_by(2)
                    .map(str::to_owned)
                    .collect();
                found.sort();
                found
            };
            assert_eq!(placeholders(text.en), placeholders(text.da), "{}", text.key);
        }
        let script = include_str!("my-data.js");
        for word in script.split("T.").skip(1) {
            let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let key = &word[..end.unwrap_or(0)];
            assert!(
                key == "columns" || TEXTS.iter().any(|text| text.key == key),
                "T.{key}"
            );
        }
    }

    #[test]
    fn nothing_that_a_client_says_is_in_the_page() {
        let (reply, _) = ask("/my-data?site=%3Cscript%3E&lang=%3Cb%3E", "<i>");
        assert_eq!(reply.status(), StatusCode::OK);
        let policy = reply.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}
