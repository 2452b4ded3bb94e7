use std::cmp::Reverse;
use std::future::Future;
use std::pin::Pin;

use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::flaws::reach::{MCP_REDIRECTS, MCP_REDIRECTS_TO_HTTP, SLASH_REDIRECTS};
use crate::report::Well;
use crate::{
    Desk, Notebook, Plan, Report, Scene, Section, Wire, attack, challenge, cors, endpoints, keys,
    persona, reach, registration, resource_metadata, server_metadata, signed_in,
};

type Step = for<'a> fn(&'a mut Desk) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// The sections in their order: each stands on what the ones before it learned.
const STEPS: [(Section, Step); 12] = [
    (Section::Reach, |desk| Box::pin(reach::examine(desk))),
    (Section::Challenge, |desk| {
        Box::pin(challenge::examine(desk))
    }),
    (Section::ResourceMetadata, |desk| {
        Box::pin(resource_metadata::examine(desk))
    }),
    (Section::ServerMetadata, |desk| {
        Box::pin(server_metadata::examine(desk))
    }),
    (Section::Keys, |desk| Box::pin(keys::examine(desk))),
    (Section::Cors, |desk| Box::pin(cors::examine(desk))),
    (Section::Endpoints, |desk| {
        Box::pin(endpoints::examine(desk))
    }),
    (Section::Registration, |desk| {
        Box::pin(registration::examine(desk))
    }),
    (Section::Personas, |desk| Box::pin(persona::examine(desk))),
    (Section::SignedIn, |desk| Box::pin(signed_in::examine(desk))),
    (Section::Attack, |desk| Box::pin(attack::examine(desk))),
    // What ends the session comes after all that needs it.
    (Section::SignedIn, |desk| Box::pin(signed_in::finish(desk))),
];

/// Examines what `plan` says, within its limits.
///
/// # Errors
/// When the URL is none that can be asked, in words for the person who typed it, or a certificate file cannot be used.
pub async fn examine(plan: Plan) -> Result<Report, String> {
    let typed = plan.url.clone();
    let url = asked_url(&typed)?;
    let started = Instant::now();
    let deadline = started + plan.limits.total;
    let at = plan.clock.now();
    let wire = Wire::new(&plan, deadline).map_err(|error| error.to_string())?;
    let mut desk = Desk {
        scene: Scene::new(url, typed),
        plan,
        wire,
        notes: Notebook::default(),
    };
    for (section, step) in STEPS {
        if section != Section::Reach && !desk.scene.is_reachable {
            break;
        }
        if section != Section::Reach && leads_elsewhere(&mut desk) {
            break;
        }
        // A section that is cut off keeps what it had written down.
        if timeout_at(deadline, step(&mut desk)).await.is_err() {
            let seconds = desk.plan.limits.total.as_secs();
            desk.notes.not_examined(
                section,
                format!("not all of it: the examination ended after {seconds} s"),
            );
        }
    }
    reach::slowest(&mut desk);
    Ok(report(desk, started, moment(at)))
}

/// Whether the URL only leads to another one. What stands there is right or wrong for that URL, so the rest waits.
fn leads_elsewhere(desk: &mut Desk) -> bool {
    let leads = desk
        .notes
        .has_any(&[MCP_REDIRECTS, MCP_REDIRECTS_TO_HTTP, SLASH_REDIRECTS]);
    if leads {
        let place = desk.scene.url.clone();
        desk.notes.not_examined(
            Section::Challenge,
            format!("everything behind the redirect: examine {place} too"),
        );
    }
    leads
}

/// What can be asked: http or https with a host. Spaces around it are told about, not refused.
fn asked_url(typed: &str) -> Result<Url, String> {
    let url = Url::parse(typed.trim()).map_err(|error| {
        format!("{typed:?} is no URL ({error}); type it with https:// in front")
    })?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!(
            "{typed:?} is no address of an MCP server: only http and https can be examined"
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "the URL has a user name or password in it, which no MCP client sends; leave it out"
                .to_owned(),
        );
    }
    Ok(url)
}

fn report(desk: Desk, started: Instant, at: String) -> Report {
    // Once more, with every secret that is known by now: words of the server stand in texts too.
    let clean = |words: &mut String| *words = desk.wire.redacted(words);
    let mut findings = desk.notes.findings().to_vec();
    findings.sort_by_key(|finding| (Reverse(finding.flaw.severity), finding.flaw.section));
    for finding in &mut findings {
        for words in [&mut finding.title, &mut finding.detail, &mut finding.change] {
            clean(words);
        }
        finding
            .evidence
            .iter_mut()
            .for_each(|seen| seen.redact(&clean));
    }
    let mut not_examined = desk.notes.unexamined().to_vec();
    not_examined
        .iter_mut()
        .for_each(|entry| clean(&mut entry.why));
    let mut clients = desk.notes.journeys.clone();
    for journey in &mut clients {
        journey.steps.iter_mut().for_each(clean);
        journey.not_examined.iter_mut().for_each(clean);
        if let Some(stop) = &mut journey.stop {
            clean(&mut stop.why);
        }
    }
    let mut signed_in = desk.notes.signed_in.clone();
    if let Some(summary) = &mut signed_in {
        summary.lines.iter_mut().for_each(clean);
    }
    let mut exchanges = desk.wire.log();
    exchanges.iter_mut().for_each(|seen| seen.redact(&clean));
    Report {
        url: desk.wire.redacted(&desk.scene.typed),
        doctor: env!("CARGO_PKG_VERSION"),
        at,
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        requests: desk.wire.requests(),
        is_reachable: desk.scene.is_reachable,
        findings,
        not_examined,
        well: desk
            .notes
            .all_well()
            .iter()
            .map(|(section, what)| Well {
                section: *section,
                what: desk.wire.redacted(what),
            })
            .collect(),
        clients,
        signed_in,
        exchanges,
    }
}

fn moment(at: base::Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.unix_ms())
        .map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_default()
}
