use std::io;
use std::sync::{Arc, Mutex};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::logging::{Format, layer};

/// What this thread logs, as the program writes it.
pub struct Log {
    kept: Kept,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub fn begin() -> Self {
        let kept = Kept::default();
        let writer = kept.clone();
        let filter = tracing_subscriber::EnvFilter::new("warn");
        let lines = layer(Format::Text, false, move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(filter).with(lines);
        Self {
            _guard: tracing::subscriber::set_default(subscriber),
            kept,
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.kept.0.lock().unwrap().clone()).unwrap()
    }
}
