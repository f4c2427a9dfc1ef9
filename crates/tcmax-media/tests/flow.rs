//! Optical flow of a video whose motion is known.

#![cfg(feature = "opencv")]

use std::path::Path;
use std::process::Command;

use tcmax_media::decode::{Field, flow, flow_each_second};

/// Seconds of 20 frames of 96 x 64 pixels without loss, in which waves of grey go right by `step`
/// pixels a frame.
fn waves(path: &Path, step: f64, seconds: u32) {
    let shade = format!("lum=128+60*sin((X-{step}*N)*0.31)+40*cos(Y*0.23)");
    let source = format!("nullsrc=size=96x64:rate=20:duration={seconds},format=gray,geq={shade}");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-f", "lavfi", "-i", &source, "-c:v", "ffv1"]).arg(path);
    assert!(command.status().unwrap().success());
}

/// Mean displacement across and down, pixels, away from the border.
fn mean(field: &Field) -> [f64; 2] {
    let inner = (16..field.height - 16).flat_map(|y| (16..field.width - 16).map(move |x| (y, x)));
    let places: Vec<usize> = inner.map(|(y, x)| y * field.width + x).collect();
    [0, 1].map(|axis| {
        let displacements =
            places.iter().map(|place| f64::from(field.displacements[2 * place + axis]));
        displacements.sum::<f64>() / places.len() as f64
    })
}

#[test]
fn what_moves_right_has_flow_to_the_right_from_a_frame_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("waves.mkv");
    waves(&path, 1.0, 1);
    let fields = flow(&path, 10, 256).unwrap();
    assert_eq!(fields.len(), 10);
    for field in &fields {
        assert_eq!((field.height, field.width), (64, 96));
        let [across, down] = mean(field);
        assert!((across - 1.0).abs() < 0.15, "{across}");
        assert!(down.abs() < 0.15, "{down}");
    }
    // Half the size, half the motion; more than the bound is cut, and 128 is none.
    let small = flow(&path, 3, 32).unwrap();
    let all = small.iter().flat_map(|field| field.displacements.iter().step_by(2));
    let across = all.clone().sum::<f32>() / all.count() as f32;
    assert!((across - 0.5).abs() < 0.1, "{across}");
    let bytes = fields[0].in_bytes(0.25);
    assert_eq!(bytes.bytes.iter().step_by(2).max(), Some(&255));
    let still = folder.path().join("still.mkv");
    waves(&still, 0.0, 1);
    let still = flow(&still, 30, 256).unwrap();
    assert_eq!(still.len(), 30, "19 steps, some of them twice");
    assert!(still.iter().all(|field| field.in_bytes(20.0).bytes.iter().all(|&byte| byte == 128)));
}

#[test]
fn a_field_a_second_is_of_the_frames_at_full_seconds_and_the_rest_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("waves.mkv");
    // Three pixels a frame: in every second the 20th frame follows the 19th.
    waves(&path, 3.0, 3);
    let fields = flow_each_second(&path, 10).unwrap();
    assert_eq!(fields.len(), 2, "frames 20 and 40 of 60");
    for field in &fields {
        assert!((mean(field)[0] - 3.0).abs() < 0.3, "{:?}", mean(field));
    }
    waves(&path, 3.0, 1);
    let error = flow_each_second(&path, 10).unwrap_err().to_string();
    assert!(error.contains("it ends before"), "{error}");
}
