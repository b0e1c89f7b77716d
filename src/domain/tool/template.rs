//! Templates of arguments. They are lists, never lines: a template of one element gives one argument (or, for
//! a list, one for each item), nothing is split and no shell reads it. What a caller sends can therefore be
//! only a value, and a value that looks like an option is refused unless its place makes it a value again.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest argument, in bytes.
pub const LONGEST: usize = 32 << 10;
/// The most bytes of all arguments together.
pub const LONGEST_ALL: usize = 512 << 10;

/// One element of a list of arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Element {
    /// One argument.
    One(Text),
    /// One argument for each item of a list: the text names it once, as `{name...}`.
    Each {
        /// The list.
        list: String,
        /// The text of each.
        text: Text,
    },
    /// More elements, if an argument is given and is not false, null or empty.
    When {
        /// The argument.
        argument: String,
        /// The elements.
        then: Vec<Element>,
    },
}

/// Text with arguments in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(pub Vec<Piece>);

/// A piece of [`Text`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Piece {
    /// As it stands.
    Literal(String),
    /// The value of an argument.
    Argument(String),
}

/// A template that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    /// A `{` without its `}`, or the reverse.
    #[error("a `{{` or `}}` stands alone; write `{{{{` or `}}}}` for the sign itself")]
    Brace,
    /// No name between the braces.
    #[error("`{{{0}}}` names no argument: names have letters, digits, `_`, `-` and `.`")]
    Name(String),
    /// `{name...}` where it cannot be.
    #[error("`{{{0}...}}` must be the only argument of its element")]
    List(String),
}

/// Arguments from which no list of arguments can be made. Nothing ran.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadArgument {
    /// It looks like an option of the program.
    #[error("the argument `{0}` must not begin with `-` here, as the program would take it for an option")]
    Option(String),
    /// It has a NUL byte.
    #[error("the argument `{0}` has a NUL character, which no program can be given")]
    Nul(String),
    /// It is too long.
    #[error("the argument `{0}` has {1} bytes; at most {LONGEST} fit")]
    TooLong(String, usize),
    /// All together are too long.
    #[error("the arguments have more than {LONGEST_ALL} bytes together")]
    TooLongTogether,
    /// It is neither text nor a number nor true nor false.
    #[error("the argument `{0}` cannot stand in text: it is {1}")]
    Kind(String, &'static str),
    /// It is not there.
    #[error("the argument `{0}` is missing")]
    Missing(String),
    /// It is a path that leaves its folder.
    #[error("the argument `{0}` must be a whole path inside `{1}`, without `.` and `..`")]
    Outside(String, String),
    /// It cannot stand in its place of a request.
    #[error("the argument `{0}` {1}")]
    Place(String, &'static str),
    /// A request that they make would be too large.
    #[error("the {what} of the request would have more than {most} bytes")]
    TooLarge {
        /// What would be.
        what: &'static str,
        /// The most bytes of it.
        most: usize,
    },
}

impl BadArgument {
    /// The argument at fault, if it is one.
    pub fn argument(&self) -> Option<&str> {
        match self {
            Self::Option(name)
            | Self::Nul(name)
            | Self::TooLong(name, _)
            | Self::Kind(name, _)
            | Self::Outside(name, _)
            | Self::Missing(name)
            | Self::Place(name, _) => Some(name),
            Self::TooLongTogether | Self::TooLarge { .. } => None,
        }
    }
}

impl Text {
    /// Reads `{name}`, `{name...}`, `{{` and `}}`. Gives the list's name when there is a `{name...}`.
    ///
    /// # Errors
    /// Says what cannot be read.
    pub fn parse(text: &str) -> Result<(Self, Option<String>), BadTemplate> {
        let mut pieces = Vec::new();
        let mut list = None;
        let mut literal = String::new();
        let mut rest = text.chars().peekable();
        while let Some(sign) = rest.next() {
            match sign {
                '{' | '}' if rest.peek() == Some(&sign) => {
                    rest.next();
                    literal.push(sign);
                }
                '{' => {
                    let mut name = String::new();
                    loop {
                        match rest.next() {
                            Some('}') => break,
                            Some(sign) => name.push(sign),
                            None => return Err(BadTemplate::Brace),
                        }
                    }
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    let plain = name.strip_suffix("...");
                    if plain.is_some() {
                        list = plain.map(ToOwned::to_owned);
                    }
                    let name = plain.unwrap_or(&name).to_owned();
                    if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c)) {
                        return Err(BadTemplate::Name(name));
                    }
                    pieces.push(Piece::Argument(name));
                }
                '}' => return Err(BadTemplate::Brace),
                sign => literal.push(sign),
            }
        }
        if !literal.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        let text = Self(pieces);
        match &list {
            Some(name) if text.arguments().count() != 1 => Err(BadTemplate::List(name.clone())),
            _ => Ok((text, list)),
        }
    }

    /// The arguments it names, in order.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Argument(name) => Some(name.as_str()),
            Piece::Literal(_) => None,
        })
    }

    /// The text, when it names no argument.
    pub fn literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Puts the arguments in.
    ///
    /// # Errors
    /// An argument that cannot stand there.
    pub fn fill(&self, arguments: &Value) -> Result<String, BadArgument> {
        self.render(|name| arguments.get(name).ok_or_else(|| BadArgument::Missing(name.to_owned())))
    }

    fn render<'a>(&self, value: impl Fn(&str) -> Result<&'a Value, BadArgument>) -> Result<String, BadArgument> {
        let mut whole = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => whole.push_str(text),
                Piece::Argument(name) => whole.push_str(&plain(name, value(name)?)?),
            }
        }
        let blame = || self.arguments().next().unwrap_or("program").to_owned();
        if whole.len() > LONGEST {
            return Err(BadArgument::TooLong(blame(), whole.len()));
        }
        if whole.contains('\0') {
            return Err(BadArgument::Nul(blame()));
        }
        Ok(whole)
    }

    /// Whether what it gives begins with what a caller sent.
    fn begins_with_argument(&self) -> Option<&str> {
        match self.0.first() {
            Some(Piece::Argument(name)) => Some(name),
            Some(Piece::Literal(_)) | None => None,
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => f.write_str(text)?,
                Piece::Argument(name) => write!(f, "{{{name}}}")?,
            }
        }
        Ok(())
    }
}

