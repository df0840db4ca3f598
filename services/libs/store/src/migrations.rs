//! The steps that bring a database to this version's schema, one after the other. One that was released is never
//! changed: databases know its checksum.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// A step: its number, what it is about, and its SQL.
type Step = (i64, &'static str, &'static str);

/// Steps with the SQL of their files.
macro_rules! steps {
    ($folder:literal: $($number:literal $about:literal $file:literal,)+) => {
        &[$((
            $number,
            $about,
            include_str!(concat!("../migrations/", $folder, "/", $file)),
        ),)+]
    };
}

const SQLITE: &[Step] = steps! { "sqlite":
    1 "initial" "0001_initial.sql",
    2 "comparison" "0002_comparison.sql",
    3 "former parents" "0003_former_parents.sql",
    4 "settings" "0004_settings.sql",
    5 "outbox lookup" "0005_outbox_lookup.sql",
    7 "cleanup" "0007_cleanup.sql",
    8 "alerts" "0008_alerts.sql",
    9 "site runs" "0009_site_runs.sql",
    10 "access tokens" "0010_access_tokens.sql",
    11 "downstream servers" "0011_downstream_servers.sql",
    12 "packages" "0012_packages.sql",
    13 "content" "0013_content.sql",
    14 "needed content" "0014_needed_content.sql",
    15 "person certificates" "0015_person_certificates.sql",
    16 "creation dates" "0016_creation_dates.sql",
    17 "package history" "0017_package_history.sql",
};

const POSTGRES: &[Step] = steps! { "postgres":
    1 "initial" "0001_initial.sql",
    2 "comparison" "0002_comparison.sql",
    3 "former parents" "0003_former_parents.sql",
    4 "settings" "0004_settings.sql",
    5 "outbox lookup" "0005_outbox_lookup.sql",
    7 "cleanup" "0007_cleanup.sql",
    8 "alerts" "0008_alerts.sql",
    9 "site runs" "0009_site_runs.sql",
    10 "access tokens" "0010_access_tokens.sql",
    11 "downstream servers" "0011_downstream_servers.sql",
    12 "packages" "0012_packages.sql",
    13 "content" "0013_content.sql",
    14 "needed content" "0014_needed_content.sql",
    15 "person certificates" "0015_person_certificates.sql",
    16 "creation dates" "0016_creation_dates.sql",
    17 "package history" "0017_package_history.sql",
};

/// Brings a SQLite database to this version's schema.
pub(crate) fn sqlite() -> Migrator {
    migrator(SQLITE)
}

/// Brings a PostgreSQL database to this version's schema.
pub(crate) fn postgres() -> Migrator {
    migrator(POSTGRES)
}

fn migrator(steps: &[Step]) -> Migrator {
    let migration = |(number, about, sql): &Step| {
        let kind = MigrationType::Simple;
        Migration::new(*number, (*about).into(), kind, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(steps.iter().map(migration).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_file_is_a_step() {
        for (folder, steps) in [("sqlite", SQLITE), ("postgres", POSTGRES)] {
            let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
            let files = std::fs::read_dir(files.join(folder)).unwrap();
            let mut found: Vec<(String, String)> = files
                .map(|file| file.unwrap().path())
                .map(|file| {
                    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
                    (name, std::fs::read_to_string(file).unwrap())
                })
                .collect();
            found.sort();
            let named = steps.iter().map(|(number, about, sql)| {
                let about = about.replace(' ', "_");
                (format!("{number:04}_{about}.sql"), (*sql).to_owned())
            });
            assert_eq!(found, named.collect::<Vec<_>>());
        }
    }
}
