//! A module that holds the engine's operations, and nothing else: `tools/wasm.py` counts its imports.

use std::sync::Arc;

use grantway_core::engine::{Engine, EngineConfig};
use grantway_core::moment::{Moment, UnixMillis};
use grantway_core::operation::{Machine, Operation, Reply, Step};
use grantway_core::principal::{Caller, ConnectorId, Principal};
use grantway_core::secret::Secret;
use grantway_core::store::{Keyring, SealingKey};
use grantway_core::upstream::begin_connect::BeginConnect;
use grantway_core::upstream::complete_connect::CompleteConnect;
use grantway_core::upstream::disconnect::Disconnect;
use grantway_core::upstream::report_rejected::ReportRejected;
use grantway_core::upstream::resolve::Resolve;

/// Begins every operation of the way from connecting to disconnecting; the number of those that asked for an effect.
#[unsafe(no_mangle)]
pub extern "C" fn begin_all(seed: u8) -> u32 {
    begin(seed).unwrap_or(0)
}

fn begin(seed: u8) -> Option<u32> {
    let bytes =
        |add: u8| std::array::from_fn(|at| (at as u8).wrapping_mul(7).wrapping_add(seed).wrapping_add(add));
    let keyring = Keyring::new(SealingKey::new(1, bytes(1)), bytes(2)).ok()?;
    let engine: Arc<Engine> = Engine::new(EngineConfig::new("wasm"), keyring).ok()?;
    let caller = Caller::new("acme", Principal::user("u").ok()?).ok()?;
    let connector = ConnectorId::new("notes").ok()?;
    let moment = Moment::new(UnixMillis(u64::from(seed)), bytes(3));
    let report = ReportRejected {
        caller: caller.clone(),
        connector: connector.clone(),
        connection: None,
        generation: 1,
        operation: "tools/call".to_owned(),
        status: 401,
        headers: Vec::new(),
        wait_ms: 0,
    };
    let complete = CompleteConnect {
        caller: Some(caller.clone()),
        callback_url: Secret::new("/callback?code=c&state=s"),
        cookies: None,
        process_secret: None,
    };
    let disconnect = Disconnect { caller: caller.clone(), connector: connector.clone(), owner: None };
    Some(
        asks(engine.begin_connect(BeginConnect::new(caller.clone(), connector.clone())), &moment)
            + asks(engine.complete_connect(complete), &moment)
            + asks(engine.resolve(Resolve::new(caller, connector)), &moment)
            + asks(engine.report_rejected(report), &moment)
            + asks(engine.disconnect(disconnect), &moment),
    )
}

fn asks<M: Machine>(mut operation: Operation<M>, moment: &Moment) -> u32 {
    u32::from(matches!(operation.step(moment, Reply::Start), Ok(Step::Perform(_))))
}
