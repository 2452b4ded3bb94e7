use ::oauth::client_decision::ClientDecision;
use ::oauth::csrf::Form;
use ::oauth::waiting_clients;
use ::oauth::{Error, authorize::Refusal};
use axum::extract::{Request, State};
use axum::response::Response;
use domain::ClientId;

use super::own_form;
use crate::app::AppState;
use crate::respond::{self, Step};

/// Where Approve and Block are posted to.
pub(crate) const PATH: &str = "/admin/clients";

/// The fields that the token of a decision is bound to.
pub(crate) const ABOUT: &[&str] = &["server", "client"];

/// `POST /admin/clients`: an owner approves or blocks a client that waits.
pub(crate) async fn decide(State(app): State<AppState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let own = match own_form::read(&app, &parts.headers, body, Form::Admin, ABOUT).await {
        Ok(own) => own,
        Err(response) => return response,
    };
    let form = own.form();
    let server = form.get("server").unwrap_or_default();
    let client = form.get("client").unwrap_or_default();
    let decided = match form.get("decision") {
        Some("approve") => Ok(ClientDecision::Approve),
        Some("block") => Ok(ClientDecision::Block),
        _ => Err(Error::invalid_request("decision must be approve or block")),
    };
    let outcome = match decided {
        Ok(decision) => {
            let id = ClientId::from_text(client);
            waiting_clients::decide(&app.authority, &own.signed_in, server, &id, decision).await
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => respond::see_other("/admin"),
        Err(error) => {
            let step = Step {
                name: "admin",
                server: Some(server),
                client_id: Some(client),
                headers: &parts.headers,
            };
            let refusal = Refusal::page(error, "Nothing was changed. Go back to the dashboard.");
            respond::refusal(&app, step, &refusal, true)
        }
    }
}
