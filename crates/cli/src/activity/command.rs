use base::{Clock as _, SystemClock, Timestamp};
use clap::{Args, Subcommand};
use domain::ServerSlug;

use crate::moment::Moment;
use crate::people::Named;
use crate::period::Period;

/// What `activity` does.
#[derive(Debug, Subcommand)]
pub enum ActivityCommand {
    /// List calls, the newest first
    List {
        #[command(flatten)]
        calls: WantedCalls,
        /// How many
        #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Write calls as JSON lines, the oldest first
    Export {
        #[command(flatten)]
        calls: WantedCalls,
    },
    /// Report what an MCP server in observe mode would have refused: by tool, by client and by person
    Observed {
        /// Which
        #[arg(value_name = "SERVER", value_parser = ServerSlug::parse)]
        server: ServerSlug,
        /// Since when: a day, a time, or how long ago, such as 7d [default: from the beginning]
        #[arg(long, value_name = "TIME", value_parser = past)]
        since: Option<Timestamp>,
        /// Print all of it as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Which calls.
#[derive(Debug, Args)]
pub struct WantedCalls {
    /// Since when: a day, a time, or how long ago, such as 24h
    #[arg(long, value_name = "TIME", value_parser = past)]
    pub since: Option<Timestamp>,
    /// Until when, which is not included [default: now]
    #[arg(long, value_name = "TIME", value_parser = past)]
    pub until: Option<Timestamp>,
    /// Of this MCP server, which may be gone
    #[arg(long, value_name = "SLUG", value_parser = ServerSlug::parse)]
    pub server: Option<ServerSlug>,
    /// On behalf of this person; one who was deleted by their id
    #[arg(long, value_name = "PERSON", value_parser = Named::parse)]
    pub person: Option<Named>,
    /// Through this client, by its id
    #[arg(long, value_name = "ID")]
    pub client: Option<String>,
    /// Only those that were denied, needed more scope, or would have been denied
    #[arg(long)]
    pub denied: bool,
}

fn past(text: &str) -> Result<Timestamp, String> {
    if let Ok(moment) = Moment::parse(text) {
        return Ok(moment.timestamp());
    }
    Period::parse(text)
        .map(|period| SystemClock.now().before(period.duration()))
        .map_err(|_| {
            "write a day, 2027-01-31, a time, 2027-01-31T12:00:00Z, or how long ago, 24h".to_owned()
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::past;

    #[test]
    fn a_day_a_time_or_how_long_ago_is_read_and_nothing_else() {
        let at = past("2027-01-31T12:00:00Z").unwrap();
        assert_eq!(at.unix_ms(), 1_801_396_800_000);
        assert!(past("2027-01-31").is_ok());
        assert!(past("24h").unwrap() > past("2d").unwrap());
        for bad in ["", "yesterday", "24", "h", "-1h", "31.1.2027"] {
            assert!(past(bad).unwrap_err().contains("24h"), "{bad}");
        }
    }
}
