//! Looks for bytes that break the laws of [`grantway_fuzz::token_request`].
#![cfg_attr(fuzzing, no_main)]

grantway_fuzz::fuzz_target!(token_request);
