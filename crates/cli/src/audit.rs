//! `portcullis audit`: whether the audit log is as it was written.

use std::time::Duration;

use anyhow::{Context as _, bail};
use base::{Clock as _, SystemClock};
use clap::Subcommand;
use oauth::audit_seals::{AuditSealer, LookOver, Looked, LookedOver};
use store::audit_event_time;

use crate::maintenance::{Maintenance, date};
use crate::master_key::MasterKeySource;
use crate::terminal::Terminal;

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Hold the audit log against its seals: names each event that was changed, taken out or put in by hand
    Verify {
        /// What `audit head` printed once: shows also whether the end of the log was cut off
        #[arg(long, value_name = "NUMBER:HEAD", value_parser = KeptHead::parse)]
        head: Option<KeptHead>,
    },
    /// Print the number and the head of the newest seal, to be kept in another place
    Head,
}

/// A seal as somebody keeps it elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptHead(i64, String);

impl KeptHead {
    fn parse(text: &str) -> Result<Self, String> {
        text.split_once(':')
            .and_then(|(number, head)| {
                let number = number.parse().ok().filter(|number| *number > 0)?;
                base::base64url_decode(head).filter(|head| head.len() == 32)?;
                Some(Self(number, head.to_owned()))
            })
            .ok_or_else(|| "write it as `portcullis audit head` prints it: 12:Qm9…".to_owned())
    }
}

impl Maintenance {
    /// Runs `portcullis audit`. `kept` is how long audit events are kept; none without end.
    ///
    /// # Errors
    /// In words, also when the log is not as it was written.
    pub async fn audit(
        &self,
        command: AuditCommand,
        kept: Option<Duration>,
        master_key: &MasterKeySource,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        match command {
            AuditCommand::Head => {
                let seal = self.store().find_last_audit_seal().await?;
                let seal = seal.context("audit head: nothing is sealed yet; a node that serves seals what is new each second")?;
                out.line(format!("{}:{}", seal.number, seal.head));
                Ok(())
            }
            AuditCommand::Verify { head } => {
                let master_key = master_key.existing(self.directory())?;
                let deleted = self.store().list_deleted_users().await?;
                let against = LookOver {
                    now: SystemClock.now(),
                    kept,
                    kept_head: head.map(|KeptHead(number, head)| (number, head)),
                    deleted: deleted
                        .into_iter()
                        .map(|deleted| deleted.id.as_str().to_owned())
                        .collect(),
                };
                let sealer = AuditSealer::new(&master_key);
                let looked = sealer.look_over(self.store(), against).await?;
                show(looked, out)
            }
        }
    }
}

fn show(looked: LookedOver, out: &Terminal) -> anyhow::Result<()> {
    if looked.found == 0 {
        out.line(format!(
            "{} events under {} seals are as they were written",
            looked.events + looked.blanked,
            looked.seals
        ));
        for (count, words) in [
            (looked.unsealed, "too new to be under a seal"),
            (looked.retired, "deleted when their time was over"),
            (
                looked.blanked,
                "without the words that told who a deleted person was",
            ),
        ] {
            if count > 0 {
                out.line(format!("{count} {words}"));
            }
        }
        if let Some((number, head)) = looked.head {
            out.line(format!(
                "newest seal {number}:{head}; keep it in another place, and give it to --head next time"
            ));
        }
        return Ok(());
    }
    for finding in &looked.findings {
        out.line(in_words(finding));
    }
    let more = looked.found - looked.findings.len() as u64;
    if more > 0 {
        out.line(format!("and {more} more"));
    }
    bail!("audit verify: the audit log is not as it was written")
}

fn in_words(finding: &Looked) -> String {
    let event = |id: &i64| format!("event {id} of {}", date(audit_event_time(*id)));
    match finding {
        Looked::SealsMissing { from, to } if from == to => format!("seal {from} is not there"),
        Looked::SealsMissing { from, to } => format!(
            "seals {from} to {to} are not there, and retention has not deleted them as it is set now"
        ),
        Looked::SealChanged { number } => {
            format!("seal {number} was changed, or made with another master key")
        }
        Looked::EventMissing { id } => format!("{} was taken out", event(id)),
        Looked::EventChanged { id } => format!("{} was changed", event(id)),
        Looked::WordsMissing { id } => {
            format!("{} has lost its words, and nobody was deleted", event(id))
        }
        Looked::EventPutIn { id } => format!("{} was put in", event(id)),
        Looked::OtherHead { number } => {
            format!("seal {number} has another head than the one that was kept")
        }
        Looked::Cut { number } => format!(
            "the log ends before seal {number}: its end was cut off, or an older backup was restored"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_head_is_read_as_it_is_printed_and_nothing_else_is() {
        let head = base::base64url([7; 32]);
        let read = KeptHead::parse(&format!("12:{head}"));
        assert_eq!(read, Ok(KeptHead(12, head.clone())));
        for wrong in [
            "",
            "12",
            "12:",
            "0:AAAA",
            &format!("-1:{head}"),
            &format!("12:{head}A"),
        ] {
            assert!(KeptHead::parse(wrong).is_err(), "{wrong}");
        }
    }
}
