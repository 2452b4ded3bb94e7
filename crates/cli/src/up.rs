//! `portcullis up`.

use std::sync::Arc;

use base::{OsRandom, SystemClock};
use serde_json::json;

use crate::args::UpArguments;
use crate::browser;
use crate::master_key::MasterKeySource;
use crate::screen::render;
use crate::signals::StopSignals;
use crate::stack::{Stack, UpOptions};
use crate::target::Target;
use crate::terminal::Terminal;

/// Serves until a signal says to stop.
///
/// # Errors
/// One message that names the setting and the fix.
pub async fn run(
    arguments: UpArguments,
    data_dir: Option<std::path::PathBuf>,
    master_key: MasterKeySource,
) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen()?;
    let terminal = if arguments.ready_json {
        Terminal::stderr()
    } else {
        Terminal::stdout()
    };
    let target = Target::read(
        arguments.target.as_deref(),
        &arguments.child,
        &arguments.env,
        arguments.upstream_header_file,
    )?;
    let starting = Stack::start(UpOptions {
        data_dir,
        master_key,
        target,
        slug: arguments.slug,
        port: arguments.port,
        public_url: arguments.public_url,
        ca_file: arguments.ca_file,
        names: None,
        tool_scopes: arguments.tool_scope,
        terminal: terminal.clone(),
        clock: Arc::new(SystemClock),
        random: Arc::new(OsRandom),
        // There is no listener that could be asked.
        operations: false,
    });
    let stack = tokio::select! {
        stack = starting => stack?,
        () = signals.next() => return Ok(()),
    };
    terminal.write(&render(stack.screen(), terminal.paint, terminal.width));
    if arguments.ready_json {
        let ready = json!({
            "mcp_url": stack.mcp_url,
            "issuer": stack.issuer,
            "authority_url": stack.authority_url,
            "admin_url": stack.admin_url,
            "setup_url": stack.setup_url,
        });
        Terminal::stdout().line(ready.to_string());
    }
    if let Some(link) = &stack.setup_url
        && !arguments.no_open
        && terminal.interactive
        && browser::is_likely()
    {
        browser::open(link);
    }
    signals.next().await;
    terminal.line("\n  Stopping; answers that have begun may finish. Again to stop at once.");
    tokio::select! {
        () = stack.shutdown() => {}
        () = signals.next() => {}
    }
    Ok(())
}
