"""Times one case in PyTorch: CASE THREADS COUNT LAYOUT [DEVICE PRECISION], a line of JSON out.

The cases are those of tcmax-benches, by the same names. LAYOUT is default or channels_last, DEVICE cpu or
cuda, PRECISION f32 or bf16, which is autocast.
"""

import copy
import json
import math
import resource
import sys
import time

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or channels != width:
            conv = nn.Conv2d(channels, width, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


def resnet(channels, slim, stem7):
    width, blocks = (8, 1) if slim else (64, 2)
    kernel = (7, 2, 3) if stem7 else (3, 1, 1)
    layers = [nn.Conv2d(channels, width, *kernel, bias=False), nn.BatchNorm2d(width)]
    layers += [nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    last = width
    for stage in range(4):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(Block(last, width << stage, stride))
            last = width << stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), last


STEPS = {
    "step-224": [(False, True, (8, 3, 224, 224))],
    "step-audio": [(False, True, (8, 1, 257, 188))],
    "device-224": [(False, True, (64, 3, 224, 224))],
    "device-audio": [(False, True, (64, 1, 257, 188))],
    "step-32": [(False, True, (32, 3, 32, 32))],
    "step-av-digits": [(True, True, (32, 1, 129, 51)), (True, False, (32, 1, 28, 28))],
}
FITS = {"fit-tcne": 3, "fit-mine": 2}
# (batch, channels, height, width), kernel, out channels, stride
CONVS = {
    "conv-stem": ((8, 3, 224, 224), 7, 64, 2),
    "conv-56": ((8, 64, 56, 56), 3, 64, 1),
    "conv-28": ((8, 128, 28, 28), 3, 128, 1),
    "conv-14": ((8, 256, 14, 14), 3, 256, 1),
    "conv-7": ((8, 512, 7, 7), 3, 512, 1),
    "conv-56/2": ((8, 64, 56, 56), 3, 128, 2),
    "conv-14/2": ((8, 256, 14, 14), 3, 512, 2),
    "conv-1x1/2": ((8, 64, 56, 56), 1, 128, 2),
    "conv-2": ((32, 256, 2, 2), 3, 256, 1),
    "conv-8": ((32, 8, 33, 13), 3, 8, 1),
    "patches": ((8, 3, 224, 224), 16, 192, 16),
}


def training_step(networks, layout):
    encoders, inputs, total = nn.ModuleList(), [], 0
    for slim, stem7, shape in networks:
        encoder, width = resnet(shape[1], slim, stem7)
        encoders.append(encoder)
        inputs.append(torch.randn(shape).to(memory_format=layout))
        total += width
    head = nn.Linear(total, 10, bias=False)
    model = nn.ModuleList([encoders, head]).to(memory_format=layout)
    labels = torch.arange(networks[0][2][0]) % 10
    optimiser = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9, weight_decay=1e-4)

    def step():
        optimiser.zero_grad()
        features = torch.cat([encoder(x) for encoder, x in zip(encoders, inputs)], 1)
        nn.functional.cross_entropy(head(features), labels).backward()
        optimiser.step()

    return step


def forward_backward(module, shape, layout):
    module = module.to(memory_format=layout)
    x = torch.randn(shape).to(memory_format=layout).requires_grad_()
    ones = torch.ones_like(module(x))

    def step():
        x.grad = None
        module.zero_grad()
        module(x).backward(ones)

    return step


def loss(kind, size):
    """Cross-entropy of a linear head on two features of 512, or the TCMax loss over the tensor of all
    pairs and classes."""
    batch, classes = map(int, size.split("x"))
    head = nn.Linear(1024, classes)
    features = [torch.randn(batch, 512, requires_grad=True) for _ in range(2)]
    labels = torch.arange(batch) % classes
    rows = torch.arange(batch)

    def step():
        head.zero_grad()
        for z in features:
            z.grad = None
        if kind == "ce":
            value = nn.functional.cross_entropy(head(torch.cat(features, 1)), labels)
        else:
            a, v = (
                z @ w.T + head.bias / 2
                for z, w in zip(features, head.weight.split(512, 1))
            )
            pairs = a[:, None] + v[None]
            value = torch.logsumexp(pairs.flatten(), 0) - pairs[rows, rows, labels].mean()
        value.backward()

    return step


def tcmax(batch, classes):
    """TCMax on the logits of a linear head on two features of 512: the log-sum-exp over all pairs is a sum of two."""
    head = nn.Linear(1024, classes)
    features = [torch.randn(batch, 512, requires_grad=True) for _ in range(2)]
    labels = torch.arange(batch) % classes

    def step():
        head.zero_grad()
        for z in features:
            z.grad = None
        weights = head.weight.split(512, 1)
        a, v = (z @ w.T for z, w in zip(features, weights))
        joint = (a + v + head.bias).gather(1, labels[:, None]).mean()
        of_classes = torch.logsumexp(a, 0) + torch.logsumexp(v, 0) + head.bias
        (torch.logsumexp(of_classes, 0) - joint).backward()

    return step


