//! `wsyncmgr.log` on disk: appended to, turned over when full, read from its end.

use crate::log_line::{CUT, MAX_TEXT, clip};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Size at which a log is turned over, where nothing else is configured: 2.5 MiB.
pub const DEFAULT_MAX_BYTES: u64 = 2_621_440;
/// Smallest size that is accepted for turning over.
pub const MIN_MAX_BYTES: u64 = 10_000;
/// Most lines that [`tail`] returns.
pub const MAX_TAIL_LINES: usize = 20_000;
/// Most bytes that [`tail`] reads from each of the two files.
pub const MAX_TAIL_BYTES: u64 = 4 * 1024 * 1024;
/// Longest line that [`tail`] returns, in bytes; what is longer was not written here, and ends in [`CUT`].
pub const MAX_LINE: usize = 2 * MAX_TEXT;
/// Bytes read at a time, from the end backwards.
const BLOCK: u64 = 64 * 1024;

/// A log that cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error("{action} {} failed: check that the folder exists and may be written", path.display())]
pub struct LogFileError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// One log: `<name>.log`, and `<name>.lo_` with what came before it.
///
/// Every line is handed to the operating system before [`LogFile::append`] returns, so a process that
/// is killed loses none. The calls block: keep it in one task of its own.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    older: PathBuf,
    file: File,
    size: u64,
    max_bytes: u64,
    /// Whether a part of a line may stand at the end, that could not be taken back.
    torn: bool,
}

impl LogFile {
    /// Opens or creates `<name>.log` in `dir` and goes on at its end. A line that was cut off by a
    /// crash is closed first. `max_bytes` is at least [`MIN_MAX_BYTES`].
    pub fn open(dir: &Path, name: &str, max_bytes: u64) -> Result<Self, LogFileError> {
        Self::open_paths(dir, paths(dir, name), max_bytes)
    }

    /// The same for lines that are JSON: `<name>.jsonl`, and `<name>.json_` with what came before it.
    pub fn open_json(dir: &Path, name: &str, max_bytes: u64) -> Result<Self, LogFileError> {
        let file = |extension| dir.join(format!("{name}.{extension}"));
        Self::open_paths(dir, (file("jsonl"), file("json_")), max_bytes)
    }

    fn open_paths(
        dir: &Path,
        (path, older): (PathBuf, PathBuf),
        max_bytes: u64,
    ) -> Result<Self, LogFileError> {
        fs::create_dir_all(dir).map_err(|source| failed("creating", dir, source))?;
        let (file, size) = open_end(&path).map_err(|source| failed("opening", &path, source))?;
        Ok(Self {
            path,
            older,
            file,
            size,
            max_bytes: max_bytes.max(MIN_MAX_BYTES),
            torn: false,
        })
    }

    /// Appends a line as [`crate::LogLine::format`] makes it, and turns the log over before that when it is full.
    /// A log that someone deleted or moved away begins anew. Of a line that cannot be written whole, as when
    /// the disk is full, nothing stays.
    pub fn append(&mut self, line: &str) -> Result<(), LogFileError> {
        let length = line.len() as u64;
        if self.size > 0 && self.size + length > self.max_bytes {
            fs::rename(&self.path, &self.older)
                .or_else(ignore_missing)
                .map_err(|source| failed("turning over", &self.path, source))?;
            self.reopen()?;
        } else if self.torn || !self.path.exists() {
            self.reopen()?;
        }
        if let Err(source) = self.file.write_all(line.as_bytes()) {
            // Where it cannot be taken back, the next line begins on one of its own.
            self.torn = self.file.set_len(self.size).is_err();
            return Err(failed("writing", &self.path, source));
        }
        self.size += length;
        Ok(())
    }

    /// The last `lines` lines of this log, oldest first; see [`tail`].
    pub fn tail(&self, lines: usize) -> Result<Vec<String>, LogFileError> {
        tail_paths(&self.path, &self.older, lines)
    }

