//! Fusion heads that turn the features of M modalities into class logits, and are critics of total correlation at the same time.
