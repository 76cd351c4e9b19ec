//! Certificates, made by openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::Run;

/// Somebody who vouches for servers and clients.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
}

/// What an authority has issued.
#[derive(Debug)]
pub struct Certificate {
    /// The certificate.
    pub file: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// From when until when a certificate holds, as openssl has it: `YYMMDDHHMMSSZ`.
pub type Dates = (&'static str, &'static str);

/// For longer than these tests are of use to anybody.
pub const VALID: Dates = ("200101000000Z", "491231000000Z");
/// Long ago.
pub const OVER: Dates = ("200101000000Z", "200201000000Z");

const NEW: [&str; 6] = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/// What `openssl ca` will not do without.
const BOOKS: &str = "[ca]\ndefault_ca = it\n[it]\ndatabase = ./index\nnew_certs_dir = .\nrand_serial = yes\n\
                     default_md = sha256\nunique_subject = no\npolicy = anybody\ncertificate = ./ca.pem\n\
                     private_key = ./ca.key\n[anybody]\ncommonName = supplied\n";

impl Authority {
    /// A new one of this name, in `folder`.
    ///
    /// # Panics
    /// Where openssl does not.
    #[must_use]
    pub fn make(folder: &Path, name: &str) -> Self {
        let authority = Self { folder: folder.to_owned() };
        let subject = format!("/CN={name}");
        let itself = ["-x509", "-days", "3650", "-subj", &subject, "-keyout", "ca.key"];
        authority.openssl(&[&NEW[..], &itself, &["-out", "ca.pem"]].concat());
        for (name, text) in [("ca.conf", BOOKS), ("index", "")] {
            std::fs::write(folder.join(name), text).expect("the folder is writable");
        }
        authority
    }

    /// Its own certificate.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A certificate for `whom`, e.g. `IP:127.0.0.1` or `DNS:a.example`, in `<name>.pem` and `<name>.key`.
    ///
    /// # Panics
    /// Where openssl does not.
    #[must_use]
    pub fn issue(&self, name: &str, whom: &str, (from, until): Dates) -> Certificate {
        let [file, key, wish, more] =
            ["pem", "key", "csr", "extensions"].map(|kind| format!("{name}.{kind}"));
        let subject = format!("/CN={name}");
        self.openssl(&[&NEW[..], &["-subj", &subject, "-keyout", &key, "-out", &wish]].concat());
        let extensions = format!("subjectAltName={whom}\nextendedKeyUsage=serverAuth,clientAuth\n");
        std::fs::write(self.folder.join(&more), extensions).expect("the folder is writable");
        let sign = ["ca", "-batch", "-notext", "-config", "ca.conf", "-in", &wish, "-out", &file];
        let how = ["-startdate", from, "-enddate", until, "-extfile", &more];
        self.openssl(&[&sign[..], &how].concat());
        Certificate { file: self.folder.join(file), key: self.folder.join(key) }
    }

    fn openssl(&self, arguments: &[&str]) {
        let mut command = Command::new("openssl");
        let _ = Run::of(command.current_dir(&self.folder).args(arguments)).ok();
    }
}
