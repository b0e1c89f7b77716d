//! Files of tools, and what can be wrong with them.

use super::*;
use crate::domain::tool::upstream::{Given, Reach};

const GOOD: &str = r#"
[tool]
name = "restart"
description = "Restarts a unit."

[tool.arguments]
unit = { type = "string", required = true, pattern = "[a-z]+" }
since = { type = "string" }
tags = { type = "array", items = { type = "string" }, default = [] }

[tool.command]
program = "true"
arguments = ["restart", { if = "since", then = ["--since={since}"] }, "--tag={tags...}", "--", "{unit}"]
"#;

fn source(text: &str) -> Source {
    Source { path: PathBuf::from("/etc/toolctl/tools/a.toml"), text: text.into() }
}

fn read(text: &str) -> Result<Manifests, Problems> {
    load(&[source(text)])
}

/// What is wrong with a text, a line each, with the hint.
fn wrong(text: &str) -> Vec<String> {
    let problems = read(text).err().map(|problems| problems.0).unwrap_or_default();
    problems
        .iter()
        .map(|problem| {
            let (line, column) = problem.position().unwrap_or_default();
            let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            format!("{line}:{column} {problem}{hint}")
        })
        .collect()
}

/// The good text with one line replaced, or another added behind `[tool]`.
fn with(before: &str, after: &str) -> String {
    assert!(GOOD.contains(before), "`{before}`");
    GOOD.replacen(before, after, 1)
}

#[test]
fn what_is_left_out_is_taken_for_the_worst() {
    let manifests = read(GOOD).expect("good");
    let tool = &manifests.tools[0].tool;
    assert_eq!((tool.effect.word(), tool.destructive, tool.open_world, tool.risk.word()), ("once", true, true, "high"));
    let reads = read(&with("description", "effect = \"readonly\"\ndescription")).expect("good");
    let tool = &reads.tools[0].tool;
    assert_eq!((tool.effect.word(), tool.destructive, tool.risk.word()), ("readonly", false, "low"));
}

#[test]
fn the_short_form_is_a_closed_schema_with_anchored_patterns() {
    let tool = &read(GOOD).expect("good").tools[0].tool.clone();
    assert_eq!(
        tool.input_schema,
        serde_json::json!({
            "type": "object", "required": ["unit"], "additionalProperties": false,
            "properties": {
                "unit": {"type": "string", "pattern": "^(?:[a-z]+)$"},
                "since": {"type": "string"},
                "tags": {"type": "array", "items": {"type": "string"}, "default": []},
            },
        })
    );
}

