-- Versions of the settings of the hierarchy; the newest is in force.
create table settings_version (
    version  bigint primary key,
    time     bigint not null,      -- milliseconds since 1970
    who      text not null,
    document text not null          -- JSON
);

-- Secrets that settings refer to, sealed with a key that is not in the database.
create table secret (
    name   text primary key,
    sealed bytea not null
);
