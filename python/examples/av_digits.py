"""Joint training and TCMax on spoken and handwritten digits, in PyTorch.

    python examples/av_digits.py                          downloads 25 MB
    python examples/av_digits.py --data-dir FOLDER        the files are there
    python examples/av_digits.py --seeds 0 1 2 --weights 0 1

Every recording of a digit is paired with an image of it. 300 pairs train two small residual networks and a linear
layer on both their features; the loss is cross-entropy (weight 0: joint training), TCMax (weight 1), or a blend. The
weights of the epoch with the best validation accuracy are tested once.
"""

import argparse
import copy
import time

import tcmax
import tcmax.torch as tt
import torch
from torch import nn
from torch.nn import functional as F

# %% Data: 300 training pairs, 200 for validation, and 1,500 of recordings that nobody trained on.


def load(data_dir, seed):
    source = tcmax.data.open("av-digits", data_dir=data_dir, train_size=300, val_size=200)
    splits = source.splits(seed)
    return [((one["audio"], one["visual"]), one["label"]) for one in (split.arrays() for split in splits)]


# %% A small residual network for each modality.


class Block(nn.Module):
    """Two convolutions and what goes past them."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.past = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.past = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return F.relu(self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))) + self.past(x))


class Encoder(nn.Sequential):
    """Features (B, 64) of pictures or spectrograms (B, 1, height, width)."""

    width = 64

    def __init__(self, kernel, stride):
        stem = [nn.Conv2d(1, 8, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
        blocks = [Block(8, 8, 1), Block(8, 16, 2), Block(16, 32, 2), Block(32, 64, 2)]
        super().__init__(*stem, nn.MaxPool2d(3, 2, 1), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)


class Model(nn.Module):
    """An encoder for each modality, and the additive head."""

    def __init__(self):
        super().__init__()
        self.audio, self.visual = Encoder(7, 2), Encoder(3, 1)
        self.head = tt.ConcatHead([Encoder.width, Encoder.width], classes=10)

    def forward(self, inputs):
        audio, visual = inputs
        return self.head([self.audio(audio), self.visual(visual)])


# %% Training: all that TCMax changes is the loss.


def train(model, weight, training, validation, epochs=40, batch=32):
    loss_of = tt.TCMaxLoss(weight)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, step_size=30)
    (audio, visual), labels = training
    best, kept = -1.0, None
    for _ in range(epochs):
        model.train()
        for rows in torch.randperm(len(labels)).split(batch):
            optimiser.zero_grad()
            loss_of(model((audio[rows], visual[rows])), labels[rows]).backward()
            optimiser.step()
        schedule.step()
        accuracy = evaluate(model, *validation)[0]
        if accuracy > best:
            best, kept = accuracy, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)


@torch.no_grad()
def evaluate(model, inputs, labels):
    """Accuracy of both, audio alone and image alone, each by its own term; and the total correlation, nats."""
    model.eval()
    terms = model(inputs)
    right = [(scores.argmax(1) == labels).double().mean().item() for scores in (sum(terms), *terms)]
    return (*right, tt.total_correlation(terms, labels))


# %% Comparison: the same seeds for all.


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder with the data set's files; by default they are downloaded")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 0.1, 1.0])
    parser.add_argument("--epochs", type=int, default=40)
    arguments = parser.parse_args()

    found = {}
    for seed in arguments.seeds:
        training, validation, test = load(arguments.data_dir, seed)
        for weight in arguments.weights:
            torch.manual_seed(seed)
            start = time.perf_counter()
            model = Model()
            train(model, weight, training, validation, arguments.epochs)
            found[weight, seed] = evaluate(model, *test)
            both, audio, visual, nats = found[weight, seed]
            seconds = time.perf_counter() - start
            print(
                f"weight {weight:<4g} seed {seed}: both {100 * both:.1f}, audio {100 * audio:.1f}, "
                f"image {100 * visual:.1f} %, total correlation {nats:.2f} nats ({seconds:.0f} s)",
                flush=True,
            )

    print(f"\nmean of {len(arguments.seeds)} seeds, test accuracy in %")
    print(f"{'weight':>8} {'both':>8} {'audio':>8} {'image':>8} {'nats':>8}")
    for weight in arguments.weights:
        numbers = torch.tensor([found[weight, seed] for seed in arguments.seeds])
        both, audio, visual, nats = numbers.mean(0).tolist()
        print(f"{weight:8g} {100 * both:8.1f} {100 * audio:8.1f} {100 * visual:8.1f} {nats:8.2f}")
    first, last = arguments.weights[0], arguments.weights[-1]
    gains = [100 * (found[last, seed][0] - found[first, seed][0]) for seed in arguments.seeds]
    print(f"\nweight {last:g} over {first:g}, seed by seed: {', '.join(f'{gain:+.1f}' for gain in gains)} points")


if __name__ == "__main__":
    main()
