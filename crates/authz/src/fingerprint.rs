use wire::mcp::definition::Definition;

/// SHA-256 over what a definition says, in base64url.
pub fn fingerprint(_definition: &Definition) -> String {
    todo!()
}
