-- The packages of the same history up to the one that was taken in last, the newest last, by what that says: JSON.
alter table package_source add column history text not null default '[]';
