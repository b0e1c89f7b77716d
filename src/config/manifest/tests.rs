//! Files of tools, and what can be wrong with them.

use super::*;

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
    Source { path: PathBuf::from("/etc/toolctl/tools/a.toml"), text: text.to_owned() }
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
        (with("{ type = \"string\" }", "{ type = \"text\" }"), "this is no JSON Schema"),
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
        (format!("{GOOD}{GOOD}"), "duplicate key"),
        ("x = 1\n".to_owned(), "unknown field `x`"),
        (String::new(), "missing field `tool` (begin a tool with [tool]"),
    ] {
        let told = wrong(&text);
        assert!(told.iter().any(|line| line.contains(expected)), "`{expected}` is not in {told:#?}");
    }
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
    let second = Source { path: "/etc/toolctl/tools/b.toml".into(), text: GOOD.to_owned() };
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
        let source = Source { path: folder.path().join("go.toml"), text: manifest.to_owned() };
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
