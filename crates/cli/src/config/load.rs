use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize as _;
use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::Config;
use super::environment::{self, Override, PREFIX};
use super::place::{Place, Places, Spans};
use super::schema::{self, Kind, Shape};
use crate::failure::usage;

const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// More at once help nobody.
const PROBLEMS_MAX: usize = 20;

/// A configuration, and where each part of it was said.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The file.
    pub file: PathBuf,
    /// What file and environment say together.
    pub config: Config,
    /// Where each value was said.
    pub places: Places,
}

/// Reads the file, and over it the variables that begin with `PORTCULLIS__`.
///
/// # Errors
/// Everything that is wrong in names and values, each with its line and column or its variable.
pub fn load(
    file: &Path,
    environment: impl Iterator<Item = (String, String)>,
) -> anyhow::Result<Loaded> {
    let text = read(file)?;
    read_text(&text, environment)
        .map(|(config, places)| Loaded {
            file: file.to_owned(),
            config,
            places,
        })
        .map_err(|problems| refusal(file, &problems))
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let opened = File::open(file).and_then(|opened| {
        opened
            .take(FILE_BYTES_MAX + 1)
            .read_to_string(&mut text)
            .map(|_| ())
    });
    opened.with_context(|| format!("--config: {} cannot be read", file.display()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(usage(format!(
            "--config: {} is larger than {FILE_BYTES_MAX} bytes",
            file.display()
        )));
    }
    Ok(text)
}

/// The variables of this process that are text; others are nobody's settings.
pub fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// What a person reads when a file cannot be used.
pub fn refusal(file: &Path, problems: &[String]) -> anyhow::Error {
    let mut text = format!("{} cannot be used", file.display());
    for problem in problems.iter().take(PROBLEMS_MAX) {
        text.push_str("\n  ");
        text.push_str(problem);
    }
    if problems.len() > PROBLEMS_MAX {
        text.push_str(&format!("\n  and {} more", problems.len() - PROBLEMS_MAX));
    }
    usage(text)
}

fn read_text(
    text: &str,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<(Config, Places), Vec<String>> {
    let document = schema::document();
    let root = Shape::root(&document);
    let syntax = |error: toml::de::Error| {
        let place = error.span().map(|span| Place::in_file(text, span.start));
        vec![located(place.as_ref(), None, error.message())]
    };

    let parsed = DeTable::parse(text).map_err(syntax)?;
    let mut walk = Walk {
        text,
        spans: Spans::default(),
        places: Places::default(),
        problems: Vec::new(),
    };
    walk.table(&root, "", parsed.get_ref());
    if walk.problems.is_empty()
        && let Err(error) = toml::from_str::<Config>(text)
    {
        let span = error.span();
        let place = span.as_ref().map(|span| Place::in_file(text, span.start));
        let path = span.as_ref().and_then(|span| walk.spans.around(span));
        let problem = located(place.as_ref(), path, error.message());
        walk.problems.push((0, problem));
    }
    let mut places = walk.places;
    walk.problems.sort();
    let mut problems: Vec<String> = walk.problems.into_iter().map(|(_, words)| words).collect();

    let mut table: Table = text.parse().map_err(syntax)?;
    for over in overrides(&root, environment, &mut problems) {
        places.note(over.path.join("."), Place::Environment(over.name.clone()));
        over.apply(&mut table);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let config = Config::deserialize(Value::Table(table))
        .map_err(|error| vec![error.message().to_owned()])?;
    let shown = serde_json::to_value(&config).unwrap_or_default();
    out_of_range(&root, "", &shown, &places, &mut problems);
    match problems.is_empty() {
        true => Ok((config, places)),
        false => Err(problems),
    }
}

fn overrides(
    root: &Shape<'_>,
    environment: impl Iterator<Item = (String, String)>,
    problems: &mut Vec<String>,
) -> Vec<Override> {
    let mut variables: Vec<(String, String)> = environment
        .filter(|(name, _)| name.starts_with("PORTCULLIS_"))
        .collect();
    variables.sort();
    for (name, _) in &variables {
        if let Some(meant) = environment::meant(root, name) {
            problems.push(format!("{name}: is no setting; did you mean {meant}?"));
        }
    }
    variables.retain(|(name, _)| name.starts_with(PREFIX));
    variables
        .into_iter()
        .filter_map(|(name, text)| {
            environment::read(root, &name, &text)
                .map_err(|problem| problems.push(format!("{name}: {problem}")))
                .ok()
        })
        .collect()
}

/// Looks at every key of the file.
struct Walk<'a> {
    text: &'a str,
    spans: Spans,
    places: Places,
    /// Each with its byte in the text.
    problems: Vec<(usize, String)>,
}

impl Walk<'_> {
    fn table(&mut self, shape: &Shape<'_>, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name: &str = key.get_ref();
            let path = match path {
                "" => name.to_owned(),
                outer => format!("{outer}.{name}"),
            };
            match shape.key(name) {
                Some(inner) => self.value(&inner, path, key.span(), value),
                None => self.unknown(shape, &path, name, &key.span()),
            }
        }
    }

    fn value(
        &mut self,
        shape: &Shape<'_>,
        path: String,
        key: Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let place = Place::in_file(self.text, key.start);
        self.spans.0.push((path.clone(), value.span()));
        match (shape.kind(), value.get_ref()) {
            (Kind::Table, DeValue::Table(table)) => self.table(shape, &path, table),
            (Kind::List, DeValue::Array(list)) => {
                let item = shape.item();
                for (index, entry) in list.iter().enumerate() {
                    if let (Kind::Table, DeValue::Table(table)) = (item.kind(), entry.get_ref()) {
                        self.table(&item, &format!("{path}[{index}]"), table);
                    }
                }
                self.places.note(path, place);
            }
            // Their words would repeat the value, and somebody may have put a secret where its section belongs.
            (Kind::Table, _) => {
                let words = located(Some(&place), Some(&path), "is a section, not a value");
                self.problems.push((key.start, words));
            }
            (_, value) if shape.is_secret() && value.as_str().is_none() => {
                let words = located(Some(&place), Some(&path), "must be text");
                self.problems.push((key.start, words));
            }
            // Whether it is of the right kind, the types say.
            _ => self.places.note(path, place),
        }
    }

    fn unknown(&mut self, shape: &Shape<'_>, path: &str, name: &str, span: &Range<usize>) {
        let known: Vec<&str> = shape.keys().into_iter().map(|(known, _)| known).collect();
        let hint = match environment::nearest(name, known.iter().copied()) {
            Some(near) => {
                let outer = path.strip_suffix(name).unwrap_or_default();
                format!("; did you mean {outer}{near}?")
            }
            None => format!("; there are: {}", known.join(", ")),
        };
        let place = Place::in_file(self.text, span.start);
        let words = located(Some(&place), None, &format!("unknown key {path}{hint}"));
        self.problems.push((span.start, words));
    }
}

