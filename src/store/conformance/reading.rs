//! Listings and the log: filters, cursors, times, and that readers see it grow.

use super::kit::*;
use super::on_every_backend;
use crate::domain::audit::{AuditRecord, RecordType};
use crate::domain::digest::Digest;
use crate::pipeline::port::{CallFilter, Customer, Edge, LogFilter};

on_every_backend!(
    calls_are_listed_newest_first,
    records_are_found_by_what_they_say,
    a_time_is_found_in_a_log_that_is_nearly_in_order,
    records_alone_grow_the_log,
    an_import_comes_with_its_record,
    only_what_changed_about_the_tools_is_recorded,
);

async fn only_what_changed_about_the_tools_is_recorded(store: Any) {
    begun(&store).await;
    let before = store.frontier().await.expect("the store works").size();
    let tools = |all: &[(&str, &str)]| {
        let tool = |(name, text): &(&str, &str)| (name.parse().expect("a name"), Digest::plain(text.as_bytes()));
        all.iter().map(tool).collect::<Vec<_>>()
    };
    assert_eq!(store.register_tools(tools(&[("a", "1"), ("b", "1")]), at(1)).await, Ok(2));
    assert_eq!(store.register_tools(tools(&[("a", "1"), ("b", "1")]), at(2)).await, Ok(0));
    assert_eq!(store.register_tools(tools(&[("b", "2"), ("c", "1")]), at(3)).await, Ok(3));
    let entries = store.read(before, 10).await.expect("the store works");
    let said: Vec<String> = entries
        .iter()
        .map(|entry| serde_json::from_str::<AuditRecord>(&entry.leaf).expect("a record"))
        .map(|record| format!("{} {}", record.kind.word(), record.tool.expect("a tool")))
        .collect();
    let expected = ["tool.registered a", "tool.registered b", "tool.changed b", "tool.registered c", "tool.removed a"];
    assert_eq!(said, expected);
    sound(&store).await;
}

async fn calls_are_listed_newest_first(store: Any) {
    begun(&store).await;
    for nth in 1..=6 {
        let mut call = call(nth, at(nth * 100));
        if nth % 2 == 0 {
            call.principal = "agent:b".parse().expect("a principal");
        }
        if nth == 6 {
            call.tool = "ticket.close".parse().expect("a name");
        }
        if nth < 3 {
            open(&store, running(call)).await
        } else {
            open(&store, settling(call, AddTicket)).await
        };
    }
    let list = async |filter: CallFilter| {
        let calls = store.calls(filter).await.expect("the store works");
        calls.iter().map(|call| call.key.to_string()).collect::<Vec<_>>()
    };
    let all = || CallFilter { limit: 100, ..CallFilter::default() };
    assert_eq!(list(CallFilter { limit: 2, ..all() }).await, ["key-6", "key-5"]);
    let before = Some(call(5, at(500)).id);
    assert_eq!(list(CallFilter { before, limit: 2, ..all() }).await, ["key-4", "key-3"]);
    assert_eq!(list(CallFilter { principal: "agent:b".parse().ok(), ..all() }).await, ["key-6", "key-4", "key-2"]);
    assert_eq!(list(CallFilter { tool: "ticket.close".parse().ok(), ..all() }).await, ["key-6"]);
    assert_eq!(list(CallFilter { state: Some("running".to_owned()), ..all() }).await, ["key-2", "key-1"]);
    assert_eq!(list(CallFilter { since: Some(at(500)), ..all() }).await, ["key-6", "key-5"]);
    sound(&store).await;
}

async fn records_are_found_by_what_they_say(store: Any) {
    begun(&store).await;
    for nth in 1..=4 {
        let mut call = call(nth, at(nth * 1000));
        if nth % 2 == 0 {
            call.principal = "agent:b".parse().expect("a principal");
        }
        open(&store, running(call.clone())).await;
        advance(&store, call.id, succeeded(), at(nth * 1000 + 1)).await;
    }
    let found = async |filter: LogFilter, from, limit| {
        let (entries, next) = store.query(filter, from, limit).await.expect("the store works");
        (entries.iter().map(|entry| entry.index).collect::<Vec<_>>(), next)
    };
    let all = LogFilter::default;
    assert_eq!(found(all(), 0, 3).await, (vec![0, 1, 2], Some(3)));
    assert_eq!(found(all(), 7, 3).await, (vec![7, 8], None));
    let of_b = LogFilter { actor: "agent:b".parse().ok(), ..all() };
    assert_eq!(found(of_b.clone(), 0, 10).await, (vec![3, 4, 7, 8], None));
    assert_eq!(found(of_b, 5, 10).await, (vec![7, 8], None));
    assert_eq!(
        found(LogFilter { tool: "ticket.create".parse().ok(), ..all() }, 0, 10).await.0,
        [1, 2, 3, 4, 5, 6, 7, 8]
    );
    assert_eq!(found(LogFilter { call: Some(call(2, at(2000)).id), ..all() }, 0, 10).await.0, [3, 4]);
    assert_eq!(found(LogFilter { kind: Some("call.completed".to_owned()), ..all() }, 0, 10).await.0, [2, 4, 6, 8]);
    assert_eq!(found(LogFilter { kind: Some("policy.*".to_owned()), ..all() }, 0, 10).await.0, [0]);
    let between = LogFilter { since: Some(at(2000)), until: Some(at(3001)), ..all() };
    assert_eq!(found(between, 0, 10).await, (vec![3, 4, 5], None));
    sound(&store).await;
}

async fn a_time_is_found_in_a_log_that_is_nearly_in_order(store: Any) {
    let times = [0, 30, 10, 100, 95, 120, 119, 500, 460, 700];
    for time in times {
        store.record(vec![AuditRecord::new(RecordType::AuthFailed, at(time))]).await.expect("written");
    }
    for time in [0, 5, 30, 31, 96, 120, 121, 460, 480, 501, 700, 701] {
        let expected = times.iter().position(|t| *t >= time).unwrap_or(times.len()) as u64;
        assert_eq!(store.first_at(at(time)).await, Ok(expected), "{time}");
    }
    sound(&store).await;
}

async fn records_alone_grow_the_log(store: Any) {
    let mut grown = store.grown();
    assert_eq!(*grown.borrow_and_update(), 0);
    let records = (1..=3).map(|n| AuditRecord::new(RecordType::AuthFailed, at(n))).collect();
    assert_eq!(store.record(records).await, Ok(2));
    grown.changed().await.expect("the store lives");
    assert_eq!(*grown.borrow(), 3);
    assert_eq!(store.begin_epoch(AuditRecord::new(RecordType::DaemonStarted, at(4))).await, Ok(1));
    assert_eq!(store.begin_epoch(AuditRecord::new(RecordType::DaemonStarted, at(5))).await, Ok(2));
    sound(&store).await;
}

async fn an_import_comes_with_its_record(store: Any) {
    let ada = Customer { id: 7, name: "Ada Lovelace".to_owned(), status: "Active".to_owned() };
    let edge = Edge { from: "service:a".to_owned(), kind: "serves".to_owned(), to: "customer:7".to_owned() };
    let record = AuditRecord::new(RecordType::DeskImported, at(1));
    assert_eq!(store.import(vec![ada.clone()], vec![edge.clone()], record).await, Ok(0));
    assert_eq!(store.search("LOVE", 10).await, Ok(vec![ada.clone()]));
    assert_eq!(store.find_customer(7).await, Ok(Some(ada)));
    assert_eq!(store.edges_from("service:a").await, Ok(vec![edge]));
    assert_eq!(story(&store).await, ["desk.imported"]);
    sound(&store).await;
}
