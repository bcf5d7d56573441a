//! Looks for bytes that break the laws of [`grantway_fuzz::authorize`].
#![cfg_attr(fuzzing, no_main)]

grantway_fuzz::fuzz_target!(authorize);