#[test]
fn everything_that_is_wrong_is_told_with_its_place() {
    for (text, expected) in [
        (with("name =", "nmae ="), "3:1 unknown field `nmae`"),
        (with("\"restart\"\n", "\"toolctl_x\"\n"), "3:8 names that begin with `toolctl_` are toolctl's own"),
        (with("\"restart\"\n", "\"call\"\n"), "3:8 policies use `call` for a group of tools"),
        (with("\"restart\"\n", "\"a b\"\n"), "3:8 `a b` is not a tool name"),
        (with("\"Restarts a unit.\"", "\" \""), "4:15 the description is empty"),
        (with("program = \"true\"", "program = \"no-such-program\""), "12:11 there is no program `no-such-program` in"),
        (with("program = \"true\"", "program = \"/usr\""), "12:11 `/usr` is not a file"),
        (with("\"{unit}\"]", "\"{unti}\"]"), "the tool has no argument `unti` (did you mean `unit`?)"),
        (with("\"{unit}\"]", "\"{since}\", \"{unit}\"]"), "the argument `since` may be missing (make it required"),
        (with("\"{unit}\"]", "\"{tags}\", \"{unit}\"]"), "the argument `tags` is a list (write {tags...})"),
        (with("\"{unit}\"]", "\"{unit...}\"]"), "the argument `unit` is no list (write {unit})"),
        (with("\"{unit}\"]", "\"{unit\"]"), "a `{` or `}` stands alone"),
        (with("{ type = \"string\" }", "{ typ = \"string\" }"), "an argument has no `typ` (did you mean `type`?)"),
        (
            with("{ type = \"string\" }", "{ type = \"text\" }"),
            "8:18 there is no type `text` (there is `array`, `boolean`",
        ),
        (
            with("{ type = \"string\" }", "{ type = [\"string\", \"nul\"] }"),
            "8:18 there is no type `nul` (did you mean `null`?)",
        ),
        (
            with("{ type = \"string\" }", "{ type = \"string\", minLength = \"x\" }"),
            "this is no JSON Schema: `/properties/since/minLength` must be an integer, not a string",
        ),
        (
            with("description", "output = { type = \"object\" }\ndescription"),
            "only an output that is JSON has a schema of its own (say output = \"json\" under [tool.command]",
        ),
        (with("description", "timeout = \"2d\"\ndescription"), "4:11 a run may take 24 hours at most"),
        (with("description", "timeout = \"soon\"\ndescription"), "4:11"),
        (with("description", "effect = \"twice\"\ndescription"), "4:10 unknown variant `twice`"),
        (with("description", "dedupe_window = \"1h\"\ndescription"), "only a keyed tool has a dedupe window"),
        (with("description", "probe = \"look\"\ndescription"), "there is no tool `look` to be the probe of `restart`"),
        (with("program = \"true\"", "program = \"sh\""), "the script cannot be used: there is no file"),
        (
            GOOD.replace("program = \"true\"", "program = \"sh\"")
                .replace("[\"restart\", ", "[\"-c\", \"echo {unit}\", "),
            "a caller's argument stands where `",
        ),
        (
            with("description", "destructive = false\ndescription")
                .replace("program = \"true\"", "program = \"true\"\nallow_interpreter = true"),
            "4:15 a command that runs what a caller sends is destructive",
        ),
        (
            with("description", "effect = \"readonly\"\ndescription")
                .replace("program = \"true\"", "program = \"true\"\nallow_interpreter = true"),
            "a command that runs what a caller sends does not only read",
        ),
        (
            format!("{GOOD}[[tool.example]]\narguments = {{ unit = 7 }}\n"),
            "the example does not fit the arguments: `/unit` must be a string",
        ),
        (format!("{GOOD}environment = {{ LD_PRELOAD = \"x\" }}\n"), "the variable `LD_PRELOAD` cannot be set"),
        (format!("{GOOD}environment = {{ T = {{ secret = \"x\" }} }}\n"), "a secret is named `env:NAME`"),
        (format!("{GOOD}no_effect_exit = [0]\n"), "the exit status 0 is given two meanings"),
        (format!("{GOOD}sandbox = {{ read = [\"x\"] }}\n"), "`x` is not an absolute path"),
        (
            with("\"restart\"\n", &format!("\"restart\"\ntitle = \"{}\"\n", "t".repeat(4_097))),
            "3:8 the title has more than 4096",
        ),
        (with("\"Restarts a unit.\"", &format!("\"{}\"", "d".repeat(4_097))), "3:8 the description has more than 4096"),
        (
            with("description", "effect = \"readonly\"\ndestructive = true\ndescription"),
            "5:15 a tool that only reads destroys",
        ),
        (
            with("description", "idempotency_ignore = [\"note\"]\ndescription"),
            "4:23 `note` is not a JSON Pointer (write /name)",
        ),
        (with("description", "output_limit = 0\ndescription"), "4:16 the output limit is 1 byte to 64 MiB"),
        (with("description", "output_limit = \"65 MiB\"\ndescription"), "4:16 the output limit is 1 byte to 64 MiB"),
        (with("description", "output_limit = \"much\"\ndescription"), "4:16 `much` is not a number of bytes"),
        (with("description", "output_limit = -1\ndescription"), "4:16 it must not be negative"),
        (with("description", "input = { type = \"object\" }\ndescription"), "the arguments are declared twice"),
        (with("description", "probe = \"a b\"\ndescription"), "4:9 `a b` is not a tool name"),
        (with("description", "probe = \"restart\"\ndescription"), "the probe `restart` must be a tool that only reads"),
        (
            with("description", "preview = \"search_customer\"\ndescription"),
            "the preview `search_customer` must be a tool of your own",
        ),
        (with("description", "preview_varies = true\ndescription"), "4:18 there is no preview that could vary"),
        (with("{ type = \"string\" }", "{ description = \"x\" }"), "8:9 the argument `since` has no type"),
        (with("{ type = \"string\" }", "{ type = \"string\", path_under = \"data\" }"), "8:41 this is no folder"),
        (with("{ type = \"string\" }", "{ type = \"string\", path_under = \"/a/../b\" }"), "8:41 this is no folder"),
        (
            with("{ type = \"string\" }", "{ type = \"string\", format = \"host-name\" }"),
            "8:37 there is no format `host-name` (did you mean `hostname`?)",
        ),
        (with("{ type = \"string\" }", "{ type = \"string\", path_under = 7 }"), "8:41 this is no folder"),
        (
            with("{ type = \"string\" }", "{ type = \"integer\", path_under = \"/a\" }"),
            "8:9 the argument `since` is a path and so text",
        ),
        (
            with("{ type = \"string\" }", "{ type = \"object\" }"),
            "the argument `since` is an object and has no place here",
        ),
        (format!("{GOOD}environment = {{ T = \"{{tags...}}\" }}\n"), "a variable cannot hold a list"),
        (format!("{GOOD}environment = {{ T = \"{{since}}\" }}\n"), "the argument `since` may be missing"),
        (format!("{GOOD}environment = {{ \"A B\" = \"x\" }}\n"), "`A B` is no name of a variable"),
        (
            format!("{GOOD}environment = {{ T = {{ secret = \"env:X\", as = \"argument\" }} }}\n"),
            "unknown variant `argument`",
        ),
        (format!("{GOOD}limits = {{ grace = \"6m\" }}\n"), "the grace is 5 minutes at most"),
        (format!("{GOOD}limits = {{ files = 3 }}\n"), "a program needs at least 16 open files"),
        (format!("{GOOD}limits = {{ memory = \"1 MiB\" }}\n"), "a program needs at least 16 MiB"),
        (format!("{GOOD}retry = {{ attempts = 3 }}\n"), "14:9 no exit status says that it failed for now (name the"),
        (format!("{GOOD}tempfail_exit = [75]\nretry = {{ attempts = 11 }}\n"), "15:9 there are 1 to 10 attempts"),
        (format!("{GOOD}tempfail_exit = [75]\nretry = {{ atempts = 1 }}\n"), "15:11 unknown field `atempts`"),
        (format!("{GOOD}tempfail_exit = [256]\n"), "14:18"),
        (format!("{GOOD}folder = \"here\"\n"), "14:10 `here` is not an absolute path"),
        (format!("{GOOD}{GOOD}"), "duplicate key"),
        ("x = 1\n".to_owned(), "unknown field `x`"),
        (String::new(), "missing field `tool` (begin a tool with [tool]"),
    ] {
        let told = wrong(&text);
        assert!(told.iter().any(|line| line.contains(expected)), "`{expected}` is not in {told:#?}");
        assert!(told.iter().all(|line| !line.starts_with("0:0")), "without a place: {told:#?}");
    }
}

