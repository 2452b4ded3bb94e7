use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use base::Digest;

use super::document::Document;
use crate::maintenance::Maintenance;
use crate::terminal::Terminal;

const HEAD: &str = "\
# What this Portcullis protects and who may use it, as `portcullis export` wrote it. No secret is in it.
# The same state gives the same bytes; `base` is the digest of everything below it. Edit what follows, and look at it
# with `portcullis plan FILE`; `portcullis apply FILE` does it, if `base` is still the state of the store.
";

impl Maintenance {
    /// Runs `portcullis export`.
    ///
    /// # Errors
    /// When the store cannot be read or the file not written.
    pub async fn export(&self, file: Option<&Path>, out: &Terminal) -> anyhow::Result<()> {
        let text = render(&Document::of(&self.store().read_declared().await?)?)?;
        match file {
            None => out.write(&text),
            Some(file) => {
                replace(file, &text)
                    .with_context(|| format!("{} cannot be written", file.display()))?;
            }
        }
        Ok(())
    }
}

/// Writes a file whole or leaves it as it was, so that a disk that is full costs nobody the record that they had. A pipe or
/// a device is written to as it is.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    // Through a link, as a plain write goes.
    let file = match file.canonicalize() {
        Ok(there) if !there.is_file() => return std::fs::write(file, text),
        Ok(there) => there,
        Err(_) => file.to_owned(),
    };
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let aside = std::path::PathBuf::from(name);
    let mut options = std::fs::OpenOptions::new();
    // Never through a link that somebody laid there, and readable by nobody else before it is clear who may.
    options.write(true).create_new(true);
    let before = std::fs::metadata(&file).ok();
    if before.is_some() {
        options.mode(0o600);
    }
    let mut written = match options.open(&aside) {
        Ok(written) => written,
        // In a folder where nothing can be made, a file that is there may still be written.
        Err(_) if before.is_some() => return std::fs::write(&file, text),
        Err(error) => return Err(error),
    };
    let mut write = || {
        written.write_all(text.as_bytes())?;
        if let Some(before) = &before {
            written.set_permissions(before.permissions())?;
        }
        written.sync_all()?;
        std::fs::rename(&aside, &file)?;
        match file.parent() {
            Some(folder) if folder != Path::new("") => std::fs::File::open(folder)?.sync_all(),
            _ => std::fs::File::open(".")?.sync_all(),
        }
    };
    write().inspect_err(|_| {
        let _ = std::fs::remove_file(&aside);
    })
}

/// The file. The digest is taken of the text, so that whoever has only the file can check it.
pub(super) fn render(document: &Document) -> anyhow::Result<String> {
    let body = body(document)?;
    let base = Digest::of(&body).to_text();
    let format = document.format;
    Ok(format!(
        "{HEAD}format = {format}\nbase = \"{base}\"\n{body}"
    ))
}

/// What the base of a file with this content is.
pub(super) fn base(document: &Document) -> anyhow::Result<String> {
    Ok(Digest::of(body(document)?).to_text())
}

fn body(document: &Document) -> anyhow::Result<String> {
    let empty = toml::to_string(&Document {
        base: String::new(),
        ..document.clone()
    })?;
    let (_, body) = empty
        .split_once("base = \"\"\n")
        .context("an export without a base")?;
    Ok(body.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::file::problems::Problems;

    fn read(text: &str) -> Document {
        let mut problems = Problems::new(text);
        let document = Document::read(text, &mut problems);
        assert_eq!(problems.into_words(), Vec::<String>::new());
        document
    }

    const FILE: &str = r#"format = 1
base = "none"

[servers.todo]
name = "Todo \u001b[31m"
url = "https://mcp.example.com/mcp/todo"

[servers.todo.upstream]
kind = "todo"

[[servers.todo.scopes]]
name = "todo:read"
title = "See \"your\" todos"
risk = "low"
id = "read"

[servers.todo.policy.tools."list todos"]
needs = ["todo:read"]
title = "List"

conditions = [{ argument = "/list", operator = { one_of = ["home", 1] } }]
recorded_arguments = ["/list"]
pinned = true

[servers.todo.policy]
default_role = "rol_1"
roles = [{ id = "rol_1", name = "reader", scopes = { only = "todo:read" } }, { id = "rol_2", name = "all", scopes = "all" }]
rules = [{ id = "rul_1", effect = "deny", who = { group = "grp_1" }, client = "unverified", what = { tools = ["list todos"] } }]
rate_limits = [{ id = "lim_1", per = "person", what = { tools = ["list todos"] }, rate = "60 per 1m", burst = 5 }]

[people."ann@example.com"]
name = "Ann"
owner = true
"#;

    #[test]
    fn what_is_written_reads_as_the_same_and_gives_the_same_bytes() {
        let document = read(FILE);
        let written = render(&document).unwrap();
        assert!(!written.contains('\u{1b}'), "{written}");
        let read = read(&written);
        assert_eq!(read.servers, document.servers);
        assert_eq!(read.people, document.people);
        assert_eq!(render(&read).unwrap(), written);
    }

    #[test]
    fn the_base_tells_another_state_and_only_that() {
        let base = |text: &str| {
            let written = render(&read(text)).unwrap();
            let read = read(&written);
            assert_eq!(read.base, super::base(&read).unwrap());
            read.base
        };
        assert_eq!(
            base(FILE),
            base(&FILE.replace("base = \"none\"", "base = \"x\""))
        );
        assert_ne!(
            base(FILE),
            base(&FILE.replace("owner = true", "owner = false"))
        );
    }
}
