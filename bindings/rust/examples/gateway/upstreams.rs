//! Two services on this machine to connect: each an MCP server and an issuer of its own, with a page on which one allows or denies.

use std::io;

use grantway_testing::McpServer;
use grantway_testing::serve::Serving;

/// A service, until it is dropped.
pub(crate) struct Upstream {
    mcp: McpServer,
    _serving: [Serving; 2],
}

impl Upstream {
    /// One whose tool `list` says this text.
    pub(crate) fn start(name: &str, text: &str) -> io::Result<Self> {
        let (issuer, serving_issuer) = Serving::issuer()?;
        issuer.behave(|issuer| {
            issuer.name = name.to_owned();
            issuer.id_tokens = true;
            issuer.access_token_ms = 5 * 60_000;
        });
        let (mcp, serving_mcp) = Serving::mcp(&issuer)?;
        mcp.behave(|mcp| {
            mcp.tool_texts.insert("list".to_owned(), text.to_owned());
        });
        Ok(Self { mcp, _serving: [serving_issuer, serving_mcp] })
    }

    pub(crate) fn url(&self) -> String {
        self.mcp.url()
    }
}