    /// How many of these lines, from the first on, stand at the end of this log already. The last line may be the
    /// beginning of the next one: what a crash left of it.
    pub fn ends_with_first_of(&self, lines: &[&str]) -> Result<usize, LogFileError> {
        let shown: Vec<String> = lines
            .iter()
            .map(|line| readable(line.trim_end_matches(['\r', '\n'])))
            .collect();
        let end = self.tail(lines.len() + 1)?;
        let there = (0..=shown.len()).rev().find(|count| {
            let (first, next) = shown.split_at(*count);
            let torn = |last: &String| next.first().is_some_and(|next| next.starts_with(last));
            match end.split_last() {
                _ if end.ends_with(first) => true,
                Some((last, before)) => torn(last) && before.ends_with(first),
                None => false,
            }
        });
        Ok(there.unwrap_or(0))
    }

    fn reopen(&mut self) -> Result<(), LogFileError> {
        (self.file, self.size) =
            open_end(&self.path).map_err(|source| failed("opening", &self.path, source))?;
        self.torn = false;
        Ok(())
    }
}

/// The last `lines` lines of the log `name` in `dir`, oldest first, without line ends; the older file
/// is read where the newer one does not suffice. Memory is bounded by [`MAX_TAIL_LINES`] and
/// [`MAX_TAIL_BYTES`]. A log that does not exist has no lines.
pub fn tail(dir: &Path, name: &str, lines: usize) -> Result<Vec<String>, LogFileError> {
    let (path, older) = paths(dir, name);
    tail_paths(&path, &older, lines)
}

fn paths(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    (
        dir.join(format!("{name}.log")),
        dir.join(format!("{name}.lo_")),
    )
}

fn tail_paths(path: &Path, older: &Path, lines: usize) -> Result<Vec<String>, LogFileError> {
    let wanted = lines.min(MAX_TAIL_LINES);
    let newest = last_lines(path, wanted).map_err(|source| failed("reading", path, source))?;
    let missing = wanted - newest.len();
    if missing == 0 {
        return Ok(newest);
    }
    let mut all = last_lines(older, missing).map_err(|source| failed("reading", older, source))?;
    all.extend(newest);
    Ok(all)
}

fn last_lines(path: &Path, wanted: usize) -> io::Result<Vec<String>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let end = file.seek(SeekFrom::End(0))?;
    let first = end.saturating_sub(MAX_TAIL_BYTES);
    let (mut start, mut breaks) = (end, 0);
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    // One break more than lines: the one that ends the line before the first that is wanted.
    while start > first && breaks <= wanted {
        let length = BLOCK.min(start - first);
        start -= length;
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        Read::by_ref(&mut file)
            .take(length)
            .read_to_end(&mut block)?;
        breaks += block.iter().filter(|byte| **byte == b'\n').count();
        blocks.push(block);
    }
    let bytes: Vec<u8> = blocks.into_iter().rev().flatten().collect();
    let text = String::from_utf8_lossy(&bytes);
    // What stands before the first break is a part of a line, unless the file begins there.
    let text = match text.split_once('\n') {
        Some((_, rest)) if start > 0 => rest,
        Some(_) | None => &text,
    };
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(wanted);
    Ok(lines[skipped..].iter().map(|line| readable(line)).collect())
}

/// A line as it may be shown and sent. What this program wrote stays as it is; but a file may hold
/// anything, and after a loss of power often megabytes of NUL.
fn readable(line: &str) -> String {
    let (kept, cut) = clip(line, MAX_LINE);
    let blank = |c: char| if c.is_control() && c != '\t' { ' ' } else { c };
    let mut readable: String = kept.chars().map(blank).collect();
    if cut {
        readable.push_str(CUT);
    }
    readable
}

