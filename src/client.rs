//! Who sent a request: address, user agent, signals. In memory only, and only before `pseudonym.rs`.
//!
//! Comes in: the connection's peer address and the request head. Goes out: a [`Client`]. Promises that
//! a forwarded address counts only when a trusted proxy says so, and that nothing here can be printed
//! or serialized: the types have no `Display`, no `Serialize`, and a `Debug` that hides them.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use compact_str::CompactString;
use hyper::HeaderMap;
use hyper::header::{FORWARDED, HeaderName, HeaderValue};
use ipnet::{IpNet, Ipv4Net};

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What a request says about its sender, without copying more than is used.
#[derive(Clone)]
pub struct Client {
    /// The visitor's address; IPv6 is cut to its /64, so that no EUI-64 (a MAC address) sneaks in.
    pub address: IpAddr,
    /// `User-Agent`, cut at 512 bytes; empty where none came.
    pub user_agent: String,
    /// `Accept-Language`; empty where none came.
    pub accept_language: CompactString,
    /// `Sec-CH-UA`, `-Mobile`, `-Platform`: low-entropy client hints that browsers send unasked.
    pub hints: Hints,
    /// `Sec-GPC: 1` (Global Privacy Control, W3C): a refusal.
    pub gpc: bool,
    /// `DNT: 1` (Tracking Preference Expression, W3C): a refusal.
    pub dnt: bool,
    /// A server that showed the site's key: it reports for others, and its library is no bot.
    pub is_server: bool,
}

/// Low-entropy client hints as sent (User-Agent Client Hints, WICG).
#[derive(Clone, Default)]
#[allow(missing_docs)]
pub struct Hints {
    pub brands: CompactString,
    pub mobile: CompactString,
    pub platform: CompactString,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client(hidden)")
    }
}

impl Client {
    /// Reads the head of a request from `peer`.
    pub fn read(headers: &HeaderMap, peer: IpAddr, trusted_proxies: &[IpNet]) -> Client {
        let mut client = Client {
            address: cut(client_address(headers, peer, trusted_proxies)),
            user_agent: String::new(),
            accept_language: CompactString::default(),
            hints: Hints::default(),
            gpc: false,
            dnt: false,
            is_server: false,
        };
        // One walk instead of a look-up for each; of several fields of one name the first counts.
        for (name, value) in headers {
            match name.as_str() {
                "user-agent" if client.user_agent.is_empty() => {
                    client.user_agent = up_to(&user_agent(value), 512).to_owned();
                }
                "accept-language" => keep(&mut client.accept_language, value, 128),
                "sec-ch-ua" => keep(&mut client.hints.brands, value, 256),
                "sec-ch-ua-mobile" => keep(&mut client.hints.mobile, value, 8),
                "sec-ch-ua-platform" => keep(&mut client.hints.platform, value, 64),
                // GPC, section 3.2: exactly "1"; several fields count as one.
                "sec-gpc" => client.gpc |= value.as_bytes().trim_ascii() == b"1",
                "dnt" => client.dnt |= value.as_bytes().trim_ascii() == b"1",
                _ => {}
            }
        }
        client
    }
}

/// Keeps the first value that is text, at most `bytes` of it.
fn keep(kept: &mut CompactString, value: &HeaderValue, bytes: usize) {
    if let (true, Ok(text)) = (kept.is_empty(), value.to_str()) {
        *kept = up_to(text, bytes).into();
    }
}

/// User agents are meant to be ASCII, but some are not; those bytes become U+FFFD instead of an empty text.
fn user_agent(value: &HeaderValue) -> Cow<'_, str> {
    match value.to_str() {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(value.as_bytes()),
    }
}

fn up_to(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Cuts an IPv6 address to its /64 and unwraps IPv4-mapped ones (RFC 4291, section 2.5.5.2).
pub fn cut(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX))),
        },
    }
}

/// Walks the proxy chain from the right: as long as the sender of a hop is trusted, the hop it names
/// counts. `Forwarded` (RFC 7239) goes before `X-Forwarded-For`; a client can write both, so neither
/// is read beyond the first hop that is not trusted. An entry that is no address (obfuscated,
/// `unknown`) ends the walk at the last address known.
fn client_address(headers: &HeaderMap, peer: IpAddr, trusted_proxies: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    let is_trusted = |address: &IpAddr| {
        trusted_proxies
            .iter()
            .any(|network| network.contains(address))
    };
    if !is_trusted(&peer) {
        return peer;
    }
    let mut client = peer;
    if headers.contains_key(FORWARDED) {
        for hop in hops(headers, &FORWARDED) {
            match hop.and_then(forwarded_for) {
                Some(address) => client = address,
                None => return client,
            }
            if !is_trusted(&client) {
                return client;
            }
        }
        return client;
    }
    for hop in hops(headers, &X_FORWARDED_FOR) {
        match hop.map(str::trim).and_then(node_address) {
            Some(address) => client = address,
            None => return client,
        }
        if !is_trusted(&client) {
            return client;
        }
    }
    client
}

