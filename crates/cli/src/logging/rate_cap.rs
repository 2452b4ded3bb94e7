use std::collections::HashMap;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use base::Clock;
use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// How many lines one place in the source may write within one second.
const LINES_PER_SECOND_MAX: u32 = 100;

/// How often it is told how many were held back.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Keeps a flood from filling the disk: of each place in the source a hundred lines a second are written, and then one
/// that says how many were not.
pub struct RateCap {
    places: Arc<Places>,
    reports: Option<Once>,
}

struct Places {
    clock: Arc<dyn Clock>,
    /// As many as there are places that log.
    seen: Mutex<HashMap<Identifier, Seen>>,
}

struct Seen {
    place: &'static Metadata<'static>,
    second: i64,
    lines: u32,
    suppressed: u64,
}

impl RateCap {
    /// A cap that reports by itself, from a thread that begins with the first flood.
    pub fn reporting(clock: Arc<dyn Clock>) -> Self {
        Self {
            reports: Some(Once::new()),
            ..Self::silent(clock)
        }
    }

    fn silent(clock: Arc<dyn Clock>) -> Self {
        Self {
            places: Arc::new(Places {
                clock,
                seen: Mutex::default(),
            }),
            reports: None,
        }
    }

    fn start_reporting(&self) {
        if let Some(once) = &self.reports {
            once.call_once(|| {
                let places = Arc::clone(&self.places);
                // Not from here: an event must not log another. Without a thread the lines are held back all the same.
                let _ = std::thread::Builder::new()
                    .name("log-cap".to_owned())
                    .spawn(move || {
                        loop {
                            std::thread::sleep(REPORT_EVERY);
                            places.report();
                        }
                    });
            });
        }
    }
}

impl<S: Subscriber> Layer<S> for RateCap {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        // Whoever asks for the finer levels looks for something, and wants all of it.
        let is_fine = *event.metadata().level() > Level::INFO;
        let written = is_fine || self.places.may_write(event.metadata());
        if !written {
            self.start_reporting();
        }
        written
    }
}

impl Places {
    fn may_write(&self, place: &'static Metadata<'static>) -> bool {
        let now = self.clock.now().unix_seconds();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.entry(place.callsite()).or_insert(Seen {
            place,
            second: now,
            lines: 0,
            suppressed: 0,
        });
        if seen.second != now {
            seen.second = now;
            seen.lines = 0;
        }
        if seen.lines < LINES_PER_SECOND_MAX {
            seen.lines += 1;
            return true;
        }
        seen.suppressed += 1;
        false
    }

    /// One line for each place that was held back since the last report, at its own level.
    fn report(&self) {
        let mut flooded = Vec::new();
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for seen in seen.values_mut().filter(|seen| seen.suppressed > 0) {
                flooded.push((seen.place, std::mem::take(&mut seen.suppressed)));
            }
        }
        for (place, suppressed) in flooded {
            let target = place.target();
            let line = place.line().unwrap_or_default();
            let words = "lines like the ones before were suppressed";
            match *place.level() {
                Level::ERROR => tracing::error!(at = target, line, suppressed, "{words}"),
                Level::WARN => tracing::warn!(at = target, line, suppressed, "{words}"),
                _ => tracing::info!(at = target, line, suppressed, "{words}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use testkit::MovableClock;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Keeps the messages of events, with how many were suppressed.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            struct Text(String);
            impl tracing::field::Visit for Text {
                fn record_debug(
                    &mut self,
                    field: &tracing::field::Field,
                    value: &dyn std::fmt::Debug,
                ) {
                    if ["message", "suppressed"].contains(&field.name()) {
                        self.0.push_str(&format!("{value:?} "));
                    }
                }
            }
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0.trim().to_owned());
        }
    }

    #[test]
    fn of_a_flood_a_hundred_lines_a_second_are_written_and_the_rest_is_counted() {
        let clock = MovableClock::default();
        let cap = RateCap::silent(Arc::new(clock.clone()));
        let places = Arc::clone(&cap.places);
        let kept = Kept::default();
        let subscriber = tracing_subscriber::registry().with(cap).with(kept.clone());
        let count = |words: &str| {
            let kept = kept.0.lock().unwrap();
            kept.iter().filter(|line| line.as_str() == words).count()
        };
        tracing::subscriber::with_default(subscriber, || {
            let flood = || (0..1000).for_each(|_| tracing::info!("flood"));
            flood();
            tracing::info!("somebody else");
            assert_eq!(count("flood"), 100);
            assert_eq!(count("somebody else"), 1, "another place has its own share");
            (0..1000).for_each(|_| tracing::debug!("detail"));
            assert_eq!(count("detail"), 1000, "what was asked for comes whole");
            places.report();
            assert_eq!(
                count("900 lines like the ones before were suppressed")
                    + count("lines like the ones before were suppressed 900"),
                1
            );
            places.report();
            assert_eq!(kept.0.lock().unwrap().len(), 1102, "it is told once");
            clock.advance(Duration::from_secs(1));
            flood();
            assert_eq!(count("flood"), 200, "the next second has its own share");
        });
    }
}
