//! Refusals for people: what a program reads as a problem (RFC 9457), a browser shows as a page.
//!
//! Comes in: a request's head and the reply to it. Goes out: the same reply, or, where a page was asked for and the reply
//! is a problem, a page in the reader's language with status and headers of the problem: what went wrong, and what to do
//! next. Programs (`/api/`, and whoever does not ask for HTML) and scripts that fetch get the problem as it is.

use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER, VARY};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::gate::SEC_FETCH_MODE;
use super::http::{keep_language, language_of, local_path};
use super::page::{self, Frame, Message};
use crate::policy::language::Language;
use crate::route::{Reply, header, wants_page};

/// English and Danish.
type Said = (&'static str, &'static str);

/// What a refusal says to people where its status alone says too little.
#[derive(Clone, Copy, Debug)]
struct Told(Said);

/// Gives a refusal its own words for people.
pub(crate) fn told(mut refusal: Reply, en: &'static str, da: &'static str) -> Reply {
    refusal.extensions_mut().insert(Told((en, da)));
    refusal
}

/// A form that is of another session, or of none any more.
pub(crate) fn stale(refusal: Reply) -> Reply {
    told(
        refusal,
        "This form is of an earlier sign-in. Nothing was changed: open the page anew and send it again.",
        "Formularen er fra en tidligere session. Intet blev ændret: åbn siden igen, og send den igen.",
    )
}

/// A form that a page elsewhere has sent.
pub(crate) fn foreign(refusal: Reply) -> Reply {
    told(
        refusal,
        "This did not come from a page of brine, and changed nothing. If you meant it, open the page here and do it there.",
        "Dette kom ikke fra en af brines sider og har intet ændret. Var det meningen, så åbn siden her, og gør det dér.",
    )
}

/// Turns a problem into a page where a person has asked for one.
pub fn for_reader(head: &Parts, refusal: Reply) -> Reply {
    let is_problem = refusal
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/problem+json");
    // A script that fetches goes there itself when it gets no page.
    let is_opened = header(head, &SEC_FETCH_MODE).is_none_or(|mode| mode == "navigate");
    if !is_problem || !is_opened || !wants_page(head) || head.uri.path().starts_with("/api/") {
        return refusal;
    }
    let language = language_of(head);
    let status = refusal.status();
    let words = Words::of(status);
    let told = refusal.extensions().get::<Told>().map(|told| told.0);
    let text = told.unwrap_or(words.text);
    let wait = refusal.headers().get(RETRY_AFTER);
    let wait = wait.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
    let back = way_back(head);
    let (href, link) = match words.next {
        Next::Back => (back.clone(), ("Open the page anew", "Åbn siden igen")),
        Next::Again => (again(head, &back), ("Try again", "Prøv igen")),
        Next::Home => ("/".into(), ("To the numbers", "Til tallene")),
        Next::SignIn => ("/login".into(), ("Sign in", "Log ind")),
        Next::Elsewhere => (String::new(), ("", "")),
    };
    let path = head.uri.path();
    let page = Message {
        frame: Frame {
            language,
            title: language.pick(words.title.0, words.title.1),
            // The other language of a form that was refused is a page that is there.
            path: match head.method == Method::GET && !path.ends_with(".csv") {
                true => local_path(path).to_owned(),
                false => back,
            },
            ..Frame::default()
        },
        text: with_wait(language.pick(text.0, text.1), wait, language),
        href,
        link: language.pick(link.0, link.1),
    };
    let mut reply = keep_language(head, page::reply(status, language, &page));
    let headers = reply.headers_mut();
    for (name, value) in refusal.headers() {
        let is_its_own = *name == CONTENT_TYPE || *name == CONTENT_LENGTH;
        if !is_its_own && !headers.contains_key(name) {
            headers.append(name, value.clone());
        }
    }
    headers.append(VARY, HeaderValue::from_static("accept, sec-fetch-mode"));
    reply
}

fn with_wait(text: &str, wait_s: Option<u64>, language: Language) -> String {
    match wait_s {
        Some(wait_s) => language.pick(
            format!("{text} Try again in {wait_s} s."),
            format!("{text} Prøv igen om {wait_s} s."),
        ),
        None => text.to_owned(),
    }
}

