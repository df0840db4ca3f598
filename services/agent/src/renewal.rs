//! Keeping the site's certificate valid: renewed over the link long before it ends.

use crate::membership::CERTIFICATE_FILE;
use daemon::secret_file;
use jiff::Timestamp;
use journal::StatusId;
use link::Site;
use link::dial::explain_status;
use link::enrollment::TIMEOUT;
use link::pull::ParentUpstream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use trust::tls::HotCertificate;
use trust::{SiteCertificate, SiteKey};
use wire::v1::RenewCertificateRequest;

/// Longest wait after a renewal that did not succeed.
const RETRY: Duration = Duration::from_secs(10 * 60);
/// Shortest wait after it, when little time is left.
const SOONEST_RETRY: Duration = Duration::from_secs(1);
/// A renewal that did not succeed is tried again after this part of the time that is left.
const PART_OF_THE_REST: u32 = 4;
/// Longest sleep, so that a clock that jumped is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(60 * 60);

/// Renews a site's certificate.
pub struct Renewal {
    /// The site.
    pub site: Site,
    /// Its key.
    pub key: SiteKey,
    /// The certificate that is shown.
    pub hot: Arc<HotCertificate>,
    /// The way to the authority.
    pub parent: Arc<ParentUpstream>,
    /// Folder of the certificate's file.
    pub directory: PathBuf,
}

impl Renewal {
    /// Renews the certificate whenever two thirds of its life are over, until `stop` is told.
    pub async fn keep_valid(self, mut certificate: SiteCertificate, stop: CancellationToken) {
        loop {
            let now = self.site.ambient.now();
            let wait = until(certificate.renew_at(), now);
            tokio::select! {
                () = tokio::time::sleep(wait.min(LONGEST_SLEEP)) => {}
                () = stop.cancelled() => return,
            }
            let now = self.site.ambient.now();
            if now < certificate.renew_at() {
                continue;
            }
            let renewed = tokio::select! {
                renewed = self.renew(patience(&certificate, now)) => renewed,
                () = stop.cancelled() => return,
            };
            match renewed {
                Ok(renewed) => {
                    let end = renewed.not_after().to_string();
                    certificate = renewed;
                    self.tell(StatusId::CertificateRenewed, vec![end]).await;
                }
                Err(why) => {
                    let end = certificate.not_after().to_string();
                    self.tell(StatusId::CertificateNotRenewed, vec![end, why])
                        .await;
                    let wait = retry(certificate.not_after(), self.site.ambient.now());
                    tokio::select! {
                        () = tokio::time::sleep(self.site.ambient.jitter(wait)) => {}
                        () = stop.cancelled() => return,
                    }
                }
            }
        }
    }

    async fn tell(&self, id: StatusId, inserts: Vec<String>) {
        self.site.journal.record(id, None, inserts).await;
    }

    async fn renew(&self, patience: Duration) -> Result<SiteCertificate, String> {
        let mut client = self.parent.client().map_err(|failure| failure.message)?;
        let request = RenewCertificateRequest {
            certificate_request: self.key.csr_pem().map_err(|error| error.to_string())?,
            site_code: String::new(),
        };
        let chain = tokio::time::timeout(patience, client.renew_certificate(request))
            .await
            .map_err(|_| "no answer came in time".to_owned())?
            .map_err(|status| explain_status(&status))?
            .into_inner()
            .certificate_chain;
        let certificate = SiteCertificate::from_pem(&chain).map_err(|error| error.to_string())?;
        if certificate.identity().site != self.site.code
            || certificate.identity().hierarchy != self.site.hierarchy
        {
            return Err("the certificate that came back is for another site".to_owned());
        }
        self.hot
            .replace(&certificate, &self.key)
            .map_err(|error| error.to_string())?;
        secret_file::write(&self.directory.join(CERTIFICATE_FILE), &chain)
            .map_err(|error| error.to_string())?;
        Ok(certificate)
    }
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
}

/// How long an answer is waited for: while there is time to ask again.
fn patience(certificate: &SiteCertificate, now: Timestamp) -> Duration {
    TIMEOUT.min(retry(certificate.not_after(), now))
}

/// How long to wait before a renewal is tried again: less and less as the end comes near. Once the
/// certificate has ended there is no hurry.
fn retry(end: Timestamp, now: Timestamp) -> Duration {
    match until(end, now) {
        Duration::ZERO => RETRY,
        rest => (rest / PART_OF_THE_REST).clamp(SOONEST_RETRY, RETRY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_is_tried_again_in_time() {
        let end = Timestamp::from_second(100_000).unwrap();
        let wait = |left: i64| retry(end, Timestamp::from_second(100_000 - left).unwrap());
        assert_eq!(wait(30 * 24 * 3600), RETRY);
        assert_eq!(wait(60), Duration::from_secs(15));
        assert_eq!(wait(2), SOONEST_RETRY);
        assert_eq!(wait(-5), RETRY);
    }
}