def transformer(case):
    """Forward and backward of a transformer with its published sizes, without dropout."""
    import transformers

    if case in ("vit-b32", "device-vit"):
        config = transformers.ViTConfig(patch_size=32)
        model = transformers.ViTModel(config, add_pooling_layer=False).eval()
        inputs = {"pixel_values": torch.randn(8 if case == "vit-b32" else 64, 3, 224, 224)}
        pool = lambda hidden: hidden[:, 0]
    else:
        model = transformers.DistilBertModel(transformers.DistilBertConfig()).eval()
        ids = (torch.arange(8 * 128) * 37 % 30_000).reshape(8, 128)
        mask = torch.ones_like(ids)
        if case == "distilbert-texts":
            lengths = (torch.arange(8) + 1) * 16
            mask = (torch.arange(128) < lengths[:, None]).long()
        inputs = {"input_ids": ids * mask, "attention_mask": mask}
        weights = (mask / mask.sum(1, keepdim=True))[:, :, None]
        pool = lambda hidden: (hidden * weights).sum(1)

    def step():
        model.zero_grad()
        pool(model(**inputs).last_hidden_state).sum().backward()

    return step


class QuickGelu(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class CausalBlock(nn.Module):
    """A block of CLIP's text tower as first published."""

    def __init__(self, width, heads):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), QuickGelu(), nn.Linear(4 * width, width))

    def forward(self, x, mask):
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask, is_causal=True)[0]
        return x + self.mlp(self.ln_2(x))


