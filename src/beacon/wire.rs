//! Plausible's wire, long and short keys, and the keys brine adds (design: "The wire").
//!
//! Unknown keys are ignored, as every collector that existing trackers talk to does; a key given twice
//! is malformed.
//!
//! `brine.js` sends `n u d c s id w rc` with every event, `r` with a page view, `e sd` with `engagement`, `wv`
//! with `web_vitals`, and whatever the site gives under the long keys (`props revenue interactive`). Its
//! visit `s` is a text and carries what others say by `rv`.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

/// One beacon as written, borrowed from the body where the JSON has no escapes.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Wire<'a> {
    #[serde(borrow, alias = "name")]
    pub(crate) n: Text<'a>,
    #[serde(borrow, alias = "url")]
    pub(crate) u: Text<'a>,
    #[serde(borrow, alias = "domain")]
    pub(crate) d: Text<'a>,
    #[serde(borrow, alias = "referrer", default)]
    pub(crate) r: Option<Text<'a>>,
    #[serde(alias = "props", alias = "m", alias = "meta", default)]
    pub(crate) p: Props,
    #[serde(rename = "$", alias = "revenue", default)]
    pub(crate) revenue: Option<WireRevenue>,
    #[serde(alias = "interactive", default)]
    pub(crate) i: Option<bool>,
    #[serde(default)]
    pub(crate) sd: Option<f64>,
    #[serde(default)]
    pub(crate) e: Option<f64>,
    #[serde(default)]
    pub(crate) w: Option<f64>,
    #[serde(borrow, default)]
    pub(crate) c: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) vid: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) s: Option<WireVisit<'a>>,
    #[serde(borrow, default)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) rv: Option<Text<'a>>,
    #[serde(default)]
    pub(crate) wv: Option<WireVitals>,
    #[serde(default)]
    pub(crate) rc: Option<bool>,
}

/// The visit as its client knows it: an object, or what brine.js keeps of it.
#[derive(Debug)]
pub(crate) enum WireVisit<'a> {
    Named(NamedVisit<'a>),
    /// See [`KeptVisit`].
    Kept(Text<'a>),
}

#[derive(Debug, Deserialize)]
pub(crate) struct NamedVisit<'a> {
    #[serde(borrow)]
    pub(crate) id: Text<'a>,
    /// Milliseconds since 1970 by the client's clock.
    pub(crate) started: f64,
}

impl<'de: 'a, 'a> Deserialize<'de> for WireVisit<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VisitVisitor;
        impl<'de> Visitor<'de> for VisitVisitor {
            type Value = WireVisit<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a visit as object or text")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(WireVisit::Kept(Text(Cow::Borrowed(text))))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(WireVisit::Kept(Text(Cow::Owned(text.to_owned()))))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                NamedVisit::deserialize(de::value::MapAccessDeserializer::new(map))
                    .map(WireVisit::Named)
            }
        }
        deserializer.deserialize_any(VisitVisitor)
    }
}

/// What brine.js keeps of a visit and sends as it is: `<milliseconds since 1970 of its begin>.<days since the
/// one before>`. The days are the least of their bucket: 0, 1, 2, 8 or 31; anything else: there was none.
/// Within one visitor the begin names the visit.
pub(crate) struct KeptVisit<'a> {
    pub(crate) id: &'a str,
    pub(crate) started: f64,
    pub(crate) days_since_last: &'static str,
}

impl<'a> KeptVisit<'a> {
    /// Reads it; `None` where it is something else.
    pub(crate) fn read(text: &'a str) -> Option<KeptVisit<'a>> {
        let (id, days) = text.split_once('.')?;
        let is_number = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
        Some(KeptVisit {
            id: is_number.then_some(id)?,
            started: id.parse().ok()?,
            days_since_last: match days {
                "0" => "0",
                "1" => "1",
                "2" => "2-7",
                "8" => "8-30",
                "31" => "31+",
                _ => "new",
            },
        })
    }
}

/// Amount and currency; trackers send the amount as number or text.
#[derive(Debug, Deserialize)]
pub(crate) struct WireRevenue {
    pub(crate) amount: Amount,
    pub(crate) currency: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Amount {
    Number(f64),
    Text(String),
}

/// Web vitals; times in milliseconds, CLS without unit.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WireVitals {
    pub(crate) lcp: Option<f64>,
    pub(crate) inp: Option<f64>,
    pub(crate) cls: Option<f64>,
    pub(crate) ttfb: Option<f64>,
    pub(crate) fcp: Option<f64>,
}

/// Text that borrows where it can. (`Option<Cow<str>>` would copy: serde borrows only a bare `Cow`.)
#[derive(Clone, Debug, Default)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// Properties: an object, or (plausible-tracker 0.3) the same object as JSON text.
#[derive(Debug, Default)]
pub(crate) struct Props(pub(crate) Vec<(String, String)>);

impl<'de> Deserialize<'de> for Props {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PropsVisitor { text_allowed: true })
    }
}

struct PropsVisitor {
    text_allowed: bool,
}

impl<'de> Visitor<'de> for PropsVisitor {
    type Value = Props;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of text, numbers and booleans")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Props, E> {
        Ok(Props::default())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Props, E> {
        if !self.text_allowed {
            return Err(E::custom("properties are text within text"));
        }
        let mut inner = serde_json::Deserializer::from_str(text);
        let props = inner
            .deserialize_any(PropsVisitor {
                text_allowed: false,
            })
            .map_err(|e| E::custom(format!("properties as text: {e}")))?;
        inner
            .end()
            .map_err(|e| E::custom(format!("properties as text: {e}")))?;
        Ok(props)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Props, A::Error> {
        let mut props = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = match map.next_value::<serde_json::Value>()? {
                serde_json::Value::Null => continue,
                serde_json::Value::String(text) => text,
                serde_json::Value::Bool(value) => value.to_string(),
                serde_json::Value::Number(value) => value.to_string(),
                _ => return Err(de::Error::custom("a property is a list or an object")),
            };
            props.push((key, value));
        }
        Ok(Props(props))
    }
}
