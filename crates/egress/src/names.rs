use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::Error;
use crate::lookup::{self, Chosen};

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

    /// The addresses of `host`, a name that the operator chose; it may be an address itself.
    ///
    /// # Errors
    /// When it has none. How long that may take is the caller's to say.
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        self.addresses_of(host, port, Chosen::ByOperator).await
    }

    pub(crate) async fn addresses_of(
        &self,
        host: &str,
        port: u16,
        chosen: Chosen,
    ) -> Result<Vec<SocketAddr>, Error> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        if let Some(known) = self.0.as_ref().and_then(|answer| answer(host, port)) {
            return Ok(known);
        }
        let failed = |reason: String| Error::Resolve {
            host: host.to_owned(),
            reason,
        };
        let found = lookup::system(host, chosen).await.map_err(failed)?;
        if found.is_empty() {
            return Err(failed("it has no address".into()));
        }
        let with_port = |mut address: SocketAddr| {
            address.set_port(port);
            address
        };
        Ok(found.into_iter().map(with_port).collect())
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
