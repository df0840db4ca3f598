//! Both databases have the same tables, columns, nullability, keys and indexes.

use super::support::*;
use std::path::Path;

/// Table, column, whether it may be null, its type by SQLite's name.
const SQLITE_COLUMNS: &str = "
    select t.name, c.name, iif(c.\"notnull\" or c.pk > 0, 'not null', 'null'), lower(c.type)
    from sqlite_schema t join pragma_table_info(t.name) c
    where t.type = 'table' and t.name not like '\\_sqlx%' escape '\\' order by 1, 2";
const POSTGRES_COLUMNS: &str = "
    select cast(table_name as text), cast(column_name as text),
    case is_nullable when 'NO' then 'not null' else 'null' end,
    case data_type when 'bigint' then 'integer' when 'bytea' then 'blob' else cast(data_type as text) end
    from information_schema.columns
    where table_schema = 'public' and table_name not like '\\_sqlx%' order by 1, 2";

/// Table and column of each primary key.
const SQLITE_KEYS: &str = "
    select t.name, c.name from sqlite_schema t join pragma_table_info(t.name) c
    where t.type = 'table' and t.name not like '\\_sqlx%' escape '\\' and c.pk > 0 order by 1, c.pk";
const POSTGRES_KEYS: &str = "
    select cast(k.table_name as text), cast(k.column_name as text)
    from information_schema.table_constraints t join information_schema.key_column_usage k
    on k.constraint_name = t.constraint_name and k.table_schema = t.table_schema
    where t.constraint_type = 'PRIMARY KEY' and t.table_schema = 'public'
    and k.table_name not like '\\_sqlx%' order by cast(k.table_name as text), k.ordinal_position";

/// Names of the indexes that we gave a name.
const SQLITE_INDEXES: &str = "select tbl_name, name from sqlite_schema where type = 'index' and sql is not null order by 1, 2";
const POSTGRES_INDEXES: &str = "
    select cast(tablename as text), cast(indexname as text) from pg_indexes
    where schemaname = 'public' and indexname not like '%\\_pkey' order by 1, 2";

fn migrations(backend: &str) -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("migrations")
        .join(backend);
    let files = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub async fn the_schema_is_the_one_of_the_other_database(place: &Place) {
    let names = migrations("sqlite");
    assert!(!names.is_empty());
    assert_eq!(names, migrations("postgres"), "one number, one meaning");
    if !place.is_postgres() {
        return;
    }
    let other = Place::sqlite();
    let (postgres, sqlite) = (place.database().await, other.database().await);
    postgres.open().await.close().await;
    sqlite.open().await.close().await;
    for (ours, theirs) in [
        (SQLITE_COLUMNS, POSTGRES_COLUMNS),
        (SQLITE_KEYS, POSTGRES_KEYS),
        (SQLITE_INDEXES, POSTGRES_INDEXES),
    ] {
        let found = sqlite.rows(ours).await;
        assert!(!found.is_empty());
        assert_eq!(found, postgres.rows(theirs).await);
    }
}
