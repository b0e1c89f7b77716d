//! Which addresses a request may go to. Whoever can choose a name can choose what it resolves to, so not the name but
//! every address it gives is judged, and only those that the whole Internet shares pass by themselves. What is private
//! passes only where an operator listed it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::domain::tool::http::{Allowed, Host};

/// What an address is that nothing is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forbidden {
    /// This machine.
    Loopback,
    /// A network of somebody's own.
    Private,
    /// This link only; clouds have their metadata there.
    LinkLocal,
    /// Where a cloud answers its machines about themselves.
    Metadata,
    /// Many at once.
    Multicast,
    /// Behind the translation of a carrier.
    Shared,
    /// Nobody's, or for documentation, tests or tunnels.
    Reserved,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata",
            Self::Multicast => "multicast",
            Self::Shared => "carrier-shared",
            Self::Reserved => "reserved",
        })
    }
}

/// Networks of IPv4 that are not the Internet's: address, prefix, what it is (RFC 6890 and its successors). Metadata
/// services with addresses of their own come first.
const V4: &[([u8; 4], u8, Forbidden)] = &[
    ([168, 63, 129, 16], 32, Forbidden::Metadata),
    ([100, 100, 100, 200], 32, Forbidden::Metadata),
    ([192, 0, 0, 192], 32, Forbidden::Metadata),
    ([169, 254, 169, 254], 32, Forbidden::Metadata),
    ([0, 0, 0, 0], 8, Forbidden::Reserved),
    ([10, 0, 0, 0], 8, Forbidden::Private),
    ([100, 64, 0, 0], 10, Forbidden::Shared),
    ([127, 0, 0, 0], 8, Forbidden::Loopback),
    ([169, 254, 0, 0], 16, Forbidden::LinkLocal),
    ([172, 16, 0, 0], 12, Forbidden::Private),
    ([192, 0, 0, 0], 24, Forbidden::Reserved),
    ([192, 0, 2, 0], 24, Forbidden::Reserved),
    ([192, 88, 99, 0], 24, Forbidden::Reserved),
    ([192, 168, 0, 0], 16, Forbidden::Private),
    ([198, 18, 0, 0], 15, Forbidden::Reserved),
    ([198, 51, 100, 0], 24, Forbidden::Reserved),
    ([203, 0, 113, 0], 24, Forbidden::Reserved),
    ([224, 0, 0, 0], 4, Forbidden::Multicast),
    ([240, 0, 0, 0], 4, Forbidden::Reserved),
];

/// The one part of IPv6 that is the Internet's.
const GLOBAL: (u128, u32) = (0x2000 << 112, 3);

/// Networks of IPv6 that are not, though they lie in it, and those outside it that have a name of their own.
const V6: &[(u128, u32, Forbidden)] = &[
    // 2001::/23 holds Teredo, benchmarks, ORCHID; 6to4 is given up (RFC 7526): each can carry an IPv4 address.
    (0x2001_0000 << 96, 23, Forbidden::Reserved),
    (0x2001_0db8 << 96, 32, Forbidden::Reserved),
    (0x2002 << 112, 16, Forbidden::Reserved),
    (0x3fff << 112, 20, Forbidden::Reserved),
    (0xfd00_0ec2 << 96, 32, Forbidden::Metadata),
    (0xfd20_00ce << 96, 32, Forbidden::Metadata),
    (0xfc00 << 112, 7, Forbidden::Private),
    (0xfe80 << 112, 10, Forbidden::LinkLocal),
    (0xfec0 << 112, 10, Forbidden::Private),
    (0xff00 << 112, 8, Forbidden::Multicast),
];

/// The well-known prefix of translation to IPv4 (RFC 6052).
const NAT64: (u128, u32) = (0x0064_ff9b << 96, 96);

/// Whether an address is one of the Internet's; otherwise what it is.
///
/// # Errors
/// What it is instead.
pub fn judge(address: IpAddr) -> Result<(), Forbidden> {
    match address.to_canonical() {
        IpAddr::V4(address) => judge_v4(address),
        IpAddr::V6(address) => judge_v6(address),
    }
}

fn judge_v4(address: Ipv4Addr) -> Result<(), Forbidden> {
    let within = |network: &[u8; 4], prefix: u8| {
        let bits = Ipv4Addr::from(*network).to_bits() ^ address.to_bits();
        bits.checked_shr(32 - u32::from(prefix)).unwrap_or(0) == 0
    };
    let found = V4.iter().find(|(network, prefix, _)| within(network, *prefix));
    found.map_or(Ok(()), |(_, _, what)| Err(*what))
}

fn judge_v6(address: Ipv6Addr) -> Result<(), Forbidden> {
    let bits = address.to_bits();
    let within = |network: u128, prefix: u32| (bits ^ network).checked_shr(128 - prefix).unwrap_or(0) == 0;
    if address.is_loopback() {
        return Err(Forbidden::Loopback);
    }
    if within(NAT64.0, NAT64.1) {
        // What is behind it is what counts.
        return judge_v4(last_four(bits));
    }
    if let Some((_, _, what)) = V6.iter().find(|(network, prefix, _)| within(*network, *prefix)) {
        return Err(*what);
    }
    if !within(GLOBAL.0, GLOBAL.1) {
        return Err(Forbidden::Reserved);
    }
    // ISATAP (RFC 5214) hides an IPv4 address behind `0:5efe`, whatever the network.
    if (bits >> 32) & 0xfcff_ffff == 0x5efe {
        return judge_v4(last_four(bits));
    }
    Ok(())
}

