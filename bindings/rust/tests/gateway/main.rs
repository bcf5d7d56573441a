//! A host with a gateway, over real sockets.

mod answers;
mod ending;
mod signing_in;
mod stand;
