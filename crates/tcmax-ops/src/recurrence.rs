//! The recurrent cells.

/// Which recurrent cell: how a state follows from the state before it.
///
/// With a step's inputs x already mapped (W x + b), the state h mapped by V h + c, and s the logistic function:
///
/// ```text
/// GRU:   r, u = s(x + V h + c);  n = tanh(x_n + r (V_n h + c_n));  h' = (1 - u) n + u h
/// LSTM:  i, f, o = s(x + V h + c);  g = tanh(x_g + V_g h + c_g);  c' = f c + i g;  h' = o tanh(c')
/// ```
///
/// Source: Cho et al. 2014 with PyTorch's position of the reset gate; Hochreiter and Schmidhuber 1997.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecurrentCell {
    /// The gated recurrent unit, gates in the order r, u, n.
    Gru,
    /// The long short-term memory, gates in the order i, f, g, o.
    Lstm,
}

impl RecurrentCell {
    /// Gates of a unit.
    pub const fn gates(self) -> usize {
        match self {
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }
}
