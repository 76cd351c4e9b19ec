//! throw-away
#![allow(
    clippy::all,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    missing_docs
)]
use cutover_formats::{digest::Digest, filelist::*, path::RelPath};
use cutover_pack::bundle::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::*;
use std::time::Instant;
fn walk(base: &Path, rel: &str, out: &mut Vec<SourceEntry>) {
    for e in fs::read_dir(base.join(rel)).unwrap() {
        let e = e.unwrap();
        let n = e.file_name().into_string().unwrap();
        let r = if rel.is_empty() { n } else { format!("{rel}/{n}") };
        let m = e.metadata().unwrap();
        let path: RelPath = r.parse().unwrap();
        let kind = if m.is_dir() {
            walk(base, &r, out);
            Source::Folder
        } else if m.is_symlink() {
            Source::Link {
                target: fs::read_link(e.path()).unwrap().into_os_string().into_string().unwrap(),
            }
        } else {
            Source::File {
                executable: m.permissions().mode() & 0o100 != 0,
                size: m.len(),
                source: e.path(),
            }
        };
        out.push(SourceEntry { path, kind });
    }
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    if a[1] == "pack" {
        let t = Instant::now();
        let mut v = vec![];
        walk(Path::new(&a[2]), "", &mut v);
        let tw = t.elapsed();
        let c = Contents {
            product: "x".parse().unwrap(),
            version: "1.0.0".parse().unwrap(),
            time: 1700000000,
            entries: v,
        };
        let mut f = fs::File::create(&a[3]).unwrap();
        let mut o = Options::level(a[4].parse().unwrap());
        if let Some(n) = a.get(5) {
            o.threads = n.parse().unwrap();
        }
        let w = write(&c, o, &mut f, &|_| ()).unwrap();
        let tb = t.elapsed();
        let l = w.list.to_bytes();
        fs::write(format!("{}.list", a[3]), &l).unwrap();
        fs::write(
            format!("{}.meta", a[3]),
            format!("{} {}", w.list.entries().len(), w.list.bytes()),
        )
        .unwrap();
        eprintln!(
            "walk {:?} bundle {:?} all {:?} size {} list {} json {} sha {}",
            tw,
            tb,
            t.elapsed(),
            w.size,
            l.len(),
            w.list.to_json().len(),
            w.sha256
        );
    } else {
        let t = Instant::now();
        let l = fs::read(format!("{}.list", a[2])).unwrap();
        let m = fs::read_to_string(format!("{}.meta", a[2])).unwrap();
        let m: Vec<u64> = m.split(' ').map(|x| x.parse().unwrap()).collect();
        let p = "x".parse().unwrap();
        let ver = "1.0.0".parse().unwrap();
        let list = FileList::parse(
            &l,
            &Expected {
                product: &p,
                version: &ver,
                time: 1700000000,
                sha256: Digest::of(&l),
                size: l.len() as u64,
                entries: m[0],
                bytes: m[1],
            },
        )
        .unwrap();
        let tp = t.elapsed();
        let u = cutover_install::unpack::unpack(&list, Path::new(&a[2]), Path::new(&a[3]), &|_| ())
            .unwrap();
        let tu = t.elapsed();
        let f = if a.len() > 4 {
            cutover_install::audit::audit(&list, Path::new(&a[3]), &[]).unwrap().len()
        } else {
            0
        };
        eprintln!("parse {tp:?} unpacked {tu:?} {u:?} audit {f} {:?}", t.elapsed());
    }
}
