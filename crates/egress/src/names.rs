use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

type Answer = dyn Fn(&str, u16) -> Option<Vec<SocketAddr>> + Send + Sync;

/// What turns names into addresses: the system, by default. Whatever it says is checked like any other address.
#[derive(Clone, Default)]
pub struct Names(Option<Arc<Answer>>);

impl Names {
    /// Asks `answer` first, with name and port; the system where it says nothing.
    pub fn with(
        answer: impl Fn(&str, u16) -> Option<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(answer)))
    }

    /// These names lead to these addresses, whatever port is asked; the system knows the others.
    pub fn fixed<'a>(names: impl IntoIterator<Item = (&'a str, SocketAddr)>) -> Self {
        let names: HashMap<String, SocketAddr> = names
            .into_iter()
            .map(|(name, address)| (name.to_owned(), address))
            .collect();
        Self::with(move |name, _| names.get(name).map(|address| vec![*address]))
    }

    pub(crate) async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Some(known) = self.0.as_ref().and_then(|answer| answer(name, port)) {
            return Ok(known);
        }
        Ok(tokio::net::lookup_host((name, port)).await?.collect())
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            Some(_) => "Names(own)",
            None => "Names(system)",
        })
    }
}
