//! Objectives of multimodal classification: joint cross-entropy, unimodal, and total correlation maximisation (TCMax).
