-- Revisions that a run put aside, and the software update point that alone was asked; empty: this site's own run.
alter table sync_run add column failed bigint not null default 0;
alter table sync_run add column target text not null default '';
alter table sync_run add column subtree bigint not null default 0;

-- The part of each site in a run that is held here. The numbers are those of the site's status messages.
create table site_run (
    run         bytea not null,
    site        text not null,
    requested   bigint,            -- milliseconds since 1970, like all times
    first_begun bigint,
    begun       bigint,            -- number of the message of its newest beginning
    begun_at    bigint,
    ended       bigint,            -- number of the message of its newest end
    ended_at    bigint,
    state       text not null,
    error       text not null,
    told        bigint,            -- number of the message that tells what it did when
    details     text not null,      -- JSON array: the inserts of that message
    primary key (run, site)
);
