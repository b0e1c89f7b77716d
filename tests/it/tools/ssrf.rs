//! P15: nothing that is sent anywhere goes where an operator did not say it may. Every spelling of an address, every name
//! that leads to one, every redirect, against traps on every address of this machine: none is ever connected to.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use toolctl::domain::tool::http::{Allowed, Origin, Reach};
use toolctl::pipeline::port::Wait;
use toolctl::tool::outbound::{Outbound, Resolver};

use super::call;
use crate::support::server::raw;
use crate::support::{Daemon, Server, until};

/// Listens at one port of every address of this machine, and counts who comes.
struct Trap {
    port: u16,
    caught: Arc<AtomicUsize>,
}

impl Trap {
    fn set() -> Self {
        let four = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a trap");
        let port = four.local_addr().expect("an address").port();
        // Where there is no IPv6, nobody can be led there either.
        let six = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).ok();
        let caught = Arc::new(AtomicUsize::new(0));
        for listener in std::iter::once(four).chain(six) {
            let caught = Arc::clone(&caught);
            std::thread::spawn(move || {
                for _ in listener.incoming() {
                    caught.fetch_add(1, Ordering::AcqRel);
                }
            });
        }
        Self { port, caught }
    }

    fn is_empty(&self) -> bool {
        // Whoever came before this one has been counted when this one is.
        let before = self.caught.load(Ordering::Acquire);
        let _counted = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("the trap works");
        until(|| (self.caught.load(Ordering::Acquire) > before).then_some(()));
        let caught = self.caught.fetch_sub(1, Ordering::AcqRel) - 1;
        caught == 0
    }
}

/// Hosts as they may be written to mean an address of this machine, of a private network or of a cloud's metadata.
fn literals() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let addresses = [
        "127.0.0.1",
        "127.0.0.2",
        "127.1.2.3",
        "127.255.255.254",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "169.254.170.2",
        "192.0.0.192",
        "168.63.129.16",
        "100.100.100.200",
    ];
    for text in addresses {
        let address: Ipv4Addr = text.parse().expect("an address");
        let [a, b, c, d] = address.octets();
        let number = address.to_bits();
        let short = number & 0xff_ffff;
        all.extend([
            text.to_owned(),
            format!("{number}"),
            format!("{number:#x}"),
            format!("0{number:o}"),
            format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
            format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
            format!("{a:04o}.{b}.{c}.{d}"),
            format!("{a:#x}.{b}.{c}.{d}"),
            format!("{a}.{short}"),
            format!("{a}.{b}.{}", number & 0xffff),
            format!("{a:#x}.{short:#x}"),
            format!("{a}.{b}.{c}.{d:#x}"),
            format!("{text}."),
            format!("{a}%2e{b}%2e{c}%2e{d}"),
            format!("{a}。{b}。{c}。{d}"),
            format!("[::ffff:{text}]"),
            format!("[::ffff:{:x}:{:x}]", number >> 16, number & 0xffff),
            format!("[0:0:0:0:0:ffff:{:x}:{:x}]", number >> 16, number & 0xffff),
            format!("[::{text}]"),
            format!("[64:ff9b::{text}]"),
            format!("[64:ff9b:1::{text}]"),
            format!("[2002:{:x}:{:x}::1]", number >> 16, number & 0xffff),
            format!("[2001:0:{:x}:{:x}::1]", number >> 16, number & 0xffff),
            format!("[fe80::5efe:{text}]"),
            format!("[2600::5efe:{text}]"),
        ]);
    }
    all.extend(
        [
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[0000::0001]",
            "[::]",
            "[fc00::1]",
            "[fd00::1]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[fe80::1%25lo]",
            "[fe80::1%lo]",
            "[fec0::1]",
            "[ff02::1]",
            "[100::1]",
            "[2001:db8::1]",
            "[3fff::1]",
            "127.1",
            "127.0.1",
            "0",
            "0x0",
            "①②⑦.0.0.1",
            "127.0.0.1@x",
            "x@127.0.0.1",
            "127.0.0.1#x",
            "127.0.0.1\\x",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "203.0.113.1",
            "240.0.0.1",
            "192.88.99.1",
        ]
        .map(ToOwned::to_owned),
    );
    all
}

/// Always gives one address.
struct Leads(IpAddr);

impl Resolver for Leads {
    fn resolve<'a>(&'a self, _: &'a str) -> Wait<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move { Ok(vec![self.0]) })
    }
}

fn reach(allow: &[Allowed]) -> Reach {
    // What is let through by mistake must not take long to fail.
    Reach { allow: allow.to_vec(), connect_ms: 2_000, ..Reach::default() }
}

#[tokio::test]
async fn no_spelling_of_an_address_is_connected_to() {
    let trap = Trap::set();
    let (mut forms, mut tried) = (0, 0);
    let outbound = Outbound::default();
    for host in literals() {
        for scheme in ["http", "https"] {
            forms += 1;
            let url = format!("{scheme}://{host}:{}/", trap.port);
            let Ok((origin, _)) = Origin::split(&url) else { continue };
            tried += 1;
            let refused = outbound.connect(&origin, &reach(&[])).await.map(|line| line.peer()).expect_err(&url);
            assert!(refused.to_string().contains("does not list under `allow`"), "{url}: {refused}");
        }
    }
    assert!(forms >= 200 && tried >= 100, "{forms} forms, {tried} of which are addresses");
    assert!(trap.is_empty(), "somebody was caught");
}

