//! Sound devices.
pub(crate) fn default_input() -> Result<String, String> {
    Err(String::new())
}
pub(crate) fn default_output() -> Result<String, String> {
    Err(String::new())
}
