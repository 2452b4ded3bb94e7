use base::{Digest, Timestamp};
use domain::{
    AuditEvent, AuthorizationCode, ClientAuthentication, ClientId, Consent, GrantId, RefreshToken,
    ServerSlug, SessionId, UserId,
};
use wire::oauth::{CodeChallenge, ScopeSet};

use crate::bulk::BulkStatement;
use crate::job::Gated;
use crate::lookup::Lookup;
use crate::values::{Args, RowReader, refuse_nul};
use crate::{Store, StoreError, clients, tokens, withheld};

/// What came of handing out a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertCode {
    /// It is new, and the consent is remembered.
    Inserted,
    /// The same form was sent before and its code still waits, or its person is refused by now: look for the code.
    /// Nothing changed.
    AlreadyThere,
    /// The same form was sent before and its code was redeemed; nothing changed.
    AlreadyRedeemed,
}

/// A code with what the token endpoint must know besides.
#[derive(Debug, Clone)]
pub struct FoundCode {
    /// The code; `redeemed_at` says when it was spent.
    pub code: AuthorizationCode,
    /// Whether the person was disabled or is gone.
    pub user_disabled: bool,
    /// Whether the client was disabled or is gone; never said of one with a metadata document, which is kept
    /// elsewhere.
    pub client_disabled: bool,
    /// How the client proves itself, as far as this table knows it.
    pub client_authentication: Option<ClientAuthentication>,
}

/// What [`Store::redeem_code`] writes.
#[derive(Debug, Clone)]
pub struct RedeemCode {
    /// The code.
    pub digest: Digest,
    /// When the token family that begins here ends however much it is used.
    pub family_expires_at: Timestamp,
    /// The first refresh token, unless the client takes none. Its family must be the code's grant.
    pub refresh: Option<RefreshToken>,
    /// The present moment; an expired code is unknown.
    pub now: Timestamp,
    /// Written only when the code was fresh.
    pub event: AuditEvent,
}

/// What came of redeeming a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redeemed {
    /// It is spent now, and its token family begins.
    Fresh,
    /// It was spent before and began this grant. Nothing changed.
    Repeated {
        /// The grant that the first redemption began.
        grant: GrantId,
    },
    /// No such code, its time is over, or its person or client is refused by now. Nothing changed.
    Unknown,
}

/// What [`Store::insert_code`] writes.
struct Issue {
    key: String,
    withheld: Option<String>,
    code: AuthorizationCode,
    consent: Consent,
    event: AuditEvent,
}

impl Store {
    /// Keeps a code that is handed to a client, and remembers the consent behind it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn insert_code(
        &self,
        code: AuthorizationCode,
        consent: Consent,
        event: AuditEvent,
    ) -> Result<InsertCode, StoreError> {
        refuse_nul(&[
            ("redirect_uri", &code.redirect_uri),
            ("detail", &event.detail),
        ])?;
        let issue = Issue {
            key: code.digest.to_text(),
            withheld: withheld::to_column(&code.withheld)?,
            code,
            consent,
            event,
        };
        let work = Gated {
            gate: &INSERT,
            key: |issue: &Issue| Some(&issue.key),
            row: issue_row,
            then: |conn, issue, passed| {
                Box::pin(async move {
                    if passed {
                        conn.upsert_consent(&issue.consent);
                        conn.record(&issue.event);
                        return Ok(InsertCode::Inserted);
                    }
                    let args = Args::with_capacity(1).text(&issue.key);
                    Ok(match conn.fetch_optional(FIND_BEGUN_FAMILY, args).await? {
                        Some(_) => InsertCode::AlreadyRedeemed,
                        None => InsertCode::AlreadyThere,
                    })
                })
            },
        };
        self.write_gated(issue, work).await
    }

    /// The code of this digest.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find_code(&self, digest: Digest) -> Result<Option<FoundCode>, StoreError> {
        let row = self.find(&FIND, &digest.to_text()).await?;
        row.map(|row| read(&RowReader::new(&row, "authorization_code")))
            .transpose()
    }

    /// Spends a code and begins its token family, with the first refresh token when there is one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn redeem_code(&self, redeem: RedeemCode) -> Result<Redeemed, StoreError> {
        refuse_nul(&[("detail", &redeem.event.detail)])?;
        let work = Gated {
            gate: &REDEEM,
            key: |redeem: &RedeemCode| Some(redeem.refresh.as_ref()?.family.as_str()),
            row: |redeem| {
                Args::with_capacity(3)
                    .digest(&redeem.digest)
                    .time(redeem.now)
                    .time(redeem.family_expires_at)
            },
            then: |conn, redeem, passed| {
                Box::pin(async move {
                    if passed {
                        if let Some(refresh) = &redeem.refresh {
                            tokens::insert_later(conn, refresh);
                        }
                        conn.record(&redeem.event);
                        return Ok(Redeemed::Fresh);
                    }
                    let args = Args::with_capacity(1).digest(&redeem.digest);
                    let begun = conn.fetch_optional(FIND_BEGUN_FAMILY, args).await?;
                    Ok(match begun {
                        Some(row) => Redeemed::Repeated {
                            grant: GrantId::from_text(
                                RowReader::new(&row, "token_family").text(0)?,
                            ),
                        },
                        None => Redeemed::Unknown,
                    })
                })
            },
        };
        self.write_gated(redeem, work).await
    }
}

