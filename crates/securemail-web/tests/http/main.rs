//! The portal as a browser, a robot and an attacker see it.

mod browser;
mod pages;
#[path = "../../../securemail-core/tests/pickup_world/mod.rs"]
mod pickup_world;
mod recipient;
mod refusals;
mod sender;
