use std::path::{Path, PathBuf};

/// The most files of code that are read.
const FILES_MAX: usize = 2_000;
/// The most entries of folders that are looked at.
const ENTRIES_MAX: usize = 50_000;
/// How deep folders lie at most.
const DEPTH_MAX: usize = 16;
/// What is code.
const CODE: [&str; 19] = [
    "ts", "tsx", "mts", "cts", "js", "jsx", "mjs", "cjs", "py", "rs", "go", "java", "kt", "cs",
    "rb", "php", "toml", "yaml", "yml",
];
/// What somebody else wrote, what was made from other files, and what only tries things out.
const SKIPPED: [&str; 18] = [
    "node_modules",
    "target",
    "dist",
    "build",
    "out",
    "venv",
    "vendor",
    "__pycache__",
    "site-packages",
    "test",
    "tests",
    "spec",
    "__tests__",
    "fixtures",
    "testdata",
    "examples",
    "docs",
    "coverage",
];

/// Reads the code below `folder`, in the order of names. Says why it stopped when it did before the end.
pub fn each(folder: &Path, mut read: impl FnMut(&str, &str)) -> Option<&'static str> {
    let mut waiting: Vec<(PathBuf, usize)> = vec![(folder.to_owned(), 0)];
    let (mut files, mut entries) = (0, 0);
    while let Some((path, depth)) = waiting.pop() {
        let mut inside: Vec<PathBuf> = std::fs::read_dir(&path)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .take(ENTRIES_MAX + 1)
            .collect();
        entries += inside.len();
        if entries > ENTRIES_MAX {
            return Some("the folder has more than 50,000 entries");
        }
        inside.sort();
        let mut folders = Vec::new();
        for path in inside {
            // A link is not followed: it may lead out of the folder, or in a circle.
            let Ok(about) = std::fs::symlink_metadata(&path) else {
                continue;
            };
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if about.is_dir() {
                let is_skipped = name.starts_with('.') || SKIPPED.contains(&name.as_ref());
                if !is_skipped && depth < DEPTH_MAX {
                    folders.push((path.clone(), depth + 1));
                }
                continue;
            }
            let is_code = path
                .extension()
                .is_some_and(|end| CODE.iter().any(|known| end == *known));
            if !is_code {
                continue;
            }
            if files == FILES_MAX {
                return Some("the folder has more than 2,000 files of code");
            }
            files += 1;
            if let Some(text) = super::text(&path) {
                let shown = path.strip_prefix(folder).unwrap_or(&path);
                read(&shown.to_string_lossy(), &text);
            }
        }
        // The last one pushed is looked at first.
        waiting.extend(folders.into_iter().rev());
    }
    None
}
