//! Lists of price levels and resting orders as JSON venues write them.
//!
//! Some venues take offers at any price: asks at 9,999,999,997 rest in real books. A [`Price`] ends at 9.2e9, and so far away
//! nothing trades; such an ask is left out whenever it is named.

use super::tape::{Items, Value};
use super::{DecodeError, LevelChange, MESSAGE_LEVELS_MAX, RestingOrder};
use crate::event::Side;
use crate::fixed::{FixedError, Price};

/// The largest number of resting orders taken from one message.
pub(super) const MESSAGE_ORDERS_MAX: usize = 1 << 16;

/// A price above 0; `None` where it is an ask beyond what a [`Price`] holds.
pub(super) fn book_price(price: Value<'_>, side: Side, name: &'static str) -> Result<Option<Price>, DecodeError> {
    match price.to_positive_price(name) {
        Err(DecodeError::Decimal(_, FixedError::Range))
            if side == Side::Sell && price.digits().is_some_and(|digits| !digits.starts_with('-')) =>
        {
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// Adds one level; `name` is the list's, for the error.
pub(super) fn push_level(
    levels: &mut Vec<LevelChange>,
    name: &'static str,
    side: Side,
    price: Value<'_>,
    qty: Value<'_>,
) -> Result<(), DecodeError> {
    let (price, qty) = (book_price(price, side, name)?, qty.to_qty(name)?);
    let Some(price) = price else { return Ok(()) };
    if levels.len() >= MESSAGE_LEVELS_MAX {
        return Err(DecodeError::TooManyLevels);
    }
    levels.push(LevelChange { side, price, qty });
    Ok(())
}

/// Adds the levels of a list of `[price, quantity, …]`.
pub(super) fn push_pairs(
    levels: &mut Vec<LevelChange>,
    name: &'static str,
    side: Side,
    list: Items<'_>,
) -> Result<(), DecodeError> {
    for level in list {
        let mut parts = level.items();
        let (Some(price), Some(qty)) = (parts.next(), parts.next()) else { return Err(DecodeError::WrongType(name)) };
        push_level(levels, name, side, price, qty)?;
    }
    Ok(())
}

/// Adds one resting order, where there is one.
pub(super) fn push_order(orders: &mut Vec<RestingOrder>, order: Option<RestingOrder>) -> Result<(), DecodeError> {
    let Some(order) = order else { return Ok(()) };
    if orders.len() >= MESSAGE_ORDERS_MAX {
        return Err(DecodeError::Capacity("orders"));
    }
    orders.push(order);
    Ok(())
}