impl Element {
    /// Every argument it names.
    pub fn arguments(&self) -> Vec<&str> {
        match self {
            Self::One(text) => text.arguments().collect(),
            Self::Each { text, .. } => text.arguments().collect(),
            Self::When { argument, then } => {
                std::iter::once(argument.as_str()).chain(then.iter().flat_map(Self::arguments)).collect()
            }
        }
    }
}

/// The list of arguments that `elements` give.
///
/// # Errors
/// The first argument of a caller's that cannot stand where it would.
pub fn expand(elements: &[Element], arguments: &Value) -> Result<Vec<String>, BadArgument> {
    let mut given = Given { list: Vec::new(), only_values: false };
    given.take(elements, arguments)?;
    if given.list.iter().map(|one| one.len() + 1).sum::<usize>() > LONGEST_ALL {
        return Err(BadArgument::TooLongTogether);
    }
    Ok(given.list)
}

struct Given {
    list: Vec<String>,
    /// A literal `--` came before: everything from here on is a value to the program.
    only_values: bool,
}

impl Given {
    fn take(&mut self, elements: &[Element], arguments: &Value) -> Result<(), BadArgument> {
        for element in elements {
            match element {
                Element::One(text) => {
                    let whole = text.fill(arguments)?;
                    self.push(text, whole)?;
                }
                Element::Each { list, text } => {
                    let items = match arguments.get(list) {
                        Some(Value::Array(items)) => items,
                        Some(other) => return Err(BadArgument::Kind(list.clone(), kind(other))),
                        None => return Err(BadArgument::Missing(list.clone())),
                    };
                    for item in items {
                        let whole = text.render(|_| Ok(item))?;
                        self.push(text, whole)?;
                    }
                }
                Element::When { argument, then } => {
                    if is_given(arguments.get(argument)) {
                        self.take(then, arguments)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, text: &Text, whole: String) -> Result<(), BadArgument> {
        if let Some(name) = text.begins_with_argument()
            && whole.starts_with('-')
            && !self.only_values
        {
            return Err(BadArgument::Option(name.to_owned()));
        }
        self.only_values |= text.literal() == Some("--");
        self.list.push(whole);
        Ok(())
    }
}

fn is_given(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Bool(true) | Value::Number(_) | Value::Object(_)) => true,
    }
}

/// A value as text.
pub(super) fn plain(name: &str, value: &Value) -> Result<String, BadArgument> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(BadArgument::Kind(name.to_owned(), kind(value))),
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(text: &str) -> Element {
        match Text::parse(text).expect("a template") {
            (text, Some(list)) => Element::Each { list, text },
            (text, None) => Element::One(text),
        }
    }

    fn when(argument: &str, then: &[&str]) -> Element {
        Element::When { argument: argument.to_owned(), then: then.iter().map(|text| one(text)).collect() }
    }

    #[test]
    fn one_element_gives_one_argument_whatever_is_in_it() {
        let arguments = json!({"unit": "a b; rm -rf / \"$HOME\" `x`\n", "n": 7, "deep": true});
        let elements = [one("restart"), one("{unit}"), one("--n={n}"), one("{{{deep}}}")];
        let expected = ["restart", "a b; rm -rf / \"$HOME\" `x`\n", "--n=7", "{true}"];
        assert_eq!(expand(&elements, &arguments), Ok(expected.map(ToOwned::to_owned).to_vec()));
    }

    #[test]
    fn lists_and_optional_elements_expand() {
        let elements = [when("verbose", &["-v"]), when("since", &["--since", "--at={since}"]), one("--x={names...}")];
        let run = |arguments: Value| expand(&elements, &arguments).expect("arguments").join(" ");
        assert_eq!(run(json!({"names": ["a", "-b"], "verbose": true})), "-v --x=a --x=-b");
        assert_eq!(run(json!({"names": [], "since": "now", "verbose": false})), "--since --at=now");
    }

    #[test]
    fn a_value_cannot_become_an_option() {
        let arguments = json!({"unit": "--force", "list": ["ok", "-x"], "n": -5});
        let refused = |elements: &[Element]| expand(elements, &arguments).expect_err("refused").to_string();
        assert_eq!(
            refused(&[one("{unit}")]),
            "the argument `unit` must not begin with `-` here, as the program would take it for an option"
        );
        assert!(refused(&[one("{list...}")]).contains("`list`"));
        assert!(refused(&[one("{n}")]).contains("`n`"));
        for safe in [vec![one("--unit={unit}")], vec![one("--"), one("{unit}"), one("{list...}")]] {
            assert!(expand(&safe, &arguments).is_ok());
        }
        // A caller's `--` is no guard.
        let arguments = json!({"a": "x", "b": "-y"});
        assert!(expand(&[one("{a}"), one("{b}")], &arguments).is_err());
    }

    #[test]
    fn what_no_program_can_be_given_is_refused() {
        let elements = [one("{x}")];
        let refused = |value: Value| expand(&elements, &json!({"x": value})).expect_err("refused");
        assert_eq!(refused(json!("a\0b")), BadArgument::Nul("x".to_owned()));
        assert_eq!(refused(json!("y".repeat(40_000))), BadArgument::TooLong("x".to_owned(), 40_000));
        assert_eq!(refused(json!({"a": 1})), BadArgument::Kind("x".to_owned(), "an object"));
        assert_eq!(refused(json!(null)), BadArgument::Kind("x".to_owned(), "null"));
        let many: Vec<String> = vec!["y".repeat(30_000); 20];
        assert_eq!(expand(&[one("{x...}")], &json!({"x": many})), Err(BadArgument::TooLongTogether));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let bad = |text: &str| Text::parse(text).expect_err("refused").to_string();
        assert_eq!(bad("{unit"), "a `{` or `}` stands alone; write `{{` or `}}` for the sign itself");
        assert_eq!(bad("a}"), bad("{unit"));
        assert_eq!(bad("{}"), "`{}` names no argument: names have letters, digits, `_`, `-` and `.`");
        assert_eq!(bad("{a...}{b}"), "`{a...}` must be the only argument of its element");
    }
}
