use url::Url;

use super::OpenBrowser;
use crate::terminal::Terminal;

/// Sends the person to a page for signing in, and says where that is in case no browser opens.
pub fn open(open_browser: &OpenBrowser, progress: &Terminal, url: &Url) {
    let opened = (open_browser)(url.as_str());
    let lead = if opened {
        "The browser opens to sign you in. If it does not, open this address:"
    } else {
        "Open this address in a browser to sign in:"
    };
    progress.line(format!("{lead}\n  {}", progress.paint.accent(url.as_str())));
}
