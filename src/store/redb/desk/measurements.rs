//! How fast the desk is searched, and whether that depends on how many customers there are. Run by hand:
//! `cargo test --release --lib desk::measurements -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase, ReadableTableMetadata};

use super::*;

const SEED: u64 = 20_261_123;
const RUNS: usize = 201;

#[test]
#[ignore = "imports a million customers; a measurement, not a check"]
fn searching_a_million_customers_costs_what_searching_a_thousand_costs() {
    let folder = tempfile::tempdir().unwrap();
    let (small, large) = (filled(folder.path(), 1_000, 1), filled(folder.path(), 1_000_000, 1));
    one_change(&large);
    println!("seed {SEED}; p50 of {RUNS} runs, at most 100 results; matches counted up to the limit");
    println!("{:34} {:>8} {:>10} {:>8} {:>10} {:>6}", "query", "at 1 k", "", "at 1 M", "", "ratio");
    for (what, query) in [
        ("rare substring", "zyqwx"),
        ("rare, beside common grams", "nordic zyqwx holding"),
        ("a whole name", "Nordic Zyqwx Holding"),
        ("common word", "nordic"),
        ("common word, capitals", "LOGISTICS"),
        ("one character, common", "a"),
        ("one character, rare", "q"),
        ("one character, absent", "京"),
        ("two characters, common", "no"),
        ("two characters, rare", "yq"),
        ("two characters, absent", "qq"),
        ("no match, every gram common", "kalomitersan"),
        ("no match, every gram very common", "nordic kalobruterungso gmbh"),
        ("no match, common and repeated", "sansansansansan"),
        ("absent gram", "nordic jjj"),
        ("200 characters", &"nordic widgets group ".repeat(10)[..200]),
    ] {
        let (few, before) = p50(&small, query);
        let (many, after) = p50(&large, query);
        let ratio = after.as_secs_f64() / before.as_secs_f64();
        println!("{what:34} {few:>8} {before:>10.1?} {many:>8} {after:>10.1?} {ratio:>6.1}");
    }
}

fn filled(folder: &std::path::Path, customers: i64, transactions: i64) -> Database {
    let path = folder.join(format!("{customers}.redb"));
    let database = Database::create(&path).unwrap();
    let mut names = Names(SEED);
    let start = Instant::now();
    for part in 0..transactions {
        let txn = database.begin_write().unwrap();
        let mut desk = DeskWrite::new(&txn);
        for id in part * customers / transactions..(part + 1) * customers / transactions {
            let name = if id == customers * 7 / 9 { "Nordic Zyqwx Holding".to_owned() } else { names.next() };
            desk.put_customer(&Customer { id: id + 1, name, status: "Active".to_owned() }).unwrap();
        }
        desk.finish().unwrap();
        txn.commit().unwrap();
    }
    let took = start.elapsed();
    let txn = database.begin_read().unwrap();
    let stored = |stats: redb::TableStats| stats.stored_bytes() / 1_000_000;
    println!(
        "{customers} customers in {transactions} transactions: {took:.1?}; file {} MB, names {} MB, index {} MB in {} rows",
        std::fs::metadata(&path).unwrap().len() / 1_000_000,
        stored(txn.open_table(CUSTOMERS).unwrap().stats().unwrap()),
        stored(txn.open_table(grams::TABLE).unwrap().stats().unwrap()),
        txn.open_table(grams::TABLE).unwrap().len().unwrap(),
    );
    database
}

fn one_change(database: &Database) {
    for (what, name, status) in
        [("a new name", "Beta Widgets Renamed", "Active"), ("a new status", "Beta Widgets Renamed", "Closed")]
    {
        let start = Instant::now();
        let txn = database.begin_write().unwrap();
        let mut desk = DeskWrite::new(&txn);
        desk.put_customer(&Customer { id: 500_000, name: name.to_owned(), status: status.to_owned() }).unwrap();
        desk.finish().unwrap();
        let written = start.elapsed();
        txn.commit().unwrap();
        println!("{what} for one of a million: {written:.1?}, with its commit {:.1?}", start.elapsed());
    }
}

fn p50(database: &Database, query: &str) -> (usize, Duration) {
    let mut matches = 0;
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            matches = search(&database.begin_read().unwrap(), query, 100).unwrap().len();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    (matches, times[RUNS / 2])
}

/// Names of two common words and an invented one, by SplitMix64.
struct Names(u64);

impl Names {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }

    fn next(&mut self) -> String {
        const FIRST: &[&str] = &["Nordic", "Beta", "Acme", "Blue", "Upper", "Golden", "Arctic", "Örebro", "Straße"];
        const LAST: &[&str] = &["Widgets", "Logistics", "Group", "Foods", "Marine", "Labs", "Energy", "AB", "GmbH"];
        const SYLLABLES: &[&str] = &[
            "ka", "lo", "mi", "ter", "san", "bru", "vel", "dor", "fi", "gen", "hul", "per", "rin", "so", "tal", "ung",
        ];
        let (first, last) = (FIRST[self.below(FIRST.len())], LAST[self.below(LAST.len())]);
        let middle: String = (0..2 + self.below(3)).map(|_| SYLLABLES[self.below(SYLLABLES.len())]).collect();
        format!("{first} {middle} {last}")
    }
}
