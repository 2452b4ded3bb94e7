//! `portcullis audit`: what happened, and whether the log of it is as it was written.

mod events;

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use base::{Clock as _, SystemClock};
use clap::Subcommand;
use oauth::KeySealer;
use oauth::audit_seals::{AuditSealer, LATE, LookOver, Looked, LookedOver};
use store::audit_event_time;

use crate::audit::events::WantedEvents;
use crate::maintenance::{Maintenance, date};
use crate::master_key::MasterKeySource;
use crate::terminal::Terminal;

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List the newest events: what was done, by whom, through which client
    List {
        #[command(flatten)]
        wanted: Box<WantedEvents>,
        /// As many of the newest, up to 1000
        #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Print them as a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Print events as JSON lines, the oldest first
    Export {
        #[command(flatten)]
        wanted: Box<WantedEvents>,
    },
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
            AuditCommand::List {
                wanted,
                limit,
                json,
            } => self.list_events(*wanted, limit.into(), json, out).await,
            AuditCommand::Export { wanted } => self.export_events(*wanted, out).await,
            AuditCommand::Head => {
                let newest = self.store().list_newest_audit_seals(1).await?;
                let seal = newest.first().context(
                    "audit head: nothing is sealed yet; a node that serves seals what is new every five seconds",
                )?;
                out.line(format!("{}:{}", seal.number, seal.head));
                Ok(())
            }
            AuditCommand::Verify { head } => {
                let master_key = master_key.existing(self.directory())?;
                let against = LookOver {
                    now: SystemClock.now(),
                    kept,
                    kept_head: head.map(|KeptHead(number, head)| (number, head)),
                };
                let kept_head = against.kept_head.is_some();
                let sealer = AuditSealer::new(&master_key);
                let looked = sealer.look_over(self.store(), against).await?;
                if looked.seals == 0 {
                    // Under another key nothing fits, which would look as if everything had been changed.
                    let keys = self.store().list_signing_keys().await?;
                    let opened = KeySealer::new(&master_key).check(&keys);
                    opened.context("audit verify: nothing was held against the seals")?;
                }
                show(looked, kept_head, out)
            }
        }
    }
}

fn show(looked: LookedOver, kept_head: bool, out: &Terminal) -> anyhow::Result<()> {
    let is_late =
        (looked.unsealed_since).is_some_and(|since| SystemClock.now().since(since) > LATE);
    if let Some(since) = looked.unsealed_since {
        out.line(format!(
            "{} events since {} are under no seal yet{}",
            looked.unsealed,
            date(since),
            match is_late {
                true => ": nobody has served since, or the log of a node says why it cannot seal, or the seals were taken away",
                false => "",
            }
        ));
    }
    if looked.found == 0 {
        out.line(format!(
            "{} events under {} seals are as they were when they were sealed",
            looked.events + looked.blanked,
            looked.seals
        ));
        if let Some(made_at) = looked.first_made_at {
            out.line(format!("the first seal is of {}", date(made_at)));
        }
        for (count, words) in [
            (
                looked.late,
                "came under a seal more than an hour after they happened, as the first ones do after an upgrade",
            ),
            (looked.retired, "were deleted when their time was over"),
            (
                looked.blanked,
                "are without the words that told who a deleted person was",
            ),
        ] {
            if count > 0 {
                out.line(format!("{count} {words}"));
            }
        }
        if kept_head && !looked.is_head_compared {
            out.line(
                "the seal of the head that was kept has left with its events: it was not compared",
            );
        }
        if let Some((number, head)) = looked.head {
            out.line(format!(
                "newest seal {number}:{head}; keep it in another place, and give it to --head next time"
            ));
        }
        ensure!(
            !is_late,
            "audit verify: nothing shows what the events are that have been under no seal for over an hour; let a node serve for a \
             minute and look again"
        );
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
        Looked::SealsMissing { from, to } => format!(
            "seals {from} to {to} are not there, and retention as it is set now has not deleted them"
        ),
        Looked::SealChanged { number } => {
            format!("seal {number} was changed, or made with another master key")
        }
        Looked::EventMissing { id } => format!("{} was taken out", event(id)),
        Looked::EventChanged { id } => format!("{} was changed", event(id)),
        Looked::WordsMissing { id } => {
            format!("{} has lost its words, and nobody was deleted", event(id))
        }
        Looked::EventPutIn { id } => format!(
            "{} was put in later, or by a node whose clock was hours behind",
            event(id)
        ),
        Looked::OtherHead { number } => {
            format!(
                "seal {number} has another head than the one that was kept: what is from before was written anew, or an older \
                 backup was restored, or a standby took over"
            )
        }
        Looked::Cut { number } => format!(
            "the log ends before seal {number}: its end was cut off, or an older backup was restored, or a standby took over"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_under_no_seal_for_over_an_hour_are_no_good_end_and_those_of_a_minute_are() {
        let shown = |minutes: u64| {
            let looked = LookedOver {
                unsealed: 3,
                unsealed_since: Some(SystemClock.now().before(Duration::from_secs(60 * minutes))),
                ..LookedOver::default()
            };
            show(looked, false, &Terminal::stderr()).map_err(|error| error.to_string())
        };
        assert_eq!(shown(1), Ok(()));
        assert_eq!(shown(59), Ok(()));
        assert!(shown(61).is_err_and(|words| words.contains("under no seal for over an hour")));
    }

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
