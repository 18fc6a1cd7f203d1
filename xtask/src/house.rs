//! What the checks look at: the texts of the repository and the packages of the workspace.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::{fmt, fs, io};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// The repository, read once. Paths are relative to its root, with forward slashes.
#[derive(Default)]
pub struct House {
    /// Every file by its path; a file that is not text counts as empty.
    pub files: BTreeMap<String, String>,
    /// The members of the workspace.
    pub packages: Vec<Package>,
}

/// A member of the workspace.
pub struct Package {
    /// As in its manifest.
    pub name: String,
    /// Its folder.
    pub home: String,
    /// What its manifest asks for.
    pub dependencies: Vec<Dependency>,
    /// The files that its targets begin with.
    pub roots: Vec<String>,
}

/// A line of a manifest.
pub struct Dependency {
    /// The name of the package asked for.
    pub name: String,
    /// What the crate calls it.
    pub called: String,
    /// Its folder, if it is a member of the workspace.
    pub home: Option<String>,
    /// Whether only tests, examples and benchmarks may use it.
    pub dev: bool,
}

/// Something that is wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint(String);

impl Complaint {
    /// About a whole file, folder or package.
    pub fn about(place: &str, what: impl fmt::Display) -> Self {
        Self(format!("{place}: {what}"))
    }

    /// About one line of a file, counted from 1.
    pub fn at(path: &str, line: usize, what: impl fmt::Display) -> Self {
        Self(format!("{path}:{line}: {what}"))
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The repository could not be read.
#[derive(Debug)]
pub enum ReadError {
    /// A file or folder.
    File(PathBuf, io::Error),
    /// The manifests.
    Manifests(cargo_metadata::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::Manifests(error) => write!(f, "cannot read the manifests: {error}"),
        }
    }
}

impl std::error::Error for ReadError {}

impl House {
    /// Reads the repository at `root`, without what its `.gitignore` names.
    ///
    /// # Errors
    /// [`ReadError`], naming the file.
    pub fn read(root: &Path) -> Result<Self, ReadError> {
        let root = root.canonicalize().map_err(|error| ReadError::File(root.into(), error))?;
        let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
        let ignored: Vec<_> = ignored.lines().map(|line| line.trim_matches('/')).collect();
        let mut files = BTreeMap::new();
        read_folder(&root, &root, &ignored, &mut files)?;
        let metadata = MetadataCommand::new()
            .manifest_path(root.join("Cargo.toml"))
            .no_deps()
            .exec()
            .map_err(ReadError::Manifests)?;
        Ok(Self { files, packages: packages(&metadata) })
    }

    /// A house of these files only, for tests.
    #[must_use]
    pub fn of_files(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| (path.to_string(), text.to_string()));
        Self { files: files.collect(), packages: Vec::new() }
    }

    /// The files whose names end in `ending`: path and text.
    pub fn ending_in(&self, ending: &'static str) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.ends_with(ending))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

fn read_folder(
    root: &Path,
    folder: &Path,
    ignored: &[&str],
    files: &mut BTreeMap<String, String>,
) -> Result<(), ReadError> {
    let failed = |error| ReadError::File(folder.into(), error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (name, path) = (entry.file_name(), entry.path());
        if name == ".git" || ignored.iter().any(|ignored| name == *ignored) {
            continue;
        }
        if entry.file_type().map_err(failed)?.is_dir() {
            read_folder(root, &path, ignored, files)?;
        } else {
            let bytes = fs::read(&path).map_err(|error| ReadError::File(path.clone(), error))?;
            files.insert(relative(root, &path), String::from_utf8(bytes).unwrap_or_default());
        }
    }
    Ok(())
}

/// `path` as seen from `root`, with `..` resolved.
fn relative(root: &Path, path: &Path) -> String {
    let mut parts = Vec::new();
    for part in path.strip_prefix(root).unwrap_or(path).components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            _ => parts.push(part.as_os_str().to_string_lossy()),
        }
    }
    parts.join("/")
}

fn packages(metadata: &Metadata) -> Vec<Package> {
    let root = metadata.workspace_root.as_std_path();
    let package = |package: &cargo_metadata::Package| {
        let home = package.manifest_path.parent().expect("a manifest lies in a folder");
        let dependency = |dependency: &cargo_metadata::Dependency| Dependency {
            name: dependency.name.clone(),
            called: dependency.rename.as_ref().unwrap_or(&dependency.name).clone(),
            home: dependency.path.as_ref().map(|path| relative(root, path.as_std_path())),
            dev: dependency.kind == DependencyKind::Development,
        };
        let roots = package.targets.iter().map(|target| target.src_path.as_std_path());
        Package {
            name: package.name.to_string(),
            home: relative(root, home.as_std_path()),
            dependencies: package.dependencies.iter().map(dependency).collect(),
            roots: roots.map(|path| relative(root, path)).collect(),
        }
    };
    metadata.packages.iter().map(package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_seen_from_the_root() {
        let seen = |path| relative(Path::new("/a"), Path::new(path));
        assert_eq!(seen("/a/core/engine"), "core/engine");
        assert_eq!(seen("/a/drivers/b/../../examples/c.rs"), "examples/c.rs");
    }
}
