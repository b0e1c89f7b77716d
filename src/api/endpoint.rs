//! What an operation is. Its request is one flat structure: members named in the path go there, the rest
//! of a `GET` into the query, the rest of any other method into the JSON body.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// HTTP methods that operations use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Changes.
    Post,
    /// Removes.
    Delete,
}

impl Method {
    /// The token of RFC 9110 section 9.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// One operation.
pub trait Endpoint {
    /// What is asked.
    type Request: Serialize + DeserializeOwned + JsonSchema + Send;
    /// What is answered on success.
    type Reply: Serialize + DeserializeOwned + JsonSchema + Send;

    /// How.
    const METHOD: Method;
    /// Where; `{name}` stands for the request's member of that name.
    const PATH: &'static str;
    /// Its name in OpenAPI and in logs.
    const ID: &'static str;
    /// One line for people.
    const SUMMARY: &'static str;
    /// The reply is JSON lines, one object a line, instead of one document.
    const STREAM: bool = false;
}

/// Declares operations: name, method, path, id, request, reply, summary.
#[macro_export]
macro_rules! endpoints {
    ($(#[doc = $summary:literal] $name:ident = $method:ident $path:literal, $id:literal, $request:ty => $reply:ty $(, stream = $stream:literal)?;)*) => {
        $(
            #[doc = $summary]
            #[derive(Debug, Clone, Copy)]
            pub struct $name;

            impl $crate::api::endpoint::Endpoint for $name {
                type Request = $request;
                type Reply = $reply;
                const METHOD: $crate::api::endpoint::Method = $crate::api::endpoint::Method::$method;
                const PATH: &'static str = $path;
                const ID: &'static str = $id;
                const SUMMARY: &'static str = $summary.trim_ascii();
                $(const STREAM: bool = $stream;)?
            }
        )*
    };
}

/// Reads a number from JSON or from the text of a query.
///
/// # Errors
/// When it is neither.
pub fn number<'de, D: serde::Deserializer<'de>, T: std::str::FromStr + DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Either<T> {
        Value(T),
        Text(String),
    }
    use serde::Deserialize as _;
    match Option::<Either<T>>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Either::Value(value)) => Ok(Some(value)),
        Some(Either::Text(text)) => text
            .parse()
            .map(Some)
            .map_err(|_| serde::de::Error::custom(format!("`{text}` is not of the expected type"))),
    }
}

/// A request without members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
pub struct Nothing {}
