//! Prints one of each page of the gateway as JSON: `{"policy": …, "pages": {NAME: HTML}}`. Browser tests serve them.
//!
//! ```sh
//! cargo run -q -p grantway-core --features seam --example pages
//! ```

use std::collections::BTreeMap;

use grantway_core::downstream::pages::Page;

fn main() {
    let pages: BTreeMap<_, _> =
        Page::examples().into_iter().map(|(name, page)| (name, page.html())).collect();
    println!("{}", serde_json::json!({ "policy": Page::example_policy(), "pages": pages }));
}
