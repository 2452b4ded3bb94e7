use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::Path;

/// Gives a file or folder that this process just made at `path` to whoever owns the folder it is in, when it was root who
/// made it: the service whose folder that is could not open it otherwise. What another user makes stays as it is.
///
/// # Errors
/// When the owner cannot be looked up or changed.
pub fn give_to_owner_of_folder(path: &Path, made: &File) -> io::Result<()> {
    let folder = match path.parent() {
        None => return Ok(()),
        Some(here) if here == Path::new("") => Path::new("."),
        Some(folder) => folder,
    };
    let (owner, ours) = (fs::metadata(folder)?, made.metadata()?);
    // Something with a second name elsewhere is not what was just made here.
    let is_ours = ours.uid() == 0 && (ours.is_dir() || ours.nlink() == 1);
    if !is_ours || owner.uid() == 0 {
        return Ok(());
    }
    fchown(made, Some(owner.uid()), Some(owner.gid()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::chown;

    #[test]
    fn what_root_makes_is_given_to_the_owner_of_the_folder_unless_it_has_another_name_elsewhere() {
        let folder = std::env::temp_dir().join(format!("owner-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let ours = fs::metadata(&folder).unwrap().uid();
        let made = |name: &str| File::create(folder.join(name)).unwrap();
        let give = |name: &str, made: &File| {
            give_to_owner_of_folder(&folder.join(name), made).unwrap();
        };
        let owner = |name: &str| fs::metadata(folder.join(name)).unwrap().uid();
        give("before", &made("before"));
        assert_eq!(owner("before"), ours);
        if ours == 0 {
            chown(&folder, Some(65534), Some(65534)).unwrap();
            give("after", &made("after"));
            assert_eq!(owner("after"), 65534);
            let two = made("two");
            fs::hard_link(folder.join("two"), folder.join("names")).unwrap();
            give("two", &two);
            assert_eq!(owner("names"), 0);
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
