-- What is wrong, or was, at the sites of the hierarchy. Times are milliseconds since 1970.
create table alert (
    id              blob primary key not null,     -- UUID
    kind            text not null,
    site            text not null,
    subject         text not null,               -- what it is about at the site; empty where that is the site itself
    since           integer not null,
    raised          integer,                          -- null while it has not lasted for long enough
    ended           integer,
    status_id       integer not null,
    inserts         text not null,               -- JSON
    mark            text not null,               -- what "since" was counted by
    acknowledged_by text not null,
    acknowledged_at integer
);
create unique index alert_open on alert (kind, site, subject) where ended is null;
create index alert_ended on alert (ended) where ended is not null;

-- What receivers have to be told of alerts.
create table alert_delivery (
    sequence     integer primary key,
    receiver     text not null,
    alert        blob not null,                    -- UUID
    body         text not null,                  -- JSON
    created      integer not null,
    attempts     integer not null,
    next_attempt integer not null
);
create index alert_delivery_receiver on alert_delivery (receiver, sequence);
