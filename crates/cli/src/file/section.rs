use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error, StrDeserializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::problems::{Problems, join};
use crate::config::nearest;

/// One table of the file. Whatever is asked for is known; the rest is refused at the end.
pub(super) struct Section<'d, 't> {
    pub(super) path: String,
    table: &'d DeTable<'t>,
    asked: Vec<&'static str>,
}

impl<'d, 't> Section<'d, 't> {
    pub(super) fn root(table: &'d DeTable<'t>) -> Self {
        Self::new(String::new(), table)
    }

    fn new(path: String, table: &'d DeTable<'t>) -> Self {
        Self {
            path,
            table,
            asked: Vec::new(),
        }
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// What is under `key`, which is known from now on.
    fn value(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
    ) -> Option<&'d Spanned<DeValue<'t>>> {
        self.asked.push(key);
        let (name, value) = self.table.get_key_value(key)?;
        problems.note(&self.path_of(key), name.span().start);
        Some(value)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn text(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
    ) -> Option<String> {
        let value = self.value(key, problems)?.get_ref();
        let text = value.as_str().map(str::to_owned);
        if text.is_none() {
            problems.say(&self.path_of(key), "must be text");
        }
        text
    }

    pub(super) fn needed_text(&mut self, key: &'static str, problems: &mut Problems<'_>) -> String {
        if !self.has(key) {
            problems.say(&self.path_of(key), "is missing");
        }
        self.text(key, problems).unwrap_or_default()
    }

    pub(super) fn number(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<u32> {
        let value = self.value(key, problems)?.get_ref();
        let number = value
            .as_integer()
            .and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok());
        if number.is_none() {
            problems.say(&self.path_of(key), "must be a whole number");
        }
        number
    }

    /// False when it is not said.
    pub(super) fn flag(&mut self, key: &'static str, problems: &mut Problems<'_>) -> bool {
        let Some(value) = self.value(key, problems) else {
            return false;
        };
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            problems.say(&self.path_of(key), "must be true or false");
        }
        flag.unwrap_or_default()
    }

    pub(super) fn texts(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
    ) -> Option<Vec<String>> {
        let value = self.value(key, problems)?.get_ref();
        let texts = texts(value);
        if texts.is_none() {
            problems.say(&self.path_of(key), "must be a list of texts");
        }
        texts
    }

    /// One of the words of `T`.
    pub(super) fn word<'w, T: Deserialize<'w>>(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
    ) -> Option<T>
    where
        'd: 'w,
    {
        let value = self.value(key, problems)?.get_ref();
        let Some(text) = value.as_str() else {
            problems.say(&self.path_of(key), "must be text");
            return None;
        };
        word(text)
            .map_err(|error| problems.say(&self.path_of(key), error))
            .ok()
    }

    /// A list of things whose shape is that of the policy as it is stored.
    pub(super) fn stored<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
    ) -> Vec<T> {
        let mut all = Vec::new();
        for (path, one) in self.each_of(key, problems) {
            match T::deserialize(ValueDeserializer::from(one.clone())) {
                Ok(read) => all.push(read),
                Err(error) => problems.say(&path, error.message()),
            }
        }
        all
    }

    pub(super) fn table(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Option<Self> {
        let value = self.value(key, problems)?;
        let path = self.path_of(key);
        inner(path, value, problems)
    }

    /// The tables in the table `key`, each with its name.
    pub(super) fn tables(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
    ) -> Vec<(String, Self)> {
        let Some(outer) = self.table(key, problems) else {
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (name, value) in outer.table {
            let path = outer.path_of(name.get_ref());
            problems.note(&path, name.span().start);
            if let Some(table) = inner(path, value, problems) {
                tables.push((name.get_ref().to_string(), table));
            }
        }
        tables
    }

    /// The texts in the table `key`, each with its name.
    pub(super) fn words(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
    ) -> Vec<(String, String)> {
        let Some(outer) = self.table(key, problems) else {
            return Vec::new();
        };
        let mut words = Vec::new();
        for (name, value) in outer.table {
            let path = outer.path_of(name.get_ref());
            problems.note(&path, name.span().start);
            match value.get_ref().as_str() {
                Some(text) => words.push((name.get_ref().to_string(), text.to_owned())),
                None => problems.say(&path, "must be text"),
            }
        }
        words
    }

    /// The lists of texts in the table `key`, each with its name.
    pub(super) fn lists(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
    ) -> Vec<(String, Vec<String>)> {
        let Some(outer) = self.table(key, problems) else {
            return Vec::new();
        };
        let mut lists = Vec::new();
        for (name, value) in outer.table {
            let path = outer.path_of(name.get_ref());
            problems.note(&path, name.span().start);
            match texts(value.get_ref()) {
                Some(texts) => lists.push((name.get_ref().to_string(), texts)),
                None => problems.say(&path, "must be a list of texts"),
            }
        }
        lists
    }

    /// The tables of the list `key`.
    pub(super) fn list(&mut self, key: &'static str, problems: &mut Problems<'_>) -> Vec<Self> {
        let each = self.each_of(key, problems).into_iter();
        each.filter_map(|(path, one)| inner(path, one, problems))
            .collect()
    }

    /// What stands in the list of tables `key`, each with its path.
    fn each_of(
        &mut self,
        key: &'static str,
        problems: &mut Problems<'_>,
    ) -> Vec<(String, &'d Spanned<DeValue<'t>>)> {
        let Some(value) = self.value(key, problems) else {
            return Vec::new();
        };
        let path = self.path_of(key);
        let Some(list) = value.get_ref().as_array() else {
            problems.say(&path, "must be a list of tables");
            return Vec::new();
        };
        let each = list.iter().enumerate();
        each.map(|(index, one)| {
            let path = format!("{path}[{index}]");
            problems.note(&path, one.span().start);
            (path, one)
        })
        .collect()
    }

    /// Refuses what was not asked for.
    pub(super) fn finish(self, problems: &mut Problems<'_>) {
        for (name, _) in self.table {
            let key: &str = name.get_ref();
            if self.asked.contains(&key) {
                continue;
            }
            let path = self.path_of(key);
            let hint = match nearest(key, self.asked.iter().copied()) {
                Some(near) => format!("did you mean {}?", self.path_of(near)),
                None => format!("there are: {}", self.asked.join(", ")),
            };
            problems.note(&path, name.span().start);
            problems.say(&path, format!("unknown key; {hint}"));
        }
    }
}

/// Reads `text` as one of the words of `T`.
pub(super) fn word<'w, T: Deserialize<'w>>(text: &'w str) -> Result<T, Error> {
    let words: StrDeserializer<'w, Error> = text.into_deserializer();
    T::deserialize(words)
}

fn texts(value: &DeValue<'_>) -> Option<Vec<String>> {
    let texts = value.as_array()?.iter().map(|one| one.get_ref().as_str());
    texts.map(|text| text.map(str::to_owned)).collect()
}

fn inner<'d, 't>(
    path: String,
    value: &'d Spanned<DeValue<'t>>,
    problems: &mut Problems<'_>,
) -> Option<Section<'d, 't>> {
    match value.get_ref().as_table() {
        Some(table) => Some(Section::new(path, table)),
        None => {
            problems.say(&path, "must be a table");
            None
        }
    }
}
