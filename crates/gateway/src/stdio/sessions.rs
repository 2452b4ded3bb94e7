use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sdk::{Era, Principal};
use tokio::time::timeout;

use super::StdioSettings;
use super::child::Child;

/// How long a child that makes room may take to be gone.
const ROOM_PATIENCE: Duration = Duration::from_secs(5);

/// The children of one MCP server and whose they are.
#[derive(Debug)]
pub(super) struct Sessions {
    settings: StdioSettings,
    children: Mutex<HashMap<Key, Entry>>,
}

/// What a child is found by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    /// The id of a legacy session.
    Session(String),
    /// Everything that a subject does through one client, in the modern era.
    Modern(Principal),
}

#[derive(Debug)]
struct Entry {
    principal: Principal,
    child: Arc<Child>,
}

/// Why there is no child for a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The server has as many children as it may have.
    ServerIsFull(usize),
    /// The principal has as many children as it may have.
    PrincipalIsFull(usize),
    /// It cannot be started, for this reason.
    Start(String),
}

impl Sessions {
    pub(super) fn new(settings: StdioSettings) -> Self {
        Self {
            settings,
            children: Mutex::default(),
        }
    }

    /// Starts the child of a new legacy session.
    pub(super) async fn open(
        &self,
        id: &str,
        principal: &Principal,
    ) -> Result<Arc<Child>, Refused> {
        let idle = self.settings.limits.session_idle;
        self.start(Key::Session(id.to_owned()), principal, Era::Legacy, idle)
            .await
    }

    /// The child of a legacy session, if it is this principal's and runs.
    pub(super) fn find(&self, id: &str, principal: &Principal) -> Option<Arc<Child>> {
        let children = self.children();
        let entry = children.get(&Key::Session(id.to_owned()))?;
        (entry.principal == *principal && entry.child.is_up()).then(|| Arc::clone(&entry.child))
    }

    /// The child for everything that this principal does in the modern era.
    pub(super) async fn modern(&self, principal: &Principal) -> Result<Arc<Child>, Refused> {
        let key = Key::Modern(principal.clone());
        if let Some(entry) = self.children().get(&key)
            && entry.child.is_up()
        {
            return Ok(Arc::clone(&entry.child));
        }
        let idle = self.settings.limits.modern_idle;
        self.start(key, principal, Era::Modern, idle).await
    }

    /// Tells every child to end.
    pub(super) fn stop_all(&self) -> Vec<Arc<Child>> {
        let children: Vec<_> = self
            .children()
            .drain()
            .map(|(_, entry)| entry.child)
            .collect();
        for child in &children {
            child.stop();
        }
        children
    }

    async fn start(
        &self,
        key: Key,
        principal: &Principal,
        era: Era,
        idle: Duration,
    ) -> Result<Arc<Child>, Refused> {
        let evicted = match self.try_start(&key, principal, era, idle) {
            Err((Refused::PrincipalIsFull(_), Some(evicted))) => evicted,
            other => return other.map_err(|(refused, _)| refused),
        };
        evicted.stop();
        let _ = timeout(ROOM_PATIENCE, evicted.gone()).await;
        self.try_start(&key, principal, era, idle)
            .map_err(|(refused, _)| refused)
    }

    /// Starts a child if there is room; otherwise says why not, and which child could make room.
    fn try_start(
        &self,
        key: &Key,
        principal: &Principal,
        era: Era,
        idle: Duration,
    ) -> Result<Arc<Child>, (Refused, Option<Arc<Child>>)> {
        let limits = &self.settings.limits;
        let mut children = self.children();
        children.retain(|_, entry| !entry.child.is_gone());
        // Somebody else of the same principal may have been quicker.
        if let Some(entry) = children.get(key)
            && entry.child.is_up()
        {
            return Ok(Arc::clone(&entry.child));
        }
        let own: Vec<&Entry> = children
            .values()
            .filter(|entry| entry.principal == *principal)
            .collect();
        if own.len() >= limits.children_per_principal_max {
            let unused = own
                .iter()
                .filter(|entry| entry.child.idle_for() >= limits.evict_after)
                .max_by_key(|entry| entry.child.idle_for());
            let evicted = unused.map(|entry| Arc::clone(&entry.child));
            let refused = Refused::PrincipalIsFull(limits.children_per_principal_max);
            return Err((refused, evicted));
        }
        if children.len() >= limits.children_max {
            return Err((Refused::ServerIsFull(limits.children_max), None));
        }
        let child = Child::start(&self.settings, era, idle)
            .map_err(|reason| (Refused::Start(reason), None))?;
        let entry = Entry {
            principal: principal.clone(),
            child: Arc::clone(&child),
        };
        children.insert(key.clone(), entry);
        Ok(child)
    }

    fn children(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.children
            .lock()
            .expect("nothing panics while holding the children")
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        self.stop_all();
    }
}
