use std::collections::BTreeMap;
use std::path::Path;

use super::*;

fn load(text: &str, environment: &[(&str, &str)], flags: Flags) -> Result<Config, Invalid> {
    let environment: BTreeMap<_, _> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::load(&Sources { file: Some((Path::new("toolctl.toml"), text)), environment, flags })
}

fn refusal(text: &str) -> String {
    let invalid = load(text, &[], Flags::default()).unwrap_err();
    let Place::Text { span, .. } = &invalid.place else { panic!("no place in {invalid:?}") };
    let marked = &text[span.clone()];
    format!("{invalid} [{marked}] {}", invalid.hint.as_deref().unwrap_or_default())
}

#[test]
fn nothing_at_all_is_a_complete_set_up() {
    let config = Config::load(&Sources::default()).unwrap();

    assert_eq!(config, load("", &[], Flags::default()).unwrap(), "an empty file says nothing either");
    assert_eq!(config.server.listen, Setting { value: None, origin: Origin::Default });
    assert_eq!(config.approval.deadlines(), Deadlines::default());
    assert_eq!(config.retention.retention(), Retention::default());
    assert_eq!(config.mcp.hold, Setting { value: Duration::from_secs(20), origin: Origin::Default });
    assert!(config.local.allow_self_approval.value && config.local.users.is_empty());
}

#[test]
fn flag_then_environment_then_file_then_default() {
    let file = "[server]\nsocket = \"f\"\ndrain = \"5s\"\n[limits]\nrate_per_minute = 60\n[store]\ndata_dir = \"f\"\n[mcp]\nhold = \"3s\"\n";
    let environment = [("TOOLCTL_SOCKET", "e"), ("TOOLCTL_DATA_DIR", "e"), ("RATE_LIMIT_PER_MIN", "30")];
    let flags = Flags { socket: Some("g".into()), ..Flags::default() };

    let config = load(file, &environment, flags).unwrap();

    let place = |path: &str, origin| Setting { value: Some(PathBuf::from(path)), origin };
    assert_eq!(config.server.socket, place("g", Origin::Flag("--socket")));
    assert_eq!(config.store.data_dir, place("e", Origin::Environment("TOOLCTL_DATA_DIR")));
    assert_eq!(config.server.drain, Setting { value: Duration::from_secs(5), origin: Origin::File });
    assert_eq!(config.mcp.hold, Setting { value: Duration::from_secs(3), origin: Origin::File });
    let rate = Setting { value: 30, origin: Origin::Environment("RATE_LIMIT_PER_MIN") };
    assert_eq!(config.limits.rate_per_minute, rate);
    let burst = Setting { value: 30, origin: Origin::Default };
    assert_eq!(config.limits.burst, burst, "not more at once than in a minute");
}

#[test]
fn every_refusal_shows_the_place_and_the_way_out() {
    for (text, expected) in [
        (
            "[server]\nsokket = \"x\"\n",
            "toolctl.toml:2: unknown field `sokket`, expected one of `socket`, `listen`, `allow_remote`, `drain`, \
             `allowed_hosts`, `most_connections` [sokket] did you mean `socket`?",
        ),
        (
            "[approval]\ndecide_by = \"60\"\n",
            "toolctl.toml:2: `60` is not a span of time (for example `30s`, `2m`, `1h 30m`) [\"60\"] ",
        ),
        ("[server]\ndrain = \"0s\"\n", "toolctl.toml:2: it must be longer than nothing [\"0s\"] "),
        ("[limits]\nburst = 0\n", "toolctl.toml:2: `0` is outside 1–1000000 [0] "),
        ("[limits]\nburst = \"many\"\n", "toolctl.toml:2: invalid type: string \"many\", expected i64 [\"many\"] "),
        ("[server]\nlisten = \"localhost\"\n", "toolctl.toml:2: invalid socket address syntax [\"localhost\"] "),
        (
            "[server]\nlisten = \"0.0.0.0:80\"\n",
            "toolctl.toml:2: `0.0.0.0:80` can be reached from other machines [\"0.0.0.0:80\"] listen on 127.0.0.1, or \
             say --allow-remote (`allow_remote = true`) if that is meant",
        ),
        (
            "[retention]\nresults = \"9d\"\ntombstones = \"9d\"\n",
            "toolctl.toml:3: `tombstones` is not longer than `results`: a key whose result is gone could run again \
             [\"9d\"] make `tombstones` longer, for example 90 days more than `results`",
        ),
        (
            "[mcp]\nhold = \"1m\"\n",
            "toolctl.toml:2: `hold` is longer than 25s: clients would give up first [\"1m\"] their model can go on \
             waiting with the tool `toolctl_wait`",
        ),
        (
            "[[local_user]]\nuid = 7\ngroups = []\n",
            "toolctl.toml:3: the user `7` is in no group [[]] name at least one, for example `groups = [\"operators\"]`",
        ),
        (
            "[[local_user]]\nuid = 7\ngroups = [\"a\"]\n[[local_user]]\nuid = 7\ngroups = [\"b\"]\n",
            "toolctl.toml:5: the user `7` stands twice [7] put all its groups into one entry",
        ),
        (
            "[[local_user]]\nuid = 7\ngroups = [\"a b\"]\n",
            "toolctl.toml:3: `a b` is not a group (1–64 letters, digits, `_` and `-`) [[\"a b\"]] ",
        ),
    ] {
        assert_eq!(refusal(text), expected);
    }
}

#[test]
fn the_environment_is_judged_too_and_names_its_variable() {
    let refusal = |name, value| load("", &[(name, value)], Flags::default()).unwrap_err().to_string();
    assert_eq!(refusal("RATE_LIMIT_PER_MIN", "fast"), "RATE_LIMIT_PER_MIN: `fast` will not do");
    assert_eq!(refusal("RATE_LIMIT_PER_MIN", "0"), "RATE_LIMIT_PER_MIN: `0` is outside 1–1000000");
    assert_eq!(refusal("TOOLCTL_LISTEN", "8000"), "TOOLCTL_LISTEN: `8000` will not do");
    assert_eq!(
        refusal("ALLOWED_TOOLS", "a,b c"),
        "ALLOWED_TOOLS: `b c` is not a tool name (1–128 letters, digits, `_`, `-`, `.`, first a letter or digit)"
    );
    let flags = Flags { listen: "192.0.2.1:80".parse().ok(), ..Flags::default() };
    assert_eq!(
        load("", &[], flags).unwrap_err().to_string(),
        "--listen: `192.0.2.1:80` can be reached from other machines"
    );
}

#[test]
fn the_original_demo_server_s_variables_are_heard_and_its_key_is_not_shown() {
    let environment = [("API_KEY", "sesame"), ("ALLOWED_TOOLS", "search_customer, create_ticket,")];

    let demo = load("", &environment, Flags::default()).unwrap().demo;

    assert_eq!(demo.api_key.as_deref(), Some("sesame"));
    assert_eq!(
        format!("{demo:?}"),
        r#"Demo { api_key: Some("…"), allowed_tools: Some([search_customer, create_ticket]) }"#
    );
}
