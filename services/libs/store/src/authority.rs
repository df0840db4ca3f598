//! What the hierarchy's authority, the top-level site, keeps: its sites, join tokens and the newest
//! report of every site.

use crate::backend::{Row, int};
use crate::error::{Error, corrupt};
use crate::{Read, Tx};
use catalog::{PointId, SiteKind};
use jiff::Timestamp;

/// A site that joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteRow {
    /// Its code.
    pub code: PointId,
    /// Its kind.
    pub kind: SiteKind,
    /// The site that it belongs to.
    pub parent: PointId,
    /// The sites that it belonged to before, the latest last. They may still hold what it told them.
    pub former_parents: Vec<PointId>,
    /// When it joined.
    pub joined: Timestamp,
    /// When it was removed, if it was.
    pub removed: Option<Timestamp>,
    /// Digest of the public key that its certificate was made for.
    pub key_hash: Vec<u8>,
}

/// A join token that was given out; the secret itself is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinTokenRow {
    /// Digest of the secret.
    pub secret_hash: Vec<u8>,
    /// The site that may join with it.
    pub site: PointId,
    /// As what.
    pub kind: SiteKind,
    /// Below which site.
    pub parent: PointId,
    /// Until when.
    pub expires: Timestamp,
    /// When it was used, if it was.
    pub used: Option<Timestamp>,
    /// Digest of the public key that used it.
    pub key_hash: Option<Vec<u8>>,
}

fn time(value: i64) -> Result<Timestamp, Error> {
    Timestamp::from_millisecond(value).map_err(corrupt)
}

fn site_of(row: &Row) -> Result<SiteRow, Error> {
    Ok(SiteRow {
        code: row.text(0)?.parse().map_err(corrupt)?,
        kind: row.text(1)?.parse().map_err(corrupt)?,
        parent: row.text(2)?.parse().map_err(corrupt)?,
        joined: time(row.int(3)?)?,
        removed: row.optional_int(4)?.map(time).transpose()?,
        key_hash: row.blob(5)?,
        former_parents: codes_of(&row.text(6)?)?,
    })
}

fn codes_of(json: &str) -> Result<Vec<PointId>, Error> {
    let codes: Vec<String> = serde_json::from_str(json).map_err(corrupt)?;
    codes
        .iter()
        .map(|code| code.parse().map_err(corrupt))
        .collect()
}

fn token_of(row: &Row) -> Result<JoinTokenRow, Error> {
    Ok(JoinTokenRow {
        secret_hash: row.blob(0)?,
        site: row.text(1)?.parse().map_err(corrupt)?,
        kind: row.text(2)?.parse().map_err(corrupt)?,
        parent: row.text(3)?.parse().map_err(corrupt)?,
        expires: time(row.int(4)?)?,
        used: row.optional_int(5)?.map(time).transpose()?,
        key_hash: row.optional_blob(6)?,
    })
}

const SITE: &str = "select code, kind, parent, joined, removed, key_hash, former_parents \
                    from site";
const JOIN_TOKEN: &str = "select secret_hash, site, kind, parent, expires, used, key_hash \
                          from join_token where secret_hash = $1";

