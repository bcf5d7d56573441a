//! Looks for bytes that break the laws of [`grantway_fuzz::client_document`].
#![cfg_attr(fuzzing, no_main)]

grantway_fuzz::fuzz_target!(client_document);
