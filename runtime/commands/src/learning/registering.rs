//! What is to be registered at Consul: by the command line, by the files, and by the addresses of this machine, as they are now.

use config::Definition;
use consul::registration::Registration;

use super::Learning;

impl Learning {
    /// What is to be registered of each proxy, where something is.
    ///
    /// # Errors
    /// What is missing for that.
    pub(crate) fn registrations(
        &self,
        definitions: &[Definition],
    ) -> Result<Vec<Option<Registration>>, String> {
        let wanted = self.proxies.iter().map(|proxy| &proxy.wanted);
        wanted
            .map(|it| it.registration(&self.arguments, definitions))
            .collect()
    }

    /// Has that registered from now on.
    pub(crate) fn register(&self, registrations: Vec<Option<Registration>>) {
        for (proxy, registration) in self.proxies.iter().zip(registrations) {
            if let Some(registration) = registration {
                proxy.wanted.register.replace(registration);
            }
        }
    }
}