/// The person is asked about again, since they may have been disabled or deleted after they were read.
static INSERT: BulkStatement = BulkStatement::new(
    "INSERT INTO authorization_code \
     (digest, server, client_id, user_id, session_id, redirect_uri, code_challenge, scopes, authenticated_at, \
      grant_id, issued_at, expires_at, withheld) SELECT v.* FROM (VALUES",
    13,
    ") AS v WHERE EXISTS (SELECT 1 FROM app_user u WHERE u.id = v.column4 AND u.disabled_at IS NULL) \
     ON CONFLICT (digest) DO NOTHING RETURNING digest",
);

/// The family's id is fixed by the code, so only one redemption can insert it: that is the spending. Person and client
/// are asked about again, since they may have been refused after they were read, and nothing would end the family then.
static REDEEM: BulkStatement = BulkStatement::new(
    "INSERT INTO token_family \
     (id, server, client_id, user_id, scopes, withheld, redirect_uri, authenticated_at, created_at, expires_at) \
     SELECT c.grant_id, c.server, c.client_id, c.user_id, c.scopes, c.withheld, c.redirect_uri, \
     c.authenticated_at, v.column2, v.column3 \
     FROM (VALUES",
    3,
    ") AS v JOIN authorization_code c ON c.digest = v.column1 \
     WHERE c.expires_at > v.column2 \
     AND EXISTS (SELECT 1 FROM app_user u WHERE u.id = c.user_id AND u.disabled_at IS NULL) \
     AND (EXISTS (SELECT 1 FROM client k WHERE k.id = c.client_id AND k.disabled_at IS NULL) \
          OR (c.client_id LIKE 'https://%' \
              AND NOT EXISTS (SELECT 1 FROM client_trust t WHERE t.server = c.server \
                              AND t.client_id = c.client_id AND t.decision = 'blocked'))) \
     ON CONFLICT (id) DO NOTHING RETURNING id",
);

static FIND: Lookup = Lookup::new(
    "SELECT c.digest, c.server, c.client_id, c.user_id, c.session_id, c.redirect_uri, c.code_challenge, c.scopes, \
     c.authenticated_at, c.grant_id, c.issued_at, c.expires_at, f.created_at, u.id, k.authentication, c.withheld \
     FROM authorization_code c \
     LEFT JOIN token_family f ON f.id = c.grant_id \
     LEFT JOIN app_user u ON u.id = c.user_id AND u.disabled_at IS NULL \
     LEFT JOIN client k ON k.id = c.client_id AND k.disabled_at IS NULL \
     WHERE c.digest IN",
);

const FIND_BEGUN_FAMILY: &str = "SELECT f.id FROM authorization_code c \
     JOIN token_family f ON f.id = c.grant_id WHERE c.digest = $1";

fn issue_row(issue: &Issue) -> Args {
    let code = &issue.code;
    Args::with_capacity(13)
        .text(&issue.key)
        .text(code.server.as_str())
        .text(code.client.as_str())
        .text(code.user.as_str())
        .text(code.session.as_str())
        .text(&code.redirect_uri)
        .text(&code.code_challenge.to_text())
        .text(&code.scopes.to_string())
        .time(code.authenticated_at)
        .text(code.grant.as_str())
        .time(code.issued_at)
        .time(code.expires_at)
        .optional_text(issue.withheld.as_deref())
}

fn read(row: &RowReader<'_>) -> Result<FoundCode, StoreError> {
    let client = ClientId::from_text(row.text(2)?);
    Ok(FoundCode {
        client_disabled: row.is_null(14)? && !client.is_metadata_document(),
        client_authentication: clients::authentication(row, 14)?,
        code: AuthorizationCode {
            digest: row.digest(0)?,
            server: row.parse(1, |text| ServerSlug::parse(text).ok())?,
            client,
            user: UserId::from_text(row.text(3)?),
            session: SessionId::from_text(row.text(4)?),
            redirect_uri: row.text(5)?.to_owned(),
            code_challenge: row.parse(6, |text| CodeChallenge::parse(text).ok())?,
            scopes: ScopeSet::parse_lenient(row.text(7)?),
            withheld: withheld::from_column(row, 15)?,
            authenticated_at: row.time(8)?,
            grant: GrantId::from_text(row.text(9)?),
            issued_at: row.time(10)?,
            expires_at: row.time(11)?,
            redeemed_at: row.optional_time(12)?,
        },
        user_disabled: row.is_null(13)?,
    })
}
