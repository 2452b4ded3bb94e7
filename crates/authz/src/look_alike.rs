//! Names that an eye takes for others: of clients, of tools.

mod letters;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// A shorter name is no near-duplicate of anything: `get` and `set` are two words.
const NEAR_BYTES_MIN: usize = 5;
/// Nor is a longer one, in characters: nobody reads it letter by letter.
const NEAR_CHARS_MAX: usize = 128;
/// How many names that share all but one letter are compared with another.
const NEAR_LOOKED_AT_MAX: usize = 100;

/// Why a person must look at a name before it is accepted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameFlag {
    /// It has characters that nobody sees, or white space at its ends.
    Invisible,
    /// It mixes Latin letters with look-alikes of other alphabets.
    MixedAlphabets,
    /// An eye takes it for this other name.
    LooksLike(String),
    /// It differs from this other name by one letter. Often harmless: for a person's attention only.
    NearDuplicate(String),
}

impl NameFlag {
    /// Whether it keeps an element from being accepted without a person.
    pub fn is_grave(&self) -> bool {
        !matches!(self, Self::NearDuplicate(_))
    }

    /// For people.
    pub fn words(&self) -> String {
        match self {
            Self::Invisible => "characters that nobody sees".to_owned(),
            Self::MixedAlphabets => "letters of two alphabets".to_owned(),
            Self::LooksLike(other) => format!("looks like {}", other.escape_debug()),
            Self::NearDuplicate(other) => format!("one letter from {}", other.escape_debug()),
        }
    }
}

/// Names that others are held against.
#[derive(Debug, Clone, Default)]
pub struct KnownNames<'a> {
    by_look: BTreeMap<String, Vec<&'a str>>,
    /// Each name under what it is without one of its letters, in the order of these; made when somebody asks.
    near: OnceLock<Vec<(u64, &'a str)>>,
}

impl<'a> FromIterator<&'a str> for KnownNames<'a> {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let mut known = Self::default();
        for name in names {
            known.by_look.entry(look(name)).or_default().push(name);
        }
        known
    }
}

impl<'a> KnownNames<'a> {
    /// What of `name` keeps it from being accepted without a person. Of two names that look the same, a plain one of ASCII
    /// is the true one, and one that hides nothing.
    pub fn grave_flags(&self, name: &str) -> Vec<NameFlag> {
        let mut flags = Vec::new();
        if hides(name) {
            flags.push(NameFlag::Invisible);
        }
        if mixes_alphabets(name) {
            flags.push(NameFlag::MixedAlphabets);
        }
        let twins = self.by_look.get(&look(name)).into_iter().flatten();
        let double = twins
            .filter(|other| **other != name)
            .find(|other| !hides(other) && (!name.is_ascii() || other.is_ascii()));
        flags.extend(double.map(|other| NameFlag::LooksLike((*other).to_owned())));
        flags
    }

    /// All that a person should know of `name`.
    pub fn flags(&self, name: &str) -> Vec<NameFlag> {
        let mut flags = self.grave_flags(name);
        if flags.is_empty() {
            let near = self.near(name).into_iter().next();
            flags.extend(near.map(|other| NameFlag::NearDuplicate(other.to_owned())));
        }
        flags
    }

    /// The names that are one letter from this one. Whatever those are, both are the same without one letter of each.
    fn near(&self, name: &str) -> BTreeSet<&'a str> {
        let all = self.near.get_or_init(|| {
            let names = self.by_look.values().flatten();
            let mut all: Vec<(u64, &str)> = names
                .flat_map(|name| without_a_letter(name).map(|without| (without, *name)))
                .collect();
            all.sort_unstable();
            all.dedup();
            all
        });
        let mut near = BTreeSet::new();
        for without in without_a_letter(name) {
            let first = all.partition_point(|(other, _)| *other < without);
            let same = all[first..]
                .iter()
                .take_while(|(other, _)| *other == without);
            let names = same.map(|(_, other)| *other).take(NEAR_LOOKED_AT_MAX);
            near.extend(names.filter(|other| is_near(name, other)));
        }
        near
    }
}

/// What an eye sees of a name: look-alikes are one letter, and what is no letter is nothing.
///
/// Spec: after Unicode Technical Standard 39 section 4, with the few letters that product names are made of.
pub fn as_seen(name: &str) -> String {
    let letters: String = name
        .chars()
        .flat_map(char::to_lowercase)
        .filter_map(letters::as_seen)
        .collect();
    letters.replace("rn", "m").replace("vv", "w")
}

