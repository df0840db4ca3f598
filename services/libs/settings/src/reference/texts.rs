//! What the reference says besides the tables.

/// How it begins, until the first row.
pub(super) const HEAD: &str = "\
# Settings of a hierarchy

All are made at the top-level site, with `headwater settings set NAME=VALUE` or `headwater settings import FILE`, and travel to \
every site with the catalog, signed like it, except for what is the top-level site's alone. Every site below it is a replica: \
`headwater settings show` answers there too, and a change is refused with the site at which to make it. So a setting is set at one \
place; what the column *set at* adds is for which other sites it acts. Where the process of the top-level site was started with \
`upstream`, that decides `source.*` but for `reporting-events`. The same names serve TOML, JSON, the command line and the RPC. This \
page is printed by `headwater settings reference`.

| setting | meaning | default | values | set at | WSUS or Configuration Manager |
|---|---|---|---|---|---|
";

/// What stands before the table of secrets.
pub(super) const SECRETS_HEAD: &str = "
## Secrets

A secret is no setting: it is kept sealed at the top-level site, in no version and no file of them, and never
shown; `headwater settings show` says whether it is set. The command in the table asks for it, or reads one line of standard
input; with `--clear` it is given up.

| secret | meaning | set with | WSUS or Configuration Manager |
|---|---|---|---|
";

/// What stands behind it.
pub(super) const SECRETS_END: &str = "
A certificate authority is no secret: `source.ca-pem` is the text of a PEM file,
`headwater settings set source.ca-pem=\"$(cat ca.pem)\"`.
";

/// What the sections `supersedence` and `cleanup` do.
pub(super) const CLEANUP: &str = r#"
## Supersedence and clean-up

An update expires when the months of `supersedence` have passed since something was created that supersedes it,
directly or through others. Created is an update with the first revision of it that was ever held here, though that may be
removed since; a new revision puts nothing off. What expired is flagged at every site and stays where it is; it cannot be
approved for install any more. When the rules are lengthened, or what superseded it is withdrawn or declined, the flag goes
again. Definition updates never expire, nor does what only a service pack supersedes.

The clean-up follows each synchronization by itself; `headwater cleanup` starts it by hand, `--dry-run` only counts. It does
a bounded amount at a time and goes on after the next synchronization; broken off at any point, it goes on where it was.

| task of the WSUS cleanup wizard | here |
|---|---|
| Unused updates and update revisions | `cleanup.remove-unused-revisions`; an update itself goes when its source no longer has it |
| Expired updates | `cleanup.decline-expired` |
| Superseded updates | `cleanup.decline-superseded`; held for `cleanup.days`, not approved for `cleanup.undeployed-days`, not mandatory, replaced by an update that is approved for install; whether a client needs it is not known here |
| Computers not contacting the server | none: Headwater knows sites, and no client computers |
| Unneeded update files | `cleanup.unneeded-content`, `cleanup.content-days`; at every site for itself |

WSUS has to be cleaned up from the bottom of a hierarchy to its top, because each server deletes from its own database, and one
that still has what its upstream server deleted no longer agrees with it. Here nothing is deleted at one site alone: what
the top-level site declines and removes are changes of the one log that all sites follow, so every site takes them over in
order with its next synchronization, however long it was away. Only its own history and its update files are cleaned up at
each site by itself, and no other site depends on that.
"#;

/// What languages mean, and where a site stands.
pub(super) const LANGUAGES: &str = r#"
## Languages

English is always among them. `all` includes languages that appear later; `server-locale` is the language of the locale that
the site was started with (`--locale`, else that of the system). A site below another may have a part of its parent's
languages of update files, never more; without a choice of its own it has what its parent has, and `all` means all of
that. `headwater settings show --site SE1` says what is in effect there, and where it comes from. An update without a language
is for every language. Documents are kept and handed on byte for byte: languages say what is shown of them and which files
a site needs.

## Files of updates

The top-level site downloads files from its source, every other site from its parent. What a site chooses in `site.CODE.content` is
therefore what its parent has, or less. A file that comes late (a window, a limit, a connection that broke) is no failure
of a synchronization. [content.md](content.md) tells which files a site needs, and what becomes of them.

## Top-level site and replicas

Settings, approvals and declines come from the top-level site; every Headwater site below it is a replica of it. An autonomous
WSUS server downstream gets updates and decides for itself; one that is a replica of a site gets its approvals too, see
[downstream.md](downstream.md).
"#;