fn located(place: Option<&Place>, path: Option<&str>, problem: &str) -> String {
    let mut text = String::new();
    if let Some(place) = place {
        text.push_str(&format!("{place}: "));
    }
    if let Some(path) = path {
        text.push_str(&format!("{path}: "));
    }
    // The parser's words may come in several lines.
    text.push_str(&problem.trim().replace('\n', "; "));
    text
}

/// Numbers outside of what the schema says.
fn out_of_range(
    shape: &Shape<'_>,
    path: &str,
    value: &Json,
    places: &Places,
    problems: &mut Vec<String>,
) {
    for (name, inner) in shape.keys() {
        let path = match path {
            "" => name.to_owned(),
            outer => format!("{outer}.{name}"),
        };
        let value = &value[name];
        match inner.kind() {
            Kind::Table => out_of_range(&inner, &path, value, places, problems),
            Kind::Integer => {
                let (least, most) = inner.range();
                let fits = value.as_i64().is_none_or(|number| {
                    least.is_none_or(|least| number >= least)
                        && most.is_none_or(|most| number <= most)
                });
                if !fits {
                    let bound = |bound: Option<i64>| bound.unwrap_or_default();
                    problems.push(format!(
                        "{}: {path}: {value} is not between {} and {}",
                        places.of(&path),
                        bound(least),
                        bound(most)
                    ));
                }
            }
            Kind::List | Kind::Text | Kind::Boolean => {}
        }
    }
}

#[cfg(test)]
mod tests;
