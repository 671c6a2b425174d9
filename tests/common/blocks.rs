//! Code in the documentation: a language in, the blocks of it out.
#![allow(dead_code, unreachable_pub)] // each test file uses its part
#![allow(clippy::unwrap_used)] // clippy spares only #[test] itself

use std::fs;
use std::path::Path;

/// A block, without the indentation of the list that it may stand in.
pub struct Block {
    /// The page it stands on.
    pub page: String,
    pub text: String,
}

/// The blocks in README.md, CONTRIBUTING.md and docs/ that are marked as `language`.
pub fn blocks(language: &str) -> Vec<Block> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut pages: Vec<_> = docs.collect();
    pages.extend(["README.md", "CONTRIBUTING.md"].map(|name| root.join(name)));
    pages.sort();
    let mut blocks = Vec::new();
    for path in pages {
        let page = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some((indent, marked)) = line.split_once("```") else { continue };
            if !indent.trim().is_empty() || marked.contains('`') {
                continue;
            }
            let block = lines.by_ref().take_while(|line| line.trim() != "```");
            let block: Vec<_> =
                block.map(|line| line.strip_prefix(indent).unwrap_or(line)).collect();
            if marked == language {
                let text = block.join("\n") + "\n";
                blocks.push(Block { page: page.clone(), text });
            }
        }
    }
    blocks
}
