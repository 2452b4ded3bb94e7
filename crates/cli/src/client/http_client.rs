use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use url::Url;

use crate::public_url::is_loopback;

/// The largest document or error body that is read.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Outgoing HTTP of the built-in client.
#[derive(Debug, Clone)]
pub struct HttpClient {
    egress: egress::Client,
}

impl HttpClient {
    /// A client for addresses that the person typed, and those that the server they typed names.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> anyhow::Result<Self> {
        let settings = egress::Settings {
            total_timeout: Duration::from_secs(30),
            ..egress::Settings::operator_chosen()
        };
        let egress =
            egress::Client::new(settings).context("outgoing connections cannot be set up")?;
        Ok(Self { egress })
    }

    /// Sends and streams.
    ///
    /// # Errors
    /// Names the address.
    pub async fn send(
        &self,
        url: &Url,
        request: http::request::Builder,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        check_transport(url)?;
        let request = self.finish(url, request, body)?;
        self.egress
            .send(request)
            .await
            .with_context(|| format!("{} does not answer", origin(url)))
    }

    /// Sends and reads all of a small answer.
    ///
    /// # Errors
    /// Names the address.
    pub async fn fetch(
        &self,
        url: &Url,
        request: http::request::Builder,
        body: Bytes,
    ) -> anyhow::Result<Response<Bytes>> {
        check_transport(url)?;
        let request = self.finish(url, request, body)?;
        self.egress
            .fetch(request, BODY_BYTES_MAX)
            .await
            .with_context(|| format!("{} does not answer", origin(url)))
    }

    /// Fetches a JSON document; `None` when there is none at the address.
    ///
    /// # Errors
    /// When what is there is no such document.
    pub async fn document<T: DeserializeOwned>(&self, url: &Url) -> anyhow::Result<Option<T>> {
        let request = Request::builder()
            .method(Method::GET)
            .header(header::ACCEPT, "application/json");
        let response = self.fetch(url, request, Bytes::new()).await?;
        match response.status().as_u16() {
            200 => serde_json::from_slice(response.body())
                .map(Some)
                .with_context(|| format!("{url} is not the document it should be")),
            404 | 405 | 410 => Ok(None),
            status => Err(anyhow!("{url} answered {status}")),
        }
    }

    /// Posts a form and reads the JSON answer.
    ///
    /// # Errors
    /// When nobody answers or the answer is no JSON.
    pub async fn post_form(
        &self,
        url: &Url,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<(u16, serde_json::Value)> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.post(url, "application/x-www-form-urlencoded", form.into())
            .await
    }

    /// Posts a body and reads the JSON answer.
    ///
    /// # Errors
    /// When nobody answers or the answer is no JSON.
    pub async fn post(
        &self,
        url: &Url,
        media_type: &str,
        body: Bytes,
    ) -> anyhow::Result<(u16, serde_json::Value)> {
        let request = Request::builder()
            .method(Method::POST)
            .header(header::CONTENT_TYPE, media_type)
            .header(header::ACCEPT, "application/json");
        let response = self.fetch(url, request, body).await?;
        let status = response.status().as_u16();
        let body = serde_json::from_slice(response.body())
            .with_context(|| format!("{url} answered {status} and no JSON"))?;
        Ok((status, body))
    }

    fn finish(
        &self,
        url: &Url,
        request: http::request::Builder,
        body: Bytes,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        request
            .uri(url.as_str())
            .header(
                header::USER_AGENT,
                concat!("portcullis/", env!("CARGO_PKG_VERSION")),
            )
            .body(Full::new(body))
            .with_context(|| format!("{url} cannot be asked"))
    }
}

/// A token over plain http is anybody's on the way; on this machine there is no way.
fn check_transport(url: &Url) -> anyhow::Result<()> {
    ensure!(
        url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)),
        "{} is not asked: a sign-in needs https, except on localhost",
        origin(url)
    );
    Ok(())
}

/// The address without its path and query, for messages.
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
