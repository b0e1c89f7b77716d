//! `/v1/upstreams`: servers of others, for administrators.

use crate::api;
use crate::api::endpoint::Nothing;
use crate::api::upstreams::{Agree, Agreed, Upstreams};
use crate::domain::digest::{Digest, NotADigest};
use crate::pipeline::submission::Answer;

use super::decode::malformed;
use super::no;
use super::visit::Visit;

async fn list(visit: Visit, _: Nothing) -> Answer<Upstreams> {
    visit.door.pipeline.upstreams(visit.presented).await.map(|upstreams| Upstreams { upstreams })
}

async fn trust(visit: Visit, request: Agree) -> Answer<Agreed> {
    let digests: Result<Vec<Digest>, NotADigest> = request.digests.iter().map(|digest| digest.parse()).collect();
    let digests = match digests {
        Ok(digests) => digests,
        Err(error) => return no(malformed(format!("`digests`: {error}"))),
    };
    let trusted = visit.door.pipeline.trust(visit.presented, &request.name, digests).await;
    trusted.map(|tools| Agreed { tools: tools.iter().map(ToString::to_string).collect() })
}

/// Operations on servers.
pub fn routes() -> Vec<super::route::Route> {
    use super::route::on;
    vec![on::<api::upstreams::List, _>(list), on::<api::upstreams::Trust, _>(trust)]
}
