//! A person with a browser, as far as a load needs one: signs in once, then approves as often as asked.

use anyhow::{Context as _, bail};
use base::{Digest, OsRandom, Random, base64url};
use bytes::Bytes;
use http::{Request, Response, header};
use serde_json::Value;
use url::Url;

use crate::Connection;

/// Where the codes go. Nobody listens there; the load reads the address from the page.
pub const REDIRECT_URI: &str = "http://127.0.0.1:9/callback";

/// The client and the person of a load.
#[derive(Clone, Default)]
pub struct Person {
    /// Path of the issuer, such as `/servers/todo`.
    pub issuer_path: String,
    /// The registered client.
    pub client_id: String,
    /// The login cookie.
    pub cookie: String,
}

/// A code and the verifier that redeems it.
#[derive(Clone)]
pub struct Code {
    /// The authorization code.
    pub code: String,
    /// Its PKCE verifier.
    pub verifier: String,
}

impl Person {
    /// Registers a client and signs in with `email` and `password`.
    pub async fn sign_in(
        connection: &mut Connection,
        issuer: &str,
        email: &str,
        password: &str,
    ) -> anyhow::Result<(Self, Code)> {
        let issuer_path = Url::parse(issuer)?.path().to_owned();
        let registration = register(connection, &issuer_path, "Load").await?;
        let client_id = registration["client_id"]
            .as_str()
            .context("client_id")?
            .to_owned();
        let mut person = Self {
            issuer_path,
            client_id,
            cookie: String::new(),
        };
        let (path, verifier) = person.authorize_path();
        let next = person
            .sign_in_at(connection, &path, email, password)
            .await?;
        let code = person.approve_at(connection, &next).await?;
        Ok((person, Code { code, verifier }))
    }

    /// Opens the authorize page, approves, and gives the code.
    pub async fn approve(&self, connection: &mut Connection) -> anyhow::Result<Code> {
        let (path, verifier) = self.authorize_path();
        let code = self.approve_at(connection, &path).await?;
        Ok(Code { code, verifier })
    }

    /// Opens the authorize address of any client, signs in and approves; gives the address the client is called back at.
    pub async fn visit(
        connection: &mut Connection,
        authorize: &Url,
        email: &str,
        password: &str,
    ) -> anyhow::Result<Url> {
        let mut person = Self {
            issuer_path: String::new(),
            client_id: String::new(),
            cookie: String::new(),
        };
        let next = person
            .sign_in_at(connection, &path_of(authorize.as_str()), email, password)
            .await?;
        person.returned_to(connection, &next).await
    }

    /// Opens an authorize address without a session and signs in; gives the address of the consent page.
    async fn sign_in_at(
        &mut self,
        connection: &mut Connection,
        path: &str,
        email: &str,
        password: &str,
    ) -> anyhow::Result<String> {
        let page = connection.send(Request::get(path), Bytes::new()).await?;
        self.keep_cookies(&page);
        let mut form = Form::read(&page)?;
        form.set("email", email);
        form.set("password", password);
        let cookie = self.cookie.clone();
        let answer = connection
            .post_form(&form.action, &form.pairs(), &cookie)
            .await?;
        self.keep_cookies(&answer);
        let location = answer
            .headers()
            .get(header::LOCATION)
            .with_context(|| format!("sign-in answered {}: {}", answer.status(), text(&answer)))?;
        Ok(path_of(location.to_str()?))
    }

    async fn approve_at(&self, connection: &mut Connection, path: &str) -> anyhow::Result<String> {
        let target = self.returned_to(connection, path).await?;
        target
            .query_pairs()
            .find(|(name, _)| name == "code")
            .map(|(_, code)| code.into_owned())
            .with_context(|| format!("no code in {target}"))
    }

    async fn returned_to(&self, connection: &mut Connection, path: &str) -> anyhow::Result<Url> {
        let page = connection
            .send(
                Request::get(path).header(header::COOKIE, &self.cookie),
                Bytes::new(),
            )
            .await?;
        let mut form = Form::read(&page)?;
        form.set("decision", "approve");
        let answer = connection
            .post_form(&form.action, &form.pairs(), &self.cookie)
            .await?;
        returns_to(&answer)
    }

    /// The form of a code exchange.
    pub fn exchange_form(&self, code: &Code) -> String {
        url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", &code.code)
            .append_pair("redirect_uri", REDIRECT_URI)
            .append_pair("client_id", &self.client_id)
            .append_pair("code_verifier", &code.verifier)
            .finish()
    }

    /// The form of a refresh.
    pub fn refresh_form(&self, refresh_token: &str) -> String {
        url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("refresh_token", refresh_token)
            .append_pair("client_id", &self.client_id)
            .finish()
    }

