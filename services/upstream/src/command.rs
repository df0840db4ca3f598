//! The verb that starts the stand-in.

use crate::generator::GeneratorSettings;
use crate::serve::{Error, SourceSettings, UpstreamSettings, run};
use jiff::SignedDuration;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How many updates are generated where nothing else is asked for.
const DEFAULT_UPDATES: u32 = 10_000;
/// Shortest interval of changes.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// Serve a stand-in for Microsoft Update.
///
/// Answers downstream servers (Headwater or WSUS) over MS-WSUSSS from a catalog in memory, without the
/// internet. The catalog is generated from a seed, read from a package of "wsusutil export", or read from a
/// folder of update documents. The content files of a generated catalog are small, and served too; those of a
/// folder where they lie in a folder "Content" of it, laid out as the content store of WSUS.
///
/// It answers everybody; do not let it be reached from outside a test network. Send SIGUSR1 to publish one
/// change of a generated catalog at once.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct Command {
    /// Address and port to serve on; port 0 takes a free one, which the first line of output names.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8530")]
    listen: SocketAddr,

    /// Generate this many revisions of updates: bundles, their members, drivers. Categories and detectoids
    /// come on top. [default: 10000, where no other source is named]
    #[arg(long, value_name = "UPDATES", group = "source")]
    generate: Option<u32>,

    /// Seed of the generated catalog. The same seed and number of updates give the same catalog.
    #[arg(long, default_value_t = 1, conflicts_with_all = ["package", "dir"])]
    seed: u64,

    /// Serve a package that "wsusutil export" wrote, a .cab file.
    #[arg(long, value_name = "FILE", group = "source")]
    package: Option<PathBuf>,

    /// Serve a folder of update documents, one in each .xml file.
    #[arg(long, value_name = "FOLDER", group = "source")]
    dir: Option<PathBuf>,

    /// Publish a change of the generated catalog every so often, such as 30s, 5m or 1h.
    #[arg(long, value_name = "EVERY", value_parser = interval, conflicts_with_all = ["package", "dir"])]
    evolve: Option<Duration>,

    /// How much of the updates one change concerns, in percent: six in ten are new, three revised, one
    /// withdrawn.
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0, value_parser = percent, conflicts_with_all = ["package", "dir"])]
    evolve_percent: f64,
}

impl Command {
    /// What is to be served.
    pub fn settings(&self) -> UpstreamSettings {
        let source = match (&self.package, &self.dir) {
            (Some(file), _) => SourceSettings::Package(file.clone()),
            (None, Some(folder)) => SourceSettings::Directory(folder.clone()),
            (None, None) => SourceSettings::Generate(GeneratorSettings {
                seed: self.seed,
                updates: self.generate.unwrap_or(DEFAULT_UPDATES),
            }),
        };
        UpstreamSettings {
            source,
            evolve: self.evolve,
            evolve_percent: self.evolve_percent,
        }
    }

    /// Listens and serves until `shutdown` is cancelled.
    ///
    /// # Errors
    /// The address cannot be bound, the catalog cannot be read, or serving fails.
    pub async fn execute(&self, shutdown: CancellationToken) -> Result<(), Error> {
        let listener = TcpListener::bind(self.listen)
            .await
            .map_err(|source| Error::Listen {
                address: self.listen,
                source,
            })?;
        run(self.settings(), listener, shutdown).await
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let refuse =
        || format!("write a time such as 30s, 5m or 1h, of at least {SHORTEST_INTERVAL:?}");
    let interval: SignedDuration = text.parse().map_err(|_| refuse())?;
    match Duration::try_from(interval) {
        Ok(interval) if interval >= SHORTEST_INTERVAL => Ok(interval),
        _ => Err(refuse()),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent),
        _ => Err("write a number above 0 and up to 100".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        command: Command,
    }

    fn parse(arguments: &[&str]) -> Result<Command, String> {
        let arguments = std::iter::once(&"upstream").chain(arguments);
        let program = Program::try_parse_from(arguments);
        program
            .map(|program| program.command)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn without_arguments_a_catalog_of_moderate_size_is_generated() {
        let settings = parse(&[]).unwrap().settings();
        let expected = GeneratorSettings {
            seed: 1,
            updates: DEFAULT_UPDATES,
        };
        assert_eq!(settings.source, SourceSettings::Generate(expected));
        assert_eq!((settings.evolve, settings.evolve_percent), (None, 1.0));
    }

    #[test]
    fn everything_can_be_said() {
        let arguments = [
            "--listen",
            "127.0.0.1:0",
            "--generate",
            "50",
            "--seed",
            "7",
            "--evolve",
            "5m",
            "--evolve-percent",
            "2.5",
        ];
        let command = parse(&arguments).unwrap();
        let settings = command.settings();
        let expected = GeneratorSettings {
            seed: 7,
            updates: 50,
        };
        assert_eq!(settings.source, SourceSettings::Generate(expected));
        assert_eq!(settings.evolve, Some(Duration::from_secs(300)));
        assert!((settings.evolve_percent - 2.5).abs() < f64::EPSILON);
        let package = parse(&["--package", "export.cab"])
            .unwrap()
            .settings()
            .source;
        assert_eq!(package, SourceSettings::Package("export.cab".into()));
    }

    #[test]
    fn contradictions_and_wrong_values_are_refused() {
        for wrong in [
            &["--generate", "5", "--dir", "x"][..],
            &["--package", "x", "--dir", "x"],
            &["--package", "x", "--seed", "5"],
            &["--dir", "x", "--evolve", "1m"],
            &["--evolve", "0s"],
            &["--evolve", "soon"],
            &["--evolve-percent", "0"],
            &["--evolve-percent", "NaN"],
            &["--evolve-percent", "101"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
