//! The desk's tables against plain collections.

use std::collections::BTreeMap;

use proptest::prelude::*;
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase};

use super::*;
use crate::domain::time::Timestamp;

const NOBODY: [i64; 0] = [];

fn database() -> Database {
    Database::builder().create_with_backend(InMemoryBackend::new()).unwrap()
}

fn customer(id: i64, name: &str) -> Customer {
    Customer { id, name: name.to_owned(), status: "Active".to_owned() }
}

fn write(database: &Database, work: impl FnOnce(&mut DeskWrite<'_>)) {
    let txn = database.begin_write().unwrap();
    let mut desk = DeskWrite::new(&txn);
    work(&mut desk);
    desk.finish().unwrap();
    txn.commit().unwrap();
}

fn put(database: &Database, customers: &[Customer]) {
    write(database, |desk| {
        for customer in customers {
            desk.put_customer(customer).unwrap();
        }
    });
}

fn found(database: &Database, query: &str, limit: usize) -> Vec<i64> {
    let found = search(&database.begin_read().unwrap(), query, limit).unwrap();
    found.into_iter().map(|customer| customer.id).collect()
}

fn edge(from: &str, kind: &str, to: &str) -> Edge {
    Edge { from: from.to_owned(), kind: kind.to_owned(), to: to.to_owned() }
}

fn ticket(title: &str) -> Ticket {
    Ticket {
        id: 0,
        customer_id: 1,
        title: title.to_owned(),
        description: "none".to_owned(),
        priority: "low".to_owned(),
        created_at: Timestamp::from_micros(1_000_000),
    }
}

fn message(text: &str) -> Message {
    Message { channel: "#ops".to_owned(), message: text.to_owned(), sent_at: Timestamp::from_micros(-1) }
}

#[test]
fn a_store_without_tables_is_an_empty_desk() {
    let database = database();
    let txn = database.begin_read().unwrap();
    assert_eq!(search(&txn, "a", 10), Ok(vec![]));
    assert_eq!(search(&txn, "", 10), Ok(vec![]));
    assert_eq!(find_customer(&txn, 1), Ok(None));
    assert_eq!(edges_from(&txn, "incident:1"), Ok(vec![]));
    assert_eq!(tickets(&txn, 10), Ok(vec![]));
    assert_eq!(messages(&txn, 10), Ok(vec![]));
}

#[test]
fn a_desk_that_did_nothing_makes_no_table() {
    let database = database();
    write(&database, |_| {});
    assert_eq!(database.begin_read().unwrap().list_tables().unwrap().count(), 0);
}

#[test]
fn a_customer_is_seen_by_the_transaction_that_put_it_and_afterwards() {
    let database = database();
    let acme = customer(1, "ACME AB");
    write(&database, |desk| {
        assert_eq!(desk.customer(1), Ok(None));
        desk.put_customer(&acme).unwrap();
        assert_eq!(desk.customer(1), Ok(Some(acme.clone())));
    });
    let txn = database.begin_read().unwrap();
    assert_eq!(find_customer(&txn, 1), Ok(Some(acme.clone())));
    assert_eq!(search(&txn, "me a", 10), Ok(vec![acme]));
}

#[test]
fn what_is_not_committed_never_was() {
    let database = database();
    let txn = database.begin_write().unwrap();
    let mut desk = DeskWrite::new(&txn);
    desk.put_customer(&customer(1, "ACME AB")).unwrap();
    desk.finish().unwrap();
    txn.abort().unwrap();
    assert_eq!(found(&database, "acme", 10), NOBODY);
}

#[test]
fn letter_case_does_not_matter_in_any_script() {
    let database = database();
    put(
        &database,
        &[customer(1, "Große Straße AG"), customer(2, "ΟΔΟΣ"), customer(3, "ЗАВОД имени"), customer(4, "東京")],
    );
    for (query, expected) in [
        ("STRASSE", &[1][..]),
        ("straße", &[1]),
        ("ß", &[1]),
        ("s", &[1]),
        ("οδος", &[2]),
        ("οδοσ", &[2]),
        ("Завод", &[3]),
        ("京", &[4]),
        ("東京", &[4]),
        ("東京都", &[]),
        ("strase", &[]),
    ] {
        assert_eq!(found(&database, query, 10), expected, "{query}");
    }
}

#[test]
fn results_come_in_the_order_of_numbers_and_end_at_the_limit() {
    let database = database();
    let ids = [i64::MIN, -4097, -4096, -1, 0, 1, 4095, 4096, 1 << 53, i64::MAX];
    put(&database, &ids.map(|id| customer(id, "Widget")));
    for query in ["", "w", "wi", "wid", "WIDGET"] {
        assert_eq!(found(&database, query, 100), ids, "{query}");
        assert_eq!(found(&database, query, 3), ids[..3], "{query}");
        assert_eq!(found(&database, query, 0), NOBODY, "{query}");
    }
}

#[test]
fn pieces_of_a_query_that_do_not_stand_together_are_no_match() {
    let database = database();
    put(&database, &[customer(1, "abcd bcde"), customer(2, "abcde"), customer(3, &"a".repeat(20))]);
    assert_eq!(found(&database, "abcde", 10), [2]);
    assert_eq!(found(&database, &"a".repeat(20), 10), [3]);
    assert_eq!(found(&database, &"a".repeat(21), 10), NOBODY);
}

#[test]
fn common_and_rare_pieces_are_found_across_blocks() {
    let database = database();
    let customers: Vec<Customer> = (0..9000).map(|id| customer(id, &format!("Widget {id}"))).collect();
    put(&database, &customers);
    for query in ["w", "9", "99", "999", "8999", "widget 4", "get 40", "t 4096", "1234", "widget 9001", "90 9"] {
        let expected: Vec<i64> = customers
            .iter()
            .filter(|customer| customer.name.to_lowercase().contains(query))
            .map(|customer| customer.id)
            .take(4500)
            .collect();
        assert_eq!(found(&database, query, 4500), expected, "{query}");
    }
}

#[test]
fn a_replaced_name_is_not_found_and_leaves_nothing_in_the_index() {
    let database = database();
    put(&database, &[customer(1, "Old Name")]);
    let before = grams_stored(&database);
    put(&database, &[customer(1, "Renamed"), customer(1, "Zebra"), customer(1, "Old Name")]);
    assert_eq!(grams_stored(&database), before);
    put(&database, &[customer(1, "Fresh")]);
    assert_eq!(found(&database, "old", 10), NOBODY);
    assert_eq!(found(&database, "n", 10), NOBODY);
    assert_eq!(found(&database, "fresh", 10), [1]);
    assert_eq!(grams_stored(&database), 5 + 4 + 3, "single letters, pairs and trigrams of `fresh`");
}

fn grams_stored(database: &Database) -> usize {
    let table = database.begin_read().unwrap().open_table(grams::TABLE).unwrap();
    table.iter().unwrap().count()
}

#[test]
fn an_import_too_large_for_memory_is_written_in_parts() {
    let database = database();
    write(&database, |desk| {
        for id in 0..50 {
            desk.put_customer(&customer(id, "Widget")).unwrap();
            if id % 7 == 0 {
                desk.write_changes().unwrap();
                desk.put_customer(&customer(id, "Gadget")).unwrap();
            }
        }
    });
    assert_eq!(found(&database, "gadget", 100), [0, 7, 14, 21, 28, 35, 42, 49]);
    assert_eq!(found(&database, "widget", 100).len(), 42);
}

#[test]
fn another_status_leaves_the_index_alone() {
    let database = database();
    put(&database, &[customer(1, "ACME AB")]);
    write(&database, |desk| {
        desk.put_customer(&Customer { status: "Closed".to_owned(), ..customer(1, "acme ab") }).unwrap();
        assert!(desk.changes.is_empty());
    });
    let txn = database.begin_read().unwrap();
    assert_eq!(search(&txn, "ACME", 1).unwrap()[0].status, "Closed");
}

#[test]
fn tickets_and_messages_are_numbered_on_and_listed_newest_first() {
    let database = database();
    write(&database, |desk| {
        assert_eq!(desk.add_ticket(ticket("one")), Ok(1));
        assert_eq!(desk.add_ticket(ticket("two")), Ok(2));
        desk.add_message(&message("one")).unwrap();
        desk.add_message(&message("two")).unwrap();
    });
    write(&database, |desk| {
        assert_eq!(desk.add_ticket(ticket("three")), Ok(3));
        desk.add_message(&message("three")).unwrap();
    });
    let txn = database.begin_read().unwrap();
    assert_eq!(tickets(&txn, 2).unwrap(), [Ticket { id: 3, ..ticket("three") }, Ticket { id: 2, ..ticket("two") }]);
    assert_eq!(messages(&txn, 2).unwrap(), [message("three"), message("two")]);
}

#[test]
fn edges_are_kept_once_and_in_order() {
    let database = database();
    let edges = [edge("service:a", "needed_by", "service:b"), edge("service:a", "serves", "customer:1")];
    write(&database, |desk| {
        for edge in edges.iter().rev().chain(&edges) {
            desk.add_edge(edge).unwrap();
        }
        desk.add_edge(&edge("service:aa", "serves", "customer:2")).unwrap();
    });
    let txn = database.begin_read().unwrap();
    assert_eq!(edges_from(&txn, "service:a").unwrap(), edges);
    assert_eq!(edges_from(&txn, "service:").unwrap(), []);
}

/// Files of this version must load for ever: change these bytes only with a new version byte.
#[test]
fn the_bytes_on_disk_are_these() {
    let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(encode(&CustomerRow::of(&customer(1, "ACME"))).unwrap()), "010441434d4506416374697665");
    assert_eq!(hex(encode(&TicketRow::of(&ticket("Login"))).unwrap()), "0102054c6f67696e046e6f6e65036c6f7780897a");
    assert_eq!(hex(encode(&MessageRow::of(&message("hi"))).unwrap()), "0104236f707302686901");
    assert_eq!(hex(encode(&()).unwrap()), "01");

    let database = database();
    put(&database, &[customer(1, "AAAA"), customer(2, "b")]);
    let table = database.begin_read().unwrap().open_table(grams::TABLE).unwrap();
    let rows: Vec<String> = table
        .iter()
        .unwrap()
        .map(|row| {
            let (key, value) = row.unwrap();
            format!("{:016x} {:016x} {}", key.value().0, key.value().1, hex(value.value().to_vec()))
        })
        .collect();
    assert_eq!(
        rows,
        [
            "0001880000000000 0008000000000000 010100",
            "000188000c400000 0008000000000000 010100",
            "000188000c400062 0008000000000000 010100",
            "000188000c400062 0018000000000000 010100",
            "00018c0000000000 0008000000000000 010200",
        ]
    );
}