fn last_four(bits: u128) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::try_from(bits & 0xffff_ffff).unwrap_or_default())
}

/// Whether a request to `host` may connect to `address` at `port`: one of the Internet's, or one that is listed.
///
/// A host that is listed by its name may be in any network of somebody's own, but never where a cloud has its
/// metadata: for those only the network itself can be listed.
///
/// # Errors
/// What the address is.
pub fn permit(allow: &[Allowed], host: &Host, port: u16, address: IpAddr) -> Result<(), Forbidden> {
    let address = address.to_canonical();
    let Err(what) = judge(address) else { return Ok(()) };
    let by_name = matches!(what, Forbidden::Loopback | Forbidden::Private | Forbidden::Shared);
    let named = |allowed: &Allowed| match allowed {
        Allowed::Host { host: listed, port: at } => {
            let same = match (listed, host) {
                (Host::Address(listed), Host::Address(asked)) => listed.to_canonical() == asked.to_canonical(),
                (listed, asked) => listed == asked,
            };
            by_name && same && *at == port
        }
        Allowed::Network { .. } => allowed.contains(address),
    };
    if allow.iter().any(named) { Ok(()) } else { Err(what) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Result<(), Forbidden> {
        judge(text.parse().expect(text))
    }

    #[test]
    fn only_what_the_internet_shares_passes() {
        for (forbidden, addresses) in [
            (Forbidden::Loopback, "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1"),
            (
                Forbidden::Private,
                "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.1 fc00::1 fdff::1 fec0::1",
            ),
            (
                Forbidden::Private,
                "::ffff:10.0.0.1 ::ffff:192.168.1.1 64:ff9b::a00:1 2600::5efe:10.0.0.1 2600::200:5efe:a00:1",
            ),
            (Forbidden::LinkLocal, "169.254.0.0 169.254.255.255 fe80::1 febf::1 ::ffff:169.254.1.1"),
            (
                Forbidden::Metadata,
                "169.254.169.254 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 168.63.129.16 100.100.100.200",
            ),
            (Forbidden::Metadata, "192.0.0.192 fd00:ec2::254 fd20:ce::254"),
            (Forbidden::Multicast, "224.0.0.1 239.255.255.255 ff02::1 ff0e::1"),
            (Forbidden::Shared, "100.64.0.0 100.127.255.255"),
            (Forbidden::Reserved, "0.0.0.0 0.1.2.3 192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.255"),
            (Forbidden::Reserved, "198.51.100.1 203.0.113.1 240.0.0.1 255.255.255.255 :: ::2 ::127.0.0.1 ::10.0.0.1"),
            (Forbidden::Reserved, "2001::1 2001:0:7f00:1::1 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1::"),
            (Forbidden::Reserved, "2002:808:808:: 3fff::1 3fff:fff::1 100::1 5f00::1 64:ff9b:1::1 4000::1 1::1"),
        ] {
            for address in addresses.split(' ') {
                assert_eq!(judged(address), Err(forbidden), "{address}");
            }
        }
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860::8888",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2600::5efe:8.8.8.8",
            "2001:200::1",
        ] {
            assert_eq!(judged(address), Ok(()), "{address}");
        }
    }

    #[test]
    fn what_is_listed_passes_and_nothing_beside_it() {
        let permit = |allow: &str, host: &str, port: u16, address: &str| {
            let allow: Vec<Allowed> = allow.split(' ').map(|text| text.parse().expect(text)).collect();
            super::permit(&allow, &host.parse().expect(host), port, address.parse().expect(address))
        };
        assert_eq!(permit("10.0.0.0/8", "x.internal", 80, "10.1.2.3"), Ok(()));
        assert_eq!(permit("10.0.0.0/8", "x.internal", 80, "::ffff:10.1.2.3"), Ok(()));
        assert_eq!(permit("10.0.0.0/8", "x.internal", 80, "192.168.0.1"), Err(Forbidden::Private));
        assert_eq!(permit("x.internal:80", "x.internal", 80, "192.168.0.1"), Ok(()));
        assert_eq!(permit("x.internal:80", "x.internal", 81, "192.168.0.1"), Err(Forbidden::Private));
        assert_eq!(permit("x.internal:80", "y.internal", 80, "192.168.0.1"), Err(Forbidden::Private));
        assert_eq!(permit("x.internal:80", "x.internal", 80, "169.254.169.254"), Err(Forbidden::Metadata));
        assert_eq!(permit("x.internal:80", "x.internal", 80, "fe80::1"), Err(Forbidden::LinkLocal));
        assert_eq!(permit("169.254.169.254/32", "169.254.169.254", 80, "169.254.169.254"), Ok(()));
        assert_eq!(permit("127.0.0.1:80", "127.0.0.1", 80, "127.0.0.1"), Ok(()));
        assert_eq!(permit("127.0.0.1:80", "localhost", 80, "127.0.0.1"), Err(Forbidden::Loopback));
    }
}
