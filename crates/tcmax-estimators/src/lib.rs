//! Neural lower bounds on mutual information and total correlation (MINE, TCNE) and exact values on discrete tables, in nats.