#[test]
fn a_row_of_another_version_is_refused() {
    for (bytes, why) in [
        (&[][..], "a row of the desk is empty"),
        (&[2], "a row of the desk has format 2; this program reads 1"),
        (&[1, 7], "a row of the desk has 1 bytes too many"),
    ] {
        assert_eq!(decode::<()>(bytes), Err(Unavailable::new(why)));
    }
}

/// Few different characters, so that names and queries meet; among them all that fold in odd ways.
fn text(longest: usize) -> impl Strategy<Value = String> {
    let symbol = proptest::sample::select("aabbcABS sßẞΣσςİıſÅåK京ﬁ".chars().collect::<Vec<_>>());
    proptest::collection::vec(symbol, 0..=longest).prop_map(|symbols| symbols.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_index_finds_what_looking_at_every_name_finds(
        writes in proptest::collection::vec(proptest::collection::vec((0..12_i64, text(9)), 0..12), 1..5),
        spread in proptest::sample::select(vec![1_i64, 1000, 4096, -5000, i64::MAX / 12]),
        queries in proptest::collection::vec(text(5), 1..12),
        limit in 0..8_usize,
    ) {
        let database = database();
        let mut naive = BTreeMap::new();
        for batch in writes {
            let batch: Vec<Customer> = batch.iter().map(|(id, name)| customer(id * spread, name)).collect();
            put(&database, &batch);
            naive.extend(batch.into_iter().map(|customer| (customer.id, customer)));
        }
        for query in queries {
            let expected: Vec<i64> = naive
                .values()
                .filter(|customer| fold(&customer.name).contains(&fold(&query)))
                .map(|customer| customer.id)
                .take(limit)
                .collect();
            prop_assert_eq!(found(&database, &query, limit), expected, "{}", query);
        }
    }
}
