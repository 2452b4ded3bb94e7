use authz::Inventory;
use wire::mcp::Object;
use wire::mcp::definition::{Definition, INSTRUCTIONS, ListKind};

/// How much one server may list in all, as JSON: what is found is held in memory whole.
const LISTED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// An inventory while it is read, page by page.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    inventory: Inventory,
    bytes: usize,
    unread: Vec<Unread>,
}

/// A list that could not be read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Which.
    pub kind: ListKind,
    /// Why not, in words.
    pub reason: String,
}

impl Reading {
    /// Adds one page of a list.
    ///
    /// # Errors
    /// In words, when the server lists more than is read.
    pub(crate) fn add_page(&mut self, kind: ListKind, page: &Object) -> Result<(), String> {
        let listed = page.get(kind.member());
        self.bytes += listed.map_or(0, |listed| listed.to_text().len());
        if self.bytes > LISTED_BYTES_MAX {
            return Err(format!(
                "the server lists more than {} MiB in all, the last of it in answer to {}; what nobody calls should not be \
                 listed, and long texts belong into resources",
                LISTED_BYTES_MAX / 1024 / 1024,
                kind.method()
            ));
        }
        let added = self.inventory.add_page(kind, page);
        added.map_err(|too_large| too_large.to_string())
    }

    /// Takes the instructions out of what a server opens with.
    pub(crate) fn open(&mut self, opening: &Object) {
        let said = Definition::of_instructions(opening.str(INSTRUCTIONS));
        self.bytes += said.json().to_text().len();
        self.inventory.instructions = vec![said];
    }

    /// Goes on without the rest of a list: a server must not keep its tools from being looked at by too many resources.
    pub(crate) fn leave_out(&mut self, kind: ListKind, reason: String) {
        self.inventory.unread.insert(kind);
        self.unread.push(Unread { kind, reason });
    }

    /// All that was read, and what was not.
    pub(crate) fn finish(self) -> (Inventory, Vec<Unread>) {
        (self.inventory, self.unread)
    }
}

#[cfg(test)]
mod tests {
    use wire::mcp::Json;

    use super::*;

    fn page(name: &str, bytes: usize) -> Object {
        let tool = Json::object([
            ("name", Json::from(name)),
            ("_meta", Json::from("x".repeat(bytes))),
        ]);
        let bytes_around = Json::from(vec![tool.clone()]).to_text().len() - bytes;
        let tool = Json::object([
            ("name", Json::from(name)),
            ("_meta", Json::from("x".repeat(bytes - bytes_around))),
        ]);
        [("tools", Json::from(vec![tool]))].into_iter().collect()
    }

    #[test]
    fn a_server_may_list_64_mib_in_all_and_not_a_byte_more() {
        let mut reading = Reading::default();
        let quarter = LISTED_BYTES_MAX / 4;
        for name in ["a", "b", "c"] {
            assert_eq!(
                reading.add_page(ListKind::Tools, &page(name, quarter)),
                Ok(())
            );
        }
        let mut other = Reading {
            inventory: reading.inventory.clone(),
            bytes: reading.bytes,
            unread: Vec::new(),
        };
        let refused = other.add_page(ListKind::Tools, &page("d", quarter + 1));
        assert!(refused.is_err_and(|words| words.contains("64 MiB")));
        assert_eq!(
            reading.add_page(ListKind::Tools, &page("d", quarter)),
            Ok(())
        );
        // What nobody judges counts, and is not kept.
        let (inventory, _) = reading.finish();
        assert_eq!(inventory.tools.len(), 4);
        assert!(
            inventory
                .tools
                .iter()
                .all(|tool| tool.json().get("_meta").is_none())
        );
    }
}
