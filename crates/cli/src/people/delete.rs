use anyhow::{Context as _, bail};
use base::{Clock as _, SystemClock};
use store::UserDeleted;

use super::Named;
use crate::confirm::agreed;
use crate::failure::usage;
use crate::maintenance::Maintenance;
use crate::terminal::Terminal;

impl Maintenance {
    /// Runs `portcullis people delete`.
    pub(super) async fn delete_person(
        &self,
        person: &Named,
        is_agreed: bool,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let found = self.find_person(person).await?;
        let id = match (&found, person) {
            (Some(user), _) => user.id.clone(),
            // Whether they were there before is known by the id.
            (None, Named::Id(id)) => id.clone(),
            (None, Named::Email(email)) => {
                return Err(usage(format!(
                    "{email}: there is no such person; whoever was deleted is known by the usr_… id alone"
                )));
            }
        };
        if let Some(user) = &found
            && !is_agreed
        {
            out.line(format!(
                "{} ({id}) is signed out everywhere, every token on their behalf ends, and what is kept about them is \
                 deleted. It cannot be taken back. `portcullis people export {id}` writes it down first.",
                user.email
            ));
            agreed(&format!("Delete {}?", user.email))?;
        }
        let deleted = oauth::users::delete(self.store(), SystemClock.now(), &id).await;
        match deleted.context("people delete")? {
            UserDeleted::Deleted => out.line(format!(
                "{id} is deleted\nBackups of before still have them. After one is restored on another machine, run \
                 `portcullis people delete {id}` again"
            )),
            UserDeleted::DeletedBefore => out.line(format!("{id} was deleted before")),
            UserDeleted::Unknown => {
                return Err(usage(format!("{id}: there is no such person")));
            }
            UserDeleted::OnlyOwner => bail!(
                "people delete: no other owner than {person} can sign in; add one first, with \
                 `portcullis people add --owner`"
            ),
        }
        Ok(())
    }
}
