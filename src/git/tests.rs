//! The whole module against real repositories, with every git that this machine has.