/// What a tool with a whole schema in place of the short form is told.
fn with_schemas(schemas: &str) -> Vec<String> {
    wrong(&format!(
        "[tool]\nname = \"x\"\ndescription = \"x\"\n{schemas}\n[tool.command]\nprogram = \"cat\"\nstdin = \"json\"\noutput = \"json\"\n"
    ))
}

#[test]
fn whole_schemas_are_looked_at_too() {
    for (schemas, expected) in [
        ("input = { type = \"string\" }", "4:9 the arguments of a tool are an object (say type = \"object\""),
        ("input = { type = \"objekt\" }", "4:9 the arguments of a tool are an object"),
        ("input = '{\"type\": \"object\",}'", "4:9 the schema is not strict JSON"),
        (
            "input = '{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"strin\"}}}'",
            "4:9 this is no JSON Schema: `/properties/a/type`: there is no type `strin`; did you mean `string`?",
        ),
        (
            "input = '{\"type\": \"object\", \"properties\": {\"a\": {\"$ref\": \"#/$defs/x\"}}}'",
            "a `$ref` leads nowhere",
        ),
        ("input = '{\"type\": \"object\", \"properties\": {\"a\": {\"$ref\": \"https://x/y\"}}}'", "leaves the schema"),
        ("input = 7", "4:9 a schema is a table, or JSON as text"),
        (
            "input = { type = \"object\", properties = { a = { type = \"string\", x-path-under = \"a\" } } }",
            "4:9 `a` is no whole path",
        ),
        ("output = { type = \"array\" }", "4:10 the output of a tool is an object (what is no object becomes"),
        ("output = \"{\"", "4:10 the schema is not strict JSON"),
    ] {
        let told = with_schemas(schemas);
        assert!(told.iter().any(|line| line.contains(expected)), "`{expected}` is not in {told:#?}");
    }
    assert_eq!(with_schemas("input = { type = \"object\" }\noutput = { type = \"object\" }"), [""; 0]);
    assert_eq!(
        wrong("[tool]\nname = \"x\"\ndescription = \"x\"\n"),
        [
            "2:8 nothing runs this tool (say what runs it: [tool.command] with program = \"…\", or [tool.http] with url = \"…\")"
        ]
    );
}