    /// The address of a new authorization request, and the verifier of its code.
    pub fn authorize_path(&self) -> (String, String) {
        let mut bytes = [0u8; 32];
        OsRandom.fill(&mut bytes);
        let verifier = base64url(bytes);
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", REDIRECT_URI)
            .append_pair("state", &verifier[..16])
            .append_pair("code_challenge", &Digest::of(&verifier).to_text())
            .append_pair("code_challenge_method", "S256")
            .finish();
        (format!("{}/authorize?{query}", self.issuer_path), verifier)
    }

    /// Keeps the cookies that an answer sets.
    pub fn keep_cookies(&mut self, answer: &Response<Bytes>) {
        for line in answer.headers().get_all(header::SET_COOKIE) {
            let Some(pair) = line.to_str().ok().and_then(|line| line.split(';').next()) else {
                continue;
            };
            let name = pair.split('=').next().unwrap_or_default();
            let mut kept: Vec<&str> = self
                .cookie
                .split("; ")
                .filter(|old| !old.is_empty() && old.split('=').next() != Some(name))
                .collect();
            kept.push(pair);
            self.cookie = kept.join("; ");
        }
    }
}

/// Where the page behind a consent sends the browser.
///
/// # Errors
/// When it is another page.
pub fn returns_to(answer: &Response<Bytes>) -> anyhow::Result<Url> {
    let body = text(answer);
    let start = body
        .find("url=")
        .with_context(|| format!("consent answered {}: {body}", answer.status()))?
        + 4;
    let target =
        unescape(&body[start..start + body[start..].find('"').context("the end of the address")?]);
    Ok(Url::parse(target.trim_matches('\''))?)
}

/// Registers a public client (RFC 7591).
pub async fn register(
    connection: &mut Connection,
    issuer_path: &str,
    name: &str,
) -> anyhow::Result<Value> {
    let body = registration_body(name);
    let request = Request::post(format!("{issuer_path}/register"))
        .header(header::CONTENT_TYPE, "application/json");
    let answer = connection.send(request, body).await?;
    if answer.status() != http::StatusCode::CREATED {
        bail!(
            "registration answered {}: {}",
            answer.status(),
            text(&answer)
        );
    }
    Ok(serde_json::from_slice(answer.body())?)
}

/// What a client of the TypeScript SDK sends.
pub fn registration_body(name: &str) -> String {
    serde_json::json!({
        "client_name": name,
        "redirect_uris": [REDIRECT_URI],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    })
    .to_string()
}

/// The answer's body as text.
pub fn text(answer: &Response<Bytes>) -> String {
    String::from_utf8_lossy(answer.body()).into_owned()
}

fn path_of(location: &str) -> String {
    match Url::parse(location) {
        Ok(url) => url[url::Position::BeforePath..].to_owned(),
        Err(_) => location.to_owned(),
    }
}

/// The form of a page, as a browser would submit it.
pub struct Form {
    action: String,
    fields: Vec<(String, String)>,
}

impl Form {
    /// The form in which a person signs in or decides.
    fn read(page: &Response<Bytes>) -> anyhow::Result<Self> {
        Self::find(page, &["name=\"password\"", "name=\"decision\""])
    }

    /// The first form of the page that has one of these texts in it.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(page: &Response<Bytes>, texts: &[&str]) -> anyhow::Result<Self> {
        let html = text(page);
        let form = html
            .split("<form")
            .skip(1)
            .map(|form| form.split("</form").next().unwrap_or(form))
            .find(|form| texts.iter().any(|text| form.contains(text)))
            .with_context(|| format!("no form in the answer {}: {html}", page.status()))?;
        let action =
            attribute(form.split('>').next().unwrap_or_default(), "action").context("action")?;
        let fields = form
            .split("<input")
            .skip(1)
            .map(|input| input.split('>').next().unwrap_or(input))
            .filter(|input| {
                attribute(input, "type").as_deref() != Some("checkbox") || input.contains("checked")
            })
            .filter_map(|input| {
                Some((
                    attribute(input, "name")?,
                    attribute(input, "value").unwrap_or_default(),
                ))
            })
            .collect();
        Ok(Self {
            action: path_of(&action),
            fields,
        })
    }

    /// Fills in a field.
    pub fn set(&mut self, name: &str, value: &str) {
        self.fields.retain(|(field, _)| field != name);
        self.fields.push((name.to_owned(), value.to_owned()));
    }

    /// Submits it.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn submit(
        &self,
        connection: &mut Connection,
        cookie: &str,
    ) -> anyhow::Result<Response<Bytes>> {
        connection
            .post_form(&self.action, &self.pairs(), cookie)
            .await
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag
        .find(&format!(" {name}=\""))
        .or_else(|| tag.find(&format!("\n{name}=\"")))?
        + name.len()
        + 3;
    Some(unescape(&tag[start..start + tag[start..].find('"')?]))
}

fn unescape(text: &str) -> String {
    text.replace("&#38;", "&")
        .replace("&#x26;", "&")
        .replace("&amp;", "&")
        .replace("&#34;", "\"")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
}
