use kong_metrics_exporter::mapping::Snapshot;
use kong_metrics_exporter::rewrite::*;
use std::sync::Arc;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let body = std::fs::read(&a[1]).unwrap();
    let rounds: usize = a[2].parse().unwrap();
    let labels = Arc::new(LabelNames::default());
    let filter = Arc::new(FamilyFilter::default());
    let snap = Arc::new(Snapshot::default());
    let mut memo = Memo::default();
    let mut out = Vec::with_capacity(1 << 20);
    let mut total = 0;
    for _ in 0..rounds {
        let mut r =
            Rewriter::new(labels.clone(), filter.clone(), Selection::default(), snap.clone(), memo);
        let t = std::time::Instant::now();
        for c in body.chunks(65536) {
            out.clear();
            r.push(c, &mut out);
            total += out.len();
        }
        out.clear();
        r.finish(&mut out);
        eprintln!("{:?}", t.elapsed());
        let (m, s) = r.into_parts();
        memo = m;
        if rounds == 1 {
            eprintln!("{s:?}");
        }
    }
    println!("{total}");
}
