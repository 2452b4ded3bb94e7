use ::oauth::csrf::{self, Form};
use axum::response::Response;
use base::random_token;
use http::HeaderMap;

use crate::app::App;
use crate::respond;

/// The token for a form that is shown before sign-in, and the cookie it is bound to.
pub(crate) struct FormCookie {
    value: String,
    is_new: bool,
}

impl FormCookie {
    /// The one this browser has, or a new one. An old one is kept, so that forms in other tabs stay good.
    pub fn of(app: &App, headers: &HeaderMap) -> Self {
        match app.cookies.form(headers) {
            Some(value) if value.len() == 43 => Self {
                value: value.to_owned(),
                is_new: false,
            },
            _ => Self {
                value: random_token(app.authority.random(), ""),
                is_new: true,
            },
        }
    }

    pub fn token(&self, app: &App, form: Form) -> String {
        csrf::token(&app.authority, form, &self.value, "")
    }

    pub fn set(&self, app: &App, response: Response) -> Response {
        if self.is_new {
            respond::with_cookie(response, app.cookies.set_form(&self.value))
        } else {
            response
        }
    }
}
