use std::collections::HashMap;

use domain::{DefinitionState, ServerSlug};

use crate::StoreError;
use crate::conn::Conn;
use crate::values::{Args, RowReader};

/// How much is kept of the definitions of one server, in characters: how many there are, and how long, it chooses itself.
const KEPT_CHARS_MAX: i64 = 32 * 1024 * 1024;
/// How many definitions one write forgets; the next one goes on.
const FORGOTTEN_MAX: usize = 2000;

/// One of them, as far as its place matters.
struct Kept {
    kind: String,
    identity: String,
    fingerprint: String,
    chars: i64,
    text_chars: i64,
    /// It waits, or nothing that was accepted of its element is newer.
    is_present: bool,
}

impl Conn {
    /// Makes room, when too much is kept of a server: what was decided goes first, the oldest before the others. Of what waits
    /// or is accepted now, only the text goes, and as late as possible; what becomes of it is grave then.
    pub(crate) async fn make_room_for_definitions(
        &mut self,
        server: &ServerSlug,
    ) -> Result<(), StoreError> {
        let sql = "SELECT COALESCE(SUM(LENGTH(identity) + COALESCE(LENGTH(definition), 0)), 0) \
                   FROM definition WHERE server = $1";
        let args = Args::with_capacity(1).text(server.as_str());
        let row = self.fetch_optional(sql, args).await?;
        let all = row.map(|row| RowReader::new(&row, "definition").int(0));
        let mut over = all.transpose()?.unwrap_or(0) - KEPT_CHARS_MAX;
        if over <= 0 {
            return Ok(());
        }
        let kept = self.kept_definitions(server).await?;
        let (present, past): (Vec<Kept>, Vec<Kept>) =
            kept.into_iter().partition(|one| one.is_present);
        let mut forgotten = 0;
        for one in past.iter().take(FORGOTTEN_MAX) {
            if over <= 0 {
                break;
            }
            let sql = "DELETE FROM definition \
                       WHERE server = $1 AND kind = $2 AND identity = $3 AND fingerprint = $4";
            self.execute(sql, one.key(server)).await?;
            over -= one.chars;
            forgotten += 1;
        }
        let with_text = present.iter().filter(|one| one.text_chars > 0);
        for one in with_text.take(FORGOTTEN_MAX - forgotten) {
            if over <= 0 {
                break;
            }
            let sql = "UPDATE definition SET definition = NULL \
                       WHERE server = $1 AND kind = $2 AND identity = $3 AND fingerprint = $4";
            self.execute(sql, one.key(server)).await?;
            over -= one.text_chars;
        }
        Ok(())
    }

    /// The oldest first.
    async fn kept_definitions(&mut self, server: &ServerSlug) -> Result<Vec<Kept>, StoreError> {
        let sql = "SELECT kind, identity, fingerprint, state, LENGTH(identity), COALESCE(LENGTH(definition), 0) \
                   FROM definition WHERE server = $1 \
                   ORDER BY COALESCE(decided_at, seen_at), seen_at, kind, identity, fingerprint";
        let args = Args::with_capacity(1).text(server.as_str());
        let rows = self.fetch_all(sql, args).await?;
        let mut all: Vec<Kept> = Vec::with_capacity(rows.len());
        let mut newest: HashMap<(String, String), usize> = HashMap::new();
        for row in &rows {
            let row = RowReader::new(row, "definition");
            let (kind, identity) = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
            let state = row.parse(3, DefinitionState::parse)?;
            let text_chars = row.int(5)?;
            if state == DefinitionState::Accepted {
                let before = newest.insert((kind.clone(), identity.clone()), all.len());
                if let Some(before) = before {
                    all[before].is_present = false;
                }
            }
            all.push(Kept {
                kind,
                identity,
                fingerprint: row.text(2)?.to_owned(),
                chars: row.int(4)? + text_chars,
                text_chars,
                is_present: state != DefinitionState::Rejected,
            });
        }
        Ok(all)
    }
}

impl Kept {
    fn key(&self, server: &ServerSlug) -> Args {
        Args::with_capacity(4)
            .text(server.as_str())
            .text(&self.kind)
            .text(&self.identity)
            .text(&self.fingerprint)
    }
}
