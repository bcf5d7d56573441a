//! Looks for bytes that break the laws of [`grantway_fuzz::authorization_request`].
#![cfg_attr(fuzzing, no_main)]

grantway_fuzz::fuzz_target!(authorization_request);
