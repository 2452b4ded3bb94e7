//! What the suite writes down: a verdict for each check of each scenario.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Scenario and check -> status.
pub type Verdicts = BTreeMap<(String, String), String>;

/// Every `checks.json` under `folder`. A check that is made several times keeps its place in the order.
pub fn read(folder: &Path) -> anyhow::Result<Verdicts> {
    let mut verdicts = Verdicts::new();
    for scenario in std::fs::read_dir(folder)? {
        let scenario = scenario?;
        let name = scenario.file_name().to_string_lossy().into_owned();
        // The time at the end differs from run to run.
        let name = name
            .strip_suffix('Z')
            .and_then(|name| name.get(..name.len().checked_sub("-2026-11-20T21-28-58-889".len())?))
            .unwrap_or(&name)
            .to_owned();
        let path = scenario.path().join("checks.json");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{} was not written", path.display()))?;
        let Value::Array(checks) = serde_json::from_str(&text)? else {
            bail!("{} is no list", path.display());
        };
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for check in checks {
            let id = check["id"]
                .as_str()
                .context("a check without id")?
                .to_owned();
            let status = check["status"].as_str().context("a check without status")?;
            if status == "INFO" {
                continue; // a log line
            }
            let times = seen.entry(id.clone()).or_default();
            *times += 1;
            let id = if *times == 1 {
                id
            } else {
                format!("{id} #{times}")
            };
            verdicts.insert((name.clone(), id), status.to_owned());
        }
    }
    Ok(verdicts)
}