#[test]
fn paths_are_part_of_the_definition_and_of_the_schema() {
    let text = with("since = { type = \"string\" }", "since = { type = \"string\", path_under = \"/srv\" }");
    let tool = &read(&text).expect("good").tools[0].tool;
    assert_eq!(tool.input_schema["properties"]["since"]["x-path-under"], "/srv");
    let crate::domain::tool::Action::Command(command) = &tool.action else { panic!("a command") };
    assert_eq!(command.paths, BTreeMap::from([("since".to_owned(), PathBuf::from("/srv"))]));
    assert_ne!(tool.digest(), read(GOOD).expect("good").tools[0].tool.digest());
    let boxed = format!("{text}sandbox = {{ read = [] }}\n");
    let warnings: Vec<_> = read(&boxed).expect("good").warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["the argument `since` is a path in a folder that the sandbox does not let it read"]);
}

#[test]
fn unknown_words_name_the_nearest() {
    assert_eq!(
        wrong(&with("program =", "programm ="))[0].split(" (").last(),
        Some("did you mean `program`?)"),
        "{:?}",
        wrong(&with("program =", "programm ="))
    );
}

#[test]
fn a_name_belongs_to_one_tool() {
    let second = Source { path: "/etc/toolctl/tools/b.toml".into(), text: GOOD.into() };
    let told = load(&[source(GOOD), second]).expect_err("refused").to_string();
    assert_eq!(told, "/etc/toolctl/tools/b.toml:3:8: two tools are named `restart`");
    let ours = GOOD.replacen("\"restart\"", "\"send_message\"", 1);
    let told = load(&[source(&ours)]).expect_err("refused").to_string();
    assert_eq!(told, "/etc/toolctl/tools/a.toml:3:8: `send_message` is the name of a tool that is built in");
}

#[test]
fn an_argument_that_is_never_used_is_a_warning() {
    let text = with("arguments = [\"restart\", { if = \"since\", then = [\"--since={since}\"] },", "arguments = [");
    let warnings = read(&text).expect("good").warnings;
    assert_eq!(
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["the command never uses the argument `since`"]
    );
    let all = text.replace("program = \"true\"", "program = \"true\"\nstdin = \"json\"");
    assert_eq!(read(&all).expect("good").warnings, []);
}

