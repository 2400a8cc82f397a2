//! The circulation of parameter blocks: filled here, used by the hot side, retired back here.

use crate::links::BLOCKS;
use chronos_market::ParameterBlock;
use rtrb::{Consumer, Producer};
use std::collections::VecDeque;

/// Sends answers in order and reuses what comes back. Nothing here waits: an answer for which no block is free stays in a queue,
/// so the cold side goes on reading and the two sides cannot wait for each other.
pub(crate) struct BlockCirculation {
    #[expect(clippy::vec_box, reason = "the boxes themselves go through the rings")]
    free: Vec<Box<ParameterBlock>>,
    waiting: VecDeque<ParameterBlock>,
    blocks: Producer<Box<ParameterBlock>>,
    retired: Consumer<Box<ParameterBlock>>,
}

impl BlockCirculation {
    /// All [`BLOCKS`] blocks, free.
    pub(crate) fn new(blocks: Producer<Box<ParameterBlock>>, retired: Consumer<Box<ParameterBlock>>) -> BlockCirculation {
        let free = (0..BLOCKS).map(|_| Box::new(ParameterBlock::initial())).collect();
        BlockCirculation { free, waiting: VecDeque::with_capacity(BLOCKS), blocks, retired }
    }

    /// Takes an answer and sends what can be sent.
    pub(crate) fn send(&mut self, block: ParameterBlock) {
        self.waiting.push_back(block);
        self.deliver();
    }

    /// Takes back what was retired and sends what can be sent; returns whether anything was sent.
    pub(crate) fn deliver(&mut self) -> bool {
        while let Ok(block) = self.retired.pop() {
            self.free.push(block);
        }
        let mut sent = false;
        while !self.waiting.is_empty() && !self.blocks.is_full() {
            let Some(mut block) = self.free.pop() else { break };
            let Some(answer) = self.waiting.pop_front() else { break };
            *block = answer;
            if let Err(rtrb::PushError::Full(block)) = self.blocks.push(block) {
                // Cannot be: it was not full, and nobody else pushes.
                self.waiting.push_front((*block).clone());
                self.free.push(block);
                break;
            }
            sent = true;
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::cold_links;

    fn block(seq: u64) -> ParameterBlock {
        ParameterBlock { seq, ..ParameterBlock::initial() }
    }

    #[test]
    fn answers_beyond_the_blocks_wait_for_retired_ones_and_keep_their_order() {
        let (mut hot, cold) = cold_links(1);
        let mut circulation = BlockCirculation::new(cold.blocks, cold.retired);
        let answers = 3 * BLOCKS as u64;
        for seq in 1..=answers {
            circulation.send(block(seq));
        }
        assert_eq!(hot.blocks.slots(), BLOCKS);
        let mut addresses = std::collections::BTreeSet::new();
        for seq in 1..=answers {
            let block = hot.blocks.pop().expect("a block for each answer");
            assert_eq!(block.seq, seq);
            addresses.insert(std::ptr::from_ref(&*block) as usize);
            hot.retired.push(block).expect("room for every block");
            circulation.deliver();
        }
        assert!(hot.blocks.is_empty());
        assert_eq!(addresses.len(), BLOCKS, "no block but the first sixteen was ever made");
    }

    #[test]
    fn the_ring_of_retired_blocks_holds_all_of_them() {
        let (mut hot, cold) = cold_links(1);
        let mut circulation = BlockCirculation::new(cold.blocks, cold.retired);
        for seq in 1..=BLOCKS as u64 {
            circulation.send(block(seq));
        }
        while let Ok(block) = hot.blocks.pop() {
            hot.retired.push(block).expect("room for every block");
        }
        assert_eq!(hot.retired.slots(), 0);
        circulation.deliver();
        assert_eq!(hot.retired.slots(), BLOCKS);
    }
}