/// As [`as_seen`], but what is no letter stays: `get_user` and `getUser` are two names.
fn look(name: &str) -> String {
    let letters: String = name
        .chars()
        .filter(|letter| !is_hidden(*letter))
        .flat_map(char::to_lowercase)
        .map(|letter| letters::as_seen(letter).unwrap_or(letter))
        .collect();
    letters.trim().replace("rn", "m").replace("vv", "w")
}

/// Numbers for the name itself and for each that it becomes without one of its letters; none for a name that is near to
/// nothing. Two texts rarely have one number, and [`is_near`] looks at both.
fn without_a_letter(name: &str) -> impl Iterator<Item = u64> + use<> {
    const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
    let letters: Vec<u64> = match name.len() {
        0..NEAR_BYTES_MIN => Vec::new(),
        _ => name.chars().map(|letter| u64::from(letter) + 1).collect(),
    };
    let count = match letters.len() {
        count @ 1..=NEAR_CHARS_MAX => count,
        _ => 0,
    };
    // What follows each letter, and by how much what is before it then counts.
    let mut behind = vec![(0_u64, 1_u64); count];
    for index in (1..count).rev() {
        let (value, factor) = behind[index];
        let value = value.wrapping_add(letters[index].wrapping_mul(factor));
        behind[index - 1] = (value, factor.wrapping_mul(BASE));
    }
    let mut before = 0_u64;
    let mut all = Vec::with_capacity(count + 1);
    for (letter, (value, factor)) in letters.iter().zip(behind) {
        all.push(before.wrapping_mul(factor).wrapping_add(value));
        before = before.wrapping_mul(BASE).wrapping_add(*letter);
    }
    if count > 0 {
        all.push(before);
    }
    all.into_iter()
}

