//! The name that an MCP server gets in addresses when nobody gave it one.

use domain::ServerSlug;
use url::{Host, Url};

use crate::public_url::is_loopback;

/// Words that say "a server is here" and not which.
const GENERIC: &[&str] = &[
    "mcp",
    "sse",
    "api",
    "server",
    "servers",
    "http",
    "https",
    "stream",
    "streamable",
    "www",
    "v1",
    "v2",
    "v3",
    "index",
    "main",
    "app",
    "dist",
    "build",
    "src",
    "bin",
    "cli",
    "lib",
];

/// From the URL of an upstream: the last telling part of its path, else of its host name.
pub fn from_url(url: &Url) -> ServerSlug {
    let path = url
        .path_segments()
        .into_iter()
        .flatten()
        .rev()
        .find(|segment| telling(segment));
    if let Some(segment) = path {
        return slugify(trim_affixes(segment));
    }
    let port = url.port_or_known_default().unwrap_or(80);
    if is_loopback(url) {
        return slugify(&format!("local-{port}"));
    }
    match url.host() {
        Some(Host::Domain(name)) => {
            slugify(name.split('.').find(|label| telling(label)).unwrap_or(name))
        }
        Some(Host::Ipv4(address)) => slugify(&format!("host-{address}")),
        Some(Host::Ipv6(address)) => slugify(&format!("host-{address}")),
        None => slugify("server"),
    }
}

/// From a command line: the package or script it runs, else the program.
pub fn from_command(command: &[String]) -> ServerSlug {
    let program = command
        .first()
        .map_or("server", |program| base_name(program));
    let subject = subject(program, command.get(1..).unwrap_or_default());
    slugify(
        &subject
            .and_then(package_name_of_path)
            .unwrap_or_else(|| package_name(program)),
    )
}

/// What a runner runs: its first argument that is neither a flag nor a flag's value.
fn subject<'a>(program: &str, arguments: &'a [String]) -> Option<&'a str> {
    // Subcommands that come before the package, and flags whose value is not the package. For some flags the
    // value is the package.
    let program = program.strip_suffix(".exe").unwrap_or(program);
    let (skipped, valued, naming): (&[&str], &[&str], &[&str]) = match program {
        "npx" | "bunx" => (&[], &["-c", "--call"], &["-p", "--package"]),
        "npm" | "pnpm" | "yarn" | "bun" => (
            &["exec", "dlx", "x", "run"],
            &["-c", "--call", "-C", "--dir"],
            &["--package"],
        ),
        "uvx" | "uv" | "pipx" => (
            &["run", "tool"],
            &["--with", "--python", "-p", "--index", "--env-file"],
            &["--from", "--spec", "--directory", "--project"],
        ),
        "docker" | "podman" | "nerdctl" => (
            &["run", "container"],
            &[
                "-e",
                "--env",
                "-v",
                "--volume",
                "-p",
                "--publish",
                "--name",
                "--network",
                "--mount",
                "-w",
                "-u",
                "--user",
                "--env-file",
                "--entrypoint",
            ],
            &[],
        ),
        "python" | "python3" => (&[], &["-W", "-X"], &["-m"]),
        "node" | "deno" | "tsx" | "ts-node" => (
            &["run"],
            &["-r", "--require", "--import", "--loader", "--env-file"],
            &[],
        ),
        "java" => (&[], &["-cp", "-classpath", "--class-path"], &["-jar"]),
        "sh" | "bash" | "zsh" | "cargo" | "go" | "env" | "dotnet" | "ruby" | "php" => {
            (&["run"], &["-c"], &["-p", "--package", "--bin"])
        }
        _ => return None,
    };
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(argument) = rest.next() {
        if naming.contains(&argument) {
            return rest.next();
        }
        if valued.contains(&argument) {
            rest.next();
        } else if let Some((_, value)) = argument
            .split_once('=')
            .filter(|(flag, _)| naming.contains(flag))
        {
            return Some(value);
        } else if !argument.starts_with('-') && !skipped.contains(&argument) {
            return Some(argument);
        }
    }
    None
}

/// A script in a folder called `weather` is called `weather`, when its own name says nothing.
fn package_name_of_path(subject: &str) -> Option<String> {
    let scoped_package = subject.starts_with('@');
    if scoped_package || !subject.contains(['/', '\\']) {
        return Some(package_name(subject));
    }
    subject
        .rsplit(['/', '\\'])
        .find(|part| telling(without_extension(part)))
        .map(package_name)
}

/// `@modelcontextprotocol/server-everything@1.2` → `everything`.
fn package_name(name: &str) -> String {
    let name = name.strip_prefix('@').map_or(name, |scoped| {
        scoped.split_once('/').map_or(scoped, |(_, name)| name)
    });
    let name = base_name(name);
    let name = name
        .split(['@', ':', '=', '<', '>', '['])
        .next()
        .unwrap_or(name);
    trim_affixes(without_extension(name)).to_owned()
}

