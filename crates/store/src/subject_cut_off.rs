use std::time::Duration;

use base::Timestamp;
use domain::{GroupId, RoleHolder, ServerSlug, UserId};

use crate::conn::Conn;
use crate::values::{Args, RowReader};
use crate::{Store, StoreError};

/// How long a cut-off is remembered: longer than any access token lives, and a day for clocks that were ahead.
const REMEMBERED: Duration = Duration::from_secs(2 * 24 * 3600 + 120);

/// The access tokens on behalf of a person that are refused everywhere, for they say something of roles and groups that
/// is not so any more. The client fetches another by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectCutOff {
    /// At this server.
    pub server: ServerSlug,
    /// On behalf of this person.
    pub user: UserId,
    /// Issued before this moment, a whole second: a token is dated to the second.
    pub issued_before: Timestamp,
}

/// From which moment tokens are good again. A write may wait three seconds for its turn, and a token that is minted
/// meanwhile does not know of it. It is less than what verifiers allow for clocks.
fn issued_before(now: Timestamp) -> Timestamp {
    Timestamp::from_unix_seconds(now.unix_seconds() + 3)
}

/// Adds cut-offs. One that is there never moves back: of two changes the earlier may be written last.
macro_rules! cut_off {
    ($rows:literal) => {
        concat!(
            "INSERT INTO subject_cut_off (server, user_id, issued_before, remembered_until) ",
            $rows,
            " ON CONFLICT (server, user_id) DO UPDATE SET \
             issued_before = CASE WHEN excluded.issued_before > subject_cut_off.issued_before \
             THEN excluded.issued_before ELSE subject_cut_off.issued_before END, \
             remembered_until = CASE WHEN excluded.remembered_until > subject_cut_off.remembered_until \
             THEN excluded.remembered_until ELSE subject_cut_off.remembered_until END"
        )
    };
}

impl Conn {
    async fn cut_off(
        &mut self,
        sql: &'static str,
        of: [&str; 2],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let args = Args::with_capacity(4)
            .time(issued_before(now))
            .time(now.after(REMEMBERED))
            .text(of[0])
            .text(of[1]);
        self.execute(sql, args).await.map(|_| ())
    }

    /// Whoever holds a role at a server directly, or everybody in the group that does.
    pub(crate) async fn cut_off_holder(
        &mut self,
        server: &ServerSlug,
        holder: &RoleHolder,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = match holder {
            RoleHolder::Person(_) => cut_off!("VALUES ($3, $4, $1, $2)"),
            RoleHolder::Group(_) => cut_off!(
                "SELECT s.slug, m.user_id, $1, $2 FROM mcp_server s, group_member m \
                 WHERE s.slug = $3 AND m.group_id = $4"
            ),
        };
        self.cut_off(sql, [server.as_str(), holder.as_str()], now)
            .await
    }

    /// One member of a group, at every server that gave it a role or names it in its policy.
    pub(crate) async fn cut_off_member(
        &mut self,
        group: &GroupId,
        user: &UserId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = cut_off!(
            "SELECT s.slug, m.user_id, $1, $2 FROM mcp_server s, group_member m \
             WHERE s.removed_at IS NULL AND m.group_id = $3 AND m.user_id = $4 AND (s.policy LIKE '%' || $3 || '%' \
             OR EXISTS (SELECT 1 FROM given_role g WHERE g.server = s.slug AND g.holder = $3))"
        );
        self.cut_off(sql, [group.as_str(), user.as_str()], now)
            .await
    }
}

impl Store {
    /// The people whose older access tokens are refused, while such a token may still live.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list_subject_cut_offs(
        &self,
        now: Timestamp,
    ) -> Result<Vec<SubjectCutOff>, StoreError> {
        let sql = "SELECT server, user_id, issued_before FROM subject_cut_off WHERE remembered_until > $1";
        let rows = self
            .fetch_all(sql, Args::with_capacity(1).time(now))
            .await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "subject_cut_off");
                Ok(SubjectCutOff {
                    server: row.parse(0, |text| ServerSlug::parse(text).ok())?,
                    user: UserId::from_text(row.text(1)?),
                    issued_before: row.time(2)?,
                })
            })
            .collect()
    }
}
