//! Lists whose first column is an id that people copy.

use crate::maintenance::table;
use crate::terminal::Terminal;

/// Rows that begin with an id and a word or two about it.
pub(crate) struct IdList<'t, const N: usize> {
    out: &'t Terminal,
    heads: &'t [&'t str; N],
    rows: Vec<[String; N]>,
}

impl<'t, const N: usize> IdList<'t, N> {
    pub fn new(out: &'t Terminal, heads: &'t [&'t str; N]) -> Self {
        let rows = Vec::new();
        Self { out, heads, rows }
    }

    pub fn add(&mut self, row: [String; N]) {
        self.rows.push(row);
    }

    /// In columns; where they do not fit beside each other, one below the other: a broken id cannot be copied.
    pub fn show(&self) {
        if self.out.interactive && self.width() > self.out.width {
            self.one_below_the_other();
        } else {
            let mut table = table(self.out, self.heads);
            for row in &self.rows {
                table.add_row(row.iter());
            }
            self.out.line(table.trim_fmt());
        }
    }

    /// What the columns take, with a blank at either side of each.
    fn width(&self) -> usize {
        (0..N)
            .map(|column| {
                let cells = self.rows.iter().map(|row| row[column].as_str());
                let cells = cells.chain([self.heads[column]]);
                cells.map(console::measure_text_width).max().unwrap_or(0) + 2
            })
            .sum()
    }

    fn one_below_the_other(&self) {
        for row in &self.rows {
            let [id, about @ ..] = row.as_slice() else {
                continue;
            };
            self.out.line(self.out.paint.bold(id));
            let about: Vec<&str> = about.iter().map(String::as_str).collect();
            let about = about.join(", ");
            for line in crate::terminal::wrap(&about, self.out.width.saturating_sub(4)) {
                self.out.line(self.out.paint.dim(format!("    {line}")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_never_broken_however_narrow_the_terminal_is() {
        let shown = |width, interactive| {
            let mut out = Terminal::memory();
            (out.width, out.interactive) = (width, interactive);
            let mut list = IdList::new(&out, &["ID", "FOR", "STATE"]);
            let id = "key_pIESeIzBxk4mhEEl2QOjy0_ubToFz0aet7J8skFrqks";
            list.add([id, "access-token", "verifies until tomorrow"].map(str::to_owned));
            list.show();
            let text = out.kept();
            assert!(text.contains(id), "{text}");
            text
        };
        let narrow = shown(60, true);
        assert!(narrow.lines().all(|line| line.len() <= 60), "{narrow}");
        assert!(!narrow.contains("STATE"));
        for in_columns in [shown(100, true), shown(60, false)] {
            assert_eq!(in_columns.lines().count(), 2, "{in_columns}");
            assert!(in_columns.contains("STATE"));
        }
    }
}
