-- Where a site was before: a former parent still holds status messages of it.
alter table site add column former_parents text not null default '[]';  -- JSON array of site codes
