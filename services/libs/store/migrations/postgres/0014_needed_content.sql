-- Why content files are needed: which update needs which file. Times are milliseconds since 1970.
create table content_need (
    holder bytea not null,              -- the GUID of an update, or a word for what is no update
    sha1   bytea not null,
    reason bigint not null,           -- 0 licence terms, 1 approved, 2 asked for, 3 immediate
    since  bigint not null,
    primary key (holder, sha1)
);
create index content_need_file on content_need (sha1);

-- Revisions that an update bundles and the catalog does not have: when one comes, the update is looked at again.
create table content_awaited (
    holder   bytea not null,
    member   bytea not null,            -- GUID, and the revision in four bytes
    primary key (holder, member)
);
create index content_awaited_member on content_awaited (member);

-- Every file that the verified catalog names.
create table content_named (
    sha1   bytea primary key not null,
    sha256 bytea,
    size   bigint not null,
    name   text not null,
    url    text not null               -- empty where the catalog has no address
);

-- Since when nothing needs a file that was needed before.
create table content_unneeded (
    sha1  bytea primary key not null,
    since bigint not null
);
create index content_unneeded_since on content_unneeded (since);
