use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use sdk::Addresses;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::route::Routes;
use crate::route_table::PlacedServer;
use crate::server::{Server, ServerMaker};
use crate::settings::{ServerSettings, SettingsError};

/// The MCP servers of a gateway: replaced as a whole while it runs.
#[derive(Debug)]
pub(crate) struct Servers {
    maker: ServerMaker,
    former: Vec<Addresses>,
    reserved_paths: Vec<String>,
    routes: ArcSwap<Routes>,
    /// Ends those that left. Whoever changes the set holds it, so that two changes cannot mix.
    ending: Mutex<JoinSet<()>>,
    /// Those that left get no more time.
    end_now: CancellationToken,
}

impl Servers {
    /// # Errors
    /// When one of `servers` cannot be used.
    pub(crate) fn new(
        maker: ServerMaker,
        former: Vec<Addresses>,
        reserved_paths: Vec<String>,
        servers: Vec<ServerSettings>,
    ) -> Result<Self, SettingsError> {
        let none = Routes::new(&maker.addresses, &former, &reserved_paths, Vec::new())?;
        let all = Self {
            maker,
            former,
            reserved_paths,
            routes: ArcSwap::from_pointee(none),
            ending: Mutex::default(),
            end_now: CancellationToken::new(),
        };
        all.set(servers)?;
        Ok(all)
    }

    pub(crate) fn routes(&self) -> arc_swap::Guard<Arc<Routes>> {
        self.routes.load()
    }

    /// Puts `servers` in force for the next request. Those whose settings are as they were stay the very same; the
    /// others that were there end when their calls have.
    ///
    /// # Errors
    /// When one of them cannot be used; everything then stays as it was.
    pub(crate) fn set(&self, servers: Vec<ServerSettings>) -> Result<(), SettingsError> {
        let mut ending = self.ending();
        let before = self.routes.load_full();
        let servers = servers
            .into_iter()
            .map(|mut settings| {
                // Aliases come and go without an end to what runs.
                let aliases = self.maker.places(&mut settings)?;
                let server = match before.server(&settings.slug) {
                    Some(known) if known.settings == settings => Arc::clone(known),
                    _ => self.maker.make(settings).map(Arc::new)?,
                };
                Ok(PlacedServer { server, aliases })
            })
            .collect::<Result<Vec<_>, SettingsError>>()?;
        let addresses = &self.maker.addresses;
        let routes = Routes::new(addresses, &self.former, &self.reserved_paths, servers)?;
        let routes = Arc::new(routes);
        self.routes.store(Arc::clone(&routes));
        while ending.try_join_next().is_some() {}
        for left in before.servers() {
            let stays = routes.server(&left.slug);
            if !stays.is_some_and(|stays| Arc::ptr_eq(stays, left)) {
                self.end(left, &mut ending);
            }
        }
        Ok(())
    }

    /// Ends what each server has started itself, those that left included, and waits until it is gone.
    pub(crate) async fn shutdown(&self) {
        self.end_now.cancel();
        let servers: Vec<_> = self.routes().servers().cloned().collect();
        for server in servers {
            server.forwarder.shutdown().await;
        }
        let mut ending = std::mem::take(&mut *self.ending());
        while ending.join_next().await.is_some() {}
    }

    fn end(&self, server: &Server, ending: &mut JoinSet<()>) {
        server.retire();
        // Without a runtime nothing was ever started.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let forwarder = Arc::clone(&server.forwarder);
        let mut retirement = server.retirement();
        let end_now = self.end_now.clone();
        let ending_it = async move {
            let last_call = async { while retirement.changed().await.is_ok() {} };
            tokio::select! {
                () = last_call => {}
                () = end_now.cancelled() => {}
            }
            forwarder.shutdown().await;
        };
        ending.spawn_on(ending_it, &runtime);
    }

    fn ending(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
