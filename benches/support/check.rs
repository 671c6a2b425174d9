//! That what is measured is right: the generator prints the published bytes, and the rewriter the
//! same output however its input is cut.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use kong_metrics_exporter::rewrite::Memo;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::contestants::{self, Buffers};
use crate::files::Files;
use crate::generator::{HUGE_BYTES, HUGE_SHA256, Load, Order};

/// The 137 MB are those whose hash is published with the recipe.
pub(crate) fn generator() -> Result<(), Error> {
    struct Hash(Sha256, u64);
    impl Write for Hash {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            self.1 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut out = BufWriter::with_capacity(64 << 10, Hash(Sha256::new(), 0));
    Load::huge().print(Order::Oss, false, &mut out)?;
    let Hash(hash, bytes) = out.into_inner().map_err(|error| error.into_error())?;
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if (hash.as_str(), bytes) != (HUGE_SHA256, HUGE_BYTES) {
        return Err(format!("the generator prints {bytes} bytes of sha256 {hash}").into());
    }
    println!("the generator's {bytes} bytes have sha256 {hash}, as published");
    Ok(())
}

/// The same output for every chunk size; and, but for rules with two backends, which it knows
/// nothing of, the output of the line scan in Go.
pub(crate) fn rewriter(load: &Load, order: Order, peers: Option<&Path>) -> Result<(), Error> {
    let files = Files::write(&format!("check-{order:?}").to_lowercase(), load, order)?;
    let input = files.read()?;
    let rewritten = |chunk: usize| {
        let mut output = Vec::new();
        contestants::rewrite(Memo::default(), &input, chunk, Buffers::Reused, |bytes| {
            output.extend_from_slice(bytes);
        });
        output
    };
    let whole = rewritten(input.body.len());
    for chunk in [1, 7, 61, 1_000, 16 << 10, 64 << 10] {
        if rewritten(chunk) != whole {
            return Err(format!("output differs in chunks of {chunk} bytes").into());
        }
    }
    if !whole.windows(17).any(|w| w == b"exported_service=") {
        return Err("nothing was rewritten".into());
    }
    if let Some(program) = peers {
        let theirs = files.peers(program).rewritten_by_scan()?;
        let theirs = String::from_utf8(theirs)?.replace(r#"_kind="Service""#, r#"_kind="service""#);
        let ours = String::from_utf8(whole)?;
        let mut pairs = ours.lines().zip(theirs.lines());
        if let Some((ours, theirs)) = pairs.find(|(o, t)| o != t && !t.contains("-canary.")) {
            return Err(format!("output differs from Go's:\n{ours}\n{theirs}").into());
        }
        let (ours, theirs) = (ours.lines().count(), theirs.lines().count());
        if ours != theirs {
            return Err(format!("output has {ours} lines, Go's has {theirs}").into());
        }
    }
    Ok(())
}
