//! A change that waits for signatures: the file that is carried from one signer to the next.
//!
//! Threats: the file may come by mail, and whoever handed it on may have changed it. So nothing in
//! it is trusted: a signer is shown what the metadata *says*, read from the very bytes that are
//! signed, and when it is applied, who must sign is taken from the trusted metadata of the
//! repository and not from here. Signatures that are not good are not taken over.

use std::collections::BTreeMap;

use super::draft::{Draft, Need};
use super::fields::{Fields, Malformed, int};
use super::json::{Json, Object};
use crate::exit::{Exit, Explain};
use crate::format::{Format, UnknownFormat};

/// The format of the file.
pub const FORMAT: Format = Format { name: "cutover.pending", major: 1, minor: 1 };

/// Most bytes of such a file.
pub const LARGEST: u64 = 256 << 20;

/// A change: some metadata files, and small target files that they vouch for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// What the change is, in the words of who made it.
    pub says: String,
    /// The metadata files.
    pub documents: Vec<Document>,
    /// Target path and text of small new targets.
    pub files: Vec<(String, String)>,
    /// Metadata files of the repository that it was made from, by path: what it is compared with, once
    /// that is verified from the signer's own root. Empty in changes of format 1.0.
    pub repository: BTreeMap<String, String>,
}

/// One metadata file of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its role.
    pub role: String,
    /// The version that it was made from; 0 where there was none.
    pub base: u64,
    /// Who must sign; each of these.
    pub needs: Vec<Need>,
    /// Who should sign as well, so that readers who do not know the new keys yet are content.
    pub overlap: Vec<Need>,
    /// What is signed.
    pub draft: Draft,
}

/// A file that is no pending change, or two that do not belong together.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPending {
    /// Not of the shape that the format prescribes.
    #[error("not a pending change: {0}")]
    Malformed(#[from] Malformed),
    /// Another format or a newer one.
    #[error("pending change: {0}")]
    Format(#[from] UnknownFormat),
    /// Signatures of different things cannot be merged.
    #[error("{role} is another one in each of the two files")]
    Different {
        /// The role whose metadata differs.
        role: String,
    },
}

impl Explain for InvalidPending {
    fn exit(&self) -> Exit {
        match self {
            Self::Malformed(_) | Self::Different { .. } => Exit::Usage,
            Self::Format(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Malformed(_) => Vec::new(),
            Self::Format(error) => error.hints(),
            Self::Different { .. } => {
                vec!["only copies of the same change can be merged; nothing was changed".to_owned()]
            }
        }
    }
}

impl Pending {
    /// A change without small files, which nobody has signed.
    #[must_use]
    pub fn new(says: String, documents: Vec<Document>) -> Self {
        Self { says, documents, files: Vec::new(), repository: BTreeMap::new() }
    }

    /// Reads the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidPending> {
        let json = Json::parse(bytes).map_err(|error| malformed(error.to_string()))?;
        let mut fields = Fields::new("pending change", json)?;
        FORMAT.accept(&fields.text("format")?)?;
        let documents = fields.list("documents")?.into_iter().map(Document::parse);
        let documents = documents.collect::<Result<Vec<_>, _>>()?;
        let mut roles: Vec<_> = documents.iter().map(|one| one.role.as_str()).collect();
        roles.sort_unstable();
        if roles.windows(2).any(|two| two[0] == two[1]) {
            return Err(malformed("a role repeats").into());
        }
        let files = fields.fields("files")?.each().map(|(path, text)| match text {
            Json::String(text) => Ok((path, text)),
            _ => Err(malformed(format!("{path} is not text"))),
        });
        let files = files.collect::<Result<_, _>>()?;
        let repository = fields.fields("repository")?.each().map(|(path, text)| match text {
            Json::String(text) => Ok((path, text)),
            _ => Err(malformed(format!("repository.{path} is not text"))),
        });
        let repository = repository.collect::<Result<_, _>>()?;
        Ok(Self { says: fields.text("says")?, documents, files, repository })
    }

    /// The file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let files: Object =
            self.files.iter().map(|(path, text)| (path.clone(), text.as_str().into())).collect();
        let repository = self.repository.iter();
        let repository = repository.map(|(path, text)| (path.clone(), text.as_str().into()));
        let repository = repository.collect();
        let json: Json = [
            ("format", FORMAT.to_string().into()),
            ("says", self.says.as_str().into()),
            ("documents", Json::Array(self.documents.iter().map(Document::to_json).collect())),
            ("files", Json::Object(files)),
            ("repository", Json::Object(repository)),
        ]
        .into_iter()
        .collect();
        let mut bytes = serde_json::to_vec_pretty(&json).expect("values are always JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Takes over the good signatures of another copy of the same change, in whatever order.
    pub fn merge(&mut self, other: &Self) -> Result<(), InvalidPending> {
        let different = |role: &str| InvalidPending::Different { role: role.to_owned() };
        let (mine, theirs) = (&mut self.documents, &other.documents);
        if let Some(more) = theirs.iter().find(|two| mine.iter().all(|one| one.role != two.role)) {
            return Err(different(&more.role));
        }
        for one in mine {
            let two = theirs.iter().find(|two| two.role == one.role);
            let two = two.ok_or_else(|| different(&one.role))?;
            if !one.draft.says_the_same(&two.draft) || one.base != two.base {
                return Err(different(&one.role));
            }
            one.draft.merge(&two.draft, one.needs.iter().chain(&one.overlap));
        }
        Ok(())
    }
}

impl Document {
    /// A metadata file that nobody has signed; who must is not known yet.
    #[must_use]
    pub fn new(role: String, base: u64, draft: Draft) -> Self {
        Self { role, base, needs: Vec::new(), overlap: Vec::new(), draft }
    }

    /// The version that it has.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.draft.head().map_or(0, |head| head.version)
    }

    /// Whether enough have signed.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        !self.needs.is_empty() && self.needs.iter().all(|need| need.missing(&self.draft) == 0)
    }

    /// Whether readers that do not know the new keys would be content, too.
    #[must_use]
    pub fn overlaps(&self) -> bool {
        self.overlap.iter().all(|need| need.missing(&self.draft) == 0)
    }

    fn to_json(&self) -> Json {
        let needs = |needs: &[Need]| Json::Array(needs.iter().map(Need::to_json).collect());
        [
            ("role", self.role.as_str().into()),
            ("base", int(self.base)),
            ("needs", needs(&self.needs)),
            ("overlap", needs(&self.overlap)),
            ("metadata", self.draft.to_json()),
        ]
        .into_iter()
        .collect()
    }

    fn parse(json: Json) -> Result<Self, Malformed> {
        let mut fields = Fields::new("documents", json)?;
        let needs = |needs: Vec<Json>| needs.into_iter().map(Need::parse).collect();
        Ok(Self {
            role: fields.text("role")?,
            base: fields.optional_size("base")?.ok_or_else(|| malformed("base is missing"))?,
            needs: fields.list("needs").and_then(needs)?,
            overlap: fields.list("overlap").and_then(needs)?,
            draft: Draft::parse(fields.required("metadata")?)?,
        })
    }
}

