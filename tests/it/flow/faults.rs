//! Bad input: everything that is wrong is told before anything runs, and what only shows later stops the run in words.

use serde_json::json;

use super::{file, happened, run, step, ticket};
use crate::support::Daemon;

#[test]
fn a_file_with_faults_is_told_all_of_them_with_their_places() {
    let daemon = Daemon::start();
    let text = "name = \"w\"\n[[step]]\nid = \"a\"\ntool = \"create_tiket\"\n[[step]]\nid = \"b\"\ntool = \"create_ticket\"\n\
                with = { customer_id = \"x\", titel = \"{{ steps.a.outputs }}\" }\nwhn = \"true\"\n\
                [[step]]\nid = \"c\"\ntool = \"search_customer\"\nwith = { query = \"a\" }\n\
                [[step]]\nid = \"d\"\ntool = \"create_ticket\"\nwith = { customer_id = \"{{ steps.c.output.result }}\", title = \"Long enough\" }\n";
    let path = file(&daemon, "w.toml", text);
    for command in [vec!["run", &path, "-o", "json"], vec!["workflow", "validate", &path, "-o", "json"]] {
        let ending = daemon.cli(&command).exits(2);
        let error = ending.error();
        assert_eq!((&error["code"], ending.stdout.as_str()), (&json!("workflow-invalid"), ""));
        let told: Vec<String> = error["errors"]
            .as_array()
            .expect("faults")
            .iter()
            .map(|fault| {
                let place = fault["path"].as_str().expect("a place").strip_prefix(&path).expect("the file").to_owned();
                format!("{place} {}", fault["message"].as_str().expect("a text"))
            })
            .collect();
        assert_eq!(
            told,
            [
                ":4:8 there is no tool `create_tiket` that you may see; did you mean `create_ticket`?",
                ":8:8 `create_ticket` needs the argument `title`; see what it takes: toolctl call create_ticket --help",
                ":8:10 `customer_id` of `create_ticket` does not fit: \"x\" is not of type \"integer\"",
                ":8:29 `create_ticket` has no argument `titel`; did you mean `title`?",
                ":8:37 `steps.a` has no `outputs`; did you mean `output`?",
                ":9:1 a step has no member `whn`; did you mean `when`?",
                ":17:24 `search_customer` gives no `result`; did you mean `results`?",
            ]
        );
    }
    let people = daemon.cli(&["workflow", "validate", &path]).exits(2).stderr;
    assert!(
        people.contains("4 │ tool = \"create_tiket\"") && people.contains("did you mean `create_ticket`?"),
        "{people}"
    );
    assert!(people.ends_with("has 7 faults; nothing ran\n"), "{people}");
    assert_eq!(daemon.audit("kind=call.*"), Vec::<serde_json::Value>::new());
}

#[test]
fn what_is_no_workflow_at_all_is_told_too() {
    let daemon = Daemon::start();
    let told = |name: &str, text: &str| {
        let path = file(&daemon, name, text);
        daemon.cli(&["run", &path, "-o", "json"]).exits(2).error()["errors"][0]["message"]
            .as_str()
            .expect("a text")
            .to_owned()
    };
    assert!(told("w.toml", "name = \n").starts_with("this is not TOML: "));
    assert!(told("w.yaml", "a: [1\n").starts_with("this is not YAML that can be read: "));
    assert!(told("w.yaml", "- 1\n").starts_with("the file must be a table"));
    assert_eq!(told("w.toml", "name = \"w\"\n"), "there is no step; add one: [[step]] with `id` and `tool`");
    assert!(told("w.toml", &format!("name = \"w\"\n# {}", "x".repeat(1 << 20))).contains("at most 1048576 are read"));
    // Aliases that grow without end are cut off.
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
    told("bomb.yaml", bomb);
    told("deep.toml", &format!("a = {}{}\n", "[".repeat(5_000), "]".repeat(5_000)));
    told("deep.yaml", &format!("a: {}{}\n", "[".repeat(5_000), "]".repeat(5_000)));
    for words in
        [&["run", "missing.toml"][..], &["workflow", "validate", "missing.toml"], &["tools", "lint", "missing.toml"]]
    {
        let error = daemon.cli(&[words, &["-o", "json"]].concat()).exits(1).error();
        assert_eq!(error["code"], "io", "{words:?} cannot be read: {error}");
    }
    daemon.cli(&["run"]).exits(2);
    daemon.cli(&["run", "--run", "a/b"]).exits(2);
    daemon.cli(&["run", "--run", "never-begun"]).exits(2);
}

