//! A disk in memory, whose bytes can be changed behind the log's back.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use synod_wal::disk::{Disk, DiskFile};

pub type Files = BTreeMap<String, Vec<u8>>;

#[derive(Default)]
pub struct Memory(Arc<Mutex<BTreeMap<String, Arc<Mutex<Vec<u8>>>>>>);

struct Open(Arc<Mutex<Vec<u8>>>);

impl Memory {
    pub fn of(files: Files) -> Self {
        let files = files.into_iter().map(|(name, bytes)| (name, Arc::new(Mutex::new(bytes))));
        Self(Arc::new(Mutex::new(files.collect())))
    }

    pub fn files(&self) -> Files {
        let files = self.0.lock().unwrap();
        files.iter().map(|(name, file)| (name.clone(), file.lock().unwrap().clone())).collect()
    }

    pub fn change(&self, change: impl FnOnce(&mut Files)) {
        let mut files = self.files();
        change(&mut files);
        *self.0.lock().unwrap() =
            files.into_iter().map(|(name, bytes)| (name, Arc::new(Mutex::new(bytes)))).collect();
    }
}

impl Disk for Memory {
    fn path(&self) -> &Path {
        Path::new("memory")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.0.lock().unwrap().get(name).cloned();
        Ok(Box::new(Open(file.ok_or(io::ErrorKind::NotFound)?)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = Arc::new(Mutex::new(Vec::new()));
        self.0.lock().unwrap().insert(name.to_owned(), file.clone());
        Ok(Box::new(Open(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.0.lock().unwrap().remove(name);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(1 << 30)
    }
}

impl DiskFile for Open {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let file = self.0.lock().unwrap();
        let bytes = file.get(offset as usize..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut file = self.0.lock().unwrap();
        let end = offset as usize + bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn allocate(&self, size_bytes: u64) -> io::Result<()> {
        self.0.lock().unwrap().resize(size_bytes as usize, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
