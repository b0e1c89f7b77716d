//! Pages and typed members of lists.

use std::fmt::Display;
use std::str::FromStr;

use crate::domain::denial::Denial;

use super::decode::malformed;

const USUAL: usize = 50;
const MOST: usize = 1_000;

/// How many items a page has.
///
/// # Errors
/// When it is outside 1–1000.
pub fn limit(asked: Option<usize>) -> Result<usize, Denial> {
    let limit = asked.unwrap_or(USUAL);
    if (1..=MOST).contains(&limit) { Ok(limit) } else { Err(malformed(format!("`limit` is outside 1–{MOST}"))) }
}

/// Cuts one item more than the page down to the page; the cursor is made from its last item, when there is
/// more.
pub fn cut<T>(mut items: Vec<T>, limit: usize, cursor: impl FnOnce(&T) -> String) -> (Vec<T>, Option<String>) {
    if items.len() <= limit {
        return (items, None);
    }
    items.truncate(limit);
    let next = items.last().map(cursor);
    (items, next)
}

/// Reads a member that has a type of its own.
///
/// # Errors
/// Names the member and its text.
pub fn parse<T: FromStr<Err: Display>>(name: &str, text: Option<&str>) -> Result<Option<T>, Denial> {
    text.map(|text| text.parse().map_err(|error| malformed(format!("`{name}`: {error}")))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_where_the_next_one_starts() {
        assert_eq!(cut(vec![1, 2, 3], 2, ToString::to_string), (vec![1, 2], Some("2".to_owned())));
        assert_eq!(cut(vec![1, 2], 2, ToString::to_string), (vec![1, 2], None));
        assert_eq!(limit(Some(0)).unwrap_err().detail, "`limit` is outside 1–1000");
        assert_eq!(limit(None).unwrap(), 50);
    }
}
