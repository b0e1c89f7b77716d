//! What a daemon of today cannot leave behind because all its tools are built in: calls that were dispatched
//! outside the store and never ended. They are opened by the library, through the same guards.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use toolctl::domain::call::Again;
use toolctl::domain::id::CallId;
use toolctl::domain::time::Timestamp;
use toolctl::domain::tool::Catalog;
use toolctl::guard::policy::{PolicySet, PolicySource, Request};
use toolctl::guard::schema::Schemas;
use toolctl::pipeline::opening::{Deadlines, Opening, Seed, Start, Terms};
use toolctl::pipeline::port::{Fatigue, Keys as _, Ledger as _, Opened, Unavailable};
use toolctl::pipeline::submission::Labels;
use toolctl::store::{FailPoint, RedbStore};

use super::day::arguments;

const STORE: &str = "TOOLCTL_P3_STORE";
const ARMED: &str = "TOOLCTL_P3_ARMED";

/// Opens and dispatches a call of the agent in this store, and leaves it so.
pub fn dispatch(file: &Path, armed: Option<FailPoint>, tool: &str, key: &str) -> Result<Opened, Unavailable> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = RedbStore::open_armed(file, armed).expect("the store opens");
        let keys = store.all().await.expect("keys");
        let agent = keys.into_iter().find(|key| key.principal.id.as_str() == "agent:bot").expect("the agent").principal;
        let catalog = Catalog::new(toolctl::tool::desk::tools()).expect("tools");
        let tool = catalog.get(tool).expect("the tool");
        let sent = serde_json::from_str(arguments(tool.name.as_str())).expect("arguments");
        let arguments = Schemas::compile(&catalog).expect("schemas").check(tool, &sent).expect("arguments");
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let policies = PolicySet::load(&[PolicySource::shipped()], &catalog).expect("policies");
        let request =
            Request { principal: &agent, tool, arguments: &arguments, now, dry_run: false, transport: "rest" };
        let permit = policies.decide(&request).expect("a permit");
        let again = Again::of(tool.effect, None, now);
        let start = Start::Dispatch { epoch: 1, again };
        let terms = Terms { start, deadlines: Deadlines::default(), fatigue: Fatigue::default() };
        let mut id = [7; 16];
        id[15] = key.bytes().last().expect("a key");
        let key = key.parse().expect("a key");
        let seed = Seed {
            id: CallId::from_bytes(id),
            key,
            reason: None,
            salt: [1; 16],
            nonce: [2; 16],
            labels: Labels::default(),
        };
        let opening = Opening::new(seed, &agent, tool, &arguments, &permit, terms, now).expect("an opening");
        store.open(opening).await
    })
}

/// The same in a process of its own, where a fault waits.
pub fn dispatch_in_a_child(file: &Path, armed: &str) -> ExitStatus {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--ignored", "--exact", "failpoints::seed::a_child_opens_a_call"]);
    command.env(STORE, file).env(ARMED, armed).output().expect("the child runs").status
}

#[test]
#[ignore = "a child of the matrix, which sets what it needs"]
fn a_child_opens_a_call() {
    let (Ok(file), Ok(armed)) = (std::env::var(STORE), std::env::var(ARMED)) else { return };
    let armed = armed.parse().expect("a fail point");
    let opened = dispatch(&PathBuf::from(file), Some(armed), "create_ticket", "k1");
    assert!(opened.is_err(), "the fault did not strike: {opened:?}");
}
