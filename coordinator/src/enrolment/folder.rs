//! The folder of a new coordinator that admits hospitals: its own keys, the authority, settings, an empty list of members.

use std::{net::SocketAddr, path::Path, time::SystemTime};

use getrandom::{SysRng, rand_core::UnwrapErr};
use host::private_folder::make_private_folder;
use protocol::identity::SigningKey;
use transport::{
    certificate_requests::{Role, certificate_request, new_key},
    certificates::{Authority, CertificateError},
};

use super::{CERTIFICATE_LIFETIME, MEMBERS, Members, MembersError};
use crate::{
    new_folder::{FolderError, at, refuse_unless_empty, write, write_secret, write_signing_key},
    settings::{self, host_of},
};

/// What the operator says of a new coordinator.
#[derive(Clone, Debug)]
pub struct NewCoordinator {
    /// Of the federation, for people: it stands in the authority's certificate.
    pub name: String,
    /// The UDP address to bind.
    pub listen: SocketAddr,
    /// `host:port` under which hospitals reach it.
    pub public: String,
}

impl NewCoordinator {
    /// Writes the folder, which must be empty or not exist. No hospital's key is made, nor the operator's.
    ///
    /// # Errors
    /// [`NewFolderError`] names the path.
    pub fn write(&self, folder: &Path) -> Result<(), NewFolderError> {
        refuse_unless_empty(folder)?;
        let (keys, state) = (folder.join("keys"), folder.join("state"));
        for private in [&keys, &state] {
            make_private_folder(private).map_err(at(private))?;
        }
        let authority = Authority::generate(&self.name)?;
        let tls_key = new_key()?;
        let certificate = own_certificate(&authority, &tls_key, &self.public)?;
        let signing_key = SigningKey::generate(&mut UnwrapErr(SysRng));
        write_secret(&keys.join("authority.key"), authority.key_pem().as_bytes())?;
        write_secret(&keys.join("tls.key"), tls_key.as_bytes())?;
        write_signing_key(&keys.join("signing.key"), &signing_key)?;
        write(&keys.join("tls.crt"), certificate.as_bytes())?;
        write(
            &folder.join("ca.crt"),
            authority.certificate_pem().as_bytes(),
        )?;
        Members::open(&state.join(MEMBERS))?;
        let settings = settings::template(self.listen, Some(&self.public));
        write(&folder.join("coordinator.toml"), settings.as_bytes())?;
        Ok(())
    }
}

/// The coordinator's certificate for the key it has, followed by that of the authority, by which a hospital that joins knows it.
///
/// # Errors
/// [`CertificateError`].
pub fn own_certificate(
    authority: &Authority,
    key_pem: &str,
    public: &str,
) -> Result<String, CertificateError> {
    let (request, _) = certificate_request(key_pem)?;
    let names = [host_of(public).to_owned()];
    let now = SystemTime::now();
    let role = Role::Coordinator(&names);
    let issued = authority.certify(&request, &role, now, now + CERTIFICATE_LIFETIME)?;
    Ok(issued.certificate_pem + authority.certificate_pem())
}

/// Why a folder is not written.
#[derive(Debug, thiserror::Error)]
pub enum NewFolderError {
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A name that no certificate can carry.
    #[error("cannot make the coordinator's certificates")]
    Certificate(#[from] CertificateError),
    /// The list of members.
    #[error(transparent)]
    Members(#[from] MembersError),
}
