//! The table of operations. It is built once from the endpoint types, which hold every path; a request is
//! matched without allocating anything but its path members.

use std::future::Future;
use std::pin::Pin;

use hyper::Method;
use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use crate::api::endpoint::{self, Endpoint};
use crate::domain::denial::Denial;
use crate::pipeline::submission::{self, Answer};

use super::decode::{self, malformed};
use super::respond::{self, Reply};
use super::visit::Visit;
use super::wire;

/// Answers a request.
pub type Handler = Box<dyn Fn(Visit) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync>;

/// One operation.
pub struct Route {
    /// How.
    pub method: Method,
    /// Where, as the contract writes it.
    pub path: &'static str,
    /// What the published description says; none for what it describes in another way.
    pub about: Option<About>,
    /// What must not be left half done is a task of its own inside, so that a caller who hangs up stops nothing
    /// that counts; the door need not make another one of the whole.
    pub safe_to_drop: bool,
    /// Answers it.
    pub handler: Handler,
    /// The path, taken apart once.
    segments: Vec<Segment>,
}

/// What the published description says about an operation.
pub struct About {
    /// Its name.
    pub id: &'static str,
    /// One line.
    pub summary: &'static str,
    /// The reply is JSON lines.
    pub stream: bool,
    /// The reply may be a call that has not ended (202).
    pub pending: bool,
    /// Makes the schema of the request.
    pub request: fn(&mut SchemaGenerator) -> Schema,
    /// Makes the schema of the reply.
    pub reply: fn(&mut SchemaGenerator) -> Schema,
}

enum Segment {
    Literal(&'static str),
    Member(&'static str),
}

/// An operation whose answer is a document.
pub fn on<E, F>(run: impl Fn(Visit, E::Request) -> F + Clone + Send + Sync + 'static) -> Route
where
    E: Endpoint + 'static,
    F: Future<Output = Answer<E::Reply>> + Send + 'static,
{
    described::<E, _>(move |visit, request| {
        let answer = run(visit, request);
        async move { respond::answer(answer.await) }
    })
}

/// An operation whose answer is a call.
pub fn call<E, F>(run: impl Fn(Visit, E::Request) -> F + Clone + Send + Sync + 'static) -> Route
where
    E: Endpoint<Reply = crate::api::calls::Call> + 'static,
    F: Future<Output = Answer<submission::Reply>> + Send + 'static,
{
    let mut route = described::<E, _>(move |visit, request| {
        let answer = run(visit, request);
        async move { respond::answer_with(answer.await, |reply| wire::reply(&reply)) }
    });
    if let Some(about) = &mut route.about {
        about.pending = true;
    }
    route
}

/// An operation that makes its answer itself.
pub fn described<E, F>(run: impl Fn(Visit, E::Request) -> F + Clone + Send + Sync + 'static) -> Route
where
    E: Endpoint + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let mut route = plain(method(E::METHOD), E::PATH, move |mut visit: Visit| {
        let request = members::<E>(&mut visit).and_then(decode::typed);
        let run = run.clone();
        async move {
            match request {
                Ok(request) => run(visit, request).await,
                Err(denial) => respond::problem(&denial),
            }
        }
    });
    route.about = Some(About::of::<E>());
    route
}

impl About {
    /// What the type of an operation says.
    pub fn of<E: Endpoint>() -> Self {
        Self {
            id: E::ID,
            summary: E::SUMMARY,
            stream: E::STREAM,
            pending: false,
            request: <E::Request as schemars::JsonSchema>::json_schema,
            reply: SchemaGenerator::subschema_for::<E::Reply>,
        }
    }
}

/// An operation that reads its request itself.
pub fn plain<F>(method: Method, path: &'static str, run: impl Fn(Visit) -> F + Send + Sync + 'static) -> Route
where
    F: Future<Output = Reply> + Send + 'static,
{
    let segments = path
        .split('/')
        .skip(1)
        .map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(member) => Segment::Member(member),
            None => Segment::Literal(part),
        })
        .collect();
    let safe_to_drop = method == Method::GET;
    Route { method, path, about: None, safe_to_drop, handler: Box::new(move |visit| Box::pin(run(visit))), segments }
}

fn method(method: endpoint::Method) -> Method {
    match method {
        endpoint::Method::Get => Method::GET,
        endpoint::Method::Post => Method::POST,
        endpoint::Method::Delete => Method::DELETE,
    }
}

/// The members of a request: the query of a `GET` or `DELETE`, the body of a `POST`, and the path's.
fn members<E: Endpoint>(visit: &mut Visit) -> Result<decode::Members, Denial> {
    let mut members = match E::METHOD {
        endpoint::Method::Get | endpoint::Method::Delete => decode::query(visit.query.as_deref().unwrap_or_default())?,
        endpoint::Method::Post => decode::body(&visit.body, visit.door.limits.body_bytes)?,
    };
    for (name, value) in visit.path.drain(..) {
        match members.insert(name.to_owned(), Value::String(value)) {
            Some(other) if members.get(name) != Some(&other) => {
                return Err(malformed(format!("`{name}` differs between the path and the rest of the request")));
            }
            Some(_) | None => {}
        }
    }
    Ok(members)
}

/// Every operation.
pub struct Routes(Vec<Route>);

/// What a method and a path lead to.
pub enum Found<'a> {
    /// An operation, and the members of its path as they were sent.
    Route(&'a Route, Vec<(&'static str, String)>),
    /// The path has operations, but not this one; the methods it takes.
    OtherMethods(Vec<&'a str>),
    /// There is no such path.
    Nothing,
}

impl Routes {
    /// Orders operations so that a literal path is found before one with members; those that are asked for
    /// most should come first.
    pub fn new(mut routes: Vec<Route>) -> Self {
        routes.sort_by_key(|route| route.segments.iter().filter(|part| matches!(part, Segment::Member(_))).count());
        Self(routes)
    }

