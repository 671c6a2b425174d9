//! The files of one body. The contestants in Go and the runs of one contestant alone read them too.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kong_metrics_exporter::mapping;
use kong_metrics_exporter::rewrite::Memo;

use crate::Error;
use crate::contestants::{self, Buffers, Input};
use crate::generator::{Load, Order};
use crate::peers::Peers;

/// Where the body lies, and its mapping in both formats.
pub(crate) struct Files {
    body: PathBuf,
    mapping: PathBuf,
    table: PathBuf,
}

impl Files {
    /// Where the files of a body of this name lie.
    pub(crate) fn named(stem: &str) -> Self {
        let directory = Path::new(FOLDER);
        Self {
            body: directory.join(format!("{stem}.txt")),
            mapping: directory.join("mapping.json"),
            table: directory.join("mapping.tsv"),
        }
    }

    /// Writes them. One mapping for every size: 5,000 services, of which a body has the first ones.
    pub(crate) fn write(stem: &str, load: &Load, order: Order) -> Result<Self, Error> {
        let files = Self::named(stem);
        fs::create_dir_all(FOLDER)?;
        let mut out = BufWriter::new(File::create(&files.body)?);
        load.print(order, true, &mut out)?;
        out.flush()?;
        fs::write(&files.mapping, Load::huge().mapping_file())?;
        fs::write(&files.table, Load::huge().mapping_table())?;
        Ok(files)
    }

    /// Everything a contestant in this process needs.
    pub(crate) fn read(&self) -> Result<Input, Error> {
        let mut input = Input {
            body: fs::read(&self.body)?,
            snapshot: Arc::new(mapping::file::parse(&fs::read(&self.mapping)?)?),
            labels: ready_made_labels(&fs::read_to_string(&self.table)?),
            output_bytes: 0,
        };
        let mut written = 0;
        contestants::rewrite(Memo::default(), &input, 64 << 10, Buffers::Reused, |bytes| {
            written += bytes.len();
        });
        input.output_bytes = written;
        Ok(input)
    }

    /// The contestants in Go, on these files.
    pub(crate) fn peers(&self, program: &Path) -> Peers {
        Peers { program: program.to_owned(), body: self.body.clone(), mapping: self.table.clone() }
    }
}

fn ready_made_labels(table: &str) -> HashMap<Vec<u8>, Vec<u8>> {
    table
        .lines()
        .filter_map(|line| {
            let (name, service) = line.split_once('\t')?;
            let (namespace, service) = service.split_once('\t')?;
            let labels = format!(
                r#"exported_service="{service}",exported_namespace="{namespace}",kubernetes_name="{service}",kubernetes_namespace="{namespace}",kubernetes_kind="service",kubernetes_apiversion="v1",kong_service="{name}""#
            );
            Some((name.into(), labels.into()))
        })
        .collect()
}

/// Assignments for a shell.
impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "body='{}'", self.body.display())?;
        writeln!(f, "mapping='{}'", self.mapping.display())?;
        writeln!(f, "table='{}'", self.table.display())
    }
}

/// Of their own: tests write a `mapping.json` too, and a bench that takes theirs measures nothing.
const FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/bench");
