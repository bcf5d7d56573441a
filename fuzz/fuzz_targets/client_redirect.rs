//! Looks for bytes that break the laws of [`grantway_fuzz::client_redirect`].
#![cfg_attr(fuzzing, no_main)]

grantway_fuzz::fuzz_target!(client_redirect);
