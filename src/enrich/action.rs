//! What happened: an event's name, its properties, and whether a visitor did it.
//!
//! In: the name and properties of a beacon, and the page's path as it will be stored. Out: the same, masked
//! and bounded. Promised: an address that is a property's value (an outbound link, a downloaded file) is as
//! bare as the page's own: its host and masked path, without user name, query and fragment. Names and
//! properties of events that trackers send by themselves are those of Plausible's trackers, so that reports
//! written for them keep their words.

use compact_str::CompactString;

use super::mask::mask_cut;
use super::referrer;
use super::url::scrub_path;
use crate::beacon::{MAX_NAME, MAX_PROP_NAME, MAX_PROP_VALUE};

/// A link to somebody else's site was followed; property `url`.
pub const OUTBOUND_LINK: &str = "Outbound Link: Click";
/// A link to a file was followed; property `url`.
pub const FILE_DOWNLOAD: &str = "File Download";
/// A form was sent; property `path`, the page's.
pub const FORM_SUBMISSION: &str = "Form: Submission";
/// The page is the site's answer to an address that it does not have; property `path`, that address.
pub const NOT_FOUND: &str = "404";
/// Web vitals of one page view.
pub const WEB_VITALS: &str = "web_vitals";

/// A property, ready to be stored.
type Prop = (CompactString, CompactString);

/// Returns the name as it is stored. Few names make up nearly all events; they need no masking and no copy.
pub fn event_name(name: &str) -> CompactString {
    const FREQUENT: [&str; 7] = [
        "pageview",
        "engagement",
        WEB_VITALS,
        OUTBOUND_LINK,
        FILE_DOWNLOAD,
        FORM_SUBMISSION,
        NOT_FOUND,
    ];
    match FREQUENT.into_iter().find(|frequent| *frequent == name) {
        Some(frequent) => CompactString::const_new(frequent),
        None => mask_cut(name, MAX_NAME).into(),
    }
}

/// Tells whether an event of this name can end a bounce. What a browser reports of its own accord, and a page
/// that was not there, is nothing that a visitor did.
pub fn is_interactive(name: &str) -> bool {
    !matches!(name, "engagement" | WEB_VITALS | NOT_FOUND)
}

/// Returns the properties as they are stored. `path` is the page's, masked; the events that have it as a
/// property need not send it.
pub fn props(name: &str, path: &str, props: &[(String, String)]) -> Vec<Prop> {
    let mut stored: Vec<Prop> = props
        .iter()
        .map(|(key, value)| (mask_cut(key, MAX_PROP_NAME).into(), value_of(key, value)))
        .collect();
    let has_path = stored.iter().any(|(key, _)| key == "path");
    if matches!(name, FORM_SUBMISSION | NOT_FOUND) && !has_path {
        stored.push((CompactString::const_new("path"), path.into()));
    }
    stored
}

/// Returns the value of a property as it is stored; done again it changes nothing.
pub(crate) fn value_of(key: &str, value: &str) -> CompactString {
    let bare = if is_address(value) {
        // One that cannot be read as one of the web is held to the same.
        referrer::label(value).or_else(|| Some(bare_address(value)))
    } else if matches!(key, "url" | "path") && value.starts_with('/') {
        let end = value.find(['?', '#']).unwrap_or(value.len());
        Some(scrub_path(&value[..end], None))
    } else {
        None
    };
    match bare {
        Some(bare) => mask_cut(&bare, MAX_PROP_VALUE).into(),
        None => mask_cut(value, MAX_PROP_VALUE).into(),
    }
}

/// Tells whether a text begins like a web address, in any spelling that browsers take (WHATWG URL), or like an address of
/// another scheme.
fn is_address(text: &str) -> bool {
    let Some((scheme, _)) = text.trim_start().split_once("://") else {
        return false;
    };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// What stays of an address that is none of the web: no user, no password, and nothing behind a question mark.
fn bare_address(text: &str) -> CompactString {
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(name: &str, given: &[(&str, &str)]) -> Vec<(String, String)> {
        let given: Vec<_> = given
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        props(name, "/users/:number", &given)
            .into_iter()
            .map(|(key, value)| (key.into_string(), value.into_string()))
            .collect()
    }

    /// What stands in a link must not come in by a property after it was kept out of the page's address.
    #[test]
    fn an_address_in_a_property_is_as_bare_as_the_pages_own() {
        for (value, expected) in [
            (
                "https://www.shop.example/a/b?email=jane@doe.example&id=1#top",
                "shop.example/a/b",
            ),
            (
                "https://jane:secret@shop.example:8443/users/jane@doe.example",
                "shop.example/users/:email",
            ),
            ("HTTPS://shop.example/?token=1", "shop.example"),
            ("http://192.0.2.7/x", ":ip/x"),
            (
                "https://shop.example/o/123456789012",
                "shop.example/o/:number",
            ),
            ("http://?secret", "http://"),
        ] {
            assert_eq!(
                stored(OUTBOUND_LINK, &[("url", value)]),
                [("url".to_owned(), expected.to_owned())]
            );
        }
        assert_eq!(
            stored("Read", &[("url", "/a/b?id=1"), ("note", "why? because")]),
            [
                ("url".to_owned(), "/a/b".to_owned()),
                ("note".to_owned(), "why? because".to_owned())
            ]
        );
    }

    #[test]
    fn a_form_and_a_missing_page_tell_their_path() {
        let path = [("path".to_owned(), "/users/:number".to_owned())];
        assert_eq!(stored(FORM_SUBMISSION, &[]), path);
        assert_eq!(stored(NOT_FOUND, &[]), path);
        assert_eq!(
            stored(NOT_FOUND, &[("path", "/own?id=1")]),
            [("path".to_owned(), "/own".to_owned())]
        );
        assert_eq!(stored("Signup", &[]), []);
    }

    #[test]
    fn only_what_a_visitor_does_ends_a_bounce() {
        for name in ["engagement", "web_vitals", "404"] {
            assert!(!is_interactive(name), "{name}");
        }
        for name in ["pageview", "Form: Submission", "Signup"] {
            assert!(is_interactive(name), "{name}");
        }
    }
}
