//! Where networks are trained: the processor, or a graphics card.
//!
//! Graphics cards need a build with the feature `gpu` and a driver with Vulkan. The same seed gives the same model on one device; another
//! device, or driver, rounds elsewhere. The feature is not part of `full`: what runs in CI is the processor's.

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device};
use std::fmt;
use std::str::FromStr;

/// What a network can be trained on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TrainingDevice {
    /// The processor.
    #[default]
    Cpu,
    /// The first graphics card.
    Gpu,
}

/// Why a device cannot be had.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DeviceError {
    /// Not a device.
    #[error("no device is called {0:?}: cpu or gpu")]
    Unknown(String),
    /// The program has no code for it.
    #[error("this program was built without graphics cards: build it with `--features gpu`, or train on the cpu")]
    NotBuilt,
    /// The machine has none.
    #[error("no graphics card with Vulkan was found: install its driver and the Vulkan loader, or train on the cpu")]
    NoneFound,
}

impl TrainingDevice {
    /// All there are.
    pub const ALL: [TrainingDevice; 2] = [TrainingDevice::Cpu, TrainingDevice::Gpu];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            TrainingDevice::Cpu => "cpu",
            TrainingDevice::Gpu => "gpu",
        }
    }

    /// The device, the first of its kind, for tensors without gradients; `.autodiff()` gives those with.
    ///
    /// # Errors
    /// [`DeviceError`]: the build or the machine has none.
    pub fn open(self) -> Result<Device, DeviceError> {
        match self {
            TrainingDevice::Cpu => Ok(Device::flex()),
            TrainingDevice::Gpu => first_card(),
        }
    }
}

impl fmt::Display for TrainingDevice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for TrainingDevice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<TrainingDevice, DeviceError> {
        let named = TrainingDevice::ALL.into_iter().find(|device| device.name() == text);
        named.ok_or_else(|| DeviceError::Unknown(text.to_owned()))
    }
}

/// What products of mixed precision are computed in on a device: bfloat16, or float16 where there is none; `None` where there is neither.
pub fn half_precision(device: &Device) -> Option<DType> {
    [DType::BF16, DType::F16].into_iter().find(|dtype| device.supports_dtype(*dtype))
}

/// Whether tensors of a device are computed by the processor, with or without gradients.
pub(crate) fn is_processor(device: &Device) -> bool {
    matches!(device.clone().without_autodiff().as_dispatch(), DispatchDevice::Flex(_))
}

#[cfg(feature = "gpu")]
fn first_card() -> Result<Device, DeviceError> {
    // A renderer in software answers too: it is no card, and compiles none of these kernels.
    let is_card = |device: &&Device| device.identity().is_some_and(|identity| identity.physical.is_some());
    Device::enumerate(burn::tensor::DeviceType::Vulkan).iter().find(is_card).cloned().ok_or(DeviceError::NoneFound)
}

#[cfg(not(feature = "gpu"))]
fn first_card() -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_had_or_the_remedy_told() {
        for device in TrainingDevice::ALL {
            assert_eq!(device.name().parse(), Ok(device));
            match device.open() {
                Ok(opened) => assert_eq!(is_processor(&opened.autodiff()), device == TrainingDevice::Cpu),
                Err(error) => {
                    assert_ne!(device, TrainingDevice::Cpu);
                    let text = error.to_string();
                    assert!(text.ends_with("or train on the cpu"), "{text}");
                }
            }
        }
        let error = "tpu".parse::<TrainingDevice>().unwrap_err();
        assert_eq!(error.to_string(), "no device is called \"tpu\": cpu or gpu");
    }
}
