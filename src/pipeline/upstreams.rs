//! Servers of others, for administrators: looking at what they list, and agreeing to it.

use super::Pipeline;
use super::admin::must_administer;
use super::port::Presented;
use super::submission::Answer;
use crate::api::upstreams::Upstream;
use crate::domain::denial::{Code, Denial, Stage};
use crate::domain::digest::Digest;
use crate::domain::id::ToolName;

/// The most definitions agreed to at once.
const MOST_DIGESTS: usize = 2_000;

impl Pipeline {
    /// Every server, how it is and what it lists.
    pub async fn upstreams(&self, presented: Presented) -> Answer<Vec<Upstream>> {
        self.looking(&presented, async |principal| {
            must_administer(&principal)?;
            Ok(self.ports.control.upstreams())
        })
        .await
    }

    /// Agrees to what a server lists; gives the tools that were not agreed to before.
    pub async fn trust(&self, presented: Presented, server: &str, digests: Vec<Digest>) -> Answer<Vec<ToolName>> {
        self.looking(&presented, async |principal| {
            must_administer(&principal)?;
            if digests.is_empty() || digests.len() > MOST_DIGESTS {
                let detail = format!("1 to {MOST_DIGESTS} digests can be agreed to at once");
                return Err(Denial::new(Stage::Catalog, Code::RequestMalformed, detail));
            }
            self.ports.control.trust(&principal, server, digests).await
        })
        .await
    }
}
