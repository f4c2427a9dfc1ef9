"""Times loading the usual way: CASE FOLDER FILES BATCH WORKERS EPOCHS, a line of JSON out."""

import json
import resource
import sys
import time

import librosa
import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

AUGMENT = transforms.Compose(
    [
        transforms.RandomResizedCrop(224),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
)


class Waves(Dataset):
    def __init__(self, folder, files):
        self.paths = [f"{folder}/{n:04}.wav" for n in range(files)]

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        samples, rate = librosa.load(self.paths[index], sr=22050)
        samples = np.tile(samples, 10)[: 3 * rate]
        spectrum = librosa.stft(np.clip(samples, -1.0, 1.0), n_fft=512, hop_length=353)
        return torch.from_numpy(np.log(np.abs(spectrum) + 1e-7).astype(np.float32))[None]


class Pictures(Dataset):
    def __init__(self, folder, files):
        self.paths = [f"{folder}/{n:04}.jpg" for n in range(files)]

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return AUGMENT(Image.open(self.paths[index]).convert("RGB"))


class Shards(Dataset):
    def __init__(self, folder, files):
        self.clips = []
        for n in range((files + 63) // 64):
            path = f"{folder}/clips/shard-{n:05}.safetensors"
            with safe_open(path, "pt") as shard:
                ids = sorted({name.rsplit("/", 1)[0] for name in shard.keys()})
            self.clips += [(path, name) for name in ids]
        self.open = {}

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, index):
        path, name = self.clips[index]
        if path not in self.open:
            self.open[path] = safe_open(path, "np")
        shard = self.open[path]
        pixels = Image.fromarray(shard.get_tensor(f"{name}/picture")[0])
        return torch.from_numpy(shard.get_tensor(f"{name}/sound")), AUGMENT(pixels)


def main():
    case, folder = sys.argv[1:3]
    files, batch, workers, epochs = map(int, sys.argv[3:])
    kinds = {"load-wav": Waves, "load-jpeg": Pictures, "load-shard": Shards}
    torch.set_num_threads(1)
    loader = DataLoader(
        kinds[case](folder, files),
        batch_size=batch,
        shuffle=True,
        num_workers=workers,
        persistent_workers=True,
    )
    times = []
    for _ in range(epochs + 1):
        start = time.perf_counter()
        for _ in loader:
            pass
        times.append(1e3 * (time.perf_counter() - start))
    usage = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps({"times": times[1:], "peak_kib": max(usage)}))


main()
