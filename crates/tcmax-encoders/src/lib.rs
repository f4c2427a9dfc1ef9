//! Modality encoders for training from scratch on candle: ResNet-18 and small relatives.