/// One letter more, less, other or swapped with its neighbour; counted names (`tool_1`, `tool_2`) and plurals are not near.
fn is_near(one: &str, two: &str) -> bool {
    if one == two || one.len().min(two.len()) < NEAR_BYTES_MIN || one.len().abs_diff(two.len()) > 4
    {
        return false;
    }
    let (one, two): (Vec<char>, Vec<char>) = (one.chars().collect(), two.chars().collect());
    let front = one.iter().zip(&two).take_while(|(a, b)| a == b).count();
    let (one, two) = (&one[front..], &two[front..]);
    let back = one.iter().rev().zip(two.iter().rev());
    let back = back.take_while(|(a, b)| a == b).count();
    match (&one[..one.len() - back], &two[..two.len() - back]) {
        ([letter], []) | ([], [letter]) => {
            let is_plural = back == 0 && matches!(letter, 's' | 'S');
            !letter.is_numeric() && !is_plural
        }
        ([a], [b]) => !(a.is_numeric() && b.is_numeric()),
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

/// Whether a name has characters that nobody sees: all that is asked of an address, which is not read letter by letter.
pub fn invisible_flag(name: &str) -> Option<NameFlag> {
    hides(name).then_some(NameFlag::Invisible)
}

fn hides(name: &str) -> bool {
    name.trim() != name || name.chars().any(is_hidden)
}

/// Characters that nobody sees in a name.
fn is_hidden(letter: char) -> bool {
    letter.is_control() || is_invisible(letter)
}

/// Control characters, zero-width ones, and those that change the direction of text.
pub fn is_invisible(letter: char) -> bool {
    let spacing = matches!(letter, '\t' | '\n' | '\r');
    (letter.is_control() && !spacing)
        || matches!(
            letter,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Whether a name mixes Latin letters with look-alikes of other alphabets, as `Cl\u{430}ude` with a Cyrillic а does.
pub fn mixes_alphabets(text: &str) -> bool {
    let latin = text.chars().any(|character| {
        character.is_ascii_alphabetic() || matches!(character, '\u{c0}'..='\u{24f}')
    });
    latin
        && text.chars().any(|character| {
            matches!(
                character,
                '\u{370}'..='\u{3ff}'        // Greek
                | '\u{400}'..='\u{52f}'      // Cyrillic
                | '\u{531}'..='\u{58f}'      // Armenian
                | '\u{13a0}'..='\u{13ff}'    // Cherokee
                | '\u{1c80}'..='\u{1c8f}'    // Cyrillic
                | '\u{1f00}'..='\u{1fff}'    // Greek
                | '\u{2c80}'..='\u{2cff}'    // Coptic
                | '\u{2de0}'..='\u{2dff}'    // Cyrillic
                | '\u{a4d0}'..='\u{a4ff}'    // Lisu
                | '\u{a640}'..='\u{a69f}'    // Cyrillic
                | '\u{ab70}'..='\u{abbf}'    // Cherokee
                | '\u{ff21}'..='\u{ff5a}'    // full-width Latin
                | '\u{1d400}'..='\u{1d7ff}'  // mathematical letters
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latin_beside_its_look_alikes_is_a_mix_and_one_alphabet_is_not() {
        for mixed in [
            "Cl\u{430}ude",
            "\u{391}pple",
            "\u{1d402}laude x",
            "Curs\u{585}r",
        ] {
            assert!(mixes_alphabets(mixed), "{mixed}");
        }
        for single in [
            "Claude",
            "Üben",
            "\u{42f}\u{43d}\u{434}\u{435}\u{43a}\u{441}",
            "日本語 App",
            "",
        ] {
            assert!(!mixes_alphabets(single), "{single}");
        }
    }

    fn grave(known: &[&str], name: &str) -> bool {
        let known: KnownNames<'_> = known.iter().copied().collect();
        let flags = known.flags(name);
        flags.iter().any(NameFlag::is_grave)
    }

    #[test]
    fn a_name_that_looks_like_another_is_flagged_and_a_plain_one_is_not() {
        let known = &["search_mail", "list_items", "turn_on", "Поиск"];
        for double in [
            "se\u{430}rch_mail",
            "search_mai\u{406}",
            "\u{ff53}earch_mail",
            "search\u{200b}_mail",
            "search_mail ",
            "Search_Mail",
            "l1st_items",
            "tum_on",
            "search_\u{43c}ail",
            "П\u{6f}иск",
        ] {
            assert!(grave(known, double), "{double:?}");
        }
        for other in [
            "search_mail",
            "search-mail",
            "searchMail",
            "search_mails",
            "delete_mail",
            "Поиск",
            "検索",
        ] {
            assert!(!grave(known, other), "{other:?}");
        }
    }

    #[test]
    fn of_two_that_look_the_same_the_one_of_ascii_stays() {
        let known: KnownNames<'_> = ["pay", "p\u{430}y"].into_iter().collect();
        assert_eq!(known.grave_flags("pay"), []);
        assert!(
            known
                .grave_flags("p\u{430}y")
                .contains(&NameFlag::LooksLike("pay".into()))
        );
    }

    #[test]
    fn one_letter_of_difference_is_shown_and_counted_names_and_plurals_are_not() {
        let known: KnownNames<'_> = ["delete_file", "tool_1", "get"].into_iter().collect();
        for near in ["delete_fiel", "delte_file", "delete_filee", "delete_fale"] {
            let flags = known.flags(near);
            assert_eq!(
                flags,
                [NameFlag::NearDuplicate("delete_file".into())],
                "{near}"
            );
            assert!(!flags[0].is_grave());
        }
        let long = "x".repeat(NEAR_CHARS_MAX);
        let with_long: KnownNames<'_> = [long.as_str()].into_iter().collect();
        let near = |name: &str| !with_long.flags(name).is_empty();
        assert!(near(&long[1..]) && !near(&format!("{long}x")));
        for far in [
            "delete_files",
            "tool_2",
            "tool_11",
            "set",
            "delete_file",
            "remove_file",
        ] {
            assert_eq!(known.flags(far), [], "{far}");
        }
    }

    #[test]
    fn ten_thousand_names_are_held_against_each_other_in_no_time() {
        let names: Vec<String> = (0..10_000)
            .map(|number: u32| match number % 3 {
                0 => format!("mcp_tool_{number}"),
                1 => format!("do_{:08x}_now", number.wrapping_mul(2_654_435_761)),
                // All the same but for one character, which is a number.
                _ => format!(
                    "item_{}",
                    char::from_u32(0x0e50 + number % 10).unwrap_or('x')
                ),
            })
            .collect();
        let mut known: Vec<&str> = names.iter().map(String::as_str).collect();
        known.push("mcp_tool_x");
        let known: KnownNames<'_> = known.into_iter().collect();
        let began = std::time::Instant::now();
        // Those with one number are one letter from the one with `x`.
        let expected = [NameFlag::NearDuplicate("mcp_tool_x".to_owned())];
        let near = names.iter().filter(|name| known.flags(name) == expected);
        assert_eq!(near.count(), 4);
        let passed = began.elapsed();
        // Each against each takes minutes. This machine may have other things to do.
        assert!(passed < std::time::Duration::from_secs(10), "{passed:?}");
    }
}