#[test]
fn a_folder_out_of_the_sandbox_is_a_warning() {
    let text = |list: &str| format!("{GOOD}folder = \"/srv/app\"\nsandbox = {{ read = [{list}] }}\n");
    let warnings = read(&text("")).expect("good").warnings;
    assert_eq!(
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["the command runs in a folder that its sandbox does not let it read"]
    );
    assert_eq!(read(&text("\"/srv\"")).expect("good").warnings, []);
}

#[test]
fn one_file_may_hold_many_tools() {
    let table =
        |name: &str| format!("[[tool]]\nname = \"{name}\"\ndescription = \"x\"\n[tool.command]\nprogram = \"true\"\n");
    let manifests = read(&format!("{}{}", table("a"), table("b"))).expect("good");
    let names: Vec<_> = manifests.tools.iter().map(|manifest| manifest.tool.name.to_string()).collect();
    assert_eq!(names, ["a", "b"]);
    let told = wrong(&format!("{}{}", table("a"), table("b").replace("program", "programme")));
    assert!(told[0].contains("did you mean `program`?"), "{told:?}");
}

#[test]
fn what_runs_is_part_of_the_definition() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("go.py");
    let digest = |text: &str| {
        fs::write(&script, text).expect("written");
        let manifest =
            "[tool]\nname = \"go\"\ndescription = \"x\"\n[tool.command]\nprogram = \"sh\"\narguments = [\"go.py\"]\n";
        let source = Source { path: folder.path().join("go.toml"), text: manifest.into() };
        load(&[source]).expect("good").tools[0].tool.digest()
    };
    assert_eq!(digest("one"), digest("one"));
    assert_ne!(digest("one"), digest("two"), "the script is another");
}

#[test]
fn the_schema_for_editors_takes_what_we_take() {
    let schema = schema();
    let document: serde_json::Value = toml::from_str(GOOD).expect("TOML");
    let checked = crate::guard::schema::OutputSchema::compile(&schema).expect("a schema");
    assert_eq!(checked.check(&document), Ok(()));
    let wrong: serde_json::Value = toml::from_str(&with("program =", "programm =")).expect("TOML");
    assert!(checked.check(&wrong).is_err());
}

const SERVER: &str = r#"
[[upstream]]
name = "files"
command = ["true", "--root", "/srv"]
environment = { LOG = "warn", TOKEN = { secret = "env:FILES_TOKEN" } }
[upstream.tools.read]
effect = "readonly"
"#;

fn server(before: &str, after: &str) -> String {
    assert!(SERVER.contains(before), "`{before}`");
    SERVER.replacen(before, after, 1)
}

#[test]
fn a_server_is_what_its_table_says() {
    let all = read(SERVER).expect("good");
    let (tools, upstream) = (all.tools.len(), &all.upstreams[0].upstream);
    assert_eq!((tools, upstream.name.as_str(), upstream.concurrency), (0, "files", 8));
    let Reach::Program(program) = &upstream.reach else { panic!("{:?}", upstream.reach) };
    assert_eq!(program.arguments, ["--root", "/srv"]);
    assert_eq!(program.environment["TOKEN"], Given::Secret("env:FILES_TOKEN".parse().expect("a reference")));
    let web = "[upstream]\nname = \"far\"\nurl = \"https://x.example/mcp\"\nauth = { bearer = \"env:T\" }\nheaders = { X-Team = \"ops\" }\n";
    let all = read(web).expect("good");
    let Reach::Web(web) = &all.upstreams[0].upstream.reach else { panic!("a program") };
    assert_eq!((web.path.as_str(), web.headers.len(), web.bearer.is_some()), ("/mcp", 1, true));
    assert!(read(&format!("{GOOD}{SERVER}")).is_ok(), "tools and servers share a file");
}

