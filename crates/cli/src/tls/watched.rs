use std::sync::Arc;

use base::Digest;

use super::CertificateFiles;
use super::pair::{Contents, Pair};

/// The files of one certificate, what was last seen in them, and what of it is in use.
pub(super) struct Watched {
    files: CertificateFiles,
    seen: [Result<Digest, String>; 2],
    /// What was last seen is not what is in use.
    is_refused: bool,
    in_use: Arc<Pair>,
    /// That others can read the key was told.
    is_exposure_told: bool,
}

impl Watched {
    pub(super) fn load(files: &CertificateFiles) -> anyhow::Result<Self> {
        let contents = Contents::read(files);
        let mut watched = Self {
            seen: contents.digests(),
            is_refused: false,
            in_use: Arc::new(contents.pair(files)?),
            is_exposure_told: false,
            files: files.clone(),
        };
        watched.tell(&contents);
        Ok(watched)
    }

    /// Takes what is in the files when it has changed, and says whether it was taken.
    ///
    /// # Errors
    /// When it has changed and cannot be used. The same files are an error once, unless `tells_again`.
    pub(super) fn look(&mut self, tells_again: bool) -> anyhow::Result<bool> {
        let contents = Contents::read(&self.files);
        let seen = contents.digests();
        if seen == self.seen && !(self.is_refused && tells_again) {
            return Ok(false);
        }
        self.seen = seen;
        self.is_refused = true;
        self.in_use = Arc::new(contents.pair(&self.files)?);
        self.is_refused = false;
        self.tell(&contents);
        Ok(true)
    }

    pub(super) fn in_use(&self) -> Arc<Pair> {
        Arc::clone(&self.in_use)
    }

    fn tell(&mut self, contents: &Contents) {
        tracing::info!(
            certificate.file = %self.files.certificate.display(),
            certificate.names = self.in_use.names.join(" "),
            certificate.not_after = self.in_use.not_after_text(),
            "a certificate is in use from now on"
        );
        if contents.is_exposed() && !self.is_exposure_told {
            self.is_exposure_told = true;
            tracing::warn!(
                key.file = %self.files.key.display(),
                "every user of this machine can read the private key; take the right from others: chmod o-r"
            );
        }
    }
}
