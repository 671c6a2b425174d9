//! Compression of one answer: whether the client wants it, and chunks in, compressed chunks out.
//!
//! The stream's end is written only when asked for. An answer that is broken off never gets it, so
//! that a client which unpacks notices.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{ACCEPT_ENCODING, HeaderMap};

/// One answer's compressor.
#[derive(Debug)]
pub(crate) struct Gzip {
    encoder: GzEncoder<Vec<u8>>,
}

impl Gzip {
    /// `level` from 1 (fast) to 9 (small).
    pub(crate) fn new(level: u32) -> Self {
        Self { encoder: GzEncoder::new(Vec::new(), Compression::new(level)) }
    }

    /// Takes a chunk in and gives out what is ready by now, which may be nothing.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> io::Result<Vec<u8>> {
        self.encoder.write_all(chunk)?;
        Ok(std::mem::take(self.encoder.get_mut()))
    }

    /// Takes the last chunk in and gives out the rest, the end included.
    pub(crate) fn finish(mut self, chunk: &[u8]) -> io::Result<Vec<u8>> {
        self.encoder.write_all(chunk)?;
        self.encoder.finish()
    }
}

/// Whether these request headers ask for gzip, as RFC 9110 section 12.5.3 reads them: `gzip;q=0`
/// and `identity, gzip;q=0.5` do not, `*` does.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    let mut gzip = None;
    let mut identity = None;
    let mut any = None;
    for value in headers.get_all(ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or_default().split(',') {
            let mut parts = item.split(';').map(str::trim);
            let coding = parts.next().unwrap_or_default().to_ascii_lowercase();
            let place = match coding.as_str() {
                "gzip" | "x-gzip" => &mut gzip,
                "identity" => &mut identity,
                "*" => &mut any,
                _ => continue,
            };
            *place = Some(weight(parts));
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// The `q` among the parameters, in thousandths. One that is none counts as 0: no harm is done.
fn weight<'a>(mut parameters: impl Iterator<Item = &'a str>) -> u16 {
    let q = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then_some(value.trim())
    });
    let Some(q) = q else { return 1000 };
    match q.parse::<f32>() {
        Ok(q) if (0.0..=1.0).contains(&q) => (q * 1000.0) as u16,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn wanted(accept_encoding: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, accept_encoding.parse().unwrap());
        is_wanted(&headers)
    }

    #[test]
    fn gzip_is_used_only_where_it_is_wanted() {
        for yes in [
            "gzip",
            "gzip, deflate",
            "deflate, GZIP;q=0.5",
            "*",
            "x-gzip",
            "gzip;q=1, identity;q=1",
        ] {
            assert!(wanted(yes), "{yes}");
        }
        for no in [
            "",
            "identity",
            "gzip;q=0",
            "gzip; Q=0.000",
            "*;q=0",
            "gzip;q=0, *",
            "deflate, br",
            "identity, gzip;q=0.5",
            "gzip;q=x",
            "gzip;q=-1",
            "gzipped",
        ] {
            assert!(!wanted(no), "{no}");
        }
        assert!(!is_wanted(&HeaderMap::new()));
    }

    #[test]
    fn several_header_lines_count_as_one() {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT_ENCODING, "deflate".parse().unwrap());
        headers.append(ACCEPT_ENCODING, "gzip".parse().unwrap());
        assert!(is_wanted(&headers));
    }

    #[test]
    fn what_comes_out_unpacks_to_what_went_in() {
        let chunk = b"kong_http_requests_total{service=\"a\"} 1\n".repeat(5000);
        let mut gzip = Gzip::new(1);
        let mut packed = Vec::new();
        for _ in 0..10 {
            packed.extend(gzip.push(&chunk).unwrap());
        }
        packed.extend(gzip.finish(b"end\n").unwrap());
        let mut text = Vec::new();
        GzDecoder::new(&packed[..]).read_to_end(&mut text).unwrap();
        assert_eq!(text, [chunk.repeat(10), b"end\n".to_vec()].concat());
    }

    #[test]
    fn what_was_not_finished_does_not_unpack_as_whole() {
        let mut gzip = Gzip::new(1);
        let packed = gzip.push(&b"a 1\n".repeat(100_000)).unwrap();
        let mut text = Vec::new();
        assert!(GzDecoder::new(&packed[..]).read_to_end(&mut text).is_err());
    }
}
