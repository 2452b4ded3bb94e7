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
    /// Of a lower `standing` than this.
    pub standing: i64,
}

/// Adds cut-offs. What a token says was read before or after the commit that they are written with, whatever its clock
/// says and however long that commit took; so it carries the number that was read with the rest.
macro_rules! cut_off {
    ($rows:literal) => {
        concat!(
            "INSERT INTO subject_cut_off (server, user_id, standing, remembered_until) ",
            $rows,
            " ON CONFLICT (server, user_id) DO UPDATE SET standing = excluded.standing, \
             remembered_until = CASE WHEN excluded.remembered_until > subject_cut_off.remembered_until \
             THEN excluded.remembered_until ELSE subject_cut_off.remembered_until END"
        )
    };
}

impl Conn {
    /// Counts a change first, so that each standing is above all that were given out before.
    async fn cut_off(
        &mut self,
        sql: &'static str,
        of: [&str; 2],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.count_change().await?;
        let args = Args::with_capacity(3)
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
            RoleHolder::Person(_) => {
                cut_off!("VALUES ($2, $3, (SELECT counter FROM change WHERE id = 1), $1)")
            }
            RoleHolder::Group(_) => cut_off!(
                "SELECT s.slug, m.user_id, c.counter, $1 FROM mcp_server s, group_member m, change c \
                 WHERE s.slug = $2 AND m.group_id = $3 AND c.id = 1"
            ),
        };
        self.cut_off(sql, [server.as_str(), holder.as_str()], now)
            .await
    }

    /// Everybody who has a role at a server, directly or through a group.
    pub(crate) async fn cut_off_holders_of(
        &mut self,
        server: &ServerSlug,
        role: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = cut_off!(
            "SELECT g.server, u.id, c.counter, $1 FROM given_role g, app_user u, change c \
             WHERE g.server = $2 AND g.role = $3 AND c.id = 1 AND (u.id = g.holder OR EXISTS \
             (SELECT 1 FROM group_member m WHERE m.group_id = g.holder AND m.user_id = u.id)) \
             GROUP BY g.server, u.id, c.counter"
        );
        self.cut_off(sql, [server.as_str(), role], now).await
    }

    /// One member of a group, or all of them, at every server that gave it a role or names it in its policy.
    pub(crate) async fn cut_off_members(
        &mut self,
        group: &GroupId,
        only: Option<&UserId>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = cut_off!(
            "SELECT s.slug, m.user_id, c.counter, $1 FROM mcp_server s, group_member m, change c \
             WHERE s.removed_at IS NULL AND c.id = 1 AND m.group_id = $2 AND ($3 = '' OR m.user_id = $3) \
             AND (s.policy || COALESCE(s.policy_rest, '') LIKE '%' || $2 || '%' \
             OR EXISTS (SELECT 1 FROM given_role g WHERE g.server = s.slug AND g.holder = $2))"
        );
        let only = only.map_or("", UserId::as_str);
        self.cut_off(sql, [group.as_str(), only], now).await
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
        let sql =
            "SELECT server, user_id, standing FROM subject_cut_off WHERE remembered_until > $1";
        let rows = self
            .fetch_all(sql, Args::with_capacity(1).time(now))
            .await?;
        rows.iter()
            .map(|row| {
                let row = RowReader::new(row, "subject_cut_off");
                Ok(SubjectCutOff {
                    server: row.parse(0, |text| ServerSlug::parse(text).ok())?,
                    user: UserId::from_text(row.text(1)?),
                    standing: row.int(2)?,
                })
            })
            .collect()
    }
}
