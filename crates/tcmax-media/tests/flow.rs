//! Optical flow of a video whose motion is known.

#![cfg(feature = "opencv")]

use std::path::Path;
use std::process::Command;

use tcmax_media::decode::{Pixels, flow};

/// A second of 20 frames of 96 x 64 pixels without loss, in which waves of grey go right by `step`
/// pixels a frame.
fn waves(path: &Path, step: f64) {
    let shade = format!("lum=128+60*sin((X-{step}*N)*0.31)+40*cos(Y*0.23)");
    let source = format!("nullsrc=size=96x64:rate=20:duration=1,format=gray,geq={shade}");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-f", "lavfi", "-i", &source, "-c:v", "ffv1"]).arg(path);
    assert!(command.status().unwrap().success());
}

/// Mean displacement across and down, pixels, away from the border.
fn mean(field: &Pixels, bound: f64) -> [f64; 2] {
    let inner = (16..48).flat_map(|y| (16..80).map(move |x| y * 96 + x));
    let places: Vec<usize> = inner.collect();
    [0, 1].map(|axis| {
        let bytes = places.iter().map(|place| f64::from(field.bytes[2 * place + axis]) - 128.0);
        bytes.sum::<f64>() / places.len() as f64 * bound / 127.0
    })
}

#[test]
fn what_moves_right_has_flow_to_the_right() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("waves.mkv");
    waves(&path, 1.0);
    // Ten frames of twenty: two pixels from one to the next.
    let fields = flow(&path, 9, 256, 20.0).unwrap();
    assert_eq!(fields.len(), 9);
    for field in &fields {
        assert_eq!((field.height, field.width, field.channels), (64, 96, 2));
        let [across, down] = mean(field, 20.0);
        assert!((across - 2.0).abs() < 0.3, "{across}");
        assert!(down.abs() < 0.3, "{down}");
    }
    // Half the size, half the motion; more than the bound is cut.
    let [across, _] = mean_of_all(&flow(&path, 9, 32, 0.5).unwrap());
    assert!((across - 0.5).abs() < 0.1, "{across}");
    waves(&folder.path().join("still.mkv"), 0.0);
    let still = flow(&folder.path().join("still.mkv"), 3, 256, 20.0).unwrap();
    assert!(still.iter().all(|field| field.bytes.iter().all(|&byte| byte == 128)));
}

fn mean_of_all(fields: &[Pixels]) -> [f64; 2] {
    [0, 1].map(|axis| {
        let bytes = fields.iter().flat_map(|field| field.bytes[axis..].iter().step_by(2));
        let displacements: Vec<f64> =
            bytes.map(|&b| (f64::from(b) - 128.0) * 0.5 / 127.0).collect();
        displacements.iter().sum::<f64>() / displacements.len() as f64
    })
}
