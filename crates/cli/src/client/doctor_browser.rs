use async_trait::async_trait;
use doctor::signed_in::{Browser, Visit};
use url::Url;

use super::OpenBrowser;
use super::login::PATIENCE;
use super::open_page;
use super::redirect_listener::RedirectListener;
use crate::failure::message;
use crate::terminal::Terminal;

/// The browser of `call`, lent to the doctor.
#[derive(Clone)]
pub struct DoctorBrowser {
    /// How a sign-in begins.
    pub open_browser: OpenBrowser,
    /// Where progress is told.
    pub progress: Terminal,
}

impl std::fmt::Debug for DoctorBrowser {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("DoctorBrowser")
    }
}

#[async_trait]
impl Browser for DoctorBrowser {
    async fn listen(&self) -> Result<Box<dyn Visit>, String> {
        let listener = RedirectListener::bind(None)
            .await
            .map_err(|error| message(&error))?;
        Ok(Box::new(Waiting {
            listener,
            browser: self.clone(),
        }))
    }

    fn say(&self, line: &str) {
        self.progress.line(line);
    }
}

struct Waiting {
    listener: RedirectListener,
    browser: DoctorBrowser,
}

#[async_trait]
impl Visit for Waiting {
    fn redirect_uri(&self) -> String {
        self.listener.redirect_uri()
    }

    async fn open(
        self: Box<Self>,
        authorize: &Url,
        state: &str,
    ) -> Result<Vec<(String, String)>, String> {
        open_page::open(
            &self.browser.open_browser,
            &self.browser.progress,
            authorize,
        );
        self.listener
            .wait_for_parameters(state, PATIENCE)
            .await
            .map_err(|error| message(&error))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn the_doctor_is_told_all_that_came_back_through_the_browser() {
        let opened = Arc::new(Mutex::new(String::new()));
        let seen = Arc::clone(&opened);
        let browser = DoctorBrowser {
            open_browser: Arc::new(move |url| {
                url.clone_into(&mut seen.lock().unwrap());
                true
            }),
            progress: Terminal::memory(),
        };
        let visit = browser.listen().await.unwrap();
        let back = Url::parse(&visit.redirect_uri()).unwrap();
        assert_eq!(back.host_str(), Some("127.0.0.1"));
        let authorize = Url::parse("https://auth.test/authorize?state=s").unwrap();
        let waiting = tokio::spawn(async move { visit.open(&authorize, "s").await });
        let place = format!("127.0.0.1:{}", back.port().unwrap());
        let mut web = testkit::Connection::open(&place).await.unwrap();
        let path = format!("{}?code=c&state=s&iss=i", back.path());
        let page = web.send(http::Request::get(path), "").await.unwrap();
        assert_eq!(page.status(), 200);
        let came = waiting.await.unwrap().unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            came,
            [pair("code", "c"), pair("state", "s"), pair("iss", "i")]
        );
        assert_eq!(
            *opened.lock().unwrap(),
            "https://auth.test/authorize?state=s"
        );
        assert!(
            browser
                .progress
                .kept()
                .contains("https://auth.test/authorize")
        );
    }
}
