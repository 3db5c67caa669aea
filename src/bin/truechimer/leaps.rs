//! `truechimer leaps`: the leap table that the clock uses, or another, and how good it is.

use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;

use truechimer::scale::{LeapSecond, TableSource};
use truechimer::{LeapTable, LeapTableError, Timestamp, UnixTime, Utc};

/// Which leap table to use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TableChoice {
    /// The one this program was built with.
    BuiltIn,
    /// The one that the host's tzdata keeps.
    System,
    /// A leap-seconds.list, tzdata's leapseconds, or a TZif file.
    File(PathBuf),
}

impl FromStr for TableChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<TableChoice, Self::Err> {
        Ok(match text {
            "builtin" => TableChoice::BuiltIn,
            "system" => TableChoice::System,
            path => TableChoice::File(path.into()),
        })
    }
}

impl TableChoice {
    /// Reads the table.
    pub fn load(&self) -> Result<LeapTable, LeapTableError> {
        match self {
            TableChoice::BuiltIn => Ok(LeapTable::builtin()),
            TableChoice::System => LeapTable::system(),
            TableChoice::File(path) => LeapTable::open(path),
        }
    }
}

/// The arguments of `truechimer leaps`.
#[derive(clap::Args, Debug)]
pub struct LeapsArgs {
    /// The table to show: builtin, which the clock uses unless a program gives it another;
    /// system (tzdata's); or the path of a leap-seconds.list, tzdata's leapseconds or a TZif file
    #[arg(long, value_name = "TABLE", default_value = "builtin")]
    pub table: TableChoice,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Why `truechimer leaps` failed.
#[derive(Debug, thiserror::Error)]
pub enum LeapsError {
    /// The table cannot be used.
    #[error(transparent)]
    Table(#[from] LeapTableError),
    /// The output cannot be written.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// Prints the table, its source, expiry and hash state, as of `now`.
pub fn run(args: &LeapsArgs, now: UnixTime, out: &mut impl Write) -> Result<(), LeapsError> {
    let table = args.table.load()?;
    let facts = Facts::of(&table, now);
    if args.json {
        facts.write_json(out)?
    } else {
        facts.write_text(out)?
    }
    Ok(())
}

struct Facts<'a> {
    table: &'a LeapTable,
    expires: Option<Utc>,
    expired: bool,
    same_as_builtin: bool,
    next: Option<LeapSecond>,
}

impl Facts<'_> {
    fn of(table: &LeapTable, now: UnixTime) -> Facts<'_> {
        let moment: Option<Timestamp> =
            table.unix_to_interval(now.into()).ok().map(|now| now.earliest());
        Facts {
            table,
            expires: table.expires().map(Utc::from),
            expired: table.expires().is_some_and(|expires| now >= expires),
            same_as_builtin: table.entries().eq(LeapTable::builtin().entries()),
            next: moment.and_then(|now| table.next_leap(now)),
        }
    }

    fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        let table = self.table;
        writeln!(out, "source    {}", table.source())?;
        writeln!(out, "hash      {}", table.hash_state())?;
        match (self.expires, self.expired) {
            (None, _) => writeln!(out, "expires   the table does not say")?,
            (Some(expires), false) => writeln!(out, "expires   {expires:.0}")?,
            (Some(expires), true) => writeln!(
                out,
                "expires   {expires:.0}: EXPIRED; a leap second since then\n          \
                 would be missing here: {}",
                match table.source() {
                    TableSource::BuiltIn => "update truechimer",
                    _ => "update tzdata, or fetch the list again",
                }
            )?,
        }
        match (table.source(), self.same_as_builtin) {
            (TableSource::BuiltIn, _) => {
                writeln!(
                    out,
                    "used by   now, watch, doctor, and each `Clock` without a table of its own"
                )?;
                writeln!(out, "others    --table system, or --table PATH")?;
            }
            (_, true) => writeln!(out, "built-in  (which the clock uses) the same entries")?,
            (_, false) => writeln!(
                out,
                "built-in  (which the clock uses) has DIFFERENT entries: see --table builtin"
            )?,
        }
        match self.next {
            Some(leap) => writeln!(out, "next      {:.0} {}", leap.label, kind(&leap))?,
            None => writeln!(out, "next      none known")?,
        }
        writeln!(out, "leaps     {}", table.leaps().count())?;
        writeln!(out, "\nTAI − UTC  from or at")?;
        for entry in table.entries().take(1) {
            writeln!(out, "{:>9}  {:.0}", entry.tai_minus_utc, Utc::from(entry.since))?;
        }
        for leap in table.leaps() {
            writeln!(out, "{:>9}  {:.0} {}", leap.tai_minus_utc, leap.label, kind(&leap))?;
        }
        Ok(())
    }

    fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let text = |utc: Utc| format!("{utc:.0}");
        let leaps: Vec<serde_json::Value> = self.table.leaps().map(|leap| json(&leap)).collect();
        let facts = serde_json::json!({
            "source": self.table.source().to_string(),
            "hash": self.table.hash_state().to_string(),
            "expires": self.expires.map(text),
            "expired": self.expired,
            "used_by_default": *self.table.source() == TableSource::BuiltIn,
            "same_as_builtin": self.same_as_builtin,
            "next": self.next.as_ref().map(json),
            "leaps": leaps,
        });
        serde_json::to_writer_pretty(&mut *out, &facts)?;
        writeln!(out)
    }
}

fn kind(leap: &LeapSecond) -> &'static str {
    if leap.inserts { "inserted" } else { "skipped" }
}

fn json(leap: &LeapSecond) -> serde_json::Value {
    serde_json::json!({
        "utc": format!("{:.0}", leap.label),
        "kind": kind(leap),
        "tai_minus_utc_after": leap.tai_minus_utc,
        "begins_tai_ns": leap.at.tai_nanos().to_string(),
    })
}
