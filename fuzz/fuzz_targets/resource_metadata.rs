//! Looks for bytes that break the laws of [`grantway_fuzz::resource_metadata`].
#![cfg_attr(fuzzing, no_main)]

grantway_fuzz::fuzz_target!(resource_metadata);
