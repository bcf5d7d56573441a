//! Looks for bytes that break the laws of [`grantway_fuzz::gateway`].
#![cfg_attr(fuzzing, no_main)]

grantway_fuzz::fuzz_target!(gateway);