fn malformed(why: impl Into<String>) -> Malformed {
    Malformed::new("pending change", why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Signer;
    use crate::tuf::metadata::Head;
    use crate::tuf::targets::Targets;
    use crate::tuf::verify::RoleKeys;

    fn change(signers: &[&Signer]) -> Pending {
        let keys = signers.iter().map(|one| (one.id().to_owned(), one.public().clone())).collect();
        let keyids = signers.iter().map(|one| one.id().to_owned()).collect();
        let need = Need::new(&keys, &RoleKeys { keyids, threshold: 2 });
        let targets = Targets::new(Head::new(3, "2031-01-01T00:00:00Z".parse().unwrap()), None);
        let mut document = Document::new("channel-stable".into(), 2, Draft::new(&targets));
        document.needs.push(need);
        let files = vec![("channels/stable/weave.json".to_owned(), "{}\n".to_owned())];
        Pending { files, ..Pending::new("promote".to_owned(), vec![document]) }
    }

    fn sign(pending: &Pending, signer: &Signer) -> Pending {
        let mut signed = pending.clone();
        let draft = &mut signed.documents[0].draft;
        draft.add(signer.sign(&draft.message()));
        signed
    }

    #[test]
    fn partial_signatures_merge_in_either_order() {
        let (anna, bert) = (Signer::from_seed([1; 32]), Signer::from_seed([2; 32]));
        let empty = change(&[&anna, &bert]);
        assert_eq!(Pending::parse(&empty.to_bytes()).unwrap(), empty);
        let (one, two) = (sign(&empty, &anna), sign(&empty, &bert));
        assert!(!one.documents[0].is_signed());
        let mut merged = Pending::parse(&one.to_bytes()).unwrap();
        merged.merge(&two).unwrap();
        let mut other_way = two;
        other_way.merge(&one).unwrap();
        assert_eq!(merged, other_way);
        assert!(merged.documents[0].is_signed());
    }

    #[test]
    fn bad_and_foreign_signatures_are_left_behind() {
        let (anna, bert) = (Signer::from_seed([1; 32]), Signer::from_seed([2; 32]));
        let empty = change(&[&anna, &bert]);
        let mut tampered = empty.clone();
        tampered.documents[0].draft.add(anna.sign(b"something else"));
        let mut merged = sign(&empty, &bert);
        merged.merge(&tampered).unwrap();
        merged.merge(&sign(&empty, &Signer::from_seed([3; 32]))).unwrap();
        assert_eq!(merged, sign(&empty, &bert));
        let mut other = empty.clone();
        other.documents[0].base = 1;
        assert!(matches!(merged.merge(&other), Err(InvalidPending::Different { .. })));
    }

    #[test]
    fn other_files_are_refused() {
        for text in ["", "[]", "{}", r#"{"format":"cutover.release/1.0"}"#] {
            assert_eq!(Pending::parse(text.as_bytes()).unwrap_err().exit(), Exit::Usage, "{text}");
        }
    }
}
