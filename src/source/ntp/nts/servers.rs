//! [`NtsServers`]: the servers that are asked with NTS, and whose certificates are believed.

use std::sync::Arc;

use super::super::authenticator::KeyExchange;
use super::key_exchange::{AuthoritiesError, NtsKeyExchange};

/// Which servers are asked with NTS.
#[derive(Clone, Debug)]
pub(crate) struct NtsServers {
    /// As they were named.
    pub(crate) names: Vec<String>,
    /// How keys are agreed on, or what is wrong with the certificates that were given.
    exchange: Result<NtsKeyExchange, AuthoritiesError>,
}

impl Default for NtsServers {
    fn default() -> NtsServers {
        NtsServers { names: Vec::new(), exchange: Ok(NtsKeyExchange::new()) }
    }
}

impl NtsServers {
    /// How keys are agreed on with each of them.
    pub(crate) fn exchange(&self) -> Result<Arc<dyn KeyExchange>, AuthoritiesError> {
        Ok(Arc::new(self.exchange.clone()?))
    }

    /// Believes the authorities whose certificates these are, in PEM, and no others.
    pub(crate) fn trust_only(&mut self, pem: &[u8]) {
        self.exchange = NtsKeyExchange::trusting_only(pem);
    }
}
