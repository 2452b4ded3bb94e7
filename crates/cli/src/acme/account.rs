use base::Secret;
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};

use super::failure::Failure;
use super::keeper::Keeper;

impl Keeper {
    /// Our account at the ACME server, made when there is none.
    pub(super) async fn account(&self) -> Result<Account, Failure> {
        let directory = self.settings.directory.as_str();
        if let Some(sealed) = self.store.find_acme_account(directory).await? {
            let opened = self.sealer.open(&bound_to(directory), &sealed);
            let credentials = opened
                .and_then(|text| serde_json::from_slice::<AccountCredentials>(text.expose()).ok());
            match credentials {
                Some(credentials) => {
                    return Account::builder_with_http(Box::new(self.transport.clone()))
                        .from_credentials(credentials)
                        .await
                        .map_err(|error| Failure::of(&error, self.settings.challenge));
                }
                None => tracing::warn!(
                    acme.directory = directory,
                    "the account at the ACME server was sealed with another master key; a new one is made"
                ),
            }
        }
        self.new_account().await
    }

    /// A new account, instead of any that was there.
    pub(super) async fn new_account(&self) -> Result<Account, Failure> {
        let directory = self.settings.directory.as_str();
        let contact: Vec<&str> = self.settings.contact.iter().map(String::as_str).collect();
        let account = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let external = self
            .settings
            .external_account
            .as_ref()
            .map(|(id, key)| ExternalAccountKey::new(id.clone(), key.expose()));
        let (account, credentials) = Account::builder_with_http(Box::new(self.transport.clone()))
            .create(&account, directory.to_owned(), external.as_ref())
            .await
            .map_err(|error| Failure::of(&error, self.settings.challenge))?;
        let text = serde_json::to_vec(&credentials).map(Secret::new);
        let text = text.map_err(|_| {
            Failure::new(
                "the account cannot be written down",
                "tell us: this is a bug",
            )
        })?;
        let sealed = self.sealer.seal(&*self.random, &bound_to(directory), &text);
        self.store
            .put_acme_account(directory, sealed, self.clock.now())
            .await?;
        tracing::info!(
            acme.directory = directory,
            "an account was made at the ACME server"
        );
        Ok(account)
    }
}

fn bound_to(directory: &str) -> String {
    format!("acme account {directory}")
}
