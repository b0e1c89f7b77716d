//! Every operation of every face in one list.

use hyper::Method;

use super::route::{Routes, plain};
use super::{admin, approvals, audit, calls, compat, desk, mcp, openapi, runs, tools, upstreams};

/// Every operation, those asked for most first.
pub fn all() -> Routes {
    let mut routes = calls::routes();
    routes.extend(mcp::route::routes());
    routes.extend(compat::routes());
    routes.extend(approvals::routes());
    routes.extend(tools::routes());
    routes.extend(audit::routes());
    routes.extend(admin::routes());
    routes.extend(desk::routes());
    routes.extend(runs::routes());
    routes.extend(upstreams::routes());
    routes.push(plain(Method::GET, "/openapi.json", openapi::show));
    Routes::new(routes)
}
