//! Where a request goes: scheme, host and port, read once and strictly. A host is a name, or an address in the one
//! usual spelling; the many other spellings of addresses (octal, hexadecimal, short, one number) are refused before
//! anything could look them up, as resolvers and browsers do not agree on what they mean.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::Serialize;

/// The longest name of a host (RFC 1035 section 2.3.4).
const LONGEST_NAME: usize = 253;
/// The longest label of one.
const LONGEST_LABEL: usize = 63;

/// A host: a name that must be resolved, or an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// A name, in lower case.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// Scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `https`.
    pub tls: bool,
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

/// A private target that a definition lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// Every address that begins like this one.
    Network {
        /// The address.
        address: IpAddr,
        /// How many bits of it count.
        prefix: u8,
    },
    /// One host at one port, wherever in private networks it is.
    Host {
        /// The host.
        host: Host,
        /// The port.
        port: u16,
    },
}

/// A text that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOrigin {
    /// Another scheme, or none.
    #[error("it begins with neither https:// nor http://")]
    Scheme,
    /// `user:password@`.
    #[error("a user or password does not belong into an address: say auth = {{ basic = {{ … }} }}")]
    UserInfo,
    /// No host.
    #[error("it names no host")]
    NoHost,
    /// An argument in it.
    #[error("scheme, host and port cannot have arguments in them: they are what the tool may reach")]
    Argument,
    /// An address that is not spelled the usual way.
    #[error("`{0}` is not an address in its usual spelling (four decimal numbers, or IPv6 in brackets)")]
    Spelling(String),
    /// Letters outside ASCII.
    #[error("`{0}` has letters outside ASCII: write its xn-- form")]
    NotAscii(String),
    /// No name of a host.
    #[error("`{0}` is no name of a host")]
    Name(String),
    /// No port.
    #[error("`{0}` is no port: write a number from 1 to 65535")]
    Port(String),
    /// No network, nor a host with a port.
    #[error("`{0}` is neither a network such as 10.0.0.0/8 nor a host with its port such as grafana.internal:3000")]
    Allowed(String),
    /// More bits than an address has.
    #[error("`{0}` has bits set behind its prefix, or a prefix that is too long")]
    Prefix(String),
}

impl FromStr for Host {
    type Err = BadOrigin;

