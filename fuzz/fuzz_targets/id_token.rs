//! Looks for bytes that break the laws of [`grantway_fuzz::id_token`].
#![cfg_attr(fuzzing, no_main)]

grantway_fuzz::fuzz_target!(id_token);