/// The page that a refused request belongs to.
fn way_back(head: &Parts) -> String {
    let path = head.uri.path();
    match path {
        "/login" => return path.to_owned(),
        "/logout" => return "/account".into(),
        _ => {}
    }
    match path.strip_prefix("/d/") {
        Some(rest) => format!("/d/{}", rest.split('/').next().unwrap_or_default()),
        None => local_path(path).to_owned(),
    }
}

/// The same once more, where that is no form.
fn again(head: &Parts, back: &str) -> String {
    let asked = head
        .uri
        .path_and_query()
        .map_or("/", |asked| asked.as_str());
    match head.method == Method::GET {
        true => local_path(asked).to_owned(),
        false => back.to_owned(),
    }
}

/// Where a page leads from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// To what was asked for, once more.
    Again,
    /// To the page that it belongs to.
    Back,
    /// To another address, which the text names.
    Elsewhere,
    Home,
    SignIn,
}

/// What a status says to people.
struct Words {
    title: Said,
    text: Said,
    next: Next,
}

impl Words {
    fn of(status: StatusCode) -> Words {
        let (title, text, next) = match status {
            StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE => (
                ("Not understood", "Ikke forstået"),
                (
                    "Something in the address or in the form is not as it should be. Nothing was changed: go back, correct \
                     it and try again.",
                    "Noget i adressen eller formularen er ikke, som det skal være. Intet blev ændret: gå tilbage, ret det, \
                     og prøv igen.",
                ),
                Next::Back,
            ),
            StatusCode::UNAUTHORIZED => (
                ("You are not signed in", "Du er ikke logget ind"),
                (
                    "Your sign-in has ended, or there was none. Nothing was changed: sign in, and do it once more.",
                    "Dit log ind er udløbet, eller der var intet. Intet blev ændret: log ind, og gør det igen.",
                ),
                Next::SignIn,
            ),
            StatusCode::FORBIDDEN => (
                ("Refused", "Afvist"),
                (
                    "You may not do this, and nothing was changed. An admin of this brine can let you.",
                    "Det må du ikke, og intet blev ændret. En administrator af denne brine kan give dig lov.",
                ),
                Next::Back,
            ),
            StatusCode::NOT_FOUND => (
                ("Not found", "Ikke fundet"),
                (
                    "There is no such page, or it is one that you may not see. Go on from the numbers, or ask an admin to \
                     let you see it.",
                    "Siden findes ikke, eller du må ikke se den. Gå videre fra tallene, eller bed en administrator om at \
                     give dig adgang.",
                ),
                Next::Home,
            ),
            StatusCode::METHOD_NOT_ALLOWED => (
                ("Only for forms", "Kun til formularer"),
                (
                    "This address is where a form is sent to. Open the page that has the form.",
                    "Adressen er der, hvor en formular sendes hen. Åbn den side, formularen står på.",
                ),
                Next::Back,
            ),
            StatusCode::REQUEST_TIMEOUT => (
                ("Not complete", "Ikke fuldstændigt"),
                (
                    "What you sent did not arrive whole and in time. Nothing was changed: open the page and send it again.",
                    "Det, du sendte, nåede ikke helt frem i tide. Intet blev ændret: åbn siden, og send det igen.",
                ),
                Next::Back,
            ),
            StatusCode::CONFLICT => (
                ("Changed meanwhile", "Ændret i mellemtiden"),
                (
                    "Somebody has changed this since you opened the page. Nothing of yours was changed: open it anew.",
                    "Nogen har ændret dette, siden du åbnede siden. Intet af dit blev ændret: åbn siden igen.",
                ),
                Next::Back,
            ),
            StatusCode::PAYLOAD_TOO_LARGE => (
                ("Too much", "For meget"),
                (
                    "The form holds more than is taken. Nothing was changed: shorten it and send it again.",
                    "Formularen indeholder mere, end der tages imod. Intet blev ændret: gør den kortere, og send den igen.",
                ),
                Next::Back,
            ),
            StatusCode::MISDIRECTED_REQUEST => (
                ("Not by this name", "Ikke under dette navn"),
                (
                    "brine does not go by the name in your address bar. Open it by the address that access.url in its \
                     configuration names, or, on its own machine, by localhost.",
                    "brine kendes ikke under navnet i adresselinjen. Åbn den på den adresse, som access.url i dens \
                     konfiguration nævner, eller på dens egen maskine som localhost.",
                ),
                Next::Elsewhere,
            ),
            StatusCode::UNPROCESSABLE_ENTITY => (
                ("This takes too long", "Det tager for lang tid"),
                (
                    "Counting this takes longer than a query may. Go back and choose a shorter period.",
                    "Det tager længere tid at tælle, end en forespørgsel må tage. Gå tilbage, og vælg en kortere periode.",
                ),
                Next::Back,
            ),
            StatusCode::TOO_MANY_REQUESTS => (
                ("Wait a little", "Vent lidt"),
                (
                    "That was too often in a short time. Wait a little before you go on.",
                    "Det var for ofte på kort tid. Vent lidt, før du går videre.",
                ),
                Next::Again,
            ),
            StatusCode::SERVICE_UNAVAILABLE => (
                ("Not just now", "Ikke lige nu"),
                (
                    "brine cannot do this now, and nothing is lost. If it stays so, tell whoever runs it: the log says why.",
                    "brine kan ikke gøre det nu, og intet er tabt. Bliver det ved, så sig det til den, der driver den: \
                     loggen siger hvorfor.",
                ),
                Next::Again,
            ),
            _ => (
                ("Something went wrong", "Noget gik galt"),
                (
                    "The fault is brine's, not yours. Try again; if it stays so, tell whoever runs it: the log says why.",
                    "Fejlen er brines, ikke din. Prøv igen; bliver det ved, så sig det til den, der driver den: loggen siger \
                     hvorfor.",
                ),
                Next::Again,
            ),
        };
        Words { title, text, next }
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;
    use crate::route::problem;

    fn head(method: Method, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    const BROWSER: (&str, &str) = ("accept", "text/html,*/*;q=0.8");

    #[test]
    fn who_asks_for_a_page_gets_one_and_programs_get_the_problem() {
        let kind = |uri: &str, headers: &[(&str, &str)]| {
            let refusal = problem(StatusCode::NOT_FOUND, None, "no such path");
            let reply = for_reader(&head(Method::GET, uri, headers), refusal);
            assert_eq!(reply.status(), StatusCode::NOT_FOUND);
            reply.headers()[CONTENT_TYPE].to_str().unwrap().to_owned()
        };
        assert!(kind("/x", &[BROWSER]).starts_with("text/html"));
        assert!(kind("/x", &[BROWSER, ("sec-fetch-mode", "navigate")]).starts_with("text/html"));
        for (uri, headers) in [
            ("/x", &[][..]),
            ("/x", &[("accept", "*/*")]),
            ("/x", &[("accept", "application/json")]),
            ("/x", &[BROWSER, ("sec-fetch-mode", "cors")]),
            ("/api/v1/query", &[BROWSER]),
        ] {
            assert_eq!(
                kind(uri, headers),
                "application/problem+json",
                "{uri} {headers:?}"
            );
        }
    }

    /// What a reply was told to say to clients stands: cookies, how long to wait, which methods there are.
    #[test]
    fn a_page_keeps_what_the_refusal_says_in_headers() {
        let mut refusal = problem(StatusCode::TOO_MANY_REQUESTS, None, "wait");
        refusal.headers_mut().insert(RETRY_AFTER, 7.into());
        refusal
            .headers_mut()
            .insert("set-cookie", HeaderValue::from_static("a=b"));
        let reply = for_reader(&head(Method::GET, "/", &[BROWSER]), refusal);
        assert_eq!(reply.headers()[RETRY_AFTER], "7");
        assert_eq!(reply.headers()["set-cookie"], "a=b");
        assert!(!reply.headers().contains_key(CONTENT_LENGTH));
    }

    #[test]
    fn a_way_back_leads_nowhere_else() {
        for (method, uri, back) in [
            (Method::POST, "/d/portal/marks", "/d/portal"),
            (Method::GET, "/d/portal/pages.csv?f=x", "/d/portal"),
            (Method::POST, "/users", "/users"),
            (Method::GET, "/logout", "/account"),
            (Method::GET, "//evil.test/x", "/"),
        ] {
            let head = head(method, uri, &[]);
            assert_eq!(way_back(&head), back);
            assert!(!again(&head, back).starts_with("//"), "{uri}");
        }
    }
}
