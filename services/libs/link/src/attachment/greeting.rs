//! How a conversation begins: a dial, our hello, and the welcome of whoever lets us in.

use super::incoming::{self, Welcomed};
use super::{Attachment, Left};
use crate::VERSION;
use crate::address::Address;
use crate::dial::{self, explain_status};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;
use wire::v1::attach_request::Message as ToParent;
use wire::v1::site_link_service_client::SiteLinkServiceClient;
use wire::v1::{AttachRequest, AttachResponse, Hello};

/// How long a parent may take to say welcome.
const WELCOME: Duration = Duration::from_secs(15);
/// Messages that wait for a slow parent.
const BUFFER: usize = 256;

/// Somebody who said welcome.
pub(super) struct Greeted {
    /// The connection.
    pub channel: Channel,
    /// What goes to it.
    pub sender: mpsc::Sender<AttachRequest>,
    /// What comes from it.
    pub inbound: Streaming<AttachResponse>,
    /// What it said first.
    pub welcome: Welcomed,
}

impl Attachment {
    /// Dials, and waits for the welcome.
    pub(super) async fn dial(&self, address: &Address) -> Result<Greeted, Left> {
        let tls = (self.tls)(address.point).map_err(|error| Left::from(error.to_string()))?;
        let dialled = dial::channel(&address.url, Arc::new(tls), Arc::clone(&self.connector));
        let channel = dialled
            .await
            .map_err(|error| Left::from(error.to_string()))?;
        let (sender, receiver) = mpsc::channel(BUFFER);
        let positions = self.site.store.positions();
        let hello = AttachRequest {
            message: Some(ToParent::Hello(Hello {
                version: VERSION.to_owned(),
                epoch: positions.epoch.as_bytes().to_vec(),
                position: positions.verified,
            })),
        };
        // The channel is empty and open: the first message always fits.
        sender.try_send(hello).ok();
        let mut client = SiteLinkServiceClient::new(channel.clone())
            .max_decoding_message_size(incoming::MOST_BYTES);
        let attach = client.attach(ReceiverStream::new(receiver));
        let mut inbound = match tokio::time::timeout(WELCOME, attach).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return Err(self.refused(&status).await),
            Err(_) => return Err("the parent did not answer in time".into()),
        };
        let welcome = match tokio::time::timeout(WELCOME, inbound.message()).await {
            Ok(Ok(first)) => incoming::welcome(first)?,
            Ok(Err(status)) => return Err(explain_status(&status).into()),
            Err(_) => return Err("the parent did not answer in time".into()),
        };
        Ok(Greeted {
            channel,
            sender,
            inbound,
            welcome,
        })
    }
}
