use async_trait::async_trait;
use url::Url;

/// The person's browser, and a place on this machine to which it comes back (RFC 8252 section 7.3).
#[async_trait]
pub trait Browser: Send + Sync + std::fmt::Debug {
    /// Listens for one return.
    ///
    /// # Errors
    /// In words, when no port is free.
    async fn listen(&self) -> Result<Box<dyn Visit>, String>;

    /// Tells the person what the doctor is about to do or waits for.
    fn say(&self, line: &str);
}

/// One visit of the browser to the authorization server.
#[async_trait]
pub trait Visit: Send {
    /// Where it comes back to.
    fn redirect_uri(&self) -> String;

    /// Opens `authorize` and waits for the return. A return with another `state` counts only when none with this one follows:
    /// another page may have sent it.
    ///
    /// # Errors
    /// In words, when nobody comes back.
    async fn open(
        self: Box<Self>,
        authorize: &Url,
        state: &str,
    ) -> Result<Vec<(String, String)>, String>;
}
