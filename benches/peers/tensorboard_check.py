"""The curves of a folder of event files, as TensorBoard's own reader has them: {name: [[step, value], ...]}."""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def curve(accumulator, name):
    return [[event.step, event.value] for event in accumulator.Scalars(name)]


accumulator = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
accumulator.Reload()
names = accumulator.Tags()["scalars"]
json.dump({name: curve(accumulator, name) for name in names}, sys.stdout)
