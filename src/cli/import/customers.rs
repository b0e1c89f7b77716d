//! Customers from CSV (RFC 4180): a header line with the columns `id`, `name` and optionally `status` in any
//! order, then a customer a line. White space around values is dropped.

use std::collections::HashMap;
use std::io::Read;

use csv::{ErrorKind, StringRecord, Trim};

use super::{ImportProblem, LARGEST_ID, LONGEST_NAME, LONGEST_STATUS, MOST_CUSTOMERS, cut, nearest};
use crate::api::desk::Customer;

const COLUMNS: [&str; 3] = ["id", "name", "status"];
const USUAL_STATUS: &str = "Active";

/// Reads customers. An empty or missing status becomes `Active`.
///
/// # Errors
/// The first thing that is wrong, with line, column and value. A number that stands twice is refused: which
/// of the two lines is meant, nobody could tell.
pub fn customers_csv(reader: impl Read) -> Result<Vec<Customer>, ImportProblem> {
    let mut reader = csv::ReaderBuilder::new().trim(Trim::All).from_reader(reader);
    let columns = Columns::of(reader.headers().map_err(problem)?)?;
    let mut customers = Vec::new();
    let mut lines = HashMap::new();
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(problem)? {
        if customers.len() == MOST_CUSTOMERS {
            return Err(ImportProblem::TooMany(MOST_CUSTOMERS));
        }
        let line = record.position().map_or(0, csv::Position::line);
        let customer = columns.customer(&record, line)?;
        if let Some(first) = lines.insert(customer.id, line) {
            let why = format!("stands on line {first} already");
            return Err(ImportProblem::Value { line, column: "id", value: customer.id.to_string(), why });
        }
        customers.push(customer);
    }
    Ok(customers)
}

/// Where each column stands.
struct Columns {
    id: usize,
    name: usize,
    status: Option<usize>,
}

impl Columns {
    fn of(headers: &StringRecord) -> Result<Self, ImportProblem> {
        for (place, header) in headers.iter().enumerate() {
            if !COLUMNS.contains(&header) {
                let nearest = nearest(&header.to_lowercase(), COLUMNS.into_iter());
                return Err(ImportProblem::UnknownColumn { found: cut(header), nearest });
            }
            if headers.iter().take(place).any(|earlier| earlier == header) {
                return Err(ImportProblem::RepeatedColumn(header.to_owned()));
            }
        }
        let place = |column| headers.iter().position(|header| header == column);
        Ok(Self {
            id: place("id").ok_or(ImportProblem::MissingColumn("id"))?,
            name: place("name").ok_or(ImportProblem::MissingColumn("name"))?,
            status: place("status"),
        })
    }

    fn customer(&self, record: &StringRecord, line: u64) -> Result<Customer, ImportProblem> {
        let refuse = |column, value: &str, why: String| ImportProblem::Value { line, column, value: cut(value), why };
        let id = record.get(self.id).unwrap_or_default();
        let id = match id.parse() {
            Ok(number) if (-LARGEST_ID..=LARGEST_ID).contains(&number) => number,
            _ => return Err(refuse("id", id, format!("is not a whole number of at most {LARGEST_ID}"))),
        };
        let name = record.get(self.name).unwrap_or_default();
        if !(1..=LONGEST_NAME).contains(&name.chars().count()) {
            return Err(refuse("name", name, format!("is not 1 to {LONGEST_NAME} characters long")));
        }
        let status = self.status.and_then(|place| record.get(place)).filter(|status| !status.is_empty());
        let status = status.unwrap_or(USUAL_STATUS);
        if !(2..=LONGEST_STATUS).contains(&status.chars().count()) {
            return Err(refuse("status", status, format!("is not 2 to {LONGEST_STATUS} characters long")));
        }
        Ok(Customer { id, name: name.to_owned(), status: status.to_owned() })
    }
}

fn problem(error: csv::Error) -> ImportProblem {
    let line = error.position().map_or(1, csv::Position::line);
    match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            let why = format!("{len} values where the first line has {expected_len} columns");
            ImportProblem::Line { line, why }
        }
        ErrorKind::Utf8 { .. } => ImportProblem::Line { line, why: "not UTF-8".to_owned() },
        ErrorKind::Io(error) => ImportProblem::Unreadable(error.to_string()),
        _ => ImportProblem::Unreadable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(id: i64, name: &str, status: &str) -> Customer {
        Customer { id, name: name.to_owned(), status: status.to_owned() }
    }

    #[test]
    fn columns_stand_in_any_order_and_status_may_be_missing() {
        for (file, expected) in [
            ("id,name,status\n1,ACME,Closed\n", vec![customer(1, "ACME", "Closed")]),
            (
                "status,name,id\r\n,\"Widgets, \"\"Nordic\"\"\",-7\r\n",
                vec![customer(-7, "Widgets, \"Nordic\"", "Active")],
            ),
            (
                "\u{feff} name , id \n Å & Ö , 2 \n\n東京,3",
                vec![customer(2, "Å & Ö", "Active"), customer(3, "東京", "Active")],
            ),
            ("id,name\n", vec![]),
        ] {
            assert_eq!(customers_csv(file.as_bytes()), Ok(expected), "{file}");
        }
    }

    #[test]
    fn a_refusal_names_line_column_and_value() {
        for (file, why) in [
            ("", "line 1: there is no column `id`"),
            ("id,status\n", "line 1: there is no column `name`"),
            ("id,name,name\n", "line 1: the column `name` stands twice"),
            ("id,name,staus\n", "line 1: the column `staus` is not known"),
            (
                "id,name\n1,ACME\nx7,Beta\n",
                "line 3, column `id`: `x7` is not a whole number of at most 9007199254740991",
            ),
            (
                "id,name\n9007199254740992,ACME\n",
                "line 2, column `id`: `9007199254740992` is not a whole number of at most 9007199254740991",
            ),
            ("id,name\n1, \n", "line 2, column `name`: `` is not 1 to 200 characters long"),
            ("id,name,status\n1,ACME,x\n", "line 2, column `status`: `x` is not 2 to 100 characters long"),
            ("id,name\n1,\"AC\nME\"\n1,Beta\n", "line 4, column `id`: `1` stands on line 2 already"),
            ("id,name\n1\n", "line 2: 1 values where the first line has 2 columns"),
        ] {
            assert_eq!(customers_csv(file.as_bytes()).unwrap_err().to_string(), why, "{file}");
        }
        let not_utf8 = customers_csv(&b"id,name\n1,\xff\n"[..]).unwrap_err();
        assert_eq!(not_utf8.to_string(), "line 2: not UTF-8");
    }

    #[test]
    fn a_misspelt_column_is_guessed() {
        let hint = |file: &str| customers_csv(file.as_bytes()).unwrap_err().hint();
        assert_eq!(hint("id,name,staus\n").as_deref(), Some("did you mean `status`?"));
        assert_eq!(hint("ID,name\n").as_deref(), Some("did you mean `id`?"));
        assert_eq!(
            hint("id,name,colour\n").as_deref(),
            Some("the first line names the columns: `id`, `name` and, if you like, `status`")
        );
    }
}
