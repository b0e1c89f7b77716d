//! Every named fail point, before and after its commit, with every fault and every class of effects that
//! reaches it: each key's effect happens exactly once, what was told stays true, the log verifies, and a
//! daemon whose store fails goes on reading and says so. See `src/store/failpoint.rs` for the points.
//!
//! By default a fixed slice runs; `TOOLCTL_P3=all` runs all cases, `TOOLCTL_P3=TEXT` those whose name has the text.

mod bad;
mod check;
mod day;
mod run;
mod seed;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use toolctl::store::failpoint::Point;

use crate::support::Daemon;
use day::{Before, Day, days};
use run::{Case, Prepared};

/// Two cases at a time: the machine has to breathe.
const THREADS: usize = 2;

const SIDES: [&str; 2] = ["before", "after"];
const FAULTS: [&str; 3] = ["kill", "error", "panic"];

/// The points that every start of a daemon meets.
const AT_EVERY_START: [(&str, u32); 2] = [("begin_epoch", 1), ("activate_policy", 1)];

#[test]
fn no_fault_at_any_write_breaks_a_promise() {
    let wanted = std::env::var("TOOLCTL_P3").unwrap_or_default();
    let days = days();
    let mut cases = matrix(&days);
    let whole = cases.len();
    match wanted.as_str() {
        "all" => {}
        "" => cases = slice(cases),
        part => cases.retain(|(day, case)| name(day, case).contains(part)),
    }
    let ran = cases.len();
    let prepared = each(days.iter().collect(), |day| {
        cases.iter().any(|(one, _)| one.name == day.name).then(|| Prepared::new(day))
    });
    let broken = Mutex::new(Vec::new());
    each(cases, |(day, case)| {
        let prepared = prepared.iter().flatten().find(|prepared| prepared.day().name == day.name).expect("its folder");
        if catch_unwind(AssertUnwindSafe(|| prepared.run(case))).is_err() {
            println!("BROKEN: {}", name(day, &case));
            broken.lock().expect("a list").push(name(day, &case));
        }
    });
    println!("{ran} of {whole} cases ran");
    assert_eq!(broken.into_inner().expect("a list"), Vec::<String>::new(), "TOOLCTL_P3=NAME runs one again");
}

/// Every day with a fault at each write it reaches.
fn matrix(days: &[Day]) -> Vec<(&Day, Case)> {
    let mut cases = Vec::new();
    for day in days {
        for (point, nth) in AT_EVERY_START.iter().chain(day.reaches) {
            for side in SIDES {
                cases.extend(FAULTS.map(|fault| (day, Case { point, nth: *nth, side, fault })));
            }
        }
    }
    cases
}

/// What runs when nobody asks for all: every kill, `error` and `panic` in turn, and the points of every start
/// only where an earlier daemon left something.
fn slice(cases: Vec<(&Day, Case)>) -> Vec<(&Day, Case)> {
    let at_start = |case: &Case| AT_EVERY_START.contains(&(case.point, case.nth));
    let mut kept: Vec<_> = cases
        .into_iter()
        .filter(|(day, case)| {
            !at_start(case) || matches!(day.before, Before::Nothing | Before::Ready | Before::Running(..))
        })
        .collect();
    let mut turn = 0;
    kept.retain(|(_, case)| {
        let index = FAULTS.iter().position(|fault| *fault == case.fault).expect("a fault");
        turn += usize::from(index == 0);
        index == 0 || index == 1 + turn % 2
    });
    kept
}

fn name(day: &Day, case: &Case) -> String {
    format!("{} × {}", day.name, case.spec())
}

#[test]
fn without_a_fault_every_day_ends_well() {
    let days = days();
    each(days.iter().collect(), |day| Prepared::new(day).run_plainly());
}

#[test]
fn every_point_is_reached_by_some_day() {
    let days = days();
    let mut reached: Vec<&str> = days.iter().flat_map(|day| day.reaches).map(|(point, _)| *point).collect();
    reached.extend(AT_EVERY_START.map(|(point, _)| point));
    let missed: Vec<&str> = Point::ALL.map(Point::word).into_iter().filter(|point| !reached.contains(point)).collect();
    assert_eq!(missed, Vec::<&str>::new());
}

#[test]
fn an_unknown_point_keeps_the_daemon_from_starting_and_names_the_known_ones() {
    let (code, said) = Daemon::prepared(&[], &[("TOOLCTL_FAILPOINT", "decide:after:kill")]).refuses();
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("TOOLCTL_FAILPOINT: there is no fail point `decide`"), "{said}");
    assert!(said.contains("begin_epoch, activate_policy, record"), "{said}");
}

/// Does something with each, two at a time; gives the results in their order.
fn each<T: Send, R: Send>(all: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let items: Vec<Mutex<Option<T>>> = all.into_iter().map(|item| Mutex::new(Some(item))).collect();
    let results: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    let item = item.lock().expect("an item").take().expect("an item");
                    *results[index].lock().expect("a result") = Some(work(item));
                }
            });
        }
    });
    results.into_iter().map(|result| result.into_inner().expect("a result").expect("it was done")).collect()
}