impl Tx<'_> {
    /// Writes a site down, replacing what was known of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_site(&mut self, site: &SiteRow) -> Result<(), Error> {
        let former: Vec<&str> = site.former_parents.iter().map(PointId::as_str).collect();
        let former = serde_json::to_string(&former).map_err(corrupt)?;
        let values = [
            site.code.as_str().into(),
            site.kind.name().into(),
            site.parent.as_str().into(),
            site.joined.as_millisecond().into(),
            site.removed.map(Timestamp::as_millisecond).into(),
            site.key_hash.clone().into(),
            former.into(),
        ];
        self.connection()
            .insert(
                "insert into site (code, kind, parent, joined, removed, key_hash, former_parents)",
                vec![values],
                " on conflict (code) do update set kind = excluded.kind, parent = excluded.parent, \
                 joined = excluded.joined, removed = excluded.removed, key_hash = excluded.key_hash, \
                 former_parents = excluded.former_parents",
            )
            .await?;
        Ok(())
    }

    /// A site by its code, removed ones too.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn site(&mut self, code: PointId) -> Result<Option<SiteRow>, Error> {
        let row = self
            .connection()
            .fetch_optional(
                format!("{SITE} where code = $1"),
                vec![code.as_str().into()],
            )
            .await?;
        row.as_ref().map(site_of).transpose()
    }

    /// The sites that belong to a site and were not removed, by code.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sites_below(&mut self, parent: PointId) -> Result<Vec<SiteRow>, Error> {
        let rows = self
            .connection()
            .fetch(
                format!("{SITE} where parent = $1 and removed is null order by code"),
                vec![parent.as_str().into()],
            )
            .await?;
        rows.iter().map(site_of).collect()
    }

    /// How many sites ever joined, removed ones too.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_sites(&mut self) -> Result<u64, Error> {
        self.connection()
            .fetch_one("select count(*) from site", vec![])
            .await?
            .count(0)
    }

    /// Forgets the join tokens that name a site: for itself, or as the parent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_join_tokens(&mut self, site: PointId) -> Result<u64, Error> {
        self.connection()
            .execute(
                "delete from join_token where site = $1 or parent = $1",
                vec![site.as_str().into()],
            )
            .await
    }

    /// Forgets the join tokens of a site that were not used and are for another place than this.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_join_tokens_elsewhere(
        &mut self,
        site: PointId,
        kind: SiteKind,
        parent: PointId,
    ) -> Result<u64, Error> {
        self.connection()
            .execute(
                "delete from join_token where site = $1 and used is null \
                 and (kind <> $2 or parent <> $3)",
                vec![
                    site.as_str().into(),
                    kind.name().into(),
                    parent.as_str().into(),
                ],
            )
            .await
    }

    /// Writes a join token down, replacing what was known of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_join_token(&mut self, token: &JoinTokenRow) -> Result<(), Error> {
        let values = [
            token.secret_hash.clone().into(),
            token.site.as_str().into(),
            token.kind.name().into(),
            token.parent.as_str().into(),
            token.expires.as_millisecond().into(),
            token.used.map(Timestamp::as_millisecond).into(),
            token.key_hash.clone().into(),
        ];
        self.connection()
            .insert(
                "insert into join_token (secret_hash, site, kind, parent, expires, used, key_hash)",
                vec![values],
                " on conflict (secret_hash) do update set used = excluded.used, \
                 key_hash = excluded.key_hash",
            )
            .await?;
        Ok(())
    }

    /// A join token by the digest of its secret.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn join_token(&mut self, secret_hash: &[u8]) -> Result<Option<JoinTokenRow>, Error> {
        let row = self
            .connection()
            .fetch_optional(JOIN_TOKEN, vec![secret_hash.into()])
            .await?;
        row.as_ref().map(token_of).transpose()
    }

    /// Forgets join tokens that expired before a time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_join_tokens(&mut self, before: Timestamp) -> Result<u64, Error> {
        self.connection()
            .execute(
                "delete from join_token where expires < $1",
                vec![before.as_millisecond().into()],
            )
            .await
    }

    /// Keeps the newest report of a site. False when a newer one is held.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_site_report(
        &mut self,
        site: PointId,
        sequence: u64,
        report: Vec<u8>,
    ) -> Result<bool, Error> {
        let changed = self
            .connection()
            .insert(
                "insert into site_report (site, sequence, report)",
                vec![[site.as_str().into(), int(sequence), report.into()]],
                " on conflict (site) do update set sequence = excluded.sequence, \
                 report = excluded.report where site_report.sequence < excluded.sequence",
            )
            .await?;
        Ok(changed > 0)
    }

    /// Forgets the report of a site.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_site_report(&mut self, site: PointId) -> Result<(), Error> {
        self.connection()
            .execute(
                "delete from site_report where site = $1",
                vec![site.as_str().into()],
            )
            .await?;
        Ok(())
    }
}

impl Read<'_> {
    /// All sites that joined, removed ones too, by code.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sites(&mut self) -> Result<Vec<SiteRow>, Error> {
        let rows = self
            .connection()
            .fetch(format!("{SITE} order by code"), vec![])
            .await?;
        rows.iter().map(site_of).collect()
    }

    /// The newest report of every site, by code.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn site_reports(&mut self) -> Result<Vec<(PointId, u64, Vec<u8>)>, Error> {
        let rows = self
            .connection()
            .fetch(
                "select site, sequence, report from site_report order by site",
                vec![],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok((
                    row.text(0)?.parse().map_err(corrupt)?,
                    row.count(1)?,
                    row.blob(2)?,
                ))
            })
            .collect()
    }
}
