//! States of a step's rows, kept apart from the next step, brought here or summed where they are.

#![allow(unsafe_code, reason = "kernels are started here, which look at no edges")]

use cubecl::prelude::*;
use half::f16;

use super::{Buffer, Model, Reading, brief, floats};
use crate::engine::FloatType;
use crate::kernels::elementwise::{self, ROWS_A_CUBE, UNITS};

impl Model {
    /// A copy of the pre-norm states of the first `m` rows of the step under way.
    pub(crate) fn states(&self, m: usize) -> Buffer {
        match self.float {
            FloatType::F32 => self.copy_states::<f32>(m),
            FloatType::F16 => self.copy_states::<f16>(m),
        }
    }

    fn copy_states<F: Float>(&self, m: usize) -> Buffer {
        let n_bytes = m * self.layout.model * self.float.n_bytes();
        let copy = Buffer { handle: self.client.empty(n_bytes), n_bytes };
        let fours = 4 * self.float.n_bytes();
        // SAFETY: see `run`.
        unsafe {
            elementwise::copy::launch_unchecked::<F>(
                &self.client,
                CubeCount::Static(1, m as u32 / ROWS_A_CUBE, 1),
                CubeDim::new_2d(UNITS, ROWS_A_CUBE),
                self.x.by(fours),
                copy.by(fours),
                self.layout.model as u32 / 4,
            );
        }
        copy
    }

    /// `n` rows of states from `row` on in float32, `[n, dim]`.
    pub(crate) fn read_states(&self, states: &Buffer, row: usize, n: usize) -> Result<Vec<f32>, String> {
        let (stride, width) = (self.layout.model, self.config.dim);
        match self.float {
            FloatType::F32 => self.widen::<f32>(states, row, n, stride, width),
            FloatType::F16 => self.widen::<f16>(states, row, n, stride, width),
        }
    }

    /// Logits of `n` rows from `row` on of the last step, `[n, vocab_size]`.
    pub(crate) fn read_logits(&self, row: usize, n: usize) -> Result<Vec<f32>, String> {
        self.widen::<f32>(&self.logits, row, n, self.layout.logits, self.config.vocab_size)
    }

    fn widen<F: Float>(
        &self,
        from: &Buffer,
        row: usize,
        n: usize,
        stride: usize,
        width: usize,
    ) -> Result<Vec<f32>, String> {
        if n == 0 {
            return Ok(Vec::new());
        }
        let out = Buffer { handle: self.client.empty(n * width * 4), n_bytes: n * width * 4 };
        // SAFETY: see `run`; the rows are some of the buffer's.
        unsafe {
            elementwise::widen::launch_unchecked::<F>(
                &self.client,
                CubeCount::Static(1, (n as u32).div_ceil(ROWS_A_CUBE), 1),
                CubeDim::new_2d(UNITS, ROWS_A_CUBE),
                from.by(size_of::<F>()),
                out.by(4),
                row as u32,
                n as u32,
                stride as u32,
                width as u32,
            );
        }
        let bytes = self.client.read_one(out.handle).map_err(|error| brief(&error))?;
        Ok(floats(&bytes))
    }

    /// Sums of the states of the rows of each range, `[ranges, dim]`.
    pub(crate) fn start_sums(&self, states: &Buffer, ranges: &[u32]) -> Option<Reading<'_>> {
        match self.float {
            FloatType::F32 => self.sum_ranges::<f32>(states, ranges),
            FloatType::F16 => self.sum_ranges::<f16>(states, ranges),
        }
    }

    fn sum_ranges<F: Float>(&self, states: &Buffer, ranges: &[u32]) -> Option<Reading<'_>> {
        let n = ranges.len() / 2;
        if n == 0 {
            return None;
        }
        let dim = self.config.dim;
        let n_bytes = n * dim * 4;
        let sums = Buffer { handle: self.client.empty(n_bytes), n_bytes };
        let on_device = self.upload(ranges);
        // SAFETY: see `run`; ranges are of rows of the states.
        unsafe {
            elementwise::sum_ranges::launch_unchecked::<F>(
                &self.client,
                CubeCount::Static(1, (n as u32).div_ceil(ROWS_A_CUBE), 1),
                CubeDim::new_2d(UNITS, ROWS_A_CUBE),
                states.by(size_of::<F>()),
                on_device.by(4),
                sums.by(4),
                n as u32,
                self.layout.model as u32,
                dim as u32,
            );
        }
        Some(Box::pin(self.client.read_async(vec![sums.handle])))
    }
}
