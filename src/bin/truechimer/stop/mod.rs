//! [`Stop`]: waiting that ends early when the user has seen enough.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod portable;
mod wait;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use linux::Stop;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub use portable::Stop;
pub use wait::Wait;