#[test]
fn whatever_is_wrong_with_a_server_is_told_with_its_place() {
    for (before, after, expected) in [
        ("name = \"files\"", "name = \"my files\"", "3:8 `my files` is not the name of a server"),
        (
            "name = \"files\"",
            "name = \"files\"\nurl = \"https://x\"",
            "4:7 a server has a `command` or a `url`, not both",
        ),
        ("command = [\"true\", \"--root\", \"/srv\"]\n", "", "3:8 nothing says how this server is reached"),
        ("\"true\"", "\"no-such-program-here\"", "4:12 there is no program `no-such-program-here`"),
        ("[\"true\", \"--root\", \"/srv\"]", "[]", "4:11 the command is empty"),
        ("LOG = \"warn\"", "\"L G\" = \"warn\"", "5:17 `L G` is no name of a variable"),
        ("env:FILES_TOKEN", "FILES_TOKEN", "5:50 a secret is named `env:NAME`"),
        ("effect", "efect", "7:1 unknown field `efect`"),
        ("environment", "enviroment", "5:1 unknown field `enviroment`"),
        ("\"readonly\"", "\"readonly\"\ndestructive = true", "8:15 a tool that only reads destroys nothing"),
        ("\"readonly\"", "\"readonly\"\ndedupe_window = \"1h\"", "8:17 only a keyed tool has a dedupe window"),
        (
            "\"readonly\"",
            "\"once\"\nprobe = \"files.look\"",
            "3:8 there is no tool `files.look` to be the probe of `files.read`",
        ),
        ("command = [", "concurrency = 0\ncommand = [", "4:15 the concurrency is 1 to 256"),
        ("command = [", "headers = { A = \"b\" }\ncommand = [", "4:13 `headers` is for servers with a `url`"),
        ("[\"true\", \"--root\", \"/srv\"]\n", "[\"true\"]\nfolder = \"srv\"\n", "5:10 `srv` is not an absolute path"),
    ] {
        let told = wrong(&server(before, after));
        assert!(told.iter().any(|line| line.starts_with(expected)), "{expected}: {told:?}");
    }
    for (text, expected) in [
        ("url = \"ftp://x\"", "`ftp://x` is no URL of a server"),
        ("url = \"https://user:pass@x.example\"", "is no URL of a server"),
        ("url = \"https://x.example\"\nheaders = { Host = \"y\" }", "the header `host` is set by toolctl"),
        ("url = \"https://x.example\"\nheaders = { \"a b\" = \"y\" }", "`a b` is no name of a header"),
        (
            "url = \"https://x.example\"\nauth = { bearer = \"env:T\" }\nheaders = { Authorization = \"y\" }",
            "`auth` sets this header already",
        ),
        (
            "url = \"http://127.0.0.1:9/mcp\"",
            "`127.0.0.1` is a loopback address (list it if it is meant: allow = [\"127.0.0.1:9\"])",
        ),
        (
            "url = \"https://x.example\"\nallow = [\"everything\"]",
            "`everything` is neither a network such as 10.0.0.0/8",
        ),
        ("url = \"https://x.example\"\nfolder = \"/srv\"", "`folder` is for servers with a `command`"),
    ] {
        let told = wrong(&format!("[[upstream]]\nname = \"x\"\n{text}\n"));
        assert!(told.iter().any(|line| line.contains(expected)), "{expected}: {told:?}");
    }
    let twice = wrong(&format!("{SERVER}{SERVER}"));
    assert_eq!(twice, ["10:8 two servers are named `files` (rename this one)"]);
    let own = with("\"restart\"", "\"files.restart\"");
    let told = wrong(&format!("{own}{SERVER}"));
    assert_eq!(told, ["3:8 names that begin with `files.` are those of the server `files` (choose another name)"]);
    let ours = wrong(&server("\"files\"", "\"toolctl_x\""));
    assert_eq!(ours, ["3:8 names that begin with `toolctl_` are toolctl's own"]);
}
