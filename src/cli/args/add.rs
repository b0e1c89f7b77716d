//! What may be typed to add tools of one's own.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::cli::init::client::McpClient;
use crate::domain::tool::command::SecretRef;

/// `tools add`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "From an OpenAPI document (3.0 or 3.1, JSON or YAML) each operation becomes a tool: GET and HEAD only\n\
    read, all others count as acts that must not be repeated, until you say otherwise in the file.\n\
    What will be written is shown before anything is."
)]
pub struct ToolsAddArgs {
    /// A file that ends in .toml; it is copied into the config folder
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, required_unless_present_any = ["openapi", "mcp_from"])]
    pub file: Option<PathBuf>,
    /// Make tools from this OpenAPI document: a file, an address, or `-` for stdin
    #[arg(long, value_name = "FILE|URL", value_hint = ValueHint::FilePath, conflicts_with = "file")]
    pub openapi: Option<String>,
    /// Take over the MCP servers that this client already starts
    #[arg(long, value_name = "CLIENT", conflicts_with_all = ["file", "openapi"])]
    pub mcp_from: Option<McpClient>,
    /// How.
    #[command(flatten)]
    pub choices: OpenApiArgs,
}

/// What is chosen of a document, and how.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "With --openapi")]
pub struct OpenApiArgs {
    /// Only operations whose id, or whose `METHOD /path`, fits; `*` stands for any characters; repeat for more
    #[arg(long, value_name = "GLOB", conflicts_with_all = ["file", "mcp_from"])]
    pub include: Vec<String>,
    /// But not these
    #[arg(long, value_name = "GLOB", conflicts_with_all = ["file", "mcp_from"])]
    pub exclude: Vec<String>,
    /// Name of the file and of its secrets; default: made from the document's title
    #[arg(long, value_name = "NAME", conflicts_with_all = ["file", "mcp_from"])]
    pub name: Option<String>,
    /// Begin the names of all its tools with this
    #[arg(long, value_name = "PREFIX", conflicts_with_all = ["file", "mcp_from"])]
    pub prefix: Option<String>,
    /// Send calls there, whatever the document says
    #[arg(long, value_name = "URL", conflicts_with_all = ["file", "mcp_from"])]
    pub server: Option<String>,
    /// Send a bearer token with every call, whatever the document says; REF is env:NAME, file:/path or credential:NAME
    #[arg(long, value_name = "REF", conflicts_with_all = ["file", "mcp_from"])]
    pub bearer: Option<SecretRef>,
    /// Where the secret of a security scheme is, instead of a variable named after it; repeat for more
    #[arg(long, value_name = "SCHEME=REF", conflicts_with_all = ["file", "mcp_from"], value_parser = secret)]
    pub secret: Vec<(String, SecretRef)>,
    /// Let the tools reach this private address, for example 10.0.0.0/8 or localhost:8080; repeat for more
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["file", "mcp_from"])]
    pub allow: Vec<String>,
    /// Describe answers too, of tools that only read; one that does not fit then fails its call
    #[arg(long, conflicts_with_all = ["file", "mcp_from"])]
    pub with_output_schemas: bool,
    /// Replace what an earlier import wrote under this name
    #[arg(long, conflicts_with_all = ["file", "mcp_from"])]
    pub force: bool,
    /// Print the files and write nothing
    #[arg(long, conflicts_with_all = ["file", "mcp_from", "yes", "force"])]
    pub print: bool,
    /// Write without asking
    #[arg(long, conflicts_with = "file")]
    pub yes: bool,
}

/// `SCHEME=REF`
fn secret(text: &str) -> Result<(String, SecretRef), String> {
    let (scheme, reference) = text.split_once('=').ok_or("expected SCHEME=REF, for example apiKey=env:SHOP_KEY")?;
    let reference =
        reference.parse().map_err(|error: crate::domain::tool::command::NotASecretRef| error.to_string())?;
    Ok((scheme.to_owned(), reference))
}
