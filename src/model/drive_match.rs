//! By what a profile recognises a drive that is not paired yet.

/// What a drive must be to be the profile's; every field that is given must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct DriveMatch {
    /// UUID of the file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Label of the file system, in plain characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// UUID of the partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partuuid: Option<String>,
    /// Name of the partition (GPT).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partlabel: Option<String>,
    /// Serial number of the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
}

impl std::fmt::Display for DriveMatch {
    /// As in `label "PHOTOS", serial "1234"`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields = [
            ("uuid", &self.uuid),
            ("label", &self.label),
            ("partuuid", &self.partuuid),
            ("partlabel", &self.partlabel),
            ("serial", &self.serial),
        ];
        let mut between = "";
        for (name, value) in fields {
            if let Some(value) = value {
                write!(f, "{between}{name} {value:?}")?;
                between = ", ";
            }
        }
        Ok(())
    }
}
