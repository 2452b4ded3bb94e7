use crate::{MetadataDocumentTrust, NativeSchemes, RegistrationMode, ServerSettings};

/// What is to be changed of the settings of an MCP server; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the setting of its name")]
pub struct ServerSettingsChange {
    pub dynamic_registration: Option<RegistrationMode>,
    pub metadata_documents: Option<MetadataDocumentTrust>,
    pub native_schemes: Option<NativeSchemes>,
    pub access_token_seconds: Option<u64>,
    pub refresh_token_seconds: Option<u64>,
    pub family_seconds: Option<u64>,
    pub strict_rotation: Option<bool>,
    pub documentation_url: Option<Option<String>>,
}

impl ServerSettingsChange {
    /// The settings after the change.
    pub fn of(&self, before: &ServerSettings) -> ServerSettings {
        fn take<T: Clone>(new: Option<&T>, old: &T) -> T {
            new.unwrap_or(old).clone()
        }
        ServerSettings {
            dynamic_registration: take(
                self.dynamic_registration.as_ref(),
                &before.dynamic_registration,
            ),
            metadata_documents: take(self.metadata_documents.as_ref(), &before.metadata_documents),
            native_schemes: take(self.native_schemes.as_ref(), &before.native_schemes),
            access_token_seconds: take(
                self.access_token_seconds.as_ref(),
                &before.access_token_seconds,
            ),
            refresh_token_seconds: take(
                self.refresh_token_seconds.as_ref(),
                &before.refresh_token_seconds,
            ),
            family_seconds: take(self.family_seconds.as_ref(), &before.family_seconds),
            strict_rotation: take(self.strict_rotation.as_ref(), &before.strict_rotation),
            sign_in: before.sign_in,
            documentation_url: take(self.documentation_url.as_ref(), &before.documentation_url),
        }
    }
}
