//! Multimodal data sets as tensors: real audio-visual digits, synthetic clips of known information, seeded loaders and verified downloads.
