//! What the person says: yes, no, and that a yes is taken back.
//!
//! Comes in: a choice. Goes out: the same, sent or owed. Promises that a no holds here at once, and that what it takes back is
//! told to the collector before anything else, for as long as that takes.

use serde_json::{Value, json};

use super::transport::Transport;
use super::{Choice, Client, ClientError, Delivered, fault, outcome};

impl<T: Transport> Client<T> {
    /// After the person said yes.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`]: there is no consent yet, ask again when there is a network. A withdrawal that is owed goes
    /// first: a second one would take its place.
    pub fn grant(&mut self, now_ms: i64) -> Result<(), ClientError> {
        if let Some(owed) = self.memory.owed.clone() {
            self.next_at_ms = i64::MIN;
            if let Delivered::Later { .. } = self.deliver_owed(&owed, now_ms)? {
                let reason = "a withdrawal is still to be delivered".into();
                return Err(ClientError::Unreachable { reason });
            }
        }
        let body = json!({ "site": self.settings.site, "choice": "grant", "purposes": ["measurement"], "source": "app" });
        let response = self.post("/api/consent", &body)?;
        let token = match response.status {
            201 => response.json()["token"].as_str().map(str::to_owned),
            _ => None,
        };
        let Some(token) = token else {
            return Err(fault(&response));
        };
        self.memory.choice = Choice::Granted { token };
        self.remember()
    }

    /// After the person said no. That a number is counted is not worth a second try; but a yes that was given is taken back, as
    /// by [`Client::withdraw`].
    ///
    /// # Errors
    /// [`ClientError::Disk`].
    pub fn deny(&mut self, now_ms: i64) -> Result<(), ClientError> {
        if matches!(self.memory.choice, Choice::Granted { .. }) || self.memory.owed.is_some() {
            return self.withdraw(false, now_ms).map(drop);
        }
        self.forget(Choice::Denied)?;
        let body = json!({ "site": self.settings.site, "choice": "deny", "source": "app" });
        match self.post("/api/consent", &body) {
            Ok(_) | Err(ClientError::Unreachable { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes the yes back, and with `is_erasing` everything that was stored, also where the yes was taken back before. In force
    /// here at once; sent now, or as soon as there is a network.
    ///
    /// # Errors
    /// [`ClientError::Disk`].
    pub fn withdraw(&mut self, is_erasing: bool, now_ms: i64) -> Result<Delivered, ClientError> {
        let site = &self.settings.site;
        if let Choice::Granted { token } = &self.memory.choice {
            let body =
                json!({ "site": site, "choice": "withdraw", "token": token, "source": "app" });
            self.memory.owed = Some(body);
        } else if is_erasing && self.memory.owed.is_none() && !self.memory.receipts.is_empty() {
            self.memory.owed = Some(json!({ "site": site, "action": "erase" }));
        }
        if let Some(owed) = self.memory.owed.as_mut().filter(|_| is_erasing) {
            if owed["choice"] == "withdraw" {
                owed["erase"] = true.into();
            }
            owed["receipts"] = json!(self.memory.receipts);
        }
        // Told to the collector also where the disk takes no note of it.
        let noted = self.forget(Choice::Denied);
        self.next_at_ms = i64::MIN;
        let delivered = self.deliver(now_ms);
        noted?;
        delivered
    }

    /// Delivers a withdrawal, or an erasure, that is owed.
    pub(super) fn deliver_owed(
        &mut self,
        owed: &Value,
        now_ms: i64,
    ) -> Result<Delivered, ClientError> {
        let is_erasing = owed["action"] == "erase";
        let path = match is_erasing {
            true => "/api/subject",
            false => "/api/consent",
        };
        match self.post(path, owed) {
            Ok(response) if !response.is_worth_retrying() => {
                // A collector that does not know the token any more has nothing to withdraw.
                self.failures = 0;
                self.memory.owed = None;
                let is_erasing = is_erasing || owed["erase"] == true;
                let is_done = (200..300).contains(&response.status);
                // Only what was erased needs no receipt any more; an erasure that was refused can be asked for again.
                if is_erasing && is_done {
                    self.memory.receipts.clear();
                }
                self.remember()?;
                let refused = (is_erasing && !is_done).then(|| outcome(&response));
                Ok(Delivered::Sent {
                    accepted: 0,
                    refused: refused.into_iter().collect(),
                })
            }
            Ok(response) => Ok(self.later(response.retry_after_ms(), now_ms)),
            Err(ClientError::Unreachable { .. }) => Ok(self.later(None, now_ms)),
            Err(error) => Err(error),
        }
    }
}