    /// IPv6 stands in brackets.
    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or_else(|| BadOrigin::Spelling(text.to_owned()))?;
            let address = inner.parse::<Ipv6Addr>().map_err(|_| BadOrigin::Spelling(text.to_owned()))?;
            return Ok(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        if !text.is_ascii() {
            return Err(BadOrigin::NotAscii(text.to_owned()));
        }
        let name = text.to_ascii_lowercase();
        let label = |label: &str| {
            (1..=LONGEST_LABEL).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if name.is_empty() {
            return Err(BadOrigin::NoHost);
        }
        if name.len() > LONGEST_NAME || !name.split('.').all(label) {
            return Err(BadOrigin::Name(text.to_owned()));
        }
        // What ends in a number is an address to whoever is generous (the URL standard, "ends in a number"), and
        // getaddrinfo(3) takes 0x7f.1 and 127.1 too.
        let last = name.rsplit('.').next().unwrap_or_default();
        let hexadecimal = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BadOrigin::Spelling(text.to_owned()));
        }
        Ok(Self::Name(name))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// A host, and the port behind it if there is one.
fn authority(text: &str) -> Result<(Host, Option<u16>), BadOrigin> {
    let split = match text.rfind(']') {
        Some(end) => text.split_at(end + 1),
        None if text.starts_with('[') => return Err(BadOrigin::Spelling(text.to_owned())),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match split.1 {
        "" => None,
        rest => {
            let digits = rest.strip_prefix(':').unwrap_or(rest);
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let port = digits.parse::<u16>().ok().filter(|port| plain && *port > 0);
            Some(port.ok_or_else(|| BadOrigin::Port(digits.to_owned()))?)
        }
    };
    Ok((split.0.parse()?, port))
}

impl Origin {
    /// Reads the beginning of an absolute address, and gives what follows the authority.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn split(url: &str) -> Result<(Self, &str), BadOrigin> {
        let scheme = |word: &str| {
            url.get(..word.len()).filter(|start| start.eq_ignore_ascii_case(word)).and_then(|_| url.get(word.len()..))
        };
        let (tls, rest) = match (scheme("https://"), scheme("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(BadOrigin::Scheme),
        };
        let (place, rest) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
        if place.contains('@') {
            return Err(BadOrigin::UserInfo);
        }
        if place.contains(['{', '}']) {
            return Err(BadOrigin::Argument);
        }
        let (host, port) = authority(place)?;
        Ok((Self { tls, host, port: port.unwrap_or(if tls { 443 } else { 80 }) }, rest))
    }

    /// What belongs into `Host`: the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => self.host.to_string(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

impl Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Allowed {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let bad = || BadOrigin::Allowed(text.to_owned());
        if let Some((address, prefix)) = text.split_once('/') {
            let address: IpAddr = address.parse().map_err(|_| bad())?;
            let prefix = prefix.parse::<u8>().map_err(|_| bad())?;
            let whole = Self::Network { address, prefix };
            // 10.1.2.3/8 may be meant as 10.0.0.0/8 or as 10.1.2.3/32, and one of them is much more.
            let fits = match address {
                IpAddr::V4(address) => prefix <= 32 && u64::from(address.to_bits()) << prefix & 0xffff_ffff == 0,
                IpAddr::V6(address) => prefix <= 128 && address.to_bits().checked_shl(prefix.into()).unwrap_or(0) == 0,
            };
            return if fits { Ok(whole) } else { Err(BadOrigin::Prefix(text.to_owned())) };
        }
        match authority(text) {
            Ok((host, Some(port))) => Ok(Self::Host { host, port }),
            Ok((_, None)) | Err(_) => Err(bad()),
        }
    }
}

impl Allowed {
    /// Whether the address, as it is spelled, lies in this network; a host is none.
    pub fn contains(&self, candidate: IpAddr) -> bool {
        match (self, candidate) {
            (Self::Network { address: IpAddr::V4(address), prefix }, IpAddr::V4(candidate)) => {
                let bits = address.to_bits() ^ candidate.to_bits();
                bits.checked_shr(32 - u32::from(*prefix)).unwrap_or(0) == 0
            }
            (Self::Network { address: IpAddr::V6(address), prefix }, IpAddr::V6(candidate)) => {
                let bits = address.to_bits() ^ candidate.to_bits();
                bits.checked_shr(128 - u32::from(*prefix)).unwrap_or(0) == 0
            }
            (Self::Network { .. } | Self::Host { .. }, _) => false,
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { address, prefix } => write!(f, "{address}/{prefix}"),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl Serialize for Allowed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_split_where_its_path_begins() {
        for (url, origin, rest) in [
            ("https://api.example.com/v1/x", "https://api.example.com", "/v1/x"),
            ("HTTP://API.Example.com:8080", "http://api.example.com:8080", ""),
            ("https://[2001:DB8::1]:443/", "https://[2001:db8::1]", "/"),
            ("http://127.0.0.1:80?x", "http://127.0.0.1", "?x"),
        ] {
            let (read, left) = Origin::split(url).expect(url);
            assert_eq!((read.to_string().as_str(), left), (origin, rest));
        }
    }

    #[test]
    fn what_is_odd_about_a_host_is_refused() {
        for (url, why) in [
            ("ftp://x/", "neither https:// nor http://"),
            ("//x/", "neither https:// nor http://"),
            ("https://", "names no host"),
            ("https:///x", "names no host"),
            ("https://user:pass@x/", "user or password"),
            ("https://{host}/", "cannot have arguments"),
            ("https://api.{zone}.com/", "cannot have arguments"),
            ("https://x:{port}/", "cannot have arguments"),
            ("https://x:0/", "`0` is no port"),
            ("https://x:70000/", "`70000` is no port"),
            ("https://x:/", "`` is no port"),
            ("https://x:+80/", "`+80` is no port"),
            ("https://bücher.example/", "xn--"),
            ("https://a b/", "no name of a host"),
            ("https://a..b/", "no name of a host"),
            ("https://a./", "no name of a host"),
            ("https://-a.b/", "no name of a host"),
            ("https://a%2eb/", "no name of a host"),
            ("https://[fe80::1%eth0]/", "usual spelling"),
            ("https://[::1/", "usual spelling"),
            ("https://127.1/", "usual spelling"),
            ("https://2130706433/", "usual spelling"),
            ("https://0x7f000001/", "usual spelling"),
            ("https://0x7f.0.0.1/", "usual spelling"),
            ("https://0177.0.0.1/", "usual spelling"),
            ("https://127.0.0.01/", "usual spelling"),
            ("https://127.0.0.0x1/", "usual spelling"),
            ("https://x.0x/", "usual spelling"),
        ] {
            let error = Origin::split(url).expect_err(url).to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
    }

    #[test]
    fn a_network_contains_what_begins_like_it() {
        let contains = |network: &str, address: &str| {
            network.parse::<Allowed>().expect(network).contains(address.parse().expect(address))
        };
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("127.0.0.1/32", "127.0.0.1") && !contains("127.0.0.1/32", "127.0.0.2"));
        assert!(contains("fd00::/8", "fd12::1") && !contains("fd00::/8", "fe80::1"));
        assert!(contains("0.0.0.0/0", "1.2.3.4") && !contains("0.0.0.0/0", "::1") && contains("::/0", "::1"));
        assert!(!contains("localhost:80", "127.0.0.1"));
        for text in ["10.1.2.3/8", "10.0.0.0/33", "fd00::1/64", "::/129"] {
            assert!(text.parse::<Allowed>().is_err_and(|error| error.to_string().contains("prefix")), "{text}");
        }
        for text in ["10.0.0.0", "localhost", "x:", "10.0.0.0/x", "0177.0.0.1/8", ""] {
            assert!(text.parse::<Allowed>().is_err_and(|error| error.to_string().contains("neither")), "{text}");
        }
        for text in ["grafana.internal:3000", "[::1]:80", "127.0.0.1:80", "10.0.0.0/8", "::/0"] {
            assert_eq!(text.parse::<Allowed>().expect(text).to_string(), text);
        }
    }
}
