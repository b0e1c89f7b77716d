//! One value in every form, for every reader.

use serde_json::json;

use super::paper::Paper;
use super::*;

struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn written(format: Option<Format>, terminal: bool, print: impl Fn(&Ui)) -> (String, String) {
    let (out, err) = (Paper::default(), Paper::default());
    let seen = Seen { out: terminal, err: terminal, ..Seen::default() };
    print(&Ui::to(Box::new(out.clone()), Box::new(err.clone()), format, seen, false, 0));
    (out.text(), err.text())
}

#[test]
fn a_document_takes_the_form_asked_for() {
    let value = json!({"b": "x\u{202e}", "a": [1, true]});
    let print = |ui: &Ui| ui.document(&value).expect("printed");
    for (format, terminal, expected) in [
        (None, false, "{\"b\":\"x\u{202e}\",\"a\":[1,true]}\n"),
        (None, true, "{\n  \"b\": \"x\\u202e\",\n  \"a\": [\n    1,\n    true\n  ]\n}\n"),
        (Some(Format::Jsonl), true, "{\"b\":\"x\\u202e\",\"a\":[1,true]}\n"),
    ] {
        assert_eq!(written(format, terminal, print).0, expected, "{format:?} {terminal}");
    }
    let yaml = written(Some(Format::Yaml), false, |ui| ui.document(&json!({"a": "no", "b": [1]})).expect("printed")).0;
    assert_eq!(serde_saphyr::from_str::<Value>(&yaml).expect("YAML"), json!({"a": "no", "b": [1]}));
    let raw =
        |terminal| written(Some(Format::Raw), terminal, |ui| ui.document(&json!("a\u{1b}\nb")).expect("printed")).0;
    assert_eq!((raw(false).as_str(), raw(true).as_str()), ("a\u{1b}\nb\n", "a\\u{1b}\nb\n"));
}

#[test]
fn a_list_takes_the_form_asked_for() {
    let items = [json!({"n": 1}), json!({"n": 2})];
    let mut table = Table::new(["N"], "none");
    table.row(["1".into()]);
    table.row(["2".into()]);
    let print = |ui: &Ui| ui.list(&json!({"items": items}), &items, &table).expect("printed");
    for (format, terminal, expected) in [
        (None, true, "N\n1\n2\n"),
        (None, false, "1\n2\n"),
        (Some(Format::Table), false, "N\n1\n2\n"),
        (Some(Format::Json), false, "{\"items\":[{\"n\":1},{\"n\":2}]}\n"),
        (Some(Format::Jsonl), false, "{\"n\":1}\n{\"n\":2}\n"),
    ] {
        assert_eq!(written(format, terminal, print).0, expected, "{format:?} {terminal}");
    }
}

#[test]
fn errors_never_reach_stdout() {
    let error = CliError::usage("no");
    let print = |ui: &Ui| ui.error(&error);
    assert_eq!(written(None, false, print), (String::new(), "error[usage]: no\n".to_owned()));
    let (out, err) = written(Some(Format::Json), false, print);
    assert_eq!((out.as_str(), err.as_str()), ("", "{\"error\":{\"code\":\"usage\",\"exit\":2,\"message\":\"no\"}}\n"));
}

#[test]
fn a_reader_that_went_away_ends_it_quietly() {
    let err = Paper::default();
    let ui = Ui::to(Box::new(Gone), Box::new(err.clone()), None, Seen::default(), false, 0);
    let error = ui.out("x").expect_err("gone");
    ui.error(&error);
    assert_eq!((error.exit.status(), err.text().len()), (141, 0));
}

#[test]
fn colour_marks_and_ends() {
    assert_eq!(paint(true, Tone::Good, "ok"), "\u{1b}[32mok\u{1b}[0m");
    assert_eq!(paint(false, Tone::Good, "ok"), "ok");
}