#[test]
fn inputs_that_are_missing_wrong_or_unknown_are_told_together() {
    let daemon = Daemon::start();
    let deploy = super::example("deploy.toml");
    let ending = run(&daemon, &deploy, &["service=one", "versoin=v2"], &[]).exits(2);
    let error = ending.error();
    assert_eq!(error["code"], "inputs-invalid");
    let told: Vec<_> = error["errors"].as_array().expect("inputs").iter().map(|it| it["path"].clone()).collect();
    assert_eq!(told, ["service", "versoin", "version", "stable"]);
    assert_eq!(daemon.cli(&["runs", "list", "-o", "json"]).json()["runs"], json!([]));
}

#[test]
fn an_output_that_is_not_as_expected_fails_the_step_that_looks() {
    let daemon = Daemon::start();
    let text = format!(
        "name = \"w\"\n[[step]]\nid = \"find\"\ntool = \"search_customer\"\nwith = {{ query = \"nobody at all\" }}\n\
         [[step]]\nid = \"open\"\ntool = \"create_ticket\"\n\
         with = {{ customer_id = \"{{{{ steps.find.output.results[0].id }}}}\", title = \"Never made\" }}\n{}\
         [[step]]\nid = \"each\"\ntool = \"create_ticket\"\nfor_each = \"{{{{ steps.find.output }}}}\"\n\
         with = {{ customer_id = 1, title = \"Never made\" }}\n",
        ticket("fine", "Beside it", "")
    );
    let ending = run(&daemon, &file(&daemon, "w.toml", &text), &[], &[]).exits(2);
    let report = ending.json();
    assert_eq!(ending.error()["code"], "expression-failed");
    let said = step(&report, "open")["error"]["message"].as_str().expect("a text");
    assert!(said.contains("`steps.find.output.results[0].id`"), "{said}");
    assert_eq!(step(&report, "each")["error"]["message"], "`for_each` gives no list");
    assert_eq!((happened(&daemon, "create_ticket"), &step(&report, "fine")["state"]), (1, &json!("succeeded")));
}

#[test]
fn a_template_that_loops_or_blows_up_stops_in_words() {
    let daemon = Daemon::start();
    for template in [
        "{% for a in range(90000) %}{% for b in range(90000) %}x{% endfor %}{% endfor %}",
        "{{ 'x' * 100000000 }}",
        "{% set ns = namespace(s='xxxxxxxxxxxxxxxx') %}{% for i in range(90) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
    ] {
        let text = format!(
            "name = \"w\"\n[[step]]\nid = \"a\"\ntool = \"send_message\"\nwith = {{ channel = \"c\", message = \"\"\"{template}\"\"\" }}\n"
        );
        let ending = run(&daemon, &file(&daemon, "w.toml", &text), &[], &[]).exits(2);
        let said = ending.error()["message"].as_str().expect("a text").to_owned();
        assert!(said.contains("too much work") || said.contains("too large"), "{said}");
    }
    assert_eq!(happened(&daemon, "send_message"), 0);
}

#[test]
fn two_items_about_the_same_thing_are_refused_before_the_first_is_called() {
    let daemon = Daemon::start();
    let text = "name = \"w\"\n[[step]]\nid = \"a\"\ntool = \"create_ticket\"\nfor_each = [1, 2, 1]\nidempotency = \"{{ item }}\"\n\
                with = { customer_id = \"{{ item }}\", title = \"Twice\" }\n";
    let ending = run(&daemon, &file(&daemon, "w.toml", text), &[], &[]).exits(2);
    assert!(ending.error()["message"].as_str().expect("a text").contains("for two items"), "{}", ending.stderr);
    assert_eq!(happened(&daemon, "create_ticket"), 0);
}

#[test]
fn the_published_schema_says_what_the_reader_takes() {
    use toolctl::cli::workflow_schema;
    let schema = workflow_schema();
    let printed = Daemon::prepared(&[], &[]).cli(&["workflow", "schema", "-o", "json"]).json();
    assert_eq!(printed, schema);
    let validator = jsonschema::validator_for(&schema).expect("a JSON Schema");
    for name in ["support.toml", "incident.toml", "deploy.toml"] {
        let text = std::fs::read_to_string(super::example(name)).expect("an example");
        let value: serde_json::Value = toml::from_str(&text).expect("TOML");
        let wrong: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert_eq!(wrong, Vec::<String>::new(), "{name}");
    }
}
