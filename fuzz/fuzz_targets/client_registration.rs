//! Looks for bytes that break the laws of [`grantway_fuzz::client_registration`].
#![cfg_attr(fuzzing, no_main)]

grantway_fuzz::fuzz_target!(client_registration);