/// Takes away what every MCP server's name has, unless nothing would be left.
fn trim_affixes(name: &str) -> &str {
    let mut name = name;
    loop {
        let shorter = ["mcp-server-", "mcp_server_", "server-", "mcp-", "mcp_"]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))
            .or_else(|| {
                [
                    "-mcp-server",
                    "_mcp_server",
                    "-server",
                    "_server",
                    "-mcp",
                    "_mcp",
                ]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
            })
            .filter(|shorter| shorter.chars().any(char::is_alphanumeric));
        match shorter {
            Some(shorter) => name = shorter,
            None => return name,
        }
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\'])
        .find(|part| !part.is_empty())
        .unwrap_or(path)
}

fn without_extension(name: &str) -> &str {
    const EXTENSIONS: &[&str] = &[
        ".js", ".mjs", ".cjs", ".ts", ".py", ".jar", ".exe", ".sh", ".rb", ".php", ".dll", ".go",
    ];
    EXTENSIONS
        .iter()
        .find_map(|extension| name.strip_suffix(extension))
        .filter(|stem| !stem.is_empty())
        .unwrap_or(name)
}

fn telling(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    word.chars()
        .any(|character| character.is_ascii_alphabetic())
        && !GENERIC.contains(&word.as_str())
}

/// The nearest text of a slug's shape.
fn slugify(text: &str) -> ServerSlug {
    let mut slug = String::new();
    for character in text.chars().flat_map(char::to_lowercase) {
        if character.is_ascii_alphanumeric() {
            slug.push(character);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    if slug.starts_with(|first: char| first.is_ascii_digit()) {
        slug.insert_str(0, "mcp-");
    }
    slug.truncate(40);
    let slug = slug.trim_end_matches('-');
    ServerSlug::parse(slug)
        .or_else(|_| ServerSlug::parse("server"))
        .expect("`server` has the shape of a slug")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_upstream_is_named_by_the_telling_part_of_its_url() {
        let table = [
            ("http://127.0.0.1:8765/mcp", "local-8765"),
            ("http://localhost:3000/", "local-3000"),
            ("http://[::1]:9/mcp", "local-9"),
            ("http://localhost:3000/weather/mcp", "weather"),
            ("http://localhost:3000/mcp/Weather%20Now", "weather-20now"),
            ("https://mcp.linear.app/sse", "linear"),
            ("https://api.githubcopilot.com/mcp/", "githubcopilot"),
            ("https://example.com/v1/mcp", "example"),
            ("https://www.example.co.uk/mcp", "example"),
            ("http://192.168.1.20:8080/mcp", "host-192-168-1-20"),
            ("http://[fd00::1]:8080/mcp", "host-fd00-1"),
            ("https://mcp.api/", "mcp-api"),
            ("https://example.com/mcp-server-notes", "notes"),
            ("https://example.com/1password", "mcp-1password"),
        ];
        for (url, slug) in table {
            assert_eq!(from_url(&Url::parse(url).unwrap()).as_str(), slug, "{url}");
        }
    }

    #[test]
    fn a_command_is_named_by_what_it_runs() {
        let table = [
            (
                "npx -y @modelcontextprotocol/server-everything",
                "everything",
            ),
            (
                "npx -y @modelcontextprotocol/server-everything@2025.9.25 stdio",
                "everything",
            ),
            ("npx --yes --package @acme/notes-mcp notes", "notes"),
            ("npx -y mcp-remote https://example.com/mcp", "remote"),
            ("uvx mcp-server-fetch", "fetch"),
            (
                "uvx --from git+https://example.com/x/weather-mcp weather",
                "weather",
            ),
            ("uvx mcp-server-time==1.2.3 --local-timezone UTC", "time"),
            ("uv --directory /srv/weather run server.py", "weather"),
            ("python3 -m weather_mcp", "weather"),
            ("python /home/me/weather/server.py", "weather"),
            ("node ./dist/index.js", "node"),
            ("node /srv/notes/dist/index.js", "notes"),
            (
                "docker run -i --rm -e TOKEN ghcr.io/github/github-mcp-server:latest",
                "github",
            ),
            ("docker run -i --rm mcp/postgres postgres://x", "postgres"),
            ("./weather-server --stdio", "weather"),
            ("/usr/local/bin/mcp-grafana", "grafana"),
            ("java -jar target/notes-server.jar", "notes"),
            ("C:\\tools\\weather.exe", "weather"),
            ("cargo run -p todo-mcp", "todo"),
            ("ÄÖÜ", "server"),
            ("npx", "npx"),
        ];
        for (line, slug) in table {
            let command: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(from_command(&command).as_str(), slug, "{line}");
        }
    }

    #[test]
    fn a_long_name_is_cut_to_a_slug() {
        let command = vec![format!("{}-{}", "a".repeat(39), "b".repeat(39))];
        assert_eq!(from_command(&command).as_str(), "a".repeat(39));
    }
}
