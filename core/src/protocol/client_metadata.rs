//! Stub.
/// Stub.
pub fn check_client_id_url(_: &str) -> Result<(), super::Invalid> {
    Ok(())
}
