use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::data_dir::write_private;
use crate::terminal::Terminal;

const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The tokens between two calls: a file that only we may read, keyed by issuer.
#[derive(Debug, Clone)]
pub struct TokenFile {
    path: PathBuf,
}

/// What one issuer gave us.
#[derive(Clone, Serialize, Deserialize)]
pub struct Saved {
    /// What the tokens are for.
    pub resource: String,
    /// Where a refresh is asked.
    pub token_endpoint: String,
    /// How we are registered there.
    pub client_id: String,
    /// The port of the registered redirect URI.
    pub redirect_port: u16,
    /// The access token.
    pub access_token: Option<String>,
    /// When it ends, in Unix milliseconds.
    pub expires_at: Timestamp,
    /// The refresh token, when one was given.
    pub refresh_token: Option<String>,
    /// What was granted.
    pub scope: String,
}

impl std::fmt::Debug for Saved {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Saved")
            .field("resource", &self.resource)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Contents {
    issuers: BTreeMap<String, Saved>,
}

/// Held while tokens are changed, so that parallel calls neither spend the same refresh token nor open two browsers.
#[derive(Debug)]
pub struct TokenLock {
    // Closing the file lets go of it, however the process ends.
    _file: File,
}

impl TokenFile {
    /// The file at `path`; it need not exist.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// What is kept for `resource`, with its issuer.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn find(&self, resource: &str) -> anyhow::Result<Option<(String, Saved)>> {
        Ok(self
            .read()?
            .issuers
            .into_iter()
            .find(|(_, saved)| saved.resource == resource))
    }

    /// Keeps what `issuer` gave. Only while holding the lock.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put(&self, _lock: &TokenLock, issuer: &str, saved: Saved) -> anyhow::Result<()> {
        let mut contents = self.read()?;
        // An MCP server that went over to another issuer: what the old one gave is for nothing any more.
        contents
            .issuers
            .retain(|known, kept| known == issuer || kept.resource != saved.resource);
        contents.issuers.insert(issuer.to_owned(), saved);
        let text = serde_json::to_vec_pretty(&contents).expect("plain fields serialise");
        write_private(&self.path, &text)
    }

    /// Waits until no other call changes tokens.
    ///
    /// # Errors
    /// When another one holds on for more than five minutes.
    pub async fn lock(&self, progress: &Terminal) -> anyhow::Result<TokenLock> {
        let path = self.path.with_extension("lock");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("{} cannot be opened", path.display()))?;
        for waited_ms in (0u64..300_000).step_by(100) {
            match file.try_lock() {
                Ok(()) => return Ok(TokenLock { _file: file }),
                Err(TryLockError::WouldBlock) => {
                    if waited_ms == 2_000 {
                        progress.line("Waiting for another portcullis call that is signing in …");
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error)
                        .with_context(|| format!("{} cannot be locked", path.display()));
                }
            }
        }
        bail!("another portcullis call has been signing in for five minutes; finish or end it")
    }

    fn read(&self) -> anyhow::Result<Contents> {
        let shown = self.path.display();
        match fs::metadata(&self.path) {
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
                bail!("{shown} is larger than {FILE_BYTES_MAX} bytes")
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Contents::default());
            }
            Err(error) => return Err(error).with_context(|| format!("{shown} cannot be read")),
        }
        let text = fs::read(&self.path).with_context(|| format!("{shown} cannot be read"))?;
        // The parser's message may quote what it read, which is secret here.
        serde_json::from_slice(&text).map_err(|error| {
            anyhow::anyhow!(
                "{shown} is damaged in line {}; delete it and sign in again",
                error.line()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn saved(token: &str) -> Saved {
        Saved {
            resource: "r".into(),
            token_endpoint: "t".into(),
            client_id: "c".into(),
            redirect_port: 1,
            access_token: Some(token.into()),
            expires_at: Timestamp::from_unix_ms(0),
            refresh_token: None,
            scope: String::new(),
        }
    }

    #[tokio::test]
    async fn tokens_are_kept_for_us_alone_and_found_by_resource() {
        let directory = tempfile::tempdir().unwrap();
        let file = TokenFile::new(directory.path().join("tokens.json"));
        assert!(file.find("r").unwrap().is_none());
        let lock = file.lock(&Terminal::memory()).await.unwrap();
        file.put(&lock, "i", saved("secret")).unwrap();
        let (issuer, found) = file.find("r").unwrap().unwrap();
        assert_eq!(
            (issuer.as_str(), found.access_token.as_deref()),
            ("i", Some("secret"))
        );
        assert!(!format!("{found:?}").contains("secret"));
        assert!(file.find("other").unwrap().is_none());
        let mode = fs::metadata(directory.path().join("tokens.json"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn what_an_earlier_issuer_gave_for_a_resource_is_forgotten_and_for_another_kept() {
        let directory = tempfile::tempdir().unwrap();
        let file = TokenFile::new(directory.path().join("tokens.json"));
        let lock = file.lock(&Terminal::memory()).await.unwrap();
        let of_other = Saved {
            resource: "other".into(),
            ..saved("kept")
        };
        file.put(&lock, "a first issuer", saved("old")).unwrap();
        file.put(&lock, "another server's", of_other).unwrap();
        file.put(&lock, "the new issuer", saved("new")).unwrap();
        let (issuer, found) = file.find("r").unwrap().unwrap();
        assert_eq!(
            (issuer.as_str(), found.access_token.as_deref()),
            ("the new issuer", Some("new"))
        );
        let (_, found) = file.find("other").unwrap().unwrap();
        assert_eq!(found.access_token.as_deref(), Some("kept"));
    }

    #[tokio::test]
    async fn a_second_lock_waits_for_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let file = TokenFile::new(directory.path().join("tokens.json"));
        let lock = file.lock(&Terminal::memory()).await.unwrap();
        let other = file.clone();
        let waiting = tokio::spawn(async move { other.lock(&Terminal::memory()).await.map(drop) });
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert!(!waiting.is_finished());
        drop(lock);
        waiting.await.unwrap().unwrap();
    }

    #[test]
    fn a_damaged_file_is_refused_without_its_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.json");
        fs::write(&path, "{\"issuers\": \"secret\"}").unwrap();
        let error = TokenFile::new(path).find("r").unwrap_err().to_string();
        assert!(
            error.contains("damaged") && !error.contains("secret"),
            "{error}"
        );
    }
}
