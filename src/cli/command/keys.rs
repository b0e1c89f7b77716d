//! `keys`: make, list, rotate and revoke API keys. A secret is printed once, or goes to a private file.

use crate::api::admin::{self, CreatedKey, KeyInfo, KeyRef, NewKey, Rotate};
use crate::api::endpoint::Nothing;
use crate::cli::args::{KeysCommand, KeysCreateArgs};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::prompt;
use crate::cli::table::{Cell, Table, facts};
use crate::cli::text::{escape_untrusted, relative};
use crate::domain::principal::Scope;
use crate::transport::private;

/// Makes, lists, rotates or revokes.
///
/// # Errors
/// The daemon's own; exit 2 when a confirmation cannot be asked for.
pub fn run(cx: &Context, command: KeysCommand) -> Result<Exit, CliError> {
    match command {
        KeysCommand::Create(args) => create(cx, args)?,
        KeysCommand::List => list(cx)?,
        KeysCommand::Rotate { id, overlap } => print(cx, &cx.send::<admin::RotateKey>(&Rotate { id, overlap })?)?,
        KeysCommand::Revoke { id } => revoke(cx, id)?,
    }
    Ok(Exit::Done)
}

fn create(cx: &Context, args: KeysCreateArgs) -> Result<(), CliError> {
    // Before a key exists, so that none is made that cannot be stored.
    let path = if args.save { Some(cx.stored_key(&args.name)?) } else { None };
    if let Some(path) = path.as_ref().filter(|path| path.exists()) {
        return Err(CliError::new(Exit::Conflict, "key-exists", format!("`{}` exists", path.display()))
            .hint("revoke that key and remove the file, or choose another name"));
    }
    let new = NewKey {
        name: args.name.clone(),
        kind: args.kind,
        groups: Some(args.groups).filter(|groups| !groups.is_empty()),
        scope: Scope { tools: args.tools, greatest_effect: args.greatest_effect },
        expires_in: args.expires,
        allow_self_approval: args.allow_self_approval,
        from_current: args.from_current,
    };
    let created = cx.send::<admin::CreateKey>(&new)?;
    let Some(path) = path else { return print(cx, &created) };
    if let Err(error) = private::write_new(&path, &format!("{}\n", created.key)) {
        // The secret must not be lost: it is shown nowhere else.
        print(cx, &created)?;
        return Err(CliError::io(format!("cannot store the key in `{}`", path.display()), &error));
    }
    cx.ui.show(&created.info, || describe(&created.info))?;
    cx.ui.note(&format!("stored in {}; use it with `--as {}`", path.display(), args.name));
    Ok(())
}

/// The secret alone on stdout, so that `KEY=$(toolctl keys create …)` works; all else on stderr.
fn print(cx: &Context, created: &CreatedKey) -> Result<(), CliError> {
    if cx.ui.format.is_some()
        && !matches!(cx.ui.format, Some(crate::cli::args::Format::Table | crate::cli::args::Format::Raw))
    {
        return cx.ui.document(&serde_json::to_value(created).unwrap_or_default());
    }
    cx.ui.out(&format!("{}\n", created.key))?;
    cx.ui.note(describe(&created.info).trim_end());
    cx.ui.note("this is the only time the key is shown");
    Ok(())
}

fn describe(info: &KeyInfo) -> String {
    let mut pairs = vec![
        ("key", escape_untrusted(&info.id)),
        ("principal", escape_untrusted(&info.principal)),
        ("groups", escape_untrusted(&info.groups.join(", "))),
        ("expires", escape_untrusted(info.expires_at.as_deref().unwrap_or("never"))),
    ];
    if !info.scope.tools.is_empty() {
        pairs.push(("tools", escape_untrusted(&info.scope.tools.join(", "))));
    }
    if let Some(effect) = info.scope.greatest_effect {
        pairs.push(("at most", effect.word().to_owned()));
    }
    if info.may_self_approve {
        pairs.push(("approves", "its own calls too; each time is marked in the log".to_owned()));
    }
    facts(&pairs)
}

fn list(cx: &Context) -> Result<(), CliError> {
    let reply = cx.send::<admin::ListKeys>(&Nothing {})?;
    let mut table = Table::new(["KEY", "PRINCIPAL", "GROUPS", "CREATED", "EXPIRES", "STATE"], "no keys");
    let now = cx.now();
    for key in &reply.keys {
        let (state, since) = match &key.revoked_at {
            Some(at) => ("revoked", Some(at)),
            None => ("live", None),
        };
        let expires = key.expires_at.as_deref();
        table.row([
            key.id.as_str().into(),
            key.principal.as_str().into(),
            key.groups.join(", ").into(),
            Cell::two(relative(&key.created_at, now), key.created_at.as_str()),
            Cell::two(expires.map_or("never".to_owned(), |at| relative(at, now)), expires.unwrap_or("never")),
            Cell::two(since.map_or(state.to_owned(), |at| format!("{state} {}", relative(at, now))), state),
        ]);
    }
    cx.ui.list(&reply, &reply.keys, &table)
}

fn revoke(cx: &Context, id: String) -> Result<(), CliError> {
    if !cx.globals.assume_yes {
        if !cx.ui.seen.ask {
            return Err(CliError::usage("revoking a key cannot be undone")
                .hint("`-y` says that you mean it")
                .attempt(format!("toolctl -y keys revoke {id}")));
        }
        if !prompt::confirm(cx, &format!("Revoke {} and all keys made from it?", escape_untrusted(&id)))? {
            return Err(CliError::interrupted());
        }
    }
    let info = cx.send::<admin::RevokeKey>(&KeyRef { id })?;
    cx.ui.show(&info, || format!("revoked {} of {}", escape_untrusted(&info.id), escape_untrusted(&info.principal)))
}
