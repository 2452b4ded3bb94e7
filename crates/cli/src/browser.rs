//! Opening the person's browser.

use std::process::{Command, Stdio};

/// Whether there is a browser that a person would see: not over SSH, in a container or in CI.
pub fn is_likely() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if set("CI") || set("SSH_CONNECTION") && !set("DISPLAY") {
        return false;
    }
    set("BROWSER")
        || set("WSL_DISTRO_NAME")
        || std::env::consts::OS == "macos"
        || set("DISPLAY")
        || set("WAYLAND_DISPLAY")
}

/// Opens `url`; says whether a program took it.
pub fn open(url: &str) -> bool {
    // Only addresses of our own making come here, but a program's argument that begins with a hyphen would be a flag.
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return false;
    }
    let chosen = std::env::var("BROWSER").ok();
    let programs = chosen
        .as_deref()
        .into_iter()
        .flat_map(|list| list.split(':'))
        .chain(["xdg-open", "open", "wslview"])
        .filter(|program| !program.is_empty() && !program.contains([' ', '%']));
    programs.into_iter().any(|program| {
        Command::new(program)
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(|mut child| {
                // Somebody has to wait for it, or it stays as a zombie for as long as we run.
                std::thread::spawn(move || child.wait());
            })
            .is_ok()
    })
}
