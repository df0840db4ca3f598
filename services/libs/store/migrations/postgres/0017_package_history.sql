-- The packages that were made before the one that was taken in last, by what that says: JSON.
alter table package_source add column earlier text not null default '[]';
