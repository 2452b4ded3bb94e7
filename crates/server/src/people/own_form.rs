use ::oauth::csrf::{self, Form};
use ::oauth::session::SignedIn;
use ::oauth::{Error, Parameters};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;

use crate::app::App;
use crate::body::read_form;
use crate::respond::{self, Step};
use crate::same_origin::{self, Origin};

/// A form that somebody who is signed in sent from a page of ours.
pub(crate) struct OwnForm {
    /// Who sent it.
    pub signed_in: SignedIn,
    body: Bytes,
}

impl OwnForm {
    /// Its fields. `scope` alone may stand there more than once.
    pub fn form(&self) -> Parameters<'_> {
        Parameters::parse(&self.body).unwrap_or_default()
    }
}

/// Reads a form of the kind `form`; `about` names the fields whose values its token is bound to.
///
/// Anything else is answered here: nobody signed in, another site, another session, unreadable.
pub(crate) async fn read(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    form: Form,
    about: &[&str],
) -> Result<OwnForm, Response> {
    let step = Step {
        name: "account",
        server: None,
        client_id: None,
        headers,
    };
    let refused =
        |error: &Error, what_to_do: &str| respond::error_page(app, step, error, what_to_do);
    let body = read_form(headers, body).await.map_err(|refusal| {
        let error = Error::invalid_request(refusal.description());
        let heading = "This form cannot be read";
        let status = refusal.status();
        respond::error_page_with(app, step, &error, "Go back and try again.", status, heading)
    })?;
    let fields = Parameters::parse(&body)
        .and_then(|fields| fields.refuse_repeats(&["scope"]).map(|()| fields))
        .map_err(|error| refused(&error, "Go back and try again."))?;
    let signed_in = match app.signed_in(headers).await {
        Ok(Some(signed_in)) => signed_in,
        Ok(None) => return Err(respond::see_other("/sign-in")),
        Err(error) => return Err(refused(&error, "Wait a moment, then try again.")),
    };
    let genuine = csrf::is_valid(
        &app.authority,
        form,
        signed_in.session.id.as_str(),
        &about_of(&fields, about),
        fields.get("csrf").unwrap_or_default(),
    );
    if same_origin::of_request(app, headers) == Origin::Foreign || !genuine {
        let error = Error::invalid_request("this form was not sent from a page of ours");
        return Err(refused(
            &error,
            "Nothing was changed. Open the dashboard and try again there.",
        ));
    }
    drop(fields);
    Ok(OwnForm { signed_in, body })
}

/// What a token is about: the values, with their lengths, so that no two forms share one.
fn about_of(fields: &Parameters<'_>, names: &[&str]) -> String {
    let values: Vec<&str> = names
        .iter()
        .map(|name| fields.get(name).unwrap_or_default())
        .collect();
    about(&values)
}

/// As [`read`] computes it, for the page that shows the form.
pub(crate) fn about(values: &[&str]) -> String {
    values
        .iter()
        .map(|value| format!("{}:{value}", value.len()))
        .collect()
}