class CausalText(nn.Module):
    def __init__(self, width=512, layers=12, heads=8, vocabulary=49_408, positions=77, projection=512):
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(0.01 * torch.randn(positions, width))
        self.blocks = nn.ModuleList(CausalBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Parameter(torch.randn(width, projection) / width**0.5)

    def forward(self, ids):
        length = ids.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        x = self.words(ids) + self.positions[:length]
        for block in self.blocks:
            x = block(x, mask)
        ends = ids.argmax(1)
        return self.norm(x)[torch.arange(len(ids)), ends] @ self.projection


class SequenceTransformer(nn.Module):
    def __init__(self, features=64, steps=100, width=128, layers=2, heads=4, hidden=256):
        super().__init__()
        self.projection = nn.Linear(features, width)
        self.positions = nn.Parameter(0.02 * torch.randn(steps, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, hidden, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.stack = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, x):
        return self.stack(self.projection(x) + self.positions)


def image_encoder(name):
    """A network on images and how its features are read."""
    import torchvision
    import transformers as hf

    if name == "resnet-slim":
        return resnet(3, True, True)[0], lambda model, x: model(x)
    if name.startswith("resnet"):
        model = getattr(torchvision.models, name)()
        model.fc = nn.Identity()
        return model, lambda model, x: model(x)
    if name == "vit-torchvision":
        model = torchvision.models.vit_b_16()
        model.heads = nn.Identity()
        return model.eval(), lambda model, x: model(x)
    if name == "vit":
        model = hf.ViTModel(hf.ViTConfig(), add_pooling_layer=False).eval()
        return model, lambda model, x: model(pixel_values=x).last_hidden_state[:, 0]
    model = hf.CLIPVisionModelWithProjection(hf.CLIPVisionConfig()).eval()
    return model, lambda model, x: model(pixel_values=x).image_embeds


def text_encoder(name):
    """A network on tokens, without dropout, and how its features are read."""
    import transformers as hf

    if name == "causal-text":
        return CausalText(), lambda model, ids: model(ids)
    if name == "clip-text":
        # The end of texts is no longer the default of the configuration.
        config = hf.CLIPTextConfig(eos_token_id=49_407)
        model = hf.CLIPTextModelWithProjection(config).eval()
        there = torch.ones(8, 77, dtype=torch.long)
        return model, lambda model, ids: model(input_ids=ids, attention_mask=there).text_embeds
    roberta = dict(vocab_size=50_265, max_position_embeddings=514, type_vocab_size=1)
    model = {
        "bert": lambda: hf.BertModel(hf.BertConfig(), add_pooling_layer=False),
        "distilbert": lambda: hf.DistilBertModel(hf.DistilBertConfig()),
        "roberta": lambda: hf.RobertaModel(hf.RobertaConfig(**roberta), add_pooling_layer=False),
    }[name]().eval()
    there = torch.ones(8, 128, dtype=torch.long)
    return model, lambda model, ids: model(input_ids=ids, attention_mask=there).last_hidden_state.mean(1)


def sequence_encoder(name):
    """A network on steps of 64 features, and the mean over its steps."""
    if name in ("gru", "lstm"):
        kind = nn.GRU if name == "gru" else nn.LSTM
        return kind(64, 128, batch_first=True, bidirectional=True), lambda model, x: model(x)[0].mean(1)
    if name == "transformer":
        return SequenceTransformer(), lambda model, x: model(x).mean(1)
    block = lambda channels, dilation: (
        nn.Conv1d(channels, 128, 3, padding=dilation, dilation=dilation),
        nn.BatchNorm1d(128),
        nn.ReLU(),
    )
    model = nn.Sequential(*block(64, 1), *block(128, 2))
    return model, lambda model, x: model(x.transpose(1, 2)).mean(2)


def encoder(name, layout):
    """Forward and backward of an encoder of the table in tcmax-encoders, of its default sizes."""
    if name in ("gru", "lstm", "transformer", "temporal-convolution"):
        (model, features), x = sequence_encoder(name), torch.randn(8, 100, 64)
    elif name == "mlp":
        layers = (nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
        model, features = nn.Sequential(nn.BatchNorm1d(64), *layers), lambda model, x: model(x)
        x = torch.randn(8, 64)
    elif name in ("bert", "distilbert", "roberta", "clip-text", "causal-text"):
        model, features = text_encoder(name)
        length = 77 if name in ("clip-text", "causal-text") else 128
        x = (torch.arange(8 * length) * 37 % 30_000).reshape(8, length)
        x[:, -1] = 49_407 if length == 77 else 29_999
    else:
        model, features = image_encoder(name)
        model = model.to(memory_format=layout)
        x = torch.randn(8, 3, 224, 224).to(memory_format=layout)

    def step():
        model.zero_grad()
        features(model, x).sum().backward()

    return step


class Critic(nn.Module):
    """The concatenating critic with a quadratic form."""

    def __init__(self, inputs, hidden=64):
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.fc3 = nn.Linear(hidden, 1)
        self.quadratic = nn.Parameter(torch.zeros(inputs, inputs))

    def forward(self, variables):
        u = torch.cat(variables, 1)
        squareplus = lambda z: 0.5 * (z + torch.sqrt(z * z + 0.1))
        network = self.fc3(squareplus(self.fc2(squareplus(self.fc1(u)))))
        return network.squeeze(1) + ((u @ self.quadratic) * u).sum(1)


def permuted(variables, count):
    """Product tuples: `count` rearrangements of every variable."""
    rows = len(variables[0])
    order = lambda: torch.cat([torch.randperm(rows) for _ in range(count)])
    orders = [order() for _ in variables]
    return [x[order] for x, order in zip(variables, orders)], orders


def bound(joint, product):
    return joint.mean() - (torch.logsumexp(product, 0) - math.log(len(product)))


def estimator_fit(variables, steps=1000, batch=512, every=50):
    """Training with averaged weights, validations, the held-out bound and its bootstrap."""
    rows = 10_000
    common = torch.randn(rows, 1)
    sample = [0.8 * common + 0.6 * torch.randn(rows, 1) for _ in range(variables)]

    def value(critic, part, tuples):
        with torch.no_grad():
            product, orders = permuted(part, -(-tuples // len(part[0])))
            scores = torch.cat([critic([x[i : i + 8192] for x in product])
                                for i in range(0, len(product[0]), 8192)])
            return critic(part), scores, orders

    def fit():
        torch.manual_seed(0)
        quantile = lambda x: math.sqrt(2) * torch.erfinv((2 * x.argsort(0).argsort(0) + 1) / rows - 1)
        scaled = [quantile(x) for x in sample]
        order = torch.randperm(rows)
        part = lambda rows: [x[rows] for x in scaled]
        training, validation, test = order[:5500], part(order[5500:7000]), part(order[7000:])
        critic = Critic(variables)
        networks = [p for name, p in critic.named_parameters() if name != "quadratic"]
        groups = [{"params": networks}, {"params": [critic.quadratic], "lr": 1e-3}]
        optimiser = torch.optim.Adam(groups, 5e-3)
        decay = torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
        average = torch.optim.swa_utils.AveragedModel(critic, multi_avg_fn=decay)
        used, best, kept = len(training), -math.inf, None
        for step in range(1, steps + 1):
            if used + batch > len(training):
                training, used = training[torch.randperm(len(training))], 0
            joint = part(training[used : used + batch])
            used += batch
            loss = -bound(critic(joint), critic(permuted(joint, 4)[0]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            average.update_parameters(critic)
            if step % every == 0:
                now = bound(*value(average, validation, 40_000)[:2]).item()
                if now > best:
                    best, kept = now, copy.deepcopy(average.module)
        joint, scores, orders = value(kept, test, 200_000)
        exponentials = (scores - scores.max()).exp()
        values = []
        for _ in range(200):
            drawn = torch.bincount(torch.randint(len(joint), (len(joint),)), minlength=len(joint))
            weights = math.prod(drawn[order] for order in orders).float()
            mean = (weights * exponentials).sum() / weights.sum()
            values.append((drawn * joint).sum() / drawn.sum() - mean.log())
        return bound(joint, scores).item(), torch.stack(values).std().item()

    return fit


PARTS = ("linear-768", "linear-up", "linear-down", "attention", "layer-norm", "gelu", "embedding")


def transformer_part(case):
    """One operation on eight texts of 128 tokens, with the sizes of BERT's base model."""
    narrow, wide = (1024, 768), (1024, 3072)
    if case == "attention":
        shape = (8, 128, 3, 12, 64)

        def attend(x):
            q, k, v = x.permute(2, 0, 3, 1, 4)
            attended = nn.functional.scaled_dot_product_attention(q, k, v)
            return attended.transpose(1, 2).contiguous()

        return of_input(attend, shape)
    if case == "embedding":
        table = nn.Embedding(30_522, 768)
        ids = torch.arange(1024) * 37 % 30_000
        ones = torch.ones(1024, 768)

        def step():
            table.zero_grad()
            table(ids).backward(ones)

        return step
    modules = {
        "linear-768": lambda: (nn.Linear(768, 768), narrow),
        "linear-up": lambda: (nn.Linear(768, 3072), narrow),
        "linear-down": lambda: (nn.Linear(3072, 768), wide),
        "layer-norm": lambda: (nn.LayerNorm(768), narrow),
        "gelu": lambda: (nn.GELU(), wide),
    }
    module, shape = modules[case]()
    return of_input(module, shape, module.parameters())


def of_input(function, shape, parameters=()):
    x = torch.randn(shape, requires_grad=True)
    ones, parameters = torch.ones_like(function(x)), list(parameters)

    def step():
        x.grad = None
        for parameter in parameters:
            parameter.grad = None
        function(x).backward(ones)

    return step


def work(case, layout):
    kind, _, size = case.partition("-")
    if kind in ("ce", "pairs"):
        return loss(kind, size)
    if kind == "encoder":
        return encoder(size, layout)
    if case == "device-tcmax":
        return tcmax(4096, 1000)
    if case in ("vit-b32", "device-vit", "distilbert", "distilbert-texts"):
        return transformer(case)
    if case in PARTS:
        return transformer_part(case)
    if case in FITS:
        return estimator_fit(FITS[case])
    if case in STEPS:
        return training_step(STEPS[case], layout)
    if case in CONVS:
        shape, kernel, to, stride = CONVS[case]
        padding = 0 if kernel == stride else kernel // 2
        conv = nn.Conv2d(shape[1], to, kernel, stride, padding, bias=False)
        return forward_backward(conv, shape, layout)
    if case == "norm-56":
        norm = nn.Sequential(nn.BatchNorm2d(64), nn.ReLU(inplace=True))
        return forward_backward(norm, (8, 64, 56, 56), layout)
    if case == "pool-112":
        return forward_backward(nn.MaxPool2d(3, 2, 1), (8, 64, 112, 112), layout)
    if case in ("sgd", "adam", "adamw"):
        p = nn.Parameter(torch.ones(11_000_000))
        p.grad = torch.full_like(p, 2.0)
        if case == "sgd":
            return torch.optim.SGD([p], 1e-3, momentum=0.9, weight_decay=1e-4).step
        adam = torch.optim.Adam if case == "adam" else torch.optim.AdamW
        return adam([p], 1e-3, weight_decay=1e-4).step
    sys.exit(f"no case '{case}'")


def main():
    case, threads, count, layout = sys.argv[1:5]
    torch.set_num_threads(int(threads))
    device, precision = (sys.argv[5:] + ["cpu", "f32"])[:2]
    torch.set_default_device(device)
    on_gpu = device.startswith("cuda")
    if on_gpu:
        # As tcmax does without --tf32.
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    layout = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    step = work(case, layout)
    half = torch.autocast(device.split(":")[0], torch.bfloat16, enabled=precision == "bf16")
    times = []
    for call in range(int(count) + 2):
        start = time.perf_counter()
        with half:
            step()
        if on_gpu:
            torch.cuda.synchronize()
        if call >= 2:
            times.append((time.perf_counter() - start) * 1e3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    version = torch.__version__
    if on_gpu:
        version += " on " + torch.cuda.get_device_name()
    print(json.dumps({"times": times, "peak_kib": peak, "version": version}))


main()
