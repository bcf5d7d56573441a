//! Looks for bytes that break the laws of [`grantway_fuzz::redirect_uri`].
#![cfg_attr(fuzzing, no_main)]

grantway_fuzz::fuzz_target!(redirect_uri);