/// How a rule stands in a file, and how it comes and goes.
pub(super) const RULES: &str = r#"
## Rules of `approvals.rules`

There is one rule to begin with, and a file that has rules of its own has to name it too. A rule comes with the first setting
below its name, and goes with an empty value: `headwater settings set approvals.rules.office.title='*Office*'`,
`headwater settings set approvals.rules.office=`.

```toml
[approvals.rules.default-detection]     # Critical and Security Updates, as in WSUS
approval = "detection"
classifications = ["e6cf1350-c01b-414d-a61f-263d14d133b4", "0fa1201d-4330-4fa8-8ae9-b877473b6441"]
```
"#;

/// The forms of a schedule, as they stand in a file.
pub(super) const FORMS: &str = r#"
## Forms of `schedule.when`

Times are those of the wall in `schedule.time-zone`. A time that the clock skips is the first instant after the gap; one
that it shows twice is the first of the two. A time inside a window of `schedule.blackout` waits for its end. A time that
was missed is made up for once, and so is a synchronization that failed: after the end of the window, where one is open then.
What somebody asks for is not held up. The windows are those of the top-level site; a site below catches up with its parent,
and tries again when that failed, at any time. `headwater settings schedule preview` prints the next times, and says so where
nothing starts because there is no synchronization source.

```toml
[schedule]
time-zone = "Europe/Berlin"
# One of:
when = "off"
when = { simple = { every = 7, unit = "days", start = "2026-01-01T02:00:00" } }    # hours 1-23, days 1-31, weeks 1-4
when = { daily = { first = "03:00", times = 4, random-offset-minutes = 30 } }      # 1-24 a day, offset 0-30
when = { weekly = { weekdays = ["monday", "friday"], at = "04:15", every-weeks = 2, start = "2026-01-01" } }
when = { monthly-by-date = { day = 0, at = "03:00", every-months = 1 } }           # 0: the last day
when = { monthly-by-weekday = { week = "second", weekday = "tuesday", offset-days = 1, at = "03:00" } }
when = { cron = "0 3 8-14 * TUE" }                                                 # minute hour day month weekday
when = { cron = "0 0 3 14 JUL ? 2027" }                                            # second in front, year at the end: once

[[schedule.blackout]]
weekdays = ["saturday"]     # on which the window begins; none: every day
from = "22:00"
to = "04:00"                # not after "from": of the next day
```

On the command line a form is one value, `headwater settings set schedule.when='{"weekly":{"weekdays":["monday"]}}'`, or single
fields of it, `headwater settings set schedule.when.monthly-by-weekday.offset-days=1`; what is not named has its default.

| field | meaning | default | values |
|---|---|---|---|
"#;

/// What WSUS and Configuration Manager let one choose, and nothing here answers to.
pub(super) const ABSENT: &str = r#"
## Choices of WSUS and Configuration Manager that have no setting here, and why

| choice | here |
|---|---|
| This server is a replica of the upstream server | no choice: every Headwater site below another is a replica. Who wants to decide for themselves runs a second hierarchy, whose source is `[wsus] listen` of a site of the first, see [downstream.md](downstream.md) |
| Several software update points at the top-level site | one only: it alone writes and signs the catalog, and two would be two catalogs. When its machine is lost, it is restored from a backup, and every site compares itself with what is there then. Every other site may have several |
| Ports, Require SSL, connection type of a software update point | belong to one process, not to the hierarchy: `[wsus] listen`, `listen-tls`, `certificate-file`, `key-file` and `allow` in its settings file; clients on the internet or the intranet do not come here, only servers do |
| Maximum run time | Headwater installs nothing on clients; who deploys the updates sets it there |
| Third-party updates, and their signing certificate | none: updates come from the source or from imported packages, with the categories that they name, and are handed on as they are, signatures included |
| Surface drivers and firmware | no switch of their own: they are updates like others. Choose the classification Drivers and the products |
| WSUS maintenance: add non-clustered indexes | none: the database has the indexes that it needs from the beginning |
| Schedule with a recurrence of none (once) | `headwater sync start` now; at a time, a cron expression with a year |
| Deadline of an automatic approval with a time of day | whole days after the approval: `approvals.rules.<name>.deadline-days`. An approval by hand takes any time |
"#;
