//! Opening a URL in the browser: a program and one argument, never a shell.

use std::process::{Command, Stdio};

/// Opens the URL, and does not wait for the browser. `false`: there is none that could be started.
///
/// `BROWSER` names a program; it gets the URL as its only argument. Without it, the system's own opener is asked.
pub(crate) fn open(url: &str) -> bool {
    // atk:URL-01, atk:URL-02, atk:URL-03: the engine has encoded whatever is not plainly part of a URL; this is for openers
    // that would take something else for an option or a file.
    if !is_web_url(url) {
        return false;
    }
    let mut command = match std::env::var_os("BROWSER").filter(|browser| !browser.is_empty()) {
        Some(browser) => Command::new(browser),
        None => system_opener(),
    };
    //= spec/mcp-best-practices.md#oauth-authorization-url-validation
    //# A URL MUST NOT be opened through a shell, and one that came from a server MUST be parsed and checked
    //# first (NET-06, U).
    let started = command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    match started {
        Ok(mut child) => {
            // So that it leaves no zombie while the command waits.
            std::thread::spawn(move || child.wait());
            true
        }
        Err(_) => false,
    }
}

fn is_web_url(url: &str) -> bool {
    let inert = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?&=%@+[]".contains(&byte);
    let here = ["http://127.0.0.1", "http://[::1]", "http://localhost"];
    let is_here =
        here.iter().any(|host| url.strip_prefix(host).is_some_and(|rest| rest.starts_with([':', '/'])));
    (url.starts_with("https://") || is_here) && url.bytes().all(inert)
}

#[cfg(target_os = "macos")]
fn system_opener() -> Command {
    Command::new("open")
}

#[cfg(windows)]
fn system_opener() -> Command {
    let mut command = Command::new("rundll32");
    command.arg("url.dll,FileProtocolHandler");
    command
}

#[cfg(not(any(target_os = "macos", windows)))]
fn system_opener() -> Command {
    Command::new("xdg-open")
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/mcp-best-practices.md#oauth-authorization-url-validation
    //= type=test
    //# A URL MUST NOT be opened through a shell, and one that came from a server MUST be parsed and checked
    //# first (NET-06, U).
    // atk:URL-01, atk:URL-02, atk:URL-03
    #[test]
    fn only_plain_web_urls_reach_an_opener() {
        for url in
            ["https://as.example/authorize?a=b%20c&d=e", "http://127.0.0.1:9/authorize", "http://[::1]:9/x"]
        {
            assert!(is_web_url(url), "{url}");
        }
        for url in [
            "--upload-pack=evil",
            "-oProxyCommand=x",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "ms-msdt:/id",
            "http://as.example/authorize",
            "http://127.0.0.1.evil.example/authorize",
            "https://h/$(id)",
            "https://h/`id`",
            "https://h/a&calc|b",
            "https://h/\"a",
            "https://h/a b",
            "https://h/a\n",
            "https://h/^a",
            "",
        ] {
            assert!(!is_web_url(url), "{url}");
        }
    }
}
