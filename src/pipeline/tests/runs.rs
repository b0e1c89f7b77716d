//! Runs that are left to the daemon: whose they are, and how many.

use super::*;
use crate::domain::run::RunVerdict;
use crate::pipeline::runs::{MOST_DETACHED, MOST_DETACHED_EACH};

async fn begin(world: &World, whose: &str, number: usize) -> crate::domain::id::RunId {
    let id: crate::domain::id::RunId = format!("r{number}").parse().unwrap();
    world.path.begin_run(who(whose), id.clone(), "w".into(), json!({})).await.result.unwrap();
    id
}

#[tokio::test]
async fn a_run_is_left_by_whoever_began_it_while_there_is_something_to_do() {
    let world = world().await;
    let id = begin(&world, "agent:x", 0).await;
    let detach = async |whose: &str| {
        let left = world.path.detach_run(who(whose), id.clone()).await.result;
        left.map(|(view, is_news)| (view.runner.is_some(), is_news)).map_err(|no| no.code)
    };
    assert_eq!(detach("user:anna").await, Err(Code::NotFound));
    assert_eq!(detach("nobody").await, Err(Code::Unauthenticated));
    assert_eq!(detach("agent:x").await, Ok((true, true)));
    assert_eq!(detach("agent:x").await, Ok((true, false)));
    world.path.end_run(who("agent:x"), id.clone(), RunVerdict::Succeeded, json!({})).await.result.unwrap();
    assert_eq!(detach("agent:x").await, Err(Code::RunEnded));
    assert!(world.verify().await.verified);
}

#[tokio::test]
async fn only_so_many_runs_are_left_to_one_daemon() {
    let world = world().await;
    for name in ["agent:y", "agent:z"] {
        world.people.add(name, PrincipalKind::Agent, &["agents"]);
    }
    let (mut left, mut no) = (0, Vec::new());
    for whose in ["agent:x", "agent:y", "agent:z"] {
        for number in 0..=MOST_DETACHED_EACH {
            let id = begin(&world, whose, number).await;
            match world.path.detach_run(who(whose), id).await.result {
                Ok(_) => left += 1,
                Err(denial) => no.push((whose, number, denial.code)),
            }
        }
        // Again is not one more.
        let first = world.path.detach_run(who(whose), "r0".parse().unwrap()).await.result;
        assert_eq!(first.is_ok(), whose != "agent:z", "{whose}");
    }
    assert_eq!(left, MOST_DETACHED);
    let refused = |whose| (whose, MOST_DETACHED_EACH, Code::BudgetExceeded);
    assert_eq!(no[..2], [refused("agent:x"), refused("agent:y")]);
    assert!(no[2..].iter().all(|(whose, _, code)| (*whose, *code) == ("agent:z", Code::BudgetExceeded)));
    assert_eq!(no.len(), 2 + MOST_DETACHED_EACH + 1);
    world.path.end_run(who("agent:x"), "r7".parse().unwrap(), RunVerdict::Cancelled, json!({})).await.result.unwrap();
    assert!(world.path.detach_run(who("agent:z"), "r0".parse().unwrap()).await.result.is_ok(), "there is room again");
    assert!(world.path.detach_run(who("agent:z"), "r1".parse().unwrap()).await.result.is_err());
    world.people.remove("agent:y");
    let next = world.path.detach_run(who("agent:z"), "r1".parse().unwrap()).await.result;
    assert!(next.is_ok(), "what nobody stands for any more takes no room");
}
