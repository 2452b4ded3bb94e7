use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base::Random;
use gateway::{BoxBody, Feeds, Gateway};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use sdk::{FeedGap, Refusal, RefusalCause};

use super::alias_relay::AliasRelay;
use super::join::Entrance;
use crate::accept::Handler;
use crate::arriving::Arriving;

/// A gateway alone on its listener: MCP servers and their metadata, and nothing else.
#[derive(Clone)]
pub struct GatewayDoor {
    pub gateway: Gateway,
    pub feeds: Feeds,
    pub aliases: AliasRelay,
    pub random: Arc<dyn Random>,
    pub entrance: Entrance,
}

impl GatewayDoor {
    /// Whether some server has no address here: its feed has not come, or cannot be used. Then nothing is "not found":
    /// clients forget what they know of a server that is.
    fn is_waiting(&self) -> bool {
        self.feeds.slugs().any(|slug| !self.gateway.serves(slug))
    }

    fn unavailable(&self) -> Response<BoxBody> {
        let refusal = Refusal::oauth(
            &*self.random,
            RefusalCause::TemporarilyUnavailable,
            StatusCode::SERVICE_UNAVAILABLE,
            "temporarily_unavailable",
            "Access cannot be judged at the moment; try again soon",
        )
        .retry_after(5);
        tracing::warn!(
            correlation_id = %refusal.correlation_id(),
            "not answered: {}",
            FeedGap::Never
        );
        refusal
            .into_response()
            .map(|body| body.map_err(|never| match never {}).boxed_unsync())
    }
}

impl Handler for GatewayDoor {
    type Body = BoxBody;

    async fn answer(&self, request: Request<Arriving>, peer: SocketAddr) -> Response<BoxBody> {
        let route = async |request: Request<Arriving>, _: IpAddr| {
            if let Some(answer) = self.aliases.answer(&request).await {
                return answer;
            }
            let knows = self.gateway.knows(request.uri(), request.headers());
            if !knows && self.is_waiting() {
                return self.unavailable();
            }
            self.gateway.handle(request).await
        };
        self.entrance.admit(request, peer, route).await
    }

    fn is_proxy(&self, peer: IpAddr) -> bool {
        self.entrance.is_proxy(peer)
    }
}
