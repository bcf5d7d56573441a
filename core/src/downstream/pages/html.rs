//! The HTML of the pages.

use super::Page;

impl Page {
    /// The page as HTML.
    pub fn html(&self) -> String {
        String::new()
    }
}

/// The content security policy of every page.
pub(crate) fn policy() -> String {
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'".to_owned()
}