fn open_end(path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    let mut file = options.read(true).append(true).create(true).open(path)?;
    let mut size = file.metadata()?.len();
    if size > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\r\n")?;
            size += 2;
        }
    }
    Ok((file, size))
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> LogFileError {
    LogFileError {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: usize) -> String {
        format!("line {number:06} {}\r\n", "x".repeat(86))
    }

    fn fill(dir: &Path, count: usize, max_bytes: u64) -> LogFile {
        let mut log = LogFile::open(dir, "wsyncmgr", max_bytes).unwrap();
        for number in 0..count {
            log.append(&line(number)).unwrap();
        }
        log
    }

    #[test]
    fn a_full_log_becomes_the_older_one() {
        let dir = tempfile::tempdir().unwrap();
        let log = fill(dir.path(), 250, 10_000);
        // 100 bytes a line: 100 lines fit, and the oldest 100 are gone.
        let lines = log.tail(1000).unwrap();
        assert_eq!(lines.len(), 150);
        assert!(lines[0].starts_with("line 000100 "));
        assert!(lines[149].starts_with("line 000249 "));
        let size = |name: &str| fs::metadata(dir.path().join(name)).unwrap().len();
        assert_eq!(
            (size("wsyncmgr.lo_"), size("wsyncmgr.log")),
            (10_000, 5_000)
        );
    }

    #[test]
    fn a_reopened_log_goes_on_where_it_stopped() {
        let dir = tempfile::tempdir().unwrap();
        drop(fill(dir.path(), 99, 10_000));
        let mut log = LogFile::open(dir.path(), "wsyncmgr", 10_000).unwrap();
        log.append(&line(99)).unwrap();
        assert!(!dir.path().join("wsyncmgr.lo_").exists());
        log.append(&line(100)).unwrap();
        assert_eq!(log.tail(1).unwrap(), [line(100).trim_end()]);
        assert!(dir.path().join("wsyncmgr.lo_").exists());
    }

    #[test]
    fn a_line_cut_by_a_crash_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("wsyncmgr.log"), "half a li").unwrap();
        let mut log = LogFile::open(dir.path(), "wsyncmgr", 10_000).unwrap();
        log.append("whole\r\n").unwrap();
        assert_eq!(log.tail(9).unwrap(), ["half a li", "whole"]);
    }

    /// A handle that takes nothing, after the disk took a part of a line.
    fn half_written(log: &mut LogFile, handle: File) {
        let path = log.path.clone();
        let mut other = OpenOptions::new().append(true).open(&path).unwrap();
        other.write_all(b"half a li").unwrap();
        log.file = handle;
        let refused = log.append("never whole\r\n").unwrap_err().to_string();
        assert!(refused.starts_with("writing "), "{refused}");
    }

    #[test]
    fn a_line_that_the_disk_did_not_take_whole_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = fill(dir.path(), 2, 10_000);
        let for_reading = File::open(dir.path().join("wsyncmgr.log")).unwrap();
        half_written(&mut log, for_reading);
        log.append("after\r\n").unwrap();
        let lines = log.tail(9).unwrap();
        assert_eq!(lines[2..], ["half a li", "after"]);
        assert_eq!(log.size, fs::metadata(&log.path).unwrap().len());
    }

    #[test]
    fn a_deleted_log_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = fill(dir.path(), 3, 10_000);
        fs::remove_file(dir.path().join("wsyncmgr.log")).unwrap();
        log.append("after\r\n").unwrap();
        assert_eq!(log.tail(9).unwrap(), ["after"]);
    }

    #[test]
    fn a_tail_spans_blocks_and_both_files() {
        let dir = tempfile::tempdir().unwrap();
        let log = fill(dir.path(), 5000, 300_000);
        for wanted in [0, 1, 655, 656, 1999, 2000, 2001, 4000] {
            let lines = log.tail(wanted).unwrap();
            assert_eq!(lines.len(), wanted);
            for (at, found) in lines.iter().enumerate() {
                assert_eq!(*found, line(5000 - wanted + at).trim_end());
            }
        }
        assert_eq!(
            tail(dir.path(), "wsyncmgr", 2).unwrap(),
            log.tail(2).unwrap()
        );
        assert!(tail(dir.path(), "absent", 2).unwrap().is_empty());
    }

    #[test]
    fn a_tail_of_a_huge_file_reads_only_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wsyncmgr.log");
        let file = File::create(&path).unwrap();
        file.set_len(3 * MAX_TAIL_BYTES).unwrap();
        drop(file);
        let mut log = LogFile::open(dir.path(), "wsyncmgr", u64::MAX).unwrap();
        log.append("last\r\n").unwrap();
        let lines = log.tail(usize::MAX).unwrap();
        assert_eq!(lines.last().unwrap(), "last");
        let total: usize = lines.iter().map(String::len).sum();
        assert!(total as u64 <= MAX_TAIL_BYTES);
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = LogFile::open(&file, "wsyncmgr", 0).unwrap_err().to_string();
        assert!(error.contains("file"), "{error}");
    }
}
