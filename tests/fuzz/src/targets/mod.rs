pub mod access_token;
pub mod authorize_form;
pub mod challenge;
pub mod parameters;
pub mod redirect_uri;
pub mod registration;
pub mod resource;
pub mod token_form;
