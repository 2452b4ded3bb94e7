use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

/// A chain of certificates is some kilobytes.
const BODY_BYTES_MAX: usize = 256 * 1024;
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// What the protocol is spoken through: our own outgoing HTTP, over https alone.
#[derive(Clone)]
pub(super) struct Transport(egress::Client);

impl Transport {
    /// # Errors
    /// When the file with more roots cannot be used.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, egress::Error> {
        egress::Client::new(egress::Settings {
            https_only: true,
            ca_file: ca_file.map(Path::to_owned),
            head_timeout: ANSWER_MAX,
            total_timeout: ANSWER_MAX,
            ..egress::Settings::operator_chosen()
        })
        .map(Self)
    }
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes());
            let body = body.unwrap_or_else(|never| match never {});
            let answer = client
                .fetch(Request::from_parts(head, Full::new(body)), BODY_BYTES_MAX)
                .await
                .map_err(|error| Error::Other(Box::new(error)))?;
            Ok(BytesResponse::from(answer.map(Full::new)))
        })
    }
}