#[tokio::test]
async fn no_name_leads_to_an_address_that_is_not_listed() {
    let trap = Trap::set();
    let mut led = 0;
    for host in literals() {
        let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() else { continue };
        led += 1;
        let (origin, _) = Origin::split(&format!("http://innocent.example:{}", trap.port)).expect("an origin");
        let outbound = Outbound::with_resolver(Arc::new(Leads(address)));
        let refused = outbound.connect(&origin, &reach(&[])).await.map(|line| line.peer()).expect_err(&host);
        assert!(refused.to_string().contains("does not list under `allow`"), "{host}: {refused}");
    }
    assert!(led >= 100, "{led} addresses");
    // What is listed is not a way to what is not: same port, other address; same address, other name.
    let listed: Vec<Allowed> =
        vec!["127.0.0.9/32".parse().expect("a network"), format!("other:{}", trap.port).parse().expect("a host")];
    for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        let outbound = Outbound::with_resolver(Arc::new(Leads(address.parse().expect("an address"))));
        let (origin, _) = Origin::split(&format!("http://innocent.example:{}", trap.port)).expect("an origin");
        assert!(outbound.connect(&origin, &reach(&listed)).await.is_err(), "{address}");
    }
    assert!(trap.is_empty(), "somebody was caught");
}

/// Gives a harmless address when it is first asked, and another from then on.
struct Rebinding {
    asked: AtomicUsize,
    first: IpAddr,
    then: IpAddr,
}

impl Resolver for Rebinding {
    fn resolve<'a>(&'a self, _: &'a str) -> Wait<'a, io::Result<Vec<IpAddr>>> {
        let first = self.asked.fetch_add(1, Ordering::AcqRel) == 0;
        Box::pin(async move { Ok(vec![if first { self.first } else { self.then }]) })
    }
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let trap = Trap::set();
    let harmless = TcpListener::bind("127.0.0.77:0").expect("a listener");
    let place = harmless.local_addr().expect("an address");
    let listed: Vec<Allowed> = vec!["127.0.0.77/32".parse().expect("a network")];
    let at = |port: u16| Origin::split(&format!("http://innocent.example:{port}")).expect("an origin").0;
    for then in ["127.0.0.1", "::1", "169.254.169.254", "0.0.0.0", "10.0.0.1"] {
        let then = then.parse().expect("an address");
        let resolver = Arc::new(Rebinding { asked: AtomicUsize::new(0), first: place.ip(), then });
        let outbound = Outbound::with_resolver(resolver.clone());
        let line = outbound.connect(&at(place.port()), &reach(&listed)).await.expect("the listed one");
        // Judged and connected to by one answer: there is no second question between the two.
        assert_eq!((line.peer(), resolver.asked.load(Ordering::Acquire)), (place, 1));
        assert!(outbound.connect(&at(trap.port), &reach(&listed)).await.is_err(), "{then}");
    }
    assert!(trap.is_empty(), "somebody was caught");
}

#[test]
fn no_redirect_is_followed_wherever_it_leads() {
    let trap = Trap::set();
    let port = trap.port;
    let mut places: Vec<String> =
        literals().into_iter().map(|host| format!("http://{host}:{port}/latest/meta-data")).collect();
    places.extend([format!("//127.0.0.1:{port}/"), "/elsewhere".to_owned(), "file:///etc/passwd".to_owned()]);
    let listed = places.clone();
    let server = Server::start(move |heard, stream| {
        let mut parts = heard.target.rsplit('/');
        let place: usize = parts.next().and_then(|text| text.parse().ok()).expect("a number");
        let status = parts.next().expect("a status");
        raw(
            stream,
            format!("HTTP/1.1 {status} X\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", listed[place]).as_bytes(),
        );
    });
    let text = format!(
        "[tool]\nname = \"t\"\ndescription = \"A test.\"\neffect = \"readonly\"\n[tool.arguments]\n\
         status = {{ type = \"integer\", required = true }}\nplace = {{ type = \"integer\", required = true }}\n[tool.http]\n\
         url = \"{}/r/{{status}}/{{place}}\"\nallow = [\"127.0.0.0/8\", \"::1/128\"]\n",
        server.url()
    );
    let mut daemon = Daemon::prepared(&["--env-file", ".env"], &[]);
    std::fs::write(daemon.dir().join(".env"), crate::support::daemon::UNHURRIED).expect("the env file");
    super::put(&daemon, &[("t.toml", &text)]);
    daemon.restart();
    // Each place with one status, in turn; the tool may even reach them, but not by this way.
    for place in 0..places.len() {
        let status = [301, 302, 303, 307, 308][place % 5];
        let answer = call(&daemon, "t", &json!({"status": status, "place": place}));
        assert_eq!((&answer["state"], &answer["effect"]), (&json!("failed"), &json!("none")), "{answer}");
    }
    assert_eq!(server.heard().len(), places.len(), "each was asked once");
    assert!(places.len() >= 200 && trap.is_empty(), "somebody was caught");
}
