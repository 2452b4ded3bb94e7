//! What `serve` reads before it writes anything. `config check` reads the same, and refuses it with the same words.

use std::path::Path;

use anyhow::Context as _;

use crate::config::{Role, Valid};
use crate::failure::{message, usage};
use crate::logging;
use crate::master_key::MasterKeySource;
use crate::tls::{CertificateFiles, Certificates};
use crate::traces::Traces;

/// Reads every file that the configuration names for its role, and what only its users can parse. `log` is what `--log` said.
///
/// # Errors
/// Names the setting and what is wrong with it.
pub fn read(config: &Valid, master_key: &MasterKeySource, log: Option<&str>) -> anyhow::Result<()> {
    let read = || {
        logging::check(log, Some(&config.log.filter))?;
        Traces::check(&config.traces)?;
        if !config.certificates.is_empty() {
            Certificates::load(&certificate_files(config)).context("tls.certificates")?;
        }
        if config.role == Role::Gateway {
            let elsewhere = config.elsewhere.as_ref();
            let roots = elsewhere.and_then(|elsewhere| elsewhere.ca_file.as_deref());
            return certificates_of("authority.ca_file", roots);
        }
        if let Some(path) = config.data_dir.as_deref().filter(|path| path.is_file()) {
            anyhow::bail!("data_dir: {} is a file, not a directory", path.display());
        }
        master_key.given()?;
        certificates_of("egress.ca_file", config.ca_file.as_deref())?;
        let acme = config.acme.as_ref();
        certificates_of(
            "tls.acme.ca_file",
            acme.and_then(|acme| acme.ca_file.as_deref()),
        )
    };
    // A file that cannot be what was meant, whatever it was that noticed.
    read().map_err(|error| usage(message(&error)))
}

/// The certificates that the configuration names.
pub fn certificate_files(config: &Valid) -> Vec<CertificateFiles> {
    let files = config.certificates.iter().map(|pair| CertificateFiles {
        certificate: pair.certificate_file.clone(),
        key: pair.key_file.clone(),
    });
    files.collect()
}

fn certificates_of(setting: &str, path: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    if let Err(error) = egress::client_config(Some(path)) {
        let words = error.to_string();
        anyhow::bail!("{setting}: {}", words.trim_start_matches("ca_file "));
    }
    Ok(())
}