/// The entries of a list header, the last first; one that is no text is none, and does not hide those beside it.
fn hops<'h>(
    headers: &'h HeaderMap,
    name: &'h HeaderName,
) -> impl Iterator<Item = Option<&'h str>> + 'h {
    let values = headers.get_all(name).into_iter().rev();
    let hops = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    hops.map(|hop| std::str::from_utf8(hop).ok())
}

/// Returns a network as addresses are compared: `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
pub fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else {
        return network;
    };
    let prefix = v6.prefix_len().checked_sub(96);
    let mapped = v6.addr().to_ipv4_mapped().zip(prefix);
    let v4 = mapped.and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok());
    v4.map_or(network, IpNet::V4)
}

/// Finds `for=` in one `Forwarded` element (RFC 7239, section 4).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("for")
            .then(|| node_address(value.trim().trim_matches('"')))?
    })
}

/// Reads `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` and `[2001:db8::1]:80`.
fn node_address(node: &str) -> Option<IpAddr> {
    let address = match node.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None if node.matches(':').count() == 1 => node.split_once(':')?.0,
        None => node,
    };
    address
        .parse::<IpAddr>()
        .ok()
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn resolve(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        client_address(&map, peer.parse().unwrap(), &trusted).to_string()
    }

    #[test]
    fn forwarded_address_counts_only_through_trusted_proxies() {
        let xff = "x-forwarded-for";
        for (peer, headers, expected) in [
            ("192.0.2.1", vec![(xff, "198.51.100.7")], "192.0.2.1"),
            ("10.0.0.1", vec![(xff, "198.51.100.7")], "198.51.100.7"),
            (
                "10.0.0.1",
                vec![(xff, "6.6.6.6, 198.51.100.7, 10.0.0.2")],
                "198.51.100.7",
            ),
            (
                "10.0.0.1",
                vec![(xff, "6.6.6.6"), (xff, "198.51.100.7")],
                "198.51.100.7",
            ),
            ("10.0.0.1", vec![(xff, "198.51.100.7:4711")], "198.51.100.7"),
            ("10.0.0.1", vec![(xff, "garbage")], "10.0.0.1"),
            (
                "10.0.0.1",
                vec![(xff, "6.6.6.6, garbage, 10.0.0.2")],
                "10.0.0.2",
            ),
            (
                "::ffff:10.0.0.1",
                vec![(xff, "198.51.100.7")],
                "198.51.100.7",
            ),
            (
                "10.0.0.1",
                vec![("forwarded", "for=\"[2001:db8::9]:80\";proto=https")],
                "2001:db8::9",
            ),
            (
                "10.0.0.1",
                vec![("forwarded", "for=6.6.6.6, For=198.51.100.7;by=10.0.0.1")],
                "198.51.100.7",
            ),
            (
                "10.0.0.1",
                vec![("forwarded", "for=_hidden"), (xff, "6.6.6.6")],
                "10.0.0.1",
            ),
            ("10.0.0.1", vec![], "10.0.0.1"),
        ] {
            assert_eq!(resolve(peer, &headers), expected, "{peer} {headers:?}");
        }
    }

    #[test]
    fn a_hop_that_is_no_text_hides_none_beside_it() {
        let trusted = [canonical("::ffff:10.0.0.0/104".parse().unwrap())];
        let of = |name: &'static str, values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(name, HeaderValue::from_bytes(value).unwrap());
            }
            client_address(&headers, "10.0.0.1".parse().unwrap(), &trusted).to_string()
        };
        let forged: &[u8] = b"6.6.6.6";
        let xff = "x-forwarded-for";
        assert_eq!(of(xff, &[forged, b"\xff, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(of(xff, &[forged, b"\xff"]), "10.0.0.1");
        let forwarded = [b"for=6.6.6.6" as &[u8], b"for=\xff, for=198.51.100.7"];
        assert_eq!(of("forwarded", &forwarded), "198.51.100.7");
        assert_eq!(of("forwarded", &[b"for=6.6.6.6", b"\xff"]), "10.0.0.1");
    }

    #[test]
    fn a_mapped_network_is_its_ipv4_network() {
        for (given, expected) in [
            ("::ffff:127.0.0.1/128", "127.0.0.1/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::/0", "::/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("10.0.0.0/8", "10.0.0.0/8"),
        ] {
            assert_eq!(canonical(given.parse().unwrap()).to_string(), expected);
        }
    }

    #[test]
    fn ipv6_is_cut_to_its_network_before_anything_sees_it() {
        let eui64: IpAddr = "2001:db8:1:2:21b:44ff:fe11:3ab7".parse().unwrap();
        assert_eq!(cut(eui64), "2001:db8:1:2::".parse::<IpAddr>().unwrap());
        assert_eq!(
            cut("::ffff:192.0.2.1".parse().unwrap()),
            "192.0.2.1".parse::<IpAddr>().unwrap()
        );
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(value in "[ -~]{0,80}", forwarded in any::<bool>()) {
            let name = if forwarded { "forwarded" } else { "x-forwarded-for" };
            resolve("10.0.0.1", &[(name, &value)]);
        }
    }
}
