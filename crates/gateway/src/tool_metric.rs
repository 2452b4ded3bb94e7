use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use authz::Policy;
use metrics::{Counter, counter};

use crate::judged::Judged;

pub(crate) const TOOL_CALLS: &str = "portcullis_tool_calls_total";

/// How many tools of one MCP server have a label of their own.
const TOOLS_MAX: usize = 500;
/// The longest name that is a label, in bytes.
const LABEL_BYTES_MAX: usize = 128;
/// The label of every other tool.
const OTHER: &str = "other";

/// Counts the calls of one MCP server's tools, by tool and decision. Only tools that its policy knows have a label of
/// their own, and not more of them than there is room for: no caller makes a new series.
#[derive(Debug)]
pub(crate) struct ToolMetric {
    slug: Arc<str>,
    tools: Mutex<HashMap<Arc<str>, Decided>>,
    other: Decided,
}

type Decided = [OnceLock<Counter>; Judged::ALL.len()];

/// A tool as a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ToolLabel {
    Named(Arc<str>),
    /// One of all those that have no label of their own.
    Other,
}

impl ToolLabel {
    /// Of a tool that somebody calls.
    pub(crate) fn of(policy: &Policy, tool: &str) -> Self {
        // Whatever the exporter and its readers make of other characters.
        let is_plain =
            |letter: char| letter.is_alphanumeric() || letter.is_ascii_graphic() || letter == ' ';
        let is_label = tool.len() <= LABEL_BYTES_MAX
            && tool.chars().all(is_plain)
            && policy.tools.contains_key(tool);
        match is_label {
            true => Self::Named(tool.into()),
            false => Self::Other,
        }
    }
}

/// Those of all MCP servers, by slug: settings come and go, and what was counted stays.
#[derive(Debug, Default)]
pub(crate) struct ToolMetrics(Mutex<HashMap<Arc<str>, Arc<ToolMetric>>>);

impl ToolMetrics {
    pub(crate) fn of(&self, slug: &Arc<str>) -> Arc<ToolMetric> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_server = all
            .entry(Arc::clone(slug))
            .or_insert_with(|| Arc::new(ToolMetric::new(slug)));
        Arc::clone(of_server)
    }
}

impl ToolMetric {
    pub(crate) fn new(slug: &Arc<str>) -> Self {
        Self {
            slug: Arc::clone(slug),
            tools: Mutex::default(),
            other: Decided::default(),
        }
    }

    /// Counts one call.
    pub(crate) fn count(&self, tool: &ToolLabel, judged: Judged) {
        if let ToolLabel::Named(tool) = tool {
            let mut tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
            if tools.len() < TOOLS_MAX || tools.contains_key(tool) {
                let decided = tools.entry(Arc::clone(tool)).or_default();
                return self.counter(decided, tool, judged).increment(1);
            }
        }
        self.counter(&self.other, OTHER, judged).increment(1);
    }

    fn counter<'a>(&self, decided: &'a Decided, tool: &str, judged: Judged) -> &'a Counter {
        decided[judged as usize].get_or_init(|| {
            counter!(
                TOOL_CALLS,
                "server" => self.slug.to_string(),
                "tool" => tool.to_owned(),
                "decision" => judged.as_str(),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn knowing(names: &[&str]) -> Policy {
        Policy {
            tools: names
                .iter()
                .map(|name| ((*name).to_owned(), authz::Entry::default()))
                .collect(),
            ..Policy::default()
        }
    }

    #[test]
    fn a_tool_is_a_label_when_the_policy_knows_it_and_its_name_is_plain() {
        let longest = "x".repeat(LABEL_BYTES_MAX);
        let longer = "x".repeat(LABEL_BYTES_MAX + 1);
        let odd = "a\u{202e}b";
        let policy = knowing(&["add", "Über die Straße", &longest, &longer, odd, "a\nb"]);
        for known in ["add", "Über die Straße", &longest] {
            assert_eq!(
                ToolLabel::of(&policy, known),
                ToolLabel::Named(known.into())
            );
        }
        for other in ["sub", "Add", &longer, odd, "a\nb", ""] {
            assert_eq!(ToolLabel::of(&policy, other), ToolLabel::Other, "{other:?}");
        }
    }

    #[test]
    fn only_so_many_tools_have_a_counter_of_their_own() {
        let metric = ToolMetric::new(&"todo".into());
        let counters = || metric.tools.lock().unwrap().len();
        for number in 0..TOOLS_MAX + 10 {
            let tool = ToolLabel::Named(format!("tool {number}").as_str().into());
            metric.count(&tool, Judged::Allowed);
            metric.count(&tool, Judged::Denied);
            assert_eq!(counters(), (number + 1).min(TOOLS_MAX));
        }
        metric.count(&ToolLabel::Other, Judged::Denied);
        assert_eq!(counters(), TOOLS_MAX);
        for (index, judged) in Judged::ALL.into_iter().enumerate() {
            assert_eq!(judged as usize, index);
        }
    }
}
