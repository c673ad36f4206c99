//! Passphrases of encrypted drives in the desktop's Secret Service (GNOME Keyring, `KWallet`).
//!
//! They are looked up by the UUID of the encrypted device. The session is a plain one: the message bus is
//! local to the user. The agent never lets a dialog come up, so a locked keyring counts as none; only
//! [`store`], which somebody asked for, may. A passphrase is never logged. Its calls may block.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use futures_lite::StreamExt as _;
use serde::{Deserialize, Serialize};
use zbus::{Connection, OwnedObjectPath, Variant};

/// How long the service may take; a keyring's dialog is a person's pace.
const PATIENCE: Duration = Duration::from_secs(5);

const PERSONS_PATIENCE: Duration = Duration::from_mins(2);

/// A passphrase. It shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Vec<u8>);

impl Passphrase {
    /// The passphrase with these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// Why a passphrase is not there, or was not stored.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is no session bus, or no Secret Service on it.
    #[error("no keyring is running in this session: {0}")]
    Unavailable(String),
    /// The keyring is locked.
    #[error("the keyring is locked")]
    Locked,
    /// The user closed the keyring's dialog.
    #[error("the keyring was not opened")]
    Dismissed,
}

type Attributes<'a> = HashMap<&'a str, &'a str>;

#[derive(Debug, Serialize, Deserialize, zbus::wire::Type)]
struct Secret {
    session: OwnedObjectPath,
    parameters: Vec<u8>,
    value: Vec<u8>,
    content_type: String,
}

#[zbus::proxy(
    interface = "org.freedesktop.Secret.Service",
    default_service = "org.freedesktop.secrets",
    default_path = "/org/freedesktop/secrets"
)]
trait Service {
    fn open_session(
        &self,
        algorithm: &str,
        input: &Variant<'_>,
    ) -> zbus::Result<(zbus::OwnedVariant, OwnedObjectPath)>;
    fn search_items(
        &self,
        attributes: Attributes<'_>,
    ) -> zbus::Result<(Vec<OwnedObjectPath>, Vec<OwnedObjectPath>)>;
    fn unlock(
        &self,
        objects: Vec<OwnedObjectPath>,
    ) -> zbus::Result<(Vec<OwnedObjectPath>, OwnedObjectPath)>;
    fn read_alias(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
}

#[zbus::proxy(
    interface = "org.freedesktop.Secret.Item",
    default_service = "org.freedesktop.secrets"
)]
trait Item {
    fn get_secret(&self, session: &OwnedObjectPath) -> zbus::Result<Secret>;
}

#[zbus::proxy(
    interface = "org.freedesktop.Secret.Collection",
    default_service = "org.freedesktop.secrets"
)]
trait Collection {
    fn create_item(
        &self,
        properties: HashMap<&str, Variant<'_>>,
        secret: &Secret,
        replace: bool,
    ) -> zbus::Result<(OwnedObjectPath, OwnedObjectPath)>;
}

#[zbus::proxy(
    interface = "org.freedesktop.Secret.Prompt",
    default_service = "org.freedesktop.secrets"
)]
trait Prompt {
    fn prompt(&self, window_id: &str) -> zbus::Result<()>;
    #[zbus(signal)]
    fn completed(&self, dismissed: bool, result: Variant<'_>) -> zbus::Result<()>;
}

/// The passphrase stored for the encrypted device with this UUID; `None` if none is.
pub fn lookup(uuid: &str) -> Result<Option<Passphrase>, SecretError> {
    block_on(PATIENCE, async |bus| {
        let service = ServiceProxy::new(bus).await?;
        let (open, locked) = service.search_items(attributes(uuid)).await?;
        let Some(item) = open.into_iter().next() else {
            return Ok(if locked.is_empty() { Ok(None) } else { Err(SecretError::Locked) });
        };
        let session = session(&service).await?;
        let item = ItemProxy::builder(bus).path(item).build().await?;
        let secret = item.get_secret(&session).await?;
        Ok(Ok(Some(Passphrase(secret.value))))
    })
}

/// Stores the passphrase of the encrypted device with this UUID in the user's own keyring; `label` names it
/// there. A keyring that is locked asks the user.
pub fn store(uuid: &str, label: &str, passphrase: &Passphrase) -> Result<(), SecretError> {
    block_on(PERSONS_PATIENCE, async |bus| {
        let service = ServiceProxy::new(bus).await?;
        let session = session(&service).await?;
        let collection = service.read_alias("default").await?;
        let (_, prompt) = service.unlock(vec![collection.clone()]).await?;
        if !prompted(bus, prompt).await? {
            return Ok(Err(SecretError::Dismissed));
        }
        let collection = CollectionProxy::builder(bus).path(collection).build().await?;
        let secret = Secret {
            session,
            parameters: Vec::new(),
            value: passphrase.0.clone(),
            content_type: "text/plain".to_owned(),
        };
        let properties = HashMap::from([
            ("org.freedesktop.Secret.Item.Label", Variant::from(label)),
            ("org.freedesktop.Secret.Item.Attributes", Variant::from(attributes(uuid))),
        ]);
        let (_, prompt) = collection.create_item(properties, &secret, true).await?;
        let stored = prompted(bus, prompt).await?;
        Ok(if stored { Ok(()) } else { Err(SecretError::Dismissed) })
    })
}

fn attributes(uuid: &str) -> Attributes<'_> {
    HashMap::from([("application", "bkm-agent"), ("luks-uuid", uuid)])
}

async fn session(service: &ServiceProxy<'_>) -> zbus::Result<OwnedObjectPath> {
    Ok(service.open_session("plain", &Variant::from("")).await?.1)
}

/// Shows the keyring's dialog, if one is needed; whether it was answered.
async fn prompted(bus: &Connection, prompt: OwnedObjectPath) -> zbus::Result<bool> {
    if prompt.as_str() == "/" {
        return Ok(true);
    }
    let prompt = PromptProxy::builder(bus).path(prompt).build().await?;
    let mut completed = prompt.receive_completed().await?;
    prompt.prompt("").await?;
    let Some(answer) = completed.next().await else {
        return Ok(false);
    };
    Ok(!answer.args()?.dismissed)
}

fn block_on<T>(
    patience: Duration,
    talk: impl AsyncFnOnce(&Connection) -> zbus::Result<Result<T, SecretError>>,
) -> Result<T, SecretError> {
    let unavailable = |error: &dyn fmt::Display| {
        SecretError::Unavailable(crate::text::sanitize::line(&error.to_string()))
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| unavailable(&error))?;
    runtime.block_on(async {
        let talked = tokio::time::timeout(patience, async {
            let bus = Connection::session().await?;
            talk(&bus).await
        });
        match talked.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(unavailable(&error)),
            Err(_) => Err(unavailable(&"it does not answer")),
        }
    })
}
