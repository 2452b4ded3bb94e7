use gateway::{CallRecorded, Outcome};

use super::{Sighting, Step};

/// What a call through the gateway means for a handshake, if anything.
pub fn sighting(call: &CallRecorded) -> Option<Sighting> {
    let step = step(call)?;
    Some(Sighting {
        at: call.at,
        server: call.server.to_string(),
        client: call.client.as_deref().map(str::to_owned),
        user_agent: call.user_agent.as_deref().map(str::to_owned),
        // A challenge begins each handshake: nobody looks for its reference.
        reference: match step {
            Step::Trouble(_) => call.correlation_id.clone(),
            _ => None,
        },
        step,
    })
}

fn step(call: &CallRecorded) -> Option<Step> {
    let what = || match &call.name {
        Some(name) => format!("{} {name}", call.method),
        None => call.method.clone(),
    };
    Some(match call.outcome {
        Outcome::Metadata => Step::Metadata,
        Outcome::Unauthenticated => Step::Challenged,
        Outcome::Allowed => match call.list {
            Some(list) if list.shown == list.total => {
                Step::Working(format!("{} {}", call.method, list.total))
            }
            Some(list) => {
                Step::Working(format!("{} {} of {}", call.method, list.shown, list.total))
            }
            None if call.method == "tools/call" => Step::Working(what()),
            // Housekeeping before the first list.
            None => return None,
        },
        Outcome::Denied | Outcome::NeedsScope => {
            Step::Trouble(format!("{} refused: {}", what(), call.reason))
        }
        Outcome::Rejected => {
            Step::Trouble(format!("{} was no good request: {}", what(), call.reason))
        }
        Outcome::UpstreamFailed => {
            Step::Trouble(format!("{} failed upstream: {}", what(), call.reason))
        }
    })
}