    /// Every operation, for the published description.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    /// Finds the operation.
    ///
    /// # Errors
    /// When a member of the path is not UTF-8.
    pub fn find(&self, method: &Method, path: &str) -> Result<Found<'_>, Denial> {
        let mut others = Vec::new();
        for route in self.0.iter().filter(|route| route.matches(path)) {
            if route.method == *method {
                return route.members(path).map(|members| Found::Route(route, members));
            }
            others.push(route.method.as_str());
        }
        Ok(if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others) })
    }
}

impl Route {
    /// The same operation, which looks after itself when its caller hangs up.
    #[must_use]
    pub fn safe_to_drop(mut self) -> Self {
        self.safe_to_drop = true;
        self
    }

    /// The names of the path's members, in their order.
    pub fn member_names(&self) -> impl Iterator<Item = &'static str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Member(name) => Some(*name),
            Segment::Literal(_) => None,
        })
    }

    fn matches(&self, path: &str) -> bool {
        let mut parts = path.split('/').skip(1);
        let all = self.segments.iter().all(|segment| match (segment, parts.next()) {
            (Segment::Literal(literal), Some(part)) => *literal == part,
            (Segment::Member(_), Some(part)) => !part.is_empty(),
            (_, None) => false,
        });
        all && parts.next().is_none()
    }

    fn members(&self, path: &str) -> Result<Vec<(&'static str, String)>, Denial> {
        let named = self.segments.iter().zip(path.split('/').skip(1));
        named
            .filter_map(|(segment, part)| match segment {
                Segment::Literal(_) => None,
                Segment::Member(name) => Some(
                    decode::percent(part)
                        .map(|value| (*name, value))
                        .ok_or_else(|| malformed(format!("`{part}` in the path is not UTF-8"))),
                ),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::operations;

    fn find(method: &Method, path: &str) -> String {
        let routes = operations::all();
        match routes.find(method, path) {
            Ok(Found::Route(route, members)) => format!("{} {members:?}", route.path),
            Ok(Found::OtherMethods(methods)) => format!("{methods:?}"),
            Ok(Found::Nothing) => "nothing".to_owned(),
            Err(denial) => denial.detail,
        }
    }

    #[test]
    fn a_path_leads_to_its_operation() {
        for (method, path, expected) in [
            (Method::POST, "/v1/calls", "/v1/calls []"),
            (Method::GET, "/v1/calls/call_x", r#"/v1/calls/{id} [("id", "call_x")]"#),
            (Method::GET, "/v1/approvals/watch", "/v1/approvals/watch []"),
            (Method::GET, "/v1/approvals/%2317", r##"/v1/approvals/{id} [("id", "#17")]"##),
            (Method::POST, "/tools/create_ticket", r#"/tools/{name} [("name", "create_ticket")]"#),
            (Method::DELETE, "/v1/calls", r#"["POST", "GET"]"#),
            (Method::GET, "/v1/approvals/%ff", "`%ff` in the path is not UTF-8"),
            (Method::GET, "/v1/calls/", "nothing"),
            (Method::GET, "/", "nothing"),
            (Method::GET, "*", "nothing"),
        ] {
            assert_eq!(find(&method, path), expected, "{method} {path}");
        }
    }
}
